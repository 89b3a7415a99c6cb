//! Rejects calls that no kernel executes: their numbers are compared with what the kernel takes and returns, for every
//! text format.
//!
//! A number that does not fit the type of its argument was never seen by a kernel, whatever the call returned. Nearly
//! any other may be passed, and is refused (`lseek(3, 0, 7)` is EINVAL): so only a call that is said to have succeeded
//! with it is impossible. What newer kernels may accept (flags, commands) is not judged.

use super::parse::Why;
use crate::event::{AT_FDCWD, Col, Event, Text};
use crate::syscall::fcntl::{Gives, command};
use crate::syscall::flag::{AT_EMPTY_PATH, FD_CLOEXEC, FICLONE, IOV_MAX, LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, MAP_ANONYMOUS};
use crate::syscall::lock::Lock;
use crate::syscall::position::SHARED;
use crate::syscall::{Op, Ret, Role, Syscall};

/// LOCK_MAND of flock(2), in kernels before 5.16: any other bits were accepted with it.
const LOCK_MAND: i64 = 32;

/// The most bytes that one call reads or writes (read(2)).
const MAX_RW_COUNT: i64 = 0x7fff_f000;

/// Checks an event that a text parser made.
///
/// # Errors
/// [`Why::Number`] when a number is out of its type's range, [`Why::Impossible`] when a call that is said to have
/// succeeded cannot have.
pub fn check(event: &Event) -> Result<(), Why> {
    if !event.ints().all(|(col, value)| fits(event, col, value)) {
        return Err(Why::Number);
    }
    match event.success() {
        Some(ret) if !(returns(event, ret) && descriptors(event) && names(event) && asks(event, ret)) => Err(Why::Impossible),
        _ => Ok(()),
    }
}

/// Is the value of this column in the range of its argument's C type?
fn fits(event: &Event, col: Col, value: i64) -> bool {
    match col {
        // close_range(2) goes up to the largest unsigned number.
        Col::Fd2 if event.syscall == Syscall::close_range => i32::try_from(value).is_ok() || u32::try_from(value).is_ok(),
        Col::Fd | Col::Fd2 | Col::DirFd | Col::DirFd2 => i32::try_from(value).is_ok(),
        Col::StMode => (0..=0o177_777).contains(&value),
        Col::StSize => value >= 0,
        _ => !narrow(event, col) || i32::try_from(value).is_ok() || u32::try_from(value).is_ok(),
    }
}

/// Is the argument in this column a 32-bit one for this call?
pub fn narrow(event: &Event, col: Col) -> bool {
    match col {
        Col::Flags => !wide(event.syscall),
        Col::Mode => !matches!(event.syscall.op(), Some(Op::Mmap | Op::Openat2)),
        Col::Fd | Col::Fd2 | Col::DirFd | Col::DirFd2 | Col::Cmd | Col::Uid | Col::Gid | Col::Whence => true,
        _ => false,
    }
}

/// Syscalls whose flags have 64 bits.
fn wide(syscall: Syscall) -> bool {
    use Syscall::{clone, clone3, mmap, mmap2, mount, mremap, openat2};
    matches!(syscall, clone | clone3 | mmap | mmap2 | mount | mremap | openat2)
}

