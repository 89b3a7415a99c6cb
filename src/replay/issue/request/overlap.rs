//! Issues the ops of lanes that hand requests over: a request is waited for only where an op asks for it.

use super::flight::Flight;
use super::port::Code;
use crate::replay::Pace;
use crate::replay::issue::engine::Issue;
use crate::replay::issue::pace::{Pacer, Steps};
use crate::replay::issue::worker::Worker;
use crate::replay::shared::board::Block;
use crate::replay::shared::call::{Ask, Batch};
use crate::replay::shared::clock::now;
use crate::replay::shared::order::{Order, Wait};
use crate::replay::shared::record::UNKNOWN;
use crate::replay::shared::ticks;
use std::sync::atomic::Ordering::Relaxed;

impl<'a, E: Issue, O: Order> Worker<'a, E, O> {
    /// Issues the ops of a batch; requests may be in flight at its end.
    pub(in crate::replay::issue) fn overlap(&mut self, batch: &Batch, flight: &mut Flight<'a>, pacer: &mut Option<Pacer>) {
        let block = flight.open(self.board, self.feed.worker, batch.ops.len());
        let (mut waits, mut asks) = (0, 0);
        for at in 0..batch.ops.len() {
            let op = &batch.ops[at];
            let ask = batch.asks.get(asks).filter(|ask| usize::from(ask.at) == at).copied();
            asks += usize::from(ask.is_some());
            let first = waits;
            waits += usize::from(op.waits);
            let causes = &batch.waits[first..waits];
            let steps = self.due(batch, at, causes, block, flight, pacer);
            self.reap(flight, pacer);
            self.turns(flight, pacer, op.op_id, causes);
            if let Some(ask) = ask {
                while !flight.allows(op.lane, &ask) {
                    self.wait(flight, pacer, None);
                }
            }
            if let Some(steps) = steps {
                self.after_causes(steps, causes, (block, at), flight, pacer);
            }
            if let Some(ask) = ask.filter(|ask| self.handed(batch, at, ask, block, flight, pacer)) {
                if !ask.more {
                    flight.flush(|| self.now());
                }
                continue;
            }
            flight.flush(|| self.now());
            let passed = if flight.flying() == 0 { op.op_id } else { flight.passed() };
            let end = self.call::<true>(batch, at, block, passed);
            flight.stamped(op.op_id);
            if let Some(Ask { ring: Some((_, ring)), .. }) = ask {
                flight.called(op.lane, ring);
            }
            if let Some(pacer) = pacer {
                pacer.ended(op.lane, end);
            }
        }
        flight.flush(|| self.now());
        self.reap(flight, pacer);
        self.written(flight);
    }

    /// Hands the result blocks that are finished to the supervisor.
    fn written(&self, flight: &mut Flight<'a>) {
        for _ in 0..flight.finished() {
            self.board.written(self.feed.worker);
        }
    }

    /// Queues an op as a request; false when it is to be made as a call.
    fn handed(
        &mut self,
        batch: &Batch,
        at: usize,
        ask: &Ask,
        block: &'a Block,
        flight: &mut Flight<'a>,
        pacer: &mut Option<Pacer>,
    ) -> bool {
        let Some((interface, ring)) = ask.ring.filter(|(interface, _)| flight.takes(*interface)) else { return false };
        let call = batch.call(at);
        if Code::of(call.op).is_none() {
            return false;
        }
        while !flight.room(interface) && flight.flying() > 0 {
            self.wait(flight, pacer, None);
        }
        if !flight.room(interface) {
            return false;
        }
        // An op that is not issued is stamped where calls are made.
        if self.engine.prepare(call).is_some() {
            return false;
        }
        let Some(request) = self.engine.request(call) else { return false };
        flight.push((block, at), &call, (interface, ring), ask.reaped, request);
        if let Some(pacer) = pacer {
            pacer.ended(call.lane, self.now());
        }
        true
    }

    /// Waits for ops of other workers, and of other lanes of this one; takes results meanwhile, since others may wait for them.
    fn turns(&mut self, flight: &mut Flight<'a>, pacer: &mut Option<Pacer>, op_id: i64, waits: &[Wait]) {
        if self.order.ready(op_id, waits) {
            return;
        }
        let (since, remote) = (now(), self.is_remote(waits));
        while flight.flying() > 0 && !self.order.ready(op_id, waits) {
            self.wait(flight, pacer, Some(Flight::glance()));
        }
        if flight.flying() == 0 {
            self.order.wait(op_id, waits);
        }
        ticks::fence();
        self.waits(since, remote);
    }

