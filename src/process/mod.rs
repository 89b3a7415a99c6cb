//! This process: the signals it gets, its standard streams, panics of libraries that it calls, commands that it runs, and what keeps its
//! memory and its calls to itself.

pub(crate) mod group;
pub(crate) mod panics;
pub(crate) mod reserve;
pub(crate) mod seccomp;
pub mod signal;
pub mod stdio;
