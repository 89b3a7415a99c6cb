//! The board: the memory that the supervisor and every process of a replay share.
//!
//! ```text
//! head      go, start; whose turn it is; changes of directories
//! slots     one per worker: its counter, how far its blocks are filled, written and read, what it did meanwhile
//! blocks    for each worker a ring of them, 256 ops each: facts (by the loader), stamps (by the worker)
//! ```
//! A result block goes from the loader to the worker to the supervisor and back, by the three numbers of its worker slot.
//! Every field is an atomic: whoever dies in the middle leaves values that the others can read.

use super::call::BATCH;
use super::ends::Ends;
use super::memory::{self, Pages, memory_file};
use super::order::{Counter, Turn};
use super::record::{Fact, Record, Stamp, UNKNOWN};
use std::fs::File;
use std::io::Result;
use std::ops::Range;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering::*};

/// Result blocks of all workers together, if there are few workers: 32 MiB, which hold the results of some 400,000 ops while
/// the supervisor is late.
const BLOCKS: usize = 1600;

/// The size of a board, in workers and result blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of workers, of all processes.
    pub workers: usize,
    /// Number of ghosts: workers of other machines, of which only the counters are kept here.
    pub ghosts: usize,
    /// Result blocks of each worker, 4 to 1024.
    pub blocks: usize,
}

impl Shape {
    /// The shape of a board for this many workers, which share [`BLOCKS`] result blocks evenly, and ghosts.
    pub fn new(workers: usize, ghosts: usize) -> Shape {
        Shape { workers, ghosts, blocks: (BLOCKS / workers.max(1)).clamp(4, 1024) }
    }

    /// Number of worker slots: those of workers, then those of ghosts.
    fn slots(&self) -> usize {
        self.workers + self.ghosts
    }

    /// Offset of the first result block in the board, bytes.
    fn blocks_at(&self) -> usize {
        size_of::<Head>() + self.slots() * size_of::<WorkerSlot>()
    }

    /// Size of the whole board, bytes.
    fn bytes(&self) -> usize {
        self.blocks_at() + self.workers * self.blocks * size_of::<Block>()
    }
}

/// The head of the board: what concerns all processes and workers.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Head {
    /// Number of replay processes that are ready to begin; the leader sleeps on it (futex).
    pub ready: AtomicU32,
    /// 1 once the first op may be issued, 0 before; workers sleep on it (futex).
    pub go: AtomicU32,
    /// Start of the replay on CLOCK_MONOTONIC, ns.
    pub start: AtomicI64,
    /// 1 once all machines of a replay have agreed when it starts; the leader sleeps on it (futex).
    pub agreed: AtomicU32,
    /// That time on CLOCK_MONOTONIC of this machine, ns.
    pub agreed_start: AtomicI64,
    /// Processor time of the loaders (threads that decode ops) of all processes since the start, ns.
    pub loaders: AtomicI64,
    /// The error by which the kernel refused a ring or a context for requests; 0 when it refused none.
    pub refused: AtomicI32,
    /// Number of workers that use processor time as the captured threads did, where it is limited.
    pub burning: AtomicI32,
    /// Which op's turn it is in strict order; unused in the others.
    pub turn: Turn,
}

/// A worker slot: the counter, the block numbers and the times of one worker.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct WorkerSlot {
    /// How far the worker's ops are, read by workers whose ops wait for them.
    pub counter: Counter,
    /// The same, where syncs are regrouped, if the sync that the worker has reached counts as finished.
    pub reached: Counter,
    line: Line,
    /// How long the worker waited, and its processor time.
    pub spent: Spent,
    /// When its last ops ended, with pace app.
    pub ends: Ends,
}

impl WorkerSlot {
    /// Marks the worker as done or dead, so that nobody waits for it any more.
    pub fn end(&self) {
        self.reached.end();
        self.counter.end();
    }
}

/// How far the result blocks of a worker are filled (by the loader), written (by the worker) and read (by the supervisor).
/// Each number counts blocks from the start of the replay, wraps, and has this one writer.
#[repr(C, align(64))]
#[derive(Debug)]
struct Line {
    filled: AtomicU32,
    written: AtomicU32,
    read: AtomicU32,
}

