//! Fleets: captures of many hosts as one directory, and as one dataset for readers of Hive partitions.

use super::generate::options;
use super::query::right;
use crate::tool::{data, expect, ioriot, name_no_files, rows};
use ioriot::generate::{self, Options};
use ioriot::progress::Progress;
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

/// Whatever the number of threads, and of hosts at a time, each workload is the one that its host makes alone.
#[test]
fn twenty_hosts_make_the_same_workloads_with_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let mut words = vec!["ingest".to_owned()];
    for host in 0..20 {
        // Processes have the same numbers on all hosts, and each host has its own files and number of calls.
        let mut log = String::new();
        for call in 0..40 + 7 * host {
            let (pid, at) = (100 + call % 3, 1_700_000_000 + call);
            let name = format!("/srv/{host}/{}", call % 11);
            log += &format!("{pid} {at}.000001 openat(AT_FDCWD, \"{name}\", O_RDWR|O_CREAT, 0644) = 3 <0.000010>\n");
            log += &format!("{pid} {at}.000021 write(3, \"x\", {}) = {0} <0.000010>\n", 1 + call % 5);
            log += &format!("{pid} {at}.000041 close(3) = 0 <0.000010>\n");
        }
        let name = dir.path().join(format!("web{host}.strace"));
        fs::write(&name, log).unwrap();
        words.push(name.into_os_string().into_string().unwrap());
    }
    let [fleet, one, two, alone] = ["fleet", "one", "two", "alone"].map(|name| dir.path().join(name));
    words.extend(["-o".into(), fleet.to_str().unwrap().into()]);
    expect(0, &words.iter().map(String::as_str).collect::<Vec<_>>());
    let hosts = ioriot::fleet::hosts(&fleet);
    let make = |out: &Path, threads: usize| {
        let options = Options { threads: Some(threads), ..options(&fleet, out.to_owned()) };
        generate::hosts::run(&hosts, &options, &Progress::default()).unwrap();
        files(out)
    };
    let made = make(&one, 1);
    assert!(made.len() > 20 * 8 && made == make(&two, 2));
    for host in [0, 7, 19] {
        let name = format!("host=web{host}");
        generate::run(&options(&fleet.join(&name), alone.join(&name)), &Progress::default()).unwrap();
        assert!(files(&alone.join(&name)) == files(&one.join(&name)), "{name}");
    }
    // The same views, row by row, of all and of each.
    let asked = "SELECT host, count(pos), max(ofd), count(DISTINCT at_path) FROM virtualize(events) GROUP BY host ORDER BY host";
    let all = rows(&[Path::new(&fleet)], asked);
    let each: Vec<String> = ioriot::fleet::hosts(Path::new(&fleet)).iter().flat_map(|host| rows(&[host], asked)).collect();
    assert!(all.len() == 20 && all == each, "{all:?} {each:?}");
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

/// An answer of those that are left would be no answer, and one with rows of another capture a wrong one.
#[test]
fn a_host_without_a_table_or_with_one_of_another_is_damaged() {
    let (dir, fleet) = fleet();
    let (host, aside) = (fleet.join("host=e-fio"), dir.path().join("aside.parquet"));
    let at = |path: &Path| path.to_str().unwrap().to_owned();
    let out = at(&dir.path().join("out"));
    let refused = |says: &str| {
        for args in [
            vec!["query".into(), at(&fleet), "SELECT host, count(*) FROM events GROUP BY 1".into()],
            vec!["report".into(), at(&host)],
            vec!["generate".into(), at(&fleet), "-o".into(), out.clone()],
            vec!["export".into(), at(&host), "--to".into(), "csv".into(), "-o".into(), out.clone()],
        ] {
            let refused = ioriot(&args.iter().map(String::as_str).collect::<Vec<_>>());
            let said = String::from_utf8_lossy(&refused.stderr);
            assert!(
                refused.status.code() == Some(2) && said.contains("host=e-fio is damaged") && said.contains(says),
                "{args:?}: {said}"
            );
        }
        assert!(!Path::new(&out).exists());
    };
    for table in ["events.parquet", "rejects.parquet"] {
        fs::rename(host.join(table), &aside).unwrap();
        refused(&format!("{table} is not there, which its manifest names"));
        fs::rename(&aside, host.join(table)).unwrap();
    }
    fs::copy(host.join("events.parquet"), host.join("ops.parquet")).unwrap();
    refused("its manifest does not name ops.parquet");
    fs::remove_file(host.join("ops.parquet")).unwrap();
    // Earlier versions noted no names.
    name_no_files(&host);
    expect(0, &["query", &at(&fleet), "SELECT count(*) FROM events"]);
}

