//! Reports: each form, of each kind of dataset, of nothing at all, and of names that mean harm.

mod browser;
mod compare;

use crate::tool::{data, expect, ioriot, rows as rows_of};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

fn word(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A capture of these lines of strace.
fn ingested(dir: &Path, lines: &str) -> PathBuf {
    let (text, capture) = (dir.join("log.strace"), dir.join("capture"));
    fs::write(&text, lines).unwrap();
    expect(0, &["ingest", word(&text), "-o", word(&capture)]);
    capture
}

/// The report as JSON.
fn json(args: &[&str]) -> Value {
    let args = [&["report"], args, &["--format", "json"]].concat();
    serde_json::from_str(&expect(0, &args)).unwrap()
}

/// The rows of a section.
fn rows<'v>(report: &'v Value, name: &str) -> &'v Vec<Value> {
    let parts = report["parts"].as_array().unwrap();
    let found = parts.iter().flat_map(|part| part["sections"].as_array().unwrap()).find(|section| section["name"] == name);
    found.unwrap_or_else(|| panic!("no section {name}"))["rows"].as_array().unwrap()
}

/// What `ioriot run` makes of the matrix.
fn matrix(dir: &Path) -> PathBuf {
    let place = dir.join("matrix");
    expect(0, &["run", &data("matrix.strace"), "-o", word(&place)]);
    place
}

