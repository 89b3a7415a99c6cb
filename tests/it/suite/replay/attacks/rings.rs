//! Forbidden requests through the ring of a running replay: put there from outside, by who has its descriptor.

use super::super::work::{Work, op};
use crate::skip::{Need, skip};
use crate::tool::{self, root};
use libc::*;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// `struct io_uring_params` as words: entries of both queues first, offsets of the submission queue from word 10, those of the
/// completion queue from word 20 (include/uapi/linux/io_uring.h).
type Params = [u32; 30];

/// A ring of another process, mapped here.
struct Stolen {
    fd: OwnedFd,
    queues: *mut u8,
    sqes: *mut [u64; 8],
    params: Params,
}

fn map(fd: &OwnedFd, length: usize, offset: i64) -> *mut u8 {
    // SAFETY: a new mapping, of a length that the kernel checks.
    let start = unsafe { mmap(std::ptr::null_mut(), length, PROT_READ | PROT_WRITE, MAP_SHARED, fd.as_raw_fd(), offset) };
    assert_ne!(start, MAP_FAILED, "{}", std::io::Error::last_os_error());
    start.cast()
}

/// O_EXCL, by the name that pidfd_open(2) has for it.
const PIDFD_THREAD: i32 = O_EXCL;

impl Stolen {
    /// Takes descriptor `number` of a thread, which may have a table of its own (pidfd_getfd(2); PIDFD_THREAD, since Linux 6.9).
    /// Where its queues are, a ring of the same size tells.
    fn take(thread: i32, number: i32) -> Stolen {
        let info = fs::read_to_string(format!("/proc/{thread}/fdinfo/{number}")).unwrap();
        let mask = info.lines().find_map(|line| line.strip_prefix("SqMask:")).unwrap().trim().trim_start_matches("0x");
        let entries = u32::from_str_radix(mask, 16).unwrap() + 1;
        let mut params: Params = [0; 30];
        // SAFETY: plain numbers, and params is as large as the kernel expects; each new descriptor is owned by an OwnedFd alone.
        let fd = unsafe {
            let like = syscall(SYS_io_uring_setup, entries, params.as_mut_ptr()) as i32;
            assert!(like >= 0);
            drop(OwnedFd::from_raw_fd(like));
            let process = OwnedFd::from_raw_fd(syscall(SYS_pidfd_open, thread, PIDFD_THREAD) as i32);
            let fd = syscall(SYS_pidfd_getfd, process.as_raw_fd(), number, 0) as i32;
            assert!(fd >= 0, "{}", std::io::Error::last_os_error());
            OwnedFd::from_raw_fd(fd)
        };
        assert_eq!(params[0], entries);
        let length = (params[16] + 4 * params[0]).max(params[25] + 16 * params[1]);
        let (queues, sqes) = (map(&fd, length as usize, 0), map(&fd, 64 * entries as usize, 0x1000_0000).cast());
        Stolen { fd, queues, sqes, params }
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the kernel says that a number is there, inside of the mapping.
        unsafe { AtomicU32::from_ptr(self.queues.add(offset as usize).cast()) }
    }

    /// Are all requests handed over that its owner has put there?
    fn idle(&self) -> bool {
        self.word(self.params[10]).load(Ordering::Acquire) == self.word(self.params[11]).load(Ordering::Acquire)
    }

