//! What SQL may do, and how it is given.

use crate::suite::generate::{capture, options, story};
use crate::tool::{ioriot, piped, sql_text};
use ioriot::engine::Access;
use ioriot::generate;
use ioriot::progress::Progress;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Output;

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_is_piped_in_is_answered_without_ado() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    let capture = capture.to_str().unwrap();
    let output =
        piped(&["query", capture, "--format", "csv"], "SELECT 1 AS a;\n-- a comment; and\nSELECT count(*) AS n\nFROM events");
    assert_eq!((output.status.code(), stdout(&output).as_str(), stderr(&output).as_str()), (Some(0), "a\n1\nn\n10\n", ""));
    let output = piped(&["query", capture, "--format", "csv"], "SELECT 1 AS a; SELECT nothing FROM events; SELECT 2 AS b;");
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), "a\n1\n"), "{}", stderr(&output));
    assert!(stderr(&output).contains("no column nothing"), "{}", stderr(&output));
    let output = piped(&["query", capture, "--format", "csv"], "\\d\n\\q\nSELECT 1");
    let said = stdout(&output);
    assert!(said.contains("events,") && said.lines().all(|line| line != "1"), "{said}");
    assert_eq!(stdout(&piped(&["query", capture], "\n-- nothing\n")), "");
    // As an editor of another system saves it.
    let output =
        piped(&["query", capture, "--format", "csv"], "\u{feff}SELECT length('a\r\nb') AS n,\r\n1 AS b;\r\n\\q\r\nSELECT 2");
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "n,b\n4,1\n"), "{}", stderr(&output));
    let file = dir.path().join("sql");
    fs::write(&file, "\u{feff}SELECT 5 AS a").unwrap();
    let output = ioriot(&["query", capture, "--format", "csv", "-f", file.to_str().unwrap()]);
    assert_eq!(stdout(&output), "a\n5\n", "{}", stderr(&output));
    // Longer than a statement may be, in letters of two bytes; and one whose every line might be its last.
    let output = piped(&["query", capture], &format!("SELECT '{}", "ü".repeat(600_000)));
    assert!(stderr(&output).contains("more than 1048576 bytes"), "{}", stderr(&output));
    let begun = std::time::Instant::now();
    let output = piped(&["query", capture, "--format", "csv"], &format!("SELECT length('{}') AS n;", ";\n".repeat(200_000)));
    assert_eq!(stdout(&output), "n\n400000\n", "{}", stderr(&output));
    assert!(begun.elapsed().as_secs() < 60);
    let out = dir.path().join("out.csv");
    let output = piped(&["query", capture, "--format", "csv", "-o", out.to_str().unwrap()], "SELECT 3 AS c");
    assert_eq!((output.status.code(), fs::read_to_string(out).unwrap().as_str()), (Some(0), "c\n3\n"), "{}", stderr(&output));
}

#[test]
fn sql_reaches_for_other_files_only_when_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    let name = |path: &Path| path.to_str().unwrap().to_owned();
    let (place, file, answer) = (name(&capture), capture.join("events.parquet"), dir.path().join("out.parquet"));
    let (table, out) = (sql_text(&file), sql_text(&answer));
    let before = fs::read(&file).unwrap();
    for sql in [
        format!("COPY (SELECT 1 AS a) TO {out}"),
        format!("COPY events TO {out} STORED AS CSV"),
        format!("EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO {out}"),
        format!("CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION {table}"),
        format!("SELECT count(*) FROM {table}"),
        format!("WITH t AS (SELECT * FROM {table}) SELECT count(*) FROM t"),
        "INSERT INTO events SELECT * FROM events".to_owned(),
        "DELETE FROM events WHERE seq = 0".to_owned(),
        "CREATE DATABASE other".to_owned(),
        format!("SET datafusion.runtime.temp_directory = {out}"),
        "PREPARE p AS SELECT 1".to_owned(),
    ] {
        let output = ioriot(&["query", &place, &sql]);
        assert_eq!(output.status.code(), Some(2), "{sql}\n{}", stdout(&output));
        assert!(stderr(&output).contains("--allow-files"), "{sql}\n{}", stderr(&output));
        let asks = dir.path().join("ask.sql");
        fs::write(&asks, format!("SELECT 1;\n{sql};")).unwrap();
        assert_eq!(ioriot(&["query", &place, "-f", &name(&asks)]).status.code(), Some(2), "{sql}");
    }
    assert!(fs::read(&file).unwrap() == before && !answer.exists());
    // What stays in memory needs no leave.
    let output =
        piped(&["query", &place, "--format", "csv"], "CREATE VIEW v AS SELECT seq FROM events; SELECT count(*) AS n FROM v;");
    assert!(stdout(&output).ends_with("n\n10\n"), "{}{}", stdout(&output), stderr(&output));
    for sql in [format!("COPY (SELECT 1 AS a) TO {out}"), format!("SELECT count(*) FROM {table}")] {
        let output = ioriot(&["query", "--allow-files", &place, &sql]);
        assert_eq!(output.status.code(), Some(0), "{sql}\n{}", stderr(&output));
    }
    assert!(answer.exists());
}

