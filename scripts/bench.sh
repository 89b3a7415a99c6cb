#!/bin/bash
# Prints what ioriot costs: CPU seconds of its verbs beside a calibration loop, then replay beside a C program that issues
# the same calls. Options of the first part: scripts/bench.py --help; of the second: scripts/bench_replay.py --help.
#
#     scripts/bench.sh [options of the first part] [-- options of the second part]
set -euo pipefail
cd "$(dirname "$0")/.."
verbs=()
while [[ $# -gt 0 && $1 != -- ]]; do verbs+=("$1"); shift; done
[[ $# -eq 0 ]] || shift
cargo build --release --quiet
# As the tests are built: it only writes the workloads, and shares their dependencies.
maker=$(cargo test --quiet --bench replay --no-run --message-format json |
    python3 -c 'import json, sys; print(*(row["executable"] for row in map(json.loads, sys.stdin) if row.get("executable") and row["target"]["name"] == "replay"))')
python3 scripts/bench.py "${verbs[@]}"
exec python3 scripts/bench_replay.py --maker "$maker" "$@"