    /// Hands a request over; its result. The owner is stopped: no other results come but those of what is under way.
    fn done(&self, opcode: u8, flags: u8, fd: i32, address: u64, length: u32) -> i32 {
        const OURS: u32 = 0x0bad_0bad;
        let [sq_tail, sq_mask, array] = [11, 12, 16].map(|at| self.params[at]);
        let [cq_tail, cq_mask, cqes] = [21, 22, 25].map(|at| self.params[at]);
        let tail = self.word(sq_tail).load(Ordering::Relaxed);
        let slot = tail & self.word(sq_mask).load(Ordering::Relaxed);
        let first = u64::from(opcode) | u64::from(flags) << 8 | u64::from(fd as u32) << 32;
        // SAFETY: the slot is one of the mapped requests.
        unsafe { self.sqes.add(slot as usize).write_volatile([first, 0, address, length.into(), OURS.into(), 0, 0, 0]) };
        self.word(array + 4 * slot).store(slot, Ordering::Relaxed);
        let mut next = self.word(cq_tail).load(Ordering::Acquire);
        self.word(sq_tail).store(tail.wrapping_add(1), Ordering::Release);
        // SAFETY: plain numbers.
        let entered = unsafe { syscall(SYS_io_uring_enter, self.fd.as_raw_fd(), 1, 0, 0, 0, 0) };
        assert_eq!(entered, 1, "opcode {opcode}: {}", std::io::Error::last_os_error());
        let begun = Instant::now();
        loop {
            while next != self.word(cq_tail).load(Ordering::Acquire) {
                let cqe = cqes + 16 * (next & self.word(cq_mask).load(Ordering::Relaxed));
                next = next.wrapping_add(1);
                if self.word(cqe).load(Ordering::Relaxed) == OURS {
                    // Taken, so that the queue never fills: its owner, which is stopped, takes none any more.
                    self.word(self.params[20]).store(next, Ordering::Release);
                    return self.word(cqe + 8).load(Ordering::Relaxed) as i32;
                }
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "no result of opcode {opcode}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Sends a signal to processes of this test.
fn signal(processes: &[i32], signal: i32) {
    for pid in processes {
        // SAFETY: plain numbers.
        unsafe { kill(*pid, signal) };
    }
}

/// Processes of the replay in this tree, and a thread of one with the descriptor of its ring.
fn ring(marker: &str) -> (Vec<i32>, Option<(i32, i32)>) {
    let (mut all, mut found) = (Vec::new(), None);
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        if !line.contains("replay-child") || !line.contains(marker) {
            continue;
        }
        let pid: i32 = entry.file_name().to_str().unwrap().parse().unwrap();
        all.push(pid);
        for thread in fs::read_dir(entry.path().join("task")).into_iter().flatten().flatten() {
            let filtered = fs::read_to_string(thread.path().join("status")).is_ok_and(|status| status.contains("Seccomp:\t2"));
            for fd in fs::read_dir(thread.path().join("fd")).into_iter().flatten().flatten().filter(|_| filtered) {
                if fs::read_link(fd.path()).is_ok_and(|link| link == Path::new("anon_inode:[io_uring]")) {
                    let [thread, fd] = [thread.file_name(), fd.file_name()].map(|name| name.to_str().unwrap().parse().unwrap());
                    found = Some((thread, fd));
                }
            }
        }
    }
    (all, found)
}

#[test]
fn the_ring_of_a_running_replay_does_nothing_else() {
    if !root() {
        return skip(Need::Root, "taking a descriptor of another process");
    }
    let mut work = Work::new();
    work.row_group = 1000;
    work.need("/f", "file", 1 << 20);
    work.op(op("open", 3).raw("/f").flags(O_RDWR).ofd(0).set("ts", 0).set("dur", 10));
    for at in 0..20_000_i64 {
        let request = op("pread64", 4096).set("syscall", "uring_read").set("ring", 0).set("reaped", at).ofd(0);
        work.op(request.count(4096).set("offset", 0).set("ts", 1_000_000 * (at + 1)).set("dur", 10));
    }
    let place = work.write().display().to_string();
    work.init().unwrap();
    let [tree, out] = ["root", "run"].map(|name| work.place(name).display().to_string());
    let mut child = tool::command(&["replay", &place, "--root", &tree, "-o", &out, "--pace", "realtime"]).spawn().unwrap();
    let marker = work.tree().display().to_string();
    let begun = Instant::now();
    let (all, stolen) = loop {
        let (all, found) = ring(&marker);
        if let Some((thread, number)) = found {
            signal(&all, SIGSTOP);
            let stolen = Stolen::take(thread, number);
            if stolen.idle() {
                break (all, stolen);
            }
            signal(&all, SIGCONT);
        }
        if child.try_wait().unwrap().is_some() || begun.elapsed() > Duration::from_secs(60) {
            let _ = child.kill();
            let _ = child.wait();
            return skip(Need::IoUring, "the replay makes no ring here");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut buffer = [0u8; 64];
    let (file, address) = (fs::File::open(env!("CARGO_BIN_EXE_ioriot")).unwrap(), buffer.as_mut_ptr() as u64);
    // What the workload asks for is done, also for who should not have the ring: what is refused below is refused by the ring.
    let read = stolen.done(22, 0, file.as_raw_fd(), address, 64);
    let name = c"/ioriot-was-here".as_ptr() as u64;
    let refused: Vec<(u8, i32)> = [0, 1, 2, 3, 4, 5, 6, 8, 9, 16, 17, 18, 19, 21, 23, 28, 30, 35, 36, 37, 38, 39, 42, 45, 46]
        .into_iter()
        .map(|opcode| (opcode, stolen.done(opcode, 0, AT_FDCWD, name, 8)))
        .collect();
    // A request in a chain, on a registered file, with a buffer that the ring chooses.
    let flags: Vec<i32> = [1, 4, 8, 32].into_iter().map(|flags| stolen.done(22, flags, file.as_raw_fd(), address, 64)).collect();
    // SAFETY: plain numbers, and arguments that are there.
    let registered = [0, 2, 11, 12].map(|what| unsafe {
        let number = file.as_raw_fd();
        let ret = syscall(SYS_io_uring_register, stolen.fd.as_raw_fd(), what, &raw const number, 1);
        (ret, std::io::Error::last_os_error().raw_os_error())
    });
    signal(&all, SIGKILL);
    child.wait().unwrap();
    assert_eq!((read, &buffer[..4]), (64, &b"\x7fELF"[..]));
    let through: Vec<_> = refused.iter().filter(|(_, result)| *result != -EACCES).collect();
    assert!(through.is_empty(), "by opcode: {through:?}");
    assert_eq!(flags, [-EACCES; 4]);
    assert!(registered.iter().all(|(ret, error)| *ret < 0 && matches!(error, Some(EACCES | EBADFD | EINVAL))), "{registered:?}");
    assert!(!Path::new("/ioriot-was-here").exists());
}
