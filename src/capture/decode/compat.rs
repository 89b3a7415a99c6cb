//! Calls of 32-bit programs (i386) on a 64-bit kernel: other numbers, and arguments that lie otherwise.
//!
//! Registers have 32 bits there, so that a 64-bit position takes two of them, low half first; pointers, lengths and the
//! older structures are smaller. Which calls and which positions: arch/x86/entry/syscalls/syscall_32.tbl and
//! arch/x86/kernel/sys_ia32.c of the kernel.

use super::argument::{lock, nanos, short};
use super::table::size;
use crate::capture::kernel::record::Record;
use crate::capture::kernel::row::{Behind, NUMBERS, Row};
use crate::event::{Col, Event, TIME_NOW, TIME_OMIT};
use crate::syscall::lock::Lock;
use crate::syscall::{Role, Syscall};

macro_rules! numbers {
    ($($syscall:ident $number:literal;)*) => {
        /// The calls of the table by their numbers on i386.
        const CALLS: &[(u16, Syscall)] = &[$(($number, Syscall::$syscall)),*];
    };
}

#[rustfmt::skip]
numbers! {
    read 3; readv 145; pread64 180; preadv 333; preadv2 378;
    write 4; writev 146; pwrite64 181; pwritev 334; pwritev2 379;
    copy_file_range 377; sendfile 187; sendfile64 239; splice 313; tee 315; vmsplice 316;
    open 5; openat 295; openat2 437; creat 8; open_by_handle_at 342; name_to_handle_at 341;
    close 6; close_range 436; dup 41; dup2 63; dup3 330; lseek 19; _llseek 140;
    fcntl 55; fcntl64 221; flock 143; ioctl 54;
    truncate 92; truncate64 193; ftruncate 93; ftruncate64 194; fallocate 324;
    fsync 118; fdatasync 148; syncfs 344; sync 36; sync_file_range 314; readahead 225; fadvise64 250; fadvise64_64 272;
    mmap2 192; munmap 91; mremap 163; msync 144;
    stat 106; stat64 195; lstat 107; lstat64 196; fstat 108; fstat64 197; fstatat64 300; statx 383;
    statfs 99; statfs64 268; fstatfs 100; fstatfs64 269; access 33; faccessat 307; faccessat2 439;
    getdents 141; getdents64 220; readdir 89; readlink 85; readlinkat 305;
    chmod 15; fchmod 94; fchmodat 306; fchmodat2 452;
    chown16 182; chown32 212; lchown16 16; lchown32 198; fchown16 95; fchown32 207; fchownat 298;
    utimensat 320; utimensat 412; utimes 271; futimesat 299; utime 30;
    getxattr 229; lgetxattr 230; fgetxattr 231; listxattr 232; llistxattr 233; flistxattr 234;
    setxattr 226; lsetxattr 227; fsetxattr 228; removexattr 235; lremovexattr 236; fremovexattr 237;
    mkdir 39; mkdirat 296; mknod 14; mknodat 297; rmdir 40; unlink 10; unlinkat 301;
    rename 38; renameat 302; renameat2 353; link 9; linkat 303; symlink 83; symlinkat 304;
    chdir 12; fchdir 133; getcwd 183; umask 60;
    fork 2; vfork 190; clone 120; clone3 435; execve 11; execveat 358; exit 1; exit_group 252;
    chroot 61; pivot_root 217; mount 21; umount2 52;
    pipe 42; pipe2 331; socket 359; socketpair 360; accept4 364; eventfd 323; eventfd2 328;
    epoll_create 254; epoll_create1 329; inotify_init 291; inotify_init1 332; signalfd4 327; timerfd_create 322;
    memfd_create 356; pidfd_open 434; perf_event_open 336; userfaultfd 374;
    io_uring_setup 425; io_uring_enter 426; inotify_add_watch 292;
    signalfd 321; fanotify_init 338; mq_open 277; memfd_secret 447; landlock_create_ruleset 444; fsopen 430; fsmount 432;
    umount 22; open_tree 428; open_tree_attr 467; move_mount 429; fspick 433; mount_setattr 442; pidfd_getfd 438;
    setxattrat 463; getxattrat 464; listxattrat 465; removexattrat 466; file_getattr 468; file_setattr 469;
    cachestat 451; quotactl 131; quotactl_fd 443; acct 51; swapon 87; swapoff 115; uselib 86;
}

/// `utimensat_time64`, whose times are as wide as those of a 64-bit program.
const WIDE_TIMES: usize = 412;

/// Calls that the table does not have; see [`super::number::OTHERS`].
const OTHERS: &[(u16, &str)] = &[(7, "waitpid"), (114, "wait4")];

/// The calls by number, and the names of those that the table does not have. None but on x86_64.
pub fn calls() -> impl Iterator<Item = (u16, Syscall, Option<&'static str>)> {
    let known = CALLS.iter().map(|(number, syscall)| (*number, *syscall, None));
    let others = OTHERS.iter().map(|(number, name)| (*number, Syscall::other, Some(*name)));
    known.chain(others).filter(|_| cfg!(target_arch = "x86_64"))
}

/// Is a number of the rows, and of records, that of a 32-bit call?
pub const fn is(number: usize) -> bool {
    number >= NUMBERS
}

/// What the kernel side reads of a 32-bit call.
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
        (Behind::Fixed, Syscall::utimes | Syscall::futimesat | Syscall::utimensat) if usize::from(number) != WIDE_TIMES => {
            row.size = size::TIMES / 2;
        }
        _ => {}
    }
    row
}

