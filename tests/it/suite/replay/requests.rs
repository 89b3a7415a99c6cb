//! Requests of io_submit and io_uring: in flight together as they were in the capture, with a result each, in the order that
//! resources ask for.

use super::work::{Row, Work, op, run};
use crate::skip::{Need, skip};
use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use ioriot::replay::{Async, Options, Order, Pace, Summary};
use ioriot::schema::{Dataset, Table, read};
use libc::*;
use serde_json::json;
use std::collections::{HashMap, HashSet};

/// A request of an interface ("aio", "uring") on descriptor 0, handed over when `reaped` were taken back.
fn request(interface: &str, call: &str, outcome: i64, reaped: i64) -> Row {
    let name = match (interface, call) {
        ("aio", "pread64") => "aio_pread",
        ("aio", "pwrite64") => "aio_pwrite",
        ("aio", "fsync") => "aio_fsync",
        ("aio", _) => "aio_fdsync",
        (_, "pread64") => "uring_read",
        (_, "pwrite64") => "uring_write",
        (_, "fsync") => "uring_fsync",
        _ => "uring_fdatasync",
    };
    op(call, outcome).set("syscall", name).set("ring", 0).set("reaped", reaped).ofd(0)
}

/// Requests of 4 KiB in a file of 1 MiB, `depth` in flight at a time: every third a write, each 50th a sync.
fn deep(interface: &str, requests: i64, depth: i64) -> Work {
    let mut work = Work::new();
    work.row_group = 97;
    work.need("/f", "file", 1 << 20).expect("/f", "file", Some(1 << 20));
    work.op(op("open", 3).raw("/f").flags(O_RDWR | O_DIRECT).ofd(0));
    for at in 0..requests {
        let reaped = (at + 1 - depth).max(0);
        let (call, outcome) = match at {
            _ if at % 50 == 49 => ("fdatasync", 0),
            _ if at % 3 == 0 => ("pwrite64", 4096),
            _ => ("pread64", 4096),
        };
        let row = request(interface, call, outcome, reaped).set("ts", 1000 * at).set("dur", 500);
        work.op(if outcome == 0 { row } else { row.count(4096).set("offset", at * 7919 % 256 * 4096) });
    }
    work.op(op("close", 0).ofd(0).set("reaped", requests).set("settled", requests));
    work
}

/// The ops of a run, each once and with times that make sense.
fn results(work: &Work, ops: usize) {
    let results = Dataset::expect(&work.place("run"), ioriot::schema::dataset::Kind::Run).unwrap();
    let mut seen = HashSet::new();
    for batch in read::batches(&results.table(Table::Results), &["op_id", "begin", "dur"]).unwrap() {
        let batch = batch.unwrap();
        let column = |at: usize| -> &Int64Array { batch.column(at).as_primitive::<Int64Type>() };
        for row in 0..batch.num_rows() {
            assert!(seen.insert(column(0).value(row)) && column(1).value(row) >= 0 && column(2).value(row) >= 0);
        }
    }
    assert_eq!(seen.len(), ops);
}

/// Whether requests were handed over; says what is missing otherwise.
fn native(summary: &Summary) -> bool {
    let refused = summary.requests.as_ref().and_then(|requests| requests.refused.clone());
    if let Some(why) = &refused {
        skip(Need::IoUring, format_args!("requests are not handed over here: {why}"));
    }
    refused.is_none()
}

/// Begin and end of each op of a run, ns, by op_id.
fn times(work: &Work) -> HashMap<i64, (i64, i64)> {
    let results = Dataset::expect(&work.place("run"), ioriot::schema::dataset::Kind::Run).unwrap();
    let mut times = HashMap::new();
    for batch in read::batches(&results.table(Table::Results), &["op_id", "begin", "dur"]).unwrap() {
        let batch = batch.unwrap();
        let [op_id, begin, dur] = [0, 1, 2].map(|at| batch.column(at).as_primitive::<Int64Type>().values().to_vec());
        times.extend((0..op_id.len()).map(|row| (op_id[row], (begin[row], begin[row] + dur[row]))));
    }
    times
}

