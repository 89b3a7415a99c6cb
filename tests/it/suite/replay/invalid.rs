//! Workloads that contradict themselves, and such that ask for what nobody has: each is refused, or ends, and says why.

use super::work::{Work, op, run};
use crate::tool::shell_text;
use ioriot::replay::{Engine, Options, Order, Pace, run_with};
use ioriot::schema::Table::{self, Edges, Lanes, Ops};
use ioriot::syscall::Op;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

const MIN: i64 = i64::MIN;
const MAX: i64 = i64::MAX;

/// Seven ops in three lanes, each after the one before: in the rows of ops are 0, 3, 6; 1, 4; 2, 5. In those of edges the same
/// without op 0.
fn good() -> Work {
    let mut work = Work::new();
    for at in 0..7 {
        work.op(op("mkdir", 0).raw(format!("/d{at}")).lane(at % 3).set("mode", 0o755));
    }
    work.in_a_row();
    work
}

/// What a replay of it says before it begins.
fn refusal(work: &Work, options: &Options) -> String {
    let _ = fs::remove_dir_all(work.place("work"));
    work.write();
    let began = Instant::now();
    let error = format!("{:#}", run(options).map(|summary| summary.to_string()).unwrap_err());
    assert!(began.elapsed() < Duration::from_secs(20), "{error}");
    assert!(!work.place("run").exists());
    error
}

#[test]
fn lanes_ops_and_edges_that_contradict_each_other_are_refused() {
    let cases: &[(Table, usize, &str, i64, &str)] = &[
        (Lanes, 0, "lane", -1, "row 0 of lanes: lane is -1"),
        (Lanes, 1, "lane", 0, "row 1 of lanes: lane is 0"),
        (Lanes, 1, "lane", 2, "row 2 of lanes: lane is 2"),
        (Lanes, 2, "lane", 1 << 32, "row 2 of lanes: lane is 4294967296"),
        (Lanes, 1, "lane", MAX, "row 1 of lanes: lane is"),
        (Lanes, 2, "lane", 9, "row 5 of ops is op 2 of lane 2"),
        (Lanes, 0, "first_row", 1, "row 0 of lanes: first_row is 1"),
        (Lanes, 1, "first_row", 2, "row 1 of lanes: first_row is 2"),
        (Lanes, 2, "first_row", 6, "row 2 of lanes: first_row is 6"),
        (Lanes, 1, "first_row", MIN, "row 1 of lanes: first_row"),
        (Lanes, 1, "first_row", MAX, "row 1 of lanes: first_row"),
        (Lanes, 0, "ops", 0, "row 0 of lanes: ops is 0"),
        (Lanes, 0, "ops", 2, "row 1 of lanes: first_row is 3"),
        (Lanes, 0, "ops", 4, "row 1 of lanes: first_row is 3"),
        (Lanes, 0, "ops", MIN, "row 0 of lanes: ops is"),
        (Lanes, 2, "ops", MAX, "row 2 of lanes: ops is"),
        (Lanes, 2, "ops", 1, "the lanes end at row 6 of ops, which has 7"),
        (Lanes, 0, "first_op", -1, "row 0 of lanes: first_op is -1"),
        (Lanes, 0, "first_op", MIN, "row 0 of lanes: first_op"),
        (Lanes, 0, "first_op", 1, "row 0 of ops is op 0 of lane 0"),
        (Lanes, 2, "first_op", 1, "row 5 of ops is op 2 of lane 2"),
        (Lanes, 0, "last_op", 5, "row 2 of ops is op 6 of lane 0"),
        (Lanes, 1, "last_op", 6, "row 4 of ops is op 4 of lane 1"),
        (Lanes, 0, "last_op", 7, "row 0 of lanes: first_op is 0 and last_op 7"),
        (Lanes, 0, "last_op", MIN, "row 0 of lanes: first_op is 0 and last_op"),
        (Lanes, 1, "first_edge", 0, "row 1 of lanes: first_edge is 0"),
        (Lanes, 1, "first_edge", MAX, "row 1 of lanes: first_edge"),
        (Lanes, 1, "edges", 1, "row 2 of lanes: first_edge is 4"),
        (Lanes, 1, "edges", -2, "row 1 of lanes: edges is -2"),
        (Lanes, 2, "edges", 1, "the lanes end at row 5 of edges, which has 6"),
        (Lanes, 2, "edges", MAX, "of edges, which has 6"),
        (Ops, 0, "op_id", 3, "row 0 of ops is op 3"),
        (Ops, 1, "op_id", 2, "row 5 of ops is op 2 once more"),
        (Ops, 1, "op_id", 0, "row 1 of ops is op 0"),
        (Ops, 1, "op_id", MIN, "row 1 of ops is op"),
        (Ops, 2, "op_id", 7, "row 2 of ops is op 7"),
        (Ops, 2, "op_id", MAX, "row 2 of ops is op"),
        (Ops, 1, "lane", 1, "row 1 of ops is op 3 of lane 1"),
        (Ops, 1, "lane", MAX, "row 1 of ops is op 3 of lane"),
        (Edges, 1, "op_id", 7, "row 1 of edges is of op 7"),
        (Edges, 1, "op_id", MIN, "row 1 of edges is of op"),
        (Edges, 1, "op_id", 5, "row 1 of edges is of op 5"),
        (Edges, 3, "op_id", 0, "row 3 of edges is of op 0"),
        (Edges, 0, "lane", 1, "row 0 of edges is of op 3 of lane 1"),
        (Edges, 1, "after", 6, "row 1 of edges says that op 6 follows op 6"),
        (Edges, 2, "after", 2, "row 2 of edges says that op 1 follows op 2"),
        (Edges, 1, "after", MAX, "row 1 of edges says that op 6 follows op"),
        (Edges, 1, "after", -1, "row 1 of edges says that op 6 follows op -1"),
        (Edges, 1, "after", 4, "row 1 of edges says that op 6 of lane 0 follows op 4 of lane 2"),
        (Edges, 2, "after_lane", 2, "row 2 of edges says that op 1 of lane 1 follows op 0 of lane 2"),
        (Edges, 1, "after_lane", 0, "row 1 of edges says that op 6 of lane 0 follows op 5 of lane 0"),
        (Edges, 1, "after_lane", 9, "row 1 of edges says that op 6 of lane 0 follows op 5 of lane 9"),
        (Edges, 1, "after_lane", MIN, "row 1 of edges says that op 6 of lane 0 follows op 5 of lane"),
    ];
    for (table, row, column, value, says) in cases {
        let mut work = good();
        work.edits.push((*table, *row, *column, json!(value)));
        for order in [Order::Resource, Order::Strict] {
            let error = refusal(&work, &Options { order, ..work.options() });
            assert!(error.contains("invalid workload") && error.contains(says), "{table:?} {row} {column} {value}: {error}");
        }
    }
}

