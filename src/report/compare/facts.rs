//! What is compared of a run or a capture: a few numbers each, which can be kept in a file as a baseline.

use crate::engine::Access;
use crate::files;
use crate::report::page::cell::{Cell, rows};
use crate::report::tables::Desk;
use crate::report::views::{fingerprint, label};
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use crate::statistics::distance::Counted;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Most names of calls, verdicts or conditions that are taken from one dataset.
const NAMES: usize = 1000;
/// Most buckets that are taken from one dataset: all that there can be of 16 classes.
const BUCKETS: usize = 16 * 2 * 64 * 8;
/// Version of the form of a baseline.
const FORM: u64 = 1;

/// What is asked of the events of a capture, which has no summary.
const OF_EVENTS: &str = "\
SELECT events.syscall, count(*) AS calls, CAST(coalesce(sum(dur), 0) AS BIGINT) AS total_ns, percentile(dur, 0.5) AS p50_ns,
    percentile(dur, 0.99) AS p99_ns
FROM events
JOIN syscall_def AS def ON def.syscall = events.syscall
WHERE def.class IS NOT NULL
GROUP BY events.syscall
ORDER BY total_ns DESC, syscall";
/// How the calls on files are distributed: of durations and of bytes moved, how many calls of each class are in each bucket.
const SPREAD: &str = "\
WITH each AS (
    SELECT class, dur, CASE WHEN moves IS NULL OR moves = 'nothing' THEN 0 ELSE ret END AS bytes
    FROM FROM_CALLS AS calls
    JOIN syscall_def AS def ON def.syscall = calls.syscall
    WHERE class IS NOT NULL
)
SELECT class, 'durations' AS what, bucket(dur, 3) AS least, count(*) AS calls FROM each WHERE dur >= 0 GROUP BY class, bucket(dur, 3)
UNION ALL
SELECT class, 'sizes' AS what, bucket(bytes, 3) AS least, count(*) AS calls FROM each WHERE bytes > 0 GROUP BY class, bucket(bytes, 3)
ORDER BY class, what, least";
const SPAN: &str = "SELECT max(ts + coalesce(dur, 0)) - min(ts) AS wall_ns FROM events";

/// Runs or captures that are repeats of each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub label: String,
    /// What is known of each.
    pub runs: Vec<Facts>,
}

/// What is compared of one run or capture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Its directory.
    pub name: String,
    /// `run` or `capture`.
    pub kind: String,
    /// Of a run, that of its workload.
    pub fingerprint: Option<String>,
    /// Time from its first call to the end of its last, ns.
    pub wall_ns: Option<i64>,
    /// Its calls on files, by name.
    pub calls: BTreeMap<String, Calls>,
    /// Of a run, outcomes that were the captured ones.
    pub same: Option<u64>,
    /// Of a run, outcomes that were not.
    pub different: Option<u64>,
    /// Of a run, paths of its tree by what was found there.
    pub state: BTreeMap<String, u64>,
    /// Of a run, what keeps it from being good enough, and its time from being believed.
    pub words: Vec<String>,
    /// How and where it was made.
    pub conditions: BTreeMap<String, String>,
    /// How its calls are distributed; empty where nobody asked.
    #[serde(default)]
    pub spread: Spread,
}

/// How calls on files are distributed, by class: the least value of each bucket (eight to each power of two), and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Their durations, ns.
    pub durations: BTreeMap<String, Vec<Counted>>,
    /// Bytes that they moved, of those that moved any.
    pub sizes: BTreeMap<String, Vec<Counted>>,
}

/// Calls of one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calls {
    /// How many.
    pub calls: u64,
    /// Their time, ns.
    pub total_ns: i64,
    /// Half of them took at most this, ns.
    pub p50_ns: i64,
    /// 99 of 100 took at most this, ns.
    pub p99_ns: i64,
}

/// A baseline file.
#[derive(Debug, Serialize, Deserialize)]
struct Baseline {
    ioriot_baseline: u64,
    #[serde(flatten)]
    group: Group,
}

