//! Processes that come while a capture runs: made by one that is captured, or found in the scope. The kernel's side of it.
//!
//! A process that comes into a scope (a user's, a control group's, that of a name) was elsewhere before: what its relative
//! paths mean is read at its first call, in the kernel, since by the time this process hears of it, it may have moved on,
//! and this process has no rights left to look.

use super::asm::If::{Eq, Ne};
use super::asm::Reg::{R0, R1, R2, R3, R6, R7, R8, R9, R10};
use super::asm::Size::{DW, H, W};
use super::asm::{Asm, Helper, Label};
use super::file::names;
use super::layout::Layout;
use super::parts::{about, blank, reserve, scratch, send, slot, submit};
use super::record::{self, at, flag};

/// Length of a task's name (TASK_COMM_LEN).
const COMM: i32 = 16;

/// Tells that the process of the task in R6 made that of the task in R7. R8 is lost.
pub fn forked(a: &mut Asm, k: &Layout, full: Label) {
    let thread = a.label();
    a.load(W, R1, R6, k.at.tgid);
    a.load(W, R2, R7, k.at.tgid);
    a.jump(Eq, R1, R2, thread);
    reserve(a, 0, full);
    about(a, k, R6, flag::FORKED);
    a.load(W, R1, R7, k.at.tgid);
    a.store(W, R8, at::TID, R1);
    submit(a);
    a.here(thread);
}

/// Tells of the task in R7, if it came into the scope with this call (slot JOINED). R6 to R9 are lost.
pub fn joined(a: &mut Asm, k: &Layout, out: Label, full: Label) {
    a.load(DW, R1, R10, slot::JOINED);
    a.jump(Eq, R1, 0, out);
    scratch(a, out);
    blank(a, 0);
    about(a, k, R7, flag::JOINED);
    a.load(DW, R2, R7, k.at.parent);
    a.load(W, R1, R2, k.at.tgid);
    a.store(DW, R8, at::ARGS, R1);
    a.load(DW, R2, R7, k.at.cred);
    a.load(W, R1, R2, k.at.uid);
    a.store(DW, R8, at::ARGS + 8, R1);
    a.load(W, R1, R2, k.at.gid);
    a.store(DW, R8, at::ARGS + 16, R1);
    a.mov(R1, R8);
    a.add(R1, record::FIXED);
    a.mov(R2, COMM);
    a.mov(R3, R7);
    a.add(R3, i32::from(k.at.comm));
    a.call(Helper::ReadKernel);
    a.store(H, R8, at::STRINGS, COMM);
    a.mov(R9, COMM);
    // One walk is what a verifier can follow here; roots other than / are rare, and no replay needs them.
    let none = a.label();
    a.load(DW, R1, R7, k.at.fs);
    a.jump(Eq, R1, 0, none);
    a.store(DW, R10, slot::POINTER, R1);
    names(a, k, k.at.pwd, at::WHERE, flag::WHERE);
    a.here(none);
    send(a, full);
}

/// Jumps to `out` unless the current task is captured, or is a helper of one that is (the threads of io_uring have no
/// mark of their own). R7 = the current task.
pub fn ours(a: &mut Asm, k: &Layout, out: Label) {
    let yes = a.label();
    a.call(Helper::CurrentTask);
    a.mov(R7, R0);
    super::program::find_mark(a, R7, false);
    a.jump(Ne, R0, 0, yes);
    a.load(DW, R8, R7, k.at.leader);
    super::program::find_mark(a, R8, false);
    a.jump(Eq, R0, 0, out);
    a.here(yes);
}
