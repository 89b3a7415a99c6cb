//! Computing: a worker uses as much processor time before an op as the captured thread did, so that the replay leaves others, and
//! the kernel's own threads, as little of the processors as the program.
//!
//! The captured machine may have had more processors. Then no more workers burn at a time than there are processors here, and
//! the others sleep for as long: the program would have computed on a processor that this machine has not.

use super::pace::Sleeper;
use crate::replay::shared::clock::{clock, now};
use serde::Serialize;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// Shortest computing that is burnt, ns: what a worker itself does between two calls is about as long.
const LEAST: i64 = 2_000;
/// Time between two looks at the clock of the thread, which takes a system call, ns.
const SLICE: i64 = 20_000;

/// How long the captured threads' computing took in a replay, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Computing {
    /// Processor time that was used for it.
    pub burnt: i64,
    /// Time that was slept in its place, since as many workers as there are processors were computing.
    pub slept: i64,
}

impl Computing {
    /// Adds what another worker did.
    pub fn add(&mut self, other: Computing) {
        self.burnt = self.burnt.saturating_add(other.burnt);
        self.slept = self.slept.saturating_add(other.slept);
    }
}

/// Computes for one worker.
#[derive(Debug)]
pub struct Burner<'a> {
    /// Number of workers that burn now, and how many may; `None` for any number.
    shared: Option<(&'a AtomicI32, i32)>,
    /// What it did so far.
    pub done: Computing,
}

impl<'a> Burner<'a> {
    /// A burner of a worker. `burning` counts those who burn; at most `most` may, any number with `None`.
    pub fn new(burning: &'a AtomicI32, most: Option<i32>) -> Burner<'a> {
        Burner { shared: most.map(|most| (burning, most)), done: Computing::default() }
    }

    /// Uses processor time, ns; sleeps for as long where too many others do.
    pub fn compute(&mut self, ns: i64) {
        if ns < LEAST {
            return;
        }
        let Some((burning, most)) = self.shared else { return self.burn(ns) };
        if burning.fetch_add(1, Relaxed) < most {
            self.burn(ns);
        } else {
            Sleeper::ROUGH.until(now().saturating_add(ns));
            self.done.slept += ns;
        }
        burning.fetch_sub(1, Relaxed);
    }

    fn burn(&mut self, ns: i64) {
        let used = || clock(libc::CLOCK_THREAD_CPUTIME_ID);
        let end = used().saturating_add(ns);
        loop {
            let left = end - used();
            if left <= 0 {
                break;
            }
            let look = now() + left.min(SLICE);
            while now() < look {
                std::hint::spin_loop();
            }
        }
        self.done.burnt += ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_used_as_long_as_there_are_processors() {
        let burning = AtomicI32::new(0);
        let took = |burner: &mut Burner| {
            let (cpu, wall) = (clock(libc::CLOCK_THREAD_CPUTIME_ID), now());
            burner.compute(5_000_000);
            (clock(libc::CLOCK_THREAD_CPUTIME_ID) - cpu, now() - wall)
        };
        for most in [None, Some(1)] {
            let mut burner = Burner::new(&burning, most);
            let (cpu, _) = took(&mut burner);
            assert!((5_000_000..6_000_000).contains(&cpu), "{cpu}");
            assert_eq!(burner.done, Computing { burnt: 5_000_000, slept: 0 });
            burner.compute(LEAST - 1);
            assert_eq!(burner.done.burnt, 5_000_000);
        }
        burning.store(1, Relaxed);
        let mut burner = Burner::new(&burning, Some(1));
        let (cpu, wall) = took(&mut burner);
        assert!(cpu < 2_000_000 && wall >= 5_000_000, "{cpu} of {wall}");
        assert_eq!((burner.done, burning.load(Relaxed)), (Computing { burnt: 0, slept: 5_000_000 }, 1));
    }
}
