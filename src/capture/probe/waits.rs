//! The eBPF programs that tell when captured threads sleep, what wakes them, and how long they have a processor.
//!
//! ```text
//! sched_switch   prev leaves its processor: mark.OFF, mark.SLEPT
//! sched_waking   somebody wakes it:         mark.WOKEN, mark.WAKE, mark.WAKER
//! sched_switch   next has a processor:      BASE += now - OFF; if it slept: a WAITED record
//! ```
//!
//! Every task of the machine passes here, so the mark is looked for before anything else is done. In an interrupt the current
//! task is whoever was interrupted: the preemption count of the processor tells, and nothing is attributed to that task then, but in
//! one case: what a thread sends to its own machine is received in a soft interrupt at the end of its call. So the wake of a soft
//! interrupt, no timer's, while a captured thread is in a call that sends, is taken for the work of that thread, and said to be
//! ([`Wake::Network`]). What another thread serves later (ksoftirqd) stays an interrupt's.
//! Whether an interrupt is a timer's is known from the tracepoints around the functions of timers. A wake may be seen before the
//! thread has left its processor, since the kernel decides that it sleeps a moment earlier; so the last wake since the thread ran
//! counts, whenever it was.
//!
//! Not told are waits inside calls on files, for the duration of the call says how long the file took, unless a captured thread
//! ended them ([`flag::WAITS`]).

use super::file::{in_call, open_file, typed, word};
use super::interrupts::{Context, timing};
use super::optional::Optional;
use super::parts::{blank, frame, read_kernel, room, submit};
use super::program::{find_mark, tail};
use crate::capture::kernel::asm::Alu::{And, Lsh, Sub};
use crate::capture::kernel::asm::If::{Eq, Ge, Gt, Ne, Set, SignedLt};
use crate::capture::kernel::asm::Reg::{R0, R1, R2, R3, R4, R6, R7, R8, R9, R10};
use crate::capture::kernel::asm::Size::{B, DW, H, W};
use crate::capture::kernel::asm::{Asm, Code, Helper, Label, Map};
use crate::capture::kernel::btf::{Btf, Kind};
use crate::capture::kernel::counter::Counter;
use crate::capture::kernel::layout::Layout;
use crate::capture::kernel::record::{at, flag as said};
use crate::capture::kernel::row::{NUMBERS, ROW, ROWS, flag};
use crate::capture::kernel::thread_slot::{self, stamp};
use crate::syscall::Wake;
use anyhow::Result;

/// What of the kernel these programs need beside [`Layout`].
#[derive(Clone, Copy, Debug)]
pub struct Scheduler {
    /// Offset in `struct task_struct` of its state: 0 while it could run.
    state: i16,
    /// How to find out whether a program runs in an interrupt.
    context: Context,
    /// Offset in `struct task_struct` of the signals that wait for the task.
    signals: i16,
    /// Offset in `struct super_block` of the number that says which kind of file system it is.
    magic: i16,
    /// The byte of `struct task_struct` that says whether it waits for a disk, and the bit that does.
    disk: (i16, i32),
}

/// Bit of SIGKILL in a set of signals.
const KILLED: i32 = 1 << (libc::SIGKILL - 1);
/// Kind of file system of eventfd, timerfd and the like (ANON_INODE_FS_MAGIC), whose mode may be that of a regular file.
const ANONYMOUS: i32 = 0x0904_1934;

impl Scheduler {
    /// Finds it in the BTF of a kernel.
    ///
    /// # Errors
    /// When the kernel does not show where its preemption count or the state of a task is.
    pub fn find(btf: &Btf) -> Result<Scheduler> {
        let state = btf.offset("task_struct.__state").or_else(|_| btf.offset("task_struct.state"))?;
        let (signals, magic) = (btf.offset("task_struct.pending.signal")?, btf.offset("super_block.s_magic")?);
        Ok(Scheduler { state, context: Context::find(btf)?, signals, magic, disk: btf.bit("task_struct.in_iowait")? })
    }
}

/// Makes the programs at switches and wakes.
///
/// # Errors
/// When the kernel does not show them.
pub fn programs(btf: &Btf, k: &Layout) -> Result<[Optional; NEEDED]> {
    let s = Scheduler::find(btf)?;
    Ok([
        Optional { name: "ioriot_switch", code: switch(k, &s), hook: btf.id(Kind::Typedef, "btf_trace_sched_switch")? },
        Optional { name: "ioriot_waking", code: waking(k, &s), hook: btf.id(Kind::Typedef, "btf_trace_sched_waking")? },
    ])
}

