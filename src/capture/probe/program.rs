//! The eBPF programs that run when a task enters or leaves a call, forks or ends.
//!
//! They have no code for single calls: a row of map `calls` tells what to read of each. A captured task has a mark in map
//! `tasks`, which its children inherit at fork. When its current call began is kept in its thread slot
//! ([`crate::capture::kernel::thread_slot`]) or, if it has none, in the mark. For other tasks a call costs one look-up.
//!
//! Paths are read when a call returns: by then the kernel has accessed their pages, so they are in memory; at the entry a page
//! may be missing, and a program cannot wait for it. Only exec, which replaces the memory, is read at its entry.

use super::file::{file, names, typed};
use super::matches::matches;
use super::memory::{behind, requests, strings};
use super::newcomers;
use super::parts::{about, argument, column, fill, frame, longest, only, reserve, room, row_has, scratch, send, submit};
use crate::capture::kernel::asm::Alu::Lsh;
use crate::capture::kernel::asm::Helper;
use crate::capture::kernel::asm::If::{Eq, Gt, Ne, Set, SignedLt};
use crate::capture::kernel::asm::Reg::{R0, R1, R2, R3, R4, R6, R7, R8, R9, R10};
use crate::capture::kernel::asm::Size::{B, DW, H, W};
use crate::capture::kernel::asm::{Asm, Code, Label, Map, Reg};
use crate::capture::kernel::counter::Counter;
use crate::capture::kernel::layout::Layout;
use crate::capture::kernel::percpu::Buffers;
use crate::capture::kernel::record::{FIXED, at, flag as said};
use crate::capture::kernel::row::{NUMBERS, flag};
use crate::capture::kernel::thread_slot::stamp;
use crate::capture::kernel::{compute, percpu, thread_slot};
use crate::capture::target::scope::Match;

/// The eBPF programs that every capture loads.
#[derive(Clone, Debug)]
pub struct Programs {
    /// At tracepoint `sys_enter`, the entry of every call.
    pub enter: Code,
    /// At tracepoint `sys_exit`, the return of every call: makes the record of the call.
    pub exit: Code,
    /// At tracepoint `sched_process_fork`: marks the children of marked tasks.
    pub fork: Code,
    /// At tracepoint `sched_process_exit`: reports the end of marked tasks.
    pub end: Code,
    /// For an iterator over tasks: marks and lists those that are in the scope when the capture begins.
    pub mark: Code,
    /// For an iterator over descriptors: lists the open files of marked tasks.
    pub files: Code,
}

/// Assembles the programs for the layout of a kernel, the per-CPU buffers and a scope; `follow`: children are captured too;
/// `waits`: the programs of [`super::waits`] run, so that processor time is known.
pub fn make(layout: &Layout, buffers: Buffers, scope: &Match, follow: bool, waits: bool) -> Programs {
    Programs {
        enter: enter(layout, scope, waits),
        exit: exit(layout, buffers, waits),
        fork: fork(layout, follow),
        end: end(layout),
        mark: super::walk::mark(layout, scope),
        files: super::walk::files(layout),
    }
}

/// Emits code that adds 1 to a counter in map `counters`. Destroys R0 to R5.
pub(super) fn count(a: &mut Asm, counter: Counter) {
    let none = a.label();
    let offset = 8 * counter as i16;
    only(a, Map::Counters, none);
    a.load(DW, R1, R0, offset);
    a.add(R1, 1);
    a.store(DW, R0, offset, R1);
    a.here(none);
}

/// R0 = address of the mark of the task in register `task`, or null; `make` creates it if it is missing. Destroys R1 to R5.
pub(super) fn find_mark(a: &mut Asm, task: Reg, make: bool) {
    a.map(R1, Map::Tasks);
    a.mov(R2, task);
    a.mov(R3, 0);
    a.mov(R4, i32::from(make));
    a.call(Helper::TaskStorage);
}

