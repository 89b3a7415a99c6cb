//! How files lie on their device (`--layout captured`): in the order in which they were created, and in about as many pieces as
//! they lay in.
//!
//! ```text
//! ext4, xfs:  allocate  AAAA gap BBBB gap CCCC  in one go, then take the gaps out of the file: A, B, C stay where they are
//! btrfs:      write the second, fourth ... piece, each to the disk, then the first, third ...: new data lies behind old
//! ```

mod filler;
mod laid;

pub use filler::{FILLER, Filled, fill, wanted};
pub use laid::Laid;

use super::plan::Entry;
use crate::os::extents;
use crate::words::words;
use rustix::fs::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Error, Result};
use std::os::unix::fs::MetadataExt;

words! {
    /// How files are laid on their device.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    Allocation {
        Plain    "plain"    "as the file system puts them";
        Captured "captured" "in the order in which they were created, and in about as many pieces as they lay in";
    }
}

/// Most pieces that one file is made in.
const MOST: u64 = 1 << 16;
/// Largest gap, bytes, that is left between two pieces on the device.
const GAP: u64 = 1 << 20;

/// Where the data of a new file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where the file system puts it.
    Anywhere,
    /// Its blocks are allocated already.
    Allocated,
    /// In pieces of this length, bytes, each written to the device before the next.
    InTurns(u64),
}

/// Prepares a new, empty file of this size to lie in about so many pieces.
///
/// # Errors
/// When it cannot be emptied again after an attempt.
pub fn place(file: &File, size: u64, pieces: u64) -> Result<Place> {
    let block = file.metadata()?.blksize().clamp(4096, 1 << 20);
    let pieces = pieces.min(size / block).min(MOST);
    if pieces < 2 {
        return Ok(Place::Anywhere);
    }
    let piece = (size / pieces).next_multiple_of(block);
    let pieces = size.div_ceil(piece);
    // A file system that cannot take a range out of a file puts new data behind old, or does as it likes.
    let able = apart(file, 2, block, block);
    file.set_len(0)?;
    if able.is_err() {
        return Ok(Place::InTurns(piece));
    }
    // Where there is no room for large gaps there may be for small ones.
    for gap in [piece.min(GAP), block] {
        if apart(file, pieces, piece, gap).is_ok() {
            file.set_len(size)?;
            return Ok(Place::Allocated);
        }
        file.set_len(0)?;
    }
    Ok(Place::Anywhere)
}

/// Allocates pieces of a file that lie apart on the device.
fn apart(file: &File, pieces: u64, piece: u64, gap: u64) -> Result<()> {
    let length = pieces.checked_mul(piece + gap).ok_or_else(|| Error::from(rustix::io::Errno::FBIG))? - gap;
    fallocate(file, FallocateFlags::empty(), 0, length)?;
    for at in 1..pieces {
        fallocate(file, FallocateFlags::COLLAPSE_RANGE, at * piece, gap)?;
    }
    Ok(())
}

impl Place {
    /// The order in which ranges (offset, length) of the file are written.
    pub fn order(self, ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
        let Place::InTurns(piece) = self else { return ranges };
        let mut cut: Vec<(u64, u64)> = Vec::new();
        for (start, length) in ranges {
            let (mut at, end) = (start, start + length);
            while at < end {
                let next = (at / piece + 1).saturating_mul(piece).min(end);
                cut.push((at, next - at));
                at = next;
            }
        }
        // No two neighbours in the file are written one behind the other.
        let turn = |odd: bool| cut.iter().copied().filter(move |(start, _)| (start / piece % 2 == 1) == odd);
        turn(true).chain(turn(false)).collect()
    }

    /// Has a range that was written put on the device, where that decides where it lies.
    ///
    /// # Errors
    /// As sync_file_range(2).
    pub fn settle(self, file: &File, (start, length): (u64, u64)) -> Result<()> {
        if matches!(self, Place::InTurns(_)) { extents::write_back(file, start, length) } else { Ok(()) }
    }

    /// Gives back what is allocated between the ranges that have data.
    ///
    /// # Errors
    /// As fallocate(2).
    pub fn trim(self, file: &File, entry: &Entry) -> Result<()> {
        let (Place::Allocated, Some(ranges)) = (self, &entry.data) else { return Ok(()) };
        let ends = ranges.iter().map(|(start, length)| start + length);
        let holes = std::iter::once(0).chain(ends).zip(ranges.iter().map(|(start, _)| *start).chain([entry.size]));
        for (start, end) in holes.filter(|(start, end)| start < end) {
            fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, start, end - start)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_neighbours_are_written_one_behind_the_other() {
        for pieces in 2..20 {
            let order = Place::InTurns(10).order(vec![(0, pieces * 10 - 3)]);
            assert_eq!(order.iter().map(|(_, length)| length).sum::<u64>(), pieces * 10 - 3);
            assert!(order.windows(2).all(|two| two[0].0 + two[0].1 != two[1].0), "{order:?}");
        }
        assert_eq!(Place::InTurns(10).order(vec![(5, 10), (30, 5)]), [(10, 5), (30, 5), (5, 5)]);
        assert_eq!(Place::Anywhere.order(vec![(0, 100)]), [(0, 100)]);
    }
}
