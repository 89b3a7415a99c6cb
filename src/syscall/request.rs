//! Requests of ioctl(2) on files that only ask for something, and so can be replayed.

use super::flag::{FIGETBSZ, FIONREAD, FS_IOC_FIEMAP, FS_IOC_FSGETXATTR, FS_IOC_GETFLAGS, FS_IOC_GETVERSION};

/// Memory that the argument of such a request ([`asks`]) points to, with room for the answer: a `struct fiemap` that asks for
/// the number of a file's extents. The other requests take no input, and their answers are shorter.
pub const QUESTION: [i64; 4] = [0, -1, 0, 0];

/// Does this ioctl request only ask a file for something: bytes left to read, block size, flags (ioctl_iflags(2)), version,
/// attributes (ioctl_fsgetxattr(2)), or where its data is (Documentation/filesystems/fiemap.rst)? No capture has the answer.
///
/// The 32-bit forms of the requests for flags and version do not count: a 64-bit program is refused them.
pub fn asks(request: i64) -> bool {
    matches!(request, FIGETBSZ | FIONREAD | FS_IOC_GETFLAGS | FS_IOC_GETVERSION | FS_IOC_FSGETXATTR | FS_IOC_FIEMAP)
}
