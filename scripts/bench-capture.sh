#!/bin/bash
# What a capture costs the captured and its own writer, in one run and as ratios: bare, eBPF, and what else is installed.
# Needs root and python3. IOR is the program to use, by default the release build; TREE what tar reads, by default
# /usr/include; ROUNDS of each row, whose medians are told. CPU time is that of the captured thread alone.
set -euo pipefail
cd "$(dirname "$0")/.."
ior=$(realpath "${IOR:-target/release/ioriot}")
[[ -x $ior ]] || { echo "bench-capture.sh: no $ior: cargo build --release makes it, IOR names another" >&2; exit 2; }
tree=${TREE:-/usr/include} rounds=${ROUNDS:-5}
work=$(mktemp -d "${TMPDIR:-/tmp}/bench-capture.XXXXXX")
background=()
trap 'kill "${background[@]}" 2> /dev/null; rm -rf "$work"' EXIT

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

# Inserts rows, each a transaction, until it is told to stop; then tells when each ended and how long it took, in us.
cat > "$work/inserts.py" <<'PY'
import signal, sqlite3, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
db, took = sqlite3.connect(sys.argv[1], isolation_level=None), []
db.execute("PRAGMA synchronous = FULL")
db.execute("CREATE TABLE t (a, b)")
try:
    while True:
        begin = time.monotonic()
        db.execute("INSERT INTO t VALUES (1, 'x')")
        took.append((time.monotonic(), time.monotonic() - begin))
finally:
    with open(sys.argv[2], "w") as out:
        out.writelines(f"{at:.6f} {dur * 1e6:.1f}\n" for at, dur in took)
PY

# Medians of the transactions inside the captured windows and outside of them, and how much the windows differ anyway.
cat > "$work/windows.py" <<'PY'
import statistics, sys
took = [tuple(map(float, line.split())) for line in open(sys.argv[1])]
medians = {"bare": [], "capture": []}
for line in open(sys.argv[2]):
    how, begin, end = line.split()
    inside = [dur for at, dur in took if float(begin) < at < float(end)]
    if inside:
        medians[how].append(statistics.median(inside))
middle = {how: statistics.median(windows) for how, windows in medians.items()}
for how, windows in medians.items():
    print(f"{how:<28} {middle[how]:>10.1f} {middle[how] / middle['bare']:>8.2f}   windows {min(windows):.1f} to {max(windows):.1f}")
PY

median() { sort -n | awk '{ at[NR] = $1 } END { print at[int((NR + 1) / 2)] }'; }
row() { printf '%-28s %10s %8s\n' "$@"; }
ratio() { awk "BEGIN { printf \"%.2f\", $1 / $2 }"; }
now() { awk '{ print $1 }' /proc/uptime; }

bare() { "$@"; }
capture() { rm -rf "$work/cap"; "$ior" capture -o "$work/cap" -- "$@"; }
# The tracepoints alone: a call that is not captured costs this, and every tracer by tracepoints at least this.
uncaptured() { rm -rf "$work/cap"; "$ior" capture -o "$work/cap" --syscalls @proc -- "$@"; }
traced() { rm -rf "$work/cap"; "$ior" capture -o "$work/cap" --backend ptrace -- "$@"; }
straced() { strace -f -o /dev/null "$@"; }
perfed() { perf record -q -e raw_syscalls:sys_enter,raw_syscalls:sys_exit -o "$work/perf" "$@"; }
perf_traced() { perf trace -o /dev/null "$@"; }

# Prints nanoseconds of CPU per call.
loop() { "$@" "$work/loop" "$calls" "$work/file" 2>&1 > "$work/said" | grep -E '^[0-9]+$' | tail -1; }
# CPU milliseconds of tar itself, whatever runs it: of ten runs, since the clock of user and system time is coarse.
tar_ms() {
	"$@" bash -c 'TIMEFORMAT="%U %S"; time for i in {1..10}; do tar cf /dev/null '"$tree"' 2> /dev/null; done' 2>&1 > "$work/said" |
		tail -1 | awk '{ print int(($1 + $2) * 1000) }'
}
# rows TITLE UNIT MEASURE HOW...: interleaved rounds, and the medians as ratios to the first.
rows() {
	local measure=$3 how round base=
	row "$1" "$2" ratio
	shift 3
	for ((round = 0; round < rounds; round++)); do
		for how; do
			case $how in straced | perf_traced) calls=20000 ;; perfed) calls=200000 ;; traced) calls=10000 ;; *) calls=500000 ;; esac
			$measure "$how" >> "$work/$measure.$how"
			[[ $how != capture ]] || grep -E 'issued|per event' "$work/said" > "$work/last"
		done
	done
	for how; do
		local middle
		middle=$(median < "$work/$measure.$how")
		base=${base:-$middle}
		row "$how" "$middle" "$(ratio "$middle" "$base")"
	done
	cat "$work/last"
}

kinds=(bare uncaptured capture)
[[ -z $(command -v perf) ]] || kinds+=(perfed perf_traced)
[[ -z $(command -v strace) ]] || kinds+=(straced)
rows 'cached 4 KiB pread' ns/call loop "${kinds[@]}" traced
rows "10 x tar of $tree" 'CPU ms' tar_ms bare capture

# What the writer costs: CPU time of captures of much and of little, so that start and end do not count.
"$work/loop" 1000000000 "$work/file" 2> /dev/null &
background+=($!)
TIMEFORMAT='%U %S'
writer() { # writer EVENTS: seconds of CPU
	rm -rf "$work/cap"
	{ time "$ior" capture -o "$work/cap" --on-drop report --pid "${background[0]}" --max-events "$1" > "$work/said" 2>&1; } 2>&1 |
		awk '{ print $1 + $2 }'
}
for ((round = 0; round < rounds; round++)); do
	little=$(writer 1000) much=$(writer 1001000)
	awk "BEGIN { print int(($much - $little) * 1000) }" >> "$work/writer"
done
row 'writer' 'ns/event' ''
row 'user and system CPU' "$(median < "$work/writer")" ''
grep -E 'issued|per event|events of' "$work/said"
kill "${background[0]}"

# A server is captured in windows; its transactions in them are held against those between them.
python3 "$work/inserts.py" "$work/db" "$work/took" &
server=$!
background+=("$server")
for ((round = 0; round < rounds; round++)); do
	begin=$(now)
	sleep 2
	echo "bare $begin $(now)" >> "$work/windows"
	rm -rf "$work/cap"
	"$ior" capture -o "$work/cap" --pid "$server" --duration 3s > "$work/said" 2>&1 &
	# It attaches within a second.
	sleep 1
	begin=$(now)
	sleep 2
	echo "capture $begin $(now)" >> "$work/windows"
	wait $!
	sleep 1
done
kill "$server"
wait "$server" || true
row 'sqlite, fsynced inserts' us ratio
python3 "$work/windows.py" "$work/took" "$work/windows"
grep -E 'issued|per event' "$work/said"
