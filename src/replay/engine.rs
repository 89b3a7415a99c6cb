//! What issues an op: the kernel, or nothing at all.

use super::call::{Batch, Call};

/// Issues ops. The worker times [`Issue::issue`] alone.
pub trait Issue {
    /// Everything the call needs that is not the call: buffers, the working directory. Returns what the comparison must
    /// know ([`super::record`]), and the outcome when the call is not to be issued.
    fn prepare(&mut self, call: &Call, batch: &Batch) -> (u8, Option<i64>);

    /// Issues the call. Returns its outcome, `-errno` for a failure.
    fn issue(&mut self, call: &Call, batch: &Batch) -> i64;

    /// Books the effect: a new descriptor, a closed one, another working directory.
    fn settle(&mut self, call: &Call, ret: i64);
}

/// Does nothing and says what was captured: measures our own cost.
#[derive(Debug)]
pub struct Null;

impl Issue for Null {
    fn prepare(&mut self, _call: &Call, _batch: &Batch) -> (u8, Option<i64>) {
        (0, None)
    }

    fn issue(&mut self, call: &Call, _batch: &Batch) -> i64 {
        call.captured().unwrap_or(0)
    }

    fn settle(&mut self, _call: &Call, _ret: i64) {}
}
