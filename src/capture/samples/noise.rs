//! Whether btrfs tries to compress a piece of a file: it looks at a part of its bytes first, and leaves alone what looks like noise,
//! though a compressor might save something (`btrfs_compress_heuristic()` in `fs/btrfs/compression.c` of the kernel).

/// So many bytes of each [`EVERY`] are looked at.
const READ: usize = 16;
const EVERY: usize = 256;
/// With fewer different bytes than this, or when so few make nine tenths of all, it is no noise.
const FEW: usize = 64;
/// When so many different bytes do not make nine tenths of all, it is noise.
const MANY: usize = 200;
/// Entropy, percent of eight bits a byte, from which on it is noise.
const HIGH: u64 = 80;

/// Does a piece of up to 128 KiB look like noise?
pub fn looks_like_noise(piece: &[u8]) -> bool {
    let mut counts = [0_u64; 256];
    let (mut size, mut halves) = (0, [xxhash_rust::xxh3::Xxh3::new(), xxhash_rust::xxh3::Xxh3::new()]);
    let parts = || piece.chunks(EVERY).filter(|part| part.len() >= READ).map(|part| &part[..READ]);
    let half = parts().count() / 2;
    for (at, part) in parts().enumerate() {
        part.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        halves[usize::from(at >= half)].update(part);
        size += READ as u64;
    }
    if size == 0 || parts().count() % 2 == 0 && halves[0].digest() == halves[1].digest() {
        return false;
    }
    let different = counts.iter().filter(|count| **count > 0).count();
    if different < FEW {
        return false;
    }
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let (mut sum, mut core) = (0, 0);
    for count in counts.iter().take(MANY).take_while(|count| **count > 0) {
        sum += count;
        if core >= FEW && sum > size * 90 / 100 {
            break;
        }
        core += 1;
        if core == FEW && sum > size * 90 / 100 {
            return false;
        }
    }
    core >= MANY || entropy(&counts, size) >= HIGH
}

/// Entropy of these counts, of which the sum is `size`, in percent of eight bits a byte. In quarters of bits, as the kernel does without
/// fractions.
fn entropy(counts: &[u64], size: u64) -> u64 {
    let quarters = |number: u64| u64::from((u128::from(number).pow(4)).ilog2());
    let base = quarters(size);
    let sum: u64 = counts.iter().filter(|count| **count > 0).map(|count| count * (base - quarters(*count))).sum();
    sum / size * 100 / (8 * quarters(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    #[test]
    fn noise_is_told_from_text() {
        let mut noise = vec![0; 128 << 10];
        Dice::new(3).fill(&mut noise);
        assert!(looks_like_noise(&noise) && looks_like_noise(&noise[..40_000]));
        let text: Vec<u8> = std::iter::repeat_n(include_bytes!("noise.rs"), 40).flatten().copied().collect();
        assert!(!looks_like_noise(&text[..100_000]) && !looks_like_noise(&[0; 1000]) && !looks_like_noise(b"short"));
        // Zeroes between noise do not help, few different bytes do.
        let half: Vec<u8> = noise.chunks(512).flat_map(|unit| [&unit[..300], &[0; 212]].concat()).collect();
        assert!(looks_like_noise(&half[..128 << 10]));
        let symbols: Vec<u8> = noise.iter().map(|byte| byte & 63).collect();
        assert!(!looks_like_noise(&symbols));
        // What repeats after half of the piece is no noise.
        assert!(!looks_like_noise(&[&noise[..64 << 10], &noise[..64 << 10]].concat()));
    }
}
