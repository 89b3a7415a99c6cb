//! The ready-made views: each can be asked, and keeps its order.

use super::{runs, text};
use crate::tool::{expect, ioriot, rows};
use ioriot::report::{REPORTS, VIEWS};
use ioriot::rows::Format;
use ioriot::syscall::Wake;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_view_is_answered_of_one_run_and_of_several() {
    let dir = tempfile::tempdir().unwrap();
    let [one, again, other] = runs(dir.path());
    let work = dir.path().join("a/workload");
    let (capture, other_work) = (dir.path().join("a/capture"), dir.path().join("b/workload"));
    let names: BTreeSet<&str> = VIEWS.iter().chain(REPORTS).map(|view| view.name).collect();
    let mut answered = BTreeSet::new();
    let mut several = BTreeSet::new();
    for datasets in [vec![&capture, &work, &one], vec![&work, &one, &again], vec![&work, &one, &other_work, &other]] {
        let datasets: Vec<&Path> = datasets.into_iter().map(|path| path.as_path()).collect();
        for view in &names {
            let sql = format!("SELECT * FROM {view}");
            let mut args = vec!["query", "--format", "csv"];
            args.extend(datasets.iter().map(|path| path.to_str().unwrap()));
            args.push(&sql);
            let output = ioriot(&args);
            let (said, wrong) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
            if wrong.contains("cannot be asked") {
                continue;
            }
            assert_eq!(output.status.code(), Some(0), "{sql}: {wrong}");
            let all: Vec<&str> = said.lines().skip(1).collect();
            let first = rows(&datasets, &format!("{sql} LIMIT 1"));
            assert_eq!(first.len(), all.len().min(1), "{view}");
            // What has a row for each event streams, in no order.
            let streams = ["drops", "io", "io_of_ops", "accesses"].contains(view);
            assert!(streams || first == all[..first.len()], "{view}: {first:?}");
            answered.insert(*view);
            several.extend(said.starts_with("dataset,").then_some(*view));
        }
    }
    assert_eq!(answered, names);
    for view in ["drops", "latency", "hot_files", "file_times", "order_violations", "devices"] {
        assert!(several.contains(view), "{view} was asked of one only: {several:?}");
    }
}

#[test]
fn the_causes_of_waits_have_their_words() {
    let waits = VIEWS.iter().find(|view| view.name == "waits").unwrap();
    for wake in Wake::ALL {
        let word = match wake {
            Wake::Unknown => format!("ELSE '{}'", wake.name()),
            _ => format!("WHEN {} THEN '{}'", wake.number(), wake.name()),
        };
        assert!(waits.sql.contains(&word), "{word}");
    }
}

#[test]
fn a_view_keeps_its_order_however_it_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let [run, ..] = runs(dir.path());
    let work = dir.path().join("a/workload");
    let ask = |sql: &str| text(dir.path(), &[&work, &run], Format::Csv, sql);
    let most = ask("SELECT path, total_ns FROM file_times ORDER BY total_ns DESC, path LIMIT 3");
    for name in
        ["file_times", "FILE_TIMES", "\"file_times\"", "public.file_times", "file_times AS f", "(SELECT * FROM file_times)"]
    {
        assert_eq!(ask(&format!("SELECT path, total_ns FROM {name} LIMIT 3")), most, "{name}");
    }
    let sql = "WITH f AS (SELECT path, total_ns FROM file_times) SELECT * FROM f WHERE total_ns >= 0 LIMIT 3";
    assert_eq!(ask(sql), most);
    // A column of the answer may have the name of one that orders it.
    let first = ask("SELECT path AS p FROM file_times LIMIT 1");
    assert_eq!(ask("SELECT p FROM (SELECT path AS p, -total_ns AS total_ns, 'a' AS path FROM file_times LIMIT 1)"), first);
    assert_eq!(ask("SELECT count(*) AS n FROM file_times"), ask("SELECT count(DISTINCT path) AS n FROM file_times"));
}

#[test]
fn a_view_of_the_user_has_its_own_order() {
    let dir = tempfile::tempdir().unwrap();
    let [run, ..] = runs(dir.path());
    let made = "CREATE OR REPLACE VIEW latency AS \
                SELECT * FROM (VALUES ('a', 1), ('b', 2), ('c', 3)) AS t(syscall, total_ns) ORDER BY total_ns;";
    assert_eq!(rows(&[&run], &format!("{made} SELECT * FROM latency LIMIT 1")).last().unwrap(), "a,1");
}

/// A copy of which only one side is a file was issued as a read or a write.
#[test]
fn the_timeline_counts_bytes_of_what_was_issued() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let text = "1 1700000000.000001 openat(AT_FDCWD, \"/w/a\", O_RDWR|O_CREAT, 0644) = 3</w/a> <0.000010>\n\
                1 1700000000.000101 write(3</w/a>, \"x\"..., 100) = 100 <0.000010>\n\
                1 1700000000.000201 sendfile(4<socket:[7]>, 3</w/a>, [0] => [100], 100) = 100 <0.000010>\n";
    std::fs::write(&log, text).unwrap();
    let out = dir.path().join("out");
    expect(0, &["run", log.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    let sums = rows(&[&out.join("run")], "SELECT sum(read_bytes), sum(written_bytes) FROM timeline");
    assert_eq!(sums, ["100,100"]);
    assert_eq!(rows(&[&out.join("run")], "SELECT op FROM results WHERE syscall = 'sendfile'"), ["pread64"]);
}

/// Of captures whose clocks count from something else, calls have no time of day; each capture has its own clock.
#[test]
fn calls_have_times_of_day_where_the_clock_tells_them() {
    let dir = tempfile::tempdir().unwrap();
    let captures = [("unix", "1700000000.250000 "), ("relative", "0.250000 ")].map(|(name, stamp)| {
        let capture = dir.path().join(name);
        let line = format!("7 {stamp}openat(AT_FDCWD, \"/f\", O_RDONLY) = 3 <0.000010>\n");
        let trace = dir.path().join(format!("{name}.strace"));
        std::fs::write(&trace, line).unwrap();
        expect(0, &["ingest", trace.to_str().unwrap(), "-o", capture.to_str().unwrap()]);
        capture
    });
    let [unix, relative] = captures.each_ref().map(|path| path.as_path());
    let sql = "SELECT time, time > TIMESTAMP '2023-11-14 22:13:20', dur_ns FROM io";
    assert_eq!(rows(&[unix], sql), ["2023-11-14T22:13:20.250,true,10000"]);
    assert_eq!(rows(&[relative], sql), [",,10000"]);
    assert_eq!(
        rows(&[unix, relative], "SELECT CAST(time AS VARCHAR) FROM io ORDER BY 1 NULLS LAST"),
        ["2023-11-14T22:13:20.250", "\"\""]
    );
    assert_eq!(rows(&[unix, relative], "SELECT clock FROM clock ORDER BY 1"), ["relative", "unix"]);
}
