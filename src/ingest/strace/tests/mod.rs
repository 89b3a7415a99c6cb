mod damage;

use super::*;
use crate::event::{AT_FDCWD, TIME_NOW, TIME_OMIT, Text};

const STRACE: Strace = Strace { numbers: Numbers::X86_64 };

fn parse(text: &str) -> Event {
    STRACE.read(text.as_bytes(), false, &mut Doubts::default()).unwrap_or_else(|why| panic!("{why:?}: {text}"))
}

fn one(line: &str) -> (Option<i64>, Stamp, What) {
    let mut batch = Batch::default();
    STRACE.line(1, line.as_bytes(), &mut batch);
    let parsed = batch.parsed.pop().unwrap_or_else(|| panic!("{:?}: {line}", batch.rejects));
    (parsed.tid, parsed.stamp, parsed.what)
}

#[test]
fn prefixes_of_every_flavour() {
    let cases = [
        ("close(3) = 0", None, Stamp::None),
        ("12 close(3) = 0", Some(12), Stamp::None),
        ("12  1795370969.863547 close(3) = 0", Some(12), Stamp::Unix(1795370969863547000)),
        ("1795370969.863547891 close(3) = 0", None, Stamp::Unix(1795370969863547891)),
        ("[pid   12] close(3) = 0", Some(12), Stamp::None),
        ("[pid 12] 01:02:03 close(3) = 0", Some(12), Stamp::Day(3723000000000)),
        ("12 01:02:03.5 close(3) = 0", Some(12), Stamp::Day(3723500000000)),
        ("     0.000012 close(3) = 0", None, Stamp::Step(12000)),
        ("12      0.000012 close(3) = 0", Some(12), Stamp::Step(12000)),
        ("01:02:03 (+     0.000012) close(3) = 0", None, Stamp::Day(3723000000000)),
        ("12<a b> close(3) = 0", Some(12), Stamp::None),
    ];
    for (line, tid, stamp) in cases {
        let (found, at, what) = one(line);
        assert_eq!((found, at), (tid, stamp), "{line}");
        assert!(matches!(what, What::Call(_)), "{line}");
    }
}

