//! Lines of strace and of `.capture` files that are easily misread: what is not understood is never harmless or absent.

use super::{Made, data, ingest_text, ingest_with, ints, story, table, texts};
use ioriot::ingest::Doubt;

/// Numbers of a column of every event.
fn column(made: &Made, name: &str) -> Vec<Option<i64>> {
    ints(&table(&made.out, "events"), name)
}

fn calls(made: &Made) -> Vec<String> {
    texts(&table(&made.out, "events"), "syscall").into_iter().flatten().collect()
}

/// Ingests a log of which no line is a reject.
fn clean(text: &str) -> Made {
    let made = ingest_text(text).unwrap();
    let rejects = texts(&table(&made.out, "rejects"), "text");
    assert!(rejects.is_empty(), "{rejects:?}");
    made
}

#[test]
fn columns_of_strace_before_the_call_are_stepped_over() {
    let story = ["openat /d/a 3", "close - 0"];
    for columns in
        ["[00007f0000000001] ", "[ 257] ", "[ 257] [00007f0000000001] ", "[????????????????] ", "[unconfined_u:r:t:s0] "]
    {
        let line = |call: &str| format!("100 1700000000.000001 {columns}{call}\n");
        let text = line("openat(AT_FDCWD, \"/d/a\", O_RDONLY) = 3") + &line("close(3) = 0") + &line("+++ exited with 0 +++");
        assert_eq!(super::story(&clean(&text)), story, "{columns}");
    }
    let made = clean("[pid 101<sh [x]>] close(4) = 0\n[pid 102] close(5) = 0\n103<a b> close(6) = 0\n");
    assert_eq!(column(&made, "tid"), [101, 102, 103].map(Some));
    let made = clean("1700000000 close(4) = 0\n1700000001 close(5) = 0\n");
    assert_eq!((made.captured.clock.name(), column(&made, "ts")[1]), ("unix", Some(1_700_000_001_000_000_000)));
}

#[test]
fn security_contexts_are_no_part_of_names_and_descriptors() {
    let made = clean(
        "100 [unconfined_t] openat(AT_FDCWD [user_home_t], \"/d/a\" [user_home_t!!etc_t], O_RDONLY) = 3</d/a> [user_home_t]\n\
         100 [unconfined_t] read(3 [user_home_t], \"x\", 10) = 1\n\
         100 [unconfined_t] fchmod(3</d/a> [user_home_t], 0600) = 0\n",
    );
    assert_eq!(story(&made), ["openat /d/a 3", "read - 1", "fchmod - 0"]);
    assert_eq!(column(&made, "fd"), [None, Some(3), Some(3)]);
}

#[test]
fn what_strace_says_of_itself_is_a_note() {
    let made = clean(
        "Process 100 attached - interrupt to quit\n\
         Process 102 attached with 2 threads - interrupt to quit\n\
         Process 103 attached (waiting for parent)\n\
         Process 103 resumed (parent 100 ready)\n\
         Process 104 suspended\n\
         /opt/x/strace72: Process 105 attached\n\
         ^Cstrace: Process 100 detached\n\
         openat(AT_FDCWD, \"/d/a\", O_RDONLY) = 3\n\
         \x20> /usr/lib/libc.so.6(__open64+0x57) [0xf6e67]\n\
         \x20> unexpected_backtracing_error [0x0]\n\
         read(3, \"hi\", 10) = 2\n\
         \x20| 00000  68 69                                             hi               |\n\
         writev(3, [{iov_base=\"a\", iov_len=1}], 1) = 1\n\
         \x20* 1 bytes in buffer 0\n\
         \x20| 00000  61                                                a                |\n\
         % time     seconds  usecs/call     calls    errors syscall\n\
         ------ ----------- ----------- --------- --------- ----------------\n\
         \x20 7.77    0.000023           1        22         1 close\n\
         100.00    0.000200           2         2           total\n",
    );
    assert_eq!((made.captured.ledger.events, made.captured.ledger.notes), (3, 16));
}

#[test]
fn lines_of_programs_that_look_like_words_of_strace_are_rejects() {
    for line in [" > a", " | what", "% of time", "--- a", "Process it", "12.5 apples", "strace", "make: Process it attached"] {
        let made = ingest_text(format!("close(3) = 0\n{line}\n")).unwrap();
        assert_eq!(made.captured.ledger.rejects, 1, "{line}");
    }
}

