//! Which ops must wait for which: the parts of it that need state and so are no SQL. Pure Rust, no Arrow.
//!
//! * `packed` touches and resources as numbers
//! * `spans` merges touches of a lane that order the same ops
//! * `prune` drops edges that follow from others, and follows the longest path through those that stay
//! * `causes` says what an op waited for: messages, wakes and timers (`timers`), and how long its own lane took
//! * `requests` what an op waits for in its own lane, where that hands requests over and goes on
//! * `clock` a vector clock: which ops of other lanes are known to be done when an op begins
//!
//! What lies between them, from spans to edges, are stages of generate (contended.sql, phases.sql and follows.sql in sql/generate).

mod causes;
mod clock;
pub mod packed;
mod prune;
mod requests;
mod spans;
mod timers;

pub use causes::{Cause, Causes, Moment, Timing, What};
pub use packed::number;
pub use prune::{Edge, Limits, Prune, Verdict};
pub use requests::{Asked, Held, Requests};
pub use spans::{Mark, Span, Spans};

/// An amount of work: number and captured time of calls of lanes, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Work {
    /// Number of ops.
    pub ops: i64,
    /// Captured time of these ops, ns.
    pub ns: i64,
}

impl Work {
    /// The sum of both, number and time each. Times are those of a capture, and saturate.
    pub fn and(self, other: Work) -> Work {
        Work { ops: self.ops + other.ops, ns: self.ns.saturating_add(other.ns) }
    }

    /// The difference of both, number and time each.
    pub fn less(self, other: Work) -> Work {
        Work { ops: self.ops - other.ops, ns: self.ns.saturating_sub(other.ns) }
    }

    /// The greater of both, number and time each.
    pub fn most(self, other: Work) -> Work {
        Work { ops: self.ops.max(other.ops), ns: self.ns.max(other.ns) }
    }
}
