//! How much memory a generate takes, as the kernel counts it.

use super::generate::{call, capture};
use crate::tool::{command, data, expect, ioriot, piped};
use ioriot::event::Event;
use ioriot::syscall::Syscall;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What it is given.
const MEMORY: u64 = 64 << 20;
/// What it may take beyond that and what it takes for next to nothing: batches on their way, row groups that are not full
/// yet, the paths that the model remembers, and what the allocator keeps.
const BESIDE: u64 = 256 << 20;

/// The most memory that a generate of these events had, in bytes. (What wait4(2) says counts the parent's memory before exec.)
fn peak(dir: &Path, events: &[Event]) -> u64 {
    fs::create_dir(dir).unwrap();
    let (capture, work) = (capture(dir, events), dir.join("work"));
    let memory = MEMORY.to_string();
    let args = ["generate", capture.to_str().unwrap(), "-o", work.to_str().unwrap(), "--memory", &memory];
    let mut child = command(&args).stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    let ended = loop {
        // It only grows; a process that has ended has none.
        let lines = fs::read_to_string(&status).unwrap();
        let kib = lines.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse().ok());
        most = most.max(kib.unwrap_or(0_u64) << 10);
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    assert!(ended.success(), "{ended}");
    most
}

fn stats(paths: impl Iterator<Item = String>) -> Vec<Event> {
    paths.map(|path| call(Syscall::stat, 100, 0, &[], Some(&path))).collect()
}

#[test]
fn long_paths_take_no_more_memory_than_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let long = |part: String| format!("{part}{}", "d".repeat(250 - part.len()));
    let tiny = peak(&dir.path().join("tiny"), &stats((0..10).map(|at| format!("/data/{at}"))));
    let shared = format!("/data{}", format!("/{}", long(String::new())).repeat(12));
    let beside = stats((0..30_000).map(|at| format!("{shared}/{at}")));
    // Every directory is one of its own: the paths of all of them have six times as many letters.
    let apart = stats((0..8_000).map(|at| (0..12).map(|level| format!("/{}", long(format!("{at}-{level}-")))).collect()));
    let mib = |bytes: u64| bytes >> 20;
    for (name, events) in [("beside", beside), ("apart", apart)] {
        let peak = peak(&dir.path().join(name), &events);
        println!("{name}: {} MiB, for next to nothing {}", mib(peak), mib(tiny));
        assert!(peak < tiny + MEMORY + BESIDE, "{name}: {} MiB, and {} for next to nothing", mib(peak), mib(tiny));
    }
}

#[test]
fn memory_that_is_no_memory_is_refused_and_more_than_there_is_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &stats(["/a".to_owned()].into_iter()));
    let (capture, work) = (capture.to_str().unwrap(), dir.path().join("w"));
    let work = work.to_str().unwrap();
    for (memory, says) in
        [("1K", "16777216 at least"), ("0", "--memory 64M"), ("16E", "no unit of bytes"), ("16777216T", "more bytes")]
    {
        for args in
            [&["generate", capture, "-o", work, "--memory", memory][..], &["query", capture, "SELECT 1", "--memory", memory]]
        {
            let output = ioriot(args);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code() == Some(2) && said.contains(says), "{args:?}: {said}");
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "only the capture is there");
    expect(0, &["generate", capture, "-o", work, "--memory", "16777215T"]);
    expect(0, &["query", work, "SELECT * FROM ops ORDER BY op_id", "--memory", "16777215T"]);
}

/// The keys of a merge are larger than the columns that they are made of.
#[test]
fn what_is_sorted_goes_to_disk_where_it_does_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &stats((0..3000).map(|at| format!("/data/some/where/{:04}", at * 7 % 3000))));
    let all = "(SELECT * FROM events) a, (SELECT * FROM events WHERE seq < 150) b";
    for (columns, order) in [
        ("a.seq AS x, b.seq AS y, a.path", "a.ino * b.seq DESC, a.path, b.seq, a.seq"),
        ("a.errno AS x, b.errno AS y", "a.syscall, b.syscall, a.seq"),
    ] {
        let sql = format!("SELECT {columns} FROM {all} ORDER BY {order}");
        let said = expect(0, &["query", capture.to_str().unwrap(), &sql, "--memory", "16M", "--format", "csv"]);
        assert_eq!(said.lines().count(), 1 + 3000 * 150, "{sql}");
    }
}

