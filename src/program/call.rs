//! The call of an op in C: what `replay::issue::sys` issues, in the same order.

use super::literal::{flags, long, mode as octal, string};
use crate::event::{AT_FDCWD, Col};
use crate::replay::issue::mapped;
use crate::replay::issue::structs::{ACCESS_LIST, access_list, flock, lock_command, timespec};
use crate::replay::issue::structs::{map_flags, mode, open_flags};
use crate::replay::shared::call::{Call, NONE};
use crate::syscall::request::{QUESTION, asks};
use crate::syscall::{Op, flag};

/// A call in C, without the working directory that it is made in.
pub enum Code {
    /// A system call of this name with these arguments.
    Sys(&'static str, Vec<String>),
    /// An expression under the name of the op.
    Own(String),
}

/// Writes the call of an op; `variables` gives the variable of an open file description.
pub fn code(call: Call<'_>, variables: &mut dyn FnMut(u32) -> String) -> Code {
    Writer { call, variables }.code()
}

struct Writer<'a, 'v> {
    call: Call<'a>,
    variables: &'v mut dyn FnMut(u32) -> String,
}

/// A list of numbers in memory.
fn words(words: [i64; 4]) -> String {
    format!("(long[]){{ {} }}", words.map(long).join(", "))
}

/// Cuts a count to what a buffer holds, for calls that the kernel does not limit: an expression.
fn bounded(count: i64) -> String {
    if (0..=1 << 20).contains(&count) { long(count) } else { "BUFFER".into() }
}

impl Writer<'_, '_> {
    fn number(&self, col: Col) -> String {
        long(self.call.arg(col))
    }

    fn text(&self, at: usize) -> String {
        self.call.texts()[at].map_or("(char *) 0".into(), |text| string(text.to_bytes()))
    }

    /// The variable of a description.
    fn of(&mut self, ofd: u32) -> String {
        if ofd == NONE { "-1L".into() } else { (self.variables)(ofd) }
    }

    fn at(&mut self, dir: u32, captured: Option<i64>) -> String {
        match (dir, captured) {
            (NONE, None | Some(AT_FDCWD)) => "CWD".into(),
            (dir, _) => self.of(dir),
        }
    }

    fn dir(&mut self) -> String {
        let call = self.call;
        if call.dir == NONE && call.ofd != NONE && matches!(call.first(), None | Some(0)) {
            return self.of(call.ofd);
        }
        self.at(call.dir, call.get(Col::DirFd))
    }

    /// A list of buffers.
    fn pieces(&self, buffer: &str) -> String {
        let count = self.call.get(Col::IovCnt).unwrap_or(1);
        format!("pieces({buffer}, {}, {})", self.number(Col::Count), long(count))
    }

    /// A pointer to an offset, if the call had one.
    fn offset(&self, col: Col) -> String {
        self.call.get(col).map_or("(long *) 0".into(), |offset| format!("&(long){{ {} }}", long(offset)))
    }