/// A host that is asked for leaves those of all others unread.
#[test]
fn a_host_is_found_by_statistics() {
    let (_dir, fleet) = fleet();
    let asked = "EXPLAIN ANALYZE SELECT count(*), max(path) FROM events WHERE host = 'matrix'";
    let read = |dir: &Path| {
        let plan = rows(&[dir], asked).join("\n");
        let bytes = plan.split("bytes_scanned=").nth(1).unwrap_or_else(|| panic!("{plan}"));
        bytes.split([',', ']']).next().unwrap().to_owned()
    };
    let alone = read(&fleet.join("host=matrix"));
    assert!(alone != "0" && read(&fleet) == alone, "{alone}: {}", read(&fleet));
    assert_eq!(rows(&[&fleet], "SELECT host, count(*) FROM events GROUP BY host ORDER BY host").len(), 3);
}

/// Three hosts whose processes have the same numbers, two of them with the same calls.
fn alike() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let mut logs = Vec::new();
    for (host, log) in [("one", "matrix.strace"), ("three", "a-sqlite.strace.gz"), ("two", "matrix.strace")] {
        let name = dir.path().join(log.replace("matrix", host).replace("a-sqlite", host));
        fs::copy(data(log), &name).unwrap();
        logs.push(name.into_os_string().into_string().unwrap());
    }
    let fleet = dir.path().join("fleet");
    let words: Vec<&str> = ["ingest"].into_iter().chain(logs.iter().map(String::as_str)).collect();
    expect(0, &[&words[..], &["-o", fleet.to_str().unwrap()]].concat());
    (dir, fleet)
}

const WALKED: &str = "seq, pid, tid, syscall, path, pos, tag, origin, fate, reason, op, vpid, vtid, comm, ofd, file, at_path, \
                      at_offset, route, bytes, kind, size, target";

/// What a function makes of a fleet, host by host, is what it makes of each host.
fn by_host(fleet: &Path, columns: &str, from: &str, order: &str) {
    let mut all = Vec::new();
    for host in ["one", "three", "two"] {
        let alone = fleet.join(format!("host={host}"));
        let name = format!("SELECT '{host}' AS host, {columns} FROM {from} ORDER BY {order}");
        all.extend(rows(&[&alone], &name));
    }
    assert!(all.len() > 30, "{from}");
    let asked = format!("SELECT host, {columns} FROM {from} ORDER BY host, {order}");
    for threads in ["1", "2", "8"] {
        let sql = format!("SET datafusion.execution.target_partitions = {threads}");
        let words = ["query", fleet.to_str().unwrap(), "--allow-files", "--format", "csv"];
        let said = expect(0, &[&words[..], &[&format!("{sql}; {asked}")]].concat());
        let got: Vec<&str> = said.lines().skip_while(|line| !line.starts_with("host,")).skip(1).collect();
        assert!(got == all, "{from} with {threads}: {} rows and {}", got.len(), all.len());
    }
}

/// The processes of two hosts have the same numbers: followed as one, calls would be on files of the other.
#[test]
fn the_model_does_not_mix_hosts() {
    let (dir, fleet) = alike();
    by_host(&fleet, WALKED, "virtualize(events)", "pos");
    // So it does whatever the order, and whatever is between.
    by_host(&fleet, WALKED, "virtualize((SELECT * FROM events ORDER BY tid, seq DESC))", "pos");
    by_host(&fleet, "op_id, syscall, ofd, at_path", "numbered((SELECT * FROM virtualize(events)))", "op_id");
    by_host(
        &fleet,
        "resource, access, lane, first, last",
        "touched((SELECT * FROM virtualize(events)))",
        "resource, lane, first, last",
    );
    let one = "SELECT count(pos) FROM virtualize((SELECT * FROM events WHERE host = 'two')) WHERE tag = 'event'";
    assert_eq!(rows(&[&fleet], one), rows(&[&fleet], "SELECT count(*) FROM events WHERE host = 'two'"));
    assert_eq!(rows(&[&fleet], "SELECT DISTINCT dataset FROM io").len(), 3);
    // So it is where batches were sorted, and put together, before.
    let sorted = "SELECT max(op_id) FROM numbered((SELECT * FROM virtualize(events) ORDER BY tid, pos DESC))";
    let taken = "SELECT max(op_id) FROM numbered((SELECT * FROM virtualize(events)))";
    let three = fleet.join("host=three");
    assert_eq!(rows(&[&three], sorted), rows(&[&three], taken));
    // A function that makes no column of the host has it all the same, and none but that is not asked for.
    let spans = rows(&[&fleet], "SELECT DISTINCT host FROM (SELECT host, lane FROM touched((SELECT * FROM virtualize(events))))");
    assert_eq!(spans.len(), 3);
    // Two captures of one host are not told apart by it.
    let again = dir.path().join("again");
    expect(0, &["ingest", dir.path().join("three.strace.gz").to_str().unwrap(), "-o", again.to_str().unwrap()]);
    let all = [fleet.join("host=one"), fleet.join("host=three"), again];
    let all = all.each_ref().map(|dir| dir.to_str().unwrap());
    let said = ioriot(&[&["query"], &all[..], &["SELECT count(pos) FROM virtualize(events)"]].concat());
    let error = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.code() == Some(2) && error.contains("more than one event has seq 0"), "{error}");
}

