//! What single lines mean, and what they tell of those around them.

use super::{event, needs, open, words};
use ioriot::event::{AT_FDCWD, Col, Event, HOLE, Text};
use ioriot::fate::{Origin, Reason};
use ioriot::model::{Config, End, Model, Requests, Row, Rows};
use ioriot::syscall::{Op, Syscall};

fn walk(events: &[Event]) -> (Vec<Row>, End) {
    let (mut model, mut rows) = (Model::new(Config::default()), Rows::default());
    events.iter().for_each(|event| model.step(event, &mut rows));
    let end = model.finish(&mut rows);
    (rows.list, end)
}

fn offsets(events: &[Event]) -> Vec<(Option<Op>, Option<i64>)> {
    walk(events).0.iter().map(|row| (row.step.op, row.step.offset)).collect()
}

#[test]
fn a_call_that_nobody_knows_counts_against_coverage() {
    let other = |name: &str| {
        let mut event = event(Syscall::other, &[], &[], 0);
        event.other = Some(name.into());
        event
    };
    for (name, reason) in [
        ("brk", Reason::NotFile),
        ("wait4", Reason::NotFile),
        ("recvmsg", Reason::NotFile),
        ("syscall_999", Reason::UnknownCall),
        ("write_twice", Reason::UnknownCall),
        (HOLE, Reason::UnknownCall),
    ] {
        let (rows, _) = walk(&[other(name)]);
        let step = &rows[0].step;
        assert_eq!((step.reason, step.on_file), (Some(reason), reason == Reason::UnknownCall), "{name}");
    }
}

/// Of requests that are events of their own nothing is hidden in the calls that hand them over.
#[test]
fn a_call_that_hides_requests_counts_against_coverage() {
    let dropped = |requests: Requests, call: Syscall, outcome: i64| {
        let (mut model, mut rows) = (Model::new(Config { requests, ..Config::default() }), Rows::default());
        model.step(&event(call, &[(Col::Fd, 9)], &[(Text::FdPath, "anon_inode:[io_uring]")], outcome), &mut rows);
        let step = &rows.list[0].step;
        assert_eq!(step.reason == Some(Reason::Requests), step.on_file);
        step.on_file
    };
    for (requests, enter, submit) in
        [(Requests::None, true, true), (Requests::Submitted, true, false), (Requests::All, false, false)]
    {
        assert_eq!(dropped(requests, Syscall::io_uring_enter, 3), enter, "{requests:?}");
        assert_eq!(dropped(requests, Syscall::io_submit, 3), submit, "{requests:?}");
        for nothing in [0, -11] {
            assert!(!dropped(requests, Syscall::io_uring_enter, nothing), "{requests:?}");
        }
    }
}

#[test]
fn a_new_task_of_unknown_kind_is_a_guess() {
    let guesses = |call, ints: &[(Col, i64)], outcome| {
        let (_, end) = walk(&[event(call, ints, &[], outcome)]);
        end.guesses.iter().map(|(_, times)| *times).sum::<u64>()
    };
    assert_eq!(guesses(Syscall::clone3, &[], 7), 1);
    assert_eq!(guesses(Syscall::clone, &[], 7), 1);
    assert_eq!(guesses(Syscall::clone3, &[(Col::Flags, 0x10100)], 7), 0);
    assert_eq!(guesses(Syscall::clone3, &[], -11) + guesses(Syscall::fork, &[], 7) + guesses(Syscall::vfork, &[], 7), 0);
}

