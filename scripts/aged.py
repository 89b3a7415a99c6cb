#!/usr/bin/env python3
"""How far a replay on files laid as captured makes a device seek as it did for the program: prints a table for docs/FIDELITY.md.

Makes an old file on each file system (in a nearly full one of whose small files every other one was deleted), captures a cold read of it, makes the tree
on a fresh file system with --layout plain and captured, and replays cold. Requests and seeks are those of the loop device, by the
program and by the kernel. Needs root, loop devices, and mkfs of the file systems. IOR names the program.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

IOR = os.environ.get("IOR", "target/release/ioriot")
SIZE = "200M"
OLD = 24 << 20
MKFS = {"ext4": ["mkfs.ext4", "-q", "-F", "-b", "4096"], "xfs": ["mkfs.xfs", "-q", "-f"], "btrfs": ["mkfs.btrfs", "-q", "-f"]}
# xfs refuses to be so small.
SIZES = {"xfs": "320M"}


def run(*words):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout


def fresh(fs, image, at):
    """A new file system, mounted."""
    image.unlink(missing_ok=True)
    run("truncate", "-s", SIZES.get(fs, SIZE), image)
    run(*MKFS[fs], image)
    run("mount", "-o", "loop", image, at)


def make_old(at):
    """Fills a file system with small files, deletes every other one, and writes a large file in their place."""
    dice = random.Random(2)
    small = at / "small"
    small.mkdir()
    made = 0
    while True:
        free = os.statvfs(at)
        if free.f_bavail * free.f_frsize < 8 << 20:
            break
        (small / str(made)).write_bytes(dice.randbytes(dice.choice([8, 16, 32, 64]) << 10))
        made += 1
        if made % 200 == 0:
            os.sync()
    os.sync()
    for number in range(0, made, 2):
        (small / str(number)).unlink()
    os.sync()
    with open(at / "old", "wb") as file:
        for _ in range(OLD >> 20):
            file.write(dice.randbytes(1 << 20))
        os.fsync(file.fileno())


def devices(value):
    """What a manifest says of devices."""
    if isinstance(value, dict):
        if {"name", "tasks", "kernel"} <= value.keys():
            yield value
        for part in value.values():
            yield from devices(part)
    elif isinstance(value, list):
        for part in value:
            yield from devices(part)


def requests(place):
    """Reads and seeks of the loop device; a run tells those of its capture before its own."""
    manifest = json.loads((place / "manifest.json").read_text())
    last = [device for device in devices(manifest) if device["name"].startswith("loop")][-1]
    return tuple(sum(last[who][what] for who in ("tasks", "kernel")) for what in ("reads", "seeks"))


def measure(fs, work):
    at, image = work / "mnt", work / "image"
    at.mkdir()
    fresh(fs, image, at)
    try:
        make_old(at)
        run("umount", at)
        run("mount", "-o", "loop", image, at)
        Path("/proc/sys/vm/drop_caches").write_text("3")
        run(IOR, "capture", "-o", work / "cap", "--", "sh", "-c", f"cat {at}/old > /dev/null")
    finally:
        run("umount", at)
    run(IOR, "generate", work / "cap", "-o", work / "work")
    sql = f"SELECT coalesce(pieces, 1) FROM fileset WHERE path = '{at}/old'"
    pieces = run(IOR, "query", work / "work", sql, "--format", "csv").split()[-1]
    rows = [("captured", pieces, *requests(work / "cap"))]
    for layout in ("plain", "captured"):
        root, out = work / f"root-{layout}", work / f"run-{layout}"
        fresh(fs, image, at)
        try:
            said = json.loads(run(IOR, "init", work / "work", "--root", root, "--map", f"{at}={at}", "--layout", layout, "--format", "json"))
            made = said["laid"]["made"] if said["laid"] and said["laid"]["files"] else "-"
            run(IOR, "replay", work / "work", "--root", root, "-o", out, "--drop-caches")
        finally:
            run("umount", at)
        rows.append((f"--layout {layout}", made, *requests(out)))
    return rows


def main():
    print("| file system | | pieces | reads | seeks |\n|---|---|---|---|---|")
    for fs in sys.argv[1:] or MKFS:
        with tempfile.TemporaryDirectory() as work:
            for what, pieces, reads, seeks in measure(fs, Path(work).resolve()):
                print(f"| {fs} | {what} | {pieces} | {reads} | {seeks} |", flush=True)


if __name__ == "__main__":
    main()