#[test]
fn a_call_goes_on_behind_a_message_about_its_child() {
    for (first, second) in [
        ("clone(Process 101 attached", "child_stack=0, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f00) = 101"),
        (
            "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLDstrace: Process 101 attached",
            ", child_tidptr=0x7f00) = 101",
        ),
        (
            "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD../x/strace: Process 101 attached",
            ", child_tidptr=0x7f00) = 101",
        ),
        (
            "clone3({flags=CLONE_CHILD_CLEARTID, exit_signal=SIGCHLD}/bin/strace-6: Process 101 attached",
            " => {parent_tid=[101]}, 88) = 101",
        ),
        ("vfork(strace: Process 101 attached", ")                                 = 101"),
    ] {
        let text = format!(
            "open(\"/d/a\", O_RDONLY) = 3\n{first}\n{second}\n[pid   101] read(3, \"x\", 10) = 1\n\
             [pid   101] exit_group(0) = ?\nProcess 101 detached\nclose(3) = 0\n"
        );
        let made = clean(&text);
        assert_eq!(column(&made, "ret"), [Some(3), Some(101), Some(1), None, Some(0)], "{first}");
        assert_eq!(column(&made, "tid"), [0, 0, 101, 101, 0].map(Some), "{first}");
    }
    // Without the first half it is no line of strace, and what goes on otherwise does not end the call.
    let made = ingest_text("close(3) = 0\n, child_tidptr=0x7f00) = 101\nvfork(strace: Process 5 attached\nfoo) = 1\n").unwrap();
    assert_eq!((made.captured.ledger.rejects, made.captured.ledger.events), (2, 2));
}

#[test]
fn an_exec_of_a_thread_goes_on_under_the_id_of_its_leader() {
    let made = clean(
        "100 openat(AT_FDCWD, \"/d/a\", O_RDONLY) = 3\n\
         101 execve(\"/bin/b\", [\"b\"], 0x3a5bdc092048 /* 0 vars */ <pid changed to 100 ...>\n\
         100 +++ superseded by execve in pid 101 +++\n\
         100 <... execve resumed>)             = 0\n\
         100 close(3) = 0\n",
    );
    assert_eq!(story(&made), ["openat /d/a 3", "execve /bin/b 0", "close - 0"]);
    assert_eq!(column(&made, "tid"), [100, 100, 100].map(Some));
}

#[test]
fn constants_with_shifts_and_errors_of_the_kernel_are_read() {
    let made = clean(
        "mmap(NULL, 2097152, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB|21<<MAP_HUGE_SHIFT, -1, 0) = 0x7f00\n\
         fsync(3) = -1 ENOTSUPP (Unknown error 524)\n\
         fsync(3) = -1 EFOO (Unknown error 700)\n\
         fsync(3) = -1 (errno 38)\n\
         fsync(3) = -1 ERESTART_RESTARTBLOCK (Interrupted by signal)\n\
         fsync(3) = ? <unavailable>\n",
    );
    assert_eq!(column(&made, "flags")[0], Some(0x2 | 0x20 | 0x40000 | 21 << 26));
    assert_eq!(column(&made, "errno"), [Some(0), Some(524), Some(700), Some(38), None, None]);
}

#[test]
fn old_record_locks_keep_their_kind_and_range() {
    let made = clean(
        "fcntl(3, F_SETLK, {type=F_WRLCK, whence=SEEK_SET, start=1073741824, len=1}) = 0\n\
         fcntl64(3, F_SETLK64, {type=F_UNLCK, whence=SEEK_END, start=-5, len=0}, 0xbfff) = 0\n",
    );
    assert_eq!(column(&made, "mode"), [Some(1), Some(2)]);
    assert_eq!(column(&made, "whence"), [Some(0), Some(2)]);
    assert_eq!((column(&made, "offset"), column(&made, "count")), (vec![Some(1 << 30), Some(-5)], vec![Some(1), Some(0)]));
}

