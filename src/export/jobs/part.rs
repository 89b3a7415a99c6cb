//! What one thread did in one way, and how alike threads are.

use crate::syscall::Interface;
use std::collections::BTreeMap;

/// Sizes of a direction that are told apart, at most; the others count as one with the same highest binary digits.
const SIZES: usize = 1024;

/// How requests are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    /// By calls.
    Sync,
    /// By io_submit(2).
    Aio,
    /// Through a ring of io_uring(7).
    Uring,
}

impl Engine {
    /// The engine of a call, from the interface of requests.
    pub fn of(interface: Option<Interface>) -> Engine {
        match interface {
            None => Engine::Sync,
            Some(Interface::Aio) => Engine::Aio,
            Some(Interface::Uring) => Engine::Uring,
        }
    }

    /// fio's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Sync => "psync",
            Engine::Aio => "libaio",
            Engine::Uring => "io_uring",
        }
    }
}

/// How files are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// How requests are handed over.
    pub engine: Engine,
    /// With O_DIRECT?
    pub direct: bool,
    /// With O_SYNC or O_DSYNC?
    pub synchronous: bool,
}

/// Reads or writes: how many of each size, and how many went on where the one before had ended.
#[derive(Clone, Debug, Default)]
pub struct Moves {
    /// Number of calls by size in bytes.
    pub sizes: BTreeMap<u64, u64>,
    /// Calls with an earlier one through their description.
    pub known: u64,
    /// Of these the ones that began elsewhere.
    pub random: u64,
}

impl Moves {
    /// Counts calls of a size.
    pub fn add(&mut self, size: u64, calls: u64, known: u64, random: u64) {
        let full = self.sizes.len() >= SIZES && !self.sizes.contains_key(&size);
        // The highest digit and the three behind it.
        let low = size.checked_ilog2().map_or(0, |log| log.saturating_sub(3));
        let size = if full { size >> low << low } else { size };
        *self.sizes.entry(size.max(1)).or_default() += calls;
        self.known += known;
        self.random += random;
    }

    /// Adds those of another thread.
    pub fn merge(&mut self, other: &Moves) {
        other.sizes.iter().for_each(|(size, calls)| self.add(*size, *calls, 0, 0));
        self.known += other.known;
        self.random += other.random;
    }

    /// Number of calls.
    pub fn calls(&self) -> u64 {
        self.sizes.values().sum()
    }

    /// Bytes of all.
    pub fn bytes(&self) -> u64 {
        self.sizes.iter().map(|(size, calls)| size.saturating_mul(*calls)).fold(0, u64::saturating_add)
    }

    /// Percent of the calls that began elsewhere than where the one before had ended.
    pub fn random_percent(&self) -> u64 {
        (self.random * 200 + self.known).checked_div(self.known * 2).unwrap_or(0)
    }

    /// Power of two of the most frequent size, and whether most calls are random; `None` without calls.
    fn shape(&self) -> Option<(u32, bool)> {
        let (size, _) = self.sizes.iter().max_by_key(|(size, calls)| (**calls, **size))?;
        Some((size.ilog2(), self.random * 2 > self.known))
    }
}

/// What a thread did in one way.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Reads that moved bytes.
    pub reads: Moves,
    /// Writes likewise.
    pub writes: Moves,
    /// fsync.
    pub fsyncs: u64,
    /// fdatasync.
    pub fdatasyncs: u64,
    /// Time in reads and writes, ns.
    pub busy: u64,
    /// From the start of the first of them to the end of the last, seconds.
    pub span: Option<(f64, f64)>,
}

/// What threads of one job have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// How files are read and written.
    pub way: Way,
    reads: Option<(u32, bool)>,
    writes: Option<(u32, bool)>,
    syncs: bool,
}

impl Part {
    /// Reads and writes.
    pub fn moved(&self) -> u64 {
        self.reads.calls() + self.writes.calls()
    }

    /// Syncs.
    pub fn syncs(&self) -> u64 {
        self.fsyncs + self.fdatasyncs
    }

    /// Takes in the time from a first to a last call.
    pub fn during(&mut self, first: f64, last: f64) {
        let (begin, end) = self.span.unwrap_or((first, last));
        self.span = Some((begin.min(first), end.max(last)));
    }

    /// Its shape. A direction with less than a hundredth of the calls does not tell threads apart.
    pub fn shape(&self, way: Way) -> Shape {
        let counts = |moves: &Moves| if moves.calls() * 100 >= self.moved() { moves.shape() } else { None };
        Shape {
            way,
            reads: counts(&self.reads),
            writes: counts(&self.writes),
            syncs: self.syncs() > 0 && self.writes.calls() > 0,
        }
    }

    /// Calls in flight on average, at least 1.
    pub fn depth(&self) -> f64 {
        let length = self.span.map_or(0.0, |(begin, end)| end - begin);
        if length > 0.0 { (self.busy as f64 / 1e9 / length).max(1.0) } else { 1.0 }
    }
}
