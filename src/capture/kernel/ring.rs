//! The memory that the programs write and this process reads: the ring, and the buffers beside it.

use super::percpu::{Buffers, LINE, PUT, RECORDS, TAKEN};
use super::record::{LONGEST, Record, at};
use anyhow::{Context, Result};
use std::io;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Records that are taken before their room is given back: a long drain must not starve the writers.
const LEASE: u32 = 128;
/// Bytes before a record of the ring, and what its length is rounded up to.
const HEADER: u64 = 8;

/// Memory shared with the kernel.
struct Mapping {
    at: *mut libc::c_void,
    length: usize,
}

// SAFETY: it is only memory; what it is shared for is counted by atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(fd: RawFd, length: usize, protection: i32, offset: usize) -> Result<Mapping> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let at = unsafe { libc::mmap(ptr::null_mut(), length, protection, libc::MAP_SHARED, fd, offset as libc::off_t) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error()).context("cannot map what the programs write");
        }
        Ok(Mapping { at, length })
    }

    /// A counter that is shared with the kernel; `at` is a multiple of 8 inside.
    fn counter(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at.is_multiple_of(8) && at + 8 <= self.length);
        // SAFETY: it is inside, aligned, and lives as long as the mapping.
        unsafe { AtomicU64::from_ptr(self.at.byte_add(at).cast()) }
    }

    /// What stands before a record of the ring; `at` is a multiple of 8 inside.
    fn length(&self, at: usize) -> &AtomicU32 {
        debug_assert!(at.is_multiple_of(8) && at + 8 <= self.length);
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(self.at.byte_add(at).cast()) }
    }

    /// Bytes that the kernel does not touch until it is told that they were read.
    fn bytes(&self, at: usize, length: usize) -> &[u8] {
        debug_assert!(at + length <= self.length);
        // SAFETY: they are inside, and stay as they are while the value that counts what was read is borrowed.
        unsafe { std::slice::from_raw_parts(self.at.byte_add(at).cast(), length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nothing borrows from it any more.
        unsafe { libc::munmap(self.at, self.length) };
    }
}

/// What comes next.
pub enum Next<'a> {
    /// A record, and the instant when it was made.
    Record(u64, &'a [u8]),
    /// One that is being written.
    Busy,
    /// Nothing, as far as was looked.
    Nothing,
}

/// How records stand behind one another.
enum Form {
    /// Each behind 8 bytes that say how long it is (Documentation/bpf/ringbuf.rst).
    Headed,
    /// Each at a line of its own, as long as it says itself.
    Bare,
}

/// Something that records come out of, in the order in which they were put there.
pub struct Source {
    form: Form,
    memory: Arc<Mapping>,
    /// Where the bytes are counted that the kernel has put there.
    put: usize,
    /// Where the records begin, and how many bytes they have before they begin again, less one.
    records: usize,
    mask: u64,
    /// Where the bytes are counted that were taken: what is before may be written anew.
    told: Arc<Mapping>,
    taken: usize,
    /// How far it was written when it was looked at, and how far we are.
    end: u64,
    at: u64,
    since: u32,
}

impl Source {
    /// The ring of this size.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn ring(fd: RawFd, size: usize) -> Result<Source> {
        // SAFETY: sysconf(3) has no preconditions.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        // A page with how far we have read, one with how far the kernel has written, and the records twice in a row, so that
        // one that wraps around is in one piece.
        let told = Arc::new(Mapping::new(fd, page, libc::PROT_READ | libc::PROT_WRITE, 0)?);
        let memory = Arc::new(Mapping::new(fd, page + 2 * size, libc::PROT_READ, page)?);
        Ok(Source::new(Form::Headed, memory, 0, page, size, told, 0))
    }

    /// The buffers.
    ///
    /// # Errors
    /// When they cannot be mapped.
    pub fn buffers(fd: RawFd, buffers: Buffers) -> Result<Vec<Source>> {
        let memory = Arc::new(Mapping::new(fd, buffers.size(), libc::PROT_READ | libc::PROT_WRITE, 0)?);
        let buffer = |at: usize| {
            let (put, taken) = (at + PUT as usize, at + TAKEN as usize);
            let told = Arc::clone(&memory);
            Source::new(Form::Bare, Arc::clone(&memory), put, at + RECORDS, buffers.bytes as usize, told, taken)
        };
        Ok((0..buffers.count as usize).map(|place| buffer(place * buffers.stride() as usize)).collect())
    }

    fn new(
        form: Form,
        memory: Arc<Mapping>,
        put: usize,
        records: usize,
        size: usize,
        told: Arc<Mapping>,
        taken: usize,
    ) -> Source {
        let at = told.counter(taken).load(Ordering::Relaxed);
        Source { form, memory, put, records, mask: size as u64 - 1, told, taken, end: at, at, since: 0 }
    }

    /// Looks how far it was written.
    pub fn look(&mut self) {
        self.end = self.memory.counter(self.put).load(Ordering::Acquire);
    }

    /// The next record.
    #[inline]
    pub fn next(&mut self) -> Next<'_> {
        const BUSY: u32 = 1 << 31;
        const DISCARDED: u32 = 1 << 30;
        while self.at < self.end {
            let place = self.records + (self.at & self.mask) as usize;
            let bytes = match self.form {
                Form::Bare => {
                    let bytes = self.memory.bytes(place, LONGEST as usize);
                    let length = Record::parse(bytes).map_or(0, |record| record.length());
                    bytes.get(..length).unwrap_or(bytes)
                }
                Form::Headed => {
                    let length = self.memory.length(place).load(Ordering::Acquire);
                    if length & BUSY != 0 {
                        return Next::Busy;
                    }
                    if length & DISCARDED != 0 {
                        self.at += HEADER + u64::from(length & !DISCARDED).next_multiple_of(HEADER);
                        continue;
                    }
                    self.memory.bytes(place + HEADER as usize, length as usize)
                }
            };
            let made = Record::parse(bytes).map_or(0, |record| record.u64(at::TS).wrapping_add(record.u64(at::DUR)));
            return Next::Record(made, bytes);
        }
        Next::Nothing
    }

    /// Goes on behind a record of this length, the next.
    #[inline]
    pub fn pass(&mut self, length: usize) {
        self.at += match self.form {
            Form::Bare => (length as u64).next_multiple_of(LINE as u64),
            Form::Headed => HEADER + (length as u64).next_multiple_of(HEADER),
        };
        self.since += 1;
        if self.since == LEASE {
            self.give_back();
        }
    }

    /// Gives back the room of all that was passed.
    pub fn give_back(&mut self) {
        self.since = 0;
        self.told.counter(self.taken).store(self.at, Ordering::Release);
    }

    /// Bytes that were ever passed.
    pub fn passed(&self) -> u64 {
        self.at
    }
}
