//! When the last ops of a worker ended: what caused an op, and so by how long the op must come later.

use std::sync::atomic::{AtomicI64, Ordering::*};

/// Ops that are remembered; a power of two. What ended before those has long been over.
const OPS: usize = 512;

/// The ends of the last ops of one worker, by op_id modulo [`OPS`]. Only the worker writes; the memory begins as zeroes.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Ends {
    /// op_id plus 1 (0 for none), and the end, ns since the start of the replay.
    places: [[AtomicI64; 2]; OPS],
}

impl Ends {
    fn place(&self, op_id: i64) -> &[AtomicI64; 2] {
        &self.places[op_id as usize % OPS]
    }

    /// Notes when an op ended. Called before others are told that it is finished.
    #[inline]
    pub fn note(&self, op_id: i64, end: i64) {
        let [op, at] = self.place(op_id);
        op.store(0, Relaxed);
        at.store(end, Release);
        op.store(op_id + 1, Release);
    }

    /// Notes of a ghost that every op from `from` to the one before `next` had ended by `end`, ns since the start: of the last of them
    /// it is the end, of the others not much later. Called as [`Ends::note`] is.
    pub fn note_all(&self, from: i64, next: i64, end: i64) {
        for op_id in from.max(next.saturating_sub(OPS as i64)).max(0)..next {
            self.note(op_id, end);
        }
    }

    /// When a finished op of this worker ended, ns since the start of the replay; `None` when others took its place.
    #[inline]
    pub fn of(&self, op_id: i64) -> Option<i64> {
        let [op, at] = self.place(op_id);
        let before = op.load(Acquire);
        let end = at.load(Acquire);
        (before == op_id + 1 && op.load(Acquire) == before).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ends_are_remembered() {
        let ends = Ends { places: std::array::from_fn(|_| [AtomicI64::new(0), AtomicI64::new(0)]) };
        assert_eq!(ends.of(0), None);
        for op in 0..=OPS as i64 {
            ends.note(op, op * 10);
        }
        assert_eq!((ends.of(0), ends.of(1), ends.of(OPS as i64)), (None, Some(10), Some(10 * OPS as i64)));
        ends.note_all(0, 1_000_000, 7);
        assert_eq!((ends.of(999_999), ends.of(1_000_000 - OPS as i64), ends.of(0)), (Some(7), Some(7), None));
    }
}
