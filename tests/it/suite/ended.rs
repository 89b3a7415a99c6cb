//! Commands that a signal ends: at once, and without leaving anything half-made.

use super::replay::work::{Work, op};
use crate::tool::{command, data, expect, ioriot};
use libc::{SIGHUP, SIGINT, SIGKILL, SIGTERM, kill};
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What is in a directory.
fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal; the exit code.
fn end(child: &mut Child, signal: i32) -> Option<i32> {
    // SAFETY: a signal to a child that has not been waited for.
    unsafe { kill(child.id() as i32, signal) };
    child.wait().unwrap().code()
}

/// What a command does at SIGHUP, whatever who runs the tests does.
fn with_hang_up(mut command: Command, disposition: libc::sighandler_t) -> Command {
    // SAFETY: signal(2) is async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            libc::signal(SIGHUP, disposition);
            Ok(())
        });
    }
    command
}

/// An ingest into `dir/cap` that has its first lines and waits for more.
fn waiting_ingest(dir: &Path, hang_up: libc::sighandler_t) -> Child {
    let out = dir.join("cap");
    let command = command(&["ingest", "-", "-o", out.to_str().unwrap()]);
    let mut child = with_hang_up(command, hang_up).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(&fs::read(data("matrix.strace")).unwrap()).unwrap();
    // It is written when the draft is locked.
    wait_for("the draft", || dir.join(".cap.unfinished/begun.json").exists());
    child
}

pub fn endless_ingest(dir: &Path) -> Child {
    waiting_ingest(dir, libc::SIG_DFL)
}

#[test]
fn an_ingest_that_waits_for_input_leaves_nothing() {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = endless_ingest(dir.path());
        assert_eq!(end(&mut child, signal), Some(128 + signal));
        assert_eq!(names(dir.path()), [""; 0]);
    }
}

#[test]
fn an_ingest_under_nohup_outlives_its_session() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = waiting_ingest(dir.path(), libc::SIG_IGN);
    // SAFETY: a signal to a child that has not been waited for.
    unsafe { kill(child.id() as i32, SIGHUP) };
    std::thread::sleep(Duration::from_millis(100));
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(dir.path().join("cap/manifest.json").exists());
}

/// Captures a command without an end by ptrace, and kills both as soon as `when` says so of the unfinished dataset.
fn kill_capture(out: &Path, when: impl Fn(&Path) -> bool) {
    let script = "while :; do cat /etc/hostname; done";
    let args = ["capture", "--backend", "ptrace", "-o", out.to_str().unwrap(), "--", "sh", "-c", script];
    let mut child = command(&args).process_group(0).stdout(Stdio::null()).spawn().unwrap();
    let unfinished = out.with_file_name(format!(".{}.unfinished", out.file_name().unwrap().to_str().unwrap()));
    wait_for("the capture", || when(&unfinished));
    // SAFETY: a signal to a process group that this test has made.
    unsafe { kill(-(child.id() as i32), SIGKILL) };
    child.wait().unwrap();
}

#[test]
fn a_capture_by_ptrace_that_is_killed_early_is_recovered_or_out_of_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).display().to_string();
    kill_capture(Path::new(&place("early")), |draft| draft.join("begun.json").exists());
    expect(2, &["capture", "--recover", "-o", &place("early")]);
    expect(0, &["capture", "--backend", "ptrace", "-o", &place("early"), "--", "true"]);

    let began = Instant::now();
    kill_capture(Path::new(&place("later")), |draft| draft.join("events.contents").exists());
    assert!(began.elapsed() < Duration::from_secs(9));
    expect(2, &["capture", "--backend", "ptrace", "-o", &place("later"), "--", "true"]);
    expect(0, &["capture", "--recover", "-o", &place("later")]);
}

/// However early the signal comes, there is no root, or one that says what it is.
#[test]
fn an_init_that_ends_as_it_begins_leaves_no_root_without_a_stamp() {
    let mut work = Work::new();
    work.need("/f", "file", 1 << 20).op(op("unlink", 0).raw("/f"));
    work.write();
    let (place, root) = (work.place("work"), work.place("early"));
    for wait in 0..40 {
        let args = ["init", place.to_str().unwrap(), "--root", root.to_str().unwrap()];
        let mut child = command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(500 * wait));
        end(&mut child, SIGTERM);
        assert!(!root.exists() || root.join(".ioriot-root.json").exists(), "after {wait} half milliseconds: {:?}", names(&root));
        let _ = fs::remove_dir_all(&root);
    }
}

/// Where a process has spilled to: what it has open below a directory, by name or without.
#[cfg(feature = "sql")]
fn spilled(child: &Child, dir: &Path) -> bool {
    let open = fs::read_dir(format!("/proc/{}/fd", child.id())).into_iter().flatten().flatten();
    open.filter_map(|fd| fd.path().read_link().ok()).any(|file| file.starts_with(dir))
}

