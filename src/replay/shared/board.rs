//! The memory that the supervisor and every process of a replay share.
//!
//! ```text
//! head      go, start; whose turn it is; changes of directories
//! slots     one per worker: its counter, how far its blocks are filled, written and read, what it did meanwhile
//! blocks    for each worker a ring of them, 256 ops each: facts (by the loader), stamps (by the worker)
//! ```
//! A block goes from the loader to the worker to the supervisor and back, by the three numbers of its slot. Everything
//! is an atomic: whoever dies in the middle leaves numbers that the others can read.

use super::call::BATCH;
use super::memory::{self, Pages, memory_file};
use super::order::{Counter, Turn};
use super::record::{Fact, Record, Stamp, UNKNOWN};
use std::fs::File;
use std::io::Result;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::*};

/// Sheets of all workers together, if they are few: 32 MiB, which carry the results of some 400,000 ops when the
/// supervisor is late.
const BLOCKS: usize = 1600;

/// How large a board is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Workers.
    pub workers: usize,
    /// Sheets of each.
    pub blocks: usize,
}

impl Shape {
    /// A board for so many workers.
    pub fn new(workers: usize) -> Shape {
        Shape { workers, blocks: (BLOCKS / workers.max(1)).clamp(4, 1024) }
    }

    fn sheets_at(&self) -> usize {
        size_of::<Head>() + self.workers * size_of::<WorkerSlot>()
    }

    fn bytes(&self) -> usize {
        self.sheets_at() + self.workers * self.blocks * size_of::<Block>()
    }
}

/// What concerns all.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Head {
    /// Processes that are ready to begin.
    pub ready: AtomicU32,
    /// 1 when the first op may be issued.
    pub go: AtomicU32,
    /// Start of the replay on CLOCK_MONOTONIC, ns.
    pub start: AtomicI64,
    /// Processor time of the loaders since then, ns.
    pub loaders: AtomicI64,
    /// Whose turn it is, in strict order.
    pub turn: Turn,
}

/// A worker's place.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct WorkerSlot {
    /// How far its ops are, for those who wait for them.
    pub counter: Counter,
    line: Line,
    /// What it did meanwhile.
    pub spent: Spent,
}

/// How far the blocks are; each number counts blocks from the start and has one writer.
#[repr(C, align(64))]
#[derive(Debug)]
struct Line {
    filled: AtomicU32,
    written: AtomicU32,
    read: AtomicU32,
}

/// Where the time of a worker went, ns.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Spent {
    /// Waiting for ops of other workers.
    pub waited: AtomicI64,
    /// Waiting for the loader.
    pub starved: AtomicI64,
    /// The loader waiting for the supervisor to read blocks.
    pub stalled: AtomicI64,
    /// How often it did.
    pub stalls: AtomicI64,
    /// Processor time of the worker.
    pub cpu: AtomicI64,
}

/// A number of ops on their way.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Block {
    count: AtomicU64,
    /// Fields of a [`Fact`], the small ones packed into the last.
    facts: [[AtomicI64; 6]; BATCH],
    /// Fields of a [`Stamp`].
    stamps: [[AtomicI64; 4]; BATCH],
}

impl Block {
    /// Empties the block.
    pub fn clear(&self) {
        self.count.store(0, Relaxed);
    }

    /// Adds an op that is to be issued.
    #[inline]
    pub fn push(&self, fact: &Fact) {
        let at = self.count.load(Relaxed) as usize;
        // The block went round: its worker or the supervisor had it last.
        for ahead in [at + 4, at + 5] {
            self.facts.get(ahead).into_iter().for_each(memory::prefetch_to_write);
        }
        let small = u64::from(fact.lane) << 32 | u64::from(u32::from_be_bytes([fact.syscall, fact.op, fact.origin, fact.notes]));
        let values = [fact.op_id, fact.seq, fact.row, fact.captured, fact.captured_dur, small as i64];
        for (slot, value) in self.facts[at].iter().zip(values) {
            slot.store(value, Relaxed);
        }
        self.stamps[at][0].store(UNKNOWN, Relaxed);
        self.stamps[at][3].store(UNKNOWN, Relaxed);
        self.count.store(at as u64 + 1, Relaxed);
    }

