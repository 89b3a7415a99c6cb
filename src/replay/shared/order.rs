//! Which ops wait for which.
//!
//! Every worker has a [`Counter`] in memory that all processes share. In resource order an op waits until the counters
//! of some other workers are past some ops; in strict order a [`Turn`] goes from each op to the next. Whoever finds
//! that it may go on has made no system call and written nothing; whoever moves a counter that nobody sleeps on makes
//! none either.

use super::{futex, ticks};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::*};

/// A counter past every op: its worker is done, or gone.
const OVER: i64 = i64::MAX;

/// How far a worker is. On a cache line of its own, where only its worker writes while nobody sleeps.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Counter {
    /// Every op of the worker below this one is finished.
    next: AtomicI64,
    /// The least op that a sleeper waits for.
    wanted: AtomicI64,
    /// What sleepers sleep on: changes whenever they are to look again.
    bell: AtomicU32,
    /// Of what its worker sleeps for: the worker.
    of: AtomicU32,
    /// The op that must be finished.
    after: AtomicI64,
    /// The op before which its worker sleeps, plus 1; 0 while it is awake.
    asleep: AtomicI64,
}

impl Counter {
    /// Makes fresh memory a counter at the very start.
    pub fn reset(&self) {
        self.next.store(0, SeqCst);
        self.wanted.store(OVER, SeqCst);
    }

    /// Is this op of the worker finished?
    #[inline]
    pub fn passed(&self, op_id: i64) -> bool {
        self.next.load(Acquire) > op_id
    }

    /// Says that every op of the worker below `next` is finished.
    #[inline]
    pub fn advance(&self, next: i64) {
        // Store first, look for sleepers then; they announce themselves first and look at `next` then.
        self.next.store(next, SeqCst);
        if next > self.wanted.load(SeqCst) {
            self.wake();
        }
    }

    /// The worker is done or gone: nobody is to wait for it any more.
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

    /// Is the op finished within so many looks?
    fn soon(&self, op_id: i64, spins: u32) -> bool {
        (0..spins).any(|_| {
            std::hint::spin_loop();
            self.passed(op_id)
        })
    }

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

    /// Its worker sleeps before an op: for whoever watches from outside.
    fn sleeps(&self, op_id: i64, wait: Wait) {
        self.after.store(wait.after, Relaxed);
        self.of.store(wait.worker, Relaxed);
        self.asleep.store(op_id.wrapping_add(1), Release);
    }

    fn wakes(&self) {
        self.asleep.store(0, Release);
    }

    /// The op before which its worker sleeps, and what for.
    pub fn asleep(&self) -> Option<(i64, Wait)> {
        let asleep = self.asleep.load(Acquire);
        let wait = Wait { after: self.after.load(Acquire), worker: self.of.load(Acquire) };
        // It may have turned over in the meantime.
        (asleep != 0 && self.asleep.load(Acquire) == asleep).then(|| (asleep.wrapping_sub(1), wait))
    }

    /// Does its worker issue no more ops?
    pub fn over(&self) -> bool {
        self.next.load(SeqCst) == OVER
    }
}

/// One reason to wait: an op of another worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The op that must be finished.
    pub after: i64,
    /// Its worker.
    pub worker: u32,
}

/// What a worker asks before an op and says after it.
pub trait Order {
    /// May the op be issued now? Then the clock is read after what says so.
    fn ready(&self, op_id: i64, waits: &[Wait]) -> bool;
    /// Waits until it may.
    fn wait(&self, op_id: i64, waits: &[Wait]);
    /// It is finished, whatever came of it.
    fn pass(&self, op_id: i64);
    /// The worker issues no more ops.
    fn end(&self);
}

/// Nobody waits: order thread, and a single worker.
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

/// Resource order: each op after those that its edges name.
#[derive(Debug)]
pub struct Resource<'a> {
    /// Those of all workers.
    pub counters: &'a [&'a Counter],
    /// This worker.
    pub worker: usize,
    /// How often to look before sleeping.
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

/// Instead of a worker: the op waits for its turn, whoever has the one before.
pub const TURN: u32 = u32::MAX;

const PLACES: usize = 256;

/// A waiting place on its own cache line: 1 while somebody may sleep there.
#[repr(C, align(64))]
#[derive(Debug)]
struct Place(AtomicU32);

/// Whose turn it is in strict order. Zeroed memory is a turn that begins with op 0.
///
/// Waiting places are chosen by op_id, so that the worker that finishes an op wakes the one that has the next, and not
/// everybody.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Turn {
    op_id: AtomicI64,
    /// Workers that are gone before they were done: their turns never pass.
    lost: AtomicU32,
    places: [Place; PLACES],
}

impl Turn {
    fn place(&self, op_id: i64) -> &AtomicU32 {
        &self.places[op_id as usize % PLACES].0
    }

    /// Is it not the turn of this op, while it can still come?
    pub fn waits(&self, op_id: i64) -> bool {
        self.op_id.load(SeqCst) != op_id && self.lost.load(SeqCst) == 0
    }

    /// A worker is gone: everybody looks at the counters from now on.
    pub fn lose(&self) {
        self.lost.fetch_add(1, SeqCst);
        for place in &self.places {
            place.0.store(0, SeqCst);
            futex::wake(&place.0);
        }
    }
}

/// Strict order: each op after the one with the number before.
#[derive(Debug)]
pub struct Strict<'a> {
    /// Whose turn it is.
    pub turn: &'a Turn,
    /// Those of all workers.
    pub counters: &'a [&'a Counter],
    /// This worker.
    pub worker: usize,
    /// How often to look before sleeping.
    pub spins: u32,
}

impl Strict<'_> {
    /// Has every other worker that is still there finished its ops below this one?
    fn first(&self, op_id: i64) -> bool {
        let others = self.counters.iter().enumerate().filter(|(worker, _)| *worker != self.worker);
        others.into_iter().all(|(_, counter)| counter.next.load(SeqCst) >= op_id)
    }

    /// Sleeps until it may.
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
        self.counters[self.worker].sleeps(op_id, Wait { after: op_id - 1, worker: TURN });
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

/// How often to look before sleeping. Spinning helps only while every worker has a processor of its own; otherwise it
/// takes the processor from the op it waits for.
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

    /// Runs 4000 ops, each waiting for the one before; a worker for which `gone` says so leaves at op 1000.
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
                        let before = Wait { after: op - 1, worker: owner((op - 1).max(0)) as u32 };
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
    fn a_worker_that_is_gone_lets_nobody_hang() {
        for strict in [true, false] {
            let seen = chain(5, Some(2), strict);
            assert!((3000..4000).contains(&seen.len()), "{}", seen.len());
            // In strict order those that are left still go one after the other.
            assert!(!strict || seen.is_sorted());
        }
    }
}
