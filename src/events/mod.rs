//! Events on their way into a dataset, from texts and from live captures: put in the order of their effects, repaired,
//! written.
//!
//! ```text
//! event, placed (Key) ──▶ order: by the instants of their effects ──▶ repair: what cannot have been so ──▶ write: events.parquet
//! ```

pub(crate) mod facts;
pub(crate) mod guard;
pub(crate) mod order;
mod repair;
pub(crate) mod write;

pub use repair::{Kind as Repair, Repairs, told};
pub(crate) use repair::{Lines, Turns};
