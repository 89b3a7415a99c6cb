//! Two encodings of Parquet (Encodings.md of parquet-format): differences of numbers, and runs of codes.
//!
//! A general writer hashes every value and asks of each whether it is there. For results, which come by the million and are
//! much alike, that would cost as much as many of the calls they are of.

/// Differences in a block, and in each of the pieces that have a width of their own.
const BLOCK: usize = 128;
const PIECE: usize = 32;
/// Equal codes from which a run of them is said as one: below it eight bits a code or less are as short.
const RUN: usize = 32;

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Are all equal?
pub fn constant(values: &[i64]) -> bool {
    // Compared with itself from the second on, as fast as memory is.
    values.is_empty() || values[1..] == values[..values.len() - 1]
}

/// DELTA_BINARY_PACKED.
pub fn differences(values: &[i64], out: &mut Vec<u8>) {
    for number in [BLOCK, BLOCK / PIECE, values.len()] {
        varint(number as u64, out);
    }
    varint(zigzag(values.first().copied().unwrap_or_default()), out);
    let afters = values.get(1..).unwrap_or_default();
    if constant(values) {
        // Of each block no bit: the least difference and the widths.
        out.resize(out.len() + afters.len().div_ceil(BLOCK) * (1 + BLOCK / PIECE), 0);
        return;
    }
    for (before, after) in values.chunks(BLOCK).zip(afters.chunks(BLOCK)) {
        let mut steps = [0; BLOCK];
        let mut least = i64::MAX;
        for ((step, after), before) in steps.iter_mut().zip(after).zip(before) {
            *step = after.wrapping_sub(*before);
            least = least.min(*step);
        }
        varint(zigzag(least), out);
        steps[after.len()..].fill(least);
        let widths = out.len();
        out.extend([0; BLOCK / PIECE]);
        for (number, piece) in steps.chunks_exact_mut(PIECE).enumerate() {
            let mut bits = 0;
            for step in &mut *piece {
                *step = step.wrapping_sub(least);
                bits |= *step as u64;
            }
            let width = u64::BITS - bits.leading_zeros();
            out[widths + number] = width as u8;
            pack(piece, width, out);
        }
    }
}

/// So many bits of each of the numbers of a piece, the lowest first.
fn pack(piece: &[i64], width: u32, out: &mut Vec<u8>) {
    let (mut word, mut filled) = (0, 0);
    for value in piece.iter().map(|value| *value as u64).filter(|_| width > 0) {
        word |= value << filled;
        filled += width;
        if filled >= u64::BITS {
            out.extend(word.to_le_bytes());
            filled -= u64::BITS;
            // What of the value did not fit.
            word = value.checked_shr(width - filled).unwrap_or(0);
        }
    }
    out.extend(&word.to_le_bytes()[..filled as usize / 8]);
}

/// Bits that a code needs when the highest is this one.
pub const fn width(highest: u8) -> u32 {
    u8::BITS - highest.leading_zeros()
}

/// RLE, the hybrid of runs and packed bits, of codes of so many bits.
pub fn runs(codes: &[u8], width: u32, out: &mut Vec<u8>) {
    let mut rest = codes;
    while let Some(first) = rest.first() {
        let equal = run(rest);
        if equal >= RUN || equal == rest.len() {
            varint((equal as u64) << 1, out);
            out.extend((width > 0).then_some(*first));
            rest = &rest[equal..];
            continue;
        }
        // Groups of eight up to the next run.
        let groups = rest.chunks(8).enumerate();
        let long = |at: usize| rest.len() - 8 * at > RUN && run(&rest[8 * at..8 * at + RUN]) == RUN;
        let count = groups.take_while(|(at, _)| !long(*at)).count();
        varint((count as u64) << 1 | 1, out);
        let (packed, after) = rest.split_at(rest.len().min(8 * count));
        for group in packed.chunks(8) {
            let word = group.iter().rev().fold(0_u64, |word, code| word << width | u64::from(*code));
            let word = if width == 8 { word } else { word & ((1 << (8 * width)) - 1) };
            out.extend(&word.to_le_bytes()[..width as usize]);
        }
        rest = after;
    }
}

/// How many codes at the start are equal.
fn run(codes: &[u8]) -> usize {
    let Some(first) = codes.first() else { return 0 };
    let whole = |part: &&[u8]| part.iter().fold(true, |all, code| all & (code == first));
    let sure = codes.chunks_exact(RUN).take_while(whole).count() * RUN;
    sure + codes[sure..].iter().take_while(|code| *code == first).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads what [`runs`] wrote.
    fn codes(mut bytes: &[u8], width: u32, count: usize) -> Vec<u8> {
        let mut codes = Vec::new();
        while codes.len() < count {
            let (mut head, mut shift) = (0_u64, 0);
            loop {
                let byte = bytes[0];
                bytes = &bytes[1..];
                head |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    break;
                }
            }
            if head & 1 == 0 {
                let (value, rest) = if width == 0 { (0, bytes) } else { (bytes[0], &bytes[1..]) };
                codes.resize(codes.len() + (head >> 1) as usize, value);
                bytes = rest;
            } else {
                let (packed, rest) = bytes.split_at((head >> 1) as usize * width as usize);
                let bit = |at: usize| packed[at / 8] >> (at % 8) & 1;
                let code = |at: usize| (0..width as usize).fold(0, |code, bit_| code | bit(at * width as usize + bit_) << bit_);
                codes.extend((0..8 * (head >> 1) as usize).map(code));
                bytes = rest;
            }
        }
        codes.truncate(count);
        assert!(bytes.is_empty());
        codes
    }

    #[test]
    fn codes_come_back_at_any_width() {
        for width in 0..=8_u32 {
            for stretch in [1, 3, 8, 31, 32, 33, 64, 1000] {
                let mut random = 7_u64;
                let code = |at: usize| {
                    // Runs of one length after noise, and the other way round.
                    random = if at % stretch == 0 || at / 500 % 2 == 0 {
                        random.wrapping_mul(6_364_136_223_846_793_005) + 9
                    } else {
                        random
                    };
                    (random >> 40) as u8 & ((1_u16 << width) - 1) as u8
                };
                let said: Vec<u8> = (0..2003).map(code).collect();
                let mut bytes = Vec::new();
                runs(&said, width, &mut bytes);
                assert_eq!(codes(&bytes, width, said.len()), said, "width {width}, stretch {stretch}");
            }
        }
        let mut bytes = Vec::new();
        runs(&[1; 100_000], 1, &mut bytes);
        assert_eq!(bytes.len(), 4);
    }

    #[test]
    fn what_is_constant_takes_no_bits() {
        let mut bytes = Vec::new();
        differences(&[5; 16 * 1024], &mut bytes);
        assert!(bytes.len() < 5 * 128 + 10, "{}", bytes.len());
        assert_eq!(width(0), 0);
        assert_eq!((width(1), width(2), width(255)), (1, 2, 8));
    }
}
