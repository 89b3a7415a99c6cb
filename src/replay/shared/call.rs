//! A decoded op and the batches that carry them from the loader to a worker.
//!
//! Ops are packed: one cache line each, their numbers and texts behind one another in memory of the batch, so that a
//! worker that goes through them touches little and in order.

use super::memory;
use super::order::Wait;
use super::record::UNKNOWN;
use crate::event::{AT_FDCWD, Col};
use crate::syscall::Op;
use std::ffi::{CStr, c_char};
use std::ops::Deref;
use std::sync::mpsc::{Receiver, SyncSender};

/// Ops in a batch: enough to forget the cost of handing it over, few enough for 64 workers to have several.
pub const BATCH: usize = 256;

/// No descriptor.
pub const NONE: u32 = u32::MAX;
/// No text.
pub const NO_TEXT: u16 = u16::MAX;
/// Bytes of a text at most: more than any path that the kernel takes (PATH_MAX, 4096), so that one that is too long
/// stays so.
const TEXT_MAX: usize = 8190;
/// Bytes of all texts of a batch at most: offsets are 16 bits wide.
const ARENA: usize = 1 << 16;

/// The texts a call needs to be issued, in the order of [`Packed::texts`].
pub const TEXTS: [&str; 4] = ["raw", "raw2", "name", "cwd"];
const RAW: usize = 0;
const RAW2: usize = 1;
const NAME: usize = 2;
const CWD: usize = 3;

/// The numbers a call needs to be issued, those that are most often there first.
pub const NUMBERS: &[Col] = &[
    Col::Count,
    Col::Offset,
    Col::Flags,
    Col::Mode,
    Col::Whence,
    Col::DirFd,
    Col::DirFd2,
    Col::Cmd,
    Col::Arg,
    Col::Uid,
    Col::Gid,
    Col::Offset2,
    Col::IovCnt,
    Col::Resolve,
    Col::Atime,
    Col::Mtime,
];
const _: () = assert!(NUMBERS.len() <= 16, "Packed::has has a bit for every number");

/// The bit of the first number in [`Packed::has`].
pub const COUNT: u16 = 1;
const _: () = assert!(matches!(NUMBERS[0], Col::Count));

/// Bit of each event column in [`Packed::has`].
const SLOTS: [u8; Col::ALL.len()] = {
    let mut slots = [u8::MAX; Col::ALL.len()];
    let mut slot = 0;
    while slot < NUMBERS.len() {
        slots[NUMBERS[slot] as usize] = slot as u8;
        slot += 1;
    }
    slots
};

/// One op, ready to be issued.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct Packed {
    /// The op.
    pub op_id: i64,
    /// Captured outcome as the kernel gives it, or [`UNKNOWN`].
    pub captured: i64,
    /// When its pace wants it, ns: since the start, or since the end of the op before in its lane. Or [`UNKNOWN`].
    pub due: i64,
    /// Open file description it uses or makes, or [`NONE`].
    pub ofd: u32,
    /// The second one.
    pub ofd2: u32,
    /// That of its dirfd.
    pub dir: u32,
    /// That of its second dirfd.
    pub dir2: u32,
    /// Where its numbers begin in the batch.
    pub numbers: u32,
    /// Which of its worker's lanes it is in.
    pub lane: u32,
    /// Where its texts begin in the batch, or [`NO_TEXT`].
    pub texts: [u16; TEXTS.len()],
    /// Which numbers are there.
    pub has: u16,
    /// How many waits it has; they follow those of the op before.
    pub waits: u16,
    /// What is issued.
    pub op: Op,
    /// What the comparison must know (see [`super::record`]).
    pub notes: u8,
}
const _: () = assert!(size_of::<Packed>() == 64, "an op is one cache line");

/// Calls of one worker, in order, and what belongs to them.
#[derive(Debug)]
pub struct Batch {
    /// The ops.
    pub ops: Vec<Packed>,
    /// What they wait for.
    pub waits: Vec<Wait>,
    numbers: Vec<i64>,
    /// Texts, each ended by NUL.
    arena: Vec<u8>,
}

impl Batch {
    /// An empty batch that holds its ops without growing.
    pub fn new() -> Batch {
        Batch {
            ops: Vec::with_capacity(BATCH),
            waits: Vec::new(),
            numbers: Vec::with_capacity(BATCH * 4),
            arena: Vec::with_capacity(BATCH * 64),
        }
    }

    /// Empties the batch, keeping its memory.
    pub fn clear(&mut self) {
        self.ops.clear();
        self.waits.clear();
        self.numbers.clear();
        self.arena.clear();
    }

    /// Has it room for another op, whatever its texts?
    pub fn room(&self) -> bool {
        self.ops.len() < BATCH && self.arena.len() + TEXTS.len() * (TEXT_MAX + 1) < ARENA
    }

    /// Stores a text, which has no NUL inside.
    pub fn text(&mut self, bytes: &[u8]) -> u16 {
        let start = self.arena.len() as u16;
        self.arena.extend_from_slice(&bytes[..bytes.len().min(TEXT_MAX)]);
        self.arena.push(0);
        start
    }

    /// Where the next number will stand.
    pub fn next_number(&self) -> u32 {
        self.numbers.len() as u32
    }

    /// Stores a number of the op to come; they come in the order of [`NUMBERS`].
    pub fn number(&mut self, value: i64) {
        self.numbers.push(value);
    }

