//! Pieces of the programs: each appends one thing to a record.
//!
//! The record in the making is at R8, its variable part has R9 bytes, R6 are the caller's registers and R7 is its task. What
//! else the pieces hand on stands in the [`frame`] of its stack.

use crate::capture::kernel::asm::Alu::{And, Lsh, Or, Sub};
use crate::capture::kernel::asm::Helper;
use crate::capture::kernel::asm::If::{Eq, Gt, Ne, SignedLt};
use crate::capture::kernel::asm::Reg::{R0, R1, R2, R3, R4, R6, R7, R8, R9, R10};
use crate::capture::kernel::asm::Size::{B, DW, H, W};
use crate::capture::kernel::asm::{Asm, Label, Map, Reg};
use crate::capture::kernel::layout::Layout;
use crate::capture::kernel::percpu::{self, Buffers};
use crate::capture::kernel::record::{self, at};
use crate::capture::kernel::row::{NUMBERS, flag};

/// Slots of the stack frame.
pub mod frame {
    pub const KEY: i16 = -8;
    pub const RET: i16 = -16;
    pub const NUMBER: i16 = -24;
    pub const ROW: i16 = -32;
    pub const POINTER: i16 = -40;
    pub const LENGTH: i16 = -48;
    pub const START: i16 = -56;
    pub const NOW: i16 = -64;
    pub const FLAGS: i16 = -72;
    pub const TID: i16 = -80;
    pub const MOUNT_ROOT: i16 = -88;
    pub const PARENT: i16 = -96;
    pub const BEGIN: i16 = -104;
    pub const COMM: i16 = -120;
    /// Did the task come into the scope with this call?
    pub const JOINED: i16 = -128;
    /// The buffer that the record is made in; 0 for none.
    pub const BUFFER: i16 = -136;
}

/// Copies from kernel memory at R3 to a field of the frame.
pub fn read_kernel(a: &mut Asm, field: i16, size: i32) {
    a.mov(R1, R10);
    a.add(R1, i32::from(field));
    a.mov(R2, size);
    a.call(Helper::ReadKernel);
}

/// Fills the fixed part of the record at R8 from the frame, R6 (registers) and R7 (task).
pub fn fill(a: &mut Asm, k: &Layout) {
    a.load(DW, R1, R10, frame::START);
    a.store(DW, R8, at::TS, R1);
    a.load(DW, R2, R10, frame::NOW);
    a.alu(Sub, R2, R1);
    a.store(DW, R8, at::DUR, R2);
    a.load(W, R1, R7, k.at.tgid);
    a.store(W, R8, at::PID, R1);
    a.load(DW, R1, R10, frame::TID);
    a.store(W, R8, at::TID, R1);
    a.load(DW, R1, R10, frame::NUMBER);
    a.store(H, R8, at::NUMBER, R1);
    a.load(DW, R1, R10, frame::FLAGS);
    a.store(H, R8, at::FLAGS, R1);
    a.store(W, R8, at::STRINGS, 0);
    a.load(DW, R1, R10, frame::RET);
    a.store(DW, R8, at::RET, R1);
    for (place, register) in (0..).zip(k.args) {
        a.load(DW, R1, R6, register);
        a.store(DW, R8, at::ARGS + 8 * place, R1);
    }
    if let Some(narrow) = k.narrow {
        let wide = a.label();
        a.load(DW, R1, R10, frame::NUMBER);
        a.jump(SignedLt, R1, NUMBERS as i32, wide);
        for (place, register) in (0..).zip(narrow.args) {
            a.load(W, R1, R6, register);
            a.store(DW, R8, at::ARGS + 8 * place, R1);
        }
        a.here(wide);
    }
    for field in [at::INO, at::SIZE, at::POS, at::DEV, at::FILE_FLAGS] {
        a.store(DW, R8, field, 0);
    }
}

/// Sets bits of the record's flags.
pub fn say(a: &mut Asm, bits: u16) {
    a.load(H, R1, R8, at::FLAGS);
    a.alu(Or, R1, i32::from(bits));
    a.store(H, R8, at::FLAGS, R1);
}

