//! A ring of io_uring(7) that does nothing but what the requests of a workload ask for.
//!
//! What goes through a ring the seccomp filter does not see. So the ring is made disabled (IORING_SETUP_R_DISABLED), bound to
//! the opcodes and the flag that the requests need (IORING_REGISTER_RESTRICTIONS; nothing can be registered any more), and only
//! then enabled, all before the filter refuses io_uring_setup(2) and io_uring_register(2). An opcode that was not named gets
//! EACCES. The opcodes that there are act on a descriptor: none takes a path.

use super::port::{Code, Request};
use crate::replay::shared::memory::Pages;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// Numbers of include/uapi/linux/io_uring.h.
mod uapi {
    pub const SETUP_CLAMP: u32 = 1 << 4;
    pub const SETUP_R_DISABLED: u32 = 1 << 6;
    pub const FEAT_SINGLE_MMAP: u32 = 1;
    pub const FEAT_NODROP: u32 = 1 << 1;
    /// A wait may have a time limit (Linux 5.11).
    pub const FEAT_EXT_ARG: u32 = 1 << 8;
    pub const REGISTER_RESTRICTIONS: u32 = 11;
    pub const REGISTER_ENABLE_RINGS: u32 = 12;
    pub const RESTRICTION_SQE_OP: u16 = 1;
    pub const RESTRICTION_SQE_FLAGS_ALLOWED: u16 = 2;
    pub const ENTER_GETEVENTS: u32 = 1;
    pub const ENTER_EXT_ARG: u32 = 1 << 3;
    pub const OFF_SQES: i64 = 0x1000_0000;
    pub const OP_FSYNC: u8 = 3;
    pub const OP_READ: u8 = 22;
    pub const OP_WRITE: u8 = 23;
    pub const FSYNC_DATASYNC: u32 = 1;
    pub const SQE_ASYNC: u8 = 1 << 4;
}
use uapi::*;

/// `struct io_uring_params`: what the kernel fills in when a ring is made.
#[repr(C)]
#[derive(Default)]
struct Params {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    sq_thread_cpu: u32,
    sq_thread_idle: u32,
    features: u32,
    wq_fd: u32,
    resv: [u32; 3],
    /// head, tail, ring_mask, ring_entries, flags, dropped, array, resv1, and an address (2).
    sq_off: [u32; 10],
    /// head, tail, ring_mask, ring_entries, overflow, cqes, flags, resv1, and an address (2).
    cq_off: [u32; 10],
}

/// `struct io_uring_restriction`.
#[repr(C)]
struct Restriction {
    kind: u16,
    what: u8,
    resv: u8,
    resv2: [u32; 3],
}

/// `struct io_uring_sqe`, as far as these opcodes use it.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sqe {
    opcode: u8,
    flags: u8,
    ioprio: u16,
    fd: i32,
    off: u64,
    addr: u64,
    len: u32,
    op_flags: u32,
    user_data: u64,
    rest: [u64; 3],
}
const _: () = assert!(size_of::<Sqe>() == 64 && size_of::<Restriction>() == 16 && size_of::<Params>() == 120);

/// `struct io_uring_cqe`.
#[repr(C)]
struct Cqe {
    user_data: u64,
    res: i32,
    flags: u32,
}

/// `struct io_uring_getevents_arg`.
#[repr(C)]
struct Limit {
    sigmask: u64,
    sigmask_sz: u32,
    min_wait_usec: u32,
    ts: u64,
}

/// The opcode by which a request is made.
fn opcode(code: Code) -> u8 {
    match code {
        Code::Read => OP_READ,
        Code::Write => OP_WRITE,
        Code::Fsync | Code::Fdatasync => OP_FSYNC,
    }
}

/// A ring, mapped into this process; only the thread that made it uses it.
#[derive(Debug)]
pub struct Uring {
    fd: OwnedFd,
    /// Heads and tails of both queues, and the results.
    queues: Pages,
    /// The requests.
    sqes: Pages,
    /// Where in `queues` tail of the submissions, head and tail of the results and the first result are, bytes.
    tail: usize,
    cq_head: usize,
    cq_tail: usize,
    cqes: usize,
    /// Number of entries of both queues, less 1.
    mask: u32,
    cq_mask: u32,
    /// Requests that were not handed over yet.
    queued: u32,
}

