//! The data that replayed writes send. It comes from the same pool of noise that init fills files from, so that it compresses
//! and repeats in the same way.

use crate::dice::mix;
use crate::init::data::{BLOCK, POOL, Pool};
use crate::init::{Data, Fill};
use crate::replay::shared::memory::{self, Pages};
use std::io::Result;
use std::sync::atomic::{AtomicU64, Ordering};

/// The buffer that every write sends from, shared by all workers.
#[derive(Debug)]
pub struct Source {
    /// The pool, mapped repeatedly one behind the other, so that a write of any length finds its bytes.
    pages: Pages,
    data: Data,
    /// For each block of the pool, whether it is a copy of another (deduplicable).
    repeats: Vec<bool>,
    /// Whether all data is zeroes, so that every write may send the same bytes.
    constant: bool,
}

/// Where a worker's next write begins in the pool, bytes; a multiple of [`BLOCK`].
#[derive(Debug)]
pub struct Cursor(usize);

impl Cursor {
    /// A cursor for the calling thread: threads begin far apart, also those of different processes.
    pub fn new() -> Cursor {
        // SAFETY: no arguments.
        let thread = unsafe { libc::gettid() };
        Cursor(mix(thread as u64) as usize % (POOL / BLOCK) * BLOCK)
    }
}

impl Source {
    /// Makes the pool of this kind of data.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(data: Data) -> Result<Source> {
        // What is captured is put together elsewhere; this is for descriptions of which nothing is known.
        let fill = if data.fill == Fill::Captured { Fill::RANDOM } else { data.fill };
        let data = Data { fill, ..data };
        let pages = Pages::repeated(Pool::new(data).bytes())?;
        let repeats: Vec<bool> = (0..POOL / BLOCK).map(|block| data.repeats(block)).collect();
        let constant = data.fill == Fill::Zero;
        Ok(Source { pages, data, repeats, constant })
    }

    /// Address of the start of the pool, for calls that need data of no particular content.
    pub fn start(&self) -> *mut u8 {
        self.pages.start()
    }

    /// Address of the data of a write of `count` bytes: blocks that no other write has sent, as far as the pool reaches; each
    /// block that is no copy is stamped with a number made from `op_id`. The start of the pool when the data is zeroes, or
    /// `count` is negative or too large.
    #[inline]
    pub fn next(&self, cursor: &mut Cursor, op_id: i64, count: i64) -> *mut u8 {
        let Some(count) = usize::try_from(count).ok().filter(|count| !self.constant && *count <= self.pages.len() - POOL) else {
            return self.pages.start();
        };
        let first = cursor.0 / BLOCK;
        let blocks = count.div_ceil(BLOCK);
        for at in 0..blocks.min(POOL / BLOCK) {
            let block = (first + at) % (POOL / BLOCK);
            if !self.repeats[block] {
                self.word(block).store(self.data.stamp(!(op_id as u64), at as u64), Ordering::Relaxed);
            }
        }
        cursor.0 = (first + blocks) % (POOL / BLOCK) * BLOCK;
        // While this write is made, the bytes of the next one come nearer.
        memory::prefetch_far(self.pages.start().wrapping_add(cursor.0), count.min(BLOCK));
        // wrapping_add: an address for the kernel, inside the pages because first * BLOCK + count < their length.
        self.pages.start().wrapping_add(first * BLOCK)
    }

    /// The first 8 bytes of a block of the pool, where its distinguishing number is stored.
    #[inline]
    fn word(&self, block: usize) -> &AtomicU64 {
        // SAFETY: the pages are page aligned, larger than the pool, and live as long as self; all that our code ever does to
        // them after they were made is to store such words.
        unsafe { &*self.pages.start().add(block * BLOCK).cast::<AtomicU64>() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The data that this many writes send.
    fn sent(fill: Fill, writes: usize, count: usize) -> Vec<u8> {
        let source = Source::new(Data { fill, seed: 1 }).unwrap();
        let mut cursor = Cursor::new();
        let mut bytes = Vec::new();
        for op_id in 0..writes {
            let from = source.next(&mut cursor, op_id as i64, count as i64);
            // SAFETY: that many bytes are mapped there.
            bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(from, count) });
        }
        bytes
    }

    #[test]
    fn writes_repeat_and_compress_as_asked() {
        let share = |bytes: &[u8]| {
            let blocks: Vec<_> = bytes.chunks(BLOCK).collect();
            1.0 - blocks.iter().collect::<HashSet<_>>().len() as f64 / blocks.len() as f64
        };
        let ratio = |bytes: &[u8]| bytes.len() as f64 / zstd::bulk::compress(bytes, 3).unwrap().len() as f64;
        let random = sent(Fill::RANDOM, 4096, 4096);
        assert!(share(&random) == 0.0 && ratio(&random) < 1.01);
        let dedupe = sent(Fill::parse("dedupe=40").unwrap(), 512, 64 << 10);
        assert!((share(&dedupe) - 0.4).abs() < 0.01);
        let compress = sent(Fill::parse("compress=3").unwrap(), 512, 64 << 10);
        assert!((ratio(&compress) / 3.0 - 1.0).abs() < 0.1, "{}", ratio(&compress));
        assert!(sent(Fill::Zero, 3, 5000).iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_count_of_any_size_has_bytes() {
        let source = Source::new(Data::default()).unwrap();
        let mut cursor = Cursor::new();
        for count in [0, 1, i64::from(i32::MAX), 1 << 40, -1] {
            let from = source.next(&mut cursor, 7, count) as usize - source.start() as usize;
            assert!(from + (count.max(0) as usize).min(i32::MAX as usize) <= source.pages.len(), "{count}");
        }
    }
}
