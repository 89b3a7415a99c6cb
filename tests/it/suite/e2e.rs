//! From a real capture to a replay whose every outcome is compared, as a user runs it.
//!
//! The snapshots pin every count: fates by reason, outcomes by kind, verdicts on the tree. A better match cannot be
//! bought by dropping more. Every difference they show is explained in docs/FIDELITY.md.

mod causes;
mod lines;

use crate::tool::{data, expect, number, root, rows};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// A finished `ioriot run`.
struct Story {
    _scratch: tempfile::TempDir,
    dir: PathBuf,
}

impl Story {
    /// Runs an input of tests/data; a match under the limit is an error here, not of the program.
    fn of(input: &str) -> Story {
        Story::of_file(&data(input))
    }

    fn of_file(input: &str) -> Story {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("story");
        expect(0, &["run", input, "-o", dir.to_str().unwrap(), "--min-match", "0"]);
        Story { _scratch: scratch, dir }
    }

    fn part(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Share of the compared outcomes that are the same.
    fn matched(&self) -> f64 {
        number(
            &[&self.part("run")],
            "SELECT avg(CASE outcome WHEN 'same' THEN 1.0 ELSE 0.0 END) FROM results WHERE origin = 'event' AND outcome <> 'uncompared'",
        )
    }

    /// Ops in every file event.
    fn coverage(&self) -> f64 {
        number(&[&self.part("workload")], "SELECT avg(CASE fate WHEN 'op' THEN 1.0 ELSE 0.0 END) FROM fates WHERE on_file")
    }

    /// Every count, for a snapshot.
    fn counts(&self) -> String {
        let (capture, workload, run) = (self.part("capture"), self.part("workload"), self.part("run"));
        let mut out = String::new();
        let mut section = |title: &str, datasets: &[&Path], sql: &str| {
            writeln!(out, "{title}").unwrap();
            rows(datasets, sql).iter().for_each(|row| writeln!(out, "  {row}").unwrap());
        };
        section("rejects", &[&capture], "SELECT reason, count(*) FROM rejects GROUP BY 1 ORDER BY 1");
        section("fates", &[&workload], "SELECT fate, reason, on_file, count(*) FROM fates GROUP BY 1, 2, 3 ORDER BY 1, 2, 3");
        section("ops", &[&workload], "SELECT origin, count(*) FROM ops GROUP BY 1 ORDER BY 1");
        // Only root gives files away. For others those calls, and no others, are uncompared; all the rest is as root has it.
        let outcomes = match root() {
            true => "SELECT origin, outcome, kind, count(*) FROM results GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            false => {
                "SELECT origin, CASE WHEN given THEN 'same' ELSE outcome END, CASE WHEN given THEN NULL ELSE kind END, count(*) \
                FROM (SELECT *, coalesce(kind, '') = 'credentials' AND syscall LIKE '%chown%' AS given FROM results) \
                GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
            }
        };
        section("outcomes", &[&run], outcomes);
        section(
            "differences",
            &[&run],
            "SELECT syscall, kind, count(*) FROM results WHERE outcome = 'different' GROUP BY 1, 2 ORDER BY 1, 2",
        );
        section("state", &[&run], "SELECT verdict, count(*) FROM state GROUP BY 1 ORDER BY 1");
        out
    }

    /// What is at a captured path in the replayed tree.
    fn found(&self, path: &str) -> Option<fs::Metadata> {
        let tree = self.part("root").join("tree");
        tree.join(path.trim_start_matches('/')).symlink_metadata().ok()
    }
}

/// Pins the counts of an input, and asks for this match and coverage.
fn check(input: &str, matched: f64, coverage: f64) -> Story {
    let story = Story::of(input);
    insta::assert_snapshot!(input.replace('.', "_"), story.counts());
    assert!(story.matched() >= matched, "match of {input}: {}", story.matched());
    assert!(story.coverage() >= coverage, "coverage of {input}: {}", story.coverage());
    story
}

/// The end of the syscall matrix (the C tool's own procedure), under the directory it ran in.
fn check_matrix_tree(story: &Story) {
    let base = "/home/ioriot/matrix";
    for there in ["dirA/head-renamed.bin", "link-open.txt"] {
        assert!(story.found(&format!("{base}/{there}")).is_some(), "{there} is missing");
    }
    assert!(story.found(&format!("{base}/link-open.txt")).unwrap().is_symlink());
    for gone in ["open-renamed.txt", "emptydir", "dirA/openat-renamed.txt", "open.txt"] {
        assert!(story.found(&format!("{base}/{gone}")).is_none(), "{gone} is still there");
    }
}

