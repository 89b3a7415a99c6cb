//! ThreadSlots: where the entry of a call leaves its stamp for the return, without asking the kernel for it.
//!
//! A mark in task storage is found by functions of the kernel, which cost more than all else that happens at an entry. So
//! a marked thread takes a thread slot, an element of an array whose place follows from where the thread's registers are saved.
//! That is on its kernel stack, which no other live thread has: whoever finds its own address on a thread slot is captured, and
//! needs to know no more. When two threads' places are the same, the second goes on with its mark. A slot is left when
//! its thread ends, before the stack can become another's.
//!
//! A slot also names the stranger who was found without a mark there last, who need not be looked up again. That is for
//! scopes which nobody enters but by birth; a thread that is born into one is no stranger, whoever had its stack before.

use super::asm::Alu::{And, Rsh, Sub};
use super::asm::If::{Eq, Gt, Ne};
use super::asm::Reg::{R0, R1, R2, R6, R7, R8, R9};
use super::asm::Size::{DW, W};
use super::asm::{Asm, Map, Reg};
use super::layout::Layout;

/// What a mark and a thread slot hold of the call that their thread is in.
pub mod stamp {
    /// When it began (u64).
    pub const TS: i16 = 0;
    /// Its number plus one (u32); 0 between calls.
    pub const NUMBER: i16 = 8;
    /// The thread (u32): its number may change while it executes a program.
    pub const TID: i16 = 12;
    /// Of a thread slot: the address of the registers of the thread that has it (u64). 0 when nobody has, and in marks.
    pub const OWNER: i16 = 16;
    /// Of a thread slot: the address of its task (u64).
    pub const TASK: i16 = 24;
    /// Of a mark: where among the slots its thread's is, bytes, plus one (u32); 0 when it has none.
    pub const SLOT: i16 = 24;
    /// Of a mark: 1 once whoever made it has counted it (u64).
    pub const COUNTED: i16 = 32;
    /// Of a thread slot: the calls that began on it (u64).
    pub const ENTERED: i16 = 32;
    /// Of a thread slot: the address of the registers of a thread without a mark (u64).
    pub const STRANGER: i16 = 40;
}

/// Bytes of a mark: the programs know one by OWNER, but the verifier does not.
pub const MARK: u32 = 40;
/// Bytes of a thread slot: a line of the caches, so that threads do not disturb one another.
pub const SLOT: usize = 64;
/// Number of slots.
pub const SLOTS: usize = 16 * 1024;
/// Binary logarithm of the bytes of a kernel stack, at least.
const STACK: i32 = 14;
/// The place of the last slot.
const LAST: i32 = ((SLOTS - 1) * SLOT) as i32;

/// R9 = the thread slot of the thread whose registers are at R6; R2 = its place, bytes.
pub fn find(a: &mut Asm) {
    place(a, R6);
}

/// The same for an address on its stack.
fn place(a: &mut Asm, address: Reg) {
    a.low_half(R2, address);
    a.alu(Rsh, R2, STACK - SLOT.trailing_zeros() as i32);
    a.alu(And, R2, LAST);
    a.map_value(R9, Map::ThreadSlots);
    a.add(R9, R2);
}

/// The thread whose registers are at R6 has no mark, and will never have one. R9 is lost.
pub fn stranger(a: &mut Asm) {
    find(a);
    a.store(DW, R9, stamp::STRANGER, R6);
}

/// The thread of the task R7 begins. R8 and R9 are lost.
pub fn born(a: &mut Asm, k: &Layout) {
    a.load(DW, R8, R7, k.at.stack);
    // Its registers are at the end of its stack, which may be larger than the least.
    for _ in 0..4 {
        place(a, R8);
        a.store(DW, R9, stamp::STRANGER, 0);
        a.add(R8, 1 << STACK);
    }
}

/// The thread with the mark R0, task R7 and registers at R6 takes its slot if that is free: R9 = the thread slot, else the mark.
/// R8 is lost.
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
    a.add(R2, 1);
    a.store(W, R8, stamp::SLOT, R2);
    a.goto(done);
    a.here(taken);
    a.mov(R9, R8);
    a.here(done);
}

/// The thread with the mark R9 leaves its slot. R8 = the number plus one of the call that it was in.
pub fn leave(a: &mut Asm) {
    let none = a.label();
    a.load(W, R8, R9, stamp::NUMBER);
    a.load(W, R1, R9, stamp::SLOT);
    a.jump(Eq, R1, 0, none);
    a.alu(Sub, R1, 1);
    a.jump(Gt, R1, LAST, none);
    a.map_value(R9, Map::ThreadSlots);
    a.add(R9, R1);
    // Once nobody has it, another may take it at any moment.
    a.load(W, R8, R9, stamp::NUMBER);
    a.store(DW, R9, stamp::OWNER, 0);
    a.here(none);
}
