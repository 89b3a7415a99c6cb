//! The clocks of the machines: how far each is from that of the coordinator, and how sure that is.

use crate::replay::shared::clock::now;
use serde::{Deserialize, Serialize};

/// Round trips by which a clock is measured; the shortest says most.
pub const TRIPS: usize = 16;

/// How a clock of a machine stands to that of the coordinator, CLOCK_MONOTONIC both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offset {
    /// By how much it is ahead, ns.
    pub ns: i64,
    /// It may be so much more or less: half of the shortest round trip, ns.
    pub error: i64,
}

impl Offset {
    /// By round trips: when each began and ended on the clock of the coordinator, and what the other one said between. `None` without
    /// any.
    pub fn of(trips: &[[i64; 3]]) -> Option<Offset> {
        let [sent, said, came] = trips.iter().min_by_key(|[sent, _, came]| came.saturating_sub(*sent))?;
        let error = came.saturating_sub(*sent) / 2 + 1;
        Some(Offset { ns: said.saturating_sub(sent.saturating_add(error)), error })
    }
}

/// A clock that goes wrong on purpose, for tests: machines on one kernel share the right one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    ahead: i64,
    ppm: f64,
    origin: i64,
}

impl Clock {
    /// A clock that is ahead by so many ns, and gains so many millionths.
    pub fn new(ahead: i64, ppm: f64) -> Clock {
        Clock { ahead, ppm, origin: now() }
    }

    /// What it says now, ns.
    pub fn now(&self) -> i64 {
        let right = now();
        let gained = (right - self.origin) as f64 * self.ppm / 1e6;
        right.saturating_add(self.ahead).saturating_add(gained as i64)
    }

    /// The time on CLOCK_MONOTONIC at which it says this, ns.
    pub fn right(&self, said: i64) -> i64 {
        let since = said.saturating_sub(self.ahead).saturating_sub(self.origin);
        self.origin.saturating_add((since as f64 / (1.0 + self.ppm / 1e6)) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_round_trip_counts() {
        let trips = [[0, 1_000_000, 10_000], [20_000, 1_021_400, 22_000], [30_000, 1_030_000, 39_000]];
        let offset = Offset::of(&trips).unwrap();
        assert_eq!(offset.error, 1001);
        assert!((offset.ns - 1_000_000).abs() <= offset.error, "{offset:?}");
        assert!(Offset::of(&[]).is_none() && Offset::of(&[[i64::MIN, i64::MAX, i64::MAX]]).is_some());
    }

    #[test]
    fn a_wrong_clock_is_set_right() {
        for (ahead, ppm) in [(0, 0.0), (5_000_000_000, 200.0), (-7, -500.0)] {
            let clock = Clock::new(ahead, ppm);
            let (before, said, after) = (now(), clock.now(), now());
            let right = clock.right(said);
            assert!((before - 2..=after + 2).contains(&right), "{before} {right} {after}");
            assert!((clock.right(said + 1_000_000_000) - right - 1_000_000_000).abs() <= 600_000);
        }
    }
}