/// With pace app who hands requests over waits for what caused them, and computes, as all others do; and others for requests.
#[test]
fn requests_keep_to_delays_and_computing() {
    let ms = |ms: i64| ms * 1_000_000;
    for interface in ["aio", "uring"] {
        let mut work = Work::new();
        work.need("/f", "file", 1 << 20).need("/g", "file", 0);
        let at = |row: Row, lane: i64, ts: i64| row.set("lane", lane).set("ts", ts).set("dur", 1000);
        let block = |reaped| request(interface, "pread64", 4096, reaped).count(4096).set("offset", 0);
        let write = |offset: i64| op("pwrite64", 4).ofd(1).count(4).set("offset", offset);
        work.op(at(op("open", 3).raw("/g").flags(O_RDWR).ofd(1), 0, 0));
        work.op(at(op("open", 4).raw("/f").flags(O_RDWR | O_DIRECT).ofd(0), 1, 0));
        work.op(at(block(0), 1, ms(1)));
        work.op(at(write(0), 0, ms(20)).set("think", ms(20)));
        work.op(at(block(1), 1, ms(101)).set("think", ms(10)).set("compute", ms(10)));
        work.op(at(write(4), 0, ms(150)).set("think", ms(1)));
        work.op(at(op("close", 0).ofd(0), 1, ms(300))
            .set("think", ms(4))
            .set("compute", ms(4))
            .set("reaped", 2)
            .set("settled", 4));
        work.edge(4, 3).edge(5, 4);
        // Edges are written by lane: that of op 5 first.
        work.edits.push((Table::Edges, 0, "delay", json!(ms(40))));
        work.edits.push((Table::Edges, 1, "delay", json!(ms(80))));
        work.write();
        work.init().unwrap();
        let summary = run(&Options { pace: Some(Pace::App), ..work.options() }).unwrap();
        assert_eq!((summary.same, summary.different), (7, 0), "{interface}: {summary}");
        let burnt = summary.computing.map(|computing| computing.burnt + computing.slept);
        assert!(burnt.is_some_and(|burnt| burnt >= ms(10)), "{interface}: {summary}");
        let times = times(&work);
        assert!(times[&4].0 - times[&3].1 >= ms(80), "{interface}: {times:?}");
        assert!(times[&5].0 - times[&4].1 >= ms(40), "{interface}: {times:?}");
        native(&summary);
    }
}

#[test]
fn requests_are_handed_over_with_the_captured_depth() {
    for interface in ["aio", "uring"] {
        for (depth, pace) in [(1, Pace::Asap), (8, Pace::Asap), (8, Pace::Realtime), (64, Pace::Think)] {
            let work = deep(interface, 3000, depth);
            work.write();
            work.init().unwrap();
            let summary = run(&Options { pace: Some(pace), ..work.options() }).unwrap();
            assert_eq!((summary.same, summary.different, summary.complete), (3002, 0, true), "{interface}: {summary}");
            assert_eq!(summary.state.as_ref().unwrap().verdicts.keys().collect::<Vec<_>>(), [&"same"], "{summary}");
            results(&work, 3002);
            if !native(&summary) {
                continue;
            }
            let requests = summary.requests.as_ref().unwrap();
            assert_eq!((requests.issued, requests.native), (3000, 3000), "{summary}");
            let (captured, replayed) = (requests.depth_captured.unwrap(), requests.depth_replayed.unwrap());
            assert!((depth as f64 * 0.95..=depth as f64).contains(&captured), "{summary}");
            assert!(replayed <= captured && (depth == 1 || replayed > 1.1), "{interface} {depth}: {summary}");
            assert!(summary.to_string().contains("3000   handed over: "), "{summary}");
        }
    }
}

#[test]
fn requests_are_calls_where_that_is_asked_for_or_the_order_says_so() {
    for (asynchrony, order) in [(Async::Serial, Order::Resource), (Async::Native, Order::Strict), (Async::Native, Order::Thread)]
    {
        let work = deep("uring", 300, 8);
        work.write();
        work.init().unwrap();
        let summary = run(&Options { asynchrony, order, ..work.options() }).unwrap();
        let requests = summary.requests.as_ref().unwrap();
        assert_eq!((requests.issued, requests.native, requests.depth_captured), (300, 0, None), "{summary}");
        assert_eq!((summary.same, summary.different), (302, 0), "{summary}");
        assert!(summary.to_string().contains("300 others waited for as calls"), "{summary}");
    }
}

