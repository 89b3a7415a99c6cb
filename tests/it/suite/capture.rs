//! Live captures by eBPF, held against strace, against known counts, and against their own replay.
//!
//! They need CAP_BPF, CAP_PERFMON and a kernel that describes its types.

use crate::alone::beside_others;
use crate::skip::{Need, skip};
use crate::tool::{command, expect, ioriot, open_scratch};
#[cfg(feature = "sql")]
use crate::tool::{number, rows};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[cfg(feature = "sql")]
mod both;
#[cfg(feature = "sql")]
mod bytes;
#[cfg(feature = "sql")]
mod cached;
#[cfg(feature = "sql")]
mod causes;
#[cfg(feature = "sql")]
mod compat;
#[cfg(feature = "sql")]
mod deep;
#[cfg(feature = "sql")]
mod device;
#[cfg(feature = "sql")]
mod elsewhere;
#[cfg(feature = "sql")]
mod executed;
#[cfg(feature = "sql")]
mod facts;
#[cfg(feature = "sql")]
mod in_memory;
#[cfg(feature = "sql")]
mod joined;
#[cfg(feature = "sql")]
mod layouts;
mod left;
#[cfg(feature = "sql")]
mod locks;
#[cfg(feature = "sql")]
mod mapped;
#[cfg(feature = "sql")]
mod moved;
#[cfg(feature = "sql")]
mod names;
mod paths;
#[cfg(feature = "sql")]
mod reached;
#[cfg(feature = "sql")]
mod replayed;
#[cfg(feature = "sql")]
mod requests;
#[cfg(feature = "sql")]
mod roots;
#[cfg(feature = "sql")]
mod samples;
#[cfg(feature = "sql")]
mod users;
#[cfg(feature = "sql")]
mod waits;

/// May this process capture?
pub fn allowed() -> bool {
    let check = ioriot(&["capture", "--check"]);
    if !check.status.success() {
        skip(Need::Ebpf, String::from_utf8_lossy(&check.stdout));
    }
    check.status.success()
}

/// A scratch directory on a stored file system.
pub fn scratch() -> tempfile::TempDir {
    beside_others();
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Compiles a C program into a directory; `None` without a compiler.
fn compile(dir: &Path, name: &str, source: &Path) -> Option<PathBuf> {
    let program = dir.join(name);
    let built = Command::new("cc").args(["-O2", "-o"]).arg(&program).arg(source).arg("-lpthread").status();
    let built = built.is_ok_and(|status| status.success());
    if !built {
        skip(Need::Compiler, "cc makes no program");
    }
    built.then_some(program)
}

fn compile_text(dir: &Path, name: &str, text: &str) -> Option<PathBuf> {
    let source = dir.join(format!("{name}.c"));
    std::fs::write(&source, text).unwrap();
    compile(dir, name, &source)
}

/// Runs a capture, which must end with this exit code; its summary.
pub fn capture(code: i32, out: &Path, args: &[&str]) -> Value {
    let mut all = vec!["capture", "-o", out.to_str().unwrap(), "--format", "json"];
    all.extend(args);
    let printed = expect(code, &all);
    let json = &printed[printed.find("{\n").unwrap_or(0)..];
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

pub fn int(summary: &Value, pointer: &str) -> u64 {
    summary.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer} of {summary}"))
}

/// `issued = written + filtered + lost + unfinished`.
pub fn closes(summary: &Value) {
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

pub fn looping(dir: &Path) -> Option<(String, String)> {
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
    let dir = open_scratch();
    let whole = capture(0, &dir.path().join("own"), &["--", "true"]);
    assert_eq!(int(&whole, "/capabilities"), 0);
    if !crate::tool::root() {
        return skip(Need::Root, "nobody is asked by sudo");
    }
    // As if nobody had called sudo.
    std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
    let out = dir.path().join("sudo");
    let script = "id -u; cat /proc/self/status";
    let mut captured = command(&["capture", "-o", out.to_str().unwrap(), "--", "sh", "-c", script]);
    let captured = captured.env("SUDO_UID", "65534").env("SUDO_GID", "65534").output().unwrap();
    let text = String::from_utf8_lossy(&captured.stdout);
    assert!(text.starts_with("65534\n") && text.contains("\nCapEff:\t0000000000000000\n"), "{text}");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&out.metadata().unwrap()), 65534);
}

/// A process that is killed when the test is over.
pub struct Running(pub Child);

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
    attached(&out);
    more_calls(&running);
    interrupt(&capture);
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
    let script = "while :; do \"$0\" 100 \"$1\"; done";
    let running = Running(Command::new("sh").args(["-c", script, &program, &file]).spawn().unwrap());
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

/// Ends a capture as Ctrl-C does.
pub fn interrupt(capture: &Child) {
    // SAFETY: a signal to a child of ours.
    unsafe { libc::kill(capture.id() as i32, libc::SIGINT) };
}

/// Waits until the capture to `out` sees what is done from now on.
pub fn attached(out: &Path) {
    let aside = format!(".{}.unfinished", out.file_name().unwrap().to_str().unwrap());
    // It is written when the probes are in place.
    let note = out.with_file_name(aside).join("begun.json");
    wait_for(|| note.exists());
}

/// Waits until a process, which does nothing but calls, has made some more.
pub fn more_calls(process: &Running) {
    // Its time and that of its children, in ticks (proc_pid_stat(5)).
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.0.id())).unwrap();
        let fields = stat.rsplit(')').next().unwrap().split_whitespace();
        fields.skip(11).take(4).map(|field| field.parse::<u64>().unwrap()).sum::<u64>()
    };
    let before = ticks();
    // The first one may have been nearly over.
    wait_for(|| ticks() > before + 1);
}

pub fn wait_for(mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited for too long");
        std::thread::sleep(Duration::from_millis(10));
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
    let run = dir.path().join("story/run");
    assert!(number(&[&run], "SELECT min(begin) FROM results") >= 0.0, "nothing begins before the start");
    let link = dir.path().join("story/root/tree").join(dir.path().strip_prefix("/").unwrap()).join("c");
    assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("b"), "{}", link.display());
    let usage = String::from_utf8_lossy(&ioriot(&["run"]).stderr).into_owned();
    assert!(usage.contains("ioriot run FILE"), "{usage}");
}
