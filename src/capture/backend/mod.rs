//! The backends: three tracers that a live capture can use.
//!
//! * `ebpf`: eBPF programs in the kernel; `verify`: whether the kernel takes them
//! * `ptrace`, `tracee`: ptrace(2), which stops threads at each call
//! * `stap`: a SystemTap module with the probes of `systemtap/`

pub mod ebpf;
pub mod ptrace;
pub mod stap;
pub mod tracee;
pub mod verify;
