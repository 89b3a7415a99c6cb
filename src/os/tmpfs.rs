//! File systems in memory that are mounted nowhere.

use super::kernel::{
    FSCONFIG_CMD_CREATE, FSCONFIG_SET_STRING, FSMOUNT_CLOEXEC, FSOPEN_CLOEXEC, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID,
};
use std::ffi::{CStr, CString};
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Makes a tmpfs(5) that can hold this many bytes and this many files (at least one page, and one file), `nosuid,nodev`, attached nowhere (fsopen(2), fsmount(2)). Its descriptor is the
/// mount: move_mount(2) attaches it, and unless that was done it is gone when the last descriptor of it is closed.
///
/// # Errors
/// Without CAP_SYS_ADMIN, or when the kernel has no such calls (Linux before 5.2).
pub fn detached(bytes: u64, inodes: u64) -> Result<OwnedFd> {
    // 0 would be no limit.
    let [size, inodes] = [bytes, inodes].map(|limit| CString::new(limit.max(1).to_string()));
    let (size, inodes) = (size?, inodes?);
    // SAFETY: texts end in NUL, and each new descriptor is owned by an OwnedFd alone.
    unsafe {
        let context = owned(libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), FSOPEN_CLOEXEC))?;
        let configure = |command: u32, key: Option<&CStr>, value: Option<&CStr>| {
            let [key, value] = [key, value].map(|text| text.map_or(std::ptr::null(), CStr::as_ptr));
            match libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, key, value, 0) {
                0 => Ok(()),
                _ => Err(Error::last_os_error()),
            }
        };
        configure(FSCONFIG_SET_STRING, Some(c"size"), Some(&size))?;
        configure(FSCONFIG_SET_STRING, Some(c"nr_inodes"), Some(&inodes))?;
        configure(FSCONFIG_CMD_CREATE, None, None)?;
        let guarded = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
        owned(libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, guarded))
    }
}

/// Takes what a call returned: a descriptor that nobody else owns, or -1.
///
/// # Safety
/// Nothing else may own the descriptor.
unsafe fn owned(ret: libc::c_long) -> Result<OwnedFd> {
    if ret < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: as the caller promises.
    Ok(unsafe { OwnedFd::from_raw_fd(ret as i32) })
}
