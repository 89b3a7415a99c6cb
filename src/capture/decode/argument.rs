//! Decodes arguments that are no strings: numbers in registers, and structures that pointers lead to.

use crate::capture::kernel::record::{Record, at};
use crate::capture::target::snapshot::device_of;
use crate::event::{self, Col, Event, TIME_NOW, TIME_OMIT, Text};
use crate::syscall::fcntl::command;
use crate::syscall::flag::FICLONE;
use crate::syscall::lock::Lock;
use crate::syscall::{Op, Role, Syscall};

/// Sets the columns of an event for an argument of this role; `done`: the call succeeded, so that its results are valid.
pub(super) fn argument(event: &mut Event, role: Role, arg: u64, record: &Record<'_>, done: bool) {
    let int = i64::from(arg as u32 as i32);
    let unsigned = i64::from(arg as u32);
    let behind = record.behind();
    match role {
        Role::Fd | Role::Fd2 | Role::DirFd | Role::DirFd2 | Role::Process => set(event, role, int),
        Role::Count | Role::Offset | Role::Start => set(event, role, arg as i64),
        Role::IovCnt
        | Role::OpenFlags
        | Role::AtFlags
        | Role::Flags
        | Role::CloneFlags
        | Role::Whence
        | Role::Cmd
        | Role::Advice => {
            set(event, role, unsigned);
        }
        Role::Mode | Role::Access | Role::Prot => set(event, role, unsigned),
        // (u32)-1 leaves an owner as it is (chown(2)): column value -1.
        Role::Uid | Role::Gid => set(event, role, if unsigned == i64::from(u32::MAX) { -1 } else { unsigned }),
        Role::Arg if Lock::asked(event).is_some() => {
            lock(event, short(behind, 0), short(behind, 2), word(behind, 8).zip(word(behind, 16)));
        }
        Role::Arg => match (event.syscall.op(), event.int(Col::Cmd)) {
            (Some(Op::Ioctl), Some(FICLONE)) => set(event, role, int),
            (Some(Op::Fcntl), Some(cmd)) if command(cmd).is_some_and(|command| command.takes.number()) => set(event, role, int),
            _ => {}
        },
        Role::Iov if behind.len() as u64 == record.arg(2).saturating_mul(16) => {
            let lengths = behind.chunks_exact(16).map(|vector| word(vector, 8).unwrap_or(0));
            event.set(Col::Count, lengths.fold(0, i64::saturating_add));
        }
        Role::Link if done && !behind.is_empty() => event.set_text(Text::Path2, behind),
        Role::OffsetPtr | Role::Offset2Ptr => {
            // Read after the call: the kernel has advanced it by the bytes that it transferred.
            let at = if role == Role::OffsetPtr { 0 } else { 8 };
            if arg != 0
                && let (Some(value), Some(col)) = (word(behind, at), role.col())
            {
                event.set(col, value - record.i64(at::RET).max(0));
            }
        }
        Role::How => {
            for (col, at) in [(Col::Flags, 0), (Col::Mode, 8), (Col::Resolve, 16)] {
                event.put(col, word(behind, at));
            }
        }
        Role::CloneArgs => event.put(Col::Flags, word(behind, 0)),
        Role::Times => times(event, arg, behind),
        Role::Stat if done => {
            // x86_64 has the number of links before the mode, other architectures behind it.
            let mode = if cfg!(target_arch = "x86_64") { 24 } else { 16 };
            let owner = if cfg!(target_arch = "x86_64") { 28 } else { 24 };
            event.put(Col::Dev, word(behind, 0));
            event.put(Col::Ino, word(behind, 8));
            event.put(Col::StMode, half(behind, mode));
            event.put(Col::Uid, half(behind, owner));
            event.put(Col::Gid, half(behind, owner + 4));
            event.put(Col::StSize, word(behind, 48));
            event.put(Col::Mtime, word(behind, 88).zip(word(behind, 96)).map(nanos));
        }
        Role::Statx if done => {
            let parts = half(behind, 136).zip(half(behind, 140));
            event.put(Col::Dev, parts.map(|(major, minor)| device_of(major as u32, minor as u32)));
            event.put(Col::Ino, word(behind, 32));
            event.put(Col::StMode, half(behind, 28).map(|mode| mode & 0xffff));
            event.put(Col::StSize, word(behind, 40));
            let mask = half(behind, 0).unwrap_or(0) as u32;
            if mask & (libc::STATX_UID | libc::STATX_GID) == libc::STATX_UID | libc::STATX_GID {
                event.put(Col::Uid, half(behind, 20));
                event.put(Col::Gid, half(behind, 24));
            }
            if mask & libc::STATX_MTIME != 0 {
                event.put(Col::Mtime, word(behind, 112).zip(half(behind, 120)).map(nanos));
            }
        }
        _ => {}
    }
}

fn set(event: &mut Event, role: Role, value: i64) {
    if let Some(col) = role.col() {
        event.set(col, value);
    }
}

fn word(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at..at + 8)?.first_chunk().map(|bytes| i64::from_ne_bytes(*bytes))
}

/// A signed 2-byte number at an offset; `None` when the bytes end before it.
pub(super) fn short(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at..at + 2)?.first_chunk().map(|bytes| i64::from(i16::from_ne_bytes(*bytes)))
}

fn half(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at..at + 4)?.first_chunk().map(|bytes| i64::from(u32::from_ne_bytes(*bytes)))
}

/// Sets the columns of a record lock (fcntl(2)): kind, whence, and range (start, length). For F_GETLK these are the answer.
pub(super) fn lock(event: &mut Event, kind: Option<i64>, whence: Option<i64>, range: Option<(i64, i64)>) {
    for (col, value) in [
        (Col::Mode, kind),
        (Col::Whence, whence),
        (Col::Offset, range.map(|(start, _)| start)),
        (Col::Count, range.map(|(_, length)| length)),
    ] {
        event.put(col, value);
    }
}

/// A time of seconds and nanoseconds, in ns.
pub(super) fn nanos((seconds, part): (i64, i64)) -> i64 {
    event::nanos(seconds, part)
}

/// Sets access and modification time of utimensat, utimes, futimesat and utime, ns since 1970; a null pointer means now.
fn times(event: &mut Event, arg: u64, behind: &[u8]) {
    if arg == 0 {
        event.set(Col::Atime, TIME_NOW);
        event.set(Col::Mtime, TIME_NOW);
        return;
    }
    for (which, col) in [Col::Atime, Col::Mtime].into_iter().enumerate() {
        let time = match event.syscall {
            Syscall::utime => word(behind, 8 * which).map(|seconds| event::nanos(seconds, 0)),
            _ => word(behind, 16 * which).zip(word(behind, 16 * which + 8)).map(|(seconds, part)| match (event.syscall, part) {
                (Syscall::utimensat, libc::UTIME_NOW) => TIME_NOW,
                (Syscall::utimensat, libc::UTIME_OMIT) => TIME_OMIT,
                (Syscall::utimensat, part) => event::nanos(seconds, part),
                (_, micros) => event::nanos(seconds, micros.saturating_mul(1000)),
            }),
        };
        event.put(col, time);
    }
}
