//! Derives from the roles in the syscall table what the kernel side reads of each call.
//!
//! The eBPF programs have no code for single calls: for each call number a [`Row`] says which argument is a path, which is a
//! descriptor, and what lies behind a pointer. To capture a new call, add a row to the syscall table.

use super::compat;
use crate::capture::kernel::row::{Behind, NONE, NUMBERS, ROWS, Row, flag};
use crate::syscall::number::Abi;
use crate::syscall::{Moves, Op, Ret, Role, Syscall};

impl Row {
    /// The row of a captured call for 64-bit programs, from the roles of its arguments.
    pub fn of(syscall: Syscall) -> Row {
        let def = syscall.def();
        let mut row = Row { flags: flag::WATCHED, ..Row::UNWATCHED };
        let mut strings = row.strings.iter_mut();
        for (place, role) in (0..).zip(def.args) {
            let mut behind = |what, size, flags| {
                (row.pointer, row.behind, row.size) = (place, what, size);
                row.flags |= flags;
            };
            match role {
                Role::Path | Role::Path2 | Role::Target | Role::Name => {
                    if let Some(slot) = strings.next() {
                        *slot = place;
                    }
                }
                Role::Fd if !matches!(def.op(), Some(Op::Close | Op::CloseRange)) => row.fd = place,
                Role::Iov => behind(Behind::Vectors, size::VECTOR, 0),
                Role::Link => behind(Behind::Returned, 0, flag::IF_DONE),
                Role::OffsetPtr => behind(Behind::Two, 0, 0),
                Role::Offset2Ptr => row.second = place,
                Role::How => behind(Behind::Fixed, size::HOW, 0),
                Role::Arg if def.op() == Some(Op::Fcntl) => behind(Behind::Lock, size::LOCK, 0),
                Role::CloneArgs => behind(Behind::Fixed, size::CLONE_ARGS, 0),
                Role::Times => behind(Behind::Fixed, if syscall == Syscall::utime { size::UTIMBUF } else { size::TIMES }, 0),
                Role::Stat => behind(Behind::Fixed, size::STAT, flag::IF_DONE),
                Role::Statx => behind(Behind::Fixed, size::STATX, flag::IF_DONE),
                _ => {}
            }
        }
        // The call writes two new descriptors to memory.
        if let Some(place) = pair(syscall) {
            (row.pointer, row.behind, row.size) = (place, Behind::Fixed, size::PAIR);
            row.flags |= flag::IF_DONE;
        }
        match syscall {
            Syscall::io_submit => (row.pointer, row.behind) = (2, Behind::Requests),
            Syscall::io_getevents => (row.pointer, row.behind, row.size) = (3, Behind::Returned, size::COMPLETION),
            _ => {}
        }
        if matches!(syscall, Syscall::io_submit | Syscall::io_getevents) {
            row.flags |= flag::IF_DONE;
        }
        if def.ret == Ret::NewFd {
            row.flags |= flag::MAKES_FD;
        }
        if matches!(def.op(), Some(Op::Open | Op::Openat | Op::Openat2 | Op::Creat)) {
            row.flags |= flag::WHERE;
        }
        if matches!(def.op(), Some(Op::Exec | Op::Exit | Op::ExitGroup)) {
            row.flags |= flag::AT_ENTRY;
        }
        row.flags |= match (syscall, def.moves()) {
            (Syscall::splice | Syscall::tee | Syscall::vmsplice | Syscall::sendfile | Syscall::sendfile64, _) => {
                flag::ALWAYS_WAITS
            }
            (Syscall::accept | Syscall::accept4 | Syscall::other, _) => flag::ALWAYS_WAITS,
            // They wait for the holder of the lock.
            (Syscall::flock | Syscall::fcntl | Syscall::fcntl64, _) => flag::ALWAYS_WAITS,
            (Syscall::io_uring_enter, _) => flag::WAITS,
            (_, Moves::Nothing) => 0,
            _ => flag::WAITS,
        };
        if row.strings[0] != NONE || row.behind != Behind::Nothing {
            row.flags |= flag::VARIABLE;
        }
        row
    }
}

/// Sizes of the structures that are read behind pointers: bytes, or binary logarithms where said.
pub mod size {
    /// Bytes of `struct open_how` (openat2(2)): flags, mode, resolve.
    pub const HOW: u8 = 24;
    /// Bytes of `struct flock` up to and with the length (fcntl(2)).
    pub const LOCK: u8 = 24;
    /// Bytes of the flags, the first field of `struct clone_args` (clone3(2)).
    pub const CLONE_ARGS: u8 = 8;
    /// Bytes of two `struct timespec` or `struct timeval`.
    pub const TIMES: u8 = 32;
    /// Bytes of `struct utimbuf` (utime(2)).
    pub const UTIMBUF: u8 = 16;
    /// Bytes of `struct stat` up to and with the modification time (stat(2)).
    pub const STAT: u8 = 104;
    /// Bytes of `struct statx` up to and with the device numbers (statx(2)).
    pub const STATX: u8 = 144;
    /// Bytes of two descriptors (pipe(2), socketpair(2)).
    pub const PAIR: u8 = 8;
    /// Binary logarithm of the bytes of `struct iovec`.
    pub const VECTOR: u8 = 4;
    /// Binary logarithm of the bytes of `struct io_event` (io_getevents(2)).
    pub const COMPLETION: u8 = 5;
}