/// Can this call, having succeeded, return this value?
fn returns(event: &Event, ret: i64) -> bool {
    let row = event.syscall.def();
    let asked = event.int(Col::Count).filter(|_| row.has(Role::Count) || row.has(Role::Iov));
    // Lengths are unsigned in the kernel: one that the program passed as -1 is the largest.
    let within = || ret >= 0 && asked.is_none_or(|asked| ret as u64 <= asked as u64);
    match row.ret {
        // Old kernels returned what they had read ahead.
        Ret::Status if event.syscall == Syscall::readahead => ret >= 0,
        // The stored position stands in place of the return value.
        Ret::Status if event.syscall == Syscall::_llseek => ret >= 0,
        Ret::Status => ret == 0,
        Ret::NewFd => i32::try_from(ret).is_ok_and(|fd| fd >= 0),
        Ret::Bytes if row.op() != Some(Op::CopyFileRange) => within() && ret <= MAX_RW_COUNT,
        Ret::Bytes | Ret::Len | Ret::Dirents => within(),
        Ret::Pos => ret >= 0,
        // Extended attributes: a length of 0 asks how long they are (getxattr(2)).
        Ret::Value if row.has(Role::Count) => asked == Some(0) && ret >= 0 || within(),
        Ret::Pid => i32::try_from(ret).is_ok_and(|pid| pid >= 0),
        Ret::Value if row.op() == Some(Op::Fcntl) => match event.int(Col::Cmd).and_then(command).map(|command| command.gives) {
            Some(Gives::Zero) => ret == 0,
            Some(Gives::DescriptorFlags) => ret & !FD_CLOEXEC == 0,
            Some(Gives::NewFd) => event.int(Col::Arg).is_none_or(|least| ret >= least),
            Some(Gives::Value) | None => true,
        },
        Ret::Never => false,
        // Addresses are not compared.
        Ret::Addr | Ret::Value => true,
    }
}

/// Can the descriptors of this call, which succeeded, be open: are they not negative where one is used?
fn descriptors(event: &Event) -> bool {
    let open = |col| event.int(col).is_none_or(|fd| fd >= 0);
    // An absolute path does not use its dirfd; an unknown path may be absolute.
    let starts = |path, col| {
        let relative = event.text(path).is_some_and(|path| path.first() != Some(&b'/'));
        !relative || event.int(col) == Some(AT_FDCWD) || open(col)
    };
    let row = event.syscall.def();
    let is = |col, value| event.int(col) == Some(value);
    match row.op() {
        Some(Op::CloseRange) => true,
        // By descriptor or, since Linux 6.13, AT_FDCWD for the working directory.
        Some(Op::Fsetxattr | Op::Fgetxattr | Op::Flistxattr | Op::Fremovexattr) => open(Col::Fd) || is(Col::Fd, AT_FDCWD),
        // With LOCK_MAND nothing is locked, and with a count of 0 nothing is moved.
        Some(Op::Flock) if event.int(Col::Cmd).is_some_and(|cmd| cmd & LOCK_MAND != 0) => true,
        Some(Op::Splice) if is(Col::Count, 0) => true,
        None if event.syscall == Syscall::tee && is(Col::Count, 0) => true,
        Some(Op::Mmap) => event.int(Col::Flags).is_none_or(|flags| flags & MAP_ANONYMOUS != 0) || open(Col::Fd),
        None => !row.has(Role::Fd) || open(Col::Fd),
        Some(_) => row.args.iter().all(|role| match role {
            Role::Fd => open(Col::Fd),
            Role::Fd2 => open(Col::Fd2),
            Role::DirFd => starts(Text::Path, Col::DirFd),
            Role::DirFd2 => starts(Text::Path2, Col::DirFd2),
            _ => true,
        }),
    }
}

/// Can the names of this call, which succeeded, exist? An empty path is ENOENT except where it may stand for a
/// descriptor (AT_EMPTY_PATH; readlink(2)) or is no path (the source of a mount); an empty name of an attribute is
/// ERANGE (setxattr(2)).
fn names(event: &Event) -> bool {
    let empty = |text| event.text(text).is_some_and(<[u8]>::is_empty);
    let row = event.syscall.def();
    let path = match row.op() {
        Some(Op::Readlinkat) => true,
        Some(Op::Unlinkat) => false,
        _ if row.has(Role::AtFlags) => event.int(Col::Flags).is_none_or(|flags| flags & AT_EMPTY_PATH != 0),
        // These calls have flags of their own for an empty path.
        _ => matches!(event.syscall, Syscall::open_tree | Syscall::open_tree_attr | Syscall::move_mount | Syscall::fspick),
    };
    // Without a type, what is mounted is there already (MS_BIND, MS_MOVE, MS_REMOUNT).
    let mounts = matches!(event.syscall, Syscall::mount | Syscall::move_mount);
    (path || !empty(Text::Path)) && (mounts || (!empty(Text::Path2) || row.has(Role::Link)) && !empty(Text::Name))
}