#[test]
fn times_of_every_version_are_kept() {
    const S: i64 = 1_000_000_000;
    let now = i64::MIN;
    let omit = i64::MIN + 1;
    for (call, atime, mtime) in [
        ("utimes(\"/a\", {{1300000000, 0}, {1300000001, 500000}})", 1_300_000_000 * S, 1_300_000_001 * S + 500_000_000),
        ("utimes(\"/a\", [{tv_sec=5, tv_usec=7}, {tv_sec=6, tv_usec=8}])", 5 * S + 7000, 6 * S + 8000),
        ("futimesat(AT_FDCWD, \"/a\", {{5, 7}, {6, 8}})", 5 * S + 7000, 6 * S + 8000),
        ("utimensat(AT_FDCWD, \"/a\", {{1300000000, 7}, {1300000002, 9}}, 0)", 1_300_000_000 * S + 7, 1_300_000_002 * S + 9),
        ("utimensat(AT_FDCWD, \"/a\", {UTIME_OMIT, {1300000002, 9}}, 0)", omit, 1_300_000_002 * S + 9),
        ("utimensat(AT_FDCWD, \"/a\", [{1600000000, 123456789}, UTIME_OMIT], 0)", 1_600_000_000 * S + 123_456_789, omit),
        ("utimensat(3, NULL, [{tv_sec=0, tv_nsec=1073741823}, {tv_sec=0, tv_nsec=1073741822} /* UTIME_OMIT */], 0)", now, omit),
        ("utimensat_time64(3, NULL, [UTIME_NOW, UTIME_OMIT], 0)", now, omit),
        ("utimensat(3, NULL, NULL, 0)", now, now),
        ("utime(\"/a\", [2011/03/13-07:06:40, 2011/03/13-07:06:41])", 1_300_000_000 * S, 1_300_000_001 * S),
        ("utime(\"/a\", {actime=5 /* 1970 */, modtime=6})", 5 * S, 6 * S),
    ] {
        let made = clean(&format!("{call} = 0\n"));
        assert_eq!((column(&made, "atime"), column(&made, "mtime")), (vec![Some(atime)], vec![Some(mtime)]), "{call}");
        assert_eq!(made.captured.doubts.contains_key(&Doubt::Zone), call.contains("2011/"), "{call}");
    }
}

#[test]
fn an_argument_that_is_there_and_not_understood_makes_a_reject() {
    for (call, why) in [
        ("utimes(\"/a\", {yesterday, today})", "argument"),
        ("utimensat(3, NULL, [...], 0)", "address"),
        ("utimensat(3, NULL, 0x7ffd, 0)", "address"),
        ("sendfile(4, 3, 0x7ffd, 100)", "address"),
        ("sendfile(4, 3, three, 100)", "argument"),
        ("copy_file_range(3, NULL, 4, {5}, 100, 0)", "argument"),
        ("fcntl(3, F_SETLK, 0x7ffd)", "address"),
        ("fcntl(3, F_SETLK, {kind=write})", "argument"),
        ("fcntl(3, F_SETLK)", "argument"),
        ("fcntl(3, F_SETFL, O_NEVER)", "argument"),
        ("fcntl(3, F_SETFD, FD_NEVER)", "argument"),
        ("fcntl(3, F_DUPFD, ten)", "argument"),
        ("ioctl(3, FICLONE, four)", "argument"),
        ("openat2(AT_FDCWD, \"/a\", 0x7ffd, 24)", "address"),
        ("openat2(AT_FDCWD, \"/a\", {flags=O_NEVER}, 24)", "argument"),
        ("lseek(3, 5)", "argument"),
        ("pread64(3, \"x\", 1)", "argument"),
        ("rename(\"/a\")", "argument"),
        ("rename(\"/a\", b)", "argument"),
        ("fchmod(3, rw)", "argument"),
    ] {
        let made = ingest_text(format!("close(9) = 0\n{call} = 0\n")).unwrap();
        assert_eq!(calls(&made), ["close"], "{call}");
        assert_eq!(made.captured.rejects.get(why), Some(&1), "{call}");
    }
}

