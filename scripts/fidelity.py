#!/usr/bin/env python3
"""Runs every input of tests/data (or those named) the whole way and prints the tables of docs/FIDELITY.md."""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from live_row import bytes_of

HOME = Path(__file__).resolve().parent.parent


def share(percent):
    return "" if percent is None else f"{percent:.3f} %"


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--binary", type=Path, default=HOME / "target/release/ioriot")
    options.add_argument("inputs", nargs="*", type=Path)
    asked = options.parse_args()
    inputs = asked.inputs or sorted(path for path in (HOME / "tests/data").iterdir() if ".capture" in path.name or ".strace" in path.name)

    differences = []
    print("| input | events | ops | match | coverage | of bytes | uncompared | different | order violated | end state |\n|---|---|---|---|---|---|---|---|---|---|")
    for path in inputs:
        with tempfile.TemporaryDirectory(prefix="ioriot-fidelity-") as place:
            words = [asked.binary, "run", path, "-o", f"{place}/out", "--format", "json", "--min-match", "0"]
            done = subprocess.run(words, capture_output=True, text=True)
        if not done.stdout:
            print(f"| {path.name} | {done.stderr.strip().splitlines()[0] if done.stderr else done.returncode} | | | | | | | | |", flush=True)
            continue
        story = json.loads(done.stdout)
        made, run = story["generate"], story["replay"]
        state = ", ".join(f"{count} {verdict}" for verdict, count in ((run.get("state") or {}).get("verdicts") or {}).items())
        order = run.get("order_violations") or {}
        order = f"{order['violations']:,} of {order['edges']:,}" if order else ""
        cells = [path.name, f"{made['events']:,}", f"{run['ops']:,}", share(run["match_percent"]), share(run["coverage_percent"]), bytes_of(run),
                 f"{run['uncompared']:,}", f"{run['different']:,}", order, state]
        print("| " + " | ".join(cells) + " |", flush=True)
        for kind in run.get("differences", []):
            example = (kind["examples"] or [{}])[0]
            differences.append([path.name, example.get("syscall", ""), str(example.get("captured", "")), str(example.get("replayed", "")),
                                f"{kind['count']:,}", kind["kind"] + ": "])

    print("\n| input | call | captured | replayed | how many | why |\n|---|---|---|---|---|---|")
    for cells in differences:
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
