//! What the kernel side says of a call: one record of the ring.
//!
//! A fixed part, then, for calls that have them: up to two strings, what lay behind a pointer, and the names that lead
//! from an opened file to the root. Both the programs and the decoder take the layout from here.

/// Where the fields of the fixed part are.
pub mod at {
    /// Start, ns since boot (u64); 0 when the entry was not seen.
    pub const TS: i16 = 0;
    /// Duration, ns (u64).
    pub const DUR: i16 = 8;
    /// Process (u32).
    pub const PID: i16 = 16;
    /// Thread (u32).
    pub const TID: i16 = 20;
    /// Number of the call (u16).
    pub const NUMBER: i16 = 24;
    /// Bits of [`super::flag`] (u16).
    pub const FLAGS: i16 = 26;
    /// Lengths of the strings with the NUL at their ends (2 x u16).
    pub const STRINGS: i16 = 28;
    /// What the call returned (i64).
    pub const RET: i16 = 32;
    /// The registers of its arguments (6 x u64).
    pub const ARGS: i16 = 40;
    /// Inode number of the file (u64).
    pub const INO: i16 = 88;
    /// Its size, bytes (i64).
    pub const SIZE: i16 = 96;
    /// Position in it after the call (i64).
    pub const POS: i16 = 104;
    /// Device of its file system, as the kernel numbers it (u32).
    pub const DEV: i16 = 112;
    /// Kind and permission bits of it (u16).
    pub const MODE: i16 = 116;
    /// Length of what lay behind the pointer (u16).
    pub const BEHIND: i16 = 118;
    /// Flags of the open file description (u32).
    pub const FILE_FLAGS: i16 = 120;
    /// Length of the names that lead to the root (u16).
    pub const WHERE: i16 = 124;
}

/// The places of a process, as its records number them.
pub mod place {
    /// Its working directory.
    pub const CWD: i32 = 0;
    /// Its root directory.
    pub const ROOT: i32 = 1;
    /// Its descriptor 0; the others follow.
    pub const FILES: i32 = 2;
    /// The last that is looked at: a program may not keep a processor for long. Who has more, of that one is counted.
    pub const LAST: i32 = FILES + 16 * 1024;
}

/// A task, as the iterator tells it.
pub mod task_at {
    pub const PID: usize = 0;
    pub const TID: usize = 4;
    pub const PARENT: usize = 8;
    pub const UID: usize = 12;
    pub const GID: usize = 16;
    pub const COMM: usize = 24;
    pub const SIZE: usize = 40;
}

/// An open file, as the iterator tells it; its path follows.
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

/// Bytes of the fixed part.
pub const FIXED: i32 = 128;
/// The longest string, with its end (PATH_MAX).
pub const STRING: i32 = 4096;
/// The most that is read behind a pointer: IOV_MAX vectors.
pub const BEHIND: i32 = 16384;
/// The most that the names to the root take.
pub const WHERE: i32 = 4096;
/// The most that a record takes.
pub const LONGEST: i32 = FIXED + 2 * STRING + BEHIND + WHERE;

/// Bits of the flags of a record.
pub mod flag {
    /// Fields of the file are set.
    pub const FILE: u16 = 1;
    /// The call began, and what its arguments point to is here; its return follows, or never comes.
    pub const ENTRY: u16 = 2;
    /// The entry was not seen: the call was under way when the capture began.
    pub const NO_ENTRY: u16 = 4;
    /// The first string could not be read.
    pub const LOST_FIRST: u16 = 8;
    /// The second string could not be read.
    pub const LOST_SECOND: u16 = 16;
    /// What lies behind the pointer could not be read.
    pub const LOST_BEHIND: u16 = 32;
    /// A thread ended; the number is that of the call it was in, plus one.
    pub const END: u16 = 64;
    /// The names lead all the way to the root.
    pub const WHERE: u16 = 128;
    /// No call: a process was made; the thread is its id.
    pub const FORKED: u16 = 256;
    /// No call: a process came into the scope. Arguments: parent, user, group, number of its mount namespace; the first
    /// string is its name.
    pub const JOINED: u16 = 512;
    /// No call: a request was put into io_uring. Arguments: its address, its opcode, its descriptor, its flags; behind the
    /// pointer is what the opcode needs.
    pub const ASKED: u16 = 1024;
    /// No call: a request through io_uring is done; the argument is its address.
    pub const DONE: u16 = 2048;
    /// No call: pages of a file were mapped because they were touched. Arguments: the first and the last of them.
    pub const FAULT: u16 = 4096;
    /// No call: what a process had when it came into the scope. Arguments: which place it is (0 the working directory, 1
    /// the root directory, 2 and on the descriptors from 0), the address of the open file description, whether exec closes
    /// it, whether it has lost its name; the names are those that lead to the root.
    pub const PLACE: u16 = 8192;
    /// Records that tell of no call.
    pub const ASIDE: u16 = FORKED | JOINED | ASKED | DONE | FAULT | PLACE;
}