/// Number of the programs without which there is nothing to tell: those of [`programs`].
pub const NEEDED: usize = 2;

/// The program at a wake: notes in the mark of the task that is woken (the first argument) when, and what wakes it.
fn waking(k: &Layout, s: &Scheduler) -> Code {
    let mut a = Asm::default();
    let [out, hard, soft, timed, other, known] = std::array::from_fn(|_| a.label());
    a.load(DW, R7, R1, 0);
    find_mark(&mut a, R7, false);
    a.jump(Eq, R0, 0, out);
    a.mov(R9, R0);
    a.call(Helper::Now);
    a.store(DW, R9, stamp::WOKEN, R0);
    a.store(W, R9, stamp::WAKER, 0);
    s.context.which(&mut a, k, [hard, soft, out]);
    a.call(Helper::CurrentTask);
    a.mov(R7, R0);
    find_mark(&mut a, R7, false);
    a.mov(R8, Wake::Outside.number() as i32);
    a.jump(Eq, R0, 0, known);
    a.load(W, R1, R7, k.at.pid);
    a.store(W, R9, stamp::WAKER, R1);
    a.mov(R8, Wake::Thread.number() as i32);
    a.goto(known);
    a.here(soft);
    timing(&mut a, out);
    a.load(DW, R1, R0, 8);
    a.jump(Ne, R1, 0, timed);
    s.context.sender(&mut a, k, other);
    a.store(W, R9, stamp::WAKER, R8);
    a.mov(R8, Wake::Network.number() as i32);
    a.goto(known);
    a.here(hard);
    timing(&mut a, out);
    a.load(DW, R1, R0, 0);
    a.jump(Ne, R1, 0, timed);
    a.here(other);
    a.mov(R8, Wake::Interrupt.number() as i32);
    a.goto(known);
    a.here(timed);
    a.mov(R8, Wake::Timer.number() as i32);
    a.here(known);
    a.store(W, R9, stamp::WAKE, R8);
    a.here(out);
    a.exit();
    a.finish()
}

/// The program at a switch. Arguments: 1 if the processor is taken from the task that leaves it, that task, and the next one.
fn switch(k: &Layout, s: &Scheduler) -> Code {
    let mut a = Asm::default();
    let [next, out, full] = std::array::from_fn(|_| a.label());
    a.mov(R6, R1);
    a.load(DW, R7, R6, 8);
    find_mark(&mut a, R7, false);
    a.jump(Eq, R0, 0, next);
    a.mov(R9, R0);
    a.call(Helper::Now);
    a.store(DW, R9, stamp::OFF, R0);
    a.store(DW, R9, stamp::SLEPT, 0);
    a.load(DW, R1, R6, 0);
    a.jump(Set, R1, 1, next);
    a.load(W, R1, R7, s.state);
    a.jump(Eq, R1, 0, next);
    a.load(DW, R1, R9, stamp::OVER);
    a.jump(Ne, R1, 0, next);
    a.store(DW, R9, stamp::SLEPT, 1);
    a.here(next);

    a.load(DW, R7, R6, 16);
    find_mark(&mut a, R7, false);
    a.jump(Eq, R0, 0, out);
    a.mov(R9, R0);
    a.call(Helper::Now);
    a.store(DW, R10, frame::NOW, R0);
    thread_slot::of_mark(&mut a);
    has_a_processor(&mut a);
    // What woke it is forgotten before it runs, so that it is not taken for what wakes it the next time.
    for (field, size, slot) in [(stamp::WOKEN, DW, WOKEN), (stamp::WAKER, W, WAKER), (stamp::WAKE, W, WAKE)] {
        a.load(size, R1, R9, field);
        a.store(DW, R10, slot, R1);
        a.store(size, R9, field, 0);
    }
    a.load(DW, R1, R9, stamp::SLEPT);
    a.jump(Eq, R1, 0, out);
    // Who is woken to die does nothing any more: for all who read the events, the end of its process was before.
    a.load(DW, R1, R7, s.signals);
    a.jump(Set, R1, KILLED, out);
    a.load(W, R1, R8, stamp::NUMBER);
    a.store(DW, R10, frame::NUMBER, R1);
    of_use(&mut a, k, s, out);
    asleep_in_fault(&mut a, k, s);
    room(&mut a, 0, full);
    blank(&mut a, 0);
    waited(&mut a, k);
    submit(&mut a);
    tail(&mut a, out, full, Counter::Waits);
    a.finish()
}

