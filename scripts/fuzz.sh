#!/bin/bash
# Fuzzes what reads input from elsewhere (fuzz/, libFuzzer): each TARGET for SECONDS, by default all of them.
#
#     scripts/fuzz.sh SECONDS [TARGET...]
#
# Built by the toolchain of the project: without a sanitizer nothing of nightly is needed, and what safe code could do wrong
# is a panic, an overflow, a hang or too much memory. The first inputs are made of
# tests/data. What was found to be interesting is kept in target/fuzz/corpus, what fails in target/fuzz/found.
set -euo pipefail
cd "$(dirname "$0")/.."
(($# > 0)) || { sed -n 2,8p "$0" >&2; exit 2; }
seconds=$1
shift
if (($# == 0)); then
    for file in fuzz/fuzz_targets/*.rs; do
        file=${file##*/}
        set -- "$@" "${file%.rs}"
    done
fi

place=$PWD/target/fuzz
RUSTC_WRAPPER=$PWD/fuzz/rustc.sh cargo build --locked --quiet --manifest-path fuzz/Cargo.toml --target-dir "$place"

pieces() { # pieces NAME: the first lines of a file of tests/data, some in each piece; the very first in all
    local out=$place/corpus/$1 file=$2 name
    name=$(basename "$file")
    zcat -f "$file" | sed '20001q' | {
        IFS= read -r first
        split -l 40 -a 4 --additional-suffix="-$name" --filter="{ printf '%s\n' \"\$first\"; cat; } >\"\$FILE\"" - "$out/seed-"
    } || true
}
export first=
for target; do mkdir -p "$place/corpus/$target" "$place/found"; done
for file in tests/data/*.strace* tests/data/*.capture*; do
    for target; do
        case $target:$file in
            strace:*.strace* | capture:*.capture* | ingest:*) pieces "$target" "$file" ;;
        esac
    done
done
for target; do
    out=$place/corpus/$target
    case $target in
        manifest)
            cp /proc/self/mountinfo "$out/seed-mounts"
            printf '{"format": 1, "kind": "workload", "ofds": 3, "ops": 7, "lanes": 2, "mounts": [{"path": "/", "fs": "ext4"}]}' >"$out/seed-workload"
            printf '{"state": "fresh", "fingerprint": "1", "workload": "w", "ioriot": "0", "data": "zero", "maps": [], "made": [1]}' >"$out/seed-stamp"
            ;;
        typed) seeds=0 && for word in 64K 1.5GiB 90s 500ms 99.5% 2x nofile=65536 size=unlimited /var/db=/mnt '/data/*.[a-z]?'; do
            printf '%s' "$word" >"$out/seed-$((++seeds))"
        done ;;
    esac
done

fuzz() { # fuzz PLACE SECONDS TARGET
    local log=$1/$3.log
    if "$1/debug/$3" "$1/corpus/$3" -max_total_time="$2" -timeout=20 -rss_limit_mb=2048 -max_len=16384 \
        -artifact_prefix="$1/found/$3-" -print_final_stats=1 >"$log" 2>&1; then
        echo "$3: $(sed -n 's/^stat::number_of_executed_units: */inputs: /p' "$log"), $(grep -o 'cov: [0-9]*' "$log" | tail -n 1)"
    else
        tail -n 60 "$log"
        echo "fuzz.sh: $3 failed: see above, and $1/found"
        return 1
    fi
}
export -f fuzz
printf '%s\n' "$@" | xargs -P "$(nproc)" -I TARGET bash -c 'fuzz "$@"' fuzz "$place" "$seconds" TARGET
