//! Strict order: an op is issued when every op before it has finished.
//!
//! One counter says whose turn it is. A worker whose turn has not come spins for a moment and then sleeps on a futex
//! that it shares with few others: the waiting places are chosen by op_id, so that the worker that finishes an op wakes
//! the one that has the next, and not everybody.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::SeqCst};

const PLACES: usize = 256;
/// A turn that never comes: everybody stops.
const STOP: i64 = i64::MAX;

/// A waiting place on its own cache line: 1 while somebody may sleep there.
#[repr(align(64))]
#[derive(Debug, Default)]
struct Place(AtomicU32);

/// Whose turn it is.
#[derive(Debug)]
pub struct Strict {
    turn: AtomicI64,
    places: Vec<Place>,
    spins: u32,
}

impl Strict {
    /// An order that begins with op 0. Spinning helps only while every worker has a processor of its own, beside those of
    /// the loader, the recorder and the supervisor; otherwise it takes the processor from the op it waits for.
    pub fn new(workers: usize) -> Strict {
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
        let spins = if workers + 2 < processors { 500 } else { 10 };
        Strict { turn: AtomicI64::new(0), places: (0..PLACES).map(|_| Place::default()).collect(), spins }
    }

    fn place(&self, op_id: i64) -> &AtomicU32 {
        &self.places[op_id as usize % PLACES].0
    }

    /// Waits for the turn of this op; false when the replay was stopped.
    #[inline]
    pub fn wait(&self, op_id: i64) -> bool {
        if self.turn.load(SeqCst) == op_id {
            return true;
        }
        self.wait_long(op_id)
    }

    #[cold]
    fn wait_long(&self, op_id: i64) -> bool {
        for _ in 0..self.spins {
            std::hint::spin_loop();
            if self.turn.load(SeqCst) == op_id {
                return true;
            }
        }
        let place = self.place(op_id);
        loop {
            // Announce first, look then: `pass` stores the turn first and looks at the place then, so that one of the
            // two always sees the other.
            place.store(1, SeqCst);
            match self.turn.load(SeqCst) {
                turn if turn == op_id => return true,
                STOP => return false,
                _ => futex_wait(place, 1),
            }
        }
    }

    /// Gives the turn to the op after this one.
    #[inline]
    pub fn pass(&self, op_id: i64) {
        let next = op_id + 1;
        // A stopped replay stays stopped.
        if self.turn.compare_exchange(op_id, next, SeqCst, SeqCst).is_ok() {
            let place = self.place(next);
            if place.load(SeqCst) != 0 {
                place.store(0, SeqCst);
                futex_wake(place);
            }
        }
    }

    /// Sends every worker home: one of them, or the loader, cannot go on.
    pub fn stop(&self) {
        self.turn.store(STOP, SeqCst);
        for place in &self.places {
            place.0.store(0, SeqCst);
            futex_wake(&place.0);
        }
    }
}

fn futex_wait(place: &AtomicU32, value: u32) {
    let null = std::ptr::null::<libc::timespec>();
    // SAFETY: the address is that of a live atomic; a null timeout means none. Every return makes the caller look again.
    unsafe { libc::syscall(libc::SYS_futex, place.as_ptr(), libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, value, null) };
}

fn futex_wake(place: &AtomicU32) {
    // SAFETY: the address is that of a live atomic.
    unsafe { libc::syscall(libc::SYS_futex, place.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, i32::MAX) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn ops_come_in_order_at_any_number_of_workers() {
        for workers in [1, 4, 16] {
            let (order, seen) = (Strict::new(workers), Mutex::new(Vec::new()));
            std::thread::scope(|scope| {
                for worker in 0..workers {
                    let (order, seen) = (&order, &seen);
                    scope.spawn(move || {
                        for op in (0..4000).filter(|op| (op * 7919 / 3) % workers == worker) {
                            assert!(order.wait(op as i64));
                            seen.lock().unwrap().push(op);
                            order.pass(op as i64);
                        }
                    });
                }
            });
            assert!(seen.into_inner().unwrap().into_iter().eq(0..4000));
        }
    }

    #[test]
    fn a_stopped_order_lets_nobody_hang() {
        let order = Strict::new(8);
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (1..8)
                .map(|op| {
                    scope.spawn({
                        let order = &order;
                        move || order.wait(op)
                    })
                })
                .collect();
            std::thread::sleep(std::time::Duration::from_millis(20));
            order.stop();
            order.pass(0);
            assert!(waiters.into_iter().all(|waiter| !waiter.join().unwrap()));
        });
    }
}
