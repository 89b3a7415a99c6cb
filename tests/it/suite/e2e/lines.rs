//! Small inputs, made by hand, each of which shows what lines mean (tests/data/lines).

use super::Story;
use crate::tool::{expect, number, rows};

fn story(input: &str) -> Story {
    Story::of(&format!("lines/{input}"))
}

impl Story {
    fn of_run(&self, sql: &str) -> f64 {
        number(&[&self.part("run")], sql)
    }
}

#[test]
fn small_inputs_come_out_as_captured() {
    // Events, ops, and outcomes that cannot be compared.
    for (input, [events, ops, uncompared]) in [
        ("deleted.strace", [7, 6, 0]),
        ("missing-close.strace", [5, 5, 0]),
        ("wait-status.strace", [3, 2, 0]),
        ("struct-size.strace", [2, 2, 0]),
        ("midnight.strace", [4, 4, 0]),
        ("quotes.strace", [6, 6, 0]),
        ("tail.strace", [4, 4, 0]),
        ("removed-cwd.strace", [7, 7, 0]),
        ("short-write.strace", [7, 7, 1]),
        ("sendfile-seek.strace", [7, 7, 0]),
        ("splice.strace", [16, 13, 0]),
        ("preadv2-seek.strace", [7, 7, 0]),
        ("preadv2-size.strace", [5, 5, 0]),
        ("preadv2-size-control.strace", [5, 5, 0]),
        ("overlap.capture", [3, 3, 0]),
        ("unknown-call.strace", [5, 3, 0]),
        ("requests.strace", [7, 3, 0]),
    ] {
        let story = story(input);
        let count = |what: &str| story.of_run(&format!("SELECT count(*) FROM results WHERE origin = 'event' AND {what}")) as i64;
        let differences =
            rows(&[&story.part("run")], "SELECT op_id, syscall, kind, ret, errno FROM results WHERE outcome = 'different'");
        assert!(differences.is_empty(), "{input}: {differences:?}");
        let captured = number(&[&story.part("capture")], "SELECT count(*) FROM events") as i64;
        assert_eq!([captured, count("true"), count("outcome = 'uncompared'")], [events, ops, uncompared], "{input}");
        let state = rows(&[&story.part("run")], "SELECT path, verdict FROM state WHERE verdict <> 'same'");
        assert!(state.is_empty(), "{input}: {state:?}");
    }
}

/// A removed name, the end of an open call and the size of a file are what the lines say.
#[test]
fn what_small_inputs_leave_behind_is_there() {
    let size = |input: &str, path: &str| story(input).found(path).map(|found| found.len());
    assert_eq!(size("deleted.strace", "/d/a"), None);
    assert_eq!(size("quotes.strace", "/d/\"a\\b\", O_RDONLY) = 3"), Some(75));
    assert_eq!(size("short-write.strace", "/d/big"), Some(8192));
    assert_eq!(size("tail.strace", "/log/a"), Some(100_650));
    assert_eq!(size("overlap.capture", "/data/a"), Some(4096));
    assert_eq!(size("preadv2-size.strace", "/data/f"), Some(3000));
    assert_eq!(size("splice.strace", "/data/out"), Some(4096));
}

/// What goes from a file to a pipe or a socket is read from the file, and what comes from there is written to it: as many
/// bytes as were moved, from where they were.
#[test]
fn what_one_side_of_is_a_file_is_a_read_or_a_write() {
    let story = story("splice.strace");
    let moved = "SELECT op, \"offset\", count FROM ops WHERE syscall IN ('splice', 'sendfile') ORDER BY op_id";
    let moved = rows(&[&story.part("workload")], moved);
    let expected = ["read,0,1000", "pread64,5000,700", "read,1100,2000", "pread64,200,100", "write,0,1700", "pwrite64,4000,96"];
    assert_eq!(moved, expected);
    // The socket was full: that has nothing to do with the file.
    let dropped = rows(&[&story.part("workload")], "SELECT syscall, reason, on_file FROM fates WHERE fate = 'drop'");
    assert_eq!((dropped, story.coverage()), (vec!["sendfile,socket,false".to_owned()], 1.0));
    let sql = "SELECT path, read_bytes, written_bytes FROM hot_files WHERE path LIKE '/data/%' ORDER BY path";
    assert_eq!(rows(&[&story.part("workload")], sql), ["/data/in,4000,0", "/data/out,0,1806"]);
}

#[test]
fn a_call_that_nobody_knows_is_no_part_of_the_coverage() {
    let story = story("unknown-call.strace");
    assert_eq!(story.coverage(), 0.75);
    let dropped = rows(&[&story.part("workload")], "SELECT syscall, reason, on_file FROM fates WHERE fate = 'drop' ORDER BY seq");
    assert_eq!(dropped, ["write_gently,unknown_call,true", "brk,not_file,false"]);
    assert_eq!(story.of_run("SELECT count(*) FROM results"), 3.0);
}

#[test]
fn calls_that_hide_requests_are_no_part_of_the_coverage() {
    let story = story("requests.strace");
    assert_eq!(story.coverage(), 0.6);
    let dropped = rows(&[&story.part("workload")], "SELECT syscall, reason, on_file FROM fates WHERE fate = 'drop' ORDER BY seq");
    assert_eq!(dropped, ["io_uring_enter,requests,true", "io_uring_enter,anon,false", "io_submit,requests,true"]);
}

/// The open that never returned is no op, and a replay of nothing is none.
#[test]
fn a_call_that_the_end_of_its_process_cut_off_is_dropped() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("story");
    let said = expect(1, &["run", &crate::tool::data("lines/exit-pending.strace"), "-o", dir.to_str().unwrap()]);
    assert!(said.contains("2 events") && said.contains("unknown_result") && said.contains("Nothing could be compared"), "{said}");
}

/// Whatever moved the position of a descriptor before the call that stays.
#[test]
fn a_predicate_that_leaves_out_a_move_puts_a_seek_there() {
    for input in ["sendfile-seek.strace", "preadv2-seek.strace"] {
        let story = story(input);
        let [capture, root, out, run] = ["capture", "root2", "chosen", "run2"].map(|name| story.part(name).display().to_string());
        expect(0, &["generate", &capture, "-o", &out, "--where", "op = 'read'"]);
        let ops = rows(&[&story.part("chosen")], "SELECT op, origin, \"offset\" FROM ops ORDER BY op_id");
        assert_eq!(ops, ["openat,event,", "read,event,0", "lseek,seek,1100", "read,event,1100", "close,event,"], "{input}");
        expect(0, &["init", &out, "--root", &root]);
        expect(0, &["replay", &out, "--root", &root, "-o", &run]);
    }
}
