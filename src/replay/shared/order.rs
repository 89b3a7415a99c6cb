//! How workers wait for ops of other workers.
//!
//! Every worker has a [`Counter`] in memory that all processes share. In resource order an op waits until the counters of
//! some other workers are past some ops; in strict order a [`Turn`] goes from each op to the next. A worker that need not
//! wait makes no system call and writes nothing; one that moves a counter on which nobody sleeps makes none either.

use super::{futex, ticks};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::*};

/// Value of a counter that is past every op: its worker is done or has died.
const OVER: i64 = i64::MAX;

/// How far a worker is in its ops, and what it sleeps for. On a cache line of its own, which only its worker writes while
/// nobody sleeps.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Counter {
    /// Every op of the worker with an op_id below this one is finished.
    next: AtomicI64,
    /// The lowest op_id of this worker that a sleeping worker waits for; [`OVER`] when nobody sleeps.
    wanted: AtomicI64,
    /// The futex on which others sleep that wait for this worker: incremented whenever they are to look again.
    bell: AtomicU32,
    /// While this worker sleeps: number of the worker it waits for, or [`TURN`].
    of: AtomicU32,
    /// While this worker sleeps: the op that it waits for.
    after: AtomicI64,
    /// While this worker sleeps: the op that it wants to issue, plus 1; 0 while it is awake.
    asleep: AtomicI64,
}

impl Counter {
    /// Initialises zeroed memory as a counter, before any worker starts.
    pub fn reset(&self) {
        self.next.store(0, SeqCst);
        self.wanted.store(OVER, SeqCst);
    }

    /// Whether this op of the worker is finished.
    #[inline]
    pub fn passed(&self, op_id: i64) -> bool {
        self.next.load(Acquire) > op_id
    }

    /// How far the worker is: every op of it with an op_id below this is finished; `i64::MAX` when it is over.
    pub fn next(&self) -> i64 {
        self.next.load(Acquire)
    }

    /// Publishes that every op of the worker below `next` is finished, and wakes those who wait for one of them.
    #[inline]
    pub fn advance(&self, next: i64) {
        // Store first, look for sleepers then; they announce themselves first and look at `next` then.
        self.next.store(next, SeqCst);
        if next > self.wanted.load(SeqCst) {
            self.wake();
        }
    }

    /// Marks the worker as done or dead, so that nobody waits for it any more.
    pub fn end(&self) {
        self.advance(OVER);
        self.wake();
    }

    #[cold]
    fn wake(&self) {
        // Whoever announces itself from here on reads the bell after it rang, or is woken and announces itself again.
        self.wanted.store(OVER, SeqCst);
        self.bell.fetch_add(1, SeqCst);
        futex::wake(&self.bell);
    }

    /// Spins up to `spins` times until the op is finished; false if it is not by then.
    fn soon(&self, op_id: i64, spins: u32) -> bool {
        (0..spins).any(|_| {
            std::hint::spin_loop();
            self.passed(op_id)
        })
    }

    /// Sleeps until this op of the worker is finished.
    #[cold]
    fn wait(&self, op_id: i64) {
        loop {
            let bell = self.bell.load(SeqCst);
            self.wanted.fetch_min(op_id, SeqCst);
            if self.next.load(SeqCst) > op_id {
                return;
            }
            futex::wait(&self.bell, bell, None);
        }
    }

    /// Notes, for the watchdog, that this counter's own worker sleeps before `op_id` because of `wait`.
    fn sleeps(&self, op_id: i64, wait: Wait) {
        self.after.store(wait.after, Relaxed);
        self.of.store(wait.worker, Relaxed);
        self.asleep.store(op_id.wrapping_add(1), Release);
    }

    /// Notes that this counter's own worker is awake.
    fn wakes(&self) {
        self.asleep.store(0, Release);
    }

    /// The op before which this counter's worker sleeps, and the op it waits for; `None` while it is awake.
    pub fn asleep(&self) -> Option<(i64, Wait)> {
        let asleep = self.asleep.load(Acquire);
        let wait = Wait { after: self.after.load(Acquire), worker: self.of.load(Acquire), delay: 0, early: false };
        // It may have turned over in the meantime.
        (asleep != 0 && self.asleep.load(Acquire) == asleep).then(|| (asleep.wrapping_sub(1), wait))
    }