/// A worker numbers its requests over both interfaces: here those of io_uring have more numbers than io_submit has room for.
#[test]
fn a_worker_hands_requests_over_by_both_interfaces_at_once() {
    let mut work = Work::new();
    work.need("/f", "file", 1 << 20);
    work.op(op("open", 3).raw("/f").flags(O_RDWR).ofd(0));
    for at in 0..20 {
        // Not handed over before the last one is there.
        work.op(request("uring", "pread64", 4096, 0).count(4096).set("offset", at * 4096).set("behind", 20 - at));
    }
    work.op(request("aio", "pread64", 4096, 0).count(4096).set("offset", 0).lane(1));
    work.op(request("uring", "pread64", 4096, 0).count(4096).set("offset", 0));
    work.op(op("close", 0).ofd(0).set("reaped", 21).set("settled", 22));
    let summary = work.run(Some(1));
    assert_eq!((summary.same, summary.different, summary.complete), (24, 0, true), "{summary}");
}

/// Lanes that hand requests over, on fewer workers than there are lanes, and read what others have written: each file is made
/// longer by one lane, read by the next and cut by the one after.
#[test]
fn what_resources_ask_for_holds_between_requests_of_many_lanes() {
    let (lanes, rounds) = (6, 30);
    let mut work = Work::new();
    work.row_group = 97;
    work.need("/d", "dir", 0).expect("/d", "dir", None);
    let mut handed = vec![0_i64; lanes];
    for round in 0..rounds {
        for lane in 0..lanes {
            let path = format!("/d/{lane}.{round}");
            let (first, file) = (work.ops.len() as i64, (round * lanes + lane) as i64);
            let [own, next, last] = [lane, (lane + 1) % lanes, (lane + 2) % lanes];
            // What is not a request comes after all that its lane has handed over, where it touches the same.
            let call = |row: Row, lane: usize, settled: i64| row.lane(lane as i64).set("reaped", 0).set("settled", settled);
            work.op(call(op("creat", 3).raw(&path).set("mode", 0o600).ofd(file), own, -1));
            for at in 0..8 {
                let row = request(if at % 2 == 0 { "aio" } else { "uring" }, "pwrite64", 4096, handed[own] / 2).ofd(file);
                work.op(row.count(4096).set("offset", at * 4096).set("ring", at % 2).lane(own as i64));
            }
            handed[own] += 4;
            work.op(call(op("open", 3).raw(&path).flags(O_RDWR).ofd(file + 1000), next, -1)).edge(first + 9, first);
            for at in 0..8 {
                let row = request("uring", "pread64", 4096, 0).ofd(file + 1000).count(4096).set("offset", at * 4096);
                work.op(row.set("ring", 1).lane(next as i64)).edge(first + 10 + at, first + 1 + at);
            }
            work.op(call(op("close", 0).ofd(file + 1000), next, first + 17));
            work.op(call(op("truncate", 0).raw(&path).count(7), last, -1)).edge(first + 19, first + 17);
            work.op(call(op("close", 0).ofd(file), own, first + 8));
            work.expect(&path, "file", Some(7));
        }
    }
    work.write();
    for (seed, processes, threads) in [(1, 1, 1), (2, 1, 2), (3, 2, 2), (4, 1, 6), (5, 6, 1)] {
        let _ = std::fs::remove_dir_all(work.place("root"));
        work.init().unwrap();
        let out = work.place(&format!("run{seed}"));
        let summary = run(&Options { processes, threads: Some(threads), delay: Some(seed), out, ..work.options() }).unwrap();
        assert_eq!((summary.different, summary.uncompared, summary.complete), (0, 0, true), "{threads}: {summary}");
        assert_eq!(summary.state.as_ref().unwrap().verdicts.keys().collect::<Vec<_>>(), [&"same"], "{summary}");
        assert_eq!(summary.figures.order_violations.as_ref().unwrap().violations, 0, "{summary}");
    }
}

