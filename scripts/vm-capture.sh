#!/bin/bash
# Compiles the SystemTap probes, boots a Debian kernel in an emulator, captures the jobs of scripts/ there with strace,
# with the probes alone and by `ioriot capture` with the backends stap and ebpf, brings all out, compares them, and replays
# what ioriot captured. Needs no KVM and no rights over the kernel of this machine.
#
#     scripts/vm-capture.sh [-s trixie|bookworm] [-o OUT] [JOB...]
#
# JOB is a further program, static or a shell script; like the others it gets a directory to make as its argument.
# Needs root (for chroot), debootstrap, cpio and about 4 GB in CACHE (default /var/cache/ioriot-vm), where the guest system
# stays for the next time. IOR names the ioriot that compares (default target/release/ioriot), without which the captures
# are only brought out; GUEST_IOR the one that captures in the guest (default IOR), whose C library must not be newer than
# the guest's. Exit 1 when calls or outcomes differ.
set -euo pipefail
cd "$(dirname "$0")/.."
suite=trixie out=target/vm-capture
while getopts s:o: option; do
	case $option in
	s) suite=$OPTARG ;;
	o) out=$OPTARG ;;
	*) sed -n 2,15p "$0" >&2 && exit 2 ;;
	esac
done
shift $((OPTIND - 1))
jobs=(matrix compat32 copy "${@##*/}")
ior=${IOR:-target/release/ioriot} guest_ior=${GUEST_IOR:-${IOR:-target/release/ioriot}}
cache=${CACHE:-/var/cache/ioriot-vm}/$suite
root=$cache/root
mkdir -p "$cache" "$out"
out=$(realpath "$out")
rm -rf "$out"/*.stap "$out"/*.ebpf
work=$(mktemp -d "$cache/run.XXXXXX")
trap 'umount -q "$root/proc" "$root/mnt" || true; rm -rf "$work"' EXIT

# step WHAT COMMAND...: runs it, quiet unless it fails, and says how long it took
step() {
	local what=$1 start=$SECONDS
	shift
	# In the background, since a shell that tests a command goes on after errors in it.
	"$@" > "$work/log" 2>&1 &
	if ! wait $!; then
		tail -n 30 "$work/log" >&2
		echo "vm-capture.sh: $what failed" >&2
		exit 1
	fi
	echo "$what: $((SECONDS - start)) s"
}

in_root() { chroot "$root" env TMPDIR=/tmp LC_ALL=C DEBIAN_FRONTEND=noninteractive HOME=/root "$@"; }

# The guest system: also where the probes are compiled, so that nothing depends on what this machine runs.
make_root() {
	[[ -e $cache/root.done ]] && return
	rm -rf "$root"
	debootstrap --variant=minbase "$suite" "$root" http://deb.debian.org/debian
	in_root apt-get update
	in_root apt-get install -y --no-install-recommends systemtap make gcc gcc-multilib libc6-dev linux-headers-cloud-amd64 \
		strace kmod procps busybox-static
	# The kernel itself is only unpacked: nothing here boots from a disk.
	in_root sh -c 'cd /tmp && apt-get download "$(apt-cache depends linux-image-cloud-amd64 | sed -n "s/.*Depends: \(linux-image\)/\1/p" | head -n1)"'
	in_root sh -c 'dpkg-deb -x /tmp/linux-image-*.deb /tmp/kernel && rm /tmp/*.deb'
	mv "$root/tmp/kernel" "$cache/kernel"
	in_root apt-get clean
	mkdir -p "$root/xfer" "$root/ioriot"
	mkfs.ext4 -q -F -d "$root" "$cache/root.img" 3G
	# The emulator of the same release, since one that is older than the kernel may get its instructions wrong.
	in_root apt-get install -y --no-install-recommends qemu-system-x86
	touch "$cache/root.done"
}

make_modules() {
	mkdir -p "$work/xfer"
	cp systemtap/Makefile systemtap/ioriot.stp systemtap/*.h "$root/ioriot"
	mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
	rm -f "$root"/ioriot/*.ko
	in_root env SYSTEMTAP_DIR=/var/cache/systemtap make -C /ioriot KERNEL="$kernel" "${runtime[@]}"
	umount "$root/proc"
	cp "$root"/ioriot/*.ko "$work/xfer"
}

# SystemTap 4.8 needs two changes to its runtime: systemtap/README.md says why.
make_runtime() {
	rm -rf "$root/ioriot/runtime"
	cp -r "$root/usr/share/systemtap/runtime" "$root/ioriot/runtime"
	sed -i -e 's/typeof(&task_work_cancel)/typeof(\&task_work_cancel_func)/' \
		-e 's/lookup_name("task_work_cancel")/lookup_name("task_work_cancel_func")/' \
		-e 's/twork = task_work_cancel(/twork = (void *)task_work_cancel(/' "$root/ioriot/runtime/stp_task_work.c"
}

make_programs() {
	cp scripts/matrix.h scripts/syscall_matrix.c scripts/syscall_compat32.c "$root/tmp"
	in_root cc -static -O2 /tmp/syscall_matrix.c -o /tmp/matrix
	in_root cc -static -O2 -m32 /tmp/syscall_compat32.c -o /tmp/compat32
	cp "$root/tmp/matrix" "$root/tmp/compat32" scripts/vm-guest.sh "$work/xfer"
	cp scripts/copy_job.sh "$work/xfer/copy"
	[[ $# -eq 0 ]] || cp "$@" "$work/xfer"
	[[ ! -x $guest_ior ]] || cp "$guest_ior" "$work/xfer/ioriot"
	printf '%s\n' "${jobs[@]}" > "$work/xfer/jobs"
	mkdir "$work/xfer/out"
}

make_disk() {
	mkfs.ext4 -q -F -d "$work/xfer" "$work/xfer.img" 2G
}

# Loads what it takes to see the disks, and hands over.
make_initrd() {
	local ird=$work/initrd module
	mkdir -p "$ird"/{bin,mods,proc,sys,dev,new}
	cp "$root/bin/busybox" "$ird/bin"
	find "$cache/kernel" -name 'virtio*.ko*' -path '*/drivers/virtio/*' -exec cp {} "$ird/mods" \;
	find "$cache/kernel" -name 'virtio_blk.ko*' -exec cp {} "$ird/mods" \;
	find "$ird/mods" -name '*.xz' -exec xz -d {} \;
	cat > "$ird/init" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
# In whatever order they depend on each other.
for round in 1 2 3; do for module in /mods/*.ko; do $b insmod $module 2> /dev/null; done; done
for wait in $($b seq 100); do [ -b /dev/vdb ] && break; $b sleep 0.1; done
$b mount -t ext4 /dev/vda /new && $b mount -t ext4 /dev/vdb /new/xfer || echo "guest: no disks"
$b umount /proc /sys; $b mount --move /dev /new/dev
exec $b switch_root /new /bin/sh /xfer/vm-guest.sh
INIT
	chmod +x "$ird/init"
	(cd "$ird" && find . | cpio --quiet -o -H newc | gzip -1) > "$work/initrd.gz"
}

# The emulator, not KVM: it runs anywhere. (On a busy machine its timer is late, which the kernel must not test.)
boot() {
	mkdir -p "$root/mnt"
	mount --bind "$cache" "$root/mnt"
	local mnt=/mnt/${work#"$cache"/}
	timeout "${TIMEOUT:-900}" nice -n 10 chroot "$root" env TMPDIR=/tmp qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 \
		-nographic -no-reboot -monitor none -nic none -serial "file:$mnt/console" \
		-kernel "/mnt/kernel/boot/vmlinuz-$kernel" -initrd "$mnt/initrd.gz" \
		-append "console=ttyS0 panic=-1 oops=panic loglevel=4 mitigations=off nokaslr no_timer_check audit=0 ia32_emulation=on" \
		-drive file=/mnt/root.img,if=virtio,format=raw,snapshot=on \
		-drive "file=$mnt/xfer.img,if=virtio,format=raw,cache=unsafe" < /dev/null
	cp "$work/console" "$out"
	grep -aq 'guest: down' "$out/console"
}

collect() {
	e2fsck -fp "$work/xfer.img" || [[ $? -le 1 ]]
	debugfs -R "rdump /out $work" "$work/xfer.img"
	cp -r "$work"/out/* "$out"
}

step "guest system" make_root
kernel=$(basename "$(ls -d "$root"/usr/src/linux-headers-*-cloud-amd64)")
kernel=${kernel#linux-headers-}
runtime=()
if in_root stap -V 2>&1 | grep -q '(version 4'; then
	step "runtime of SystemTap 4.8" make_runtime
	runtime=("STAP=stap -R /ioriot/runtime")
fi
step "probes for $kernel" make_modules
step "programs" make_programs "$@"
step "disk" make_disk
step "initrd" make_initrd
step "captures" boot
step "results" collect
grep -a '^guest:' "$out/console"

if [[ ! -x $ior ]]; then
	echo "vm-capture.sh: no $ior: the captures in $out are not compared" >&2
	exit
fi
failed=0
for job in "${jobs[@]}"; do
	for capture in "$job".{capture,stap,ebpf}; do
		[[ -e $out/$capture ]] || continue
		IOR=$ior scripts/compare_captures.py "$out/$job.strace" "$out/$capture" || failed=1
	done
done

# Every dataset but that of the tracer which is killed must replay with the outcomes it has.
replayed() {
	rm -rf "$work/replay" && mkdir "$work/replay"
	"$ior" generate "$1" -o "$work/replay/workload" && "$ior" init "$work/replay/workload" --root "$work/replay/root" &&
		"$ior" replay "$work/replay/workload" --root "$work/replay/root" -o "$work/replay/run" --pace asap --min-match 100
}
for capture in "$out"/*.stap "$out"/*.ebpf; do
	[[ $capture != */killed.stap ]] || continue
	if replayed "$capture" > "$work/log" 2>&1; then
		echo "${capture##*/}: $(sed -n 's/^ *match *//p' "$work/log")"
	else
		tail -n 30 "$work/log" && failed=1
	fi
done
exit $failed
