#!/bin/bash
# Replays real captures on ext4, xfs and btrfs, on loop devices as they are and throttled, and prints one table.
#
#   scripts/fs-matrix.sh           a-sqlite, d-files and e-fio (some minutes, root, 2 GiB of disk)
#   scripts/fs-matrix.sh --short   the smallest input: does it work on all of them?
#
# IOR is the program to use, by default the release build. FS_DIR is where the images are made, by default target/, so
# that what is measured lies on the disk of the sources. BPS is the limit of throttled runs, bytes per second each way.
# What this machine does not have (loop devices, a mkfs, a cgroup that limits) is left out, loudly.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/skip.sh
export LC_ALL=C
ior=$(realpath "${IOR:-target/release/ioriot}")
[[ -x $ior ]] || { echo "fs-matrix.sh: no $ior: cargo build --release makes it, IOR names another" >&2; exit 2; }
bps=${BPS:-$((20 << 20))}
inputs=(a-sqlite.strace.gz d-files.strace.gz e-fio.strace.gz)
case ${1:-} in
    '') ;;
    --short) inputs=(matrix.strace) ;;
    *) echo "fs-matrix.sh: unknown option $1" >&2; exit 2 ;;
esac

work=$(realpath "$(mktemp -d "${FS_DIR:-target}/fs-matrix.XXXXXX")")
loop='' cgroup=''
unmount() {
    if mountpoint -q "$work/mnt"; then umount "$work/mnt"; fi
    if [[ -n $loop ]]; then losetup --detach "$loop"; fi
    loop=''
}
clean() {
    [[ $BASHPID == $$ ]] || return 0 # a subshell that fails must leave this to the script
    unmount || true
    if [[ -n $cgroup ]]; then rmdir "$cgroup" || true; fi
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM

[[ $(id -u) == 0 ]] || { skip root "everything: loop devices and mounts need root"; exit 0; }
[[ -e /dev/loop-control ]] || { skip loop "everything: this kernel has no loop devices"; exit 0; }

# A cgroup that can limit a device: version 2 (io.max), else version 1 (blkio.throttle). The controller is in one of the two;
# version 2 alone limits what is written back later, for which it must know whose memory was dirty.
by=''
for root in /sys/fs/cgroup /sys/fs/cgroup/unified; do
    if grep -qsw io "$root/cgroup.controllers" && echo +io >"$root/cgroup.subtree_control"; then
        echo +memory >"$root/cgroup.subtree_control" || skip blkio "limits on what is written back later: no memory controller"
        cgroup=$root/ioriot-fs-matrix-$$ by='io.max (cgroup 2)'
        break
    fi
done
if [[ -z $cgroup && -e /sys/fs/cgroup/blkio/blkio.throttle.write_bps_device ]]; then
    cgroup=/sys/fs/cgroup/blkio/ioriot-fs-matrix-$$
    by='blkio.throttle (cgroup 1, which holds the io controller here): what is written back later is not limited'
fi
if [[ -n $cgroup ]] && ! mkdir "$cgroup"; then cgroup=''; fi
[[ -n $cgroup ]] || skip blkio "throttled runs: no cgroup here can limit a device (no io in cgroup.controllers, no blkio.throttle)"

limit() { # limit MAJOR:MINOR BYTES|max
    local number=$1 rate=$2
    if [[ -e $cgroup/io.max ]]; then
        echo "$number rbps=$rate wbps=$rate" >"$cgroup/io.max"
    else
        [[ $rate != max ]] || rate=0
        echo "$number $rate" >"$cgroup/blkio.throttle.read_bps_device"
        echo "$number $rate" >"$cgroup/blkio.throttle.write_bps_device"
    fi
}

written() { # bytes that the loop device has written since it was made
    awk '{ printf "%.0f", $7 * 512 }' "/sys/block/${loop#/dev/}/stat"
}

# Percentiles by family of calls, ns; nothing where a family has no call.
families="SELECT
    approx_percentile_cont(0.99) WITHIN GROUP (ORDER BY CASE WHEN def.op IN ('fsync', 'fdatasync') THEN dur END) AS sync,
    approx_percentile_cont(0.99) WITHIN GROUP (ORDER BY CASE WHEN moves = 'writes' THEN dur END) AS write,
    approx_percentile_cont(0.99) WITHIN GROUP (ORDER BY CASE WHEN moves = 'reads' THEN dur END) AS read,
    approx_percentile_cont(0.99) WITHIN GROUP (ORDER BY CASE WHEN def.op IN ('open', 'openat', 'openat2', 'creat') THEN dur END) AS open,
    max(begin + dur) - min(begin) AS wall,
    coalesce(sum(ret) FILTER (WHERE moves = 'writes' AND ret > 0), 0) AS bytes
FROM results JOIN syscall_def AS def ON def.syscall = results.syscall WHERE origin = 'event'"

measure() { # measure FS INPUT free|throttled: one line of the table
    local fs=$1 input=$2 how=$3 name before after
    name=${input%%.*}
    "$ior" init "$work/$name.work" --root "$work/mnt/$name" >/dev/null
    sync -f "$work/mnt"
    echo 3 >/proc/sys/vm/drop_caches
    before=$(written)
    # In the cgroup from its first instruction; the shell that enters it becomes the replay.
    bash -c '[[ $1 != throttled ]] || echo $$ >"$2/cgroup.procs"; shift 2; exec "$@"' replay "$how" "$cgroup" \
        "$ior" replay "$work/$name.work" --root "$work/mnt/$name" -o "$work/$name.run" --pace asap >"$work/$name.said" || {
        cat "$work/$name.said" >&2
        return 1
    }
    sync -f "$work/mnt"
    after=$(written)
    "$ior" query "$work/$name.run" "$families" --format csv | awk -F, -v OFS=' | ' -v fs="$fs" -v name="$name" \
        -v how="$how" -v device=$((after - before)) '
        function time(ns) {
            if (ns == "") return ""
            if (ns < 999.5) return sprintf("%.0f ns", ns)
            if (ns < 999500) return sprintf("%.3g µs", ns / 1e3)
            if (ns < 999500000) return sprintf("%.3g ms", ns / 1e6)
            return sprintf("%.2f s", ns / 1e9)
        }
        NR == 2 {
            print "| " name, fs, how, time($5), time($1), time($2), time($3), time($4), \
                sprintf("%.1f MiB", device / 1048576), ($6 > 0 ? sprintf(device < 100 * $6 ? "%.2f" : "%.0f", device / $6) : "") " |"
        }' >>"$work/table"
    rm -rf "$work/mnt/$name" "$work/$name.run"
}

for input in "${inputs[@]}"; do
    name=${input%%.*}
    "$ior" ingest "tests/data/$input" -o "$work/$name.capture" >/dev/null
    "$ior" generate "$work/$name.capture" -o "$work/$name.work" >/dev/null
done

mkdir "$work/mnt"
for fs in ext4 xfs btrfs; do
    command -v "mkfs.$fs" >/dev/null || { skip "$fs" "there is no mkfs.$fs"; continue; }
    rm -f "$work/image"
    truncate --size 2G "$work/image"
    # Past the page cache of the disk below, where that can be: it would hide what the file system does.
    loop=$(losetup --find --show --direct-io=on "$work/image" 2>/dev/null || losetup --find --show "$work/image") ||
        { skip "$fs" "no loop device is free"; continue; }
    # ext4 would write its tables of inodes later, in the background and into our figures.
    lazy=()
    [[ $fs != ext4 ]] || lazy=(-E lazy_itable_init=0,lazy_journal_init=0)
    "mkfs.$fs" -q "${lazy[@]}" "$loop" >/dev/null
    mount "$loop" "$work/mnt" 2>/dev/null || { skip "$fs" "this kernel cannot mount $fs"; unmount; continue; }
    for input in "${inputs[@]}"; do
        measure "$fs" "$input" free
        if [[ -n $cgroup ]]; then
            limit "$(cat "/sys/block/${loop#/dev/}/dev")" "$bps"
            measure "$fs" "$input" throttled
            limit "$(cat "/sys/block/${loop#/dev/}/dev")" max
        fi
    done
    unmount
done

[[ -s $work/table ]] || { skip loop "everything: no file system could be made"; exit 0; }
echo "Throttled: $((bps >> 20)) MiB/s each way${by:+ by $by}. p99 of each kind of call; the device's bytes are after a final sync."
echo
echo '| workload | on | device | run time | fsync | write | read | open | device wrote | per byte written |'
echo '|---|---|---|---|---|---|---|---|---|---|'
sort -s -t'|' -k2,2 "$work/table"
