#!/bin/bash
# What a capture costs the captured, in one run and as ratios: bare, eBPF, ptrace, and what else is installed.
# Needs root. IOR is the program to use, by default the release build; TREE what tar reads, by default /usr/include.
set -euo pipefail
cd "$(dirname "$0")/.."
ior=$(realpath "${IOR:-target/release/ioriot}")
[[ -x $ior ]] || { echo "bench-capture.sh: no $ior: cargo build --release makes it, IOR names another" >&2; exit 2; }
tree=${TREE:-/usr/include}
work=$(mktemp -d "${TMPDIR:-/tmp}/bench-capture.XXXXXX")
trap 'rm -rf "$work"' EXIT

cat > "$work/loop.c" <<'C'
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int main(int count, char **args)
{
	char buffer[4096];
	struct timespec from, to;
	long n = atol(args[1]);
	int fd = open(args[2], O_RDONLY);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	for (long i = 0; i < n; i++)
		if (pread(fd, buffer, 4096, i % 16 * 4096) < 0)
			return count;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
	fprintf(stderr, "%.0f\n", ((to.tv_sec - from.tv_sec) * 1e9 + to.tv_nsec - from.tv_nsec) / n);
	return 0;
}
C
cc -O2 -o "$work/loop" "$work/loop.c"
head -c 65536 /dev/urandom > "$work/file"

# Prints what the job says on standard error: nanoseconds of CPU per call.
loop() { "$@" "$work/loop" "$calls" "$work/file" 2>&1 > "$work/said" | tail -1; }
# CPU milliseconds of tar itself, whatever runs it.
TIMEFORMAT='%3U %3S'
tar_ms() { "$@" bash -c 'TIMEFORMAT="%3U %3S"; time tar cf /dev/null '"$tree"' 2> /dev/null' 2>&1 > "$work/said" | tail -1 | awk '{print int(($1 + $2) * 1000)}'; }
ebpf() { rm -rf "$work/cap"; "$ior" capture -o "$work/cap" "$@"; }
capture() { ebpf -- "$@"; }
traced() { rm -rf "$work/cap"; "$ior" capture -o "$work/cap" --backend ptrace -- "$@"; }
straced() { strace -f -o /dev/null "$@"; }
perfed() { perf record -q -e raw_syscalls:sys_enter,raw_syscalls:sys_exit -o "$work/perf" "$@"; }
bare() { "$@"; }

printf '%-28s %10s %8s\n' "cached 4 KiB pread" "ns/call" "ratio"
for round in 1 2 3; do
	for how in bare capture perfed straced traced; do
		case $how in
			straced) command -v strace > /dev/null || continue; calls=50000 ;;
			perfed) command -v perf > /dev/null || continue; calls=200000 ;;
			traced) calls=20000 ;;
			*) calls=1000000 ;;
		esac
		ns=$(loop $how)
		[[ $how = bare ]] && base=$ns
		printf '%-28s %10s %8s\n' "$how" "$ns" "$(awk "BEGIN { printf \"%.2f\", $ns / $base }")"
		[[ $how = capture ]] && grep -E 'issued|per event' "$work/said"
	done
done
printf '%-28s %10s %8s\n' "tar of $tree" "CPU ms" "ratio"
for round in 1 2 3; do
	for how in bare capture; do
		ms=$(tar_ms $how)
		[[ $how = bare ]] && base=$ms
		printf '%-28s %10s %8s\n' "$how" "$ms" "$(awk "BEGIN { printf \"%.2f\", $ms / $base }")"
		[[ $how = capture ]] && grep -E 'issued|per event' "$work/said"
	done
done
if command -v sqlite3 > /dev/null; then
	printf '%-28s %10s\n' "sqlite, 300 fsynced inserts" "wall s"
	for how in bare capture bare capture; do
		rm -f "$work/db"
		began=$(date +%s.%N)
		for i in {1..300}; do echo "INSERT INTO t VALUES ($i, 'x');"; done |
			$how sqlite3 -cmd 'CREATE TABLE t (a, b)' "$work/db" > "$work/said"
		printf '%-28s %10s\n' "$how" "$(awk "BEGIN { printf \"%.2f\", $(date +%s.%N) - $began }")"
		[[ $how = capture ]] && grep -E 'issued|per event' "$work/said"
	done
fi
