//! Which files a query reads: those that it has looked at, wherever they lie.

use crate::suite::generate::{capture, story};
use crate::tool::{command, data};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

#[test]
fn a_table_is_the_file_that_was_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    for (name, rounds) in [("a", 1), ("b", 2)] {
        fs::create_dir(dir.path().join(name)).unwrap();
        capture(&dir.path().join(name), &story(1, rounds));
    }
    let [a, b] = ["a", "b"].map(|name| dir.path().join(name).join("capture"));
    let table = a.join("events.parquet");
    for what in ["a FIFO", "a symlink", "nothing"] {
        let mut child = Command::new("timeout")
            .args(["60", env!("CARGO_BIN_EXE_ioriot"), "query", "--format", "csv"])
            .arg(&a)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut asks, mut said) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        asks.write_all(b"SELECT 1 AS ready;\n").unwrap();
        let mut lines = String::new();
        while !lines.ends_with("1\n") {
            assert_ne!(said.read_line(&mut lines).unwrap(), 0, "it ended");
        }
        let aside = dir.path().join("aside");
        fs::rename(&table, &aside).unwrap();
        match what {
            "a FIFO" => assert!(Command::new("mkfifo").arg(&table).status().unwrap().success()),
            "a symlink" => symlink(b.join("events.parquet"), &table).unwrap(),
            _ => {}
        }
        asks.write_all(b"SELECT count(*) AS n FROM events WHERE seq >= 0;\n").unwrap();
        drop(asks);
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("n\n10\n", Some(0)), "{what}");
        let _ = fs::remove_file(&table);
        fs::rename(&aside, &table).unwrap();
    }
}

#[test]
fn a_dataset_lies_below_any_name() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join(OsStr::from_bytes(b"a\tb\nc\x1b[1m %41?#*\xff"));
    let output = command(&["run", &data("matrix.strace"), "-o"]).arg(&place).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let sql = "SELECT count(*) > 0 AS ok FROM ops JOIN results USING (op_id); SELECT count(*) >= 0 AS ok FROM drops";
    let mut query = command(&["query", "--format", "csv"]);
    let output = query.args(["capture", "workload", "run"].map(|part| place.join(part))).arg(sql).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\ntrue\nok\ntrue\n", "{}", String::from_utf8_lossy(&output.stderr));
    let picky = place.join(OsStr::from_bytes(b"picky\n\xfe"));
    let mut generate = command(&["generate", "--where", "path IS NOT NULL", "-o"]);
    let output = generate.arg(&picky).arg(place.join("capture")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
