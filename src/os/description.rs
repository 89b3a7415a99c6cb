//! Open file descriptions (open(2)), as far as the kernel shows them to others.

use super::kernel::KCMP_FILE;

/// Do two descriptors of two processes refer to one open file description? (kcmp(2))
pub fn same(a: (u32, i64), b: (u32, i64)) -> bool {
    // SAFETY: plain numbers.
    unsafe { libc::syscall(libc::SYS_kcmp, a.0, b.0, KCMP_FILE, a.1, b.1) == 0 }
}
