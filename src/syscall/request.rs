//! Requests of ioctl(2) that files answer.

/// The descriptor in the argument lends its file's whole content (ioctl_ficlone(2)): `_IOW(0x94, 9, int)`.
pub const FICLONE: i64 = 0x4004_9409;
/// Takes back what the next one does.
pub const FIONCLEX: i64 = 0x5450;
/// exec closes the descriptor, as fcntl(2) says it with F_SETFD.
pub const FIOCLEX: i64 = 0x5451;

/// The most bytes that the answer of a request has that [`asks`].
pub const ANSWER: usize = 28;

/// Does a request only ask a file for something: bytes left to read, size of a block, flags (ioctl_iflags(2)), version, or
/// attributes (ioctl_fsgetxattr(2))? The answer goes to where the argument points, and is in no capture.
///
/// The numbers are of `include/uapi/linux/fs.h`. Those that a 32-bit program uses for flags and version are refused to others.
pub fn asks(request: i64) -> bool {
    const FIGETBSZ: i64 = 2;
    const FIONREAD: i64 = 0x541b;
    const FS_IOC_GETFLAGS: i64 = 0x8008_6601;
    const FS_IOC_GETVERSION: i64 = 0x8008_7601;
    const FS_IOC_FSGETXATTR: i64 = 0x801c_581f;
    matches!(request, FIGETBSZ | FIONREAD | FS_IOC_GETFLAGS | FS_IOC_GETVERSION | FS_IOC_FSGETXATTR)
}
