//! Remembers which threads have ended.

/// The set of threads that have ended: a bit for each thread id (proc(5), pid_max: 4194304 at most).
#[derive(Debug, Default)]
pub struct Exits(Vec<u64>);

impl Exits {
    /// Index of the word, and mask of the bit, of a thread id; `None` when it is out of range.
    fn place(tid: i64) -> Option<(usize, u64)> {
        let tid = usize::try_from(tid).ok().filter(|tid| *tid <= 1 << 22)?;
        Some((tid / 64, 1 << (tid % 64)))
    }

    /// Notes that the thread with this id has ended.
    pub fn add(&mut self, tid: i64) {
        if let Some((word, bit)) = Exits::place(tid) {
            self.0.resize(self.0.len().max(word + 1), 0);
            self.0[word] |= bit;
        }
    }

    /// Notes that the id belongs to a thread again.
    pub fn remove(&mut self, tid: i64) {
        if let Some((word, bit)) = Exits::place(tid)
            && let Some(word) = self.0.get_mut(word)
        {
            *word &= !bit;
        }
    }

    /// Has the thread ended (and no new one got its id)?
    pub fn has(&self, tid: i64) -> bool {
        Exits::place(tid).is_some_and(|(word, bit)| self.0.get(word).is_some_and(|word| word & bit != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_may_come_again() {
        let mut exits = Exits::default();
        for tid in [0, 63, 64, 1 << 22] {
            assert!(!exits.has(tid));
            exits.add(tid);
            assert!(exits.has(tid) && !exits.has(tid + 1));
            exits.remove(tid);
            assert!(!exits.has(tid));
        }
        for tid in [-1, i64::MAX] {
            exits.add(tid);
            assert!(!exits.has(tid));
        }
        assert!(exits.0.len() <= 1 << 17);
    }
}
