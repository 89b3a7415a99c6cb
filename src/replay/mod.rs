//! Issues the ops of a workload in a sandbox, records what happened and compares it with the capture.
//!
//! ```text
//! supervisor                     child, in the sandbox: the leader and the processes it clones
//!   checks the workload, root      leader    clones them, waits for them
//!   starts the child     ---->     loader    ops, edges -> batches -> workers         in each process
//!   records -> compare   <----     workers   order, pace -> syscalls -> stamps        in each process
//!     -> results segments  board: one piece of shared memory
//!   tree against the end state
//! ```
//! The supervisor never runs a captured call; the child never sees anything but the tree.

mod cache;
pub mod child;
pub(crate) mod feed;
pub(crate) mod issue;
pub mod link;
pub mod machine;
pub mod outcome;
pub mod pace;
pub(crate) mod shared;
mod supervise;
mod watchdog;

pub use cache::Cache;
pub use child::conditions::{Conditions, Limit, LimitOf, Named};
pub use feed::deal::{MACHINES, Part};
pub use feed::plan::DEFAULT_WORKERS;
pub use outcome::recover::{Recovered, recover};
pub use outcome::summary::Summary;
pub use pace::{Chosen, Pace};

use crate::files::Dir;
use crate::init::{Data, Map, Parts, Root, State, Tmpfs, fingerprint, memory as memory_fs};
use crate::limits;
use crate::mounts;
use crate::os::limit::Limited;
use crate::process::signal;
use crate::progress::{Progress, Unit};
use crate::schema::dataset::Kind;
use crate::schema::{Dataset, Draft, Manifest};
use crate::words::words;
use anyhow::{Context, Result, bail, ensure};
use child::sandbox;
use feed::check;
use feed::timeline::Timeline;
use link::{Line, Role};
use machine::Machine;
use machine::samples::Sampler;
use outcome::measure::Measures;
use outcome::{recover as left, state};
use serde_json::{Value, json};
use shared::memory;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use supervise::Watch;

words! {
    /// What issues the ops of a replay: real syscalls, or nothing at all to measure our own cost.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    Engine {
        Sys  "sys"  "real syscalls";
        Null "null" "nothing: measures our own cost; needs no root and leaves it alone";
    }
}

words! {
    /// Which earlier ops an op waits for before it is issued.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    Order {
        Resource "resource" "those of other lanes that touch the same resource";
        Strict   "strict"   "all earlier ones";
        Thread   "thread"   "those before it in its own captured thread, and in others that share its worker; `none` is the same";
    }
}

words! {
    /// How the requests that a program handed over by io_submit(2) or io_uring(7) are issued.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    Async {
        Native "native" "handed over in the same way, with the captured depth: as requests of io_submit and of a restricted ring";
        Serial "serial" "as calls, each of which is waited for";
    }
}

words! {
    /// Which of the captured syncs (fsync, fdatasync) are issued.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    Syncs {
        Captured "captured" "all of them";
        Regroup  "regroup"  "of files that the program writes back for several threads at once, those that no other one has made needless, one at a time";
    }
}

words! {
    /// Whether the seccomp filter is installed in the sandbox. Only a measurement of its cost runs without it.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    Seccomp {
        On  "on"  "as always";
        Off "off" "not: all other walls of the sandbox stand";
    }
}

impl Order {
    /// Whether this order promises the same tree and the same outcomes at any number of workers; order `thread` does not.
    pub const fn promises(self) -> bool {
        matches!(self, Order::Resource | Order::Strict)
    }
}