    /// Fetches the ops that will soon be issued into the cache: the loader wrote them on another processor.
    #[inline]
    pub fn prefetch(&self, at: usize) {
        if let Some(op) = self.ops.get(at + 4) {
            memory::prefetch(op);
        }
        let Some(op) = self.ops.get(at + 2) else { return };
        if let Some(number) = self.numbers.get(op.numbers as usize) {
            memory::prefetch(number);
        }
        if let Some(text) = self.arena.get(usize::from(op.texts[RAW])) {
            memory::prefetch(text);
        }
    }

    /// An op with its numbers and texts.
    #[inline]
    pub fn call(&self, at: usize) -> Call<'_> {
        Call { packed: &self.ops[at], batch: self }
    }
}

/// An op as its engine sees it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    packed: &'a Packed,
    batch: &'a Batch,
}

impl Deref for Call<'_> {
    type Target = Packed;

    #[inline]
    fn deref(&self) -> &Packed {
        self.packed
    }
}

impl<'a> Call<'a> {
    /// A number, if the capture has it.
    #[inline]
    pub fn get(&self, col: Col) -> Option<i64> {
        let bit = 1 << SLOTS[col as usize];
        if self.has & bit == 0 {
            return None;
        }
        let before = (self.has & (bit - 1)).count_ones();
        self.batch.numbers.get((self.numbers + before) as usize).copied()
    }

    /// A number, or 0.
    #[inline]
    pub fn arg(&self, col: Col) -> i64 {
        self.get(col).unwrap_or(0)
    }

    /// First path argument, as the kernel takes it; NULL when there is none.
    #[inline]
    pub fn path(&self) -> *const c_char {
        self.pointer(RAW)
    }

    /// First byte of the first path argument: NUL for an empty one.
    #[inline]
    pub fn first(&self) -> Option<u8> {
        self.text(RAW)?.first().copied()
    }

    /// Second path argument, or the content of a symlink.
    #[inline]
    pub fn path2(&self) -> *const c_char {
        self.pointer(RAW2)
    }

    /// Name of an extended attribute.
    #[inline]
    pub fn name(&self) -> *const c_char {
        self.pointer(NAME)
    }

    /// Working directory that a relative path starts at.
    #[inline]
    pub fn cwd(&self) -> Option<&'a CStr> {
        CStr::from_bytes_until_nul(self.text(CWD)?).ok()
    }

    /// The description of its working directory, where that was removed: it starts there without saying so.
    #[inline]
    pub fn removed_cwd(&self) -> Option<u32> {
        if self.dir & self.dir2 == NONE {
            return None;
        }
        let starts = [(self.dir, Col::DirFd), (self.dir2, Col::DirFd2)];
        let unsaid = |col| self.get(col).is_none_or(|at| at == AT_FDCWD);
        starts.into_iter().find(|(dir, col)| *dir != NONE && unsaid(*col)).map(|(dir, _)| dir)
    }

    /// A text that ends in NUL, and whatever comes after it.
    #[inline]
    fn text(&self, slot: usize) -> Option<&'a [u8]> {
        match self.texts[slot] {
            NO_TEXT => None,
            start => self.batch.arena.get(usize::from(start)..),
        }
    }

    #[inline]
    fn pointer(&self, slot: usize) -> *const c_char {
        self.text(slot).map_or(std::ptr::null(), |text| text.as_ptr().cast())
    }
}

impl Packed {
    /// An op that issues nothing anybody would notice.
    pub const NOTHING: Packed = Packed {
        op_id: 0,
        captured: UNKNOWN,
        due: UNKNOWN,
        ofd: NONE,
        ofd2: NONE,
        dir: NONE,
        dir2: NONE,
        numbers: 0,
        lane: 0,
        texts: [NO_TEXT; TEXTS.len()],
        has: 0,
        waits: 0,
        op: Op::Sync,
        notes: 0,
    };
}

/// A worker's end of the ring.
pub struct Feed {
    /// Number of the worker.
    pub worker: usize,
    /// Full batches come here; it closes after the last.
    pub full: Receiver<Box<Batch>>,
    /// Used batches go back here.
    pub used: SyncSender<(usize, Box<Batch>)>,
    /// How many batches there are.
    pub ring: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_found() {
        let mut batch = Batch::new();
        batch.number(99);
        let numbers = batch.next_number();
        // Count, flags, arg.
        [5, 6, 7].into_iter().for_each(|value| batch.number(value));
        let texts = [batch.text(b"/a"), NO_TEXT, NO_TEXT, batch.text(b"")];
        batch.ops.push(Packed { numbers, has: 0b1_0000_0101, texts, ..Packed::NOTHING });
        let call = batch.call(0);
        assert_eq!((call.get(Col::Count), call.get(Col::Offset), call.get(Col::Flags)), (Some(5), None, Some(6)));
        assert_eq!((call.arg(Col::Arg), call.arg(Col::Mode)), (7, 0));
        assert_eq!((call.first(), call.path2().is_null(), call.cwd()), (Some(b'/'), true, Some(c"")));
        // SAFETY: it ends in NUL.
        assert_eq!(unsafe { CStr::from_ptr(call.path()) }, c"/a");
    }

    #[test]
    fn a_batch_has_room_for_the_longest_texts() {
        let mut batch = Batch::new();
        let long = vec![b'x'; 100_000];
        while batch.room() {
            for _ in TEXTS {
                let start = batch.text(&long);
                assert_ne!(start, NO_TEXT);
            }
            batch.ops.push(Packed::NOTHING);
        }
        assert!(batch.ops.len() == 2 && batch.arena.len() <= ARENA);
        batch.clear();
        assert!(batch.room());
    }
}
