#!/usr/bin/env python3
"""Measures replay: what it adds to the bare system calls, how it scales, how it keeps time, what memory it needs.

Every figure is a ratio to a program that runs in the same minutes on the same machine: `scripts/replay_floor.c` issues
the same list of calls from memory, without time stamps (bare), with them (stamps), behind a seccomp filter that allows
everything (filter: what the kernel takes for any filter), or takes only the stamps (clock). It issues them below the same
root, with the same absolute names and descriptors of its own. Runs take turns, figures are medians. On a busy machine believe
the processor time of the workers rather than wall time.
"""
import argparse
import json
import shutil
import statistics
import subprocess
import sys
import os
import tempfile
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
# The C tool I/O Riot as fast as possible, 1 M operations: operations a second at processes x threads.
# Its captures had no fsync; ours is measured with and without: a disk decides how many of them there are in a second.
BEFORE = {(1, 1): 39_100, (1, 4): 15_700, (2, 4): 31_800}
BEFORE_CPU = 179_000  # operations per CPU second at 1 x 1


def median(rows):
    """Median of every key over some dictionaries."""
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


class Bench:
    def __init__(self, asked, place):
        self.asked, self.place = asked, place
        self.floor_program = place / "replay_floor"
        subprocess.run(["cc", "-O2", "-pthread", "-o", self.floor_program, HOME / "scripts/replay_floor.c"], check=True)

    def make(self, kind, ops, lanes):
        """A workload, its tree and its list of calls."""
        place = self.place / f"{kind}-{ops}-{lanes}"
        if not place.exists():
            place.mkdir()
            subprocess.run([self.asked.maker, kind, str(ops), str(lanes), place], check=True)
        return place

    def run(self, *words):
        """Runs ioriot; its output, CPU seconds and peak memory (MiB) of all its processes."""
        with tempfile.TemporaryFile() as out:
            command = [str(word) for word in (self.asked.binary, *words)]
            child = subprocess.Popen(command, stdout=out)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            text = out.read().decode()
            if child.returncode not in (0, 1):
                sys.exit(f"{' '.join(command)} failed:\n{text}")
            return text, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024

    def replay(self, place, *words, root=None):
        """Replays; figures per op in ns."""
        run = place / "run"
        shutil.rmtree(run, ignore_errors=True)
        words = words if "--pace" in words else ("--pace", "asap", *words)
        words = ("replay", place / "work", "--root", root or place / "root", "-o", run, "--dirty", "--format", "json", *words)
        text, cpu, memory = self.run(*words)
        summary, workers = json.loads(text), json.loads((run / "manifest.json").read_text())["workers"]
        helpers = json.loads((run / "manifest.json").read_text())["helpers"]
        ops = summary["ops"] + sum(summary["inserted"].values())
        return {
            "loaders": helpers["loaders"] / ops, "supervisor": helpers["supervisor"] / ops,
            "ops": ops, "wall": summary["wall"] / ops, "cpu": sum(worker["cpu"] for worker in workers) / ops,
            "busy": sum(worker["busy"] for worker in workers) / ops, "all": cpu * 1e9 / ops, "memory": memory,
            "seconds": summary["wall"] / 1e9, "stalls": summary["stalls"],
        }, summary

    def floor(self, place, workers, mode):
        command = [self.floor_program, place / "calls", place / "root/tree", str(workers), mode]
        ops, wall, cpu = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
        return {"wall": wall / ops, "cpu": cpu / ops}

    def several(self, *measured):
        """Medians of some measurements that take turns."""
        rows = [[measure() for measure in measured] for _ in range(self.asked.runs)]
        return [median(list(column)) for column in zip(*rows)]

    def null(self):
        print("\nOur own cost, engine null, one worker (bar: 80 ns of the worker's processor time per op)")
        place = self.make("pread", self.asked.ops, 1)
        null, clock = self.several(
            lambda: self.replay(place, "--engine", "null", "--threads", "1")[0], lambda: self.floor(place, 1, "clock"))
        print(f"  worker {null['cpu']:.1f} ns per op, of which two clock reads {clock['cpu']:.1f} ns (the same loop in C);"
              f" all of ioriot {null['all']:.0f} ns CPU per op; {1e3 / null['wall']:.2f} M ops/s")

    def calls(self):
        print("\nReal calls on cached files, one worker, as a share of the C loop's ops/s: alike (stamps, and a filter where ours is")
        print("behind one), with stamps and no filter (bar: 95 %), with neither (bar: 85 %). C writes the same 4 KiB each time, as ours does")
        print("with --data zero, which is the mixed calls in another tree; no two blocks that it writes are alike otherwise")
        print("                        by worker CPU               by wall                   ns per op (CPU)")
        print("                        alike  stamps   bare        alike  stamps   bare      ours   C: filter stamps  bare")
        for kind in ("pread", "open", "zero", "mixed"):
            place = self.make(kind, self.asked.ops, 1)
            ours, free, filtered, stamps, bare = self.several(
                lambda: self.replay(place, "--threads", "1")[0],
                lambda: self.replay(place, "--threads", "1", "--seccomp", "off")[0],
                *(lambda mode=mode: self.floor(place, 1, mode) for mode in ("filter", "stamps", "bare")))
            for name, ours, alike in (("", ours, filtered), (", no seccomp", free, stamps)):
                shares = [[100 * floor[key] / ours[key] for floor in (alike, stamps, bare)] for key in ("cpu", "wall")]
                said = "   ".join("".join(f"{share:6.1f} %" for share in some) for some in shares)
                print(f"  {kind + name:<20}{said}   {ours['cpu']:6.0f}   {filtered['cpu']:9.0f} {stamps['cpu']:6.0f} {bare['cpu']:5.0f}")

    def scaling(self):
        print("\nTwo workers against one, with files of their own (bar: 1.7 on two processors). The C loop beside it says what the")
        print("machine gives. What decodes the ops and writes the results shares the two processors with the workers, so there is")
        print("a bound: 2 / (1 + what they need for an op / what a worker needs)")
        for kind in ("pread", "open", "big"):
            place = self.make(kind, self.asked.ops // (10 if kind == "big" else 1), 2)
            one, two, floor_one, floor_two = self.several(
                lambda: self.replay(place, "--threads", "1")[0], lambda: self.replay(place, "--threads", "2")[0],
                lambda: self.floor(place, 1, "filter"), lambda: self.floor(place, 2, "filter"))
            bound = 2 / (1 + (two["loaders"] + two["supervisor"]) / one["cpu"])
            print(f"  {kind:<8} {one['wall'] / two['wall']:.2f} times ({1e6 / one['wall']:.0f} k and {1e6 / two['wall']:.0f} k ops/s), bound {bound:.2f};"
                  f" C {floor_one['wall'] / floor_two['wall']:.2f} times; CPU ns per op: worker {one['cpu']:.0f} alone, {two['cpu']:.0f} of two,"
                  f" loader {two['loaders']:.0f}, supervisor {two['supervisor']:.0f}")

    def memory(self):
        print("\nPeak memory, engine null, two workers")
        for ops in self.asked.memory:
            place = self.make("pread", ops, 2)
            null, _ = self.replay(place, "--engine", "null")
            print(f"  {ops:>11} ops: {null['memory']:.0f} MiB in the largest process, {1e3 / null['wall']:.2f} M ops/s")
            shutil.rmtree(place)

    def prepare(self, trace, *chosen):
        """A workload of a trace, or of the calls of it that are chosen, which takes the engine, and its tree."""
        place = self.place / "-".join((trace.name, "work", *map(str, map(len, chosen))))
        if not place.exists():
            place.mkdir()
            tool = [str(self.asked.prepare or self.asked.binary)]
            for words in (("ingest", trace, "-o", place / "capture"), ("generate", place / "capture", "-o", place / "work", *chosen)):
                subprocess.run([*tool, *map(str, words)], check=True, stdout=subprocess.DEVNULL)
        return place

    def fresh(self, place, beside=None):
        """A new tree of a workload; the one before is gone. `beside` is another directory to have it in."""
        root = (beside or place) / "root"
        self.run("init", place / "work", "--root", root, "--force")
        for old in root.parent.glob("root.old-*"):
            shutil.rmtree(old)
        return root

    def synthetic(self):
        trace = self.place / "synthetic.capture"
        self.run("synth", "--lines", self.asked.ops, "-o", trace)
        print("\nSynthetic capture, processes x threads, as fast as possible (C tool: I/O Riot on the same mix without fsync, on a disk)")
        print("On ext4 a disk's figures say more about what was deleted on it in the minutes before than about any replay: an inode")
        print("is not taken again for one to six minutes (recently_deleted() in fs/ext4/ialloc.c), so that to make a file means to")
        print("go through all that were deleted. In memory (tmpfs) the same calls have no such past.")
        with tempfile.TemporaryDirectory(prefix="ioriot-bench-", dir="/dev/shm") as memory:
            plain = ("--where", "syscall NOT IN ('fsync', 'fdatasync')")
            for name, chosen, beside in (
                    ("in memory", plain, Path(memory)), ("on disk, without fsync", plain, None), ("on disk, with fsync", (), None)):
                self.widths(name, self.prepare(trace, *chosen), beside)

    def widths(self, name, place, beside):
        for (processes, threads), before in BEFORE.items():
            rows = []
            for _ in range(self.asked.runs):
                root = self.fresh(place, beside)
                row, summary = self.replay(place, "--processes", processes, "--threads", threads, root=root)
                calls = summary["calls"]
                total = max(1, sum(call["latency"]["total"] for call in calls))
                share = lambda *names: sum(call["latency"]["total"] for call in calls if call["syscall"] in names) / total
                rows.append({
                    **row, "different": summary["different"],
                    "syncing": share("fsync", "fdatasync"), "making": share("open", "openat", "creat", "mkdir", "rmdir"),
                })
            row = median(rows)
            print(f"  {name:<22} {processes} x {threads}: {1e6 / row['wall']:6.1f} k ops/s (C tool {before / 1e3:.1f} k),"
                  f" {1e6 / row['all']:.0f} k ops per CPU s (C tool {BEFORE_CPU / 1e3:.0f} k at 1 x 1), worker {row['cpu']:.0f} ns CPU per op;"
                  f" of the time in calls {100 * row['syncing']:.0f} % fsync, {100 * row['making']:.0f} % open, mkdir, rmdir;"
                  f" {row['different']:.0f} different")

    def pace(self):
        print("\nPace (bars: length within 0.5 %; lag p50 20 us, p99 1.5 times the floor's + 20 us)")
        paced = self.make("paced", min(self.asked.ops, 100_000), 4)
        for name, place in (("10 k op/s", paced), ("e-fio.strace", None)):
            if place is None:
                place = self.prepare(HOME / "tests/data/e-fio.strace.gz")
                self.fresh(place)
            for pace in ("realtime", "think"):
                rows, floors = [], []
                for _ in range(self.asked.runs):
                    for kept, words in ((floors, ("--engine", "null")), (rows, ())):
                        summary = self.replay(place, "--pace", pace, *words)[1]
                        kept.append({**summary["lag"], "length": 100 * (summary["wall"] / summary["span"] - 1)})
                ours, floor = median(rows), median(floors)
                lag = [f"{key.replace('p999', 'p99.9')} {ours[key] / 1e3:.1f} ({floor[key] / 1e3:.1f})" for key in ("p50", "p99", "p999", "max")]
                print(f"  {name:<13} {pace:<9} length {ours['length']:+.3f} % ({floor['length']:+.3f} %), lag us: {', '.join(lag)};"
                      f" bursts {ours['bursts']:.0f} ({floor['bursts']:.0f})")
        print("  (in parentheses: the same run without system calls, the noise of the machine)")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--binary", type=Path, default=HOME / "target/release/ioriot")
    options.add_argument("--prepare", type=Path, help="another ioriot for ingest and generate (default: the same)")
    options.add_argument("--maker", type=Path, required=True, help="the built benches/replay.rs")
    options.add_argument("--ops", type=int, default=1_000_000, help="ops of each workload (default: 1000000)")
    options.add_argument("--memory", type=int, nargs="*", default=[1_000_000, 10_000_000], metavar="OPS",
                         help="ops for the figures of memory; 100000000 takes 10 GB of disk, 6 GB of memory and half an hour")
    options.add_argument("--runs", type=int, default=5, help="runs of each measurement (default: 5)")
    options.add_argument("--only", nargs="*", help="null, calls, scaling, memory, synthetic, pace")
    options.add_argument("--dir", type=Path, help="where to work (default: a temporary directory, deleted)")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="ioriot-bench-", dir=asked.dir) as name:
        bench = Bench(asked, Path(name))
        for part in asked.only or ("null", "calls", "scaling", "memory", "synthetic", "pace"):
            getattr(bench, part)()


if __name__ == "__main__":
    main()