/// A record in the making, outside the kernel.
#[derive(Debug, Default)]
pub struct Maker(Vec<u8>);

impl Maker {
    /// Begins a record of a thread.
    pub fn begin(&mut self, pid: u32, tid: u32, flags: u16) {
        self.0.clear();
        self.0.resize(FIXED as usize, 0);
        self.put(at::PID, &pid.to_ne_bytes());
        self.put(at::TID, &tid.to_ne_bytes());
        self.put(at::FLAGS, &flags.to_ne_bytes());
    }

    /// Sets a field of the fixed part.
    pub fn put(&mut self, at: i16, bytes: &[u8]) {
        if let Some(field) = self.0.get_mut(at as usize..at as usize + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    }

    /// Sets bits of the flags.
    pub fn say(&mut self, flag: u16) {
        let flags = Record::parse(&self.0).map_or(0, |record| record.u16(at::FLAGS));
        self.put(at::FLAGS, &(flags | flag).to_ne_bytes());
    }

    /// Appends a part whose length stands at `length`; parts come in the order in which the record has them.
    pub fn append(&mut self, length: i16, part: &[u8]) {
        self.put(length, &(part.len() as u16).to_ne_bytes());
        self.0.extend_from_slice(part);
    }

    /// The record.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    fixed: &'a [u8; FIXED as usize],
    rest: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record in these bytes; `None` when they are too few.
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

    /// A field of 8 bytes.
    pub fn u64(&self, at: i16) -> u64 {
        u64::from_ne_bytes(self.bytes(at))
    }

    /// A signed field of 8 bytes.
    pub fn i64(&self, at: i16) -> i64 {
        i64::from_ne_bytes(self.bytes(at))
    }

    /// A field of 4 bytes.
    pub fn u32(&self, at: i16) -> u32 {
        u32::from_ne_bytes(self.bytes(at))
    }

    /// A field of 2 bytes.
    pub fn u16(&self, at: i16) -> u16 {
        u16::from_ne_bytes(self.bytes(at))
    }

    /// Bytes of it, by what it says of its parts: they have no other end where records stand behind one another.
    pub fn length(&self) -> usize {
        let parts = [at::STRINGS, at::STRINGS + 2, at::BEHIND, at::WHERE].map(|length| usize::from(self.u16(length)));
        FIXED as usize + parts.iter().sum::<usize>()
    }

    /// Has it this bit?
    pub fn is(&self, flag: u16) -> bool {
        self.u16(at::FLAGS) & flag != 0
    }

    /// The register of an argument.
    pub fn arg(&self, place: usize) -> u64 {
        self.u64(at::ARGS + 8 * place.min(5) as i16)
    }

    /// A string (0 or 1) without its end; `None` when there is none.
    pub fn string(&self, which: usize) -> Option<&'a [u8]> {
        let first = self.u16(at::STRINGS) as usize;
        let (from, len) = if which == 0 { (0, first) } else { (first, self.u16(at::STRINGS + 2) as usize) };
        self.rest.get(from..from + len)?.strip_suffix(b"\0")
    }

    /// What lay behind the pointer; empty when nothing was read.
    pub fn behind(&self) -> &'a [u8] {
        let from = self.u16(at::STRINGS) as usize + self.u16(at::STRINGS + 2) as usize;
        self.rest.get(from..from + self.u16(at::BEHIND) as usize).unwrap_or_default()
    }

    /// The names that lead from the file to the root, each with a NUL behind it.
    pub fn names(&self) -> &'a [u8] {
        let from = self.u16(at::STRINGS) as usize + self.u16(at::STRINGS + 2) as usize + self.u16(at::BEHIND) as usize;
        self.rest.get(from..from + self.u16(at::WHERE) as usize).unwrap_or_default()
    }
}
