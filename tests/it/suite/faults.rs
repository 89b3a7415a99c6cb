//! Bad input, full disks and killed commands: a clear message or a counted reject, never a panic, and never a dataset
//! that looks whole and is not.

use crate::skip::{Need, skip};
use crate::tool::{command, data, expect, ioriot, number, root, rows};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Ingests these bytes; exit code, what was printed, and whether a dataset is there.
fn ingest(bytes: &[u8], name: &str, more: &[&str]) -> (Option<i32>, String, bool) {
    let scratch = tempfile::tempdir().unwrap();
    let (input, out) = (scratch.path().join(name), scratch.path().join("capture"));
    fs::write(&input, bytes).unwrap();
    let mut args = vec!["ingest", input.to_str().unwrap(), "-o", out.to_str().unwrap()];
    args.extend(more);
    let output = ioriot(&args);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{name}: {said}");
    let whole = out.join("manifest.json").exists();
    if !whole {
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "{name} left something behind");
    }
    (output.status.code(), said, whole)
}

const LINE: &str = "t=1760000000000001000;:,D=5;:,i=7:7;:,o=openat;:,d=3;:,p=/home/a;:,f=0;:,m=0;:,\n";

#[test]
fn an_input_without_events_is_refused() {
    for (name, bytes) in [("empty.capture", &b""[..]), ("header.capture", b"#|capture_version=4|\n")] {
        let (code, said, whole) = ingest(bytes, name, &[]);
        assert_eq!((code, whole), (Some(2), false), "{name}: {said}");
        assert!(said.contains(name), "{said}");
    }
}

#[test]
fn a_binary_file_is_refused() {
    let bytes: Vec<u8> = (0..200_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let (code, said, whole) = ingest(&bytes, "noise.bin", &[]);
    assert_eq!((code, whole), (Some(2), false), "{said}");
}

#[test]
fn a_truncated_gzip_is_refused_by_name() {
    let bytes = fs::read(data("a-sqlite.capture.gz")).unwrap();
    let (code, said, whole) = ingest(&bytes[..bytes.len() / 2], "half.gz", &[]);
    assert_eq!((code, whole), (Some(2), false), "{said}");
    assert!(said.contains("half.gz"), "{said}");
}

#[test]
fn bad_lines_are_counted_and_strict_says_so() {
    let long = format!("t=1760000000000002000;:,D=5;:,i=7:7;:,o=stat;:,p=/{};:,s=0;:,\n", "x".repeat(1 << 20));
    let nul = "t=1760000000000003000;:,D=5;:,i=7:7;:,o=stat;:,p=/a\0b;:,s=0;:,\n";
    let glued =
        "t=1760000000000004000;:,D=5;:,i=7:7;:,o=stat;:,p=/at=1760000000000005000;:,D=5;:,i=7:7;:,o=stat;:,p=/b;:,s=0;:,\n";
    let text = format!("#|capture_version=4|\n{LINE}{long}{nul}{glued}{LINE}");
    let (code, said, whole) = ingest(text.as_bytes(), "bad.capture", &[]);
    assert_eq!((code, whole), (Some(0), true), "{said}");
    let (code, said, _) = ingest(text.as_bytes(), "bad.capture", &["--strict"]);
    assert_eq!(code, Some(1), "{said}");

    let scratch = tempfile::tempdir().unwrap();
    let (input, out) = (scratch.path().join("bad.capture"), scratch.path().join("capture"));
    fs::write(&input, &text).unwrap();
    expect(0, &["ingest", input.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    assert_eq!(rows(&[&out], "SELECT line FROM rejects ORDER BY line"), ["3", "4", "5"]);
    assert_eq!(number(&[&out], "SELECT count(*) FROM events"), 2.0);
}

#[test]
fn another_format_version_and_a_missing_manifest_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let capture = scratch.path().join("capture");
    expect(0, &["ingest", &data("matrix.strace"), "-o", capture.to_str().unwrap()]);
    let manifest = capture.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let workload = scratch.path().join("workload");
    let generate = ["generate", capture.to_str().unwrap(), "-o", workload.to_str().unwrap()];

    fs::write(&manifest, text.replace("\"format\": 1", "\"format\": 99")).unwrap();
    let output = ioriot(&generate);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("format version 99"));

    fs::remove_file(&manifest).unwrap();
    let output = ioriot(&generate);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("manifest"));
    assert!(!workload.exists());
}

#[test]
fn a_capture_with_fewer_events_than_it_says_makes_no_workload() {
    let scratch = tempfile::tempdir().unwrap();
    let (capture, workload) = (scratch.path().join("capture"), scratch.path().join("workload"));
    expect(0, &["ingest", &data("matrix.strace"), "-o", capture.to_str().unwrap()]);
    let manifest = capture.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"events\": 120", "\"events\": 121")).unwrap();
    let output = ioriot(&["generate", capture.to_str().unwrap(), "-o", workload.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the ledger does not close"));
    assert!(!workload.exists());
}

#[test]
fn a_full_disk_leaves_no_dataset() {
    if !root() {
        return skip(Need::Root, "a small file system is mounted");
    }
    let scratch = tempfile::tempdir().unwrap();
    let disk = scratch.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(&disk).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return skip(Need::Root, "a small file system cannot be mounted");
    }
    let out = disk.join("capture");
    let output = ioriot(&["ingest", &data("d-files.strace.gz"), "-o", out.to_str().unwrap()]);
    let left = fs::read_dir(&disk).unwrap().count();
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.to_lowercase().contains("no space"), "{said}");
    assert_eq!(left, 0, "something was left on the full disk");
}

