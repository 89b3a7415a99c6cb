//! Events that no kernel made: any call with any numbers. Whatever they say, the model says something of each, does not
//! panic (sums that do not fit do, in a test), and takes no more memory than the events do.

use super::walk::walk;
use crate::tool::cases;
use ioriot::event::{AT_FDCWD, Col, Event, HOLE, Text};
use ioriot::fate::Reason;
use ioriot::model::{Config, Model, Notes, Rows};
use ioriot::syscall::Syscall;
use proptest::prelude::*;
use proptest::sample::select;

const NUMBERS: &[i64] = &[
    i64::MIN,
    i64::MIN + 1,
    -(1 << 62),
    -4096,
    -100,
    -2,
    -1,
    0,
    1,
    2,
    3,
    9,
    4096,
    0o100_644,
    0o040_755,
    1 << 32,
    1 << 62,
    i64::MAX - 1,
    i64::MAX,
];
const TEXTS: &[&str] =
    &["", "/", ".", "..", "a", "/a", "/a/b", "a/../b/", "/a (deleted)", "socket:[1]", "pipe:[2]", "/proc/self/fd/3"];
const ERRNOS: &[i64] = &[0, 0, 0, 2, 9, 17, 20, 22, 28, 38, 512, i64::MAX];

fn event() -> impl Strategy<Value = Event> {
    let call = select(Syscall::ALL.to_vec());
    let numbers = proptest::collection::vec((select(Col::ALL), select(NUMBERS), 0..3u8), 0..14);
    let texts = proptest::collection::vec((select(Text::ALL), select(TEXTS)), 0..5);
    let who = (1..4i64, 1..4i64, 0..5i64, select(ERRNOS));
    (call, numbers, texts, who, any::<bool>()).prop_map(|(call, numbers, texts, (pid, tid, fd, errno), hole)| {
        let mut event = Event::new(call);
        if call == Syscall::other {
            event.other = Some(if hole { HOLE } else { "unheard_of" }.into());
        }
        // Descriptors that are open and flags that mean something are hit more often by small numbers.
        for (col, value) in [(Col::Fd, fd), (Col::Fd2, 3 - fd), (Col::Ret, fd), (Col::Errno, errno)] {
            event.set(col, value);
        }
        for (col, value, kind) in numbers {
            event.set(col, if kind == 0 { value } else { value.rem_euclid(4096) });
        }
        event.set(Col::Pid, pid);
        event.set(Col::Tid, tid);
        texts.iter().for_each(|(text, value)| event.set_text(*text, value));
        event
    })
}

proptest! {
    #![proptest_config(cases("IORIOT_MODEL_CASES", 400, 11))]

    #[test]
    fn whatever_events_say_the_model_answers(
        events in proptest::collection::vec(event(), 1..40), written in any::<bool>(), faults in any::<bool>()
    ) {
        let notes = if written { Notes::default() } else { Config::default().notes };
        walk(Config { notes, faults, ..Config::default() }, &events);
    }

    /// Mappings anywhere, of any length, cut by others, moved, inherited; and page faults on what they show.
    #[test]
    fn whatever_is_mapped_the_model_answers(events in proptest::collection::vec(on_memory(), 1..60)) {
        let mut open = named(Syscall::openat, &["/f"]);
        let facts = [(Col::Flags, 2), (Col::Ret, 3), (Col::StMode, 0o100_644), (Col::StSize, 1 << 20), (Col::Dev, 1), (Col::Ino, 7)];
        facts.iter().for_each(|(col, value)| open.set(*col, *value));
        let events: Vec<Event> = std::iter::once(open).chain(events).collect();
        walk(Config { faults: true, ..Config::default() }, &events);
    }
}

/// Calls on mapped memory, and page faults, of two processes.
fn on_memory() -> impl Strategy<Value = Event> {
    use Syscall::{clone, close, execve, exit_group, madvise, mmap, mmap_fault, mremap, msync, munmap};
    let call = select(vec![
        mmap, mmap, mmap, munmap, mremap, madvise, msync, mmap_fault, mmap_fault, mmap_fault, close, clone, execve, exit_group,
    ]);
    let number =
        || (select(NUMBERS), 0..2u8).prop_map(|(value, kind)| if kind == 0 { value } else { value.rem_euclid(5) * 4096 });
    (call, 1..3i64, number(), number(), number(), number(), 0..4i64).prop_map(|(call, pid, place, length, offset, to, mode)| {
        let mut event = Event::new(call);
        let ret = match call {
            mmap => place,
            mremap => to,
            clone => 2,
            _ => 0,
        };
        let numbers =
            [(Col::Ret, ret), (Col::Errno, 0), (Col::Fd, 3), (Col::Arg, place), (Col::Count, length), (Col::Offset, offset)];
        let more = [(Col::Mode, mode), (Col::Flags, 1), (Col::Cmd, mode), (Col::Dev, 1), (Col::Ino, 7), (Col::StMode, 0o100_644)];
        numbers.iter().chain(&more).for_each(|(col, value)| event.set(*col, *value));
        [Col::Pid, Col::Tid].iter().for_each(|col| event.set(*col, pid));
        event
    })
}

/// The kernel takes no longer one than PATH_MAX (path_resolution(7)); each directory of one is known by its path.
#[test]
fn a_path_longer_than_any_kernel_takes_is_not_walked() {
    for (depth, outcome, reason) in
        [(2_000, 0, None), (30_000, 0, Some(Reason::BadName)), (30_000, -i64::from(libc::ENAMETOOLONG), None)]
    {
        let mut event = Event::new(Syscall::stat);
        event.set_outcome(outcome);
        [Col::Pid, Col::Tid].iter().for_each(|col| event.set(*col, 1));
        event.set_text(Text::Path, "/d".repeat(depth));
        let (mut model, mut rows) = (Model::new(Config::default()), Rows::default());
        model.step(&event, &mut rows);
        assert_eq!(rows.list[0].step.reason, reason, "{depth} {outcome}");
        assert_eq!(model.finish(&mut rows).needs.len(), if outcome == 0 && reason.is_none() { depth } else { 0 });
    }
}

fn named(syscall: Syscall, paths: &[&str]) -> Event {
    let mut event = Event::new(syscall);
    for (col, value) in [(Col::Pid, 1), (Col::Tid, 1), (Col::DirFd, AT_FDCWD), (Col::DirFd2, AT_FDCWD)] {
        event.set(col, value);
    }
    event.set_outcome(0);
    [Text::Path, Text::Path2].into_iter().zip(paths).for_each(|(text, path)| event.set_text(text, *path));
    event
}

/// A file that is linked over itself was removed for it, and its number given to both a directory and the name in it.
#[test]
fn a_file_linked_over_itself_is_one_file() {
    let events = [
        named(Syscall::mkdir, &["/f"]),
        named(Syscall::link, &["/f", "/f"]),
        named(Syscall::unlink, &["/f"]),
        named(Syscall::unlink, &["/a/b/c"]),
        named(Syscall::unlink, &["/a/b/c"]),
    ];
    walk(Config::default(), &events);
}

/// What was linked before it turned out to be a directory has two names: neither may come to be below it.
#[test]
fn no_directory_is_below_itself_by_another_name() {
    let events = [
        named(Syscall::chmod, &["/u"]),
        named(Syscall::link, &["/u", "/e/v"]),
        named(Syscall::mkdir, &["/u/d"]),
        named(Syscall::rename, &["/e", "/u/e"]),
        named(Syscall::rmdir, &["/u"]),
        named(Syscall::stat, &["/u/d/e"]),
    ];
    walk(Config::default(), &events);
}