#[cfg(feature = "sql")]
#[test]
fn a_query_that_spills_leaves_nothing_however_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("cap");
    expect(0, &["ingest", &data("d-files.strace.gz"), "-o", capture.to_str().unwrap()]);
    let sql = "SELECT a.seq, b.seq, a.path FROM events a, events b ORDER BY a.dur * b.seq DESC, a.path, b.seq";
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGKILL] {
        let spill = tempfile::tempdir().unwrap();
        let mut query = command(&["query", capture.to_str().unwrap(), sql, "--memory", "16M", "--format", "csv"]);
        let mut child = query.env("TMPDIR", spill.path()).stdout(Stdio::null()).spawn().unwrap();
        wait_for("the query to spill", || spilled(&child, spill.path()));
        let code = end(&mut child, signal);
        assert_eq!(code, (signal != SIGKILL).then_some(128 + signal));
        assert_eq!(names(spill.path()), [""; 0], "after signal {signal}");
    }
}

#[cfg(feature = "sql")]
#[test]
fn a_generate_and_a_query_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).display().to_string();
    expect(0, &["ingest", &data("d-files.strace.gz"), "-o", &place("cap")]);
    let mut child = command(&["generate", &place("cap"), "-o", &place("work")]).spawn().unwrap();
    wait_for("the draft", || dir.path().join(".work.unfinished").exists());
    assert_eq!(end(&mut child, SIGTERM), Some(143));
    assert_eq!(names(dir.path()), ["cap"]);

    let sql = "SELECT count(*) FROM events a, events b, events c";
    let mut child = command(&["query", &place("cap"), sql, "--format", "csv", "-o", &place("out.csv")]).spawn().unwrap();
    // It has no name yet (O_TMPFILE), or one of its own where the file system knows no such files.
    let named = || names(dir.path()).iter().any(|name| name.ends_with(".unfinished"));
    let open = format!("/proc/{}/fd", child.id());
    let ours = |on: std::path::PathBuf| on.starts_with(dir.path()) && on.to_string_lossy().ends_with(" (deleted)");
    let begun = || fs::read_dir(&open).unwrap().flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(ours));
    wait_for("the answer to begin", || named() || begun());
    assert_eq!(end(&mut child, SIGINT), Some(130));
    assert_eq!(names(dir.path()), ["cap"]);
}

#[test]
fn an_init_leaves_a_root_that_says_so() {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let mut work = Work::new();
        for file in 0..10_000 {
            work.need(&format!("/{file:05}"), "file", 4096);
        }
        work.op(op("unlink", 0).raw("/00000")).write();
        let [place, root, run] = ["work", "root", "run"].map(|name| work.place(name).display().to_string());
        let init = command(&["init", &place, "--root", &root]);
        let mut child = with_hang_up(init, libc::SIG_DFL).stdout(Stdio::null()).spawn().unwrap();
        wait_for("a file", || work.tree().join("00000").exists());
        assert_eq!(end(&mut child, signal), Some(128 + signal));
        let refused = ioriot(&["replay", &place, "--root", &root, "-o", &run]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(2) && said.contains("is incomplete") && said.contains("--force"), "{said}");
        assert!(!Path::new(&run).exists());
        expect(0, &["init", &place, "--root", &root, "--force"]);
        expect(0, &["replay", &place, "--root", &root, "-o", &run]);
    }
}

#[test]
fn a_run_that_is_ended_in_its_capture_keeps_that() {
    let dir = tempfile::tempdir().unwrap();
    let [out, over, begun] = ["d", "over", "begun"].map(|name| dir.path().join(name));
    let script = "while [ ! -e \"$0\" ]; do cat /etc/hostname; : > \"$1\"; done";
    // A command that is captured by ptrace needs the capture until it ends.
    let alone = ioriot(&["capture", "--check"]).status.success();
    for signal in [SIGTERM, SIGHUP] {
        let args = ["run", "-o", out.to_str().unwrap(), "--force", "--", "sh", "-c", script];
        let mut run = with_hang_up(command(&args), libc::SIG_DFL);
        let mut child = run.args([&over, &begun]).process_group(0).stdout(Stdio::null()).spawn().unwrap();
        // What is captured then is kept; without a call there is nothing to keep.
        wait_for("the command", || begun.exists());
        // SAFETY: a signal to a child that has not been waited for.
        unsafe { kill(child.id() as i32, signal) };
        if !alone {
            fs::write(&over, "").unwrap();
        }
        let code = child.wait().unwrap().code();
        // The command goes on: it is not ioriot's to end.
        // SAFETY: a signal to the process group that this test made.
        unsafe { kill(-(child.id() as i32), SIGKILL) };
        assert_eq!(code, Some(128 + signal));
        assert_eq!(names(&out), ["capture"]);
        assert!(out.join("capture/manifest.json").exists());
        let _ = fs::remove_file(&over);
        fs::remove_file(&begun).unwrap();
    }
}