    /// Whether its worker issues no more ops: it is done or has died.
    pub fn over(&self) -> bool {
        self.next.load(SeqCst) == OVER
    }
}

/// One reason for an op to wait: an op of another worker that must be finished first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The op that must be finished first.
    pub after: i64,
    /// Number of the worker that issues that op, or [`TURN`] in strict order.
    pub worker: u32,
    /// How long after the end of that op this one is to begin, ns; 0 where only the order counts.
    pub delay: i64,
    /// May it begin while that op is under way, if that is a sync of a file whose syncs are regrouped?
    pub early: bool,
}

/// How a worker waits before an op and tells others after it; one implementation for each [`crate::replay::Order`].
pub trait Order {
    /// Whether the op may be issued now. If so, later readings of the clock are ordered after what proved it.
    fn ready(&self, op_id: i64, waits: &[Wait]) -> bool;
    /// Waits until the op may be issued.
    fn wait(&self, op_id: i64, waits: &[Wait]);
    /// Publishes that the op is finished, whatever its outcome.
    fn pass(&self, op_id: i64);
    /// Publishes that the worker issues no more ops.
    fn end(&self);
}

/// No op waits: for order `thread`, and for a single worker.
#[derive(Debug)]
pub struct Free;

impl Order for Free {
    #[inline]
    fn ready(&self, _op_id: i64, _waits: &[Wait]) -> bool {
        true
    }

    fn wait(&self, _op_id: i64, _waits: &[Wait]) {}

    #[inline]
    fn pass(&self, _op_id: i64) {}

    fn end(&self) {}
}

/// Resource order for one worker: each op waits for the ops that its edges name.
#[derive(Debug)]
pub struct Resource<'a> {
    /// Counters of all workers, by number.
    pub counters: &'a [&'a Counter],
    /// Number of this worker.
    pub worker: usize,
    /// How often to look again before sleeping.
    pub spins: u32,
}

impl Order for Resource<'_> {
    #[inline]
    fn ready(&self, _op_id: i64, waits: &[Wait]) -> bool {
        let passed = waits.iter().all(|wait| self.counters[wait.worker as usize].passed(wait.after));
        if !waits.is_empty() {
            ticks::fence();
        }
        passed
    }

    fn wait(&self, op_id: i64, waits: &[Wait]) {
        for wait in waits {
            let other = self.counters[wait.worker as usize];
            if !other.soon(wait.after, self.spins) {
                self.counters[self.worker].sleeps(op_id, *wait);
                other.wait(wait.after);
                self.counters[self.worker].wakes();
            }
        }
    }

    #[inline]
    fn pass(&self, op_id: i64) {
        self.counters[self.worker].advance(op_id + 1);
    }

    fn end(&self) {
        self.counters[self.worker].end();
    }
}

/// Resource order for one worker where syncs are regrouped: a write of such a file does not wait for the end of a sync that has been
/// reached, which it would have been part of on a slower device.
#[derive(Debug)]
pub struct Regrouped<'a> {
    /// The usual order.
    pub resource: Resource<'a>,
    /// For all workers, by number, how far they are if the sync that they have reached counts as finished.
    pub reached: &'a [&'a Counter],
}

impl Regrouped<'_> {
    fn counter(&self, wait: &Wait) -> &Counter {
        let all = if wait.early { self.reached } else { self.resource.counters };
        all[wait.worker as usize]
    }
}

impl Order for Regrouped<'_> {
    #[inline]
    fn ready(&self, _op_id: i64, waits: &[Wait]) -> bool {
        let passed = waits.iter().all(|wait| self.counter(wait).passed(wait.after));
        if !waits.is_empty() {
            ticks::fence();
        }
        passed
    }

    fn wait(&self, op_id: i64, waits: &[Wait]) {
        let own = self.resource.counters[self.resource.worker];
        for wait in waits {
            let other = self.counter(wait);
            if !other.soon(wait.after, self.resource.spins) {
                own.sleeps(op_id, *wait);
                other.wait(wait.after);
                own.wakes();
            }
        }
    }

    #[inline]
    fn pass(&self, op_id: i64) {
        // With requests in flight less has passed than was reached.
        let reached = self.reached[self.resource.worker];
        reached.advance((op_id + 1).max(reached.next()));
        self.resource.pass(op_id);
    }

    fn end(&self) {
        self.reached[self.resource.worker].end();
        self.resource.end();
    }
}

