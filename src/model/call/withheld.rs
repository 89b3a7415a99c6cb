//! What is not issued although nothing is lost of it: it failed because of where it ran, and would do something here.
//!
//! A program whose clone is refused (another file system), whose call the kernel does not know, goes on to do the same in
//! another way. A replay elsewhere would do both, and what follows would find a position that moved, a name, twice the bytes.

use super::{Call, flag};
use crate::event::{Col, Text};
use crate::model::tree::walk::{NAME_MAX, PATH_MAX};
use crate::syscall::Op;

/// Is it an attribute that only who administers a machine may set (xattr(7))?
pub(super) fn of_the_machine(name: &[u8]) -> bool {
    name.starts_with(b"trusted.") || name.starts_with(b"security.")
}

impl Call<'_> {
    /// Is the call not to be issued?
    pub(super) fn withheld(&self) -> bool {
        let Some(op) = self.step.op else { return false };
        let elsewhere = |errno| self.would_change(op) && self.of_the_place(op, errno);
        self.sets_what_none_may(op) || self.event.failure().is_some_and(elsewhere)
    }

    /// Attributes for which a replay has no right. One that was found would not be there.
    fn sets_what_none_may(&self, op: Op) -> bool {
        let named = || self.event.text(Text::Name).is_some_and(of_the_machine);
        match op {
            Op::Setxattr | Op::Lsetxattr | Op::Fsetxattr | Op::Removexattr | Op::Lremovexattr | Op::Fremovexattr => named(),
            Op::Getxattr | Op::Lgetxattr | Op::Fgetxattr => self.event.success().is_some() && named(),
            _ => false,
        }
    }

    /// Would it change a file, a name or a position, if it succeeded?
    fn would_change(&self, op: Op) -> bool {
        match op {
            Op::Read | Op::Readv | Op::Preadv2 | Op::Lseek => self.step.shared,
            Op::Write | Op::Writev | Op::Pwrite | Op::Pwritev | Op::Pwritev2 | Op::CopyFileRange | Op::Sendfile => true,
            Op::Open | Op::Openat | Op::Openat2 => {
                self.event.int(Col::Flags).is_some_and(|flags| flags & (flag::O_CREAT | flag::O_TRUNC) != 0)
            }
            Op::Ioctl => self.event.int(Col::Cmd) == Some(flag::FICLONE),
            Op::Creat | Op::Truncate | Op::Ftruncate | Op::Fallocate => true,
            Op::Chmod | Op::Fchmod | Op::Fchmodat | Op::Fchmodat2 => true,
            Op::Chown | Op::Lchown | Op::Fchown | Op::Fchownat | Op::Utimensat => true,
            Op::Setxattr | Op::Lsetxattr | Op::Fsetxattr | Op::Removexattr | Op::Lremovexattr | Op::Fremovexattr => true,
            _ => names(op),
        }
    }

    /// Is an error due to the file system, the kernel or what ran beside, and not to the state of the tree or the arguments?
    fn of_the_place(&self, op: Op, errno: i32) -> bool {
        let int = |col| self.event.int(col).unwrap_or(0);
        let data =
            matches!(op, Op::Read | Op::Readv | Op::Preadv2 | Op::Write | Op::Writev | Op::Pwrite | Op::Pwritev | Op::Pwritev2);
        match errno {
            libc::ENOSYS | libc::EROFS | libc::ETXTBSY | libc::EMLINK | libc::EILSEQ => true,
            // The mode of a symlink cannot be changed anywhere.
            libc::EOPNOTSUPP if op == Op::Fchmodat2 => int(Col::Flags) & flag::AT_SYMLINK_NOFOLLOW == 0,
            libc::EOPNOTSUPP => true,
            libc::EXDEV => match op {
                Op::Openat2 => int(Col::Resolve) & (flag::RESOLVE_NO_XDEV | flag::RESOLVE_BENEATH) == flag::RESOLVE_NO_XDEV,
                // Of FICLONE and copy_file_range mount points do not decide, but file systems.
                _ if names(op) => !self.apart(),
                _ => true,
            },
            libc::EINVAL => match op {
                Op::Ioctl => true,
                Op::CopyFileRange => int(Col::Flags) == 0 && !self.overlaps(),
                Op::Fallocate => int(Col::Offset) >= 0 && int(Col::Count) > 0,
                // Flags that the file system does not know.
                Op::Renameat2 => matches!(int(Col::Flags), 1 | 2 | 4) && !self.nested(),
                Op::Lseek => int(Col::Whence) >= flag::SEEK_DATA,
                // Blocks of another size.
                _ => data && self.direct(),
            },
            libc::ENOTTY => op == Op::Ioctl,
            // A mount point; what is called `.` or `..` is refused everywhere.
            libc::EBUSY => names(op) && !self.paths().any(ends_in_dots),
            // Mandatory locks, RWF_NOWAIT.
            libc::EAGAIN => data,
            libc::ENAMETOOLONG => self.paths().all(fits),
            _ => false,
        }
    }

    fn paths(&self) -> impl Iterator<Item = &[u8]> {
        [Text::Path, Text::Path2].into_iter().filter_map(|text| self.event.text(text))
    }

    fn apart(&self) -> bool {
        let paths = self.step.path.as_deref().zip(self.step.path2.as_deref());
        paths.is_some_and(|(one, other)| self.model.tree.config().apart(one, other))
    }

    /// Is one path of the two in the other?
    fn nested(&self) -> bool {
        let within =
            |one: &[u8], other: &[u8]| one.strip_prefix(other).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')));
        let paths = self.step.path.as_deref().zip(self.step.path2.as_deref());
        paths.is_some_and(|(one, other)| within(one, other) || within(other, one))
    }

    /// Are the two ranges of a copy in one file, and do they overlap?
    fn overlaps(&self) -> bool {
        let count = self.event.int(Col::Count).unwrap_or(0);
        let same = self.step.file.is_some() && self.step.file == self.step.file2;
        // Where nobody knows the positions they may.
        let near = self.step.offset.zip(self.step.offset2).is_none_or(|(from, to)| from.abs_diff(to) < count.unsigned_abs());
        same && near
    }

    /// Does the call go past the page cache?
    pub(super) fn direct(&self) -> bool {
        let ofd = self.ofd.and_then(|ix| self.model.tasks.ofd(ix));
        ofd.is_some_and(|ofd| ofd.flags & flag::O_DIRECT != 0)
    }
}

/// Does a call make, move or remove names?
const fn names(op: Op) -> bool {
    use Op::*;
    matches!(
        op,
        Mkdir
            | Mkdirat
            | Rmdir
            | Mknod
            | Mknodat
            | Unlink
            | Unlinkat
            | Rename
            | Renameat
            | Renameat2
            | Link
            | Linkat
            | Symlink
            | Symlinkat
    )
}

fn ends_in_dots(path: &[u8]) -> bool {
    let last = path.split(|byte| *byte == b'/').rfind(|name| !name.is_empty());
    matches!(last, None | Some(b"." | b".."))
}

/// Is it a path that Linux takes, whatever the file system?
fn fits(path: &[u8]) -> bool {
    path.len() < PATH_MAX && path.split(|byte| *byte == b'/').all(|name| name.len() <= NAME_MAX)
}
