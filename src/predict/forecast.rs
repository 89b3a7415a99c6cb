//! What the runs of a prediction say together: for each cell time, calls, traffic of its device, and what to think of them.

use super::rounds::{Bound, Cell, Played, Rounds};
use crate::process::signal::Signal;
use crate::replay::outcome::caveat::Caveat;
use crate::replay::outcome::compare::REGROUPED_KIND;
use crate::replay::outcome::flaw::Flaw;
use crate::replay::outcome::measure::Spread;
use crate::replay::{Chosen, Order, Pace, Summary};
use crate::statistics::estimate::{Estimate, coverage, order};
use crate::syscall::Syscall;
use serde::Serialize;
use std::path::PathBuf;

/// Number of calls from which their 99th percentile says something: below, fewer than ten lie above it.
const MANY: u64 = 1000;
/// How far the captured time may lie outside the interval of the runs, as a share of it, and still be within the noise: the
/// program's own run was one of many, too.
const NOISE: f64 = 0.05;
/// How much longer than planned a run may take that has kept its pace.
const KEPT: f64 = 1.05;

/// The outcome of a prediction.
#[derive(Clone, Debug, Serialize)]
pub struct Prediction {
    /// Directory of the workload.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub workload: PathBuf,
    /// Number of captured calls that each run issued.
    pub ops: u64,
    /// Which earlier ops an op waited for.
    pub order: Order,
    /// How the issue times of ops were chosen.
    pub pace: Pace,
    /// Why that way; `None` without a run.
    pub pace_chosen: Option<Chosen>,
    /// Number of rounds before those that count.
    pub warm_up: usize,
    /// Number of rounds that were asked for.
    pub repeat: usize,
    /// The signal that ended it early; `None` if none did.
    pub signal: Option<Signal>,
    /// How long the captured program took, from its first call to the end of its last, ns; `None` when that is not known.
    pub captured: Option<u64>,
    /// The probability that the true median lies in an interval, if runs are independent: the least of all cells.
    pub confidence: f64,
    /// The cells: every target at every speed, and the bounds of brackets.
    pub cells: Vec<Forecast>,
    /// Where the program may adapt, between which times it takes.
    pub brackets: Vec<Bracket>,
}

/// Between which times a program takes that adapts to its device: those of two bounds or, where its syncs are regrouped, its own and that
/// with all captured syncs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bracket {
    /// Name of the cell that it is of.
    pub label: String,
    /// Which bounds its times are of; one of them alone, and that of the cell itself.
    pub bounds: Vec<Bound>,
    /// Shorter of the two median times, ns.
    pub low: i64,
    /// Longer one, ns.
    pub high: i64,
    /// By how much it is longer, percent of the shorter one.
    pub width_percent: f64,
}

/// What the runs of one cell say.
#[derive(Clone, Debug, Serialize)]
pub struct Forecast {
    /// Name of the cell.
    pub label: String,
    /// Which bound of a bracket it is; `None` for a target at a speed.
    pub bound: Option<Bound>,
    /// Its root.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub root: PathBuf,
    /// Type of the file system of its target, e.g. `ext4`.
    pub file_system: Option<String>,
    /// Factor by which captured times were divided.
    pub speed: f64,
    /// The runs.
    #[serde(serialize_with = "crate::text::path::all")]
    pub runs: Vec<PathBuf>,
    /// Time of a run, ns; `None` without runs.
    pub time: Option<Estimate>,
    /// How long a run should take by its pace, ns; `None` without a pace.
    pub planned: Option<i64>,
    /// Median time divided by the planned or, without a pace, by the captured one.
    pub ratio: Option<f64>,
    /// The least match of its runs, percent.
    pub match_percent: Option<f64>,
    /// What keeps any of its runs from being good enough.
    pub flaws: Vec<Flaw>,
    /// What keeps the time of any of its runs from being believed.
    pub caveats: Vec<Caveat>,
    /// The numbers behind each caveat, for people, from the first run that has it.
    #[serde(skip)]
    pub numbers: Vec<String>,
    /// What its device did; `None` when it has none.
    pub traffic: Option<Traffic>,
    /// Latencies of the captured calls, by falling total time.
    pub calls: Vec<Call>,
    /// Syncs that its runs left out; `None` when they left none out.
    pub left_out: Option<LeftOut>,
    /// Does the captured time come out? `None` when that was not asked or cannot be told.
    pub source: Option<Verdict>,
}

/// What the device of a cell did during a run.
#[derive(Clone, Debug, Serialize)]
pub struct Traffic {
    /// Name of the device: that of the file system of the target.
    pub device: String,
    /// Read requests.
    pub reads: Estimate,
    /// Write requests.
    pub writes: Estimate,
    /// Bytes read.
    pub read_bytes: Estimate,
    /// Bytes written.
    pub written_bytes: Estimate,
}

