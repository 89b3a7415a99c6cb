//! Numbers that no kernel has seen, and calls that it refuses and that are said to have succeeded.

use super::{ingest_text, story};

/// A line of each format that has the call, with what is said of it.
fn lines(strace: &str, capture: &str) -> [(String, String); 2] {
    let event = format!("t=1760000000001000000;:,D=1000;:,i=100:100;:,o={capture}\n");
    let close = "t=1760000000000000500;:,D=100;:,i=100:100;:,o=close;:,d=9;:,s=0;:,\n";
    [(strace.to_owned(), format!("close(9) = 0\n{strace}\n")), (capture.to_owned(), format!("{close}{event}"))]
}

#[test]
fn what_every_kernel_refuses_has_not_succeeded() {
    for (strace, capture) in [
        ("lseek(3, 0, 7) = 0", "lseek;:,d=3;:,O=0;:,W=7;:,b=0;:,"),
        ("pread64(3, \"x\", 1, -1) = 1", "pread64;:,d=3;:,O=-1;:,b=1;:,"),
        ("close(-1) = 0", "close;:,d=-1;:,s=0;:,"),
        ("close(3) = 5", "close;:,d=3;:,s=5;:,"),
        ("open(\"/a\", O_RDONLY) = 4294967296", "open;:,d=4294967296;:,p=/a;:,f=0;:,m=0;:,"),
        ("openat(-1, \"a\", O_RDONLY) = 3", "unlinkat;:,d=-1;:,p=a;:,f=0;:,s=0;:,"),
        ("read(3, \"x\", 1) = 2", "getdents;:,d=3;:,c=10;:,b=11;:,"),
        ("fcntl(3, F_DUPFD, 10) = 4", "fcntl;:,d=3;:,F=0;:,G=10;:,s=4;:,"),
        ("mmap(NULL, 0, PROT_READ, MAP_PRIVATE, 3, 0) = 0x7f000", "mmap;:,a=0;:,b=0;:,m=1;:,f=2;:,d=3;:,O=0;:,A=4096;:,"),
    ] {
        for (line, text) in lines(strace, capture) {
            let made = ingest_text(&text).unwrap();
            assert_eq!((made.captured.ledger.events, made.captured.rejects.get("impossible")), (1, Some(&1)), "{line}");
        }
    }
}

#[test]
fn what_was_refused_is_an_event() {
    for (strace, capture) in [
        ("lseek(3, 0, 7) = -1 EINVAL (Invalid argument)", "lseek;:,d=3;:,O=0;:,W=7;:,b=-22;:,"),
        ("pread64(3, \"x\", 1, -1) = -1 EINVAL (Invalid argument)", "pread64;:,d=3;:,O=-1;:,b=-22;:,"),
        ("close(-1) = -1 EBADF (Bad file descriptor)", "close;:,d=-1;:,s=-9;:,"),
        ("close(4294967295) = -1 EBADF (Bad file descriptor)", "close;:,d=-1;:,s=-9;:,"),
    ] {
        for (line, text) in lines(strace, capture) {
            let made = ingest_text(&text).unwrap();
            assert_eq!((story(&made).len(), made.captured.ledger.rejects), (2, 0), "{line}");
        }
    }
}

#[test]
fn a_number_out_of_its_range_is_a_reject() {
    for (strace, capture) in [
        ("close(4294967296) = -1 EBADF (Bad file descriptor)", "close;:,d=4294967295;:,s=-9;:,"),
        ("open(\"/a\", 0x100000000) = 3", "open;:,d=3;:,p=/a;:,f=4294967296;:,m=0;:,"),
        ("mkdir(\"/a\", 0777777777777) = 0", "mkdir;:,p=/a;:,m=8589934592;:,s=0;:,"),
        ("chown(\"/a\", 4294967296, 0) = 0", "chown;:,p=/a;:,O=4294967296;:,G=0;:,s=0;:,"),
    ] {
        for (line, text) in lines(strace, capture) {
            let made = ingest_text(&text).unwrap();
            assert_eq!((made.captured.ledger.events, made.captured.rejects.get("number")), (1, Some(&1)), "{line}");
        }
    }
}

/// What the table has beside calls only live captures tell.
#[test]
fn what_is_no_call_of_programs_is_not_read_as_one() {
    for (strace, capture) in [
        ("joined_fd(3, O_RDWR, 1) = 0", "joined_fd;:,d=3;:,f=2;:,G=1;:,s=0;:,"),
        ("waited(1, 9) = 0", "waited;:,F=1;:,G=9;:,s=0;:,"),
        ("aio_pread(3, \"x\", 1, 0) = 1", "aio_pread;:,d=3;:,c=1;:,O=0;:,s=1;:,"),
    ] {
        for (line, text) in lines(strace, capture) {
            let made = ingest_text(&text).unwrap();
            let columns = super::ints(&super::table(&made.out, "events"), "fd");
            assert_eq!(columns, [Some(9), None], "{line}");
        }
    }
}
