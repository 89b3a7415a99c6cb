//! Makes a workload from a capture: opens the capture, runs the SQL stages, checks the ledger, writes the dataset.
//!
//! The walk (sql/generate/walk.sql) runs once, and all tables are made while its rows stream by. Options that choose or change
//! something ([`WhatIf`]) are decided on a first walk, which is written to a file in the draft; a second one follows what is left.

mod choose;
pub mod docs;
pub mod hosts;
pub mod lint;
mod merge;
pub mod own;
mod present;
mod stages;
mod summary;
pub mod what_if;
mod work;

pub use stages::{Role, STAGES};
pub use summary::{Count, Summary};
pub use what_if::WhatIf;

use crate::engine::{Access, Hosts, Settings};
use crate::fate::Elsewhere;
use crate::fleet;
use crate::model::{Config, Place};
use crate::mounts;
use crate::progress::{Progress, Unit};
use crate::schema::dataset::Kind;
use crate::schema::{Dataset, Draft, Manifest, losses};
use anyhow::{Result, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::iter;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;
use work::Work;

/// What becomes of what ops waited for beside resources, and of what their threads did before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Causes {
    /// They are edges, and columns of ops.
    Followed,
    /// They are left out: only resources order ops.
    LeftOut,
}

/// What `ioriot generate` is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of the capture, which must be that of one host.
    pub capture: PathBuf,
    /// Directory of the workload to make.
    pub out: PathBuf,
    /// A SQL predicate over the columns of ops (`--where`): only ops that it holds for are replayed, and those that
    /// these depend on. `None`: all ops.
    pub where_: Option<String>,
    /// What is to be other than captured.
    pub what_if: WhatIf,
    /// Further captures of the same machine, whose events are taken in by time.
    pub merge: Vec<PathBuf>,
    /// Directory with edited stages (`NAME.sql`); stages without a file there are the built-in ones.
    pub sql_dir: Option<PathBuf>,
    /// Absolute paths at and below which nothing is replayed.
    pub ignore: Vec<PathBuf>,
    /// Absolute paths at and below which everything is replayed, even where a rule would leave it out.
    pub keep: Vec<PathBuf>,
    /// What becomes of the causes of ops.
    pub causes: Causes,
    /// Number of threads of the SQL engine; `None`: one per processor.
    pub threads: Option<usize>,
    /// Put examples of edges of each kind of resource into the summary.
    pub explain_order: bool,
    /// Bytes of memory that sorts, joins and aggregations may hold together before they spill to disk.
    pub memory: u64,
    /// Whether the SQL of edited stages may read and write files beside the capture's tables.
    pub access: Access,
}

impl Options {
    /// Is what was captured replayed, and all of it?
    pub fn is_captured(&self) -> bool {
        self.where_.is_none() && self.what_if.is_nothing()
    }

    /// Refuses options that are wrong whatever the capture holds.
    ///
    /// # Errors
    /// When a path is relative, or `sql_dir` is no directory.
    pub fn check(&self) -> Result<()> {
        self.what_if.check()?;
        for path in self.ignore.iter().chain(&self.keep) {
            ensure!(path.is_absolute(), "{} is relative, and a captured path is not: give the absolute path", path.display());
        }
        self.sql_dir.as_ref().map_or(Ok(()), |dir| {
            ensure!(dir.is_dir(), "{} is no directory", dir.display());
            Ok(())
        })
    }

    /// Refuses all options that can be found wrong before there is a capture: as [`Options::check`], and a predicate or
    /// edited stages that cannot be planned on a capture without events.
    ///
    /// # Errors
    /// When one of them is wrong.
    pub fn rehearse(&self) -> Result<()> {
        self.check()?;
        if !self.is_captured() || self.sql_dir.is_some() {
            let work = Work::on_nothing(self)?;
            work.rehearse(work::EXAMPLES)?;
            work.make_own()?;
        }
        Ok(())
    }
}

