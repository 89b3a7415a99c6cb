//! Counts what a replay did, record by record.

use super::compare::Outcome;
use super::record::Record;
use crate::fate::Origin;
use serde::Serialize;
use std::collections::BTreeMap;

/// Examples that are kept of each kind of difference.
const EXAMPLES: usize = 3;
/// An op that is later than this was stalled, ns; the machine's own noise is far below.
const STALL: i64 = 1_000_000;

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
    pub fn new(process: usize, worker: usize, lanes: usize) -> Did {
        Did { process, worker, lanes, ..Did::default() }
    }
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
    /// From the start to the end of the last op, ns.
    pub wall: i64,
    /// Processes.
    pub processes: usize,
    /// What each worker did.
    pub workers: Vec<Did>,
    /// How late ops were, when they had their time.
    pub lags: Lags,
    /// How often results waited for the supervisor to take them.
    pub stalls: i64,
    /// What was lost on the way: processes that were killed.
    pub lost: Vec<String>,
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
        self.wall = self.wall.max(record.stamp.end);
        let Some(did) = self.workers.get_mut(record.worker as usize) else { return };
        did.ops += 1;
        did.busy += record.stamp.end - record.stamp.begin;
        if let Some(lag) = record.lag() {
            self.lags.add(lag, &mut did.stalled);
        }
    }
}

/// Bits of a lag that are kept below its first: a step is 3 % of the value.
const FINE: u32 = 5;

/// How late ops were.
#[derive(Clone, Debug)]
pub struct Lags {
    steps: Vec<u64>,
    count: u64,
    max: i64,
    bursts: u64,
    burst_ops: u64,
}

impl Default for Lags {
    fn default() -> Lags {
        Lags { steps: vec![0; (64 - FINE as usize) << FINE], count: 0, max: 0, bursts: 0, burst_ops: 0 }
    }
}

impl Lags {
    fn add(&mut self, lag: i64, stalled: &mut bool) {
        let lag = lag.max(0);
        self.count += 1;
        self.max = self.max.max(lag);
        self.steps[step(lag as u64)] += 1;
        let late = lag > STALL;
        self.bursts += u64::from(late && !*stalled);
        self.burst_ops += u64::from(late);
        *stalled = late;
    }

    fn percentile(&self, percent: f64) -> i64 {
        let rank = (self.count as f64 * percent / 100.0).ceil().max(1.0) as u64;
        let mut seen = 0;
        let step = self.steps.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        step.map_or(0, value).min(self.max)
    }

    /// For the summary; `None` when no op had its time.
    pub fn summary(&self) -> Option<Lag> {
        (self.count > 0).then(|| Lag {
            ops: self.count,
            p50: self.percentile(50.0),
            p99: self.percentile(99.0),
            p999: self.percentile(99.9),
            max: self.max,
            bursts: self.bursts,
            burst_ops: self.burst_ops,
        })
    }
}

/// The step of a value: exact up to 2^[`FINE`], then so many steps for each power of two.
fn step(value: u64) -> usize {
    let shift = (63 - (value | 1).leading_zeros()).saturating_sub(FINE);
    (shift as usize) * (1 << FINE) + (value >> shift) as usize
}

/// The largest value of a step.
fn value(step: usize) -> i64 {
    let shift = (step >> FINE).saturating_sub(1);
    ((((step - (shift << FINE) + 1) as u64) << shift) - 1) as i64
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
    fn percentiles_are_right_within_a_step() {
        let mut lags = Lags::default();
        for lag in (0..100_000).rev() {
            lags.add(lag, &mut false);
        }
        let lag = lags.summary().unwrap();
        assert_eq!((lag.ops, lag.max, lag.bursts), (100_000, 99_999, 0));
        for (found, exact) in [(lag.p50, 50_000), (lag.p99, 99_000), (lag.p999, 99_900)] {
            assert!((exact..exact * 104 / 100).contains(&found), "{found} for {exact}");
        }
        for lag in [0, 1, 31, 32, 33, 63, 64, 1000, i64::MAX as u64] {
            let (step, last) = (step(lag), lags.steps.len());
            assert!(step < last && value(step) as u64 >= lag && (step == 0 || (value(step - 1) as u64) < lag), "{lag}");
        }
        assert_eq!(Lags::default().summary(), None);
    }

    #[test]
    fn a_burst_is_counted_once() {
        let (mut lags, mut stalled) = (Lags::default(), false);
        [5, STALL + 1, STALL * 2, 5, 5, STALL + 1].into_iter().for_each(|lag| lags.add(lag, &mut stalled));
        let lag = lags.summary().unwrap();
        assert_eq!((lag.bursts, lag.burst_ops), (2, 3));
    }
}
