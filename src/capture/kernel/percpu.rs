//! Per-CPU buffers: the short way out of the kernel.
//!
//! The ring serves all processors: each record costs a lock and an exchange, and one whose length is not known before must
//! be copied into it. A buffer is written by the program at `sys_exit` alone, on one processor alone (the kernel does not let
//! a program begin where it has not ended), so that a record is made in its place and there when it is counted. A buffer is
//! small, and what finds no room on it goes by the ring.
//!
//! ```text
//! how many bytes were put on it, and how many taken off | records, over and over | room for what begins before the end
//! ```

use super::asm::Alu::{And, Mul, Sub};
use super::asm::If::Gt;
use super::asm::Reg::{R0, R1, R2, R3, R8, R9};
use super::asm::Size::DW;
use super::asm::{Asm, Helper, Label, Map, Reg};
use super::record::{FIXED, LONGEST};
use std::fs;

/// Where the count of bytes is that were put in a buffer.
pub const PUT: i16 = 0;
/// Where the count of bytes is that were taken off: in another line of the caches.
pub const TAKEN: i16 = 128;
/// Where the records begin: on a page of their own.
pub const RECORDS: usize = 4096;
/// What a record begins at a multiple of: a line of the caches.
pub const LINE: i32 = 64;
/// The most that a buffer needs: what a processor can tell while the reader sleeps.
const MOST: u64 = 4 << 20;
/// The least that is worth it.
const LEAST: u64 = 64 << 10;

/// How many there are, and of which size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// One for each processor from 0 on; those beyond go by the ring.
    pub count: u32,
    /// Bytes of the records on each: a power of two.
    pub bytes: u32,
}

impl Buffers {
    /// Those for this machine, which together are no larger than a ring of this size.
    pub fn new(ring: u64) -> Buffers {
        let processors = last_processor("online") + 1;
        // Both bounds are powers of two.
        let bytes = 1 << (ring / processors.next_power_of_two()).clamp(LEAST, MOST).ilog2();
        // The kernel's verifier follows no offset beyond half a gigabyte.
        let count = processors.min((256 << 20) / bytes);
        Buffers { count: count as u32, bytes: bytes as u32 }
    }

    /// From one buffer to the next, bytes.
    pub const fn stride(self) -> u32 {
        RECORDS as u32 + self.bytes + (LONGEST as u32).next_multiple_of(RECORDS as u32)
    }

    /// Bytes of all.
    pub const fn size(self) -> usize {
        self.count as usize * self.stride() as usize
    }
}

/// The last processor of a list of the kernel's: `0-3,7`.
pub fn last_processor(list: &str) -> u64 {
    let text = fs::read_to_string(format!("/sys/devices/system/cpu/{list}")).unwrap_or_default();
    text.trim().rsplit([',', '-']).next().and_then(|last| last.parse().ok()).unwrap_or(0)
}

/// R8 = room for a record of so many bytes in the buffer of this processor, R9 = the buffer; jumps to `none` when there is none.
pub fn room(a: &mut Asm, buffers: Buffers, bytes: i32, none: Label) {
    a.call(Helper::Processor);
    a.jump(Gt, R0, buffers.count as i32 - 1, none);
    a.alu(Mul, R0, buffers.stride() as i32);
    a.map_value(R9, Map::Buffers);
    a.add(R9, R0);
    a.load(DW, R1, R9, PUT);
    a.load(DW, R2, R9, TAKEN);
    a.mov(R3, R1);
    a.alu(Sub, R3, R2);
    a.jump(Gt, R3, buffers.bytes as i32 - bytes, none);
    a.alu(And, R1, buffers.bytes as i32 - LINE);
    a.mov(R8, R9);
    a.add(R8, R1);
    a.add(R8, RECORDS as i32);
}

/// The record that has been made in the room in a buffer is there for the reader. Destroys R1.
pub fn put(a: &mut Asm, buffer: Reg) {
    a.load(DW, R1, buffer, PUT);
    a.add(R1, FIXED);
    a.publish(buffer, PUT, R1);
}

/// The same for one with a variable part of R9 bytes. R9 is lost.
pub fn put_long(a: &mut Asm, buffer: Reg) {
    a.load(DW, R1, buffer, PUT);
    a.add(R9, FIXED + LINE - 1);
    a.alu(And, R9, -LINE);
    a.add(R1, R9);
    a.publish(buffer, PUT, R1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_powers_of_two_and_no_larger_than_the_ring() {
        for ring in [64 << 10, 1 << 20, 64 << 20, 1 << 30] {
            let buffers = Buffers::new(ring);
            assert!(buffers.count > 0 && buffers.bytes.is_power_of_two() && buffers.size() < 1 << 29, "{buffers:?}");
            assert!(u64::from(buffers.bytes) <= ring && u64::from(buffers.bytes) <= MOST, "{buffers:?}");
        }
        assert_eq!((Buffers { count: 2, bytes: 1 << 20 }).size(), 2 * ((1 << 20) + 4096 + 32768));
    }
}
