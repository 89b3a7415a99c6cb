//! Data of the kind that samples of captured files say (`--data captured`): how well it compresses, how much of it does not, how
//! many of its blocks are zero, and how many repeat others.
//!
//! File systems compress up to 128 KiB at a time. Whether these do not compress, or to what degree, and whether they repeat is
//! chosen for each such piece of a file; which blocks are zero for each block. So shares hold over a file, and over files that are
//! shorter than that over many.

use super::{BLOCK, STAMP, noise};
use crate::dice::mix;
use crate::schema::contents::Content;

/// Bytes that are compressed together.
const UNIT: usize = 128 << 10;
const BLOCKS: u64 = (UNIT / BLOCK) as u64;
/// Size of the noise of one degree, bytes; it repeats after that.
const SIZE: usize = 1 << 20;
/// Degrees of compression, from 1 on, each this factor (the fourth root of 2) from the next.
const LEVELS: usize = 23;
const STEP: f64 = 1.189_207_115_002_721;

/// The kind of content of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    /// Share of it, 0 to 1, that does not compress.
    random: f64,
    /// Of the rest the share of blocks that are zero.
    zero: f64,
    /// The degree of compression of the others: a number of levels.
    level: f64,
    /// Share of it, zeroes left out, that repeats other content.
    repeated: f64,
}

impl Mixture {
    /// The kind that these numbers say; `None` when they say nothing, or contradict each other.
    pub fn of(content: Content) -> Option<Mixture> {
        let Content { sampled, compressed, incompressible, zeroes, repeated } = content;
        let fits = [compressed, incompressible, zeroes, repeated].iter().all(|part| (0..=sampled).contains(part));
        if sampled <= 0 || !fits || compressed < incompressible {
            return None;
        }
        let share = |part: i64, of: i64| if of > 0 { (part as f64 / of as f64).clamp(0.0, 1.0) } else { 0.0 };
        let rest = sampled - incompressible;
        let zero = share(zeroes, rest);
        // Zeroes take next to nothing, so all of it is of the other blocks.
        let ratio = rest as f64 * (1.0 - zero) / ((compressed - incompressible) as f64).max(1.0);
        let level = ratio.max(1.0).log(STEP).min((LEVELS - 1) as f64);
        Some(Mixture { random: share(incompressible, sampled), zero, level, repeated: share(repeated, sampled - zeroes) })
    }
}

/// Noise of all degrees.
#[derive(Debug)]
pub struct Mix {
    levels: Vec<Vec<u8>>,
    seed: u64,
}

/// A number from 0 to 1 for each piece of a file, evenly spread over neighbouring ones.
fn spread(file: u64, piece: u64) -> f64 {
    /// 2^64 times the golden ratio: multiples of it divide a circle evenly, however many there are.
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    (mix(file).wrapping_add(piece.wrapping_mul(GOLDEN)) >> 11) as f64 / (1_u64 << 53) as f64
}

impl Mix {
    /// Makes the noise; a seed selects its bytes.
    pub fn new(seed: u64) -> Mix {
        let level = |level: usize| {
            let mut bytes = vec![0; SIZE];
            for (at, block) in bytes.chunks_exact_mut(BLOCK).enumerate() {
                noise::fill(block, STEP.powi(level as i32), mix(seed ^ mix((level * SIZE + at) as u64)));
            }
            bytes
        };
        Mix { levels: (0..LEVELS).map(level).collect(), seed }
    }

    /// Fills memory with the content of a file of this kind from `offset` on. `file` identifies the file; blocks that repeat no
    /// others are told apart by `version` and their number.
    pub fn fill(&self, bytes: &mut [u8], kind: &Mixture, file: u64, version: u64, offset: u64) {
        let (mut done, mut at) = (0, offset);
        while done < bytes.len() {
            let (number, from) = (at / BLOCK as u64, (at % BLOCK as u64) as usize);
            let length = (BLOCK - from).min(bytes.len() - done);
            self.block(&mut bytes[done..done + length], kind, (file, version), number, from);
            done += length;
            at = at.wrapping_add(length as u64);
        }
    }

    /// Fills memory with a part of a block, from byte `from` of it on.
    fn block(&self, bytes: &mut [u8], kind: &Mixture, (file, version): (u64, u64), number: u64, from: usize) {
        let piece = number / BLOCKS;
        let random = spread(file, piece) < kind.random;
        if !random && spread(mix(file ^ 1), number) < kind.zero {
            return bytes.fill(0);
        }
        let noise = &self.levels[if random { 0 } else { level(kind.level, spread(mix(file ^ 2), piece)) }];
        let repeated = spread(mix(file ^ 3), piece) < kind.repeated;
        let first = if repeated { 0 } else { mix(file ^ 4) / BLOCKS * BLOCKS };
        let block = first.wrapping_add(if repeated { number % BLOCKS } else { number }) % (SIZE / BLOCK) as u64;
        bytes.copy_from_slice(&noise[block as usize * BLOCK + from..][..bytes.len()]);
        if !repeated && from < STAMP {
            let stamp = mix(self.seed ^ mix(version ^ mix(number))).to_ne_bytes();
            let length = (STAMP - from).min(bytes.len());
            bytes[..length].copy_from_slice(&stamp[from..from + length]);
        }
    }
}

