//! Data of the kind that samples of captured files say (`--data captured`): how well it compresses, how much of it does not, how
//! many of its blocks are zero, and how many repeat others.
//!
//! File systems compress up to 128 KiB at a time. Whether these do not compress, or to what degree, is what the sample nearest before
//! such a piece of the file was like. Of files that were not sampled themselves it is chosen for each, so that shares hold over a file, and over files
//! that are shorter than that over many; pieces that do not compress come four in a row. Whether a piece repeats others, and which blocks are zero
//! in pieces that are not all zero, is chosen for all of them.

use super::{BLOCK, STAMP, noise};
use crate::dice::mix;
use crate::schema::contents::Content;
use crate::schema::profile::{DEGREES as LEVELS, Grade, Profile, STEP};

/// Bytes that are compressed together.
const UNIT: usize = 128 << 10;
const BLOCKS: u64 = (UNIT / BLOCK) as u64;
/// Size of the noise of one degree, bytes; it repeats after that.
const SIZE: usize = 1 << 20;
/// Pieces that are alike in not compressing, or in compressing, where nobody knows their order. btrfs takes 512 KiB at a time: it leaves
/// those as they are that follow one which does not compress (`compress_file_range()` in `fs/btrfs/inode.c` of the kernel).
const RUN: u64 = 4;

/// The kind of content of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    /// Share of it, 0 to 1, that does not compress, where `profile` does not say which part.
    random: f64,
    /// Of the rest, which pieces that `profile` says to be all zero are not of, the share of blocks that are zero.
    zero: f64,
    /// The degree of compression of the others: a number of levels. With a profile, by how much it is above what that says.
    level: i32,
    /// The share of these pieces that are of the next level, so that together they compress to a degree between both.
    next: f64,
    /// What each part is like.
    profile: Option<Profile>,
    /// Share of it, zeroes left out, that repeats other content.
    repeated: f64,
}

impl Mixture {
    /// The kind that these numbers say; `None` when they say nothing, or contradict each other.
    pub fn of(content: Content) -> Option<Mixture> {
        let Content { sampled, compressed, incompressible, zeroes, repeated, profile } = content;
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
        let (random, repeated) = (share(incompressible, sampled), share(repeated, sampled - zeroes));
        let mixture = Mixture { random, zero, level: 0, next: 0.0, repeated, profile: None }.leveled(level);
        Some(profile.map_or(mixture, |profile| mixture.in_order(profile, zeroes, compressed - incompressible)))
    }

    /// The same with its parts in the order of the samples, of which so many bytes are zero, and the compressible ones take `small` bytes.
    fn in_order(self, profile: Profile, zeroes: i64, small: i64) -> Mixture {
        // Bytes of samples that are all zero; of others that compress, and what these would take by their grades.
        let (mut empty, mut others, mut graded) = (0.0, 0.0, 0.0);
        for (grade, bytes) in profile.samples() {
            match grade {
                Grade::Zero => empty += bytes as f64,
                Grade::Degree(0) => {}
                Grade::Degree(degree) => {
                    others += bytes as f64;
                    graded += bytes as f64 * STEP.powi(-i32::from(degree));
                }
            }
        }
        let zero = if others > 0.0 { ((zeroes as f64 - empty) / others).clamp(0.0, 1.0) } else { 0.0 };
        // Grades are rounded; their sum is known.
        let above = (graded * (1.0 - zero) / (small as f64).max(1.0)).log(STEP);
        let level = if above.is_finite() { above.clamp(-1.0, 1.0) } else { 0.0 };
        Mixture { zero, profile: Some(profile), ..self }.leveled(level)
    }

    /// The same with this number of levels, between two of which it may be.
    fn leveled(self, level: f64) -> Mixture {
        let rest = level - level.floor();
        // Compressed sizes add up, and not ratios.
        let next = (1.0 - STEP.powf(-rest)) / (1.0 - STEP.recip());
        Mixture { level: level.floor() as i32, next, ..self }
    }

    /// What a piece of a file is like: of which level its noise is, `None` if it is all zero.
    fn degree(&self, file: u64, piece: u64) -> Option<usize> {
        let (degree, least) = match &self.profile {
            None if spread(file, piece / RUN) < self.random => return Some(0),
            None => (0, 0),
            Some(profile) => match profile.at(piece) {
                Grade::Zero => return None,
                Grade::Degree(0) => return Some(0),
                // What compresses a little does not become what does not.
                Grade::Degree(degree) => (i32::from(degree), 1),
            },
        };
        let next = i32::from(spread(mix(file ^ 2), piece) < self.next);
        Some((degree + self.level + next).clamp(least, LEVELS as i32 - 1) as usize)
    }
}

/// Noise of all degrees.
#[derive(Debug)]
pub struct Mix {
    levels: Vec<Vec<u8>>,
    seed: u64,
}

