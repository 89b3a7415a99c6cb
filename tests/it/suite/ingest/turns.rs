//! The calls of one thread come one after the other, whatever the clock said.

use super::{ingest_text, ints, story, table, texts};
use proptest::prelude::*;
use std::fmt::Write;

/// A line of a thread's call that began so many nanoseconds before it returned.
fn line(text: &mut String, returned: i64, took: i64, tid: i64, call: &str) {
    writeln!(text, "t={};:,D={took};:,i={tid}:{tid};:,{call}:,", 1_760_000_000_000_000_000 + returned).unwrap();
}

fn head() -> String {
    "#|capture_version=4|\n".into()
}

/// As handed in: the clock was set back by 1.5 us between an open and a write.
#[test]
fn a_call_that_seems_to_begin_within_its_threads_last_begins_behind_it() {
    let mut text = head();
    line(&mut text, 10_000, 100, 7, "o=openat;:,d=3;:,p=/data/a;:,f=577;:,m=420;");
    line(&mut text, 10_500, 1000, 7, "o=write;:,d=3;:,b=4096;");
    line(&mut text, 20_000, 100, 7, "o=close;:,d=3;:,s=0;");
    let made = ingest_text(&text).unwrap();
    assert_eq!(story(&made), ["openat /data/a 3", "write - 4096", "close - 0"]);
    assert_eq!(made.captured.repairs.get("overlap"), Some(&1));
    let events = table(&made.out, "events");
    let (ts, dur) = (ints(&events, "ts"), ints(&events, "dur"));
    assert_eq!((ts[1], dur[1]), (ts[0].zip(dur[0]).map(|(ts, dur)| ts + dur), Some(500)));
    assert!(made.captured.to_string().contains("1 instants moved: overlap"), "{}", made.captured);
}

/// Tracers keep a buffer for each processor. A thread that has moved leaves lines in two, and they are emptied in turn.
#[test]
fn lines_that_were_written_late_are_taken_by_their_time() {
    let mut text = head();
    line(&mut text, 50_000, 100, 7, "o=write;:,d=3;:,b=2;");
    line(&mut text, 10_000, 100, 7, "o=openat;:,d=3;:,p=/data/a;:,f=577;:,m=420;");
    line(&mut text, 20_000, 100, 7, "o=write;:,d=3;:,b=1;");
    line(&mut text, 60_000, 100, 7, "o=close;:,d=3;:,s=0;");
    let made = ingest_text(&text).unwrap();
    assert_eq!(story(&made), ["openat /data/a 3", "write - 1", "write - 2", "close - 0"]);
    assert_eq!((made.captured.repairs.get("late"), made.captured.repairs.get("overlap")), (Some(&1), None));
    let said = made.captured.to_string();
    assert!(said.contains("none was moved: late") && !said.contains("instants moved"), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Threads of calls without a gap, by a clock that is set at times: by less than the call takes, so that calls seem to
    /// overlap.
    #[test]
    fn calls_of_a_thread_keep_their_order_when_the_clock_is_set(
        calls in proptest::collection::vec((0..4i64, 100..2000i64, -90..90i64, any::<bool>()), 1..120),
    ) {
        let (mut text, mut real, mut set) = (head(), 1_000_000, 0);
        let mut last = [None::<i64>; 4];
        for (number, (tid, took, step, steps)) in calls.iter().enumerate() {
            real += took;
            // What the clock says: no call may seem to be over before its thread's last call began.
            if *steps { set += step }
            let returned = last[*tid as usize].map_or(real + set, |last| (real + set).max(last + 1));
            last[*tid as usize] = Some(returned);
            line(&mut text, returned, *took, *tid + 10, &format!("o=write;:,d=3;:,b={};", number + 1));
        }
        let made = ingest_text(&text).unwrap();
        let events = table(&made.out, "events");
        let (tids, numbers, calls) = (ints(&events, "tid"), ints(&events, "ret"), texts(&events, "syscall"));
        assert!(calls.iter().all(|call| call.as_deref() == Some("write")));
        for tid in 10..14 {
            let own: Vec<_> = tids.iter().zip(&numbers).filter(|(of, _)| **of == Some(tid)).map(|(_, number)| *number).collect();
            assert!(own.is_sorted(), "{tid}: {own:?}\n{text}");
        }
        let (ts, dur) = (ints(&events, "ts"), ints(&events, "dur"));
        for tid in 10..14 {
            let own: Vec<_> = (0..tids.len()).filter(|row| tids[*row] == Some(tid)).collect();
            let apart = |pair: &[usize]| ts[pair[0]].unwrap() + dur[pair[0]].unwrap() <= ts[pair[1]].unwrap();
            assert!(own.windows(2).all(apart), "{tid}\n{text}");
        }
    }
}
