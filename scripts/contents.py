#!/usr/bin/env python3
"""How far files and writes made with --data captured take as many bytes on a compressing file system as the program's: prints a table for
docs/FIDELITY.md.

Makes files of several kinds, captures a program that reads them and writes others (--content-samples) on the file system of the
working directory, runs the same program on a fresh btrfs with compress=zstd, and replays it on such ones, with data as captured and
without: medians of RUNS runs (3). Bytes stored are what btrfs says of data; bytes written those that reach the loop device, when all that is dirty
was written back. Needs root, loop devices and btrfs-progs. IOR names the program.
"""

import gzip
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

IOR = os.environ.get("IOR", "target/release/ioriot")
RUNS = int(os.environ.get("RUNS", "3"))
HOME = Path(__file__).resolve().parent.parent
SIZE = "2G"
# A program for each kind of content: what it does below the directory of the files.
PROGRAMS = {
    "text": "cat log > log.copy; sort log > log.sorted",
    "sources": "tar cf sources.tar sources; mkdir out; tar xf sources.tar -C out",
    "random": "cat packed > packed.copy; dd if=packed of=packed.dd bs=1M 2> /dev/null",
    "database": "python3 copy.py",
    "zeroes": "cat zeroes > zeroes.copy",
    "mixed": "cat log packed zeroes data.db > all; dd if=all of=all.copy bs=256k 2> /dev/null",
}
COPY = """
import sqlite3
old, new = sqlite3.connect("data.db"), sqlite3.connect("new.db")
new.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value BLOB)")
for start in range(0, 20000, 500):
    new.executemany("INSERT INTO t VALUES (?, ?, ?)", old.execute("SELECT * FROM t WHERE id BETWEEN ? AND ?", (start, start + 499)))
    new.commit()
new.execute("DELETE FROM t WHERE id % 5 = 0")
new.commit()
"""


def run(*words, **more):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, **more).stdout


def make(at):
    """The files that the programs read."""
    dice = random.Random(3)
    names = [f"{dice.getrandbits(40):010x}" for _ in range(5000)]
    with open(at / "log", "w") as log:
        for number in range(120_000):
            name = dice.choice(names)
            log.write(f"2026-11-30T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02} GET /item/{name} {dice.choice([200, 200, 304, 404])} {dice.randrange(90_000)}\n")
    sources = at / "sources"
    for part in ("src", "sql", "scripts", "docs"):
        for file in (HOME / part).rglob("*"):
            if file.is_file():
                place = sources / file.relative_to(HOME)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(file.read_bytes())
    (at / "packed").write_bytes(dice.randbytes(12 << 20))
    (at / "zeroes").write_bytes(bytes(8 << 20))
    (at / "copy.py").write_text(COPY)
    with sqlite3.connect(at / "data.db") as base:
        base.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value BLOB)")
        for number in range(20_000):
            value = gzip.compress(dice.choice(names).encode() * 9) if number % 3 else dice.randbytes(300)
            base.execute("INSERT INTO t VALUES (?, ?, ?)", (number, " ".join(dice.choices(names, k=12)), value))
    base.close()


class Disk:
    """A fresh btrfs that compresses, mounted."""

    def __init__(self, work):
        self.image, self.at = work / "image", work / "mnt"
        self.image.unlink(missing_ok=True)
        self.at.mkdir(exist_ok=True)
        run("truncate", "-s", SIZE, self.image)
        run("mkfs.btrfs", "-q", "-f", self.image)
        run("mount", "-o", "loop,compress=zstd", self.image, self.at)
        self.device = Path(run("findmnt", "-n", "-o", "SOURCE", self.at).strip()).name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        run("umount", self.at)

    def state(self):
        """Bytes of data that are stored, and bytes that reached the device so far."""
        run("sync", "-f", self.at)
        told = run("btrfs", "filesystem", "df", "-b", self.at)
        stored = next(int(line.split("used=")[1]) for line in told.splitlines() if line.startswith("Data"))
        return stored, int(Path(f"/sys/block/{self.device}/stat").read_text().split()[6]) * 512


def measure(name, program, files, work):
    """For the program, and replays with each kind of data: bytes stored of files, and by what was written; bytes to the device."""
    home = work / "home"
    subprocess.run(["rm", "-rf", home], check=True)
    run("cp", "-a", files, home)
    script = f'cd "$0" && {program}'
    run(IOR, "capture", "--content-samples", "-o", work / "cap", "--", "sh", "-c", script, home)
    run(IOR, "generate", work / "cap", "-o", work / "work")
    read = run(IOR, "query", work / "work", f"SELECT path FROM fileset WHERE kind = 'file' AND path LIKE '{home}/%'", "--format", "csv")
    read = [line for line in read.split("\n")[1:] if line]
    rows = []
    legs = {"program": lambda: program_once(work, files, home, read, script)}
    legs |= {f"--data {data}": lambda data=data: replay_once(work, home, data) for data in ("captured", "random")}
    for what, once in legs.items():
        rows.append((what, *map(statistics.median, zip(*(once() for _ in range(RUNS))))))
    subprocess.run(["rm", "-rf", *(work / part for part in ("cap", "work", "root", "run"))], check=True)
    return rows


def program_once(work, files, home, read, script):
    with Disk(work) as disk:
        there = disk.at / "home"
        first = disk.state()
        for path in read:
            place = there / Path(path).relative_to(home)
            place.parent.mkdir(parents=True, exist_ok=True)
            run("cp", "-a", "--reflink=never", files / Path(path).relative_to(home), place)
        made = disk.state()
        run("sh", "-c", script, there)
        after = disk.state()
    return made[0] - first[0], after[0] - made[0], after[1] - made[1]


def replay_once(work, home, data):
    root, out = work / "root", work / "run"
    subprocess.run(["rm", "-rf", root, out], check=True)
    with Disk(work) as disk:
        first = disk.state()
        run(IOR, "init", work / "work", "--root", root, "--map", f"{home}={disk.at}", "--data", data)
        made = disk.state()
        run(IOR, "replay", work / "work", "--root", root, "-o", out)
        after = disk.state()
    return made[0] - first[0], after[0] - made[0], after[1] - made[1]


def main():
    print("| content | | files, stored | written, stored | to the device |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as work:
        work = Path(work).resolve()
        files = work / "files"
        files.mkdir()
        make(files)
        for name in sys.argv[1:] or PROGRAMS:
            rows = measure(name, PROGRAMS[name], files, work)
            real = rows[0][1:]
            for what, *sizes in rows:
                cells = [f"{size / 1e6:.2f} MB" + (f" ({size / one - 1:+.0%})" if what != "program" and one else "") for size, one in zip(sizes, real)]
                print(f"| {name} | {what} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