/// Position of the argument that points to the two descriptors that the call made; `None` for calls that do not make two.
pub fn pair(syscall: Syscall) -> Option<u8> {
    match syscall {
        Syscall::pipe | Syscall::pipe2 => Some(0),
        Syscall::socketpair => Some(3),
        _ => None,
    }
}

/// Calls that are captured although the syscall table has no row for them, since they show in which order processes acted:
/// their events are `other` with this name.
pub const OTHERS: [&str; 1] = ["wait4"];

/// The captured calls by number: what the decoder takes them for, and their rows for the kernel side.
pub struct Calls {
    by_number: [Option<(Syscall, Option<&'static str>)>; ROWS],
    /// One row for each call number (64-bit calls, then 32-bit calls), for map `calls`.
    pub rows: Vec<Row>,
}

impl Calls {
    /// The calls of this architecture, and of its 32-bit programs, for which `wanted` is true.
    pub fn new(wanted: impl Fn(Syscall) -> bool) -> Calls {
        let mut calls = Calls { by_number: [None; ROWS], rows: vec![Row::UNWATCHED; ROWS] };
        let mut add = |number: usize, call: (Syscall, Option<&'static str>), row: Row| {
            if let (Some(slot), Some(own)) = (calls.by_number.get_mut(number), calls.rows.get_mut(number)) {
                (*slot, *own) = (Some(call), row);
            }
        };
        for syscall in Syscall::ALL.iter().copied().filter(|syscall| wanted(*syscall)) {
            let Some(number) = syscall.number(Abi::NATIVE) else { continue };
            add(usize::from(number), (syscall, None), Row::of(syscall));
        }
        for name in OTHERS.iter().filter(|_| wanted(Syscall::other)) {
            let Some(number) = Abi::NATIVE.number(name) else { continue };
            add(usize::from(number), (Syscall::other, Some(*name)), Row::of(Syscall::other));
        }
        for (number, syscall, other) in compat::calls().filter(|(_, syscall, _)| wanted(*syscall)) {
            add(NUMBERS + usize::from(number), (syscall, other), compat::row(number, syscall));
        }
        calls
    }

    /// The numbers of 64-bit calls that are captured.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        (0..).zip(&self.by_number[..NUMBERS]).filter(|(_, call)| call.is_some()).map(|(number, _)| number)
    }

    /// The call with this row number, and its name if the syscall table has no row for it; `None` when it is not captured.
    pub fn get(&self, number: usize) -> Option<(Syscall, Option<&'static str>)> {
        self.by_number.get(number).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_from_the_roles() {
        let read = Row::of(Syscall::read);
        assert_eq!((read.flags, read.fd), (flag::WATCHED | flag::WAITS, 0));
        let rename = Row::of(Syscall::renameat2);
        assert_eq!(rename.strings, [1, 3]);
        let copy = Row::of(Syscall::copy_file_range);
        assert_eq!((copy.fd, copy.behind, copy.pointer, copy.second), (0, Behind::Two, 1, 3));
        let send = Row::of(Syscall::sendfile);
        assert_eq!((send.fd, send.behind, send.pointer, send.second), (1, Behind::Two, 2, NONE));
        let open = Row::of(Syscall::openat2);
        assert_eq!((open.strings[0], open.size), (1, size::HOW));
        assert!(open.flags & flag::MAKES_FD != 0 && open.flags & flag::WHERE != 0);
        assert_eq!(Row::of(Syscall::pipe2).size, size::PAIR);
    }

    /// Nothing that a role says lies in memory is forgotten.
    #[test]
    fn what_lies_behind_pointers_is_read() {
        for syscall in Syscall::ALL {
            let row = Row::of(*syscall);
            for role in syscall.def().args {
                match role {
                    Role::Iov | Role::Link | Role::OffsetPtr | Role::How | Role::Stat | Role::Statx | Role::Times => {
                        assert_ne!(row.behind, Behind::Nothing, "{}", syscall.name());
                    }
                    Role::Path | Role::Path2 | Role::Target | Role::Name => {
                        assert_ne!(row.strings[0], NONE, "{}", syscall.name());
                    }
                    _ => {}
                }
            }
        }
    }
}
