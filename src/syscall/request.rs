//! Requests of ioctl(2) that files answer.

use super::flag::{FIGETBSZ, FIONREAD, FS_IOC_FIEMAP, FS_IOC_FSGETXATTR, FS_IOC_GETFLAGS, FS_IOC_GETVERSION};

/// What the argument points to of a request that [`asks`], and room for the answer. A `struct fiemap` that asks for the
/// number of a file's extents; the others ask nothing more, and their answers are shorter.
pub const QUESTION: [i64; 4] = [0, -1, 0, 0];

/// Does a request only ask a file for something: bytes left to read, size of a block, flags (ioctl_iflags(2)), version,
/// attributes (ioctl_fsgetxattr(2)), or where its data is (Documentation/filesystems/fiemap.rst)? The answer is in no
/// capture.
///
/// Those that a 32-bit program uses for flags and version are refused to others.
pub fn asks(request: i64) -> bool {
    matches!(request, FIGETBSZ | FIONREAD | FS_IOC_GETFLAGS | FS_IOC_GETVERSION | FS_IOC_FSGETXATTR | FS_IOC_FIEMAP)
}