/// Where the time of one worker went, ns since the start of the replay unless said otherwise.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Spent {
    /// Time the worker waited for ops of other workers, ns.
    pub waited: AtomicI64,
    /// Of that, while an op of another machine was not finished, ns.
    pub remote: AtomicI64,
    /// Time the worker waited for the loader to decode ops, ns.
    pub starved: AtomicI64,
    /// Time the loader waited for the supervisor to read result blocks of this worker, ns.
    pub stalled: AtomicI64,
    /// Number of times the loader waited for a result block to become free.
    pub stalls: AtomicI64,
    /// Processor time of the worker's thread, its calls included, ns.
    pub cpu: AtomicI64,
    /// Of that, how long it computed as the captured threads did, ns.
    pub burnt: AtomicI64,
    /// How long it slept in place of that, ns.
    pub slept: AtomicI64,
    /// Number of requests that the worker handed over.
    pub requests: AtomicI64,
    /// Sum over them of how many of their lane and ring the program had in flight when it handed each over, that one included.
    pub depth_captured: AtomicI64,
    /// The same of the replay.
    pub depth_replayed: AtomicI64,
}

/// A result block: up to [`BATCH`] ops of one worker, what is known of each and what came of it.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Block {
    /// Number of ops in the block.
    count: AtomicU64,
    /// The [`Fact`] of each op; the small fields are packed into the last number.
    facts: [[AtomicI64; 6]; BATCH],
    /// The [`Stamp`] of each op: begin, end, ret, scheduled.
    stamps: [[AtomicI64; 4]; BATCH],
}

impl Block {
    /// Removes all ops from the block, before the loader fills it again.
    pub fn clear(&self) {
        self.count.store(0, Relaxed);
    }

    /// Adds an op that is to be issued, with an empty stamp; called by the loader.
    #[inline]
    pub fn push(&self, fact: &Fact) {
        let at = self.count.load(Relaxed) as usize;
        // The cache lines were last written on another processor, by the worker or read by the supervisor.
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

    /// Records the outcome of the op at position `at`; times are ns since the start of the replay. `begin` is stored last:
    /// where it is set, the rest is too.
    #[inline]
    pub fn stamp(&self, at: usize, begin: i64, end: i64, ret: i64) {
        let [first, second, third, _] = &self.stamps[at];
        second.store(end, Relaxed);
        third.store(ret, Relaxed);
        first.store(begin, Release);
    }

    /// Records when the pace wants the op at position `at` issued, ns since the start of the replay.
    #[inline]
    pub fn schedule(&self, at: usize, time: i64) {
        self.stamps[at][3].store(time, Relaxed);
    }

    /// Adds a note bit ([`super::record`]) to the op at position `at`.
    #[cold]
    pub fn note(&self, at: usize, note: u8) {
        self.facts[at][5].fetch_or(i64::from(note), Relaxed);
    }

    /// Records of the ops in this block that have been issued; `worker` is the one that owns the block.
    pub fn records(&self, worker: u32) -> impl Iterator<Item = Record> + '_ {
        self.all(worker).filter(|record| record.stamp.begin != UNKNOWN)
    }

    /// The op that the worker is at: the first of the block that it has not stamped. `None` when all are stamped.
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

/// The board, mapped into this process: a head, a slot for each worker, and the result blocks.
#[derive(Debug)]
pub struct Board {
    pages: Pages,
    shape: Shape,
}

impl Board {
    /// Creates a board, and returns it with the memfd by which other processes open it.
    ///
    /// # Errors
    /// When memory is short.
    pub fn create(shape: Shape) -> Result<(Board, File)> {
        let file = memory_file(shape.bytes())?;
        let board = Board::open(&file, shape)?;
        for worker in 0..shape.slots() {
            board.slot(worker).counter.reset();
            board.slot(worker).reached.reset();
        }
        Ok((board, file))
    }

    /// Maps a board that [`Board::create`] made; `shape` must be the one it was made with.
    ///
    /// # Errors
    /// When memory is short.
    pub fn open(file: &File, shape: Shape) -> Result<Board> {
        Ok(Board { pages: Pages::of(file, shape.bytes())?, shape })
    }

    /// Faults in the result blocks of these workers for this process, so that no worker meets a page fault.
    pub fn populate(&self, workers: Range<usize>) {
        let bytes = |workers: usize| workers * self.shape.blocks * size_of::<Block>();
        self.pages.populate(self.shape.blocks_at() + bytes(workers.start), bytes(workers.len()));
    }

