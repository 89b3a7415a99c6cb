//! Roles: what an argument or a return value means, defined once for all calls that have it.

use crate::event::{Col, Text};

/// What an argument of a call means. The role fixes its column in the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// File descriptor on which the call works.
    Fd,
    /// Second descriptor: new number of dup2, write side of copy_file_range and sendfile.
    Fd2,
    /// Descriptor of the directory that a relative path starts at (dirfd of openat(2) and its kin).
    DirFd,
    /// Descriptor of the directory that a relative second path starts at.
    DirFd2,
    /// First path.
    Path,
    /// Second path: new name of a rename, link, symlink.
    Path2,
    /// Content of a symlink being made (in column path2).
    Target,
    /// Buffer readlink fills with the content of a symlink (in column path2).
    Link,
    /// Memory address of data, a structure or a list that the project has no use for.
    Buf,
    /// Array of buffers (`struct iovec`): its total length goes to column count, its number of buffers to iovcnt.
    Iov,
    /// Number of buffers of a vectored call.
    IovCnt,
    /// Bytes asked for, or a length, bytes.
    Count,
    /// File position, bytes.
    Offset,
    /// Pointer to the file position of `fd`.
    OffsetPtr,
    /// Pointer to the file position of `fd2`.
    Offset2Ptr,
    /// High half of a file position (the low half is Offset).
    OffsetHigh,
    /// Pointer to where the kernel stores the resulting position (_llseek).
    ResultPtr,
    /// Origin of a seek (SEEK_SET, SEEK_CUR ...).
    Whence,
    /// O_ flags of open(2).
    OpenFlags,
    /// AT_ flags of the *at calls.
    AtFlags,
    /// Flags of any other kind.
    Flags,
    /// Mode bits: permissions, and in mknod(2) the kind of file.
    Mode,
    /// R_OK, W_OK, X_OK of access(2) (column mode).
    Access,
    /// Memory protection of mmap(2) (column mode).
    Prot,
    /// Advice of madvise(2) (column cmd); live captures alone keep it.
    Advice,
    /// Command of fcntl(2) or flock(2), request of ioctl(2).
    Cmd,
    /// Argument of fcntl(2), as a number.
    Arg,
    /// Process id, of pidfd_open(2) (column arg).
    Process,
    /// Owner (user id).
    Uid,
    /// Group (group id).
    Gid,
    /// `struct open_how` of openat2(2): gives flags, mode and resolve.
    How,
    /// Buffer that a stat call fills in: st_mode, st_size and other columns of the observed file.
    Stat,
    /// Buffer that statx(2) fills in: st_mode, st_size and other columns of the observed file.
    Statx,
    /// Name of an extended attribute.
    Name,
    /// Two `struct timespec` (or `timeval`): access and modification time to be set.
    Times,
    /// `struct clone_args` of clone3(2): gives the CLONE_ flags.
    CloneArgs,
    /// CLONE_ flags of clone(2).
    CloneFlags,
    /// Memory address argument, of which nothing is kept.
    Addr,
    /// Address at which the mapped memory begins that a call is about (column arg); live captures alone keep it.
    Start,
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
            Role::Cmd | Role::Advice => Col::Cmd,
            Role::Arg | Role::Process | Role::Start => Col::Arg,
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

/// What a call's return value means; decides what a replay compares besides success and errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// 0 for success: nothing more to compare.
    Status,
    /// A new descriptor: its number may be another in the replay, so it is not compared.
    NewFd,
    /// Number of bytes transferred: compared.
    Bytes,
    /// Resulting file position: compared.
    Pos,
    /// Length of a name (readlink, getcwd): compared.
    Len,
    /// Bytes of directory entries: their layout belongs to the file system, not compared.
    Dirents,
    /// A number that the replaying machine may choose (fcntl, getxattr): not compared.
    Value,
    /// Id of a process or thread: not compared.
    Pid,
    /// A memory address: not compared.
    Addr,
    /// The call does not return.
    Never,
}

impl Ret {
    /// Is the returned value itself compared with the captured one?
    pub const fn compared(self) -> bool {
        matches!(self, Ret::Bytes | Ret::Pos | Ret::Len)
    }
}

/// The instant inside a call at which its effect is taken to happen, if nothing proves another: docs/ARCHITECTURE.md,
/// "Order of events".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// At its entry. Calls that use or end something: read, close, unlink, fork.
    Entry,
    /// At its return. Calls that create a descriptor or a name, exec, and locks, which take effect when granted.
    Return,
}