#[test]
fn an_open_has_path_flags_mode_and_what_it_opened() {
    let event = parse(r#"openat(AT_FDCWD</x>, "a\303\274\"\\\n", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 3</x/a\303\274> <0.000123>"#);
    assert_eq!(event.text(Text::Path), Some(&b"a\xc3\xbc\"\\\n"[..]));
    assert_eq!((event.int(Col::DirFd), event.text(Text::DirPath)), (Some(AT_FDCWD), Some(&b"/x"[..])));
    assert_eq!((event.int(Col::Flags), event.int(Col::Mode)), (Some(0o2000102), Some(0o644)));
    assert_eq!((event.success(), event.text(Text::FdPath)), (Some(3), Some(&b"/x/a\xc3\xbc"[..])));
    assert_eq!(event.int(Col::Dur), Some(123000));
    let event = parse(
        r#"openat2(4</x>, "a", {flags=O_RDONLY|O_NOFOLLOW, resolve=RESOLVE_NO_MAGICLINKS|RESOLVE_BENEATH}, 24) = -1 ENOENT (No such file or directory)"#,
    );
    assert_eq!((event.int(Col::Resolve), event.int(Col::Mode), event.failure()), (Some(10), None, Some(2)));
    assert_eq!(event.int(Col::Flags), Some(0o400000));
}

#[test]
fn an_openat2_of_a_bad_address_asks_for_nothing() {
    let event = parse(r#"openat2(4</x>, "a", NULL, 24) = -1 EFAULT (Bad address)"#);
    assert_eq!((event.int(Col::Flags), event.int(Col::Resolve), event.failure()), (None, None, Some(14)));
}

#[test]
fn hex_strings_raw_numbers_and_lost_names() {
    assert_eq!(parse(r#"open("\x2f\x61", 0x241, 0644) = 3"#).text(Text::Path), Some(&b"/a"[..]));
    assert_eq!(parse(r#"open("\x2f\x61", 0x241, 0644) = 3"#).int(Col::Flags), Some(0o1101));
    assert_eq!(parse(r#"open("/a"..., O_RDONLY) = 3"#).text(Text::Path), None);
    assert_eq!(parse(r#"open(0x1, O_RDONLY) = -1 EFAULT (Bad address)"#).failure(), Some(14));
    assert_eq!(parse(r#"newfstatat(-100, "", 0x7f, 0x1000) = 0"#).int(Col::DirFd), Some(AT_FDCWD));
}

#[test]
fn data_calls() {
    let event = parse(r#"pread64(3</a b>, "\6\0) = 1 <0.1>"..., 784, 64) = 784 <0.000093>"#);
    assert_eq!((event.int(Col::Count), event.int(Col::Offset), event.success()), (Some(784), Some(64), Some(784)));
    let event = parse(r#"writev(4, [{iov_base="iov_len=3", iov_len=5}, {iov_base="x"..., iov_len=4096}], 2) = 4101"#);
    assert_eq!((event.int(Col::Count), event.int(Col::IovCnt)), (Some(4101), Some(2)));
    let event = parse(r#"writev(4, [{iov_base="a", iov_len=1}, ...], 40) = 40"#);
    assert_eq!((event.int(Col::Count), event.int(Col::IovCnt)), (None, Some(40)));
    let event = parse("copy_file_range(4</a>, [10] => [20], 5</b>, NULL, 9223372035781033984, 0) = 10");
    assert_eq!((event.int(Col::Offset), event.int(Col::Offset2), event.int(Col::Fd2)), (Some(10), None, Some(5)));
    let event = parse("sendfile(5</b>, 4</a>, NULL, 100) = 100");
    assert_eq!((event.int(Col::Fd), event.int(Col::Fd2)), (Some(4), Some(5)));
    let event = parse("_llseek(4</a>, 4294967296, [4294967296], SEEK_SET) = 0");
    assert_eq!((event.success(), event.int(Col::Whence), event.int(Col::Offset)), (Some(1 << 32), Some(0), Some(1 << 32)));
    assert_eq!(parse("read(0</dev/null<char 1:3>>, \"\", 10) = 0").int(Col::StMode), Some(0o20000));
}

#[test]
fn metadata_calls() {
    let event = parse(r#"newfstatat(3</a>, "", {st_mode=S_IFREG|0644, st_size=15459, ...}, AT_EMPTY_PATH) = 0"#);
    assert_eq!(
        (event.int(Col::StMode), event.int(Col::StSize), event.int(Col::Flags)),
        (Some(0o100644), Some(15459), Some(4096))
    );
    let event = parse(
        r#"statx(3</a>, "", AT_STATX_SYNC_AS_STAT|AT_EMPTY_PATH, STATX_BASIC_STATS, {stx_mask=STATX_BASIC_STATS|STATX_MNT_ID, stx_mode=S_IFREG|0755, stx_size=7, ...}) = 0"#,
    );
    assert_eq!((event.int(Col::StMode), event.int(Col::StSize)), (Some(0o100755), Some(7)));
    let event = parse(r#"utimensat(AT_FDCWD, "a", [{tv_sec=5, tv_nsec=7} /* 1970-01-01T00:00:05, x */, UTIME_OMIT], 0) = 0"#);
    assert_eq!((event.int(Col::Atime), event.int(Col::Mtime)), (Some(5_000_000_007), Some(TIME_OMIT)));
    assert_eq!(parse(r#"utimensat(3</a>, NULL, NULL, 0) = 0"#).int(Col::Mtime), Some(TIME_NOW));
    let event = parse(r#"readlink("/a", "b\n", 4095) = 2"#);
    assert_eq!((event.text(Text::Path2), event.int(Col::Count)), (Some(&b"b\n"[..]), Some(4095)));
    let event = parse(r#"symlinkat("target", 3</d>, "name") = 0"#);
    assert_eq!(
        (event.text(Text::Path2), event.text(Text::Path), event.int(Col::DirFd)),
        (Some(&b"target"[..]), Some(&b"name"[..]), Some(3))
    );
    assert_eq!(parse(r#"mknod("/f", S_IFIFO|0600) = 0"#).int(Col::Mode), Some(0o10600));
}

#[test]
fn descriptors_and_processes() {
    let event = parse("pipe2([3<pipe:[1]>, 4<pipe:[1]>], O_CLOEXEC) = 0");
    assert_eq!((event.int(Col::Fd), event.int(Col::Fd2), event.text(Text::Fd2Path)), (Some(3), Some(4), Some(&b"pipe:[1]"[..])));
    let event = parse("fcntl(5</a>, F_GETFL) = 0x8002 (flags O_RDWR|O_LARGEFILE)");
    assert_eq!((event.int(Col::Cmd), event.int(Col::Arg), event.success()), (Some(3), None, Some(0x8002)));
    let event = parse("fcntl(5</a>, F_SETLK, {l_type=F_WRLCK, l_whence=SEEK_SET, l_start=0, l_len=1}) = 0");
    assert_eq!((event.int(Col::Cmd), event.int(Col::Arg)), (Some(6), None));
    let event = parse("ioctl(4</a>, BTRFS_IOC_CLONE or FICLONE, 3</b>) = -1 EOPNOTSUPP (Operation not supported)");
    assert_eq!((event.int(Col::Cmd), event.failure()), (Some(0x40049409), Some(95)));
    let event = parse("clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f67f2abde50) = 3088");
    assert_eq!((event.int(Col::Flags), event.success()), (Some(0x200011), Some(3088)));
    let event = parse("clone3({flags=CLONE_VM|CLONE_THREAD, child_tid=0x7} => {parent_tid=[2144]}, 88) = 2144");
    assert_eq!(event.int(Col::Flags), Some(0x10100));
    assert_eq!(parse("exit_group(0)   = ?").int(Col::Ret), None);
    assert_eq!(parse("read(3, 0x7, 1) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)").int(Col::Errno), None);
    assert_eq!(parse("poll([{fd=1, events=POLLIN}], 1, -1) = 1 ([{fd=1, revents=POLLIN}])").success(), Some(1));
    assert_eq!(parse("frob(1, \"a\") = 0").name(), "frob");
    assert_eq!(parse("x(1) = -1 E??? (errno 530)").failure(), Some(530));
}

#[test]
fn a_call_that_its_thread_was_killed_in_has_what_went_in() {
    for text in ["read(3</a>,  <unfinished ...>) = ?", "read(3</a>, )                     = ? <unavailable>"] {
        let event = parse(text);
        assert_eq!((event.name(), event.int(Col::Fd), event.int(Col::Count)), ("read", Some(3), None), "{text}");
        assert_eq!((event.int(Col::Ret), event.int(Col::Errno)), (None, None), "{text}");
    }
    let event = parse("fcntl(3</a>, F_GETLK,  <unfinished ...>) = ?");
    assert_eq!((event.int(Col::Cmd), event.int(Col::Ret)), (Some(5), None));
}

#[test]
fn numbers_that_no_column_or_kernel_takes() {
    let times = |text: &str| parse(text).int(Col::Atime).zip(parse(text).int(Col::Mtime));
    let set =
        |seconds: i64| format!("utimensat(AT_FDCWD, \"a\", [{{tv_sec={seconds}, tv_nsec=0}} /* far */, UTIME_OMIT], 0) = 0");
    assert_eq!(times(&set(1 << 40)), Some((i64::MAX, TIME_OMIT)));
    let before = times(&set(-1 << 40)).unwrap().0;
    assert!(before < 0 && before != TIME_NOW && before != TIME_OMIT, "{before}");
    let event = parse("fcntl(3</a>, F_DUPFD, 4294967295) = -1 EINVAL (Invalid argument)");
    assert_eq!(event.int(Col::Arg), Some(-1));
}

#[test]
fn notes_ends_and_halves() {
    for line in [
        "--- SIGCHLD {si_signo=SIGCHLD} ---",
        "12 --- stopped by SIGSTOP ---",
        "strace: Process 12 attached",
        "Process 12 detached",
        " <unfinished ...>",
        "",
        "[ Process PID=12 runs in 32 bit mode. ]",
    ] {
        let mut batch = Batch::default();
        STRACE.line(1, line.as_bytes(), &mut batch);
        assert_eq!((batch.notes, batch.parsed.len(), batch.rejects.len()), (1, 0, 0), "{line}");
    }
    assert!(matches!(one("12 +++ exited with 0 +++").2, What::End { killed: false }));
    assert!(matches!(one("12 +++ killed by SIGKILL +++").2, What::End { killed: true }));
    assert!(matches!(one("12 +++ superseded by execve in pid 13 +++").2, What::Superseded { by: 13 }));
    let What::Half(text) = one("12 read(3, <unfinished ...>").2 else { panic!() };
    assert_eq!(&*text, b"read(3,");
    let What::Split(text) = one("clone(child_stack=NULL, flags=SIGCHLDstrace: Process 5 attached").2 else { panic!() };
    assert_eq!(&*text, b"clone(child_stack=NULL, flags=SIGCHLD");
    let What::Rest { name, text } = one("12 <... read resumed>\"\", 4) = 0").2 else { panic!() };
    assert_eq!((&*name, &*text), (&b"read"[..], &b"\"\", 4) = 0"[..]));
}

#[test]
fn what_is_damaged_is_rejected() {
    let cases = [
        ("close(3", Why::Cut),
        ("close(3)", Why::Cut),
        ("close(3) =", Why::Cut),
        ("close(3) = x", Why::Outcome),
        ("close(3) = -1 EWHAT", Why::Outcome),
        ("close(three) = 0", Why::Argument),
        ("open(\"/a, O_RDONLY) = 3", Why::Argument),
        ("open(\"/a\", O_NEVER) = 3", Why::Argument),
        ("hello world", Why::NotEvent),
        ("99999999999999999999999 close(3) = 0", Why::Number),
        ("\0\0\0", Why::Nul),
    ];
    for (line, why) in cases {
        let mut batch = Batch::default();
        STRACE.line(7, line.as_bytes(), &mut batch);
        assert_eq!(batch.rejects.first().map(|reject| reject.why), Some(why), "{line}");
    }
}

#[test]
fn a_note_hides_no_call() {
    for line in [
        "--- close(3) = 0 ---",
        "12 +++ close(3) = 0 +++",
        "[ Process close(3) = 0 ]",
        "--- SIGCHLD {si_signo=SIGCHLD} --- close(3) = 0 ---",
        "--- SIGCHLD {si_signo=SIGCHLD} close(3) = 0 ---",
        "+++ exited with 0 +++ close(3) = 0 +++",
        "+++ killed by SIGKILL +++ close(3) = 0 +++",
    ] {
        assert_eq!(rejected(line), Some(Why::Glued), "{line}");
    }
    for line in [
        "--- SIGCHLD (Child exited) @ 0 (0) ---",
        "--- {si_signo=SIGCHLD, si_code=CLD_EXITED} (Child exited) ---",
        "--- SIGRT_1 {si_signo=SIGRT_1, si_code=SI_TKILL, si_pid=5 /* 7 in strace's PID NS */} ---",
    ] {
        assert_eq!(rejected(line), None, "{line}");
    }
    assert!(matches!(one("12 +++ killed by SIGSEGV (core dumped) +++").2, What::End { killed: true }));
}

#[test]
fn an_unknown_outcome_has_nothing_of_its_own_behind_it() {
    assert_eq!(rejected("close(9) = ? garbage"), Some(Why::Outcome));
    assert_eq!(rejected("close(9) = ? ERESTARTNOHAND (To be restarted if no handler)"), None);
}

fn rejected(line: &str) -> Option<Why> {
    let mut batch = Batch::default();
    STRACE.line(1, line.as_bytes(), &mut batch);
    assert_eq!(batch.parsed.len() as u64 + batch.rejects.len() as u64 + batch.notes + batch.comments, 1, "{line}");
    batch.rejects.first().map(|reject| reject.why)
}

#[test]
fn nothing_stands_behind_an_outcome_unseen() {
    for line in [
        r#"access("/x", F_OK) = -1 ENOENT (No such file or directory)101 close(3) = 0"#,
        "close(3) = 0 101 close(4) = 0",
        "close(5) = ?101 close(6) = 0",
        "close(7) = 0 <0.000012>101 close(8) = 0",
        "close(7) = 0 (Timeout)101 access(\"/x\", F_OK) = -1 ENOENT (No such file or directory)",
        "[pid 1] close(7) = 0[pid 2] close(8) = 0",
        "+++ exited with 0 +++[pid 2] close(8) = 0",
        "# close(8) = 0",
        "#[pid 2] close(8) = 0",
    ] {
        assert_eq!(rejected(line), Some(Why::Glued), "{line}");
    }
    assert_eq!(rejected("12 25:61:61.5 close(9) = 0"), Some(Why::Number));
    assert_eq!(rejected("12 23:59:60.5 close(9) = 0"), None);
    for line in
        ["close(9) = 0 <1e5>", "close(9) = 0 (", "close(9) = 0 on", "close(9) = 0x", "close(9) = 3 [a b]", "close(9) = -1"]
    {
        assert_eq!(rejected(line), Some(Why::Outcome), "{line}");
    }
    for line in [
        "fcntl(3, F_GETFL) = 0x8002 (flags O_RDWR|O_LARGEFILE) <0.1>",
        "poll([{fd=3, events=POLLIN}], 1, 5) = 1 ([{fd=3, revents=POLLIN}])",
        r#"open("/a", O_RDONLY) = 3</a> [user_home_t]"#,
        "select(4, [3], NULL, NULL, {1, 0}) = 1 (in [3], left {0, 9})",
        "close(9) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)",
        "close(9) = ?",
        "Process 12 attached [pid 101] close(10) = 0",
        "# [pid 102] unlink(\"/a\") = 0",
        "# strace -f -o out ls",
        "[ Process PID=12 runs in 32 bit mode. ]",
    ] {
        assert_eq!(rejected(line), None, "{line}");
    }
}

#[test]
fn a_process_of_another_namespace_has_the_number_of_its_lines() {
    for line in ["fork() = 3 /* 12 in strace's PID NS */", "fork() = 3<sh> /* 12 in strace's PID NS */ <0.000100>"] {
        assert_eq!(parse(line).success(), Some(12), "{line}");
    }
    assert_eq!(parse("fork() = 3<sh>").success(), Some(3));
}

#[test]
fn what_strace_made_up_is_counted() {
    for (line, count) in [
        ("close(3) = 0 (INJECTED)", 1),
        ("close(3) = 0 (INJECTED: args, retval)", 1),
        ("close(3) = -1 EIO (Input/output error) (INJECTED: args) (DELAYED) <0.000100>", 1),
        ("close(3) = ? (INJECTED) (DELAYED)", 1),
        ("close(3) = 0 (DELAYED)", 0),
        ("fcntl(3, F_GETFL) = 0x2 (flags O_RDWR) (INJECTED: retval)", 1),
    ] {
        let mut doubts = Doubts::default();
        STRACE.read(line.as_bytes(), false, &mut doubts).unwrap();
        assert_eq!(doubts.found().get(&Doubt::Injected).copied().unwrap_or(0), count, "{line}");
    }
}

#[test]
fn what_is_opened_may_have_no_name_any_more() {
    let opened = parse(r#"openat(AT_FDCWD, "/tmp", O_RDWR|O_TMPFILE, 0600) = 3</tmp/#12>(deleted) <0.000100>"#);
    assert_eq!(opened.text(Text::FdPath), Some(&b"/tmp/#12 (deleted)"[..]));
    let twice = parse("dup(3</tmp/#12>(deleted)) = 4</tmp/#12>(deleted)");
    assert_eq!((twice.success(), twice.text(Text::FdPath)), (Some(4), Some(&b"/tmp/#12 (deleted)"[..])));
}

#[test]
fn an_outcome_that_the_call_never_has() {
    for line in [
        "exit_group(0) = 5",
        "exit(0) = 0",
        "fcntl(3</a>, F_SETLK, {l_type=F_WRLCK, l_whence=SEEK_SET, l_start=0, l_len=1}) = 7",
        "fcntl(3</a>, F_SETFD, FD_CLOEXEC) = 1",
        "fcntl(3</a>, F_SETFL, O_RDONLY|O_APPEND) = 1024",
        "fcntl(3</a>, F_ADD_SEALS, F_SEAL_SEAL) = 1",
    ] {
        assert_eq!(rejected(line), Some(Why::Impossible), "{line}");
    }
    for line in
        ["exit_group(0) = ?", "fcntl(3</a>, F_SETPIPE_SZ, 4096) = 65536", "fcntl(3</a>, F_GETFD) = 0x1 (flags FD_CLOEXEC)"]
    {
        assert_eq!(rejected(line), None, "{line}");
    }
}

#[test]
fn a_call_has_returned_or_is_unfinished() {
    assert_eq!(rejected(r#"read(3,"x",5) = 5 <unfinished ...>"#), Some(Why::Outcome));
    assert_eq!(rejected(r#"read(3,"x",5) <unfinished ...>"#), Some(Why::Outcome));
    assert_eq!(rejected("restart_syscall(<... resuming interrupted read ...> <unfinished ...>"), None);
}

#[test]
fn a_word_stands_for_an_argument_of_its_kind_only() {
    for line in [
        "close(O_RDWR) = 0",
        "close(3|4) = 0",
        "close(AT_FDCWD|3) = -1 EBADF (Bad file descriptor)",
        "lseek(3, O_RDWR, SEEK_SET) = 0",
        "lseek(3, 0, PROT_READ) = 1",
        "lseek(3, 0, SEEK_SET|SEEK_CUR) = 1",
        r#"open("/a", SEEK_END) = 3"#,
        r#"open("/a", O_RDWR|S_IFREG) = 3"#,
        r#"open("/a", O_RDWR|O_CREAT, O_RDWR) = 3"#,
        r#"access("/a", PROT_READ) = 0"#,
        "fcntl(3, F_RDLCK) = 3",
        "fcntl(3, F_SETFD, O_RDWR) = 0",
        "fcntl(3, F_DUPFD, FD_CLOEXEC) = 3",
        "fcntl(3, F_SETLK, {l_type=F_GETFD, l_whence=SEEK_SET, l_start=0, l_len=1}) = 0",
        "flock(3, F_SETFD) = 0",
        "fallocate(3, MAP_SHARED, 0, 5) = 0",
        "mmap(NULL, 4096, O_RDWR, MAP_PRIVATE, 3, 0) = 0x7f0000000000",
        "mmap(NULL, 4096, PROT_READ, PROT_WRITE, 3, 0) = 0x7f0000000000",
        r#"chown("/a", O_RDWR, 0) = 0"#,
        r#"unlinkat(AT_FDCWD, "/a", O_RDWR) = 0"#,
        r#"openat2(AT_FDCWD, "/a", {flags=AT_EMPTY_PATH, resolve=0}, 24) = 3"#,
        r#"openat2(AT_FDCWD, "/a", {flags=O_RDWR, resolve=O_RDWR}, 24) = 3"#,
        r#"stat("/a", {st_mode=O_RDWR|0644, st_size=5, ...}) = 0"#,
        "ioctl(3, O_RDWR, 5) = 0",
    ] {
        assert_eq!(rejected(line), Some(Why::Argument), "{line}");
    }
}

#[test]
fn a_structure_says_what_the_call_did() {
    for line in [
        r#"writev(4, [{iov_base="a", iov_len=1}, {iov_base="b", iov_len=1}], 9) = 2"#,
        r#"writev(4, [{iov_base="a", iov_len=x}], 1) = 1"#,
        r#"writev(4, [{iov_base="a", iov_len=1} close(3)], 1) = 1"#,
        "writev(4, x, 1) = 1",
        "pipe([3,4,5]) = 0",
        "pipe(x) = 0",
        "pipe2([3, x], 0) = 0",
        "socketpair(AF_UNIX, SOCK_STREAM, 0, [3]) = 0",
        r#"openat2(AT_FDCWD, "/a", {flags=O_RDWR, resolve=0, later=5}, 32) = 3"#,
    ] {
        assert_eq!(rejected(line), Some(Why::Argument), "{line}");
    }
    for line in [
        r#"writev(4, [{iov_base="a", iov_len=1}, ...], 9) = 9"#,
        r#"writev(4, [{iov_base="a", iov_len=1}, ... /* 0x7ffd */], 9) = -1 EFAULT (Bad address)"#,
        r#"writev(4, [{"ab", 2}, {"c"..., 99}], 2) = 101"#,
        "writev(4, 0x7ffd, 1) = 1",
        "pipe(0x7ffd) = -1 EMFILE (Too many open files)",
        "pipe(NULL) = -1 EFAULT (Bad address)",
        "pipe2([...], O_CLOEXEC) = 0",
        r#"openat2(AT_FDCWD, "/a", {flags=O_RDWR, resolve=0, /* bytes 24..31 */ "\x01"}, 32) = -1 E2BIG (Argument list too long)"#,
    ] {
        assert_eq!(rejected(line), None, "{line}");
    }
    assert_eq!(parse(r#"writev(4, [{"ab", 2}, {"c"..., 99}], 2) = 101"#).int(Col::Count), Some(101));
}

#[test]
fn what_was_printed_fits_what_came_back() {
    for line in [
        r#"getcwd("/a", 4096) = 9"#,
        r#"read(3, "abcdef", 6) = 3"#,
        r#"write(3, "abcdef", 3) = 3"#,
        r#"readlink("/a", "bcd", 9) = 2"#,
        r#"utimensat(AT_FDCWD, "a", [{tv_sec=1, tv_nsec=5000000000}, UTIME_OMIT], 0) = 0"#,
        r#"utimes("a", [{tv_sec=1, tv_usec=0}, {tv_sec=1, tv_usec=1000000}]) = 0"#,
    ] {
        assert_eq!(rejected(line), Some(Why::Impossible), "{line}");
    }
    for line in [
        r#"getcwd("/a", 4096) = 3"#,
        r#"read(3, "abc"..., 6) = 6"#,
        r#"read(3, "a\0\nd", 6) = 4"#,
        r#"write(3, "abcdef", 6) = 3"#,
        r#"readlink("/a", "b\303"..., 9) = 9"#,
        r#"utimensat(AT_FDCWD, "a", [{tv_sec=1, tv_nsec=5000000000}, UTIME_OMIT], 0) = -1 EINVAL (Invalid argument)"#,
        r#"utimensat(AT_FDCWD, "a", [{tv_sec=1, tv_nsec=UTIME_NOW}, {tv_sec=1, tv_nsec=999999999}], 0) = 0"#,
    ] {
        assert_eq!(rejected(line), None, "{line}");
    }
}

/// Forms of lines that an earlier, stricter parser rejected, each from a real log or a real run.
#[test]
fn what_versions_and_options_print_in_their_own_way_is_read() {
    let calls = [
        "clone(child_stack=0xb7d, flags=CLONE_VM|CLONE_FILES|CLONE_THREAD, parent_tidptr=0xb75d6bd8, {entry_number:6, base_addr:0xb75d6b70, useable:1}, child_tidptr=0xb75d6bd8) = 2209",
        "clone(child_stack=0x40837a90, flags=CLONE_VM|CLONE_FILES, [730], {entry_number:6, base_addr:0x40837b30}) = 730",
        r#"statx(-100, "/usr", |0x900, 0x25e, {stx_mask=0x17ff, stx_attributes=0, stx_mode=040755, stx_size=4096, ...}) = 0"#,
        r#"getxattr("fd", "system.posix_acl_access", (nil), 0) = -1 EOPNOTSUPP (Operation not supported)"#,
        r#"llistxattr("a", (nil), 0) = 0"#,
        "sigreturn() = ? (mask now [])",
        "sigreturn() = ? (mask now [USR1 CHLD])",
        "fanotify_mark(4, FAN_MARK_FLUSH, 0, FAN_NOFD, NULL) = 0",
        "pipe2([8, ...], O_NONBLOCK) = 0",
        "getdents64(3, NULL /* 0 entries */, 4096) = 0",
        "mmap(NULL, 100, 0x5 /* PROT_READ|PROT_EXEC */, 0x1007 /* 0x7 /* MAP_??? */|MAP_EXECUTABLE */, 8, 0x2) = -1 EINVAL (Invalid argument)",
        r#"quotactl(0 /* QCMD(0 /* Q_??? */, USRQUOTA) */, "l2", 8, 0xffffffff) = -1 ENOENT (No such file or directory)"#,
        "mmap(NULL) = -1 EFAULT (Bad address)",
        "mmap((nil)) = -1 EFAULT (Bad address)",
        "pipe((nil)) = -1 EFAULT (Bad address)",
        "fcntl(-1, F_SETLK, NULL) = -1 EBADF (Bad file descriptor)",
        "copy_file_range(9999, 0xffffffffffffffff, 5, NULL, 10, 0) = -1 EBADF (Bad file descriptor)",
        r#"fsetxattr(-100, "user.q", "v", 1, 0) = 0"#,
        "tee(-1, -1, 0, 0) = 0",
        "splice(-1, NULL, -1, NULL, 0, 0) = 0",
        "flock(-1, 32) = 0",
        r#"preadv2(6, [{iov_base="", iov_len=0}, ...], 4294967297, 65536, RWF_HIPRI) = 0"#,
    ];
    for line in calls {
        assert_eq!(rejected(line), None, "{line}");
    }
    let event = parse(calls[2]);
    assert_eq!((event.int(Col::Flags), event.int(Col::StSize)), (Some(0x900), Some(4096)));
    assert_eq!(parse(calls[0]).int(Col::Flags), Some(0x10500));
    for line in ["utimensat(AT_FDCWD, \"a\", [{tv_sec=1, tv_nsec=2}, ...], 0) = 0", "mmap(0xbffff300) = 0x40000000"] {
        assert_eq!(rejected(line), Some(Why::Address), "{line}");
    }
}

#[test]
fn what_is_in_or_behind_a_structure_is_not_overlooked() {
    let lines = [
        r#"stat("a", {garbage}) = 0"#,
        r#"stat("a", {st_mode=S_IFREG|0644, st_size=1} junk) = 0"#,
        r#"stat("a", {st_mode=S_IFREG|0644, st_size=1, st_size=2}) = 0"#,
        "fcntl(3, F_SETLK, {l_type=F_RDLCK, l_type=F_WRLCK, l_whence=SEEK_SET, l_start=0, l_len=1, l_pid=3}) = 0",
        "fcntl(3, F_SETLK, {l_type=F_RDLCK, l_whence=SEEK_SET, l_start=0, l_len=1}junk) = 0",
        "copy_file_range(3, [5]junk, 4, NULL, 10, 0) = 10",
        "utimensat(3, NULL, [UTIME_OMITjunk, UTIME_NOW], 0) = 0",
        "utimensat(3, NULL, [{tv_sec=1, tv_nsec=2}junk, UTIME_NOW], 0) = 0",
        "close(2*2) = 0",
    ];
    for line in lines {
        assert_eq!(rejected(line), Some(Why::Argument), "{line}");
    }
    let lines = [
        r#"readlink("a", "bcd", 10) = 5"#,
        r#"rename("a", "") = 0"#,
        r#"symlink("", "b") = 0"#,
        "fcntl(3, F_GETFD) = 7",
        "ioctl(3, FICLONE, 4) = 7",
        "umask(022) = 077777",
    ];
    for line in lines {
        assert_eq!(rejected(line), Some(Why::Impossible), "{line}");
    }
}