/// In place of a worker's number in a [`Wait`]: the op waits for its turn in strict order, whichever worker has the op
/// before.
pub const TURN: u32 = u32::MAX;

/// Number of waiting places (futexes) of a [`Turn`].
const PLACES: usize = 256;

/// A waiting place (futex) on its own cache line: 1 while a worker may sleep there.
#[repr(C, align(64))]
#[derive(Debug)]
struct Place(AtomicU32);

/// The op whose turn it is in strict order. Zeroed memory is a turn that begins with op 0.
///
/// Waiting places are chosen by op_id, so that the worker that finishes an op wakes the one that has the next, and not
/// everybody.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Turn {
    op_id: AtomicI64,
    /// Number of workers that died before they were done: the turns of their ops never pass.
    lost: AtomicU32,
    places: [Place; PLACES],
}

impl Turn {
    fn place(&self, op_id: i64) -> &AtomicU32 {
        &self.places[op_id as usize % PLACES].0
    }

    /// Whether it is not this op's turn, and no worker has died: then its turn can still come.
    pub fn waits(&self, op_id: i64) -> bool {
        self.op_id.load(SeqCst) != op_id && self.lost.load(SeqCst) == 0
    }

    /// Notes that a worker has died, and wakes all: from now on workers go by the counters.
    pub fn lose(&self) {
        self.lost.fetch_add(1, SeqCst);
        for place in &self.places {
            place.0.store(0, SeqCst);
            futex::wake(&place.0);
        }
    }
}

/// Strict order for one worker: each op waits for the op with the op_id before.
#[derive(Debug)]
pub struct Strict<'a> {
    /// The op whose turn it is, shared by all workers.
    pub turn: &'a Turn,
    /// Counters of all workers, by number.
    pub counters: &'a [&'a Counter],
    /// Number of this worker.
    pub worker: usize,
    /// How often to look again before sleeping.
    pub spins: u32,
}

impl Strict<'_> {
    /// Whether every other worker has finished its ops below this one; a dead worker's counter is past all.
    fn first(&self, op_id: i64) -> bool {
        let others = self.counters.iter().enumerate().filter(|(worker, _)| *worker != self.worker);
        others.into_iter().all(|(_, counter)| counter.next.load(SeqCst) >= op_id)
    }

    /// Sleeps until the op may be issued; after the loss of a worker looks at the counters every 1 ms.
    #[cold]
    fn sleep(&self, op_id: i64) {
        let place = self.turn.place(op_id);
        loop {
            // Announce first, look then: `pass` stores the turn first and looks at the place then, so that one of the
            // two always sees the other.
            place.store(1, SeqCst);
            if self.turn.op_id.load(SeqCst) == op_id {
                return;
            }
            let lost = self.turn.lost.load(SeqCst) > 0;
            if lost && self.first(op_id) {
                return;
            }
            futex::wait(place, 1, lost.then_some(1_000_000));
        }
    }
}

impl Order for Strict<'_> {
    #[inline]
    fn ready(&self, op_id: i64, _waits: &[Wait]) -> bool {
        let ours = self.turn.op_id.load(Acquire) == op_id;
        ticks::fence();
        ours
    }

    fn wait(&self, op_id: i64, waits: &[Wait]) {
        // When a worker is lost, the others must know that we have come this far.
        self.counters[self.worker].next.store(op_id, SeqCst);
        for _ in 0..self.spins {
            if self.ready(op_id, waits) {
                return;
            }
            std::hint::spin_loop();
        }
        self.counters[self.worker].sleeps(op_id, Wait { after: op_id - 1, worker: TURN, delay: 0, early: false });
        self.sleep(op_id);
        self.counters[self.worker].wakes();
    }

    #[inline]
    fn pass(&self, op_id: i64) {
        let next = op_id + 1;
        // Not backwards: without a lost worker the turn is ours alone, with one nobody waits for it any more.
        self.counters[self.worker].next.store(next, Release);
        self.turn.op_id.fetch_max(next, SeqCst);
        let place = self.turn.place(next);
        if place.load(SeqCst) != 0 {
            place.store(0, SeqCst);
            futex::wake(place);
        }
    }

    fn end(&self) {
        self.counters[self.worker].end();
    }
}

