//! The loader: one thread in each process that decodes ops and hands every worker its own, in order, a batch at a time.
//!
//! Batches go round: a worker returns used ones, the loader fills them and sends them back. Their number per worker is fixed
//! ([`ring`]), so memory is bounded, and no worker can keep another from its next batch. What the supervisor must know of the
//! ops is written to a result block of the board (shared memory) at the same time.

use super::edges::{Edges, Span};
use super::pages::{Asks, Pages, Row};
use super::plan::Lane;
use super::rings::Wants;
use crate::replay::Pace;
use crate::replay::issue::pace::Scale;
use crate::replay::shared::board::Board;
use crate::replay::shared::call::{Ask, Batch, Feed};
use crate::replay::shared::clock::now;
use crate::replay::shared::order::Wait;
use crate::replay::shared::record::UNKNOWN;
use crate::syscall::Class;
use anyhow::{Context, Result, ensure};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Batches of all workers together, if there are few workers: some 12 MiB.
const BATCHES: usize = 256;

/// Number of batches of each worker, 4 to 32, for this many workers. Half of them are returned to the loader at a time:
/// waking it costs a worker as much as several calls, and so does each time that it is preempted for it.
fn ring(workers: usize) -> usize {
    (BATCHES / workers.max(1)).clamp(4, 32)
}

/// Time between two looks whether the supervisor has read a result block: there are many blocks, and reading one takes
/// longer.
const PATIENCE: Duration = Duration::from_micros(200);

/// Longest time between the end of a sync and a write by a thread that had waited for it, and did nothing else between, ns.
const AT_ONCE: i64 = 1_000_000;

/// Position in a lane (captured thread) that is being read.
struct Cursor {
    /// Next row of the table of ops; `end` is the one after the lane's last.
    row: i64,
    end: i64,
    edges: Span,
    /// Captured end of its last op that had a time, ns; `None` before the first.
    before: Option<i64>,
    /// How long it took between its ops so far, in the capture, ns: in all, and after timers.
    took: [i64; 2],
}

/// What the loader still has to hand to one worker.
struct Queue {
    cursors: Vec<Cursor>,
    /// For each unfinished lane its next op_id and its index in `cursors`; the smallest op_id first.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    full: Option<SyncSender<Box<Batch>>>,
    last: i64,
    /// For each other worker, the last of its ops that an op of this worker waits for: earlier ones need no wait any more.
    awaited: HashMap<u32, i64>,
    /// What its requests need, if it hands any over: then an op may also have to wait for ops of this worker itself.
    wants: Option<Wants>,
    /// How many requests of each (lane, ring) pair it was given.
    handed: Handed,
    /// Numbers of its lanes.
    lanes: Vec<i64>,
}

/// Counts requests by (lane, ring) pair.
#[derive(Default)]
struct Handed(Vec<i64>);

impl Handed {
    /// How many requests of this pair came before this one.
    fn next(&mut self, ring: u16) -> i64 {
        let at = usize::from(ring);
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] += 1;
        self.0[at] - 1
    }
}

/// The loader of a process: decodes ops and fills the batches of all its workers.
pub struct Loader<'a> {
    board: &'a Board,
    pages: &'a mut Pages,
    links: Option<&'a mut Edges>,
    scale: Option<Scale>,
    /// Number of the process's first worker.
    first: usize,
    queues: Vec<Queue>,
    used: Receiver<(usize, Box<Batch>)>,
    open: usize,
}

