//! Tests of init and replay, on workloads made in code.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod hostile;
mod killed;
mod ops;
mod order;
#[cfg(feature = "sql")]
mod order_programs;
mod roots;
mod speed;
mod work;
