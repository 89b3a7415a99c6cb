//! Names that a terminal would obey: people see them escaped, whatever verb shows them.

use crate::suite::replay::work::{Work, op};
use crate::tool::ioriot;
use std::fs;

/// What a terminal obeys, and a newline.
const NAME: &str = "a\u{1b}[2J\u{1b}]0;owned\u{7}\nx\r\u{1b}[31mred\u{9b}1m";

/// No control character but the newlines between lines reaches whoever reads.
fn harmless(args: &[&str], code: i32) -> String {
    let output = ioriot(args);
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    for said in &said {
        let obeyed = said.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(obeyed, None, "{args:?}: {said:?}");
        assert!(!said.lines().any(|line| line.starts_with('x')), "a newline in a name is no end of a line: {said}");
    }
    let [stdout, stderr] = said;
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{stdout}\n{stderr}");
    stdout + &stderr
}

#[test]
fn differences_trees_and_failures_are_shown_escaped() {
    let mut work = Work::new();
    let path = format!("/{NAME}");
    work.need(&path, "file", 3).need(&format!("{path}/below"), "file", 1).expect(&path, "file", Some(4));
    work.op(op("unlink", 0).raw("/none").set("path", path.as_str()));
    let place = work.write();
    let (root, run) = (work.place("root"), work.place(&format!("run {NAME}")));
    let [place, root, run] = [&place, &root, &run].map(|path| path.to_str().unwrap());
    harmless(&["init", place, "--root", root, "--dry-run"], 0);
    let said = harmless(&["init", place, "--root", root], 2);
    assert!(said.contains(r"a\x1b[2J\x1b]0;owned\x07\nx\r\x1b[31mred\u{9b}1m"), "{said}");
    harmless(&["replay", place, "--root", root, "-o", run], 2);
    let said = harmless(&["replay", place, "--root", root, "-o", run, "--dirty"], 1);
    assert!(said.contains(r"\x1b[2J"), "{said}");
    harmless(&["clean", work.dir.path().to_str().unwrap(), "--roots", "--runs", "--dry-run"], 0);
    harmless(&["clean", work.dir.path().to_str().unwrap(), "--roots", "--runs", "--yes"], 0);
}

#[test]
fn a_missing_input_and_an_odd_host_are_shown_escaped() {
    let dir = tempfile::tempdir().unwrap();
    let (missing, trace, out) = (dir.path().join(NAME), dir.path().join(format!("{NAME}.strace")), dir.path().join("cap"));
    harmless(&["ingest", missing.to_str().unwrap(), "-o", out.to_str().unwrap()], 2);
    fs::write(&trace, "1 1700000000.000001 unlink(\"/a\") = 0 <0.000001>\n\u{1b}[31mnot a line\n").unwrap();
    harmless(&["ingest", trace.to_str().unwrap(), "-o", out.to_str().unwrap(), "--host", NAME], 0);
}

#[cfg(feature = "sql")]
#[test]
fn every_verb_shows_captured_names_escaped_and_data_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("esc.strace");
    let line = |time: u32, call: &str| format!("1 1700000000.{time:06} {call} <0.000010>\n");
    let name = r"/tmp/a\33[2J\33]0;owned\7\nx\r\33[31mred";
    let text = [
        line(1, &format!("openat(AT_FDCWD, \"{name}\", O_RDONLY) = 3")),
        line(2, "read(3, \"\", 10) = 10"),
        line(3, "close(3) = 0"),
        line(4, &format!("unlink(\"{name}/in a file\") = 0")),
        "\u{1b}[31mnot a line 1\n".into(),
    ];
    fs::write(&trace, text.concat()).unwrap();
    let place = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let all = place("all");
    let code = ioriot(&["run", trace.to_str().unwrap(), "-o", &all, "--force", "--min-match", "0"]).status.code().unwrap();
    harmless(&["run", trace.to_str().unwrap(), "-o", &all, "--force", "--min-match", "0"], code);
    let [capture, workload] = ["all/capture", "all/workload"].map(place);
    for sql in [
        "SELECT * FROM events",
        "SELECT text AS \"\u{1b}[1m\" FROM rejects",
        "SELECT * FROM manifests",
        "EXPLAIN SELECT path FROM events",
    ] {
        harmless(&["query", &capture, sql], 0);
    }
    harmless(&["query", &workload, "SELECT * FROM ops"], 0);
    harmless(&["query", &workload, "SELECT \u{1b}[2J FROM ops"], 2);
    harmless(&["query", &workload, "SELECT \"\u{1b}[2J\" FROM ops"], 2);
    for dataset in [&capture, &workload, &all] {
        harmless(&["cat", dataset], 0);
        harmless(&["head", dataset, "-x"], 0);
    }
    for form in ["folded", "fio-iolog", "fio-jobs", "strace"] {
        harmless(&["export", &capture, "--to", form], 0);
    }
    harmless(&["export", &capture, "--to", "csv", "--table", "\u{1b}[2J"], 2);
    harmless(&["generate", &capture, "-o", &place("work"), "--explain-order"], 0);
    harmless(&["init", &place("work"), "--dry-run"], 0);
    harmless(&["clean", &all, "--dry-run"], 0);
    // Data is what was captured.
    let csv = crate::tool::expect(0, &["query", &capture, "SELECT path FROM events WHERE syscall = 'openat'", "--format", "csv"]);
    assert!(csv.contains("/tmp/a\u{1b}[2J\u{1b}]0;owned\u{7}\nx\r\u{1b}[31mred"), "{csv:?}");
}
