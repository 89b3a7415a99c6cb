//! Tests of export, cat and head: what other tools are given, and that they take it.

mod c;
mod fio;
mod jobs;
mod perfetto;
mod strace;

use super::generate::{call, capture};
use crate::tool::{data, expect, ioriot, number, rows};
use ioriot::event::Col;
use ioriot::syscall::Syscall;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A capture made of a trace of tests/data.
fn ingested(dir: &Path, trace: &str) -> PathBuf {
    let cap = dir.join("cap");
    expect(0, &["ingest", &data(trace), "-o", cap.to_str().unwrap()]);
    cap
}

/// A capture of names that mean something to other tools.
fn hostile(dir: &Path) -> PathBuf {
    let mut events = Vec::new();
    let names = ["/d/a;b 7\nc", "/d/\u{1b}[2J", "/d/'\"$(x)`\\", "/d/-f %41", "/d/<a>&b", "/d/\u{ef80}"];
    for (at, name) in names.iter().enumerate() {
        let fd = at as i64 + 3;
        let at = at as i64 * 10_000;
        events.push(call(Syscall::open, 7, fd, &[(Col::Ts, at), (Col::Flags, 2)], Some(name)));
        events.push(call(
            Syscall::pwrite64,
            7,
            5,
            &[(Col::Ts, at + 2000), (Col::Fd, fd), (Col::Count, 5), (Col::Offset, 9)],
            None,
        ));
        events.push(call(
            Syscall::pread64,
            7,
            4,
            &[(Col::Ts, at + 4000), (Col::Fd, fd), (Col::Count, 4), (Col::Offset, 0)],
            None,
        ));
    }
    capture(dir, &events)
}

fn export(cap: &Path, to: &str, more: &[&str]) -> String {
    let args = [&["export", cap.to_str().unwrap(), "--to", to], more].concat();
    expect(0, &args)
}

#[test]
fn folded_stacks_weigh_what_the_calls_do() {
    let dir = tempfile::tempdir().unwrap();
    let cap = ingested(dir.path(), "a-sqlite.capture.gz");
    for (weight, sql) in
        [("time", "SELECT sum(dur_ns) FROM io"), ("bytes", "SELECT sum(bytes) FROM io"), ("calls", "SELECT count(*) FROM io")]
    {
        let text = export(&cap, "folded", &["--weight", weight]);
        let weights = text.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap());
        assert_eq!(weights.sum::<f64>(), number(&[&cap], sql), "{weight}");
        // A frame for each name of the path, and one for the call.
        let paths = rows(&[&cap], "SELECT DISTINCT path, syscall FROM io WHERE path IS NOT NULL AND bytes > 0");
        if weight == "bytes" {
            assert_eq!(text.lines().filter(|line| !line.starts_with("(no path);")).count(), paths.len());
            for line in paths {
                let (path, call) = line.rsplit_once(',').unwrap();
                let stack = format!("/{};{call} ", path.replace('/', ";"));
                assert!(text.lines().any(|line| line.starts_with(&stack)), "{stack}");
            }
        }
    }
    assert_eq!(export(&cap, "folded", &[]), export(&cap, "folded", &["--weight", "time"]));
}

#[test]
fn names_break_no_stack() {
    let dir = tempfile::tempdir().unwrap();
    let cap = hostile(dir.path());
    let text = export(&cap, "folded", &["--weight", "calls"]);
    assert_eq!(text.lines().count(), 18, "{text}");
    assert!(text.contains("/;d;a\\x3bb 7\\nc;pread64 1\n"), "{text}");
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    for line in text.lines() {
        assert_eq!(line.split(';').count(), 4, "{line}");
    }
}