/// `struct stat` of the oldest calls (arch/x86/include/asm/compat.h).
mod old_stat {
    pub const DEV: usize = 0;
    pub const INO: usize = 4;
    pub const MODE: usize = 8;
    pub const OWNER: usize = 12;
    pub const LENGTH: usize = 20;
    pub const MTIME: usize = 40;
    pub const SIZE: u8 = 48;
}

/// `struct stat64` of i386 (arch/x86/include/uapi/asm/stat.h).
mod stat64 {
    pub const DEV: usize = 0;
    pub const MODE: usize = 16;
    pub const OWNER: usize = 24;
    pub const LENGTH: usize = 44;
    pub const MTIME: usize = 72;
    pub const INO: usize = 88;
    pub const SIZE: u8 = 96;
}

/// `struct flock` of i386: positions of 32 bits (arch/x86/include/asm/compat.h).
mod flock {
    pub const START: usize = 4;
    pub const LENGTH: usize = 8;
    pub const SIZE: u8 = 12;
}

/// `struct flock64` of i386, which is packed.
mod flock64 {
    pub const START: usize = 4;
    pub const LENGTH: usize = 12;
    pub const SIZE: u8 = 20;
}

/// Arguments that take two registers, by their places in the row.
const fn wide(syscall: Syscall) -> &'static [usize] {
    match syscall {
        Syscall::pread64 | Syscall::pwrite64 | Syscall::preadv | Syscall::pwritev | Syscall::preadv2 | Syscall::pwritev2 => &[3],
        Syscall::truncate64 | Syscall::ftruncate64 | Syscall::readahead | Syscall::fadvise64 => &[1],
        Syscall::fallocate => &[2, 3],
        Syscall::sync_file_range | Syscall::fadvise64_64 => &[1, 2],
        _ => &[],
    }
}

/// The argument at a place of the table's row, as a 64-bit program would have passed it.
pub fn register(syscall: Syscall, place: usize, record: &Record<'_>) -> u64 {
    let wide = wide(syscall);
    let at = place + wide.iter().filter(|earlier| **earlier < place).count();
    let low = record.arg(at) & 0xffff_ffff;
    if wide.contains(&place) { low | record.arg(at + 1) << 32 } else { low }
}

/// Takes an argument whose meaning differs from that of a 64-bit program. False: it does not differ.
pub fn argument(event: &mut Event, role: Role, arg: u64, record: &Record<'_>, done: bool) -> bool {
    let (syscall, behind) = (event.syscall, record.behind());
    let signed = i64::from(arg as u32 as i32);
    match role {
        Role::OffsetHigh => {}
        Role::Offset => match syscall {
            Syscall::_llseek => event.set(Col::Offset, (record.arg(1) << 32 | arg & 0xffff_ffff) as i64),
            // It counts pages.
            Syscall::mmap2 => event.set(Col::Offset, (arg << 12) as i64),
            _ if wide(syscall).is_empty() => event.set(Col::Offset, signed),
            _ => return false,
        },
        Role::Count if matches!(syscall, Syscall::truncate | Syscall::ftruncate) => event.set(Col::Count, signed),
        Role::Uid | Role::Gid if matches!(syscall, Syscall::chown16 | Syscall::lchown16 | Syscall::fchown16) => {
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
            if arg != 0 && usize::from(record.u16(crate::capture::kernel::record::at::NUMBER)) != NUMBERS + WIDE_TIMES =>
        {
            times(event, behind);
        }
        Role::Arg if Lock::asked(event).is_some() => {
            // Old commands point to the small one.
            let range = match event.int(Col::Cmd) {
                Some(..12) => signed_word(behind, flock::START).zip(signed_word(behind, flock::LENGTH)),
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

/// How many vectors there are.
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

/// A time of 32-bit seconds and nanoseconds, ns.
fn pair(behind: &[u8], at: usize) -> Option<i64> {
    signed_word(behind, at).zip(unsigned(behind, at + 4)).map(nanos)
}

/// Two times of 32-bit seconds, and nanoseconds, microseconds or nothing.
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
    use std::collections::HashSet;

    #[test]
    fn no_two_calls_have_one_number() {
        let mut seen = HashSet::new();
        for (number, syscall) in CALLS {
            assert!(usize::from(*number) < NUMBERS && seen.insert(number), "{}", syscall.name());
        }
    }

    /// Each call of the table is here, but for those that i386 calls otherwise or gives an argument in two parts, and for asynchronous I/O.
    #[test]
    fn few_calls_are_missing() {
        let here: HashSet<_> = CALLS.iter().map(|(_, syscall)| *syscall).collect();
        let missing: Vec<_> =
            Syscall::ALL.iter().filter(|call| call.is_call() && !here.contains(call)).map(|call| call.name()).collect();
        assert_eq!(
            missing.join(" "),
            "sync_file_range2 mmap newfstatat chown lchown fchown accept io_submit io_getevents fanotify_mark"
        );
    }

    #[test]
    fn rows_are_those_of_the_smaller_structures() {
        assert_eq!(row(145, Syscall::readv).size, 3);
        assert_eq!((row(187, Syscall::sendfile).behind, row(239, Syscall::sendfile64).behind), (Behind::Fixed, Behind::Two));
        assert_eq!((row(320, Syscall::utimensat).size, row(412, Syscall::utimensat).size), (16, 32));
        assert_eq!((row(106, Syscall::stat).size, row(195, Syscall::stat64).size), (48, 96));
    }
}
