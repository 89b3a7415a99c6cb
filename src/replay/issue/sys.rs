//! The engine `sys`, which issues real syscalls: one line per call.
//!
//! What is issued is the captured call with its captured arguments. Descriptors are looked up, data goes to and comes from
//! buffers of our own, and what could block on another op is made non-blocking: opens get O_NONBLOCK (which means nothing for
//! files and directories, open(2)), locks are requested without waiting.

use super::contents::{Contents, Stage};
use super::data::{Cursor, Source};
use super::deep;
use super::engine::{Issue, Refusal};
use super::mapped;
use super::request::port::{Code, Request};
use super::structs::{ACCESS_LIST, access_list, flock, lock_command, map_flags, mode, open_flags, timespec};
use crate::event::{AT_FDCWD, Col};
use crate::init::Data;
use crate::replay::shared::call::{CWD_MAX, Call, NONE};
use crate::replay::shared::memory::{Fds, Pages, SharedCount};
use crate::replay::shared::record::{CWD, LOCK, SPARSE, UNPOPULATED, WITHHELD, errno};
use crate::syscall::fcntl::{Replayed, command};
use crate::syscall::request::{QUESTION, asks};
use crate::syscall::{Op, flag};
use std::arch::asm;
use std::ffi::CStr;
use std::io::Result;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;

/// Size of a worker's own buffer, bytes; calls with larger counts use the one that all workers share.
const BUFFER: usize = 1 << 20;
/// Largest mapping, bytes, that is issued with MAP_POPULATE. A private writable one is copied into memory of the replay, for
/// each worker.
const POPULATE_MAX: i64 = 16 << 20;
/// Most bytes that a request moves: what the kernel moves in one call (MAX_RW_COUNT, read(2)).
const MOST: usize = 0x7fff_f000;
const IOV_MAX: usize = flag::IOV_MAX as usize;

/// What the workers of all processes share: descriptors, buffers, the tree.
#[derive(Debug)]
pub struct Shared {
    fds: Fds,
    /// Data that every write sends: see [`super::data`].
    source: Source,
    /// With data as captured what kind of it each open file description writes.
    contents: Option<Contents>,
    /// Buffer of reads that are larger than a worker's own.
    sink: Pages,
    /// The root of the replay tree, whose file system `sync` writes back; `None` in a test without a sandbox.
    root: Option<OwnedFd>,
    /// Counts calls after which a path may name another directory (rename, rmdir, unlink, symlink).
    moves: SharedCount,
}

impl Shared {
    /// Allocates the buffers, and a table for this many open file descriptions.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(ofds: usize, data: Data, contents: Option<Contents>) -> Result<Shared> {
        Ok(Shared {
            fds: Fds::new(ofds)?,
            source: Source::new(data)?,
            contents,
            sink: Pages::repeated(&[])?,
            root: None,
            moves: SharedCount::new()?,
        })
    }

    /// Sets the directory whose file system an op `sync` writes back.
    pub fn set_root(&mut self, root: OwnedFd) {
        self.root = Some(root);
    }
}

/// The engine `sys` of one worker: issues real syscalls, with buffers of its own.
#[derive(Debug)]
pub struct Sys<'a> {
    shared: &'a Shared,
    buffer: Pages,
    /// Memory for the structure that a call's argument points to: two `struct timespec`, a `struct open_how`, a `struct
    /// flock`, two offsets, or an access control list.
    words: [i64; 4],
    iov: Vec<libc::iovec>,
    /// Byte count of the prepared call.
    count: i64,
    /// Where in the source the next write begins, and (`from`) the data of the prepared one.
    cursor: Cursor,
    from: *mut u8,
    /// Where data as captured is put together.
    stage: Option<Stage>,
    /// Path of the worker's working directory; valid while `moves` equals the shared count.
    cwd: Vec<u8>,
    moves: u64,
}

