//! The eBPF program that tells which results of io_submit(2) a program took from the ring of its context itself.
//!
//! The kernel puts results into memory that it shares with the program, at the address that is the id of the context: a header, and
//! behind it a ring of `struct io_event` (fs/aio.c of the kernel, `struct aio_ring`). Who reads them there and moves the head on makes
//! no call. So the program looks at the head whenever the context is used next: at the entry of io_submit, io_getevents and
//! io_destroy. What the head has passed since the look before was taken, and is still there to be read, for no request was
//! handed over meanwhile. It is attached when the first io_submit is captured; what was taken before the first look is not told.

use super::optional::Optional;
use super::parts::{about, blank, look, scratch, send, set};
use super::program::{find_mark, tail};
use crate::capture::kernel::asm::Alu::{Lsh, Sub};
use crate::capture::kernel::asm::If::{Eq, Ge, Gt, Ne};
use crate::capture::kernel::asm::Reg::{R0, R1, R2, R3, R6, R7, R8, R9, R10};
use crate::capture::kernel::asm::Size::{DW, H, W};
use crate::capture::kernel::asm::{Asm, Code, Helper, Map};
use crate::capture::kernel::btf::{Btf, Kind};
use crate::capture::kernel::counter::Counter;
use crate::capture::kernel::layout::Layout;
use crate::capture::kernel::record::{FIXED, at, flag};
use anyhow::Result;

/// Header of the ring: offsets of its number of entries, its head, and the number by which it is known (AIO_RING_MAGIC).
const ENTRIES: i16 = 4;
const HEAD: i16 = 8;
const MAGIC: i16 = 16;
const KNOWN_BY: u32 = 0xa10a_10a1;
/// Bytes that are read of the header, and those that the ring begins behind.
const HEADER: i32 = 24;
const BEGIN: i32 = 32;
/// Bytes of `struct io_event`, as a power of two.
const EVENT: i32 = 5;
/// Results that one record tells of, at most.
const MOST: i32 = 256;

// Fields of the stack frame beyond those of the pieces: the header, the key in map `reaped`, the number of the call, the first result
// that is told and how many.
const RING: i16 = -176;
const KEY: i16 = RING - 16;
const CALL: i16 = KEY - 8;
const FIRST: i16 = CALL - 8;
const COUNT: i16 = FIRST - 8;

/// Makes the program.
///
/// # Errors
/// When the kernel does not show the entries of calls.
pub fn program(btf: &Btf, k: &Layout) -> Result<Optional> {
    Ok(Optional { name: "ioriot_reaped", code: reaped(k), hook: btf.id(Kind::Typedef, "btf_trace_sys_enter")? })
}

/// The program at the entry of a call. Arguments: the saved registers, and the number of the call.
fn reaped(k: &Layout) -> Code {
    let mut a = Asm::default();
    let [looks, known, done, out, full] = std::array::from_fn(|_| a.label());
    a.load(DW, R6, R1, 0);
    a.load(DW, R8, R1, 8);
    for number in [libc::SYS_io_submit, libc::SYS_io_getevents, libc::SYS_io_destroy] {
        a.jump(Eq, R8, number as i32, looks);
    }
    a.goto(out);
    a.here(looks);
    a.store(DW, R10, CALL, R8);
    if let Some(narrow) = k.narrow {
        a.load(H, R1, R6, narrow.segment.0);
        a.jump(Eq, R1, narrow.segment.1, out);
    }
    a.call(Helper::CurrentTask);
    a.mov(R7, R0);
    find_mark(&mut a, R7, false);
    a.jump(Eq, R0, 0, out);
    a.load(DW, R9, R6, k.args[0]);
    a.store(DW, R10, KEY, R9);
    a.load(W, R1, R7, k.at.tgid);
    a.store(DW, R10, KEY + 8, R1);
    for word in (RING..RING + HEADER as i16).step_by(8) {
        a.store(DW, R10, word, 0);
    }
    a.mov(R1, R10);
    a.add(R1, i32::from(RING));
    a.mov(R2, HEADER);
    a.mov(R3, R9);
    a.call(Helper::ReadUser);
    a.jump(Ne, R0, 0, out);
    a.load(W, R1, R10, RING + MAGIC);
    a.mov(R2, KNOWN_BY as i32);
    a.zero_extend(R2);
    a.jump(Ne, R1, R2, out);

    // R6 = where it is kept how far the head was, plus one; 0 when nobody has looked.
    look(&mut a, Map::Reaped, KEY);
    a.jump(Ne, R0, 0, known);
    a.load(W, R1, R10, RING + HEAD);
    a.add(R1, 1);
    a.store(DW, R10, FIRST, R1);
    set(&mut a, Map::Reaped, KEY, FIRST);
    a.goto(out);
    a.here(known);
    a.mov(R6, R0);
    let begun = a.label();
    a.load(DW, R1, R6, 0);
    a.jump(Ne, R1, 0, begun);
    a.load(W, R1, R10, RING + HEAD);
    a.add(R1, 1);
    a.store(DW, R6, 0, R1);
    a.here(begun);
    // From there to the end of the ring, and from its beginning on.
    for _ in 0..2 {
        let [ahead, some, few, kept] = std::array::from_fn(|_| a.label());
        a.load(DW, R1, R6, 0);
        a.jump(Eq, R1, 0, done);
        a.add(R1, -1);
        a.load(W, R2, R10, RING + HEAD);
        a.jump(Eq, R1, R2, done);
        a.load(W, R3, R10, RING + ENTRIES);
        a.jump(Ge, R1, R3, done);
        a.jump(Gt, R2, R1, ahead);
        a.mov(R2, R3);
        a.here(ahead);
        a.alu(Sub, R2, R1);
        a.jump(Gt, R2, MOST, few);
        a.goto(some);
        a.here(few);
        a.mov(R2, MOST);
        a.here(some);
        a.store(DW, R10, FIRST, R1);
        a.store(DW, R10, COUNT, R2);
        a.add(R1, R2);
        let inside = a.label();
        a.jump(Gt, R3, R1, inside);
        a.mov(R1, 0);
        a.here(inside);
        a.add(R1, 1);
        a.store(DW, R6, 0, R1);
        scratch(&mut a, out);
        blank(&mut a, 0);
        about(&mut a, k, R7, flag::REAPED);
        a.load(DW, R3, R10, FIRST);
        a.alu(Lsh, R3, EVENT);
        a.load(DW, R1, R10, KEY);
        a.store(DW, R8, at::ARGS, R1);
        a.add(R3, R1);
        a.add(R3, BEGIN);
        a.load(DW, R9, R10, COUNT);
        a.jump(Gt, R9, MOST, kept);
        a.alu(Lsh, R9, EVENT);
        a.store(H, R8, at::BEHIND, R9);
        a.mov(R1, R8);
        a.add(R1, FIXED);
        a.mov(R2, R9);
        a.call(Helper::ReadUser);
        a.jump(Ne, R0, 0, kept);
        send(&mut a, full);
        a.here(kept);
    }
    a.here(done);
    // Another context may get its address.
    a.load(DW, R1, R10, CALL);
    a.jump(Ne, R1, libc::SYS_io_destroy as i32, out);
    a.store(DW, R6, 0, 0);
    tail(&mut a, out, full, Counter::Untold);
    a.finish()
}
