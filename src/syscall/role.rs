//! Roles: what an argument or a return value is, said once for every call that has it.

use crate::event::{Col, Text};

/// What an argument is. The role fixes its column in the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// File descriptor.
    Fd,
    /// Second descriptor: new number of dup2, write side of copy_file_range and sendfile.
    Fd2,
    /// Directory a relative path starts at.
    DirFd,
    /// The same for the second path.
    DirFd2,
    /// Path.
    Path,
    /// Second path: new name of a rename, link, symlink.
    Path2,
    /// Content of a symlink being made (in column path2).
    Target,
    /// Buffer readlink fills with the content of a symlink (in column path2).
    Link,
    /// Memory, by its address: data, a structure, a list that the project has no use for.
    Buf,
    /// Array of buffers: their total length is the count, their number iovcnt.
    Iov,
    /// Number of buffers.
    IovCnt,
    /// Bytes asked for, or a length.
    Count,
    /// File position.
    Offset,
    /// Pointer to a file position.
    OffsetPtr,
    /// Pointer to a second file position.
    Offset2Ptr,
    /// High half of a file position (the low half is Offset).
    OffsetHigh,
    /// Pointer to where a resulting position is stored.
    ResultPtr,
    /// Origin of a seek.
    Whence,
    /// O_ flags of open(2).
    OpenFlags,
    /// AT_ flags.
    AtFlags,
    /// Any other flags.
    Flags,
    /// Permission bits.
    Mode,
    /// R_OK, W_OK, X_OK of access(2) (column mode).
    Access,
    /// Memory protection of mmap(2) (column mode).
    Prot,
    /// Command of fcntl, flock, request of ioctl.
    Cmd,
    /// Argument of fcntl.
    Arg,
    /// Owner.
    Uid,
    /// Group.
    Gid,
    /// `struct open_how` of openat2(2): flags, mode, resolve.
    How,
    /// What a stat call filled in: st_mode, st_size.
    Stat,
    /// The same of statx(2).
    Statx,
    /// Name of an extended attribute.
    Name,
    /// Two `struct timespec` (or `timeval`): atime, mtime.
    Times,
    /// `struct clone_args` of clone3(2): flags.
    CloneArgs,
    /// CLONE_ flags.
    CloneFlags,
    /// Memory address.
    Addr,
    /// A number that the project has no use for.
    Skip,
}

impl Role {
    /// The number column of the event that carries the argument.
    pub const fn col(self) -> Option<Col> {
        Some(match self {
            Role::Fd => Col::Fd,
            Role::Fd2 => Col::Fd2,
            Role::DirFd => Col::DirFd,
            Role::DirFd2 => Col::DirFd2,
            Role::Count => Col::Count,
            Role::IovCnt => Col::IovCnt,
            Role::Offset | Role::OffsetPtr => Col::Offset,
            Role::Offset2Ptr => Col::Offset2,
            Role::Whence => Col::Whence,
            Role::OpenFlags | Role::AtFlags | Role::Flags | Role::CloneFlags => Col::Flags,
            Role::Mode | Role::Access | Role::Prot => Col::Mode,
            Role::Cmd => Col::Cmd,
            Role::Arg => Col::Arg,
            Role::Uid => Col::Uid,
            Role::Gid => Col::Gid,
            Role::Path
            | Role::Path2
            | Role::Target
            | Role::Link
            | Role::Buf
            | Role::Iov
            | Role::OffsetHigh
            | Role::ResultPtr
            | Role::How
            | Role::Stat
            | Role::Statx
            | Role::Name
            | Role::Times
            | Role::CloneArgs
            | Role::Addr
            | Role::Skip => return None,
        })
    }

    /// The text column of the event that carries the argument.
    pub const fn text(self) -> Option<Text> {
        Some(match self {
            Role::Path => Text::Path,
            Role::Path2 | Role::Target | Role::Link => Text::Path2,
            Role::Name => Text::Name,
            _ => return None,
        })
    }
}

/// What a call returns; decides what a replay compares besides success and errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// 0: nothing more to compare.
    Status,
    /// A new descriptor: its number is virtual, not compared.
    NewFd,
    /// Bytes transferred: compared.
    Bytes,
    /// Resulting file position: compared.
    Pos,
    /// Length of a name (readlink, getcwd): compared.
    Len,
    /// Bytes of directory entries: their layout belongs to the file system, not compared.
    Dirents,
    /// A number the target may choose (fcntl, getxattr): not compared.
    Value,
    /// A child's id.
    Pid,
    /// An address.
    Addr,
    /// Does not return.
    Never,
}

impl Ret {
    /// Is the returned value itself part of the outcome?
    pub const fn compared(self) -> bool {
        matches!(self, Ret::Bytes | Ret::Pos | Ret::Len)
    }
}

/// The instant inside a call at which its effect is taken to happen, if nothing proves another: docs/ARCHITECTURE.md,
/// "Order of events".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Calls that use or end something: read, close, unlink, fork.
    Entry,
    /// Calls that create a descriptor or a name, exec, and locks, which take effect when granted.
    Return,
}
