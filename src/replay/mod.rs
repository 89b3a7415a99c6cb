//! Issues the ops of a workload in a sandbox, records what happened and compares it with the capture.
//!
//! ```text
//! supervisor                              child, in the sandbox
//!   checks the workload and the root        loader   ops.parquet -> batches
//!   starts the child            ------>     workers  batches -> syscalls -> records
//!   records -> compare -> results <------   recorder records -> pipe
//!   tree against the end state
//! ```
//! The supervisor never runs a captured call; the child never sees anything but the tree.

mod call;
pub mod child;
pub mod compare;
mod engine;
mod filter;
mod groups;
mod histogram;
mod load;
pub mod machine;
mod measure;
mod memory;
pub mod metrics;
mod order;
mod plan;
mod record;
mod results;
mod samples;
mod sandbox;
mod state;
mod summary;
mod supervise;
mod sys;
mod violations;
mod worker;

pub use plan::DEFAULT_WORKERS;
pub use summary::Summary;

use crate::init::{Root, State};
use crate::progress::{Progress, Unit};
use crate::schema::dataset::Kind;
use crate::schema::{Dataset, Draft, Manifest, Table, read};
use anyhow::{Context, Result, bail, ensure};
use machine::Machine;
use measure::Measures;
use samples::Sampler;
use serde_json::{Value, json};
use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What issues the ops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// Real syscalls.
    #[default]
    Sys,
    /// Nothing: measures our own cost. Needs no root and leaves it alone.
    Null,
}

impl Engine {
    /// The word on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Engine::Sys => "sys",
            Engine::Null => "null",
        }
    }

    /// The engine of a word.
    pub fn parse(word: &str) -> Option<Engine> {
        [Engine::Sys, Engine::Null].into_iter().find(|engine| engine.name() == word)
    }
}

/// When ops are issued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// As soon as the order allows.
    #[default]
    Asap,
}

/// Which ops an op waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// All earlier ones.
    #[default]
    Strict,
}

/// What replay is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The workload.
    pub workload: PathBuf,
    /// The root that init made.
    pub root: PathBuf,
    /// Where the run goes.
    pub out: PathBuf,
    /// Workers; `None` for one per lane up to [`DEFAULT_WORKERS`].
    pub threads: Option<usize>,
    /// What issues the ops.
    pub engine: Engine,
    /// When they are issued.
    pub pace: Pace,
    /// Which wait for which.
    pub order: Order,
    /// Percent of outcomes that must be the same for [`Summary::ok`].
    pub min_match: f64,
    /// Replay in a root that is not fresh.
    pub dirty: bool,
}

/// Replays a workload, with this very program as the child: its `main` must hand [`child::VERB`] to [`child::main`].
///
/// # Errors
/// When the workload or root is not fit, no sandbox is possible, or the child dies. Then there is no run.
pub fn run(options: &Options, progress: &Progress) -> Result<Summary> {
    run_with(options, Path::new("/proc/self/exe"), progress)
}

/// As [`run`], with another program as the child.
///
/// # Errors
/// As [`run`].
pub fn run_with(options: &Options, program: &Path, progress: &Progress) -> Result<Summary> {
    let workload = Dataset::expect(&options.workload, Kind::Workload)?;
    let ops = dense(&workload)?;
    let root = Root::new(&options.root);
    let tree = root.tree();
    if options.engine == Engine::Sys {
        root.check(&workload, options.dirty)?;
    }
    let draft = Draft::create(&options.out, Kind::Run)?;
    let task = child::Task {
        parent: std::process::id(),
        engine: options.engine,
        threads: options.threads,
        ofds: usize::try_from(number(&workload, "ofds")?.unwrap_or(0)).context("the manifest's ofds is no count")?,
        tree: CString::new(std::path::absolute(&tree)?.into_os_string().into_vec())?,
        mounts: mounts(&workload),
    };
    if options.engine == Engine::Sys {
        // Before anything is issued: a replay that is killed has used its tree too.
        root.mark(State::Used, &workload)?;
    }
    let machine = Machine::describe(&[if tree.is_dir() { &tree } else { Path::new(".") }]);
    let measures = Measures::new(&workload, ops)?;
    let sampler = Sampler::prepare(&draft, &machine.targets)?;
    progress.begin("replay", Unit::Count, ops);
    let replayed = supervise::replay(&workload, &task, program, &draft, measures, sampler, progress)?;
    let checked = match options.engine {
        Engine::Sys => Some(state::check(&workload, &tree, &draft)?),
        Engine::Null => None,
    };
    let mut summary = Summary::new(options, &workload, machine, replayed, checked);
    summary.find_paths(&workload)?;

    let mut manifest = Manifest::new();
    manifest.insert("workload".into(), json!(options.workload.display().to_string()));
    manifest.insert(
        "options".into(),
        json!({
            "root": options.root.display().to_string(), "threads": options.threads, "engine": options.engine.name(),
            "pace": "asap", "order": "strict", "min_match": options.min_match, "dirty": options.dirty,
        }),
    );
    let mut said = serde_json::to_value(&summary)?;
    for key in ["fingerprint", "machine"] {
        // What tells runs apart stands at the top, like a workload's own.
        let value = said.as_object_mut().and_then(|said| said.remove(key));
        manifest.insert(key.into(), value.unwrap_or_default());
    }
    manifest.insert("summary".into(), said);
    draft.commit(manifest)?;
    Ok(summary)
}

/// A number of the manifest.
fn number(workload: &Dataset, key: &str) -> Result<Option<u64>> {
    match workload.manifest.get(key) {
        None => Ok(None),
        Some(value) => {
            let number = value.as_u64().or_else(|| value.as_array().map(|all| all.len() as u64));
            let Some(number) = number else { bail!("{}: {key} is {value}, not a number", workload.dir.display()) };
            Ok(Some(number))
        }
    }
}

/// Directories that were mount points when the workload was captured, when the capture knows them.
fn mounts(workload: &Dataset) -> Vec<CString> {
    let paths = workload.manifest.get("mounts").and_then(Value::as_array);
    let paths = paths.into_iter().flatten().filter_map(Value::as_str).filter(|path| path.starts_with('/') && *path != "/");
    paths.filter_map(|path| CString::new(crate::text::decode(path).into_owned()).ok()).collect()
}

/// Number of ops, once it is sure that their ids are 0, 1, 2 ... each once: strict order would wait for ever for one that
/// is missing.
fn dense(workload: &Dataset) -> Result<u64> {
    let file = workload.table(Table::Ops);
    let builder = read::builder(&file, &["op_id"])?;
    let rows = builder.metadata().file_metadata().num_rows().max(0) as usize;
    let mut seen = vec![0_u64; rows.div_ceil(64)];
    for batch in builder.build()? {
        let batch = batch.with_context(|| format!("cannot read {}", file.display()))?;
        for op_id in read::ints(&batch, "op_id")?.values() {
            let op_id = usize::try_from(*op_id).ok().filter(|op_id| *op_id < rows);
            let fresh = op_id.is_some_and(|op_id| {
                let (word, bit) = (op_id / 64, 1 << (op_id % 64));
                let fresh = seen[word] & bit == 0;
                seen[word] |= bit;
                fresh
            });
            ensure!(fresh, "{}: op ids are not 0 to {} each once: make the workload again", file.display(), rows - 1);
        }
    }
    Ok(rows as u64)
}
