//! Which registers carry the arguments of a call, by the conventions of x86 (syscall(2)).

use super::{Role, Syscall};

impl Syscall {
    /// Number of the argument register (0 to 5) in which a 64-bit program passes the argument at this place of the row.
    pub fn register(self, place: usize) -> usize {
        // The position takes two registers, the second of which 64-bit programs do not use.
        let apart = matches!(self, Syscall::preadv2 | Syscall::pwritev2) && place == 4;
        if apart { 5 } else { place }
    }

    /// Are owners numbers of 16 bits in this call of 32-bit programs (kernel/uid16.c)?
    pub const fn short_owners(self) -> bool {
        use Syscall::{chown16, fchown16, lchown16, setfsuid16, setresuid16, setreuid16, setuid16};
        matches!(self, chown16 | fchown16 | lchown16 | setfsuid16 | setresuid16 | setreuid16 | setuid16)
    }

    /// Does a 32-bit program pass the argument of this role in two registers, low half first (arch/x86/kernel/sys_ia32.c)?
    pub fn wide(self, role: Role) -> bool {
        use Syscall::{_llseek, fadvise64_64, fallocate, ftruncate64, lseek, mmap, mmap2, sync_file_range, truncate64};
        match role {
            Role::Offset => !matches!(self, lseek | _llseek | mmap | mmap2),
            Role::Count => matches!(self, truncate64 | ftruncate64 | fallocate | sync_file_range | fadvise64_64),
            _ => false,
        }
    }
}