#[test]
fn matrix_strace() {
    check_matrix_tree(&check("matrix.strace", 1.0, 0.99));
}

#[test]
fn the_story_ends_with_a_verdict() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("story");
    let said = expect(0, &["run", &data("matrix.strace"), "-o", dir.to_str().unwrap()]);
    let end: Vec<&str> = said.lines().rev().take(2).collect();
    // Four give files away, which a user may not.
    let compared = if root() { 95 } else { 91 };
    assert_eq!(end[1], format!("{compared} compared outcomes, all the same; the tree is as predicted."));
    let query = end[0].strip_prefix("Look closer: ioriot query ").unwrap();
    let (datasets, sql) = query.split_once(" '").unwrap();
    assert!(!rows(&[Path::new(datasets)], sql.trim_end_matches('\'')).is_empty());
}

/// What README shows of `generate` is what it says; times are others each time.
#[test]
fn the_session_of_the_readme_is_fresh() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("story");
    let said = expect(0, &["run", &data("matrix.strace"), "-o", dir.to_str().unwrap(), "--engine", "null"]);
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let part = |text: &str| {
        let generate = text.lines().skip_while(|line| !line.starts_with("generate: ")).skip(1);
        let lines = generate.take_while(|line| !line.is_empty()).map(|line| line.split(", made in").next().unwrap().to_owned());
        lines.collect::<Vec<_>>()
    };
    assert_eq!(part(&readme), part(&said));
    assert!(part(&said).last().unwrap().contains("fingerprint"));
}

/// The probes lost the names of three directories; what happened in them proves two of the directories again.
#[test]
fn matrix_capture_with_lost_names() {
    check_matrix_tree(&check("matrix.capture", 1.0, 0.95));
}

#[test]
fn matrix_capture() {
    check_matrix_tree(&check("matrix.fixed-mkdirat.capture", 1.0, 0.99));
}

#[test]
fn compat32_capture() {
    check("compat32.capture", 1.0, 0.99);
}

#[test]
fn compat32_strace() {
    check("compat32.strace", 1.0, 0.99);
}

/// Version 5 of the format, from our own probes: they see what strace sees.
#[test]
fn probes_capture() {
    check_matrix_of_scripts(&check("v5-matrix.capture", 1.0, 1.0));
    check("v5-compat32.capture", 1.0, 1.0);
    check("v5-copy.capture.gz", 1.0, 1.0);
}

/// The end of scripts/syscall_matrix.c.
fn check_matrix_of_scripts(story: &Story) {
    let base = "/home/ioriot/matrix";
    let size = |name: &str| story.found(&format!("{base}/{name}")).map(|meta| meta.len());
    assert_eq!((size("data"), size("copy"), size("shared")), (Some(15_020), Some(8_192), Some(175)));
    assert!(story.found(&format!("{base}/dir/dangling")).unwrap().is_symlink());
    for gone in ["dir/made", "dir/hard", "dir/sub", "dir/sub2"] {
        assert!(story.found(&format!("{base}/{gone}")).is_none(), "{gone} is still there");
    }
}

#[test]
fn sqlite_strace() {
    let story = check("a-sqlite.strace.gz", 0.999, 0.99);
    // The last stat of the captured job says how large the database is; its journal was deleted by then.
    let captured = number(
        &[&story.part("capture")],
        "SELECT st_size FROM events WHERE path LIKE '%s.db' AND st_size IS NOT NULL ORDER BY seq DESC LIMIT 1",
    );
    assert_eq!(story.found("/home/ioriot/s.db").unwrap().len() as f64, captured);
    assert!(story.found("/home/ioriot/s.db-journal").is_none());
}

#[test]
fn files_strace() {
    check("d-files.strace.gz", 0.995, 0.99);
}

#[test]
fn fio_strace() {
    check("e-fio.strace.gz", 0.995, 0.99);
}

