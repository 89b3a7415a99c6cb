//! A worker: waits until its next op is due and may be issued, issues it, and writes what happened to the board (shared
//! memory). Between two calls nothing is allocated, hashed, locked or formatted.

use super::burn::Burner;
use super::engine::{Issue, Refusal};
use super::pace::Pacer;
use super::request::flight::Flight;
use crate::replay::Pace;
use crate::replay::shared::board::{Block, Board};
use crate::replay::shared::call::{Batch, Feed};
use crate::replay::shared::clock::{clock, now};
use crate::replay::shared::order::{Order, Wait};
use crate::replay::shared::record::UNKNOWN;
use crate::replay::shared::ticks::{self, Clock};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::TryRecvError;

/// A replay thread, which issues the ops of one or more lanes (captured threads) with an engine `E` in an order `O`.
pub struct Worker<'a, E, O> {
    pub(super) board: &'a Board,
    pub(super) feed: Feed,
    pub(super) engine: E,
    pub(super) order: O,
    pacer: Option<Pacer>,
    pub(super) burner: Burner<'a>,
    pub(super) clock: Clock,
    /// The requests in flight, of a worker that hands over any.
    flight: Option<Flight<'a>>,
    /// Used batches that were not returned to the loader yet.
    #[expect(clippy::vec_box, reason = "the boxes themselves go round between loader and worker")]
    kept: Vec<Box<Batch>>,
    pub(super) start: i64,
    pub(super) waited: i64,
    /// Of that, while an op of another machine was not finished.
    pub(super) remote: i64,
    starved: i64,
}

impl<'a, E: Issue, O: Order> Worker<'a, E, O> {
    /// A worker that gets its ops from `feed` and times them by `clock`; without a pacer they are issued as soon as the
    /// order allows.
    pub fn new(board: &'a Board, feed: Feed, engine: E, order: O, pacer: Option<Pacer>, clock: Clock) -> Worker<'a, E, O> {
        let kept = Vec::with_capacity(feed.ring);
        let burner = Burner::new(&board.head().burning, None);
        Worker {
            board,
            feed,
            engine,
            order,
            pacer,
            burner,
            clock,
            flight: None,
            kept,
            start: 0,
            waited: 0,
            remote: 0,
            starved: 0,
        }
    }

    /// The same worker, which hands requests over.
    pub fn with(self, flight: Option<Flight<'a>>) -> Worker<'a, E, O> {
        Worker { flight, ..self }
    }

    /// The same worker, of which no more than `most` compute at a time; `None` for any number.
    pub fn computing(self, most: Option<i32>) -> Worker<'a, E, O> {
        Worker { burner: Burner::new(&self.board.head().burning, most), ..self }
    }

    /// Issues every op of the worker; `start` is the start of the replay on CLOCK_MONOTONIC, ns.
    pub fn run(&mut self, start: i64) {
        self.start = start;
        let cpu = clock(libc::CLOCK_THREAD_CPUTIME_ID);
        let worker = self.feed.worker;
        if let Some(pacer) = &mut self.pacer {
            pacer.start(start);
        }
        while let Some(batch) = self.next() {
            match (self.flight.take(), self.pacer.take()) {
                (None, pacer) => {
                    let block = self.board.to_write(worker);
                    match pacer {
                        None => self.issue(&batch, block),
                        Some(mut pacer) => {
                            match pacer.pace {
                                Pace::App => self.caused(&batch, block, &mut pacer),
                                _ => self.paced(&batch, block, &mut pacer),
                            }
                            self.pacer = Some(pacer);
                        }
                    }
                    self.board.written(worker);
                }
                (Some(mut flight), mut pacer) => {
                    self.overlap(&batch, &mut flight, &mut pacer);
                    (self.flight, self.pacer) = (Some(flight), pacer);
                }
            }
            self.spent(clock(libc::CLOCK_THREAD_CPUTIME_ID) - cpu);
            self.kept.push(batch);
            if self.kept.len() >= self.feed.ring / 2 {
                self.give_back();
            }
        }
        if let Some(mut flight) = self.flight.take() {
            self.land(&mut flight);
        }
    }

    /// Returns the used batches to the loader, which may sleep for them.
    fn give_back(&mut self) {
        for batch in self.kept.drain(..) {
            // The loader ends when no worker needs more batches.
            let _ = self.feed.used.send((self.feed.worker, batch));
        }
    }

    /// Publishes that the worker issues no more ops, done or failed, so that nobody waits for it.
    pub fn end(&self) {
        self.order.end();
    }

    /// The next batch; waits for the loader when none is ready. `None` after the last.
    fn next(&mut self) -> Option<Box<Batch>> {
        match self.feed.full.try_recv() {
            Ok(batch) => Some(batch),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                self.give_back();
                let since = now();
                let batch = self.flying().or_else(|| self.feed.full.recv().ok());
                self.starved += now() - since;
                batch
            }
        }
    }

    /// The next batch, if it comes while requests are in flight: their results are taken meanwhile. The loader may wait for that:
    /// a result block is read when all its ops are done.
    fn flying(&mut self) -> Option<Box<Batch>> {
        let mut flight = self.flight.take()?;
        let mut batch = None;
        while batch.is_none() && flight.flying() > 0 {
            self.wait(&mut flight, &mut None, Some(Flight::glance()));
            batch = self.feed.full.try_recv().ok();
        }
        self.flight = Some(flight);
        batch
    }

