//! The summary of a replay, for the manifest of the run and for people.

mod display;

use super::caveat::{Captured, Caveat, Evidence};
use super::compare::Outcome;
use super::flaw::{Flaw, Hindrance};
use super::measure::Figures;
use super::state;
use super::tally::{Lag, Replayed, Requests, Tally};
use crate::fate::{Elsewhere, Reason, Route};
use crate::init::{Seat, fingerprint};
use crate::ledger::{self, Ledger, OtherKind};
use crate::loss::Loss;
use crate::mounts::MOST_IN_MEMORY;
use crate::os::device::{Device, Metadata};
use crate::os::settings::Settings;
use crate::os::task_io::TaskIo;
use crate::process::signal::Signal;
use crate::replay::cache::State;
use crate::replay::issue::burn::Computing;
use crate::replay::machine::Machine;
use crate::replay::machine::samples;
use crate::replay::pace::tells_waits;
use crate::replay::shared::record::errno;
use crate::replay::{Chosen, Engine, Options, Order, Pace, number};
use crate::schema::{Dataset, Table, read};
use crate::syscall::polled::{self, Polled};
use anyhow::{Context, Result};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// An example of an op whose outcome is not the captured one.
#[derive(Clone, Debug, Serialize)]
pub struct Example {
    /// Number of the op (op_id).
    pub op_id: i64,
    /// Number of its event (seq).
    pub seq: i64,
    /// Name of the captured call.
    pub syscall: &'static str,
    /// Its path, in the form of [`crate::text`]; `None` for calls without one.
    pub path: Option<String>,
    /// The captured outcome, for people: a return value or the text of an errno.
    pub captured: String,
    /// The outcome in the replay, in the same form.
    pub replayed: String,
    #[serde(skip)]
    row: i64,
}

/// The longest paths over lanes (captured threads) and edges: the least that a replay must do one after the other. From the
/// workload's manifest.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Critical {
    /// Number of ops on the path with the most ops.
    pub ops: u64,
    /// Captured time of the calls on the path that took longest, ns.
    pub ns: i64,
    /// Number of ops of the workload divided by the ops on the longest path.
    pub parallelism: f64,
}

/// Whether the time of the run can be believed, and by what that is judged.
#[derive(Clone, Debug, Serialize)]
pub struct Time {
    /// What keeps it from being believed; empty when nothing does.
    pub caveats: Vec<Caveat>,
    /// What the caveats follow from.
    #[serde(flatten)]
    pub evidence: Evidence,
}

/// Ops whose outcome differs, or was not compared, in one way.
#[derive(Clone, Debug, Serialize)]
pub struct Kind {
    /// Word of the difference or tolerance, as in column `kind` of the results.
    pub kind: &'static str,
    /// Number of ops of this kind.
    pub count: u64,
    /// The first of these ops by op_id, 3 at most.
    pub examples: Vec<Example>,
}

