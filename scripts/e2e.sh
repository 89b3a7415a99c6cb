#!/bin/bash
# The syscall matrix, live and end to end: started paused, captured while it runs, replayed under strace by one worker, which
# must have issued what was captured, in that order; then by many. Both times every outcome must be the same, and the tree
# the one that the program left.
#
#     scripts/e2e.sh [ebpf|ptrace|strace]
#
# What captures is by default ebpf for root, else ptrace; strace is a text capture of the same. IOR is the program to use, by
# default the release build; E2E_DIR where to work, on a stored file system: by default beside the sources for root, else
# /var/tmp. KEEP=1 leaves everything there.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/skip.sh
scripts=$PWD/scripts
export IOR
IOR=$(realpath "${IOR:-target/release/ioriot}")
[[ -x $IOR ]] || { echo "e2e.sh: no $IOR: cargo build --release makes it, IOR names another" >&2; exit 2; }
if ((EUID)); then how=${1:-ptrace} where=/var/tmp; else how=${1:-ebpf} where=$PWD/target; fi
case $how in
    ebpf) "$IOR" capture --check > /dev/null || { skip ebpf 'no live capture by eBPF here'; exit 0; } ;;
    ptrace | strace) ;;
    *) echo "e2e.sh: $how captures nothing: choose ebpf, ptrace or strace" >&2; exit 2 ;;
esac

if ((EUID)) && ! unshare --user --map-root-user true 2> /dev/null; then
    skip user-namespaces 'users may not make user namespaces here, so there is no sandbox to replay in'
    exit 0
fi

work=$(realpath "$(mktemp -d "${E2E_DIR:-$where}/e2e.XXXXXX")")
helper=
finish() {
    [[ $helper ]] && kill "$helper" 2> /dev/null
    if [[ ${KEEP-} ]]; then echo "left in $work" >&2; else rm -rf "$work"; fi
}
trap finish EXIT

# within SECONDS COMMAND...: waits until the command succeeds.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || { echo "e2e.sh: waited in vain for: $*" >&2; exit 1; }
        sleep 0.05
    done
}
traced() { grep -q '^TracerPid:[[:space:]]*[1-9]' "/proc/$1/status"; }

capture() { # capture DIR PID: begins to
    case $how in
        strace) strace -q -f -ttt -T -y -yy -s 4096 -o "$1/matrix.strace" -p "$2" & ;;
        *) "$IOR" capture --backend "$how" -o "$1/capture" --pid "$2" --format json > "$1/capture.json" & ;;
    esac
    tracer=$!
    case $how in
        ebpf) within 20 test -d "$1/.capture.unfinished" ;;
        *) within 20 traced "$2" ;;
    esac
}

replay() { # replay NAME OPTIONS...: into run-NAME, and in a fresh tree
    local name=$1 under=()
    shift
    [[ $name = one ]] && under=(strace -q -f -y -yy -s 4096 -o "$dir/one.strace")
    "$IOR" init "$dir/workload" --root "$dir/root" "${reset[@]}" --format json > "$dir/init.json"
    reset=(--reset)
    "${under[@]}" "$IOR" replay "$dir/workload" --root "$dir/root" -o "$dir/run-$name" --pace asap --min-match 100 --format json "$@" > "$dir/replay.json"
    echo "$program, $how, $name: $(python3 "$scripts/same_tree.py" "$dir/left" "$dir/root/tree$dir/left")"
}

end_to_end() { # end_to_end PROGRAM
    program=$1 dir=$work/$1 reset=()
    mkdir -p "$dir"
    "$work/$program.bin" "$dir/pid" "$dir/go" "$dir/left" "$(id -un)" &
    helper=$!
    within 20 test -s "$dir/pid"
    capture "$dir" "$(< "$dir/pid")"
    touch "$dir/go"
    wait "$helper" || { echo "e2e.sh: $program found other results than it should: see above" >&2; exit 1; }
    helper=
    wait "$tracer" || if grep -q '"compat32"' "$dir/capture.json"; then
        skip 32-bit "$program, for $how counts 32-bit calls and does not decode them"
        return
    else
        echo "e2e.sh: the capture of $program by $how failed or is not whole" >&2
        exit 1
    fi
    [[ $how = strace ]] && "$IOR" ingest "$dir/matrix.strace" -o "$dir/capture" --strict --format json > "$dir/ingest.json"
    "$IOR" generate "$dir/capture" -o "$dir/workload" --format json > "$dir/generate.json"
    replay one --processes 1 --threads 1
    python3 "$scripts/same_calls.py" "$dir/capture" "$dir/workload" "$dir/one.strace"
    replay many --processes 2 --threads 4
    replay strict --order strict --threads 4
}

cc -Wall -Wextra -O2 scripts/syscall_matrix.c -o "$work/matrix.bin"
end_to_end matrix
if cc -m32 -static -idirafter /usr/include/x86_64-linux-gnu -Wall -Wextra -O2 scripts/syscall_compat32.c -o "$work/compat32.bin" 2> "$work/said"; then
    end_to_end compat32
else
    skip 32-bit 'the 32-bit matrix, for 32-bit programs cannot be made here'
fi
