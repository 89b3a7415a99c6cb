//! Tests of query: any datasets, any SQL, in each form; and other readers of our files.

mod access;
mod macros;
mod opened;
pub mod right;
mod split;
mod views;

use super::generate::{capture, options, story};
use crate::tool::{csv_text, data, expect};
use ioriot::engine::{Access, MEMORY};
use ioriot::generate;
use ioriot::progress::Progress;
use ioriot::report::query::{self, Options, Source};
use ioriot::rows::{Format, Shape};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn ask(dir: &Path, datasets: &[&Path], format: Format, sql: &str) -> anyhow::Result<PathBuf> {
    let out = dir.join("answer");
    let datasets = datasets.iter().map(|path| path.to_path_buf()).collect();
    let (sql, access, memory) = (Source::Text(sql.into()), Access::Tables, MEMORY);
    let (shape, out_file) = (Shape::Table, Some(out.clone()));
    query::run(&Options {
        datasets,
        sql_dir: None,
        sql,
        format,
        shape,
        out: out_file,
        access,
        memory,
        #[cfg(feature = "cluster")]
        cluster: None,
    })?;
    Ok(out)
}

fn text(dir: &Path, datasets: &[&Path], format: Format, sql: &str) -> String {
    fs::read_to_string(ask(dir, datasets, format, sql).unwrap()).unwrap()
}

#[test]
fn nothing_waits_for_a_table_that_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    for file in ["manifest.json", "events.parquet"].map(|name| capture.join(name)) {
        let aside = dir.path().join("aside");
        fs::rename(&file, &aside).unwrap();
        assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
        for verb in ["query", "generate"] {
            let last = if verb == "query" { "SELECT 1" } else { "-o" };
            let work = dir.path().join("w");
            // Who waits for what never comes is ended.
            let mut command = Command::new("timeout");
            command.arg("20").arg(env!("CARGO_BIN_EXE_ioriot")).arg(verb).arg(&capture).arg(last);
            let output = if verb == "generate" { command.arg(&work) } else { &mut command }.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code() == Some(2) && said.contains("only a regular file"), "{verb}: {}\n{said}", output.status);
            assert!(!work.exists());
        }
        fs::remove_file(&file).unwrap();
        fs::rename(&aside, &file).unwrap();
    }
}

#[test]
fn datasets_are_tables_and_the_views_whose_tables_are_there_are_defined() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(2, 5));
    let work = dir.path().join("w");
    generate::run(&options(&capture, work.clone()), &Progress::default()).unwrap();
    let both = [capture.as_path(), work.as_path()];
    let csv = text(dir.path(), &both, Format::Csv, "SELECT count(*) AS events FROM events JOIN fates USING (seq)");
    assert_eq!(csv, "events\n100\n");
    let csv = text(dir.path(), &both, Format::Csv, "SELECT DISTINCT syscall, reason FROM drops WHERE syscall = 'mmap'");
    assert_eq!(csv, "syscall,reason\nmmap,not_file\n");
    let error = ask(dir.path(), &[&work], Format::Csv, "SELECT * FROM latency").unwrap_err();
    assert!(format!("{error:#}").contains("latency"), "{error:#}");
    let csv = text(dir.path(), &[&capture], Format::Csv, "SELECT count(tag) AS n FROM virtualize(events) WHERE tag = 'event'");
    assert_eq!(csv, "n\n100\n");
    let sql =
        "WITH few AS (SELECT * FROM events WHERE tid = 100) SELECT count(pos) AS n FROM virtualize(few) WHERE tag = 'event'";
    assert_eq!(text(dir.path(), &[&capture], Format::Csv, sql), "n\n50\n");
    let sql = "SELECT count(w.pos) AS n FROM virtualize((SELECT * FROM events WHERE seq < 10)) AS w WHERE w.tag = 'event'";
    assert_eq!(text(dir.path(), &[&capture], Format::Csv, sql), "n\n10\n");
}

#[test]
fn several_datasets_of_one_kind_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    for (name, rounds) in [("a", 1), ("b", 2)] {
        fs::create_dir(dir.path().join(name)).unwrap();
        capture(&dir.path().join(name), &story(1, rounds));
    }
    let (a, b) = (dir.path().join("a/capture"), dir.path().join("b/capture"));
    let csv = text(dir.path(), &[&a, &b], Format::Csv, "SELECT dataset, count(*) AS n FROM events GROUP BY dataset ORDER BY n");
    assert_eq!(csv, format!("dataset,n\n{},10\n{},20\n", csv_text(&a), csv_text(&b)));
}

#[test]
fn an_answer_has_four_forms() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    let sql = "SELECT seq, path FROM events WHERE seq IN (5, 6) ORDER BY seq";
    let form = |format| text(dir.path(), &[&capture], format, sql);
    assert_eq!(form(Format::Csv), "seq,path\n5,/data/common\n6,\n");
    assert_eq!(form(Format::Json), "[\n{\"seq\":5,\"path\":\"/data/common\"},\n{\"seq\":6}\n]\n");
    assert!(form(Format::Table).ends_with("2 rows\n"), "{}", form(Format::Table));
    let parquet = ask(dir.path(), &[&capture], Format::Parquet, sql).unwrap();
    assert_eq!(&fs::read(parquet).unwrap()[..4], b"PAR1");
    let none = text(dir.path(), &[&capture], Format::Json, "SELECT seq FROM events WHERE seq < 0");
    assert_eq!(none, "[\n]\n");
    let none = text(dir.path(), &[&capture], Format::Csv, "SELECT seq FROM events WHERE seq < 0");
    assert_eq!(none, "seq\n");
}

