//! Per-CPU buffers: a lock-free way for records from the kernel to the reader.
//!
//! The kernel's ring serves all processors: each record costs a lock and an atomic exchange, and one whose length is not known
//! in advance must be copied into it. A per-CPU buffer is written by the program at `sys_exit` alone, on one processor alone (the
//! kernel does not start a program on a processor where it still runs), so that a record is made in place and published by
//! adding its length to a counter. A buffer is small; a record that finds no room in it goes through the ring.
//!
//! ```text
//! counters: bytes put, bytes taken | records, a circular area | room for a record that begins before the end of the area
//! ```

use super::asm::Alu::{And, Mul, Sub};
use super::asm::If::Gt;
use super::asm::Reg::{R0, R1, R2, R3, R8, R9};
use super::asm::Size::DW;
use super::asm::{Asm, Helper, Label, Map, Reg};
use super::record::{FIXED, LONGEST};
use std::fs;

/// Offset in a buffer of the counter of bytes put there by the program (u64).
pub const PUT: i16 = 0;
/// Offset in a buffer of the counter of bytes taken by the reader (u64), in another cache line.
pub const TAKEN: i16 = 128;
/// Offset in a buffer of its records, bytes: the second page.
pub const RECORDS: usize = 4096;
/// Alignment of records in a buffer, bytes: a cache line.
pub const LINE: i32 = 64;
/// Largest size of a buffer's records, bytes: more than a processor can record while the reader sleeps is of no use.
const MOST: u64 = 4 << 20;
/// Smallest size of a buffer's records, bytes.
const LEAST: u64 = 64 << 10;

/// Number and size of the per-CPU buffers of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// Number of buffers: one for each processor from 0 on. Processors with higher numbers use the ring.
    pub count: u32,
    /// Size of the record area of each buffer, bytes: a power of two.
    pub bytes: u32,
}

impl Buffers {
    /// Buffers for the processors of this machine, of 64 KiB to 4 MiB each; within these bounds all of them together are no
    /// larger than a ring of `ring` bytes.
    pub fn new(ring: u64) -> Buffers {
        let processors = last_processor("online") + 1;
        // Both bounds are powers of two.
        let bytes = 1 << (ring / processors.next_power_of_two()).clamp(LEAST, MOST).ilog2();
        // The kernel's verifier follows no offset beyond half a gigabyte.
        let count = processors.min((256 << 20) / bytes);
        Buffers { count: count as u32, bytes: bytes as u32 }
    }

    /// Distance from one buffer to the next, bytes.
    pub const fn stride(self) -> u32 {
        RECORDS as u32 + self.bytes + (LONGEST as u32).next_multiple_of(RECORDS as u32)
    }

    /// Size of all buffers together, bytes.
    pub const fn size(self) -> usize {
        self.count as usize * self.stride() as usize
    }
}

/// Highest processor number in a list of /sys/devices/system/cpu (`online`, `possible`), such as `0-3,7`; 0 if unreadable.
pub fn last_processor(list: &str) -> u64 {
    let text = fs::read_to_string(format!("/sys/devices/system/cpu/{list}")).unwrap_or_default();
    text.trim().rsplit([',', '-']).next().and_then(|last| last.parse().ok()).unwrap_or(0)
}

/// Emits: R8 = room for a record of `bytes` bytes in the buffer of this processor, R9 = that buffer; jumps to `none` when the
/// buffer is full or the processor has none.
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

/// Emits: publishes to the reader the record of fixed length made in the buffer. Destroys R1.
pub fn put(a: &mut Asm, buffer: Reg) {
    a.load(DW, R1, buffer, PUT);
    a.add(R1, FIXED);
    a.publish(buffer, PUT, R1);
}

/// Emits: publishes to the reader the record made in the buffer, which has a variable part of R9 bytes. Destroys R1 and R9.
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
