//! Counts what a replay did, record by record.

use super::compare::Outcome;
use super::flaw::Hindrance;
use super::measure::Figures;
use crate::fate::Origin;
use crate::histogram::Histogram;
use crate::replay::machine::samples;
use crate::replay::shared::record::{Record, UNPOPULATED};
use crate::signal::Signal;
use serde::Serialize;
use std::collections::BTreeMap;

/// Examples that are kept of each kind of difference.
const EXAMPLES: usize = 3;
/// An op that is later than this was stalled, ns; the machine's own noise is far below.
pub const STALL: i64 = 1_000_000;

/// What one kind of outcome is made of.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// The first of them, by op_id.
    pub examples: Vec<Record>,
}

impl Tally {
    fn add(&mut self, record: &Record) {
        self.count += 1;
        let at = self.examples.partition_point(|known| known.fact.op_id < record.fact.op_id);
        if at < EXAMPLES {
            self.examples.insert(at, *record);
            self.examples.truncate(EXAMPLES);
        }
    }
}

/// What one worker did; times in ns.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Did {
    /// Its process.
    pub process: usize,
    /// The worker.
    pub worker: usize,
    /// Its lanes.
    pub lanes: usize,
    /// What its lanes will keep it busy for, as the plan reckoned.
    pub planned: i64,
    /// Ops that it issued.
    pub ops: u64,
    /// In calls.
    pub busy: i64,
    /// Waiting for ops of other workers.
    pub waited: i64,
    /// Waiting for ops to be decoded.
    pub starved: i64,
    /// Processor time, calls and all.
    pub cpu: i64,
    #[serde(skip)]
    stalled: bool,
}

impl Did {
    /// Nothing so far.
    pub fn new(process: usize, worker: usize, lanes: usize, planned: i64) -> Did {
        Did { process, worker, lanes, planned, ..Did::default() }
    }
}

/// What the threads beside the workers took of the processors during a replay, ns.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Helpers {
    /// Those that decode ops.
    pub loaders: i64,
    /// The one that compares and writes results.
    pub supervisor: i64,
}

/// What came out of a replay.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// Captured calls that were issued with the same outcome.
    pub same: u64,
    /// Captured calls with another outcome or none to compare, by outcome and kind.
    pub kinds: BTreeMap<(Outcome, &'static str), Tally>,
    /// Inserted ops by origin.
    pub inserted: BTreeMap<&'static str, u64>,
    /// Inserted ops that failed.
    pub inserted_failed: Tally,
    /// Ops of every origin that the machine kept from what they did in the capture.
    pub hindered: BTreeMap<Hindrance, u64>,
    /// From the start to the end of the last op, ns.
    pub wall: i64,
    /// Processes.
    pub processes: usize,
    /// What each worker did.
    pub workers: Vec<Did>,
    /// What the others needed meanwhile.
    pub helpers: Helpers,
    /// How late ops were, when they had their time.
    pub lags: Lags,
    /// How often results waited for the supervisor to take them.
    pub stalls: i64,
    /// Mappings that were made without MAP_POPULATE.
    pub unpopulated: u64,
    /// What was lost on the way: processes that were killed.
    pub lost: Vec<String>,
    /// The signal that ended it early.
    pub signal: Option<Signal>,
    /// Latencies, bytes, order.
    pub figures: Figures,
    /// What the machine did meanwhile.
    pub samples: samples::Summary,
    /// Conditions that could not be had.
    pub notes: Vec<String>,
}

impl Replayed {
    /// Counts a record.
    pub fn add(&mut self, record: &Record, outcome: Outcome, kind: Option<&'static str>) {
        match (record.origin(), outcome, kind) {
            (Origin::Event, Outcome::Same, _) => self.same += 1,
            (Origin::Event, outcome, kind) => self.kinds.entry((outcome, kind.unwrap_or_default())).or_default().add(record),
            (origin, outcome, _) => {
                *self.inserted.entry(origin.name()).or_default() += 1;
                if outcome == Outcome::Different {
                    self.inserted_failed.add(record);
                }
            }
        }
        if let Some(hindrance) = Hindrance::of(record) {
            *self.hindered.entry(hindrance).or_default() += 1;
        }
        self.unpopulated += u64::from(record.fact.notes & UNPOPULATED != 0);
        self.wall = self.wall.max(record.stamp.end);
        let Some(did) = self.workers.get_mut(record.worker as usize) else { return };
        did.ops += 1;
        did.busy = did.busy.saturating_add(record.stamp.end.saturating_sub(record.stamp.begin));
        if let Some(lag) = record.lag() {
            self.lags.add(lag, &mut did.stalled);
        }
    }
}

/// How late ops were.
#[derive(Clone, Debug, Default)]
pub struct Lags {
    lags: Histogram,
    bursts: u64,
    burst_ops: u64,
}

impl Lags {
    fn add(&mut self, lag: i64, stalled: &mut bool) {
        self.lags.add(lag);
        let late = lag > STALL;
        self.bursts += u64::from(late && !*stalled);
        self.burst_ops += u64::from(late);
        *stalled = late;
    }

    /// For the summary; `None` when no op had its time.
    pub fn summary(&self) -> Option<Lag> {
        let p = |share| self.lags.percentile(share);
        (self.lags.count() > 0).then(|| Lag {
            ops: self.lags.count(),
            p50: p(0.5),
            p99: p(0.99),
            p999: p(0.999),
            max: self.lags.max(),
            bursts: self.bursts,
            burst_ops: self.burst_ops,
        })
    }
}

/// How much later than planned ops were issued, ns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// Ops that had a time.
    pub ops: u64,
    /// Half of them were no later than this.
    pub p50: i64,
    /// 99 %.
    pub p99: i64,
    /// 99.9 %.
    pub p999: i64,
    /// The worst.
    pub max: i64,
    /// How often a worker fell more than 1 ms behind.
    pub bursts: u64,
    /// Ops that were issued while it was.
    pub burst_ops: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_counted_once() {
        let (mut lags, mut stalled) = (Lags::default(), false);
        [5, STALL + 1, STALL * 2, 5, 5, STALL + 1].into_iter().for_each(|lag| lags.add(lag, &mut stalled));
        let lag = lags.summary().unwrap();
        assert_eq!((lag.bursts, lag.burst_ops), (2, 3));
    }
}