/// What a piece of [`UNIT`] bytes of a file is made of.
struct Piece<'a> {
    number: u64,
    /// Noise of its degree; `None` if it is all zero.
    noise: Option<&'a [u8]>,
    /// Share of its blocks that are zero.
    zero: f64,
    whose: Whose,
}

/// Which blocks of the noise a piece takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// Those that pieces of all files take that repeat others.
    Shared,
    /// Others than those of other files, with a number in each.
    Own,
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
        let mut piece = self.piece(kind, file, at / UNIT as u64);
        while done < bytes.len() {
            let (number, from) = (at / BLOCK as u64, (at % BLOCK as u64) as usize);
            let length = (BLOCK - from).min(bytes.len() - done);
            if number / BLOCKS != piece.number {
                piece = self.piece(kind, file, number / BLOCKS);
            }
            self.block(&mut bytes[done..done + length], &piece, (file, version), number, from);
            done += length;
            at = at.wrapping_add(length as u64);
        }
    }

    /// What a piece of a file is made of.
    fn piece(&self, kind: &Mixture, file: u64, number: u64) -> Piece<'_> {
        let (noise, zero) = match kind.degree(file, number) {
            None => (None, 1.0),
            Some(0) => (Some(0), 0.0),
            Some(degree) => (Some(degree), kind.zero),
        };
        let whose = match spread(mix(file ^ 3), number) < kind.repeated {
            true => Whose::Shared,
            false => Whose::Own,
        };
        Piece { number, noise: noise.map(|level| &self.levels[level][..]), zero, whose }
    }

    /// Fills memory with a part of a block, from byte `from` of it on.
    fn block(&self, bytes: &mut [u8], piece: &Piece<'_>, (file, version): (u64, u64), number: u64, from: usize) {
        let Some(noise) = piece.noise else { return bytes.fill(0) };
        if piece.zero > 0.0 && spread(mix(file ^ 1), number) < piece.zero {
            return bytes.fill(0);
        }
        let block = match piece.whose {
            Whose::Shared => number % BLOCKS,
            Whose::Own => (mix(file ^ 4) / BLOCKS * BLOCKS).wrapping_add(number) % (SIZE / BLOCK) as u64,
        };
        bytes.copy_from_slice(&noise[block as usize * BLOCK + from..][..bytes.len()]);
        if piece.whose == Whose::Own && from < STAMP {
            let stamp = mix(self.seed ^ mix(version ^ mix(number))).to_ne_bytes();
            let length = (STAMP - from).min(bytes.len());
            bytes[..length].copy_from_slice(&stamp[from..from + length]);
        }
    }
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
        Mixture::of(Content { sampled: 1000, compressed, incompressible, zeroes, repeated, profile: None }).unwrap()
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
    fn parts_are_in_the_order_of_the_samples() {
        const MIB: i64 = 1 << 20;
        // A quarter compresses to a half, a half is noise, a quarter is zero.
        let size = 32 * MIB;
        let content = Content {
            sampled: 2 * MIB,
            compressed: MIB + MIB / 4,
            incompressible: MIB,
            zeroes: MIB / 2,
            repeated: 0,
            profile: Profile::of("EEEEAAAAAAAAZZZZ", size),
        };
        let kind = Mixture::of(content).unwrap();
        let mut bytes = vec![1; size as usize];
        Mix::new(7).fill(&mut bytes, &kind, 3, 3, 0);
        for (at, piece) in bytes.chunks(UNIT).enumerate() {
            let share = zstd::bulk::compress(piece, 3).unwrap().len() as f64 / UNIT as f64;
            let wanted = if at < 64 {
                0.45..0.55
            } else if at < 192 {
                0.99..1.1
            } else {
                0.0..0.01
            };
            assert!(wanted.contains(&share), "piece {at}: {share}");
        }
        // Without an order the same shares hold, in runs of 512 KiB.
        let kind = Mixture::of(Content { profile: None, ..content }).unwrap();
        Mix::new(7).fill(&mut bytes, &kind, 3, 3, 0);
        let noisy = |piece: &[u8]| zstd::bulk::compress(piece, 3).unwrap().len() >= UNIT;
        let runs: Vec<usize> =
            bytes.chunks(UNIT * RUN as usize).map(|run| run.chunks(UNIT).filter(|piece| noisy(piece)).count()).collect();
        assert!(runs.iter().all(|noisy| [0, RUN as usize].contains(noisy)), "{runs:?}");
        assert!((30..=34).contains(&runs.iter().filter(|noisy| **noisy > 0).count()), "{runs:?}");
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
        assert_eq!(of(i64::MAX, 0, 0).unwrap().level, LEVELS as i32 - 1);
        assert_eq!(of(10, 10, 10).unwrap().random, 1.0);
    }
}
