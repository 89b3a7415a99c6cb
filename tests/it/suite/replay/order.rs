//! Strict order: ops of many lanes that depend on each other come out right at any number of workers.

use super::work::{Work, op, run};
use ioriot::replay::{Engine, Options};
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
    for (threads, lanes) in [(Some(1), 1), (Some(1), 16), (Some(4), 16), (Some(16), 16), (None, 40), (Some(3), 300)] {
        let work = chain(200, lanes);
        let summary = work.run(threads);
        assert_eq!((summary.different, summary.uncompared), (0, 0), "{threads:?}: {summary}");
        assert_eq!(summary.state.as_ref().unwrap().verdicts.keys().collect::<Vec<_>>(), [&"same"], "{summary}");
        assert_eq!(summary.workers, threads.unwrap_or(64).min(lanes as usize) as u64);
    }
}

#[test]
fn the_null_engine_issues_nothing() {
    let work = chain(50, 8);
    work.write();
    let summary = run(&Options { engine: Engine::Null, ..work.options() }).unwrap();
    assert_eq!((summary.same, summary.state.is_none()), (work.ops.len() as u64, true));
    assert!(!work.place("root").exists());
}