/// Fields of the frame: when the thread was woken, by which thread, and by what.
const WOKEN: i16 = frame::START;
const WAKER: i16 = frame::TID;
const WAKE: i16 = frame::FLAGS;

/// The thread with the mark R9 and the slot (or mark) R8 has had no processor until the time in R0. Destroys R1 and R2.
fn has_a_processor(a: &mut Asm) {
    let (new, unknown, set) = (a.label(), a.label(), a.label());
    a.load(DW, R2, R9, stamp::OFF);
    a.jump(Eq, R2, 0, new);
    a.load(DW, R1, R8, stamp::BASE);
    a.jump(Eq, R1, 0, unknown);
    a.add(R1, R0);
    a.alu(Sub, R1, R2);
    a.goto(set);
    // It was made, or marked while it had none: it begins to compute.
    a.here(new);
    a.mov(R1, R0);
    a.here(set);
    a.store(DW, R8, stamp::BASE, R1);
    a.here(unknown);
}

/// Jumps to `out` unless the wait of task R7 is told: R8 is its slot (or its mark), frame field NUMBER the number of the call
/// that it is in, plus one. Destroys R6.
fn of_use(a: &mut Asm, k: &Layout, s: &Scheduler, out: Label) {
    let tell = a.label();
    a.load(DW, R2, R10, frame::NUMBER);
    a.jump(Eq, R2, 0, tell);
    a.load(DW, R1, R10, WAKE);
    a.jump(Eq, R1, Wake::Thread.number() as i32, tell);
    a.jump(Eq, R1, Wake::Network.number() as i32, tell);
    a.add(R2, -1);
    a.jump(Gt, R2, ROWS as i32 - 1, out);
    a.alu(Lsh, R2, ROW.trailing_zeros() as i32);
    a.map_value(R1, Map::Calls);
    a.add(R1, R2);
    a.load(B, R1, R1, 0);
    a.jump(Set, R1, i32::from(flag::ALWAYS_WAITS), tell);
    a.alu(And, R1, i32::from(flag::WAITS));
    a.jump(Eq, R1, 0, out);
    // The saved registers of a thread without a slot are not known.
    a.load(DW, R6, R8, stamp::OWNER);
    a.jump(Eq, R6, 0, tell);
    a.mov(R3, i32::from(k.args[0]));
    if let Some(narrow) = k.narrow {
        let wide = a.label();
        a.load(DW, R1, R10, frame::NUMBER);
        a.jump(SignedLt, R1, NUMBERS as i32 + 1, wide);
        a.mov(R3, i32::from(narrow.args[0]));
        a.here(wide);
    }
    a.add(R3, R6);
    word(a, k);
    a.mov(R3, R1);
    open_file(a, k, out);
    on_a_file(a, k, s, out);
    a.here(tell);
}

/// Jumps to `yes` when the `struct file` at the address in R1 is a regular file, a directory or a block device.
fn on_a_file(a: &mut Asm, k: &Layout, s: &Scheduler, yes: Label) {
    let no = a.label();
    match k.cast {
        Some(cast) => {
            typed(a, cast, cast.file);
            a.load(DW, R1, R0, k.at.inode);
            a.load(H, R2, R1, k.at.mode);
            a.load(DW, R1, R1, k.at.super_block);
            a.load(DW, R3, R1, s.magic);
        }
        None => {
            let next = |a: &mut Asm, offset: i16, size: i32, to: i16| {
                a.add(R3, i32::from(offset));
                a.store(DW, R10, to, 0);
                read_kernel(a, to, size);
                a.load(DW, R3, R10, frame::POINTER);
            };
            a.mov(R3, R1);
            next(a, k.at.inode, 8, frame::POINTER);
            next(a, k.at.mode, 2, frame::PARENT);
            next(a, k.at.super_block, 8, frame::POINTER);
            next(a, s.magic, 8, frame::POINTER);
            a.load(DW, R2, R10, frame::PARENT);
        }
    }
    a.alu(And, R2, libc::S_IFMT as i32);
    a.jump(Eq, R2, libc::S_IFDIR as i32, yes);
    a.jump(Eq, R2, libc::S_IFBLK as i32, yes);
    a.jump(Ne, R2, libc::S_IFREG as i32, no);
    a.jump(Ne, R3, ANONYMOUS, yes);
    a.here(no);
}

