//! What of a file is in the page cache: asked, and changed.

use crate::os::kernel::{CACHESTAT, CacheRange, CacheState};
use rustix::fs::{self, Advice};
use std::fs::File;
use std::io::Result;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// Evicts a file from the page cache: its pages that are clean and that nobody has mapped (POSIX_FADV_DONTNEED of posix_fadvise(2)).
///
/// # Errors
/// As posix_fadvise(2).
pub fn evict(file: &File) -> Result<()> {
    Ok(fs::fadvise(file, 0, None, Advice::DontNeed)?)
}

/// Reads a range of a file into the page cache, and no more of it than its pages: nothing is read ahead (POSIX_FADV_RANDOM, which holds
/// for this descriptor). Gives the number of bytes that were read: fewer where the file ends.
///
/// # Errors
/// As pread(2) and posix_fadvise(2).
pub fn bring_in(file: &File, range: Range<u64>, buffer: &mut [u8]) -> Result<u64> {
    fs::fadvise(file, 0, None, Advice::Random)?;
    let mut at = range.start;
    while at < range.end && !buffer.is_empty() {
        let most = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(buffer.len());
        match file.read_at(&mut buffer[..most], at)? {
            0 => break,
            read => at += read as u64,
        }
    }
    Ok(at - range.start)
}

/// Number of pages of a range of a file that are in the page cache; `None` where the kernel does not tell: before Linux 6.5, and of
/// files of others (cachestat(2)). An empty range is an empty answer.
pub fn cached(file: &File, range: Range<u64>) -> Option<u64> {
    if range.is_empty() {
        return Some(0);
    }
    let (asked, mut found) = (CacheRange { offset: range.start, length: range.end - range.start }, CacheState::default());
    // SAFETY: the descriptor is open, and both structures are as the kernel has them (linux/mman.h).
    let done = unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), &raw const asked, &raw mut found, 0) };
    (done == 0).then_some(found.cached)
}

/// Bytes of a page of the page cache.
pub fn page() -> u64 {
    // SAFETY: takes and gives plain numbers.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).ok().filter(|size| size.is_power_of_two()).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_evicted_and_a_part_of_it_comes_back() {
        // On a stored file system: one in memory cannot evict.
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![7; 1 << 20]).unwrap();
        let file = File::open(&path).unwrap();
        file.sync_all().unwrap();
        let (page, whole) = (page(), 0..1 << 20);
        let Some(before) = cached(&file, whole.clone()) else { return }; // Linux 6.5 tells
        assert_eq!(before, (1 << 20) / page);
        evict(&file).unwrap();
        if cached(&file, whole.clone()) != Some(0) {
            return; // a file system in memory
        }
        let mut buffer = vec![0; 3 * page as usize];
        assert_eq!(bring_in(&file, 5 * page..25 * page, &mut buffer).unwrap(), 20 * page);
        assert_eq!([cached(&file, 5 * page..25 * page), cached(&file, whole)], [Some(20); 2]);
        assert_eq!(bring_in(&file, (1 << 20) - 100..1 << 30, &mut buffer).unwrap(), 100);
        assert_eq!(bring_in(&file, 0..1, &mut []).unwrap(), 0);
        assert_eq!(cached(&file, 9..9), Some(0));
    }
}
