//! Live captures by eBPF, held against strace, against known counts, and against their own replay.
//!
//! They need CAP_BPF, CAP_PERFMON and a kernel that describes its types; without, they say loudly that they were skipped.

use crate::tool::{command, expect, ioriot};
#[cfg(feature = "sql")]
use crate::tool::{number, rows};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[cfg(feature = "sql")]
mod compat;
mod paths;
mod requests;

/// May this process capture?
fn allowed() -> bool {
    let check = ioriot(&["capture", "--check"]);
    if !check.status.success() {
        eprintln!("SKIPPED: no live capture here: {}", String::from_utf8_lossy(&check.stderr));
    }
    check.status.success()
}

/// A scratch directory on a stored file system.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Compiles a C program into a directory; `None`, loudly, without a compiler.
fn compile(dir: &Path, name: &str, source: &Path) -> Option<PathBuf> {
    let program = dir.join(name);
    let built = Command::new("cc").args(["-O2", "-o"]).arg(&program).arg(source).arg("-lpthread").status();
    let built = built.is_ok_and(|status| status.success());
    if !built {
        eprintln!("SKIPPED: no C compiler here");
    }
    built.then_some(program)
}

fn compile_text(dir: &Path, name: &str, text: &str) -> Option<PathBuf> {
    let source = dir.join(format!("{name}.c"));
    std::fs::write(&source, text).unwrap();
    compile(dir, name, &source)
}

/// Runs a capture, which must end with this exit code; its summary.
fn capture(code: i32, out: &Path, args: &[&str]) -> Value {
    let mut all = vec!["capture", "-o", out.to_str().unwrap(), "--format", "json"];
    all.extend(args);
    let printed = expect(code, &all);
    let json = &printed[printed.find("{\n").unwrap_or(0)..];
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

fn int(summary: &Value, pointer: &str) -> u64 {
    summary.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer} of {summary}"))
}

/// `issued = written + filtered + lost + unfinished`.
fn closes(summary: &Value) {
    let parts = ["written", "filtered", "lost", "unfinished"].iter().map(|part| int(summary, &format!("/sum/{part}")));
    assert_eq!(int(summary, "/sum/issued"), parts.sum::<u64>(), "{summary}");
}

/// Calls pread so often on a file.
const LOOP: &str = r#"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **args) {
	char buffer[4096];
	int fd = open(args[2], O_RDONLY);
	for (long i = atol(args[1]); i > 0; i--)
		pread(fd, buffer, 4096, 0);
	return count != 3;
}
"#;

fn looping(dir: &Path) -> Option<(String, String)> {
    let program = compile_text(dir, "loop", LOOP)?;
    std::fs::write(dir.join("file"), [7; 4096]).unwrap();
    Some((program.to_str().unwrap().into(), dir.join("file").to_str().unwrap().into()))
}

#[test]
fn every_call_is_written_or_counted_as_lost() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let Some((program, file)) = looping(dir.path()) else { return };
    const CALLS: u64 = 60_000;
    let calls = CALLS.to_string();
    let whole = capture(0, &dir.path().join("whole"), &["--", &program, &calls, &file]);
    assert_eq!(int(&whole, "/syscalls/pread64"), CALLS + 2, "the loop and the loader's own"); // glibc reads two headers
    assert_eq!(int(&whole, "/sum/lost"), 0);
    closes(&whole);

    // A ring this small cannot hold what comes while its reader sleeps.
    let out = dir.path().join("lossy");
    let lossy = capture(1, &out, &["--buffer", "64K", "--", &program, &calls, &file]);
    let lost = int(&lossy, "/sum/lost");
    assert!(lost > 0);
    closes(&lossy);
    assert_eq!(int(&lossy, "/sum/issued"), int(&whole, "/sum/issued"));
    let listed = lossy["losses"].as_array().unwrap().iter();
    let listed: u64 = listed.filter(|loss| loss["kind"] == "ring_full").map(|loss| loss["count"].as_u64().unwrap()).sum();
    assert_eq!(listed, lost);
    #[cfg(feature = "sql")]
    {
        let marked = number(&[&out], "SELECT sum(count) FROM events WHERE syscall = 'ioriot:hole'");
        assert!(marked >= lost as f64, "{marked} of {lost} are marked among the events");
        let timed = number(&[&out], "SELECT sum(count) FROM losses WHERE kind = 'ring_full' AND first < last");
        assert_eq!(timed, lost as f64);
    }

    capture(0, &dir.path().join("content"), &["--buffer", "64K", "--on-drop", "report", "--", &program, &calls, &file]);
    let failed = dir.path().join("failed");
    expect(
        2,
        &["capture", "-o", failed.to_str().unwrap(), "--buffer", "64K", "--on-drop", "fail", "--", &program, &calls, &file],
    );
    assert!(!failed.exists());
}

