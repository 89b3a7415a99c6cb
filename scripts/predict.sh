#!/bin/bash
# Does a replay predict how long an application takes on another device? Captures applications on a model device, replays them on
# others, runs them there too, and prints one table (Markdown): T_app, T_replay, the error of each pair and of each class.
#
#   scripts/predict.sh [--short] [OPTION...]      options: scripts/predict.py --help
#
# Needs root, FUSE and loop devices, a C compiler and libfuse3-dev; what applications need that is not there is left out, loudly.
# IOR is the program to use, by default the release build; PREDICT_DIR where to work, by default target/predict: results stay there,
# and pairs whose inputs are the same are not measured again. --short: two applications on one target, under two minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/skip.sh
export LC_ALL=C
IOR=$(realpath "${IOR:-target/release/ioriot}")
export IOR
[[ -x $IOR ]] || { echo "predict.sh: no $IOR: cargo build --release makes it, IOR names another" >&2; exit 2; }
[[ $(id -u) == 0 ]] || { skip root "predictions: loop devices and mounts need root"; exit 0; }
[[ -e /dev/loop-control ]] || { skip loop "predictions: this kernel has no loop devices"; exit 0; }
[[ -e /dev/fuse ]] || { skip fuse "predictions: this kernel has no FUSE"; exit 0; }
pkg-config --exists fuse3 || { skip libfuse3-dev "predictions: the model device needs it to be built"; exit 0; }
"$IOR" capture --check >/dev/null || { skip ebpf "predictions: no live capture by eBPF here"; exit 0; }

work=$(realpath -m "${PREDICT_DIR:-target/predict}")
mkdir -p "$work"
# Commands of applications are words of a shell and captured paths must stay what they are, so the work is done at a plain place,
# which is the directory above in a mount namespace of its own.
place=/mnt/ioriot-predict
mkdir -p "$place"
exec 9<"$place"
flock -n 9 || { echo "predict.sh: another one is at work" >&2; exit 2; }
cc -O2 -Wall -o "$work/model_device" scripts/model_device.c $(pkg-config --cflags --libs fuse3) -lpthread
cc -O2 -Wall -o "$work/predict_apps" scripts/predict_apps.c -lpthread
# No other process keeps mounts of that namespace, and they go with it; so does the model device. A loop device does not.
clean() {
    local loop
    for loop in $(losetup --list --noheadings --output NAME,BACK-FILE | awk -v file="$place/device/disk" '$2 == file { print $1 }'); do
        losetup --detach "$loop" || true
    done
    rmdir "$place" || true
}
trap clean EXIT
trap 'exit 130' INT TERM
unshare --mount --propagation private -- bash -c 'mount --bind "$1" "$2" && exec nice -n -15 python3 scripts/predict.py --work "$2" "${@:3}"' \
    predict "$work" "$place" "$@" 9>&-
