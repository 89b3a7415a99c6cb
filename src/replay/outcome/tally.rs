//! Counters of a replay, filled record by record.

use super::compare::Outcome;
use super::flaw::Hindrance;
use super::measure::Figures;
use crate::fate::Origin;
use crate::histogram::Histogram;
use crate::os::device::Device;
use crate::os::task_io::TaskIo;
use crate::process::signal::Signal;
use crate::replay::cache::State;
use crate::replay::issue::burn::Computing;
use crate::replay::machine::samples;
use crate::replay::shared::record::{Record, UNPOPULATED};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Most examples kept of each kind of difference.
const EXAMPLES: usize = 3;
/// Lag above which an op counts as part of a burst, ns; the machine's own noise is far below.
pub const STALL: i64 = 1_000_000;

/// Number of ops with one kind of outcome, and examples.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Number of ops with this kind of outcome.
    pub count: u64,
    /// Records of the first of these ops by op_id, 3 at most.
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

/// What one worker did in a replay, as in the run's manifest; times in ns.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Did {
    /// Number of its process in the replay.
    pub process: usize,
    /// Number of the worker, over all processes.
    pub worker: usize,
    /// Number of lanes (captured threads) that it runs.
    pub lanes: usize,
    /// How long its lanes were estimated to keep it busy, ns; the plan divided lanes by this.
    pub planned: i64,
    /// Number of ops that it issued.
    pub ops: u64,
    /// Time spent in calls, ns.
    pub busy: i64,
    /// Time spent waiting for ops of other workers, ns.
    pub waited: i64,
    /// Of that, while an op of another machine was not finished, ns.
    pub remote: i64,
    /// Time spent waiting for the loader to decode ops, ns.
    pub starved: i64,
    /// Processor time of its thread, calls included, ns.
    pub cpu: i64,
    #[serde(skip)]
    stalled: bool,
    /// The lane of the last op, and all lanes of those before.
    #[serde(skip)]
    lane: Option<u32>,
    #[serde(skip)]
    seen: BTreeSet<u32>,
    /// Number of its ops with which it came back to a lane after ops of others: these may have held the lane up.
    pub returns: u64,
}

impl Did {
    /// A worker that has done nothing so far; `lanes` and `planned` come from the plan.
    pub fn new(process: usize, worker: usize, lanes: usize, planned: i64) -> Did {
        Did { process, worker, lanes, planned, ..Did::default() }
    }
}

/// The requests of io_submit and io_uring in a replay, and how many of them were in flight at a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Requests {
    /// Number of captured requests that were issued, in whichever way.
    pub issued: u64,
    /// Number of those that were handed over as requests; the others were made as calls.
    pub native: u64,
    /// Mean number of requests of a thread and ring in flight when one is handed over, that one included, in the capture; `None`
    /// when none was handed over.
    pub depth_captured: Option<f64>,
    /// The same in the replay.
    pub depth_replayed: Option<f64>,
    /// Why the kernel gave no ring or context, where it gave none.
    pub refused: Option<String>,
}

impl Requests {
    /// Adds what a worker handed over: the number of requests, and the sums of those in flight then, in the capture and here.
    pub fn add(&mut self, requests: i64, [captured, replayed]: [i64; 2]) {
        let native = requests.max(0) as u64;
        let add = |mean: Option<f64>, sum: i64| {
            let all = mean.unwrap_or(0.0) * self.native as f64 + sum as f64;
            (self.native + native > 0).then(|| all / (self.native + native) as f64)
        };
        (self.depth_captured, self.depth_replayed) = (add(self.depth_captured, captured), add(self.depth_replayed, replayed));
        self.native += native;
    }
}

/// Processor time of the threads beside the workers during a replay, ns.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Helpers {
    /// Processor time of the loaders, which decode ops, of all processes, ns.
    pub loaders: i64,
    /// Processor time of the supervisor's thread that compares and writes results, ns.
    pub supervisor: i64,
}

/// Everything that was counted and measured of a replay.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// Number of captured calls that were issued and had the same outcome.
    pub same: u64,
    /// Captured calls whose outcome is different or uncompared, by outcome and kind.
    pub kinds: BTreeMap<(Outcome, &'static str), Tally>,
    /// Number of inserted ops by origin.
    pub inserted: BTreeMap<&'static str, u64>,
    /// Inserted ops that failed in the replay: their number, and examples.
    pub inserted_failed: Tally,
    /// Number of ops, of every origin, by the hindrance they met (ENOSPC, EIO ...).
    pub hindered: BTreeMap<Hindrance, u64>,
    /// Time from the start of the replay to the end of the last op, ns.
    pub wall: i64,
    /// Number of processes of the replay.
    pub processes: usize,
    /// What each worker did, by number of the worker.
    pub workers: Vec<Did>,
    /// Processor time of loaders and supervisor.
    pub helpers: Helpers,
    /// Requests of io_submit and io_uring.
    pub requests: Requests,
    /// How long the workers computed as the captured threads did.
    pub computing: Computing,
    /// How late ops were against their pace; empty without one.
    pub lags: Lags,
    /// How often a loader waited for the supervisor to free a result block.
    pub stalls: i64,
    /// Number of mappings issued without their captured MAP_POPULATE, since they were too large.
    pub unpopulated: u64,
    /// What was lost: processes that were killed, workers that panicked, an early end; a message for each.
    pub lost: Vec<String>,
    /// The signal to the supervisor that ended the replay early; `None` if none did.
    pub signal: Option<Signal>,
    /// Latencies and bytes by call, and violations of the order.
    pub figures: Figures,
    /// The samples of the machine during the replay, summed up.
    pub samples: samples::Summary,
    /// What the processes of the replay caused devices to read and write.
    pub task_io: TaskIo,
    /// What block devices did for them, and for the kernel meanwhile; `None` where nobody counted.
    pub device: Option<Vec<Device>>,
    /// Number of pages of files that they added to the page cache; `None` where nobody counted.
    pub cached: Option<u64>,
    /// What was made of the page cache before the first op.
    pub state: Option<State>,
    /// Conditions (limits, nice value) that could not be met; a message for each.
    pub notes: Vec<String>,
}

impl Replayed {
    /// Counts the record of one op with its verdict and kind of difference.
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
        self.requests.issued += u64::from(record.syscall().interface().is_some());
        self.unpopulated += u64::from(record.fact.notes & UNPOPULATED != 0);
        self.wall = self.wall.max(record.stamp.end);
        let Some(did) = self.workers.get_mut(record.worker as usize) else { return };
        did.ops += 1;
        let lane = record.fact.lane;
        if did.lane != Some(lane) {
            did.lane = Some(lane);
            did.returns += u64::from(!did.seen.insert(lane));
        }
        did.busy = did.busy.saturating_add(record.stamp.end.saturating_sub(record.stamp.begin));
        if let Some(lag) = record.lag() {
            self.lags.add(lag, &mut did.stalled);
        }
    }
}

/// Histogram of lags, and counts of bursts, while the replay runs.
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

    /// The lags summed up; `None` when no op had a time to be issued at.
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

/// How much later than planned by the pace ops were issued, ns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// Number of ops that had a time to be issued at.
    pub ops: u64,
    /// Median lag: half of these ops were no later than this, ns.
    pub p50: i64,
    /// 99th percentile of the lag, ns.
    pub p99: i64,
    /// 99.9th percentile of the lag, ns.
    pub p999: i64,
    /// The largest lag, ns.
    pub max: i64,
    /// Number of times that a worker fell more than 1 ms behind its pace.
    pub bursts: u64,
    /// Number of ops that were issued more than 1 ms late.
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
