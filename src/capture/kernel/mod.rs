//! The interface to the running kernel: its types (BTF), eBPF programs and maps, and the memory that the programs write.
//!
//! * `btf`, `layout`: offsets of kernel structures; `asm`: assembler for eBPF; `bpf`: the bpf(2) system call
//! * `row`: what the programs read of each call; `record`: the format in which they report it; `counter`: what they count
//! * `thread_slot`: per-thread memory in which the program at a call's entry leaves data for the one at its return
//! * `compute`: the processor time of a thread between its calls
//! * `percpu`: buffers of each processor for records; `ring`, `drain`: how this process reads buffers and ring

pub mod asm;
pub mod bpf;
pub mod btf;
pub mod compute;
pub mod counter;
pub mod drain;
pub mod layout;
pub mod percpu;
pub mod record;
pub mod ring;
pub mod row;
pub mod thread_slot;