/// Issues a syscall with raw arguments; returns `-errno` for a failure. Of memory that the kernel changes or gives back each caller
/// says here why it may.
macro_rules! sys {
    ($number:ident $(, $arg:expr)*) => {
        // SAFETY: every pointer among the arguments is NULL, a text of the batch that ends in NUL, or one of the engine's
        // own buffers, which is at least as large as the count beside it (`sink` and `bounded` see to that); mappings are taken
        // back by those alone who made them, and nobody has looked into them.
        unsafe { $crate::replay::issue::sys::syscall(libc::$number, &[$($arg as i64),*]) }
    };
}

pub(super) use sys;

/// The syscall instruction itself: the C library's syscall(2) would only move the arguments and store errno.
///
/// # Safety
/// As for the syscall: pointers among the arguments must be valid for it.
#[inline(always)]
pub(super) unsafe fn syscall(number: i64, args: &[i64]) -> i64 {
    let arg = |at| args.get(at).copied().unwrap_or(0);
    let ret;
    // SAFETY: the kernel changes no other registers, and no memory but what the arguments say.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => ret,
            in("rdi") arg(0), in("rsi") arg(1), in("rdx") arg(2), in("r10") arg(3), in("r8") arg(4), in("r9") arg(5),
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    ret
}

impl<'a> Sys<'a> {
    /// An engine for one worker, in whose thread it is made.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(shared: &'a Shared) -> Result<Sys<'a>> {
        let iov = vec![libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; IOV_MAX];
        let (cwd, moves) = (Vec::with_capacity(CWD_MAX), 0);
        let (cursor, from) = (Cursor::new(), shared.source.start());
        let stage = shared.contents.as_ref().map(|_| Stage::new()).transpose()?;
        Ok(Sys { shared, buffer: Pages::new(BUFFER)?, words: [0; 4], iov, count: 0, cursor, from, stage, cwd, moves })
    }

    fn fd(&self, call: Call<'_>) -> i32 {
        self.shared.fds.get(call.ofd)
    }

    fn fd2(&self, call: Call<'_>) -> i32 {
        self.shared.fds.get(call.ofd2)
    }

    /// Third argument of an ioctl: the descriptor that FICLONE copies from, or memory for the answer of a request that asks
    /// for something. Of all others only requests that a file refuses are ops, so they get a bad address.
    fn argument(&mut self, call: Call<'_>) -> i64 {
        match call.ofd2 {
            NONE if asks(call.arg(Col::Cmd)) => self.words.as_mut_ptr() as i64,
            NONE => -1,
            _ => self.fd2(call).into(),
        }
    }

    /// The dirfd argument: AT_FDCWD, or the descriptor of the description `dir`, -1 where the captured one was bad.
    fn at(&self, dir: u32, captured: Option<i64>) -> i64 {
        match (dir, captured) {
            (NONE, None | Some(AT_FDCWD)) => AT_FDCWD,
            (dir, _) => self.shared.fds.get(dir).into(),
        }
    }

    /// The first dirfd argument; for an empty path (AT_EMPTY_PATH) the descriptor itself, in whichever column the capture has
    /// it.
    fn dir(&self, call: Call<'_>) -> i64 {
        if call.dir == NONE && call.ofd != NONE && matches!(call.first(), None | Some(0)) {
            return self.fd(call).into();
        }
        self.at(call.dir, call.get(Col::DirFd))
    }

    fn dir2(&self, call: Call<'_>) -> i64 {
        self.at(call.dir2, call.get(Col::DirFd2))
    }

    /// Changes to the working directory of the call unless the worker is in it already; returns 0 or `-errno`.
    fn enter(&mut self, cwd: &CStr) -> i64 {
        let moves = self.shared.moves.get().load(Ordering::Acquire);
        if self.moves == moves && self.cwd == cwd.to_bytes() {
            return 0;
        }
        let ret = match cwd.count_bytes() < libc::PATH_MAX as usize {
            true => sys!(SYS_chdir, cwd.as_ptr()),
            false => deep::enter(cwd.to_bytes()),
        };
        self.cwd.clear();
        if ret == 0 {
            self.cwd.extend_from_slice(cwd.to_bytes());
            self.moves = moves;
        }
        ret
    }

    /// The data that a call writes.
    #[inline(always)]
    fn data(&mut self, call: Call<'_>) -> *mut u8 {
        if let (Some(contents), Some(stage)) = (&self.shared.contents, &mut self.stage)
            && let Some(from) = contents.data(stage, call, self.count)
        {
            return from;
        }
        self.shared.source.next(&mut self.cursor, call.op_id, self.count)
    }

    /// The buffer for a call that reads `count` bytes.
    fn sink(&self, count: i64) -> *mut u8 {
        if count as u64 <= BUFFER as u64 { self.buffer.start() } else { self.shared.sink.start() }
    }

    /// The count, limited to the size of the buffer, for calls that the kernel does not limit to 2 GiB.
    fn bounded(&self, count: i64) -> i64 {
        if count as u64 > self.shared.sink.len() as u64 { self.shared.sink.len() as i64 } else { count }
    }

    /// Fills the iovec: cuts the buffer at `start` into as many pieces as the captured call had.
    fn pieces(&mut self, call: Call<'_>, start: *mut u8) {
        let pieces = call.get(Col::IovCnt).unwrap_or(1).clamp(0, IOV_MAX as i64);
        // More than the kernel moves in one call need not be asked for.
        let count = self.count.clamp(0, self.shared.sink.len() as i64);
        let (mut done, share) = (0, if pieces > 0 { count / pieces } else { 0 });
        for at in 0..pieces {
            let length = if at + 1 == pieces { count - done } else { share };
            // wrapping_add: an address for the kernel, inside the buffer because done < count.
            let base = start.wrapping_add(done as usize).cast();
            self.iov[at as usize] = libc::iovec { iov_base: base, iov_len: length as usize };
            done += length;
        }
    }
}