    /// Name of the syscall, and its arguments.
    fn code(&mut self) -> Code {
        let call = self.call;
        let (fd, fd2) = (self.of(call.ofd), self.of(call.ofd2));
        let (dir, dir2) = (self.dir(), self.at(call.dir2, call.get(Col::DirFd2)));
        let [p, q, n] = [0, 1, 2].map(|at| self.text(at));
        let c = |col| self.number(col);
        let (count, offset) = (c(Col::Count), c(Col::Offset));
        let some = bounded(call.arg(Col::Count));
        let bits = flags(call.arg(Col::Flags));
        let (open, mode) = (flags(open_flags(call.arg(Col::Flags))), octal(mode(call)));
        let iovcnt = long(call.get(Col::IovCnt).unwrap_or(1));
        let [uid, gid] = [Col::Uid, Col::Gid].map(|col| long(call.get(col).unwrap_or(-1)));
        let zero = || String::from("0L");
        let [sink, data] = ["sink", "data"].map(String::from);
        let (into, from) = (self.pieces("sink"), self.pieces("data"));
        let args = match call.op {
            Op::Read => vec![fd, sink, count],
            Op::Pread => vec![fd, sink, count, offset],
            Op::Readv => vec![fd, into, iovcnt],
            Op::Preadv => vec![fd, into, iovcnt, offset, zero()],
            Op::Preadv2 => vec![fd, into, iovcnt, offset, zero(), bits],
            Op::Write => vec![fd, data, count],
            Op::Pwrite => vec![fd, data, count, offset],
            Op::Writev => vec![fd, from, iovcnt],
            Op::Pwritev => vec![fd, from, iovcnt, offset, zero()],
            Op::Pwritev2 => vec![fd, from, iovcnt, offset, zero(), bits],
            Op::CopyFileRange => vec![fd, self.offset(Col::Offset), fd2, self.offset(Col::Offset2), count, bits],
            Op::Sendfile => vec![fd2, fd, self.offset(Col::Offset), count],

            Op::Open => vec![p, open, mode],
            Op::Openat => vec![dir, p, open, mode],
            Op::Openat2 => {
                let how = format!("(long[]){{ {open}, {}, {} }}", octal(call.arg(Col::Mode)), flags(call.arg(Col::Resolve)));
                vec![dir, p, how, "24L".into()]
            }
            Op::Creat => {
                let open = flags(open_flags(i64::from(libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC)));
                return Code::Own(format!("syscall(SYS_open, {p}, {open}, {mode})"));
            }
            Op::Close => vec![fd],

            Op::Lseek => vec![fd, offset, c(Col::Whence)],
            Op::Truncate => vec![p, count],
            Op::Ftruncate => vec![fd, count],
            Op::Fallocate => vec![fd, bits, offset, count],
            Op::Fsync | Op::Fdatasync | Op::Syncfs => vec![fd],
            Op::Sync => return Code::Own("syscall(SYS_syncfs, root)".into()),
            Op::SyncFileRange => {
                let bits = call.get(Col::Flags).unwrap_or(i64::from(libc::SYNC_FILE_RANGE_WRITE));
                vec![fd, offset, count, flags(bits)]
            }
            Op::Readahead => vec![fd, offset, count],
            Op::Fadvise => vec![fd, offset, count, bits],
            Op::Mmap => {
                let kind = flags(map_flags(call));
                return Code::Own(format!("map({fd}, {count}, {mode}, {kind}, {offset})"));
            }
            Op::Touch => return Code::Own(self.touch(&fd)),
            Op::Msync => {
                let count = call.arg(Col::Count).clamp(1, mapped::SYNCED);
                return Code::Own(format!("sync_mapped({fd}, {offset}, {}, {bits})", long(count)));
            }
            Op::Madvise => {
                return Code::Own(format!("syscall(SYS_fadvise64, {fd}, {offset}, {count}, (long) POSIX_FADV_WILLNEED)"));
            }

            Op::Stat | Op::Lstat | Op::Statfs => vec![p, sink],
            Op::Fstat | Op::Fstatfs => vec![fd, sink],
            Op::Fstatat => vec![dir, p, sink, bits],
            Op::Statx => vec![dir, p, bits, flags(i64::from(libc::STATX_BASIC_STATS)), sink],
            Op::Access => vec![p, mode],
            Op::Faccessat => vec![dir, p, mode],
            Op::Faccessat2 => vec![dir, p, mode, bits],
            Op::Getdents | Op::Getdents64 => vec![fd, sink, some],
            Op::Getcwd => vec![sink, some],
            Op::Readlink => vec![p, sink, count],
            Op::Readlinkat => vec![dir, p, sink, count],

            Op::Mkdir => vec![p, mode],
            Op::Mkdirat => vec![dir, p, mode],
            Op::Rmdir | Op::Unlink => vec![p],
            Op::Mknod => vec![p, mode, zero()],
            Op::Mknodat => vec![dir, p, mode, zero()],
            Op::Unlinkat => vec![dir, p, bits],
            Op::Rename | Op::Link => vec![p, q],
            Op::Renameat => vec![dir, p, dir2, q],
            Op::Renameat2 => vec![dir, p, dir2, q, bits],
            // A name of a descriptor below /proc, which is not there.
            Op::Linkat if call.dir != NONE && call.first() == Some(b'/') => {
                let bits = call.arg(Col::Flags) & !flag::AT_SYMLINK_FOLLOW | flag::AT_EMPTY_PATH;
                vec![dir, "\"\"".into(), dir2, q, flags(bits)]
            }
            Op::Linkat => vec![dir, p, dir2, q, bits],
            Op::Symlink => vec![q, p],
            Op::Symlinkat => vec![q, dir, p],

            Op::Chmod => vec![p, mode],
            Op::Fchmod => vec![fd, mode],
            Op::Fchmodat => vec![dir, p, mode],
            Op::Fchmodat2 => vec![dir, p, mode, bits],
            Op::Chown | Op::Lchown => vec![p, uid, gid],
            Op::Fchown => vec![fd, uid, gid],
            Op::Fchownat => vec![dir, p, uid, gid, bits],
            Op::Utimensat => vec![dir, p, self.times(), bits],

            Op::Getxattr | Op::Lgetxattr => vec![p, n, sink, some],
            Op::Fgetxattr => vec![fd, n, sink, some],
            Op::Listxattr | Op::Llistxattr => vec![p, sink, some],
            Op::Flistxattr => vec![fd, sink, some],
            Op::Setxattr | Op::Lsetxattr => vec![p, n, self.value(), some, bits],
            Op::Fsetxattr => vec![fd, n, self.value(), some, bits],
            Op::Removexattr | Op::Lremovexattr => vec![p, n],
            Op::Fremovexattr => vec![fd, n],

            Op::Fcntl => self.fcntl(fd),
            Op::Flock => vec![fd, long(call.arg(Col::Cmd) | flag::LOCK_NB)],
            Op::Ioctl => {
                let argument = match call.ofd2 {
                    NONE if asks(call.arg(Col::Cmd)) => words(QUESTION),
                    NONE => "-1L".into(),
                    _ => fd2,
                };
                vec![fd, flags(call.arg(Col::Cmd)), argument]
            }
            Op::Chdir => vec![p],
            Op::Fchdir => vec![fd],

            // The reader refuses them.
            Op::Splice
            | Op::Dup
            | Op::CloseRange
            | Op::CacheAdd
            | Op::Munmap
            | Op::Mremap
            | Op::Umask
            | Op::Chroot
            | Op::User
            | Op::Fork
            | Op::Exec
            | Op::Exit
            | Op::ExitGroup
            | Op::Joined
            | Op::PidfdGetfd
            | Op::Unshare
            | Op::Setns
            | Op::Special => return Code::Own("(errno = ENOSYS, -1L)".into()),
        };
        Code::Sys(call.op.name(), args)
    }

