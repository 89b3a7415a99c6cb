//! Layout of a record: what an eBPF program (or the ptrace backend) reports of one call or other happening.
//!
//! A record has a fixed part of 128 bytes, then, if the call has them: up to two strings, the data behind a pointer argument,
//! and the names on the way from an opened file up to the root directory. Programs and decoder share this layout.

/// Offsets of the fields of the fixed part, bytes. Fields of a file are those of the descriptor that the call uses or makes.
pub mod at {
    /// Start of the call, ns of CLOCK_MONOTONIC (u64); with [`super::flag::NO_ENTRY`] the time of its return.
    pub const TS: i16 = 0;
    /// Duration of the call, ns (u64).
    pub const DUR: i16 = 8;
    /// Process id (u32).
    pub const PID: i16 = 16;
    /// Thread id (u32); in a FORKED record the id of the new process.
    pub const TID: i16 = 20;
    /// Number of the call, 512 more for a 32-bit call (u16).
    pub const NUMBER: i16 = 24;
    /// Flags of the record: bits of [`super::flag`] (u16).
    pub const FLAGS: i16 = 26;
    /// Lengths of the two strings, each with its NUL; 0 for none (2 x u16).
    pub const STRINGS: i16 = 28;
    /// Return value of the call; -errno when it failed (i64).
    pub const RET: i16 = 32;
    /// The six argument registers of the call (6 x u64).
    pub const ARGS: i16 = 40;
    /// Inode number of the file (u64).
    pub const INO: i16 = 88;
    /// Size of the file, bytes (i64).
    pub const SIZE: i16 = 96;
    /// Position of the open file description after the call, bytes (i64).
    pub const POS: i16 = 104;
    /// Device number of the file, in the kernel's own encoding (u32).
    pub const DEV: i16 = 112;
    /// Kind and permission bits of the file (`st_mode`, u16).
    pub const MODE: i16 = 116;
    /// Length of the data read behind a pointer argument, bytes (u16).
    pub const BEHIND: i16 = 118;
    /// Flags of the open file description (u32).
    pub const FILE_FLAGS: i16 = 120;
    /// Length of the names on the way to the root directory, bytes (u16).
    pub const WHERE: i16 = 124;
    /// Processor time of the thread since its call before, in the form of [`super::super::compute`] (u16).
    pub const CPU: i16 = 126;
}

/// Numbers of the places of a newcomer process in PLACE records: working directory, root directory, descriptors.
pub mod place {
    /// Place number of the working directory.
    pub const CWD: i32 = 0;
    /// Place number of the root directory.
    pub const ROOT: i32 = 1;
    /// Place number of descriptor 0; descriptor N has FILES + N.
    pub const FILES: i32 = 2;
    /// Last place number, which limits how long a program keeps a processor. More descriptors than that count as a loss.
    pub const LAST: i32 = FILES + 16 * 1024;
}

/// What a FAULT record tells of its pages.
pub mod fault {
    /// Its page was read, or is being read.
    pub const READ: i32 = 0;
    /// Its page became dirty.
    pub const WRITTEN: i32 = 1;
    /// Pages that were in the page cache were mapped; the one that the fault was on is among them, or told by another record.
    pub const AROUND: i32 = 2;
    /// No fault, or not only: the pages were added to the page cache, by whatever. Field NUMBER is that of the call, plus one, or 0;
    /// the fourth argument says when that began, or the fault that they were added for.
    pub const ADDED: i32 = 3;
}

/// Offsets in an element that the task iterator writes, bytes: all fields are u32, the name has 16 bytes.
pub mod task_at {
    pub const PID: usize = 0;
    pub const TID: usize = 4;
    pub const PARENT: usize = 8;
    pub const UID: usize = 12;
    pub const GID: usize = 16;
    pub const COMM: usize = 24;
    pub const SIZE: usize = 40;
}

/// Offsets in an element that the file iterator writes, bytes; the path of the file follows behind FIXED bytes.
pub mod file_at {
    pub const PID: usize = 0;
    pub const FD: usize = 8;
    pub const FLAGS: usize = 12;
    pub const POS: usize = 16;
    pub const INO: usize = 24;
    pub const SIZE: usize = 32;
    pub const DEV: usize = 40;
    pub const MODE: usize = 44;
    pub const PATH: usize = 48;
    pub const CLOEXEC: usize = 52;
    pub const FILE: usize = 56;
    pub const FIXED: usize = 64;
}

