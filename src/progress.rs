//! How far a long step is. Library code counts; the command line draws.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Unit of a step's work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Things: lines, events, ops, files.
    #[default]
    Count,
    /// Bytes.
    Bytes,
}

/// A counter that many threads may move, cheap enough to be moved once per batch.
#[derive(Debug, Default)]
pub struct Progress {
    step: Mutex<(&'static str, Unit)>,
    steps: AtomicU64,
    total: AtomicU64,
    done: AtomicU64,
    different: AtomicU64,
    /// ns behind the pace, or [`NO_PACE`].
    behind: AtomicI64,
    /// When a step that keeps a pace will be over.
    ends: Mutex<Option<Instant>>,
}

/// There is no pace to be behind of.
const NO_PACE: i64 = i64::MIN;

/// How far a step is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Number of the step, from 1; 0 before the first.
    pub step: u64,
    /// Its name.
    pub name: &'static str,
    /// Unit of its work.
    pub unit: Unit,
    /// Work done.
    pub done: u64,
    /// All work, 0 when unknown.
    pub total: u64,
    /// Outcomes that differ from the captured ones.
    pub different: u64,
    /// Behind the pace, ns; ahead of it when negative; `None` without a pace.
    pub behind: Option<i64>,
    /// Time left by the pace; `None` without one.
    pub left: Option<Duration>,
}

impl Progress {
    /// Begins a step: its name, unit and total (0 when unknown).
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

    /// Work was done.
    pub fn add(&self, amount: u64) {
        self.done.fetch_add(amount, Ordering::Relaxed);
    }

    /// Outcomes differ from the captured ones.
    pub fn differ(&self, count: u64) {
        self.different.fetch_add(count, Ordering::Relaxed);
    }

    /// The work is so many ns behind its pace.
    pub fn behind(&self, ns: i64) {
        self.behind.store(ns, Ordering::Relaxed);
    }

    /// By its pace the step will be over after this time.
    pub fn left(&self, left: Duration) {
        if let (Ok(mut ends), Some(end)) = (self.ends.lock(), Instant::now().checked_add(left)) {
            *ends = Some(end);
        }
    }

    /// How far the work is.
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
