//! Engines, which issue ops: by real syscalls ([`super::sys`]) or not at all ([`Null`]).

use super::request::port::Request;
use crate::dice::mix;
use crate::replay::shared::call::Call;
use crate::replay::shared::record::UNKNOWN;
use std::time::Duration;

/// An engine: issues ops for one worker, which times [`Issue::issue`] alone.
pub trait Issue {
    /// Sets up what the call needs: buffers, the working directory. Returns why the call must not be issued, or `None`.
    fn prepare(&mut self, call: Call<'_>) -> Option<Refusal>;

    /// Issues the call and returns its outcome: the kernel's return value, `-errno` for a failure.
    fn issue(&mut self, call: Call<'_>) -> i64;

    /// The request that does what the prepared call would do; `None` when it has to be a call.
    fn request(&self, _call: Call<'_>) -> Option<Request> {
        None
    }

    /// Records the effect of the call in the engine's state: a new descriptor, a closed one, another working directory.
    fn settle(&mut self, call: Call<'_>, ret: i64);
}

/// Why a call is not issued, and the outcome it gets instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The outcome recorded for it: `-errno`.
    pub ret: i64,
    /// Note bit for the comparison, see [`crate::replay::shared::record`]; 0 when it is set already.
    pub note: u8,
}

/// Engine `null`: issues nothing and returns the captured outcome (0 if unknown), to measure our own cost.
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

/// An engine that sleeps before some ops, chosen by a seed: ops that the order does not hold back get out of order, which
/// tests use.
#[derive(Debug)]
pub struct Delayed<E> {
    /// The engine that issues the ops.
    pub engine: E,
    /// Seed that chooses the delayed ops; `None` for no delays.
    pub seed: Option<u64>,
}

impl<E> Delayed<E> {
    /// Upper bound of a delay, us.
    const LONGEST: u64 = 500;

    /// The delay before an op, for one op in four; with the same seed an op is delayed alike in every replay.
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

    fn request(&self, call: Call<'_>) -> Option<Request> {
        self.engine.request(call)
    }

    #[inline(always)]
    fn settle(&mut self, call: Call<'_>, ret: i64) {
        self.engine.settle(call, ret);
    }
}
