//! Logs whose times step back: a clock was set, or logs were put together.

use super::{ingest_text, ingest_with, ints, story, table};
use ioriot::ingest::Doubt;
use std::fs;

#[test]
fn lines_below_later_ones_keep_their_place_and_are_counted() {
    for (times, count) in [
        (["1760000010.000000", "1760000011.000000", "1760000012.000000", "1760000013.000000"], None),
        (["1760000010.000000", "1760000003.000000", "1760000004.000000", "1760000013.000000"], Some(2)),
        (["12:00:10", "12:00:03", "12:00:11", "12:00:11"], Some(1)),
        (["23:59:59", "00:00:01", "00:00:02", "00:00:03"], None),
    ] {
        let calls = ["open(\"/a\", O_RDONLY) = 3", "read(3, \"x\", 5) = 5", "read(3, \"x\", 6) = 6", "close(3) = 0"];
        let text: String = times.iter().zip(calls).map(|(time, call)| format!("10 {time} {call}\n")).collect();
        let made = ingest_text(&text).unwrap();
        assert_eq!(story(&made), ["open /a 3", "read - 5", "read - 6", "close - 0"]);
        assert_eq!(made.captured.doubts.get(&Doubt::Backwards).copied(), count, "{times:?}");
        let said = made.captured.to_string().contains("stand below others with later times");
        assert_eq!(said, count.is_some(), "{}", made.captured);
    }
}

#[test]
fn a_call_that_a_set_clock_began_after_its_end_has_no_duration() {
    let text = "10 1760000010.000000 read(3,  <unfinished ...>\n11 1760000003.000000 close(4) = 0\n\
                10 1760000004.000000 <... read resumed>\"x\", 5) = 5\n";
    let made = ingest_text(text).unwrap();
    let events = table(&made.out, "events");
    assert_eq!((ints(&events, "dur"), made.captured.doubts.get(&Doubt::Backwards)), (vec![None, None], Some(&2)));
}

/// strace writes the lines of a thread in turn, so there a time is wrong and not the place of a line.
#[test]
fn a_merged_thread_keeps_the_order_of_its_lines() {
    let dir = tempfile::tempdir().unwrap();
    let log = "1760000010.000000 open(\"/a\", O_RDONLY) = 3 <0.000010>\n\
               1760000003.000000 read(3, \"x\", 5) = 5 <0.000010>\n\
               1760000004.000000 close(3) = 0 <0.000010>\n";
    let other = "1760000001.000000 stat(\"/b\", {st_mode=S_IFREG|0644, st_size=0, ...}) = 0 <0.000010>\n";
    let files = [("t.10", log), ("t.11", other)].map(|(name, text)| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    });
    let made = ingest_with(&files, |options| options.merge = true).unwrap();
    assert_eq!(story(&made), ["stat /b 0", "open /a 3", "read - 5", "close - 0"]);
    assert_eq!(made.captured.repairs.get("overlap"), Some(&2));
    assert_eq!(made.captured.doubts.get(&Doubt::Backwards), Some(&2));
}

#[test]
fn times_of_two_clocks_are_told() {
    let made = ingest_text("12:00:10 close(3) = 0\n1760000003.000000 close(4) = 0\n12:00:11 close(5) = 0\n").unwrap();
    let second = 1_000_000_000;
    assert_eq!(ints(&table(&made.out, "events"), "ts"), [Some(43_210 * second), None, Some(43_211 * second)]);
    assert_eq!(made.captured.doubts.get(&Doubt::Clocks), Some(&1));
    let line = |t: i64| format!("t={t};:,D=10;:,i=1:1;:,o=close;:,d=3;:,s=0;:,\n");
    let made = ingest_text(line(1_760_000_000_000_000_000) + &line(5_000_000)).unwrap();
    assert_eq!(made.captured.doubts.get(&Doubt::Clocks), Some(&1));
}