#[test]
fn a_table_that_a_statement_makes_is_counted_until_it_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &stats((0..1200).map(|at| format!("/data/{at}"))));
    let ask = |sql: &str| ioriot(&["query", capture.to_str().unwrap(), sql, "--memory", "16M", "--format", "csv"]);
    let table = |name: &str, rows: u32| {
        format!("CREATE TABLE {name} AS SELECT a.seq AS x, b.seq AS y FROM events a, events b WHERE a.seq < {rows};")
    };
    let piped = |script: String| piped(&["query", capture.to_str().unwrap(), "--memory", "16M", "--format", "csv"], &script);
    // 16 bytes a row: 23 MB in all, 11.5 in half of it.
    let output = ask(&table("t", 1200));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("--memory"), "{said}");
    let output = piped([&table("t", 600), "SELECT count(*) AS n FROM t;", &table("u", 600)].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && output.stdout.ends_with(b"n\n720000\n"), "{said}");
    let replaced = table("t", 600).replace("CREATE", "CREATE OR REPLACE");
    let nothing = table("t", 1200).replace("TABLE", "TABLE IF NOT EXISTS");
    let empty = "CREATE TABLE e (x BIGINT, y TEXT); SELECT count(*) AS n FROM e;";
    let output = piped(
        [&table("u", 600), "DROP TABLE u;", &table("t", 10), &replaced, &nothing, empty, "SELECT count(*) AS n FROM t"].concat(),
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout.ends_with(b"n\n0\nn\n720000\n"), "{said}");
}

/// A query that may have this many MiB of address space. Who waits for what never comes is ended.
fn starved(capture: &Path, mib: u64) -> Child {
    let mut query = Command::new("timeout");
    query.args(["30", env!("CARGO_BIN_EXE_ioriot"), "query", capture.to_str().unwrap(), "SELECT count(*) FROM events"]);
    query.stdout(Stdio::null()).stderr(Stdio::piped());
    let limit = libc::rlimit { rlim_cur: mib << 20, rlim_max: mib << 20 };
    // SAFETY: between fork and exec only setrlimit(2) is called.
    unsafe {
        query.pre_exec(move || match libc::setrlimit(libc::RLIMIT_AS, &limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    query.spawn().unwrap()
}

/// What cannot start its threads, or has no memory for its buffers, says so. Where the line is hangs on the machine: each
/// processor has a thread, and several queries at once meet it in other places.
#[test]
fn little_memory_ends_a_query_and_hangs_none() {
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("cap");
    expect(0, &["ingest", &data("matrix.strace"), "-o", capture.to_str().unwrap()]);
    let mut ends = BTreeSet::new();
    let limits = (150..300).step_by(5).chain((300..1200).step_by(100));
    for mib in limits {
        let queries: Vec<_> = (0..4).map(|_| starved(&capture, mib)).collect();
        for query in queries {
            let output = query.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            let code = output.status.code();
            // 127: there was no room for its libraries. An allocation that fails aborts (134, or the signal itself).
            let fine = match code {
                Some(0 | 2) => !said.contains("ioriot itself is at fault"),
                Some(127) => said.contains("loading shared libraries"),
                _ => said.contains("memory allocation") || said.is_empty() && code != Some(124),
            };
            assert!(fine && !said.contains("panicked"), "{mib} MiB: {}\n{said}", output.status);
            ends.insert(code);
        }
    }
    assert!(ends.contains(&Some(0)) || ends.contains(&Some(2)), "{ends:?}");
}
