//! Takes the content of one file: shares its blocks, or copies its data and leaves its holes.

use super::super::plan::Entry;
use super::{Difference, Opened, Reflink};
use crate::os::extents;
use rustix::fs::{SeekFrom, seek};
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileExt, MetadataExt};

/// Size of a read, bytes.
const BLOCK: usize = 1 << 20;
/// Least step through a file, bytes: one whose holes move while it is read cannot make the walk stand still.
const STEP: u64 = 4096;

/// Tries whether a file can share blocks with another.
///
/// # Errors
/// As [`extents::share`].
pub fn probe(from: &File, to: &File) -> Result<()> {
    let (size, block) = (from.metadata()?.len(), to.metadata()?.blksize());
    extents::share(from, to, 0, if size < block { 0 } else { block })
}

impl Opened {
    /// Gives a new, empty file the content of an entry as far as the source has it, in these ranges (offset, length). Returns the
    /// ranges that are left, for the source ended before them or could not be read.
    ///
    /// # Errors
    /// When the new file cannot be written.
    pub fn take(&mut self, entry: &Entry, ranges: &[(u64, u64)], to: &File) -> Result<Vec<(u64, u64)>> {
        let Some(handle) = self.look(entry).filter(|_| entry.size > 0) else { return Ok(ranges.to_vec()) };
        let from = match handle.open() {
            Ok(from) => from,
            Err(error) => {
                self.taken.differ(Difference::Unreadable, &entry.path, &error.to_string());
                return Ok(ranges.to_vec());
            }
        };
        let shared = if self.reflink == Reflink::Auto { share(&from, to, ranges, entry)? } else { None };
        let end = match shared {
            Some(end) => {
                self.taken.shared += bytes_below(ranges, end);
                end
            }
            None => self.copy(&from, to, ranges, entry)?,
        };
        self.taken.files += u64::from(end > 0);
        self.taken.bytes += bytes_below(ranges, end);
        if to.metadata()?.len() != entry.size {
            to.set_len(entry.size)?;
        }
        Ok(above(ranges, end))
    }

    /// Copies ranges of a file, but for its holes; returns where it ended.
    fn copy(&mut self, from: &File, to: &File, ranges: &[(u64, u64)], entry: &Entry) -> Result<u64> {
        self.buffer.resize(BLOCK, 0);
        for &(start, length) in ranges {
            let (mut at, end) = (start, start + length);
            while at < end {
                let (data, hole) = match data(from, at, end) {
                    Ok(Some(range)) => range,
                    Ok(None) => break,
                    Err(error) => return Ok(self.stopped(at, entry, &error)),
                };
                at = data;
                while at < hole {
                    let most = (hole - at).min(BLOCK as u64) as usize;
                    match from.read_at(&mut self.buffer[..most], at) {
                        Ok(0) => return Ok(at),
                        Ok(read) => {
                            to.write_all_at(&self.buffer[..read], at)?;
                            at += read as u64;
                        }
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) => return Ok(self.stopped(at, entry, &error)),
                    }
                }
            }
        }
        // Nothing but holes behind the last data is as good as data.
        Ok(from.metadata()?.len().min(entry.size))
    }

    fn stopped(&mut self, at: u64, entry: &Entry, error: &Error) -> u64 {
        self.taken.differ(Difference::Unreadable, &entry.path, &format!("{error} at byte {at}"));
        at
    }
}

/// The first range of data (begin, end) of a file in this range; `None` when there is none up to its end.
fn data(file: &File, start: u64, end: u64) -> Result<Option<(u64, u64)>> {
    let data = match seek(file, SeekFrom::Data(start)) {
        Ok(data) if data < end => data,
        Ok(_) | Err(rustix::io::Errno::NXIO) => return Ok(None),
        // A file system that knows no holes.
        Err(rustix::io::Errno::INVAL) => return Ok(Some((start, end))),
        Err(error) => return Err(error.into()),
    };
    let hole = seek(file, SeekFrom::Hole(data)).unwrap_or(end);
    Ok(Some((data, hole.max(data.saturating_add(STEP)).min(end))))
}

/// Makes a new file share the blocks of another in these ranges. Returns where the other ended; `None` when they cannot share.
///
/// # Errors
/// When the new file cannot be shortened to its size.
fn share(from: &File, to: &File, ranges: &[(u64, u64)], entry: &Entry) -> Result<Option<u64>> {
    if ranges == [(0, entry.size)] {
        if extents::share(from, to, 0, 0).is_err() {
            return Ok(None);
        }
        let size = to.metadata()?.len();
        if size > entry.size {
            to.set_len(entry.size)?;
        }
        return Ok(Some(size.min(entry.size)));
    }
    let size = from.metadata()?.len();
    let block = to.metadata()?.blksize().max(1);
    for &(start, length) in ranges {
        let (start, end) = (start / block * block, (start + length).div_ceil(block).saturating_mul(block));
        if start >= size {
            break;
        }
        let length = if end >= size { 0 } else { end - start };
        if extents::share(from, to, start, length).is_err() {
            return Ok(None); // what was shared is written over
        }
    }
    Ok(Some(size.min(entry.size)))
}

/// Bytes of the ranges (offset, length) before this offset.
fn bytes_below(ranges: &[(u64, u64)], end: u64) -> u64 {
    ranges.iter().map(|(start, length)| end.saturating_sub(*start).min(*length)).fold(0, u64::saturating_add)
}

/// What of the ranges lies from this offset on.
fn above(ranges: &[(u64, u64)], end: u64) -> Vec<(u64, u64)> {
    let rest = ranges.iter().map(|(start, length)| ((*start).max(end), start + length));
    rest.filter(|(start, end)| start < end).map(|(start, end)| (start, end - start)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_where_a_file_ends() {
        let ranges = [(0, 10), (20, 10), (40, 10)];
        for (end, bytes, left) in [
            (0, 0, vec![(0, 10), (20, 10), (40, 10)]),
            (5, 5, vec![(5, 5), (20, 10), (40, 10)]),
            (15, 10, vec![(20, 10), (40, 10)]),
            (25, 15, vec![(25, 5), (40, 10)]),
            (50, 30, vec![]),
            (99, 30, vec![]),
        ] {
            assert_eq!((bytes_below(&ranges, end), above(&ranges, end)), (bytes, left), "{end}");
        }
    }
}
