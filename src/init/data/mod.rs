//! The made-up data that files hold and writes send: bytes of a chosen compressibility and share of repetitions, at the speed
//! of memory.
//!
//! A pool of noise is made once. What is handed out is a piece of the pool, in place, after the first bytes of each of its
//! 4 KiB blocks were overwritten with a number that was never used before: no two blocks are equal, for the cost of one
//! store each. The pool repeats after [`POOL`] bytes, which is farther than file systems look back when they compress.

mod mix;
mod noise;

pub use mix::{Mix, Mixture};

use crate::amount::typed;
use crate::dice::mix;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Size of a block, bytes: the unit of deduplication.
pub const BLOCK: usize = 4 << 10;
/// Size of the pool of noise, bytes.
pub const POOL: usize = 4 << 20;

/// Size of the number at the start of a block that makes it different from all others, bytes.
const STAMP: usize = 8;
/// What one piece of the data of a file has, bytes, at most, where each file has data of its own kind.
const PIECE: usize = 1 << 20;
/// Number of different blocks of which the repeated blocks are copies.
const COMMON: usize = 8;

/// The kind of data: zeroes, noise that compresses and deduplicates to a given degree, or what samples of the captured files say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Fill {
    /// Zeroes, for which a file system that detects them may store nothing.
    Zero,
    /// Noise of this ratio of compression (1 for none), of which this share of blocks (0 to 1) repeats others.
    Noise {
        /// Compression ratio, size / compressed size: 1 (incompressible) to [`Fill::MOST`].
        ratio: f64,
        /// Share of blocks, 0 to 1, that repeat others.
        dedupe: f64,
    },
    /// For each file of the kind that samples of its content say ([`Mixture`]); random where no sample says anything.
    Captured,
}

/// The data of a tree and its replay: its kind, and a seed that selects the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Data {
    /// The kind of data.
    pub fill: Fill,
    /// Seed of the noise: other seeds give other bytes, the same seed the same.
    pub seed: u64,
}

impl Default for Data {
    fn default() -> Data {
        Data { fill: Fill::RANDOM, seed: 0 }
    }
}

impl Fill {
    /// Noise that can be neither compressed nor deduplicated.
    pub const RANDOM: Fill = Fill::Noise { ratio: 1.0, dedupe: 0.0 };
    /// Largest compression ratio: beyond it the numbers that distinguish blocks outweigh the noise.
    pub const MOST: f64 = 50.0;

    /// Parses the kind of data: `zero`, `random`, `captured`, or `compress=R`, `dedupe=D` or both with a comma between; D is a
    /// percentage.
    ///
    /// # Errors
    /// A message for the user that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Fill, String> {
        let (mut ratio, mut dedupe) = (1.0, 0.0);
        match text {
            "zero" => return Ok(Fill::Zero),
            "random" => return Ok(Fill::RANDOM),
            "captured" => return Ok(Fill::Captured),
            _ => {}
        }
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("compress", value)) => {
                    let value = typed::number(value).ok().filter(|value| (1.0..=Fill::MOST).contains(value));
                    ratio = value.ok_or(format!("{part:?}: a ratio is a number from 1 to {}, as in compress=2.5", Fill::MOST))?;
                }
                Some(("dedupe", value)) => {
                    let value =
                        typed::percent(value).map_err(|_| format!("{part:?}: a share is a percentage, as in dedupe=30%"))?;
                    dedupe = value / 100.0;
                }
                _ => {
                    return Err(format!(
                        "{part:?} is no kind of data: use zero, random, captured, compress=RATIO or dedupe=PERCENT"
                    ));
                }
            }
        }
        Ok(Fill::Noise { ratio, dedupe })
    }
}

impl fmt::Display for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Fill::Zero => write!(f, "zero"),
            Fill::Captured => write!(f, "captured"),
            Fill::RANDOM => write!(f, "random"),
            Fill::Noise { ratio, dedupe: 0.0 } => write!(f, "compress={ratio}"),
            Fill::Noise { ratio: 1.0, dedupe } => write!(f, "dedupe={}%", dedupe * 100.0),
            Fill::Noise { ratio, dedupe } => write!(f, "compress={ratio},dedupe={}%", dedupe * 100.0),
        }
    }
}

impl From<Fill> for String {
    fn from(fill: Fill) -> String {
        fill.to_string()
    }
}

impl TryFrom<String> for Fill {
    type Error = String;
    fn try_from(text: String) -> Result<Fill, String> {
        Fill::parse(&text)
    }
}

/// The pool: [`POOL`] bytes of noise, from which the data of files is taken.
#[derive(Clone, Debug)]
pub struct Pool {
    bytes: Vec<u8>,
    data: Data,
    /// With [`Fill::Captured`] data of all kinds, and memory for a piece of it.
    mix: Option<(Arc<Mix>, Vec<u8>)>,
}

impl Pool {
    /// Makes the pool for this kind of data.
    pub fn new(data: Data) -> Pool {
        let mut bytes = vec![0; POOL];
        let ratio = match data.fill {
            Fill::Zero => None,
            Fill::Noise { ratio, .. } => Some(ratio),
            Fill::Captured => Some(1.0),
        };
        for (number, block) in bytes.chunks_exact_mut(BLOCK).enumerate().take_while(|_| ratio.is_some()) {
            let number = if data.repeats(number) { number % COMMON } else { COMMON + number };
            noise::fill(block, ratio.unwrap_or(1.0), mix(data.seed ^ mix(number as u64)));
        }
        let mix = (data.fill == Fill::Captured).then(|| (Arc::new(Mix::new(data.seed)), Vec::new()));
        Pool { bytes, data, mix }
    }