/// Fills the WAITED record at R8 about task R7 with the mark R9. A wake that was seen before the thread had left its processor
/// ended its sleep at once; one that was not seen is taken to have come when it ran again.
fn waited(a: &mut Asm, k: &Layout) {
    let (seen, asleep) = (a.label(), a.label());
    a.load(DW, R2, R9, stamp::OFF);
    a.load(DW, R3, R10, WOKEN);
    a.load(DW, R4, R10, frame::NOW);
    a.jump(Ne, R3, 0, seen);
    a.mov(R3, R4);
    a.here(seen);
    a.jump(Ge, R3, R2, asleep);
    a.mov(R3, R2);
    a.here(asleep);
    a.store(DW, R8, at::TS, R2);
    a.alu(Sub, R4, R3);
    a.store(DW, R8, at::RET, R4);
    a.alu(Sub, R3, R2);
    a.store(DW, R8, at::DUR, R3);
    for (size, slot, to) in [(DW, WAKER, at::ARGS), (DW, WAKE, at::ARGS + 8), (H, frame::NUMBER, at::NUMBER)] {
        a.load(DW, R1, R10, slot);
        a.store(size, R8, to, R1);
    }
    a.load(W, R1, R7, k.at.tgid);
    a.store(W, R8, at::PID, R1);
    a.load(W, R1, R7, k.at.pid);
    a.store(W, R8, at::TID, R1);
    a.store(H, R8, at::FLAGS, i32::from(said::WAITED));
    in_fault(a);
}

/// Frame field: 1 if the thread slept in a page fault on a mapped file, else 0.
const IN_FAULT: i16 = frame::BEGIN;

/// Sets [`IN_FAULT`] for the thread R7 with the mark R9 and the slot (or mark) R8: did it sleep in the fault that the mark keeps? Who
/// sleeps in a fault waits for a disk (io_schedule()), and is in no call. Destroys R0 to R5.
fn asleep_in_fault(a: &mut Asm, k: &Layout, s: &Scheduler) {
    let none = a.label();
    let (byte, bit) = s.disk;
    a.store(DW, R10, IN_FAULT, 0);
    a.load(B, R1, R7, byte);
    a.alu(And, R1, bit);
    a.jump(Eq, R1, 0, none);
    a.load(DW, R1, R10, frame::NUMBER);
    a.jump(Ne, R1, 0, none);
    a.load(W, R1, R9, stamp::FAULT_IN);
    a.jump(Ne, R1, 0, none);
    a.load(DW, R1, R9, stamp::FAULT_OF);
    a.jump(Eq, R1, 0, none);
    in_call(a, k, none);
    a.store(DW, R10, IN_FAULT, 1);
    a.here(none);
}

/// Tells in the WAITED record at R8 of the page fault that the thread with the mark R9 slept in, if it was in one.
fn in_fault(a: &mut Asm) {
    let none = a.label();
    a.load(DW, R1, R10, IN_FAULT);
    a.jump(Eq, R1, 0, none);
    let fields = [
        (DW, stamp::FAULT_AT, at::ARGS + 16),
        (DW, stamp::FAULT_PAGE, at::ARGS + 24),
        (DW, stamp::FAULT_INO, at::INO),
        (W, stamp::FAULT_DEV, at::DEV),
    ];
    for (size, field, to) in fields {
        a.load(size, R1, R9, field);
        a.store(size, R8, to, R1);
    }
    a.store(H, R8, at::MODE, libc::S_IFREG as i32);
    a.here(none);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The golden listings. What changes here changes what runs at every switch of every kernel: read it.
    #[test]
    fn programs_are_these() {
        let s = Scheduler { state: 24, context: Context::example(), signals: 1000, magic: 96, disk: (1400, 2) };
        let k = Layout::example();
        insta::assert_snapshot!("switch", switch(&k, &s));
        insta::assert_snapshot!("waking", waking(&k, &s));
    }

    #[test]
    fn every_kernel_gives_programs_whose_jumps_lead_somewhere() {
        let older = Layout { narrow: None, cast: None, loops: false, ..Layout::example() };
        for k in [Layout::example(), older] {
            for soft in [None, Some(16)] {
                let s = Scheduler { state: 24, context: Context::of_arm(soft), signals: 1000, magic: 96, disk: (1400, 2) };
                for code in [switch(&k, &s), waking(&k, &s)] {
                    assert!(!code.to_string().contains("goto -1\n"), "a jump to itself\n{code}");
                }
            }
        }
    }
}
