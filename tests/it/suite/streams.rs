//! Standard output and standard error that nobody reads, and files that are named as if they were them.

use super::ended::wait_for;
use crate::skip::{Need, skip};
use crate::tool::{command, data, expect, open_scratch};
use libc::{SIGHUP, SIGINT, SIGTERM, kill};
use std::fs::{self, File};
use std::io::{PipeWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, Stdio};

/// A pipe that nobody reads and that has no room.
fn full() -> (std::io::PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    // SAFETY: plain numbers.
    unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    while writer.write(&[0; 4096]).is_ok() {}
    // SAFETY: as above.
    unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, 0) };
    (reader, writer)
}

/// A pipe whose reader has left.
fn broken() -> PipeWriter {
    std::io::pipe().unwrap().1
}

fn capture(dir: &Path) -> String {
    let out = dir.join("cap").to_str().unwrap().to_owned();
    expect(0, &["ingest", &data("matrix.strace"), "-o", &out]);
    out
}

#[test]
fn a_signal_ends_a_command_whose_complaints_nobody_takes() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path());
    let endless = "WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM t) SELECT count(*) FROM t";
    let (_reader, full) = full();
    let gone: [Stdio; 3] = [File::options().write(true).open("/dev/full").unwrap().into(), full.into(), broken().into()];
    for (stderr, signal) in gone.into_iter().zip([SIGTERM, SIGINT, SIGHUP]) {
        let mut child = command(&["query", &capture, endless]).stderr(stderr).spawn().unwrap();
        let caught = || {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
            u64::from_str_radix(mask, 16).unwrap() & (1 << (SIGTERM - 1)) != 0
        };
        wait_for("the handler", caught);
        // SAFETY: a signal to a child that has not been waited for.
        unsafe { kill(child.id() as i32, signal) };
        let mut ended = None;
        wait_for("the end", || {
            ended = child.try_wait().unwrap();
            ended.is_some()
        });
        assert_eq!(ended.unwrap().code(), Some(128 + signal));
    }
}

#[test]
fn a_summary_that_nobody_reads_ends_no_work_and_changes_no_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let story = dir.path().join("story");
    let log = dir.path().join("short.strace");
    fs::write(&log, "1 openat(AT_FDCWD, \"/a\", O_RDONLY) = 3\n1 read(3, \"\", 10) = 0\n1 read(3, \n").unwrap();
    let ends = |args: &[&str]| command(args).stdout(broken()).status().unwrap().code();
    let (log, capture) = (log.to_str().unwrap(), dir.path().join("cap"));
    assert_eq!(ends(&["run", log, "-o", story.to_str().unwrap(), "--engine", "null"]), Some(0));
    assert!(story.join("run/manifest.json").exists(), "it went on to the end");
    let strict = ["ingest", log, "-o", capture.to_str().unwrap(), "--strict"];
    assert_eq!(ends(&strict), Some(1), "there is a reject");
}

#[test]
fn an_error_that_speaks_of_a_broken_pipe_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("cap");
    expect(2, &["ingest", "no Broken pipe (os error 32)", "-o", out.to_str().unwrap()]);
    let capture = capture(dir.path());
    expect(2, &["query", &capture, "SELECT CAST('Broken pipe (os error 32)' AS BIGINT) FROM events"]);
    let manifest = Path::new(&capture).join("manifest.json");
    fs::write(manifest, r#"{"format":1,"kind":"Broken pipe (os error 32)"}"#).unwrap();
    for verb in ["query", "generate"] {
        expect(2, &[verb, &capture, if verb == "query" { "SELECT 1" } else { "--force" }, "-o", out.to_str().unwrap()]);
    }
}