/// Bytes of the fixed part of a record.
pub const FIXED: i32 = 128;
/// Most bytes of a string in a record, with its NUL (PATH_MAX).
pub const STRING: i32 = 4096;
/// Most bytes that are read behind a pointer argument: IOV_MAX (1024) elements of `struct iovec`.
pub const BEHIND: i32 = 16384;
/// Most bytes of the names on the way to the root directory.
pub const WHERE: i32 = 4096;
/// Most bytes of a record.
pub const LONGEST: i32 = FIXED + 2 * STRING + BEHIND + WHERE;

/// Bits of the flags field of a record.
pub mod flag {
    /// The fields of the file (inode, size, position, device, mode, flags) are set.
    pub const FILE: u16 = 1;
    /// The record was made at the entry of the call, with what its arguments point to; a record of its return follows, if it
    /// returns.
    pub const ENTRY: u16 = 2;
    /// The entry of the call was not seen: it was under way when the capture began.
    pub const NO_ENTRY: u16 = 4;
    /// The first string could not be read.
    pub const LOST_FIRST: u16 = 8;
    /// The second string could not be read.
    pub const LOST_SECOND: u16 = 16;
    /// The data behind the pointer argument could not be read.
    pub const LOST_BEHIND: u16 = 32;
    /// A thread ended; field NUMBER is that of the call it was in, plus one, or 0.
    pub const END: u16 = 64;
    /// The names are complete: they lead all the way to the root directory.
    pub const WHERE: u16 = 128;
    /// Not a call: process PID forked a process; field TID is the id of the new one.
    pub const FORKED: u16 = 256;
    /// Not a call: a process came into the scope (a newcomer). Arguments: ids of its parent, user and group, number of its mount
    /// namespace; the first string is its name.
    pub const JOINED: u16 = 512;
    /// Not a call: a request was submitted to io_uring. Arguments: its address, opcode, descriptor, flags (and in the upper
    /// half the number of requests queued behind it), address of its ring, number of results that the program has taken from that;
    /// the data behind the pointer are those of its opcode; RET is what the program calls it.
    pub const ASKED: u16 = 1024;
    /// Not a call: a request of io_uring has completed; the arguments are its address and the number of results that its ring has
    /// had, RET its result. Where the completion queue had no room: no address, but that of the ring as third argument, and what the
    /// program calls the request as fourth.
    pub const DONE: u16 = 2048;
    /// Not a call: a page fault on a mapped file, or pages that were added to the page cache. Arguments: numbers of the first and the last
    /// page, and what was done to them ([`super::fault`]).
    pub const FAULT: u16 = 4096;
    /// Not a call: a directory or descriptor that a newcomer had. Arguments: number of the place ([`super::place`]), address of
    /// the open file description, 1 if exec closes it, 1 if the file is deleted; the names lead to the root directory.
    pub const PLACE: u16 = 8192;
    /// Not a call: a thread slept, from TS on, and was woken DUR later. Arguments: id of the thread that woke it, number of what
    /// woke it ([`crate::syscall::Wake`]); RET is the time from then until it ran, ns; NUMBER is that of the call it was in, plus
    /// one, or 0. If the thread slept in a page fault on a mapped file, the third argument says when that began, the fourth is the
    /// number of the page, and inode number, device and mode are those of the file.
    pub const WAITED: u16 = 16384;
    /// Not a call: a program took results of io_submit from the ring of its context. First argument: the context; the data behind the
    /// pointer are the results (`struct io_event`).
    pub const REAPED: u16 = 32768;
    /// Not a call: a thread executes a program, so field TID is the id that it had when it called exec. Both bits together. Arguments:
    /// the effective user id of the process, the number of its control group, and how many bytes its command line has; the first string is
    /// the beginning of that, as it lies in memory, and the data behind the pointer are environment variables ([`crate::exec`]).
    pub const EXECUTED: u16 = FORKED | JOINED;
    /// All flags of records that are not about a call.
    pub const ASIDE: u16 = FORKED | JOINED | ASKED | DONE | FAULT | PLACE | WAITED | REAPED;
}

/// A record in the making outside the kernel (ptrace backend, tests).
#[derive(Debug, Default)]
pub struct Maker(Vec<u8>);

impl Maker {
    /// Begins a new record with these ids and flags; all other fields are zero.
    pub fn begin(&mut self, pid: u32, tid: u32, flags: u16) {
        self.0.clear();
        self.0.resize(FIXED as usize, 0);
        self.put(at::PID, &pid.to_ne_bytes());
        self.put(at::TID, &tid.to_ne_bytes());
        self.put(at::FLAGS, &flags.to_ne_bytes());
    }

