//! What a replay says when it is over.

mod display;

use super::compare::Outcome;
use super::flaw::{Flaw, Hindrance};
use super::measure::Figures;
use super::state;
use super::tally::{Lag, Replayed, Tally};
use crate::init::fingerprint;
use crate::replay::machine::Machine;
use crate::replay::machine::samples;
use crate::replay::shared::record::errno;
use crate::replay::{Engine, Options, Order, Pace, number};
use crate::schema::{Dataset, Table, read};
use crate::signal::Signal;
use anyhow::{Context, Result};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One op whose outcome is not the captured one.
#[derive(Clone, Debug, Serialize)]
pub struct Example {
    /// The op.
    pub op_id: i64,
    /// Its event.
    pub seq: i64,
    /// The captured call.
    pub syscall: &'static str,
    /// Its path, in the form of [`crate::text`].
    pub path: Option<String>,
    /// The captured outcome.
    pub captured: String,
    /// That of the replay.
    pub replayed: String,
    #[serde(skip)]
    row: i64,
}

/// The longest paths over lanes and edges, as the workload's manifest has them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Critical {
    /// Ops on the path with the most ops.
    pub ops: u64,
    /// Captured time of the calls on the path that took longest, ns.
    pub ns: i64,
    /// Ops of the workload for each op on the path.
    pub parallelism: f64,
}

/// One kind of outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Kind {
    /// Its word.
    pub kind: &'static str,
    /// How many.
    pub count: u64,
    /// The first ones.
    pub examples: Vec<Example>,
}

/// What a replay did.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The run.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub run: PathBuf,
    /// Is it good enough? What keeps it from that; empty when nothing does.
    pub flaws: Vec<Flaw>,
    /// Were all ops issued? False when a process was killed or a signal ended the replay.
    pub complete: bool,
    /// What was lost on the way.
    pub lost: Vec<String>,
    /// The signal that ended it early.
    pub signal: Option<Signal>,
    /// What issued the ops.
    pub engine: Engine,
    /// Which of them waited for which.
    pub order: Order,
    /// When they were issued.
    pub pace: Pace,
    /// Processes.
    pub processes: usize,
    /// Threads of all processes that issued ops.
    pub workers: usize,
    /// From the start to the end of the last op, ns.
    pub wall: i64,
    /// How long it was to take by its pace, ns.
    pub span: Option<i64>,
    /// How late ops were.
    pub lag: Option<Lag>,
    /// How often results waited for the supervisor.
    pub stalls: i64,
    /// Ops of every origin per second.
    pub ops_per_second: f64,
    /// Captured calls that were issued.
    pub ops: u64,
    /// Ops that no event asked for, by origin.
    pub inserted: BTreeMap<&'static str, u64>,
    /// Those of them that failed.
    pub inserted_failed: Kind,
    /// Captured calls that coverage is a share of, when the workload knows: on files, or that nobody knows.
    pub file_events: Option<u64>,
    /// Captured calls that were not replayed, by reason.
    pub drops: BTreeMap<String, u64>,
    /// Outcomes as captured.
    pub same: u64,
    /// Outcomes not as captured.
    pub different: u64,
    /// Outcomes that are not compared.
    pub uncompared: u64,
    /// `same / (same + different)`, percent; absent when nothing was comparable.
    pub match_percent: Option<f64>,
    /// Captured calls issued of those on files, percent.
    pub coverage_percent: Option<f64>,
    /// Outcomes that are not compared, percent of captured calls issued.
    pub uncompared_percent: f64,
    /// The least match that is good enough, percent.
    pub min_match: f64,
    /// Ops that the machine kept from what they did in the capture, by error.
    pub hindrances: BTreeMap<Hindrance, u64>,
    /// What the capture had missed, by kind.
    pub losses: BTreeMap<String, u64>,
    /// Those of it that are whole events.
    pub lost_events: u64,
    /// Differences by kind.
    pub differences: Vec<Kind>,
    /// What is not compared, by kind.
    pub uncompared_kinds: Vec<Kind>,
    /// Tree against prediction; absent with engine null.
    pub state: Option<state::Summary>,
    /// Conditions that could not be had.
    pub notes: Vec<String>,
    /// The shortest that a replay in resource order can be, when the workload knows.
    pub critical_path: Option<Critical>,
    /// Latencies, bytes, order.
    #[serde(flatten)]
    pub figures: Figures,
    /// What the machine did meanwhile.
    pub samples: samples::Summary,
    /// What was replayed: runs of one fingerprint can be compared.
    pub fingerprint: String,
    /// Where it was replayed.
    pub machine: Machine,
}

/// Numbers by name that the manifest of a workload has under a key.
fn counts(workload: &Dataset, key: &str) -> BTreeMap<String, u64> {
    let found = workload.manifest.get(key).and_then(serde_json::Value::as_object);
    found.into_iter().flatten().filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect()
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| 100.0 * part as f64 / whole as f64)
}

