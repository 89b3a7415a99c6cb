//! What a capture says it lost, and what it does not say but shows.
//!
//! A tracer that numbers its events and says at the end how many there were can be held to it: what did not arrive was
//! lost on the way, and a capture without an end was cut off. Formats without such an end promise nothing, so nothing
//! can be said of them.

use super::parse::{Batch, Ended};
use crate::schema::losses::Lost;
use crate::words::words;
use serde::Serialize;
use std::collections::BTreeMap;

words! {
    /// What was lost.
    Loss {
        End        "end"        "end marks that are missing: the tracer stopped early, and what came later is not here";
        Events     "events"     "events that the tracer wrote and that did not arrive whole";
        Skipped    "skipped"    "times the tracer skipped a probe: events may be missing";
        Beginnings "beginnings" "events whose beginning was not seen: they have no start and no duration";
        Unreadable "unreadable" "arguments that were not in memory when the tracer looked: they are absent";
        Crowded    "crowded"    "texts that found no room in their line: they are absent";
        InFlight   "in_flight"  "calls that had not returned when the capture ended";
    }
}

impl Serialize for Loss {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Loss {
    /// Are events missing, or only parts of them?
    pub const fn of_events(self) -> bool {
        matches!(self, Loss::End | Loss::Events | Loss::Skipped)
    }

    /// The row of table losses: so many of this kind, at times that nobody knows.
    pub fn row(self, count: u64) -> Lost {
        Lost { kind: self.name().into(), count, event: self.of_events(), between: None }
    }
}

/// Counts what one input shows.
#[derive(Debug, Default)]
pub struct Tally {
    /// Captures begun that promise an end.
    begun: u64,
    /// Their ends.
    ended: Vec<Ended>,
    /// Their events.
    events: u64,
}

impl Tally {
    /// Adds a chunk of the input.
    pub fn add(&mut self, batch: &mut Batch) {
        self.begun += batch.begun;
        self.events += batch.marked;
        self.ended.append(&mut batch.ended);
    }

    /// What was lost, added to `losses`; zeroes are left out.
    pub fn settle(&self, losses: &mut BTreeMap<Loss, u64>) {
        // A header may be lost too, so events alone promise an end.
        let begun = self.begun.max(u64::from(self.events > 0));
        let sum = |number: fn(&Ended) -> u64| self.ended.iter().map(number).fold(0, u64::saturating_add);
        let counts = [
            (Loss::End, begun.saturating_sub(self.ended.len() as u64)),
            (Loss::Events, sum(|ended| ended.events).saturating_sub(self.events)),
            (Loss::Skipped, sum(|ended| ended.skipped)),
            (Loss::Beginnings, sum(|ended| ended.unstarted)),
            (Loss::Unreadable, sum(|ended| ended.unreadable)),
            (Loss::Crowded, sum(|ended| ended.crowded)),
            (Loss::InFlight, sum(|ended| ended.in_flight)),
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
        assert_eq!(settle(1, 10, &[ended]), BTreeMap::from([(Loss::InFlight, 2)]));
        assert_eq!(settle(1, 7, &[ended]), BTreeMap::from([(Loss::Events, 3), (Loss::InFlight, 2)]));
        assert_eq!(settle(1, 7, &[]), BTreeMap::from([(Loss::End, 1)]));
        assert_eq!(settle(0, 7, &[]), BTreeMap::from([(Loss::End, 1)]));
        assert_eq!(settle(2, 20, &[ended, ended]), BTreeMap::from([(Loss::InFlight, 4)]));
    }

    #[test]
    fn formats_without_an_end_lost_nothing() {
        assert_eq!(settle(0, 0, &[]), BTreeMap::new());
    }
}