/// Arguments of a replay: what is replayed, where, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of the workload (a dataset) whose ops are replayed.
    pub workload: PathBuf,
    /// The root that `init` made for the workload; not looked at with [`Engine::Null`].
    pub root: PathBuf,
    /// Where the run (the dataset of results) is written.
    pub out: PathBuf,
    /// Processes among which the lanes are divided, at most one per lane.
    pub processes: usize,
    /// Workers (replay threads) of each process; `None` for one per lane up to [`DEFAULT_WORKERS`] in all.
    pub threads: Option<usize>,
    /// What issues the ops: real syscalls or nothing.
    pub engine: Engine,
    /// How the issue times of ops are chosen; `None` for what suits the workload ([`Options::choose`]).
    pub pace: Option<Pace>,
    /// Factor by which captured times are divided, e.g. 2 for twice as fast; without effect under [`Pace::Asap`].
    pub speed: f64,
    /// Factor by which the processor time of the captured threads is multiplied with pace app, e.g. 2 for processors that are half
    /// as fast.
    pub compute_scale: f64,
    /// Which earlier ops an op waits for.
    pub order: Order,
    /// Least match (same / (same + different), percent) with which [`Summary::ok`] is true.
    pub min_match: f64,
    /// Allow a root that a replay has used already; otherwise it is refused.
    pub dirty: bool,
    /// Seed of artificial delays before ops, to test that an order holds; `None` for no delays.
    pub delay: Option<u64>,
    /// How requests are issued.
    pub asynchrony: Async,
    /// Which of the captured syncs are issued.
    pub syncs: Syncs,
    /// Whether the seccomp filter is installed in the sandbox.
    pub seccomp: Seccomp,
    /// Mappings (captured directories on other file systems, `--map`) that the root must have been made with. The root's
    /// stamp records them, so none need be named.
    pub maps: Vec<Map>,
    /// Where it has what the capture had in memory.
    pub tmpfs: Tmpfs,
    /// What is in the page cache of the files of the tree before the first op; `None` for what suits the workload: what the captured program
    /// found there if the capture tells, else what is there.
    pub cache: Option<Cache>,
    /// Conditions of the replay beside its sandbox: caches, user, priority and limits.
    pub conditions: Conditions,
    /// The way to the other machines of a replay of which this is a part; `None` for a replay on this machine alone.
    pub line: Option<Arc<Line>>,
}

impl Options {
    /// Default options for a replay of `workload` in `root`, with the results in `out`: one process, the pace that suits the
    /// workload, order resource.
    pub fn new(workload: PathBuf, root: PathBuf, out: PathBuf) -> Options {
        Options {
            workload,
            root,
            out,
            processes: 1,
            threads: None,
            engine: Engine::Sys,
            pace: None,
            speed: 1.0,
            compute_scale: 1.0,
            order: Order::Resource,
            min_match: 99.0,
            dirty: false,
            delay: None,
            asynchrony: Async::Native,
            syncs: Syncs::Captured,
            seccomp: Seccomp::On,
            maps: Vec::new(),
            tmpfs: Tmpfs::Memory,
            cache: None,
            conditions: Conditions::default(),
            line: None,
        }
    }

    /// Refuses options for which this process lacks the rights, whatever the workload.
    ///
    /// # Errors
    /// When the conditions name another user and this process is not root.
    pub fn check(&self) -> Result<()> {
        self.conditions.user.as_ref().map_or(Ok(()), |user| user.ids().map(drop))
    }

    /// Which part of the workload is replayed here.
    fn part(&self) -> Part {
        self.line.as_ref().map_or(Part::WHOLE, |line| line.part)
    }

    /// Whether another machine has checked and locked the root.
    fn follows(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.role == Role::Follows)
    }

    /// Refuses what several machines cannot do together.
    fn check_part(&self) -> Result<()> {
        if self.line.is_none() {
            return Ok(());
        }
        ensure!(
            self.order == Order::Resource,
            "several machines keep order resource only: leave out --order {}",
            self.order.name()
        );
        ensure!(
            self.syncs == Syncs::Captured,
            "machines do not tell each other of their syncs: leave out --syncs {}",
            self.syncs.name()
        );
        ensure!(
            self.tmpfs == Tmpfs::Disk,
            "machines do not share what is in memory: only --tmpfs disk can be replayed on several"
        );
        Ok(())
    }

    /// The options as JSON, for the manifest of the run.
    fn json(&self) -> Value {
        json!({
            "root": self.root.display().to_string(), "processes": self.processes, "threads": self.threads,
            "engine": self.engine, "pace": self.pace, "speed": self.speed, "compute_scale": self.compute_scale, "order": self.order,
            "min_match": self.min_match, "dirty": self.dirty, "delay": self.delay, "async": self.asynchrony, "syncs": self.syncs, "seccomp": self.seccomp,
            "tmpfs": self.tmpfs, "cache": self.cache,
            "conditions": self.conditions.to_json(),
        })
    }
}

/// Replays a workload, with this program's own executable as the child: its `main` must pass [`child::VERB`] to
/// [`child::main`].
///
/// # Errors
/// When the workload is invalid, the root does not fit it, no sandbox is possible, or the child gives up; no run is written
/// then. A killed process of the replay is no error, nor is a signal that asks this one to end: then [`Summary::complete`] is
/// false.
pub fn run(options: &Options, progress: &Progress) -> Result<Summary> {
    run_with(options, Path::new("/proc/self/exe"), progress)
}