/// R3 = the argument whose position is the byte at `column` of the row, out of the record at R8; jumps to `none` when the
/// row names none.
pub fn argument(a: &mut Asm, column: i16, none: Label) {
    a.load(DW, R2, R10, frame::ROW);
    a.load(B, R1, R2, column);
    a.jump(Gt, R1, 5, none);
    a.alu(Lsh, R1, 3);
    a.add(R1, R8);
    a.load(DW, R3, R1, at::ARGS);
}

/// Columns of a row; see [`crate::capture::kernel::row::Row`].
pub mod column {
    pub const FLAGS: i16 = 0;
    pub const STRINGS: [i16; 2] = [1, 2];
    pub const FD: i16 = 3;
    pub const POINTER: i16 = 4;
    pub const BEHIND: i16 = 5;
    pub const SECOND: i16 = 6;
    pub const SIZE: i16 = 7;
}

/// Jumps to `no` unless the row has this flag.
pub fn row_has(a: &mut Asm, bit: u8, no: Label) {
    a.load(DW, R2, R10, frame::ROW);
    a.load(B, R1, R2, column::FLAGS);
    a.alu(And, R1, i32::from(bit));
    a.jump(Eq, R1, 0, no);
}

/// R8 = room for the longest record, in the buffer of this processor if that has it (frame field BUFFER). Not for calls whose file is
/// followed up to the root: that walk is so long that a verifier can follow it from one place only.
pub fn longest(a: &mut Asm, buffers: Buffers, out: Label) {
    let (short, crowded, made) = (a.label(), a.label(), a.label());
    row_has(a, flag::WHERE, short);
    a.goto(crowded);
    a.here(short);
    percpu::room(a, buffers, record::LONGEST, crowded);
    a.store(DW, R10, frame::BUFFER, R9);
    a.goto(made);
    a.here(crowded);
    scratch(a, out);
    a.store(DW, R10, frame::BUFFER, 0);
    a.here(made);
}

/// R8 = the scratch record.
pub fn scratch(a: &mut Asm, out: Label) {
    only(a, Map::Scratch, out);
    a.mov(R8, R0);
}

/// R0 = the only element of a map; to `none` when there is none, which never is.
pub fn only(a: &mut Asm, map: Map, none: Label) {
    a.store(W, R10, frame::KEY, 0);
    a.mov(R2, R10);
    a.add(R2, i32::from(frame::KEY));
    a.map(R1, map);
    a.call(Helper::MapLookup);
    a.jump(Eq, R0, 0, none);
}

/// R8 = room in the ring for a record, of `more` bytes beyond the fixed part.
pub fn room(a: &mut Asm, more: i32, full: Label) {
    a.map(R1, Map::Ring);
    a.mov(R2, record::FIXED + more);
    a.mov(R3, 0);
    a.call(Helper::RingReserve);
    a.jump(Eq, R0, 0, full);
    a.mov(R8, R0);
}

/// The same, with zeroes in it.
pub fn reserve(a: &mut Asm, more: i32, full: Label) {
    room(a, more, full);
    blank(a, more);
}

/// Sends the record that was made in the room in the ring.
pub fn submit(a: &mut Asm) {
    a.mov(R1, R8);
    a.mov(R2, 1);
    a.call(Helper::RingSubmit);
}

/// Zeroes the record at R8.
pub fn blank(a: &mut Asm, more: i32) {
    for field in (0..(record::FIXED + more) as i16).step_by(8) {
        a.store(DW, R8, field, 0);
    }
}

/// Sets when it was, who it was (the task in `task`), and what the record at R8 tells.
pub fn about(a: &mut Asm, k: &Layout, task: Reg, flag: u16) {
    a.call(Helper::Now);
    a.store(DW, R8, at::TS, R0);
    a.load(W, R1, task, k.at.tgid);
    a.store(W, R8, at::PID, R1);
    a.load(W, R1, task, k.at.pid);
    a.store(W, R8, at::TID, R1);
    a.store(H, R8, at::FLAGS, i32::from(flag));
}

/// Sends the record at R8 whose variable part has R9 bytes.
pub fn send(a: &mut Asm, full: Label) {
    a.jump(Gt, R9, record::LONGEST - record::FIXED, full);
    a.map(R1, Map::Ring);
    a.mov(R2, R8);
    a.mov(R3, R9);
    a.add(R3, record::FIXED);
    // The reader polls: waking it for each record would cost more than the record.
    a.mov(R4, 1);
    a.call(Helper::RingOutput);
    a.jump(Ne, R0, 0, full);
}