/// Syncs that the runs of a cell left out, since another one had done their work (`--syncs regroup`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// How many of them a run left out, the median.
    pub syncs: i64,
    /// Captured syncs of single files.
    pub of: u64,
}

/// Latencies of one captured syscall in the runs of a cell: estimates of what each run measured, ns.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// Name of the syscall.
    pub syscall: &'static str,
    /// Number of calls in a run.
    pub calls: u64,
    /// Sum of their durations.
    pub total: Estimate,
    /// Median duration.
    pub p50: Estimate,
    /// 90th percentile.
    pub p90: Estimate,
    /// 99th percentile.
    pub p99: Estimate,
    /// Captured durations; `None` when unknown.
    pub captured: Option<Spread>,
}

impl Call {
    /// The highest percentile that the number of calls has evidence for, with its name; and the captured one.
    pub fn tail(&self) -> (&'static str, Estimate, Option<i64>) {
        match self.calls {
            ..MANY => ("p90", self.p90, self.captured.map(|captured| captured.p90)),
            _ => ("p99", self.p99, self.captured.map(|captured| captured.p99)),
        }
    }
}

/// Whether the targets are the device of the capture, so that the captured time must come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// They are others, or nobody says.
    Unasked,
    /// They are.
    Same,
}

/// Whether the captured time came out on the device of the capture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Does it lie in the interval of the runs, or within 5 % of it?
    pub within: bool,
    /// How far the median is from the captured time, percent of that.
    pub off_percent: f64,
}

impl Prediction {
    /// Puts together what was played. With [`Source::Same`] the captured time must come out.
    pub fn new(cells: &[Cell], rounds: Rounds, played: Played, source: Source) -> Prediction {
        let first = played.runs.iter().flatten().next();
        let captured = first.and_then(|run| run.time.evidence.captured).map(|captured| captured.span);
        let options = cells.first().map(|cell| &cell.options);
        let shares = played.runs.iter().map(|runs| coverage(runs.len(), order(runs.len())));
        let cells: Vec<_> =
            cells.iter().zip(&played.runs).map(|(cell, runs)| Forecast::new(cell, runs, captured, source)).collect();
        Prediction {
            brackets: brackets(&cells),
            workload: options.map(|options| options.workload.clone()).unwrap_or_default(),
            ops: first.map_or(0, |run| run.ops),
            order: options.map_or(Order::Resource, |options| options.order),
            pace: first.map_or(Pace::Asap, |run| run.pace),
            pace_chosen: first.map(|run| run.pace_chosen),
            warm_up: rounds.warm_up,
            repeat: rounds.count,
            signal: played.signal,
            captured,
            confidence: shares.fold(1.0, f64::min),
            cells,
        }
    }

    /// Whether every run is good enough, and the captured time came out where that was asked.
    pub fn ok(&self) -> bool {
        self.cells.iter().all(|cell| cell.flaws.is_empty() && cell.source.is_none_or(|verdict| verdict.within))
    }

    /// Was no run done that counts?
    pub fn is_empty(&self) -> bool {
        self.cells.iter().all(|cell| cell.runs.is_empty())
    }

    /// The greatest speed with which each target kept its pace, and the next one if it did not keep that: by root, in the order of
    /// the cells. Empty without a pace, or with one speed only.
    pub fn saturation(&self) -> Vec<(&Forecast, Option<&Forecast>)> {
        let mut roots: Vec<&PathBuf> = Vec::new();
        self.cells.iter().for_each(|cell| {
            if !roots.contains(&&cell.root) {
                roots.push(&cell.root)
            }
        });
        let of = |root: &&PathBuf| {
            let mut cells: Vec<_> = self.cells.iter().filter(|cell| cell.root == **root && cell.kept().is_some()).collect();
            cells.sort_by(|a, b| a.speed.total_cmp(&b.speed));
            let lost = cells.iter().position(|cell| cell.kept() == Some(false));
            let kept = lost.map_or(cells.last(), |at| at.checked_sub(1).and_then(|at| cells.get(at)).or(cells.first()));
            kept.filter(|_| cells.len() > 1).map(|kept| (*kept, lost.map(|at| cells[at])))
        };
        roots.iter().filter_map(of).collect()
    }
}

