//! Files that a program writes back for several threads at once: `--syncs regroup` leaves out what another sync has done.

use super::work::{Work, op, run};
use arrow::array::Array;
use ioriot::replay::outcome::summary::Kind;
use ioriot::replay::{Order, Summary, Syncs};
use ioriot::schema::read;
use libc::{O_APPEND, O_CREAT, O_WRONLY};
use serde_json::json;

/// The file of the log: number, and open file description.
const LOG: (i64, i64) = (6, 0);

/// A log that lane 0 opens, and calls of other lanes on it: `w` writes, `s` syncs.
pub(super) fn commits(calls: &[(i64, char)]) -> Work {
    let mut work = Work::new();
    let (file, ofd) = LOG;
    work.need("/d", "dir", 0);
    work.op(op("open", 3).raw("/d/log").flags(O_WRONLY | O_CREAT | O_APPEND).set("mode", 0o600).set("file", file).ofd(ofd));
    for (lane, call) in calls {
        let row = match call {
            'w' => op("write", 512).count(512),
            _ => op("fdatasync", 0),
        };
        let at = work.ops.len() as i64;
        work.op(row.lane(*lane).set("file", file).ofd(ofd)).edge(at, 0);
    }
    work.manifest.insert("grouped".into(), json!([file]));
    work
}

/// Replays it with these syncs: how many of them were left out.
fn left_out(work: &Work, syncs: Syncs, threads: Option<usize>, order: Order) -> (u64, Summary) {
    for place in ["work", "root", "run"] {
        let _ = std::fs::remove_dir_all(work.place(place));
    }
    work.write();
    assert!(work.init().unwrap().ok());
    let summary = run(&ioriot::replay::Options { syncs, threads, order, ..work.options() }).unwrap();
    assert!(summary.complete && summary.different == 0, "{summary}");
    let order = summary.figures.order_violations.unwrap();
    assert_eq!(order.violations, 0, "{summary}");
    let count = |kind: &Kind| if kind.kind == "regrouped" { kind.count } else { panic!("{summary}") };
    (summary.uncompared_kinds.iter().map(count).sum(), summary)
}

#[test]
fn a_sync_that_another_one_has_made_needless_is_left_out_and_told() {
    // Both are written when the first of them is synced.
    let mut both = commits(&[(1, 'w'), (2, 'w'), (1, 's'), (2, 's')]);
    both.edge(3, 2).edge(4, 3);
    for (threads, order) in [(Some(1), Order::Resource), (None, Order::Resource), (None, Order::Strict)] {
        assert_eq!(left_out(&both, Syncs::Captured, threads, order).0, 0);
        let (count, summary) = left_out(&both, Syncs::Regroup, threads, order);
        assert_eq!((count, summary.uncompared, summary.different), (1, 1, 0), "{summary}");
        assert!(summary.to_string().contains("left out, since another one had written the file back"), "{summary}");
        // It is no call: nobody counts it among those that took nothing.
        let results = read::builder(&both.place("run/results.parquet"), &["op_id", "dur", "kind"]).unwrap();
        let mut without = Vec::new();
        for batch in results.build().unwrap() {
            let batch = batch.unwrap();
            let (op_id, dur) = (read::ints(&batch, "op_id").unwrap(), read::ints(&batch, "dur").unwrap());
            without.extend((0..batch.num_rows()).filter(|row| dur.is_null(*row)).map(|row| op_id.value(row)));
        }
        assert_eq!(without.len(), 1, "{summary}");
        let issued = summary.figures.calls.iter().find(|call| call.syscall == "fdatasync").unwrap();
        assert_eq!(issued.calls, 1, "{summary}");
    }
    // Each is written after the sync before: nothing can be left out.
    let turns = commits(&[(1, 'w'), (1, 's'), (2, 'w'), (2, 's'), (1, 'w'), (1, 's')]);
    assert_eq!(left_out(&turns, Syncs::Regroup, Some(1), Order::Resource).0, 0);
    // Nor of a file that the capture does not show to be such a one.
    both.manifest.insert("grouped".into(), json!([LOG.0 + 1]));
    assert_eq!(left_out(&both, Syncs::Regroup, Some(1), Order::Resource).0, 0);
}

/// Sixteen threads that write, and sync at once: as much as the device takes together is one sync.
#[test]
fn threads_that_come_at_once_share_a_sync() {
    let (lanes, rounds) = (16, 20);
    let round = (1..=lanes).flat_map(|lane| [(lane, 'w'), (lane, 's')]);
    let work = commits(&std::iter::repeat_n(round, rounds).flatten().collect::<Vec<_>>());
    let all = lanes as u64 * rounds as u64;
    let (count, summary) = left_out(&work, Syncs::Regroup, None, Order::Resource);
    // At least one sync must follow the last write of each lane's turn; with one worker for each lane some come while another is under way.
    assert!((1..all).contains(&count), "{count} of {all}: {summary}");
    assert_eq!(summary.figures.written_bytes, 512 * all, "{summary}");
}

#[test]
fn a_list_of_files_that_makes_no_sense_is_refused() {
    for said in [json!([6, 6]), json!([7, 6]), json!("6"), json!([0.5]), json!((0..1025).collect::<Vec<_>>())] {
        let mut work = commits(&[(1, 'w'), (1, 's')]);
        work.manifest.insert("grouped".into(), said);
        work.write();
        assert!(work.init().unwrap().ok());
        let error = run(&ioriot::replay::Options { syncs: Syncs::Regroup, ..work.options() }).unwrap_err();
        assert!(format!("{error:#}").contains("grouped is no list of at most 1024 files in ascending order"), "{error:#}");
        assert!(run(&work.options()).unwrap().ok());
    }
}
