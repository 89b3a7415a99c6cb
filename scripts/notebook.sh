#!/usr/bin/env bash
# Executes a notebook on a run and checks that no cell failed.
#
#   scripts/notebook.sh RUN [OUT.html]
#
# Needs python3 with nbconvert, ipykernel, matplotlib, duckdb and pyarrow; PYTHON names another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
run=$(realpath "${1:?usage: scripts/notebook.sh RUN [OUT.html]}")
out=$(realpath -m "${2:-$run.html}")
[ -f "$run/results.parquet" ] || { echo "$run is no run: it has no results.parquet" >&2; exit 2; }

# A failing cell fails nbconvert, and with it this script.
IORIOT_RUN="$run" "${PYTHON:-python3}" -m nbconvert --to html --execute notebooks/run.ipynb \
    --output-dir "$(dirname "$out")" --output "$(basename "$out")" --ExecutePreprocessor.timeout=300
grep -q 'data:image/png' "$out" || grep -q 'image/png' "$out" || { echo "$out shows no plot" >&2; exit 1; }
echo "$out"
