//! Table macros, and views and macros of the user's own.

use crate::suite::generate::{call, capture};
use crate::tool::{command, data, expect, ioriot, root, rows};
use ioriot::event::Col;
use ioriot::report::MACROS;
use ioriot::syscall::Syscall;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Captures of these logs.
fn captures(dir: &Path, inputs: &[&str]) -> Vec<PathBuf> {
    let made = |input: &&str| {
        let place = dir.join(input.split('.').next().unwrap());
        expect(0, &["ingest", &data(input), "-o", place.to_str().unwrap()]);
        place
    };
    inputs.iter().map(made).collect()
}

#[test]
fn what_is_asked_of_several_captures_is_asked_of_each() {
    let dir = tempfile::tempdir().unwrap();
    let places = captures(dir.path(), &["compat32.strace", "matrix.strace"]);
    let [one, other] = [places[0].as_path(), places[1].as_path()];
    let views = ["accesses", "io"].map(str::to_owned);
    let examples =
        MACROS.iter().map(|stage| stage.doc().unwrap().mark("example").trim_start_matches("SELECT * FROM ").to_owned());
    for relation in examples.chain(views) {
        let sql = format!("SELECT * FROM {relation}");
        let mut apart = Vec::new();
        for place in [one, other] {
            apart.extend(rows(&[place], &sql).into_iter().map(|row| format!("{},{row}", place.display())));
        }
        let mut together = rows(&[one, other], &sql);
        apart.sort_unstable();
        together.sort_unstable();
        assert!(
            !together.is_empty() || relation.starts_with("metadata_storms") || relation.starts_with("open_at_end"),
            "{relation}"
        );
        assert_eq!(together, apart, "{relation}");
    }
}

#[test]
fn a_macro_is_about_what_its_names_stand_for() {
    let dir = tempfile::tempdir().unwrap();
    let places = captures(dir.path(), &["a-sqlite.strace.gz"]);
    let place = [places[0].as_path()];
    let some =
        "WITH io AS (SELECT * FROM io WHERE path LIKE '%-journal') SELECT sum(reads + writes + others) FROM read_write_mix()";
    let all = rows(&place, "SELECT count(*) FROM io WHERE path LIKE '%-journal' AND time_s IS NOT NULL");
    assert_eq!(rows(&place, some), all);
    assert_ne!(rows(&place, "SELECT sum(reads + writes + others) FROM read_write_mix()"), all);
    // What does not depend on the slices.
    for width in ["'1ms'", "'1h'", "width => '20ms'", "7000000"] {
        let sql = format!("SELECT sum(read_bytes), sum(written_bytes) FROM read_write_mix({width})");
        let sums = "SELECT sum(bytes) FILTER (WHERE class = 'reads'), sum(bytes) FILTER (WHERE class = 'writes') FROM io";
        assert_eq!(rows(&place, &sql), rows(&place, sums), "{width}");
    }
    for sql in ["EXPLAIN SELECT * FROM alignment()", "EXPLAIN ANALYZE SELECT count(seq) FROM virtualize(events)"] {
        assert!(!rows(&place, sql).is_empty(), "{sql}");
    }
    for (sql, says) in [
        ("SELECT * FROM alignment", "alignment is a table macro: FROM alignment(...)"),
        ("SELECT * FROM alignmen()", "perhaps alignment()"),
        ("SELECT * FROM alignment('4X')", "no unit of bytes"),
        ("SELECT * FROM alignment(block => 512, 3)", "is called as alignment(block SIZE = '4K')"),
        ("SELECT * FROM percentile(1)", "there is no table percentile"),
    ] {
        let output = ioriot(&["query", place[0].to_str().unwrap(), sql]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() != Some(0) && said.contains(says), "{sql}: {said}");
    }
}

