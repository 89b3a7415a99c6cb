//! How far a long step is. Library code counts; the command line draws.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

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
}

impl Progress {
    /// Begins a step: its name, unit and total (0 when unknown).
    pub fn begin(&self, name: &'static str, unit: Unit, total: u64) {
        if let Ok(mut step) = self.step.lock() {
            *step = (name, unit);
        }
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.steps.fetch_add(1, Ordering::Release);
    }

    /// Work was done.
    pub fn add(&self, amount: u64) {
        self.done.fetch_add(amount, Ordering::Relaxed);
    }

    /// Number of the step, its name, unit, work done and total.
    pub fn now(&self) -> (u64, &'static str, Unit, u64, u64) {
        let steps = self.steps.load(Ordering::Acquire);
        let (name, unit) = self.step.lock().map(|step| *step).unwrap_or_default();
        (steps, name, unit, self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}
