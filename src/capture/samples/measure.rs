//! What is kept of a sample of a file: numbers.

use super::noise::looks_like_noise;
use crate::process::reserve;
use crate::schema::contents::Content;
use crate::schema::profile::{self, Grade};
use std::collections::HashSet;
use std::io::Result;

/// Length of a sample, bytes, at most.
pub const SAMPLE: usize = profile::SAMPLE as usize;
/// The unit in which file systems store, and find zeroes and repetitions, bytes.
pub const BLOCK: usize = 4 << 10;
/// Level of zstd: the default of btrfs.
const LEVEL: i32 = 3;
/// Blocks of which the hashes are remembered, at most: 16 MiB of them. Later ones can repeat these and no others.
const REMEMBERED: usize = 1 << 20;

/// Hashes of blocks that were seen.
pub type Seen = HashSet<u64>;

/// Room for the hashes of all blocks that are remembered.
pub fn room() -> Seen {
    HashSet::with_capacity(REMEMBERED)
}

/// Measures samples. Knows the blocks that it has seen by hashes with a key of its own.
pub struct Measure {
    key: [u8; 32],
    seen: Seen,
    compressor: zstd::bulk::Compressor<'static>,
    compressed: Vec<u8>,
}

impl Measure {
    /// A measure whose hashes have this key, and are put where room is for them.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(key: [u8; 32], seen: Seen) -> Result<Measure> {
        let compressor = zstd::bulk::Compressor::new(LEVEL)?;
        let compressed = Vec::with_capacity(zstd::zstd_safe::compress_bound(SAMPLE));
        Ok(Measure { key, seen, compressor, compressed })
    }

    /// Adds what one contiguous sample of a file is like, and returns its grade. It begins at a multiple of [`SAMPLE`] in the file.
    ///
    /// # Errors
    /// When it cannot be compressed.
    pub fn add(&mut self, sample: &[u8], content: &mut Content) -> Result<Grade> {
        let mut zeroes = 0;
        for block in sample.chunks(BLOCK) {
            if block.iter().all(|byte| *byte == 0) {
                zeroes += block.len();
                continue;
            }
            let hash = blake3::keyed_hash(&self.key, block);
            let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
            let hash = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            if self.seen.contains(&hash) {
                content.repeated += block.len() as i64;
            } else if self.seen.len() < REMEMBERED {
                self.seen.insert(hash);
            }
        }
        self.compressed.clear();
        let small = self.compressor.compress_to_buffer(sample, &mut self.compressed)?;
        reserve::wipe(&mut self.compressed);
        let whole = sample.len() as i64;
        content.sampled += whole;
        content.zeroes += zeroes as i64;
        // What does not save a block is stored as it is, and so is what nobody tries to compress.
        if looks_like_noise(sample)
            || small.div_ceil(BLOCK) >= sample.len().div_ceil(BLOCK) && sample.len() > BLOCK
            || small >= sample.len()
        {
            content.incompressible += whole;
            content.compressed += whole;
            return Ok(Grade::Degree(0));
        }
        content.compressed += small as i64;
        let others = sample.len() - zeroes;
        Ok(if others == 0 { Grade::Zero } else { Grade::of(small as f64 / others as f64) })
    }
}

impl Drop for Measure {
    fn drop(&mut self) {
        reserve::wipe(&mut self.key);
        self.seen.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    fn measured(samples: &[&[u8]]) -> Content {
        let (mut measure, mut content) = (Measure::new([7; 32], Seen::new()).unwrap(), Content::default());
        for sample in samples {
            measure.add(sample, &mut content).unwrap();
        }
        content
    }

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        Dice::new(seed).fill(&mut bytes);
        bytes
    }

    #[test]
    fn kinds_of_data_are_told_apart() {
        let whole = SAMPLE as i64;
        let (random, other) = (noise(1, SAMPLE), noise(2, SAMPLE));
        let text: Vec<u8> = (0..SAMPLE / 8).flat_map(|line| format!("{:07}\n", line * 7919 % 9_999_991).into_bytes()).collect();
        let found = measured(&[&random]);
        assert_eq!(found, Content { sampled: whole, compressed: whole, incompressible: whole, ..Content::default() });
        let found = measured(&[&vec![0; SAMPLE]]);
        assert!(found.zeroes == whole && found.compressed < 100 && found.incompressible == 0, "{found:?}");
        let found = measured(&[&text]);
        let alone = zstd::bulk::compress(&text, 3).unwrap().len() as i64;
        assert_eq!(found, Content { sampled: whole, compressed: alone, ..Content::default() });
        let found = measured(&[&random, &other, &random]);
        assert_eq!((found.repeated, found.sampled), (whole, 3 * whole));
        let half = [&random[..SAMPLE / 2], &vec![0; SAMPLE / 2]].concat();
        let found = measured(&[&half]);
        assert_eq!((found.zeroes, found.incompressible), (whole / 2, 0));
        assert!((found.compressed - whole / 2).abs() < 200, "{found:?}");
        assert_eq!(measured(&[b"short"]).sampled, 5);
    }

    #[test]
    fn other_keys_find_the_same_repetitions() {
        let random = noise(1, 3 * BLOCK);
        for key in [[0; 32], [9; 32]] {
            let (mut measure, mut content) = (Measure::new(key, Seen::new()).unwrap(), Content::default());
            measure.add(&random, &mut content).unwrap();
            measure.add(&random[BLOCK..], &mut content).unwrap();
            assert_eq!(content.repeated, 2 * BLOCK as i64);
        }
    }
}