#[test]
fn what_only_guides_the_plan_may_be_anything() {
    let mut work = good();
    for (column, value) in [("vpid", MIN), ("busy", MAX), ("bytes", MAX)] {
        work.edits.extend((0..3).map(|row| (Lanes, row, column, json!(value))));
    }
    let summary = work.run(Some(2));
    assert_eq!((summary.same, summary.different), (7, 0), "{summary}");
}

#[test]
fn a_row_that_no_kernel_takes_is_refused_before_it_is_issued() {
    let cases: &[(&str, Value, &str)] = &[
        ("ofd", json!(3), "row 1 of ops: ofd is 3"),
        ("dir2", json!(MIN), "row 1 of ops: dir2 is"),
        ("seq", json!(-1), "row 1 of ops: seq is -1"),
        ("errno", json!(4096), "row 1 of ops: errno is 4096"),
        ("errno", json!(MIN), "row 1 of ops: errno is"),
        ("raw", json!("/us\0r"), "column raw of ops has"),
        ("cwd", json!("/\0"), "column cwd of ops has"),
    ];
    for (column, value, says) in cases {
        let mut work = good();
        work.manifest.insert("ofds".into(), json!(3));
        work.write();
        work.init().unwrap();
        work.edits.push((Ops, 1, column, value.clone()));
        let error = refusal(&work, &work.options());
        assert!(error.contains("invalid workload") && error.contains(says), "{column}: {error}");
    }
}

#[test]
fn numbers_of_the_manifest_that_ask_for_memory_are_refused() {
    for (key, value, says) in [
        ("ops", json!(8), "the manifest says 8 ops, and the table of ops has 7"),
        ("ops", json!(u64::MAX), "the table of ops has 7"),
        ("ofds", json!(1_u64 << 40), "the manifest says 1099511627776 ofds"),
        ("ofds", json!("many"), "ofds is \"many\", not a number"),
    ] {
        let mut work = good();
        work.manifest.insert(key.into(), value);
        let error = refusal(&work, &Options { engine: Engine::Null, ..work.options() });
        assert!(error.contains(says), "{key}: {error}");
    }
}

