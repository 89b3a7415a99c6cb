//! The memory of the SQL engine: what may hold how much of it.
//!
//! Operators that can spill (sorts, aggregations) share one half evenly, and the other half is left to what cannot. Without that a
//! sort that spills fails: it counts for each batch twice its size, holds batches until the pool has no more, and then merges
//! them. The merge needs the batches and the keys of all of them at once, as bytes that compare (the row format of arrow), and keys
//! of short columns are up to three times what the columns are.
//! DataFusion's own fair pool gives the sort all there is, so the merge gets nothing for its keys (DataFusion 55.2:
//! `ExternalSorter::sort_and_spill_in_mem_batches`).

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use std::fmt::{self, Display};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A bounded pool of memory; see the module.
#[derive(Debug)]
pub struct Pool {
    /// Bytes in all.
    size: usize,
    held: Mutex<Held>,
}

/// Bytes that are held, by what holds them.
#[derive(Debug, Default)]
struct Held {
    /// Number of operators that can spill.
    spillers: usize,
    /// Bytes that they hold.
    spillable: usize,
    /// Bytes that all others hold.
    fixed: usize,
}

impl Held {
    fn of(&mut self, reservation: &MemoryReservation) -> &mut usize {
        if reservation.consumer().can_spill() { &mut self.spillable } else { &mut self.fixed }
    }
}

impl Pool {
    /// A pool of this many bytes.
    pub fn new(size: usize) -> Pool {
        Pool { size, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool of {} bytes", self.size)
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &'static str {
        "halves"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.held().spillers += usize::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut held = self.held();
        held.spillers = held.spillers.saturating_sub(usize::from(consumer.can_spill()));
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let mut held = self.held();
        let bytes = held.of(reservation);
        *bytes = bytes.saturating_add(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut held = self.held();
        let bytes = held.of(reservation);
        *bytes = bytes.saturating_sub(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut held = self.held();
        let free = self.size.saturating_sub(held.spillable.saturating_add(held.fixed));
        // What holds nothing has nothing to spill: it gets its first bytes as long as there are any.
        let left = if reservation.consumer().can_spill() && reservation.size() > 0 {
            let share = self.size.saturating_sub(held.fixed) / 2 / held.spillers.max(1);
            free.min(share.saturating_sub(reservation.size()))
        } else {
            free
        };
        if additional > left {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{} holds {} bytes and wants {additional} more, and may have {left}, of {} bytes of memory in all",
                reservation.consumer().name(),
                reservation.size(),
                self.size
            )));
        }
        *held.of(reservation) += additional;
        Ok(())
    }

    fn reserved(&self) -> usize {
        let held = self.held();
        held.spillable.saturating_add(held.fixed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn what_can_spill_leaves_half_to_what_cannot() {
        let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(1000));
        let spiller = |name: &str| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let (sort, merge) = (spiller("sort"), MemoryConsumer::new("merge").register(&pool));
        assert!(sort.try_grow(400).is_ok() && sort.try_grow(101).is_err() && sort.try_grow(100).is_ok());
        assert!(merge.try_grow(501).is_err() && merge.try_grow(500).is_ok());
        assert_eq!(pool.reserved(), 1000);
        // Another one halves the share, and a first batch is taken wherever there is room for it.
        let other = spiller("other");
        assert!(other.try_grow(1).is_err());
        sort.shrink(300);
        assert!(other.try_grow(250).is_ok() && other.try_grow(1).is_err());
        merge.free();
        assert!(sort.try_grow(50).is_ok() && sort.try_grow(1).is_err());
        drop(other);
        assert!(sort.try_grow(250).is_ok() && sort.try_grow(1).is_err());
        let error = sort.try_grow(1).unwrap_err().to_string();
        assert!(error.contains("sort holds 500 bytes and wants 1 more, and may have 0, of 1000 bytes"), "{error}");
        sort.free();
        assert!(sort.try_grow(1001).is_err() && sort.try_grow(1000).is_ok());
        drop((sort, merge));
        assert_eq!(pool.reserved(), 0);
    }
}
