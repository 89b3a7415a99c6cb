//! Pacing: waits until the moment an op is due, exactly.
//!
//! Times are absolute, so that lateness is carried and never slept twice: an op that is late is issued at once, and the
//! one after it is due when it always was. The kernel wakes a sleeper some microseconds late; how many is measured at
//! the start, and so much before the moment the worker stops sleeping and looks at the clock instead.

use crate::replay::Pace;
use crate::replay::shared::clock::now;
use crate::replay::shared::record::UNKNOWN;
use anyhow::{Result, ensure};

/// Longest time a worker spins before an op is due, ns: on a busy machine sleepers wake so late that spinning for longer
/// would only make it busier.
const SPIN_MAX: i64 = 50_000;
/// Shortest time a worker spins before an op is due, ns.
const SPIN_MIN: i64 = 5_000;
/// Number of trial sleeps that measure how late the thread wakes.
const TRIALS: usize = 24;
/// Length of a trial sleep, ns.
const TRIAL: i64 = 100_000;

/// Sleeps until a moment of CLOCK_MONOTONIC, ns; may wake late, or early after a signal.
fn sleep(until: i64) {
    let time = libc::timespec { tv_sec: until / 1_000_000_000, tv_nsec: until % 1_000_000_000 };
    // SAFETY: time is readable. A signal that ends the sleep early makes the caller spin, not fail.
    unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &time, std::ptr::null_mut()) };
}

/// Waits until a moment: sleeps, and spins the last few microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Sleeper {
    spin: i64,
}

impl Sleeper {
    /// A sleeper without a measurement, which spins for [`SPIN_MAX`] ns; for waiting once.
    pub const ROUGH: Sleeper = Sleeper { spin: SPIN_MAX };

    /// Lets this thread wake as exactly as the kernel can: sets its timer slack to 1 ns (PR_SET_TIMERSLACK, prctl(2)).
    pub fn exact() {
        // SAFETY: plain numbers.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0) };
    }

    /// Measures how late this thread wakes, after [`Sleeper::exact`], and spins for that long.
    pub fn measure() -> Sleeper {
        Sleeper::exact();
        let mut late = [0; TRIALS];
        for late in &mut late {
            let until = now() + TRIAL;
            sleep(until);
            *late = now() - until;
        }
        late.sort_unstable();
        // Most sleeps are no later than this; for the rest spinning does not pay.
        Sleeper { spin: (late[TRIALS * 3 / 4] * 3 / 2).clamp(SPIN_MIN, SPIN_MAX) }
    }

    /// Waits until a moment of CLOCK_MONOTONIC, ns; not at all when it has passed. Returns how late it is by then, ns.
    #[inline]
    pub fn until(&self, moment: i64) -> i64 {
        let left = moment.saturating_sub(now());
        if left <= 0 {
            return -left;
        }
        if left > self.spin {
            sleep(moment - self.spin);
        }
        loop {
            let late = now() - moment;
            if late >= 0 {
                return late;
            }
            std::hint::spin_loop();
        }
    }
}

/// Makes one worker keep the pace: waits until each of its ops is due.
#[derive(Debug)]
pub struct Pacer {
    sleeper: Sleeper,
    start: i64,
    /// The pace that it keeps.
    pub pace: Pace,
    /// When the last op of each lane would have ended, ns since the start, had its worker been in time: so think time does
    /// not include lateness.
    ends: Vec<i64>,
    /// When the op of each lane was due that a timer let go last, ns since the start; [`UNKNOWN`] before the first.
    timers: Vec<i64>,
    /// How late the worker was when its last op became due, ns; `None` for an op without a time.
    late: Option<i64>,
}

impl Pacer {
    /// A pacer for a worker with this many lanes.
    pub fn new(sleeper: Sleeper, pace: Pace, lanes: usize) -> Pacer {
        Pacer { sleeper, start: 0, pace, ends: vec![0; lanes], timers: vec![UNKNOWN; lanes], late: None }
    }

    /// Sets the start of the replay on CLOCK_MONOTONIC, ns, from which all times count.
    pub fn start(&mut self, start: i64) {
        self.start = start;
    }