/// The files of a fleet are its partitions, in order: what is computed for each host takes its rows as they come.
#[test]
fn windows_for_each_host_need_neither_shuffle_nor_sort() {
    let (_dir, fleet) = alike();
    let window = "SELECT host, seq, ts - lag(ts) OVER (PARTITION BY host ORDER BY seq) AS gap FROM events";
    let walk = "SELECT host, count(pos) FROM virtualize(events) GROUP BY host";
    let counted = "SELECT host, count(*) FROM events GROUP BY host";
    let of_walk = "SELECT host, pos, row_number() OVER (PARTITION BY host ORDER BY pos) FROM virtualize(events)";
    for sql in [window, walk, counted, of_walk] {
        for threads in [2, 3, 8] {
            let words = ["query", fleet.to_str().unwrap(), "--allow-files", "--format", "csv"];
            let sql = format!("SET datafusion.execution.target_partitions = {threads}; EXPLAIN {sql}");
            let plan = expect(0, &[&words[..], &[&sql]].concat());
            let physical = plan.split("physical_plan").nth(1).unwrap_or_else(|| panic!("{plan}"));
            assert!(!physical.contains("SortExec") && !physical.contains("RepartitionExec"), "{plan}");
            assert!(physical.contains(&format!("{} groups", threads.min(3))), "{plan}");
        }
    }
    let mut gaps = Vec::new();
    for host in ["one", "three", "two"] {
        let alone = "SELECT host, seq, ts - lag(ts) OVER (ORDER BY seq) AS gap FROM events ORDER BY seq";
        gaps.extend(rows(&[&fleet.join(format!("host={host}"))], alone));
    }
    assert_eq!(rows(&[&fleet], &format!("{window} ORDER BY host, seq")), gaps);
    // What is joined by host with rows that a shuffle has put elsewhere is found.
    let joined =
        "SELECT sum(n) FROM events JOIN (SELECT host, dataset, count(*) AS n FROM events GROUP BY 1, 2) AS all USING (host)";
    let squares = "SELECT sum(n * n) FROM (SELECT count(*) AS n FROM events GROUP BY dataset)";
    assert_eq!(rows(&[&fleet], &joined.replace("AS all", "AS every")), rows(&[&fleet], squares));
}

/// Each host has mounts of its own, by which the model knows what is on a file system that is not replayed.
#[test]
fn the_model_knows_the_mounts_of_each_host() {
    let dir = tempfile::tempdir().unwrap();
    let fleet = dir.path().join("fleet");
    fs::create_dir(&fleet).unwrap();
    for (host, kind) in [("a", "ext4"), ("b", "proc")] {
        let mounts = dir.path().join(host);
        fs::write(&mounts, format!("20 1 0:5 / / rw - ext4 /dev/a rw\n21 20 0:6 / /usr rw - {kind} {kind} rw\n")).unwrap();
        let out = fleet.join(format!("host={host}"));
        let log = dir.path().join(format!("{host}.strace.gz"));
        fs::copy(data("a-sqlite.strace.gz"), &log).unwrap();
        let words = ["--mounts", mounts.to_str().unwrap(), "-o", out.to_str().unwrap()];
        expect(0, &[&["ingest", log.to_str().unwrap()], &words[..]].concat());
    }
    let asked = "SELECT reason, count(pos) FROM virtualize(events) WHERE host = 'HOST' GROUP BY 1 ORDER BY 1";
    let [a, b] = ["a", "b"].map(|host| {
        let asked = asked.replace("HOST", host);
        let alone = rows(&[&fleet.join(format!("host={host}"))], &asked);
        assert_eq!(rows(&[&fleet], &asked), alone);
        alone
    });
    assert_ne!(a, b);
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
