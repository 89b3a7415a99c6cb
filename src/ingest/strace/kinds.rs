//! Which kinds of symbolic constants an argument may consist of.

use super::names::Kind::{self, *};
use crate::event::{Col, Event};
use crate::syscall::fcntl::{Takes, command};
use crate::syscall::{Op, Role, Syscall};

/// Kinds of names in an argument for a descriptor or a starting directory (AT_FDCWD).
pub const DIR: &[Kind] = &[Dir];
/// Kinds of names in the flags of clone(2), which include the signal that the child ends with.
pub const CLONE: &[Kind] = &[Clone, Signal];
/// Kinds of names in arguments of fcntl(2) commands, and of other calls with a command, that no replay needs.
const OTHER: &[Kind] = &[Null, Signal, Hint];

/// The kinds of names that the argument of this role may have, once the arguments before it have been read; none for a plain
/// number.
pub fn of(event: &Event, role: Role) -> &'static [Kind] {
    match role {
        Role::Fd | Role::Fd2 | Role::DirFd | Role::DirFd2 => DIR,
        Role::Whence => &[Seek],
        Role::OpenFlags => &[Open],
        Role::AtFlags => &[At],
        Role::Mode => &[Mode],
        Role::Access => &[Access],
        Role::Prot => &[Prot],
        Role::CloneFlags => CLONE,
        Role::Flags => flags(event.syscall),
        Role::Cmd => match event.syscall.op() {
            Some(Op::Fcntl) => &[Fcntl],
            Some(Op::Flock) => &[Flock],
            _ => &[Ioctl],
        },
        Role::Arg => match event.int(Col::Cmd).filter(|_| event.syscall.op() == Some(Op::Fcntl)).and_then(command) {
            Some(command) => match command.takes {
                Takes::Least | Takes::Capacity => &[],
                Takes::DescriptorFlags => &[FdFlag],
                Takes::StatusFlags => &[Open],
                Takes::Lease => &[Lock],
                Takes::Events => &[Notify],
                Takes::Seals => &[Seal],
                Takes::Nothing | Takes::RecordLock | Takes::Other => OTHER,
            },
            None => OTHER,
        },
        _ => &[],
    }
}

fn flags(syscall: Syscall) -> &'static [Kind] {
    if syscall == Syscall::eventfd2 {
        return &[Eventfd];
    }
    match syscall.op() {
        Some(Op::Preadv2 | Op::Pwritev2) => &[Rw],
        Some(Op::CopyFileRange | Op::Splice) => &[Splice],
        Some(Op::CloseRange) => &[CloseRange],
        Some(Op::Fallocate) => &[Fallocate],
        Some(Op::SyncFileRange) => &[SyncRange],
        Some(Op::Fadvise) => &[Advice],
        Some(Op::Mmap) => &[Map],
        Some(Op::Setxattr | Op::Lsetxattr | Op::Fsetxattr) => &[Xattr],
        Some(Op::Renameat2) => &[Rename],
        _ => &[Splice, Mremap, Msync, Mount],
    }
}