    /// When an op of this lane is due, ns since the start; [`UNKNOWN`] for an op without a time.
    #[inline]
    pub fn since_start(&self, due: i64, lane: u32) -> i64 {
        match self.pace {
            _ if due == UNKNOWN => UNKNOWN,
            Pace::Asap | Pace::Realtime => due,
            Pace::Think | Pace::App => due.saturating_add(self.ends[lane as usize]),
        }
    }

    /// Waits until an op of this lane is due. Returns that time, ns since the start, or [`UNKNOWN`] for an op without a time,
    /// which follows at once.
    #[inline]
    pub fn wait(&mut self, due: i64, lane: u32) -> i64 {
        if due == UNKNOWN {
            self.late = None;
            return UNKNOWN;
        }
        let due = self.since_start(due, lane);
        self.sleep(due);
        due
    }

    fn sleep(&mut self, due: i64) {
        self.late = Some(self.sleeper.until(self.start.saturating_add(due)));
    }

    /// With pace app: when an op of this lane is due by the time that the lane takes before it (`due`) and, if a timer let it go,
    /// by how long after the lane's last timer that is (`timer`), ns since the start. Each may be [`UNKNOWN`]; so is the answer
    /// when both are.
    pub fn own(&mut self, due: i64, timer: i64, lane: u32) -> i64 {
        let last = self.timers[lane as usize];
        let mut at = if due == UNKNOWN { UNKNOWN } else { due.saturating_add(self.ends[lane as usize]) };
        if timer != UNKNOWN {
            // A periodic timer keeps its own time, also when the lane comes too late for it.
            let periodic = timer > 0 && last != UNKNOWN;
            let fires = if periodic { last.saturating_add(timer) } else { at };
            at = at.max(fires);
            self.timers[lane as usize] = if periodic { fires } else { at };
        }
        self.late = None;
        at
    }

    /// With pace app: waits until a moment, ns since the start, at which the lane of the next op goes on; [`UNKNOWN`] for at once.
    /// How late it is then the lane is to catch up.
    pub fn go_on(&mut self, moment: i64) {
        if moment != UNKNOWN {
            self.sleep(moment);
        }
    }

    /// With pace app: waits until a moment, ns since the start. That it has passed, since computing took longer here, the lane is
    /// not to catch up.
    pub fn rest(&mut self, moment: i64) {
        if moment != UNKNOWN {
            self.sleeper.until(self.start.saturating_add(moment));
        }
    }

    /// With pace app: waits until an op that is due at `due` has as long left as its lane computes after its causes.
    pub fn resume(&mut self, steps: Steps, due: i64) {
        let moment = due.saturating_sub(steps.late);
        // What the lane computed before may have taken longer than in the capture: that is no lateness to catch up with.
        match (due > steps.own, steps.early) {
            (true, 0) => return self.go_on(moment),
            (true, _) => self.late = Some(0),
            (false, _) => {}
        }
        self.rest(moment);
    }

    /// With pace app: how an op is waited for. `own` is when its lane wants it ([`Pacer::own`]), `compute` how long the lane computes
    /// before it, and `delays` how long after its causes it comes, ns.
    pub fn steps(own: i64, compute: i64, delays: impl Iterator<Item = i64>) -> Steps {
        let least = delays.filter(|delay| *delay > 0).min().unwrap_or(0);
        let late = compute.min(least);
        let early = if own == UNKNOWN { 0 } else { compute - late };
        let begin = if own == UNKNOWN { UNKNOWN } else { own.saturating_sub(compute) };
        Steps { own, begin, early, late }
    }

    /// Notes that an op of a lane ended at `end`, ns since the start. An op without a time changes nothing: the captured gap
    /// before the next op counts from the last op that had one.
    #[inline]
    pub fn ended(&mut self, lane: u32, end: i64) {
        match self.late {
            Some(late) => self.ends[lane as usize] = end - late,
            None if self.pace == Pace::App => self.ends[lane as usize] = end,
            None => {}
        }
    }
}

