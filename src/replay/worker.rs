//! A worker: waits for the turn of its next op, issues it, notes what happened. Between two calls nothing is allocated,
//! locked or formatted.

use super::call::Call;
use super::engine::Issue;
use super::load::Feed;
use super::order::Strict;
use super::record::{Record, UNKNOWN};
use crate::event::Col;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Records in a block.
pub const BLOCK: usize = 512;
/// Blocks per worker.
const BLOCKS: usize = 3;

/// A worker's end of the ring that takes its records to the recorder.
pub struct Tape {
    current: Vec<Record>,
    full: SyncSender<(usize, Vec<Record>)>,
    empty: Receiver<Vec<Record>>,
    worker: usize,
}

/// The recorder's end: full blocks come in, empty ones go back to their worker.
pub struct Recorder {
    full: Receiver<(usize, Vec<Record>)>,
    empty: Vec<SyncSender<Vec<Record>>>,
}

/// A tape for each worker and the recorder of them all.
pub fn tapes(workers: usize) -> (Recorder, Vec<Tape>) {
    let (full, full_end) = sync_channel(BLOCKS * workers);
    let mut empty = Vec::new();
    let tapes = (0..workers).map(|worker| {
        let (give, take) = sync_channel(BLOCKS);
        for _ in 1..BLOCKS {
            // The channel has room for all blocks there are.
            let _ = give.send(Vec::with_capacity(BLOCK));
        }
        empty.push(give);
        Tape { current: Vec::with_capacity(BLOCK), full: full.clone(), empty: take, worker }
    });
    let tapes = tapes.collect();
    (Recorder { full: full_end, empty }, tapes)
}

impl Tape {
    /// Notes a record; waits when the recorder is far behind. False when it is gone.
    #[inline]
    fn push(&mut self, record: Record) -> bool {
        self.current.push(record);
        self.current.len() < BLOCK || self.hand_over()
    }

    fn hand_over(&mut self) -> bool {
        let Ok(next) = self.empty.recv() else { return false };
        self.full.send((self.worker, std::mem::replace(&mut self.current, next))).is_ok()
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        if !self.current.is_empty() {
            let _ = self.full.send((self.worker, std::mem::take(&mut self.current)));
        }
    }
}

impl Recorder {
    /// Takes every block to `write` until the workers are done.
    ///
    /// # Errors
    /// When `write` fails; then the workers find their recorder gone.
    pub fn run(self, mut write: impl FnMut(&[Record]) -> std::io::Result<()>) -> std::io::Result<()> {
        while let Ok((worker, mut block)) = self.full.recv() {
            write(&block)?;
            block.clear();
            // A worker that is done needs no more blocks.
            let _ = self.empty[worker].try_send(block);
        }
        Ok(())
    }
}

/// Nanoseconds of CLOCK_MONOTONIC.
#[inline]
pub fn now() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: time is writable; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Issues every op of a feed. False when the replay was stopped.
pub fn run<E: Issue>(engine: &mut E, order: &Strict, feed: &Feed, tape: &mut Tape, start: i64) -> bool {
    while let Ok(batch) = feed.full.recv() {
        for call in &batch.calls {
            if !order.wait(call.op_id) {
                return false;
            }
            let (notes, withheld) = engine.prepare(call, &batch);
            let begin = now();
            let ret = match withheld {
                None => engine.issue(call, &batch),
                Some(ret) => ret,
            };
            let end = now();
            engine.settle(call, if withheld.is_some() { -1 } else { ret });
            order.pass(call.op_id);
            if !tape.push(record(call, feed.worker, notes, begin - start, end - begin, ret)) {
                order.stop();
                return false;
            }
        }
        // The loader is gone when nobody needs more.
        let _ = feed.used.send((feed.worker, batch));
    }
    true
}

fn record(call: &Call, worker: usize, notes: u8, begin: i64, dur: i64, ret: i64) -> Record {
    Record {
        op_id: call.op_id,
        seq: call.seq,
        lane: call.lane,
        row: call.row,
        begin,
        dur,
        ret,
        captured: call.captured().unwrap_or(UNKNOWN),
        captured_dur: call.get(Col::Dur).unwrap_or(UNKNOWN),
        worker: worker as u32,
        syscall: call.syscall as u8,
        op: call.op as u8,
        origin: call.origin as u8,
        notes,
    }
}
