//! Pacing: waits until the moment an op is due, exactly.
//!
//! Times are absolute, so that lateness is carried and never slept twice: an op that is late is issued at once, and the
//! one after it is due when it always was. The kernel wakes a sleeper some microseconds late; how many is measured at
//! the start, and so much before the moment the worker stops sleeping and looks at the clock instead.

use crate::replay::shared::clock::now;
use crate::replay::shared::record::UNKNOWN;

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

/// What the due time of an op counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// From the start of the replay.
    Start,
    /// From the end of the op before in its lane (captured thread); for the first op of a lane, from the start of the replay.
    Before,
}

/// Makes one worker keep the pace: waits until each of its ops is due.
#[derive(Debug)]
pub struct Pacer {
    sleeper: Sleeper,
    start: i64,
    from: Since,
    /// When the last op of each lane would have ended, ns since the start, had its worker been in time: so think time does
    /// not include lateness.
    ends: Vec<i64>,
    /// How late the worker was when its last op became due, ns; `None` for an op without a time.
    late: Option<i64>,
}

impl Pacer {
    /// A pacer for a worker with this many lanes.
    pub fn new(sleeper: Sleeper, from: Since, lanes: usize) -> Pacer {
        Pacer { sleeper, start: 0, from, ends: vec![0; lanes], late: None }
    }

    /// Sets the start of the replay on CLOCK_MONOTONIC, ns, from which all times count.
    pub fn start(&mut self, start: i64) {
        self.start = start;
    }

    /// Waits until an op of this lane is due. Returns that time, ns since the start, or [`UNKNOWN`] for an op without a time,
    /// which follows at once.
    #[inline]
    pub fn wait(&mut self, due: i64, lane: u32) -> i64 {
        if due == UNKNOWN {
            self.late = None;
            return UNKNOWN;
        }
        let due = match self.from {
            Since::Start => due,
            Since::Before => due.saturating_add(self.ends[lane as usize]),
        };
        self.late = Some(self.sleeper.until(self.start.saturating_add(due)));
        due
    }

    /// Notes that an op of a lane ended at `end`, ns since the start. An op without a time changes nothing: the captured gap
    /// before the next op counts from the last op that had one.
    #[inline]
    pub fn ended(&mut self, lane: u32, end: i64) {
        if let Some(late) = self.late {
            self.ends[lane as usize] = end - late;
        }
    }
}

/// Turns captured times into due times of the replay.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// What due times count from.
    pub from: Since,
    /// Captured start of the first op, ns.
    pub first: i64,
    /// Factor by which captured times are divided, e.g. 2 for twice as fast.
    pub speed: f64,
}

impl Scale {
    /// Due time, ns, of an op that started at captured time `ts`, [`UNKNOWN`] without one; `before` is the captured end of
    /// the op before it in its lane.
    pub fn due(&self, ts: Option<i64>, before: Option<i64>) -> i64 {
        let Some(ts) = ts else { return UNKNOWN };
        let origin = match (self.from, before) {
            (Since::Before, Some(before)) => before,
            _ => self.first,
        };
        (ts.saturating_sub(origin).max(0) as f64 / self.speed) as i64
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
        let scale = Scale { from: Since::Start, first: 1000, speed: 2.0 };
        assert_eq!((scale.due(Some(1500), Some(1400)), scale.due(None, None), scale.due(Some(900), None)), (250, UNKNOWN, 0));
        let think = Scale { from: Since::Before, ..scale };
        assert_eq!(
            (think.due(Some(1500), Some(1400)), think.due(Some(1500), None), think.due(Some(1300), Some(1400))),
            (50, 250, 0)
        );
    }

    #[test]
    fn think_time_counts_from_the_end_of_the_op_before_in_its_lane() {
        let mut pacer = Pacer::new(Sleeper { spin: 0 }, Since::Before, 2);
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
}