    /// Waits until an op is due by the time of its lane. With pace app it says what is left to be done when its causes have ended.
    fn due(
        &mut self,
        batch: &Batch,
        at: usize,
        causes: &[Wait],
        block: &Block,
        flight: &mut Flight<'a>,
        pacer: &mut Option<Pacer>,
    ) -> Option<Steps> {
        let op = &batch.ops[at];
        let paced = pacer.as_mut()?;
        if paced.pace == Pace::App {
            let own = paced.own(op.due, batch.timers[at], op.lane);
            let steps = Pacer::steps(own, batch.computes[at], causes.iter().map(|wait| wait.delay));
            self.until(flight, pacer, steps.begin);
            pacer.as_mut()?.go_on(steps.begin);
            self.computes(steps.early, flight, pacer);
            return Some(steps);
        }
        let moment = paced.since_start(op.due, op.lane);
        self.until(flight, pacer, moment);
        let scheduled = pacer.as_mut()?.wait(op.due, op.lane);
        if scheduled != UNKNOWN {
            block.schedule(at, scheduled);
        }
        None
    }

    /// With pace app: waits until an op is due by its causes, too, which have ended.
    fn after_causes(
        &mut self,
        steps: Steps,
        causes: &[Wait],
        (block, at): (&Block, usize),
        flight: &mut Flight<'a>,
        pacer: &mut Option<Pacer>,
    ) {
        let due = steps.due(self.caused_at(causes));
        if due != UNKNOWN {
            let moment = due.saturating_sub(steps.late);
            self.until(flight, pacer, moment);
            if let Some(pacer) = pacer {
                pacer.resume(steps, due);
            }
        }
        self.computes(steps.late, flight, pacer);
        if due != UNKNOWN {
            if let Some(pacer) = pacer {
                pacer.rest(due);
            }
            block.schedule(at, due);
        }
    }

    /// Computes, and takes results meanwhile: others may wait for them.
    fn computes(&mut self, ns: i64, flight: &mut Flight<'a>, pacer: &mut Option<Pacer>) {
        let mut left = ns;
        while left > 0 {
            let part = if flight.flying() > 0 { left.min(Flight::glance()) } else { left };
            self.burner.compute(part);
            left -= part;
            self.reap(flight, pacer);
        }
    }

    /// Takes results until a moment, ns since the start, is near.
    fn until(&mut self, flight: &mut Flight<'a>, pacer: &mut Option<Pacer>, moment: i64) {
        /// How long before its time an op is nearly due, ns: no wait ends later than this.
        const NEARLY: i64 = 100_000;
        if moment == UNKNOWN {
            return;
        }
        let moment = self.start.saturating_add(moment);
        while flight.flying() > 0 {
            let left = moment.saturating_sub(now());
            if left <= NEARLY {
                break;
            }
            self.wait(flight, pacer, Some(left - NEARLY));
        }
    }

    /// Waits for a result, up to `limit` ns, and takes what there is.
    pub(in crate::replay::issue) fn wait(&mut self, flight: &mut Flight<'a>, pacer: &mut Option<Pacer>, limit: Option<i64>) {
        flight.wait(limit, || self.now());
        self.reap(flight, pacer);
    }

    /// Takes the results that are there, and tells others.
    fn reap(&mut self, flight: &mut Flight<'a>, pacer: &mut Option<Pacer>) {
        let (mut end, before) = (None, flight.passed());
        while let Some((lane, op)) = flight.reap(&mut end, || self.now()) {
            let Some(end) = end else { continue };
            self.board.slot(self.feed.worker).ends.note(op, end);
            if let Some(pacer) = pacer.as_mut() {
                pacer.ended(lane, end);
            }
        }
        let passed = flight.passed();
        if passed > before {
            self.order.pass(passed);
        }
        if end.is_some() {
            self.written(flight);
        }
    }

    /// Waits until nothing is in flight.
    pub(in crate::replay::issue) fn land(&mut self, flight: &mut Flight<'a>) {
        while flight.flying() > 0 {
            self.wait(flight, &mut None, None);
        }
        self.written(flight);
        let (requests, [captured, replayed]) = flight.depths();
        let spent = &self.board.slot(self.feed.worker).spent;
        spent.requests.store(requests, Relaxed);
        spent.depth_captured.store(captured, Relaxed);
        spent.depth_replayed.store(replayed, Relaxed);
    }

    /// ns since the start of the replay.
    fn now(&self) -> i64 {
        self.clock.now() - self.start
    }
}
