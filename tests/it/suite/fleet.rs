//! Fleets: captures of many hosts as one directory, and as one dataset for readers of Hive partitions.

use super::query::right;
use crate::tool::{data, expect, ioriot, rows};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A fleet of three hosts: matrix, e-fio, a-sqlite.
fn fleet() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let fleet = dir.path().join("fleet");
    let inputs = ["matrix.strace", "e-fio.strace.gz", "a-sqlite.strace.gz"].map(data);
    let [a, b, c] = inputs.each_ref().map(String::as_str);
    expect(0, &["ingest", a, b, c, "-o", fleet.to_str().unwrap()]);
    (dir, fleet)
}

/// Every file below a directory, with its content.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let (dirs, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let own = files.into_iter().map(|file| (file.strip_prefix(dir).unwrap().to_owned(), fs::read(&file).unwrap()));
    let below = dirs.iter().flat_map(|sub| files_below(dir, sub));
    own.chain(below).collect()
}

fn files_below(dir: &Path, sub: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let name = sub.strip_prefix(dir).unwrap();
    files(sub).into_iter().map(|(file, content)| (name.join(file), content)).collect()
}

#[test]
fn a_fleet_makes_the_workloads_that_its_hosts_make_alone() {
    let (dir, fleet) = fleet();
    let works = dir.path().join("works");
    let said = expect(0, &["generate", fleet.to_str().unwrap(), "-o", works.to_str().unwrap(), "--format", "json"]);
    let summary: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(summary["workloads"].as_array().unwrap().len(), 3);
    for made in summary["workloads"].as_array().unwrap() {
        let name = Path::new(made["dir"].as_str().unwrap()).file_name().unwrap().to_owned();
        let alone = dir.path().join("alone").join(&name);
        expect(0, &["generate", fleet.join(&name).to_str().unwrap(), "-o", alone.to_str().unwrap()]);
        assert!(made["ops"].as_u64().unwrap() > 0 && files(&alone) == files(&works.join(&name)), "{name:?}");
    }
    // Its workloads are asked together; what is about one alone names them, and says how each is had in turn.
    let counted = rows(&[&works], "SELECT count(DISTINCT dataset) FROM ops");
    assert_eq!(counted, ["3"]);
    for words in [&["init"][..], &["replay", "-o", "run"], &["lint"]] {
        let refused = ioriot(&[words, &[works.to_str().unwrap()]].concat());
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(2) && said.contains("3 hosts") && said.contains("host=e-fio"), "{words:?}: {said}");
        let each = format!("for host in {}/host=*; do ioriot", ioriot::text::word(&works));
        assert!(said.contains(&each), "{words:?}: {said}");
    }
}

/// What is about one capture says so of a fleet, and which hosts it has.
#[test]
fn one_host_is_shown_at_a_time() {
    let (_dir, fleet) = fleet();
    for words in [&["report"][..], &["compare"], &["head"], &["cat"]] {
        let refused = ioriot(&[words, &[fleet.to_str().unwrap()]].concat());
        let said = String::from_utf8_lossy(&refused.stderr);
        let names = said.contains("3 hosts") && said.contains("host=e-fio") || said.contains("one capture are shown at a time");
        assert!(refused.status.code() == Some(2) && names, "{words:?}: {said}");
    }
    let head = expect(0, &["head", fleet.to_str().unwrap(), "--table", "events", "--format", "csv"]);
    assert!(head.starts_with("dataset,host"), "{head}");
}

/// A signal leaves nothing: neither drafts nor the directory that they are made in.
#[test]
fn a_signal_leaves_no_directory_for_the_hosts() {
    let (dir, fleet) = fleet();
    let works = dir.path().join("works");
    for _ in 0..20 {
        let args = ["generate", fleet.to_str().unwrap(), "-o", works.to_str().unwrap()];
        let mut generate = crate::tool::command(&args).spawn().unwrap();
        while !fs::read_dir(&works).is_ok_and(|mut entries| entries.next().is_some()) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        // SAFETY: plain numbers; the child has not been waited for.
        unsafe { libc::kill(generate.id() as libc::pid_t, libc::SIGINT) };
        match generate.wait().unwrap().code() {
            Some(130) => return assert!(!works.exists()),
            // On a busy machine it may be done before the signal comes.
            Some(0) => fs::remove_dir_all(&works).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    panic!("it was done before each signal");
}

/// With the default memory, which one of them needs half of.
#[test]
fn hosts_with_many_events_are_made_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|host| dir.path().join(format!("{host}.strace.gz")));
    for file in [&one, &two] {
        fs::copy(data("d-files.strace.gz"), file).unwrap();
    }
    let [one, two, fleet, works] =
        [one, two, dir.path().join("fleet"), dir.path().join("works")].map(|path| path.into_os_string().into_string().unwrap());
    expect(0, &["ingest", &one, &two, "-o", &fleet]);
    let said = expect(0, &["generate", &fleet, "-o", &works]);
    assert!(said.contains("host=two: ") && said.contains("on 2 hosts"), "{said}");
}

#[test]
fn one_bad_host_and_there_is_no_workload() {
    let (dir, fleet) = fleet();
    fs::write(fleet.join("host=e-fio/events.parquet"), "PAR1").unwrap();
    let works = dir.path().join("works");
    let args = ["generate", fleet.to_str().unwrap(), "-o", works.to_str().unwrap()];
    let refused = ioriot(&args);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && said.contains("host=e-fio"), "{said}");
    assert!(!works.exists());
    let merged = ioriot(&[&args[..], &["--merge", fleet.join("host=matrix").to_str().unwrap()]].concat());
    assert!(String::from_utf8_lossy(&merged.stderr).contains("captures of one machine"), "{merged:?}");
}

/// A host that is asked for leaves those of all others unread.
#[test]
fn a_host_is_found_by_statistics() {
    let (_dir, fleet) = fleet();
    let asked = "EXPLAIN ANALYZE SELECT count(*), max(path) FROM events WHERE host = 'matrix'";
    let plan = rows(&[&fleet], asked).join("\n");
    assert_eq!(plan.matches("bytes_scanned=0,").count(), 2, "{plan}");
    assert_eq!(rows(&[&fleet], "SELECT host, count(*) FROM events GROUP BY host ORDER BY host").len(), 3);
}

/// The processes of two hosts have the same numbers: followed as one, calls would be on files of the other.
#[test]
fn the_model_does_not_mix_hosts() {
    let (_dir, fleet) = fleet();
    let mixed = ioriot(&["query", fleet.to_str().unwrap(), "SELECT count(pos) FROM virtualize(events)"]);
    let said = String::from_utf8_lossy(&mixed.stderr);
    assert!(mixed.status.code() == Some(2) && said.contains("more than one event has seq 0"), "{said}");
    let one = "SELECT count(pos) FROM virtualize((SELECT * FROM events WHERE host = 'matrix')) WHERE tag = 'event'";
    assert_eq!(rows(&[&fleet], one), rows(&[&fleet], "SELECT count(*) FROM events WHERE host = 'matrix'"));
    assert_eq!(rows(&[&fleet], "SELECT DISTINCT dataset FROM io").len(), 3);
}

/// Needs what [`super::query::other_readers_read_every_file`] needs.
#[test]
fn readers_of_hive_partitions_read_a_fleet() {
    let (_dir, fleet) = fleet();
    for variable in ["IORIOT_PYTHON", "IORIOT_OLDEST_PYTHON"] {
        let Some(output) = right::python(variable, &["interop.py", "--fleet", fleet.to_str().unwrap()]) else { return };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("events of 3 hosts"), "{said}");
    }
}