    /// Publishes on the board where the worker's time went so far, ns.
    fn spent(&self, cpu: i64) {
        let spent = &self.board.slot(self.feed.worker).spent;
        spent.cpu.store(cpu, Relaxed);
        spent.waited.store(self.waited, Relaxed);
        spent.remote.store(self.remote, Relaxed);
        spent.starved.store(self.starved, Relaxed);
        spent.burnt.store(self.burner.done.burnt, Relaxed);
        spent.slept.store(self.burner.done.slept, Relaxed);
    }

    /// Issues the ops of a batch as soon as the order allows.
    fn issue(&mut self, batch: &Batch, block: &Block) {
        let mut waits = 0;
        for at in 0..batch.ops.len() {
            batch.prefetch(at);
            block.prefetch(at);
            self.turn(batch, at, &mut waits);
            self.call::<false>(batch, at, block, batch.ops[at].op_id);
        }
    }

    /// Issues the ops of a batch at their due times: waits for the time first and for the turn second, since waiting for the
    /// turn may end at any moment.
    fn paced(&mut self, batch: &Batch, block: &Block, pacer: &mut Pacer) {
        let mut waits = 0;
        for at in 0..batch.ops.len() {
            let op = &batch.ops[at];
            let scheduled = pacer.wait(op.due, op.lane);
            if scheduled != UNKNOWN {
                block.schedule(at, scheduled);
            }
            self.turn(batch, at, &mut waits);
            let end = self.call::<false>(batch, at, block, op.op_id);
            pacer.ended(op.lane, end);
        }
    }

    /// Issues the ops of a batch as their program would: each after what it waited for, and for as long after that, and after the
    /// op before in its lane, as its thread computed.
    fn caused(&mut self, batch: &Batch, block: &Block, pacer: &mut Pacer) {
        let mut next = 0;
        for at in 0..batch.ops.len() {
            let op = &batch.ops[at];
            let own = pacer.own(op.due, batch.timers[at], op.lane);
            let waits = &batch.waits[next..next + usize::from(op.waits)];
            let steps = Pacer::steps(own, batch.computes[at], waits.iter().map(|wait| wait.delay));
            pacer.go_on(steps.begin);
            self.burner.compute(steps.early);
            self.turn(batch, at, &mut next);
            let due = steps.due(self.caused_at(waits));
            if due != UNKNOWN {
                pacer.resume(steps, due);
            }
            self.burner.compute(steps.late);
            if due != UNKNOWN {
                pacer.rest(due);
                block.schedule(at, due);
            }
            let end = self.call::<true>(batch, at, block, op.op_id);
            pacer.ended(op.lane, end);
        }
    }

    /// When an op is due by its causes, which have ended, ns since the start; [`UNKNOWN`] without any.
    pub(super) fn caused_at(&self, waits: &[Wait]) -> i64 {
        let ends = waits
            .iter()
            .filter(|wait| wait.delay > 0)
            .filter_map(|wait| Some(self.board.slot(wait.worker as usize).ends.of(wait.after)?.saturating_add(wait.delay)));
        ends.max().unwrap_or(UNKNOWN)
    }

    /// Waits until the order allows the op at position `at`; `next` is the index of its first wait in the batch, and is moved
    /// past them.
    #[inline]
    fn turn(&mut self, batch: &Batch, at: usize, next: &mut usize) {
        let op = &batch.ops[at];
        let first = *next;
        *next += usize::from(op.waits);
        let waits = &batch.waits[first..*next];
        if !self.order.ready(op.op_id, waits) {
            let (since, remote) = (now(), self.is_remote(waits));
            self.order.wait(op.op_id, waits);
            ticks::fence();
            self.waits(since, remote);
        }
    }

    /// Whether one of these waits is for an op of another machine that is not finished.
    #[cold]
    pub(super) fn is_remote(&self, waits: &[Wait]) -> bool {
        let ghosts = waits.iter().filter(|wait| wait.worker as usize >= self.board.workers());
        ghosts.into_iter().any(|wait| !self.board.slot(wait.worker as usize).counter.passed(wait.after))
    }

    /// Accounts a wait that began at `since`, for other machines or not.
    pub(super) fn waits(&mut self, since: i64, remote: bool) {
        let took = now() - since;
        self.waited += took;
        self.remote += if remote { took } else { 0 };
    }

    /// Issues one op and writes its times and outcome to the block; returns when it ended, ns since the start. All ops up to
    /// `passed` are finished with it. With `NOTE` others can find out when that was.
    #[inline(always)]
    pub(super) fn call<const NOTE: bool>(&mut self, batch: &Batch, at: usize, block: &Block, passed: i64) -> i64 {
        let call = batch.call(at);
        let refusal = self.engine.prepare(call);
        let begin = self.clock.now();
        let ret = match refusal {
            None => self.engine.issue(call),
            Some(Refusal { ret, .. }) => ret,
        };
        let end = self.clock.now();
        match refusal {
            None => self.engine.settle(call, ret),
            Some(Refusal { note, .. }) => block.note(at, note),
        }
        let (begin, end) = (begin - self.start, end - self.start);
        if NOTE {
            self.board.slot(self.feed.worker).ends.note(call.op_id, end);
        }
        self.order.pass(passed);
        block.stamp(at, begin, end, ret);
        end
    }
}