#[test]
fn an_argument_that_the_log_lacks_is_counted() {
    let made = clean(
        "writev(3, [...], 3) = 30\nunlink(\"/a\"...) = 0\nfstat(3, 0x7ffd) = 0\nread(3, 0x7ffd, 10) = 5\nunlink(0x7ffd) = -1 EFAULT (Bad address)\n",
    );
    assert_eq!(made.captured.doubts.get(&Doubt::Unprinted), Some(&3));
    let text = ioriot::ingest::Summary { ledger: made.captured.ledger, captures: vec![made.captured.clone()] }.to_string();
    assert!(text.contains("3 arguments that the log does not have whole"), "{text}");
}

/// A thread shares the descriptors of the one that made it; a process has its own.
#[test]
fn a_new_task_of_unknown_kind_is_counted() {
    let made = clean(
        "10 clone3(0x7ffd, 88) = 11\n10 syscall_435(0x7ffd, 0x58, 0, 0, 0, 0) = 12\n\
         10 clone3({flags=CLONE_VM|CLONE_THREAD}, 88) = 14\n10 clone3(0x7ffd, 88) = -1 EAGAIN (x)\n",
    );
    assert_eq!(calls(&made), ["clone3"; 4]);
    assert_eq!(column(&made, "flags"), [None, None, Some(0x10100), None]);
    assert_eq!(made.captured.doubts.get(&Doubt::Flagless), Some(&2));
    let text = made.captured.to_string();
    assert!(text.contains("2 new threads or processes, the log does not show which"), "{text}");
}

#[test]
fn calls_that_hide_requests_are_counted() {
    let made = clean(
        "io_submit(0x7f, 1, [{aio_data=0, aio_lio_opcode=IOCB_CMD_PREAD, aio_fildes=3}]) = 1\n\
         io_uring_enter(4<anon_inode:[io_uring]>, 2, 2, IORING_ENTER_GETEVENTS, NULL, 8) = 2\n\
         io_uring_enter(4<anon_inode:[io_uring]>, 0, 2, IORING_ENTER_GETEVENTS, NULL, 8) = 0\n\
         io_submit(0x7f, 1, [NULL]) = -1 EFAULT (Bad address)\n",
    );
    assert_eq!(made.captured.doubts.get(&Doubt::Requests), Some(&2));
    let text = made.captured.to_string();
    assert!(text.contains("2 calls that hand over requests"), "{text}");
}

#[test]
fn positions_behind_pointers_are_read_in_every_version() {
    let made = clean(
        "sendfile(4, 3, [3 => 103], 100) = 100\n\
         sendfile(4, 3, [3] => [103], 100) = 100\n\
         sendfile(4, 3, NULL, 100) = 100\n\
         copy_file_range(3, [0 => 50], 4, [200 => 250], 50, 0) = 50\n",
    );
    assert_eq!(column(&made, "offset"), [Some(3), Some(3), None, Some(0)]);
    assert_eq!(column(&made, "offset2"), [None, None, None, Some(200)]);
}

#[test]
fn other_names_and_numbers_of_calls_are_resolved() {
    let made = clean(
        "open(\"/d/a\", O_RDWR|O_CREAT, 0644) = 3\n\
         pwrite(3, \"abc\", 3, 4096) = 3\n\
         pread(3, \"abc\", 3, 4096) = 3\n\
         SYS_269(0xffffff9c, 0x601060, 0, 0x7fff, 0) = 0\n\
         syscall_332(0xffffff9c, 0x601060, 0, 0x7ff, 0x7fff, 0) = -1 (errno 38)\n\
         syscall_0x147(0x3, 0x7f00, 0x2, 0x4d, 0, 0x1) = 0x1e\n\
         syscall_334(0x7f00, 0x20, 0, 0x53053053, 0, 0) = 0\n\
         syscall_999(0) = -1 ENOSYS (Function not implemented)\n",
    );
    let names = ["open", "pwrite64", "pread64", "faccessat", "statx", "preadv2", "rseq", "syscall_999"];
    assert_eq!(calls(&made), names);
    assert_eq!(column(&made, "dirfd")[3..5], [Some(-100), Some(-100)]);
    assert_eq!((column(&made, "offset")[5], column(&made, "flags")[5]), (Some(77), Some(1)));
    assert_eq!(made.captured.doubts.get(&Doubt::Numbered), Some(&4));
    assert_eq!(made.captured.doubts.get(&Doubt::Nameless), Some(&1));
}

