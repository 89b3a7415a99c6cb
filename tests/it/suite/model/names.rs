//! Names that no file can have.

use super::{event, open, words};
use ioriot::event::{Col, Event, Text};
use ioriot::model::End;
use ioriot::syscall::Syscall;

fn stat(path: &str, outcome: i64) -> Event {
    event(Syscall::stat, &[], &[(Text::Path, path)], outcome)
}

/// Can init make everything that is needed?
fn can_be_made(end: &End) {
    for need in &end.needs {
        let longest = need.path.split(|byte| *byte == b'/').map(<[u8]>::len).max();
        assert!(longest <= Some(255) && need.path.len() < 4096 && !need.path.contains(&0), "{:?}", need.path.escape_ascii());
        assert!(need.target.as_ref().is_none_or(|target| (1..4096).contains(&target.len()) && !target.contains(&0)));
    }
}

#[test]
fn a_name_that_no_file_can_have_costs_its_own_calls_and_no_other() {
    let long = "n".repeat(256);
    for name in ["/us\0r/x", &format!("/a/{long}"), &format!("/a/{long}/b"), &"/d".repeat(2048)] {
        let on_it = [(Syscall::read, 10), (Syscall::close, 0)]
            .map(|(call, ret)| event(call, &[(Col::Fd, 3), (Col::Count, 10)], &[], ret));
        let [read, close] = on_it;
        let (rows, end) = words(&[open(name, 0, 3, ""), read, close, stat("/ok", 0)]);
        assert_eq!(rows, ["bad_name", "bad_name", "bad_name", "op"], "{name:?}");
        assert!(end.needs.iter().any(|need| *need.path == *b"/ok"));
        can_be_made(&end);
    }
    // Also when a descriptor is said to be on it.
    let read = event(Syscall::read, &[(Col::Fd, 3), (Col::Count, 10)], &[(Text::FdPath, "/us\0r/x")], 10);
    let (rows, end) = words(&[read, stat("/ok", 0)]);
    assert_eq!(rows, ["unknown_fd", "op"]);
    can_be_made(&end);
}

#[test]
fn what_was_seen_of_a_name_belongs_to_the_file_when_the_name_is_a_symlink() {
    let seen = [(Col::StMode, 0o100640), (Col::StSize, 7), (Col::Uid, 1000), (Col::Gid, 100), (Col::Mtime, 5)];
    let through = event(Syscall::stat, &seen, &[(Text::Path, "/a")], 0);
    let readlink = event(Syscall::readlink, &[(Col::Count, 100)], &[(Text::Path, "/a"), (Text::Path2, "b")], 1);
    let (_, end) = words(&[through, readlink]);
    let need = |path: &str| end.needs.iter().find(|need| *need.path == *path.as_bytes()).unwrap();
    let (link, file) = (need("/a"), need("/b"));
    assert_eq!((link.target.as_deref(), link.uid, link.mtime), (Some(&b"b"[..]), None, None));
    assert_eq!((file.mode, file.uid, file.gid, file.mtime), (Some(0o640), Some(1000), Some(100), Some(5)));
}

#[test]
fn what_the_kernel_called_too_long_is_issued_again() {
    let too_long = -i64::from(libc::ENAMETOOLONG);
    let (name, path) = (format!("/a/{}", "n".repeat(256)), "/d".repeat(2048));
    let link = |content: &str, outcome| event(Syscall::symlink, &[], &[(Text::Path, "/l"), (Text::Path2, content)], outcome);
    let events = [stat(&name, too_long), stat(&path, too_long), link(&path, too_long), link(&path, 0), link("a\0b", 0)];
    let (rows, end) = words(&events);
    assert_eq!(rows, ["op", "op", "op", "bad_name", "bad_name"]);
    can_be_made(&end);
    // But by another answer no kernel has looked for it, and where a NUL is nobody knows what was meant.
    let (rows, end) = words(&[stat("/a/x", 0), stat(&name, -i64::from(libc::ENOENT)), stat("/a\0b", too_long)]);
    assert_eq!(rows, ["op", "bad_name", "bad_name"]);
    can_be_made(&end);
}

#[test]
fn what_is_made_up_for_a_symlink_is_not_too_long_either() {
    let name = format!("/{}", "n".repeat(255));
    let readlink = |ret| event(Syscall::readlink, &[(Col::Count, 4096)], &[(Text::Path, &name)], ret);
    for ret in [5, 1 << 40] {
        let (rows, end) = words(&[readlink(ret), open(&format!("{name}/file"), 0, 3, "")]);
        assert_eq!(rows, ["op", "op", "end:close"]);
        can_be_made(&end);
    }
    for ret in [0, 4096, 1 << 40] {
        can_be_made(&words(&[readlink(ret)]).1);
    }
}