/// How a worker with pace app waits for an op: until `begin`, then it computes for `early`, waits for its turn and, as long as its
/// causes want, until `late` before the op is due, then computes for that. What a lane computed since it was last woken, it
/// computes after its causes; no more than the shortest delay behind one of them, which holds all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// When the op's own lane wants it, ns since the start of the replay, or [`UNKNOWN`].
    pub own: i64,
    /// When the lane begins to compute, or [`UNKNOWN`].
    pub begin: i64,
    /// How long it computes before its causes, ns.
    pub early: i64,
    /// How long after them, ns.
    pub late: i64,
}

impl Steps {
    /// When the op is due, ns since the start, if its last cause wants it at `caused`; [`UNKNOWN`] when nothing says.
    pub fn due(&self, caused: i64) -> i64 {
        self.own.max(caused)
    }
}

/// Turns captured times into due times of the replay.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// What due times count from: the start of the replay, or with pace think and app the end of the op before in its lane.
    pub pace: Pace,
    /// Captured start of the first op, ns.
    pub first: i64,
    /// Captured time from there to the end of the last op, ns: no time that a lane took is longer.
    pub span: i64,
    /// Factor by which captured times are divided, e.g. 2 for twice as fast.
    pub speed: f64,
    /// Factor by which the processor time of the captured threads is multiplied, with pace app.
    pub compute: f64,
}

/// What the lane of an op does before it with pace app, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// The time that it takes in all; [`UNKNOWN`] when nobody knows.
    pub due: i64,
    /// How long it computes in that time.
    pub compute: i64,
    /// By how much longer, or shorter, that is than in the capture.
    pub longer: i64,
}

impl Own {
    /// The delay behind another op, 0 for none, during which the lane may have computed, too.
    pub fn stretched(&self, delay: i64) -> i64 {
        match (delay, self.longer) {
            (0, _) | (_, 0) => delay,
            (_, longer) => {
                // As much of the computing as fits into the delay.
                let captured = (self.compute - longer).max(1);
                let share = delay.min(captured) as f64 / captured as f64;
                delay.saturating_add((longer as f64 * share) as i64).max(1)
            }
        }
    }
}

impl Scale {
    /// Due time, ns, of an op that started at captured time `ts`, [`UNKNOWN`] without one; `before` is the captured end of
    /// the op before it in its lane.
    pub fn due(&self, ts: Option<i64>, before: Option<i64>) -> i64 {
        let Some(ts) = ts else { return UNKNOWN };
        let origin = match (self.pace, before) {
            (Pace::Think, Some(before)) => before,
            _ => self.first,
        };
        self.scaled(ts.saturating_sub(origin))
    }

    /// The time between the op `before` of a lane and the next one, in the capture, ns: what [`Scale::due`] scales with pace think.
    pub fn gap(&self, ts: Option<i64>, before: Option<i64>) -> i64 {
        ts.map_or(0, |ts| ts.saturating_sub(before.unwrap_or(self.first)).max(0))
    }

    /// Adds a time that a lane took in the capture to all that it took so, ns.
    ///
    /// # Errors
    /// When that is more than twice the length of the capture, which has each of its moments once: somebody made it up.
    pub fn sum(&self, all: &mut i64, ns: i64) -> Result<()> {
        *all = all.saturating_add(ns.max(0));
        ensure!(
            *all <= self.span.saturating_mul(2),
            "invalid workload: ops of a lane are said to come {all} ns after each other in all, and the capture has {} ns",
            self.span
        );
        Ok(())
    }

    fn scaled(&self, ns: i64) -> i64 {
        (ns.max(0) as f64 / self.speed) as i64
    }

    /// What a lane does before an op with pace app, by how long it took in the capture and how long of that it computed.
    ///
    /// # Errors
    /// When the capture is shorter: somebody made it up.
    pub fn own(&self, think: Option<i64>, compute: Option<i64>) -> Result<Own> {
        let due = think.map(|think| self.took(think)).transpose()?;
        let captured = self.scaled(compute.unwrap_or(0).min(think.unwrap_or(self.span)));
        let compute = (captured as f64 * self.compute) as i64;
        let longer = compute - captured;
        Ok(Own { due: due.map_or(UNKNOWN, |due| due.saturating_add(longer)), compute, longer })
    }

