//! Locks end with a descriptor, whatever call it is that closes it.

use super::{ingest_text, ints, table, texts};

/// Process 2 is refused the lock of process 1 while that makes a call: was it refused before what the call did?
fn refused_before(opened: &str, call: &str) -> bool {
    let lock = "F_SETLK, {l_type=F_WRLCK, l_whence=SEEK_SET, l_start=0, l_len=10}";
    let text = format!(
        "1 openat(AT_FDCWD, \"/f\", {opened}) = 3</f>\n\
         1 fcntl(3</f>, {lock}) = 0\n\
         2 fcntl(5</f>, {lock} <unfinished ...>\n\
         1 {call}\n\
         2 <... fcntl resumed>) = -1 EAGAIN (Resource temporarily unavailable)\n"
    );
    let made = ingest_text(&text).unwrap();
    let events = table(&made.out, "events");
    let (tids, calls) = (ints(&events, "tid"), texts(&events, "syscall"));
    let refused = tids.iter().position(|tid| *tid == Some(2)).unwrap();
    let name = call.split('(').next();
    let closed = calls.iter().rposition(|syscall| syscall.as_deref() == name).unwrap();
    let moved = made.captured.repairs.get("lock_held") == Some(&1);
    assert_eq!(moved, refused < closed, "{text}");
    moved
}

#[test]
fn a_lock_ends_with_each_call_that_closes_its_descriptor() {
    for call in
        ["close(3</f>) = 0", "dup2(4</g>, 3</f>) = 3</g>", "dup3(4</g>, 3</f>, O_CLOEXEC) = 3</g>", "close_range(3, 9, 0) = 0"]
    {
        assert!(refused_before("O_RDWR", call), "{call}");
    }
    assert!(refused_before("O_RDWR|O_CLOEXEC", "execve(\"/bin/x\", [\"x\"], 0x1) = 0"));
}

#[test]
fn a_lock_stays_when_its_descriptor_does() {
    for call in [
        "close(4</g>) = 0",
        "dup2(3</f>, 4</g>) = 4</f>",
        "dup2(3</f>, 3</f>) = 3</f>",
        "close_range(4, 9, 0) = 0",
        "close_range(3, 9, CLOSE_RANGE_CLOEXEC) = 0",
        "execve(\"/bin/x\", [\"x\"], 0x1) = 0",
    ] {
        assert!(!refused_before("O_RDWR", call), "{call}");
    }
}
