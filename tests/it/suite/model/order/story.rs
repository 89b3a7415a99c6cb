//! Programs that entangle lanes on purpose: short stories, in which every call depends on the one before, told by many
//! threads at once over the same few names.

use crate::suite::model::LINKS;
use crate::suite::model::kernel::Kernel;
use ioriot::event::{AT_FDCWD, Col, Event, Text};
use ioriot::syscall::Syscall;
use libc::{O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY};
use proptest::prelude::*;
use std::path::Path;

/// A call of a story. Paths are relative to the working directory of the first process; `slot` is where a story keeps a
/// descriptor.
#[derive(Clone, Debug)]
enum What {
    Open(String, i32, usize),
    /// Relative to the descriptor of the last slot.
    OpenAt(String, i32, usize, usize),
    Fd(Syscall, usize, Vec<(Col, i64)>),
    Copy(usize, usize),
    Dup(usize, usize),
    Path(Syscall, String, Vec<(Col, i64)>),
    Paths(Syscall, String, String, i64),
    Fork,
}

/// Who does what.
#[derive(Clone, Debug)]
pub struct Line {
    process: usize,
    thread: i64,
    /// With the whole path?
    absolute: bool,
    /// Which story: slots are its own.
    story: usize,
    what: What,
}

/// Slots of one story.
const SLOTS: usize = 4;

fn path(syscall: Syscall, path: impl Into<String>) -> What {
    What::Path(syscall, path.into(), vec![])
}
fn mkdir(dir: &str) -> What {
    What::Path(Syscall::mkdir, dir.into(), vec![(Col::Mode, 0o755)])
}
fn truncate(file: &str, size: i64) -> What {
    What::Path(Syscall::truncate, file.into(), vec![(Col::Count, size)])
}
fn chmod(file: &str, mode: i64) -> What {
    What::Path(Syscall::chmod, file.into(), vec![(Col::Mode, mode)])
}
fn access(file: &str) -> What {
    What::Path(Syscall::access, file.into(), vec![(Col::Mode, 1)])
}
fn rename(from: impl Into<String>, to: impl Into<String>) -> What {
    What::Paths(Syscall::rename, from.into(), to.into(), 0)
}
fn exchange(from: impl Into<String>, to: impl Into<String>) -> What {
    What::Paths(Syscall::renameat2, from.into(), to.into(), 2)
}
fn link(from: &str, to: &str) -> What {
    What::Paths(Syscall::link, from.into(), to.into(), 0)
}
fn symlink(name: &str, target: &str) -> What {
    What::Paths(Syscall::symlink, name.into(), target.into(), 0)
}
fn open(file: impl Into<String>, flags: i32, slot: usize) -> What {
    What::Open(file.into(), flags, slot)
}
fn close(slot: usize) -> What {
    What::Fd(Syscall::close, slot, vec![])
}
fn read(slot: usize, count: i64) -> What {
    What::Fd(Syscall::read, slot, vec![(Col::Count, count)])
}
fn write(slot: usize, count: i64) -> What {
    What::Fd(Syscall::write, slot, vec![(Col::Count, count)])
}
fn pread(slot: usize, offset: i64, count: i64) -> What {
    What::Fd(Syscall::pread64, slot, vec![(Col::Offset, offset), (Col::Count, count)])
}
fn pwrite(slot: usize, offset: i64, count: i64) -> What {
    What::Fd(Syscall::pwrite64, slot, vec![(Col::Offset, offset), (Col::Count, count)])
}
fn lseek(slot: usize, offset: i64, whence: i64) -> What {
    What::Fd(Syscall::lseek, slot, vec![(Col::Offset, offset), (Col::Whence, whence)])
}
fn ftruncate(slot: usize, size: i64) -> What {
    What::Fd(Syscall::ftruncate, slot, vec![(Col::Count, size)])
}
fn fallocate(slot: usize, mode: i64, offset: i64, count: i64) -> What {
    What::Fd(Syscall::fallocate, slot, vec![(Col::Flags, mode), (Col::Offset, offset), (Col::Count, count)])
}
fn flock(slot: usize, cmd: i32) -> What {
    What::Fd(Syscall::flock, slot, vec![(Col::Cmd, i64::from(cmd))])
}
fn getdents(slot: usize) -> What {
    What::Fd(Syscall::getdents64, slot, vec![])
}
fn fchdir(slot: usize) -> What {
    What::Fd(Syscall::fchdir, slot, vec![])
}