impl Uring {
    /// Makes a ring with room for `entries` requests of these codes, and for nothing else.
    ///
    /// # Errors
    /// When the kernel gives no such ring (before Linux 5.11, switched off, or refused).
    pub fn new(entries: u32, codes: &[Code]) -> Result<Uring> {
        let mut params = Params { flags: SETUP_R_DISABLED | SETUP_CLAMP, ..Params::default() };
        // SAFETY: the kernel writes to params, which is as large as it expects; the new descriptor is owned by the OwnedFd alone.
        let fd = unsafe {
            let fd = libc::syscall(libc::SYS_io_uring_setup, entries, &raw mut params) as i32;
            if fd < 0 {
                return Err(Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        let needs = FEAT_SINGLE_MMAP | FEAT_NODROP | FEAT_EXT_ARG;
        if params.features & needs != needs {
            return Err(Error::from(ErrorKind::Unsupported));
        }
        restrict(&fd, codes)?;
        let [sq, cq] = [params.sq_off, params.cq_off].map(|at| at.map(|at| at as usize));
        let (entries, results) = (params.sq_entries as usize, params.cq_entries as usize);
        let length = (sq[6] + entries * size_of::<u32>()).max(cq[5] + results * size_of::<Cqe>());
        let queues = Pages::of_at(&fd, 0, length)?;
        let sqes = Pages::of_at(&fd, OFF_SQES, entries * size_of::<Sqe>())?;
        let ring = Uring {
            fd,
            queues,
            sqes,
            tail: sq[1],
            cq_head: cq[0],
            cq_tail: cq[1],
            cqes: cq[5],
            mask: params.sq_entries - 1,
            cq_mask: params.cq_entries - 1,
            queued: 0,
        };
        // The entry with a number is always the request with that number.
        for entry in 0..params.sq_entries {
            ring.word(sq[6] + entry as usize * size_of::<u32>()).store(entry, Ordering::Relaxed);
        }
        Ok(ring)
    }

    /// A number in the memory shared with the kernel.
    fn word(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at + 4 <= self.queues.len(), "the kernel says where its own numbers are");
        // SAFETY: inside the mapping, aligned, and alive as long as self; the kernel changes it as an atomic.
        unsafe { &*self.queues.start().add(at).cast::<AtomicU32>() }
    }

    /// Room for how many requests there is at a time.
    pub fn entries(&self) -> usize {
        self.mask as usize + 1
    }

    /// Queues a request, whose result will have this tag; `apart`: not tried at once, but by a thread of the kernel. There must
    /// be room.
    pub fn push(&mut self, tag: u16, request: &Request, apart: bool) {
        let syncs = if request.code == Code::Fdatasync { FSYNC_DATASYNC } else { 0 };
        let sqe = Sqe {
            opcode: opcode(request.code),
            flags: if apart { SQE_ASYNC } else { 0 },
            fd: request.fd,
            off: request.offset as u64,
            addr: request.address as u64,
            len: request.length,
            op_flags: syncs,
            user_data: u64::from(tag),
            ..Sqe::default()
        };
        self.put(sqe);
    }

    fn put(&mut self, sqe: Sqe) {
        let tail = self.word(self.tail).load(Ordering::Relaxed);
        let at = (tail & self.mask) as usize;
        // SAFETY: inside the mapping, since there are mask + 1 requests; the kernel does not look at it before the tail moves.
        unsafe { self.sqes.start().cast::<Sqe>().add(at).write(sqe) };
        self.word(self.tail).store(tail.wrapping_add(1), Ordering::Release);
        self.queued += 1;
    }

    /// Hands over what is queued, and waits until a result is there if `wait`, up to `limit` ns (`None`: without end).
    ///
    /// # Errors
    /// The errno of what cannot succeed later either.
    pub fn enter(&mut self, wait: bool, limit: Option<i64>) -> std::result::Result<(), i32> {
        let time = limit.map(|limit| libc::timespec { tv_sec: limit / 1_000_000_000, tv_nsec: limit % 1_000_000_000 });
        let ts = time.as_ref().map_or(0, |time| &raw const *time as u64);
        let arg = Limit { sigmask: 0, sigmask_sz: 0, min_wait_usec: 0, ts };
        let flags = if wait { ENTER_GETEVENTS | ENTER_EXT_ARG } else { 0 };
        let (arg, size) = if wait { (&raw const arg, size_of::<Limit>()) } else { (std::ptr::null(), 0) };
        // SAFETY: the requests point to memory that lives as long as the worker; arg and time are readable.
        let done = unsafe {
            libc::syscall(libc::SYS_io_uring_enter, self.fd.as_raw_fd(), self.queued, u32::from(wait), flags, arg, size)
        };
        match done {
            0.. => self.queued = self.queued.saturating_sub(done as u32),
            _ => match Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) {
                // Out of time, or of memory for the moment: whoever waits looks again.
                libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY => {}
                errno => return Err(errno),
            },
        }
        Ok(())
    }

    /// Are there requests that were not handed over?
    pub fn queued(&self) -> bool {
        self.queued > 0
    }

    /// Takes the next result: its tag and its value.
    pub fn pop(&mut self) -> Option<(u16, i64)> {
        let head = self.word(self.cq_head).load(Ordering::Relaxed);
        if head == self.word(self.cq_tail).load(Ordering::Acquire) {
            return None;
        }
        let at = self.cqes + (head & self.cq_mask) as usize * size_of::<Cqe>();
        // SAFETY: inside the mapping, since there are cq_mask + 1 results; the kernel does not change it before the head moves.
        let cqe = unsafe { self.queues.start().add(at).cast::<Cqe>().read() };
        self.word(self.cq_head).store(head.wrapping_add(1), Ordering::Release);
        Some((cqe.user_data as u16, i64::from(cqe.res)))
    }
}

/// Binds a ring that is disabled to these codes, and enables it.
fn restrict(fd: &OwnedFd, codes: &[Code]) -> Result<()> {
    let restriction = |kind, what| Restriction { kind, what, resv: 0, resv2: [0; 3] };
    let mut all: Vec<Restriction> = codes.iter().map(|code| restriction(RESTRICTION_SQE_OP, opcode(*code))).collect();
    all.push(restriction(RESTRICTION_SQE_FLAGS_ALLOWED, SQE_ASYNC));
    register(fd, REGISTER_RESTRICTIONS, all.as_ptr(), all.len())?;
    register(fd, REGISTER_ENABLE_RINGS, std::ptr::null(), 0)
}

fn register(fd: &OwnedFd, what: u32, from: *const Restriction, count: usize) -> Result<()> {
    // SAFETY: `count` restrictions are readable at `from`.
    let done = unsafe { libc::syscall(libc::SYS_io_uring_register, fd.as_raw_fd(), what, from, count as u32) };
    if done < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skip::{Need, skip};
    use std::os::fd::AsFd;

    fn ring(codes: &[Code]) -> Option<Uring> {
        Uring::new(8, codes).inspect_err(|error| skip(Need::IoUring, error)).ok()
    }

    fn result(ring: &mut Uring) -> i64 {
        ring.enter(true, None).unwrap();
        ring.pop().unwrap().1
    }

    #[test]
    fn a_ring_does_what_it_was_made_for_and_nothing_else() {
        let Some(mut ring) = ring(&[Code::Read, Code::Fsync]) else { return };
        let file = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"some bytes", 0).unwrap();
        let mut buffer = [0u8; 16];
        let request = |code| Request { code, fd: file.as_fd().as_raw_fd(), address: std::ptr::null_mut(), length: 16, offset: 5 };
        let read = Request { address: buffer.as_mut_ptr(), ..request(Code::Read) };
        for apart in [false, true] {
            ring.push(7, &read, apart);
            ring.enter(true, None).unwrap();
            assert_eq!(ring.pop(), Some((7, 5)));
        }
        assert!(ring.pop().is_none() && !ring.queued() && buffer.starts_with(b"bytes"));
        ring.push(1, &Request { length: 0, offset: 0, ..request(Code::Fsync) }, false);
        assert_eq!(result(&mut ring), 0);
        ring.push(1, &Request { fd: -1, ..read }, false);
        assert_eq!(result(&mut ring), -i64::from(libc::EBADF));
        // Writes were not asked for; and all other opcodes there are or will be, whatever their flags.
        ring.push(1, &Request { address: buffer.as_mut_ptr(), ..request(Code::Write) }, false);
        assert_eq!(result(&mut ring), -i64::from(libc::EACCES));
        for opcode in (0..=u8::MAX).filter(|opcode| ![OP_READ, OP_FSYNC].contains(opcode)) {
            ring.put(Sqe { opcode, fd: file.as_raw_fd(), ..Sqe::default() });
            let result = result(&mut ring);
            assert!([libc::EACCES, libc::EINVAL].contains(&(-result as i32)), "{opcode}: {result}");
        }
        for flags in [1, 2, 4, 8, 32, 64] {
            ring.put(Sqe {
                opcode: OP_READ,
                flags,
                fd: file.as_raw_fd(),
                addr: buffer.as_mut_ptr() as u64,
                len: 1,
                ..Sqe::default()
            });
            assert_eq!(result(&mut ring), -i64::from(libc::EACCES), "flags {flags}");
        }
        // Nothing can be registered: no files, buffers, personalities, nor other restrictions.
        for what in 0..64 {
            assert!(register(&ring.fd, what, std::ptr::null(), 0).is_err(), "{what}");
        }
    }

    #[test]
    fn a_wait_ends_in_time() {
        let Some(mut ring) = ring(&[Code::Read]) else { return };
        let since = std::time::Instant::now();
        ring.enter(true, Some(20_000_000)).unwrap();
        assert!(ring.pop().is_none() && since.elapsed().as_millis() >= 20);
    }
}