#[test]
fn no_right_is_left_and_none_is_handed_on() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let whole = capture(0, &dir.path().join("own"), &["--", "true"]);
    assert_eq!(int(&whole, "/capabilities"), 0);
    if !crate::tool::root() {
        return;
    }
    // As if nobody had called sudo.
    std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
    let _ = std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755));
    let out = dir.path().join("sudo");
    let script = "id -u; grep ^CapEff /proc/self/status";
    let mut captured = command(&["capture", "-o", out.to_str().unwrap(), "--", "sh", "-c", script]);
    let captured = captured.env("SUDO_UID", "65534").env("SUDO_GID", "65534").output().unwrap();
    let text = String::from_utf8_lossy(&captured.stdout);
    if String::from_utf8_lossy(&captured.stderr).contains("Permission denied") {
        return eprintln!("SKIPPED: user 65534 may not enter {}", dir.path().display());
    }
    assert!(text.starts_with("65534\nCapEff:\t0000000000000000\n"), "{text}");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&out.metadata().unwrap()), 65534);
}

/// A process that is killed when the test is over.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_limit_ends_in_a_whole_dataset() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let Some((program, file)) = looping(dir.path()) else { return };
    let running = Running(Command::new(&program).args(["1000000000", &file]).spawn().unwrap());
    let pid = running.0.id().to_string();
    let few = capture(0, &dir.path().join("few"), &["--pid", &pid, "--max-events", "500"]);
    assert_eq!((int(&few, "/events"), few["ended"].as_str()), (500, Some("events")));
    closes(&few);
    for (name, limit, why) in [("short", ["--duration", "300ms"], "duration"), ("small", ["--max-bytes", "8K"], "bytes")] {
        let ended = capture(0, &dir.path().join(name), &["--on-drop", "report", "--pid", &pid, limit[0], limit[1]]);
        assert_eq!(ended["ended"], why);
        closes(&ended);
    }
    let out = dir.path().join("interrupted");
    let mut capture = command(&["capture", "-o", out.to_str().unwrap(), "--on-drop", "report", "--pid", &pid]);
    let mut capture = capture.stdout(Stdio::null()).spawn().unwrap();
    let unfinished = dir.path().join(".interrupted.unfinished");
    wait_for(|| unfinished.exists());
    // SAFETY: a signal to a child of ours.
    unsafe { libc::kill(capture.id() as i32, libc::SIGINT) };
    assert!(capture.wait().unwrap().success() && out.join("manifest.json").exists());
}

#[test]
fn a_killed_capture_can_be_recovered() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let Some((program, file)) = looping(dir.path()) else { return };
    // Few calls, so that a debug build keeps up.
    let script = format!("while :; do {program} 100 {file}; done");
    let running = Running(Command::new("sh").args(["-c", &script]).spawn().unwrap());
    let (out, pid) = (dir.path().join("killed"), running.0.id().to_string());
    let mut captured = Running(command(&["capture", "-o", out.to_str().unwrap(), "--pid", &pid]).spawn().unwrap());
    let unfinished = dir.path().join(".killed.unfinished");
    wait_for(|| unfinished.join("events.contents").exists());
    captured.0.kill().unwrap();
    captured.0.wait().unwrap();
    drop(running);
    let again = ioriot(&["capture", "-o", out.to_str().unwrap(), "--", "true"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("--recover"), "{again:?}");
    expect(0, &["capture", "--recover", "-o", out.to_str().unwrap()]);
    assert!(!unfinished.exists());
    #[cfg(feature = "sql")]
    {
        assert!(number(&[&out], "SELECT count(*) FROM events WHERE syscall = 'pread64'") > 1000.0);
        assert_eq!(number(&[&out], "SELECT max(seq) + 1 - count(*) FROM events"), 0.0);
        assert_eq!(rows(&[&out], "SELECT kind FROM losses"), ["killed"]);
        let workload = dir.path().join("workload");
        expect(0, &["generate", out.to_str().unwrap(), "-o", workload.to_str().unwrap()]);
    }
}

