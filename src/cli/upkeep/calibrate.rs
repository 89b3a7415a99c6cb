//! `ioriot calibrate`: a fixed piece of work, so that CPU seconds of two machines can be compared.

use super::{Exit, ui};
use crate::dice::Dice;
use anyhow::Result;
use std::time::Instant;

/// Compress a fixed buffer with zstd: the unit of scripts/bench.sh
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot calibrate")]
pub struct Args {}

const BUFFER: usize = 64 << 20;
const LEVEL: i32 = 3;

impl Args {
    pub fn run(self) -> Result<Exit> {
        let buffer = buffer(BUFFER);
        let start = Instant::now();
        let compressed = zstd::bulk::compress(&buffer, LEVEL)?.len();
        let wall = start.elapsed().as_secs_f64();
        ui::say(format_args!("zstd level {LEVEL} made {compressed} of {BUFFER} bytes in {wall:.3} s"))?;
        Ok(Exit::Done)
    }
}

/// Bytes that compress about as well as a trace does: words out of a small vocabulary, chosen by dice.
fn buffer(size: usize) -> Vec<u8> {
    let mut dice = Dice::new(0x9E37_79B9_7F4A_7C15);
    let mut buffer = Vec::with_capacity(size + 16);
    while buffer.len() < size {
        let state = dice.roll();
        let word = (state >> 32) % 4096;
        buffer.extend_from_slice(&word.wrapping_mul(word).to_le_bytes()[..(state % 7) as usize + 1]);
    }
    buffer.truncate(size);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_is_always_the_same() {
        let small = buffer(1 << 16);
        assert_eq!(small.len(), 1 << 16);
        assert_eq!(small, buffer(1 << 17)[..1 << 16]);
        let ratio = small.len() as f64 / zstd::bulk::compress(&small, LEVEL).unwrap().len() as f64;
        assert!((1.2..5.0).contains(&ratio), "{ratio}");
    }
}
