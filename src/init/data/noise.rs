//! Noise that compresses to a given degree.

use crate::dice::Dice;

/// Noise and zeroes alternate in units of this many bytes, so that short files compress as well as long ones.
const UNIT: usize = 512;
/// What a compressor needs to encode a run of zeroes, bytes per unit (measured with zstd).
const OVERHEAD: f64 = 2.0;
/// Number of different bytes in noise that compresses well, and what each of them tells, bits: as in text. Of bytes that have all
/// values btrfs believes that they do not compress, however many zeroes lie between them, and does not try
/// (`btrfs_compress_heuristic()` in `fs/btrfs/compression.c` of the kernel).
const SYMBOLS: f64 = 64.0;
const BITS: f64 = 6.0;

/// Fills a block with noise of this ratio of compression (size / compressed size, from 1 on), chosen by a seed.
pub fn fill(block: &mut [u8], ratio: f64, seed: u64) {
    let mut dice = Dice::new(seed | 1);
    // Up to the ratio of few symbols there are more of them; from there on there is less noise.
    let symbols = if ratio > 1.0 { (8.0 / ratio).exp2().max(SYMBOLS) as u32 } else { 256 };
    let noisy = if symbols > SYMBOLS as u32 { UNIT as f64 } else { (UNIT as f64 / ratio - OVERHEAD) * 8.0 / BITS };
    let mut due = 0.0;
    for unit in block.chunks_mut(UNIT) {
        due += noisy.max(1.0);
        let length = (due as usize).min(unit.len());
        due -= length as f64;
        let (noise, rest) = unit.split_at_mut(length);
        dice.fill(noise);
        if symbols < 256 {
            noise.iter_mut().for_each(|byte| *byte = (u32::from(*byte) * symbols / 256) as u8 + 1);
        }
        rest.fill(0);
    }
}
