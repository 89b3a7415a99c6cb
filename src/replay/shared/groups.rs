//! Files that a program writes back for several threads at once (group commit), and the syncs of them: memory that all workers share.
//!
//! A sync covers all that was written before it began. So one that comes while another is under way waits for its end, as the
//! program's threads did, and is left out when a sync that began after the last write is over by then:
//!
//! ```text
//! worker 1   write  sync 1 ............
//! worker 2          write  (waits)     sync 2 ............
//! worker 3                 write  (waits)                 left out: sync 2 began after the write
//! ```

use super::futex;
use super::memory::SharedWords;
use crate::limits::GROUPED;
use std::io::Result;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::*;

/// How long a worker sleeps at most before it looks whether the one that syncs is still there, ns.
const PATIENCE: i64 = 10_000_000;

/// What is known of each file.
#[derive(Debug)]
pub struct Groups(SharedWords);

/// What is known of one file, a word each; counts begin at 0 and wrap.
#[derive(Clone, Copy, Debug)]
enum Word {
    /// Number of syncs that began.
    Begun,
    /// The last sync that has succeeded, by number.
    Done,
    /// How many syncs had begun when it was last written.
    Written,
    /// The worker that syncs it, plus 1; 0 for nobody. Those who wait sleep on it.
    Holder,
}

/// Words of a file: a cache line.
const WORDS: usize = 16;

/// What becomes of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is issued, and [`Groups::synced`] is told what came of it.
    Issue,
    /// It is left out: another one has done its work.
    Covered,
}

impl Groups {
    /// For so many files, none of them written or synced.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(files: usize) -> Result<Groups> {
        SharedWords::new(files.min(GROUPED) * WORDS).map(Groups)
    }

    #[inline]
    fn word(&self, file: u16, word: Word) -> Option<&AtomicU32> {
        self.0.get(usize::from(file) * WORDS + word as usize)
    }

    /// Notes that a write to a file is over.
    #[inline]
    pub fn wrote(&self, file: u16) {
        if let (Some(begun), Some(written)) = (self.word(file, Word::Begun), self.word(file, Word::Written)) {
            written.fetch_max(begun.load(SeqCst), SeqCst);
        }
    }

    /// Waits until a worker may sync a file, or another one has done so since the last write; `gone` says whether a worker issues nothing
    /// any more. Nothing is waited for where nobody syncs the file.
    #[inline]
    pub fn turn(&self, file: u16, worker: usize, gone: impl Fn(usize) -> bool) -> Turn {
        let words = [Word::Begun, Word::Done, Word::Written, Word::Holder].map(|word| self.word(file, word));
        let [Some(begun), Some(done), Some(written), Some(holder)] = words else { return Turn::Issue };
        let (need, me) = (written.load(SeqCst), worker as u32 + 1);
        loop {
            if done.load(SeqCst) > need {
                return Turn::Covered;
            }
            match holder.compare_exchange(0, me, SeqCst, SeqCst) {
                // It may have been done between the two looks.
                Ok(_) if done.load(SeqCst) > need => {
                    self.free(holder);
                    return Turn::Covered;
                }
                Ok(_) => {
                    begun.fetch_add(1, SeqCst);
                    return Turn::Issue;
                }
                Err(other) => {
                    futex::wait(holder, other, Some(PATIENCE));
                    if gone(other as usize - 1) && holder.compare_exchange(other, 0, SeqCst, SeqCst).is_ok() {
                        futex::wake(holder);
                    }
                }
            }
        }
    }

    /// Notes that the sync which was this worker's turn is over, and whether it has worked.
    #[inline]
    pub fn synced(&self, file: u16, works: bool) {
        let words = [Word::Begun, Word::Done, Word::Holder].map(|word| self.word(file, word));
        let [Some(begun), Some(done), Some(holder)] = words else { return };
        if works {
            done.store(begun.load(SeqCst), SeqCst);
        }
        self.free(holder);
    }

    fn free(&self, holder: &AtomicU32) {
        holder.store(0, SeqCst);
        futex::wake(holder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    const ALIVE: fn(usize) -> bool = |_| false;

    #[test]
    fn a_sync_is_left_out_when_one_that_began_after_the_write_is_over() {
        let groups = Groups::new(2).unwrap();
        let sync = |works| {
            let turn = groups.turn(0, 0, ALIVE);
            if turn == Turn::Issue {
                groups.synced(0, works);
            }
            turn
        };
        groups.wrote(0);
        assert_eq!([sync(true), sync(true)], [Turn::Issue, Turn::Covered]);
        // One that failed covers nothing.
        groups.wrote(0);
        assert_eq!([sync(false), sync(true), sync(true)], [Turn::Issue, Turn::Issue, Turn::Covered]);
        // What is written while one is under way is not covered by it.
        groups.wrote(0);
        assert_eq!(groups.turn(0, 0, ALIVE), Turn::Issue);
        groups.wrote(0);
        groups.synced(0, true);
        assert_eq!([sync(true), sync(true)], [Turn::Issue, Turn::Covered]);
        // Files know nothing of each other, and one that is in no group is synced as captured.
        assert_eq!(
            (groups.turn(1, 0, ALIVE), groups.turn(9, 0, ALIVE), groups.turn(9, 0, ALIVE)),
            (Turn::Issue, Turn::Issue, Turn::Issue)
        );
    }

    /// Each of 16 threads writes and syncs 50 times; a sync takes 1 ms. None is left out whose write no sync covers.
    #[test]
    fn one_sync_is_for_all_who_wait() {
        let groups = Groups::new(1).unwrap();
        let (issued, under_way) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // The number of the last write of each thread, and of those that the last sync has found.
        let writes: [AtomicUsize; 16] = Default::default();
        let durable: [AtomicUsize; 16] = Default::default();
        std::thread::scope(|scope| {
            for me in 0..16 {
                let (groups, issued, under_way, writes, durable) = (&groups, &issued, &under_way, &writes, &durable);
                scope.spawn(move || {
                    for round in 1..=50 {
                        writes[me].store(round, SeqCst);
                        groups.wrote(0);
                        if groups.turn(0, me, ALIVE) == Turn::Issue {
                            assert_eq!(under_way.fetch_add(1, SeqCst), 0, "one at a time");
                            let found = writes.each_ref().map(|write| write.load(SeqCst));
                            std::thread::sleep(Duration::from_millis(1));
                            durable.iter().zip(found).for_each(|(durable, found)| {
                                durable.fetch_max(found, SeqCst);
                            });
                            issued.fetch_add(1, SeqCst);
                            under_way.fetch_sub(1, SeqCst);
                            groups.synced(0, true);
                        }
                        assert!(durable[me].load(SeqCst) >= round, "thread {me} round {round} is not durable");
                    }
                });
            }
        });
        let issued = issued.into_inner();
        assert!((50..400).contains(&issued), "{issued} of 800 were issued");
    }

    #[test]
    fn nobody_waits_for_a_worker_that_is_gone() {
        let groups = Groups::new(1).unwrap();
        assert_eq!(groups.turn(0, 3, ALIVE), Turn::Issue);
        assert_eq!(groups.turn(0, 4, |worker| worker == 3), Turn::Issue);
    }
}
