//! Calls whose end stands on a line of its own, and threads that have ended.

use super::{ingest_text, ingest_with, ints, story, table};
use ioriot::ingest::Doubt;

/// `strace -f -z` of version 6.1: a signal to one thread breaks the line of another, which is written when its call returns.
#[test]
fn the_rest_of_a_call_may_be_the_next_line() {
    let made = ingest_text(
        "53 openat(AT_FDCWD, \"/d/a\", O_RDONLY) = 3\n\
         54 --- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_TKILL, si_pid=53, si_uid=0} ---\n\
         53 rt_sigprocmask(SIG_SETMASK, [],  <unfinished ...>\n\
         NULL, 8)                                = 0\n\
         53 pread64(3,  <unfinished ...>\n\
         \"a\", 1, 5)                        = 1 <0.000003>\n\
         54 fstat(3,  <unfinished ...>\n\
         {st_mode=S_IFREG|0644, st_size=6, ...}) = 0\n\
         53 getdents64(4,  <unfinished ...>\n\
         0x55d5 /* 3 entries */, 32768)       = 80\n\
         54 _llseek(3, 0,  <unfinished ...>\n\
         [0], SEEK_SET) = 0\n\
         53 close(3 <unfinished ...>\n\
         )                                = 0\n\
         54 clone(child_stack=NULL,  <unfinished ...>\n\
         flags=SIGCHLD)                                = 55\n",
    )
    .unwrap();
    let expected = [
        "openat /d/a 3",
        "rt_sigprocmask - 0",
        "pread64 - 1",
        "fstat - 0",
        "getdents64 - 80",
        "_llseek - 0",
        "close - 0",
        "clone - 55",
    ];
    assert_eq!((story(&made), made.captured.ledger.rejects), (expected.map(str::to_owned).to_vec(), 0));
    let events = table(&made.out, "events");
    assert_eq!(ints(&events, "tid"), [53, 53, 53, 54, 53, 54, 53, 54].map(Some));
    assert_eq!((ints(&events, "offset")[2], ints(&events, "st_size")[3]), (Some(5), Some(6)));
    assert_eq!((made.captured.ledger.halves, made.captured.ledger.events), (7, 8));
}

#[test]
fn what_is_not_the_rest_of_the_line_above_is_a_reject() {
    for (text, rejects) in [
        ("53 read(3,  <unfinished ...>\n54 close(4) = 0\n\"a\", 1) = 1\n", 1),
        ("53 read(3,  <unfinished ...>\n\n\"a\", 1) = 1\n", 1),
        ("53 read(3,  <unfinished ...>\n\"a\", 1, 7) = 1\n", 1),
        ("53 read(3,  <unfinished ...>\nnoise) = 1\n", 1),
        ("53 close(3) = 0\nNULL, 8) = 0\n", 1),
    ] {
        let made = ingest_text(text).unwrap();
        assert_eq!(made.captured.ledger.rejects, rejects, "{text}");
    }
}

fn after(text: &str) -> Option<u64> {
    let made = ingest_text(text).unwrap();
    assert_eq!(made.captured.ledger.rejects, 0, "{text}");
    made.captured.doubts.get(&Doubt::After).copied()
}

#[test]
fn calls_of_a_thread_that_has_ended_are_counted() {
    let end = "11 exit_group(0) = ?\n11 +++ exited with 0 +++\n";
    assert_eq!(after(&format!("11 close(3) = 0\n{end}11 close(4) = 0\n11 fsync(5 <unfinished ...>\n")), Some(2));
    assert_eq!(after("11 close(3) = 0\n11 +++ killed by SIGKILL +++\n11 close(4) = 0\n"), Some(1));
    assert_eq!(after("11 exit(0) = ?\n11 close(4) = 0\n"), Some(1));
    assert_eq!(after("exit_group(0) = ?\n+++ exited with 0 +++\nclose(4) = 0\n"), Some(1));
    assert_eq!(after(&format!("10 fork() = 12\n{end}11 close(4) = 0\n")), Some(1));
}

#[test]
fn a_number_may_come_again() {
    let end = "11 exit_group(0) = ?\n11 +++ exited with 0 +++\n";
    assert_eq!(after(&format!("{end}10 clone(child_stack=NULL, flags=SIGCHLD) = 11\n11 close(4) = 0\n")), None);
    // The child is faster than the return of the call that made it.
    for makes in [
        "vfork( <unfinished ...>",
        "clone3({flags=SIGCHLD}, 88 <unfinished ...>",
        "syscall_435(0x7f, 88, 0, 0, 0, 0 <unfinished ...>",
    ] {
        assert_eq!(after(&format!("{end}10 {makes}\n11 close(4) = 0\n11 close(5) = 0\n")), None, "{makes}");
    }
    assert_eq!(after(&format!("{end}10 read(0,  <unfinished ...>\n11 close(4) = 0\n")), Some(1));
    // An exec in a thread takes over the number of a leader that has ended.
    let exec = "12 execve(\"/bin/a\", [\"a\"], NULL <unfinished ...>\n11 +++ superseded by execve in pid 12 +++\n11 <... execve resumed>) = 0\n";
    assert_eq!(after(&format!("11 exit(0) = ?\n{exec}11 close(4) = 0\n")), None);
}

/// `strace -ff` writes a file for each thread, also for one that was killed before its first call, that made none of the calls
/// that were asked for, or that was detached; with `-qq` an empty one.
#[test]
fn a_thread_without_calls_is_a_part_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let file = |(name, text): &(&str, &str)| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let calls = [("o.7", "1700000000.1 close(3) = 0\n"), ("o.9", "1700000000.2 close(4) = 0\n")];
    let notes = [
        ("o.1", "1700000000.3 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=7, si_uid=0} ---\n"),
        ("o.2", "--- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=7, si_uid=0} ---\n--- stopped by SIGSTOP ---\n"),
        ("o.3", "1700000000.3 +++ exited with 0 +++\n"),
        ("o.4", "1700000000.3 +++ superseded by execve in pid 7 +++\r\n"),
        ("o.5", " <detached ...>\n"),
        ("o.6", ""),
    ];
    let all: Vec<_> = notes.iter().chain(&calls).map(file).collect();
    let made = ingest_with(&all, |options| options.merge = true).unwrap();
    assert_eq!(story(&made), ["close - 0", "close - 0"]);
    let ledger = &made.captured.ledger;
    assert_eq!((ledger.lines, ledger.notes, ledger.rejects), (8, 6, 0));
    assert_eq!(made.captured.clock.name(), "unix");

    // One that was killed ends there, wherever it was.
    let killed = file(&("o.8", "1700000000.3 +++ killed by SIGTERM +++\n"));
    let made = ingest_with(&[&all[..], &[killed]].concat(), |options| options.merge = true).unwrap();
    assert_eq!(story(&made), ["close - 0", "close - 0", "exit_group - ?"]);
    assert_eq!(ints(&table(&made.out, "events"), "tid"), [7, 9, 8].map(Some));

    let refused =
        |paths: &[std::path::PathBuf]| format!("{:#}", ingest_with(paths, |options| options.merge = true).err().unwrap());
    assert!(refused(&all[..6]).contains("no events in"), "notes alone");
    let empty = file(&("o.strace", ""));
    assert!(refused(&[all[6].clone(), empty]).contains("o.strace is empty"), "no file of strace -ff");
    let other = file(&("o.10", "hello\n---\n"));
    assert!(refused(&[all[6].clone(), other]).contains("known format"));
    let timeless = file(&("o.11", "close(3) = 0\n"));
    assert!(refused(&[all[6].clone(), timeless]).contains("cannot be merged"));
}