    /// Number of workers.
    pub fn workers(&self) -> usize {
        self.shape.workers
    }

    /// Number of worker slots: those of the workers, then those of the ghosts.
    pub fn slots(&self) -> usize {
        self.shape.slots()
    }

    /// Number of result blocks of each worker.
    pub fn blocks(&self) -> usize {
        self.shape.blocks
    }

    /// The head: what concerns all workers.
    pub fn head(&self) -> &Head {
        // SAFETY: the mapping begins with a head, is page aligned and lives as long as self; atomics may be anything.
        unsafe { &*self.pages.start().cast::<Head>() }
    }

    /// The slot of a worker or ghost; panics for a number that is nobody's.
    pub fn slot(&self, worker: usize) -> &WorkerSlot {
        assert!(worker < self.shape.slots(), "there is a slot for every worker");
        // SAFETY: as above; the slots follow the head, whose size is a multiple of their alignment.
        unsafe { &*self.pages.start().add(size_of::<Head>()).cast::<WorkerSlot>().add(worker) }
    }

    /// The result block with this running number, modulo the blocks that a worker has.
    fn block(&self, worker: usize, number: u32) -> &Block {
        assert!(worker < self.shape.workers, "there are blocks for every worker");
        let at = worker * self.shape.blocks + number as usize % self.shape.blocks;
        // SAFETY: as above; the blocks follow the slots, whose size is a multiple of their alignment.
        unsafe { &*self.pages.start().add(self.shape.blocks_at()).cast::<Block>().add(at) }
    }

    /// The next block of a worker for the loader to fill; `None` while the supervisor has not read its former content.
    pub fn to_fill(&self, worker: usize) -> Option<&Block> {
        let line = &self.slot(worker).line;
        let (filled, read) = (line.filled.load(Relaxed), line.read.load(Acquire));
        (filled.wrapping_sub(read) < self.shape.blocks as u32).then(|| self.block(worker, filled))
    }

    /// Hands the block of [`Board::to_fill`] from the loader to the worker.
    pub fn filled(&self, worker: usize) {
        self.slot(worker).line.filled.fetch_add(1, Release);
    }

    /// The block whose ops the worker issues now.
    pub fn to_write(&self, worker: usize) -> &Block {
        self.block(worker, self.slot(worker).line.written.load(Relaxed))
    }

    /// The block that the worker comes to `ahead` blocks after that of [`Board::to_write`]: the loader must have filled it.
    pub fn to_write_ahead(&self, worker: usize, ahead: u32) -> &Block {
        self.block(worker, self.slot(worker).line.written.load(Relaxed).wrapping_add(ahead))
    }

    /// Hands the block of [`Board::to_write`] from the worker to the supervisor.
    pub fn written(&self, worker: usize) {
        self.slot(worker).line.written.fetch_add(1, Release);
    }

    /// The op that a worker is at; `None` when it has issued all that the loader gave it.
    pub fn current(&self, worker: usize) -> Option<Record> {
        let line = &self.slot(worker).line;
        let written = line.written.load(Acquire);
        (written != line.filled.load(Acquire)).then(|| self.block(worker, written).current(worker as u32)).flatten()
    }

    /// The next block of a worker for the supervisor to read; `None` when the worker has finished no other.
    pub fn to_read(&self, worker: usize) -> Option<&Block> {
        let line = &self.slot(worker).line;
        let read = line.read.load(Relaxed);
        (read != line.written.load(Acquire)).then(|| self.block(worker, read))
    }

    /// The next block of a worker that has died, which it did not finish; `None` when there is none.
    pub fn unfinished(&self, worker: usize) -> Option<&Block> {
        let line = &self.slot(worker).line;
        let read = line.read.load(Relaxed);
        (read != line.filled.load(Acquire)).then(|| self.block(worker, read))
    }

    /// Gives the block that the supervisor has read back to the loader.
    pub fn read(&self, worker: usize) {
        self.slot(worker).line.read.fetch_add(1, Release);
    }

    /// How full the result blocks of the worker with the most unread ones are, 0 to 1.
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
        let shape = Shape { workers: 2, ghosts: 1, blocks: 4 };
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
