//! Pseudo-random numbers that are the same for the same seed, on every machine and in every version.

/// A pseudo-random number generator (xorshift64*).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// A generator with this seed; every seed is equally good, 0 included.
    pub const fn new(seed: u64) -> Dice {
        // A state of zero would stay zero.
        Dice(if seed == 0 { 0x9E37_79B9_7F4A_7C15 } else { seed })
    }

    /// The next pseudo-random number, all 64 bits.
    #[inline]
    pub const fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// The next number in 0..`end`, from 31 random bits; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.roll() >> 33) % end.max(1)
    }

    /// A random element of a slice, which must not be empty.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Fills the slice with random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.roll().to_ne_bytes()[..chunk.len()]);
        }
    }
}

/// Hashes a number so that every bit of the result depends on all of its bits (the finalizer of SplitMix64).
#[inline]
pub const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was made with a seed is made with it again: captures, data of files, delays.
    #[test]
    fn the_numbers_stay_as_they_are() {
        let mut dice = Dice::new(1);
        assert_eq!([dice.roll(), dice.roll()], [0x47E4_CE4B_896C_DD1D, 0xABCF_A6A8_E079_651D]);
        assert_eq!([mix(0), mix(1)], [0xE220_A839_7B1D_CDAF, 0x910A_2DEC_8902_5CC1]);
        let (mut dice, mut bytes) = (Dice::new(1), [0; 11]);
        dice.fill(&mut bytes);
        assert_eq!(bytes[..8], 0x47E4_CE4B_896C_DD1D_u64.to_ne_bytes());
        assert_ne!(Dice::new(0).roll(), 0);
        assert_eq!((dice.below(0), dice.below(1), dice.pick(&[7])), (0, 0, 7));
    }
}