/// Makes a workload from a capture, as `ioriot generate` does.
///
/// # Errors
/// When the directory is no capture, a stage or the predicate is wrong, the ledger does not close, or something cannot
/// be written. Then nothing is left behind.
pub fn run(options: &Options, progress: &Progress) -> Result<Summary> {
    let (draft, manifest, summary) = make(options, progress)?;
    draft.commit(manifest)?;
    Ok(summary)
}

/// Makes a workload: its draft, and what its manifest will say.
fn make(options: &Options, progress: &Progress) -> Result<(Draft, Manifest, Summary)> {
    let began = Instant::now();
    options.check()?;
    let capture = open(&options.capture)?;
    let draft = Draft::create(&options.out, Kind::Workload)?;
    let others = merge::others(&capture, &options.merge)?;
    let captures: Vec<&Dataset> = iter::once(&capture).chain(&others).collect();
    let work = Work::new(options, &captures, Some(&draft))?;
    let events = captures.iter().map(|capture| capture.manifest.get("events").and_then(serde_json::Value::as_u64));
    // What a manifest says may be anything.
    let events = events.reduce(|sum, next| sum.zip(next).map(|(sum, next)| sum.saturating_add(next))).flatten();
    progress.begin("walk", Unit::Count, events.unwrap_or(0));
    let streaming = work.choose(progress)?;
    let made = work.make(streaming, progress)?;
    let mut summary = Summary::collect(&work.engine, &made)?;
    summary.own = work.make_own()?.into_iter().map(|(name, written)| (name, written.rows)).collect();
    summary.check(events.map(|events| events.saturating_mul(options.what_if.tenants())))?;
    summary.cache = summary.cache.filter(|_| present::tells(&capture, "cache"));
    summary.memory.truncate(mounts::MOST_IN_MEMORY);
    let captured = mounts::of(&capture.manifest).unwrap_or_default();
    for memory in &mut summary.memory {
        let path = crate::text::decode(&memory.path);
        memory.size = captured.iter().find(|mount| *mount.path == *path).and_then(|mount| mount.size);
    }
    for capture in &captures {
        for lost in losses::read(capture)? {
            summary.lost_events += if lost.kind.of_events() { lost.count } else { 0 };
            *summary.losses.entry(lost.kind).or_default() += lost.count;
        }
    }
    summary.bytes.lost(summary.lost_events);
    if !options.is_captured() || !options.merge.is_empty() {
        lint::ask(&work.engine)?.pass()?;
    }
    let mut manifest = manifest(&summary, options, &capture);
    if let Some((first, last)) = moments(&captures, &options.what_if) {
        manifest.extend([("first_ts".into(), json!(first)), ("last_ts".into(), json!(last))]);
    }
    drop(work); // the scratch files go before the dataset is made durable
    work::clear(&draft)?;
    summary.seconds = began.elapsed().as_secs_f64();
    Ok((draft, manifest, summary))
}

/// The query plan of a stage as text, as the engine would run it (`--explain`).
///
/// # Errors
/// When there is no such stage, or it cannot be planned.
pub fn explain(options: &Options, name: &str) -> Result<String> {
    options.check()?;
    let names = || STAGES.iter().map(|(stage, _)| stage.name).collect::<Vec<_>>().join(", ");
    ensure!(STAGES.iter().any(|(stage, _)| stage.name == name), "there is no stage {name}: the stages are {}", names());
    let capture = open(&options.capture)?;
    let others = merge::others(&capture, &options.merge)?;
    let work = Work::new(options, &iter::once(&capture).chain(&others).collect::<Vec<_>>(), None)?;
    let frame = work.rehearse(name)?;
    let batches = work.engine.block_on(async { Ok(frame.explain(false, false)?.collect().await?) })?;
    let mut text = String::new();
    for batch in &batches {
        let plans =
            arrow::util::display::ArrayFormatter::try_new(batch.column(1), &arrow::util::display::FormatOptions::default())?;
        (0..batch.num_rows()).for_each(|row| text.push_str(&format!("{}\n", plans.value(row))));
    }
    Ok(text)
}

