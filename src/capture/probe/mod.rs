//! The programs that run in the kernel, and their pieces.
//!
//! * `program` at calls, forks and ends of tasks; `walk` over all tasks and descriptors
//! * `newcomers`, `optional` for processes that come, for requests and page faults
//! * `parts`, `memory`, `file`, `matches` the pieces

pub mod file;
pub mod matches;
pub mod memory;
pub mod newcomers;
pub mod optional;
pub mod parts;
pub mod program;
pub mod walk;
