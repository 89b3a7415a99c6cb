//! Why threads waited and how long they computed, as a capture tells it of programs that know.

use super::{allowed, capture, closes, int, scratch};
use crate::alone::alone;
use crate::skip::{Need, skip};
use crate::tool::{command, expect, number, rows, shell_text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;

/// How often the threads of the program pass their turn to each other.
const ROUNDS: f64 = 200.0;

/// A scratch directory with the program; `None` where it cannot be made or nothing can be captured.
fn program() -> Option<(TempDir, String)> {
    if !allowed() {
        return None;
    }
    let dir = scratch();
    let program = super::compile_text(dir.path(), "waits", include_str!("waits.c"))?;
    let program = program.to_str().unwrap().to_owned();
    Some((dir, program))
}

/// Captures the program; the capture, its summary, and what the program said of itself.
fn told(dir: &Path, program: &str, with: &[&str], args: &[&str]) -> (PathBuf, Value, BTreeMap<String, i64>) {
    let (out, said) = (dir.join("capture"), dir.join("said"));
    let _ = std::fs::remove_dir_all(&out);
    let script = format!("exec \"$0\" \"$@\" > {}", shell_text(&said));
    let words = [with, &["--", "sh", "-c", &script, program], args].concat();
    let summary = capture(0, &out, &words);
    closes(&summary);
    let said = std::fs::read_to_string(said).unwrap();
    let said = said.lines().map(|line| line.split_once(' ').unwrap()).map(|(name, value)| (name.into(), value.parse().unwrap()));
    (out, summary, said.collect())
}

/// Number of rows of view `waits` for which this is true.
fn waits(out: &Path, which: &str) -> f64 {
    number(&[out], &format!("SELECT count(*) FROM waits WHERE {which}"))
}

/// Waits of either thread: nearly all were ended by the other one, and none by anybody else who was captured.
fn by_each_other(out: &Path, said: &BTreeMap<String, i64>) {
    let (first, second) = (said["first"], said["second"]);
    for (tid, other) in [(first, second), (second, first)] {
        let by_other = waits(out, &format!("tid = {tid} AND cause = 'thread' AND waker = {other}"));
        let by_wrong = waits(out, &format!("tid = {tid} AND cause = 'thread' AND waker NOT IN ({first}, {second})"));
        // On a busy machine many find that it is their turn already.
        assert!(by_other > 0.1 * ROUNDS && by_other <= ROUNDS + 2.0, "{tid} was woken by {other} {by_other} times");
        assert!(by_wrong <= 2.0, "{tid}: {:?}", rows(&[out], "SELECT * FROM waits"));
        // It slept while the other one computed for 0.1 ms.
        let slept = format!("SELECT median(woken - slept) FROM waits WHERE tid = {tid} AND waker = {other}");
        assert!(number(&[out], &slept) > 50_000.0);
    }
}

#[test]
fn threads_that_wait_for_a_futex_are_woken_by_each_other() {
    let Some((dir, program)) = program() else { return };
    let (out, summary, said) = told(dir.path(), &program, &[], &["futex"]);
    by_each_other(&out, &said);
    assert_eq!(summary["waits"], true);
    // Who is woken to die is not told.
    let after = "SELECT count(*) FROM events JOIN (SELECT pid, max(seq) AS last FROM events WHERE syscall = 'exit_group' GROUP BY pid) \
                 AS ends ON ends.pid = events.pid WHERE seq > last AND syscall = 'waited'";
    assert_eq!(number(&[&out], after), 0.0);
}

#[test]
fn processes_that_wait_for_a_pipe_are_woken_by_each_other_and_order_is_kept() {
    let Some((dir, program)) = program() else { return };
    let (out, _, said) = told(dir.path(), &program, &[], &["pipe"]);
    by_each_other(&out, &said);
    // The write that woke it began before the wake, and stands before it; what the sleeper did next stands behind it.
    let causes = "SELECT count(*) FROM waits JOIN events AS cause ON cause.tid = waits.waker AND cause.syscall = 'write' \
                  AND cause.ts <= woken AND woken <= cause.ts + cause.dur";
    let all = waits(&out, &format!("tid IN ({}, {}) AND cause = 'thread'", said["first"], said["second"]));
    assert!(number(&[&out], causes) >= all - 4.0, "all but those by fork and exit have a write that overlaps them");
    assert_eq!(number(&[&out], &format!("{causes} WHERE cause.seq > waits.seq")), 0.0);
    let next = "SELECT count(*) FROM waits JOIN events AS later ON later.tid = waits.tid AND later.ts >= woken \
                WHERE later.seq < waits.seq";
    assert_eq!(number(&[&out], next), 0.0);

    // generate takes them for what they are: nothing to do, and nothing that coverage misses.
    let work = dir.path().join("workload");
    let [from, to] = [&out, &work].map(|path| path.to_str().unwrap());
    expect(0, &["generate", from, "-o", to]);
    let fates = "SELECT DISTINCT fate, reason, on_file FROM fates WHERE syscall = 'waited'";
    assert_eq!(rows(&[&work], fates), ["drop,not_file,false"]);
}

#[test]
fn sleeps_and_timeouts_are_ended_by_timers() {
    let Some((dir, program)) = program() else { return };
    let (out, _, said) = told(dir.path(), &program, &[], &["timer"]);
    let long = format!("tid = {} AND woken - slept > 3000000", said["first"]);
    assert!(waits(&out, &long) >= 55.0, "{:?}", rows(&[&out], "SELECT * FROM waits"));
    assert_eq!(waits(&out, &format!("{long} AND cause NOT IN ('timer', 'unknown')")), 0.0);
    // Now and then the kernel runs no program at a wake: seldom, and then nobody is blamed.
    assert!(waits(&out, &format!("{long} AND cause = 'unknown'")) <= 3.0);
}

/// What goes to the own machine is received in a soft interrupt at the end of the call that sends.
#[test]
fn who_reads_from_its_own_machine_is_woken_by_the_sender() {
    let Some((dir, program)) = program() else { return };
    let (out, _, said) = told(dir.path(), &program, &[], &["tcp"]);
    for (tid, other) in [(said["first"], said["second"]), (said["second"], said["first"])] {
        let slept = format!("tid = {tid} AND woken - slept > 50000");
        let (all, sent) = (waits(&out, &slept), waits(&out, &format!("{slept} AND cause = 'network' AND waker = {other}")));
        assert!(all > 0.1 * ROUNDS && sent >= 0.9 * all, "{sent} of {all}");
        // What another thread serves later is nobody's.
        assert_eq!(waits(&out, &format!("{slept} AND cause = 'interrupt' AND waker IS NOT NULL")), 0.0);
    }
}

/// The soft interrupt that receives runs on the processor of a thread that writes a file, which has nothing to do with it.
#[test]
fn who_writes_a_file_is_not_blamed_for_packets_of_others() {
    let Some((dir, program)) = program() else { return };
    let here = Command::new(&program).arg("packets").arg(dir.path().join("tried")).stdout(Stdio::null()).status().unwrap();
    if here.code() == Some(3) {
        return skip(Need::Root, "no network of its own, whose packets are received on another processor");
    }
    let (out, _, said) = told(dir.path(), &program, &[], &["packets", dir.path().join("file").to_str().unwrap()]);
    let received = format!("tid = {}", said["second"]);
    let others = waits(&out, &format!("{received} AND cause = 'interrupt'"));
    let blamed = waits(&out, &format!("{received} AND cause IN ('thread', 'network') AND waker = {}", said["first"]));
    assert!(others > 100.0, "{:?}", rows(&[&out], "SELECT tid, cause, waker, count(*) FROM waits GROUP BY 1, 2, 3"));
    assert_eq!(blamed, 0.0, "beside {others} wakes by interrupts");
}

#[test]
fn who_is_not_captured_is_outside() {
    let Some((dir, _)) = program() else { return };
    let out = dir.path().join("capture");
    let mut cat = command(&["capture", "-o", out.to_str().unwrap(), "--", "cat"]);
    let mut cat = cat.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut input, mut said) = (cat.stdin.take().unwrap(), BufReader::new(cat.stderr.take().unwrap()));
    said.read_line(&mut String::new()).unwrap();
    for _ in 0..10 {
        sleep(Duration::from_millis(100));
        input.write_all(b"a line\n").unwrap();
    }
    drop(input);
    said.read_to_end(&mut Vec::new()).unwrap();
    assert!(cat.wait().unwrap().success());
    let reads = "tid = (SELECT max(tid) FROM events WHERE syscall = 'read' AND ret = 7) AND woken - slept > 50000000";
    assert!(waits(&out, reads) > 5.0);
    assert_eq!(waits(&out, &format!("{reads} AND (cause <> 'outside' OR waker IS NOT NULL)")), 0.0);
}

