//! This process: the signals it gets, its standard streams, panics of libraries that it calls, and filters of its calls.

pub(crate) mod panics;
pub(crate) mod seccomp;
pub mod signal;
pub mod stdio;