#[test]
fn a_call_waits_for_the_requests_that_it_must_follow() {
    for interface in ["aio", "uring"] {
        let mut work = Work::new();
        work.need("/f", "file", 0).expect("/f", "file", Some(1 << 16));
        work.op(op("open", 3).raw("/f").flags(O_RDWR | O_DIRECT).ofd(0));
        for round in 0..100 {
            let first = work.ops.len() as i64;
            for at in 0..16 {
                work.op(request(interface, "pwrite64", 4096, 17 * round - 20).count(4096).set("offset", at * 4096));
            }
            // All of them together are what the file has; a cut in between would show.
            work.op(op("fstat", 0).ofd(0).set("reaped", 0).set("settled", first + 15));
            work.op(request(interface, "pread64", 4096, 0).count(8192).set("offset", 15 * 4096).set("settled", first + 15));
            if round < 99 {
                work.op(op("ftruncate", 0).ofd(0).count(0).set("reaped", 0).set("settled", first + 17));
            }
        }
        let summary = work.run(None);
        assert_eq!((summary.different, summary.complete), (0, true), "{interface}: {summary}");
        assert_eq!(summary.state.as_ref().unwrap().verdicts.keys().collect::<Vec<_>>(), [&"same"], "{summary}");
    }
}

#[test]
fn requests_fail_as_calls_do() {
    for interface in ["aio", "uring"] {
        let mut work = Work::new();
        work.need("/f", "file", 100).expect("/f", "file", Some(100));
        work.op(op("open", 3).raw("/f").flags(O_RDONLY).ofd(0));
        for _ in 0..20 {
            work.op(request(interface, "pread64", 100, 0).count(4096).set("offset", 0));
            work.op(request(interface, "pread64", 0, 0).count(4096).set("offset", 4096));
            work.op(request(interface, "pread64", -i64::from(EINVAL), 0).count(10).set("offset", -10));
            work.op(request(interface, "pwrite64", -i64::from(EBADF), 0).count(10).set("offset", 0));
            work.op(request(interface, "pread64", -i64::from(EBADF), 0).count(10).set("offset", 0).ofd(1));
            work.op(request(interface, "fsync", 0, 0));
            // More than the kernel moves at once, and more than a buffer of its own has room for.
            work.op(request(interface, "pread64", 100, 0).count(i64::from(i32::MAX)).set("offset", 0));
            work.op(request(interface, "pread64", 100, 0).count(8 << 20).set("offset", 0));
        }
        let summary = work.run(None);
        assert_eq!((summary.different, summary.complete), (0, true), "{interface}: {summary}");
    }
}

/// Whatever a workload says of its requests, the replay ends, with a result for each.
#[test]
fn numbers_of_requests_may_be_anything() {
    let numbers = [i64::MIN, -1, 0, 1, 99, i64::MAX];
    let mut work = Work::new();
    work.need("/f", "file", 4096);
    work.op(op("open", 3).raw("/f").flags(O_RDWR).ofd(0));
    for at in 0..600 {
        let pick = |step: usize| numbers[at / step % numbers.len()];
        let interface = if at % 2 == 0 { "aio" } else { "uring" };
        let call = ["pread64", "fdatasync", "pwrite64"][at % 3];
        let row = request(interface, call, 0, pick(1)).count(10).set("offset", 0);
        work.op(row.set("ring", pick(2)).set("settled", pick(3)).set("behind", pick(5)).lane(at as i64 % 5));
    }
    work.op(op("fstat", 0).ofd(0).set("reaped", i64::MAX).set("settled", i64::MAX));
    work.write();
    work.init().unwrap();
    for threads in [1, 3] {
        let out = work.place(&format!("run-{threads}"));
        let summary = run(&Options { threads: Some(threads), dirty: threads > 1, out, ..work.options() }).unwrap();
        assert_eq!((summary.ops, summary.complete), (602, true), "{summary}");
    }
    // More rings than any program has.
    let mut work = Work::new();
    work.need("/f", "file", 4096).op(op("open", 3).raw("/f").flags(O_RDWR).ofd(0));
    for at in 0..20_000 {
        work.op(request("uring", "pread64", 10, 0).count(10).set("offset", 0).set("ring", at));
    }
    work.write();
    work.init().unwrap();
    let refused = format!("{:#}", run(&work.options()).map(|summary| summary.to_string()).unwrap_err());
    assert!(refused.contains("invalid workload: lane 0 has requests of more than 16384 rings"), "{refused}");
}