    fn touch(&self, fd: &str) -> String {
        let (offset, count) = (self.call.arg(Col::Offset), self.call.arg(Col::Count).clamp(1, mapped::MOST));
        if !(0..=i64::MAX - 2 * mapped::MOST).contains(&offset) {
            return "(errno = EINVAL, -1L)".into();
        }
        let writes = self.call.arg(Col::Mode) & flag::PROT_WRITE != 0;
        format!("fault({fd}, {}, {}, {}, {})", long(offset), long(count), i32::from(writes), self.number(Col::Cmd))
    }

    fn times(&self) -> String {
        let [atime, mtime] = [Col::Atime, Col::Mtime].map(|col| self.call.get(col));
        if atime.is_none() && mtime.is_none() {
            return "(long *) 0".into();
        }
        let ([a, b], [c, d]) = (timespec(atime), timespec(mtime));
        words([a, b, c, d])
    }

    /// The value of an attribute.
    fn value(&self) -> String {
        match self.call.get(Col::Mode).filter(|_| self.call.arg(Col::Count) == ACCESS_LIST) {
            Some(mode) => words(access_list(mode)),
            None => "data".into(),
        }
    }

    fn fcntl(&self, fd: String) -> Vec<String> {
        let cmd = self.call.arg(Col::Cmd);
        match lock_command(cmd) {
            Some(cmd) => vec![fd, long(cmd.into()), words(flock(self.call))],
            None if cmd as i32 == libc::F_SETFL => vec![fd, long(cmd), flags(open_flags(self.call.arg(Col::Arg)))],
            None => vec![fd, long(cmd), self.number(Col::Arg)],
        }
    }
}