    /// The bytes of the pool, as they were made or last stamped.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The data of a file from `offset` on: at least one byte, at most `most`; `file` is any number that identifies the file, and
    /// `content` says of what kind it is with [`Fill::Captured`]. The same file always gets the same data.
    pub fn of_file(&mut self, file: u64, content: Option<&Mixture>, offset: u64, most: usize) -> &[u8] {
        if let (Some((mix, piece)), Some(content)) = (&mut self.mix, content) {
            piece.resize(most.min(PIECE), 0);
            mix.fill(piece, content, file, file, offset);
            return piece;
        }
        if self.data.fill == Fill::Zero {
            return &self.bytes[..most.min(POOL)];
        }
        let first = (mix(file) % (POOL / BLOCK) as u64) * BLOCK as u64;
        let at = ((first + offset % POOL as u64) % POOL as u64) as usize;
        let end = (at + most).min(POOL);
        for (number, block) in (offset / BLOCK as u64..).zip(at / BLOCK..end.div_ceil(BLOCK)) {
            if !self.data.repeats(block) {
                let stamp = self.data.stamp(file, number);
                self.bytes[block * BLOCK..][..STAMP].copy_from_slice(&stamp.to_ne_bytes());
            }
        }
        &self.bytes[at..end]
    }
}

impl Data {
    /// Whether this block of the pool is a copy of another; copies are spread evenly.
    #[inline]
    pub fn repeats(self, block: usize) -> bool {
        match self.fill {
            Fill::Zero => true,
            Fill::Captured | Fill::Noise { dedupe: 0.0, .. } => false,
            Fill::Noise { dedupe, .. } => ((block + 1) as f64 * dedupe) as u64 != (block as f64 * dedupe) as u64,
        }
    }

    /// The number that is stored at the start of a block of a file: different for each block, up to collisions of a 64-bit
    /// hash.
    #[inline]
    pub fn stamp(self, file: u64, block: u64) -> u64 {
        mix(self.seed ^ mix(file ^ mix(block)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn file(fill: Fill, number: u64, size: usize) -> Vec<u8> {
        let mut pool = Pool::new(Data { fill, seed: 7 });
        let mut bytes = Vec::new();
        while bytes.len() < size {
            let piece = pool.of_file(number, None, bytes.len() as u64, (size - bytes.len()).min(1 << 20)).to_vec();
            bytes.extend(piece);
        }
        bytes
    }

    fn ratio(bytes: &[u8]) -> f64 {
        bytes.len() as f64 / zstd::bulk::compress(bytes, 3).unwrap().len() as f64
    }

    fn saved(bytes: &[u8]) -> f64 {
        let blocks: Vec<_> = bytes.chunks(BLOCK).collect();
        1.0 - blocks.iter().collect::<HashSet<_>>().len() as f64 / blocks.len() as f64
    }

    #[test]
    fn the_ratio_is_that_of_zstd_within_ten_percent() {
        for wanted in [1.0, 1.1, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0] {
            for size in [100_000, 9 << 20] {
                let found = ratio(&file(Fill::parse(&format!("compress={wanted}")).unwrap(), 3, size));
                assert!((found / wanted - 1.0).abs() < 0.1, "wanted {wanted}, found {found:.3} at {size} bytes");
            }
        }
        assert!(ratio(&file(Fill::Zero, 3, 1 << 20)) > 1000.0);
    }

    #[test]
    fn the_share_of_repeated_blocks_is_as_asked() {
        for wanted in [0.0, 0.1, 0.3, 0.5, 0.9] {
            let found = saved(&file(Fill::parse(&format!("dedupe={}%", wanted * 100.0)).unwrap(), 3, 32 << 20));
            assert!((found - wanted).abs() < 0.01, "wanted {wanted}, found {found:.4}");
        }
        let both = file(Fill::parse("compress=2,dedupe=50").unwrap(), 3, 8 << 20);
        assert!((saved(&both) - 0.5).abs() < 0.01 && ratio(&both) > 2.0);
    }

    #[test]
    fn a_file_holds_the_same_however_it_is_read() {
        let whole = file(Fill::RANDOM, 5, 9 << 20);
        let mut pool = Pool::new(Data { fill: Fill::RANDOM, seed: 7 });
        for (offset, most) in [(0, 10), (4090, 5000), ((4 << 20) - 3, 100), (8 << 20, 1 << 20), (5_000_001, 8192)] {
            let piece = pool.of_file(5, None, offset as u64, most);
            assert!(!piece.is_empty() && piece == &whole[offset..offset + piece.len()], "{offset}");
        }
        assert_ne!(&whole[..4096], &file(Fill::RANDOM, 6, 4096)[..]);
    }

    #[test]
    fn kinds_print_as_they_are_typed() {
        for text in ["zero", "random", "captured", "compress=2.5", "dedupe=30%", "compress=4,dedupe=10%"] {
            assert_eq!(Fill::parse(text).unwrap().to_string(), text);
        }
        for text in
            ["", "noise", "compress=0.5", "compress=nan", "compress=1e1", "dedupe=101", "dedupe=5%%", "compress=2;dedupe=1"]
        {
            assert!(Fill::parse(text).is_err(), "{text}");
        }
    }
}