    /// Sets the field at offset `at` of the fixed part.
    pub fn put(&mut self, at: i16, bytes: &[u8]) {
        if let Some(field) = self.0.get_mut(at as usize..at as usize + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    }

    /// Sets bits in the flags of the record.
    pub fn say(&mut self, flag: u16) {
        let flags = Record::parse(&self.0).map_or(0, |record| record.u16(at::FLAGS));
        self.put(at::FLAGS, &(flags | flag).to_ne_bytes());
    }

    /// Appends a variable part and stores its length in the field at `length`. Parts must come in the order of the layout:
    /// strings, data behind the pointer, names.
    pub fn append(&mut self, length: i16, part: &[u8]) {
        self.put(length, &(part.len() as u16).to_ne_bytes());
        self.0.extend_from_slice(part);
    }

    /// The bytes of the record made so far.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A view of the bytes of a record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    fixed: &'a [u8; FIXED as usize],
    rest: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record at the beginning of these bytes; `None` when they are fewer than the fixed part.
    pub fn parse(bytes: &'a [u8]) -> Option<Record<'a>> {
        let (fixed, rest) = bytes.split_first_chunk()?;
        Some(Record { fixed, rest })
    }

    fn bytes<const N: usize>(&self, at: i16) -> [u8; N] {
        let mut out = [0; N];
        let at = at as usize;
        out.copy_from_slice(&self.fixed[at..at + N]);
        out
    }

    /// The unsigned 8-byte field at offset `at`.
    pub fn u64(&self, at: i16) -> u64 {
        u64::from_ne_bytes(self.bytes(at))
    }

    /// The signed 8-byte field at offset `at`.
    pub fn i64(&self, at: i16) -> i64 {
        i64::from_ne_bytes(self.bytes(at))
    }

    /// The unsigned 4-byte field at offset `at`.
    pub fn u32(&self, at: i16) -> u32 {
        u32::from_ne_bytes(self.bytes(at))
    }

    /// The unsigned 2-byte field at offset `at`.
    pub fn u16(&self, at: i16) -> u16 {
        u16::from_ne_bytes(self.bytes(at))
    }

    /// Length of the record, bytes, from the lengths of its parts; in a per-CPU buffer nothing else tells where it ends.
    pub fn length(&self) -> usize {
        let parts = [at::STRINGS, at::STRINGS + 2, at::BEHIND, at::WHERE].map(|length| usize::from(self.u16(length)));
        FIXED as usize + parts.iter().sum::<usize>()
    }

    /// Has the record any of the flags ([`flag`]) in this mask?
    pub fn is(&self, flag: u16) -> bool {
        self.u16(at::FLAGS) & flag != 0
    }

    /// The argument register at `place`, 0 to 5 (greater ones count as 5).
    pub fn arg(&self, place: usize) -> u64 {
        self.u64(at::ARGS + 8 * place.min(5) as i16)
    }

    /// String 0 or 1 without its NUL; `None` when there is none.
    pub fn string(&self, which: usize) -> Option<&'a [u8]> {
        let first = self.u16(at::STRINGS) as usize;
        let (from, len) = if which == 0 { (0, first) } else { (first, self.u16(at::STRINGS + 2) as usize) };
        self.rest.get(from..from + len)?.strip_suffix(b"\0")
    }

    /// Does the record tell of an exec ([`flag::EXECUTED`])?
    pub fn is_executed(&self) -> bool {
        self.u16(at::FLAGS) & flag::EXECUTED == flag::EXECUTED
    }

    /// The bytes of string 0 as they are; empty when there is none.
    pub fn first(&self) -> &'a [u8] {
        self.rest.get(..self.u16(at::STRINGS) as usize).unwrap_or_default()
    }

    /// The data read behind a pointer argument; empty when there are none.
    pub fn behind(&self) -> &'a [u8] {
        let from = self.u16(at::STRINGS) as usize + self.u16(at::STRINGS + 2) as usize;
        self.rest.get(from..from + self.u16(at::BEHIND) as usize).unwrap_or_default()
    }

    /// The names on the way from the file up to the root directory, last name of the path first, each with a NUL behind it.
    pub fn names(&self) -> &'a [u8] {
        let from = self.u16(at::STRINGS) as usize + self.u16(at::STRINGS + 2) as usize + self.u16(at::BEHIND) as usize;
        self.rest.get(from..from + self.u16(at::WHERE) as usize).unwrap_or_default()
    }
}
