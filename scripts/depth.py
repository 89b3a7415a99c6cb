#!/usr/bin/env python3
"""Does a replay keep the queue depth of io_submit and io_uring? IOPS of fio and of its replay on the same device.

    scripts/depth.py TARGET [SOURCE]

TARGET and SOURCE (default: TARGET) are directories on the devices. fio is captured in SOURCE; then fio and the replay of the
capture take turns in TARGET, O_DIRECT, and one line says what each did. It shows most where TARGET has a known service time and
a known number of channels, and SOURCE another one. Takes root, fio, and some minutes.

IOR is the program to use, by default the release build; DEPTHS, ENGINES, KINDS and ROUNDS choose ("1 32", "libaio", "randread",
3); SLOW and FAST are commands that switch the target's delays on, and off while files are made. Exits with 1 when a replay is
not within 0.9 to 1.1 of fio."""
import json
import os
import shutil
import statistics
import subprocess
import sys

IOR = os.path.realpath(os.environ.get("IOR", "target/release/ioriot"))
DEPTHS = [int(depth) for depth in os.environ.get("DEPTHS", "1 8 32 128").split()]
ENGINES = os.environ.get("ENGINES", "libaio io_uring").split()
KINDS = os.environ.get("KINDS", "randread randwrite").split()
ROUNDS = int(os.environ.get("ROUNDS", "3"))
CALLS = {"libaio": {"randread": "aio_pread", "randwrite": "aio_pwrite"}, "io_uring": {"randread": "uring_read", "randwrite": "uring_write"}}


def run(args, **more):
    done = subprocess.run(args, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    if done.returncode != 0:
        sys.exit(f"depth.py: {' '.join(map(str, args))}: {done.stdout[-2000:]}")
    return done.stdout


def switch(which):
    if which in os.environ:
        run(os.environ[which], shell=True)


def fio(home, engine, kind, depth):
    requests = 1500 if depth == 1 else 6000
    return ["fio", "--name=x", f"--filename={home}/data", "--size=64m", f"--rw={kind}", "--bs=4k", f"--iodepth={depth}",
            "--direct=1", f"--ioengine={engine}", f"--number_ios={requests}", "--thread", "--randrepeat=1", "--eta=never",
            "--fallocate=none", f"--output={home}/fio.json", "--output-format=json"]


def data(home):
    """A file whose blocks are all there."""
    os.makedirs(home, exist_ok=True)
    with open(f"{home}/data", "wb") as file:
        for _ in range(64):
            file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())


def rate(home, kind):
    """IOPS that fio says it had."""
    with open(f"{home}/fio.json") as file:
        job = json.load(file)["jobs"][0]["read" if kind == "randread" else "write"]
    return job["total_ios"] / (job["runtime"] / 1e3)


def pair(target, source, engine, kind, depth):
    """IOPS of fio and of its replay, each the median of the rounds, and the depths that the replay tells."""
    capture, work, root = f"{source}/capture", f"{source}/work", f"{target}/root"
    for place in [capture, work, root, f"{target}/app"]:
        shutil.rmtree(place, ignore_errors=True)
    switch("FAST")
    data(f"{source}/home")
    switch("SLOW")
    run([IOR, "capture", "-o", capture, "--", *fio(f"{source}/home", engine, kind, depth)])
    run([IOR, "generate", capture, "-o", work])
    switch("FAST")
    data(f"{target}/app")
    run([IOR, "init", work, "--root", root])
    call, fios, replays, depths = CALLS[engine][kind], [], [], []
    for _ in range(ROUNDS):
        run(["sync", "-f", target])
        switch("SLOW")
        run(fio(f"{target}/app", engine, kind, depth))
        fios.append(rate(f"{target}/app", kind))
        result = f"{source}/run"
        shutil.rmtree(result, ignore_errors=True)
        told = json.loads(run([IOR, "replay", work, "--root", root, "--dirty", "-o", result, "--pace", "asap", "--format", "json", "--min-match", "0"]))
        switch("FAST")
        rows = f"SELECT count(*) * 1e9 / (max(\"begin\" + dur) - min(\"begin\")) FROM results WHERE syscall = '{call}'"
        replays.append(float(run([IOR, "query", result, rows, "--format", "csv"]).split()[-1]))
        depths.append(told["requests"])
    return statistics.median(fios), statistics.median(replays), depths[-1]


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    target, source = os.path.realpath(sys.argv[1]), os.path.realpath(sys.argv[-1])
    worst = False
    print("| engine | kind | depth | fio IOPS | replay IOPS | replay / fio | in flight, captured | replayed |")
    print("|---|---|---|---|---|---|---|---|")
    for engine in ENGINES:
        for kind in KINDS:
            for depth in DEPTHS:
                app, replay, said = pair(target, source, engine, kind, depth)
                worst |= not 0.9 <= replay / app <= 1.1
                flying = [f"{said[key]:.1f}" if said[key] else "-" for key in ("depth_captured", "depth_replayed")]
                print(f"| {engine} | {kind} | {depth} | {app:.0f} | {replay:.0f} | {replay / app:.2f} | {' | '.join(flying)} |", flush=True)
    sys.exit(int(worst))


main()