/// Can a call with these arguments succeed and return this value?
fn asks(event: &Event, ret: i64) -> bool {
    let is = |col, good: &dyn Fn(i64) -> bool| event.int(col).is_none_or(good);
    // The kernel uses the lower 32 bits only (import_iovec, lib/iov_iter.c).
    let vector = || is(Col::IovCnt, &|count| i64::from(count as u32) <= IOV_MAX);
    match event.syscall.op() {
        Some(Op::Readv | Op::Writev) => vector(),
        Some(Op::Pread | Op::Pwrite) => is(Col::Offset, &|offset| offset >= 0),
        Some(Op::Preadv | Op::Pwritev) => vector() && is(Col::Offset, &|offset| offset >= 0),
        Some(Op::Preadv2 | Op::Pwritev2) => vector() && is(Col::Offset, &|offset| offset >= SHARED),
        Some(Op::Truncate | Op::Ftruncate) => is(Col::Count, &|length| length >= 0),
        Some(Op::SyncFileRange) => is(Col::Offset, &|offset| offset >= 0) && is(Col::Count, &|count| count >= 0),
        Some(Op::Fallocate) => is(Col::Offset, &|offset| offset >= 0) && is(Col::Count, &|count| count > 0),
        Some(Op::Lseek) => is(Col::Whence, &|whence| (0..=4).contains(&whence)),
        Some(Op::Mmap) => is(Col::Count, &|count| count != 0),
        Some(Op::Access | Op::Faccessat | Op::Faccessat2) => is(Col::Mode, &|mode| mode & !7 == 0),
        Some(Op::Dup) => is(Col::Fd2, &|fd| fd == ret),
        Some(Op::Flock) => is(Col::Cmd, &|cmd| cmd & LOCK_MAND != 0 || matches!(cmd & !LOCK_NB, LOCK_SH | LOCK_EX | LOCK_UN)),
        Some(Op::Fcntl) if Lock::asked(event).is_some() => {
            [Col::Mode, Col::Whence].iter().all(|col| is(*col, &|value| (0..=2).contains(&value)))
        }
        Some(Op::Ioctl) if event.int(Col::Cmd) == Some(FICLONE) => ret == 0,
        Some(Op::Umask) => ret & !0o777 == 0,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A syscall, values of its columns, and what it returned.
    type Case = (Syscall, &'static [(Col, i64)], i64);

    /// Result of the check for a call with these numbers and this outcome (a return value or a negated errno).
    fn said(syscall: Syscall, numbers: &[(Col, i64)], outcome: i64) -> Result<(), Why> {
        let mut event = Event::new(syscall);
        numbers.iter().for_each(|(col, value)| event.set(*col, *value));
        event.set_outcome(outcome);
        check(&event)
    }

    /// What a kernel refuses may still be asked for; only that it succeeded is impossible.
    #[test]
    fn what_is_refused_cannot_have_succeeded() {
        use Syscall::*;
        let cases: &[Case] = &[
            (lseek, &[(Col::Fd, 3), (Col::Whence, 7)], 0),
            (pread64, &[(Col::Fd, 3), (Col::Offset, -1)], 5),
            (preadv2, &[(Col::Fd, 3), (Col::Offset, -2)], 5),
            (readv, &[(Col::Fd, 3), (Col::IovCnt, 1025)], 5),
            (read, &[(Col::Fd, -1)], 5),
            (read, &[(Col::Fd, 3), (Col::Count, 4)], 5),
            (getxattr, &[(Col::Count, 4)], 5),
            (close, &[(Col::Fd, 3)], 5),
            (mmap, &[(Col::Fd, -1), (Col::Flags, 2), (Col::Count, 9)], 4096),
            (mmap, &[(Col::Fd, 3), (Col::Flags, 2), (Col::Count, 0)], 4096),
            (ftruncate, &[(Col::Fd, 3), (Col::Count, -4)], 0),
            (fallocate, &[(Col::Fd, 3), (Col::Offset, 0), (Col::Count, 0)], 0),
            (sync_file_range, &[(Col::Fd, 3), (Col::Offset, -1), (Col::Count, 1)], 0),
            (access, &[(Col::Mode, 8)], 0),
            (dup2, &[(Col::Fd, 3), (Col::Fd2, 7)], 9),
            (flock, &[(Col::Fd, 3), (Col::Cmd, 3)], 0),
            (fcntl, &[(Col::Fd, 3), (Col::Cmd, 0), (Col::Arg, 10)], 5),
            (fcntl, &[(Col::Fd, 3), (Col::Cmd, 6), (Col::Mode, 7), (Col::Whence, 0)], 0),
            (openat, &[], 1 << 31),
            (fork, &[], 1 << 31),
        ];
        for (syscall, numbers, ret) in cases {
            assert_eq!(said(*syscall, numbers, *ret), Err(Why::Impossible), "{} {numbers:?}", syscall.name());
            assert_eq!(said(*syscall, numbers, -22), Ok(()), "{} {numbers:?}", syscall.name());
        }
    }

    #[test]
    fn what_looks_odd_and_succeeds() {
        use Syscall::*;
        let cases: &[Case] = &[
            (preadv2, &[(Col::Fd, 3), (Col::Offset, -1)], 5),
            (read, &[(Col::Fd, 3), (Col::Count, -1)], 5),
            (getxattr, &[(Col::Count, 0)], 5),
            (mmap, &[(Col::Fd, -1), (Col::Flags, 0x22), (Col::Count, 9)], 4096),
            (mmap, &[(Col::Fd, 3), (Col::Flags, 1 << 40), (Col::Mode, 1 << 40)], 1 << 47),
            (close_range, &[(Col::Fd, 3), (Col::Fd2, 0xffff_ffff)], 0),
            (readahead, &[(Col::Fd, 3)], 5),
            (_llseek, &[(Col::Fd, 3), (Col::Whence, 4)], 5),
            (flock, &[(Col::Fd, 3), (Col::Cmd, 6)], 0),
            (flock, &[(Col::Fd, 3), (Col::Cmd, 0xe0)], 0),
            (fchown, &[(Col::Fd, 3), (Col::Uid, -1), (Col::Gid, 0xffff_ffff)], 0),
            (fcntl, &[(Col::Fd, 3), (Col::Cmd, 9)], -5000),
        ];
        for (syscall, numbers, ret) in cases {
            assert_eq!(said(*syscall, numbers, *ret), Ok(()), "{} {numbers:?}", syscall.name());
        }
    }

    #[test]
    fn what_no_kernel_has_seen_is_no_number() {
        for (col, value) in [
            (Col::Fd, 0xffff_ffff),
            (Col::DirFd, 1 << 40),
            (Col::Flags, 1 << 32),
            (Col::Mode, -1 << 32),
            (Col::Whence, 1 << 32),
            (Col::Uid, 1 << 32),
            (Col::Cmd, 1 << 32),
            (Col::StSize, -1),
            (Col::StMode, 1 << 16),
        ] {
            assert_eq!(said(Syscall::openat, &[(col, value)], -9), Err(Why::Number), "{}", col.name());
        }
    }

    #[test]
    fn only_an_absolute_path_starts_nowhere() {
        let open = |path: &str, dirfd| {
            let mut event = Event::new(Syscall::openat);
            event.set_text(Text::Path, path);
            event.set(Col::DirFd, dirfd);
            event.set_outcome(3);
            check(&event)
        };
        assert_eq!((open("a", -1), open("/a", -1)), (Err(Why::Impossible), Ok(())));
        assert_eq!((open("a", AT_FDCWD), open("a", 4)), (Ok(()), Ok(())));
    }
}
