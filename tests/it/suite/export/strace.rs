//! Output of strace: read back it gives the same events.

use super::{export, hostile, ingested};
use crate::tool::{expect, ioriot, number, rows};
use ioriot::event::{Col, Text};
use std::fs;
use std::path::{Path, PathBuf};

/// Exports a capture and reads the text back: the second capture, and what was said on standard error.
fn again(dir: &Path, cap: &Path) -> (PathBuf, String) {
    let text = dir.join("again.strace");
    let output = ioriot(&["export", cap.to_str().unwrap(), "--to", "strace", "-o", text.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let back = dir.join("again");
    expect(0, &["ingest", "--strict", text.to_str().unwrap(), "-o", back.to_str().unwrap()]);
    (back, said)
}

/// Fails where events differ in one of these columns.
fn same(name: &str, before: &Path, after: &Path, columns: &[&str]) {
    let list = columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT seq, syscall, {list} FROM events ORDER BY seq");
    let (before, after) = (rows(&[before], &sql), rows(&[after], &sql));
    for (one, two) in before.iter().zip(&after) {
        assert_eq!(one, two, "{name}: {list}");
    }
    assert_eq!(before.len(), after.len(), "{name}");
}

/// All columns but for the line of the input.
fn all() -> Vec<&'static str> {
    let ints = Col::ALL.iter().filter(|col| **col != Col::Line).map(|col| col.name());
    ints.chain(Text::ALL.iter().map(|text| text.name())).collect()
}

#[test]
fn a_trace_of_strace_comes_back_whole() {
    for name in
        ["matrix.strace", "compat32.strace", "a-sqlite.strace.gz", "d-files.strace.gz", "e-fio.strace.gz", "owners.strace.gz"]
    {
        let dir = tempfile::tempdir().unwrap();
        let cap = ingested(dir.path(), name);
        let (back, said) = again(dir.path(), &cap);
        assert_eq!(said, "", "{name}");
        same(name, &cap, &back, &all());
    }
}

/// Of other captures the text has no place for inode numbers, positions and the like, and says so. Those of early versions lack
/// arguments without which there is no line.
#[test]
fn what_strace_has_a_place_for_comes_back() {
    for name in [
        "matrix.capture",
        "compat32.capture",
        "a-sqlite.capture.gz",
        "d-files.capture.gz",
        "e-fio.capture.gz",
        "v5-matrix.capture",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let cap = ingested(dir.path(), name);
        let (back, said) = again(dir.path(), &cap);
        let changed: Vec<_> = said.lines().filter_map(|line| line.split("values of column ").nth(1)?.split(' ').next()).collect();
        let kept: Vec<_> = all().into_iter().filter(|column| !changed.contains(column) && *column != "pid").collect();
        for column in ["path", "ret", "errno", "ts", "dur", "tid", "offset", "fd", "flags"] {
            assert!(kept.contains(&column), "{name}: {column} is lost\n{said}");
        }
        let left = said.lines().filter_map(|line| line.split_once(" calls of ")).map(|(count, _)| count.parse::<f64>().unwrap());
        let left: f64 = left.sum();
        assert!(
            !["read ", "write ", "open", "close"].iter().any(|call| said.contains(&format!("calls of {call}"))),
            "{name}: {said}"
        );
        let events = |cap: &Path| number(&[cap], "SELECT count(*) FROM events");
        assert_eq!(events(&cap) - left, events(&back), "{name}: {said}");
        // Those that came back are the same, in the same order.
        let list = kept.iter().map(|column| format!("a.\"{column}\" IS NOT DISTINCT FROM b.\"{column}\"")).collect::<Vec<_>>();
        let sql = format!(
            "WITH a AS (SELECT *, row_number() OVER (ORDER BY seq) AS n FROM events_1 WHERE EXISTS (SELECT 1 FROM events_2 AS e WHERE \
             e.tid = events_1.tid AND e.syscall = events_1.syscall AND coalesce(e.ts, -1) = coalesce(events_1.ts, -1))) \
             SELECT count(*) FROM a JOIN events_2 AS b ON a.n - 1 = b.seq WHERE a.syscall = b.syscall AND {}",
            list.join(" AND ")
        );
        assert_eq!(number(&[&cap, &back], &sql), events(&back), "{name}: {said}");
        if name.starts_with("v5") {
            assert_eq!(left, 0.0, "{said}");
        }
    }
}

#[test]
fn names_come_back_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let cap = hostile(dir.path());
    let text = export(&cap, "strace", &[]);
    assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{text}");
    let (back, said) = again(dir.path(), &cap);
    assert!(said.contains("1000000000 seconds were added to all times"), "{said}");
    same("hostile", &cap, &back, &["path", "ret", "errno", "dur", "offset", "count", "fd", "flags"]);
    let shift = rows(&[&cap, &back], "SELECT DISTINCT b.ts - a.ts FROM events_1 AS a JOIN events_2 AS b USING (seq)");
    assert_eq!(shift, ["1000000000000000000"]);
}

#[test]
fn a_call_in_which_another_thread_works_is_two_lines() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("t.strace");
    let lines = "1 1700000000.000000001 read(3, \"\"..., 10 <unfinished ...>\n\
                 2 1700000000.500000000 close(4) = 0 <0.100000000>\n\
                 1 1700000001.000000001 <... read resumed>) = 5 <1.000000000>\n\
                 1 1700000002.000000000 openat(AT_FDCWD, \"/a\\n\\\"\", O_RDWR|O_CREAT|O_TRUNC|O_CLOEXEC, 0644) = 3 <0.000001000>\n\
                 2 1700000003.000000000 stat(\"/none\", 0x1000) = -1 ENOENT (No such file or directory) <0.000002000>\n\
                 2 1700000004.000000000 exit_group(0) = ?\n";
    fs::write(&trace, lines).unwrap();
    let cap = dir.path().join("c");
    expect(0, &["ingest", "--strict", trace.to_str().unwrap(), "-o", cap.to_str().unwrap()]);
    assert_eq!(export(&cap, "strace", &[]), lines);
}
