//! Order: ops of many lanes that depend on each other come out right at any number of workers.

use super::work::{Work, op, run};
use ioriot::init;
use ioriot::progress::Progress;
use ioriot::replay::{Engine, Options, Order};
use libc::{O_CREAT, O_RDWR};

/// mkdir, create inside, rename the directory, create under the new name, rename the file, unlink another; every op in
/// another lane than the one before.
fn chain(rounds: i64, lanes: i64) -> Work {
    let mut work = Work::new();
    work.row_group = 97;
    work.need("/top", "dir", 0);
    let (mut turn, mut ofd) = (0, 0);
    let mut add = |work: &mut Work, row: super::work::Row| {
        work.op(row.lane(turn * 7 % lanes));
        turn += 1;
    };
    for round in 0..rounds {
        let (old, new) = (format!("/top/d{round}"), format!("/top/e{round}"));
        let create = |path: String, ofd: i64| op("open", 3).raw(path).flags(O_CREAT | O_RDWR).set("mode", 0o644).ofd(ofd);
        add(&mut work, op("mkdir", 0).raw(&old).set("mode", 0o755));
        add(&mut work, create(format!("{old}/a"), ofd));
        add(&mut work, op("write", 10).ofd(ofd).count(10));
        add(&mut work, op("rename", 0).raw(&old).raw2(&new));
        add(&mut work, op("stat", -2).raw(format!("{old}/a")));
        add(&mut work, create(format!("{new}/b"), ofd + 1));
        add(&mut work, op("write", 20).ofd(ofd + 1).count(20));
        add(&mut work, op("close", 0).ofd(ofd));
        // A relative name, in a directory that has just got this name.
        add(&mut work, op("rename", 0).raw("a").raw2("c").set("cwd", new.as_str()));
        add(&mut work, op("close", 0).ofd(ofd + 1));
        add(&mut work, op("creat", 3).raw(format!("{new}/x")).set("mode", 0o600).ofd(ofd + 2));
        add(&mut work, op("close", 0).ofd(ofd + 2));
        add(&mut work, op("unlink", 0).raw(format!("{new}/x")));
        ofd += 3;
        work.expect(&new, "dir", None).expect(&format!("{new}/c"), "file", Some(10));
        work.expect(&format!("{new}/b"), "file", Some(20)).expect(&old, "absent", None);
    }
    work.expect("/top", "dir", None);
    work
}

#[test]
fn a_chain_across_lanes_is_right_at_any_number_of_workers() {
    let cases =
        [(1, Some(1), 1), (1, Some(1), 16), (1, Some(4), 16), (2, Some(4), 16), (1, None, 40), (4, Some(3), 300), (3, None, 40)];
    for (processes, threads, lanes) in cases {
        let mut work = chain(100, lanes);
        work.in_a_row().write();
        for order in [Order::Resource, Order::Strict] {
            init::run(&init::Options { force: true, ..work.init_options() }, &Progress::default()).unwrap();
            let out = work.place(order.name());
            let summary = run(&Options { processes, threads, order, out, ..work.options() }).unwrap();
            assert_eq!((summary.different, summary.uncompared, summary.complete), (0, 0, true), "{threads:?}: {summary}");
            assert_eq!(summary.state.as_ref().unwrap().verdicts.keys().collect::<Vec<_>>(), [&"same"], "{summary}");
            let processes = processes.min(lanes as usize);
            let threads = threads.unwrap_or(64_usize.div_ceil(processes)).min((lanes as usize).div_ceil(processes));
            assert_eq!((summary.processes, summary.workers), (processes, processes * threads));
        }
    }
}

/// Writers and readers of files that each lane shares with the next, with no more edges than needed.
#[test]
fn delays_change_nothing_that_edges_hold_together() {
    let (lanes, rounds) = (6, 40);
    let mut work = Work::new();
    work.need("/d", "dir", 0);
    for round in 0..rounds {
        for lane in 0..lanes {
            let path = |round: usize| format!("/d/{lane}.{round}");
            let next = (lane + 1) % lanes;
            let create = work.ops.len() as i64;
            work.op(op("creat", 3).raw(path(round)).set("mode", 0o600).ofd(create).lane(lane as i64));
            work.op(op("write", 100).ofd(create).count(100).lane(lane as i64));
            work.op(op("close", 0).ofd(create).lane(lane as i64));
            // The next lane sees it whole, and gives it another name, which the next but one removes.
            work.op(op("truncate", 0).raw(path(round)).count(7).lane(next as i64)).edge(create + 3, create + 2);
            work.op(op("rename", 0).raw(path(round)).raw2(path(round + 1000)).lane(((lane + 2) % lanes) as i64));
            work.edge(create + 4, create + 3);
            work.op(op("stat", -2).raw(path(round)).lane(lane as i64)).edge(create + 5, create + 4);
            work.expect(&path(round + 1000), "file", Some(7));
        }
    }
    work.expect("/d", "dir", None).write();
    for (seed, processes, threads) in [(1, 1, 6), (2, 2, 3), (3, 1, 2), (4, 6, 1)] {
        init::run(&init::Options { force: true, ..work.init_options() }, &Progress::default()).unwrap();
        let out = work.place(&format!("run{seed}"));
        let options = Options { processes, threads: Some(threads), delay: Some(seed), out, ..work.options() };
        let summary = run(&options).unwrap();
        assert_eq!((summary.different, summary.uncompared), (0, 0), "seed {seed}: {summary}");
        assert_eq!(summary.state.as_ref().unwrap().verdicts.keys().collect::<Vec<_>>(), [&"same"], "{summary}");
    }
    // Without their edges they fall apart, so the delays do what they are for.
    init::run(&init::Options { force: true, ..work.init_options() }, &Progress::default()).unwrap();
    let options = Options { threads: Some(6), delay: Some(1), order: Order::Thread, out: work.place("loose"), ..work.options() };
    assert!(run(&options).unwrap().different > 0);
}

#[test]
fn edges_that_point_forward_are_refused() {
    let mut work = chain(1, 4);
    work.edge(2, 3).write();
    work.init().unwrap();
    let error = format!("{:#}", run(&work.options()).unwrap_err());
    assert!(error.contains("op 2 follows op 3") && error.starts_with("invalid workload"), "{error}");
    assert!(!work.place("run").exists());
}

#[test]
fn the_null_engine_issues_nothing() {
    let work = chain(50, 8);
    work.write();
    let summary = run(&Options { engine: Engine::Null, ..work.options() }).unwrap();
    assert_eq!((summary.same, summary.state.is_none()), (work.ops.len() as u64, true));
    assert!(!work.place("root").exists());
}