#[test]
fn edited_stages_and_predicates_reach_for_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    let (stages, out) = (dir.path().join("stages"), dir.path().join("out.csv"));
    fs::create_dir(&stages).unwrap();
    fs::write(stages.join("fileset.sql"), format!("COPY (SELECT 1 AS a) TO {}", sql_text(&out))).unwrap();
    let edited = generate::Options { sql_dir: Some(stages), ..options(&capture, dir.path().join("w")) };
    let error = generate::run(&edited, &Progress::default()).unwrap_err();
    assert!(format!("{error:#}").contains("--allow-files"), "{error:#}");
    let error = generate::run(&generate::Options { access: Access::Files, ..edited }, &Progress::default()).unwrap_err();
    assert!(format!("{error:#}").contains("fileset.sql"), "a COPY has no columns: {error:#}");
    let table = capture.join("events.parquet");
    for predicate in
        [format!("seq IN (SELECT seq FROM {})", sql_text(&table)), format!("true; COPY events TO {}", sql_text(&out))]
    {
        let picky = generate::Options { where_: Some(predicate.clone()), ..options(&capture, dir.path().join("w")) };
        assert!(generate::run(&picky, &Progress::default()).is_err(), "{predicate}");
    }
    assert!(!out.exists());
}

#[test]
fn an_answer_is_for_its_owner_and_follows_no_planted_link() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    let (victim, answers) = (dir.path().join("victim"), dir.path().join("answers"));
    fs::write(&victim, "mine").unwrap();
    fs::create_dir(&answers).unwrap();
    let out = answers.join("out.csv");
    symlink(&victim, &out).unwrap();
    symlink(&victim, answers.join(".out.csv.unfinished")).unwrap();
    let sql = "SELECT 1 AS a";
    assert_eq!(
        ioriot(&["query", capture.to_str().unwrap(), sql, "--format", "csv", "-o", out.to_str().unwrap()]).status.code(),
        Some(0)
    );
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert_eq!(fs::read_to_string(&out).unwrap(), "a\n1\n");
    let metadata = fs::symlink_metadata(&out).unwrap();
    assert!(metadata.is_file() && metadata.mode() & 0o777 == 0o600, "{:o}", metadata.mode());
}

#[test]
fn a_device_is_written_to_and_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    let ask = |out: &str| ioriot(&["query", capture.to_str().unwrap(), "SELECT 1 AS a", "--format", "csv", "-o", out]);
    // Another name of a device, so that the machine keeps its own whatever happens.
    let null = dir.path().join("null");
    symlink("/dev/null", &null).unwrap();
    assert!(ask(null.to_str().unwrap()).status.success());
    assert!(fs::symlink_metadata(&null).unwrap().is_symlink());
    let fifo = dir.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let read = std::thread::spawn({
        let fifo = fifo.clone();
        move || fs::read_to_string(fifo).unwrap()
    });
    assert!(ask(fifo.to_str().unwrap()).status.success());
    assert_eq!(read.join().unwrap(), "a\n1\n");
    assert_eq!(String::from_utf8_lossy(&ask("/dev/stdout").stdout), "a\n1\n");
    let refused = ask(dir.path().to_str().unwrap());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is a directory"), "{refused:?}");
    let new = dir.path().join("new");
    for ending in ["/", "/.", "/.."] {
        let refused = ask(&format!("{}{ending}", new.to_str().unwrap()));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("names a directory"), "{refused:?}");
    }
    // What the dataset is made of is no place for an answer; beside it there is one.
    for own in ["events.parquet", "manifest.json"] {
        let before = fs::read(capture.join(own)).unwrap();
        let refused = ask(capture.join(own).to_str().unwrap());
        assert!(String::from_utf8_lossy(&refused.stderr).contains("name another file"), "{refused:?}");
        assert_eq!(fs::read(capture.join(own)).unwrap(), before);
    }
    assert!(ask(capture.join("calls.csv").to_str().unwrap()).status.success());
    let link = dir.path().join("link");
    symlink(dir.path(), &link).unwrap();
    assert!(String::from_utf8_lossy(&ask(link.to_str().unwrap()).stderr).contains("leads to a directory"));
    assert!(!new.exists());
}