    /// Fetches the stamp of an op that will soon be issued into the cache.
    #[inline]
    pub fn prefetch(&self, at: usize) {
        if let Some(stamp) = self.stamps.get(at + 4) {
            memory::prefetch_to_write(stamp);
        }
    }

    /// Says what came of an op. The start comes last: where it stands, all stands.
    #[inline]
    pub fn stamp(&self, at: usize, begin: i64, end: i64, ret: i64) {
        let [first, second, third, _] = &self.stamps[at];
        second.store(end, Relaxed);
        third.store(ret, Relaxed);
        first.store(begin, Release);
    }

    /// Says when the pace wants it issued.
    #[inline]
    pub fn schedule(&self, at: usize, time: i64) {
        self.stamps[at][3].store(time, Relaxed);
    }

    /// Adds to the notes of an op.
    #[cold]
    pub fn note(&self, at: usize, note: u8) {
        self.facts[at][5].fetch_or(i64::from(note), Relaxed);
    }

    /// The ops that were issued.
    pub fn records(&self, worker: u32) -> impl Iterator<Item = Record> + '_ {
        self.all(worker).filter(|record| record.stamp.begin != UNKNOWN)
    }

    /// The op that the worker is at: the first that it has not stamped.
    pub fn current(&self, worker: u32) -> Option<Record> {
        self.all(worker).find(|record| record.stamp.begin == UNKNOWN)
    }

    fn all(&self, worker: u32) -> impl Iterator<Item = Record> + '_ {
        let count = (self.count.load(Relaxed) as usize).min(BATCH);
        (0..count).map(move |at| {
            let begin = self.stamps[at][0].load(Acquire);
            let [_, end, ret, scheduled] = &self.stamps[at];
            let [op_id, seq, row, captured, captured_dur, small] = std::array::from_fn(|i| self.facts[at][i].load(Relaxed));
            let [syscall, op, origin, notes] = (small as u32).to_be_bytes();
            let lane = (small as u64 >> 32) as u32;
            let fact = Fact { op_id, seq, row, captured, captured_dur, lane, syscall, op, origin, notes };
            let stamp = Stamp { begin, end: end.load(Relaxed), ret: ret.load(Relaxed), scheduled: scheduled.load(Relaxed) };
            Record { fact, stamp, worker }
        })
    }
}

/// The shared memory.
#[derive(Debug)]
pub struct Board {
    pages: Pages,
    shape: Shape,
}

impl Board {
    /// A fresh board, and the file that others open it by.
    ///
    /// # Errors
    /// When memory is short.
    pub fn create(shape: Shape) -> Result<(Board, File)> {
        let file = memory_file(shape.bytes())?;
        let board = Board::open(&file, shape)?;
        for worker in 0..shape.workers {
            board.slot(worker).counter.reset();
        }
        Ok((board, file))
    }

    /// The board of a file made by [`Board::create`].
    ///
    /// # Errors
    /// When memory is short.
    pub fn open(file: &File, shape: Shape) -> Result<Board> {
        Ok(Board { pages: Pages::of(file, shape.bytes())?, shape })
    }

    /// Makes the blocks of some workers real memory of this process, so that no worker meets a page fault.
    pub fn populate(&self, workers: Range<usize>) {
        let bytes = |workers: usize| workers * self.shape.blocks * size_of::<Block>();
        self.pages.populate(self.shape.sheets_at() + bytes(workers.start), bytes(workers.len()));
    }

    /// Number of workers.
    pub fn workers(&self) -> usize {
        self.shape.workers
    }

    /// Number of blocks of each worker.
    pub fn blocks(&self) -> usize {
        self.shape.blocks
    }

    /// What concerns all.
    pub fn head(&self) -> &Head {
        // SAFETY: the mapping begins with a head, is page aligned and lives as long as self; atomics may be anything.
        unsafe { &*self.pages.start().cast::<Head>() }
    }

    /// The place of a worker.
    pub fn slot(&self, worker: usize) -> &WorkerSlot {
        assert!(worker < self.shape.workers, "there is a slot for every worker");
        // SAFETY: as above; the slots follow the head, whose size is a multiple of their alignment.
        unsafe { &*self.pages.start().add(size_of::<Head>()).cast::<WorkerSlot>().add(worker) }
    }