impl Forecast {
    fn new(cell: &Cell, runs: &[Summary], captured: Option<u64>, source: Source) -> Forecast {
        let time = Estimate::of(runs.iter().map(|run| run.wall));
        let planned = runs.iter().find_map(|run| run.span);
        let (speed, target) = (cell.options.speed, runs.first().and_then(|run| run.machine.targets.get(cell.part)));
        let base = planned.or(captured.and_then(|ns| i64::try_from(ns).ok())).filter(|base| *base > 0);
        let has = |caveat: Caveat| runs.iter().find(|run| run.time.caveats.contains(&caveat));
        let caveats: Vec<_> = Caveat::ALL.iter().copied().filter(|caveat| has(*caveat).is_some()).collect();
        let numbers = caveats.iter().filter_map(|caveat| Some(has(*caveat)?.time.evidence.numbers(*caveat)));
        Forecast {
            label: cell.label.clone(),
            bound: cell.bound,
            root: cell.options.root.clone(),
            file_system: target.and_then(|target| target.file_system.clone()),
            speed,
            runs: runs.iter().map(|run| run.run.clone()).collect(),
            time,
            planned,
            ratio: time.zip(base).map(|(time, base)| time.median as f64 / base as f64),
            match_percent: runs.iter().filter_map(|run| run.match_percent).reduce(f64::min),
            flaws: Flaw::ALL.iter().copied().filter(|flaw| runs.iter().any(|run| run.flaws.contains(flaw))).collect(),
            numbers: numbers.collect(),
            caveats,
            traffic: target.and_then(|target| traffic(runs, &target.devices.first()?.name)),
            calls: calls(runs),
            left_out: left_out(runs),
            source: captured
                .zip(time)
                .filter(|_| source == Source::Same && speed == 1.0 && cell.bound.is_none())
                .map(|(captured, time)| Verdict::of(captured, time)),
        }
    }

    /// Whether it kept its pace; `None` without one.
    fn kept(&self) -> Option<bool> {
        self.planned.and(self.ratio).map(|ratio| ratio <= KEPT)
    }
}

impl Verdict {
    fn of(captured: u64, time: Estimate) -> Verdict {
        let captured = captured.max(1) as f64;
        let (low, high) = (time.low as f64 - NOISE * captured, time.high as f64 + NOISE * captured);
        Verdict { within: (low..=high).contains(&captured), off_percent: 100.0 * (time.median as f64 / captured - 1.0) }
    }
}

/// The brackets of cells whose bounds are among them.
fn brackets(cells: &[Forecast]) -> Vec<Bracket> {
    let of = |cell: &Forecast| {
        let bounds = || cells.iter().filter(|other| other.root == cell.root && other.bound.is_some());
        let own = bounds().any(|other| other.bound == Some(Bound::Captured)).then_some(cell);
        let times: Vec<i64> = bounds().chain(own).filter_map(|other| Some(other.time?.median)).collect();
        let (low, high) = (*times.iter().min()?, *times.iter().max()?);
        let width_percent = 100.0 * (high as f64 / low.max(1) as f64 - 1.0);
        let bounds = bounds().filter_map(|other| other.bound).collect();
        (times.len() > 1).then(|| Bracket { label: cell.label.clone(), bounds, low, high, width_percent })
    };
    cells.iter().filter(|cell| cell.bound.is_none()).filter_map(of).collect()
}

fn traffic(runs: &[Summary], device: &str) -> Option<Traffic> {
    let works: Vec<_> = runs.iter().filter_map(|run| run.samples.devices.get(device)).collect();
    Some(Traffic {
        reads: Estimate::of(works.iter().map(|work| work.reads))?,
        writes: Estimate::of(works.iter().map(|work| work.writes))?,
        read_bytes: Estimate::of(works.iter().map(|work| work.read_bytes))?,
        written_bytes: Estimate::of(works.iter().map(|work| work.written_bytes))?,
        device: device.into(),
    })
}

fn left_out(runs: &[Summary]) -> Option<LeftOut> {
    let left = |run: &Summary| run.uncompared_kinds.iter().find(|kind| kind.kind == REGROUPED_KIND).map_or(0, |kind| kind.count);
    let syncs = [Syscall::fsync, Syscall::fdatasync].map(Syscall::name);
    let issued =
        |run: &Summary| run.figures.calls.iter().filter(|call| syncs.contains(&call.syscall)).map(|call| call.calls).sum::<u64>();
    let median = Estimate::of(runs.iter().map(|run| i64::try_from(left(run)).unwrap_or(i64::MAX)))?.median;
    let of = runs.iter().map(|run| issued(run).saturating_add(left(run))).max()?;
    (median > 0).then_some(LeftOut { syncs: median, of })
}