/// Like [`run`], with another executable as the child.
///
/// # Errors
/// Like [`run`].
pub fn run_with(options: &Options, program: &Path, progress: &Progress) -> Result<Summary> {
    options.check_part()?;
    let workload = Dataset::expect(&options.workload, Kind::Workload)?;
    let (pace, chosen) = options.choose(&workload.manifest);
    let options = &Options { pace: Some(pace), ..options.clone() };
    let cache = options.page_cache(&workload.manifest)?;
    let checked = check::check(&workload)?;
    let ops = checked.ops;
    let timeline = match pace {
        Pace::Asap => Timeline::default(),
        Pace::Realtime | Pace::Think | Pace::App => Timeline::read(&workload, ops, options.speed)?,
    };
    let mut seats = Vec::new();
    let (parts, stamp, lock) = match options.engine {
        Engine::Sys => {
            let (root, stamp, lock) = match options.follows() {
                false => {
                    Root::check(&options.root, &workload, options.dirty).map(|(root, stamp, lock)| (root, stamp, Some(lock)))?
                }
                true => Root::join(&options.root, &workload).map(|(root, stamp)| (root, stamp, None))?,
            };
            for map in &options.maps {
                let (dir, mapping) = (root.path(), map.resolve(root.path())?);
                let known = stamp.maps.contains(&mapping);
                ensure!(known, "{} was not made with {mapping}: `ioriot init --map` lays it out", dir.display());
            }
            let parts;
            (parts, seats) = memory_fs::lay_out(Parts::open(root, &stamp)?, &workload, &stamp, options.tmpfs, progress)?;
            (Some(Arc::new(parts)), Some(stamp), lock)
        }
        Engine::Null => (None, None, None),
    };
    let user = options.conditions.user.as_ref().map(Named::ids).transpose()?;
    let (data, maps) = stamp.map_or((Data::default(), Vec::new()), |stamp| (stamp.data, stamp.maps));
    let captured = mounts::of(&workload.manifest).unwrap_or_default();
    left::refuse(&options.out)?;
    let draft = Draft::create(&options.out, Kind::Run)?;
    let task = child::Task {
        parent: std::process::id(),
        engine: options.engine,
        order: options.order,
        pace,
        speed: options.speed,
        compute_scale: options.compute_scale,
        computing: computing(&workload.manifest),
        first: timeline.first,
        span: timeline.captured(),
        part: options.part(),
        start: if options.line.is_some() { child::Start::Agreed } else { child::Start::Own },
        processes: options.processes,
        threads: options.threads,
        ofds: ofds(&workload)?,
        delay: options.delay,
        asynchrony: options.asynchrony,
        grouped: match options.syncs {
            Syncs::Captured => Vec::new(),
            Syncs::Regroup => grouped(&workload)?,
        },
        seccomp: options.seccomp,
        house: sandbox::House::new(parts.as_deref(), &captured, user, data),
        conditions: options.conditions.clone(),
        lock,
        parts: parts.clone(),
    };
    if let Some(parts) = parts.as_ref().filter(|_| !options.follows()) {
        // Marked before anything is issued, since a replay that is killed has used its tree too.
        parts.root.mark(State::Used)?;
    }
    let here = [Path::new(".")];
    let places: Vec<&Path> = parts.iter().flat_map(|parts| parts.on_disk()).map(Dir::path).collect();
    let limited = options.conditions.memory_limit.map(Limited::enter).transpose()?;
    let machine = Machine::describe(if places.is_empty() { &here } else { &places });
    let mut manifest = Manifest::new();
    manifest.insert("workload".into(), json!(options.workload.display().to_string()));
    manifest.insert("fingerprint".into(), json!(fingerprint(&workload)));
    manifest.insert("machine".into(), serde_json::to_value(&machine)?);
    manifest.insert("options".into(), options.json());
    manifest.insert("data".into(), json!(data));
    manifest.insert("maps".into(), json!(maps));
    manifest.insert("part".into(), json!(options.line.as_ref().map(|line| line.part)));
    draft.note(&manifest)?;

    let measures = Measures::new(&workload, ops, pace)?;
    let mut notes = options.conditions.before(parts.as_deref());
    if options.syncs == Syncs::Regroup && task.grouped.is_empty() {
        notes.push(
            "--syncs regroup changes nothing: the capture shows no file that is written back for several threads at once.".into(),
        );
    }
    if pace == Pace::Asap && options.speed != 1.0 {
        notes.push("--speed changes nothing with pace asap, which knows no captured times.".into());
    }
    let cached = parts.as_deref().map(|parts| cache::make(cache, &workload, parts, progress)).transpose()?;
    // What was done up to here is none of the replay's work: its base values are read now.
    let sampler = Sampler::prepare(&draft, &machine.targets)?;
    progress.begin("replay", Unit::Count, ops);
    let watch = Watch { progress, timeline: &timeline };
    // From here on results may exist, so a signal no longer ends the process at once: the replay ends early and writes its
    // run.
    let _held = signal::hold();
    let mut replayed = supervise::replay(&checked, &task, program, &draft, measures, sampler, (watch, options.line.as_deref()))?;
    replayed.state = cached;
    notes.append(&mut replayed.notes);
    if replayed.unpopulated > 0 {
        notes.push(format!("{} mappings were too large to be brought into memory at once (MAP_POPULATE).", replayed.unpopulated));
    }
    // A replay that was ended early is not compared with the predicted end state.
    // Nor is what a machine finds that does not lead, or after another one was lost.
    let whole = replayed.signal.is_none() && !options.follows() && (options.line.is_none() || replayed.lost.is_empty());
    let ended = parts.filter(|_| whole);
    let state = ended.map(|parts| state::check(&workload, &parts, &draft)).transpose()?;
    manifest.insert("complete".into(), json!(replayed.lost.is_empty()));
    manifest.insert("lost".into(), json!(replayed.lost));
    manifest.insert("signal".into(), json!(replayed.signal));
    manifest.insert("workers".into(), serde_json::to_value(&replayed.workers)?);
    manifest.insert("helpers".into(), serde_json::to_value(replayed.helpers)?);
    let mut summary = Summary::new(options, (pace, chosen), &workload, machine, replayed, state, timeline.span());
    drop(limited);
    summary.find_paths(&workload)?;
    summary.notes = notes;
    summary.sit(seats);
    let mut said = serde_json::to_value(&summary)?;
    for key in ["fingerprint", "machine"] {
        // Both are written at the top level of the manifest already.
        let _ = said.as_object_mut().and_then(|said| said.remove(key));
    }
    manifest.insert("summary".into(), said);
    draft.commit(manifest)?;
    Ok(summary)
}

