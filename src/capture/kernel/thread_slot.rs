//! Thread slots: per-thread memory in which the program at a call's entry leaves data for the one at its return, found without
//! a look-up by the kernel.
//!
//! Finding a mark in task storage takes kernel functions that cost more than all else that happens at an entry. So a marked
//! thread takes a thread slot, an element of an array at a place computed from the address of the thread's saved registers.
//! That address is on its kernel stack, which no other live thread has: a thread that finds its own address in the slot is
//! captured, without any look-up. When two threads have the same place, the second uses its mark instead. A slot is freed when
//! its thread ends, before the stack can be reused.
//!
//! A slot also holds the last stranger seen at its place: the address of a thread without a mark, which need not be looked up
//! again. That is done only for scopes that threads enter by fork alone; a new thread is never taken for
//! a stranger, since fork clears the strangers on its stack.

use super::asm::Alu::{And, Rsh, Sub};
use super::asm::If::{Eq, Gt, Ne};
use super::asm::Reg::{R0, R1, R2, R6, R7, R8, R9};
use super::asm::Size::{DW, W};
use super::asm::{Asm, Map, Reg};
use super::layout::Layout;

/// Offsets of fields of a mark and of a thread slot, bytes: the call that their thread is in, and who owns them.
pub mod stamp {
    /// Start of the current call, ns of the monotonic clock (u64).
    pub const TS: i16 = 0;
    /// Number of the current call plus one (u32); 0 between calls.
    pub const NUMBER: i16 = 8;
    /// Thread id at the entry of the call (u32); exec may change it before the return.
    pub const TID: i16 = 12;
    /// Of a thread slot: address of the saved registers of the thread that has it (u64); 0 when it is free, and in marks.
    pub const OWNER: i16 = 16;
    /// Of a thread slot: address of the task of the thread that has it (u64).
    pub const TASK: i16 = 24;
    /// Of a mark: offset of its thread's slot in the array, bytes, plus one (u32); 0 when it has none.
    pub const SLOT: i16 = 24;
    /// Of a mark: 1 once it was counted in [`super::super::counter::Counter::Marked`], so that it is counted once (u64).
    pub const COUNTED: i16 = 32;
    /// Of a thread slot: number of calls that began while some thread had it (u64).
    pub const ENTERED: i16 = 32;
    /// Of a thread slot: address of the saved registers of the last stranger, a thread without a mark (u64).
    pub const STRANGER: i16 = 40;
    /// Of a mark: 1 once its thread has ended (u64).
    pub const OVER: i16 = 40;
    /// When the call before returned, plus the time since then during which the thread had no processor, ns of the monotonic
    /// clock (u64): so it has computed for as long as this is ago. 0 when it is not known.
    pub const BASE: i16 = 48;
    /// Processor time before the current call, ns, plus one (u64); 0 when it is not known.
    pub const CPU: i16 = 56;
    /// Of a mark: when the thread last left its processor, ns of the monotonic clock (u64); 0 before the first time.
    pub const OFF: i16 = 64;
    /// Of a mark: when the thread was last woken, ns of the monotonic clock (u64); 0 when nobody saw it since it last ran.
    pub const WOKEN: i16 = 72;
    /// Of a mark: id of the thread that woke it, if that was a captured one (u32).
    pub const WAKER: i16 = 80;
    /// Of a mark: number of what woke it ([`crate::syscall::Wake`], u32).
    pub const WAKE: i16 = 84;
    /// Of a mark: 1 if the thread left its processor to sleep, 0 if the processor was taken from it (u64).
    pub const SLEPT: i16 = 88;
    /// Of a mark: address of the `struct address_space` of the file that the thread last had a page fault on (u64); 0 for none, and
    /// once that fault has made its page dirty.
    pub const FAULT_OF: i16 = 96;
    /// Of a mark: number of the page that this fault was on (u64).
    pub const FAULT_PAGE: i16 = 104;
    /// Of a mark: when it began, ns of the monotonic clock (u64).
    pub const FAULT_AT: i16 = 112;
    /// Of a mark: inode number of the file (u64).
    pub const FAULT_INO: i16 = 120;
    /// Of a mark: device number of the file, in the kernel's own encoding (u32).
    pub const FAULT_DEV: i16 = 128;
    /// Of a mark: number plus one of the call that the thread was in, 0 for none (u32).
    pub const FAULT_IN: i16 = 132;
    /// Of a mark: 1 once a record tells of the fault (u64).
    pub const FAULT_TOLD: i16 = 136;
}

