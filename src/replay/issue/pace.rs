//! When ops are issued: sleeping until a moment, exactly.
//!
//! Times are absolute, so that lateness is carried and never slept twice: an op that is late is issued at once, and the
//! one after it is due when it always was. The kernel wakes a sleeper some microseconds late; how many is measured at
//! the start, and so much before the moment the worker stops sleeping and looks at the clock instead.

use crate::replay::shared::clock::now;
use crate::replay::shared::record::UNKNOWN;

/// The longest a worker spins before an op is due, ns: on a busy machine sleepers wake so late that waiting for them
/// awake would make it busier.
const SPIN_MAX: i64 = 50_000;
const SPIN_MIN: i64 = 5_000;
/// Trial sleeps, and how long each takes, ns.
const TRIALS: usize = 24;
const TRIAL: i64 = 100_000;

/// Sleeps until a moment of CLOCK_MONOTONIC.
fn sleep(until: i64) {
    let time = libc::timespec { tv_sec: until / 1_000_000_000, tv_nsec: until % 1_000_000_000 };
    // SAFETY: time is readable. A signal that ends the sleep early makes the caller spin, not fail.
    unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &time, std::ptr::null_mut()) };
}

/// A way to wait until a moment.
#[derive(Clone, Copy, Debug)]
pub struct Sleeper {
    spin: i64,
}

impl Sleeper {
    /// Unmeasured, for a single moment.
    pub const ROUGH: Sleeper = Sleeper { spin: SPIN_MAX };

    /// Measures how late this thread wakes, after asking the kernel not to bundle its timers with others.
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

    /// Waits until a moment of CLOCK_MONOTONIC; not at all when it has passed. Says how late it is then, ns.
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

/// What `due` of an op counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// The start of the replay.
    Start,
    /// The end of the op before in its lane; the start of the replay for the first.
    Before,
}

/// Keeps the times of a worker's ops.
#[derive(Debug)]
pub struct Pacer {
    sleeper: Sleeper,
    start: i64,
    from: Since,
    /// When the last op of each lane ended, ns since the start, had its worker been in time: lateness is not thought again.
    ends: Vec<i64>,
    /// How late the worker was at its last op, ns; nothing for one without a time.
    late: Option<i64>,
}

impl Pacer {
    /// For a worker with so many lanes.
    pub fn new(sleeper: Sleeper, from: Since, lanes: usize) -> Pacer {
        Pacer { sleeper, start: 0, from, ends: vec![0; lanes], late: None }
    }

    /// The moment from which all times count.
    pub fn start(&mut self, start: i64) {
        self.start = start;
    }

    /// Waits until an op is due. Says when that was, ns since the start, or [`UNKNOWN`] for one that follows at once.
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

    /// An op of a lane has ended, ns since the start. One without a time moves nothing: the captured gap of the op after
    /// it counts from the last op that had one.
    #[inline]
    pub fn ended(&mut self, lane: u32, end: i64) {
        if let Some(late) = self.late {
            self.ends[lane as usize] = end - late;
        }
    }
}

/// Turns captured times into those of the replay.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// What they count from.
    pub from: Since,
    /// Captured start of the replay, ns.
    pub first: i64,
    /// How many times faster than captured.
    pub speed: f64,
}

impl Scale {
    /// When an op is due that started at `ts`; `before` is when the op before it in its lane ended in the capture.
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
        // However long one without a time had to wait for its turn, the gap after it is not thought twice.
        assert_eq!(pacer.wait(UNKNOWN, 0), UNKNOWN);
        pacer.ended(0, 500_000);
        assert_eq!(pacer.wait(50, 0), 750);
    }
}
