//! What a capture knows of the moment it began: processes, their working directories, and what they had open.

use super::step::Name;

/// A process that was there when the capture began.
#[derive(Clone, Debug, Default)]
pub struct Present {
    /// Its process id.
    pub pid: i64,
    /// Its working directory, when known.
    pub cwd: Option<Name>,
    /// Its root directory, when known.
    pub root: Option<Name>,
    /// Its descriptors.
    pub open: Vec<Open>,
}

/// A descriptor that was open.
#[derive(Clone, Debug)]
pub struct Open {
    /// Its number.
    pub fd: i64,
    /// Which open file description: equal ones are shared, also between processes.
    pub ofd: i64,
    /// What it is open on: a path (` (deleted)` behind it when it had none any more), or pipe:[N] and the like.
    pub path: Name,
    /// Status flags.
    pub flags: i64,
    /// Is it closed by exec?
    pub cloexec: bool,
    /// Position.
    pub pos: i64,
    /// Device of the file, as st_dev of stat(2).
    pub dev: i64,
    /// Its inode number; 0 when the capture does not know it.
    pub ino: i64,
    /// Kind and permission bits of the file.
    pub st_mode: i64,
    /// Size of the file.
    pub size: i64,
}