    /// A time that a lane took in the capture, in the replay, ns.
    ///
    /// # Errors
    /// When the capture is shorter: somebody made it up.
    pub fn took(&self, ns: i64) -> Result<i64> {
        ensure!(
            (0..=self.span).contains(&ns),
            "invalid workload: an op is said to come {ns} ns after another, of {} ns in all",
            self.span
        );
        Ok(self.scaled(ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long this thread could have run while others did, ns; 0 where the kernel does not count it
    /// (Documentation/scheduler/sched-stats.rst).
    fn kept_waiting() -> i64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        text.split_whitespace().nth(1).map_or(0, |waited| waited.parse().unwrap())
    }

    #[test]
    fn sleeps_end_in_time_and_never_early() {
        let sleeper = Sleeper::measure();
        let mut late: Vec<i64> = (0..50)
            .map(|_| {
                let waited = kept_waiting();
                let moment = now() + 300_000;
                sleeper.until(moment);
                let late = now() - moment;
                assert!(late >= 0, "{late}");
                late - (kept_waiting() - waited)
            })
            .collect();
        late.sort_unstable();
        assert!(late[25] < 1_000_000, "{late:?}");
        let (waited, before) = (kept_waiting(), now());
        sleeper.until(before - 5);
        let took = now() - before;
        assert!(took - (kept_waiting() - waited) < 50_000_000);
    }

    #[test]
    fn captured_times_are_scaled() {
        let scale = Scale { pace: Pace::Realtime, first: 1000, span: 600, speed: 2.0, compute: 1.0 };
        assert_eq!((scale.due(Some(1500), Some(1400)), scale.due(None, None), scale.due(Some(900), None)), (250, UNKNOWN, 0));
        let think = Scale { pace: Pace::Think, ..scale };
        assert_eq!(
            (think.due(Some(1500), Some(1400)), think.due(Some(1500), None), think.due(Some(1300), Some(1400))),
            (50, 250, 0)
        );
        assert_eq!((scale.took(600).ok(), scale.took(601).ok(), scale.took(-1).ok()), (Some(300), None, None));
        assert_eq!(
            [(Some(1500), Some(1400)), (Some(1500), None), (None, None)].map(|(ts, before)| think.gap(ts, before)),
            [100, 500, 0]
        );
        let mut all = 0;
        assert!(think.sum(&mut all, 600).is_ok() && think.sum(&mut all, 600).is_ok() && think.sum(&mut all, -1).is_ok());
        assert!(think.sum(&mut all, 1).is_err() && think.sum(&mut all, i64::MAX).is_err());
    }

    #[test]
    fn think_time_counts_from_the_end_of_the_op_before_in_its_lane() {
        let mut pacer = Pacer::new(Sleeper { spin: 0 }, Pace::Think, 2);
        pacer.start(now() - 1_000_000_000);
        assert_eq!(pacer.wait(5, 1), 5);
        pacer.late = Some(0);
        pacer.ended(1, 700);
        assert_eq!((pacer.wait(5, 1), pacer.wait(5, 0)), (705, 5));
        // An op that came 300 ns late ended when it did, but its lane is to catch up.
        pacer.late = Some(300);
        pacer.ended(0, 1000);
        assert_eq!(pacer.wait(50, 0), 750);
        // However long an op without a time waited for its turn, the gap after it is not added twice.
        assert_eq!(pacer.wait(UNKNOWN, 0), UNKNOWN);
        pacer.ended(0, 500_000);
        assert_eq!(pacer.wait(50, 0), 750);
    }

    #[test]
    fn computing_is_part_of_what_a_lane_takes_and_can_be_stretched() {
        let scale = Scale { pace: Pace::App, first: 1000, span: 600, speed: 1.0, compute: 1.0 };
        let own = |scale: Scale, think, compute| scale.own(think, compute).unwrap();
        assert_eq!(own(scale, Some(100), Some(40)), Own { due: 100, compute: 40, longer: 0 });
        assert_eq!(own(scale, Some(30), Some(40)), Own { due: 30, compute: 30, longer: 0 });
        assert_eq!(own(scale, None, Some(900)), Own { due: UNKNOWN, compute: 600, longer: 0 });
        assert!(scale.own(Some(601), None).is_err());
        let slow = own(Scale { compute: 3.0, ..scale }, Some(100), Some(40));
        assert_eq!(slow, Own { due: 180, compute: 120, longer: 80 });
        // A delay that holds all of it, half of it, and none.
        assert_eq!([50, 20, 0].map(|delay| slow.stretched(delay)), [130, 60, 0]);
        let fast = own(Scale { compute: 0.5, speed: 2.0, ..scale }, Some(100), Some(40));
        assert_eq!((fast, fast.stretched(50)), (Own { due: 40, compute: 10, longer: -10 }, 40));
    }

    #[test]
    fn what_was_computed_after_the_last_wait_comes_after_the_causes() {
        let steps = |own, compute, delays: &[i64]| Pacer::steps(own, compute, delays.iter().copied());
        assert_eq!(steps(100, 30, &[]), Steps { own: 100, begin: 70, early: 30, late: 0 });
        // A delay of 0 is order alone.
        assert_eq!(steps(100, 30, &[0, 50, 10]), Steps { own: 100, begin: 70, early: 20, late: 10 });
        assert_eq!(steps(100, 30, &[90]), Steps { own: 100, begin: 70, early: 0, late: 30 });
        assert_eq!(steps(UNKNOWN, 30, &[20]), Steps { own: UNKNOWN, begin: UNKNOWN, early: 0, late: 20 });
        assert_eq!([steps(100, 0, &[]).due(UNKNOWN), steps(100, 0, &[]).due(130), steps(UNKNOWN, 0, &[]).due(5)], [100, 130, 5]);
    }

    #[test]
    fn an_op_is_due_by_its_lane_its_timer_and_its_cause() {
        let mut pacer = Pacer::new(Sleeper { spin: 0 }, Pace::App, 1);
        pacer.start(now() - 1_000_000_000);
        // The first op of a lane is due by its cause alone.
        assert_eq!(pacer.own(UNKNOWN, UNKNOWN, 0), UNKNOWN);
        pacer.ended(0, 100);
        assert_eq!(pacer.own(5, UNKNOWN, 0), 105);
        pacer.ended(0, 200);
        // A timer that begins, one that fires later than the lane is there, and one for which the lane is too late.
        assert_eq!(pacer.own(10, 0, 0), 210);
        pacer.ended(0, 215);
        assert_eq!(pacer.own(10, 40, 0), 250);
        pacer.ended(0, 320);
        assert_eq!((pacer.own(10, 40, 0), pacer.timers[0]), (330, 290));
        // Without a time it follows at once, and what comes next counts from its end.
        assert_eq!(pacer.own(UNKNOWN, UNKNOWN, 0), UNKNOWN);
        pacer.ended(0, 400);
        assert_eq!(pacer.own(7, UNKNOWN, 0), 407);
    }

    #[test]
    fn who_comes_late_catches_up_but_not_what_took_longer_to_compute() {
        let mut pacer = Pacer::new(Sleeper { spin: 0 }, Pace::App, 1);
        pacer.start(now() - 1_000_000_000);
        let late = |pacer: &Pacer| pacer.late.is_some_and(|late| late > 900_000_000);
        let steps = |early| Steps { own: 105, begin: 100, early, late: 0 };
        pacer.own(5, UNKNOWN, 0);
        pacer.go_on(100);
        assert!(late(&pacer), "a second behind");
        pacer.resume(steps(5), 105);
        assert!(late(&pacer));
        pacer.resume(steps(5), 200);
        assert_eq!(pacer.late, Some(0), "it waited for a cause");
        pacer.resume(steps(0), 200);
        assert!(late(&pacer));
    }
}