/// Marks a task that had no mark a moment ago: R0 = R9 = its mark. Jumps to `known` if another processor has marked it since,
/// and to `out` if the kernel has no memory for a mark.
pub(super) fn make_mark(a: &mut Asm, task: Reg, known: Label, out: Label) {
    let there = a.label();
    // Of two processors that make one at once the slower gets null (bpf_local_storage_update,
    // kernel/bpf/bpf_local_storage.c), and finds the other's mark when it asks again.
    for _ in 0..2 {
        find_mark(a, task, true);
        a.jump(Ne, R0, 0, there);
    }
    count(a, Counter::NoMark);
    a.goto(out);
    a.here(there);
    a.mov(R9, R0);
    a.mov(R0, 0);
    a.mov(R1, 1);
    a.compare_exchange(R9, stamp::COUNTED, R1);
    a.mov(R1, R0);
    a.mov(R0, R9);
    a.jump(Ne, R1, 0, known);
    count(a, Counter::Marked);
    a.mov(R0, R9);
}

/// Common beginning of the programs at entry (`enter` is the scope) and return (`None`): R6 = saved registers, R7 = task, R9 =
/// thread slot or mark; frame fields RET (at the return only), NUMBER and ROW are set. Jumps to `out` when the call is not
/// captured, to `compat` when its form (32-bit call of a 64-bit program) is not decoded.
fn head(a: &mut Asm, k: &Layout, enter: Option<&Match>, out: Label, compat: Label) {
    a.load(DW, R6, R1, 0);
    if enter.is_some() {
        a.load(DW, R2, R1, 8);
    } else {
        a.load(DW, R9, R1, 8);
        a.store(DW, R10, frame::RET, R9);
        if cfg!(target_arch = "x86_64") { a.load(DW, R2, R6, k.number) } else { a.load(W, R2, R6, k.number) }
    }
    a.jump(Gt, R2, NUMBERS as i32 - 1, out);
    if let Some(narrow) = k.narrow {
        // 32-bit programs have numbers, and so rows, of their own.
        let wide = a.label();
        a.load(H, R1, R6, narrow.segment.0);
        a.jump(Ne, R1, narrow.segment.1, wide);
        a.add(R2, NUMBERS as i32);
        a.here(wide);
    }
    a.store(DW, R10, frame::NUMBER, R2);
    a.alu(Lsh, R2, crate::capture::kernel::row::ROW.trailing_zeros() as i32);
    a.map_value(R8, Map::Calls);
    a.add(R8, R2);
    a.store(DW, R10, frame::ROW, R8);
    a.load(B, R1, R8, 0);
    a.jump(Eq, R1, 0, out);
    let (seated, found) = (a.label(), a.label());
    thread_slot::find(a);
    a.load(DW, R1, R9, stamp::OWNER);
    a.jump(Eq, R1, R6, seated);
    a.load(DW, R1, R9, stamp::STRANGER);
    a.jump(Eq, R1, R6, out);
    // To be read before the mark: a missing mark may still appear until the walk over all tasks is done (`settled`).
    a.map_value(R1, Map::Settled);
    a.load(DW, R8, R1, 0);
    a.call(Helper::CurrentTask);
    a.mov(R7, R0);
    find_mark(a, R7, false);
    match enter {
        // Tasks may come into these scopes at any time: they are matched at each call until they have a mark.
        Some(scope) if *scope != Match::Pids => {
            let marked = a.label();
            a.jump(Ne, R0, 0, marked);
            matches(a, k, scope, R7, out);
            make_mark(a, R7, marked, out);
            a.store(DW, R10, frame::JOINED, 1);
            a.here(marked);
        }
        Some(_) => {
            let marked = a.label();
            a.jump(Ne, R0, 0, marked);
            a.jump(Eq, R8, 0, out);
            thread_slot::stranger(a);
            a.goto(out);
            a.here(marked);
        }
        None => a.jump(Eq, R0, 0, out),
    }
    match enter {
        Some(_) => thread_slot::take(a),
        None => a.mov(R9, R0),
    }
    match k.cast {
        // The verifier must see the same type of task pointer on both ways.
        Some(cast) => {
            a.mov(R1, R7);
            a.goto(found);
            a.here(seated);
            a.load(DW, R1, R9, stamp::TASK);
            a.here(found);
            typed(a, cast, cast.task);
            a.mov(R7, R0);
        }
        None => {
            a.goto(found);
            a.here(seated);
            a.call(Helper::CurrentTask);
            a.mov(R7, R0);
            a.here(found);
        }
    }
    let known = a.label();
    if k.narrow.is_some() {
        a.load(DW, R1, R10, frame::NUMBER);
        a.jump(Gt, R1, NUMBERS as i32 - 1, known);
    }
    a.load(W, R1, R7, k.compat.0);
    a.jump(Set, R1, k.compat.1, compat);
    a.here(known);
}

