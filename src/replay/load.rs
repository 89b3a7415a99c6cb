//! The loader: one thread that decodes ops and hands every worker its own, in order, a batch at a time.
//!
//! Batches go round: a worker returns a used one, the loader fills it and sends it back. There are [`RING`] per worker
//! and never more, so memory is bounded, and no worker can keep another from its next batch.

use super::call::{BATCH, Batch};
use super::groups::Groups;
use super::plan::Lane;
use anyhow::{Result, ensure};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Batches per worker.
pub const RING: usize = 3;

/// A worker's end of the ring.
pub struct Feed {
    /// Number of the worker.
    pub worker: usize,
    /// Full batches come here; it closes after the last.
    pub full: Receiver<Box<Batch>>,
    /// Used batches go back here.
    pub used: SyncSender<(usize, Box<Batch>)>,
}

/// A lane being read.
#[derive(Clone, Copy)]
struct Cursor {
    row: i64,
    end: i64,
}

/// What a worker still has to get.
struct Queue {
    cursors: Vec<Cursor>,
    /// (next op_id, cursor), smallest first.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    full: Option<SyncSender<Box<Batch>>>,
    last: i64,
}

/// The loader's end of all rings.
pub struct Loader {
    groups: Groups,
    queues: Vec<Queue>,
    used: Receiver<(usize, Box<Batch>)>,
}

impl Loader {
    /// A loader for these hands of lanes, and a feed for each worker.
    pub fn new(groups: Groups, hands: Vec<Vec<Lane>>) -> (Loader, Vec<Feed>) {
        let (give_back, used) = sync_channel(RING * hands.len());
        let mut feeds = Vec::new();
        let mut queues = Vec::new();
        for (worker, hand) in hands.into_iter().enumerate() {
            let (sender, full) = sync_channel(RING);
            let heads = hand.iter().enumerate().map(|(at, lane)| Reverse((lane.first_op, at))).collect();
            let cursors = hand.iter().map(|lane| Cursor { row: lane.first_row, end: lane.first_row + lane.ops }).collect();
            queues.push(Queue { cursors, heads, full: Some(sender), last: -1 });
            feeds.push(Feed { worker, full, used: give_back.clone() });
            for _ in 0..RING {
                // The channel has room for all batches there are.
                let _ = give_back.send((worker, Box::new(Batch::new())));
            }
        }
        (Loader { groups, queues, used }, feeds)
    }

    /// Fills batches until every worker has had all its ops.
    ///
    /// # Errors
    /// When the ops are damaged. Then every ring closes early, and the caller must stop the order.
    pub fn run(&mut self) -> Result<()> {
        let mut open = self.queues.len();
        while open > 0 {
            let Ok((worker, mut batch)) = self.used.recv() else { break };
            let queue = &mut self.queues[worker];
            let Some(full) = &queue.full else { continue };
            batch.clear();
            while batch.calls.len() < BATCH {
                let Some(Reverse((op_id, at))) = queue.heads.pop() else { break };
                let limit = queue.heads.peek().map_or(i64::MAX, |Reverse((next, _))| *next);
                let cursor = &mut queue.cursors[at];
                let first = batch.calls.len();
                let (row, seen) = self.groups.fill(cursor.row, cursor.end, limit, BATCH, &mut batch)?;
                cursor.row = row;
                for call in &batch.calls[first..] {
                    // Strict order would wait forever for an op that comes twice or not at all.
                    ensure!(call.op_id > queue.last, "op {} comes after op {}: make the workload again", call.op_id, queue.last);
                    queue.last = call.op_id;
                }
                ensure!(batch.calls[first].op_id == op_id, "a lane begins with op {}, not {op_id}", batch.calls[first].op_id);
                if row < cursor.end {
                    let next = match seen {
                        Some(next) => next,
                        None => self.groups.op_id(row)?,
                    };
                    queue.heads.push(Reverse((next, at)));
                }
            }
            let last = queue.heads.is_empty();
            // A worker that is gone has its reason, and its thread tells it.
            let gone = full.send(batch).is_err();
            if last || gone {
                queue.full = None;
                open -= 1;
            }
        }
        Ok(())
    }
}
