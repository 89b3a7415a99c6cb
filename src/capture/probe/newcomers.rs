//! Pieces of the eBPF programs that report processes which come while a capture runs: forked by a captured one, or newcomers
//! (processes that come into the scope).
//!
//! A newcomer (to the scope of a user, a control group or a name) opened files before anybody captured it. Its working and root
//! directory and its open descriptors are read in the kernel at its first call: by the time the reader hears of it, it may have
//! closed everything or ended, and the reader has no privileges left to look.

use super::file::{field, file, names, typed, word};
use super::parts::{about, blank, frame, reserve, scratch, send, submit};
use super::program::{count, find_mark};
use crate::capture::kernel::asm::Alu::{And, Lsh, Rsh};
use crate::capture::kernel::asm::If::{Eq, Ge, Ne};
use crate::capture::kernel::asm::Reg::{R0, R1, R2, R3, R4, R6, R7, R8, R9, R10};
use crate::capture::kernel::asm::Size::{DW, H, W};
use crate::capture::kernel::asm::{Asm, Helper, Label, Map};
use crate::capture::kernel::counter::Counter;
use crate::capture::kernel::layout::Layout;
use crate::capture::kernel::record::{self, at, flag, place};

/// Bytes of a task's name with its NUL (TASK_COMM_LEN).
const COMM: i32 = 16;

/// Sends a FORKED record: the process of task R6 made the process of task R7. Sends nothing when both are one process (a new
/// thread). R8 is lost; jumps to `full` when the ring has no room.
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

/// R0 = the element of map `told` for the process whose leading task is in R8, or null; `make` creates it if it is missing.
fn told(a: &mut Asm, make: bool) {
    a.map(R1, Map::Told);
    a.mov(R2, R8);
    a.mov(R3, 0);
    a.mov(R4, i32::from(make));
    a.call(Helper::TaskStorage);
}

/// Reports the process of the current task and what it has, if the task came into the scope with this call (frame field
/// JOINED) and none of its threads was reported before. R6 to R9 are lost. Returns the label at which [`what_it_has`] must be
/// emitted; `None` where the kernel has no `bpf_loop`: then only the working directory is reported.
pub fn joined(a: &mut Asm, k: &Layout, out: Label, full: Label) -> Option<Label> {
    a.load(DW, R1, R10, frame::JOINED);
    a.jump(Eq, R1, 0, out);
    a.call(Helper::CurrentTask);
    a.mov(R7, R0);
    a.load(DW, R8, R7, k.at.leader);
    told(a, false);
    a.jump(Ne, R0, 0, out);
    told(a, true);
    scratch(a, out);
    blank(a, 0);
    begin(a, k, flag::JOINED);
    a.load(DW, R2, R7, k.at.parent);
    a.load(W, R1, R2, k.at.tgid);
    a.store(DW, R8, at::ARGS, R1);
    a.load(DW, R2, R7, k.at.cred);
    a.load(W, R1, R2, k.at.uid);
    a.store(DW, R8, at::ARGS + 8, R1);
    a.load(W, R1, R2, k.at.gid);
    a.store(DW, R8, at::ARGS + 16, R1);
    let nowhere = a.label();
    a.load(DW, R1, R7, k.at.spaces);
    a.jump(Eq, R1, 0, nowhere);
    a.load(DW, R1, R1, k.at.mount_space);
    a.jump(Eq, R1, 0, nowhere);
    a.load(W, R1, R1, k.at.space_number);
    a.store(DW, R8, at::ARGS + 24, R1);
    a.here(nowhere);
    a.mov(R1, R8);
    a.add(R1, record::FIXED);
    a.mov(R2, COMM);
    a.mov(R3, R7);
    a.add(R3, i32::from(k.at.comm));
    a.call(Helper::ReadKernel);
    a.store(H, R8, at::STRINGS, COMM);
    a.mov(R9, COMM);
    send(a, full);
    if !k.loops {
        // Without loops the verifier can follow only one walk up a path here: that from the working directory.
        a.store(DW, R10, frame::NUMBER, place::CWD);
        one(a, k, out, out, full);
        return None;
    }
    let each = a.label();
    a.mov(R1, place::LAST + 1);
    a.function(R2, each);
    a.mov(R3, R10);
    a.add(R3, i32::from(frame::NOW));
    a.mov(R4, 0);
    a.call(Helper::Loop);
    Some(each)
}

