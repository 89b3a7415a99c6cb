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

    /// Measures how late this thread wakes, after setting its timer slack to 1 ns (PR_SET_TIMERSLACK), and spins for that
    /// long.
    pub fn measure() -> Sleeper {
        // SAFETY: plain numbers.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0) };
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

    /// When an op of this lane is due, on CLOCK_MONOTONIC, ns; `None` for an op without a time.
    pub fn moment(&self, due: i64, lane: u32) -> Option<i64> {
        (due != UNKNOWN).then(|| self.start.saturating_add(self.since_start(due, lane)))
    }

    /// When an op of this lane is due, ns since the start.
    #[inline]
    fn since_start(&self, due: i64, lane: u32) -> i64 {
        match self.pace {
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

    /// With pace app: waits until an op of this lane is due by the time that the lane took before it (`due`) and, if a timer let
    /// it go, by how long after the lane's last timer that is (`timer`). Each may be [`UNKNOWN`]; so is the answer when both are.
    pub fn wait_or_timer(&mut self, due: i64, timer: i64, lane: u32) -> i64 {
        let last = self.timers[lane as usize];
        let mut at = if due == UNKNOWN { UNKNOWN } else { due.saturating_add(self.ends[lane as usize]) };
        if timer != UNKNOWN {
            // A periodic timer keeps its own time, also when the lane comes too late for it.
            let periodic = timer > 0 && last != UNKNOWN;
            let fires = if periodic { last.saturating_add(timer) } else { at };
            at = at.max(fires);
            self.timers[lane as usize] = if periodic { fires } else { at };
        }
        match at {
            UNKNOWN => self.late = None,
            at => self.sleep(at),
        }
        at
    }

    /// With pace app: the op is due at this time too, by what caused it; `due` is when its own lane wanted it. Waits until then,
    /// and returns the later one.
    pub fn wait_for_cause(&mut self, caused: i64, due: i64) -> i64 {
        if due != UNKNOWN && caused <= due {
            return due;
        }
        self.sleep(caused);
        caused
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
        let scale = Scale { pace: Pace::Realtime, first: 1000, span: 600, speed: 2.0 };
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
    fn an_op_is_due_by_its_lane_its_timer_and_its_cause() {
        let mut pacer = Pacer::new(Sleeper { spin: 0 }, Pace::App, 1);
        pacer.start(now() - 1_000_000_000);
        // The first op of a lane is due by its cause alone.
        assert_eq!((pacer.wait_or_timer(UNKNOWN, UNKNOWN, 0), pacer.wait_for_cause(70, UNKNOWN)), (UNKNOWN, 70));
        pacer.late = Some(0);
        pacer.ended(0, 100);
        assert_eq!(
            (pacer.wait_or_timer(5, UNKNOWN, 0), pacer.wait_for_cause(90, 105), pacer.wait_for_cause(130, 105)),
            (105, 105, 130)
        );
        pacer.late = Some(0);
        pacer.ended(0, 200);
        // A timer that begins, one that fires later than the lane is there, and one for which the lane is too late.
        assert_eq!(pacer.wait_or_timer(10, 0, 0), 210);
        pacer.late = Some(0);
        pacer.ended(0, 215);
        assert_eq!(pacer.wait_or_timer(10, 40, 0), 250);
        pacer.late = Some(0);
        pacer.ended(0, 320);
        assert_eq!((pacer.wait_or_timer(10, 40, 0), pacer.timers[0]), (330, 290));
        // Without a time it follows at once, and what comes next counts from its end.
        assert_eq!(pacer.wait_or_timer(UNKNOWN, UNKNOWN, 0), UNKNOWN);
        pacer.ended(0, 400);
        assert_eq!(pacer.wait_or_timer(7, UNKNOWN, 0), 407);
    }
}
