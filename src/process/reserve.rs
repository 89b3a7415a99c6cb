//! Keeps what a process has in memory to itself, and overwrites it when it is not needed any more.

use anyhow::{Context, Result, ensure};
use std::io::Error;
use std::sync::atomic::{Ordering, compiler_fence};

/// Makes the memory of this process one that nobody else reads: no other process of the same user may trace it or open its memory
/// (PR_SET_DUMPABLE), it leaves no core dump (RLIMIT_CORE), and what it allocates from here on is not swapped out (MCL_FUTURE), if so
/// many bytes may be locked in memory. Closes all descriptors but the standard ones, and drops all capabilities.
///
/// # Errors
/// When the kernel refuses one of these, but for the locked memory.
pub fn keep_to_itself(bytes: u64) -> Result<()> {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: plain numbers, a limit that lives until after the call, and nothing here owns a descriptor from 3 on.
    let [undumpable, coreless, closed] = unsafe {
        [
            libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0),
            libc::setrlimit(libc::RLIMIT_CORE, &none),
            libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) as i32,
        ]
    };
    ensure!(undumpable == 0 && coreless == 0, "memory cannot be kept from other processes: {}", Error::last_os_error());
    ensure!(closed == 0, "close_range(2) is needed (Linux 5.9 or later)");
    let mut locked = none;
    // SAFETY: a limit that is writable, and a plain number. Beyond the limit nothing could be allocated any more.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut locked) == 0 && locked.rlim_cur >= bytes {
            libc::mlockall(libc::MCL_FUTURE);
        }
    }
    crate::os::rights::drop(None, &[]).context("cannot give up the rights that are not needed")
}

/// Overwrites bytes with zeroes, also when nobody looks at them afterwards.
pub fn wipe(bytes: &mut [u8]) {
    for byte in bytes.iter_mut() {
        // SAFETY: a byte that is ours; a volatile write is not left out.
        unsafe { std::ptr::write_volatile(byte, 0) };
    }
    compiler_fence(Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiped_bytes_are_zero() {
        let mut bytes = vec![7; 10_001];
        wipe(&mut bytes[1..]);
        assert!(bytes[0] == 7 && bytes[1..].iter().all(|byte| *byte == 0));
    }
}