/// Errors of captured calls that failed for want of something the replaying machine has: room, memory, a free descriptor, a
/// working disk. Such calls are not issued.
const WANTS: &[i32] = &[libc::ENOSPC, libc::EDQUOT, libc::EFBIG, libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EIO];

/// Note bits of a call ([`crate::replay::shared::record`]), known before it is issued; `captured` is its captured outcome.
#[inline]
pub fn notes(call: Call<'_>, captured: i64) -> u8 {
    let kind = || call.arg(Col::Mode) as u32 & libc::S_IFMT;
    match call.op {
        // The captured kernel, or the filter of a container, did not know the call. What the program did instead follows in
        // the capture; where the call is known, both would be done.
        _ if captured == -i64::from(libc::ENOSYS) => WITHHELD,
        // A request whose link broke, or that was taken back, was never begun.
        _ if captured == -i64::from(libc::ECANCELED) => WITHHELD,
        // It had no effect for want of something that this machine has: here it would have one, and later ops would see it.
        _ if WANTS.contains(&errno(captured)) => WITHHELD,
        Op::Fcntl if lock_command(call.arg(Col::Cmd)).is_some() => LOCK,
        Op::Fcntl if command(call.arg(Col::Cmd)).is_none_or(|command| command.replayed != Replayed::As) => WITHHELD,
        Op::Flock => LOCK,
        Op::Lseek if call.arg(Col::Whence) > 2 => SPARSE,
        Op::Mmap if call.arg(Col::Flags) & i64::from(libc::MAP_POPULATE) != 0 && call.arg(Col::Count) > POPULATE_MAX => {
            UNPOPULATED
        }
        Op::Mknod | Op::Mknodat if matches!(kind(), libc::S_IFCHR | libc::S_IFBLK) => WITHHELD,
        _ => 0,
    }
}

