//! The syscall table: one row per syscall, `name (arguments) -> return, instant of the effect => replay`.

use super::{At, Def, Interface, Op, Replay, Ret, Role};

macro_rules! syscalls {
    ($($name:ident ($($arg:ident),*) -> $ret:ident, $at:ident => $how:ident ($($what:tt)*);)*) => {
        /// A syscall that has a row in the table, or something only a live capture shows (`joined_fd`, `uring_read` ...).
        #[expect(non_camel_case_types, missing_docs, reason = "the variants are the kernel's names")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Syscall { $($name),* }

        impl Syscall {
            /// Every syscall of the table, in the order of the rows.
            pub const ALL: &'static [Syscall] = &[$(Syscall::$name),*];

            /// The syscall of this name, as strace spells it.
            pub fn parse(name: &[u8]) -> Option<Syscall> {
                const { assert!(TABLE.len() < 255) };
                $(const $name: &[u8] = stringify!($name).as_bytes();)*
                match name { $($name => Some(Syscall::$name),)* _ => None }
            }
        }

        /// The rows, indexed by [`Syscall`].
        pub static TABLE: &[Def] = &[$(Def::row(
            stringify!($name), &[$(Role::$arg),*], Ret::$ret, At::$at,
            { #[allow(unused_imports)] use Op::*; Replay::$how($($what)*) },
        )),*];
    };
}

impl Syscall {
    /// The syscall's row of the table.
    pub fn def(self) -> &'static Def {
        &TABLE[self as usize]
    }

    /// The name as strace and the kernel's tables have it.
    pub fn name(self) -> &'static str {
        self.def().name
    }

    /// Is it a call that programs make, rather than something a live capture adds (a snapshot, a request, a page fault)?
    pub const fn is_call(self) -> bool {
        // The others stand at the end.
        (self as u8) < Syscall::joined_cwd as u8
    }

    /// By which interface a request was handed over; `None` for what is no request.
    pub const fn interface(self) -> Option<Interface> {
        match self as u8 {
            number if number >= Syscall::aio_pread as u8 && number <= Syscall::aio_fdsync as u8 => Some(Interface::Aio),
            number if number >= Syscall::uring_read as u8 && number <= Syscall::uring_linkat as u8 => Some(Interface::Uring),
            _ => None,
        }
    }

    /// Operation that the call performs; `None` when it is dropped.
    pub fn op(self) -> Option<Op> {
        self.def().op()
    }
}

