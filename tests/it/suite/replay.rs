//! Tests of init and replay, on workloads made in code.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod attacks;
mod cached;
mod content;
mod contents;
mod data;
mod flaws;
mod hostile;
mod in_memory;
mod invalid;
mod killed;
mod knows;
mod layout;
mod ops;
mod order;
#[cfg(feature = "sql")]
mod order_programs;
pub mod parts;
mod places;
mod predict;
mod regroup;
mod requests;
mod rights;
mod roots;
mod speed;
pub mod targets;
pub mod witness;
pub mod work;