/// Kills a verb with SIGKILL after ever longer times, until it ends by itself. No kill may leave a dataset that looks
/// whole, and what is left must not be in the way of the next try; only the results of a killed replay are, until
/// `clear` has made something of them.
fn kill(args: &[&str], out: &Path, clear: impl Fn()) -> usize {
    for (kills, wait) in (1..).map(|i: u64| Duration::from_millis(4 * i * i)).enumerate() {
        let mut child = command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let end = Instant::now() + wait;
        while Instant::now() < end && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        if status.success() || out.exists() {
            // It may have been killed when it had done everything and was about to end: then it is whole.
            expect(0, &["query", out.to_str().unwrap(), "SELECT 1"]);
            return kills;
        }
        assert!(status.code().is_none(), "{args:?} failed by itself: {status}");
        clear();
    }
    unreachable!("the loop has no end but the return")
}

#[test]
fn a_killed_verb_leaves_nothing_that_looks_whole() {
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let (capture, workload, root_dir, run) = (place("capture"), place("workload"), place("root"), place("run"));
    let input = data("e-fio.strace.gz");
    assert!(kill(&["ingest", &input, "-o", &capture], Path::new(&capture), || ()) > 0);
    assert!(kill(&["generate", &capture, "-o", &workload], Path::new(&workload), || ()) > 0);

    // A killed init leaves a tree that replay refuses and --force replaces.
    let mut child =
        command(&["init", &workload, "--root", &root_dir]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(30));
    child.kill().unwrap();
    if !child.wait().unwrap().success() {
        let output = ioriot(&["replay", &workload, "--root", &root_dir, "-o", &run]);
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    }
    expect(0, &["init", &workload, "--root", &root_dir, "--force"]);

    // Killed before its first stamp was in place, it has made nothing that is in the way.
    let early = place("early");
    fs::create_dir(&early).unwrap();
    fs::write(Path::new(&early).join(".ioriot-root.new"), "{").unwrap();
    expect(0, &["init", &workload, "--root", &early]);

    // A replay that was killed after its first whole segment can be recovered, and nothing else takes its place before.
    let args = ["replay", &workload, "--root", &root_dir, "-o", &run, "--dirty", "--min-match", "0"];
    let recover = || {
        let output = ioriot(&["replay", "--recover", &run]);
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => fs::remove_dir_all(&run).unwrap(),
            code => assert!(code == Some(2) && said.contains("no results of a killed replay are left"), "{said}"),
        }
    };
    assert!(kill(&args, Path::new(&run), recover) > 0);
}

#[test]
fn what_a_kill_left_just_before_the_end_is_recovered() {
    let scratch = tempfile::tempdir().unwrap();
    let all = scratch.path().join("all");
    expect(0, &["run", &data("matrix.strace"), "-o", all.to_str().unwrap()]);
    for (name, table, recover) in
        [("capture", "events", &["capture", "--recover", "-o"][..]), ("run", "results", &["replay", "--recover"])]
    {
        let place = all.join(name);
        let count = || number(&[&place], &format!("SELECT count(*) FROM {table}"));
        let whole = count();
        // All is written; only the rename that gives it its place was not made any more.
        fs::rename(&place, all.join(format!(".{name}.unfinished"))).unwrap();
        expect(0, &[recover, &[place.to_str().unwrap()]].concat());
        assert_eq!(count(), whole);
    }
}

#[test]
fn output_into_a_closed_pipe_is_no_error() {
    let mut child = command(&["syscalls", "--format", "csv"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn standard_input_is_an_input() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("capture");
    let mut child =
        command(&["ingest", "-", "-o", out.to_str().unwrap()]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(data("a-sqlite.capture.gz")).unwrap()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(number(&[&out], "SELECT count(*) FROM events"), 9597.0);
}

/// RLIMIT_FSIZE: the write fails, and no signal ends what writes. What ioriot starts has the usual signal (SIGXFSZ, signal(7)).
#[test]
fn a_limit_of_the_size_of_files_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let limited = |words: &[&str], more: &[&str]| {
        let mut shell = Command::new("bash");
        shell.args(["-c", "ulimit -f 4; exec \"$@\"", "bash", env!("CARGO_BIN_EXE_ioriot")]);
        shell.args(words).args(more).current_dir(dir.path()).output().unwrap()
    };
    for words in [&["ingest", "-o", "cap"][..], &["run", "-o", "run"]] {
        let output = limited(words, &[&data("matrix.strace")]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("File too large"), "{words:?}: {output:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "a part of a dataset");

    expect(0, &["ingest", &data("matrix.strace"), "-o", dir.path().join("whole").to_str().unwrap()]);
    let output = limited(&["query", "whole", "SELECT * FROM events", "--format", "csv", "-o", "out.csv"], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "a part of an answer");
}