/// Bytes of a mark.
pub const MARK: u32 = 144;
/// Bytes of a thread slot: a cache line, so that threads do not slow each other down.
pub const SLOT: usize = 64;
/// Number of thread slots.
pub const SLOTS: usize = 16 * 1024;
/// Binary logarithm of the smallest size of a kernel stack, bytes.
const STACK: i32 = 14;
/// Offset of the last slot in the array, bytes.
const LAST: i32 = ((SLOTS - 1) * SLOT) as i32;

/// Emits: R9 = the thread slot at the place of the thread whose saved registers are at R6; R2 = its offset in the array, bytes.
pub fn find(a: &mut Asm) {
    place(a, R6);
}

/// As [`find`], for any address on the kernel stack of the thread.
fn place(a: &mut Asm, address: Reg) {
    a.low_half(R2, address);
    a.alu(Rsh, R2, STACK - SLOT.trailing_zeros() as i32);
    a.alu(And, R2, LAST);
    a.map_value(R9, Map::ThreadSlots);
    a.add(R9, R2);
}

/// Emits: notes in its slot that the thread whose saved registers are at R6 is a stranger (it has no mark and will never get
/// one). R9 is lost.
pub fn stranger(a: &mut Asm) {
    find(a);
    a.store(DW, R9, stamp::STRANGER, R6);
}

/// Emits: forgets any stranger on the kernel stack of the new task R7. R8 and R9 are lost.
pub fn born(a: &mut Asm, k: &Layout) {
    a.load(DW, R8, R7, k.at.stack);
    // Its registers will be at the end of its stack, which may have up to four times the smallest size.
    for _ in 0..4 {
        place(a, R8);
        a.store(DW, R9, stamp::STRANGER, 0);
        a.add(R8, 1 << STACK);
    }
}

/// Emits: the thread with the mark R0, task R7 and saved registers R6 takes its slot if that is free and the mark has none:
/// R9 = the thread slot, else the mark. R8 is lost.
pub fn take(a: &mut Asm) {
    let (taken, done) = (a.label(), a.label());
    a.mov(R8, R0);
    find(a);
    a.load(W, R1, R8, stamp::SLOT);
    a.jump(Ne, R1, 0, taken);
    a.mov(R0, 0);
    a.compare_exchange(R9, stamp::OWNER, R6);
    a.jump(Ne, R0, 0, taken);
    a.store(DW, R9, stamp::TASK, R7);
    a.store(W, R9, stamp::NUMBER, 0);
    a.load(DW, R1, R8, stamp::BASE);
    a.store(DW, R9, stamp::BASE, R1);
    a.add(R2, 1);
    a.store(W, R8, stamp::SLOT, R2);
    a.goto(done);
    a.here(taken);
    a.mov(R9, R8);
    a.here(done);
}

/// Emits: R8 = the thread slot of the thread with the mark R9 or, if it has none, the mark. Destroys R1.
pub fn of_mark(a: &mut Asm) {
    let none = a.label();
    a.mov(R8, R9);
    a.load(W, R1, R9, stamp::SLOT);
    a.jump(Eq, R1, 0, none);
    a.alu(Sub, R1, 1);
    a.jump(Gt, R1, LAST, none);
    a.map_value(R8, Map::ThreadSlots);
    a.add(R8, R1);
    a.here(none);
}

/// Emits: the thread with the mark R9, which ends, frees its slot. R8 = the number plus one of the call that it was in, or 0.
pub fn leave(a: &mut Asm) {
    let none = a.label();
    a.store(DW, R9, stamp::OVER, 1);
    a.load(W, R8, R9, stamp::NUMBER);
    a.load(W, R1, R9, stamp::SLOT);
    a.jump(Eq, R1, 0, none);
    // It has still to be scheduled, and the slot may be another thread's by then.
    a.store(W, R9, stamp::SLOT, 0);
    a.alu(Sub, R1, 1);
    a.jump(Gt, R1, LAST, none);
    a.map_value(R9, Map::ThreadSlots);
    a.add(R9, R1);
    // Read before the slot is freed: then another thread may take it at any moment.
    a.load(W, R8, R9, stamp::NUMBER);
    a.store(DW, R9, stamp::OWNER, 0);
    a.here(none);
}
