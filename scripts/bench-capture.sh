#!/bin/bash
# What a capture costs the captured and its own writer, in one run and as ratios: bare, eBPF, and what else is installed.
# Needs root, cc and python3. IOR is the program to use, by default the release build; TREE what tar reads, by default
# /usr/include; ROUNDS of each row, whose medians are told; WINDOWS of the database. CPU time is that of the captured
# thread alone.
#
#   null     two programs at sys_enter and sys_exit that do nothing: what every traced system pays for every call
#   floor    the same, and each reads the clock: no tracer that tells when a call began and ended gets below this
#   unasked  under capture, a call that is not asked for
#   outside  under capture, another process
#   nowaits  captured with --no-waits
#   nofaults captured with --no-faults
set -euo pipefail
cd "$(dirname "$0")/.."
ior=$(realpath "${IOR:-target/release/ioriot}")
[[ -x $ior ]] || { echo "bench-capture.sh: no $ior: cargo build --release makes it, IOR names another" >&2; exit 2; }
tree=${TREE:-/usr/include} rounds=${ROUNDS:-5} windows=${WINDOWS:-12}
work=$(mktemp -d "${TMPDIR:-/tmp}/bench-capture.XXXXXX")
background=()
trap 'kill "${background[@]}" 2> /dev/null || true; rm -rf "$work"' EXIT

# loop CALLS FILE [THREADS]: each thread reads FILE that often; the first tells the CPU nanoseconds of a call.
cat > "$work/loop.c" <<'C'
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
static long calls;
static int file;
static void *loop(void *tell)
{
	char buffer[4096];
	struct timespec from, to;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	for (long i = 0; i < calls; i++)
		if (pread(file, buffer, 4096, i % 16 * 4096) < 0)
			exit(1);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
	if (tell)
		fprintf(stderr, "%.0f\n", ((to.tv_sec - from.tv_sec) * 1e9 + to.tv_nsec - from.tv_nsec) / calls);
	return NULL;
}
int main(int count, char **args)
{
	pthread_t thread[64];
	int more = count > 3 ? atoi(args[3]) - 1 : 0;
	calls = atol(args[1]);
	file = open(args[2], O_RDONLY);
	for (int i = 0; i < more; i++)
		pthread_create(thread + i, NULL, loop, NULL);
	loop(args);
	for (int i = 0; i < more; i++)
		pthread_join(thread[i], NULL);
	return 0;
}
C
cc -O2 -pthread -o "$work/loop" "$work/loop.c"
head -c 65536 /dev/urandom > "$work/file"

# floor.py null|floor COMMAND: with a program at either end of every call.
cat > "$work/floor.py" <<'PY'
import ctypes, os, struct, subprocess, sys
libc, keep = ctypes.CDLL(None, use_errno=True), []
def at(data):
    keep.append(ctypes.create_string_buffer(data))
    return ctypes.addressof(keep[-1])
def bpf(command, attr):
    fd = libc.syscall(ctypes.c_long(321), ctypes.c_long(command), ctypes.c_void_p(at(attr)), ctypes.c_long(len(attr)))
    return fd if fd >= 0 else sys.exit(f"bpf: {os.strerror(ctypes.get_errno())}")