/// Common end of a program: at label `full` (the ring has no room) it adds 1 to counter `lost`; then it returns.
pub fn tail(a: &mut Asm, out: Label, full: Label, lost: Counter) {
    a.goto(out);
    a.here(full);
    count(a, lost);
    a.here(out);
    a.exit();
}

/// Copies the processor time before the call of the thread with the slot or mark R9 to the frame. Destroys R1.
fn computed(a: &mut Asm, waits: bool) {
    if waits {
        a.load(DW, R1, R9, stamp::CPU);
        a.store(DW, R10, frame::CPU, R1);
    }
}

fn enter(k: &Layout, scope: &Match, waits: bool) -> Code {
    let mut a = Asm::default();
    let (out, full) = (a.label(), a.label());
    let comes = *scope != Match::Pids;
    if comes {
        a.store(DW, R10, frame::JOINED, 0);
    }
    // A call in a form that is not decoded is counted once, when it returns.
    head(&mut a, k, Some(scope), out, out);
    a.call(Helper::Now);
    a.store(DW, R9, stamp::TS, R0);
    if comes {
        a.store(DW, R10, frame::NOW, R0);
    }
    if waits {
        compute::begins(&mut a);
    }
    a.load(DW, R1, R10, frame::NUMBER);
    a.add(R1, 1);
    a.store(W, R9, stamp::NUMBER, R1);
    a.load(W, R1, R7, k.at.pid);
    a.store(W, R9, stamp::TID, R1);
    let (seated, counted, told) = (a.label(), a.label(), a.label());
    a.load(DW, R2, R9, stamp::OWNER);
    a.jump(Ne, R2, 0, seated);
    count(&mut a, Counter::Entered);
    a.goto(counted);
    a.here(seated);
    a.load(DW, R2, R9, stamp::ENTERED);
    a.add(R2, 1);
    a.store(DW, R9, stamp::ENTERED, R2);
    a.here(counted);
    row_has(&mut a, flag::AT_ENTRY, told);
    a.load(DW, R1, R9, stamp::TS);
    a.store(DW, R10, frame::START, R1);
    a.store(DW, R10, frame::NOW, R1);
    a.load(W, R1, R9, stamp::TID);
    a.store(DW, R10, frame::TID, R1);
    a.store(DW, R10, frame::FLAGS, i32::from(said::ENTRY));
    a.store(DW, R10, frame::RET, 0);
    computed(&mut a, waits);
    scratch(&mut a, out);
    fill(&mut a, k, waits);
    a.mov(R9, 0);
    strings(&mut a);
    send(&mut a, full);
    a.here(told);
    let each = if comes { newcomers::joined(&mut a, k, out, full) } else { None };
    tail(&mut a, out, full, Counter::Untold);
    if let Some(each) = each {
        newcomers::what_it_has(&mut a, k, each);
    }
    a.finish()
}

