//! Requests of ioctl(2) that files answer.

/// The descriptor in the argument lends its file's whole content (ioctl_ficlone(2)): `_IOW(0x94, 9, int)`.
pub const FICLONE: i64 = 0x4004_9409;
/// Takes back what the next one does.
pub const FIONCLEX: i64 = 0x5450;
/// exec closes the descriptor, as fcntl(2) says it with F_SETFD.
pub const FIOCLEX: i64 = 0x5451;

/// What the argument points to of a request that [`asks`], and room for the answer. A `struct fiemap` that asks for the
/// number of a file's extents; the others ask nothing more, and their answers are shorter.
pub const QUESTION: [i64; 4] = [0, -1, 0, 0];

/// Does a request only ask a file for something: bytes left to read, size of a block, flags (ioctl_iflags(2)), version,
/// attributes (ioctl_fsgetxattr(2)), or where its data is (Documentation/filesystems/fiemap.rst)? The answer is in no
/// capture.
///
/// The numbers are of `include/uapi/linux/fs.h`. Those that a 32-bit program uses for flags and version are refused to others.
pub fn asks(request: i64) -> bool {
    const FIGETBSZ: i64 = 2;
    const FIONREAD: i64 = 0x541b;
    const FS_IOC_GETFLAGS: i64 = 0x8008_6601;
    const FS_IOC_GETVERSION: i64 = 0x8008_7601;
    const FS_IOC_FSGETXATTR: i64 = 0x801c_581f;
    const FS_IOC_FIEMAP: i64 = 0xc020_660b;
    matches!(request, FIGETBSZ | FIONREAD | FS_IOC_GETFLAGS | FS_IOC_GETVERSION | FS_IOC_FSGETXATTR | FS_IOC_FIEMAP)
}
