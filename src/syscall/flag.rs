//! Numeric values of flags and commands as the kernel takes them, as 64-bit numbers like the columns: libc's where it has them.

macro_rules! flags {
    ($($name:ident)*) => {
        $(#[expect(missing_docs, reason = "the names are the kernel's")] pub const $name: i64 = libc::$name as i64;)*
        /// All constants that come from libc, with their names.
        #[cfg(test)]
        pub const ALL: &[(&str, i64)] = &[$((stringify!($name), $name)),*];
    };
}

flags! {
    // open(2)
    O_ACCMODE O_RDWR O_CREAT O_EXCL O_TRUNC O_APPEND O_DIRECTORY O_NOFOLLOW O_CLOEXEC O_PATH O_TMPFILE O_DIRECT O_DSYNC
    // openat(2) and its kin
    AT_FDCWD AT_SYMLINK_NOFOLLOW AT_REMOVEDIR AT_SYMLINK_FOLLOW AT_EMPTY_PATH
    // inode(7), access(2)
    S_IFMT S_IFREG X_OK
    // lseek(2), pwritev2(2), fallocate(2), mmap(2)
    SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE
    RWF_APPEND
    FALLOC_FL_KEEP_SIZE FALLOC_FL_COLLAPSE_RANGE FALLOC_FL_INSERT_RANGE
    MAP_PRIVATE MAP_ANONYMOUS PROT_READ PROT_WRITE
    // fcntl(2), flock(2), close_range(2)
    F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_OFD_GETLK F_RDLCK F_WRLCK F_UNLCK F_DUPFD_CLOEXEC F_SETLEASE F_NOTIFY F_ADD_SEALS
    FD_CLOEXEC
    LOCK_SH LOCK_EX LOCK_NB LOCK_UN
    CLOSE_RANGE_UNSHARE CLOSE_RANGE_CLOEXEC
    // renameat2(2)
    RENAME_NOREPLACE RENAME_EXCHANGE
    // clone(2), unshare(2)
    CLONE_FS CLONE_FILES CLONE_THREAD CLONE_NEWNS CLONE_NEWUSER
    // openat2(2)
    RESOLVE_NO_XDEV RESOLVE_BENEATH RESOLVE_IN_ROOT
    // ioctl(2)
    FICLONE FIONCLEX FIOCLEX FIONREAD FS_IOC_GETFLAGS FS_IOC_GETVERSION
}

/// The bit that O_TMPFILE has beside O_DIRECTORY (`__O_TMPFILE` of asm-generic/fcntl.h).
pub const TMPFILE: i64 = O_TMPFILE & !O_DIRECTORY;
/// The bits of the flags of mmap(2) that say of which kind a mapping is, of which MAP_PRIVATE is one (asm-generic/mman-common.h).
pub const MAP_TYPE: i64 = libc::MAP_TYPE as i64;
/// The flags with which mount(2) mounts no file system of its own: it moves, shows elsewhere or changes what is mounted.
pub const MS_NO_NEW: i64 = (libc::MS_REMOUNT
    | libc::MS_BIND
    | libc::MS_MOVE
    | libc::MS_SHARED
    | libc::MS_PRIVATE
    | libc::MS_SLAVE
    | libc::MS_UNBINDABLE) as i64;
/// O_LARGEFILE: the kernel adds it to the flags of every description of a 64-bit program (asm-generic/fcntl.h; libc's is 0
/// there).
pub const O_LARGEFILE: i64 = 0o100_000;
/// Most buffers of one vectored call: UIO_MAXIOV (readv(2), linux/uio.h).
pub const IOV_MAX: i64 = 1024;
/// F_GETLK with 64-bit positions, of 32-bit programs (asm-generic/fcntl.h).
pub const F_GETLK64: i64 = 12;
/// ioctl request for the block size of a file system, `_IO(0, 2)` (linux/fs.h).
pub const FIGETBSZ: i64 = 2;
/// ioctl request for the attributes of a file, `_IOR('X', 31, struct fsxattr)` (linux/fs.h).
pub const FS_IOC_FSGETXATTR: i64 = 0x801c_581f;
/// ioctl request for the extents of a file, `_IOWR('f', 11, struct fiemap)` (linux/fs.h).
pub const FS_IOC_FIEMAP: i64 = 0xc020_660b;
