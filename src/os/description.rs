//! Compares open file descriptions (open(2)) of other processes.

use super::kernel::KCMP_FILE;

/// Do two descriptors, each given as process id and number, refer to one open file description (kcmp(2))? Also false when the
/// kernel refuses to tell.
pub fn same(a: (u32, i64), b: (u32, i64)) -> bool {
    // SAFETY: plain numbers.
    unsafe { libc::syscall(libc::SYS_kcmp, a.0, b.0, KCMP_FILE, a.1, b.1) == 0 }
}
