//! What issues an op: the kernel, or nothing at all.

use crate::dice::mix;
use crate::replay::shared::call::Call;
use crate::replay::shared::record::UNKNOWN;
use std::time::Duration;

/// Issues ops. The worker times [`Issue::issue`] alone.
pub trait Issue {
    /// Everything the call needs that is not the call: buffers, the working directory. Says why the call is not to be
    /// issued, if it is not.
    fn prepare(&mut self, call: Call<'_>) -> Option<Refusal>;

    /// Issues the call. Returns its outcome, `-errno` for a failure.
    fn issue(&mut self, call: Call<'_>) -> i64;

    /// Books the effect: a new descriptor, a closed one, another working directory.
    fn settle(&mut self, call: Call<'_>, ret: i64);
}

/// A call that is not issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it counts as: `-errno`.
    pub ret: i64,
    /// For the comparison, see [`crate::replay::shared::record`].
    pub note: u8,
}

/// Does nothing and says what was captured: measures our own cost.
#[derive(Debug)]
pub struct Null;

impl Issue for Null {
    #[inline]
    fn prepare(&mut self, _call: Call<'_>) -> Option<Refusal> {
        None
    }

    #[inline]
    fn issue(&mut self, call: Call<'_>) -> i64 {
        if call.captured == UNKNOWN { 0 } else { call.captured }
    }

    #[inline]
    fn settle(&mut self, _call: Call<'_>, _ret: i64) {}
}

/// An engine that dawdles before some ops, by a seed: what an order does not hold together falls apart.
#[derive(Debug)]
pub struct Delayed<E> {
    /// The engine.
    pub engine: E,
    /// Seed; `None` for no delays.
    pub seed: Option<u64>,
}

impl<E> Delayed<E> {
    /// Longest delay, us.
    const LONGEST: u64 = 500;

    /// A delay for one op in four, the same for an op in every replay with this seed.
    fn delay(seed: u64, op_id: i64) -> Option<Duration> {
        let hash = mix(seed ^ mix(op_id as u64));
        (hash & 3 == 0).then(|| Duration::from_micros((hash >> 2) % Self::LONGEST))
    }
}

impl<E: Issue> Issue for Delayed<E> {
    #[inline(always)]
    fn prepare(&mut self, call: Call<'_>) -> Option<Refusal> {
        if let Some(delay) = self.seed.and_then(|seed| Self::delay(seed, call.op_id)) {
            std::thread::sleep(delay);
        }
        self.engine.prepare(call)
    }

    #[inline(always)]
    fn issue(&mut self, call: Call<'_>) -> i64 {
        self.engine.issue(call)
    }

    #[inline(always)]
    fn settle(&mut self, call: Call<'_>, ret: i64) {
        self.engine.settle(call, ret);
    }
}