/// How many workers may compute at a time: any number where the captured machine had no more processors than this one, so that its
/// threads had to wait for one, too.
fn computing(manifest: &Manifest) -> Option<i32> {
    let here = crate::os::processors();
    let there = manifest.get("capture").and_then(|capture| capture.get("cpus")?.as_u64());
    there.is_none_or(|there| there > here as u64).then(|| i32::try_from(here).unwrap_or(i32::MAX))
}

/// Number of open file descriptions that the workload uses, from its manifest (0 if absent). Each has a slot in the table of
/// descriptors ([`memory::Fds`]), whose pages become real memory only when used.
pub(crate) fn ofds(workload: &Dataset) -> Result<usize> {
    let said = number(workload, "ofds")?.unwrap_or(0);
    let ofds = usize::try_from(said).ok().filter(|ofds| *ofds <= memory::MOST_FDS);
    ofds.with_context(|| format!("invalid workload: the manifest says {said} ofds, and there are {} at most", memory::MOST_FDS))
}

/// The files that the captured program wrote back for several threads at once, by number in ascending order, from the manifest of a
/// workload (none if absent).
fn grouped(workload: &Dataset) -> Result<Vec<i64>> {
    let Some(said) = workload.manifest.get("grouped") else { return Ok(Vec::new()) };
    let files = said.as_array().map(|files| files.iter().map(Value::as_i64).collect::<Option<Vec<_>>>());
    let sorted = |files: &Vec<i64>| files.len() <= limits::GROUPED && files.is_sorted_by(|a, b| a < b);
    let files = files.flatten().filter(sorted);
    files.with_context(|| {
        format!(
            "invalid workload: {}: grouped is no list of at most {} files in ascending order",
            workload.dir.display(),
            limits::GROUPED
        )
    })
}

/// A number in the manifest of a workload, or the length of a list there; `None` when the key is absent.
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