/// mkdir has no dirfd to name it by; the loader's open of /etc/ld.so.cache had one.
#[test]
fn a_working_directory_that_an_absolute_path_came_with_is_known() {
    let texts = [(Text::Path, "/etc/ld.so.cache"), (Text::DirPath, "/home/a")];
    let open = event(Syscall::openat, &[(Col::DirFd, AT_FDCWD), (Col::Flags, 0)], &texts, 3);
    let mkdir = event(Syscall::mkdir, &[(Col::Mode, 0o755)], &[(Text::Path, "d")], 0);
    let (rows, end) = walk(&[open.clone(), mkdir.clone()]);
    assert_eq!(rows[1].step.path.as_deref(), Some(&b"/home/a/d"[..]));
    assert!(end.guesses.iter().all(|(guess, _)| !guess.contains("working directory")), "{:?}", end.guesses);
    // Nothing else follows from it, and what a call set counts more.
    assert_eq!(needs(&walk(std::slice::from_ref(&open)).1), ["dir /etc", "file /etc/ld.so.cache"]);
    let chdir = event(Syscall::chdir, &[], &[(Text::Path, "/srv")], 0);
    assert_eq!(walk(&[open, chdir, mkdir]).0[2].step.path.as_deref(), Some(&b"/srv/d"[..]));
}

/// As a shell does for `echo hi > p`.
#[test]
fn a_fifo_that_is_opened_to_be_made_stays_one() {
    let mknod = event(Syscall::mknod, &[(Col::Mode, 0o10_644)], &[(Text::Path, "/d/p")], 0);
    let made = i64::from(libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC);
    let write = event(Syscall::write, &[(Col::Fd, 3), (Col::Count, 3)], &[], 3);
    for flags in [made, i64::from(libc::O_WRONLY), 0] {
        let (said, end) = words(&[mknod.clone(), open("/d/p", flags, 3, ""), write.clone(), open("/d/p", flags, 4, "/d/p")]);
        assert_eq!(said, ["op", "pipe", "pipe", "pipe"], "{flags:o}");
        assert_eq!(needs(&end), ["dir /d", "absent /d/p"], "{flags:o}");
    }
}

fn on_log(syscall: Syscall, ints: &[(Col, i64)], outcome: i64) -> Event {
    event(syscall, &[&[(Col::Fd, 15)], ints].concat(), &[(Text::FdPath, "/log/a")], outcome)
}

fn fstat(size: i64) -> Event {
    on_log(Syscall::fstat, &[(Col::StMode, 0o100_644), (Col::StSize, size)], 0)
}

fn read(asked: i64, bytes: i64) -> Event {
    on_log(Syscall::read, &[(Col::Count, asked)], bytes)
}

/// `tail -f` of a file that it had opened before the capture began.
#[test]
fn a_read_that_stops_at_the_known_end_tells_where_it_began() {
    let (rows, end) = words(&[fstat(100_650), read(8192, 527), read(8192, 0), fstat(100_650)]);
    assert_eq!(rows, ["initial:openat", "op", "external:lseek", "op", "op", "op", "end:close"]);
    let file = end.needs.iter().find(|need| *need.path == *b"/log/a").unwrap();
    assert_eq!((file.size, file.size_exact), (100_650, true));
    assert!(!end.guesses.iter().any(|(guess, _)| guess.contains("change from outside")), "{:?}", end.guesses);
    let offsets = offsets(&[fstat(100_650), read(8192, 527), read(8192, 0)]);
    assert_eq!(
        offsets[2..5],
        [(Some(Op::Lseek), Some(100_123)), (Some(Op::Read), Some(100_123)), (Some(Op::Read), Some(100_650))]
    );
    // Nothing read at all is the end, too; a full read tells nothing.
    let (rows, _) = words(&[fstat(100), read(10, 0)]);
    assert_eq!(rows[2..4], ["external:lseek", "op"]);
    let (rows, _) = words(&[fstat(100), read(10, 10), read(10, 10)]);
    assert_eq!(rows[2..4], ["op", "op"]);
}

