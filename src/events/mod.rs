//! Events on their way into a dataset, whatever captured them: what a text capture and a live one share.
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