#[test]
fn a_report_has_four_forms() {
    let dir = tempfile::tempdir().unwrap();
    let place = matrix(dir.path());
    let report = json(&[word(&place)]);
    let kinds: Vec<_> = report["datasets"].as_array().unwrap().iter().map(|data| data["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["capture", "workload", "run"]);
    let parts: Vec<_> = report["parts"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
    for part in ["what", "time", "sizes", "latency", "files", "processes", "concurrency", "ledger", "fidelity", "state"] {
        assert!(parts.contains(&part), "{part} of {parts:?}");
    }
    // The ledger closes here as everywhere: 120 events.
    let calls: i64 = rows(&report, "events_ledger").iter().map(|row| row[2].as_i64().unwrap()).sum();
    assert_eq!(calls, 120);
    let outcomes: i64 = rows(&report, "fidelity").iter().map(|row| row[2].as_i64().unwrap()).sum();
    assert_eq!(outcomes, 95);

    let text = expect(0, &["report", word(&place)]);
    for said in ["FINDINGS", "TIME LINE", "Calls by class", "HOW TO REPRODUCE", "ioriot generate"] {
        assert!(text.contains(said), "{said} is missing in\n{text}");
    }
    let markdown = expect(0, &["report", word(&place), "--format", "md"]);
    assert!(markdown.starts_with("# ioriot report") && markdown.contains("| class | calls |"), "{markdown}");

    let html = dir.path().join("out.html");
    expect(0, &["report", word(&place), "-o", word(&html)]);
    let page = fs::read_to_string(&html).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.len() < 1 << 20, "{} bytes", page.len());
    // It loads nothing: no attribute of an element names another file.
    for load in [" src=", "@import", "url(", "<link"] {
        assert!(!page.contains(load), "{load}");
    }
    let forms = [("out.txt", "ioriot report"), ("out.md", "# ioriot report"), ("out.json", "{")];
    for (name, begins) in forms {
        let file = dir.path().join(name);
        expect(0, &["report", word(&place), "-o", word(&file)]);
        assert!(fs::read_to_string(&file).unwrap().starts_with(begins), "{name}");
    }
}

#[test]
fn each_kind_of_dataset_has_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let place = matrix(dir.path());
    let part = |name: &str| place.join(name);
    let of = |names: &[&str]| {
        let dirs: Vec<PathBuf> = names.iter().map(|name| part(name)).collect();
        json(&dirs.iter().map(|dir| word(dir)).collect::<Vec<_>>())
    };
    let (capture, work, run) = (of(&["capture"]), of(&["workload"]), of(&["run"]));
    // A workload has the calls that it replays, and so the same sizes.
    assert_eq!(rows(&capture, "sizes"), rows(&work, "sizes"));
    assert!(rows(&run, "replayed_calls").len() > 10);
    assert!(run["parts"].as_array().unwrap().iter().all(|part| part["name"] != "files"));
    // Two runs of one workload are told apart, and what both share is shown once.
    let again = dir.path().join("again");
    expect(0, &["replay", word(&place), "--engine", "null", "-o", word(&again)]);
    let both = json(&[word(&place), word(&again)]);
    let sections = both["parts"].as_array().unwrap().iter().flat_map(|part| part["sections"].as_array().unwrap());
    let cases: Vec<_> = sections.filter(|section| section["name"] == "fidelity").map(|section| section["case"].clone()).collect();
    let empty = both["empty"].as_array().unwrap();
    let once: std::collections::BTreeSet<_> = empty.iter().map(Value::to_string).collect();
    assert_eq!(empty.len(), once.len(), "{empty:?}");
    assert_eq!(cases.len(), 2);
    assert_ne!(cases[0], cases[1]);
    assert_eq!(rows(&both, "mix"), rows(&capture, "mix"));
}

#[test]
fn little_and_nothing_have_a_report() {
    let looked =
        "1 1700000000.000000 openat(AT_FDCWD, \"/etc/none\", O_RDONLY) = -1 ENOENT (No such file or directory) <0.000010>\n";
    for lines in ["1 1700000000.000000 getpid() = 1 <0.000010>\n", looked] {
        let dir = tempfile::tempdir().unwrap();
        let capture = ingested(dir.path(), lines);
        for format in ["text", "html", "json", "md"] {
            expect(0, &["report", word(&capture), "--format", format]);
        }
        // Without any event there is nothing to show, and no error either.
        let nothing = dir.path().join("nothing.parquet");
        let select = "SELECT * FROM events WHERE false";
        expect(0, &["query", word(&capture), select, "--format", "parquet", "-o", word(&nothing)]);
        fs::copy(&nothing, capture.join("events.parquet")).unwrap();
        for format in ["text", "html", "json", "md"] {
            expect(0, &["report", word(&capture), "--format", format]);
        }
        assert_eq!(json(&[word(&capture)])["findings"], Value::Array(Vec::new()));
    }
}

/// The name of a file that would run in a browser, command a terminal, or break a table.
const HOSTILE: &str = "</script><img src=x onerror=alert(1)>|`\\33[2J";

#[test]
fn names_that_mean_harm_do_none() {
    let dir = tempfile::tempdir().unwrap();
    let line = |at: usize| {
        let path = format!("/tmp/{HOSTILE}");
        format!(
            "7 1700000000.0000{at:02} openat(AT_FDCWD, \"{path}\", O_RDWR|O_CREAT, 0644) = 3 <0.000010>\n\
             7 1700000001.0000{at:02} write(3, \"\"..., 4096) = 4096 <0.000020>\n7 1700000002.0000{at:02} close(3) = 0 <0.000010>\n"
        )
    };
    let capture = ingested(dir.path(), &(0..20).map(line).collect::<String>());
    let html = expect(0, &["report", word(&capture), "--format", "html"]);
    assert!(html.contains("onerror=alert(1)"), "the name is there, as data");
    assert!(!html.contains("<img") && html.matches("</script>").count() == 3);
    assert!(!html.contains('\x1b'));
    for format in ["text", "md"] {
        let text = expect(0, &["report", word(&capture), "--format", format]);
        assert!(!text.contains('\x1b') && text.contains("\\x1b[2J"), "{text}");
    }
    // Data are data.
    let report = json(&[word(&capture)]);
    assert!(rows(&report, "files")[0][0].as_str().unwrap().ends_with("`\x1b[2J"));
}

#[test]
fn a_report_replaces_no_file_of_a_dataset() {
    let dir = tempfile::tempdir().unwrap();
    let capture = ingested(dir.path(), "7 1700000000.000000 close(3) = -1 EBADF (Bad file descriptor) <0.000010>\n");
    let output = ioriot(&["report", word(&capture), "--format", "html", "-o", word(&capture.join("manifest.json"))]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("belongs to"));
    // A planted link is replaced, and what it leads to stays.
    let (theirs, out) = (dir.path().join("theirs"), dir.path().join("out.html"));
    fs::write(&theirs, "theirs").unwrap();
    std::os::unix::fs::symlink(&theirs, &out).unwrap();
    expect(0, &["report", word(&capture), "-o", word(&out)]);
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
    assert!(fs::symlink_metadata(&out).unwrap().is_file());
}

#[test]
fn a_finding_is_found_in_a_capture() {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = String::from("7 1700000000.000000 openat(AT_FDCWD, \"/tmp/log\", O_WRONLY|O_CREAT, 0644) = 3 <0.000010>\n");
    for at in 0..150 {
        lines.push_str(&format!("7 1700000{at:03}.500000 write(3, \"\"..., 100) = 100 <0.000010>\n"));
        lines.push_str(&format!("7 1700000{at:03}.600000 fsync(3) = 0 <0.010000>\n"));
    }
    let report = json(&[word(&ingested(dir.path(), &lines))]);
    let found = &report["findings"][0];
    assert_eq!((&found["name"], &found["severity"]), (&"sync_per_small_write".into(), &"high".into()), "{found}");
    assert_eq!(found["evidence"][0]["subject"], "/tmp/log");
    assert_eq!(found["evidence"][0]["numbers"], "150 syncs, 100 bytes written for each, 150 writes");
    assert_eq!(found["evidence"][0]["cost_ns"], 1_500_000_000_i64);
}

/// A capture with the same rows, but for columns that become what is said.
fn altered(dir: &Path, capture: &Path, columns: &[(&str, &str)]) {
    let names = rows_of(
        &[capture],
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'events' ORDER BY ordinal_position",
    );
    let select = names.iter().map(|name| match columns.iter().find(|(column, _)| column == name) {
        Some((_, said)) => format!("{said} AS \"{name}\""),
        None => format!("\"{name}\""),
    });
    let select = format!("SELECT {} FROM events", select.collect::<Vec<_>>().join(", "));
    let made = dir.join("altered.parquet");
    expect(0, &["query", word(capture), &select, "--format", "parquet", "-o", word(&made)]);
    fs::copy(&made, capture.join("events.parquet")).unwrap();
}

#[test]
fn numbers_at_their_limits_are_no_errors() {
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("capture");
    expect(0, &["ingest", &data("e-fio.strace.gz"), "-o", word(&capture)]);
    let far = |column: &str, every: u32| {
        format!(
            "CASE seq % {every} WHEN 0 THEN 9223372036854775807 WHEN 1 THEN -9223372036854775807 WHEN 2 THEN NULL ELSE \"{column}\" END"
        )
    };
    let columns = [("ts", 4), ("dur", 5), ("ret", 7), ("offset", 6), ("flags", 6), ("count", 9)];
    let said: Vec<_> = columns.iter().map(|(column, every)| (*column, far(column, *every))).collect();
    altered(dir.path(), &capture, &said.iter().map(|(column, said)| (*column, said.as_str())).collect::<Vec<_>>());
    for format in ["text", "html", "json", "md"] {
        expect(0, &["report", word(&capture), "--format", format]);
    }
    expect(0, &["compare", word(&capture), word(&capture)]);
}

/// Another version of ioriot, or another program, wrote the table: what needs it is left out, and that is said; SQL of one's own may
/// ask what there is.
#[test]
fn a_table_without_a_column_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let place = matrix(dir.path());
    let run = place.join("run");
    let all = "SELECT column_name FROM information_schema.columns WHERE table_name = 'results' ORDER BY ordinal_position";
    let names = rows_of(&[&run], all);
    for (column, stands) in [("op", ""), ("begin", "'soon' AS \"begin\"")] {
        let cells = names.iter().map(|name| if *name == column { stands.to_owned() } else { format!("\"{name}\"") });
        let cells: Vec<String> = cells.filter(|cell| !cell.is_empty()).collect();
        let select = format!("SELECT {} FROM results", cells.join(", "));
        let made = dir.path().join(format!("{column}.parquet"));
        expect(0, &["query", word(&run), &select, "--format", "parquet", "-o", word(&made)]);
        let old = dir.path().join(column);
        assert!(std::process::Command::new("cp").arg("-a").args([&run, &old]).status().unwrap().success());
        fs::copy(&made, old.join("results.parquet")).unwrap();
        let found = json(&[word(&place.join("capture")), word(&place.join("workload")), word(&old)]);
        let notes = found["notes"].as_array().unwrap();
        assert!(notes.len() == 1 && notes[0].as_str().unwrap().contains(&format!("lacks {column},")), "{notes:?}");
        assert!(!rows(&found, "mix").is_empty() && !rows(&found, "end_state").is_empty());
        assert_eq!(rows_of(&[&old], "SELECT count(*) FROM results"), ["95"]);
        let capture = place.join("capture");
        let [latency, compared] =
            [vec!["query", word(&old), "SELECT * FROM latency"], vec!["compare", word(&capture), word(&old)]];
        for args in [latency, compared] {
            let output = ioriot(&args);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code() == Some(2) && said.contains(&format!("lacks {column},")), "{said}");
        }
    }
}
