#!/bin/bash
# Captures the syscall matrix under strace and replays it: every outcome must be the same, and the end state too.
# Options are those of `ioriot run`. IOR is the program to use, by default the release build.
set -euo pipefail
cd "$(dirname "$0")/.."
ior=${IOR:-target/release/ioriot}
[[ -x $ior ]] || { echo "matrix.sh: no $ior: cargo build --release makes it, IOR names another" >&2; exit 2; }

# Beside the sources and not in /tmp, which may be a memory file system, whose calls are not replayed.
work=$(mktemp -d "${MATRIX_DIR:-target}/matrix.XXXXXX")
trap 'rm -rf "$work"' EXIT
work=$(realpath "$work")
cc -Wall -Wextra -O2 scripts/syscall_matrix.c -o "$work/matrix"
strace -f -ttt -T -y -yy -o "$work/matrix.strace" "$work/matrix" "$work/base"
"$ior" run "$work/matrix.strace" -o "$work/out" --min-match 100 "$@"
