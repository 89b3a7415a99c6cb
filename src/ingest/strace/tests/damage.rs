//! Tests that damaged lines are rejected: text that no call has, and calls that no kernel lets succeed.

use super::{parse, rejected};
use crate::event::{AT_FDCWD, Col, Text};
use crate::ingest::parse::Why;

#[test]
fn an_argument_without_a_column_has_one_of_the_forms_of_strace() {
    for line in [
        r#"utime("a", {actime=1, modtime=2}junk) = 0"#,
        r#"utime("a", {actime=1, modtime=2, modtime=3}) = 0"#,
        r#"utime("a", garbage) = 0"#,
        "clone3({flags=SIGCHLD}junk, 88) = 12",
        "clone3({flags=SIGCHLD, flags=CLONE_VM}, 88) = 12",
        "clone3({flags=SIGCHLD} => {parent_tid=[12]}junk, 88) = 12",
        "clone3(garbage, 88) = 12",
        "clone3({flags=SIGCHLD}, size) = 12",
        "clone(child_stack=NULL, flags=SIGCHLD, {a:1}, {b:2}) = 12",
        "clone(child_stack=NULL, flags=SIGCHLD, [12], [13]) = 12",
        "clone(child_stack=NULL, flags=SIGCHLD, flags=CLONE_VM) = 12",
        "clone(child_stack=NULL, flags=CLONE_NEVER) = 12",
        "clone(child_stack=junk, flags=SIGCHLD) = 12",
        "clone(child_stack=NULL) = 12",
        r#"openat2(3, "a", {flags=O_RDWR, flags=O_RDONLY, resolve=0}, 24) = 4"#,
        r#"openat2(3, "a", {flags=O_RDWR, resolve=0}junk, 24) = 4"#,
        r#"openat2(3, "a", {flags=O_RDWR, resolve=0}, junk) = 4"#,
        r#"openat2(3, "a", junk, 24) = -1 EFAULT (Bad address)"#,
        r#"stat("a", garbage) = 0"#,
        r#"stat("a", garbage) = -1 ENOENT (No such file or directory)"#,
        r#"fstat(3, "a") = 0"#,
        r#"statx(3, "a", 0, STATX_ALL, garbage) = 0"#,
        r#"statx(3, "a", 0, garbage, {stx_mask=0, ...}) = 0"#,
        r#"statfs("a", garbage) = 0"#,
        r#"statfs("a", {f_type=EXT2_SUPER_MAGIC, ...}junk) = 0"#,
        "fstatfs(3, garbage) = 0",
        "fstatfs(3, {garbage}) = 0",
        r#"execve("/bin/a", [garbage], NULL) = 0"#,
        r#"stat("a", {a=1, b=2, c=3, d=4, e=5, f=6, g=7, h=8, i=9, j=10, k=11, l=12, garbage}) = 0"#,
        r#"stat("a", {a=1, b=2, c=3, d=4, e=5, f=6, g=7, h=8, i=9, j=10, k=11, st_size=1, st_size=2}) = 0"#,
        "write(1, 0junk, 5) = 5",
        r#"write(1, [1]"a", 5) = 5"#,
        "read(3, 0x7ffd junk, 5) = 5",
        "writev(1, [{junk, iov_len=5}], 1) = 5",
        r#"writev(1, [{iov_base="a", iov_len=1}, ...junk], 2) = 5"#,
        "getdents64(3, {junk} junk, 100) = 24",
        "munmap(junk, 4096) = 0",
        "mmap(junk, 4096, PROT_READ, MAP_PRIVATE, 3, 0) = 0x7f000000",
        "mremap(0x7f00, junk, 8192, MREMAP_MAYMOVE) = 0x7f8000",
        "_llseek(3, junk, 5, [5], SEEK_SET) = 0",
        "_llseek(3, 5, junk, SEEK_SET) = 0",
        "splice(3, junk, 4, NULL, 5, 0) = 5",
        "splice(3, NULL, 4, NULL, 5, junk) = 5",
        r#"mount("a", "/b", junk, MS_BIND, NULL) = 0"#,
        r#"mount("a", "/b", NULL, MS_BIND junk, NULL) = 0"#,
        r#"execve("/bin/a", junk, 0x7ffd /* 3 vars */) = 0"#,
        r#"execve("/bin/a", ["a"], 0x7ffd /* 3 vars */ junk) = 0"#,
        r#"mknod("/d", S_IFCHR|0600, junk) = 0"#,
        "exit_group(junk) = ?",
        "socket(junk, SOCK_STREAM, 0) = 3",
        "accept(3, junk, [16]) = 4",
        "eventfd2(0, EFD_CLOEXEC junk) = 3",
        "ioctl(3, junk, 5) = 0",
        "ioctl(3, TCGETS, junk) = 0",
        "ioctl(3, TCGETS, {c_iflag=0}junk) = 0",
        "fcntl(3, F_SETOWN, junk) = 0",
        "fcntl(3, F_SETLEASE, O_RDWR) = 0",
        "fcntl(3, F_ADD_SEALS, F_SEAL_SEAL|FD_CLOEXEC) = 0",
        "socket(AF_UNIXjunk, SOCK_STREAM, 0) = 3",
        "read(3, 4, 10) = 4",
        "fcntl(3, F_SETLK, {l_type=F_RDLCK, l_type=F_WRLCK, l_whence=SEEK_SET, l_start=0, l_len=1}) = 0",
        "fcntl(3, F_SETLK, {l_type=F_RDLCK, l_whence=SEEK_SET, l_start=0, l_len=1, junk}) = 0",
        "fcntl(3, F_GETLK, {l_type=F_RDLCK, l_whence=SEEK_SET, l_start=0, l_len=1, l_pid=5 junk}) = 0",
        "syscall_439(0xffffff9c, junk, 0, 0, 0, 0) = 0",
        // Of calls that the table does not have, too.
        "uname(@#) = 0",
        "futex(0x7f, \"a\".., 1) = 0",
        "connect(5-, {sa_family=AF_UNIX, sun_path=\"/a\"}, 110) = 0",
        "wait4(1_000, NULL, 0, NULL) = 1000",
        "prlimit64(0, 'x', NULL, NULL) = 0",
        "poll(..) = 0",
        "poll([{fd=3, events=POLLIN}]junk, 1, 0) = 0",
        "brk(foo) = 0x7f00",
        "getrandom(\"a\", 8, GRND_NONBLOCKjunk) = 8",
        "kill(12, ) = 0",
        "alarm(5, , 3) = 0",
        "rt_sigaction(SIGINT, {sa_handler=SIG_DFL} {sa_handler=SIG_DFL}, NULL, 8) = 0",
        "restart_syscall(<... resuming something ...>) = 0",
        "close(1<\\x2f\\x64<char 1:3>) = 0",
        "close(1<\\x2f\\x64<char 1:3>a>) = 0",
        "close(3<pid:12<sh>) = 0",
        "close(3<pid:<sh>>) = 0",
    ] {
        assert_eq!(rejected(line), Some(Why::Argument), "{line}");
    }
}

