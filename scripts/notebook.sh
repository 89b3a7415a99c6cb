#!/usr/bin/env bash
# Makes small datasets, executes the notebooks on them, and checks that no cell failed and that each shows a plot.
#
#   scripts/notebook.sh [capture|run|filesystems|what-if|fleet]...
#
# Without a name all of them. What they show goes to target/notebooks/NAME.html. IOR is the program to use, by default the
# release build. Needs python3 with nbconvert, ipykernel, matplotlib and pyarrow; PYTHON names another interpreter.
# filesystems needs root and loop devices.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/skip.sh
IORIOT=$(realpath "${IOR:-target/release/ioriot}")
[[ -x $IORIOT ]] || { echo "notebook.sh: no $IORIOT: cargo build --release makes it, IOR names another" >&2; exit 2; }
export IORIOT PYTHONPATH=$PWD/python/src PYTHONDONTWRITEBYTECODE=1

mkdir -p target
work=$(realpath "$(mktemp -d target/notebook.XXXXXX)")
clean() {
    ! mountpoint -q "$work/mnt" || umount "$work/mnt"
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM

ingest() { # ingest INPUT: a capture of its name
    [[ -d $work/$1 ]] || "$IORIOT" ingest "tests/data/$1.strace.gz" -o "$work/$1" >/dev/null
}

# Groups of runs on each file system that can be made here, in `groups`.
replays() {
    local fs
    groups=()
    [[ $(id -u) == 0 ]] || { skip root "$name: loop devices and mounts need root"; return 0; }
    [[ -e /dev/loop-control ]] || { skip loop "$name: this kernel has no loop devices"; return 0; }
    "$IORIOT" generate "$work/e-fio" -o "$work/work" >/dev/null
    mkdir "$work/mnt"
    for fs in ext4 xfs btrfs; do
        command -v "mkfs.$fs" >/dev/null || { skip "$fs" "there is no mkfs.$fs"; continue; }
        rm -f "$work/image"
        truncate --size 1G "$work/image"
        "mkfs.$fs" -q "$work/image" >/dev/null
        mount -o loop "$work/image" "$work/mnt" 2>/dev/null || { skip "$fs" "this kernel cannot mount $fs"; continue; }
        "$IORIOT" init "$work/work" --root "$work/mnt/root" >/dev/null
        "$IORIOT" replay "$work/work" --root "$work/mnt/root" -o "$work/$fs" --repeat 5 >/dev/null
        umount "$work/mnt"
        groups+=("$work/$fs")
    done
}

execute() { # execute VARIABLE=VALUE: the notebook `name`; a failing cell fails nbconvert, and with it this script
    env TMPDIR="$work" "$1" "${PYTHON:-python3}" -m nbconvert --log-level WARN --to html --execute "notebooks/$name.ipynb" \
        --output-dir "$PWD/target/notebooks" --ExecutePreprocessor.timeout=300
    grep -q image/png "target/notebooks/$name.html" || { echo "target/notebooks/$name.html shows no plot" >&2; exit 1; }
    echo "target/notebooks/$name.html"
}

(($#)) || set -- capture run filesystems what-if fleet
ingest e-fio
for name; do
    case $name in
    capture | what-if) execute "IORIOT_CAPTURE=$work/e-fio" ;;
    run)
        "$IORIOT" run tests/data/e-fio.strace.gz -o "$work/fio" >/dev/null
        execute "IORIOT_RUN=$work/fio/run"
        ;;
    filesystems)
        replays
        ((${#groups[@]} > 1)) || { skip loop "$name: fewer than two file systems can be made"; continue; }
        execute "IORIOT_RUNS=$(IFS=: && echo "${groups[*]}")"
        ;;
    fleet)
        ingest a-sqlite
        ingest d-files
        execute "IORIOT_CAPTURES=$work/a-sqlite:$work/d-files:$work/e-fio"
        ;;
    *) sed -n 2,9p "$0" >&2 && exit 2 ;;
    esac
done