fn calls(runs: &[Summary]) -> Vec<Call> {
    let mut all: Vec<Call> = Vec::new();
    for first in runs.iter().flat_map(|run| &run.figures.calls) {
        if all.iter().any(|call| call.syscall == first.syscall) {
            continue;
        }
        let same: Vec<_> =
            runs.iter().filter_map(|run| run.figures.calls.iter().find(|call| call.syscall == first.syscall)).collect();
        let of = |value: fn(&Spread) -> i64| Estimate::of(same.iter().map(|call| value(&call.latency)));
        let (Some(total), Some(p50)) = (of(|spread| spread.total), of(|spread| spread.p50)) else { continue };
        let (Some(p90), Some(p99)) = (of(|spread| spread.p90), of(|spread| spread.p99)) else { continue };
        let (syscall, calls, captured) = (first.syscall, first.calls, first.captured);
        all.push(Call { syscall, calls, total, p50, p90, p99, captured });
    }
    all.sort_by(|a, b| b.total.median.cmp(&a.total.median).then(a.syscall.cmp(b.syscall)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(root: &str, speed: f64, ratio: f64) -> Forecast {
        let options = crate::replay::Options { speed, ..crate::replay::Options::new("w".into(), root.into(), "o".into()) };
        let cell = Cell { label: format!("{root}-x{speed}"), options, part: 0, bound: None };
        let forecast = Forecast::new(&cell, &[], None, Source::Unasked);
        Forecast { planned: Some(1000), ratio: Some(ratio), ..forecast }
    }

    #[test]
    fn saturation_lies_where_the_pace_is_first_lost() {
        let rounds = Rounds { warm_up: 0, count: 1 };
        let none = Played { runs: Vec::new(), signal: None };
        let all = |cells| Prediction { cells, ..Prediction::new(&[], rounds, none.clone(), Source::Unasked) };
        let found = |prediction: &Prediction| {
            let speeds = prediction.saturation().into_iter().map(|(kept, lost)| (kept.speed, lost.map(|lost| lost.speed)));
            speeds.collect::<Vec<_>>()
        };
        let prediction =
            all(vec![cell("a", 4.0, 1.8), cell("a", 1.0, 1.0), cell("a", 2.0, 1.04), cell("b", 1.0, 1.0), cell("b", 2.0, 1.0)]);
        assert_eq!(found(&prediction), [(2.0, Some(4.0)), (2.0, None)]);
        // Lost at once; one speed says nothing.
        assert_eq!(found(&all(vec![cell("a", 1.0, 1.2), cell("a", 2.0, 2.0)])), [(1.0, Some(1.0))]);
        assert_eq!(found(&all(vec![cell("a", 1.0, 1.2)])), []);
    }

    #[test]
    fn a_bracket_lies_between_the_bounds_of_its_root() {
        let timed = |root: &str, bound, ns| {
            let time = Some(Estimate { median: ns, low: ns, high: ns });
            Forecast { bound, time, ..cell(root, 1.0, 1.0) }
        };
        let (free, strict) = (Some(Bound::Free), Some(Bound::Strict));
        let cells = [timed("a", None, 1000), timed("b", None, 900), timed("a", free, 800), timed("a", strict, 1000)];
        let bounds = vec![Bound::Free, Bound::Strict];
        let bracket = Bracket { label: "a-x1".into(), bounds, low: 800, high: 1000, width_percent: 25.0 };
        assert_eq!(brackets(&cells), [bracket]);
        assert_eq!(brackets(&cells[..3]), []);
        // Where syncs are regrouped the other bound is the time of the cell itself.
        let cells = [timed("a", None, 800), timed("a", Some(Bound::Captured), 1000)];
        let bounds = vec![Bound::Captured];
        assert_eq!(brackets(&cells), [Bracket { label: "a-x1".into(), bounds, low: 800, high: 1000, width_percent: 25.0 }]);
        assert_eq!(brackets(&cells[..1]), []);
    }

    #[test]
    fn the_captured_time_may_lie_a_little_outside() {
        let time = Estimate { median: 1000, low: 980, high: 1030 };
        let within = |captured| Verdict::of(captured, time).within;
        assert_eq!([930, 940, 1000, 1080, 1090].map(within), [false, true, true, true, false]);
        assert_eq!(Verdict::of(800, time), Verdict { within: false, off_percent: 25.0 });
    }

    #[test]
    fn few_calls_have_no_99th_percentile() {
        let estimate = |ns| Estimate { median: ns, low: ns, high: ns };
        let [total, p50, p90, p99] = [100, 1, 2, 3].map(estimate);
        let call = |calls| Call { syscall: "fsync", calls, total, p50, p90, p99, captured: None };
        assert_eq!((call(999).tail().0, call(1000).tail()), ("p90", ("p99", p99, None)));
    }
}