impl<'a> Loader<'a> {
    /// Makes a loader for these workers of the plan's `hands`, and a feed for each. Without `edges` no op waits; without a
    /// `scale` no op has a due time; `wants` has what workers need that hand requests over.
    pub fn new(
        board: &'a Board,
        pages: &'a mut Pages,
        links: Option<&'a mut Edges>,
        scale: Option<Scale>,
        workers: Range<usize>,
        hands: &[Vec<Lane>],
        wants: &[Option<Wants>],
    ) -> (Loader<'a>, Vec<Feed>) {
        // Sized by the workers of all processes, which share the memory.
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
                took: [0; 2],
            });
            queues.push(Queue {
                cursors: cursors.collect(),
                heads,
                full: Some(sender),
                last: -1,
                awaited: HashMap::new(),
                handed: Handed::default(),
                wants: wants.get(worker).cloned().flatten(),
                lanes: hand.iter().map(|lane| lane.lane).collect(),
            });
            feeds.push(Feed { worker, full, used: give_back.clone(), ring });
            for _ in 0..ring {
                // The channel has room for all batches there are.
                let _ = give_back.send((worker, Box::new(Batch::new())));
            }
        }
        let open = queues.len();
        (Loader { board, pages, links, scale, first: workers.start, queues, used, open }, feeds)
    }

    /// Fills all batches once, before the start of the replay.
    ///
    /// # Errors
    /// When the ops are damaged.
    pub fn prepare(&mut self) -> Result<()> {
        while let (true, Ok((worker, batch))) = (self.open > 0, self.used.try_recv()) {
            self.fill(worker, batch)?;
        }
        Ok(())
    }

    /// Refills returned batches until every worker has been given all its ops.
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

    /// Fills a batch with the next ops of a worker, by op_id over its lanes, and sends it.
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
            let Cursor { row, end, edges, before, took: [took, timed] } = &mut queue.cursors[at];
            let (last, awaited) = (&mut queue.last, &mut queue.awaited);
            let handed = &mut queue.handed;
            let (wants, lane) = (queue.wants.as_ref(), queue.lanes[at]);
            let (links, scale) = (&mut self.links, &self.scale);
            let first = batch.ops.len();
            let (next, seen) =
                self.pages.fill(*row..*end, limit, &mut batch, |batch, Row { fact, ts, think, compute, timer, asks }| {
                    // In resource and strict order others would wait without end for an op that comes out of order.
                    ensure!(fact.op_id > *last, "invalid workload: op {} comes after op {last}", fact.op_id);
                    *last = fact.op_id;
                    block.push(&fact);
                    let waits = batch.waits.len();
                    // What a thread writes that waited until another one had synced the file, and then began at once.
                    let joins = batch.ops.last().is_some_and(|op| op.group != 0 && op.op.class() == Class::Writes);
                    if let Some(links) = links {
                        links.of(fact.op_id, edges, |after, other, delay| {
                            let known = awaited.entry(other).or_insert(-1);
                            if joins && delay <= AT_ONCE {
                                if other as usize != worker && after > *known {
                                    batch.waits.push(Wait { after, worker: other, delay: 0, early: true });
                                }
                                return Ok(());
                            }
                            let delay = scale.as_ref().filter(|_| delay != 0).map_or(Ok(0), |scale| scale.took(delay))?;
                            let news = (other as usize != worker || wants.is_some()) && after > *known;
                            if news || delay > 0 {
                                *known = after.max(*known);
                                batch.waits.push(Wait { after, worker: other, delay, early: false });
                            }
                            Ok(())
                        })?;
                    }
                    let first = waits;
                    let waits = batch.waits.len() - waits;
                    let op = batch.ops.last_mut().context("the op is there")?;
                    op.waits = u16::try_from(waits).context("an op waits for more workers than there are")?;
                    op.lane = at as u32;
                    let position = (batch.ops.len() - 1) as u16;
                    let mut under_way = false;
                    if let (Some(asks), Some(wants)) = (asks, wants) {
                        let ring =
                            asks.ring.map(|(interface, ring)| (interface, wants.rings.get(&(lane, ring)).copied().unwrap_or(0)));
                        under_way = ring.is_some_and(|(_, ring)| handed.next(ring) > asks.reaped);
                        let Asks { reaped, settled, more, .. } = asks;
                        batch.asks.push(Ask { at: position, ring, reaped, settled, more });
                    }
                    let op = batch.ops.last_mut().context("the op is there")?;
                    if let Some(scale) = scale {
                        // What is handed over while others are under way follows when the program had taken their results: how long
                        // that took is the device's.
                        op.due = match scale.pace {
                            Pace::Think if under_way => UNKNOWN,
                            Pace::App => {
                                let own = scale.own(think.filter(|_| !under_way), compute)?;
                                batch.waits[first..].iter_mut().for_each(|wait| wait.delay = own.stretched(wait.delay));
                                batch.computes.push(own.compute);
                                batch.timers.push(timer.map_or(Ok(UNKNOWN), |timer| scale.took(timer))?);
                                own.due
                            }
                            _ => scale.due(ts, *before),
                        };
                        match scale.pace {
                            Pace::Think => scale.sum(took, scale.gap(ts, *before))?,
                            Pace::App => {
                                scale.sum(took, think.or(compute).unwrap_or(0).min(scale.span))?;
                                scale.sum(timed, timer.unwrap_or(0))?;
                            }
                            Pace::Asap | Pace::Realtime => {}
                        }
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
        // A worker whose channel is closed has failed, and its thread reports why.
        let gone = full.send(batch).is_err();
        if last || gone {
            queue.full = None;
            self.open -= 1;
        }
        Ok(())
    }
}