#[test]
fn views_and_macros_of_the_user_stand_beside_ours() {
    let dir = tempfile::tempdir().unwrap();
    let places = captures(dir.path(), &["compat32.strace", "matrix.strace"]);
    let place = |name: &str| dir.path().join("own").join(name);
    fs::create_dir(place("")).unwrap();
    // A view, a macro made of it, and a view made of the macro, which comes first by name.
    fs::write(place("big.sql"), "-- @needs accesses\nSELECT * FROM accesses WHERE bytes >= 100").unwrap();
    fs::write(
        place("big_of.sql"),
        "-- @parameter kind VARCHAR - class\n-- @needs big\nSELECT count(*) AS n FROM big WHERE class = $kind",
    )
    .unwrap();
    fs::write(place("a_big.sql"), "SELECT * FROM big_of('writes')").unwrap();
    fs::write(place("of_runs.sql"), "SELECT * FROM results").unwrap();
    let own = place("");
    let ask = |datasets: &[&PathBuf], sql: &str| {
        let mut args = vec!["query", "--format", "csv", "--sql-dir", own.to_str().unwrap()];
        args.extend(datasets.iter().map(|place| place.to_str().unwrap()));
        args.push(sql);
        let output = ioriot(&args);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    };
    let count = rows(&[&places[1]], "SELECT count(*) FROM accesses WHERE bytes >= 100 AND class = 'writes'").remove(0);
    assert_eq!(ask(&[&places[1]], "SELECT * FROM a_big"), (Some(0), format!("n\n{count}\n")));
    let (code, said) = ask(&[&places[0], &places[1]], "SELECT n FROM big_of('writes') WHERE dataset LIKE '%matrix'");
    assert_eq!((code, said), (Some(0), format!("n\n{count}\n")));
    let (code, said) = ask(&[&places[1]], "SELECT * FROM of_runs");
    assert!(code != Some(0) && said.contains("of_runs cannot be asked"), "{said}");
    fs::write(place("wrong.sql"), "SELEC 1").unwrap();
    let (code, said) = ask(&[&places[1]], "SELECT 1");
    assert!(code != Some(0) && said.contains("wrong.sql cannot be used"), "{said}");
    fs::write(place("wrong.sql"), "SELECT * FROM round").unwrap();
    fs::write(place("round.sql"), "SELECT * FROM wrong").unwrap();
    let (code, said) = ask(&[&places[1]], "SELECT 1");
    assert!(code != Some(0) && said.contains("round, wrong are made from each other"), "{said}");
}

#[test]
fn only_a_directory_of_ones_own_is_taken_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let places = captures(dir.path(), &["compat32.strace"]);
    let sql = dir.path().join("config/ioriot/sql");
    fs::create_dir_all(&sql).unwrap();
    fs::write(sql.join("mine.sql"), "SELECT 42 AS answer").unwrap();
    let ask = || {
        let mut asked = command(&["query", places[0].to_str().unwrap(), "SELECT * FROM mine", "--format", "csv"]);
        asked.env("XDG_CONFIG_HOME", dir.path().join("config")).output().unwrap()
    };
    assert_eq!(String::from_utf8_lossy(&ask().stdout), "answer\n42\n");
    fs::set_permissions(&sql, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(!ask().status.success(), "others can write to it");
    fs::set_permissions(&sql, fs::Permissions::from_mode(0o755)).unwrap();
    if root() {
        chown(&sql, Some(65534), None).unwrap();
        assert!(!ask().status.success(), "it is another user's");
    }
}

/// What would not fit into memory is refused.
#[test]
fn too_many_slices_and_pages_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cap = captures(dir.path(), &["matrix.strace"]).remove(0);
    let output = ioriot(&["query", cap.to_str().unwrap(), "SELECT * FROM concurrency('1ns')"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("slices are too many: a larger width makes fewer"), "{said}");
    // A call that is said to have read more than there is on any disk.
    let most = i64::MAX;
    let ints = [(Col::Ts, 9), (Col::Fd, 3), (Col::Offset, 0), (Col::Count, most)];
    let events = [
        call(Syscall::open, 7, 3, &[(Col::Ts, 1), (Col::Flags, 2)], Some("/d/a")),
        call(Syscall::pread64, 7, most - 1, &ints, None),
    ];
    let cap = capture(dir.path(), &events);
    for sql in ["SELECT * FROM working_set('1s', '4K')", "SELECT * FROM miss_ratio()"] {
        let output = ioriot(&["query", cap.to_str().unwrap(), sql]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("pages of one access are too many"), "{sql}: {said}");
    }
}