/// How often a waiting worker looks again before it sleeps, for this many workers. Spinning helps only while every worker has
/// a processor of its own; otherwise it takes the processor from the op it waits for.
pub fn spins(workers: usize) -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
    if workers <= processors { 500 } else { 10 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn counters(workers: usize) -> Vec<Counter> {
        let fresh = || Counter { next: AtomicI64::new(0), wanted: AtomicI64::new(OVER), ..Counter::default() };
        (0..workers).map(|_| fresh()).collect()
    }

    fn turn() -> Turn {
        Turn { op_id: AtomicI64::new(0), lost: AtomicU32::new(0), places: std::array::from_fn(|_| Place(AtomicU32::new(0))) }
    }

    /// Runs 4000 ops, each waiting for the one before; a worker for which `gone` is true ends at op 1000.
    fn chain(workers: usize, gone: Option<usize>, strict: bool) -> Vec<i64> {
        let (counters, turn, seen) = (counters(workers), turn(), Mutex::new(Vec::new()));
        let owner = |op: i64| (op as usize * 7919 / 3) % workers;
        std::thread::scope(|scope| {
            for worker in 0..workers {
                let (counters, turn, seen) = (&counters, &turn, &seen);
                scope.spawn(move || {
                    let counters: Vec<&Counter> = counters.iter().collect();
                    let strict_order = Strict { turn, counters: &counters, worker, spins: 10 };
                    let resource = Resource { counters: &counters, worker, spins: 10 };
                    let order: &dyn Order = if strict { &strict_order } else { &resource };
                    for op in (0..4000).filter(|op| owner(*op) == worker) {
                        if gone == Some(worker) && op > 1000 {
                            turn.lose();
                            break;
                        }
                        let before = Wait { after: op - 1, worker: owner((op - 1).max(0)) as u32, delay: 0, early: false };
                        let waits = if op > 0 && owner(op - 1) != worker { vec![before] } else { vec![] };
                        if !order.ready(op, &waits) {
                            order.wait(op, &waits);
                        }
                        seen.lock().unwrap().push(op);
                        order.pass(op);
                    }
                    order.end();
                });
            }
        });
        seen.into_inner().unwrap()
    }

    #[test]
    fn ops_come_in_order_at_any_number_of_workers() {
        for (workers, strict) in [(1, true), (4, true), (16, true), (2, false), (4, false), (16, false)] {
            assert!(chain(workers, None, strict).into_iter().eq(0..4000), "{workers} workers, strict: {strict}");
        }
    }

    #[test]
    fn a_write_that_may_does_not_wait_for_a_sync_that_was_reached() {
        let (counters, reached) = (counters(2), counters(2));
        let (counters, reached): (Vec<&Counter>, Vec<&Counter>) = (counters.iter().collect(), reached.iter().collect());
        let order = Regrouped { resource: Resource { counters: &counters, worker: 1, spins: 10 }, reached: &reached };
        let ready = || [true, false].map(|early| order.ready(4, &[Wait { after: 3, worker: 0, delay: 0, early }]));
        assert_eq!(ready(), [false, false]);
        reached[0].advance(4);
        assert_eq!(ready(), [true, false]);
        counters[0].advance(4);
        assert_eq!(ready(), [true, true]);
        // What was reached does not go back where less has passed.
        reached[1].advance(9);
        order.pass(5);
        assert_eq!([counters[1].next(), reached[1].next()], [6, 9]);
        order.end();
        assert!(counters[1].over() && reached[1].over());
    }

    #[test]
    fn a_worker_that_is_gone_lets_nobody_hang() {
        for strict in [true, false] {
            let seen = chain(5, Some(2), strict);
            assert!((3000..4000).contains(&seen.len()), "{}", seen.len());
            // In strict order the remaining ops are still issued one after the other.
            assert!(!strict || seen.is_sorted());
        }
    }
}