insn = lambda code, imm: struct.pack("<BBhi", code, 0, 0, imm)
clock = insn(0x85, 5) if sys.argv[1] == "floor" else b""        # call ktime_get_ns
code = clock + insn(0xb7, 0) + insn(0x95, 0)                    # r0 = 0; exit
for hook in (b"sys_enter\0", b"sys_exit\0"):
    program = bpf(5, struct.pack("<IIQQ", 17, len(code) // 8, at(code), at(b"GPL\0")).ljust(128, b"\0"))
    bpf(17, struct.pack("<QI", at(hook), program).ljust(128, b"\0"))
sys.exit(subprocess.call(sys.argv[2:]))
PY

# Inserts rows, each a transaction, until it is told to stop; then tells when each ended, how long it took, and how much of
# that the processor worked for it, in us.
cat > "$work/inserts.py" <<'PY'
import signal, sqlite3, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
db, took = sqlite3.connect(sys.argv[1], isolation_level=None), []
db.execute("PRAGMA synchronous = FULL")
db.execute("CREATE TABLE t (a, b)")
try:
    while True:
        begin, worked = time.monotonic(), time.process_time()
        db.execute("INSERT INTO t VALUES (1, 'x')")
        took.append((time.monotonic(), time.monotonic() - begin, time.process_time() - worked))
finally:
    with open(sys.argv[2], "w") as out:
        out.writelines(f"{at:.6f} {dur * 1e6:.1f} {cpu * 1e6:.1f}\n" for at, dur, cpu in took)
PY

# Windows come as bare, captured, bare. Told are the captured one against the mean of its neighbours, and the neighbours
# against each other: what a capture seems to cost, and how much as much of nothing does.
cat > "$work/windows.py" <<'PY'
import statistics, sys
took = [tuple(map(float, line.split())) for line in open(sys.argv[1])]
windows = [tuple(map(float, line.split()[1:])) for line in open(sys.argv[2])]
for what, column in ("time", 1), ("CPU", 2):
    of = [statistics.median(each[column] for each in took if begin < each[0] < end) for begin, end in windows]
    rounds = list(zip(of[0::3], of[1::3], of[2::3]))
    noise = sorted(after / before for before, _, after in rounds)
    cost = sorted(2 * captured / (before + after) for before, captured, after in rounds)
    bare = statistics.median(of[0::3] + of[2::3])
    for how, ratios in ("bare against bare", noise), ("capture against bare", cost):
        middle = statistics.median(ratios)
        print(f"{what + ', ' + how:<28} {bare * middle:>10.1f} {middle:>8.3f}   rounds {ratios[0]:.3f} to {ratios[-1]:.3f}")
    dearer, within = sum(ratio > 1 for ratio in cost), noise[0] <= statistics.median(cost) <= noise[-1]
    print(f"  {dearer} of {len(cost)} captured windows are dearer than their neighbours; the median is "
          f"{'within' if within else 'NOT within'} what bare windows differ by")
PY

median() { sort -n | awk '{ at[NR] = $1 } END { print at[int((NR + 1) / 2)] }'; }
row() { printf '%-28s %10s %8s %8s\n' "$1" "$2" "${3:-}" "${4:-}"; }
ratio() { awk "BEGIN { printf \"%.2f\", $1 / $2 }"; }
now() { awk '{ print $1 }' /proc/uptime; }

bare() { "$@"; }
capture() { rm -rf "$work/cap"; "$ior" capture -o "$work/cap" -- "$@"; }
null() { python3 "$work/floor.py" null "$@"; }
floor() { python3 "$work/floor.py" floor "$@"; }
unasked() { rm -rf "$work/cap"; "$ior" capture -o "$work/cap" --syscalls @proc -- "$@"; }
outside() {
	rm -rf "$work/cap"
	"$ior" capture -o "$work/cap" -- sleep 100 > /dev/null 2>&1 &
	local capture=$!
	sleep 1
	"$@"
	kill "$capture"
	wait "$capture" || true
}
nowaits() { rm -rf "$work/cap"; "$ior" capture -o "$work/cap" --no-waits -- "$@"; }
nofaults() { rm -rf "$work/cap"; "$ior" capture -o "$work/cap" --no-faults -- "$@"; }
traced() { rm -rf "$work/cap"; "$ior" capture -o "$work/cap" --backend ptrace -- "$@"; }
straced() { strace -f -o /dev/null "$@"; }
perfed() { perf record -q -e raw_syscalls:sys_enter,raw_syscalls:sys_exit -o "$work/perf" "$@"; }
perf_traced() { perf trace -o /dev/null "$@"; }

# Prints nanoseconds of CPU per call.
loop() { "$@" "$work/loop" "$calls" "$work/file" 2>&1 > "$work/said" | grep -E '^[0-9]+$' | tail -1; }
# CPU milliseconds of tar itself, whatever runs it: of ten runs, since the clock of user and system time is coarse.
tar_to() { # tar_to ARCHIVE HOW
	local archive=$1
	shift
	"$@" bash -c 'TIMEFORMAT="%U %S"; time for i in {1..10}; do tar cf '"$archive $tree"' 2> /dev/null; done' 2>&1 > "$work/said" |
		grep -E '^[0-9.]+ [0-9.]+$' | tail -1 | awk '{ print int(($1 + $2) * 1000) }'
}
tar_files() { tar_to "$work/archive" "$@"; }
# GNU tar opens no file when its archive is /dev/null: what is left are the dearest calls to capture, a stat by name each.
tar_names() { tar_to /dev/null "$@"; }
# rows TITLE UNIT MEASURE HOW...: interleaved rounds, and the medians as ratios to those of bare and of the floor.
rows() {
	local measure=$3 how round base= least=
	row "$1" "$2" bare floor
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
		[[ $how != floor ]] || least=$middle
		row "$how" "$middle" "$(ratio "$middle" "$base")" "${least:+$(ratio "$middle" "$least")}"
	done
	cat "$work/last"
}

kinds=(bare null floor unasked outside capture)
[[ -z $(command -v perf) ]] || kinds+=(perfed perf_traced)
[[ -z $(command -v strace) ]] || kinds+=(straced)
rows 'cached 4 KiB pread' ns/call loop "${kinds[@]}" traced
rows "10 x tar of $tree" 'CPU ms' tar_files bare floor capture
rows '10 x the same, names alone' 'CPU ms' tar_names bare floor capture

# What it costs to tell waits: of a job of many processes, and of two threads that do nothing but wake each other.
cat > "$work/turns.c" <<'C'
#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>
static int turn;
static void *take(void *mine)
{
	int me = mine != NULL;
	for (int i = 0; i < 100000; i++) {
		while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != me)
			syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, 1 - me, NULL, NULL, 0);
		__atomic_store_n(&turn, 1 - me, __ATOMIC_RELEASE);
		syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
	return NULL;
}
int main(void)
{
	pthread_t other;
	pthread_create(&other, NULL, take, &turn);
	take(NULL);
	pthread_join(other, NULL);
}
C
cc -O2 -pthread -o "$work/turns" "$work/turns.c"
mkdir "$work/job"
for i in {1..40}; do
	printf '#include <stdio.h>\n#include <stdlib.h>\nint f%s(char *b) { return sprintf(b, "%%d", rand()); }\n' "$i" > "$work/job/$i.c"
done
printf 'all: %s\n%%.o: %%.c\n\tcc -O1 -c -o $@ $<\n' "$(printf '%s.o ' {1..40})" > "$work/job/Makefile"
spent() { # spent HOW COMMAND: CPU ms of the command and all it starts, whatever runs it
	"$1" bash -c 'TIMEFORMAT="%U %S"; time '"$2" 2>&1 > "$work/said" | grep -oE '[0-9.]+ [0-9.]+$' | tail -1 |
		awk '{ print int(($1 + $2) * 1000) }'
}
make_job() { spent "$1" "make -s -B -j2 -C $work/job"; }
take_turns() { spent "$1" "$work/turns"; }
for measure in make_job take_turns; do
	rows "$measure" 'CPU ms' "$measure" bare nowaits capture
	row 'capture against nowaits' '' "$(ratio "$(median < "$work/$measure.capture")" "$(median < "$work/$measure.nowaits")")"
done

# What it costs to tell page faults on mapped files, and what comes into the page cache: where nearly all faults are on memory of no file, where files are mapped that are
# in memory, and in programs that map hardly any.
cat > "$work/touch.c" <<'C'
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
/* touch ROUNDS [FILE]: reads a byte of each of 16384 pages, of the file or of none, mapped anew in each round */
int main(int count, char **args)
{
	int file = count > 2 ? open(args[2], O_RDONLY) : -1;
	volatile char seen;
	for (int round = atoi(args[1]); round; round--) {
		char *at = mmap(NULL, 64 << 20, file < 0 ? PROT_READ | PROT_WRITE : PROT_READ, file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, file, 0);
		if (at == MAP_FAILED || (count > 2 && file < 0))
			return 1;
		for (long page = 0; page < 16384; page++)
			if (file < 0)
				at[page << 12] = 1;
			else
				seen = at[page << 12];
		munmap(at, 64 << 20);
	}
	(void)seen;
}
C
cc -O2 -o "$work/touch" "$work/touch.c"
head -c 67108864 /dev/zero > "$work/mapped"
touch_memory() { spent "$1" "$work/touch 40"; }
touch_file() { spent "$1" "$work/touch 200 $work/mapped"; }
# Files that are not in memory: the pages that come in are told one folio at a time.
evict() {
	python3 - "$@" <<- 'PY'
	import os, sys
	for top in sys.argv[1:]:
	    paths = [top] if os.path.isfile(top) else [os.path.join(at, name) for at, _, names in os.walk(top) for name in names]
	    for path in filter(os.path.isfile, paths):
	        file = os.open(path, os.O_RDONLY)
	        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
	        os.close(file)
	PY
}
sync -f "$work"
read_cold() { evict "$work/mapped"; spent "$1" "cat $work/mapped > /dev/null"; }
tar_cold() { evict "$tree"; spent "$1" "tar cf - -C / ${tree#/} | cat > /dev/null"; }
for measure in make_job tar_files touch_memory touch_file read_cold tar_cold; do
	rm -f "$work/$measure".*
	rows "$measure" 'CPU ms' "$measure" bare nofaults capture
	row 'capture against nofaults' '' "$(ratio "$(median < "$work/$measure.capture")" "$(median < "$work/$measure.nofaults")")"
done

# Threads that do nothing but calls share the processors with the writer: how many events a second, and how many lost?
row 'flat out, default buffer' 'events/s' lost
for threads in 1 2 4 8; do
	for ((round = 0; round < rounds; round++)); do
		rm -rf "$work/cap"
		"$ior" capture -o "$work/cap" --on-drop report --format json -- \
			"$work/loop" $((2000000 / threads)) "$work/file" "$threads" > "$work/said" 2> /dev/null
		python3 -c 'import json, sys; c = json.load(sys.stdin); print(int(c["events"] / c["seconds"]), c["sum"]["lost"])' \
			< "$work/said" >> "$work/flat.$threads"
	done
	row "$threads threads" "$(median < "$work/flat.$threads")" "$(awk '{ lost += $2 } END { print lost }' "$work/flat.$threads")"
done

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

# A server is captured in windows; its transactions in them are held against those before and after.
python3 "$work/inserts.py" "$work/db" "$work/took" &
server=$!
background+=("$server")
window() { # window NAME: two seconds
	local begin
	begin=$(now)
	sleep 2
	echo "$1 $begin $(now)" >> "$work/windows"
}
sleep 1
for ((round = 0; round < windows; round++)); do
	window bare
	rm -rf "$work/cap"
	"$ior" capture -o "$work/cap" --pid "$server" --duration 3s > "$work/said" 2>&1 &
	# It attaches within a second.
	sleep 1
	window capture
	wait $!
	sleep 1
	window bare
done
kill "$server"
wait "$server" || true
row 'sqlite, fsynced inserts' us ratio
python3 "$work/windows.py" "$work/took" "$work/windows"
grep -E 'issued|per event' "$work/said"
