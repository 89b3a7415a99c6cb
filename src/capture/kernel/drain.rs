//! Takes records out of the ring and the per-CPU buffers in the order in which they were made.
//!
//! The decoder must see an open before a read that followed it in another thread on another processor. So the records of all
//! sources are merged by the times at which they were made, up to the moment at which the drain began: all that was made before
//! that moment is visible by then.

use super::percpu::Buffers;
use super::ring::{Next, Source};
use anyhow::Result;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::RawFd;

/// The reading end of the ring and all per-CPU buffers.
pub struct Drain {
    sources: Vec<Source>,
    /// Sources that have a record, by the time of their next one (monotonic ns) and their index in `sources`; earliest first.
    next: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Drain {
    /// Maps the ring (map descriptor, size in bytes) and the per-CPU buffers (map descriptor, number and size).
    ///
    /// # Errors
    /// When they cannot be mapped.
    pub fn new(ring: (RawFd, usize), buffers: (RawFd, Buffers)) -> Result<Drain> {
        let mut sources = Source::buffers(buffers.0, buffers.1)?;
        sources.push(Source::ring(ring.0, ring.1)?);
        Ok(Drain { sources, next: BinaryHeap::new() })
    }

    /// Passes each record made up to time `until` (monotonic ns) to `take`, in order, until `take` returns false. Returns the
    /// number of bytes consumed.
    pub fn drain(&mut self, until: u64, mut take: impl FnMut(&[u8]) -> bool) -> u64 {
        let passed = |sources: &[Source]| sources.iter().map(Source::passed).sum::<u64>();
        let before = passed(&self.sources);
        self.merge(until, &mut take);
        self.sources.iter_mut().for_each(Source::give_back);
        passed(&self.sources) - before
    }

    fn merge(&mut self, until: u64, take: &mut impl FnMut(&[u8]) -> bool) {
        self.next.clear();
        self.sources.iter_mut().for_each(Source::look);
        for (place, source) in self.sources.iter_mut().enumerate() {
            match source.next() {
                Next::Record(made, _) => self.next.push(Reverse((made, place))),
                // A record that is still being written may be the cause of records in other sources: wait for it.
                Next::Busy => return,
                Next::Nothing => {}
            }
        }
        while let Some(Reverse((_, place))) = self.next.pop() {
            let limit = self.next.peek().map_or(until, |Reverse((made, _))| until.min(*made));
            let source = &mut self.sources[place];
            loop {
                match source.next() {
                    Next::Record(made, record) if made <= limit => {
                        let (more, length) = (take(record), record.len());
                        source.pass(length);
                        if !more {
                            return;
                        }
                    }
                    Next::Record(made, _) => {
                        if made <= until {
                            self.next.push(Reverse((made, place)));
                        }
                        break;
                    }
                    Next::Busy => return,
                    Next::Nothing => break,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::percpu::{PUT, RECORDS, TAKEN};
    use super::super::record::{FIXED, Maker, Record, at};
    use super::*;
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::FileExt;

    const BUFFERS: Buffers = Buffers { count: 2, bytes: 64 << 10 };
    const RING: usize = 64 << 10;

    /// What the programs write, in files that are mapped in the kernel's stead.
    struct Kernel {
        buffers: File,
        ring: File,
        put: [u64; 2],
        written: u64,
    }

    impl Kernel {
        fn new() -> (Kernel, Drain) {
            let file = |size: usize| {
                let file = tempfile::tempfile().unwrap();
                file.set_len(size as u64).unwrap();
                file
            };
            let kernel = Kernel { buffers: file(BUFFERS.size()), ring: file(8192 + 2 * RING), put: [0; 2], written: 0 };
            let drain = Drain::new((kernel.ring.as_raw_fd(), RING), (kernel.buffers.as_raw_fd(), BUFFERS)).unwrap();
            (kernel, drain)
        }

        fn record(begin: u64, took: u64) -> Vec<u8> {
            let mut maker = Maker::default();
            maker.begin(1, 1, 0);
            maker.put(at::TS, &begin.to_ne_bytes());
            maker.put(at::DUR, &took.to_ne_bytes());
            maker.bytes().to_vec()
        }

        /// A record in a buffer.
        fn put(&mut self, buffer: usize, begin: u64, took: u64) {
            let base = (buffer * BUFFERS.stride() as usize) as u64;
            let at = base + RECORDS as u64 + self.put[buffer] % u64::from(BUFFERS.bytes);
            self.buffers.write_all_at(&Kernel::record(begin, took), at).unwrap();
            self.put[buffer] += FIXED as u64;
            self.buffers.write_all_at(&self.put[buffer].to_ne_bytes(), base + PUT as u64).unwrap();
        }

        fn taken(&self, buffer: usize) -> u64 {
            let mut bytes = [0; 8];
            self.buffers.read_exact_at(&mut bytes, (buffer * BUFFERS.stride() as usize) as u64 + TAKEN as u64).unwrap();
            u64::from_ne_bytes(bytes)
        }

        /// A record in the ring; its length with the bits that say in which state it is.
        fn send(&mut self, begin: u64, state: u32) -> u64 {
            let record = Kernel::record(begin, 0);
            let place = 8192 + self.written;
            self.ring.write_all_at(&(record.len() as u32 | state).to_ne_bytes(), place).unwrap();
            self.ring.write_all_at(&record, place + 8).unwrap();
            self.written += 8 + record.len() as u64;
            self.ring.write_all_at(&self.written.to_ne_bytes(), 4096).unwrap();
            place
        }
    }

    fn begins(drain: &mut Drain, until: u64, most: usize) -> Vec<u64> {
        let mut all = Vec::new();
        drain.drain(until, |bytes| {
            all.push(Record::parse(bytes).unwrap().u64(at::TS));
            all.len() < most
        });
        all
    }

    #[test]
    fn records_come_in_the_order_in_which_they_were_made() {
        let (mut kernel, mut drain) = Kernel::new();
        for (buffer, begin, took) in [(0, 10, 5), (0, 18, 2), (0, 50, 1), (1, 1, 15), (1, 17, 2), (1, 40, 0)] {
            kernel.put(buffer, begin, took);
        }
        for begin in [12, 30, 60] {
            kernel.send(begin, 0);
        }
        // By their ends: 12, 15, 16, 19, 20, 30, 40; then 51, and 60 is not yet certain to be next.
        assert_eq!(begins(&mut drain, 45, usize::MAX), [12, 10, 1, 17, 18, 30, 40]);
        assert_eq!((kernel.taken(0), kernel.taken(1)), (2 * 128, 3 * 128));
        assert_eq!(begins(&mut drain, 55, usize::MAX), [50]);
        assert_eq!(begins(&mut drain, u64::MAX, usize::MAX), [60]);
        assert_eq!(drain.drain(u64::MAX, |_| true), 0);
    }

    #[test]
    fn whoever_takes_may_stop_and_go_on() {
        let (mut kernel, mut drain) = Kernel::new();
        for begin in 0..1000 {
            kernel.put(begin as usize % 2, begin, 0);
        }
        assert_eq!(begins(&mut drain, 2000, 3), [0, 1, 2]);
        assert_eq!(begins(&mut drain, 2000, usize::MAX), (3..1000).collect::<Vec<_>>());
        // Around the end of the buffers.
        for begin in 1000..2000 {
            kernel.put(begin as usize % 2, begin, 0);
        }
        assert_eq!(begins(&mut drain, 2000, usize::MAX), (1000..2000).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_overtakes_a_record_that_is_being_written() {
        const BUSY: u32 = 1 << 31;
        const DISCARDED: u32 = 1 << 30;
        let (mut kernel, mut drain) = Kernel::new();
        kernel.put(0, 5, 0);
        kernel.send(1, DISCARDED);
        kernel.send(2, 0);
        let busy = kernel.send(3, BUSY);
        kernel.send(4, 0);
        assert_eq!(begins(&mut drain, 10, usize::MAX), [2]);
        kernel.ring.write_all_at(&128u32.to_ne_bytes(), busy).unwrap();
        assert_eq!(begins(&mut drain, 10, usize::MAX), [3, 4, 5]);
    }
}