/// One of the two levels beside a degree, by a number from 0 to 1: so that together they compress to that degree.
fn level(degree: f64, chance: f64) -> usize {
    let below = degree.floor();
    // Compressed sizes add up, and not ratios.
    let [low, high, wanted] = [below, below + 1.0, degree].map(|level| STEP.powf(-level));
    let above = (low - wanted) / (low - high);
    (below as usize + usize::from(chance < above)).min(LEVELS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// What a file system makes of files of this size: compressed size by units of 128 KiB, as shares of the size, and the shares of
    /// zero and of repeated blocks.
    fn made(kind: &Mixture, files: u64, size: usize) -> [f64; 3] {
        let mix = Mix::new(7);
        let (mut small, mut zero, mut seen, mut blocks) = (0, 0, HashSet::new(), 0);
        let mut again = 0;
        for file in 0..files {
            let mut bytes = vec![1; size];
            mix.fill(&mut bytes, kind, file, file, 0);
            for unit in bytes.chunks(UNIT) {
                small += zstd::bulk::compress(unit, 3).unwrap().len().min(unit.len());
            }
            for block in bytes.chunks(BLOCK) {
                blocks += 1;
                match block.iter().all(|byte| *byte == 0) {
                    true => zero += 1,
                    false => again += usize::from(!seen.insert(block.to_vec())),
                }
            }
        }
        [small as f64 / (files as usize * size) as f64, f64::from(zero) / f64::from(blocks), again as f64 / f64::from(blocks)]
    }

    fn kind(compressed: i64, incompressible: i64, zeroes: i64, repeated: i64) -> Mixture {
        Mixture::of(Content { sampled: 1000, compressed, incompressible, zeroes, repeated }).unwrap()
    }

    #[test]
    fn what_is_made_is_like_what_was_sampled() {
        for numbers in [
            [1000, 1000, 0, 0],
            [400, 0, 0, 0],
            [700, 400, 0, 0],
            [300, 0, 500, 0],
            [150, 100, 200, 0],
            [33, 0, 0, 0],
            [800, 0, 0, 0],
        ] {
            let [compressed, incompressible, zeroes, repeated] = numbers;
            for (files, size) in [(2, 16 << 20), (400, 100_000)] {
                let found = made(&kind(compressed, incompressible, zeroes, repeated), files, size);
                let wanted = [compressed as f64 / 1000.0, zeroes as f64 / 1000.0, repeated as f64 / 1000.0];
                assert!((found[0] / wanted[0] - 1.0).abs() < 0.1, "{numbers:?}: {found:?} of {files} files of {size}");
                assert!((found[1] - wanted[1]).abs() < 0.05 && (found[2] - wanted[2]).abs() < 0.02, "{numbers:?}: {found:?}");
            }
        }
        let found = made(&kind(500, 0, 0, 300), 4, 8 << 20);
        assert!((found[2] - 0.3).abs() < 0.03 && (found[0] / 0.5 - 1.0).abs() < 0.08, "{found:?}");
    }

    #[test]
    fn a_file_is_the_same_however_it_is_read() {
        let (mix, kind) = (Mix::new(1), kind(300, 100, 200, 100));
        let mut whole = vec![0; 1 << 20];
        mix.fill(&mut whole, &kind, 5, 5, 0);
        for (start, length) in [(0, 3), (3, 10_000), (4095, 2), (500_001, 300_000)] {
            let mut part = vec![9; length];
            mix.fill(&mut part, &kind, 5, 5, start as u64);
            assert!(part == whole[start..start + length], "{start}");
        }
        let mut last = [0; 100];
        mix.fill(&mut last, &kind, 5, 5, u64::MAX - 50);
    }

    #[test]
    fn numbers_that_contradict_each_other_say_nothing() {
        let of = |sampled, compressed, incompressible| {
            Mixture::of(Content { sampled, compressed, incompressible, ..Content::default() })
        };
        assert!(of(0, 0, 0).is_none() && of(-5, 0, 0).is_none() && of(10, 11, 0).is_none() && of(10, 5, 6).is_none());
        assert!(of(i64::MAX, i64::MAX, i64::MIN).is_none());
        assert_eq!(of(i64::MAX, 0, 0).unwrap().level, (LEVELS - 1) as f64);
        assert_eq!(of(10, 10, 10).unwrap().random, 1.0);
    }
}