/// The stories, over two directories, two files and a number.
fn story(which: u8, d: &str, e: &str, f: &str, g: &str, n: i64) -> Vec<What> {
    let at = |dir: &str, name: &str| format!("{dir}/{name}");
    match which {
        // A directory is filled, emptied and removed.
        0 => vec![
            mkdir(d),
            open(at(d, f), O_CREAT | O_WRONLY, 0),
            path(Syscall::rmdir, d),
            close(0),
            path(Syscall::unlink, at(d, f)),
            path(Syscall::rmdir, d),
            path(Syscall::stat, d),
        ],
        // A file moves with its directory.
        1 => vec![
            mkdir(d),
            open(at(d, f), O_CREAT | O_RDWR, 0),
            write(0, n),
            rename(d, e),
            path(Syscall::stat, at(d, f)),
            open(at(e, g), O_CREAT | O_WRONLY, 1),
            rename(at(e, f), at(e, g)),
            open(at(e, g), O_RDONLY, 2),
            read(2, n + 1),
            close(0),
            path(Syscall::unlink, at(e, g)),
            path(Syscall::rmdir, e),
        ],
        // Who is first?
        2 => vec![
            open(f, O_CREAT | O_EXCL | O_RDWR, 0),
            open(f, O_CREAT | O_EXCL | O_RDWR, 1),
            path(Syscall::unlink, f),
            open(f, O_CREAT | O_EXCL | O_RDWR, 2),
            write(0, n),
            read(2, n),
            path(Syscall::stat, f),
        ],
        // A log of two writers, and who reads it.
        3 => vec![
            open(f, O_CREAT | O_WRONLY | O_APPEND, 0),
            open(f, O_CREAT | O_RDWR | O_APPEND, 1),
            write(0, n),
            write(1, 10),
            lseek(1, 0, 1),
            open(f, O_RDONLY, 2),
            lseek(2, -5, 2),
            read(2, 100),
            write(0, n),
            read(2, 100),
            ftruncate(1, 7),
            write(0, 3),
            pread(2, 0, 400),
        ],
        // A file grows in pieces, while others read it.
        4 => vec![
            open(f, O_CREAT | O_RDWR, 0),
            open(f, O_RDWR, 1),
            pwrite(0, n, 50),
            pread(1, n, 50),
            pread(1, 0, 20),
            pwrite(1, n + 50, 50),
            pwrite(0, 10, 20),
            pread(0, n + 20, 100),
            fallocate(1, 0, n, 200),
            pread(0, n, 200),
            lseek(1, 0, 2),
            truncate(f, n),
            pwrite(0, 0, 10),
            pread(1, 0, n + 1),
            fallocate(1, 1, n, 100),
            lseek(0, 0, 2),
        ],
        // One position for many.
        5 => vec![
            open(f, O_CREAT | O_RDWR, 0),
            What::Dup(0, 1),
            write(0, n + 40),
            lseek(1, 5, 0),
            read(0, 10),
            What::Fork,
            read(1, 10),
            lseek(0, 0, 1),
            write(1, 3),
            close(0),
            read(1, 5),
            lseek(1, 0, 1),
        ],
        // Two names of one file.
        6 => vec![
            open(f, O_CREAT | O_RDWR, 0),
            link(f, g),
            path(Syscall::unlink, f),
            truncate(g, n),
            pread(0, 0, 300),
            link(g, f),
            rename(f, g),
            path(Syscall::unlink, g),
            path(Syscall::stat, f),
            write(0, 10),
            pread(0, 0, 300),
        ],
        // A symlink in the middle of a path leads elsewhere.
        7 => vec![
            mkdir(d),
            mkdir(e),
            symlink(f, d),
            open(at(f, "x"), O_CREAT | O_WRONLY, 0),
            write(0, n),
            path(Syscall::unlink, f),
            path(Syscall::stat, at(f, "x")),
            symlink(f, e),
            open(at(f, "x"), O_CREAT | O_EXCL | O_WRONLY, 1),
            rename(at(f, "x"), at(d, "x")),
            path(Syscall::readlink, f),
            path(Syscall::unlink, at(d, "x")),
            path(Syscall::unlink, f),
            path(Syscall::rmdir, d),
            path(Syscall::rmdir, e),
        ],
        // A working directory that moves and goes.
        8 => vec![
            mkdir(d),
            open(".", O_RDONLY | O_DIRECTORY, 0),
            path(Syscall::chdir, d),
            open(f, O_CREAT | O_WRONLY, 1),
            path(Syscall::unlink, f),
            path(Syscall::stat, at("..", d)),
            rename(at("..", d), at("..", e)),
            path(Syscall::stat, at("..", e)),
            path(Syscall::getcwd, ""),
            fchdir(0),
            path(Syscall::rmdir, e),
        ],
        // Renames onto directories.
        9 => vec![
            mkdir(d),
            mkdir(e),
            open(at(e, f), O_CREAT | O_WRONLY, 0),
            rename(d, e),
            path(Syscall::unlink, at(e, f)),
            rename(d, e),
            open(at(d, f), O_CREAT | O_WRONLY, 1),
            mkdir(d),
            open(at(d, f), O_CREAT | O_WRONLY, 1),
            exchange(d, e),
            path(Syscall::stat, at(e, f)),
            rename(e, at(e, "in")),
            rename(d, at(e, "in")),
            rename(e, at(e, "in/out")),
        ],
        // From a directory's descriptor.
        10 => vec![
            mkdir(d),
            open(d, O_RDONLY | O_DIRECTORY, 3),
            What::OpenAt(f.to_owned(), O_CREAT | O_WRONLY, 0, 3),
            rename(d, e),
            What::OpenAt(f.to_owned(), O_RDONLY, 1, 3),
            getdents(3),
            path(Syscall::unlink, at(e, f)),
            What::OpenAt(f.to_owned(), O_RDONLY, 2, 3),
            path(Syscall::rmdir, e),
            What::OpenAt(f.to_owned(), O_CREAT | O_WRONLY, 2, 3),
            lseek(3, 0, 0),
            getdents(3),
        ],
        // Bytes that are there, until they are cut off.
        11 => vec![
            open(f, O_CREAT | O_RDWR | O_TRUNC, 0),
            ftruncate(0, n),
            open(f, O_RDWR, 1),
            pwrite(1, 0, n),
            pread(0, 0, n),
            open(f, O_RDWR | O_TRUNC, 2),
            pread(1, 0, n),
            pwrite(0, 0, 5),
            What::Copy(1, 2),
            ftruncate(1, 3),
            What::Copy(0, 1),
            lseek(2, 0, 1),
        ],
        // Rights, and locks.
        12 => vec![
            open(f, O_CREAT | O_RDWR, 0),
            open(f, O_RDWR, 1),
            chmod(f, 0o644),
            access(f),
            chmod(f, 0o755),
            access(f),
            flock(0, libc::LOCK_EX),
            flock(1, libc::LOCK_EX),
            flock(0, libc::LOCK_UN),
            flock(1, libc::LOCK_SH),
            flock(0, libc::LOCK_SH),
            close(1),
            flock(0, libc::LOCK_EX),
        ],
        // Through names that move.
        _ => vec![
            mkdir(d),
            mkdir(&at(d, e)),
            rename(at(d, e), e),
            open(format!("{e}/../{f}"), O_CREAT | O_WRONLY, 0),
            rename(e, at(d, e)),
            open(format!("{d}/{e}/../{f}"), O_CREAT | O_EXCL | O_WRONLY, 1),
            path(Syscall::unlink, format!("{d}/{e}/../../{f}")),
            path(Syscall::unlink, at(d, f)),
            path(Syscall::rmdir, at(d, e)),
            path(Syscall::rmdir, d),
        ],
    }
}