    fn block(&self, worker: usize, number: u32) -> &Block {
        assert!(worker < self.shape.workers, "there are blocks for every worker");
        let at = worker * self.shape.blocks + number as usize % self.shape.blocks;
        // SAFETY: as above; the blocks follow the slots, whose size is a multiple of their alignment.
        unsafe { &*self.pages.start().add(self.shape.sheets_at()).cast::<Block>().add(at) }
    }

    /// The next block for the loader to fill, if the supervisor has read what was on it.
    pub fn to_fill(&self, worker: usize) -> Option<&Block> {
        let line = &self.slot(worker).line;
        let (filled, read) = (line.filled.load(Relaxed), line.read.load(Acquire));
        (filled.wrapping_sub(read) < self.shape.blocks as u32).then(|| self.block(worker, filled))
    }

    /// The loader has filled it.
    pub fn filled(&self, worker: usize) {
        self.slot(worker).line.filled.fetch_add(1, Release);
    }

    /// The block that the worker is at.
    pub fn to_write(&self, worker: usize) -> &Block {
        self.block(worker, self.slot(worker).line.written.load(Relaxed))
    }

    /// The worker has written it.
    pub fn written(&self, worker: usize) {
        self.slot(worker).line.written.fetch_add(1, Release);
    }

    /// The op that a worker is at, if it has one.
    pub fn current(&self, worker: usize) -> Option<Record> {
        let line = &self.slot(worker).line;
        let written = line.written.load(Acquire);
        (written != line.filled.load(Acquire)).then(|| self.block(worker, written).current(worker as u32)).flatten()
    }

    /// The next block for the supervisor to read, if there is one.
    pub fn to_read(&self, worker: usize) -> Option<&Block> {
        let line = &self.slot(worker).line;
        let read = line.read.load(Relaxed);
        (read != line.written.load(Acquire)).then(|| self.block(worker, read))
    }

    /// The block that a worker which is gone was at, if it had begun one.
    pub fn unfinished(&self, worker: usize) -> Option<&Block> {
        let line = &self.slot(worker).line;
        let read = line.read.load(Relaxed);
        (read != line.filled.load(Acquire)).then(|| self.block(worker, read))
    }

    /// The supervisor has read it.
    pub fn read(&self, worker: usize) {
        self.slot(worker).line.read.fetch_add(1, Release);
    }

    /// Share of the blocks of the worker that has most to be read, from 0 to 1.
    pub fn load(&self) -> f64 {
        let unread = |worker| {
            let line = &self.slot(worker).line;
            line.written.load(Relaxed).wrapping_sub(line.read.load(Relaxed))
        };
        f64::from((0..self.shape.workers).map(unread).max().unwrap_or(0)) / self.shape.blocks as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_go_round_and_keep_what_is_on_them() {
        let shape = Shape { workers: 2, blocks: 4 };
        let (board, file) = Board::create(shape).unwrap();
        let other = Board::open(&file, shape).unwrap();
        let fact = |op_id| Fact { op_id, row: -1, lane: 7, syscall: 250, op: 3, origin: 2, notes: 1, ..Fact::default() };
        for round in 0..10 {
            let block = board.to_fill(1).unwrap();
            block.clear();
            block.push(&fact(2 * round));
            block.push(&fact(2 * round + 1));
            board.filled(1);
            assert!(other.to_read(1).is_none() && other.to_read(0).is_none());
            let block = other.to_write(1);
            block.note(0, 8);
            block.schedule(0, 11);
            block.stamp(0, 12, 13, -2);
            assert_eq!(board.current(1).map(|record| record.fact.op_id), Some(2 * round + 1));
            let unfinished: Vec<Record> = board.unfinished(1).unwrap().records(1).collect();
            other.written(1);
            let records: Vec<Record> = board.to_read(1).unwrap().records(1).collect();
            assert!(board.current(1).is_none() && records == unfinished);
            let stamp = Stamp { begin: 12, end: 13, ret: -2, scheduled: 11 };
            assert_eq!(records, [Record { fact: Fact { notes: 9, ..fact(2 * round) }, stamp, worker: 1 }]);
            board.read(1);
        }
        for _ in 0..4 {
            assert!(board.to_fill(0).is_some());
            board.filled(0);
        }
        assert!(board.to_fill(0).is_none());
    }
}
