#!/bin/bash
# Builds a program for systems with glibc 2.28 or newer (Debian 10, RHEL 8): packaging/manylinux.sh [CARGO-OPTION...]
#
# zig links it: it knows which symbols each glibc has. Needs it and what tells cargo of it:
#
#     pip install ziglang
#     cargo install --locked cargo-zigbuild
#
# GLIBC names another version. The program is checked for symbols that are newer.
set -euo pipefail
cd "$(dirname "$0")/.."

glibc=${GLIBC:-2.28}
target=x86_64-unknown-linux-gnu
command -v cargo-zigbuild >/dev/null || { echo 'cargo-zigbuild is missing: cargo install --locked cargo-zigbuild' >&2 && exit 2; }
zig=(zig)
command -v zig >/dev/null || zig=(python3 -m ziglang)
profile=release
(($#)) || set -- --release
[[ " $* " == *' --release '* ]] || profile=debug

stub=$PWD/target/packaging/gettid.o
mkdir -p "${stub%/*}"
"${zig[@]}" cc -target "x86_64-linux-gnu.$glibc" -O2 -c packaging/gettid.c -o "$stub"
cargo-zigbuild rustc --locked --bin ioriot --target "$target.$glibc" "$@" -- -C link-arg="$stub"

program=target/$target/$profile/ioriot
newest=$(objdump -T "$program" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1)
echo "$program needs $newest"
if [[ $(printf '%s\n' "GLIBC_$glibc" "$newest" | sort -V | tail -1) != "GLIBC_$glibc" ]]; then
    echo "that is newer than glibc $glibc:" >&2
    objdump -T "$program" | grep -F "$newest" >&2
    exit 1
fi
