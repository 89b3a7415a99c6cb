//! Captures without names: nothing of the original is left, and the replay is the same.

use crate::tool::{data, expect, ioriot, number, rows};
use ioriot::schema::Table;
use ioriot::schema::dataset::Kind;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The capture of a log, and the same without names.
fn both(dir: &Path, input: &str, more: &[&str]) -> [PathBuf; 2] {
    let [capture, clean, key] = ["cap", "clean", "key"].map(|name| dir.join(name));
    let word = |path: &Path| path.to_str().unwrap().to_owned();
    expect(0, &["ingest", &data(input), "-o", &word(&capture)]);
    let (from, to, key) = (word(&capture), word(&clean), word(&key));
    expect(0, &[&["anonymise", &from, "-o", &to, "--key", &key], more].concat());
    [capture, clean]
}

/// The words of four characters and more in the texts of a capture, but for those that say nothing.
fn names(capture: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for table in Table::ALL.iter().filter(|table| table.kind() == Kind::Capture && capture.join(table.file()).exists()) {
        for column in table.columns().iter().filter(|column| column.ty.name() == "VARCHAR") {
            if ["syscall", "reason", "kind"].contains(&column.name) {
                continue;
            }
            let sql = format!("SELECT DISTINCT {} FROM {}", column.name, table.name());
            for row in rows(&[capture], &sql) {
                let words = row.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '_').map(str::to_owned);
                names.extend(words.filter(|word| word.len() >= 4));
            }
        }
    }
    for kept in [
        "proc",
        "self",
        "null",
        "pipe",
        "socket",
        "anon_inode",
        "deleted",
        "fdinfo",
        "task",
        "thread-self",
        "posix_acl_access",
        "posix_acl_default",
    ] {
        names.remove(kept);
    }
    // Extensions and numbers.
    names.retain(|name| name.len() > 5 || name.chars().any(|c| !c.is_ascii_alphanumeric()));
    names.retain(|name| name.chars().any(|c| c.is_ascii_alphabetic()));
    names
}

/// Every byte of a dataset that is there to be read: columns, footers, the manifest.
fn everything(capture: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(capture).unwrap() {
        let file = entry.unwrap().path();
        all.push_str(&String::from_utf8_lossy(&fs::read(&file).unwrap()));
        if let Some(table) = file.file_stem().filter(|_| file.extension().is_some_and(|ext| ext == "parquet")) {
            all.push_str(&rows(&[capture], &format!("SELECT * FROM {}", table.to_str().unwrap())).join("\n"));
        }
    }
    all
}

#[test]
fn no_name_of_the_capture_is_left() {
    for (input, more) in
        [("e-fio.strace.gz", &[][..]), ("matrix.strace", &["--keep-lengths"][..]), ("v5-copy.capture.gz", &[][..])]
    {
        let dir = tempfile::tempdir().unwrap();
        let [capture, clean] = both(dir.path(), input, more);
        let (names, all) = (names(&capture), everything(&clean));
        assert!(names.len() > 10, "{input}: {}", names.len());
        // What is in the program's own words of the manifest and the footers is none of the capture's.
        let ours: String = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/SCHEMA.md")).unwrap();
        let left: Vec<&String> =
            names.iter().filter(|name| all.contains(name.as_str()) && !ours.contains(name.as_str())).collect();
        assert!(left.is_empty(), "{input}: {left:?}");
        assert!(!all.contains(&*dir.path().to_string_lossy()), "{input}: the path of the capture");
        assert_eq!(number(&[&clean], "SELECT count(*) FROM events"), number(&[&capture], "SELECT count(*) FROM events"));
        let numbers = "SELECT seq, ts, dur, pid, tid, syscall, fd, count, offset, CASE WHEN path2 IS NULL THEN ret END, errno, flags, mode \
                       FROM events ORDER BY seq";
        assert_eq!(rows(&[&clean], numbers), rows(&[&capture], numbers), "{input}");
    }
}