#[test]
fn forms_of_arguments_that_versions_and_options_print() {
    for line in [
        r#"utime("a", {actime=1 /* 1970-01-01T00:00:01 */, modtime=2 /* 1970-01-01T00:00:02 */}) = 0"#,
        "clone3({flags=CLONE_VM|CLONE_PIDFD, pidfd=0x7f, exit_signal=SIGCHLD, stack=NULL, stack_size=0} => {pidfd=[3], parent_tid=[12]}, 88) = 12",
        r#"clone3({flags=CLONE_VM, set_tid=[5], set_tid_size=1, /* bytes 88..95 */ "\x01"}, 96) = -1 E2BIG (Argument list too long)"#,
        "clone(child_stack=0x7f, flags=CLONE_VM|SIGCHLD, parent_tid=[12], tls={entry_number=6, base_addr=0xb7}, child_tidptr=0x7f) = 12",
        r#"stat("a", {...}) = 0"#,
        r#"stat("a", 0x7ffd) = -1 ENOENT (No such file or directory)"#,
        "fstat(3, NULL) = -1 EFAULT (Bad address)",
        r#"statfs("a", {f_type=EXT2_SUPER_MAGIC, f_bsize=4096, f_fsid={val=[1, 2]}, f_flags=ST_VALID|ST_RELATIME}) = 0"#,
        "fstatfs64(3, 88, {f_type=0x1021994, ...}) = 0",
        r#"statx(3, "a", 0, STATX_BASIC_STATS|0x1000 /* STATX_??? */, {stx_mask=0, stx_mtime={tv_sec=1, tv_nsec=2} /* 1970 */, ...}) = 0"#,
        r#"execve("/bin/a", ["a", "-c"..., ...], [/* 20 vars */]) = 0"#,
        r#"execve("/bin/a", ["a"], NULL) = 0"#,
        "accept(3, {sa_family=AF_UNIX, sun_path=@\"a)\"}, [110 => 5]) = 4",
        "accept4(3</a>, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"1.2.3.4\")}, [16->8], SOCK_CLOEXEC) = 4",
        "signalfd4(-1, ~[INT RTMIN], 8, SFD_CLOEXEC) = 3",
        "socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, 0x1f /* NETLINK_??? */) = 3",
        "timerfd_create(MAKE_PROCESS_CPUCLOCK(12, CPUCLOCK_PROF), 0) = -1 EINVAL (Invalid argument)",
        "pidfd_open(12<sh>, 0) = 3",
        r#"memfd_create("a"..., MFD_CLOEXEC|21<<MFD_HUGE_SHIFT) = 3"#,
        "ioctl(3, SNDCTL_TMR_TIMEBASE or TCGETS, {B38400 opost isig icanon echo ...}) = 0",
        "ioctl(3, _IOC(_IOC_READ, 0x45, 0x20, 0x8), 0x7ffd) = 0",
        "ioctl(3, DM_VERSION, {version=4.1.1, flags=DM_EXISTS_FLAG} => {version=4.2.0, ...}) = 0",
        "ioctl(3, LOOP_SET_FD, 4</img>(deleted)) = 0",
        "ioctl(3, EVIOCGNAME(256), \"a\"...) = 2",
        "fcntl(3, F_GETLK, {l_type=F_WRLCK, l_whence=SEEK_SET, l_start=0, l_len=1, l_pid=12<sh>}) = 0",
        "fcntl(3, F_SETLEASE, F_RDLCK) = 0",
        "fcntl(3, F_NOTIFY, DN_MODIFY|DN_MULTISHOT) = 0",
        "fcntl(3, F_SETOWN_EX, {type=F_OWNER_PID, pid=5}) = 0",
        r#"getdents64(3, [{d_ino=1, d_name="a}"}, {d_ino=2, d_name="b"}], 100) = 48"#,
        "writev(3, [{iov_base=[{nlmsg_len=20, nlmsg_type=0x10 /* NLMSG_??? */}, \"\\x00\"], iov_len=20}], 1) = 20",
        r#"fsetxattr(3, "user.a", "v"..., 40, 0) = 0"#,
        "perf_event_open({type=PERF_TYPE_HARDWARE, size=0x88 /* PERF_ATTR_SIZE_??? */, ...}, 0, -1, -1, PERF_FLAG_FD_CLOEXEC) = 3",
        "io_getevents(0x7f00, 1, 4, [{data=0, obj=0x7f, res=5, res2=0}], {tv_sec=1, tv_nsec=0}) = 1",
        "close(1<\\x2f\\x64<char 1:3>>) = 0",
        "pidfd_open(12<sh>, 0) = 3<pid:12<sh>>",
        "fcntl(3<pid:12<sh -c>>, F_DUPFD, 0) = 4<pid:12<sh -c>>",
        "dup2(3<\\x2f\\x64<char 136:0>>(deleted), 4<\\x2f\\x65<block 8:0>>) = 4<\\x2f\\x64<char 136:0>>(deleted)",
    ] {
        assert_eq!(rejected(line), None, "{line}");
    }
}