/// Opens the capture of one host; where `dir` has captures of several hosts, the error lists them.
fn open(dir: &Path) -> Result<Dataset> {
    fleet::refuse(dir)?;
    Dataset::expect(dir, Kind::Capture)
}

/// The configuration of the model: which paths are left out by the capture's mounts (the usual mounts if it knows
/// none), what was open when the capture began, and the paths that the user ignores or keeps.
fn places(capture: &Dataset, ignore: &[PathBuf], keep: &[PathBuf]) -> Result<Config> {
    let mut config = match mounts::of(&capture.manifest) {
        Some(mounts) => Config::of_mounts(mounts.iter().map(|mount| (mount.path.as_slice(), mount.pseudo()))),
        None => Config::default(),
    };
    present::tell(&mut config, capture)?;
    for (paths, place) in [(ignore, Place::Ignore), (keep, Place::Keep)] {
        for path in paths {
            config.rules.push((path.as_os_str().as_bytes().to_vec(), place));
        }
    }
    let kinds = mounts::of(&capture.manifest).into_iter().flatten();
    config.tell_kinds(kinds.map(|mount| (mount.path, Elsewhere::of(mount.fs.as_bytes()))).collect());
    Ok(config)
}

/// Settings of an engine for queries over these datasets: of the start of each capture the model knows what it tells, by its host. Of a host
/// with several captures it would have to know several, and knows nothing.
///
/// # Errors
/// When a table of a capture is damaged.
pub(crate) fn settings(datasets: &[Dataset], access: Access, memory: u64) -> Result<Settings> {
    let mut hosts: BTreeMap<String, Config> = BTreeMap::new();
    for capture in datasets.iter().filter(|data| data.kind == Kind::Capture) {
        let host = capture.manifest.get("host").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let known = if hosts.contains_key(&host) { Config::default() } else { places(capture, &[], &[])? };
        hosts.insert(host, known);
    }
    Ok(Settings { access, memory, hosts: Hosts::Each(hosts), ..Settings::default() })
}

/// Between which times, ns, the ops of a workload begin: as their captures say, and then moved apart by `--scale-shift` and
/// `--stretch`. `None` where a capture does not say.
fn moments(captures: &[&Dataset], what_if: &WhatIf) -> Option<(i64, i64)> {
    let all = |key: &str| captures.iter().map(|capture| capture.manifest.get(key)?.as_i64()).collect::<Option<Vec<i64>>>();
    let (first, last) = (all("first_ts")?.into_iter().min()?, all("last_ts")?.into_iter().max()?);
    let later = what_if.scale.map_or(0, |scale| scale.shift.as_nanos().saturating_mul(u128::from(scale.tenants)));
    let long = i128::from(last.saturating_sub(first)).saturating_add_unsigned(later);
    // One more, for what is rounded.
    let long = what_if.stretch.map_or(long, |factor| (long as f64 * factor) as i128 + 1);
    Some((first, i64::try_from(i128::from(first).saturating_add(long)).unwrap_or(i64::MAX)))
}

fn manifest(summary: &Summary, options: &Options, capture: &Dataset) -> Manifest {
    let mut manifest = match serde_json::to_value(summary) {
        Ok(serde_json::Value::Object(map)) => map,
        _ => Manifest::new(),
    };
    manifest.remove("seconds"); // the same input gives the same manifest
    manifest.remove("edge_examples");
    manifest.insert("where".into(), json!(options.where_));
    manifest.insert("capture".into(), json!(capture.manifest));
    if let Some(mounts) = capture.manifest.get(mounts::KEY) {
        manifest.insert(mounts::KEY.into(), mounts.clone());
    }
    let paths = |paths: &[PathBuf]| paths.iter().map(|path| path.to_string_lossy().into_owned()).collect::<Vec<_>>();
    let sql_dir = options.sql_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned());
    let no_cause = options.causes == Causes::LeftOut;
    let choice = json!({ "ignore": paths(&options.ignore), "keep": paths(&options.keep), "sql_dir": sql_dir, "no_cause": no_cause, "what_if": options.what_if,
        "merge": paths(&options.merge) });
    manifest.insert("options".into(), choice);
    manifest
}
