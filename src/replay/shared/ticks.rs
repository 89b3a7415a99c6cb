//! Times of calls by the processor's time stamp counter (TSC): half the price of asking the kernel, which reads the same
//! counter.
//!
//! Two marks some milliseconds apart say how many ticks a nanosecond has. They are taken once, before the processes of a
//! replay part, and every worker reckons with the same two: what one does before another is before it by the clock too.
//! The rate is right to some millionths, and does not follow the kernel when it corrects its clock later. So a replay that
//! keeps a pace, which the kernel wakes, asks the kernel.

use super::clock;
use crate::replay::Pace;
use std::arch::x86_64::{_mm_lfence, _rdtsc};
use std::time::Duration;

/// File that names the kernel's clock source; it is `tsc` if the kernel found the counter steady and equal on all processors.
const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
/// Least time between the two marks, ns: each mark is right to some 10 ns.
const APART: i64 = 10_000_000;
/// Number of readings of which the closest pair of counter and clock makes a mark.
const TRIALS: usize = 16;
/// Fractional bits of a rate (ns per tick, fixed point).
const POINT: u32 = 32;

/// A reading of the counter together with the time of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    ticks: u64,
    /// The moment on CLOCK_MONOTONIC, ns.
    time: i64,
}

/// The clock by which a worker times its calls.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// Asks the kernel (CLOCK_MONOTONIC).
    Kernel,
    /// Reads the processor's counter: the first mark, and how many ns, in units of 2^-[`POINT`], each tick since then is.
    Counter(Mark, u64),
}

/// The processor's time stamp counter.
fn ticks() -> u64 {
    // SAFETY: every x86_64 processor can. Where the kernel forbids it, it does not tell the time by it either.
    unsafe { _rdtsc() }
}

/// Orders later reads, the counter's too, after all earlier ones (lfence): processors read ahead, and a call would seem to
/// begin before the one that it waited for had ended.
#[inline]
pub fn fence() {
    // SAFETY: every x86_64 processor can.
    unsafe { _mm_lfence() };
}

impl Mark {
    /// A mark of this moment; `None` when the kernel does not use the counter as its clock source.
    pub fn now() -> Option<Mark> {
        let source = std::fs::read_to_string(SOURCE).ok()?;
        (source.trim() == "tsc").then(Mark::take)
    }

    fn take() -> Mark {
        let reading = |_| {
            let (before, time, after) = (ticks(), clock::now(), ticks());
            (after.saturating_sub(before), Mark { ticks: before + after.saturating_sub(before) / 2, time })
        };
        // The closest pair was not interrupted.
        let best = (0..TRIALS).map(reading).min_by_key(|(width, _)| *width);
        best.map_or(Mark { ticks: ticks(), time: clock::now() }, |(_, mark)| mark)
    }
}

impl Clock {
    /// The clock for a pace, given a mark taken earlier; the kernel for any pace but asap or without a mark. Waits until the
    /// mark is [`APART`] old.
    pub fn new(pace: Pace, first: Option<Mark>) -> Clock {
        let (Some(first), Pace::Asap) = (first, pace) else { return Clock::Kernel };
        let left = first.time + APART - clock::now();
        if left > 0 {
            std::thread::sleep(Duration::from_nanos(left as u64));
        }
        Clock::between(first, Mark::take())
    }

    fn between(first: Mark, second: Mark) -> Clock {
        let (ticks, time) = (second.ticks.saturating_sub(first.ticks), second.time - first.time);
        match u64::try_from(((time as u128) << POINT) / u128::from(ticks.max(1))) {
            Ok(rate) if ticks > 0 && time > 0 => Clock::Counter(first, rate),
            _ => Clock::Kernel,
        }
    }

    /// Current time of CLOCK_MONOTONIC, ns.
    #[inline]
    pub fn now(&self) -> i64 {
        match self {
            Clock::Kernel => clock::now(),
            Clock::Counter(first, rate) => first.time + since(ticks().wrapping_sub(first.ticks), *rate),
        }
    }
}

#[inline]
fn since(ticks: u64, rate: u64) -> i64 {
    ((u128::from(ticks) * u128::from(rate)) >> POINT) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skip::{Need, skip};

    #[test]
    fn ticks_become_nanoseconds() {
        let mark = |ticks, time| Mark { ticks, time };
        let Clock::Counter(_, rate) = Clock::between(mark(1000, 50), mark(1000 + 26_000_000, 50 + 10_000_000)) else {
            panic!("two marks make a rate");
        };
        assert_eq!(since(0, rate), 0);
        // 2.6 ticks a nanosecond: after an hour as right as the marks were.
        let hour = 3600 * 1_000_000_000_i64;
        assert!((since((hour as f64 * 2.6) as u64, rate) - hour).abs() < 5000);
        assert!(matches!(Clock::between(mark(5, 5), mark(5, 9)), Clock::Kernel));
        assert!(matches!(Clock::between(mark(5, 5), mark(9, 5)), Clock::Kernel));
    }

    #[test]
    fn the_counter_keeps_the_kernels_time() {
        let Some(first) = Mark::now() else { return skip(Need::Counter, "the kernel tells the time by something else") };
        let clock = Clock::new(Pace::Asap, Some(first));
        assert!(matches!(clock, Clock::Counter(..)));
        std::thread::sleep(Duration::from_millis(50));
        // A busy machine may come between the two readings.
        let apart = (0..100).map(|_| (clock.now() - clock::now()).abs()).min();
        assert!(apart.is_some_and(|apart| apart < 20_000), "{apart:?}");
        assert!(matches!(Clock::new(Pace::Realtime, Some(first)), Clock::Kernel));
    }
}
