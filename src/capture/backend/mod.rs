//! The three ways to capture.
//!
//! * `ebpf` programs in the kernel
//! * `ptrace`, `tracee` the same by stopping threads
//! * `stap` by the probes of `systemtap/`

pub mod ebpf;
pub mod ptrace;
pub mod stap;
pub mod tracee;
