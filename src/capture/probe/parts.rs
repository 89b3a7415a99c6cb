//! Pieces that the eBPF programs are put together from: room for a record, its fields, sending it.
//!
//! Each function emits code. Unless it says otherwise, R8 points to the record in the making, R9 is the length of its variable
//! part in bytes, R6 points to the saved registers of the captured thread (`struct pt_regs`) and R7 to its task. Other values
//! are passed in fields of the stack frame, see [`frame`].

use crate::capture::kernel::asm::Alu::{And, Lsh, Or, Sub};
use crate::capture::kernel::asm::Helper;
use crate::capture::kernel::asm::If::{Eq, Gt, Ne, SignedLt};
use crate::capture::kernel::asm::Reg::{R0, R1, R2, R3, R4, R6, R7, R8, R9, R10};
use crate::capture::kernel::asm::Size::{B, DW, H, W};
use crate::capture::kernel::asm::{Asm, Label, Map, Reg};
use crate::capture::kernel::compute;
use crate::capture::kernel::layout::Layout;
use crate::capture::kernel::percpu::{self, Buffers};
use crate::capture::kernel::record::{self, at};
use crate::capture::kernel::row::{NUMBERS, flag};

/// Fields of the stack frame of a program: offsets from R10 (the frame pointer), bytes.
pub mod frame {
    /// Key of a map look-up (u32).
    pub const KEY: i16 = -8;
    /// What the call returned (i64).
    pub const RET: i16 = -16;
    /// Number of the call, or of a place of a newcomer.
    pub const NUMBER: i16 = -24;
    /// Address of the row of the call in map `calls`.
    pub const ROW: i16 = -32;
    /// Address of the structure that is followed: mostly a `struct file` or `struct path`.
    pub const POINTER: i16 = -40;
    /// Length of what is read next, bytes.
    pub const LENGTH: i16 = -48;
    /// Start of the call, ns of the monotonic clock.
    pub const START: i16 = -56;
    /// Time at which the program runs, ns of the monotonic clock.
    pub const NOW: i16 = -64;
    /// Flags that the record is to begin with.
    pub const FLAGS: i16 = -72;
    /// Thread id of the captured thread.
    pub const TID: i16 = -80;
    /// Root directory entry (dentry) of the mount that a walk up a path is in.
    pub const MOUNT_ROOT: i16 = -88;
    /// Scratch word for fields that are copied from kernel memory.
    pub const PARENT: i16 = -96;
    /// Where a part of the record began: R9 before it was appended; also a scratch word.
    pub const BEGIN: i16 = -104;
    /// Copy of a task's name (16 bytes).
    pub const COMM: i16 = -120;
    /// 1 if the task came into the scope with this call, else 0.
    pub const JOINED: i16 = -128;
    /// Address of the per-CPU buffer that the record is made in; 0 if it is made in scratch memory.
    pub const BUFFER: i16 = -136;
    /// Processor time of the thread before the call, as in its slot ([`crate::capture::kernel::thread_slot::stamp::CPU`]).
    pub const CPU: i16 = -144;
}

/// Copies `size` bytes of kernel memory at the address in R3 to a field of the frame.
pub fn read_kernel(a: &mut Asm, field: i16, size: i32) {
    a.mov(R1, R10);
    a.add(R1, i32::from(field));
    a.mov(R2, size);
    a.call(Helper::ReadKernel);
}

/// Fills the fixed part of the record at R8 from the frame, R6 (saved registers) and R7 (task); fields of a file are zeroed. With
/// `waits` the processor time before the call is told.
pub fn fill(a: &mut Asm, k: &Layout, waits: bool) {
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
    if waits {
        a.load(DW, R1, R10, frame::CPU);
        compute::pack(a);
        a.store(H, R8, at::CPU, R1);
    }
}

/// Sets these bits in the flags of the record at R8.
pub fn say(a: &mut Asm, bits: u16) {
    a.load(H, R1, R8, at::FLAGS);
    a.alu(Or, R1, i32::from(bits));
    a.store(H, R8, at::FLAGS, R1);
}

/// R3 = the argument of the call whose position the row has in the byte at `column`, read from the record at R8; jumps to
/// `none` when the row names no argument there.
pub fn argument(a: &mut Asm, column: i16, none: Label) {
    a.load(DW, R2, R10, frame::ROW);
    a.load(B, R1, R2, column);
    a.jump(Gt, R1, 5, none);
    a.alu(Lsh, R1, 3);
    a.add(R1, R8);
    a.load(DW, R3, R1, at::ARGS);
}

