//! A decoded op and the batches that carry them from the loader to a worker.
//!
//! Ops are packed: one cache line each, with their numbers and texts stored one after another in memory of the batch, so that
//! a worker goes through little memory and in order.

use super::memory;
use super::order::Wait;
use super::record::UNKNOWN;
use crate::event::{AT_FDCWD, Col};
use crate::syscall::{Interface, Op};
use std::ffi::{CStr, c_char};
use std::ops::Deref;
use std::sync::mpsc::{Receiver, SyncSender};

/// Ops in a batch at most: enough to make the cost of handing it over negligible, few enough for 64 workers to have several
/// batches.
pub const BATCH: usize = 256;

/// In place of an open file description: the op has none.
pub const NONE: u32 = u32::MAX;
/// In place of a text's offset: the op has no such text.
pub const NO_TEXT: u16 = u16::MAX;
/// Most bytes of a text that are kept: more than any path the kernel accepts (PATH_MAX, 4096), so that a path that was too
/// long still is.
const TEXT_MAX: usize = 5000;
/// The same of a working directory: programs get deeper than PATH_MAX step by step.
pub const CWD_MAX: usize = 16_384;
/// Size of a batch's memory for texts, bytes: offsets into it are 16 bits wide.
const ARENA: usize = 1 << 16;

/// Columns of the texts that a call may need to be issued, in the order of [`Packed::texts`].
pub const TEXTS: [&str; 4] = ["raw", "raw2", "name", "cwd"];
const RAW: usize = 0;
const RAW2: usize = 1;
const NAME: usize = 2;
const CWD: usize = 3;

/// Columns of the numbers that a call may need to be issued, the most frequent first.
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

/// The bit of [`Col::Count`], the first of [`NUMBERS`], in [`Packed::has`].
pub const COUNT: u16 = 1;
const _: () = assert!(matches!(NUMBERS[0], Col::Count));

/// For each event column, the position of its bit in [`Packed::has`]; `u8::MAX` for columns that are not among [`NUMBERS`].
const SLOTS: [u8; Col::ALL.len()] = {
    let mut slots = [u8::MAX; Col::ALL.len()];
    let mut slot = 0;
    while slot < NUMBERS.len() {
        slots[NUMBERS[slot] as usize] = slot as u8;
        slot += 1;
    }
    slots
};

/// One op, decoded and ready to be issued, in one cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct Packed {
    /// Number of the op (op_id).
    pub op_id: i64,
    /// Captured return value as the kernel gives it (`-errno` for a failure), or [`UNKNOWN`].
    pub captured: i64,
    /// When the pace wants it issued, ns since the start of the replay or since the end of the op before in its lane;
    /// [`UNKNOWN`] for at once.
    pub due: i64,
    /// Number of the open file description that the call uses or opens, or [`NONE`].
    pub ofd: u32,
    /// Number of the second open file description, of calls with two (copy_file_range, sendfile), or [`NONE`].
    pub ofd2: u32,
    /// Number of the open file description of its dirfd argument, or [`NONE`].
    pub dir: u32,
    /// Number of the open file description of its second dirfd argument (renameat, linkat), or [`NONE`].
    pub dir2: u32,
    /// Index of its first number in the batch's list of numbers.
    pub numbers: u32,
    /// Index of its lane (captured thread) among the lanes of its worker.
    pub lane: u32,
    /// Byte offset of each of its [`TEXTS`] in the batch's memory, or [`NO_TEXT`].
    pub texts: [u16; TEXTS.len()],
    /// Which of the [`NUMBERS`] the op has: a bit each.
    pub has: u16,
    /// How many of the batch's [`Wait`]s are its own; they follow those of the op before.
    pub waits: u16,
    /// Which of the files it concerns whose syncs are regrouped ([`super::groups`]), plus 1; 0 for any other, and for all if none are.
    pub group: u16,
    /// Which system call is issued.
    pub op: Op,
    /// Note bits for the comparison (see [`super::record`]).
    pub notes: u8,
}
const _: () = assert!(size_of::<Packed>() == 64, "an op is one cache line");

/// What an op waits for in its own worker, in a lane that hands requests over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Position of the op in its batch.
    pub at: u16,
    /// Of a request by which interface it is handed over, and the number of its (lane, ring) pair in the worker.
    pub ring: Option<(Interface, u16)>,
    /// How many requests must be done: of a request those of its lane and ring, of any other op all of its lane.
    pub reaped: i64,
    /// All requests of the worker up to this op must be done; -1 for none.
    pub settled: i64,
    /// Is it handed over together with those behind it?
    pub more: bool,
}

/// Up to [`BATCH`] ops of one worker, in the order of issue, with the numbers and texts they need.
#[derive(Debug)]
pub struct Batch {
    /// The ops, in the order of issue.
    pub ops: Vec<Packed>,
    /// Ops of other workers that the ops wait for, in the order of the ops; [`Packed::waits`] says how many each has.
    pub waits: Vec<Wait>,
    /// With pace app, for each op how long after the lane's last timer its own one is due, ns; [`UNKNOWN`] without a timer.
    pub timers: Vec<i64>,
    /// With pace app, for each op how long its thread computes before it, ns.
    pub computes: Vec<i64>,
    /// What the ops wait for in their own worker, in the order of the ops; none for most.
    pub asks: Vec<Ask>,
    numbers: Vec<i64>,
    /// Texts, each ended by NUL.
    arena: Vec<u8>,
}

