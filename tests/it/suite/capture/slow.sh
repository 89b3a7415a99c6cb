# A workload replayed on a slow disk: DIRECTORY has model_device and the workload `work`; the tree and the disk are made there and
# are gone at the end, the run `run` stays. In a mount namespace of its own; KEY=NUMBER ... are the disk's (model_device.c).
# Usage: slow.sh IORIOT DIRECTORY WORK RUN KEY=NUMBER ...
set -e
ior=$1 dir=$2 work=$3 run=$4
shift 4
mkdir -p "$dir/device" "$dir/slow"
"$dir/model_device" "$dir/device" 64 "$@" &
device=$!
loop=
clean() {
    umount "$dir/slow" || true
    [ -z "$loop" ] || losetup --detach "$loop"
    umount "$dir/device" || true
    kill $device || true
    wait $device || true
} 2>/dev/null
trap clean EXIT
for _ in $(seq 500); do [ -e "$dir/device/disk" ] && break; sleep 0.01; done
loop=$(losetup --find --show --direct-io=on "$dir/device/disk")
mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "$loop"
mount -o noatime "$loop" "$dir/slow"
"$ior" init "$dir/$work" --root "$dir/slow/root" >/dev/null
sync -f "$dir/slow"
echo on >"$dir/device/control"
"$ior" replay "$dir/$work" --root "$dir/slow/root" -o "$dir/$run" --min-match 0 --format json
echo off >"$dir/device/control"