fn wait_for(mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(20), "waited for too long");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn scopes_find_what_they_name() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let Some(_) = looping(dir.path()) else { return };
    let program = dir.path().join("ioriot-scope");
    std::fs::copy(dir.path().join("loop"), &program).unwrap();
    let running = Running(Command::new(&program).args(["1000000000", "/dev/zero"]).spawn().unwrap());
    let scopes = [["--comm", "ioriot-scope"], ["--user", "root"]];
    for [flag, value] in scopes.into_iter().take(if crate::tool::root() { 2 } else { 1 }) {
        let out = dir.path().join(&flag[2..]);
        let summary = capture(0, &out, &[flag, value, "--max-events", "2000", "--syscalls", "pread64", "--on-drop", "report"]);
        assert_eq!(int(&summary, "/syscalls/pread64"), 2000, "{flag}");
    }
    drop(running);
    let error = ioriot(&["capture", "-o", dir.path().join("none").to_str().unwrap(), "--pid", "4194304"]);
    assert!(String::from_utf8_lossy(&error.stderr).contains("no process 4194304"));
}

#[cfg(feature = "sql")]
mod replayed {
    use super::*;

    /// Replays a capture with every outcome compared; its match and coverage in percent.
    pub fn replay(dir: &Path, capture: &Path, threads: &str) -> (f64, f64) {
        let [workload, root, run] = ["workload", "root", "run"].map(|name| dir.join(format!("{name}-{threads}")));
        let [c, w, r, o] = [capture, &workload, &root, &run].map(|path| path.to_str().unwrap());
        expect(0, &["generate", c, "-o", w]);
        expect(0, &["init", w, "--root", r]);
        expect(0, &["replay", w, "--root", r, "-o", o, "--threads", threads, "--min-match", "0"]);
        let matched = "SELECT 100.0 * avg(CASE outcome WHEN 'same' THEN 1.0 ELSE 0.0 END) FROM results WHERE origin = 'event' AND outcome <> 'uncompared'";
        let covered = "SELECT 100.0 * avg(CASE fate WHEN 'op' THEN 1.0 ELSE 0.0 END) FROM fates WHERE on_file";
        let differences = rows(&[&run], "SELECT syscall, kind, count(*) FROM results WHERE outcome = 'different' GROUP BY 1, 2");
        if !differences.is_empty() {
            eprintln!("{differences:#?}");
        }
        let result = (number(&[&run], matched), number(&[&workload], covered));
        [workload, root, run].iter().for_each(|dir| std::fs::remove_dir_all(dir).unwrap());
        result
    }

    /// What both must say of each call. Addresses and process ids differ from run to run; strace leaves out fields of
    /// `struct open_how` that are 0, and does not know the newest calls.
    pub const CALLS: &str = "SELECT syscall, errno, fd, fd2, dirfd, dirfd2, offset, offset2, count, whence, uid, gid, iovcnt, resolve, \
        atime, mtime, path, path2, name, \
        CASE WHEN syscall IN ('mmap', 'mremap', 'fork', 'vfork', 'clone', 'clone3') THEN 0 ELSE ret END AS r, \
        CASE WHEN syscall IN ('clone', 'clone3', 'openat2') THEN coalesce(flags, 0) & 3 ELSE flags END AS f, \
        CASE WHEN syscall = 'openat2' THEN coalesce(mode, 0) ELSE mode END AS m, \
        CASE WHEN syscall = 'ioctl' THEN 0 ELSE cmd END AS c \
        FROM events \
        WHERE syscall IN (SELECT syscall FROM syscall_def WHERE support <> 'drop') AND syscall NOT IN ('execve', 'fchmodat2') AND coalesce(path, '') NOT LIKE '/proc/%' \
        ORDER BY tid - (SELECT min(tid) FROM events), seq";

