"""How far a replay's time on a device is from the application's own there: captures, runs, replays, one table.

Run by scripts/predict.sh, in a mount namespace of its own. A target is a model device (scripts/model_device.c) with a file system.
Each pair of an application and a target has as many runs of the application as of the replay, in turns, each on a fresh file
system that was made without delays and mounted anew, so that nothing of it is cached but what WARM brings in for the application. The time of the application is that of its
whole command; the time of the replay is that of its ops. What lay on the captured file system lies on the target
(`init --map`), the rest of the tree on the machine's own disk.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import aged

IOR = os.environ.get("IOR", "target/release/ioriot")
HERE = Path(__file__).resolve().parent

# ---- targets ----

DEVICES = {
    "ssd": "channels=16 read_us=150 write_us=100 flush_us=300 mb_s=800",
    "fast": "channels=16 read_us=60 write_us=40 flush_us=100 mb_s=2000",
    "ebs": "channels=16 read_us=1500 write_us=1500 flush_us=1500 mb_s=60",
    "hdd": "channels=1 read_us=200 write_us=200 seek_us=4000 flush_us=3000 mb_s=120",
}
FILE_SYSTEMS = {
    "ext4": ("mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0", "noatime"),
    "xfs": ("mkfs.xfs -q -f", "noatime"),
    "btrfs": ("mkfs.btrfs -q -f", "noatime"),
}
SOURCE = "ssd-ext4"
TARGETS = ["fast-ext4", "ebs-xfs", "hdd-ext4", "ebs-btrfs"]

# ---- applications ----
# class, what is made before (a function below and its arguments), the command, and the programs that it needs. {dir} is on
# the target, {apps} are the programs of scripts/predict_apps.c, {work} is a directory on the machine's own disk.

FIO = "fio --name=job --directory={dir} --size=256m --bs=4k --direct=1 --randrepeat=1 --fallocate=none --create_on_open=0 --eta=never --output=/dev/null "
BUFFERED = FIO.replace("--direct=1", "--direct=0").replace("--size=256m", "--size=64m") + "--ioengine=psync --invalidate=0 "
PG = "PATH=$(echo /usr/lib/postgresql/*/bin):$PATH; cd /; run() {{ setpriv --reuid=postgres --regid=postgres --clear-groups -- \"$@\"; }}; "
PGBENCH = PG + "run pg_ctl -s -w -D {dir}/pg -l {dir}/pg.log start && run pgbench -n -h /tmp -p 55432 -c %d -j 2 -t %d postgres; run pg_ctl -s -w -D {dir}/pg stop"
REDIS = (
    "redis-server --port 0 --unixsocket /tmp/predict.sock --dir {dir} --appendonly yes --appendfsync always --save '' --logfile /dev/null & "
    "until redis-cli -s /tmp/predict.sock ping >/dev/null 2>&1; do sleep 0.02; done; "
    "redis-benchmark -s /tmp/predict.sock -t set -n 2000 -c 4 -d 100 >/dev/null; redis-cli -s /tmp/predict.sock shutdown nosave; wait"
)
REDIS_TCP = REDIS.replace("--port 0 --unixsocket /tmp/predict.sock", "--port 55433 --bind 127.0.0.1").replace("-s /tmp/predict.sock", "-p 55433")
LMDB = "{work}/predict_lmdb.py {dir}/lmdb "
ROCKSDB = "db_bench --db={dir}/rocksdb --num=200000 --value_size=400 --compression_type=none --threads=1 --seed=1 "
APPLICATIONS = {
    "log": ("sync", None, "{apps} log {dir} 800", []),
    "sqlite-delete": ("sync", ("sql", "delete", 150), "sqlite3 {dir}/db '.read {work}/sql'", ["sqlite3"]),
    "sqlite-wal": ("sync", ("sql", "wal", 500), "sqlite3 {dir}/db '.read {work}/sql'", ["sqlite3"]),
    "fio-psync-8": ("sync", ("jobs", 8, 32), FIO + "--ioengine=psync --rw=randread --size=32m --numjobs=8 --thread --number_ios=400", ["fio"]),
    "fio-libaio-32": ("async", ("jobs", 1, 256), FIO + "--ioengine=libaio --iodepth=32 --rw=randread --number_ios=12000", ["fio"]),
    "fio-uring-32": ("async", ("jobs", 1, 256), FIO + "--ioengine=io_uring --iodepth=32 --rw=randwrite --number_ios=12000", ["fio"]),
    "ring-8": ("pipes and futexes", ("data", 64), "{apps} ring {dir} 8 1200", []),
    "turns": ("pipes and futexes", ("data", 64), "{apps} turns {dir} 400", []),
    "pgbench-4": ("client and server", ("postgres",), PGBENCH % (4, 200), ["pgbench"]),
    "pgbench-16": ("client and server", ("postgres",), PGBENCH % (16, 80), ["pgbench"]),
    "redis-aof": ("client and server", None, REDIS, ["redis-server"]),
    "redis-tcp": ("client and server", None, REDIS_TCP, ["redis-server"]),
    "timer": ("timers", None, "{apps} timer {dir} 2 100 40", []),
    "compute": ("computing", ("data", 64), "{apps} compute {dir} 200 5", []),
    "group-16": ("group commit", None, "{apps} group {dir} 16 1600 10000", []),
    "mutex-8": ("sync", None, "{apps} mutex {dir} 8 800 1000", []),
    "git-clone": ("metadata", ("repository",), "git -c safe.directory='*' clone -q --no-local {dir}/from.git {dir}/to", ["git"]),
    "untar": ("metadata", ("archive",), "tar xf {dir}/in.tar -C {dir} && sync -f {dir}", ["tar"]),
    "tar-cold": ("metadata", ("tree",), "tar cf {dir}/out.tar -C {dir} tree", ["tar"]),
    "make": ("metadata", ("sources",), "make -s -j2 -C {dir}/src", ["make", "cc"]),
    "half-cached": ("cached", ("jobs", 1, 64), BUFFERED + "--rw=randread --number_ios=4000", ["fio"]),
    "half-cached-in-turn": ("cached", ("jobs", 1, 64), BUFFERED + "--rw=read", ["fio"]),
    "mapped": ("mapped", ("data", 256), "{apps} mapped {dir} 2000", []),
    "mapped-in-turn": ("mapped", ("data", 64), "{apps} mapped-in-turn {dir} 0", []),
    "mapped-writes": ("mapped", ("data", 64), "{apps} mapped-writes {dir} 800", []),
    "fio-mmap": ("mapped", ("jobs", 1, 64), BUFFERED.replace("psync", "mmap") + "--rw=randread --number_ios=2000", ["fio"]),
    "lmdb-read": ("mapped", ("lmdb",), LMDB + "read 2000", ["lmdb"]),
    "lmdb-write": ("mapped", ("lmdb",), LMDB + "write 60", ["lmdb"]),
    "lmdb-writemap": ("mapped", ("lmdb",), LMDB + "writemap 60", ["lmdb"]),
    "rocksdb-mmap": ("mapped", ("rocksdb",), ROCKSDB + "--benchmarks=readrandom --use_existing_db=1 --mmap_read=1 --reads=2000", ["db_bench"]),
    "aged": ("aged", ("aged",), "cat {dir}/old >/dev/null", []),
    "search": ("mapped", ("tree",), "rg --mmap --no-config -j 1 -c -a 'no such words' {dir}/tree; test $? = 1", ["rg"]),
}
# What the application finds in the page cache: file, bytes of a stretch, and of the part of it that is there.
WARM = {"half-cached": ("job.0.0", 131072, 65536), "half-cached-in-turn": ("job.0.0", 4 << 20, 2 << 20)}
# How a file lies on an old file system is that file system's choice: these are captured on the one of the target, which is as small as
# this, MiB, and what init makes of it beside the default is files in as many pieces.
AGED = {"aged": 200}
INIT = {"aged": ["--layout", "captured"]}
SHORT = (["log", "turns"], ["ebs-xfs"])


def source_of(name, target):
    """Where it is captured."""
    return f"{SOURCE.split('-')[0]}-{target.split('-')[1]}" if name in AGED else SOURCE


def shell(command, **more):
    done = subprocess.run(command, shell=isinstance(command, str), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    if done.returncode:
        raise RuntimeError(f"{command}: exit code {done.returncode}\n{done.stdout[-2000:]}")
    return done.stdout


def noise(path, mib, seed=1):
    block = random.Random(seed).randbytes(1 << 20)
    with open(path, "wb") as out:
        for _ in range(mib):
            out.write(block)


def warm(path, stretch, part):
    """Reads a part of each stretch of a file into the page cache, and nothing ahead of it."""
    file = os.open(path, os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
    for start in range(0, os.fstat(file).st_size, stretch):
        os.pread(file, part, start)
    os.close(file)


def make_data(place, _work, mib):
    noise(place / "data", mib)


def make_aged(place, _work):
    aged.make_old(place)


def make_jobs(place, _work, jobs, mib):
    for job in range(jobs):
        noise(place / f"job.{job}.0", mib, job)


def make_lmdb(place, work):
    script = shutil.copy(HERE / "predict_lmdb.py", work)
    shell([script, str(place / "lmdb"), "fill", "200"])


def make_rocksdb(place, _work):
    shell(ROCKSDB.format(dir=place) + "--benchmarks=fillseq,compact")


def make_sql(_place, work, mode, transactions):
    with open(work / "sql", "w") as out:
        out.write(f"PRAGMA journal_mode={mode}; PRAGMA synchronous=FULL; CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t(b);\n")
        for row in range(transactions):
            text = random.Random(row).randbytes(200).hex()
            out.write(f"BEGIN; INSERT INTO t VALUES ({row}, '{text}'); UPDATE t SET b = 'seen' WHERE a = {row - 10}; COMMIT;\n")


def make_tree(place, _work, files=1000):
    dice = random.Random(2)
    for number in range(files):
        directory = place / "tree" / str(number % 40)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"file{number}").write_bytes(dice.randbytes(dice.randrange(1000, 24000)))


def make_archive(place, work):
    make_tree(place, work)
    shell(f"cd {place} && tar cf in.tar tree && rm -r tree")


def make_repository(place, work):
    make_tree(work / "repository", work, 600)
    shell(
        f"cd {work}/repository && git init -q . && git add . && git -c user.name=n -c user.email=e commit -q -m all && "
        f"git clone -q --bare . {place}/from.git && rm -rf {work}/repository"
    )


def make_sources(place, _work, files=20):
    source, objects = place / "src", " ".join(f"f{number}.o" for number in range(files))
    source.mkdir()
    for number in range(files):
        functions = "".join(f"int f{number}_{i}(int a) {{ return a * {i} + {number}; }}\n" for i in range(200))
        (source / f"f{number}.c").write_text("#include <stdio.h>\n#include <stdlib.h>\n" + functions)
    (source / "Makefile").write_text(f"all: {objects}\n\tcat {objects} >all.o && sync -f .\n%.o: %.c\n\tcc -O1 -c -o $@ $<\n")


def make_postgres(place, work):
    """A database of one template, which is made once."""
    template = work / "postgres"
    pg = PG.format()
    if not template.exists():
        made = work / "postgres.new"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        shutil.chown(made, "postgres")
        settings = "listen_addresses=''\nunix_socket_directories='/tmp'\nport=55432\nmax_connections=40\n"
        shell(["bash", "-c", f"{pg} run initdb -A trust -D {made}/pg"])
        with open(made / "pg/postgresql.conf", "a") as out:
            out.write(settings)
        shell(["bash", "-c", f"{pg} run pg_ctl -s -w -D {made}/pg -l {made}/log start && run pgbench -q -h /tmp -p 55432 -i -s 4 postgres; "
               f"run pg_ctl -s -w -D {made}/pg stop"])
        made.rename(template)
    shutil.chown(place, "postgres")
    shell(["cp", "-a", str(template / "pg"), str(place / "pg")])


# ---- a device with a file system ----


class Target:
    """A model device, its loop device, and a file system on it, mounted at WORK/mnt. Without delays unless it is told."""

    def __init__(self, work, name, mib=3072):
        device, self.kind = name.split("-")
        self.mount, self.device = work / "mnt", work / "device"
        for place in (self.mount, self.device):
            place.mkdir(exist_ok=True)
        self.loop, self.mounted = None, False
        self.process = subprocess.Popen([work / "model_device", self.device, str(mib), *DEVICES[device].split()], start_new_session=True)
        try:
            while not (self.device / "disk").exists():
                if self.process.poll() is not None:
                    raise RuntimeError("the model device ended")
                time.sleep(0.01)
            self.loop = shell(["losetup", "--find", "--show", "--direct-io=on", str(self.device / "disk")]).strip()
        except BaseException:
            self.close()
            raise

    def delays(self, on):
        (self.device / "control").write_text("on" if on else "off")

    def counters(self):
        """What the model device did with delays: as long as a run takes."""
        names = ["reads", "writes", "flushes", "seeks", "read_bytes", "written_bytes", "depth"]
        return dict(zip(names, map(float, (self.device / "control").read_text().split())))

    def blocks(self):
        """Reads that the loop device was given so far, their bytes, and the bytes that were written to it."""
        stat = Path(f"/sys/block/{Path(self.loop).name}/stat").read_text().split()
        return int(stat[0]), int(stat[2]) * 512, int(stat[6]) * 512

    def ended(self, before):
        """What was done since these numbers of blocks(), when a run is over. All that is dirty is written back first: how much of it the kernel
        had written by the end depends on how long the process lasts, and a replay compares its tree and writes its results before it ends."""
        counted, reads = self.counters(), self.blocks()
        self.delays(False)
        shell(["sync", "-f", str(self.mount)])
        now = dict(zip(("reads", "read_bytes", "written_bytes"), (*reads[:2], self.blocks()[2])))
        return counted | {name: value - then for (name, value), then in zip(now.items(), before)}

    def fresh(self):
        self.unmount()
        shell(["blkdiscard", "-f", self.loop])
        for attempt in range(5):
            try:
                shell(f"{FILE_SYSTEMS[self.kind][0]} {self.loop}")
                break
            except RuntimeError:
                if attempt == 4:
                    raise
                time.sleep(0.5)  # somebody may look at a new device for a moment
        self.remount()

    def remount(self):
        self.unmount()
        shell(["mount", "-t", self.kind, "-o", FILE_SYSTEMS[self.kind][1], self.loop, str(self.mount)])
        self.mounted = True

    def unmount(self):
        for attempt in range(50):
            if not self.mounted:
                return
            self.mounted = subprocess.run(["umount", self.mount], stderr=subprocess.DEVNULL).returncode != 0
            if self.mounted:
                # A server of an application that was interrupted outlives it.
                if attempt >= 20:
                    self.evict()
                time.sleep(0.1)
        raise RuntimeError(f"{self.mount} is busy")

    def evict(self):
        """Kills the processes that have their working directory or an open file on the file system."""
        for process in Path("/proc").glob("[0-9]*"):
            try:
                held = [process / "cwd", *(process / "fd").iterdir()]
                if any(Path(os.readlink(link)).is_relative_to(self.mount) for link in held):
                    os.kill(int(process.name), signal.SIGKILL)
            except (OSError, ValueError):  # gone, or no longer open
                continue

    def close(self):
        if self.process.poll() is None and (self.device / "control").exists():
            self.delays(False)
        self.unmount()
        if self.loop:
            subprocess.run(["losetup", "--detach", self.loop])
        subprocess.run(["umount", self.device], stderr=subprocess.DEVNULL)
        self.process.terminate()
        self.process.wait()


class Bench:
    def __init__(self, work, pace):
        self.work, self.pace = work, pace

    def prepare(self, target, name):
        """What the application finds: on a fresh file system, nothing of it cached. Its command."""
        _, setup, command, _ = APPLICATIONS[name]
        target.fresh()
        place = target.mount / "app"
        place.mkdir()
        if setup:
            globals()["make_" + setup[0]](place, self.work, *setup[1:])
        target.remount()
        if name in WARM:
            path, *parts = WARM[name]
            warm(place / path, *parts)
        target.delays(True)
        return ["bash", "-c", command.format(dir=place, apps=self.work / "predict_apps", work=self.work)]

    def application(self, target, name):
        command = self.prepare(target, name)
        before, began = target.blocks(), time.monotonic()
        shell(command)
        took = time.monotonic() - began
        return took, target.ended(before)

    def target(self, name, target_name):
        return Target(self.work, target_name, AGED.get(name, 3072))

    def workload(self, name, target_name):
        """What was captured of it on the source; captured once."""
        source = source_of(name, target_name)
        device, kind = source.split("-")
        key = digest([APPLICATIONS[name], WARM.get(name), DEVICES[device], FILE_SYSTEMS[kind], self.made_of(name)])
        place = self.work / "workloads" / f"{name}-{kind}-{key}"
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            for old in place.parent.glob(f"{name}-{kind}-*"):
                shutil.rmtree(old)
            capture = self.work / "capture"
            shutil.rmtree(capture, ignore_errors=True)
            target = self.target(name, source)
            try:
                command = self.prepare(target, name)
                said = shell([IOR, "capture", "-o", str(capture), "--", *command])
                if "ended with exit status: 0" not in said:
                    raise RuntimeError(f"{command} under capture: {said[-2000:]}")
            finally:
                target.close()
            shell([IOR, "generate", str(capture), "-o", str(place)])
            shutil.rmtree(capture)
        return place

    def made_of(self, name):
        files = [Path(IOR), HERE / "model_device.c", HERE / "predict_apps.c"]
        files += [HERE / "predict_lmdb.py"] if "lmdb" in APPLICATIONS[name][3] else []
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]

    def replay(self, target, workload, *options, init=()):
        root, run = self.work / "root", self.work / "run"
        # An interrupted replay leaves what it had.
        for old in (root, run, self.work / ".run.unfinished"):
            shutil.rmtree(old, ignore_errors=True)
        target.fresh()
        shell([IOR, "init", str(workload), "--root", str(root), "--map", f"{target.mount}={target.mount}", *init])
        target.remount()
        target.delays(True)
        command = [IOR, "replay", str(workload), "--root", str(root), "-o", str(run), *(options or ("--pace", self.pace, "--syncs", "regroup")), "--min-match", "0", "--format", "json"]
        before = target.blocks()
        done = subprocess.run(command, text=True, capture_output=True)
        counted = target.ended(before)
        if done.returncode not in (0, 1):
            raise RuntimeError(f"{command}: {done.stderr[-2000:]}")
        said = json.loads(done.stdout)
        # What is read before the start, to have it in memory, does not count.
        whose = [device[who] for device in said["device"] or [] if device["name"] == Path(target.loop).name for who in ("tasks", "kernel")]
        counted |= {what: sum(who[what] for who in whose) for what in ("reads", "read_bytes", "seeks")}
        return said, counted

    def bracket(self, name, target_name, runs, own):
        """Times of a program that adapts to its device, as `ioriot predict` brackets them: least and greatest median of the bounds."""
        workload, target = self.workload(name, target_name), self.target(name, target_name)
        grouped = json.loads((workload / "manifest.json").read_text()).get("grouped")
        bounds = [("--pace", "asap", "--syncs", "regroup"), ("--pace", "asap", "--order", "strict")]
        bounds, medians = ([("--pace", self.pace)], [own]) if grouped else (bounds, [])
        try:
            for bound in bounds:
                walls = [self.replay(target, workload, *bound, init=INIT.get(name, ()))[0]["wall"] / 1e9 for _ in range(runs)]
                medians.append(statistics.median(walls))
        finally:
            target.close()
        return [min(medians), max(medians)]

    def pair(self, name, target_name, runs):
        """Runs of the application and of its replay in turns: the row of a pair."""
        workload = self.workload(name, target_name)
        row = {"application": name, "class": APPLICATIONS[name][0], "target": target_name, "pace": self.pace}
        row |= {"t_app": [], "t_replay": [], "depth_app": [], "depth_replay": [], "written_app": [], "written_replay": [], "read_app": [], "read_replay": []}
        row |= {"reads_app": [], "reads_replay": [], "seeks_app": [], "seeks_replay": []}
        target = self.target(name, target_name)
        try:
            for _ in range(runs):
                took, counted = self.application(target, name)
                said, replayed = self.replay(target, workload, init=INIT.get(name, ()))
                row["t_app"].append(took)
                row["t_replay"].append(said["wall"] / 1e9)
                for what, counts in (("app", counted), ("replay", replayed)):
                    row[f"depth_{what}"].append(counts["depth"])
                    row[f"written_{what}"].append(counts["written_bytes"])
                    row[f"read_{what}"].append(counts["read_bytes"])
                    row[f"reads_{what}"].append(counts["reads"])
                    row[f"seeks_{what}"].append(counts["seeks"])
                row |= {"match": said["match_percent"], "coverage": said["coverage_percent"], "caveats": said["time"]["caveats"]}
                row["captured"] = ((said["time"]["captured"] or {}).get("span") or 0) / 1e9
        finally:
            target.close()
        return row


def digest(what):
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


# ---- the table ----

PAIR, CLASS, VARIES, BRACKET, ADAPTS = 15.0, 5.0, 0.05, 0.4, 10.0
# What the short form asks of a pair: two runs on a machine that may be busy.
SHORT_PAIR = 30.0


def error(row):
    app = statistics.median(row["t_app"])
    return 100 * (statistics.median(row["t_replay"]) - app) / app


def varies(row):
    """Does the application itself vary by more than 5 % (interquartile range by median)?"""
    if len(row["t_app"]) < 4:
        return False
    low, _, high = statistics.quantiles(row["t_app"], n=4)
    return (high - low) / statistics.median(row["t_app"]) > VARIES


def overlap(row):
    app, replay = row["t_app"], row["t_replay"]
    return min(replay) <= max(app) and min(app) <= max(replay)


def holds(row):
    """Of a program that adapts: is its time inside the bracket, and that no wider than 40 % of its middle?"""
    low, high = row.get("bracket") or (0, 0)
    return low <= statistics.median(row["t_app"]) <= high and high - low <= BRACKET * (high + low) / 2


def passes(row):
    return abs(error(row)) <= PAIR or (varies(row) and overlap(row)) or holds(row)


def seconds(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def report(rows):
    print("| class | application | target | T_app, s | T_replay, s | error | depth | reads | read, MB | written, MB | caveats |\n|" + "---|" * 11)
    for row in rows:
        judged = ""
        if varies(row):
            judged = ", varies: intervals overlap" if overlap(row) else ", varies: intervals do not overlap"
        if "bracket" in row:
            judged += f"; bracket {row['bracket'][0]:.2f} to {row['bracket'][1]:.2f} s {'holds' if holds(row) else 'does not hold'}"
        depth = " / ".join(f"{statistics.median(row[key]):.1f}" for key in ("depth_app", "depth_replay"))
        reads = " / ".join(f"{statistics.median(row.get(f'reads_{what}') or [0]):.0f}" for what in ("app", "replay"))
        moved = [" / ".join(f"{statistics.median(row.get(f'{way}_{what}') or [0]) / 1e6:.1f}" for what in ("app", "replay")) for way in ("read", "written")]
        caveats = ", ".join(row["caveats"]) or "none"
        print(f"| {row['class']} | {row['application']} | {row['target']} | {seconds(row['t_app'])} | {seconds(row['t_replay'])} | "
              f"{error(row):+.1f} %{judged} | {depth} | {reads} | {moved[0]} | {moved[1]} | {caveats} |")
    old = [row for row in rows if row["class"] == "aged"]
    if old:
        print("\n| application | target | seeks of the application | of the replay | error |\n|" + "---|" * 5)
    for row in old:
        app, replay = (statistics.median(row[f"seeks_{what}"]) for what in ("app", "replay"))
        print(f"| {row['application']} | {row['target']} | {app:.0f} | {replay:.0f} | {100 * (replay - app) / app:+.1f} % |")
    print("\n| class | pairs | mean error | worst | pairs over 15 % |\n|" + "---|" * 5)
    classes = {}
    for row in rows:
        classes.setdefault(row["class"], []).append(row)
    for name, members in classes.items():
        errors = [abs(error(row)) for row in members]
        over = sum(not passes(row) for row in members)
        print(f"| {name} | {len(members)} | {statistics.mean(errors):.1f} % | {max(errors):.1f} % | {over} |")
    means = [statistics.mean(abs(error(row)) for row in members) for members in classes.values()]
    if means:
        print(f"\nMean over the classes, each counting the same: {statistics.mean(means):.1f} %. "
              f"{sum(mean <= CLASS for mean in means)} of {len(means)} classes are within {CLASS:.0f} %, "
              f"{sum(map(passes, rows))} of {len(rows)} pairs within {PAIR:.0f} % (where the application itself varies by more than "
              f"5 %, its interval and that of the replay overlap; where it adapts, the bracket of ioriot predict "
              f"holds its time and is no wider than 40 %).")


def there(need):
    """Is a program, or the Python module lmdb, on this machine?"""
    if need == "lmdb":
        return subprocess.run(["/usr/bin/python3", "-c", "import lmdb"], capture_output=True).returncode == 0
    return shutil.which(need) is not None


def keep(results, row):
    """Adds a row to the file of what was measured; of two of the same key the last one counts."""
    with open(results, "a") as out:
        out.write(json.dumps(row) + "\n")
    return row


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="directory to work in (predict.sh gives it)")
    parser.add_argument("--short", action="store_true", help="two applications on one target, two runs of each")
    parser.add_argument("--applications", type=lambda text: text.split(","), help=f"some of {','.join(APPLICATIONS)}")
    parser.add_argument("--targets", type=lambda text: text.split(","), help=f"DEVICE-FILESYSTEM, as {','.join(TARGETS)}")
    parser.add_argument("--pace", default="app", help="pace of the replays")
    parser.add_argument("--runs", type=int, help="runs of each application and of each replay (5)")
    parser.add_argument("--table", action="store_true", help="only print the table of what was measured")
    options = parser.parse_args()
    applications, targets = SHORT if options.short else (list(APPLICATIONS), TARGETS)
    applications, targets = options.applications or applications, options.targets or targets
    runs = options.runs or (2 if options.short else 5)
    for name in applications:
        if name not in APPLICATIONS:
            parser.error(f"there is no application {name}")
    for name in targets:
        if name.count("-") != 1 or name.split("-")[0] not in DEVICES or name.split("-")[1] not in FILE_SYSTEMS:
            parser.error(f"there is no target {name}")
    bench, results = Bench(options.work, options.pace), options.work / "results.jsonl"
    known = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    rows, failed = [], 0
    if options.table:
        latest = {(row["application"], row["target"], row["pace"]): row for row in known}
        return report([row for (name, target, pace), row in latest.items()
                       if name in applications and target in targets and pace == options.pace])
    for name in applications:
        needs = [need for need in APPLICATIONS[name][3] if not there(need)]
        if needs:
            print(f"SKIPPED: {name}: there is no {', '.join(needs)}", file=sys.stderr)
            continue
        for target in targets:
            device, kind = target.split("-")
            if not shutil.which(f"mkfs.{kind}"):
                print(f"SKIPPED: {name} on {target}: there is no mkfs.{kind}", file=sys.stderr)
                continue
            inputs = [name, APPLICATIONS[name], WARM.get(name), DEVICES[device], FILE_SYSTEMS[kind], source_of(name, target), DEVICES[SOURCE.split("-")[0]], options.pace, runs, bench.made_of(name), "written back, seeks of ops, regrouped"]
            key = digest(inputs)
            row = next((row for row in reversed(known) if row["key"] == key), None)
            try:
                if row is None:
                    print(f"{name} on {target} ...", file=sys.stderr, flush=True)
                    row = keep(results, {"key": key} | bench.pair(name, target, runs))
                if "adapts" in row["caveats"] and abs(error(row)) > ADAPTS and "bracket" not in row:
                    row = keep(results, row | {"bracket": bench.bracket(name, target, runs, statistics.median(row["t_replay"]))})
            except (RuntimeError, OSError, KeyError, ValueError) as why:
                print(f"{name} on {target} failed: {why}", file=sys.stderr)
                failed += 1
                continue
            rows.append(row)
    report(rows)
    # The short form is a test.
    sys.exit(1 if failed or not rows or (options.short and any(abs(error(row)) > SHORT_PAIR for row in rows)) else 0)


if __name__ == "__main__":
    main()