/// The summary of a replay: how it was run, what came out of it, and on what machine.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Directory of the run.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub run: PathBuf,
    /// What keeps the replay from being good enough; empty when nothing does.
    pub flaws: Vec<Flaw>,
    /// Whether all ops were issued: false when a process was killed or a signal ended the replay.
    pub complete: bool,
    /// What was lost: processes that were killed, workers that panicked, an early end; a message for each.
    pub lost: Vec<String>,
    /// The signal that ended the replay early; `None` if none did.
    pub signal: Option<Signal>,
    /// What issued the ops: real syscalls or nothing.
    pub engine: Engine,
    /// Which earlier ops an op waited for before it was issued.
    pub order: Order,
    /// How the issue times of ops were chosen.
    pub pace: Pace,
    /// Why that way.
    pub pace_chosen: Chosen,
    /// Number of processes of the replay.
    pub processes: usize,
    /// Number of workers (replay threads) in all processes.
    pub workers: usize,
    /// Time from the start of the replay to the end of the last op, ns.
    pub wall: i64,
    /// How long the replay should take by its pace, ns; `None` without a pace.
    pub span: Option<i64>,
    /// Requests of io_submit and io_uring; `None` when the workload has none.
    pub requests: Option<Requests>,
    /// Rings of the capture that were polled, which those of the replay are not.
    pub polled_rings: Vec<Polled>,
    /// With pace app how long the workers computed as the captured threads did; `None` when they did not.
    pub computing: Option<Computing>,
    /// How late ops were issued against their pace; `None` without one.
    pub lag: Option<Lag>,
    /// How often a loader waited for the supervisor to free a result block.
    pub stalls: i64,
    /// Ops, captured and inserted, issued per second.
    pub ops_per_second: f64,
    /// Number of captured calls that were issued: same + different + uncompared.
    pub ops: u64,
    /// Number of inserted ops, by origin.
    pub inserted: BTreeMap<&'static str, u64>,
    /// Inserted ops that failed in the replay: their number, and examples.
    pub inserted_failed: Kind,
    /// Number of captured calls of which coverage is a share: on files, by unknown calls, or hiding requests; `None` when the
    /// workload's manifest does not say.
    pub file_events: Option<u64>,
    /// Number of captured calls that were not replayed, by drop reason.
    pub drops: BTreeMap<String, u64>,
    /// Number of captured calls with the same outcome.
    pub same: u64,
    /// Number of captured calls with a different outcome.
    pub different: u64,
    /// Number of captured calls whose outcome is not compared.
    pub uncompared: u64,
    /// The match: `same / (same + different)`, percent; `None` when nothing was comparable.
    pub match_percent: Option<f64>,
    /// The coverage: captured calls issued / `file_events`, percent.
    pub coverage_percent: Option<f64>,
    /// Which way bytes went in the capture, and which of them are replayed: from the workload's manifest.
    pub bytes: Ledger,
    /// Ops on files of another kind of file system than the replay has, by what is to be said of them: from there, too.
    pub elsewhere: BTreeMap<String, OtherKind>,
    /// What became of the file systems in memory that the capture had files on.
    pub memory: Vec<Seat>,
    /// The coverage of bytes ([`Ledger::percent`]): `None` when it is not known.
    pub byte_coverage_percent: Option<f64>,
    /// Outcomes that are not compared, percent of captured calls issued.
    pub uncompared_percent: f64,
    /// The least match, percent, that was asked for (`--min-match`).
    pub min_match: f64,
    /// Number of ops that the machine hindered (ENOSPC, EIO ...), by hindrance.
    pub hindrances: BTreeMap<Hindrance, u64>,
    /// What the capture lost, by kind of loss.
    pub losses: BTreeMap<String, u64>,
    /// Number of events that the capture lost.
    pub lost_events: u64,
    /// Different outcomes by kind, the most frequent first.
    pub differences: Vec<Kind>,
    /// Uncompared outcomes by kind, the most frequent first.
    pub uncompared_kinds: Vec<Kind>,
    /// The tree after the replay compared with the prediction; `None` with engine `null` and after a signal.
    pub state: Option<state::Summary>,
    /// Conditions that could not be met and other notes; a message for each.
    pub notes: Vec<String>,
    /// The shortest that a replay in resource order can be; `None` when the workload's manifest does not say.
    pub critical_path: Option<Critical>,
    /// Whether the time can be believed.
    pub time: Time,
    /// Latencies and bytes by call, and violations of the order.
    #[serde(flatten)]
    pub figures: Figures,
    /// The samples of the machine during the replay, summed up.
    pub samples: samples::Summary,
    /// What the processes of the replay caused devices to read and write, the reading of the workload included.
    pub task_io: TaskIo,
    /// The same of the captured command, where the capture has it.
    pub captured_task_io: Option<TaskIo>,
    /// What block devices did for the processes of the replay, and for the kernel meanwhile; `None` where nobody counted (root does).
    pub device: Option<Vec<Device>>,
    /// The same of the captured tasks, where the capture has it.
    pub captured_device: Option<Vec<Device>>,
    /// What was made of the page cache before the first op; `None` with engine `null`.
    pub cache: Option<State>,
    /// What the capture tells of the page cache, from the manifest of the workload; `None` where it does not.
    pub captured_cache: Option<serde_json::Value>,
    /// What was added to the page cache, in the capture and in the replay.
    pub added: Added,
    /// Fingerprint of the workload: runs with the same one can be compared.
    pub fingerprint: String,
    /// The machine, file systems and devices of the replay.
    pub machine: Machine,
}

/// Bytes that were added to the page cache: those that calls and page faults did not find there, and what was read ahead of them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Added {
    /// By the captured tasks; `None` where the capture does not tell.
    pub captured: Option<u64>,
    /// By the workers of the replay; `None` where nobody counted (root does).
    pub replayed: Option<u64>,
}

/// An object of counts by name in the manifest of a workload; empty when it is absent.
fn counts(workload: &Dataset, key: &str) -> BTreeMap<String, u64> {
    let found = workload.manifest.get(key).and_then(serde_json::Value::as_object);
    found.into_iter().flatten().filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect()
}

