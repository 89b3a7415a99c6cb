//! Decodes calls of 32-bit programs (i386) on a 64-bit kernel, which differ in numbers, registers and structures.
//!
//! Registers have 32 bits, so that a 64-bit file offset takes two of them, low half first; pointers, lengths and the older
//! structures are smaller. Sources: arch/x86/entry/syscalls/syscall_32.tbl and arch/x86/kernel/sys_ia32.c of the kernel.

use super::argument::{lock, nanos, short};
use super::table::size;
use crate::capture::kernel::record::Record;
use crate::capture::kernel::row::{Behind, NUMBERS, Row};
use crate::event::{Col, Event, TIME_NOW, TIME_OMIT};
use crate::syscall::flag::F_GETLK64;
use crate::syscall::lock::Lock;
use crate::syscall::number::Abi;
use crate::syscall::{Role, Syscall};

/// Number of `utimensat_time64` on i386, whose times have 64 bits as in a 64-bit program.
const WIDE_TIMES: u16 = 412;

/// Calls that are not captured in 32-bit programs: asynchronous I/O, and fanotify_mark, whose mask takes two registers.
const LEFT_OUT: [Syscall; 3] = [Syscall::io_submit, Syscall::io_getevents, Syscall::fanotify_mark];

/// Calls captured by name though the syscall table has no row for them; see [`super::table::OTHERS`].
const OTHERS: [&str; 2] = ["waitpid", "wait4"];

/// The i386 calls that are captured: number, call, and the name if the syscall table has no row. None except on x86_64.
pub fn calls() -> impl Iterator<Item = (u16, Syscall, Option<&'static str>)> {
    let known = Syscall::ALL.iter().copied().filter(|syscall| !LEFT_OUT.contains(syscall));
    let known = known.filter_map(|syscall| Some((syscall.number(Abi::I386)?, syscall, None)));
    let others = OTHERS.iter().filter_map(|name| Some((Abi::I386.number(name)?, Syscall::other, Some(*name))));
    let all = known.chain([(WIDE_TIMES, Syscall::utimensat, None)]).chain(others);
    all.filter(|_| cfg!(target_arch = "x86_64"))
}

/// Is a row number (as records have it) that of a 32-bit call?
pub const fn is(number: usize) -> bool {
    number >= NUMBERS
}

/// The row for a 32-bit call: that of the 64-bit one with the sizes of 32-bit structures.
pub fn row(number: u16, syscall: Syscall) -> Row {
    let mut row = Row::of(syscall);
    match (row.behind, syscall) {
        (Behind::Vectors, _) => row.size = 3,
        (Behind::Two, Syscall::sendfile) => (row.behind, row.size) = (Behind::Fixed, 4),
        (Behind::Fixed, Syscall::stat | Syscall::lstat | Syscall::fstat) => row.size = old_stat::SIZE,
        (Behind::Fixed, Syscall::stat64 | Syscall::lstat64 | Syscall::fstat64 | Syscall::fstatat64) => row.size = stat64::SIZE,
        (Behind::Lock, Syscall::fcntl) => row.size = flock::SIZE,
        (Behind::Lock, Syscall::fcntl64) => row.size = flock64::SIZE,
        (Behind::Fixed, Syscall::utime) => row.size = size::UTIMBUF / 2,
        (Behind::Fixed, Syscall::utimes | Syscall::futimesat | Syscall::utimensat) if number != WIDE_TIMES => {
            row.size = size::TIMES / 2;
        }
        _ => {}
    }
    row
}

/// Offsets of fields in the `struct stat` of the oldest stat calls of i386, bytes (arch/x86/include/asm/compat.h).
mod old_stat {
    pub const DEV: usize = 0;
    pub const INO: usize = 4;
    pub const MODE: usize = 8;
    pub const OWNER: usize = 12;
    pub const LENGTH: usize = 20;
    pub const MTIME: usize = 40;
    pub const SIZE: u8 = 48;
}

