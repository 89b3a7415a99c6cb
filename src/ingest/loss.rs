//! Works out what a capture lost: what its tracer says it lost, and what is missing.
//!
//! A tracer that numbers its events and says at the end how many there were can be checked: what did not arrive was
//! lost on the way, and a capture without an end was cut off. Formats without such an end promise nothing, so nothing
//! can be said of them.

use super::parse::{Batch, Ended};
use crate::loss::Loss;
use std::collections::BTreeMap;

/// Counts, over one input, of what tells of losses.
#[derive(Debug, Default)]
pub struct Tally {
    /// Number of headers of captures that promise a last line.
    begun: u64,
    /// Contents of the last lines of such captures: the tracer's counts.
    ended: Vec<Ended>,
    /// Number of events of captures that promise a last line.
    events: u64,
}

impl Tally {
    /// Adds the counts of a parsed chunk of the input; takes its `ended` lines.
    pub fn add(&mut self, batch: &mut Batch) {
        self.begun += batch.begun;
        self.events += batch.marked;
        self.ended.append(&mut batch.ended);
    }

    /// Adds the losses of the input to `losses`, by kind; kinds with a count of 0 are left out.
    pub fn settle(&self, losses: &mut BTreeMap<Loss, u64>) {
        // A header may be lost too, so events alone promise an end as well.
        let begun = self.begun.max(u64::from(self.events > 0));
        let sum = |number: fn(&Ended) -> u64| self.ended.iter().map(number).fold(0, u64::saturating_add);
        let counts = [
            (Loss::NoEnd, begun.saturating_sub(self.ended.len() as u64)),
            (Loss::Transport, sum(|ended| ended.events).saturating_sub(self.events)),
            (Loss::Skipped, sum(|ended| ended.skipped)),
            (Loss::NoEntry, sum(|ended| ended.unstarted)),
            (Loss::Unreadable, sum(|ended| ended.unreadable)),
            (Loss::Crowded, sum(|ended| ended.crowded)),
            (Loss::Unfinished, sum(|ended| ended.in_flight)),
        ];
        for (loss, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            *losses.entry(loss).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(begun: u64, marked: u64, ended: &[Ended]) -> BTreeMap<Loss, u64> {
        let mut tally = Tally::default();
        tally.add(&mut Batch { begun, marked, ended: ended.to_vec(), ..Batch::default() });
        let mut losses = BTreeMap::new();
        tally.settle(&mut losses);
        losses
    }

    #[test]
    fn what_did_not_arrive_was_lost() {
        let ended = Ended { events: 10, in_flight: 2, ..Ended::default() };
        assert_eq!(settle(1, 10, &[ended]), BTreeMap::from([(Loss::Unfinished, 2)]));
        assert_eq!(settle(1, 7, &[ended]), BTreeMap::from([(Loss::Transport, 3), (Loss::Unfinished, 2)]));
        assert_eq!(settle(1, 7, &[]), BTreeMap::from([(Loss::NoEnd, 1)]));
        assert_eq!(settle(0, 7, &[]), BTreeMap::from([(Loss::NoEnd, 1)]));
        assert_eq!(settle(2, 20, &[ended, ended]), BTreeMap::from([(Loss::Unfinished, 4)]));
    }

    #[test]
    fn formats_without_an_end_lost_nothing() {
        assert_eq!(settle(0, 0, &[]), BTreeMap::new());
    }
}