#[test]
fn many_descriptions_take_memory_only_as_they_are_used() {
    let mut work = Work::new();
    work.need("/f", "file", 1).manifest.insert("ofds".into(), json!(1 << 28));
    for lane in 0..2 {
        work.op(op("open", 3).raw("/f").flags(0).ofd(1 << 27 | lane).lane(lane));
    }
    let summary = work.run(Some(2));
    assert_eq!((summary.same, summary.different), (2, 0), "{summary}");
}

/// Calls of every kind on nothing, with numbers that no call has: whatever they come to, they come to an end.
#[test]
fn a_number_of_an_op_may_be_anything() {
    let numbers = [
        "count", "offset", "flags", "mode", "whence", "dirfd", "dirfd2", "cmd", "arg", "uid", "gid", "offset2", "iovcnt",
        "resolve", "atime", "mtime", "ret", "dur", "ts", "vpid",
    ];
    let mut work = Work::new();
    for kind in Op::ALL.iter().filter(|op| op.issued() && !matches!(op, Op::Sync)) {
        for (number, value) in numbers.iter().flat_map(|number| [MIN, -1, MAX].map(|value| (*number, value))) {
            let row = op(kind.name(), -2).raw("/none/a").raw2("/none/b").set("name", "user.a");
            work.op(row.set(number, value).lane((value & 1) + 1));
        }
    }
    work.write();
    work.init().unwrap();
    for (engine, run_name) in [(Engine::Null, "null"), (Engine::Sys, "sys")] {
        let options = Options { engine, min_match: 0.0, out: work.place(run_name), ..work.options() };
        let summary = run(&options).unwrap();
        assert!(summary.complete && summary.ops == work.ops.len() as u64, "{summary}");
    }
}

#[test]
fn times_that_nobody_can_wait_for_are_refused() {
    let mut work = good();
    work.ops[0] = work.ops[0].clone().set("ts", 1000).set("dur", 5);
    let captured = json!({ "first_ts": 1000, "last_ts": 2000 });
    for (ts, known, says) in [
        (MAX, None, "use --pace asap"),
        (MIN, None, "use --pace asap"),
        (MAX, Some(&captured), "row 3 of ops has ts 9223372036854775807"),
        (999, Some(&captured), "row 3 of ops has ts 999, and its manifest says that 1000 to 2000 was captured"),
    ] {
        work.ops[1] = work.ops[1].clone().set("ts", ts);
        work.manifest.remove("capture");
        known.into_iter().for_each(|known| drop(work.manifest.insert("capture".into(), known.clone())));
        for pace in [Pace::Realtime, Pace::Think].map(Some) {
            let error = refusal(&work, &Options { pace, engine: Engine::Null, ..work.options() });
            assert!(error.contains(says), "{ts}: {error}");
        }
    }
    // As soon as possible nobody asks for them.
    let summary = run(&Options { engine: Engine::Null, ..work.options() }).unwrap();
    assert_eq!(summary.same, 7, "{summary}");
}

#[test]
fn a_mapping_is_brought_into_memory_only_if_it_is_small() {
    let mut work = Work::new();
    let flags = libc::MAP_PRIVATE | libc::MAP_POPULATE;
    let map = |count: i64| op("mmap", 0).ofd(0).count(count).set("mode", 3).flags(flags).set("offset", 0);
    work.need("/f", "file", 1 << 20).op(op("open", 3).raw("/f").flags(libc::O_RDWR).ofd(0));
    work.op(op("ftruncate", 0).ofd(0).count(1 << 40)).op(map(1 << 40)).op(map(1 << 20));
    // What is captured of a file is not anonymous; one that says so gets no memory either.
    work.op(op("mmap", -9).count(1 << 30).set("mode", 3).flags(flags | libc::MAP_ANONYMOUS).set("offset", 0));
    let summary = work.run(None);
    assert_eq!((summary.same, summary.different), (5, 0), "{summary}");
    let told = summary.notes.iter().any(|note| note.starts_with("2 mappings were too large"));
    assert!(told, "{:?}", summary.notes);
}

