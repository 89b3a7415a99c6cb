#!/usr/bin/env python3
"""Measures ioriot: CPU seconds (user + system, children included), time taken and peak memory of its verbs.

Before every measured run a calibration runs (`ioriot calibrate`: zstd of a fixed buffer). Figures are medians; the
column "cal" is CPU seconds divided by those of the calibration, which is what two machines can compare: a machine that
is half as fast, or busy, has twice the seconds and about the same "cal".
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent


def measure(*command):
    """CPU seconds, seconds taken and peak memory (MiB) of a command, which must succeed."""
    with tempfile.TemporaryFile() as out:
        began = time.monotonic()
        child = subprocess.Popen([str(word) for word in command], stdout=out, stderr=out)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode not in (0, 1):
            out.seek(0)
            sys.exit(f"{' '.join(map(str, command))} failed:\n{out.read().decode(errors='replace')}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - began, usage.ru_maxrss / 1024


class Bench:
    def __init__(self, binary, against, runs):
        self.binary, self.against, self.runs, self.calibrations, self.ratio, self.took = binary, against, runs, [], "", 0.0

    def verb(self, *words, before=lambda: None):
        """Medians of CPU seconds and peak memory of a verb over all runs; the other program runs in between."""
        seconds, took, memory, ratios = [], [], [], []
        for _ in range(self.runs):
            if self.against:
                before()
                other, *_ = measure(self.against, *words)
            before()
            self.calibrations.append(measure(self.binary, "calibrate")[0])
            cpu, wall, peak = measure(self.binary, *words)
            seconds.append(cpu)
            took.append(wall)
            memory.append(peak)
            if self.against:
                ratios.append(cpu / other)
        self.ratio = f"   {statistics.median(ratios):.3f} of the other" if ratios else ""
        self.took = statistics.median(took)
        return statistics.median(seconds), statistics.median(memory)

    def show(self, what, seconds, memory, figure):
        calibration = statistics.median(self.calibrations)
        taken = f"in {self.took:7.3f} s" if self.took else " " * 12
        cost = f"{seconds:8.3f} s CPU {taken} {seconds / calibration:8.2f} cal {memory:7.0f} MiB"
        print(f"{what:<34} {cost}   {figure}{self.ratio}", flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--binary", type=Path, default=HOME / "target/release/ioriot")
    options.add_argument("--against", type=Path, help="another build, run in turns with it: prints the median of their ratios")
    options.add_argument("--lines", type=int, default=1_000_000, help="lines of each input (default: 1000000)")
    options.add_argument("--runs", type=int, default=3, help="runs of each verb (default: 3)")
    options.add_argument("--quick", action="store_true", help="100000 lines, one run")
    options.add_argument("--dir", type=Path, help="where to work (default: a temporary directory, deleted)")
    asked = options.parse_args()
    if asked.quick:
        asked.lines, asked.runs = 100_000, 1

    bench = Bench(asked.binary, asked.against, asked.runs)
    with tempfile.TemporaryDirectory(prefix="ioriot-bench-", dir=asked.dir) as name:
        place = Path(name)
        capture, workload, root, run = (place / part for part in ("capture", "workload", "root", "run"))

        def without(*paths):
            return lambda: [shutil.rmtree(path, ignore_errors=True) for path in paths]

        ingest = {}
        for kind in ("strace", "capture"):  # the capture stays, for generate
            trace = place / f"synthetic.{kind}"
            measure(bench.binary, "synth", "--format", kind, "--lines", asked.lines, "-o", trace)
            lines = sum(1 for _ in trace.open("rb"))
            ingest[kind], memory = bench.verb("ingest", trace, "-o", capture, before=without(capture))
            bench.show(f"ingest {lines} {kind} lines", ingest[kind], memory, f"{lines / ingest[kind] / 1e6:.2f} M lines per CPU s")

        generate, more = bench.verb("generate", capture, "-o", workload, before=without(workload))
        bench.show("generate from the capture", generate, more, f"{generate / lines * 1e6:.2f} us per event")
        both = ingest["capture"] + generate
        bench.ratio, bench.took = "", 0.0
        bench.show("ingest + generate", both, max(memory, more), f"{both * 1e6 / lines:.2f} s per M lines")

        ops = json.loads((workload / "manifest.json").read_text())["ops"]
        words = ("replay", workload, "--root", root, "-o", run, "--pace", "asap", "--engine", "null", "--threads", "1")
        replay, memory = bench.verb(*words, before=without(run))
        bench.show(f"replay {ops} ops, null engine", replay, memory, f"{replay / ops * 1e9:.0f} ns per op, all of ioriot's own cost")

        low, high = min(bench.calibrations), max(bench.calibrations)
        print(f"calibration: {statistics.median(bench.calibrations):.3f} s CPU (median of {len(bench.calibrations)}, {low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
