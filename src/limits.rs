//! Limits: of what is read, of this process, and how it keeps its memory.

/// Bytes of a JSON text (a manifest, a stamp) at most; what is longer was not written by ioriot.
pub const JSON: u64 = 64 << 20;

/// Raises the number of files that may be open as far as it goes. Where it cannot be raised, opens fail and say so.
pub fn raise_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: limit is readable and writable.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Keeps memory that was freed for the next one who asks (mallopt(3)): tables are read and written in large pieces of the
/// same size, again and again, and page faults would cost as much as the decoding.
#[cfg(target_arch = "x86_64")] // as the two who ask for it
pub fn keep_memory() {
    // SAFETY: plain numbers.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 << 20);
    }
}
