//! One case per rule: for which resources must two calls keep their order?

use super::*;
use crate::event::{AT_FDCWD, Col, Event, Text};
use crate::model::{Config, Model, Rows};
use crate::syscall::Syscall as S;
use libc::{ENOENT, O_APPEND, O_CREAT, O_RDWR};

fn call(tid: i64, syscall: S, ret: i64, paths: [&str; 2], ints: &[(Col, i64)]) -> Event {
    let mut event = Event::new(syscall);
    event.set_outcome(ret);
    for (col, value) in [(Col::Pid, 1), (Col::Tid, tid), (Col::DirFd, AT_FDCWD)].iter().chain(ints) {
        event.set(*col, *value);
    }
    for (text, path) in [Text::Path, Text::Path2].into_iter().zip(paths).filter(|(_, path)| !path.is_empty()) {
        event.set_text(text, path);
    }
    event
}
fn open(fd: i64, path: &str, flags: i32) -> Event {
    call(1, S::openat, fd, [path, ""], &[(Col::Flags, i64::from(flags))])
}
fn on(syscall: S, fd: i64, ret: i64, ints: &[(Col, i64)]) -> Event {
    call(1, syscall, ret, ["", ""], &[&[(Col::Fd, fd)], ints].concat())
}
fn path(syscall: S, path: &str, ret: i64) -> Event {
    call(1, syscall, ret, [path, ""], &[(Col::Mode, 0o755)])
}
fn rename(from: &str, to: &str) -> Event {
    call(1, S::rename, 0, [from, to], &[])
}
fn pread(fd: i64, offset: i64, count: i64, ret: i64) -> Event {
    on(S::pread64, fd, ret, &[(Col::Offset, offset), (Col::Count, count)])
}
fn pwrite(fd: i64, offset: i64, count: i64) -> Event {
    on(S::pwrite64, fd, count, &[(Col::Offset, offset), (Col::Count, count)])
}
fn ftruncate(fd: i64, size: i64) -> Event {
    on(S::ftruncate, fd, 0, &[(Col::Count, size)])
}

/// The resources for which the last two events must keep their order.
fn between(events: &[Event]) -> String {
    let mut model = Model::new(Config::default());
    let mut touches = Vec::new();
    for event in events {
        let mut rows = Rows::default();
        model.step(event, &mut rows);
        assert!(rows.list.len() == 1 && rows.list[0].step.reason.is_none(), "{event:?}: {rows:?}");
        touches.push(rows.touches);
    }
    let [.., a, b] = &touches[..] else { return String::new() };
    let conflict = |kind: &&Resource| {
        let same = |a: &Touch, b: &Touch| (a.kind, a.id) == (b.kind, b.id) && !a.access.commutes(b.access);
        a.iter().any(|a| a.kind == **kind && b.iter().any(|b| same(a, b)))
    };
    Resource::ALL.iter().filter(conflict).map(|kind| kind.name()).collect::<Vec<_>>().join(" ")
}

#[test]
fn names_order_what_walks_through_them() {
    let gone = -i64::from(ENOENT);
    let cases = [
        ("", vec![path(S::stat, "/d/a", 0), path(S::lstat, "/d/a", 0)]),
        ("", vec![path(S::mkdir, "/d/a", 0), path(S::mkdir, "/d/b", 0)]),
        ("", vec![path(S::mkdir, "/d/a", 0), path(S::unlink, "/d/b", 0)]),
        ("name", vec![path(S::stat, "/d/a", gone), path(S::mkdir, "/d/a", 0)]),
        ("name", vec![path(S::mkdir, "/d", 0), path(S::mkdir, "/d/a", 0)]),
        ("name", vec![path(S::stat, "/d/e/a", 0), rename("/d", "/x")]),
        ("name", vec![path(S::stat, "/d/e/a", 0), rename("/x", "/d/e/a")]),
        ("", vec![path(S::stat, "/d/e/a", 0), rename("/d/e/x", "/d/e/y")]),
        ("name", vec![path(S::mkdir, "/d", 0), path(S::stat, "/d/../a", 0)]),
        // The same file by another name.
        ("", vec![rename("/d", "/x"), path(S::stat, "/x/e", 0), path(S::stat, "/x/f", gone)]),
        ("name", vec![path(S::mkdir, "/d/e", 0), rename("/d", "/x"), path(S::unlink, "/x/f", 0), path(S::mkdir, "/x/f", 0)]),
        // What a symlink leads through is walked too.
        ("name", vec![call(1, S::symlink, 0, ["/l", "/d/e"], &[]), path(S::stat, "/l/a", 0), rename("/d", "/x")]),
        ("name", vec![call(1, S::symlink, 0, ["/l", "/d/e"], &[]), path(S::stat, "/l/a", 0), path(S::unlink, "/l", 0)]),
        ("", vec![call(1, S::symlink, 0, ["/l", "/d/e"], &[]), path(S::stat, "/d/e/a", 0), path(S::unlink, "/l", 0)]),
        // From a directory's descriptor nothing above it matters; but a working directory is entered by its path.
        ("", vec![open(3, "/d/e", 0), call(1, S::newfstatat, 0, ["a", ""], &[(Col::DirFd, 3)]), rename("/d", "/x")]),
        ("name", vec![path(S::chdir, "/d/e", 0), path(S::stat, "a", 0), rename("/d", "/x")]),
    ];
    for (expected, events) in cases {
        assert_eq!(between(&events), expected, "{events:#?}");
    }
}

