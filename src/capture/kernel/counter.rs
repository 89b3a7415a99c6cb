//! What the programs count, on each processor for itself.

/// Counters, in the order in which they stand in map `counters`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Counter {
    /// Calls that began in captured tasks.
    Entered,
    /// Records of calls that the ring had no room for.
    RingFull,
    /// Calls in another form than that of their program's code, which are not decoded.
    Compat,
    /// Tasks that could not be marked for want of memory.
    NoMark,
    /// Tasks that were marked.
    Marked,
    /// Marked tasks that ended.
    Ended,
    /// Ends of tasks, beginnings of exec and places of newcomers that the ring had no room for.
    Untold,
}

impl Counter {
    /// The sum of this counter.
    pub fn of(self, sums: &[u64; COUNTERS]) -> u64 {
        sums[self as usize]
    }
}

/// Number of counters.
pub const COUNTERS: usize = 7;