    #[test]
    fn the_matrix_is_captured_call_by_call_as_strace_shows_it() {
        if !allowed() {
            return;
        }
        let dir = scratch();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/syscall_matrix.c");
        let Some(matrix) = compile(dir.path(), "matrix", &source) else { return };
        let base = dir.path().join("base");
        let out = dir.path().join("ebpf");
        let summary = capture(0, &out, &["--", matrix.to_str().unwrap(), base.to_str().unwrap()]);
        closes(&summary);
        assert_eq!((int(&summary, "/sum/unfinished"), summary["losses"].as_array().map(Vec::len)), (0, Some(0)));
        let (matched, covered) = replay(dir.path(), &out, "1");
        assert_eq!((matched, covered), (100.0, 100.0));

        std::fs::remove_dir_all(&base).unwrap();
        let text = dir.path().join("matrix.strace");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-ttt", "-T", "-y", "-yy", "-s", "4096", "-o"]).args([&text, &matrix, &base]);
        match strace.status() {
            Ok(status) if status.success() => {}
            _ => return eprintln!("SKIPPED: no strace here"),
        }
        let ingested = dir.path().join("strace");
        expect(0, &["ingest", text.to_str().unwrap(), "-o", ingested.to_str().unwrap()]);
        let [ours, theirs] = [&out, &ingested].map(|capture| rows(&[capture], CALLS));
        for (line, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert_eq!(ours, theirs, "call {line}");
        }
        assert_eq!(ours.len(), theirs.len());
    }

    /// Needs no rights, so it is never skipped where there is a compiler.
    #[test]
    fn ptrace_captures_what_ebpf_captures() {
        let dir = scratch();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/syscall_matrix.c");
        let Some(matrix) = compile(dir.path(), "matrix", &source) else { return };
        let base = dir.path().join("base");
        let captured = |backend: &str| {
            let out = dir.path().join(backend);
            let command = ["--backend", backend, "--", matrix.to_str().unwrap(), base.to_str().unwrap()];
            let summary = capture(0, &out, &command);
            closes(&summary);
            assert_eq!(summary["backend"], backend);
            std::fs::remove_dir_all(&base).unwrap();
            out
        };
        let ptrace = captured("ptrace");
        assert_eq!(replay(dir.path(), &ptrace, "1"), (100.0, 100.0));
        if allowed() {
            let [ours, theirs] = [&captured("ebpf"), &ptrace].map(|capture| rows(&[capture], CALLS));
            for (line, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                assert_eq!(ours, theirs, "call {line}");
            }
            assert_eq!(ours.len(), theirs.len());
        }
        let (out, home) = (dir.path().join("script"), dir.path().to_str().unwrap());
        let script = "cd \"$0\" && mkdir y && for i in 1 2 3; do echo $i | cat > y/$i; done && cp -r y z && rm -r y";
        closes(&capture(0, &out, &["--backend", "ptrace", "--", "sh", "-c", script, home]));
        let (matched, covered) = replay(dir.path(), &out, "4");
        assert!(matched == 100.0 && covered > 99.9, "match {matched}, coverage {covered}");
    }

    #[test]
    fn a_shell_script_replays_with_every_outcome_the_same() {
        if !allowed() {
            return;
        }
        let dir = scratch();
        let script = "cd \"$0\" && mkdir x && cd x && for i in 1 2 3 4 5; do echo $i > f$i; cat f$i >> all; mv f$i g$i; done && \
            sort -r all > sorted && ln -s sorted link && cat link | wc -l > lines && cp -r . ../y && ls -l ../y > ../list && \
            rm -r ../y && (cd .. && tar cf t.tar x && tar tf t.tar > /dev/null)";
        let out = dir.path().join("capture");
        let summary = capture(0, &out, &["--", "sh", "-c", script, dir.path().to_str().unwrap()]);
        closes(&summary);
        let repairs = number(&[&out], "SELECT count(DISTINCT pid) FROM events");
        assert!(repairs > 10.0, "{repairs} processes");
        for threads in ["1", "8"] {
            let (matched, covered) = replay(dir.path(), &out, threads);
            assert_eq!(matched, 100.0);
            assert!(covered > 99.9, "{covered}");
        }
    }