#[test]
fn a_directory_is_empty_when_all_that_was_in_it_is_gone() {
    let full = -i64::from(libc::ENOTEMPTY);
    let inside = || vec![path(S::mkdir, "/d", 0), path(S::mkdir, "/d/a", 0)];
    let then = |mut events: Vec<Event>, more: [Event; 2]| {
        events.extend(more);
        between(&events)
    };
    assert_eq!(then(inside(), [path(S::rmdir, "/d/a", 0), path(S::rmdir, "/d", 0)]), "name entries");
    assert_eq!(then(inside(), [path(S::rmdir, "/d", full), path(S::rmdir, "/d/a", 0)]), "entries");
    let list = || on(S::getdents64, 3, 24, &[]);
    let listed = |event| [open(3, "/d", 0), list(), event];
    assert_eq!(between(&listed(path(S::mkdir, "/d/b", 0))), "entries");
    assert_eq!(between(&[open(3, "/d", 0), open(4, "/d", 0), list(), on(S::getdents64, 4, 24, &[])]), "");
}

#[test]
fn sizes_order_what_finds_the_end() {
    let (there, end) = (pread(3, 0, 100, 100), pread(3, 0, 200, 100));
    let after_open = |events: &[Event]| between(&[&[open(3, "/f", O_RDWR), open(6, "/f", O_RDWR)], events].concat());
    let write = |fd: i64| on(S::write, fd, 10, &[(Col::Count, 10)]);
    let append = |fd: i64| open(fd, "/f", O_APPEND | O_RDWR);
    let cases = [
        ("", vec![there.clone(), pread(6, 50, 50, 50)]),
        ("", vec![there.clone(), pwrite(6, 50, 50)]),
        ("", vec![there.clone(), there.clone(), pwrite(6, 50, 100)]),
        ("", vec![pwrite(3, 0, 100), pwrite(6, 100, 100)]),
        ("size", vec![there.clone(), pwrite(6, 50, 100), pread(3, 0, 150, 150)]),
        ("size", vec![pwrite(6, 0, 100), end.clone()]),
        ("data", vec![there.clone(), pwrite(6, 0, 10), ftruncate(3, 5)]),
        ("data", vec![there.clone(), ftruncate(6, 200), pread(3, 0, 200, 200)]),
        ("data size", vec![ftruncate(3, 5), ftruncate(6, 7)]),
        ("size", vec![append(7), append(8), write(7), write(8)]),
        ("size", vec![append(7), write(7), on(S::lseek, 3, 110, &[(Col::Offset, 0), (Col::Whence, 2)])]),
    ];
    for (expected, events) in cases {
        assert_eq!(after_open(&events), expected, "{events:#?}");
    }
}

#[test]
fn descriptors_positions_rights_and_locks_order_their_users() {
    let file = || open(3, "/f", O_RDWR);
    let flock = |fd, cmd| on(S::flock, fd, 0, &[(Col::Cmd, cmd)]);
    let cases = [
        ("ofd", vec![file(), pread(3, 0, 10, 10)]),
        ("ofd", vec![file(), pread(3, 0, 10, 10), on(S::close, 3, 0, &[])]),
        ("position", vec![file(), pread(3, 0, 99, 99), on(S::read, 3, 10, &[]), on(S::read, 3, 10, &[])]),
        ("", vec![file(), pread(3, 0, 10, 10), on(S::fsync, 3, 0, &[])]),
        ("attrs", vec![path(S::chmod, "/f", 0), path(S::access, "/f", 0)]),
        ("attrs", vec![file(), on(S::fchmod, 3, 0, &[(Col::Mode, 0)]), open(4, "/f", 0)]),
        ("name", vec![path(S::mkdir, "/d", 0), path(S::chmod, "/d", 0), path(S::mkdir, "/d/f", 0)]),
        ("lock", vec![file(), open(4, "/f", 0), flock(3, 2), flock(4, 2)]),
        ("", vec![file(), open(4, "/f", 0), flock(3, 1), flock(4, 1)]),
        ("lock", vec![file(), open(4, "/f", 0), flock(3, 2), on(S::close, 3, 0, &[]), flock(4, 2)]),
        ("name entries", vec![open(3, "/d/f", O_CREAT), path(S::unlink, "/d/f", 0), path(S::rmdir, "/d", 0)]),
    ];
    for (expected, events) in cases {
        let (expected, found) = (expected, between(&events));
        assert_eq!(found, expected, "{events:#?}");
    }
}

#[test]
fn a_child_begins_after_its_parent_and_ends_before_who_waited() {
    let by = |tid: i64, mut event: Event| {
        event.set(Col::Pid, tid);
        event.set(Col::Tid, tid);
        event
    };
    let mut wait = by(1, on(S::other, 0, 9, &[]));
    wait.other = Some("wait4".into());
    let events = [
        path(S::mkdir, "/a", 0),
        call(1, S::fork, 9, ["", ""], &[]),
        by(9, path(S::mkdir, "/b", 0)),
        by(9, path(S::mkdir, "/c", 0)),
        by(9, on(S::exit_group, 0, 0, &[])),
        wait,
        path(S::mkdir, "/d", 0),
    ];
    let mut model = Model::new(Config::default());
    let mut rows = Rows::default();
    events.iter().for_each(|event| model.step(event, &mut rows));
    let tasks = |row| {
        let tasks = rows.touched(row).iter().filter(|touch| touch.kind == Resource::Task);
        tasks.map(|touch| format!("{} {}", touch.access.name(), touch.id)).collect::<String>()
    };
    let tasks: Vec<_> = rows.list.iter().map(tasks).collect();
    assert_eq!(tasks, ["", "write 0", "read 0", "", "write 1", "", "read 1"]);
}
