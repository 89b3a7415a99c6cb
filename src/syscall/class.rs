//! Classes of operations, as people who look at I/O tell them apart.

use super::Op;
use crate::words::words;

words! {
    /// Class of an operation on files.
    Class {
        Reads   "reads"   "reads data of a file";
        Writes  "writes"  "writes data of a file";
        Copies  "copies"  "copies data from one file to another";
        Syncs   "syncs"   "makes data of files durable";
        Maps    "maps"    "maps a file into memory";
        Opens   "opens"   "opens a file";
        Looks   "looks"   "looks something up: attributes, what a directory holds, where a symlink leads, rights";
        Changes "changes" "changes names, attributes or sizes: creates, deletes, renames, truncates";
        Rest    "rest"    "anything else: close, seek, lock, advice, directories of processes";
    }
}

impl Op {
    /// The operation's class.
    pub const fn class(self) -> Class {
        match self {
            Op::Read | Op::Readv | Op::Pread | Op::Preadv | Op::Preadv2 => Class::Reads,
            Op::Write | Op::Writev | Op::Pwrite | Op::Pwritev | Op::Pwritev2 => Class::Writes,
            Op::CopyFileRange | Op::Sendfile | Op::Splice => Class::Copies,
            Op::Fsync | Op::Fdatasync | Op::Syncfs | Op::Sync | Op::SyncFileRange => Class::Syncs,
            Op::Mmap => Class::Maps,
            Op::Open | Op::Openat | Op::Openat2 | Op::Creat => Class::Opens,
            Op::Stat | Op::Lstat | Op::Fstat | Op::Fstatat | Op::Statx | Op::Statfs | Op::Fstatfs => Class::Looks,
            Op::Access | Op::Faccessat | Op::Faccessat2 | Op::Getdents | Op::Getdents64 => Class::Looks,
            Op::Readlink | Op::Readlinkat | Op::Getxattr | Op::Lgetxattr | Op::Fgetxattr => Class::Looks,
            Op::Listxattr | Op::Llistxattr | Op::Flistxattr => Class::Looks,
            Op::Mkdir | Op::Mkdirat | Op::Rmdir | Op::Mknod | Op::Mknodat | Op::Unlink | Op::Unlinkat => Class::Changes,
            Op::Rename | Op::Renameat | Op::Renameat2 | Op::Link | Op::Linkat | Op::Symlink | Op::Symlinkat => Class::Changes,
            Op::Chmod | Op::Fchmod | Op::Fchmodat | Op::Fchmodat2 | Op::Chown | Op::Lchown | Op::Fchown => Class::Changes,
            Op::Fchownat | Op::Utimensat | Op::Truncate | Op::Ftruncate | Op::Fallocate => Class::Changes,
            Op::Setxattr | Op::Lsetxattr | Op::Fsetxattr => Class::Changes,
            Op::Removexattr | Op::Lremovexattr | Op::Fremovexattr => Class::Changes,
            _ => Class::Rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::Moves;

    /// What moves bytes is in the class of the way they go.
    #[test]
    fn classes_agree_with_what_calls_move() {
        for op in Op::ALL {
            let moves = match op.class() {
                Class::Reads => Moves::Reads,
                Class::Writes => Moves::Writes,
                Class::Copies => Moves::Copies,
                _ => Moves::Nothing,
            };
            assert_eq!(op.moves(), moves, "{}", op.name());
        }
    }
}