#[test]
fn the_tree_and_the_replay_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let [capture, clean] = both(dir.path(), "v5-copy.capture.gz", &[]);
    let mut said = Vec::new();
    for capture in [&capture, &clean] {
        let [work, run, root] = ["work", "run", "root"].map(|part| format!("{}.{part}", capture.display()));
        let fates =
            |place: &str| rows(&[Path::new(place)], "SELECT fate, reason, count(*) FROM fates GROUP BY 1, 2 ORDER BY 1, 2");
        expect(0, &["generate", capture.to_str().unwrap(), "-o", &work]);
        expect(0, &["init", &work, "--root", &root]);
        expect(0, &["replay", &work, "--root", &root, "-o", &run]);
        let shape = "SELECT kind, length(path) - length(replace(path, '/', '')) AS depth, count(*), sum(size) FROM fileset \
                     GROUP BY 1, 2 ORDER BY 1, 2";
        let outcomes = "SELECT outcome, count(*) FROM results GROUP BY 1 ORDER BY 1";
        let verdicts = "SELECT verdict, count(*) FROM state GROUP BY 1 ORDER BY 1";
        let work_rows = rows(&[Path::new(&work)], shape);
        let run = Path::new(&run);
        said.push((fates(&work), work_rows, rows(&[run], outcomes), rows(&[run], verdicts)));
    }
    assert_eq!(said[0], said[1]);
    assert!(said[0].2.iter().any(|row| row.starts_with("same,")), "{:?}", said[0].2);
}

#[test]
fn a_key_is_made_once_and_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let [capture, clean] = both(dir.path(), "compat32.strace", &[]);
    let key = dir.path().join("key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let again = dir.path().join("again");
    let word = |path: &Path| path.to_str().unwrap().to_owned();
    expect(0, &["anonymise", &word(&capture), "-o", &word(&again), "--key", &word(&key)]);
    let paths = "SELECT seq, path, path2, fd_path FROM events ORDER BY seq";
    assert_eq!(rows(&[&again], paths), rows(&[&clean], paths));
    let other = dir.path().join("other");
    expect(0, &["anonymise", &word(&capture), "-o", &word(&other), "--key", &word(&dir.path().join("key2"))]);
    assert_ne!(rows(&[&other], paths), rows(&[&clean], paths));
    // It is not written over, and nothing is left behind when something is wrong.
    fs::write(dir.path().join("short"), "secret").unwrap();
    for (capture, key, says) in [(&capture, "short", "is no key"), (&key, "key", "no dataset")] {
        let out = dir.path().join("none");
        let output = ioriot(&["anonymise", &word(capture), "-o", &word(&out), "--key", &word(&dir.path().join(key))]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && !out.exists(), "{said}");
        assert!(says == "no dataset" || said.contains(says), "{said}");
    }
    let output = ioriot(&["anonymise", &word(&capture), "-o", &word(&clean), "--key", &word(&key)]);
    assert_eq!(output.status.code(), Some(2));
}

/// What processes were executed with, where they belong and whose jobs they are becomes hashes.
#[test]
fn command_lines_groups_and_jobs_become_hashes() {
    let dir = tempfile::tempdir().unwrap();
    let log = "1 1700000000.000001 execve(\"/usr/bin/mysql\", [\"mysql\", \"--password=hunter22\"], [\"PBS_JOBID=4711.hpcx\", \
               \"PMI_RANK=3\"]) = 0 <0.000001>\n1 1700000000.000002 setxattr(\"/f\", \"user.hunter22\", \"\", 0, 0) = 0 <0.000001>\n";
    fs::write(dir.path().join("log"), log).unwrap();
    let [log, capture, clean, key] =
        ["log", "cap", "clean", "key"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    expect(0, &["ingest", &log, "-o", &capture]);
    expect(0, &["anonymise", &capture, "-o", &clean, "--key", &key]);
    let (capture, clean) = (PathBuf::from(capture), PathBuf::from(clean));
    let told = "SELECT name, fd2_path, arg FROM events WHERE syscall = 'execve'";
    assert_eq!(rows(&[&capture], told), ["mysql --password=hunter22,4711.hpcx,3"]);
    let hashed = rows(&[&clean], told);
    assert!(hashed[0].ends_with(",3") && hashed[0].split(',').all(|cell| !cell.is_empty()), "{hashed:?}");
    let all = everything(&clean);
    assert!(["hunter22", "hpcx", "mysql"].iter().all(|word| !all.contains(word)), "{hashed:?}");
    // The name space of an attribute stays.
    assert!(rows(&[&clean], "SELECT name FROM events WHERE syscall = 'setxattr'")[0].starts_with("user."));
}
