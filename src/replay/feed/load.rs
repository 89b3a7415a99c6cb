//! The loader: one thread in each process that decodes ops and hands every worker its own, in order, a batch at a time.
//!
//! Batches go round: a worker returns used ones, the loader fills them and sends them back. There is a fixed number of them
//! per worker ([`ring`]) and never more, so memory is bounded, and no worker can keep another from its next batch. What the supervisor must
//! know of the ops goes to a block of the board at the same time.

use super::edges::{Edges, Span};
use super::pages::{Pages, Row};
use super::plan::Lane;
use crate::replay::issue::pace::Scale;
use crate::replay::shared::board::Board;
use crate::replay::shared::call::{Batch, Feed};
use crate::replay::shared::clock::now;
use crate::replay::shared::order::Wait;
use crate::replay::shared::record::UNKNOWN;
use anyhow::{Context, Result, ensure};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Batches of all workers together, if those are few: some 12 MiB.
const BATCHES: usize = 256;

/// Batches of each of so many workers. Half of them go back to the loader at a time: to wake it costs a worker as much as
/// several calls, and so does each time that it is put aside for it.
fn ring(workers: usize) -> usize {
    (BATCHES / workers.max(1)).clamp(4, 32)
}

/// How long to wait before looking again whether the supervisor has read a block: there are many of them, and it takes
/// longer to read one.
const PATIENCE: Duration = Duration::from_micros(200);

/// A lane being read.
struct Cursor {
    row: i64,
    end: i64,
    edges: Span,
    /// When its last op ended in the capture, if that is known.
    before: Option<i64>,
}

/// What a worker still has to get.
struct Queue {
    cursors: Vec<Cursor>,
    /// (next op_id, cursor), smallest first.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    full: Option<SyncSender<Box<Batch>>>,
    last: i64,
    /// The last op of each other worker that an op of this one waits for: earlier ones need not be waited for any more.
    awaited: HashMap<u32, i64>,
}

/// The loader's end of all rings of a process.
pub struct Loader<'a> {
    board: &'a Board,
    pages: &'a mut Pages,
    links: Option<&'a mut Edges>,
    scale: Option<Scale>,
    /// Number of the first worker.
    first: usize,
    queues: Vec<Queue>,
    used: Receiver<(usize, Box<Batch>)>,
    open: usize,
}

impl<'a> Loader<'a> {
    /// A loader for these workers and their lanes, and a feed for each. Without `edges` nobody waits, without a `scale`
    /// nothing has its time.
    pub fn new(
        board: &'a Board,
        pages: &'a mut Pages,
        links: Option<&'a mut Edges>,
        scale: Option<Scale>,
        workers: Range<usize>,
        hands: &[Vec<Lane>],
    ) -> (Loader<'a>, Vec<Feed>) {
        // Those of other processes have their share of the memory.
        let ring = ring(board.workers());
        let (give_back, used) = sync_channel(ring * workers.len());
        let mut feeds = Vec::new();
        let mut queues = Vec::new();
        for worker in workers.clone() {
            let hand = &hands[worker];
            let (sender, full) = sync_channel(ring);
            let heads = hand.iter().enumerate().map(|(at, lane)| Reverse((lane.first_op, at))).collect();
            let cursors = hand.iter().map(|lane| Cursor {
                row: lane.first_row,
                end: lane.first_row + lane.ops,
                edges: Span { row: lane.first_edge, end: lane.first_edge + lane.edges },
                before: None,
            });
            queues.push(Queue { cursors: cursors.collect(), heads, full: Some(sender), last: -1, awaited: HashMap::new() });
            feeds.push(Feed { worker, full, used: give_back.clone(), ring });
            for _ in 0..ring {
                // The channel has room for all batches there are.
                let _ = give_back.send((worker, Box::new(Batch::new())));
            }
        }
        let open = queues.len();
        (Loader { board, pages, links, scale, first: workers.start, queues, used, open }, feeds)
    }

    /// Fills the batches that are there, before the start.
    ///
    /// # Errors
    /// When the ops are damaged.
    pub fn prepare(&mut self) -> Result<()> {
        while let (true, Ok((worker, batch))) = (self.open > 0, self.used.try_recv()) {
            self.fill(worker, batch)?;
        }
        Ok(())
    }

    /// Fills batches until every worker has had all its ops.
    ///
    /// # Errors
    /// When the ops are damaged.
    pub fn run(&mut self) -> Result<()> {
        while self.open > 0 {
            let Ok((worker, batch)) = self.used.recv() else { break };
            self.fill(worker, batch)?;
        }
        Ok(())
    }

    fn fill(&mut self, worker: usize, mut batch: Box<Batch>) -> Result<()> {
        let queue = &mut self.queues[worker - self.first];
        let Some(full) = &queue.full else { return Ok(()) };
        batch.clear();
        let block = loop {
            match self.board.to_fill(worker) {
                Some(block) => break block,
                None => {
                    let (spent, since) = (&self.board.slot(worker).spent, now());
                    std::thread::sleep(PATIENCE);
                    spent.stalled.fetch_add(now() - since, Relaxed);
                    spent.stalls.fetch_add(1, Relaxed);
                }
            }
        };
        block.clear();
        while batch.room() {
            let Some(Reverse((op_id, at))) = queue.heads.pop() else { break };
            let limit = queue.heads.peek().map_or(i64::MAX, |Reverse((next, _))| *next);
            let Cursor { row, end, edges, before } = &mut queue.cursors[at];
            let (last, awaited) = (&mut queue.last, &mut queue.awaited);
            let (links, scale) = (&mut self.links, &self.scale);
            let first = batch.ops.len();
            let (next, seen) = self.pages.fill(*row..*end, limit, &mut batch, |batch, Row { fact, ts }| {
                // An order would wait for ever for an op that comes too late.
                ensure!(fact.op_id > *last, "invalid workload: op {} comes after op {last}", fact.op_id);
                *last = fact.op_id;
                block.push(&fact);
                let waits = batch.waits.len();
                if let Some(links) = links {
                    links.of(fact.op_id, edges, |after, other| {
                        let known = awaited.entry(other).or_insert(-1);
                        if other as usize != worker && after > *known {
                            *known = after;
                            batch.waits.push(Wait { after, worker: other });
                        }
                    })?;
                }
                let (waits, op) = (batch.waits.len() - waits, batch.ops.last_mut().context("the op is there")?);
                op.waits = u16::try_from(waits).context("an op waits for more workers than there are")?;
                op.lane = at as u32;
                if let Some(scale) = scale {
                    op.due = scale.due(ts, *before);
                    if let Some(ts) = ts {
                        let dur = if fact.captured_dur == UNKNOWN { 0 } else { fact.captured_dur };
                        *before = Some(ts.saturating_add(dur));
                    }
                }
                Ok(())
            })?;
            *row = next;
            ensure!(
                batch.ops[first].op_id == op_id,
                "invalid workload: a lane begins with op {}, not {op_id}",
                batch.ops[first].op_id
            );
            if next < *end {
                let head = match seen {
                    Some(head) => head,
                    None => self.pages.op_id(next)?,
                };
                queue.heads.push(Reverse((head, at)));
            }
        }
        self.board.filled(worker);
        let last = queue.heads.is_empty();
        // A worker that is gone has its reason, and its thread tells it.
        let gone = full.send(batch).is_err();
        if last || gone {
            queue.full = None;
            self.open -= 1;
        }
        Ok(())
    }
}