#[test]
fn a_failed_query_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    for sql in ["SELECT nothing FROM events", "SELECT 1; SELECT 2", "-- nothing", "SELECT CAST(syscall AS BIGINT) FROM events"] {
        assert!(ask(dir.path(), &[&capture], Format::Csv, sql).is_err(), "{sql}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "only the capture is there");
}

/// Two runs of a small workload each.
pub fn runs(dir: &Path) -> [PathBuf; 3] {
    let place = |name: &str| dir.join(name);
    let word = |path: &Path| path.to_str().unwrap().to_owned();
    for (name, input) in [("a", "compat32.strace"), ("b", "matrix.strace")] {
        expect(0, &["run", &data(input), "-o", &word(&place(name))]);
    }
    let (work, root, again) = (place("a/workload"), place("root"), place("again"));
    expect(0, &["init", &word(&work), "--root", &word(&root)]);
    expect(0, &["replay", &word(&work), "--root", &word(&root), "-o", &word(&again)]);
    [place("a/run"), again, place("b/run")]
}

#[test]
fn runs_of_one_workload_are_compared_and_others_refused() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two, other] = runs(dir.path());
    let sql = "SELECT sum(calls) AS a, sum(calls_2) AS b FROM compare_runs";
    let csv = text(dir.path(), &[&one, &two], Format::Csv, sql);
    let calls = text(dir.path(), &[&one], Format::Csv, "SELECT count(*) AS a FROM results WHERE origin = 'event'");
    let calls = calls.lines().nth(1).unwrap();
    assert_eq!(csv, format!("a,b\n{calls},{calls}\n"));
    let csv = text(dir.path(), &[&one, &two], Format::Csv, "SELECT count(*) AS n FROM compare_outcomes");
    assert_eq!(csv, "n\n0\n");

    let refused = |datasets: &[&Path]| format!("{:#}", ask(dir.path(), datasets, Format::Csv, sql).unwrap_err());
    let said = refused(&[&one, &other]);
    assert!(said.contains("different workloads") && said.contains("fingerprints"), "{said}");
    assert!(refused(&[&one]).contains("two runs"), "{}", refused(&[&one]));
    let three = dir.path().join("three");
    assert!(Command::new("cp").arg("-a").args([&two, &three]).status().unwrap().success());
    assert!(refused(&[&one, &two, &three]).contains("there are 3"), "{}", refused(&[&one, &two, &three]));
    assert!(refused(&[&one, &two, &two]).contains("would count twice"), "{}", refused(&[&one, &two, &two]));
    // Their rows can still be read side by side.
    let csv = text(dir.path(), &[&one, &other], Format::Csv, "SELECT count(DISTINCT dataset) AS n FROM results");
    assert_eq!(csv, "n\n2\n");

    let csv = text(dir.path(), &[&one], Format::Csv, "SELECT value FROM manifests WHERE key = 'summary.ops'");
    assert_eq!(csv, format!("value\n{calls}\n"));
    // The first rows of a view are the first of its order.
    let top = text(dir.path(), &[&one], Format::Csv, "SELECT total_ns FROM latency LIMIT 1");
    assert_eq!(top, text(dir.path(), &[&one], Format::Csv, "SELECT max(total_ns) AS total_ns FROM latency"));
    let csv = text(dir.path(), &[&one], Format::Csv, "SELECT sum(ops) AS n FROM timeline");
    let all = text(dir.path(), &[&one], Format::Csv, "SELECT count(*) AS n FROM results");
    assert_eq!(csv, all);
}

#[test]
fn a_wrong_name_gets_a_short_hint() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    let said = |sql| format!("{:#}", ask(dir.path(), &[&capture], Format::Csv, sql).unwrap_err());
    let error = said("SELECT pth FROM events");
    assert!(error.contains("no column pth, perhaps path") && error.len() < 200, "{error}");
    let error = said("SELECT * FROM event");
    assert!(error.contains("no table event, perhaps events"), "{error}");
    assert!(said("SELECT * FROM latency").contains("it needs the table results of a run"));
}

/// Needs python3 with duckdb, polars and pyarrow: the newest (`IORIOT_PYTHON`), and the oldest that are promised
/// (`IORIOT_OLDEST_PYTHON`, with what scripts/oldest_readers.txt says).
#[test]
fn other_readers_read_every_file() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("matrix");
    expect(0, &["run", &data("matrix.strace"), "-o", place.to_str().unwrap()]);
    let parts = ["capture", "workload", "run"].map(|part| place.join(part).to_str().unwrap().to_owned());
    let args: Vec<&str> = ["interop.py"].into_iter().chain(parts.iter().map(String::as_str)).collect();
    for variable in ["IORIOT_PYTHON", "IORIOT_OLDEST_PYTHON"] {
        let Some(output) = right::python(variable, &args) else { return };
        let said = String::from_utf8_lossy(&output.stdout);
        for file in ["capture/events.parquet", "workload/ops.parquet", "run/results.parquet", "run/samples.parquet"] {
            assert!(said.contains(file), "{file} is missing in {said}");
        }
    }
}
