//! Memory that the calls work on, and the table of open descriptors: made before the sandbox closes, never grown.

use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

/// Most bytes that one call moves: 2 GiB, a page more than the kernel's own limit (MAX_RW_COUNT, read(2)).
const HUGE: usize = 1 << 31;
/// Bytes of real memory behind [`HUGE`] bytes of addresses: mapped again and again.
const TILE: usize = 4 << 20;

/// A page-aligned, readable and writable mapping: private, shared with cloned processes, or of a memfd.
#[derive(Debug)]
pub struct Pages {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping is plain memory that any thread may use and unmap; what is in it is only ever the kernel's business.
unsafe impl Send for Pages {}
// SAFETY: as above; a shared reference gives out an address only, which our code never reads or writes through.
unsafe impl Sync for Pages {}

impl Pages {
    /// Maps `length` zero bytes, private to this process.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(length: usize) -> Result<Pages> {
        map(std::ptr::null_mut(), length, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1, 0)
            .map(|start| Pages { start, length })
    }

    /// Maps `length` zero bytes that processes cloned later share.
    ///
    /// # Errors
    /// When memory is short.
    pub fn shared(length: usize) -> Result<Pages> {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        map(std::ptr::null_mut(), length, flags, -1, 0).map(|start| Pages { start, length })
    }

    /// Maps the first `length` bytes of a memfd, shared with all other mappings of it.
    ///
    /// # Errors
    /// When memory is short.
    pub fn of(file: &File, length: usize) -> Result<Pages> {
        Pages::of_at(file, 0, length)
    }

    /// Maps `length` bytes from `offset` on of a file that is memory (a memfd, a ring), shared with all other mappings of it.
    ///
    /// # Errors
    /// When memory is short.
    pub fn of_at(file: &impl AsRawFd, offset: i64, length: usize) -> Result<Pages> {
        let start = map(std::ptr::null_mut(), length, libc::MAP_SHARED, file.as_raw_fd(), offset)?;
        Ok(Pages { start, length })
    }

    /// [`HUGE`] bytes of addresses that repeat the same [`TILE`] bytes of memory, so that a call of any count has a buffer.
    /// The memory is filled with `seed` again and again; zeroes when that is empty.
    ///
    /// # Errors
    /// When memory is short.
    pub fn repeated(seed: &[u8]) -> Result<Pages> {
        let file = memory_file(TILE)?;
        for at in (0..TILE).step_by(seed.len().max(1)).take_while(|_| !seed.is_empty()) {
            std::os::unix::fs::FileExt::write_all_at(&file, &seed[..seed.len().min(TILE - at)], at as u64)?;
        }
        let pages = Pages::new(HUGE)?;
        for at in (0..HUGE).step_by(TILE) {
            // SAFETY: the address lies inside the reserved range, of which nothing is in use yet.
            let place = unsafe { pages.start.as_ptr().add(at) };
            map(place.cast(), TILE, libc::MAP_SHARED | libc::MAP_FIXED, file.as_raw_fd(), 0)?;
        }
        Ok(pages)
    }

    /// Address of the first byte.
    #[inline]
    pub fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Faults in a range of bytes now (MADV_POPULATE_WRITE of madvise(2), Linux 5.14); before 5.14 pages come as they are
    /// touched.
    pub fn populate(&self, from: usize, length: usize) {
        let page = 4096;
        let (from, end) = (from / page * page, (from + length).min(self.length));
        // SAFETY: the range lies inside the mapping, and populating changes nothing that is in it.
        unsafe { libc::madvise(self.start.as_ptr().add(from).cast(), end.saturating_sub(from), libc::MADV_POPULATE_WRITE) };
    }

    /// Length of the mapping, bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.length
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nobody uses it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// Prefetches the cache line of a value that is read soon.
#[inline]
pub fn prefetch<T>(what: &T) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: prefetching reads nothing and every x86_64 processor can.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(what).cast()) };
}

/// Prefetches `bytes` bytes that are read later, into the second-level cache, from which they are not evicted at once.
#[inline]
pub fn prefetch_far(start: *const u8, bytes: usize) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    for at in (0..bytes).step_by(64) {
        // SAFETY: prefetching reads nothing, whatever the address, and every x86_64 processor can.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(start.wrapping_add(at).cast()) };
    }
}

/// Prefetches the cache line of a value for writing, so that no other processor holds it then.
#[inline]
pub fn prefetch_to_write<T>(what: &T) {
    use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
    // SAFETY: prefetching changes nothing, and a processor that cannot ignores it.
    unsafe { _mm_prefetch::<_MM_HINT_ET0>(std::ptr::from_ref(what).cast()) };
}