#[test]
fn numbers_of_another_architecture_are_not_those_of_x86_64() {
    for other in [
        "mmap2(NULL, 4096, PROT_READ, MAP_PRIVATE, 3, 0) = 0xf7f0",
        "[ Process PID=5 runs in 32 bit mode. ]",
        "openat(AT_FDCWD, \"/a\", O_RDONLY) = 3",
    ] {
        let made = clean(&format!("{other}\nsyscall_332(0, 0, 0) = 5\nsyscall_439(0xffffff9c, 0x5597, 0, 0) = 0\n"));
        assert_eq!(calls(&made)[made.captured.ledger.events as usize - 2..], ["syscall_332", "faccessat2"], "{other}");
        assert_eq!(made.captured.doubts.get(&Doubt::Nameless), Some(&1), "{other}");
        assert_eq!(made.captured.doubts.contains_key(&Doubt::Foreign), other.contains("mmap2"), "{other}");
    }
}

#[test]
fn positions_of_mmap2_that_cannot_be_bytes_are_pages() {
    let map = |offset: &str| format!("mmap2(NULL, 8192, PROT_READ, MAP_PRIVATE, 3, {offset}) = 0xb77c8000\n");
    let made = clean(&[map("0"), map("0x14"), map("0x26000")].concat());
    assert_eq!(column(&made, "offset"), [Some(0), Some(0x14 * 4096), Some(0x26000)]);
    assert_eq!(made.captured.doubts.get(&Doubt::Pages), Some(&1));
}

#[test]
fn output_of_programs_in_the_middle_of_lines_is_cut_out() {
    let made = ingest_text(
        "close(3) = 0\n\
         write(1, \"hello\", 5hello)                = 5\n\
         write(1, \"3 blind\\nmice\\n\", 133 blind\n\
         mice\n\
         )                       = 13\n\
         noise without an end[pid    12] close(4) = 0\n\
         write(1, \"abcdefghijklmnopqrstuvwxyzabcdef\"..., 60abcdefghijklmnopqrstuvwxyzabcdefghij\n\
         )                       = 60\n\
         write(1, \"hello\", 5 byes)                = 5\n",
    )
    .unwrap();
    assert_eq!(story(&made), ["close - 0", "write - 5", "write - 13", "close - 0", "write - 60"]);
    assert_eq!(column(&made, "count"), [None, Some(5), Some(13), None, Some(60)]);
    assert_eq!((made.captured.ledger.rejects, made.captured.doubts.get(&Doubt::Mended)), (2, Some(&4)));
}

#[test]
fn descriptors_that_nobody_opened_are_told() {
    let before = |text: &str| clean(text).captured.doubts.get(&Doubt::Before).copied();
    let open = "openat(AT_FDCWD, \"/a\", O_RDONLY) = 3\n";
    assert_eq!(before(&format!("{open}read(3, \"\", 1) = 0\ndup2(3, 7) = 7\nread(7, \"\", 1) = 0\n")), None);
    assert_eq!(before("pipe([4, 5]) = 0\nread(4, \"\", 1) = 0\nfcntl(5, F_DUPFD, 9) = 9\nclose(9) = 0\n"), None);
    assert_eq!(
        before(&format!("read(3, \"\", 1) = 0\n{open}read(3, \"\", 1) = 0\nread(9, \"\", 1) = -1 EBADF (Bad file descriptor)\n")),
        Some(1)
    );
    assert_eq!(before("read(3</a>, \"\", 1) = 0\n"), None);
}

#[test]
fn an_address_in_a_path_does_not_end_an_annotation() {
    let made = clean(
        "openat(AT_FDCWD, \"/d/a) = 3 <0.5>.txt\", O_RDONLY) = 3</d/a) = 3 <0.5>.txt> <0.000010>\nread(3</d/a) = 3 <0.5>.txt>, \"\", 5) = 0\n",
    );
    let paths = texts(&table(&made.out, "events"), "fd_path");
    assert!(paths.iter().all(|path| path.as_deref() == Some("/d/a) = 3 <0.5>.txt")), "{paths:?}");
}