/// Offsets of fields in `struct stat64` of i386, bytes (arch/x86/include/uapi/asm/stat.h).
mod stat64 {
    pub const DEV: usize = 0;
    pub const MODE: usize = 16;
    pub const OWNER: usize = 24;
    pub const LENGTH: usize = 44;
    pub const MTIME: usize = 72;
    pub const INO: usize = 88;
    pub const SIZE: u8 = 96;
}

/// Offsets of fields in `struct flock` of i386, which has 32-bit positions, bytes (arch/x86/include/asm/compat.h).
mod flock {
    pub const START: usize = 4;
    pub const LENGTH: usize = 8;
    pub const SIZE: u8 = 12;
}

/// Offsets of fields in `struct flock64` of i386, which is packed, bytes.
mod flock64 {
    pub const START: usize = 4;
    pub const LENGTH: usize = 12;
    pub const SIZE: u8 = 20;
}

/// The argument at index `place` of the syscall table's row, widened as a 64-bit program would have passed it (64-bit
/// arguments are put together from two registers).
pub fn register(syscall: Syscall, place: usize, record: &Record<'_>) -> u64 {
    let args = syscall.def().args;
    let at = place + args[..place].iter().filter(|role| syscall.wide(**role)).count();
    let low = record.arg(at) & 0xffff_ffff;
    if syscall.wide(args[place]) { low | record.arg(at + 1) << 32 } else { low }
}

/// Decodes an argument whose meaning or structure differs from that of a 64-bit program; false when it does not differ and is
/// left to [`super::argument::argument`].
pub fn argument(event: &mut Event, role: Role, arg: u64, record: &Record<'_>, done: bool) -> bool {
    let (syscall, behind) = (event.syscall, record.behind());
    let signed = i64::from(arg as u32 as i32);
    match role {
        Role::OffsetHigh => {}
        Role::Offset => match syscall {
            Syscall::_llseek => event.set(Col::Offset, (record.arg(1) << 32 | arg & 0xffff_ffff) as i64),
            // mmap2 takes its offset in pages.
            Syscall::mmap2 => event.set(Col::Offset, (arg << 12) as i64),
            _ if !syscall.wide(role) => event.set(Col::Offset, signed),
            _ => return false,
        },
        Role::Count if matches!(syscall, Syscall::truncate | Syscall::ftruncate) => event.set(Col::Count, signed),
        Role::Uid | Role::Gid if syscall.short_owners() => {
            let id = i64::from(arg as u16);
            let col = if role == Role::Uid { Col::Uid } else { Col::Gid };
            event.set(col, if id == 0xffff { -1 } else { id });
        }
        Role::Iov => {
            if behind.len() as u64 == arg_count(record) * 8 {
                let lengths = behind.chunks_exact(8).filter_map(|vector| unsigned(vector, 4));
                event.set(Col::Count, lengths.sum());
            }
        }
        Role::OffsetPtr if syscall == Syscall::sendfile => {
            if let Some(value) = signed_word(behind, 0).filter(|_| arg != 0) {
                event.set(Col::Offset, value - record.i64(crate::capture::kernel::record::at::RET).max(0));
            }
        }
        Role::Times
            if arg != 0
                && usize::from(record.u16(crate::capture::kernel::record::at::NUMBER)) != NUMBERS + usize::from(WIDE_TIMES) =>
        {
            times(event, behind);
        }
        Role::Arg if Lock::asked(event).is_some() => {
            // Commands below F_GETLK64 point to `struct flock`, others to `struct flock64`.
            let range = match event.int(Col::Cmd) {
                Some(..F_GETLK64) => signed_word(behind, flock::START).zip(signed_word(behind, flock::LENGTH)),
                _ => long(behind, flock64::START).zip(long(behind, flock64::LENGTH)),
            };
            lock(event, short(behind, 0), short(behind, 2), range);
        }
        Role::Stat if done => {
            let found = match syscall {
                Syscall::stat | Syscall::lstat | Syscall::fstat => [
                    (Col::Dev, unsigned(behind, old_stat::DEV)),
                    (Col::Ino, unsigned(behind, old_stat::INO)),
                    (Col::StMode, unsigned(behind, old_stat::MODE).map(|mode| mode & 0xffff)),
                    (Col::StSize, unsigned(behind, old_stat::LENGTH)),
                    (Col::Uid, unsigned(behind, old_stat::OWNER).map(|both| both & 0xffff)),
                    (Col::Gid, unsigned(behind, old_stat::OWNER).map(|both| both >> 16)),
                    (Col::Mtime, pair(behind, old_stat::MTIME)),
                ],
                _ => [
                    (Col::Dev, long(behind, stat64::DEV)),
                    (Col::Ino, long(behind, stat64::INO)),
                    (Col::StMode, unsigned(behind, stat64::MODE)),
                    (Col::StSize, long(behind, stat64::LENGTH)),
                    (Col::Uid, unsigned(behind, stat64::OWNER)),
                    (Col::Gid, unsigned(behind, stat64::OWNER + 4)),
                    (Col::Mtime, pair(behind, stat64::MTIME)),
                ],
            };
            for (col, value) in found {
                event.put(col, value);
            }
        }
        _ => return false,
    }
    true
}