/// All three methods are inlined into the worker's loop. After a system call the processor mispredicts returns of functions
/// entered before it, and each costs as much as reading the time.
impl Issue for Sys<'_> {
    #[inline(always)]
    fn prepare(&mut self, call: Call<'_>) -> Option<Refusal> {
        if call.notes & WITHHELD != 0 {
            return Some(Refusal { ret: -i64::from(libc::EPERM), note: 0 });
        }
        if let Some(cwd) = call.cwd() {
            let entered = self.enter(cwd);
            if entered != 0 {
                // In another directory the call would do something else: it fails as entering the directory did.
                return Some(Refusal { ret: entered, note: CWD });
            }
        } else if let Some(dir) = call.removed_cwd() {
            let entered = sys!(SYS_fchdir, self.shared.fds.get(dir));
            self.cwd.clear();
            if entered != 0 {
                return Some(Refusal { ret: entered, note: CWD });
            }
        }
        self.count = call.arg(Col::Count);
        match call.op {
            Op::Readv | Op::Preadv | Op::Preadv2 => self.pieces(call, self.sink(self.count)),
            Op::Write | Op::Pwrite => self.from = self.data(call),
            Op::Writev | Op::Pwritev | Op::Pwritev2 => {
                let from = self.data(call);
                self.pieces(call, from);
            }
            Op::Openat2 => self.words = [open_flags(call.arg(Col::Flags)), call.arg(Col::Mode), call.arg(Col::Resolve), 0],
            Op::CopyFileRange | Op::Sendfile => self.words = [call.arg(Col::Offset), call.arg(Col::Offset2), 0, 0],
            Op::Fcntl => self.words = flock(call),
            Op::Ioctl => self.words = QUESTION,
            Op::Setxattr | Op::Lsetxattr | Op::Fsetxattr => {
                self.from = match call.get(Col::Mode).filter(|_| self.count == ACCESS_LIST) {
                    Some(mode) => {
                        self.words = access_list(mode);
                        self.words.as_mut_ptr().cast()
                    }
                    None => self.shared.source.start(),
                };
            }
            Op::Utimensat => {
                let ([a, b], [c, d]) = (timespec(call.get(Col::Atime)), timespec(call.get(Col::Mtime)));
                self.words = [a, b, c, d];
            }
            _ => {}
        }
        None
    }

    #[rustfmt::skip]
    #[inline(always)]
    fn issue(&mut self, call: Call<'_>) -> i64 {
        // Arguments by column of the syscall table; what was not captured is 0.
        let c = |col| call.arg(col);
        let has = |col, pointer: *const i64| if call.get(col).is_some() { pointer } else { std::ptr::null() };
        let [p, q, n] = [call.path(), call.path2(), call.name()];
        let (flags, mode, count) = (|| c(Col::Flags), || mode(call), self.count);
        let out = self.buffer.start();
        let sink = self.sink(count);
        let source = self.from;
        let (iov, words) = (self.iov.as_ptr(), self.words.as_ptr());
        let iovcnt = || call.get(Col::IovCnt).unwrap_or(1);
        let owner = |col| call.get(col).unwrap_or(-1);

        match call.op {
            Op::Read             => sys!(SYS_read, self.fd(call), sink, count),
            Op::Pread            => sys!(SYS_pread64, self.fd(call), sink, count, c(Col::Offset)),
            Op::Readv            => sys!(SYS_readv, self.fd(call), iov, iovcnt()),
            Op::Preadv           => sys!(SYS_preadv, self.fd(call), iov, iovcnt(), c(Col::Offset), 0),
            Op::Preadv2          => sys!(SYS_preadv2, self.fd(call), iov, iovcnt(), c(Col::Offset), 0, flags()),
            Op::Write            => sys!(SYS_write, self.fd(call), source, count),
            Op::Pwrite           => sys!(SYS_pwrite64, self.fd(call), source, count, c(Col::Offset)),
            Op::Writev           => sys!(SYS_writev, self.fd(call), iov, iovcnt()),
            Op::Pwritev          => sys!(SYS_pwritev, self.fd(call), iov, iovcnt(), c(Col::Offset), 0),
            Op::Pwritev2         => sys!(SYS_pwritev2, self.fd(call), iov, iovcnt(), c(Col::Offset), 0, flags()),
            Op::CopyFileRange    => sys!(SYS_copy_file_range, self.fd(call), has(Col::Offset, words), self.fd2(call), has(Col::Offset2, words.wrapping_add(1)), count, flags()),
            Op::Sendfile         => sys!(SYS_sendfile, self.fd2(call), self.fd(call), has(Col::Offset, words), count),

            Op::Open             => sys!(SYS_open, p, open_flags(flags()), mode()),
            Op::Openat           => sys!(SYS_openat, self.dir(call), p, open_flags(flags()), mode()),
            Op::Openat2          => sys!(SYS_openat2, self.dir(call), p, words, 24),
            Op::Creat            => sys!(SYS_open, p, open_flags(i64::from(libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC)), mode()),
            Op::Close            => sys!(SYS_close, self.fd(call)),

            Op::Lseek            => sys!(SYS_lseek, self.fd(call), c(Col::Offset), c(Col::Whence)),
            Op::Truncate         => sys!(SYS_truncate, p, c(Col::Count)),
            Op::Ftruncate        => sys!(SYS_ftruncate, self.fd(call), c(Col::Count)),
            Op::Fallocate        => sys!(SYS_fallocate, self.fd(call), flags(), c(Col::Offset), c(Col::Count)),
            Op::Fsync            => sys!(SYS_fsync, self.fd(call)),
            Op::Fdatasync        => sys!(SYS_fdatasync, self.fd(call)),
            Op::Syncfs           => sys!(SYS_syncfs, self.fd(call)),
            Op::Sync             => sys!(SYS_syncfs, self.shared.root.as_ref().map_or(-1, AsRawFd::as_raw_fd)),
            Op::SyncFileRange    => sys!(SYS_sync_file_range, self.fd(call), c(Col::Offset), c(Col::Count), call.get(Col::Flags).unwrap_or(i64::from(libc::SYNC_FILE_RANGE_WRITE))),
            Op::Readahead        => sys!(SYS_readahead, self.fd(call), c(Col::Offset), count),
            Op::Fadvise          => sys!(SYS_fadvise64, self.fd(call), c(Col::Offset), c(Col::Count), flags()),
            Op::Mmap             => sys!(SYS_mmap, 0, count, mode(), map_flags(call), self.fd(call), c(Col::Offset)),
            Op::Touch            => mapped::touch(self.fd(call), call),
            Op::Msync            => mapped::msync(self.fd(call), call),
            Op::Madvise          => sys!(SYS_fadvise64, self.fd(call), c(Col::Offset), c(Col::Count), libc::POSIX_FADV_WILLNEED),

            Op::Stat             => sys!(SYS_stat, p, out),
            Op::Lstat            => sys!(SYS_lstat, p, out),
            Op::Fstat            => sys!(SYS_fstat, self.fd(call), out),
            Op::Fstatat          => sys!(SYS_newfstatat, self.dir(call), p, out, flags()),
            Op::Statx            => sys!(SYS_statx, self.dir(call), p, flags(), libc::STATX_BASIC_STATS, out),
            Op::Statfs           => sys!(SYS_statfs, p, out),
            Op::Fstatfs          => sys!(SYS_fstatfs, self.fd(call), out),
            Op::Access           => sys!(SYS_access, p, mode()),
            Op::Faccessat        => sys!(SYS_faccessat, self.dir(call), p, mode()),
            Op::Faccessat2       => sys!(SYS_faccessat2, self.dir(call), p, mode(), flags()),
            Op::Getdents         => sys!(SYS_getdents, self.fd(call), sink, self.bounded(count)),
            Op::Getdents64       => sys!(SYS_getdents64, self.fd(call), sink, self.bounded(count)),
            Op::Getcwd           => sys!(SYS_getcwd, sink, self.bounded(count)),
            Op::Readlink         => sys!(SYS_readlink, p, sink, count),
            Op::Readlinkat       => sys!(SYS_readlinkat, self.dir(call), p, sink, count),

            Op::Mkdir            => sys!(SYS_mkdir, p, mode()),
            Op::Mkdirat          => sys!(SYS_mkdirat, self.dir(call), p, mode()),
            Op::Rmdir            => sys!(SYS_rmdir, p),
            Op::Mknod            => sys!(SYS_mknod, p, mode(), 0),
            Op::Mknodat          => sys!(SYS_mknodat, self.dir(call), p, mode(), 0),
            Op::Unlink           => sys!(SYS_unlink, p),
            Op::Unlinkat         => sys!(SYS_unlinkat, self.dir(call), p, flags()),
            Op::Rename           => sys!(SYS_rename, p, q),
            Op::Renameat         => sys!(SYS_renameat, self.dir(call), p, self.dir2(call), q),
            Op::Renameat2        => sys!(SYS_renameat2, self.dir(call), p, self.dir2(call), q, flags()),
            Op::Link             => sys!(SYS_link, p, q),
            // An absolute path from a directory is a name of that descriptor below /proc, which the sandbox does not have.
            Op::Linkat if call.dir != NONE && call.first() == Some(b'/')
                                 => sys!(SYS_linkat, self.dir(call), c"".as_ptr(), self.dir2(call), q, flags() & !i64::from(libc::AT_SYMLINK_FOLLOW) | i64::from(libc::AT_EMPTY_PATH)),
            Op::Linkat           => sys!(SYS_linkat, self.dir(call), p, self.dir2(call), q, flags()),
            Op::Symlink          => sys!(SYS_symlink, q, p),
            Op::Symlinkat        => sys!(SYS_symlinkat, q, self.dir(call), p),

            Op::Chmod            => sys!(SYS_chmod, p, mode()),
            Op::Fchmod           => sys!(SYS_fchmod, self.fd(call), mode()),
            Op::Fchmodat         => sys!(SYS_fchmodat, self.dir(call), p, mode()),
            Op::Fchmodat2        => sys!(SYS_fchmodat2, self.dir(call), p, mode(), flags()),
            Op::Chown            => sys!(SYS_chown, p, owner(Col::Uid), owner(Col::Gid)),
            Op::Lchown           => sys!(SYS_lchown, p, owner(Col::Uid), owner(Col::Gid)),
            Op::Fchown           => sys!(SYS_fchown, self.fd(call), owner(Col::Uid), owner(Col::Gid)),
            Op::Fchownat         => sys!(SYS_fchownat, self.dir(call), p, owner(Col::Uid), owner(Col::Gid), flags()),
            Op::Utimensat        => sys!(SYS_utimensat, self.dir(call), p, times(call, words), flags()),

            Op::Getxattr         => sys!(SYS_getxattr, p, n, sink, self.bounded(count)),
            Op::Lgetxattr        => sys!(SYS_lgetxattr, p, n, sink, self.bounded(count)),
            Op::Fgetxattr        => sys!(SYS_fgetxattr, self.fd(call), n, sink, self.bounded(count)),
            Op::Listxattr        => sys!(SYS_listxattr, p, sink, self.bounded(count)),
            Op::Llistxattr       => sys!(SYS_llistxattr, p, sink, self.bounded(count)),
            Op::Flistxattr       => sys!(SYS_flistxattr, self.fd(call), sink, self.bounded(count)),
            Op::Setxattr         => sys!(SYS_setxattr, p, n, source, self.bounded(count), flags()),
            Op::Lsetxattr        => sys!(SYS_lsetxattr, p, n, source, self.bounded(count), flags()),
            Op::Fsetxattr        => sys!(SYS_fsetxattr, self.fd(call), n, source, self.bounded(count), flags()),
            Op::Removexattr      => sys!(SYS_removexattr, p, n),
            Op::Lremovexattr     => sys!(SYS_lremovexattr, p, n),
            Op::Fremovexattr     => sys!(SYS_fremovexattr, self.fd(call), n),

            Op::Fcntl            => fcntl(self.fd(call), call, words),
            Op::Flock            => sys!(SYS_flock, self.fd(call), c(Col::Cmd) | i64::from(libc::LOCK_NB)),
            Op::Ioctl            => sys!(SYS_ioctl, self.fd(call), c(Col::Cmd), self.argument(call)),
            Op::Chdir            => sys!(SYS_chdir, p),
            Op::Fchdir           => sys!(SYS_fchdir, self.fd(call)),

            // The loader refuses them: only the model knows these.
            Op::Splice | Op::Dup | Op::CloseRange | Op::CacheAdd | Op::Munmap | Op::Mremap | Op::Umask | Op::Chroot | Op::User | Op::Fork | Op::Exec | Op::Exit | Op::ExitGroup | Op::Joined | Op::PidfdGetfd | Op::Unshare | Op::Setns | Op::Special => -i64::from(libc::ENOSYS),
        }
    }

    fn request(&self, call: Call<'_>) -> Option<Request> {
        let (code, fd) = (Code::of(call.op)?, self.fd(call));
        // Those who have many in flight give each a buffer to read into, unless it reads more than that holds.
        let address = match code {
            Code::Read => self.shared.sink.start(),
            Code::Write => self.from,
            Code::Fsync | Code::Fdatasync => {
                return Some(Request { code, fd, address: std::ptr::null_mut(), length: 0, offset: 0 });
            }
        };
        let length = u32::try_from(self.count).ok().filter(|length| *length as usize <= MOST)?;
        Some(Request { code, fd, address, length, offset: call.arg(Col::Offset) })
    }

    #[inline(always)]
    fn settle(&mut self, call: Call<'_>, ret: i64) {
        let failed = errno(ret) != 0;
        match call.op {
            Op::Open | Op::Openat | Op::Openat2 | Op::Creat if !failed => {
                let fd = ret as i32;
                // An open that failed in the capture has no description, and nobody uses its descriptor.
                let stale = if call.ofd == NONE { fd } else { self.shared.fds.set(call.ofd, fd) };
                if stale >= 0 {
                    sys!(SYS_close, stale);
                }
            }
            // Closed also when close reports an error (close(2)).
            Op::Close if call.ofd != NONE => drop(self.shared.fds.set(call.ofd, -1)),
            Op::Mmap if !failed => drop(sys!(SYS_munmap, ret, self.count)),
            Op::Chdir | Op::Fchdir if !failed => self.cwd.clear(),
            // A path may now name another directory than the one a worker is in: makes all workers change directory again.
            Op::Rename | Op::Renameat | Op::Renameat2 | Op::Rmdir | Op::Unlink | Op::Unlinkat | Op::Symlink | Op::Symlinkat
                if !failed =>
            {
                self.shared.moves.get().fetch_add(1, Ordering::AcqRel);
            }
            _ => {}
        }
    }
}

/// The times argument of utimensat(2): NULL, which means now, when no times were captured.
fn times(call: Call<'_>, words: *const i64) -> *const i64 {
    if call.get(Col::Atime).is_none() && call.get(Col::Mtime).is_none() { std::ptr::null() } else { words }
}

fn fcntl(fd: i32, call: Call<'_>, flock: *const i64) -> i64 {
    let cmd = call.arg(Col::Cmd);
    match lock_command(cmd) {
        Some(cmd) => sys!(SYS_fcntl, fd, cmd, flock),
        None if cmd as i32 == libc::F_SETFL => sys!(SYS_fcntl, fd, cmd, open_flags(call.arg(Col::Arg))),
        None => sys!(SYS_fcntl, fd, cmd, call.arg(Col::Arg)),
    }
}
