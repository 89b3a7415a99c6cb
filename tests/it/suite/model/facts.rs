//! What a live capture observes with each call: identities, sizes, positions.

use super::{event, needs, open, words};
use ioriot::event::{Col, Event, HOLE, Text};
use ioriot::fate::{Origin, Reason};
use ioriot::model::{Config, Model, Rows};
use ioriot::syscall::Syscall;

/// An event of which the capture shows what file it was on.
fn seen(mut event: Event, ino: i64, size: i64) -> Event {
    let facts = [(Col::Dev, 8), (Col::Ino, ino), (Col::StMode, 0o100640), (Col::StSize, size), (Col::Dur, 5)];
    facts.iter().for_each(|(col, value)| event.set(*col, *value));
    event
}

/// Gives events times, one after the other.
fn timed(events: Vec<Event>) -> Vec<Event> {
    let at = |(event, ts): (Event, i64)| {
        let mut event = event;
        event.set(Col::Ts, ts);
        event
    };
    events.into_iter().zip((0..).step_by(100)).map(at).collect()
}

#[test]
fn two_names_with_one_identity_are_hard_links() {
    let write = event(Syscall::pwrite64, &[(Col::Fd, 4), (Col::Count, 10), (Col::Offset, 100)], &[], 10);
    let rdwr = i64::from(libc::O_RDWR);
    let (rows, end) = words(&timed(vec![seen(open("/b", rdwr, 3, ""), 77, 50), seen(open("/a", rdwr, 4, ""), 77, 50), write]));
    assert_eq!(rows, ["op", "op", "op", "end:close", "end:close"]);
    assert_eq!(needs(&end), ["file /a", "file /b"]);
    assert_eq!((end.needs[0].size, end.needs[0].size_exact, end.needs[0].mode), (50, true, Some(0o640)));
    assert_eq!((end.needs[0].target.as_deref(), end.needs[1].target.as_deref()), (None, Some(&b"/a"[..])));
    assert!(end.expects.iter().all(|expect| expect.size == Some(110)), "{:?}", end.expects);
}

/// stat follows symlinks, so two names that it finds one file by may be a file and a symlink to it.
#[test]
fn a_name_that_turns_out_to_be_a_symlink_is_no_hard_link() {
    let stat = |path: &str| seen(event(Syscall::stat, &[], &[(Text::Path, path)], 0), 77, 50);
    let mut lstat = seen(event(Syscall::lstat, &[], &[(Text::Path, "/link")], 0), 78, 4);
    lstat.set(Col::StMode, 0o120_777);
    let readlink = event(Syscall::readlink, &[(Col::Count, 100)], &[(Text::Path, "/link"), (Text::Path2, "file")], 4);
    let chmod = event(Syscall::chmod, &[(Col::Mode, 0o600)], &[(Text::Path, "/link")], 0);
    for shown in [lstat, readlink] {
        for names in [["/file", "/link"], ["/link", "/file"]] {
            let content = if shown.syscall == Syscall::lstat { "/file" } else { "file" };
            let events = vec![stat(names[0]), stat(names[1]), shown.clone(), stat("/link"), chmod.clone()];
            let (rows, end) = words(&timed(events));
            assert_eq!(rows, ["op"; 5], "{names:?}");
            assert_eq!(needs(&end), ["file /file", "link /link"]);
            assert_eq!((end.needs[0].size, end.needs[1].target.as_deref()), (50, Some(content.as_bytes())));
        }
    }
}

#[test]
fn a_name_with_another_identity_was_made_again_outside() {
    let close = event(Syscall::close, &[(Col::Fd, 3)], &[], 0);
    let events = vec![seen(open("/a", 0, 3, ""), 77, 50), close, seen(open("/a", 0, 3, ""), 78, 60)];
    let (rows, end) = words(&timed(events.clone()));
    assert_eq!(rows, ["op", "op", "external:unlink", "external:mknod", "external:truncate", "op", "end:close"]);
    assert_eq!(end.needs[0].size, 50);
    assert_eq!(end.expects[0].size, Some(60));
    // Where nobody saw identities it is one file that has grown.
    let blind = |mut event: Event| {
        event.put(Col::Ino, None);
        event
    };
    let (rows, _) = words(&timed(events.into_iter().map(blind).collect()));
    assert_eq!(rows, ["op", "op", "external:truncate", "op", "end:close"]);
}

/// The kernel uses the number of a removed file at once.
#[test]
fn an_identity_ends_with_the_last_name_and_the_last_close() {
    let (rdwr, creat) = (i64::from(libc::O_RDWR), i64::from(libc::O_RDWR | libc::O_CREAT | libc::O_EXCL));
    let unlink = event(Syscall::unlink, &[], &[(Text::Path, "/a")], 0);
    let close = event(Syscall::close, &[(Col::Fd, 3)], &[], 0);
    let events = vec![seen(open("/a", rdwr, 3, ""), 77, 50), unlink, close, seen(open("/b", creat, 3, ""), 77, 0)];
    let (rows, end) = words(&timed(events));
    assert_eq!(rows, ["op", "op", "op", "op", "end:close"]);
    assert!(end.needs.iter().all(|need| need.target.is_none()));
    // One that was removed where nobody looked.
    let (rows, _) = words(&timed(vec![
        seen(open("/a", rdwr, 3, ""), 77, 50),
        event(Syscall::close, &[(Col::Fd, 3)], &[], 0),
        seen(open("/b", creat, 3, ""), 77, 0),
    ]));
    assert_eq!(rows, ["op", "op", "external:unlink", "op", "end:close"]);
}

