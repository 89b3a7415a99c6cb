//! Is a timer periodic? What a program does every 40 ms it does at moments that are its own, however long the work in between
//! takes; what it does 40 ms after the last time comes later when the work takes longer.

/// The timers of one lane: how long it slept, and how far apart the ops are that follow.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// Time asleep since the last op, ns.
    asleep: i64,
    /// Begin of the last op before which it slept, ns.
    base: Option<i64>,
    /// The last interval between two such ops, and the sleep before the second, ns.
    before: Option<(i64, i64)>,
    /// By how much intervals and sleeps differed from one to the next, ns: means of all, then such in which the last one counts a
    /// [`MEMORY`]th.
    intervals: f64,
    sleeps: f64,
    seen: u32,
    periodic: bool,
}

/// Differences that are seen before a timer is called periodic.
const ENOUGH: u32 = 2;
/// Differences that a mean remembers. Where the work hardly differs, both means are those of the noise of the timer, and near each
/// other.
const MEMORY: u32 = 64;
/// By how much intervals must differ more than sleeps before what was periodic is it no longer.
const DOUBT: f64 = 1.5;

impl Timers {
    /// A timer let the lane go after this time, ns.
    pub(super) fn slept(&mut self, ns: i64) {
        self.asleep = self.asleep.saturating_add(ns.max(0));
    }

    /// An op begins. If a timer let the lane go before it: the time since the op before which one did so last if the timer is
    /// periodic, else 0; and how long the lane slept.
    pub(super) fn op(&mut self, begin: i64) -> Option<(i64, i64)> {
        let asleep = std::mem::take(&mut self.asleep);
        if asleep == 0 {
            return None;
        }
        let interval = self.base.replace(begin).map(|base| begin.saturating_sub(base));
        let Some(interval) = interval else { return Some((0, asleep)) };
        if let Some((last, slept)) = self.before.replace((interval, asleep)) {
            self.seen = self.seen.saturating_add(1);
            let share = f64::from(self.seen.min(MEMORY));
            let blend = |mean: &mut f64, new: i64| *mean += (new.unsigned_abs() as f64 - *mean) / share;
            blend(&mut self.intervals, interval.saturating_sub(last));
            blend(&mut self.sleeps, asleep.saturating_sub(slept));
        }
        let doubt = if self.periodic { DOUBT } else { 1.0 };
        self.periodic = self.seen >= ENOUGH && self.intervals < self.sleeps * doubt;
        Some((if self.periodic { interval.max(1) } else { 0 }, asleep))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the timer says before ops that work for these times, when it sleeps to the next multiple of `period`, or for
    /// `period` each time.
    fn run(work: &[i64], period: i64, absolute: bool) -> Vec<Option<i64>> {
        let (mut timers, mut now, mut due) = (Timers::default(), 1000, 1000);
        let mut said = Vec::new();
        for work in work {
            due += period;
            let until = if absolute { due } else { now + period };
            timers.slept(until - now);
            said.push(timers.op(until).map(|(timer, _)| timer));
            now = until + work;
        }
        said
    }

    #[test]
    fn moments_that_do_not_move_with_the_work_are_periodic() {
        let work = [5, 9, 4, 12, 7, 6, 11];
        assert_eq!(run(&work, 40, true), [0, 0, 0, 40, 40, 40, 40].map(Some));
        assert_eq!(run(&work, 40, false), [Some(0); 7]);
        assert_eq!(Timers::default().op(5), None);
    }

    /// Work and the lateness of wakes vary as little as each other: hardly a moment is taken for the other kind.
    #[test]
    fn the_noise_of_a_timer_does_not_change_its_kind() {
        let mut dice = crate::dice::Dice::new(7);
        let mut noise = |most: u64| dice.below(most) as i64;
        for absolute in [true, false] {
            let (mut timers, mut now, mut due, mut periodic) = (Timers::default(), 0, 0, 0);
            for _ in 0..200 {
                due += 40_000;
                let until = if absolute { due } else { now + 40_000 } + 60 + noise(60);
                timers.slept(until - now);
                periodic += i32::from(timers.op(until).is_some_and(|(timer, _)| timer > 0));
                now = until + 600 + noise(100);
            }
            assert!(if absolute { periodic > 190 } else { periodic < 10 }, "absolute {absolute}: {periodic} of 200");
        }
    }
}
