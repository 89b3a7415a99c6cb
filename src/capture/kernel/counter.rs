//! Counters of the eBPF programs, in a per-CPU map.

/// A counter of the eBPF programs; the values are the places in map `counters`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Counter {
    /// Calls that began in captured tasks without a thread slot; [`super::bpf::Maps::totals`] adds those counted in the slots.
    Entered,
    /// Records of calls that were lost because the ring had no room.
    RingFull,
    /// Calls of 64-bit programs in 32-bit form (`int 0x80`) and the like, which are not decoded.
    Compat,
    /// Tasks that could not be marked because the kernel had no memory.
    NoMark,
    /// Tasks that were marked as captured.
    Marked,
    /// Marked tasks that have ended.
    Ended,
    /// Records other than returns of calls (forks, ends of tasks, entries of exec, newcomers, requests, faults) that were lost
    /// because the ring had no room.
    Untold,
    /// Waits that were lost because the ring had no room.
    Waits,
    /// Of a replay: pages of files that were added to the page cache.
    CachePages,
}

impl Counter {
    /// The value of this counter in an array of sums over all processors.
    pub fn of(self, sums: &[u64; COUNTERS]) -> u64 {
        sums[self as usize]
    }
}

/// Number of counters in [`Counter`].
pub const COUNTERS: usize = 9;
