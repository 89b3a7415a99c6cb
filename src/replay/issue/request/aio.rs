//! Requests of io_submit(2), replayed by io_submit(2).
//!
//! Not by io_uring: where io_submit waits itself (a file that is not opened with O_DIRECT, a write that makes a file longer) the
//! captured program waited too, and io_uring would not. The calls take nothing that the seccomp filter would refuse: they read,
//! write and sync descriptors. The context is made before the filter, which refuses io_setup(2).

use super::port::{Code, Request};
use std::collections::VecDeque;
use std::io::{Error, Result};
use std::sync::atomic::{AtomicU32, Ordering};

/// `struct iocb` of linux/aio_abi.h, little endian.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    reqprio: i16,
    fd: u32,
    buf: u64,
    nbytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    resfd: u32,
}

/// `struct io_event`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Event {
    data: u64,
    obj: u64,
    res: i64,
    res2: i64,
}
const _: () = assert!(size_of::<Iocb>() == 64 && size_of::<Event>() == 32);

/// Opcodes IOCB_CMD_PREAD, PWRITE, FSYNC and FDSYNC.
const fn opcode(code: Code) -> u16 {
    match code {
        Code::Read => 0,
        Code::Write => 1,
        Code::Fsync => 2,
        Code::Fdatasync => 3,
    }
}

/// Value of the field `magic` of `struct aio_ring`, which lies at the address of a context (fs/aio.c of the kernel).
const MAGIC: u32 = 0xa10a_10a1;

/// A context of io_setup(2).
#[derive(Debug)]
pub struct Aio {
    context: u64,
    /// A request for each tag.
    requests: Vec<Iocb>,
    /// Tags of requests that were not handed over yet, and room for their addresses.
    queued: VecDeque<u16>,
    pointers: Vec<*const Iocb>,
    /// Results taken from the kernel, and those of requests that it did not take.
    results: VecDeque<(u16, i64)>,
    events: Box<[Event]>,
    /// Can it be seen in memory whether there are results?
    shown: bool,
}

// SAFETY: the pointers are into `requests`, and used by the thread that owns all of it.
unsafe impl Send for Aio {}

impl Aio {
    /// Makes a context with room for `entries` requests.
    ///
    /// # Errors
    /// When the kernel has none left (fs.aio-max-nr), or no such calls.
    pub fn new(entries: usize) -> Result<Aio> {
        let mut context = 0u64;
        // SAFETY: context is writable.
        if unsafe { libc::syscall(libc::SYS_io_setup, entries, &raw mut context) } < 0 {
            return Err(Error::last_os_error());
        }
        let mut aio = Aio {
            context,
            requests: vec![Iocb::default(); entries],
            queued: VecDeque::with_capacity(entries),
            pointers: Vec::with_capacity(entries),
            results: VecDeque::with_capacity(2 * entries),
            events: vec![Event::default(); entries].into(),
            shown: false,
        };
        aio.shown = aio.word(4).load(Ordering::Relaxed) == MAGIC;
        Ok(aio)
    }

