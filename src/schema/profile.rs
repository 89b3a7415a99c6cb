//! What the samples of a file are like one by one, in their order: a letter for each.
//!
//! How much a file system makes of a file depends on the order of its parts: btrfs leaves what follows a piece that does not compress as it is, too.

/// Samples of one file, at most: of longer files they are spread evenly.
pub const SAMPLES: usize = 16;
/// What one sample has, bytes, at most: what btrfs compresses at a time. Shorter ones compress less well.
pub const SAMPLE: u64 = 128 << 10;
/// Degrees of compression that a letter of a [`Profile`] tells, from 1 on, each the factor [`STEP`] from the next.
pub const DEGREES: usize = 23;
/// The fourth root of 2.
pub const STEP: f64 = 1.189_207_115_002_721;

/// What each sample of a file is like, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// A letter for each sample, as in column `profile`.
    letters: [u8; SAMPLES],
    /// How many there are: at least one.
    count: u8,
    /// Size of the file, bytes.
    size: u64,
}

/// What one sample is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// It compresses to `STEP.powi(-degree)` of its blocks that are not zero; 0 is incompressible.
    Degree(u8),
    /// All of it is zero.
    Zero,
}

impl Grade {
    /// The nearest to this share that it takes compressed, of its blocks that are not zero.
    pub fn of(share: f64) -> Grade {
        Grade::Degree(-share.clamp(1e-9, 1.0).log(STEP).round().clamp(-((DEGREES - 1) as f64), -1.0) as u8)
    }

    /// Its letter.
    pub fn letter(self) -> u8 {
        match self {
            Grade::Degree(degree) => b'A' + degree.min(DEGREES as u8 - 1),
            Grade::Zero => b'Z',
        }
    }

    fn parse(letter: u8) -> Option<Grade> {
        match letter {
            b'Z' => Some(Grade::Zero),
            b'A'..=b'W' => Some(Grade::Degree(letter - b'A')),
            _ => None,
        }
    }
}

impl Profile {
    /// The profile of a file of this size; `None` when it has more or fewer samples than are taken of such a
    /// file, or other letters.
    pub fn of(text: &str, size: i64) -> Option<Profile> {
        let size = u64::try_from(size).ok()?;
        let known = text.bytes().all(|letter| Grade::parse(letter).is_some());
        if text.is_empty() || text.len() != places(size).count() || !known {
            return None;
        }
        let mut letters = [0; SAMPLES];
        letters[..text.len()].copy_from_slice(text.as_bytes());
        Some(Profile { letters, count: text.len() as u8, size })
    }

    /// Its letters.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.letters[..usize::from(self.count)]).unwrap_or_default()
    }

    /// What the piece of the file with this number is like: as the sample that was taken nearest before it. What lies behind the end
    /// begins again with the first.
    #[inline]
    pub fn at(&self, piece: u64) -> Grade {
        // At least one, and few enough for no product of them to wrap: the size is a number of bytes.
        let pieces = self.size.div_ceil(SAMPLE).max(1);
        let sample = ((piece % pieces + 1) * u64::from(self.count) - 1) / pieces;
        Grade::parse(self.letters[(sample as usize).min(SAMPLES - 1)]).unwrap_or(Grade::Degree(0))
    }

    /// Each sample: what it is like, and how many bytes it has.
    pub fn samples(&self) -> impl Iterator<Item = (Grade, u64)> {
        places(self.size).zip(self.letters).map(|(start, letter)| {
            (Grade::parse(letter).unwrap_or(Grade::Degree(0)), SAMPLE.min(self.size.saturating_sub(start)))
        })
    }
}

/// Where the samples of a file of this length begin: all of it, or [`SAMPLES`] places spread evenly, at multiples of [`SAMPLE`].
pub fn places(length: u64) -> impl Iterator<Item = u64> {
    let pieces = length.div_ceil(SAMPLE);
    let samples = pieces.min(SAMPLES as u64);
    (0..samples).map(move |at| at * pieces / samples * SAMPLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_tells_of_each_piece_by_the_sample_before_it() {
        let profile = Profile::of("ABZ", 2 * SAMPLE as i64 + 5).unwrap();
        assert_eq!(
            (0..4).map(|piece| profile.at(piece)).collect::<Vec<_>>(),
            [0, 1, 99, 0].map(|degree| match degree {
                99 => Grade::Zero,
                degree => Grade::Degree(degree),
            })
        );
        assert_eq!(profile.samples().map(|(_, bytes)| bytes).collect::<Vec<_>>(), [SAMPLE, SAMPLE, 5]);
        // Pieces of a long file are like the sample at or before them, as the places of samples say.
        for pieces in [17, 100, 1 << 40] {
            let profile = Profile::of("ABCDEFGHIJKLMNOP", pieces * SAMPLE as i64).unwrap();
            for (at, start) in places(pieces as u64 * SAMPLE).enumerate() {
                assert_eq!(profile.at(start / SAMPLE), Grade::Degree(at as u8));
                assert!(at == 0 || profile.at(start / SAMPLE - 1) == Grade::Degree(at as u8 - 1));
            }
        }
        profile.at(u64::MAX);
        for (text, size) in
            [("", 5), ("AB", 5), ("X", 5), ("a", 5), ("A", 0), ("A", -1), ("AAAAAAAAAAAAAAAAA", i64::MAX), ("Ä", 1 << 30)]
        {
            assert_eq!(Profile::of(text, size), None, "{text} {size}");
        }
        assert_eq!([0.0, 0.5, 0.99, 1.0, 7.0].map(|share| Grade::of(share).letter()), *b"WEBBB");
    }

    #[test]
    fn samples_are_spread_over_a_file() {
        let found = |length| places(length).collect::<Vec<_>>();
        assert_eq!(found(1), [0]);
        assert_eq!(found(300 << 10), [0, 128 << 10, 256 << 10]);
        let long = found(1 << 40);
        assert_eq!((long.len(), long[1]), (16, 1 << 36));
        assert_eq!(found(u64::MAX).len(), 16);
    }
}
