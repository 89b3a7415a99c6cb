#!/bin/bash
# Prints what ioriot costs, as CPU seconds beside a calibration loop. Options: see scripts/bench.py --help.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --quiet
exec python3 scripts/bench.py "$@"