impl Kind {
    fn new(kind: &'static str, tally: &Tally) -> Kind {
        let examples = tally.examples.iter().map(|record| Example {
            op_id: record.fact.op_id,
            seq: record.fact.seq,
            syscall: record.syscall().name(),
            path: None,
            captured: record.captured().map_or("unknown".into(), outcome),
            replayed: outcome(record.ret()),
            row: record.fact.row,
        });
        Kind { kind, count: tally.count, examples: examples.collect() }
    }
}

/// An outcome for people.
fn outcome(ret: i64) -> String {
    match errno(ret) {
        0 => ret.to_string(),
        errno => std::io::Error::from_raw_os_error(errno).to_string(),
    }
}

impl Summary {
    /// Puts together what came out.
    pub fn new(
        options: &Options,
        workload: &Dataset,
        machine: Machine,
        replayed: Replayed,
        state: Option<state::Summary>,
        span: Option<i64>,
    ) -> Summary {
        let kinds = |wanted: Outcome| {
            let mut kinds: Vec<Kind> = replayed
                .kinds
                .iter()
                .filter(|((outcome, _), _)| *outcome == wanted)
                .map(|((_, kind), tally)| Kind::new(kind, tally))
                .collect();
            kinds.sort_by(|a, b| b.count.cmp(&a.count).then(a.kind.cmp(b.kind)));
            kinds
        };
        let (differences, uncompared_kinds) = (kinds(Outcome::Different), kinds(Outcome::Uncompared));
        let count = |kinds: &[Kind]| kinds.iter().map(|kind| kind.count).sum::<u64>();
        let (same, different, uncompared) = (replayed.same, count(&differences), count(&uncompared_kinds));
        let ops = same + different + uncompared;
        let all = ops + replayed.inserted.values().sum::<u64>();
        let file_events = number(workload, "file_events").ok().flatten();
        let mut summary = Summary {
            run: options.out.clone(),
            flaws: Vec::new(),
            hindrances: replayed.hindered,
            losses: counts(workload, "losses"),
            lost_events: number(workload, "lost_events").ok().flatten().unwrap_or(0),
            complete: replayed.lost.is_empty(),
            lost: replayed.lost,
            signal: replayed.signal,
            engine: options.engine,
            order: options.order,
            pace: options.pace,
            processes: replayed.processes,
            workers: replayed.workers.len(),
            wall: replayed.wall,
            span,
            lag: replayed.lags.summary(),
            stalls: replayed.stalls,
            ops_per_second: all as f64 / (replayed.wall.max(1) as f64 / 1e9),
            ops,
            inserted_failed: Kind::new("failed", &replayed.inserted_failed),
            inserted: replayed.inserted,
            file_events,
            drops: counts(workload, "drops"),
            same,
            different,
            uncompared,
            match_percent: percent(same, same + different),
            coverage_percent: file_events.and_then(|events| percent(ops, events)),
            uncompared_percent: percent(uncompared, ops).unwrap_or(0.0),
            min_match: options.min_match,
            differences,
            uncompared_kinds,
            state,
            notes: Vec::new(),
            critical_path: workload.manifest.get("critical_path").and_then(|path| Critical::deserialize(path).ok()),
            figures: replayed.figures,
            samples: replayed.samples,
            fingerprint: fingerprint(workload),
            machine,
        };
        summary.flaws = Flaw::ALL.iter().copied().filter(|flaw| summary.has(*flaw)).collect();
        summary
    }

    fn has(&self, flaw: Flaw) -> bool {
        match flaw {
            Flaw::Incomplete => !self.lost.is_empty(),
            Flaw::Hindered => !self.hindrances.is_empty(),
            Flaw::Losses => self.lost_events > 0,
            Flaw::Match => self.match_percent.is_some_and(|percent| percent < self.min_match),
            Flaw::Nothing => self.match_percent.is_none(),
        }
    }

    /// Is it good enough?
    pub fn ok(&self) -> bool {
        self.flaws.is_empty()
    }

    /// Looks up the paths of the examples.
    pub fn find_paths(&mut self, workload: &Dataset) -> Result<()> {
        let kinds = self.differences.iter_mut().chain([&mut self.inserted_failed]);
        let mut examples: Vec<&mut Example> = kinds.flat_map(|kind| &mut kind.examples).collect();
        examples.sort_by_key(|example| example.row);
        if examples.is_empty() {
            return Ok(());
        }
        // One row of one row group each, in the order of the file.
        let (mut selectors, mut next) = (Vec::new(), 0);
        for example in &examples {
            selectors.extend([RowSelector::skip((example.row - next) as usize), RowSelector::select(1)]);
            next = example.row + 1;
        }
        let file = workload.table(Table::Ops);
        let reader = read::builder(&file, &["path", "raw"])?.with_row_selection(RowSelection::from(selectors)).build()?;
        let mut examples = examples.into_iter();
        for batch in reader {
            let batch = batch.with_context(|| format!("cannot read {}", file.display()))?;
            let (path, raw) = (read::texts(&batch, "path")?, read::texts(&batch, "raw")?);
            for (path, raw) in path.iter().zip(raw) {
                if let Some(example) = examples.next() {
                    example.path = path.or(raw).map(str::to_owned);
                }
            }
        }
        Ok(())
    }
}