#[test]
fn a_read_that_stops_at_an_end_that_is_told_later_is_put_there_from_the_end() {
    let events = [read(8192, 527), read(8192, 0), fstat(100_650), read(8192, 0)];
    let (rows, end) = walk(&events);
    let seek = rows.iter().find(|row| row.step.op == Some(Op::Lseek)).unwrap();
    let args = seek.args.as_ref().unwrap();
    assert_eq!((args.int(Col::Offset), args.int(Col::Whence), seek.step.origin), (Some(-527), Some(2), Origin::External));
    let file = end.needs.iter().find(|need| *need.path == *b"/log/a").unwrap();
    assert_eq!((file.size, file.size_exact), (100_650, true));
    let reads: Vec<_> = rows.iter().filter(|row| row.step.op == Some(Op::Read)).map(|row| row.step.offset).collect();
    assert_eq!(reads, [None, None, Some(100_650)]);
    assert_eq!(rows.iter().filter(|row| row.step.op == Some(Op::Lseek)).count(), 1);
}

#[test]
fn a_write_that_was_cut_short_is_asked_for_what_it_wrote() {
    let creat = i64::from(libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC);
    let write = |bytes| event(Syscall::write, &[(Col::Fd, 3), (Col::Count, 10_000)], &[], bytes);
    let failed = write(-i64::from(libc::ENOSPC));
    let (rows, end) = walk(&[open("/d/big", creat, 3, ""), write(8192), failed, write(10_000)]);
    let asked: Vec<_> = rows[1..4].iter().map(|row| row.args.as_ref().and_then(|args| args.int(Col::Count))).collect();
    assert_eq!(asked, [Some(8192), None, None]);
    assert_eq!(rows[3].step.offset, Some(8192));
    assert_eq!(end.expects.iter().find_map(|expect| expect.size), Some(18_192));
}

/// Why a copy stopped short the end of its source may tell: then it stops there again.
#[test]
fn a_copy_that_was_cut_short_is_asked_for_what_it_copied_unless_its_source_ends_there() {
    let stat = event(Syscall::fstat, &[(Col::Fd, 3), (Col::StMode, 0o100_644), (Col::StSize, 1000)], &[], 0);
    let out = open("/out", i64::from(libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC), 4, "");
    let copy = |bytes| event(Syscall::copy_file_range, &[(Col::Fd, 3), (Col::Fd2, 4), (Col::Count, 5000)], &[], bytes);
    let (rows, _) = walk(&[open("/in", 0, 3, ""), stat, out, copy(600), copy(400), copy(0)]);
    let asked: Vec<_> = rows[3..6].iter().map(|row| row.args.as_ref().and_then(|args| args.int(Col::Count))).collect();
    assert_eq!(asked, [Some(600), None, None]);
    assert_eq!(
        rows[3..6].iter().map(|row| (row.step.offset, row.step.offset2)).collect::<Vec<_>>(),
        [(Some(0), Some(0)), (Some(600), Some(600)), (Some(1000), Some(1000)),]
    );
}

#[test]
fn preadv2_at_minus_one_moves_the_position_and_sees_no_size() {
    let at = |offset| event(Syscall::preadv2, &[(Col::Fd, 3), (Col::Count, 1000), (Col::Offset, offset)], &[], 1000);
    let read = event(Syscall::read, &[(Col::Fd, 3), (Col::Count, 10)], &[], 10);
    let offsets = offsets(&[open("/a", 0, 3, ""), at(-1), at(5000), read]);
    assert_eq!(offsets[1..4].iter().map(|row| row.1).collect::<Vec<_>>(), [Some(0), Some(5000), Some(1000)]);
}

