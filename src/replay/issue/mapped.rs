//! Ops on mapped files. Each makes a mapping of its own for as long as it takes, of the same open file description as the captured one:
//! what the kernel remembers of reads by faults (where to read ahead) is kept there. So no workload can fill the address space, any
//! worker may issue any op, and a file that is shorter than its mapping is an error and no signal: the kernel is asked to fault
//! the pages in (MADV_POPULATE_READ and MADV_POPULATE_WRITE of madvise(2), Linux 5.14), and nobody touches them.

use super::sys::sys;
use crate::event::Col;
use crate::replay::shared::call::Call;
use crate::replay::shared::record::errno;

/// Most bytes that one op touches; a capture has at most 1 MiB in one event.
pub const MOST: i64 = 16 << 20;
/// Bytes around a fault that the kernel maps at once if they are in memory (`fault_around_bytes`): it counts these against reading
/// ahead, so the mapping has them.
const AROUND: i64 = 64 << 10;
const PAGE: i64 = 4096;
/// Most bytes of a mapping for msync: half of the address space of a process with four levels of page tables.
pub const SYNCED: i64 = 1 << 46;

/// A mapping of `length` bytes of a file from `offset` on, to be taken back with [`unmap`]; or `-errno`.
fn map(fd: i32, offset: i64, length: i64, protection: i32) -> i64 {
    sys!(SYS_mmap, 0, length, protection, libc::MAP_SHARED | libc::MAP_NORESERVE, fd, offset)
}

fn unmap(at: i64, length: i64) {
    sys!(SYS_munmap, at, length);
}

/// Brings pages of a file into memory as a fault on a mapping does, and makes them dirty if the protection has PROT_WRITE; what is in
/// them stays. Returns 0 or `-errno`: EFAULT where the file has no such page.
pub(super) fn touch(fd: i32, call: Call<'_>) -> i64 {
    let (offset, count) = (call.arg(Col::Offset), call.arg(Col::Count).clamp(1, MOST));
    if !(0..=i64::MAX - 2 * MOST).contains(&offset) {
        return -i64::from(libc::EINVAL);
    }
    let writes = call.arg(Col::Mode) & i64::from(libc::PROT_WRITE) != 0;
    let (protection, populate) = match writes {
        true => (libc::PROT_READ | libc::PROT_WRITE, libc::MADV_POPULATE_WRITE),
        false => (libc::PROT_READ, libc::MADV_POPULATE_READ),
    };
    let down = |to: i64, unit: i64| to & !(unit - 1);
    let up = |to: i64, unit: i64| down(to + unit - 1, unit);
    let from = down(offset, AROUND);
    let length = up(offset + count, AROUND) - from;
    let at = map(fd, from, length, protection);
    if errno(at) != 0 {
        return at;
    }
    // The advice that holds for the captured mapping.
    let advice = call.arg(Col::Cmd);
    if advice == i64::from(libc::MADV_RANDOM) || advice == i64::from(libc::MADV_SEQUENTIAL) {
        sys!(SYS_madvise, at, length, advice);
    }
    let first = down(offset, PAGE);
    let ret = sys!(SYS_madvise, at + (first - from), up(offset + count, PAGE) - first, populate);
    unmap(at, length);
    ret
}

/// msync(2) of a part of a file. Returns 0 or `-errno`.
pub(super) fn msync(fd: i32, call: Call<'_>) -> i64 {
    let length = call.arg(Col::Count).clamp(1, SYNCED);
    let at = map(fd, call.arg(Col::Offset), length, libc::PROT_READ);
    if errno(at) != 0 {
        return at;
    }
    let ret = sys!(SYS_msync, at, length, call.arg(Col::Flags));
    unmap(at, length);
    ret
}
