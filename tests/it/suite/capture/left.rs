//! Commands that leave something behind: who is waited for is said, or nobody is.

use super::*;
use crate::tool::root;
use std::io::{BufRead, BufReader, Read};

/// A command that ends at once and leaves a sleep behind, whose process id it writes down.
const LEAVES: &str = "sleep 60 > /dev/null 2>&1 & echo $! > \"$0\"";

fn backends() -> &'static [&'static str] {
    if allowed() { &["ptrace", "ebpf"] } else { &["ptrace"] }
}

/// What was left behind.
struct Daemon(i32);

impl Daemon {
    fn noted(file: &Path) -> Daemon {
        Daemon(std::fs::read_to_string(file).unwrap().trim().parse().unwrap())
    }

    fn runs(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        stat.contains("(sleep)") && !stat.contains(") Z")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // SAFETY: a signal to what the test's own command started.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
    }
}

#[test]
fn who_is_still_waited_for_is_said_once() {
    for backend in backends() {
        let dir = scratch();
        let (out, note) = (dir.path().join("capture"), dir.path().join("pid"));
        let args = ["capture", "-o", out.to_str().unwrap(), "--format", "json", "--backend", backend, "--", "sh", "-c", LEAVES];
        let mut capture = command(&args);
        let capture = capture.arg(&note).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut capture = Running(capture.spawn().unwrap());
        let mut said = BufReader::new(capture.0.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("left behind") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "{backend}: nothing was said");
        }
        let daemon = Daemon::noted(&note);
        assert!(line.contains(&format!("{} (sleep)", daemon.0)) && line.contains("--until-exit"), "{backend}: {line}");
        assert!(daemon.runs());
        std::thread::sleep(Duration::from_millis(300));
        drop(daemon);
        let (mut rest, mut summary) = (String::new(), String::new());
        said.read_to_string(&mut rest).unwrap();
        assert!(!rest.contains("left behind"), "{backend}: {rest}");
        capture.0.stdout.take().unwrap().read_to_string(&mut summary).unwrap();
        assert!(capture.0.wait().unwrap().success(), "{backend}: {rest}");
        let summary: Value = serde_json::from_str(&summary).unwrap();
        closes(&summary);
        assert_eq!(summary["ended"], "target", "{backend}");
    }
}

#[test]
fn until_exit_ends_a_capture_with_its_command() {
    for backend in backends() {
        let dir = scratch();
        let (out, note) = (dir.path().join("capture"), dir.path().join("pid"));
        let command = ["--backend", backend, "--until-exit", "--", "sh", "-c", LEAVES, note.to_str().unwrap()];
        let summary = capture(0, &out, &command);
        let daemon = Daemon::noted(&note);
        assert!(daemon.runs(), "{backend}: the capture waited for it, or ended it");
        closes(&summary);
        assert_eq!(summary["ended"], "target", "{backend}");
        assert!(int(&summary, "/syscalls/exit_group") > 0, "{backend}: the end of the command is part of it: {summary}");
    }
    let dir = scratch();
    #[cfg(feature = "sql")]
    {
        let (story, note) = (dir.path().join("story"), dir.path().join("pid"));
        let [o, p] = [&story, &note].map(|path| path.to_str().unwrap());
        expect(0, &["run", "-o", o, "--until-exit", "--", "sh", "-c", LEAVES, p]);
        assert!(Daemon::noted(&note).runs() && story.join("run").exists());
    }
    let refused = ioriot(&["capture", "-o", dir.path().join("no").to_str().unwrap(), "--until-exit", "--pid", "1"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--until-exit is for a command"), "{refused:?}");
}

/// On a machine that is busy a process may end before the one it made has run at all: that one is captured all the same, and is not
/// killed with its tracer.
#[test]
fn a_child_that_has_not_run_when_its_parent_ends_is_captured() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    let mut processors = allowed.split([',', '-']);
    let (free, Some(busy)) = (processors.next().unwrap(), processors.next_back()) else {
        return skip(Need::Processors, "one processor is kept busy, the capture runs on another");
    };
    if !root() {
        return skip(Need::Root, "a processor is kept busy by a program of the class of real time");
    }
    let dir = scratch();
    let Some(program) = compile_text(dir.path(), "orphan", include_str!("orphan.c")) else { return };
    let _hog = Running(Command::new(&program).args([busy, "hog"]).spawn().unwrap());
    let (out, made) = (dir.path().join("capture"), dir.path().join("made"));
    let mut capture = Command::new("taskset");
    capture.args(["-c", free, env!("CARGO_BIN_EXE_ioriot"), "capture", "--backend", "ptrace", "--format", "json", "-o"]);
    let done = capture.arg(&out).arg("--").arg(&program).arg(busy).arg(&made).output().unwrap();
    let summary: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
    assert!(made.exists(), "the child was killed: {summary}");
    assert_eq!((int(&summary, "/syscalls/mkdir"), int(&summary, "/syscalls/rmdir")), (2, 1), "{summary}");
    closes(&summary);
}
