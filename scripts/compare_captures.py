#!/usr/bin/env python3
"""Compares two captures of the same job call by call: the first is believed (strace), the second is tested.

    scripts/compare_captures.py [-v] A.strace B

B is a text capture or a dataset of `ioriot capture`.

Threads are paired by the order of their births, the calls of a pair by their order. Prints every difference, and with
-v how often both captures say the same in a column, different things, or only one of them something. Exit 1 when calls are missing
or differ. IOR names the ioriot to use (default target/release/ioriot).
"""

import csv
import io
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict

IOR = os.environ.get("IOR", "target/release/ioriot")
COLUMNS = """errno ret fd fd2 dirfd dirfd2 path path2 name count iovcnt offset offset2 whence flags mode uid gid cmd resolve
    atime mtime st_size fd_path dir_path""".split()


def chance(name):
    """Has the name a part that is another in every run? Process ids, temporary files of sed, pipes and the like."""
    return name.startswith(("/proc/", "/dev/")) or os.path.basename(name).startswith("sed") or ":[" in name


# Times of the run itself, not of the job's own choice.
RECENT = 1_700_000_000 * 10**9
# What differs from run to run, or has no meaning for these calls.
LEFT_OUT = {
    "ret": lambda row: row["returns"] in ("Pid", "Addr", "Dirents"),
    "path": lambda row: chance(row["path"]),
    "path2": lambda row: row["path"].startswith("/proc/"),
    "fd_path": lambda row: chance(row["fd_path"]),
    # What the tracer had said to the same file before.
    "st_size": lambda row: row["fd"] in ("1", "2"),
    # When the job itself ran: what cp and tar preserve.
    "atime": lambda row: int(row["atime"] or 0) > RECENT,
    "mtime": lambda row: int(row["mtime"] or 0) > RECENT,
}
# strace calls a 32-bit call with 16-bit owners by its short name, and only such programs make the call on the right.
SHORT = {"chown": "chown16", "lchown": "lchown16", "fchown": "fchown16"}


def run(*args):
    done = subprocess.run([IOR, *args], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{IOR} {args[0]} failed: {done.stdout}")
    return done.stdout


def threads(name, scratch):
    """The calls of a capture by thread, threads in the order of their births."""
    dataset = name
    if not os.path.isdir(name):
        dataset = os.path.join(scratch, os.path.basename(name))
        run("ingest", name, "-o", dataset)
    sql = """SELECT e.*, d.returns FROM events e JOIN syscall_def d ON d.syscall = e.syscall
        WHERE e.syscall <> 'other' ORDER BY e.seq"""
    rows = list(csv.DictReader(io.StringIO(run("query", dataset, sql, "--format", "csv"))))
    if any(row["syscall"].endswith("32") or row["syscall"] == "_llseek" for row in rows):
        for row in rows:
            row["syscall"] = SHORT.get(row["syscall"], row["syscall"])
    calls, births = defaultdict(list), {}
    for row in rows:
        # It returns 0 and stores the position, which a live capture sees in the kernel's own books.
        if row["syscall"] == "_llseek" and row["ret"] == "0" and row["position"]:
            row["ret"] = row["position"]
        calls[row["tid"]].append(row)
        if row["returns"] == "Pid" and row["errno"] == "0":
            births.setdefault(row["ret"], len(births) + 1)
    return [calls[tid] for tid in sorted(calls, key=lambda tid: births.get(tid, 0))]


def compare(pair, tally, differences):
    a, b = pair
    for column in COLUMNS:
        if a[column] == b[column]:
            tally[column, "same" if a[column] else "absent"] += 1
        elif LEFT_OUT.get(column, lambda row: False)(a):
            tally[column, "left out"] += 1
        elif not b[column] or not a[column]:
            tally[column, "only A" if a[column] else "only B"] += 1
        else:
            tally[column, "different"] += 1
            differences.append(f"{a['syscall']} {column}: {a[column]} / {b[column]} (lines {a['line']}, {b['line']})")


def main(first, second, verbose):
    tally, differences = Counter(), []
    with tempfile.TemporaryDirectory() as scratch:
        a, b = threads(first, scratch), threads(second, scratch)
    if len(a) != len(b):
        differences.append(f"{len(a)} threads / {len(b)} threads")
    for one, other in zip(a, b):
        names = [[row["syscall"] for row in calls] for calls in (one, other)]
        if names[0] != names[1]:
            at = next((i for i, (x, y) in enumerate(zip(*names)) if x != y), min(map(len, names)))
            around = [" ".join(calls[max(0, at - 2) : at + 3]) for calls in names]
            differences.append(f"{len(one)} calls / {len(other)} calls of a thread; from call {at} on: {around[0]} / {around[1]}")
            one, other = one[:at], other[:at]
        for pair in zip(one, other):
            compare(pair, tally, differences)
    print(f"{first}: {sum(map(len, a))} calls of {len(a)} threads; {second}: {sum(map(len, b))} of {len(b)}")
    for difference in differences[:40]:
        print("different:", difference)
    if not differences:
        print(f"the same calls, {sum(tally[column, 'same'] for column in COLUMNS)} values and outcomes the same, none different")
    if not verbose:
        return bool(differences)
    kinds = ["same", "absent", "only A", "only B", "left out", "different"]
    print(f"{'':10}" + "".join(f"{kind:>11}" for kind in kinds))
    for column in COLUMNS:
        print(f"{column:10}" + "".join(f"{tally[column, kind] or '-':>11}" for kind in kinds))
    return bool(differences)


if __name__ == "__main__":
    names = [word for word in sys.argv[1:] if word != "-v"]
    if len(names) != 2:
        sys.exit(__doc__)
    sys.exit(main(*names, "-v" in sys.argv))