#[test]
fn weak_captures_run_to_the_end() {
    for input in [
        "a-sqlite.capture.gz",
        "a-sqlite.bpftrace.capture.gz",
        "d-files.capture.gz",
        "e-fio.lossy.capture.gz",
        "e-fio.capture.gz",
    ] {
        check(input, 0.998, 0.91);
    }
}

/// mkdir, create inside, rename the directory, create under the new name, rename the file, unlink another: every op
/// depends on one on another path just before it.
fn chain(n: usize) -> String {
    let mut text = String::from("#|capture_version=4|\n");
    let mut at = 1_760_000_000_000_000_000_u64;
    let mut line = |call: &str, keys: String| {
        at += 20_000;
        // Every call of a chain in a thread of its own, so that order is the replay's work.
        let tid = 700 + (at / 20_000) % 16;
        writeln!(text, "t={at};:,D=5000;:,i=700:{tid};:,o={call};:,{keys}").unwrap();
    };
    line("mkdir", "p=/home/order;:,m=493;:,s=0;:,".into());
    for i in 0..n {
        let (d, r) = (format!("/home/order/d{i}"), format!("/home/order/d{i}.r"));
        line("mkdir", format!("p={d};:,m=493;:,s=0;:,"));
        line("openat", format!("d=3;:,p={d}/f;:,f=577;:,m=420;:,"));
        line("write", "d=3;:,b=100;:,".into());
        line("close", "d=3;:,s=0;:,".into());
        line("openat", format!("d=3;:,p={d}/x;:,f=577;:,m=420;:,"));
        line("close", "d=3;:,s=0;:,".into());
        line("rename", format!("p={d};:,P={r};:,s=0;:,"));
        line("openat", format!("d=3;:,p={r}/h;:,f=577;:,m=420;:,"));
        line("write", "d=3;:,b=50;:,".into());
        line("close", "d=3;:,s=0;:,".into());
        line("rename", format!("p={r}/f;:,P={r}/g;:,s=0;:,"));
        line("unlink", format!("p={r}/x;:,s=0;:,"));
    }
    text
}

#[test]
fn cross_path_chains_end_right_at_any_number_of_threads() {
    let scratch = tempfile::tempdir().unwrap();
    let (input, workload) = (scratch.path().join("chain.capture"), scratch.path().join("workload"));
    fs::write(&input, chain(500)).unwrap();
    let capture = scratch.path().join("capture");
    expect(0, &["ingest", input.to_str().unwrap(), "-o", capture.to_str().unwrap()]);
    expect(0, &["generate", capture.to_str().unwrap(), "-o", workload.to_str().unwrap()]);
    for threads in ["1", "4", "16"] {
        let (root, run) = (scratch.path().join(format!("root{threads}")), scratch.path().join(format!("run{threads}")));
        let (workload, root, run) = (workload.to_str().unwrap(), root.to_str().unwrap(), run.to_str().unwrap());
        expect(0, &["init", workload, "--root", root]);
        expect(0, &["replay", workload, "--root", root, "-o", run, "--threads", threads, "--min-match", "100"]);
        let home = Path::new(root).join("tree/home/order");
        let right = (0..500).flat_map(|i| [(home.join(format!("d{i}.r/g")), 100), (home.join(format!("d{i}.r/h")), 50)]);
        let right = right.filter(|(path, size)| path.metadata().is_ok_and(|meta| meta.len() == *size)).count();
        assert_eq!(right, 1000, "files right at {threads} threads");
        assert_eq!(fs::read_dir(&home).unwrap().count(), 500);
    }
}

#[test]
fn a_name_that_is_not_utf8_survives_to_the_replay() {
    use std::os::unix::ffi::OsStrExt;
    let scratch = tempfile::tempdir().unwrap();
    let input = scratch.path().join("bytes.capture");
    let text = b"#|capture_version=4|\nt=1760000000000001000;:,D=5;:,i=7:7;:,o=openat;:,d=3;:,p=/home/\xff\xfe\xee\xbe\x80;:,f=577;:,m=420;:,\nt=1760000000000002000;:,D=5;:,i=7:7;:,o=write;:,d=3;:,b=9;:,\n";
    fs::write(&input, text).unwrap();
    let story = Story::of_file(input.to_str().unwrap());
    let name = std::ffi::OsStr::from_bytes(b"home/\xff\xfe\xee\xbe\x80");
    assert_eq!(story.part("root").join("tree").join(name).metadata().unwrap().len(), 9);
}
