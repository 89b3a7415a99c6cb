//! Progress of long steps. Library code counts, the command line shows it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Unit in which the work of a step is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Things counted: lines, events, ops, files.
    #[default]
    Count,
    /// Bytes of data.
    Bytes,
}

/// Progress of the current step; many threads may update it, cheaply enough for once per batch.
#[derive(Debug, Default)]
pub struct Progress {
    step: Mutex<(&'static str, Unit)>,
    steps: AtomicU64,
    total: AtomicU64,
    done: AtomicU64,
    different: AtomicU64,
    /// How far the step is behind its pace, ns, or [`NO_PACE`].
    behind: AtomicI64,
    /// When a step that keeps a pace will be over; `None` without a pace.
    ends: Mutex<Option<Instant>>,
}

/// Value of `behind` for a step without a pace.
const NO_PACE: i64 = i64::MIN;

/// Progress of the current step at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Number of the current step, from 1; 0 before the first one begins.
    pub step: u64,
    /// Name of the step.
    pub name: &'static str,
    /// Unit of `done` and `total`.
    pub unit: Unit,
    /// Work of the current step done so far, in its unit.
    pub done: u64,
    /// All work of the step, 0 when unknown.
    pub total: u64,
    /// Number of outcomes so far that differ from the captured ones.
    pub different: u64,
    /// How far the replay is behind its pace, ns; negative when it is ahead; `None` without a pace.
    pub behind: Option<i64>,
    /// Time until the end of the step by its pace; `None` without one.
    pub left: Option<Duration>,
}

impl Progress {
    /// Begins a step with this name, unit and total (0 when unknown), and resets all counters.
    pub fn begin(&self, name: &'static str, unit: Unit, total: u64) {
        if let Ok(mut step) = self.step.lock() {
            *step = (name, unit);
        }
        self.done.store(0, Ordering::Relaxed);
        self.different.store(0, Ordering::Relaxed);
        self.behind.store(NO_PACE, Ordering::Relaxed);
        if let Ok(mut ends) = self.ends.lock() {
            *ends = None;
        }
        self.total.store(total, Ordering::Relaxed);
        self.steps.fetch_add(1, Ordering::Release);
    }

    /// Adds to the work done, in the step's unit.
    pub fn add(&self, amount: u64) {
        self.done.fetch_add(amount, Ordering::Relaxed);
    }

    /// Adds to the number of outcomes that differ from the captured ones.
    pub fn differ(&self, count: u64) {
        self.different.fetch_add(count, Ordering::Relaxed);
    }

    /// Says that the step is this many ns behind its pace.
    pub fn behind(&self, ns: i64) {
        self.behind.store(ns, Ordering::Relaxed);
    }

    /// Says that the step will be over after this time, by its pace.
    pub fn left(&self, left: Duration) {
        if let (Ok(mut ends), Some(end)) = (self.ends.lock(), Instant::now().checked_add(left)) {
            *ends = Some(end);
        }
    }

    /// The progress at this moment.
    pub fn now(&self) -> Now {
        let step = self.steps.load(Ordering::Acquire);
        let (name, unit) = self.step.lock().map(|step| *step).unwrap_or_default();
        let [done, total, different] = [&self.done, &self.total, &self.different].map(|number| number.load(Ordering::Relaxed));
        let behind = Some(self.behind.load(Ordering::Relaxed)).filter(|ns| *ns != NO_PACE && step > 0);
        let ends = self.ends.lock().ok().and_then(|ends| *ends);
        let left = ends.map(|end| end.saturating_duration_since(Instant::now()));
        Now { step, name, unit, done, total, different, behind, left }
    }
}
