//! Sleeping and waking on a number in shared memory (futex(2)), across processes.

use std::sync::atomic::AtomicU32;

/// Sleeps while `place` holds `value`, at most `timeout` ns (`None` for no limit). May return spuriously: the caller looks
/// again.
pub fn wait(place: &AtomicU32, value: u32, timeout: Option<i64>) {
    let timeout = timeout.map(|ns| libc::timespec { tv_sec: ns / 1_000_000_000, tv_nsec: ns % 1_000_000_000 });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the address is that of a live atomic, the timeout is NULL or lives until after the call.
    unsafe { libc::syscall(libc::SYS_futex, place.as_ptr(), libc::FUTEX_WAIT, value, timeout) };
}

/// Wakes all threads, of any process, that sleep on `place`.
pub fn wake(place: &AtomicU32) {
    // SAFETY: the address is that of a live atomic.
    unsafe { libc::syscall(libc::SYS_futex, place.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}
