//! Descriptors by number.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// A copy of a descriptor that this process was started with; it shares the position (dup(2)). `None` when there
/// is none of this number, or it is one of this process's own: those are closed at an exec (FD_CLOEXEC, fcntl(2)).
pub fn inherited(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: plain numbers; a number that is no descriptor is an error.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags == -1 || flags & libc::FD_CLOEXEC != 0 {
        return None;
    }
    // SAFETY: as above.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    // SAFETY: a new descriptor that nobody else knows.
    (copy != -1).then(|| unsafe { OwnedFd::from_raw_fd(copy) })
}
