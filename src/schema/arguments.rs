//! The columns of events that ops have, too.

use crate::event::Col;

/// The event columns that table `ops` has too, with the event's values. (`offset` is not among them: that of an op may
/// be a position instead of the argument.)
pub const ARGUMENTS: [Col; 23] = [
    Col::Ts,
    Col::Dur,
    Col::Fd,
    Col::Fd2,
    Col::DirFd,
    Col::DirFd2,
    Col::Offset2,
    Col::Count,
    Col::Ret,
    Col::Errno,
    Col::Flags,
    Col::Mode,
    Col::Whence,
    Col::Cmd,
    Col::Arg,
    Col::Uid,
    Col::Gid,
    Col::IovCnt,
    Col::Resolve,
    Col::Atime,
    Col::Mtime,
    Col::Ring,
    Col::Behind,
];