/// Emits the function that `bpf_loop` calls for each place of the current process (working directory, root, descriptors): R1
/// is the number of the place, R2 points to the time of the call (frame field NOW). It returns 1 when there are no more places.
pub fn what_it_has(a: &mut Asm, k: &Layout, each: Label) {
    let (next, last) = (a.label(), a.label());
    a.here(each);
    a.store(DW, R10, frame::NUMBER, R1);
    a.load(DW, R1, R2, 0);
    a.store(DW, R10, frame::NOW, R1);
    a.call(Helper::CurrentTask);
    a.mov(R7, R0);
    let full = a.label();
    one(a, k, next, last, full);
    a.goto(next);
    a.here(full);
    count(a, Counter::Untold);
    a.here(next);
    a.exit();
    a.here(last);
    a.give(1);
}

/// Begins the record at R8 about task R7 with this flag; its time is the start of the task's call (frame field NOW), since what
/// the process has was open by then.
fn begin(a: &mut Asm, k: &Layout, flag: u16) {
    about(a, k, R7, flag);
    a.load(DW, R1, R10, frame::NOW);
    a.store(DW, R8, at::TS, R1);
}

/// Sends a PLACE record of one place (its number is in frame field NUMBER) of task R7. Jumps to `none` when the place is empty,
/// to `last` when it is beyond the descriptor table, and to `full` when the ring has no room or there are too many descriptors.
/// R6 to R9 are lost.
fn one(a: &mut Asm, k: &Layout, none: Label, last: Label, full: Label) {
    scratch(a, none);
    blank(a, 0);
    begin(a, k, flag::PLACE);
    a.load(DW, R3, R10, frame::NUMBER);
    a.store(DW, R8, at::ARGS, R3);
    let (cwd, root, walk) = (a.label(), a.label(), a.label());
    a.jump(Eq, R3, place::CWD, cwd);
    a.jump(Eq, R3, place::ROOT, root);

    a.load(DW, R1, R7, k.at.files);
    a.jump(Eq, R1, 0, last);
    a.load(DW, R1, R1, k.at.table);
    a.load(W, R2, R1, k.at.most);
    a.add(R3, -place::FILES);
    a.jump(Ge, R3, R2, last);
    a.jump(Eq, R3, place::LAST - place::FILES, full);
    file(a, k, none);
    a.load(DW, R1, R10, frame::POINTER);
    a.store(DW, R8, at::ARGS + 8, R1);
    // Close-on-exec is a bit of the descriptor table, not of the file.
    a.load(DW, R1, R7, k.at.files);
    a.load(DW, R1, R1, k.at.table);
    a.load(DW, R3, R1, k.at.cloexec);
    a.load(DW, R2, R10, frame::NUMBER);
    a.add(R2, -place::FILES);
    a.mov(R9, R2);
    a.alu(And, R9, 63);
    a.alu(Rsh, R2, 6);
    a.alu(Lsh, R2, 3);
    a.add(R3, R2);
    word(a, k);
    a.alu(Rsh, R1, R9);
    a.alu(And, R1, 1);
    a.store(DW, R8, at::ARGS + 16, R1);
    a.load(DW, R1, R10, frame::POINTER);
    a.add(R1, i32::from(k.at.path));
    a.goto(walk);

    for (directory, offset) in [(cwd, k.at.pwd), (root, k.at.root)] {
        a.here(directory);
        a.load(DW, R1, R7, k.at.fs);
        a.jump(Eq, R1, 0, none);
        a.add(R1, i32::from(offset));
        a.goto(walk);
    }

    a.here(walk);
    match k.cast {
        Some(cast) => typed(a, cast, cast.path),
        None => a.mov(R0, R1),
    }
    a.store(DW, R10, frame::POINTER, R0);
    // A name (dentry) that is not hashed was deleted; the root of a file system is not hashed but never deleted.
    let named = a.label();
    a.mov(R7, R0);
    field(a, k, DW, R6, R7, k.at.dentry);
    field(a, k, DW, R1, R6, k.at.hashed);
    a.jump(Ne, R1, 0, named);
    field(a, k, DW, R1, R6, k.at.dentry_parent);
    a.jump(Eq, R1, R6, named);
    a.store(DW, R8, at::ARGS + 24, 1);
    a.here(named);
    a.mov(R9, 0);
    names(a, k, 0, at::WHERE, flag::WHERE);
    send(a, full);
}

/// R7 = the current task; jumps to `out` unless it or its leading thread has a mark (worker threads of io_uring have no mark
/// of their own).
pub fn ours(a: &mut Asm, k: &Layout, out: Label) {
    let yes = a.label();
    a.call(Helper::CurrentTask);
    a.mov(R7, R0);
    find_mark(a, R7, false);
    a.jump(Ne, R0, 0, yes);
    a.load(DW, R8, R7, k.at.leader);
    find_mark(a, R8, false);
    a.jump(Eq, R0, 0, out);
    a.here(yes);
}
