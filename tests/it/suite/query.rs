//! Tests of query: any datasets, any SQL, four forms; and other readers of our files.

use super::generate::{capture, options, real, story};
use ioriot::generate;
use ioriot::progress::Progress;
use ioriot::report::Format;
use ioriot::report::query::{self, Options, Source};

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn ask(dir: &Path, datasets: &[&Path], format: Format, sql: &str) -> anyhow::Result<PathBuf> {
    let out = dir.join("answer");
    let datasets = datasets.iter().map(|path| path.to_path_buf()).collect();
    query::run(&Options { datasets, sql: Source::Text(sql.into()), format, out: Some(out.clone()) })?;
    Ok(out)
}

fn text(dir: &Path, datasets: &[&Path], format: Format, sql: &str) -> String {
    fs::read_to_string(ask(dir, datasets, format, sql).unwrap()).unwrap()
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
    assert_eq!(csv, format!("dataset,n\n{},10\n{},20\n", a.display(), b.display()));
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

/// Needs python3 with duckdb, polars and pyarrow; `IORIOT_PYTHON` names another interpreter. Skipped loudly without.
#[test]
fn other_readers_read_every_file() {
    let dir = tempfile::tempdir().unwrap();
    let (capture, work, _) = real(dir.path(), "matrix.strace");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/interop.py");
    let python = std::env::var_os("IORIOT_PYTHON").unwrap_or_else(|| "python3".into());
    let output = Command::new(python).arg(script).args([&capture, &work]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(77) {
        eprintln!("SKIPPED: no reader was tried, python {said}");
        return;
    }
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("workload/ops.parquet"), "{said}");
}