    /// Opens what it will use, forks, and waits for a file before it goes on; see the test.
    const SERVER: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int count, char **args) {
	char buffer[4096];
	struct stat st;
	if (count != 2 || chdir(args[1]))
		return 1;
	int data = open("data", O_RDWR | O_CREAT, 0644), log = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
	for (int i = 0; i < 100; i++)
		write(data, buffer, 4096);
	lseek(data, 1234, SEEK_SET);
	write(log, "begin\n", 6);
	int gone = open("gone", O_RDWR | O_CREAT, 0600), dir = open(".", O_RDONLY | O_DIRECTORY);
	write(gone, buffer, 3000);
	unlink("gone");
	int twin = dup(data);
	pid_t child = fork();
	close(open(child ? "parent" : "child", O_CREAT | O_WRONLY, 0600));
	while (access("go", F_OK))
		usleep(10000);
	for (int i = 0; i < 200; i++) {
		char name[32];
		snprintf(name, sizeof name, "new-%d-%d", child != 0, i % 7);
		read(data, buffer, 77);
		write(log, "line\n", 5);
		pread(twin, buffer, 4096, i * 1000);
		pwrite(gone, buffer, 100, i * 50);
		int fd = openat(dir, name, O_RDWR | O_CREAT, 0644);
		write(fd, "abc", 3);
		fstat(fd, &st);
		close(fd);
		stat("data", &st);
		lseek(twin, -50, SEEK_CUR);
	}
	if (child) {
		wait(NULL);
		fsync(log);
		rename("log", "log.1");
		lseek(gone, 0, SEEK_END);
	}
	return 0;
}
"#;

    #[test]
    fn a_program_that_runs_already_is_captured_without_stopping_it() {
        if !allowed() {
            return;
        }
        let dir = scratch();
        let Some(server) = compile_text(dir.path(), "server", SERVER) else { return };
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let mut running = Running(Command::new(&server).arg(&home).spawn().unwrap());
        wait_for(|| home.join("parent").exists() && home.join("child").exists());
        let out = dir.path().join("capture");
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.0.id())).unwrap();
        let pids = format!("{},{}", running.0.id(), children.trim());
        let mut started =
            command(&["capture", "-o", out.to_str().unwrap(), "--pid", &pids]).stdout(Stdio::null()).spawn().unwrap();
        let unfinished = dir.path().join(".capture.unfinished");
        wait_for(|| unfinished.exists());
        std::fs::write(home.join("go"), "").unwrap();
        running.0.wait().unwrap();
        assert!(started.wait().unwrap().success());

        let shared = rows(
            &[&out],
            "SELECT path, position, st_size, count(DISTINCT ofd), count(*) FROM open_files WHERE path LIKE '%/data' GROUP BY 1, 2, 3",
        );
        assert_eq!(shared.len(), 1);
        assert!(shared[0].ends_with("/data,1234,409600,1,4"), "{shared:?}");
        let (matched, covered) = replay(dir.path(), &out, "1");
        assert!(matched >= 99.9 && covered >= 99.9, "match {matched}, coverage {covered}");
    }

    /// What the kernel showed of a file is what stat(2) says.
    #[test]
    fn observed_facts_are_those_of_stat() {
        if !allowed() {
            return;
        }
        let dir = scratch();
        let out = dir.path().join("capture");
        let file = dir.path().join("file");
        std::fs::write(&file, vec![1; 10_000]).unwrap();
        std::os::unix::fs::symlink("file", dir.path().join("link")).unwrap();
        capture(0, &out, &["--", "cat", dir.path().join("link").to_str().unwrap()]);
        let meta = file.metadata().unwrap();
        let found = rows(
            &[&out],
            "SELECT dev, ino, st_mode, st_size, fd_path FROM events WHERE syscall = 'openat' AND path LIKE '%/link'",
        );
        use std::os::unix::fs::MetadataExt;
        let path = std::fs::canonicalize(&file).unwrap();
        assert_eq!(found, [format!("{},{},{},10000,{}", meta.dev(), meta.ino(), meta.mode(), path.display())]);
        let ends = rows(
            &[&out],
            "SELECT position FROM events WHERE syscall = 'read' AND ret > 0 AND ino = (SELECT ino FROM events WHERE path LIKE '%/link') ORDER BY seq DESC LIMIT 1",
        );
        assert_eq!(ends, ["10000"]);
    }
}

/// By eBPF where that is allowed, else by ptrace.
#[cfg(feature = "sql")]
#[test]
fn a_command_is_captured_and_replayed_in_one_go() {
    let dir = scratch();
    let script = "echo one > a; mv a b; cat b; ln -s b c; rm b; cat c; exit 3";
    let mut run = command(&["run", "--format", "json", "-o", "story", "--", "sh", "-c", script]);
    let output = run.current_dir(dir.path()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("one\n"), "what the command says is not part of the story: {stderr}");
    let story: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(story["capture"]["kind"], "capture");
    assert_eq!((story["replay"]["match_percent"].as_f64(), story["replay"]["different"].as_u64()), (Some(100.0), Some(0)));
    let link = dir.path().join("story/root/tree").join(dir.path().strip_prefix("/").unwrap()).join("c");
    assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("b"), "{}", link.display());
    let usage = String::from_utf8_lossy(&ioriot(&["run"]).stderr).into_owned();
    assert!(usage.contains("INPUT"), "{usage}");
}