/// How long a file took, the duration of the call says.
#[test]
fn waits_for_files_are_not_told() {
    let Some((dir, program)) = program() else { return };
    let file = dir.path().join("file");
    let (out, _, said) = told(dir.path(), &program, &[], &["file", file.to_str().unwrap()]);
    let inside = format!(
        "SELECT count(*) FROM waits JOIN events AS call ON call.tid = waits.tid AND slept BETWEEN call.ts AND call.ts + call.dur \
         WHERE call.syscall = 'pread64' AND cause <> 'thread' AND waits.tid = {}",
        said["first"]
    );
    assert!(number(&[&out], "SELECT count(*) FROM events WHERE syscall = 'pread64'") >= ROUNDS);
    assert_eq!(number(&[&out], &inside), 0.0);
}

/// What a thread computed between two calls is what its clock says, alone and beside others who take the processor from it.
#[test]
fn computing_is_told_as_the_clock_of_the_thread_has_it() {
    alone();
    let Some((dir, program)) = program() else { return };
    for others in ["0", "2"] {
        let mut all = Vec::new();
        for _ in 0..5 {
            let (out, _, said) = told(dir.path(), &program, &[], &["computes", others]);
            let events =
                rows(&[&out], "SELECT \"offset\", cpu, dur FROM events WHERE syscall = 'pread64' AND \"offset\" > 1000000");
            assert_eq!(events.len(), said.len());
            let ratios = events.iter().map(|row| {
                let row: Vec<&str> = row.split(',').collect();
                row[1].parse::<f64>().unwrap() / said[row[0]] as f64
            });
            all.extend(ratios);
        }
        all.sort_by(f64::total_cmp);
        // Interrupts, and what a hypervisor takes away, count for the one clock and not for the other.
        let near = all.iter().filter(|ratio| (0.9..1.1).contains(*ratio)).count();
        assert!(near * 10 >= all.len() * 8, "beside {others} others: {all:?}");
        assert!((0.98..1.02).contains(&all[all.len() / 2]), "beside {others} others: {all:?}");
    }
}

#[test]
fn without_them_nothing_is_told() {
    let Some((dir, program)) = program() else { return };
    for with in [["--no-waits"].as_slice(), &["--backend", "ptrace"]] {
        let (out, summary, _) = told(dir.path(), &program, with, &["pipe"]);
        assert_eq!((&summary["waits"], summary.pointer("/syscalls/waited")), (&Value::Bool(false), None), "{with:?}");
        assert_eq!(number(&[&out], "SELECT count(*) FROM events WHERE cpu IS NOT NULL"), 0.0);
        assert!(int(&summary, "/syscalls/write") >= 2 * ROUNDS as u64 - 1);
    }
}
