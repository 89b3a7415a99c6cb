#!/usr/bin/env python3
"""Kills, interrupts and starves every verb, again and again, and looks at what is left.

    scripts/crash.py [--seconds N] [--seed S]

Each case disturbs one verb: SIGKILL, SIGINT or SIGTERM at a random moment, a second one that wants the same name, `clean`
beside it, a full disk (root only), or little memory. After each case must hold: what looks whole is whole, nothing of the
user's has changed, no process is left, and the name is free for the next run, after what the refusal itself advises.
IOR is the program to use, by default the release build; CRASH_DIR where to work, by default target/.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
IOR = Path(os.environ.get("IOR", HOME / "target/release/ioriot")).resolve()
INPUT = HOME / "tests/data/v5-copy.capture.gz"
JOB = "for i in 1 2 3 4 5 6 7 8; do echo $i > a$i; cat a$i >> all; mv a$i b$i; done; rm -f b* all"
REQUESTS = ("fio --name=a --filename=f --size=256k --bs=4k --rw=randrw --ioengine=libaio --iodepth=8 --thread --numjobs=2 "
            "--group_reporting --output=/dev/null").split()
SQL = "SELECT syscall, count(*) AS n FROM events GROUP BY syscall ORDER BY syscall"
PATIENCE = 120


class Verb:
    """How a verb is called to make `out`, what it makes, and how what is in its way is cleared or mended."""

    def __init__(self, name, args, table=None, again=(), recover=None, root=False, mend=None):
        self.name, self.args, self.table, self.again, self.recover, self.root = name, args, table, again, recover, root
        self.mend = mend


class Fault(Exception):
    """Something that must hold does not."""


def check(holds, *said):
    if not holds:
        raise Fault(" ".join(str(word) for word in said))


def start(args, place, memory=None):
    def limit():
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    return subprocess.Popen([IOR, *args], cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True, preexec_fn=limit)


def end(process):
    """Waits for a process; its exit code (negative: the signal) and what it said."""
    try:
        said, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise Fault("hangs:", process.args) from None
    return process.returncode, said


def ior(args, place, code=0):
    got, said = end(start(args, place))
    check(code is None or got == code, args, "ended with", got, said)
    return got, said


def picture(path):
    """What is at a path, byte for byte."""
    digest = hashlib.sha256()
    for file in sorted([path, *path.rglob("*")]):
        digest.update(f"{file.relative_to(path)} {file.is_dir()} {file.lstat().st_mode}\n".encode())
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()


class Scene:
    """A directory with what the user has, and one for what the verbs make."""

    def __init__(self, place):
        self.place, self.made, self.mine = place, place / "made", place / "mine"
        self.made.mkdir()
        self.mine.mkdir()
        ior(["ingest", INPUT, "-o", "capture"], self.mine)
        ior(["generate", "capture", "-o", "workload"], self.mine)
        ior(["init", "workload", "--root", "root"], self.mine)
        (self.mine / "target").mkdir()
        requests = shutil.which("fio") is not None
        if requests:
            ior(["capture", "--backend", "ptrace", "-o", "async.capture", "--", *REQUESTS], self.mine)
            ior(["generate", "async.capture", "-o", "async"], self.mine)
            ior(["init", "async", "--root", "async.root"], self.mine)
        self.answers = {
            "query": ior(["query", "capture", SQL, "--format", "csv"], self.mine)[1],
            "export": ior(["export", "capture", "--to", "folded"], self.mine)[1],
        }
        self.counts = {table: self.count(self.mine / name, table) for name, table in [("capture", "events"), ("workload", "ops")]}
        # Beside what is made: none of it is ours, whatever it is called.
        for name in ["thesis", ".thesis.unfinished/chapter", "out.old/x", ".out.csv"]:
            (self.made / name).parent.mkdir(exist_ok=True)
            (self.made / name).write_text(name)
        self.others = {path: picture(path) for path in [self.mine / "capture", self.mine / "workload", *self.made.iterdir()]}
        cap, work, root = (self.mine / name for name in ["capture", "workload", "root"])
        capture = ["capture", "--backend", "ptrace", "-o", "out", "--", "sh", "-c", JOB]
        recover = ["capture", "--recover", "-o", "out"]
        self.verbs = [
            Verb("ingest", ["ingest", INPUT, "-o", "out"], "events"),
            Verb("generate", ["generate", cap, "-o", "out"], "ops"),
            Verb("init", ["init", work, "--root", "out"], again=["--force"], root=True),
            Verb("replay", ["replay", work, "--root", root, "-o", "out", "--dirty", "--pace", "asap", "--min-match", "0"], "results",
                 recover=["replay", "--recover", "out"]),
            Verb("replay again and again", ["replay", work, "--root", root, "-o", "out/run", "--repeat", "3", "--min-match", "0"],
                 mend=["init", work, "--root", root, "--force"]),
            Verb("predict", ["predict", work, "--target", self.mine / "target", "-o", "out", "--repeat", "2", "--force"]),
            Verb("run", ["run", INPUT, "-o", "out"], again=["--force"]),
            Verb("query", ["query", cap, SQL, "--format", "csv", "-o", "out"]),
            Verb("export", ["export", cap, "--to", "folded", "-o", "out"]),
            Verb("capture by ptrace", capture, "events", recover=recover),
        ]
        if requests:
            # By requests, and at the pace of the program.
            args = ["replay", self.mine / "async", "--root", self.mine / "async.root", "-o", "out", "--dirty", "--min-match", "0",
                    "--pace", "app", "--async", "native", "--threads", "2"]
            self.verbs.append(Verb("replay of requests", args, recover=["replay", "--recover", "out"]))
        if subprocess.run([IOR, "capture", "--check"], capture_output=True).returncode == 0:
            capture = [word.replace("ptrace", "ebpf") for word in capture]
            self.verbs.append(Verb("capture by eBPF", capture, "events", recover=recover))
        self.usual = {}
        for verb in self.verbs:
            began = time.monotonic()
            ior(verb.args, self.made)
            self.usual[verb.name] = time.monotonic() - began
            self.clear()

    def count(self, dataset, table):
        """Rows of a table; also shows that a dataset can be read."""
        said = ior(["query", dataset, f"SELECT count(*) AS n FROM {table}", "--format", "csv"], self.place)[1]
        return int(said.split()[-1])

    def clear(self):
        """Takes what a verb made away, as its user would."""
        out = self.made / "out"
        if out.is_file():
            out.unlink()
        elif out.is_dir():
            shutil.rmtree(out)
        for old in self.made.glob("out.old-*"):
            shutil.rmtree(old)

    def whole(self, verb, out, ended_well):
        """What looks whole is whole: as much as there is to be, or it says itself that it is not."""
        if not out.exists():
            check(not ended_well, verb.name, "said that all is well, and there is nothing")
            return
        if verb.name in self.answers:
            check(out.read_text() == self.answers[verb.name], verb.name, "half an answer looks whole")
        if verb.name == "run" and (out / "run" / "manifest.json").exists():
            self.count(out / "run", "results")
        for run in out.glob("*-[0-9]/manifest.json") if out.is_dir() else []:
            count, complete = self.count(run.parent, "results"), json.loads(run.read_text()).get("complete", True)
            check(not complete or count >= self.counts["ops"], f"{count} of {self.counts['ops']} results look complete")
        if not verb.table:
            return
        manifest = json.loads((out / "manifest.json").read_text())
        count = self.count(out, verb.table)
        if verb.table in self.counts and not verb.name.startswith("capture"):
            check(count == self.counts[verb.table], f"{count} of {self.counts[verb.table]} {verb.table} look whole")
        if verb.name == "replay" and not ended_well and manifest.get("complete", True):
            check(count >= self.counts["ops"], f"{count} of {self.counts['ops']} results look complete")

    def nobody(self):
        """No process of ours is left that works in the scene."""
        until = time.monotonic() + 10
        while True:
            left = []
            for entry in Path("/proc").iterdir():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
                except OSError:
                    continue
                if any(os.fsencode(self.place) in word for word in words[1:]):
                    left.append(f"{entry.name} {b' '.join(words[:3])}")
            if not left:
                return
            check(time.monotonic() < until, "left running:", left)
            time.sleep(0.02)

    def look(self, verb, code, said):
        """After a case: everything that must hold, and the next run."""
        # The program makes an error of a panic ("a library gave up"), and that is no better.
        quiet = not any(word in said.lower() for word in ["panicked", "gave up", "internal error"])
        check(quiet, verb.name, "panicked:", said)
        self.nobody()
        for path, before in self.others.items():
            check(path.exists() and picture(path) == before, path, "has changed")
        self.whole(verb, self.made / "out", code == 0)
        if verb.name not in ("init", "run"):
            self.clear()
        args = verb.args
        if (self.made / "out").exists():
            args = [*args, *verb.again]
        code, said = ior(args, self.made, None)
        if code == 2 and verb.recover:
            check("--recover" in said, verb.name, "is blocked, and does not say how to go on:", said)
            recovered, told = ior(verb.recover, self.made, None)
            check(recovered == 0, verb.name, "cannot be recovered:", told)
            self.whole(verb, self.made / "out", True)
            self.clear()
            code, said = ior(verb.args, self.made, None)
        if code == 2 and verb.mend and "is incomplete" in said:
            # It was ended while it made the tree anew.
            check("--force" in said, verb.name, "is blocked, and does not say how to go on:", said)
            ior(verb.mend, self.mine)
            self.clear()
            code, said = ior(verb.args, self.made, None)
        check(code == 0, "the next", verb.name, "ended with", code, said)
        self.whole(verb, self.made / "out", True)
        self.clear()
        left = {path.name for path in self.made.iterdir()} - {path.name for path in self.others}
        check(not left, verb.name, "left", left)


def signalled(scene, verb, rng):
    """A signal at any moment."""
    sign = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
    process = start(verb.args, scene.made)
    time.sleep(rng.uniform(0, 1.1) * scene.usual[verb.name])
    process.send_signal(sign)
    code, said = end(process)
    # Before the program has begun it cannot do anything about it, and has made nothing.
    early = not (scene.made / "out").exists() and not list(scene.made.glob(".out*.unfinished"))
    check(sign == signal.SIGKILL or code >= 0 or early, verb.name, "let", sign.name, "kill it:", code)
    scene.look(verb, code, said)
    return sign.name


def rivals(scene, verb, rng):
    """Two at once that want one name: one of them has it, whole, and the other says why not."""
    first = start(verb.args, scene.made)
    time.sleep(rng.uniform(0, 1) * scene.usual[verb.name])
    second = start(verb.args, scene.made)
    (one, said), (two, also) = end(first), end(second)
    check(one == 0 or two == 0, "neither", verb.name, "came through:", one, said, two, also)
    check(verb.root or {one, two} <= {0, 2}, verb.name, "ended with", one, two, said, also)
    scene.look(verb, 0, said + also)
    return "rivals"


def cleaned(scene, verb, rng):
    """`clean` beside it takes nothing that is in use."""
    process = start(verb.args, scene.made)
    time.sleep(rng.uniform(0, 1) * scene.usual[verb.name])
    ior(["clean", ".", "--yes"], scene.made, None)
    code, said = end(process)
    check(code == 0, verb.name, "beside clean ended with", code, said)
    scene.look(verb, code, said)
    return "clean"


def memory(scene, verb, rng):
    """Little memory: it is done, or it is not."""
    amount = rng.randrange(16, 512) << 20
    code, said = end(start(verb.args, scene.made, amount))
    short = ["memory", "Resource temporarily unavailable", "zstd returned null pointer"]
    said = "" if any(word in said for word in short) else said
    scene.look(verb, code, said)
    return f"{amount >> 20} MiB"


def full(scene, verb, rng):
    """No room for what it makes; then there is."""
    size, disk = rng.choice([16, 64, 256, 1024]), scene.place / "disk"
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k,mode=700", "tmpfs", disk], check=True)
    usual, scene.made = scene.made, disk
    others, scene.others = scene.others, {path: was for path, was in scene.others.items() if scene.mine in path.parents}
    try:
        code, said = ior(verb.args, disk, None)
        check(code == 0 or any(word in said.lower() for word in ["space", "make room", "recover"]), verb.name, "does not say that the disk is full:", said)
        subprocess.run(["mount", "-o", "remount,size=1G", disk], check=True)
        scene.look(verb, code, said)
    finally:
        scene.made, scene.others = usual, others
        subprocess.run(["umount", "-l", disk], check=True)
    return f"{size} KiB of disk"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--only", help="a verb")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    cases = [signalled] * 5 + [rivals, cleaned, memory] + ([full] if os.geteuid() == 0 else [])
    until, done, faults = time.monotonic() + options.seconds, {}, 0
    while time.monotonic() < until and faults < 10:
        with tempfile.TemporaryDirectory(prefix="crash.", dir=os.environ.get("CRASH_DIR", HOME / "target")) as place:
            scene = Scene(Path(place))
            verbs = [verb for verb in scene.verbs if options.only in (None, verb.name)]
            while time.monotonic() < until:
                case, verb = rng.choice(cases), rng.choice(verbs)
                number = sum(done.values())
                done[case.__name__] = done.get(case.__name__, 0) + 1
                try:
                    case(scene, verb, rng)
                except Fault as fault:
                    faults += 1
                    print(f"case {number}, {case.__name__} of {verb.name}: {fault}", flush=True)
                    break  # and go on in a new scene
    total = sum(done.values())
    print(f"crash.py: {total} cases ({', '.join(f'{count} {name}' for name, count in sorted(done.items()))}), seed {options.seed}: {faults} faults")
    return 1 if faults or not total else 0


if __name__ == "__main__":
    sys.exit(main())