impl Group {
    /// Looks at the datasets of a group. `memory` is in bytes.
    ///
    /// # Errors
    /// When one cannot be opened, is a workload or not complete, or they are not repeats of each other.
    pub fn of(label: String, dirs: &[PathBuf], memory: u64) -> Result<Group> {
        let runs = dirs.iter().map(|dir| Facts::of(dir, memory)).collect::<Result<Vec<_>>>()?;
        let first = runs.first().with_context(|| format!("{label} holds nothing to compare"))?;
        for run in &runs {
            let alike = run.kind == first.kind && run.fingerprint == first.fingerprint;
            ensure!(alike, "{} and {} are not repeats of one run: they have different workloads", first.name, run.name);
        }
        Ok(Group { label, runs })
    }

    /// Is one of them a capture?
    pub fn captured(&self) -> bool {
        self.runs.iter().any(|run| run.kind == Kind::Capture.name())
    }

    /// Looks how the calls of each are distributed; `dirs` are their directories, and `memory` is in bytes.
    ///
    /// # Errors
    /// When one of them is damaged.
    pub fn look_closer(&mut self, dirs: &[PathBuf], memory: u64) -> Result<()> {
        self.runs.iter_mut().zip(dirs).try_for_each(|(run, dir)| {
            run.spread = Spread::of(dir, memory)?;
            Ok(())
        })
    }

    /// Reads a baseline.
    ///
    /// # Errors
    /// When the file is none.
    pub fn read(file: &Path) -> Result<Group> {
        let text = files::given(file).with_context(|| format!("cannot read {}", file.display()))?;
        let no_baseline = || format!("{} is no baseline: `ioriot compare --save-baseline` makes one", file.display());
        let found: Baseline = files::json(&text).with_context(no_baseline)?;
        let rising = |counts: &Vec<Counted>| counts.is_sorted_by(|a, b| a.0 < b.0);
        let spreads = found.group.runs.iter().map(|run| &run.spread);
        let sound = spreads.flat_map(|spread| spread.durations.values().chain(spread.sizes.values())).all(rising);
        ensure!(found.ioriot_baseline == FORM && !found.group.runs.is_empty() && sound, no_baseline());
        Ok(found.group)
    }

    /// The text of a baseline.
    ///
    /// # Errors
    /// When a number is no JSON, which none is.
    pub fn baseline(&self) -> Result<String> {
        let baseline = Baseline { ioriot_baseline: FORM, group: self.clone() };
        Ok(format!("{}\n", serde_json::to_string_pretty(&baseline)?))
    }
}

impl Facts {
    fn of(dir: &Path, memory: u64) -> Result<Facts> {
        let data = Dataset::open(dir)?;
        match data.kind {
            Kind::Run => Facts::of_run(&data),
            Kind::Capture => Facts::of_capture(&data, memory),
            Kind::Workload => bail!("{} is a workload, and took no time: name runs or captures", dir.display()),
        }
    }

    fn of_run(data: &Dataset) -> Result<Facts> {
        let summary = data.manifest.get("summary").and_then(Value::as_object);
        let summary = summary.with_context(|| format!("{} has no summary", data.dir.display()))?;
        let complete = data.manifest.get("complete").and_then(Value::as_bool) == Some(true);
        ensure!(complete, "{} is not complete, and its times are those of a part: leave it out", data.dir.display());
        let count = |key: &str| summary.get(key).and_then(Value::as_u64);
        let list = |value: Option<&Value>| -> Vec<Value> { value.and_then(Value::as_array).cloned().unwrap_or_default() };
        let mut calls = BTreeMap::new();
        for call in list(summary.get("calls")).iter().take(NAMES) {
            let Some(name) = call.get("syscall").and_then(Value::as_str) else { continue };
            let ns = |key: &str| call.get("latency").and_then(|latency| latency.get(key)).and_then(Value::as_i64).unwrap_or(0);
            let number = call.get("calls").and_then(Value::as_u64).unwrap_or(0);
            calls.insert(name.to_owned(), Calls { calls: number, total_ns: ns("total"), p50_ns: ns("p50"), p99_ns: ns("p99") });
        }
        let verdicts = summary.get("state").and_then(|state| state.get("verdicts")).and_then(Value::as_object);
        let state = verdicts.into_iter().flatten().take(NAMES).filter_map(|(word, count)| Some((word.clone(), count.as_u64()?)));
        let words = list(summary.get("flaws")).into_iter().chain(list(summary.get("time").and_then(|time| time.get("caveats"))));
        let words = words.filter_map(|word| word.as_str().map(str::to_owned)).take(NAMES).collect();
        Ok(Facts {
            name: label(&data.dir),
            kind: data.kind.name().into(),
            fingerprint: fingerprint(data).map(str::to_owned),
            wall_ns: summary.get("wall").and_then(Value::as_i64),
            calls,
            same: count("same"),
            different: count("different"),
            state: state.collect(),
            words,
            conditions: conditions(data),
            spread: Spread::default(),
        })
    }