fn stories() -> impl Strategy<Value = Vec<What>> {
    let dir = || prop_oneof![Just("d"), Just("e"), Just("x"), Just("x/y"), Just("d/z"), Just("l/z")];
    let file = || prop_oneof![Just("a"), Just("b"), Just("f"), Just("g")];
    (0..14u8, dir(), dir(), file(), file(), 1..120i64).prop_map(|(which, d, e, f, g, n)| story(which, d, e, f, g, n))
}

/// A few stories, their lines told in turns by any of the threads.
pub fn program() -> impl Strategy<Value = Vec<Line>> {
    let teller = (0..3usize, prop_oneof![3 => Just(0usize), 1 => 1..3usize], 0..5i64, any::<bool>(), 0..20u8);
    (proptest::collection::vec(stories(), 1..5), proptest::collection::vec(teller, 60)).prop_map(|(stories, tellers)| {
        let mut told = vec![0; stories.len()];
        let mut lines = Vec::new();
        for (turn, process, thread, absolute, skip) in tellers.into_iter().cycle().take(200) {
            let left: Vec<usize> = (0..stories.len()).filter(|story| told[*story] < stories[*story].len()).collect();
            let Some(story) = left.get((turn + lines.len()) % left.len().max(1)).copied() else { break };
            let what = stories[story][told[story]].clone();
            told[story] += 1;
            // Not every story comes as it was meant.
            if skip > 0 {
                lines.push(Line { process, thread, absolute, story, what });
            }
        }
        lines
    })
}