#[test]
fn results_that_strace_made_up_are_told() {
    let made = clean("fsync(3) = -1 EIO (Input/output error) (INJECTED) <0.000003>\nread(3, \"\", 9) = 7 (INJECTED)\n");
    assert_eq!((column(&made, "errno"), made.captured.doubts.get(&Doubt::Injected)), (vec![Some(5), Some(0)], Some(&2)));
}

#[test]
fn long_lines_and_many_notes_are_read() {
    let long = "x".repeat(3 << 20);
    let made = clean(&format!("write(3, \"{long}\", 3145728) = 3145728\n"));
    assert_eq!(column(&made, "count"), [Some(3 << 20)]);
    let notes: String = (0..9000).map(|pid| format!("strace: Process {} attached\n", 10000 + pid)).collect();
    let made = clean(&format!("{notes}[pid 10001] close(3) = 0\n"));
    assert_eq!((made.captured.ledger.notes, made.captured.ledger.events), (9000, 1));
}

#[test]
fn a_capture_with_ends_of_lines_of_another_system_is_read() {
    let line = |ns: u64, rest: &str| format!("t=1760000000{ns:09};:,D=1000;:,i=100:100;:,o={rest}\r\n");
    let text = [
        "#|capture_version=4|\r\n\r\n# x\r\n".to_owned(),
        line(1, "openat;:,d=3;:,p=/h/a;:,f=66;:,m=420;:,"),
        line(9000, "close;:,d=3;:,s=0;:,"),
    ];
    let made = clean(&text.concat());
    assert_eq!(story(&made), ["openat /h/a 3", "close - 0"]);
}

#[test]
fn a_capture_of_an_unknown_version_is_refused() {
    let event = "t=1760000000001000000;:,D=1000;:,i=100:100;:,o=close;:,d=3;:,s=0;:,\n";
    for version in ["99", "6", "0", "x"] {
        let error = format!("{:#}", ingest_text(format!("#|capture_version={version}|\n{event}")).err().unwrap());
        assert!(error.contains(&format!("version {version}: this program reads versions 1 to 5")), "{error}");
    }
    let made = ingest_text(format!("#|capture_version=3|\n{}#|capture_version=99|\n", event.repeat(9000))).unwrap();
    assert_eq!(made.captured.rejects.get("version"), Some(&1));
}

/// docs/FORMAT.md says which keys stand in which order.
#[test]
fn every_line_of_the_grammar_is_read() {
    let page = std::fs::read_to_string(data("../../docs/FORMAT.md")).unwrap();
    let rows = page.split("| call (`o`) | keys after `t D i o` |\n|---|---|\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut text = String::from("#|capture_version=4|\n");
    let mut lines = 0;
    for row in rows.lines() {
        let (calls, keys) = row.trim_matches('|').split_once('|').unwrap();
        let words = calls.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let names: Vec<&str> = words.filter(|word| !["", "too", "bpftrace", "scripts"].contains(word)).collect();
        let shapes: Vec<&str> = keys.split('(').next().unwrap().split(';').collect();
        for (at, name) in names.iter().enumerate() {
            let keys = shapes.get(at).unwrap_or(&shapes[0]).split_whitespace().filter(|key| *key != "none");
            let value = |key| match key {
                "p" | "P" => "/h/x",
                "s" => "0",
                _ => "1",
            };
            let values = keys.map(|key| format!("{key}={};:,", value(key)));
            text += &format!("t=1760000000001000000;:,D=1000;:,i=100:100;:,o={name};:,{}\n", values.collect::<String>());
            lines += 1;
        }
    }
    assert!(lines > 50, "{lines}");
    let made = clean(&text);
    assert_eq!(made.captured.ledger.events, lines);
}

#[test]
fn files_of_the_matrix_have_no_doubts() {
    let made = ingest_with(&[data("matrix.strace")], |_| {}).unwrap();
    assert!(made.captured.doubts.is_empty(), "{:?}", made.captured.doubts);
}

#[test]
fn a_thread_in_two_calls_at_once_is_told() {
    let made = clean(
        "10 openat(AT_FDCWD, \"/a\", O_RDONLY) = 3\n10 read(3,  <unfinished ...>\n10 close(4) = 0\n10 <... read resumed>\"abc\", 10) = 3\n",
    );
    assert_eq!(made.captured.doubts.get(&Doubt::Inside), Some(&1));
}