    /// A number at the start of the memory that a context shows: 2 is the head of its results, 3 their tail.
    fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: the kernel has mapped at least a page there, readable and writable, until the context is destroyed.
        unsafe { &*(self.context as *const AtomicU32).add(at) }
    }

    /// Room for how many requests there is at a time.
    pub fn entries(&self) -> usize {
        self.events.len()
    }

    /// Takes tags below `tags` from now on: those who have other ports, too, number the requests of all of them. To be called before
    /// the first request.
    pub fn tags(&mut self, tags: usize) {
        self.requests.resize(tags.max(self.requests.len()), Iocb::default());
    }

    /// Queues a request, whose result will have this tag.
    pub fn push(&mut self, tag: u16, request: &Request) {
        let Request { code, fd, address, length, offset } = *request;
        self.requests[usize::from(tag)] = Iocb {
            data: u64::from(tag),
            opcode: opcode(code),
            fd: fd as u32,
            buf: address as u64,
            nbytes: u64::from(length),
            offset,
            ..Iocb::default()
        };
        self.queued.push_back(tag);
    }

    /// Are there requests that were not handed over?
    pub fn queued(&self) -> bool {
        !self.queued.is_empty()
    }

    /// Hands over what is queued.
    pub fn flush(&mut self) {
        while !self.queued.is_empty() {
            self.pointers.clear();
            self.pointers.extend(self.queued.iter().map(|tag| &raw const self.requests[usize::from(*tag)]));
            // SAFETY: the requests live as long as the context, and point to memory that lives as long as the worker.
            let taken = unsafe { libc::syscall(libc::SYS_io_submit, self.context, self.pointers.len(), self.pointers.as_ptr()) };
            if taken > 0 {
                self.queued.drain(..(taken as usize).min(self.queued.len()));
                continue;
            }
            // The first one is wrong in itself (a descriptor that is not open, for example), or there is no memory for it.
            let errno = if taken < 0 { Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) } else { libc::EAGAIN };
            if let Some(tag) = self.queued.pop_front() {
                self.results.push_back((tag, -i64::from(errno)));
            }
        }
    }

    /// Takes results from the kernel, waiting for one if `wait`, up to `limit` ns (`None`: without end).
    ///
    /// # Errors
    /// The errno of what cannot succeed later either.
    pub fn take(&mut self, wait: bool, limit: Option<i64>) -> std::result::Result<(), i32> {
        if !self.results.is_empty()
            || !wait && self.shown && self.word(2).load(Ordering::Relaxed) == self.word(3).load(Ordering::Acquire)
        {
            return Ok(());
        }
        let time = limit.map(|limit| libc::timespec { tv_sec: limit / 1_000_000_000, tv_nsec: limit % 1_000_000_000 });
        let time = time.as_ref().map_or(std::ptr::null(), |time| &raw const *time);
        // SAFETY: as many events are writable as the third argument says; time is readable or NULL.
        let got = unsafe {
            libc::syscall(
                libc::SYS_io_getevents,
                self.context,
                i64::from(wait),
                self.events.len(),
                self.events.as_mut_ptr(),
                time,
            )
        };
        if got < 0 {
            return match Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) {
                libc::EINTR => Ok(()),
                errno => Err(errno),
            };
        }
        let got = &self.events[..(got as usize).min(self.events.len())];
        self.results.extend(got.iter().map(|event| (event.data as u16, event.res)));
        Ok(())
    }

    /// The next result that was taken: its tag and its value.
    pub fn pop(&mut self) -> Option<(u16, i64)> {
        self.results.pop_front()
    }
}

impl Drop for Aio {
    fn drop(&mut self) {
        // SAFETY: the context is ours; behind the filter the call is refused, and the process ends anyhow.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.context) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skip::{Need, skip};
    use std::os::fd::AsRawFd;

    #[test]
    fn requests_have_their_results() {
        let Ok(mut aio) = Aio::new(4) else { return skip(Need::Aio, "io_setup is refused") };
        let file = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"some bytes", 0).unwrap();
        let mut buffer = [0u8; 16];
        let read = Request { code: Code::Read, fd: file.as_raw_fd(), address: buffer.as_mut_ptr(), length: 16, offset: 5 };
        aio.push(2, &read);
        aio.push(0, &Request { fd: -1, ..read });
        aio.push(3, &Request { offset: 100, ..read });
        assert!(aio.queued());
        aio.flush();
        let mut results = Vec::new();
        while results.len() < 3 {
            aio.take(true, Some(5_000_000_000)).unwrap();
            results.extend(std::iter::from_fn(|| aio.pop()));
        }
        results.sort_unstable();
        assert_eq!(results, [(0, -i64::from(libc::EBADF)), (2, 5), (3, 0)]);
        assert!(!aio.queued() && buffer.starts_with(b"bytes"));
        aio.take(false, None).unwrap();
        assert!(aio.pop().is_none());
    }
}