#[test]
fn tables_are_exported_as_queries_give_them() {
    let dir = tempfile::tempdir().unwrap();
    let cap = ingested(dir.path(), "matrix.strace");
    let at = cap.to_str().unwrap();
    let all = "SELECT * FROM events";
    assert_eq!(export(&cap, "csv", &[]), expect(0, &["query", at, all, "--format", "csv"]));
    assert_eq!(export(&cap, "csv", &["--table", "calls"]), expect(0, &["query", at, "SELECT * FROM calls", "--format", "csv"]));
    let bytes = |args: &[&str]| ioriot(args).stdout;
    assert_eq!(bytes(&["export", at, "--to", "arrow"]), bytes(&["query", at, all, "--format", "arrow"]));
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    expect(0, &["export", at, "--to", "parquet", "-o", one.to_str().unwrap()]);
    expect(0, &["query", at, all, "--format", "parquet", "-o", two.to_str().unwrap()]);
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
    assert_eq!(fs::metadata(&one).unwrap().permissions().mode() & 0o777, 0o600);
    // A name is a name and no SQL.
    for table in ["nothing", "events\" WHERE 1=0 --", "(SELECT 1)"] {
        let output = ioriot(&["export", at, "--to", "csv", "--table", table]);
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{table}");
    }
    for args in [&["--to", "parquet"][..], &["--to", "folded", "--table", "events"], &["--to", "csv", "--weight", "calls"]] {
        assert_eq!(ioriot(&[&["export", at], args].concat()).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn what_fails_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let cap = ingested(dir.path(), "matrix.strace");
    let out = dir.path().join("out");
    // Its events end early.
    let events = cap.join("events.parquet");
    let whole = fs::read(&events).unwrap();
    fs::write(&events, &whole[..whole.len() / 2]).unwrap();
    for to in ["folded", "fio-iolog", "csv"] {
        let output = ioriot(&["export", cap.to_str().unwrap(), "--to", to, "-o", out.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{to}");
        assert!(!out.exists(), "{to}");
    }
    fs::write(&events, &whole).unwrap();
    // A file of the dataset is not the place for an export.
    let output = ioriot(&["export", cap.to_str().unwrap(), "--to", "folded", "-o", events.to_str().unwrap()]);
    assert_eq!((output.status.code(), fs::read(&events).unwrap()), (Some(2), whole));
}

#[test]
fn a_look_has_names_for_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    let cap = ingested(dir.path(), "a-sqlite.capture.gz");
    let at = cap.to_str().unwrap();
    let head = |more: &[&str]| expect(0, &[&["head", at], more].concat());
    let csv = expect(0, &["cat", at, "--format", "csv"]);
    assert_eq!(csv.lines().count() as f64 - 1.0, number(&[&cap], "SELECT count(*) FROM events"));
    let seqs: Vec<u64> = csv.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
    assert!(seqs.is_sorted());
    let first: Vec<_> = csv.lines().take(4).collect();
    assert_eq!(head(&["-n", "3", "--format", "csv"]).lines().collect::<Vec<_>>(), first);
    assert!(head(&[]).contains("10 rows"), "{}", head(&[]));
    assert!(head(&["-n", "2", "-x"]).starts_with("-[ row 1 ]"));
    assert_eq!(head(&["-n", "0", "--format", "csv"]).lines().count(), 1);
    assert_eq!(head(&["--table", "calls", "-n", "1", "--format", "csv"]).lines().count(), 2);
    // A read has no path of its own, and the capture does not say what descriptors are open on.
    let known =
        number(&[&cap], "SELECT count(*) FROM io JOIN events USING (seq) WHERE io.path IS NOT NULL AND io.syscall = 'read'");
    let named = csv.lines().filter(|line| line.contains(",read,/")).count();
    assert_eq!(
        (named as f64, number(&[&cap], "SELECT count(path) + count(fd_path) FROM events WHERE syscall = 'read'")),
        (known, 0.0)
    );
    assert!(named > 100, "{named}");
}

#[test]
fn a_run_has_the_names_of_its_workload() {
    let dir = tempfile::tempdir().unwrap();
    let all = dir.path().join("m");
    expect(0, &["run", &data("matrix.strace"), "-o", all.to_str().unwrap()]);
    let show = |datasets: &[&Path]| {
        let mut args = vec!["cat", "--format", "csv"];
        args.extend(datasets.iter().map(|place| place.to_str().unwrap()));
        expect(0, &args)
    };
    let (run, work) = (all.join("run"), all.join("workload"));
    let alone = show(&[&run]);
    let named = show(&[&work, &run]);
    assert!(alone.starts_with("op_id,begin_s,lane,op,dur,") && named.starts_with("op_id,begin_s,lane,op,path,path2,offset,dur,"));
    assert_eq!(alone.lines().count(), named.lines().count());
    assert!(named.lines().any(|line| line.contains(",write,/")), "{named}");
    // A run alone has no calls with files.
    let output = ioriot(&["export", run.to_str().unwrap(), "--to", "folded"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("export a capture or a workload"), "{said}");
    // The directory of `ioriot run` stands for what is in it.
    assert_eq!(show(&[&all]), named);
    let work = show(&[&work]);
    assert!(work.starts_with("op_id,time_s,lane,op,path,"), "{work}");
    let ids: Vec<u64> = work.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
    assert!(ids.len() > 90 && ids.is_sorted());
}

#[test]
fn a_form_that_needs_a_capture_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (cap, work) = (ingested(dir.path(), "matrix.strace"), dir.path().join("work"));
    expect(0, &["generate", cap.to_str().unwrap(), "-o", work.to_str().unwrap()]);
    let output = ioriot(&["export", work.to_str().unwrap(), "--to", "strace"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("export a capture: this form is made from one"), "{said}");
}