fn exit(k: &Layout, buffers: Buffers, waits: bool) -> Code {
    let mut a = Asm::default();
    let (out, full, compat) = (a.label(), a.label(), a.label());
    let (unseen, begun, plain) = (a.label(), a.label(), a.label());
    head(&mut a, k, None, out, compat);
    a.call(Helper::Now);
    a.store(DW, R10, frame::NOW, R0);
    if waits {
        compute::returns(&mut a);
    }
    a.load(DW, R2, R10, frame::NUMBER);
    a.add(R2, 1);
    a.load(W, R1, R9, stamp::NUMBER);
    a.jump(Ne, R1, R2, unseen);
    let seen = a.label();
    a.here(seen);
    a.load(DW, R1, R9, stamp::TS);
    a.store(DW, R10, frame::START, R1);
    a.load(W, R1, R9, stamp::TID);
    a.store(DW, R10, frame::TID, R1);
    a.store(DW, R10, frame::FLAGS, 0);
    a.store(W, R9, stamp::NUMBER, 0);
    computed(&mut a, waits);
    a.goto(begun);
    a.here(unseen);
    // A thread that executes a program of the other width (32 or 64 bits) returns with the number that exec has there.
    let late = a.label();
    a.jump(Eq, R1, 0, late);
    row_has(&mut a, flag::AT_ENTRY, late);
    a.goto(seen);
    a.here(late);
    a.store(DW, R10, frame::START, R0);
    a.load(W, R1, R7, k.at.pid);
    a.store(DW, R10, frame::TID, R1);
    a.store(DW, R10, frame::FLAGS, i32::from(said::NO_ENTRY));
    if waits {
        a.store(DW, R10, frame::CPU, 0);
    }
    a.here(begun);
    row_has(&mut a, flag::VARIABLE, plain);

    longest(&mut a, buffers, out);
    fill(&mut a, k, waits);
    a.mov(R9, 0);
    // Strings of calls that are reported at their entry cannot be read any more.
    let (fresh, after, asked) = (a.label(), a.label(), a.label());
    row_has(&mut a, flag::AT_ENTRY, fresh);
    a.goto(after);
    a.here(fresh);
    strings(&mut a);
    behind(&mut a, asked);
    a.here(after);
    let (no_fd, made, ring, sent) = (a.label(), a.label(), a.label(), a.label());
    row_has(&mut a, flag::MAKES_FD, made);
    a.load(DW, R3, R10, frame::RET);
    a.jump(SignedLt, R3, 0, no_fd);
    file(&mut a, k, no_fd);
    row_has(&mut a, flag::WHERE, no_fd);
    a.load(DW, R1, R10, frame::BUFFER);
    a.jump(Ne, R1, 0, no_fd);
    names(&mut a, k, k.at.path, at::WHERE, said::WHERE);
    a.goto(no_fd);
    a.here(made);
    argument(&mut a, column::FD, no_fd);
    file(&mut a, k, no_fd);
    a.here(no_fd);
    a.load(DW, R2, R10, frame::BUFFER);
    a.jump(Eq, R2, 0, ring);
    percpu::put_long(&mut a, R2);
    a.goto(sent);
    a.here(ring);
    send(&mut a, full);
    a.goto(sent);
    a.here(asked);
    requests(&mut a, no_fd);

    a.here(plain);
    let (crowded, begun) = (a.label(), a.label());
    percpu::room(&mut a, buffers, FIXED, crowded);
    a.goto(begun);
    a.here(crowded);
    room(&mut a, 0, full);
    a.mov(R9, 0);
    a.here(begun);
    fill(&mut a, k, waits);
    let (ready, made, ring) = (a.label(), a.label(), a.label());
    row_has(&mut a, flag::MAKES_FD, made);
    a.load(DW, R3, R10, frame::RET);
    a.jump(SignedLt, R3, 0, ready);
    file(&mut a, k, ready);
    a.goto(ready);
    a.here(made);
    argument(&mut a, column::FD, ready);
    file(&mut a, k, ready);
    a.here(ready);
    a.jump(Eq, R9, 0, ring);
    percpu::put(&mut a, R9);
    a.goto(sent);
    a.here(ring);
    submit(&mut a);
    a.here(sent);
    a.goto(out);
    a.here(compat);
    count(&mut a, Counter::Compat);
    tail(&mut a, out, full, Counter::RingFull);
    a.finish()
}