#[test]
fn an_answer_that_somebody_has_seen_enough_of_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path());
    let sql = "SELECT a.path FROM events a, events b";
    let status = command(&["query", &capture, sql, "--format", "csv"]).stdout(broken()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    // But a file that was asked for is not whole.
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut child = command(&["query", &capture, sql, "--format", "csv", "-o", fifo.to_str().unwrap()]).spawn().unwrap();
    drop(File::open(&fifo).unwrap());
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

#[test]
fn what_a_shell_appends_to_is_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path());
    let log = dir.path().join("log.csv");
    fs::write(&log, "1\n2\n3\n4\n5\n6\n7\n8\n9\n").unwrap();
    let appended = File::options().append(true).open(&log).unwrap();
    let sql = "SELECT 42 AS answer";
    let status = command(&["query", &capture, sql, "--format", "csv", "-o", "/dev/stdout"]).stdout(appended).status().unwrap();
    assert!(status.success());
    assert_eq!(fs::read_to_string(&log).unwrap(), "1\n2\n3\n4\n5\n6\n7\n8\n9\nanswer\n42\n");
}

#[test]
fn a_descriptor_of_the_shell_is_written_to_by_each_of_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path());
    let ask = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_ioriot"), &capture]).current_dir(dir.path());
        assert!(shell.status().unwrap().success(), "{script}");
        fs::read_to_string(dir.path().join("out")).unwrap()
    };
    let query = "\"$0\" query \"$1\" 'SELECT 42 AS answer' --format csv -o";
    for name in ["/dev/fd/3", "/proc/self/fd/3", "/dev/fd/../fd/3"] {
        assert_eq!(ask(&format!("exec 3>out; echo first >&3; {query} {name}")), "first\nanswer\n42\n", "{name}");
    }
    assert_eq!(ask(&format!("exec >out; cd /dev; {query} stdout")), "answer\n42\n");
    assert_eq!(ask(&format!("(echo first; {query} /dev/stdout; echo last) >out")), "first\nanswer\n42\nlast\n");
    // One that is not there, or is the program's own, or cannot be written; a directory; and what would be made in /dev.
    for (before, name) in [("", "/dev/fd/3"), ("", "/dev/fd/4"), ("", "/dev/fd/9"), ("exec 3<out;", "/dev/fd/3"), ("", "/dev/fd")]
    {
        let refused = format!("echo kept >out; {before} ! {query} {name} 2>/dev/null");
        assert_eq!(ask(&refused), "kept\n", "{name}");
    }
    assert_eq!(ask(&format!("echo kept >out; ! {query} /dev/no-such-device 2>/dev/null")), "kept\n");
    assert!(!Path::new("/dev/no-such-device").exists());
    let events = fs::read(Path::new(&capture).join("events.parquet")).unwrap();
    for number in 3..12 {
        ask(&format!("touch out; {query} /dev/fd/{number} 2>/dev/null || true"));
    }
    assert_eq!(fs::read(Path::new(&capture).join("events.parquet")).unwrap(), events);
    assert!(fs::symlink_metadata("/dev/stdout").unwrap().is_symlink());
}

#[test]
fn help_that_cannot_be_written_is_an_error() {
    for word in ["--help", "--version", "help"] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        assert_eq!(command(&[word]).stdout(full).stderr(Stdio::null()).status().unwrap().code(), Some(2), "{word}");
        assert_eq!(command(&[word]).stdout(broken()).status().unwrap().code(), Some(0), "{word}");
    }
    expect(0, &["query", "--help"]);
    expect(2, &["query", "--no-such-option"]);
    expect(2, &[]);
}

#[test]
fn nobody_waits_for_the_reader_of_somebody_elses_fifo() {
    // SAFETY: no memory is involved.
    if unsafe { libc::geteuid() } != 0 {
        return skip(Need::Root, "nobody else gives a FIFO away");
    }
    let dir = open_scratch();
    let capture = capture(dir.path());
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    chown(&fifo, Some(65534), Some(65534)).unwrap();
    for args in [&["query", &*capture, "SELECT 1", "-o"][..], &["syscalls", "-o"]] {
        let mut child = command(&[args, &[fifo.to_str().unwrap()]].concat()).stderr(Stdio::null()).spawn().unwrap();
        let mut ended = None;
        wait_for("the refusal", || {
            ended = child.try_wait().unwrap();
            ended.is_some()
        });
        assert_eq!(ended.unwrap().code(), Some(2));
    }
}