impl Batch {
    /// An empty batch, with room for its ops without growing.
    pub fn new() -> Batch {
        Batch {
            ops: Vec::with_capacity(BATCH),
            waits: Vec::new(),
            timers: Vec::new(),
            computes: Vec::new(),
            asks: Vec::new(),
            numbers: Vec::with_capacity(BATCH * 4),
            arena: Vec::with_capacity(BATCH * 64),
        }
    }

    /// Removes all ops from the batch, keeping its memory.
    pub fn clear(&mut self) {
        self.ops.clear();
        self.waits.clear();
        self.timers.clear();
        self.computes.clear();
        self.asks.clear();
        self.numbers.clear();
        self.arena.clear();
    }

    /// Whether another op fits, whatever the length of its texts.
    pub fn room(&self) -> bool {
        self.ops.len() < BATCH && self.arena.len() + (TEXTS.len() - 1) * (TEXT_MAX + 1) + CWD_MAX + 1 < ARENA
    }

    /// Stores a text of slot `slot` of [`TEXTS`], which must contain no NUL, and returns its offset; it is cut to [`TEXT_MAX`]
    /// bytes, or to [`CWD_MAX`].
    pub fn text(&mut self, slot: usize, bytes: &[u8]) -> u16 {
        let start = self.arena.len() as u16;
        let most = if slot == CWD { CWD_MAX } else { TEXT_MAX };
        self.arena.extend_from_slice(&bytes[..bytes.len().min(most)]);
        self.arena.push(0);
        start
    }

    /// Index that the next number stored gets.
    pub fn next_number(&self) -> u32 {
        self.numbers.len() as u32
    }

    /// Stores a number of the op being added; they must come in the order of [`NUMBERS`].
    pub fn number(&mut self, value: i64) {
        self.numbers.push(value);
    }

    /// Prefetches the ops after position `at`, with their numbers and first paths: the loader wrote them on another
    /// processor.
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

    /// The op at position `at`, with access to its numbers and texts.
    #[inline]
    pub fn call(&self, at: usize) -> Call<'_> {
        Call { packed: &self.ops[at], batch: self }
    }
}

/// An op as its engine sees it: its packed fields, and its arguments by column.
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
    /// A numeric argument by event column; `None` when the capture does not have it.
    #[inline]
    pub fn get(&self, col: Col) -> Option<i64> {
        let bit = 1 << SLOTS[col as usize];
        if self.has & bit == 0 {
            return None;
        }
        let before = (self.has & (bit - 1)).count_ones();
        self.batch.numbers.get((self.numbers + before) as usize).copied()
    }

    /// A numeric argument by event column, 0 when the capture does not have it.
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

    /// Name of an extended attribute; NULL when there is none.
    #[inline]
    pub fn name(&self) -> *const c_char {
        self.pointer(NAME)
    }

    /// Its first path, second path and name, in this order; `None` for those that it does not have.
    pub fn texts(&self) -> [Option<&'a CStr>; 3] {
        [RAW, RAW2, NAME].map(|slot| CStr::from_bytes_until_nul(self.text(slot)?).ok())
    }

    /// Working directory from which the call's relative path starts; `None` when the call needs none.
    #[inline]
    pub fn cwd(&self) -> Option<&'a CStr> {
        CStr::from_bytes_until_nul(self.text(CWD)?).ok()
    }

    /// The open file description of the call's working directory when that directory was removed: the call starts there by
    /// AT_FDCWD or without a dirfd. `None` for all other calls.
    #[inline]
    pub fn removed_cwd(&self) -> Option<u32> {
        if self.dir & self.dir2 == NONE {
            return None;
        }
        let starts = [(self.dir, Col::DirFd), (self.dir2, Col::DirFd2)];
        let unsaid = |col| self.get(col).is_none_or(|at| at == AT_FDCWD);
        starts.into_iter().find(|(dir, col)| *dir != NONE && unsaid(*col)).map(|(dir, _)| dir)
    }

    /// Bytes of the arena from a text's start on: the text, its NUL, and whatever follows.
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
    /// A placeholder with no arguments, filled in field by field.
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
        group: 0,
        op: Op::Sync,
        notes: 0,
    };
}

/// A worker's end of the two channels by which batches go round between it and the loader.
pub struct Feed {
    /// Number of the worker, over all processes.
    pub worker: usize,
    /// Full batches come from the loader here; the channel closes after the last.
    pub full: Receiver<Box<Batch>>,
    /// Used batches go back to the loader here, with the number of their worker.
    pub used: SyncSender<(usize, Box<Batch>)>,
    /// How many batches go round between the loader and this worker.
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
        let texts = [batch.text(RAW, b"/a"), NO_TEXT, NO_TEXT, batch.text(CWD, b"")];
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
            for slot in 0..TEXTS.len() {
                let start = batch.text(slot, &long);
                assert_ne!(start, NO_TEXT);
            }
            batch.ops.push(Packed::NOTHING);
        }
        assert!(batch.ops.len() == 2 && batch.arena.len() <= ARENA);
        batch.clear();
        assert!(batch.room());
    }
}