/// Number of vectors of a vectored call: its third argument.
fn arg_count(record: &Record<'_>) -> u64 {
    record.arg(2) & 0xffff_ffff
}

fn four(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..at + 4)?.first_chunk().copied()
}

fn unsigned(bytes: &[u8], at: usize) -> Option<i64> {
    four(bytes, at).map(|four| i64::from(u32::from_ne_bytes(four)))
}

fn signed_word(bytes: &[u8], at: usize) -> Option<i64> {
    four(bytes, at).map(|four| i64::from(i32::from_ne_bytes(four)))
}

fn long(bytes: &[u8], at: usize) -> Option<i64> {
    Some(unsigned(bytes, at)? | unsigned(bytes, at + 4)? << 32)
}

/// A time of 32-bit seconds and nanoseconds at offset `at`, in ns.
fn pair(behind: &[u8], at: usize) -> Option<i64> {
    signed_word(behind, at).zip(unsigned(behind, at + 4)).map(nanos)
}

/// Sets access and modification time from two times of 32-bit seconds with nanoseconds, microseconds or (utime) neither.
fn times(event: &mut Event, behind: &[u8]) {
    const NANOS: i64 = 1_000_000_000;
    for (which, col) in [Col::Atime, Col::Mtime].into_iter().enumerate() {
        let time = match event.syscall {
            Syscall::utime => signed_word(behind, 4 * which).map(|seconds| seconds * NANOS),
            syscall => signed_word(behind, 8 * which).zip(signed_word(behind, 8 * which + 4)).map(|(seconds, part)| {
                match (syscall, part) {
                    (Syscall::utimensat, libc::UTIME_NOW) => TIME_NOW,
                    (Syscall::utimensat, libc::UTIME_OMIT) => TIME_OMIT,
                    (Syscall::utimensat, nanos) => seconds * NANOS + nanos,
                    (_, micros) => seconds * NANOS + micros * 1000,
                }
            }),
        };
        event.put(col, time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_the_smaller_structures() {
        assert_eq!(row(145, Syscall::readv).size, 3);
        assert_eq!((row(187, Syscall::sendfile).behind, row(239, Syscall::sendfile64).behind), (Behind::Fixed, Behind::Two));
        assert_eq!((row(320, Syscall::utimensat).size, row(412, Syscall::utimensat).size), (16, 32));
        assert_eq!((row(106, Syscall::stat).size, row(195, Syscall::stat64).size), (48, 96));
    }
}