/// Really makes the calls, each by its thread; gives them with their outcomes.
pub fn tell(lines: &[Line], root: &Path) -> Vec<Event> {
    let mut kernel = Kernel::start(root);
    let mut slots: Vec<i64> = vec![77; SLOTS * lines.iter().map(|line| line.story + 1).max().unwrap_or(0)];
    let root = root.to_str().unwrap();
    let mut chdir = Event::new(Syscall::chdir);
    chdir.set_text(Text::Path, root);
    let mut made = vec![kernel.call(0, chdir).event];
    // The model cannot know of a symlink in the middle of a path that no call ever showed.
    for (link, _) in LINKS {
        let mut readlink = Event::new(Syscall::readlink);
        readlink.set_text(Text::Path, format!("{root}/{link}"));
        made.push(kernel.call(0, readlink).event);
    }
    for line in lines {
        let process = line.process % kernel.processes();
        let slot = |slot: usize| SLOTS * line.story + slot;
        let whole = |path: &str| if line.absolute { format!("{root}/{path}") } else { path.to_owned() };
        let mut fill = None;
        let event = match &line.what {
            What::Fork => {
                made.extend(kernel.fork(process).into_iter().map(|made| made.event));
                continue;
            }
            What::Open(path, flags, to) => {
                fill = Some(slot(*to));
                opens(&whole(path), *flags, AT_FDCWD)
            }
            What::OpenAt(path, flags, to, dir) => {
                fill = Some(slot(*to));
                opens(path, *flags, slots[slot(*dir)])
            }
            What::Fd(syscall, from, ints) => with(*syscall, &[(Col::Fd, slots[slot(*from)])], ints),
            What::Copy(from, to) => {
                let fds = [(Col::Fd, slots[slot(*from)]), (Col::Fd2, slots[slot(*to)]), (Col::Count, 30)];
                with(Syscall::copy_file_range, &fds, &[])
            }
            What::Dup(from, to) => {
                fill = Some(slot(*to));
                with(Syscall::dup, &[(Col::Fd, slots[slot(*from)])], &[])
            }
            What::Path(Syscall::getcwd, ..) => Event::new(Syscall::getcwd),
            What::Path(syscall, path, ints) => {
                let mut event = with(*syscall, &[], ints);
                event.set_text(Text::Path, whole(path));
                event
            }
            What::Paths(syscall, one, two, flags) => {
                let mut event = with(*syscall, &[(Col::Flags, *flags), (Col::DirFd, AT_FDCWD), (Col::DirFd2, AT_FDCWD)], &[]);
                event.set_text(Text::Path, whole(one));
                event.set_text(Text::Path2, if *syscall == Syscall::symlink { two.clone() } else { whole(two) });
                event
            }
        };
        let mut event = kernel.call(process, event).event;
        if let (Some(slot), Some(fd)) = (fill, event.success()) {
            slots[slot] = fd;
        }
        event.set(Col::Tid, event.int(Col::Pid).unwrap() + 1000 * line.thread);
        made.push(event);
    }
    kernel.finish();
    made
}

fn with(syscall: Syscall, some: &[(Col, i64)], more: &[(Col, i64)]) -> Event {
    let mut event = Event::new(syscall);
    some.iter().chain(more).for_each(|(col, value)| event.set(*col, *value));
    event
}

fn opens(path: &str, flags: i32, dirfd: i64) -> Event {
    let mut event = with(Syscall::openat, &[(Col::DirFd, dirfd), (Col::Flags, i64::from(flags)), (Col::Mode, 0o644)], &[]);
    event.set_text(Text::Path, path);
    event
}
