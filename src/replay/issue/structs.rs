//! Arguments of syscalls that are not issued as they were captured, and structures that arguments point to, as the kernel lays them
//! out.

use crate::event::{Col, TIME_NOW, TIME_OMIT};
use crate::replay::shared::call::Call;
use crate::replay::shared::record::UNPOPULATED;
use crate::syscall::lock::{Lock, What};
use crate::syscall::{Op, flag};

/// Size of the value of a POSIX access control list of three entries, bytes.
pub const ACCESS_LIST: i64 = 28;

/// The value of a POSIX access control list equivalent to a mode: `struct posix_acl_xattr_header` and an entry each for
/// owner, group and others (`include/uapi/linux/posix_acl_xattr.h`), [`ACCESS_LIST`] bytes.
pub fn access_list(mode: i64) -> [i64; 4] {
    const NOBODY: i64 = 0xffff_ffff;
    let entry = |tag: i64, shift: i64| tag << 32 | (mode >> shift & 7) << 48;
    [2 | entry(1, 6), NOBODY | entry(4, 3), NOBODY | entry(0x20, 0), NOBODY]
}

/// The non-blocking command, owned by the open file description, for a captured lock command of fcntl(2); `None` for other
/// commands.
pub fn lock_command(cmd: i64) -> Option<i32> {
    Some(match Lock::of(cmd)?.what {
        What::Get => libc::F_OFD_GETLK,
        What::Set => libc::F_OFD_SETLK,
    })
}

/// `struct flock` for a lock call: type and whence, start, length, pid 0.
pub fn flock(call: Call<'_>) -> [i64; 4] {
    let kind = match (call.get(Col::Mode), Lock::of(call.arg(Col::Cmd)).map(|lock| lock.what)) {
        // The kind was not captured: shared locks of the whole file never conflict with each other.
        (None, _) => return [flag::F_RDLCK, 0, 0, 0],
        // What is captured is the answer of F_GETLK, whose type is not the one that was asked for.
        (Some(_), Some(What::Get)) => flag::F_WRLCK,
        (Some(kind), _) => kind,
    };
    [kind & 0xffff | (call.arg(Col::Whence) & 0xffff) << 16, call.arg(Col::Offset), call.arg(Col::Count), 0]
}

/// `struct timespec` of a captured time, ns since 1970; UTIME_NOW when it is unknown.
pub fn timespec(time: Option<i64>) -> [i64; 2] {
    match time {
        Some(TIME_NOW) | None => [0, libc::UTIME_NOW],
        Some(TIME_OMIT) => [0, libc::UTIME_OMIT],
        Some(time) => [time.div_euclid(1_000_000_000), time.rem_euclid(1_000_000_000)],
    }
}

/// Mode (or protection of mmap) as captured, or the most likely one when it was not.
pub fn mode(call: Call<'_>) -> i64 {
    call.get(Col::Mode).unwrap_or(match call.op {
        Op::Open | Op::Openat | Op::Creat | Op::Mknod | Op::Mknodat => 0o666,
        Op::Mkdir | Op::Mkdirat => 0o777,
        Op::Chmod | Op::Fchmod | Op::Fchmodat | Op::Fchmodat2 => 0o644,
        Op::Mmap => i64::from(libc::PROT_READ),
        _ => 0,
    })
}

/// O_ flags as captured, without O_ASYNC and with O_NONBLOCK (not beside O_PATH, which takes no such flags, openat2(2)).
pub fn open_flags(flags: i64) -> i64 {
    let flags = flags & !i64::from(libc::O_ASYNC);
    if flags & i64::from(libc::O_PATH) != 0 { flags } else { flags | i64::from(libc::O_NONBLOCK) }
}

/// Flags of an mmap: a file mapping at any address, nothing fixed or locked, and nothing large brought into memory at once.
/// MAP_NORESERVE, so that no memory is reserved for copies that nobody writes.
pub fn map_flags(call: Call<'_>) -> i64 {
    const NEVER: i32 = libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE | libc::MAP_GROWSDOWN | libc::MAP_LOCKED | libc::MAP_ANONYMOUS;
    let never = if call.notes & UNPOPULATED != 0 { NEVER | libc::MAP_POPULATE } else { NEVER };
    call.get(Col::Flags).unwrap_or(i64::from(libc::MAP_PRIVATE)) & !i64::from(never) | i64::from(libc::MAP_NORESERVE)
}