/// The program at a fork: marks the child of a marked task, and reports a new process. Without `follow` only new threads of a
/// marked process are marked.
fn fork(k: &Layout, follow: bool) -> Code {
    let mut a = Asm::default();
    let (out, known, full) = (a.label(), a.label(), a.label());
    a.load(DW, R6, R1, 0);
    a.load(DW, R7, R1, 8);
    if !follow {
        a.load(W, R1, R6, k.at.tgid);
        a.load(W, R2, R7, k.at.tgid);
        a.jump(Ne, R1, R2, out);
    }
    find_mark(&mut a, R6, false);
    a.jump(Eq, R0, 0, out);
    make_mark(&mut a, R7, known, out);
    a.here(known);
    thread_slot::born(&mut a, k);
    newcomers::forked(&mut a, k, full);
    tail(&mut a, out, full, Counter::Untold);
    a.finish()
}

/// The program at the end of a task: if it has a mark, sends an END record with the number of the call it was in, since it may
/// have been killed without calling exit.
fn end(k: &Layout) -> Code {
    let mut a = Asm::default();
    let (out, full) = (a.label(), a.label());
    a.load(DW, R7, R1, 0);
    find_mark(&mut a, R7, false);
    a.jump(Eq, R0, 0, out);
    a.mov(R9, R0);
    thread_slot::leave(&mut a);
    a.mov(R9, R8);
    count(&mut a, Counter::Ended);
    reserve(&mut a, 0, full);
    about(&mut a, k, R7, said::END);
    a.store(H, R8, at::NUMBER, R9);
    submit(&mut a);
    tail(&mut a, out, full, Counter::Untold);
    a.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::target::scope::By;

    /// The golden listings, for a kernel whose fields are all at 0 but the registers. What changes here changes what runs in
    /// every kernel: read it.
    #[test]
    fn programs_are_these() {
        let layout = Layout::example();
        let programs = make(&layout, Buffers { count: 2, bytes: 1 << 20 }, &Match::Pids, true, true);
        insta::assert_snapshot!("enter", programs.enter);
        insta::assert_snapshot!("fork", programs.fork);
        insta::assert_snapshot!("end", programs.end);
        // Its loop along a path is unrolled: the beginning, up to the file that was opened, says enough.
        let exit = programs.exit.to_string();
        insta::assert_snapshot!("exit", exit.lines().take(300).collect::<Vec<_>>().join("\n"));
        assert!(programs.exit.len() < 4000, "{} instructions", programs.exit.len());
        // What is told of processes that come, up to the same loop.
        let joined =
            make(&layout, Buffers { count: 2, bytes: 1 << 20 }, &Match::Others { own: 1, by: By::All }, true, true).enter;
        insta::assert_snapshot!("joined", joined.to_string().lines().take(330).collect::<Vec<_>>().join("\n"));
        assert_eq!(joined.functions().len(), 2);
    }

    #[test]
    fn every_scope_and_kernel_gives_programs_whose_jumps_lead_somewhere() {
        let layout = Layout { narrow: None, cast: None, loops: false, ..Layout::example() };
        let scopes = [By::All, By::User(u32::MAX - 1), By::Comm(*b"a-name\0\0\0\0\0\0\0\0\0\0"), By::Cgroup(1 << 40)];
        let scopes = scopes.map(|by| Match::Others { own: 1, by });
        for scope in scopes.into_iter().chain([Match::Pids]) {
            for (follow, waits) in [(true, false), (false, true)] {
                let programs = make(&layout, Buffers { count: 2, bytes: 1 << 20 }, &scope, follow, waits);
                for code in [programs.enter, programs.exit, programs.fork, programs.end, programs.mark, programs.files] {
                    assert!(!code.to_string().contains("goto -1\n"), "a jump to itself\n{code}");
                }
            }
        }
    }
}
