//! Which ops must wait for which: the parts that need a memory. Pure Rust, no Arrow.
//!
//! * `spans` puts touches together that need not be told apart
//! * `prune` drops edges that say nothing new, and follows the longest path through those that stay
//! * `clock` what is known to be done when an op begins
//!
//! What lies between them, from spans to edges, are stages of generate (sql/generate/phases.sql and follows.sql).

mod clock;
mod prune;
mod spans;

pub use prune::{Edge, Limits, Prune, Verdict};
pub use spans::{Mark, Span, Spans, number};

/// An amount of work: calls of one lane, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Work {
    /// Ops.
    pub ops: i64,
    /// Their captured time, ns.
    pub ns: i64,
}

impl Work {
    /// The sum.
    pub fn and(self, other: Work) -> Work {
        Work { ops: self.ops + other.ops, ns: self.ns + other.ns }
    }

    /// The difference.
    pub fn less(self, other: Work) -> Work {
        Work { ops: self.ops - other.ops, ns: self.ns - other.ns }
    }

    /// The greater of each.
    pub fn most(self, other: Work) -> Work {
        Work { ops: self.ops.max(other.ops), ns: self.ns.max(other.ns) }
    }
}
