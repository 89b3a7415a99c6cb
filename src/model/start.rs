//! What a capture knows of the moment it began: processes, their working directories, and what they had open.

use super::step::Name;
use crate::exec::Ran;

/// A process that was running when the capture began.
#[derive(Clone, Debug, Default)]
pub struct Present {
    /// Its process id on the captured machine.
    pub pid: i64,
    /// Its name, when known.
    pub comm: Option<Name>,
    /// Its user id, when known.
    pub uid: Option<i64>,
    /// Its command line, control group, rank and job, as far as they are known.
    pub ran: Ran,
    /// Absolute path of the process's working directory, when known.
    pub cwd: Option<Name>,
    /// Absolute path of the process's root directory, when known.
    pub root: Option<Name>,
    /// The descriptors that the process had open.
    pub open: Vec<Open>,
}

/// A descriptor that was open when the capture began, or when its process came into the capture's scope.
#[derive(Clone, Debug)]
pub struct Open {
    /// The descriptor's number.
    pub fd: i64,
    /// Number of its open file description, as the capture gave it: descriptors with equal ones share it, also between
    /// processes.
    pub ofd: i64,
    /// What it is open on: a path (` (deleted)` behind it when it had none any more), or `pipe:[N]` and the like.
    pub path: Name,
    /// Status flags of the open file description (O_*, fcntl(2)).
    pub flags: i64,
    /// Has it the close-on-exec flag?
    pub cloexec: bool,
    /// Position in the file at that moment, bytes.
    pub pos: i64,
    /// Device of the file, as st_dev of stat(2).
    pub dev: i64,
    /// Inode number of the file; 0 when the capture does not know it.
    pub ino: i64,
    /// Kind and permission bits of the file, as st_mode of stat(2).
    pub st_mode: i64,
    /// Size of the file at that moment, bytes.
    pub size: i64,
}