#[rustfmt::skip]
mod rows {
    #![allow(non_upper_case_globals, reason = "constants named as the kernel names its calls")]
    use super::*;
syscalls! {
    // Data
    read             (Fd, Buf, Count)                                -> Bytes,   Entry  => As(Read);
    readv            (Fd, Iov, IovCnt)                               -> Bytes,   Entry  => As(Readv);
    pread64          (Fd, Buf, Count, Offset)                        -> Bytes,   Entry  => As(Pread);
    preadv           (Fd, Iov, IovCnt, Offset)                       -> Bytes,   Entry  => As(Preadv);
    preadv2          (Fd, Iov, IovCnt, Offset, Flags)                -> Bytes,   Entry  => As(Preadv2);
    write            (Fd, Buf, Count)                                -> Bytes,   Entry  => As(Write);
    writev           (Fd, Iov, IovCnt)                               -> Bytes,   Entry  => As(Writev);
    pwrite64         (Fd, Buf, Count, Offset)                        -> Bytes,   Entry  => As(Pwrite);
    pwritev          (Fd, Iov, IovCnt, Offset)                       -> Bytes,   Entry  => As(Pwritev);
    pwritev2         (Fd, Iov, IovCnt, Offset, Flags)                -> Bytes,   Entry  => As(Pwritev2);
    copy_file_range  (Fd, OffsetPtr, Fd2, Offset2Ptr, Count, Flags)  -> Bytes,   Entry  => As(CopyFileRange);
    sendfile         (Fd2, Fd, OffsetPtr, Count)                     -> Bytes,   Entry  => Partly(Sendfile, "where one side is no file, issued as a read or a write of the other, of the bytes that were moved");
    sendfile64       (Fd2, Fd, OffsetPtr, Count)                     -> Bytes,   Entry  => Partly(Sendfile, "where one side is no file, issued as a read or a write of the other, of the bytes that were moved");
    splice           (Fd, OffsetPtr, Fd2, Offset2Ptr, Count, Flags)  -> Bytes,   Entry  => Partly(Splice, "issued as a read or a write of the file, of the bytes that were moved: the other side is a pipe");
    tee              (Fd, Fd2, Count, Flags)                         -> Bytes,   Entry  => Drop("both sides are pipes, and pipes are not replayed");
    vmsplice         (Fd, Iov, IovCnt, Flags)                        -> Bytes,   Entry  => Drop("between memory and a pipe, and pipes are not replayed");

    // Descriptors
    open             (Path, OpenFlags, Mode)                         -> NewFd,   Return => As(Open);
    openat           (DirFd, Path, OpenFlags, Mode)                  -> NewFd,   Return => As(Openat);
    openat2          (DirFd, Path, How, Skip)                        -> NewFd,   Return => As(Openat2);
    creat            (Path, Mode)                                    -> NewFd,   Return => As(Creat);
    open_by_handle_at (DirFd, Buf, OpenFlags)                        -> NewFd,   Return => Drop("file handles name inodes of the captured file system");
    name_to_handle_at (DirFd, Path, Buf, Buf, AtFlags)               -> Status,  Entry  => Drop("file handles name inodes of the captured file system");
    close            (Fd)                                            -> Status,  Entry  => As(Close);
    close_range      (Fd, Fd2, Flags)                                -> Status,  Entry  => Model(CloseRange);
    dup              (Fd)                                            -> NewFd,   Return => Model(Dup);
    dup2             (Fd, Fd2)                                       -> NewFd,   Return => Model(Dup);
    dup3             (Fd, Fd2, OpenFlags)                            -> NewFd,   Return => Model(Dup);
    lseek            (Fd, Offset, Whence)                            -> Pos,     Entry  => As(Lseek);
    _llseek          (Fd, OffsetHigh, Offset, ResultPtr, Whence)     -> Status,  Entry  => Partly(Lseek, "32-bit call, issued as lseek");
    fcntl            (Fd, Cmd, Arg)                                  -> Value,   Return => As(Fcntl);
    fcntl64          (Fd, Cmd, Arg)                                  -> Value,   Return => Partly(Fcntl, "32-bit call, issued as fcntl");
    flock            (Fd, Cmd)                                       -> Status,  Return => Partly(Flock, "issued without waiting, at the moment it was granted");
    ioctl            (Fd, Cmd, Arg)                                  -> Value,   Entry  => Partly(Ioctl, "only FICLONE, requests that ask a file for its flags and the like, and those that it refuses; what others change is not known");

    // Sizes and space
    truncate         (Path, Count)                                   -> Status,  Entry  => As(Truncate);
    truncate64       (Path, Count)                                   -> Status,  Entry  => Partly(Truncate, "32-bit call, issued as truncate");
    ftruncate        (Fd, Count)                                     -> Status,  Entry  => As(Ftruncate);
    ftruncate64      (Fd, Count)                                     -> Status,  Entry  => Partly(Ftruncate, "32-bit call, issued as ftruncate");
    fallocate        (Fd, Flags, Offset, Count)                      -> Status,  Entry  => As(Fallocate);
    fsync            (Fd)                                            -> Status,  Entry  => As(Fsync);
    fdatasync        (Fd)                                            -> Status,  Entry  => As(Fdatasync);
    syncfs           (Fd)                                            -> Status,  Entry  => As(Syncfs);
    sync             ()                                              -> Status,  Entry  => Partly(Sync, "issued as syncfs of the replay tree, not of the whole machine");
    sync_file_range  (Fd, Offset, Count, Flags)                      -> Status,  Entry  => As(SyncFileRange);
    sync_file_range2 (Fd, Flags, Offset, Count)                      -> Status,  Entry  => Partly(SyncFileRange, "call of arm and powerpc, issued as sync_file_range");
    readahead        (Fd, Offset, Count)                             -> Status,  Entry  => As(Readahead);
    fadvise64        (Fd, Offset, Count, Flags)                      -> Status,  Entry  => As(Fadvise);
    fadvise64_64     (Fd, Offset, Count, Flags)                      -> Status,  Entry  => Partly(Fadvise, "32-bit call, issued as fadvise64");
    mmap             (Addr, Count, Prot, Flags, Fd, Offset)          -> Addr,    Return => Partly(Mmap, "mapped and unmapped at once: what is touched is mapped again, where page faults are captured (mmap_fault)");
    mmap2            (Addr, Count, Prot, Flags, Fd, Offset)          -> Addr,    Return => Partly(Mmap, "mapped and unmapped at once: what is touched is mapped again, where page faults are captured (mmap_fault)");
    munmap           (Start, Count)                                  -> Status,  Entry  => Model(Munmap);
    mremap           (Start, Skip, Count, Flags, Skip)               -> Addr,    Entry  => Model(Mremap);
    msync            (Start, Count, Flags)                           -> Status,  Entry  => Partly(Msync, "on a mapping that is made for it; only where page faults are captured, so that mappings are followed");
    madvise          (Start, Count, Advice)                          -> Status,  Entry  => Partly(Madvise, "MADV_WILLNEED on a mapped file, as fadvise64; MADV_RANDOM and MADV_SEQUENTIAL hold for page faults behind them; no other");

    // Metadata
    stat             (Path, Stat)                                    -> Status,  Entry  => As(Stat);
    stat64           (Path, Stat)                                    -> Status,  Entry  => Partly(Stat, "32-bit call, issued as stat");
    lstat            (Path, Stat)                                    -> Status,  Entry  => As(Lstat);
    lstat64          (Path, Stat)                                    -> Status,  Entry  => Partly(Lstat, "32-bit call, issued as lstat");
    fstat            (Fd, Stat)                                      -> Status,  Entry  => As(Fstat);
    fstat64          (Fd, Stat)                                      -> Status,  Entry  => Partly(Fstat, "32-bit call, issued as fstat");
    newfstatat       (DirFd, Path, Stat, AtFlags)                    -> Status,  Entry  => As(Fstatat);
    fstatat64        (DirFd, Path, Stat, AtFlags)                    -> Status,  Entry  => Partly(Fstatat, "32-bit call, issued as newfstatat");
    statx            (DirFd, Path, AtFlags, Skip, Statx)             -> Status,  Entry  => As(Statx);
    statfs           (Path, Buf)                                     -> Status,  Entry  => As(Statfs);
    statfs64         (Path, Skip, Buf)                               -> Status,  Entry  => Partly(Statfs, "32-bit call, issued as statfs");
    fstatfs          (Fd, Buf)                                       -> Status,  Entry  => As(Fstatfs);
    fstatfs64        (Fd, Skip, Buf)                                 -> Status,  Entry  => Partly(Fstatfs, "32-bit call, issued as fstatfs");
    access           (Path, Access)                                  -> Status,  Entry  => As(Access);
    faccessat        (DirFd, Path, Access)                           -> Status,  Entry  => As(Faccessat);
    faccessat2       (DirFd, Path, Access, AtFlags)                  -> Status,  Entry  => As(Faccessat2);
    getdents         (Fd, Buf, Count)                                -> Dirents, Entry  => As(Getdents);
    getdents64       (Fd, Buf, Count)                                -> Dirents, Entry  => As(Getdents64);
    readdir          (Fd, Buf, Skip)                                 -> Value,   Entry  => Partly(Getdents64, "32-bit call that reads one entry, issued as getdents64 of a buffer");
    readlink         (Path, Link, Count)                             -> Len,     Entry  => As(Readlink);
    readlinkat       (DirFd, Path, Link, Count)                      -> Len,     Entry  => As(Readlinkat);
    chmod            (Path, Mode)                                    -> Status,  Entry  => As(Chmod);
    fchmod           (Fd, Mode)                                      -> Status,  Entry  => As(Fchmod);
    fchmodat         (DirFd, Path, Mode)                             -> Status,  Entry  => As(Fchmodat);
    fchmodat2        (DirFd, Path, Mode, AtFlags)                    -> Status,  Entry  => As(Fchmodat2);
    chown            (Path, Uid, Gid)                                -> Status,  Entry  => As(Chown);
    chown16          (Path, Uid, Gid)                                -> Status,  Entry  => Partly(Chown, "32-bit call, issued as chown");
    chown32          (Path, Uid, Gid)                                -> Status,  Entry  => Partly(Chown, "32-bit call, issued as chown");
    lchown           (Path, Uid, Gid)                                -> Status,  Entry  => As(Lchown);
    lchown16         (Path, Uid, Gid)                                -> Status,  Entry  => Partly(Lchown, "32-bit call, issued as lchown");
    lchown32         (Path, Uid, Gid)                                -> Status,  Entry  => Partly(Lchown, "32-bit call, issued as lchown");
    fchown           (Fd, Uid, Gid)                                  -> Status,  Entry  => As(Fchown);
    fchown16         (Fd, Uid, Gid)                                  -> Status,  Entry  => Partly(Fchown, "32-bit call, issued as fchown");
    fchown32         (Fd, Uid, Gid)                                  -> Status,  Entry  => Partly(Fchown, "32-bit call, issued as fchown");
    fchownat         (DirFd, Path, Uid, Gid, AtFlags)                -> Status,  Entry  => As(Fchownat);
    utimensat        (DirFd, Path, Times, AtFlags)                   -> Status,  Entry  => As(Utimensat);
    utimes           (Path, Times)                                   -> Status,  Entry  => Partly(Utimensat, "issued as utimensat");
    futimesat        (DirFd, Path, Times)                            -> Status,  Entry  => Partly(Utimensat, "issued as utimensat");
    utime            (Path, Times)                                   -> Status,  Entry  => Partly(Utimensat, "issued as utimensat");
    getxattr         (Path, Name, Buf, Count)                        -> Value,   Entry  => Partly(Getxattr, "values are not captured: an attribute that was there is made without its value");
    lgetxattr        (Path, Name, Buf, Count)                        -> Value,   Entry  => Partly(Lgetxattr, "values are not captured: an attribute that was there is made without its value");
    fgetxattr        (Fd, Name, Buf, Count)                          -> Value,   Entry  => Partly(Fgetxattr, "values are not captured: an attribute that was there is made without its value");
    listxattr        (Path, Buf, Count)                              -> Value,   Entry  => As(Listxattr);
    llistxattr       (Path, Buf, Count)                              -> Value,   Entry  => As(Llistxattr);
    flistxattr       (Fd, Buf, Count)                                -> Value,   Entry  => As(Flistxattr);
    setxattr         (Path, Name, Buf, Count, Flags)                 -> Status,  Entry  => Partly(Setxattr, "values are not captured: zeroes of the captured length are set");
    lsetxattr        (Path, Name, Buf, Count, Flags)                 -> Status,  Entry  => Partly(Lsetxattr, "values are not captured: zeroes of the captured length are set");
    fsetxattr        (Fd, Name, Buf, Count, Flags)                   -> Status,  Entry  => Partly(Fsetxattr, "values are not captured: zeroes of the captured length are set");
    removexattr      (Path, Name)                                    -> Status,  Entry  => As(Removexattr);
    lremovexattr     (Path, Name)                                    -> Status,  Entry  => As(Lremovexattr);
    fremovexattr     (Fd, Name)                                      -> Status,  Entry  => As(Fremovexattr);

    // Names
    mkdir            (Path, Mode)                                    -> Status,  Return => As(Mkdir);
    mkdirat          (DirFd, Path, Mode)                             -> Status,  Return => As(Mkdirat);
    mknod            (Path, Mode, Skip)                              -> Status,  Return => Partly(Mknod, "regular files, FIFOs and sockets; no devices");
    mknodat          (DirFd, Path, Mode, Skip)                       -> Status,  Return => Partly(Mknodat, "regular files, FIFOs and sockets; no devices");
    rmdir            (Path)                                          -> Status,  Entry  => As(Rmdir);
    unlink           (Path)                                          -> Status,  Entry  => As(Unlink);
    unlinkat         (DirFd, Path, AtFlags)                          -> Status,  Entry  => As(Unlinkat);
    rename           (Path, Path2)                                   -> Status,  Return => As(Rename);
    renameat         (DirFd, Path, DirFd2, Path2)                    -> Status,  Return => As(Renameat);
    renameat2        (DirFd, Path, DirFd2, Path2, Flags)             -> Status,  Return => As(Renameat2);
    link             (Path, Path2)                                   -> Status,  Return => As(Link);
    linkat           (DirFd, Path, DirFd2, Path2, AtFlags)           -> Status,  Return => As(Linkat);
    symlink          (Target, Path)                                  -> Status,  Return => As(Symlink);
    symlinkat        (Target, DirFd, Path)                           -> Status,  Return => As(Symlinkat);

    // Processes
    chdir            (Path)                                          -> Status,  Return => As(Chdir);
    fchdir           (Fd)                                            -> Status,  Return => As(Fchdir);
    getcwd           (Path, Count)                                   -> Len,     Entry  => As(Getcwd);
    umask            (Mode)                                          -> Value,   Return => Model(Umask);
    fork             ()                                              -> Pid,     Entry  => Model(Fork);
    vfork            ()                                              -> Pid,     Entry  => Model(Fork);
    clone            (CloneFlags)                                    -> Pid,     Entry  => Model(Fork);
    clone3           (CloneArgs, Skip)                               -> Pid,     Entry  => Model(Fork);
    execve           (Path, Buf, Buf)                                -> Status,  Return => Model(Exec);
    execveat         (DirFd, Path, Buf, Buf, AtFlags)                -> Status,  Return => Model(Exec);
    exit             (Skip)                                          -> Never,   Entry  => Model(Exit);
    exit_group       (Skip)                                          -> Never,   Entry  => Model(ExitGroup);
    setuid           (Uid)                                           -> Status,  Return => Model(User);
    setuid16         (Uid)                                           -> Status,  Return => Model(User);
    setuid32         (Uid)                                           -> Status,  Return => Model(User);
    setreuid         (Skip, Uid)                                     -> Status,  Return => Model(User);
    setreuid16       (Skip, Uid)                                     -> Status,  Return => Model(User);
    setreuid32       (Skip, Uid)                                     -> Status,  Return => Model(User);
    setresuid        (Skip, Uid, Skip)                               -> Status,  Return => Model(User);
    setresuid16      (Skip, Uid, Skip)                               -> Status,  Return => Model(User);
    setresuid32      (Skip, Uid, Skip)                               -> Status,  Return => Model(User);
    setfsuid         (Uid)                                           -> Value,   Return => Model(User);
    setfsuid16       (Uid)                                           -> Value,   Return => Model(User);
    setfsuid32       (Uid)                                           -> Value,   Return => Model(User);
    pidfd_getfd      (Fd, Fd2, Flags)                                -> NewFd,   Return => Model(PidfdGetfd);
    unshare          (CloneFlags)                                    -> Status,  Return => Model(Unshare);
    setns            (Fd, CloneFlags)                                -> Status,  Return => Model(Setns);
    chroot           (Path)                                          -> Status,  Return => Model(Chroot);
    pivot_root       (Path, Path2)                                   -> Status,  Return => Drop("the replay has one root");
    mount            (Buf, Path, Name, Flags, Buf)                   -> Status,  Return => Drop("the replay has its own mounts");
    umount2          (Path, Flags)                                   -> Status,  Entry  => Drop("the replay has its own mounts");
    umount           (Path)                                          -> Status,  Entry  => Drop("the replay has its own mounts");
    open_tree        (DirFd, Path, OpenFlags)                        -> NewFd,   Return => Drop("the replay has its own mounts");
    open_tree_attr   (DirFd, Path, OpenFlags, Buf, Skip)             -> NewFd,   Return => Drop("the replay has its own mounts");
    move_mount       (DirFd, Path, DirFd2, Path2, Flags)             -> Status,  Return => Drop("the replay has its own mounts");
    fspick           (DirFd, Path, Skip)                             -> NewFd,   Return => Drop("the replay has its own mounts");
    mount_setattr    (DirFd, Path, AtFlags, Buf, Skip)               -> Status,  Entry  => Drop("the replay has its own mounts");

    // Descriptors that are no files: known, so that their later calls are drops with the right reason
    pipe             (Buf)                                           -> Status,  Return => Model(Special);
    pipe2            (Buf, OpenFlags)                                -> Status,  Return => Model(Special);
    socket           (Skip, Skip, Skip)                              -> NewFd,   Return => Model(Special);
    socketpair       (Skip, Skip, Skip, Buf)                         -> Status,  Return => Model(Special);
    accept           (Skip, Buf, Buf)                                -> NewFd,   Return => Model(Special);
    accept4          (Skip, Buf, Buf, Skip)                          -> NewFd,   Return => Model(Special);
    eventfd          (Skip)                                          -> NewFd,   Return => Model(Special);
    eventfd2         (Skip, Flags)                                   -> NewFd,   Return => Model(Special);
    epoll_create     (Skip)                                          -> NewFd,   Return => Model(Special);
    epoll_create1    (Skip)                                          -> NewFd,   Return => Model(Special);
    inotify_init     ()                                              -> NewFd,   Return => Model(Special);
    inotify_init1    (Skip)                                          -> NewFd,   Return => Model(Special);
    signalfd4        (Skip, Buf, Skip, Skip)                         -> NewFd,   Return => Model(Special);
    timerfd_create   (Skip, Skip)                                    -> NewFd,   Return => Model(Special);
    memfd_create     (Buf, Skip)                                     -> NewFd,   Return => Model(Special);
    pidfd_open       (Process, Skip)                                 -> NewFd,   Return => Model(Special);
    perf_event_open  (Buf, Skip, Skip, Skip, Skip)                   -> NewFd,   Return => Model(Special);
    userfaultfd      (Skip)                                          -> NewFd,   Return => Model(Special);
    signalfd         (Skip, Buf, Skip)                               -> NewFd,   Return => Model(Special);
    fanotify_init    (Skip, Skip)                                    -> NewFd,   Return => Model(Special);
    memfd_secret     (Skip)                                          -> NewFd,   Return => Model(Special);
    landlock_create_ruleset (Buf, Skip, Skip)                               -> NewFd,   Return => Model(Special);
    mq_open          (Buf, Skip, Skip, Buf)                          -> NewFd,   Return => Model(Special);
    fsopen           (Buf, Skip)                                     -> NewFd,   Return => Model(Special);
    fsmount          (Skip, Skip, Skip)                              -> NewFd,   Return => Model(Special);
    io_uring_setup   (Skip, Buf)                                     -> NewFd,   Return => Model(Special);

    // Known, and not replayed
    io_uring_enter   (Fd, Skip, Skip, Skip, Buf, Skip)               -> Value,   Entry  => Drop("the requests that went through the ring are events of their own, where they are captured");
    io_submit        (Skip, Skip, Buf)                               -> Value,   Entry  => Drop("its requests are events of their own, where they are captured");
    io_getevents     (Skip, Skip, Skip, Buf, Buf)                    -> Value,   Entry  => Drop("its requests are events of their own, where they are captured");
    inotify_add_watch (Fd, Path, Skip)                               -> Value,   Entry  => Drop("nobody waits for the notifications");
    setxattrat       (DirFd, Path, AtFlags, Name, Buf, Skip)         -> Status,  Entry  => Drop("values are not captured; the call is new in Linux 6.13");
    getxattrat       (DirFd, Path, AtFlags, Name, Buf, Skip)         -> Value,   Entry  => Drop("values are not captured; the call is new in Linux 6.13");
    listxattrat      (DirFd, Path, AtFlags, Buf, Count)              -> Value,   Entry  => Drop("the call is new in Linux 6.13");
    removexattrat    (DirFd, Path, AtFlags, Name)                    -> Status,  Entry  => Drop("the call is new in Linux 6.13");
    file_getattr     (DirFd, Path, Buf, Skip, AtFlags)               -> Status,  Entry  => Drop("attributes of a file system of its own kind");
    file_setattr     (DirFd, Path, Buf, Skip, AtFlags)               -> Status,  Entry  => Drop("attributes of a file system of its own kind");
    cachestat        (Fd, Buf, Buf, Flags)                           -> Status,  Entry  => Drop("the page cache of the replay is another one");
    fanotify_mark    (Fd, Skip, Skip, DirFd, Path)                   -> Status,  Entry  => Drop("nobody waits for the notifications");
    quotactl         (Skip, Path, Skip, Buf)                         -> Status,  Entry  => Drop("quotas belong to the captured machine");
    quotactl_fd      (Fd, Skip, Skip, Buf)                           -> Status,  Entry  => Drop("quotas belong to the captured machine");
    acct             (Path)                                          -> Status,  Entry  => Drop("it is about the whole machine");
    swapon           (Path, Skip)                                    -> Status,  Entry  => Drop("it is about the whole machine");
    swapoff          (Path)                                          -> Status,  Entry  => Drop("it is about the whole machine");
    uselib           (Path)                                          -> Status,  Entry  => Drop("the replay runs no programs");

    // No calls: what processes had when they came into the scope, requests that calls handed over, page faults, pages that come into the page cache, waits. Only
    // live captures have them.
    joined_cwd       (Path)                                          -> Status,  Entry  => Model(Joined);
    joined_fd        (Fd, OpenFlags, Arg)                            -> Status,  Entry  => Model(Joined);
    aio_pread        (Fd, Buf, Count, Offset)                        -> Bytes,   Entry  => Partly(Pread, "a request of io_submit, handed over in the same way with the captured depth, its vectors as one; a call that is waited for with `--async serial`");
    aio_pwrite       (Fd, Buf, Count, Offset)                        -> Bytes,   Entry  => Partly(Pwrite, "a request of io_submit, handed over in the same way with the captured depth, its vectors as one; a call that is waited for with `--async serial`");
    aio_fsync        (Fd)                                            -> Status,  Entry  => Partly(Fsync, "a request of io_submit, handed over in the same way; a call that is waited for with `--async serial`");
    aio_fdsync       (Fd)                                            -> Status,  Entry  => Partly(Fdatasync, "a request of io_submit, handed over in the same way; a call that is waited for with `--async serial`");
    uring_read       (Fd, Buf, Count, Offset)                        -> Bytes,   Entry  => Partly(Pread, "a request of io_uring, handed over in the same way with the captured depth, its vectors as one; a call that is waited for with `--async serial`");
    uring_write      (Fd, Buf, Count, Offset)                        -> Bytes,   Entry  => Partly(Pwrite, "a request of io_uring, handed over in the same way with the captured depth, its vectors as one; a call that is waited for with `--async serial`");
    uring_read_on    (Fd, Buf, Count)                                -> Bytes,   Entry  => Partly(Read, "a request of io_uring at the position of the descriptor (offset -1), issued as a call that is waited for");
    uring_write_on   (Fd, Buf, Count)                                -> Bytes,   Entry  => Partly(Write, "a request of io_uring at the position of the descriptor (offset -1), issued as a call that is waited for");
    uring_fsync      (Fd)                                            -> Status,  Entry  => Partly(Fsync, "a request of io_uring, handed over in the same way; a call that is waited for with `--async serial`");
    uring_fdatasync  (Fd)                                            -> Status,  Entry  => Partly(Fdatasync, "a request of io_uring, handed over in the same way; a call that is waited for with `--async serial`");
    uring_sync_range (Fd, Offset, Count, Flags)                      -> Status,  Entry  => Partly(SyncFileRange, "a request of io_uring, issued as a call that is waited for");
    uring_fadvise    (Fd, Offset, Count, Flags)                      -> Status,  Entry  => Partly(Fadvise, "a request of io_uring, issued as a call that is waited for");
    uring_fallocate  (Fd, Flags, Offset, Count)                      -> Status,  Entry  => Partly(Fallocate, "a request of io_uring, issued as a call that is waited for");
    uring_ftruncate  (Fd, Count)                                     -> Status,  Entry  => Partly(Ftruncate, "a request of io_uring, issued as a call that is waited for");
    uring_close      (Fd)                                            -> Status,  Entry  => Partly(Close, "a request of io_uring, issued as a call that is waited for");
    uring_openat     (DirFd, Path, OpenFlags, Mode)                  -> NewFd,   Return => Partly(Openat, "a request of io_uring, issued as a call that is waited for");
    uring_openat2    (DirFd, Path, OpenFlags, Mode)                  -> NewFd,   Return => Partly(Openat2, "a request of io_uring, issued as a call that is waited for");
    uring_statx      (DirFd, Path, AtFlags)                          -> Status,  Entry  => Partly(Statx, "a request of io_uring, issued as a call that is waited for; what it found is not captured");
    uring_renameat   (DirFd, Path, DirFd2, Path2, Flags)             -> Status,  Return => Partly(Renameat2, "a request of io_uring, issued as a call that is waited for");
    uring_unlinkat   (DirFd, Path, AtFlags)                          -> Status,  Entry  => Partly(Unlinkat, "a request of io_uring, issued as a call that is waited for");
    uring_mkdirat    (DirFd, Path, Mode)                             -> Status,  Return => Partly(Mkdirat, "a request of io_uring, issued as a call that is waited for");
    uring_symlinkat  (Target, DirFd, Path)                           -> Status,  Return => Partly(Symlinkat, "a request of io_uring, issued as a call that is waited for");
    uring_splice     (Fd, OffsetPtr, Fd2, Offset2Ptr, Count, Flags)  -> Bytes,   Entry  => Partly(Splice, "a request of io_uring: issued as a read or a write of the file, of the bytes that were moved: the other side is a pipe");
    uring_setxattr   (Path, Name, Buf, Count, Flags)                 -> Status,  Entry  => Partly(Setxattr, "a request of io_uring, issued as a call that is waited for; values are not captured: zeroes of the captured length are set");
    uring_fsetxattr  (Fd, Name, Buf, Count, Flags)                   -> Status,  Entry  => Partly(Fsetxattr, "a request of io_uring, issued as a call that is waited for; values are not captured: zeroes of the captured length are set");
    uring_getxattr   (Path, Name, Buf, Count)                        -> Value,   Entry  => Partly(Getxattr, "a request of io_uring, issued as a call that is waited for; values are not captured: an attribute that was there is made without its value");
    uring_fgetxattr  (Fd, Name, Buf, Count)                          -> Value,   Entry  => Partly(Fgetxattr, "a request of io_uring, issued as a call that is waited for; values are not captured: an attribute that was there is made without its value");
    uring_linkat     (DirFd, Path, DirFd2, Path2, AtFlags)           -> Status,  Return => Partly(Linkat, "a request of io_uring, issued as a call that is waited for");
    mmap_fault       (Offset, Count, Prot)                           -> Status,  Entry  => Partly(Touch, "on a mapping that is made for it: pages are read, or made dirty without another content; faults that only mapped what the page cache had around are not repeated");
    page_cache_add   (Offset, Count)                                 -> Status,  Entry  => Model(CacheAdd);
    waited           (Cmd, Arg)                                      -> Value,   Return => Drop("a thread slept until it was woken: nothing is done");

    // Its instant is the return: waits are most of what blocks for long, and nothing is ordered by them.
    other            ()                                              -> Value,   Return => Drop("a call without a row: one that concerns no file, by its name, or one that nobody knows");
}
}
pub use rows::{Syscall, TABLE};
