//! The clocks of the kernel (clock_gettime(2)).

/// Current time of CLOCK_MONOTONIC, ns.
#[inline]
pub fn now() -> i64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// Current time of any clock of clock_gettime(2), ns.
#[inline]
pub fn clock(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: time is writable; the clocks that we ask for exist on every Linux.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
