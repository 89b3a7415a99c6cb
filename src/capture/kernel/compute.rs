//! The processor time of a thread between two calls: how it is counted in its thread slot, and its form in a record.
//!
//! A slot or mark has an instant `BASE`: the return of the call before. Whenever the thread gets a processor again, the time
//! during which it had none is added (`probe/waits.rs`), so that BASE is always as long ago as the thread has computed.
//!
//! A record has 16 bits of room for it: ten for a number, six for how often that is to be doubled. That is exact up to
//! 1,023 ns and to within a thousandth beyond.

use super::asm::Alu::{Lsh, Or, Rsh, Sub};
use super::asm::Asm;
use super::asm::If::{Eq, SignedLt};
use super::asm::Reg::{R0, R1, R2, R3, R9};
use super::asm::Size::DW;
use super::thread_slot::stamp;

/// Bits of the number; those above say how often it is to be doubled.
const BITS: i32 = 10;

/// Emits: a call of the thread with the slot or mark R9 begins at the time in R0: stores how long it has computed. Destroys R1
/// and R2.
pub fn begins(a: &mut Asm) {
    let unknown = a.label();
    a.mov(R1, 0);
    a.load(DW, R2, R9, stamp::BASE);
    a.jump(Eq, R2, 0, unknown);
    a.mov(R1, R0);
    a.alu(Sub, R1, R2);
    a.add(R1, 1);
    a.here(unknown);
    a.store(DW, R9, stamp::CPU, R1);
}

/// Emits: a call of the thread with the slot or mark R9 returns at the time in R0: it computes from here on.
pub fn returns(a: &mut Asm) {
    a.store(DW, R9, stamp::BASE, R0);
}

/// Emits: R1 = the form that a number of ns in R1 (as in field CPU: one more than it is, or 0) has in a record. Destroys R2 and
/// R3.
pub fn pack(a: &mut Asm) {
    a.mov(R2, 0);
    for shift in [32, 16, 8, 4, 2, 1] {
        let less = a.label();
        if shift + BITS - 1 < 31 {
            a.jump(SignedLt, R1, 1 << (shift + BITS - 1), less);
        } else {
            a.mov(R3, R1);
            a.alu(Rsh, R3, shift + BITS - 1);
            a.jump(Eq, R3, 0, less);
        }
        a.alu(Rsh, R1, shift);
        a.add(R2, shift);
        a.here(less);
    }
    a.alu(Lsh, R2, BITS);
    a.alu(Or, R1, R2);
}

/// The ns that such a form stands for, as they were before one was added; `None` for 0, which stands for unknown.
pub fn unpack(packed: u16) -> Option<i64> {
    let (number, doublings) = (i64::from(packed & ((1 << BITS) - 1)), u32::from(packed >> BITS));
    let value = number.checked_shl(doublings).filter(|value| value >> doublings == number).unwrap_or(i64::MAX);
    // What was cut off is half of the last place on average.
    let half = 1i64.checked_shl(doublings).unwrap_or(0) >> 1;
    (packed != 0).then(|| (value.saturating_add(half) - 1).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`pack`] computes.
    fn packed(mut value: u64) -> u16 {
        let mut doublings = 0;
        for shift in [32, 16, 8, 4, 2, 1] {
            if value >> (shift + BITS - 1) != 0 {
                value >>= shift;
                doublings += shift;
            }
        }
        assert!(value < 1 << BITS);
        (doublings << BITS) as u16 | value as u16
    }

    #[test]
    fn times_are_told_to_within_a_thousandth() {
        assert_eq!((unpack(0), unpack(packed(1)), unpack(packed(1023))), (None, Some(0), Some(1022)));
        let mut time: u64 = 1;
        while time < 1 << 62 {
            for time in [time, time + 1, time - 1, time + time / 3] {
                let told = unpack(packed(time + 1)).unwrap();
                assert!((told - time as i64).unsigned_abs() <= time / 1000, "{time} is told as {told}");
            }
            time *= 2;
        }
    }

    /// Records may be damaged.
    #[test]
    fn every_form_is_some_time() {
        assert!((1..=u16::MAX).all(|packed| unpack(packed).is_some_and(|time| time >= 0)));
    }
}
