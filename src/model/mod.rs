//! The kernel's bookkeeping, replayed: events in, meaning out. Pure Rust, no Arrow, no I/O.

mod step;

pub use step::{End, Expect, Kind, Name, Need, Row, Step};