#[test]
fn forms_of_calls_that_concern_no_file() {
    for line in [
        "getpid() = 12",
        "futex(0xb7, FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME, 1, (nil), ffffffff) = 0",
        "futex(0x7f, FUTEX_WAKE_OP_PRIVATE, 1, 1, 0x7e, {FUTEX_OP_SET, 0, 0, FUTEX_OP_CMP_GT, 1}) = 1",
        "futex(0x7f, FUTEX_CMP_REQUEUE_PRIVATE, 1, 2147483647, 0x7e, 2) = 1",
        "restart_syscall(<... resuming interrupted nanosleep ...>) = 0",
        "sched_setaffinity(0, 8, {f, 0}) = 0",
        "sched_getaffinity(0, 128, [0 1]) = 8",
        "sched_setscheduler(0, SCHED_OTHER, { 0 }) = 0",
        "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 0}], WNOHANG|WSTOPPED, NULL) = 12",
        "wait4(-1, [WIFSIGNALED(s) && WTERMSIG(s) == SIGKILL], 0, NULL) = 12",
        "rt_sigaction(SIGRT_1, {0x804, [HUP INT], SA_RESTART}, {SIG_DFL}, 8) = 0",
        "rt_sigprocmask(SIG_BLOCK, ~[KILL STOP RTMIN RT_1], [], 8) = 0",
        "rt_sigreturn({mask=[]}) = 0",
        "kill(12<sh>, SIGTERM) = 0",
        "select(5, [3 4], NULL, NULL, {tv_sec=1, tv_usec=0}) = 1 (in [3], left {tv_sec=0, tv_usec=9})",
        "pselect6(5, [3], [], NULL, NULL, {NULL, 8}) = 1 (in [3])",
        "connect(3<UNIX-STREAM:[1]>, {sa_family=AF_UNIX, sun_path=@\"a\\0\"}, 110) = 0",
        "getsockopt(3<socket:[5]>, SOL_SOCKET, SO_ERROR, [0], [4]) = 0",
        "recvmsg(3, {msg_name(0)=NULL, msg_iov(1)=[{\"a\"..., 1}], msg_controllen=0, msg_flags=0}, 0) = 1",
        "sendto(3, {{len=20, type=0x16 /* NLMSG_??? */, flags=NLM_F_REQUEST|0x300}, \"\\0\"}, 20, 0, NULL, 0) = 20",
        "ptrace(PTRACE_PEEKUSER, 12, 8*ORIG_RAX, [0x3b]) = 0",
        "ptrace(PTRACE_POKEUSER, 12, offsetof(struct user, u_debugreg) + 56, 0) = 0",
        "prlimit64(0, RLIMIT_STACK, NULL, {rlim_cur=8192*1024, rlim_max=RLIM64_INFINITY}) = 0",
        "capset({_LINUX_CAPABILITY_VERSION_3, 0}, {1<<CAP_CHOWN, 0, 0}) = 0",
        "getsockname(3, {sa_family=AF_INET, sin_port=htons(0), sin_addr=inet_addr(\"0.0.0.0\")}, [128->16]) = 0",
        "_sysctl({{CTL_KERN, KERN_VERSION}, 2, 0x7f, 17, (nil), 0}) = 0",
        "set_thread_area({entry_number:-1 -> 6, base_addr:0xb7}) = 0",
        "arch_prctl(0x3001 /* ARCH_??? */, 0x7ffd) = -1 EINVAL (Invalid argument)",
        "time([1300000000 /* 2011-03-13T07:06:40+0000 */]) = 1300000000",
        "syscall_999(0x1, 0, 0xffffffffffffffff) = -1 (errno 38)",
    ] {
        assert_eq!(rejected(line), None, "{line}");
    }
}

