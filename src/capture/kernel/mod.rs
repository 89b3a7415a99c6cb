//! What the running kernel is told and tells: its types, programs for it, the memory that they write.
//!
//! * `btf`, `layout` where the running kernel keeps things; `asm` instructions, `bpf` loads them
//! * `row` what the programs read of each call, `record` what they write of it, `counter` what they count
//! * `thread_slot` where a program finds what the one before it left
//! * `percpu` how records leave the kernel; `ring`, `drain` how they are read

pub mod asm;
pub mod bpf;
pub mod btf;
pub mod counter;
pub mod drain;
pub mod layout;
pub mod percpu;
pub mod record;
pub mod ring;
pub mod row;
pub mod thread_slot;