#[test]
fn a_position_that_was_seen_corrects_what_followed_from_the_calls() {
    let at = |mut event: Event, pos: i64| {
        event.set(Col::Pos, pos);
        seen(event, 77, 1000)
    };
    let read = |pos| at(event(Syscall::read, &[(Col::Fd, 3), (Col::Count, 10)], &[], 10), pos);
    let offsets = |events: Vec<Event>| {
        let (mut model, mut rows) = (Model::new(Config::default()), Rows::default());
        timed(events).iter().for_each(|event| model.step(event, &mut rows));
        let evidence = model.finish(&mut Rows::default()).evidence;
        let rows = rows.list.iter().map(|row| (row.step.origin, row.step.offset)).collect::<Vec<_>>();
        (rows, evidence)
    };
    // Between the first read and the second somebody moved it, and the second shows where it came to.
    let (rows, evidence) = offsets(vec![at(open("/a", 0, 3, ""), 0), read(10), read(110), read(120)]);
    let expected = [
        (Origin::Event, None),
        (Origin::Event, Some(0)),
        (Origin::Event, Some(10)),
        (Origin::External, Some(110)),
        (Origin::Event, Some(110)),
    ];
    assert_eq!(rows, expected);
    let counted = |what| evidence.iter().find(|(name, _)| *name == what).map(|(_, found)| (found.answers, found.observed));
    assert_eq!((counted("positions"), counted("identities"), counted("sizes")), (Some((3, 2)), Some((1, 1)), Some((1, 1))));

    // A call that overlaps another one may have seen what that one did: then what follows from the calls stands.
    let mut slow = read(20);
    slow.set(Col::Dur, 150);
    let (rows, _) = offsets(vec![at(open("/a", 0, 3, ""), 0), slow, read(20), read(30)]);
    assert_eq!(rows.iter().map(|row| row.1).collect::<Vec<_>>(), [None, Some(0), Some(10), Some(20)]);

    // After a hole nobody knows where it is, but what the next call shows.
    let mut hole = Event::new(Syscall::other);
    hole.other = Some(HOLE.into());
    let (rows, _) = offsets(vec![at(open("/a", 0, 3, ""), 0), read(10), hole, read(510)]);
    assert_eq!(rows[3..], [(Origin::External, Some(500)), (Origin::Event, Some(500))]);
}

/// Nobody opened them as far as calls tell: they came in messages (SCM_RIGHTS, unix(7)).
#[test]
fn received_descriptors_are_what_was_seen_of_them() {
    let read = |fd: i64| event(Syscall::read, &[(Col::Fd, fd), (Col::Count, 10)], &[], 10);
    let of_kind = |mode: i64| {
        let mut event = read(9);
        event.set(Col::StMode, mode);
        event
    };
    let outcomes = |events: Vec<Event>| {
        let (mut model, mut rows) = (Model::new(Config::default()), Rows::default());
        timed(events).iter().for_each(|event| model.step(event, &mut rows));
        rows.list.iter().map(|row| (row.step.origin, row.step.reason, row.step.path.clone())).collect::<Vec<_>>()
    };
    let kinds = [
        (libc::S_IFSOCK, Reason::Socket),
        (libc::S_IFIFO, Reason::Pipe),
        (libc::S_IFCHR, Reason::Device),
        (0, Reason::Anon),
        // A file of which nobody saw a name.
        (libc::S_IFREG, Reason::UnknownFd),
    ];
    for (kind, reason) in kinds {
        let close = event(Syscall::close, &[(Col::Fd, 9)], &[], 0);
        let found = outcomes(vec![of_kind(i64::from(kind) | 0o600), read(9), close]);
        assert!(found.iter().all(|(_, given, _)| *given == Some(reason)), "{reason:?}: {found:?}");
    }
    // What another descriptor is open on has a name, by which it is opened again.
    let found = outcomes(vec![seen(open("/a", 0, 3, ""), 77, 50), seen(read(9), 77, 50), read(9)]);
    let expected = [(Origin::Event, None), (Origin::Initial, None), (Origin::Event, None), (Origin::Event, None)];
    assert_eq!(found.iter().map(|(origin, reason, _)| (*origin, *reason)).collect::<Vec<_>>(), expected);
    assert_eq!(found[1].2.as_deref(), Some(&b"/a"[..]));
    // Not any more when it has none.
    let unlink = event(Syscall::unlink, &[], &[(Text::Path, "/a")], 0);
    let found = outcomes(vec![seen(open("/a", 0, 3, ""), 77, 50), unlink, seen(read(9), 77, 50)]);
    assert_eq!(found.last().unwrap().1, Some(Reason::UnknownFd));
}

/// Of an access control list only the length is captured; one of three entries says what the mode says, which is seen.
#[test]
fn a_short_access_control_list_says_what_the_mode_says() {
    let set = |name: &str, count: i64, mode: Option<i64>| {
        let mut set = event(Syscall::fsetxattr, &[(Col::Fd, 3), (Col::Count, count), (Col::Flags, 0)], &[(Text::Name, name)], 0);
        set.put(Col::StMode, mode);
        set
    };
    let issued = |set: Event| {
        let (mut model, mut rows) = (Model::new(Config::default()), Rows::default());
        [open("/a", 0, 3, ""), set].iter().for_each(|event| model.step(event, &mut rows));
        rows.list.last().unwrap().args.as_ref().and_then(|event| event.int(Col::Mode))
    };
    let list = "system.posix_acl_access";
    assert_eq!(issued(set(list, 28, Some(0o100_750))), Some(0o750));
    assert_eq!(issued(set(list, 28, None)), Some(0o644), "what files usually have");
    assert_eq!(issued(set(list, 44, Some(0o100_750))), None);
    assert_eq!(issued(set("user.a", 28, Some(0o100_750))), None);
}
