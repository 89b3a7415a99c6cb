//! The eBPF programs that run in the kernel, assembled here from pieces.
//!
//! * `program`: programs at entries and returns of calls, forks and ends of tasks; `walk`: iterators over tasks and descriptors
//! * `newcomers`: reports processes that come into the scope; `optional`: io_uring requests; `faults`: page faults on
//!   mapped files
//! * `waits`: when threads sleep, what wakes them, and when they have a processor
//! * `executed`: what an exec makes of a process: command line, user, control group, rank
//! * `reaped`: results of io_submit that programs take without a call
//! * `device`: what block devices are asked to do; `cached`: what a replay brings into the page cache
//! * `parts`, `memory`, `file`, `matches`: pieces of code that the programs share

pub mod cached;
pub mod device;
pub mod executed;
pub mod faults;
pub mod file;
pub mod interrupts;
pub mod matches;
pub mod memory;
pub mod newcomers;
pub mod optional;
pub mod parts;
pub mod program;
pub mod reaped;
pub mod waits;
pub mod walk;