/// Limits malloc to one heap for all threads (M_ARENA_MAX): replay threads allocate nothing while they work, and only the
/// loader decodes.
pub fn one_heap() {
    // SAFETY: a plain number, before other threads are there.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Creates a memfd of `length` zero bytes.
///
/// # Errors
/// When memory is short.
pub fn memory_file(length: usize) -> Result<File> {
    // SAFETY: the name ends in NUL; the new descriptor is owned by the File alone.
    let file = unsafe {
        let fd = libc::memfd_create(c"ioriot".as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return Err(Error::last_os_error());
        }
        File::from_raw_fd(fd)
    };
    file.set_len(length as u64)?;
    Ok(file)
}

fn map(place: *mut libc::c_void, length: usize, flags: i32, fd: i32, offset: i64) -> Result<NonNull<u8>> {
    // SAFETY: without MAP_FIXED the kernel chooses a free place; with it the caller owns the range.
    let start = unsafe { libc::mmap(place, length, libc::PROT_READ | libc::PROT_WRITE, flags, fd, offset) };
    if start == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(Error::last_os_error)
}

/// The table from open file descriptions to descriptors, shared by all processes of a replay: 4 bytes for each description
/// that the workload ever opens, of which pages become real memory only as they are used.
#[derive(Debug)]
pub struct Fds {
    /// Descriptor + 1, so that fresh zero pages mean "not open".
    slots: Pages,
    count: usize,
}

impl Fds {
    /// A table of `count` descriptions, none of them open.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(count: usize) -> Result<Fds> {
        let pages = count.div_ceil(FDS).max(1);
        Ok(Fds { slots: Pages::shared(pages * FDS * size_of::<AtomicI32>())?, count })
    }

    fn slot(&self, ofd: u32) -> Option<&AtomicI32> {
        if ofd as usize >= self.count {
            return None;
        }
        // SAFETY: the mapping is page aligned, zeroed, lives as long as self and holds whole pages for `count` of them.
        Some(unsafe { &*self.slots.start().cast::<AtomicI32>().add(scattered(ofd as usize)) })
    }

    /// The descriptor that stands for a description, or -1 when it is not open: a call with -1 fails like one on a closed
    /// descriptor.
    #[inline]
    pub fn get(&self, ofd: u32) -> i32 {
        self.slot(ofd).map_or(-1, |slot| slot.load(Ordering::Acquire) - 1)
    }

    /// Sets the descriptor of a description (-1 for closed); returns the one before, or -1. Not one atomic exchange: whatever
    /// opens and closes a description is ordered one after the other in every order that promises anything.
    #[inline]
    pub fn set(&self, ofd: u32, fd: i32) -> i32 {
        self.slot(ofd).map_or(-1, |slot| {
            let old = slot.load(Ordering::Acquire) - 1;
            slot.store(fd + 1, Ordering::Release);
            old
        })
    }
}

/// Most open file descriptions that a workload may have: their table takes a gibibyte, if all are used.
pub const MOST_FDS: usize = 1 << 28;

/// Descriptions per 4 KiB page of the table.
const FDS: usize = 4096 / size_of::<AtomicI32>();

/// Index of a description in the table: neighbours share a page, but not a cache line, since descriptions opened at the same
/// time often belong to different workers.
const fn scattered(ofd: usize) -> usize {
    const LINE: u32 = (64 / size_of::<AtomicI32>()).ilog2();
    let place = ofd % FDS;
    ofd / FDS * FDS + (place << LINE | place >> (FDS.ilog2() - LINE)) % FDS
}

/// 32-bit numbers in memory that processes cloned later share, all 0 at first.
#[derive(Debug)]
pub struct SharedWords(Pages, usize);

impl SharedWords {
    /// So many numbers.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(count: usize) -> Result<SharedWords> {
        Ok(SharedWords(Pages::shared((count * size_of::<AtomicU32>()).max(1))?, count))
    }

    /// One of them; `None` for one that is not there.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&AtomicU32> {
        // SAFETY: the mapping is page aligned, zeroed, holds `self.1` of them and lives as long as self.
        (at < self.1).then(|| unsafe { &*self.0.start().cast::<AtomicU32>().add(at) })
    }
}

/// A 64-bit counter in memory that processes cloned later share.
#[derive(Debug)]
pub struct SharedCount(Pages);

impl SharedCount {
    /// A counter that begins at 0.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new() -> Result<SharedCount> {
        Pages::shared(size_of::<AtomicU64>()).map(SharedCount)
    }

    /// The counter, an atomic that all processes see.
    #[inline]
    pub fn get(&self) -> &AtomicU64 {
        // SAFETY: the mapping is page aligned, zeroed, large enough and lives as long as self.
        unsafe { &*self.0.start().cast::<AtomicU64>() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_huge_buffer_repeats_its_seed() {
        let pages = Pages::repeated(b"12345678").unwrap();
        let mut out = tempfile::tempfile().unwrap();
        for at in [0, TILE, HUGE - TILE] {
            // SAFETY: the range lies inside the mapping.
            out.write_all(unsafe { std::slice::from_raw_parts(pages.start().add(at), 8) }).unwrap();
        }
        let mut back = [0; 24];
        std::os::unix::fs::FileExt::read_exact_at(&out, &mut back, 0).unwrap();
        assert_eq!(&back, b"123456781234567812345678");
    }

    #[test]
    fn every_description_has_a_place_of_its_own() {
        let mut places: Vec<usize> = (0..2 * FDS).map(scattered).collect();
        assert!(places.windows(2).all(|pair| pair[0] / 16 != pair[1] / 16));
        places.sort_unstable();
        assert!(places.into_iter().eq(0..2 * FDS));
    }

    #[test]
    fn descriptors_are_looked_up() {
        let fds = Fds::new(3).unwrap();
        assert_eq!((fds.get(0), fds.get(2), fds.get(3), fds.get(u32::MAX)), (-1, -1, -1, -1));
        assert_eq!(fds.set(2, 7), -1);
        assert_eq!((fds.get(2), fds.set(2, -1), fds.get(2)), (7, 7, -1));
    }
}