#[test]
fn a_device_has_its_kind_however_its_name_is_printed() {
    for name in [r"/dev/null", r"\x2f\x64\x65\x76\x2f\x6e\x75\x6c\x6c"] {
        let event = parse(&format!("openat(AT_FDCWD<{name}>, \"a\", O_RDWR) = 3<{name}<char 1:3>>"));
        assert_eq!((event.text(Text::FdPath), event.int(Col::StMode)), (Some(&b"/dev/null"[..]), Some(0o20000)), "{name}");
        let event = parse(&format!("dup2(3<{name}<block 8:0>>, 4<{name}<char 1:3>>) = 4<{name}<block 8:0>>"));
        assert_eq!((event.text(Text::FdPath), event.int(Col::StMode)), (Some(&b"/dev/null"[..]), Some(0o60000)), "{name}");
        assert_eq!((event.text(Text::Fd2Path), event.int(Col::Fd2)), (Some(&b"/dev/null"[..]), Some(4)), "{name}");
    }
}

/// The kernel looks at 32 bits of an int, and at the lower half of the number of buffers (import_iovec).
#[test]
fn of_a_register_its_lower_half_counts() {
    for dirfd in ["0xffffffffffffff9c", "0xffffff9c", "0x7f0dffffff9c"] {
        let event = parse(&format!("syscall_0x101({dirfd}, 0x7ffd0000, 0x7f0100080000, 0x7ffd000001a4, 0, 0) = 0x3"));
        assert_eq!((event.name(), event.int(Col::DirFd), event.int(Col::Flags)), ("openat", Some(AT_FDCWD), Some(0x80000)));
        assert_eq!(event.int(Col::Mode), Some(0o644), "{dirfd}");
    }
    let event = parse("openat(0xffffff9c, 0x7ffd, 0, 0x7ffd00000003) = 0x3");
    assert_eq!((event.int(Col::DirFd), event.int(Col::Mode)), (Some(AT_FDCWD), Some(3)));
    assert_eq!(rejected(r#"readv(3, [{iov_base="abc", iov_len=3}, ...], 4294967297) = 3"#), None);
    assert_eq!(rejected(r#"readv(3, [{iov_base="abc", iov_len=3}, ...], 4294968321) = 3"#), Some(Why::Impossible));
    assert_eq!(rejected(r#"open("a", 0x100000000) = 3"#), Some(Why::Number));
}

#[test]
fn an_empty_name_stands_for_a_descriptor_only_where_a_flag_says_so() {
    for line in [
        r#"newfstatat(3, "", {st_mode=S_IFREG|0644, st_size=5, ...}, 0) = 0"#,
        r#"statx(3, "", AT_STATX_SYNC_AS_STAT, STATX_ALL, {stx_mask=0, ...}) = 0"#,
        r#"faccessat2(3, "", R_OK, AT_EACCESS) = 0"#,
        r#"fchownat(3, "", 0, 0, AT_SYMLINK_NOFOLLOW) = 0"#,
        r#"utimensat(3, "", NULL, 0) = 0"#,
        r#"unlinkat(3, "", 0) = 0"#,
        r#"linkat(3, "", 4, "b", 0) = 0"#,
        r#"linkat(3, "", 4, "", AT_EMPTY_PATH) = 0"#,
        r#"execveat(3, "", ["a"], NULL, 0) = 0"#,
        r#"name_to_handle_at(3, "", {handle_bytes=8}, [22], 0) = 0"#,
        r#"inotify_add_watch(3, "", IN_MODIFY) = 1"#,
        r#"mount("a", "", NULL, MS_BIND, NULL) = 0"#,
        r#"setxattr("a", "", "v", 1, 0) = 0"#,
    ] {
        assert_eq!(rejected(line), Some(Why::Impossible), "{line}");
    }
    for line in [
        r#"newfstatat(3, "", {st_mode=S_IFREG|0644, st_size=5, ...}, AT_EMPTY_PATH) = 0"#,
        "newfstatat(3, NULL, {st_mode=S_IFREG|0644, st_size=5, ...}, AT_EMPTY_PATH) = 0",
        r#"newfstatat(3, "", 0x7ffd, 0) = -1 ENOENT (No such file or directory)"#,
        "utimensat(3, NULL, NULL, 0) = 0",
        r#"readlinkat(3, "", "b", 9) = 1"#,
        r#"linkat(3, "", 4, "b", AT_EMPTY_PATH) = 0"#,
        r#"mount("", "/b", "tmpfs", 0, NULL) = 0"#,
        r#"open_tree(3, "", OPEN_TREE_CLONE|AT_EMPTY_PATH) = 4"#,
        r#"move_mount(4, "", AT_FDCWD, "/b", MOVE_MOUNT_F_EMPTY_PATH) = 0"#,
    ] {
        assert_eq!(rejected(line), None, "{line}");
    }
}

#[test]
fn an_error_has_its_own_words_or_those_of_no_other() {
    for line in [
        "close(3) = -1 ENOENT (Permission denied)",
        "close(3) = -1 EBADF (Success)",
        "frob(3) = -1 EPERM (Bad file descriptor) <0.1>",
        "close(3) = ? ERESTARTSYS (No such file or directory)",
    ] {
        assert_eq!(rejected(line), Some(Why::Outcome), "{line}");
    }
    for line in [
        r#"access("/x", F_OK) = -1 ENOENT (No such file or directory)"#,
        r#"access("/x", F_OK) = -1 ENOENT (Datei oder Verzeichnis nicht gefunden)"#,
        "ioctl(1, TCGETS, 0x7ffd) = -1 ENOTTY (Not a tty)",
        "fallocate(3, 0, 0, 4096) = -1 EOPNOTSUPP (Not supported)",
        "read(3, 0x7ffd, 5) = -1 EWOULDBLOCK (Resource temporarily unavailable)",
        "close(3) = -1 EIO (Input/output error) (INJECTED)",
        "close(3) = ? ERESTART_RESTARTBLOCK (Interrupted by signal)",
    ] {
        assert_eq!(rejected(line), None, "{line}");
    }
}
