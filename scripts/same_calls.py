#!/usr/bin/env python3
"""Did a replay issue what was captured, in that order?

    scripts/same_calls.py CAPTURE WORKLOAD REPLAY.strace

REPLAY.strace shows a replay by one worker (strace -f -y -s 4096). Its calls are held against the captured events, not
against what the replay says of itself: names, paths, numbers and outcomes, one by one. Between them the worker may only do
what serves itself or an inserted op. Prints every difference; exit 1 when there is one. IOR names the ioriot to use
(default target/release/ioriot).
"""

import csv
import io
import os
import subprocess
import sys
import tempfile
from collections import Counter

IOR = os.environ.get("IOR", "target/release/ioriot")
COLUMNS = "path path2 name count iovcnt offset offset2 whence flags mode uid gid cmd resolve atime mtime".split()
# Between two ops: turns, memory, the captured working directory and mask, and what goes when an op was no success.
SERVANTS = "futex munmap mmap madvise mprotect brk sched_yield chdir umask close".split()
# What stands for a call: docs/SYSCALLS.md; and how strace shows a call that it is too old for.
ALSO = {"sync": "syncfs", "creat": "open", "fchmodat2": "syscall_0x1c4", "madvise": "fadvise64"}
# 32-bit calls whose native equals return another number: only success and error are the same.
OTHERWISE = ("readdir", "_llseek")
# Record locks are those of the open file description, and are not waited for: F_OFD_GETLK, F_OFD_SETLK.
LOCKS = {cmd: "36" if cmd in (5, 12, 36) else "37" for cmd in (5, 6, 7, 12, 13, 14, 36, 37, 38)}
# Returned numbers that the kernel chooses anew.
F_GETFL = 3
CHOSEN = ("Fd", "NewFd", "Pid", "Addr", "Dirents")
# Calls that are a read or a write when one of their sides is no file: of the bytes that were moved, at the position of that side.
ONE_SIDED = ("splice", "sendfile", "sendfile64", "copy_file_range")
# Bits that the replay sets or takes away, so that nothing can block and nothing is mapped where it must not be; docs/SYSCALLS.md.
LEFT_OUT = {"open": 0o104000, "openat": 0o104000, "openat2": 0o104000, "mmap": 0x4112, "flock": 4}


def query(datasets, sql):
    done = subprocess.run([IOR, "query", *datasets, sql, "--format", "csv"], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{IOR} query failed: {sql}")
    return list(csv.DictReader(io.StringIO(done.stdout)))


def plain(row, column):
    """An argument as far as it is the same by intention."""
    value, bits = row[column], LEFT_OUT.get(row["syscall"])
    if column == "cmd" and value and row["syscall"].startswith("fcntl"):
        return LOCKS.get(int(value), value)
    return str(int(value) & ~bits) if bits and value and column in ("flags", "cmd") else value


def outcome(row):
    """What must come out again: the error, or the number that the kernel does not choose anew."""
    if row["errno"] != "0" or row["returns"] in CHOSEN:
        return row["errno"]
    if row["syscall"].startswith("fcntl") and row["cmd"] == str(F_GETFL):
        return str(int(row["ret"]) & ~LEFT_OUT["open"])
    return row["ret"]


def main(capture, workload, text):
    columns = ", ".join(f"e.{column}" for column in ["syscall", "ret", "errno", *COLUMNS])
    ours = query([capture, workload], f"""SELECT o.op, d.returns, {columns} FROM ops o JOIN events e ON e.seq = o.seq
        JOIN syscall_def d ON d.syscall = e.syscall WHERE o.origin = 'event' ORDER BY o.op_id""")
    with tempfile.TemporaryDirectory() as scratch:
        shown = os.path.join(scratch, "replay")
        done = subprocess.run([IOR, "ingest", text, "-o", shown], stdout=subprocess.DEVNULL)
        if done.returncode:
            sys.exit(f"{text} cannot be read")
        theirs = query([shown], f"""SELECT e.tid, d.returns, {columns} FROM events e LEFT JOIN syscall_def d ON d.syscall = e.syscall
            ORDER BY e.seq""")
    with open(text, errors="replace") as lines:
        named = [line.split()[0] for line in lines if 'prctl(PR_SET_NAME, "worker ' in line]
    if len(named) != 1:
        sys.exit(f"{text} shows {len(named)} workers instead of one")
    theirs = [row for row in theirs if row["tid"] == named[0]]

    inserted = query([workload], "SELECT op, count(*) AS count FROM ops WHERE origin <> 'event' GROUP BY op")
    inserted = Counter({row["op"]: int(row["count"]) for row in inserted})
    wrong, at, extra = [], 0, Counter()
    for number, op in enumerate(map(issued, ours)):
        seen = next((i for i in range(at, len(theirs)) if same(op, theirs[i])), None)
        if seen is None:
            here = [row["syscall"] for row in theirs[at : at + 3]]
            wrong.append(f"op {number} was not issued: {said(op)}; instead {here}")
            continue
        if number:  # before the first op the thread sets itself up
            extra.update(row["syscall"] for row in theirs[at:seen])
        at = seen + 1
    missing = len(wrong)
    wrong += [f"{count} calls of {name} that nobody asked for" for name, count in (extra - inserted).items() if name not in SERVANTS]
    for line in wrong:
        print(line)
    print(f"{len(ours) - missing} of {len(ours)} captured calls were issued, in that order")
    return bool(wrong)


def issued(row):
    """The captured call as it is to be issued."""
    if row["syscall"] not in ONE_SIDED or row["op"] not in ("read", "pread64", "write", "pwrite64"):
        return row
    side = "offset2" if "write" in row["op"] else "offset"
    count = row["count"] if row["ret"] == "0" else row["ret"]
    return {**row, "count": count, "offset": row[side], "offset2": "", "flags": ""}


def said(row):
    return " ".join([row["syscall"]] + [f"{column}={row[column]}" for column in COLUMNS if row[column]] + ["=", row["ret"], row["errno"]])


def same(op, row):
    """Is a call of the replay this captured one?"""
    if row["syscall"] not in (op["op"], ALSO.get(op["syscall"])):
        return False
    if (op["errno"] != row["errno"]) if op["syscall"] in OTHERWISE else (outcome(op) != outcome(row)):
        return False
    return all(plain(op, column) == plain(row, column) for column in COLUMNS if op[column] and row[column])


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