/// Who starts from the shared position may have moved it when interrupted; who is given one has not. A read that stops short
/// tells where the end was only to who knows where it began.
#[test]
fn an_interrupted_call_leaves_the_shared_position_unknown() {
    let (fd, other, given) = ((Col::Fd, 3), (Col::Fd, 4), (Col::Offset, 0));
    let knows = |call: Syscall, ints: &[(Col, i64)]| {
        let interrupted = event(call, ints, &[], -i64::from(libc::EINTR));
        let size = event(Syscall::fstat, &[(Col::Fd, 3), (Col::StSize, 1000)], &[], 0);
        let read = event(Syscall::read, &[(Col::Fd, 3), (Col::Count, 200)], &[], 100);
        let rdwr = i64::from(libc::O_RDWR);
        let (said, _) = words(&[open("/a", rdwr, 3, ""), open("/b", rdwr, 4, ""), size, interrupted, read]);
        said.iter().any(|row| row == "external:truncate")
    };
    let count = (Col::Count, 500);
    for (call, ints) in [
        (Syscall::read, vec![fd, count]),
        (Syscall::writev, vec![fd, count]),
        (Syscall::preadv2, vec![fd, count, (Col::Offset, -1)]),
        (Syscall::pwritev2, vec![fd, count, (Col::Offset, -1)]),
        (Syscall::sendfile, vec![fd, (Col::Fd2, 4), count]),
        (Syscall::sendfile, vec![other, (Col::Fd2, 3), count, given]),
        (Syscall::copy_file_range, vec![fd, (Col::Fd2, 4), count]),
        (Syscall::copy_file_range, vec![other, (Col::Fd2, 3), count]),
        (Syscall::splice, vec![fd, (Col::Fd2, 9), count]),
    ] {
        assert!(!knows(call, &ints), "{call:?} {ints:?}");
    }
    for (call, ints) in [
        (Syscall::pread64, vec![fd, count, given]),
        (Syscall::preadv2, vec![fd, count, given]),
        (Syscall::sendfile, vec![fd, (Col::Fd2, 4), count, given]),
        (Syscall::copy_file_range, vec![other, (Col::Fd2, 3), count, (Col::Offset2, 0)]),
        (Syscall::fsync, vec![fd]),
    ] {
        assert!(knows(call, &ints), "{call:?} {ints:?}");
    }
}

#[test]
fn a_working_directory_that_is_removed_stays_for_those_in_it() {
    let path = |syscall, path, outcome| event(syscall, &[], &[(Text::Path, path)], outcome);
    let events = [
        path(Syscall::chdir, "/d", 0),
        path(Syscall::mkdir, "C", 0),
        path(Syscall::chdir, "C", 0),
        path(Syscall::rmdir, "/d/C", 0),
        path(Syscall::stat, ".", 0),
        path(Syscall::mkdir, "/d/C", 0),
        path(Syscall::stat, ".", 0),
        path(Syscall::chdir, "/d", 0),
        path(Syscall::stat, ".", 0),
    ];
    let (said, end) = words(&events);
    assert_eq!(said, ["op", "op", "op", "cwd:openat", "op", "op", "op", "op", "op", "cwd:close", "op"]);
    let (rows, _) = walk(&events);
    let kept = rows[3].step.ofd;
    assert!(kept.is_some() && rows[9].step.ofd == kept);
    let starts: Vec<_> = [5, 7, 10].map(|at| (rows[at].step.dir, rows[at].step.cwd.as_deref())).into();
    assert_eq!(starts, [(kept, None), (kept, None), (None, Some(&b"/d"[..]))]);
    assert_eq!(needs(&end), ["dir /d", "absent /d/C"]);
    // Nobody is in most directories that are removed.
    let (said, _) = words(&[path(Syscall::mkdir, "/e", 0), path(Syscall::rmdir, "/e", 0)]);
    assert_eq!(said, ["op", "op"]);
}

/// A read that overlaps a write does not tell where the end was; what it read was there all the same.
#[test]
fn what_was_read_beside_a_write_was_there() {
    let at = |mut event: Event, ts: i64, dur: i64| {
        event.set(Col::Ts, ts);
        event.set(Col::Dur, dur);
        event
    };
    let write = event(Syscall::pwrite64, &[(Col::Fd, 3), (Col::Count, 500), (Col::Offset, 2000)], &[], 500);
    let read = event(Syscall::pread64, &[(Col::Fd, 3), (Col::Count, 4096), (Col::Offset, 1000)], &[], 2000);
    let (_, end) = walk(&[at(open("/f", 2, 3, ""), 0, 10), at(write, 100, 1000), at(read, 500, 100)]);
    assert_eq!((end.needs[0].size, end.needs[0].size_exact), (3000, false));
}
