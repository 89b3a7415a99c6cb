//! Maps the memory that the eBPF programs write records to, the ring and the per-CPU buffers, and reads records from it.

use super::percpu::{Buffers, LINE, PUT, RECORDS, TAKEN};
use super::record::{LONGEST, Record, at};
use anyhow::{Context, Result};
use std::io;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Number of records after which their room is given back to the writers, so that a long drain does not starve them.
const LEASE: u32 = 128;
/// Bytes of the header of a record in the ring; record lengths are rounded up to a multiple of it.
const HEADER: u64 = 8;

/// A shared memory mapping of a BPF map.
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

    /// The shared 64-bit counter at offset `at`, a multiple of 8 inside the mapping.
    fn counter(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at.is_multiple_of(8) && at + 8 <= self.length);
        // SAFETY: it is inside, aligned, and lives as long as the mapping.
        unsafe { AtomicU64::from_ptr(self.at.byte_add(at).cast()) }
    }

    /// The header word of a record of the ring (length and state bits) at offset `at`, a multiple of 8 inside the mapping.
    fn length(&self, at: usize) -> &AtomicU32 {
        debug_assert!(at.is_multiple_of(8) && at + 8 <= self.length);
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(self.at.byte_add(at).cast()) }
    }

    /// Bytes at offset `at`. The kernel does not change them until the counter of taken bytes is moved beyond them.
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

/// What is next in a source of records.
pub enum Next<'a> {
    /// A record: the time when it was made (the return of its call, monotonic ns) and its bytes.
    Record(u64, &'a [u8]),
    /// A record that the kernel is still writing.
    Busy,
    /// No record before the end that [`Source::look`] last read.
    Nothing,
}

/// How the records of a source are laid out one behind the other.
enum Form {
    /// The kernel's ring: each record has a header of 8 bytes with its length (Documentation/bpf/ringbuf.rst).
    Headed,
    /// A per-CPU buffer: each record begins at a cache line (64 bytes) and its fields tell its length.
    Bare,
}

/// A source of records: the ring or one per-CPU buffer, read in the order in which records were put into it.
pub struct Source {
    form: Form,
    memory: Arc<Mapping>,
    /// Offset in `memory` of the counter of bytes that the kernel has put there.
    put: usize,
    /// Offset in `memory` of the records.
    records: usize,
    /// Size of the area of records, bytes (a power of two), less one.
    mask: u64,
    /// Mapping with the counter of bytes that this process has taken: what is before may be written again.
    told: Arc<Mapping>,
    /// Offset of that counter in `told`.
    taken: usize,
    /// Bytes that the kernel had written when [`Source::look`] was last called.
    end: u64,
    /// Bytes that were consumed here.
    at: u64,
    /// Records that were consumed since their room was last given back.
    since: u32,
}

impl Source {
    /// Maps the ring of `size` bytes that the descriptor of map `ring` refers to.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn ring(fd: RawFd, size: usize) -> Result<Source> {
        // SAFETY: sysconf(3) has no preconditions.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        // A page with how far we have read, one with how far the kernel has written, and the records mapped twice in a row, so
        // that a record that wraps around is contiguous.
        let told = Arc::new(Mapping::new(fd, page, libc::PROT_READ | libc::PROT_WRITE, 0)?);
        let memory = Arc::new(Mapping::new(fd, page + 2 * size, libc::PROT_READ, page)?);
        Ok(Source::new(Form::Headed, memory, 0, page, size, told, 0))
    }

    /// Maps the per-CPU buffers; returns one source for each.
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

    /// Reads how far the kernel has written; [`Source::next`] returns records up to there.
    pub fn look(&mut self) {
        self.end = self.memory.counter(self.put).load(Ordering::Acquire);
    }

    /// The next record, which is not consumed before [`Source::pass`]. Records that the kernel has discarded are skipped.
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

    /// Consumes the next record, which has this length in bytes.
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

    /// Tells the kernel that the room of all consumed records may be written again.
    pub fn give_back(&mut self) {
        self.since = 0;
        self.told.counter(self.taken).store(self.at, Ordering::Release);
    }

    /// Position in the source: number of bytes consumed so far, with headers and padding.
    pub fn passed(&self) -> u64 {
        self.at
    }
}
