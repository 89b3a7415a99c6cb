//! Counts over the events of a capture, for its summary and manifest.

use crate::event::{Col, Event};
use crate::syscall::{Syscall, TABLE};
use std::collections::BTreeMap;

/// Counts over events beside the ledger: the range of times, and events per syscall.
#[derive(Debug, Default)]
pub struct Facts {
    /// Earliest value of column `ts` (start of a call), ns; `None` when no event has a time.
    pub first: Option<i64>,
    /// Latest value of column `ts`, ns; `None` when no event has a time.
    pub last: Option<i64>,
    calls: Vec<u64>,
    others: BTreeMap<Box<str>, u64>,
}

impl Facts {
    /// Counts one event: its time, and its syscall.
    pub fn note(&mut self, event: &Event) {
        if let Some(ts) = event.int(Col::Ts) {
            self.first = Some(self.first.map_or(ts, |first| first.min(ts)));
            self.last = Some(self.last.map_or(ts, |last| last.max(ts)));
        }
        match &event.other {
            Some(name) => {
                if let Some(count) = self.others.get_mut(name) {
                    *count += 1;
                } else if self.others.len() < 1000 {
                    // Names come from the input: a hostile one must not make this grow without bound.
                    self.others.insert(name.clone(), 1);
                }
            }
            None => {
                self.calls.resize(TABLE.len(), 0);
                self.calls[event.syscall as usize] += 1;
            }
        }
    }

    /// Number of events by name of the syscall. Of names that the syscall table lacks only the first 1000 are counted.
    pub fn syscalls(self) -> BTreeMap<String, u64> {
        let known = Syscall::ALL.iter().zip(&self.calls).filter(|(_, count)| **count > 0);
        let known = known.map(|(syscall, count)| (syscall.name().to_owned(), *count));
        known.chain(self.others.into_iter().map(|(name, count)| (name.into(), count))).collect()
    }
}
