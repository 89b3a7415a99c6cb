//! Extents: where a file system has put the data of a file, sharing them between files, and having data put there.

use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::AsRawFd;

/// FS_IOC_FIEMAP of ioctl(2): `_IOWR('f', 11, struct fiemap)` (linux/fiemap.h).
const FS_IOC_FIEMAP: libc::Ioctl = 0xc020_660b;
/// FIEMAP_EXTENT_LAST: the file has no extent behind this one.
const LAST: u32 = 0x1;
/// FIEMAP_EXTENT_ENCODED: the data is compressed, so that it takes less of the device than its length.
const ENCODED: u32 = 0x8;
/// FIEMAP_EXTENT_SHARED: other files have the same blocks.
const SHARED: u32 = 0x2000;
/// FIEMAP_EXTENT_UNKNOWN, DELALLOC and DATA_INLINE: where the data is on the device is not decided, or it is nowhere of its own.
const NOWHERE: u32 = 0x2 | 0x4 | 0x200;
/// Extents that one call asks for.
const BATCH: usize = 256;

/// An extent of struct fiemap_extent (linux/fiemap.h).
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Raw {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

impl Raw {
    /// Does another extent lie behind this one, in the file and on the device?
    fn before(&self, other: &Raw) -> bool {
        let end = self.physical.saturating_add(self.length);
        let follows = match self.flags & ENCODED {
            0 => other.physical == end,
            _ => other.physical > self.physical && other.physical <= end,
        };
        follows && other.logical == self.logical.saturating_add(self.length)
    }
}

/// struct fiemap with room for its extents (linux/fiemap.h).
#[repr(C)]
struct Request {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
    extents: [Raw; BATCH],
}

/// How the data of a file lies, as far as it has a place on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extents {
    /// Number of pieces that do not lie one behind the other on the device.
    pub pieces: u64,
    /// Bytes that have a place.
    pub bytes: u64,
    /// Bytes of these that other files share.
    pub shared: u64,
    /// Are these all? False where counting ended at the most that was asked for.
    pub whole: bool,
}

impl Extents {
    /// The number of pieces of a file of this size, reckoned from those that were looked at.
    pub fn reckoned(&self, size: u64) -> u64 {
        match self.bytes {
            bytes if self.whole || bytes == 0 => self.pieces,
            bytes => (self.pieces as f64 * (size as f64 / bytes as f64).max(1.0)) as u64,
        }
    }
}

/// Counts the extents of a file (FIEMAP, without writing anything back); at most about `most` are looked at. What lies one behind
/// the other on the device, and in the file, counts as one; of compressed ones it is not told where they end on the device: one
/// counts as behind another that begins there within the length of that.
///
/// # Errors
/// When the file system does not say (tmpfs, FUSE), or as ioctl(2).
pub fn of(file: &File, most: u64) -> Result<Extents> {
    let mut request = Request {
        start: 0,
        length: 0,
        flags: 0,
        mapped_extents: 0,
        extent_count: BATCH as u32,
        reserved: 0,
        extents: [Raw::default(); BATCH],
    };
    let mut found = Extents { whole: true, ..Extents::default() };
    let (mut last_one, mut looked) = (None::<Raw>, 0);
    loop {
        (request.length, request.mapped_extents) = (u64::MAX - request.start, 0);
        // SAFETY: the structure has room for as many extents as it says, and outlives the call.
        if unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_FIEMAP, &raw mut request) } != 0 {
            return Err(Error::last_os_error());
        }
        let extents = &request.extents[..(request.mapped_extents as usize).min(BATCH)];
        for extent in extents.iter().filter(|extent| extent.flags & NOWHERE == 0) {
            found.pieces += u64::from(!last_one.is_some_and(|last| last.before(extent)));
            found.bytes = found.bytes.saturating_add(extent.length);
            found.shared = found.shared.saturating_add(if extent.flags & SHARED == 0 { 0 } else { extent.length });
            last_one = Some(*extent);
        }
        looked += extents.len() as u64;
        let Some(last) = extents.last() else { return Ok(found) };
        let end = last.logical.saturating_add(last.length);
        if last.flags & LAST != 0 || end <= request.start {
            return Ok(found);
        }
        if looked >= most {
            return Ok(Extents { whole: false, ..found });
        }
        request.start = end;
    }
}

/// Makes `to` share the blocks of `from` in this range, which must begin and end at blocks, or end with the file; a length of 0 is
/// up to its end (FICLONERANGE, ioctl_ficlonerange(2)).
///
/// # Errors
/// As ioctl_ficlonerange(2): where the two lie on different file systems, or theirs cannot share.
pub fn share(from: &File, to: &File, offset: u64, length: u64) -> Result<()> {
    let range =
        libc::file_clone_range { src_fd: from.as_raw_fd().into(), src_offset: offset, src_length: length, dest_offset: offset };
    // SAFETY: the structure outlives the call.
    match unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONERANGE, &raw const range) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

/// Writes a range of a file back and waits for that (sync_file_range(2)), which gives it a place on the device; its metadata and the
/// cache of the device are not.
///
/// # Errors
/// As sync_file_range(2).
pub fn write_back(file: &File, offset: u64, length: u64) -> Result<()> {
    let all = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: plain numbers.
    match unsafe { libc::sync_file_range(file.as_raw_fd(), offset.cast_signed(), length.cast_signed(), all) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn the_extents_of_a_file_are_counted() {
        let file = tempfile::tempfile().unwrap();
        for at in 0..600_u64 {
            file.write_all_at(&[1; 4096], at * 8192).unwrap();
        }
        file.sync_all().unwrap();
        // A file system that does not say is no fault of ours.
        let Ok(found) = of(&file, u64::MAX) else { return };
        assert_eq!((found.bytes, found.shared, found.whole), (600 * 4096, 0, true), "{found:?}");
        assert_eq!(found.pieces, 600, "they are apart in the file");
        let some = of(&file, 10).unwrap();
        assert!(!some.whole && some.pieces < 600, "{some:?}");
    }
}
