//! This process: the signals it gets, its standard streams, and panics of libraries that it calls.

pub(crate) mod panics;
pub mod signal;
pub mod stdio;