/// Offsets of the fields of a row in map `calls`, bytes; see [`crate::capture::kernel::row::Row`].
pub mod column {
    pub const FLAGS: i16 = 0;
    pub const STRINGS: [i16; 2] = [1, 2];
    pub const FD: i16 = 3;
    pub const POINTER: i16 = 4;
    pub const BEHIND: i16 = 5;
    pub const SECOND: i16 = 6;
    pub const SIZE: i16 = 7;
}

/// Jumps to `no` unless the row of the call has this flag ([`flag`]).
pub fn row_has(a: &mut Asm, bit: u8, no: Label) {
    a.load(DW, R2, R10, frame::ROW);
    a.load(B, R1, R2, column::FLAGS);
    a.alu(And, R1, i32::from(bit));
    a.jump(Eq, R1, 0, no);
}

/// R8 = room for the longest record: in the buffer of this processor if there is room (frame field BUFFER is then its address),
/// else in scratch memory (BUFFER is 0). Calls whose file is followed up to the root always use scratch memory: that walk is so
/// long that the verifier can follow it from one place only.
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

/// R8 = the scratch memory of this processor (map `scratch`), in which a record is made before it is copied to the ring.
pub fn scratch(a: &mut Asm, out: Label) {
    only(a, Map::Scratch, out);
    a.mov(R8, R0);
}

/// R0 = address of the only element of a map. The verifier wants the case that there is none: it jumps to `none`.
pub fn only(a: &mut Asm, map: Map, none: Label) {
    a.store(W, R10, frame::KEY, 0);
    a.mov(R2, R10);
    a.add(R2, i32::from(frame::KEY));
    a.map(R1, map);
    a.call(Helper::MapLookup);
    a.jump(Eq, R0, 0, none);
}

/// R8 = reserved room in the ring for a record with `more` bytes beyond the fixed part; jumps to `full` when there is none.
pub fn room(a: &mut Asm, more: i32, full: Label) {
    a.map(R1, Map::Ring);
    a.mov(R2, record::FIXED + more);
    a.mov(R3, 0);
    a.call(Helper::RingReserve);
    a.jump(Eq, R0, 0, full);
    a.mov(R8, R0);
}

/// As [`room`], and zeroes the record.
pub fn reserve(a: &mut Asm, more: i32, full: Label) {
    room(a, more, full);
    blank(a, more);
}

/// Submits the record at R8, which was made in room reserved in the ring ([`room`]).
pub fn submit(a: &mut Asm) {
    a.mov(R1, R8);
    a.mov(R2, 1);
    a.call(Helper::RingSubmit);
}

/// Zeroes the fixed part of the record at R8 and `more` bytes behind it.
pub fn blank(a: &mut Asm, more: i32) {
    for field in (0..(record::FIXED + more) as i16).step_by(8) {
        a.store(DW, R8, field, 0);
    }
}

/// Sets time (now), process and thread (those of the task in register `task`) and flags of the record at R8.
pub fn about(a: &mut Asm, k: &Layout, task: Reg, flag: u16) {
    a.call(Helper::Now);
    a.store(DW, R8, at::TS, R0);
    a.load(W, R1, task, k.at.tgid);
    a.store(W, R8, at::PID, R1);
    a.load(W, R1, task, k.at.pid);
    a.store(W, R8, at::TID, R1);
    a.store(H, R8, at::FLAGS, i32::from(flag));
}

/// Copies the record at R8, whose variable part has R9 bytes, to the ring; jumps to `full` when there is no room.
pub fn send(a: &mut Asm, full: Label) {
    a.jump(Gt, R9, record::LONGEST - record::FIXED, full);
    a.map(R1, Map::Ring);
    a.mov(R2, R8);
    a.mov(R3, R9);
    a.add(R3, record::FIXED);
    // No wake-up (BPF_RB_NO_WAKEUP): the reader polls, and waking it would cost more than the record.
    a.mov(R4, 1);
    a.call(Helper::RingOutput);
    a.jump(Ne, R0, 0, full);
}

/// R0 = the element of a map for the key in the frame, or null.
pub fn look(a: &mut Asm, map: Map, key: i16) {
    a.map(R1, map);
    a.mov(R2, R10);
    a.add(R2, i32::from(key));
    a.call(Helper::MapLookup);
}

/// Sets an element of a map: key and value are in the frame.
pub fn set(a: &mut Asm, map: Map, key: i16, value: i16) {
    a.map(R1, map);
    a.mov(R2, R10);
    a.add(R2, i32::from(key));
    a.mov(R3, R10);
    a.add(R3, i32::from(value));
    a.mov(R4, 0);
    a.call(Helper::MapUpdate);
}