    fn of_capture(data: &Dataset, memory: u64) -> Result<Facts> {
        let desk = Desk::open(std::slice::from_ref(&data.dir), Access::Tables, memory)?;
        desk.whole()?;
        let ns = |cell: Option<&Cell>| match cell {
            Some(Cell::Int(ns)) => *ns,
            _ => 0,
        };
        let mut calls = BTreeMap::new();
        for row in rows(&desk.engine.first(OF_EVENTS, NAMES)?.batches)? {
            let Some(Cell::Text(name)) = row.first() else { continue };
            let number = u64::try_from(ns(row.get(1))).unwrap_or(0);
            let found = Calls { calls: number, total_ns: ns(row.get(2)), p50_ns: ns(row.get(3)), p99_ns: ns(row.get(4)) };
            calls.insert(name.clone(), found);
        }
        let span = rows(&desk.engine.first(SPAN, 1)?.batches)?;
        let wall_ns = match span.first().and_then(|row| row.first()) {
            Some(Cell::Int(ns)) => Some(*ns),
            _ => None,
        };
        let (name, kind, conditions) = (label(&data.dir), data.kind.name().into(), conditions(data));
        Ok(Facts { name, kind, wall_ns, calls, conditions, ..Facts::default() })
    }
}

impl Spread {
    fn of(dir: &Path, memory: u64) -> Result<Spread> {
        let data = Dataset::open(dir)?;
        let calls = match data.kind {
            Kind::Run => "(SELECT * FROM results WHERE origin = 'event' AND dur IS NOT NULL)",
            Kind::Capture | Kind::Workload => "events",
        };
        let desk = Desk::open(&[dir.to_owned()], Access::Tables, memory)?;
        desk.whole()?;
        let mut spread = Spread::default();
        for row in rows(&desk.engine.first(&SPREAD.replace("FROM_CALLS", calls), BUCKETS)?.batches)? {
            let [Cell::Text(class), Cell::Text(what), Cell::Int(least), Cell::Int(calls)] = &row[..] else { continue };
            let to = if what == "sizes" { &mut spread.sizes } else { &mut spread.durations };
            to.entry(class.clone()).or_default().push((*least, calls.unsigned_abs()));
        }
        Ok(spread)
    }
}

/// What of a manifest says how and where a dataset was made.
fn conditions(data: &Dataset) -> BTreeMap<String, String> {
    const KEYS: [(&str, &str); 10] = [
        ("host", "/host"),
        ("captured by", "/source"),
        ("kernel", "/machine/kernel"),
        ("processor", "/machine/cpu"),
        ("file system", "/machine/targets/0/file_system"),
        ("device", "/machine/targets/0/devices/0/name"),
        ("order", "/summary/order"),
        ("pace", "/summary/pace"),
        ("engine", "/summary/engine"),
        ("page cache", "/summary/cache/state"),
    ];
    let all = Value::Object(data.manifest.clone());
    let said = KEYS.iter().filter_map(|(name, at)| Some(((*name).to_owned(), all.pointer(at)?.as_str()?.to_owned())));
    said.collect()
}