/// Name of the device that moved most bytes for tasks; `None` when none moved any.
fn most_used(devices: &[Device]) -> Option<&str> {
    let bytes = |device: &&Device| device.tasks.read_bytes.saturating_add(device.tasks.written_bytes);
    devices.iter().filter(|device| bytes(device) > 0).max_by_key(bytes).map(|device| device.name.as_str())
}

/// Shortest run whose use of the processors says something, ns.
const MOMENT: i64 = 100_000_000;

/// What the time of a run is judged by, as far as it does not follow from the counts of outcomes.
fn evidence(
    options: &Options,
    pace: Pace,
    workload: &Dataset,
    bytes: &Ledger,
    machine: &Machine,
    replayed: &Replayed,
) -> Evidence {
    let count = |key| number(workload, key).ok().flatten().unwrap_or(0);
    let of = |key, word: &str| counts(workload, key).get(word).copied().unwrap_or(0);
    let faults = workload.manifest.get("capture").and_then(|capture| capture.get("faults")?.as_bool()).unwrap_or(false);
    let of_capture = |key| workload.manifest.get("capture").and_then(|capture| capture.get(key));
    let captured_settings = of_capture("settings").and_then(|settings| Settings::deserialize(settings).ok());
    let here = &machine.settings;
    let in_calls: i64 = replayed.figures.calls.iter().fold(0, |sum, call| sum.saturating_add(call.latency.total));
    let wall = replayed.wall.max(1) as f64;
    let helpers = replayed.helpers.loaders.saturating_add(replayed.helpers.supervisor);
    let cpu = replayed.workers.iter().fold(helpers, |sum, did| sum.saturating_add(did.cpu));
    let share = |stolen: f64, time: f64, cpus: usize| stolen / (time * cpus.max(1) as f64).max(1.0);
    let captured_stolen = || -> Option<f64> {
        let [stolen, seconds, cpus] =
            ["stolen_ns", "seconds", "cpus"].map(|key| of_capture(key).and_then(serde_json::Value::as_f64));
        Some(share(stolen?, seconds? * 1e9, cpus? as usize))
    };
    // What the program computed is its own: the replay has the rest of the processors.
    let burnt = replayed.computing.burnt;
    let left = (wall * machine.cpus.max(1) as f64 - burnt as f64).max(1.0);
    Evidence {
        flaws: 0,
        engine: options.engine,
        order: options.order,
        pace,
        speed: options.speed,
        coverage: None,
        requests: of("losses", Loss::Requests.name()).saturating_add(of("drops", Reason::Requests.name())),
        mapped_write: if faults { 0 } else { bytes.of(Route::MappedWrite) },
        mapped: if faults { bytes.left(Route::Fault) } else { bytes.of(Route::Mapped) },
        mapped_data: if faults { 0 } else { count("mapped_data") },
        moved: bytes.moved().0,
        lanes: count("lanes"),
        returns: replayed.workers.iter().map(|did| did.returns).sum(),
        ops: replayed.workers.iter().map(|did| did.ops).sum(),
        tells_waits: tells_waits(&workload.manifest),
        captured: workload.manifest.get("times").and_then(|times| Captured::deserialize(times).ok()),
        critical: workload.manifest.get("critical_path").and_then(|path| path.get("ns")?.as_i64()).unwrap_or(0),
        wall: replayed.wall,
        in_flight: in_calls as f64 / wall,
        // In a moment the loaders' work before the first op is most of it.
        processors: if replayed.wall < MOMENT { 0.0 } else { cpu.saturating_sub(burnt) as f64 / left },
        stolen: [captured_stolen().unwrap_or(0.0), share(replayed.samples.stolen_ns as f64, wall, machine.cpus)],
        computed: number(workload, "computed").ok().flatten(),
        cpus: machine.cpus,
        stalls: replayed.stalls,
        memory_limits: captured_settings.as_ref().map_or([here.memory_limit; 2], |there| [there.memory_limit, here.memory_limit]),
        dirty_limits: captured_settings.as_ref().map_or(0, |there| {
            there.dirty.iter().filter(|(name, value)| here.dirty.get(*name).is_some_and(|own| own != *value)).count()
        }),
        read_ahead: captured_settings.as_ref().and_then(|there| {
            let captured: Vec<Device> = of_capture("device").and_then(|found| Vec::deserialize(found).ok())?;
            let used = there.read_ahead(most_used(&captured)?)?;
            let replayed = replayed.device.as_deref().and_then(most_used);
            let usual = || machine.targets.first()?.devices.first().map(|device| device.name.as_str());
            Some([used, here.read_ahead(replayed.or_else(usual)?)?])
        }),
        metadata: Metadata::of(&of_capture("device").and_then(|found| Vec::deserialize(found).ok()).unwrap_or_default()),
        dropped: options.conditions.drop_caches || replayed.state.as_ref().is_some_and(|state| state.dropped),
        shared_syncs: count("shared_syncs"),
    }
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

/// An outcome for people: the return value, or the text of its errno.
fn outcome(ret: i64) -> String {
    match errno(ret) {
        0 => ret.to_string(),
        errno => std::io::Error::from_raw_os_error(errno).to_string(),
    }
}

impl Summary {
    /// Makes the summary from the options, the workload's manifest and everything counted; `span` is how long the pace wanted
    /// it to take, ns.
    pub fn new(
        options: &Options,
        (pace, pace_chosen): (Pace, Chosen),
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
        let of_workload = |key| workload.manifest.get(key);
        let bytes = of_workload(ledger::KEY).and_then(|rows| Ledger::deserialize(rows).ok()).unwrap_or_default();
        let evidence = evidence(options, pace, workload, &bytes, &machine, &replayed);
        let of_capture = |key| workload.manifest.get("capture").and_then(|capture| capture.get(key));
        let captured = of_capture("task_io");
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
            pace,
            pace_chosen,
            processes: replayed.processes,
            workers: replayed.workers.len(),
            wall: replayed.wall,
            span,
            requests: Some(replayed.requests).filter(|requests| requests.issued > 0),
            polled_rings: of_capture(polled::KEY).and_then(|rings| Vec::deserialize(rings).ok()).unwrap_or_default(),
            computing: Some(replayed.computing).filter(|computing| *computing != Computing::default()),
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
            elsewhere: of_workload(ledger::ELSEWHERE).and_then(|found| BTreeMap::deserialize(found).ok()).unwrap_or_default(),
            memory: Vec::new(),
            byte_coverage_percent: bytes.percent(),
            bytes,
            uncompared_percent: percent(uncompared, ops).unwrap_or(0.0),
            min_match: options.min_match,
            differences,
            uncompared_kinds,
            state,
            notes: Vec::new(),
            critical_path: workload.manifest.get("critical_path").and_then(|path| Critical::deserialize(path).ok()),
            time: Time { caveats: Vec::new(), evidence },
            figures: replayed.figures,
            samples: replayed.samples,
            task_io: replayed.task_io,
            device: replayed.device,
            captured_device: of_capture("device").and_then(|devices| Vec::deserialize(devices).ok()),
            captured_task_io: captured.and_then(|io| TaskIo::deserialize(io).ok()),
            cache: replayed.state,
            captured_cache: of_workload("cache").filter(|cache| cache.is_object()).cloned(),
            added: Added {
                captured: of_workload("cache").and_then(|cache| cache.get("added")?.as_u64()),
                replayed: replayed.cached.map(|pages| pages.saturating_mul(crate::files::page())),
            },
            fingerprint: fingerprint(workload),
            machine,
        };
        summary.flaws = Flaw::ALL.iter().copied().filter(|flaw| summary.has(*flaw)).collect();
        let evidence = Evidence { flaws: summary.flaws.len(), coverage: summary.coverage_percent, ..evidence };
        summary.time = Time { caveats: evidence.caveats(), evidence };
        summary
    }

    /// Takes in what became of file systems in memory: where all are in memory again, nothing of them is on disk.
    pub fn sit(&mut self, seats: Vec<Seat>) {
        if !seats.is_empty() && seats.len() < MOST_IN_MEMORY && seats.iter().all(|seat| seat.on_disk.is_none()) {
            self.elsewhere.remove(Elsewhere::TmpfsOnDisk.name());
        }
        self.memory = seats;
    }

    /// Whether the replay has this flaw.
    fn has(&self, flaw: Flaw) -> bool {
        match flaw {
            Flaw::Incomplete => !self.lost.is_empty(),
            Flaw::Hindered => !self.hindrances.is_empty(),
            Flaw::Losses => self.lost_events > 0,
            Flaw::Match => self.match_percent.is_some_and(|percent| percent < self.min_match),
            Flaw::Nothing => self.match_percent.is_none(),
        }
    }

    /// Whether the replay is good enough: it has no flaw.
    pub fn ok(&self) -> bool {
        self.flaws.is_empty()
    }

    /// Fills in the paths of the examples of differences, of what is not compared, and of failed inserted ops, from the workload's
    /// table of ops.
    pub fn find_paths(&mut self, workload: &Dataset) -> Result<()> {
        let kinds = self.differences.iter_mut().chain(&mut self.uncompared_kinds).chain([&mut self.inserted_failed]);
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