/// Page faults of a workload from elsewhere: a file that is shorter than its mapping, and numbers that no file has.
#[test]
fn absurd_page_faults_fail_and_do_no_harm() {
    let mut work = Work::new();
    let touch = |ret: i64, offset: i64, count: i64, mode: i32| {
        op("mmap_fault", ret).ofd(0).count(count).set("mode", mode).set("offset", offset)
    };
    let sync =
        |ret: i64, offset: i64, count: i64| op("msync", ret).ofd(0).count(count).flags(libc::MS_SYNC).set("offset", offset);
    let [fault, invalid] = [libc::EFAULT, libc::EINVAL].map(|errno| -i64::from(errno));
    work.need("/f", "file", 10_000).op(op("open", 3).raw("/f").flags(libc::O_RDWR).ofd(0));
    work.op(touch(0, 0, 4096, 1)).op(touch(0, 8192, 1, 3)).op(touch(0, 4097, 0, 3)).op(touch(0, 0, 12_288, 3).set("cmd", 1));
    work.op(touch(fault, 12_288, 4096, 1)).op(touch(fault, 1 << 40, 1 << 60, 3)).op(touch(fault, 0, i64::MAX, 1));
    work.op(touch(invalid, -1, 4096, 1)).op(touch(invalid, i64::MAX, 4096, 3)).op(touch(invalid, i64::MIN, -5, 7));
    // Another advice than those two would do something.
    work.op(touch(0, 0, 4096, 3).set("cmd", libc::MADV_REMOVE)).op(touch(0, 0, 4096, i32::MAX));
    work.op(sync(0, 0, 10_000)).op(sync(0, 1 << 30, i64::MAX)).op(sync(invalid, 1, 4096));
    work.op(op("madvise", 0).ofd(0).count(1 << 40).set("offset", 0)).op(op("madvise", invalid).ofd(0).count(-1).set("offset", 0));
    // The file becomes shorter than what is touched.
    work.op(op("ftruncate", 0).ofd(0).count(0)).op(touch(fault, 0, 4096, 1)).op(touch(fault, 0, 4096, 3));
    let summary = work.run(None);
    assert!(summary.complete && summary.lost.is_empty(), "{summary}");
    assert_eq!(summary.different, 0, "{summary}");
}

/// Somebody changes a table between the check and the start: then only whoever watches the workers can tell.
#[test]
fn workers_that_wait_for_each_other_are_ended() {
    let mut work = good();
    work.write();
    work.init().unwrap();
    // Op 1 waits for lane 2 to pass op 0, that for lane 0 to pass op 1, and that, behind op 0, for op 2.
    work.edits = vec![(Edges, 2, "after_lane", json!(2)), (Edges, 4, "after_lane", json!(0))];
    let other = Work { dir: tempfile::tempdir().unwrap(), ..work };
    other.write();
    let work = Work { dir: tempfile::tempdir().unwrap(), edits: Vec::new(), ..good() };
    work.write();
    work.init().unwrap();
    let child = work.place("child");
    let edges = other.place("work").join(Edges.file());
    let [edges, program] = [edges.as_path(), Path::new(env!("CARGO_BIN_EXE_ioriot"))].map(shell_text);
    let script = format!("#!/bin/sh\nexec 5< {edges}\nexec {program} \"$@\"\n");
    fs::write(&child, script).unwrap();
    fs::set_permissions(&child, fs::Permissions::from_mode(0o755)).unwrap();
    let began = Instant::now();
    let summary = run_with(&Options { threads: Some(3), ..work.options() }, &child, &Default::default()).unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{summary}");
    assert!(!summary.complete && summary.same == 1, "{summary}");
    assert!(summary.lost[0].contains("op 1 of lane 1 waits for op 0"), "{:?}", summary.lost);
    assert!(work.place("run/manifest.json").exists());
}

/// The times between the ops of a lane are apart from each other, so they are not more than the capture in all.
#[test]
fn times_that_are_longer_than_the_capture_together_are_refused() {
    let mut work = Work::new();
    for at in 0..100 {
        // Each call comes a second after the one before, or so it is said, in a capture of one second.
        let row = op("mkdir", 0).raw(format!("/d{at}")).set("mode", 0o755).set("dur", 0);
        work.op(row.set("ts", at % 2 * 1_000_000_000).set("think", 1_000_000_000));
    }
    work.write();
    work.init().unwrap();
    for pace in [Pace::Think, Pace::App] {
        let began = Instant::now();
        let error = format!(
            "{:#}",
            run(&Options { pace: Some(pace), dirty: true, ..work.options() }).map(|summary| summary.to_string()).unwrap_err()
        );
        assert!(error.contains("ns after each other in all, and the capture has 1000000000 ns"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
