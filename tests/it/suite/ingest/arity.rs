//! Calls with more or fewer arguments than they have.

use super::{ingest_text, story};
use ioriot::ingest::Doubt;

/// What a line is rejected for, if it is, behind one that is not.
fn rejected(line: &str) -> Option<String> {
    let made = ingest_text(format!("close(9) = 0\n{line}\n")).unwrap();
    assert_eq!(made.captured.ledger.rejects + made.captured.ledger.events, 2, "{line}");
    made.captured.rejects.keys().next().map(|why| (*why).to_owned())
}

#[test]
fn a_call_with_an_argument_too_many_or_too_few_is_a_reject() {
    for line in [
        "close(3, 4) = 0",
        "openat(AT_FDCWD, \"a\", O_RDONLY, 0644, 7) = 3",
        "read(3, \"x\", 10, 5) = 1",
        "read(3, \"x\", 10, 5 <unfinished ...>) = ?",
        "read(3, 4, 10) = 4",
        "fsync() = 0",
        "fchmod(3) = 0",
        "mkdir(\"/a\") = 0",
        "creat(\"/a\") = 3",
        "umask() = 022",
        "openat(AT_FDCWD, \"a\", O_RDWR|O_CREAT) = 3",
        "fcntl(3, F_SETFL) = 0",
        "fcntl(3, F_DUPFD) = 4",
        "fcntl(3, F_GETFL, 0, 0x7ffd) = 2",
        "fcntl(3, F_SETLK, {l_type=F_WRLCK, l_whence=SEEK_SET, l_start=0, l_len=1}, 5) = 0",
        "ioctl(3, FICLONE) = 0",
        "ioctl(3, TCGETS, {c_iflag=0}, 7) = 0",
        "_llseek(3, 0, [5], SEEK_SET, 0, 0) = 0",
        "preadv2(3, [{iov_base=\"a\", iov_len=1}], 1, 0, 0, 0, 0) = 1",
        "clone(child_stack=NULL, flags=SIGCHLD, 5) = 12",
        "clone3() = 12",
        "splice(3, NULL, 4) = 1",
        "munmap(0x7f00) = 0",
        "execve(\"/bin/a\", [\"a\"]) = 0",
        "exit_group(0, 1) = ?",
        "syscall_439(0xffffff9c, 0x5597, 0, 0, 0, 0, 0, 0) = 0",
        // Registers of a 32-bit program (-e raw): the halves of its positions would be taken for the whole.
        "pread64(0x3, 0x7ffd, 0x10, 0, 0x1) = 0x10",
        "fallocate(0x3, 0, 0, 0, 0x1000, 0) = 0",
    ] {
        assert_eq!(rejected(line).as_deref(), Some("argument"), "{line}");
    }
}

#[test]
fn what_versions_of_strace_leave_out_or_add_is_read() {
    for line in [
        "open(\"/a\", O_RDONLY) = 3",
        "openat(AT_FDCWD, \"a\", O_RDONLY, 0) = 3",
        "fcntl(3, F_GETFD) = 0",
        "fcntl(0x3, 0x3, 0) = 0x8002",
        "fcntl64(3, F_SETLK64, {type=F_UNLCK, whence=SEEK_END, start=-5, len=0}, 0xbfff) = 0",
        "ioctl(3, BLKRRPART) = 0",
        "mknod(\"/f\", S_IFIFO|0600) = 0",
        "mknod(\"/d\", S_IFCHR|0600, makedev(0x1, 0x3)) = 0",
        "mremap(0x7f00, 4096, 8192, MREMAP_MAYMOVE) = 0x7f8000",
        "_llseek(3, 5, [5], SEEK_SET) = 0",
        "_llseek(0x3, 0, 0x5, 0x7ffd, 0) = 0",
        "preadv2(0x3, 0x7ffd, 0x2, 0x4d, 0, 0) = 0x1e",
        "clone(0x1200011, 0, 0, 0x7fae5a228a10, 0) = 0x5318",
        "clone(child_stack=0x7f00, stack_size=4096, flags=SIGCHLD, parent_tid=[7], tls=0x1, child_tidptr=0x7f) = 12",
        "readdir(3, {d_ino=1, d_name=\"a\"}) = 1",
        "mq_open(\"a\", O_RDONLY) = 3",
        "quotactl(Q_SYNC|USRQUOTA, \"/dev/a\") = -1 ENOSYS (Function not implemented)",
        "io_uring_enter(4, 1, 1, IORING_ENTER_GETEVENTS, NULL, 8) = 1",
        "syscall_439(0xffffff9c, 0x5597, 0, 0, 0, 0) = 0",
        "getdents64(3, 0x55d5 /* 3 entries */, 32768) = 80",
        "read(3, NULL, 10) = -1 EFAULT (Bad address)",
        "exit_group(0) = ?",
    ] {
        assert_eq!(rejected(line), None, "{line}");
    }
    // An old strace does not know that O_TMPFILE takes a mode.
    let made = ingest_text("open(\"/tmp\", O_RDWR|0x410000) = 3\n").unwrap();
    assert_eq!((story(&made), made.captured.doubts.get(&Doubt::Unprinted)), (vec!["open /tmp 3".into()], Some(&1)));
}

#[test]
fn what_is_left_of_a_damaged_argument_is_not_read() {
    for line in [
        "unlink(\"/a\\q\") = 0",
        "unlink(\"/a\\777\") = 0",
        "unlink(\"/a\\x\") = 0",
        "unlink(\"/a\"...b) = 0",
        "unlink(0xyz) = 0",
        "close(3</a>b) = 0",
        "fstat(3, {st_mode=S_NEVER|0644, st_size=5, ...}) = 0",
        "clone3({flags=CLONE_NEVER}, 88) = 12",
    ] {
        assert_eq!(rejected(line).as_deref(), Some("argument"), "{line}");
    }
}
