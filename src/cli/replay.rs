//! `ioriot replay`: a workload and its tree to a run.

use super::Exit;
use super::given;
use super::ui::{self, Output, Plan};
use super::values;
use crate::amount::typed;
use crate::copy::{Fetched, Spool};
use crate::init::{Map, Tmpfs, memory};
use crate::predict::{self, Cell, Prediction, Rounds, Source};
use crate::replay::{self, Async, Cache, Engine, Order, Pace, Seccomp, Syncs};
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
#[cfg(feature = "serve")]
use crate::serve;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// Issue the syscalls of a workload in a sandbox and compare every outcome
///
/// The calls are real, but they see nothing except the tree that `ioriot init` made: it becomes the root directory of
/// a sandbox of its own (mount namespace, cut down rights, filtered syscalls). Where no sandbox is possible the replay
/// refuses. Exits with 1 when fewer outcomes than --min-match were the same, or none could be compared; and, whatever
/// --min-match says, when the machine kept calls from what they did in the capture (a full disk, a broken device), when a
/// process of the replay was killed (what the others did is kept), or when the capture had lost events. SIGINT, SIGTERM and
/// SIGHUP end it; the run then says so, and holds what was done until then.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot replay work -o run                               # in the tree work.root
  ioriot replay work --root /mnt/nvme1/work.root -o run --threads 16
  ioriot replay work -o run --min-match 99.9 --format json
  ioriot replay work -o run --processes 2 --threads 4     # eight workers, four in each process
  ioriot replay work -o run --pace realtime --speed 2     # at the captured times, twice as fast
  ioriot replay work -o cold --cache cold --nice -5        # nothing in memory
  ioriot replay work -o run --repeat 5                    # run-1 to run-5 and their median
  ioriot replay work -o run --user nobody --rlimit nofile=4096
  ioriot replay work -o cost --engine null                # no syscalls: what ioriot itself costs
  ioriot replay --recover run                             # after a kill: keep what was written")]
pub struct Args {
    /// The workload: a directory made by `ioriot generate`
    #[arg(value_name = "WORKLOAD", required_unless_present = "recover")]
    workload: Option<PathBuf>,
    /// Directory of the tree, made by `ioriot init` (default: WORKLOAD.root)
    #[arg(long, value_name = "ROOT")]
    root: Option<PathBuf>,
    /// Directory to make for the run
    #[arg(short, long = "output", value_name = "RUN", required_unless_present = "recover")]
    out: Option<PathBuf>,
    /// For an output in a store (s3://BUCKET/PREFIX: docs/STORES.md): directory to write in until all of it is there (default:
    /// ./NAME.spool)
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// Check that the tree was made with this mapping (may be given several times); it need not be said again
    #[arg(long = "map", value_name = "CAPTURED=TARGET", value_parser = values::map())]
    maps: Vec<Map>,
    #[command(flatten)]
    manner: Manner,
    #[command(flatten)]
    speed: Speed,
    /// Replay in a tree that a replay has already used
    #[arg(long)]
    dirty: bool,
    /// Replay so often, each time in a tree that was reset, into RUN-1, RUN-2 and so on; print what the runs say together
    #[arg(long, value_name = "N", default_value = "1", conflicts_with = "dirty", value_parser = values::repeat)]
    repeat: usize,
    /// Replay nothing, but make the run RUN of the results that a killed replay has left
    #[arg(long, value_name = "RUN", conflicts_with_all = ["workload", "out"])]
    recover: Option<PathBuf>,
    #[cfg(feature = "serve")]
    #[command(flatten)]
    on: On,
    #[command(flatten)]
    output: Output,
}

/// Other machines that replay.
#[cfg(feature = "serve")]
#[derive(Debug, clap::Args)]
struct On {
    /// Replay on the machines where `ioriot serve` listens at these addresses, each a part, into RUN/host=ADDR:PORT; the root is one
    /// that all of them see, and the first checks it (docs/SERVE.md)
    #[arg(
        long,
        value_name = "ADDR:PORT,...",
        value_delimiter = ',',
        requires = "token",
        conflicts_with_all = ["repeat", "recover", "maps", "spool", "drop_caches", "sync_before", "memory_limit", "user", "nice", "limits"]
    )]
    on: Vec<String>,
    /// File with the secret of the servers
    #[arg(long, value_name = "FILE", requires = "on")]
    token: Option<PathBuf>,
    /// Encrypt, and check each other, by the certificates in this directory: ca.pem, and cert.pem with key.pem of this machine
    #[arg(long, value_name = "DIR", requires = "on")]
    tls: Option<PathBuf>,
}

#[cfg(feature = "serve")]
impl On {
    /// Replays on other machines, in this manner.
    fn replay(self, root: Option<PathBuf>, options: &replay::Options, output: &Output) -> Result<Exit> {
        ensure!(
            options.order == Order::Resource,
            "several machines keep order resource only: leave out --order {}",
            options.order.name()
        );
        ensure!(
            options.syncs == Syncs::Captured,
            "machines do not tell each other of their syncs: leave out --syncs {}",
            options.syncs.name()
        );
        let root = root.map(|root| root.into_os_string().into_string());
        let root = root.transpose().ok().context("a root of other machines must have a name in UTF-8")?;
        let asked = serve::Asked {
            workload: options.workload.clone(),
            on: self.on,
            root,
            out: options.out.clone(),
            manner: serve::Manner {
                processes: options.processes,
                threads: options.threads,
                engine: options.engine,
                pace: options.pace,
                speed: options.speed,
                compute_scale: options.compute_scale,
                min_match: options.min_match,
                dirty: options.dirty,
                delay: options.delay,
                asynchrony: options.asynchrony,
                cache: options.cache,
            },
            token: self.token.context("--on needs --token")?,
            certificates: self.tls,
        };
        if output.dry_run {
            let ops = Dataset::expect(&asked.workload, Kind::Workload)?;
            let ops = ops.manifest.get("ops").map_or("the".into(), ToString::to_string);
            let would = format!("issue {ops} ops of {} on {}", asked.workload.display(), asked.on.join(", "));
            output.format.print(&Plan::new(vec![would, format!("write their runs to {}", asked.out.display())]))?;
            return Ok(Exit::Done);
        }
        let summary = ui::watched(|progress| serve::coordinate(&asked, progress))?;
        output.format.print(&summary)?;
        Ok(summary.signal.map_or(Exit::good(summary.ok()), Exit::Asked))
    }
}

/// How ops are issued and when that is good enough: shared by `replay` and `run`.
#[derive(Debug, clap::Args)]
pub struct Manner {
    /// Processes of the replay, which share their open files (fio: numjobs)
    #[arg(long, value_name = "P", default_value = "1", value_parser = values::threads)]
    processes: usize,
    /// Worker threads in each process, at most 1024 in all (default: one per captured thread, up to 64 in all; fio: numjobs with
    /// thread)
    #[arg(long, value_name = "T", value_parser = values::threads)]
    threads: Option<usize>,
    /// Which ops an op waits for; only resource and strict promise the captured outcomes
    #[arg(
        long,
        default_value = "resource",
        value_name = "ORDER",
        value_parser = values::word_or(Order::ALL, Order::name, Order::doc, &[("none", Order::Thread)])
    )]
    order: Order,
    /// When ops are issued (default: app where the capture tells what threads waited for, else asap; fio: replay_no_stall,
    /// thinktime)
    #[arg(long, value_name = "PACE", value_parser = values::word(Pace::ALL, Pace::name, Pace::doc))]
    pace: Option<Pace>,
    /// Multiply the processor time of the captured threads with pace app: 2 for processors half as fast, 0.5 for twice as fast
    #[arg(long, value_name = "F", default_value = "1", value_parser = typed::factor)]
    compute_scale: f64,
    /// How requests of io_submit and io_uring are issued (fio: ioengine, iodepth); with --order strict or thread always as calls
    #[arg(long = "async", default_value = "native", value_name = "WAY", value_parser = values::word(Async::ALL, Async::name, Async::doc))]
    asynchrony: Async,
    /// Which syncs are issued (default: captured; of predict: regroup): regroup leaves those out that another one has made needless,
    /// as a program does that commits for several threads at once
    #[arg(long, value_name = "WHICH", value_parser = values::word(Syncs::ALL, Syncs::name, Syncs::doc))]
    syncs: Option<Syncs>,
    /// What issues them (fio: ioengine)
    #[arg(long, default_value = "sys", value_name = "ENGINE", value_parser = values::word(Engine::ALL, Engine::name, Engine::doc))]
    engine: Engine,
    #[command(flatten)]
    conditions: Conditions,
    /// Exit with 1 when fewer outcomes are the same, percent of those compared
    #[arg(long, value_name = "PCT", default_value = "99", value_parser = typed::percent)]
    min_match: f64,
    /// Delay some ops, by this seed: what an order does not hold together falls apart
    #[arg(long, value_name = "SEED", hide = true)]
    delay: Option<u64>,
    /// Where to have what the capture had in memory: memory makes file systems in memory anew (takes root), disk does not
    #[arg(long, default_value = "memory", value_name = "WHERE", value_parser = values::word(Tmpfs::ALL, Tmpfs::name, Tmpfs::doc))]
    tmpfs: Tmpfs,
    /// Filter system calls: off only to measure what the filter costs
    #[arg(long, default_value = "on", value_name = "ON", hide = true, value_parser = values::word(Seccomp::ALL, Seccomp::name, Seccomp::doc))]
    seccomp: Seccomp,
}

/// How fast captured times go by: shared by `replay` and `run`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Speed {
    /// How many times faster than captured: 2 is twice as fast, 0.5 half as fast (--pace realtime, think or app; fio: replay_time_scale)
    #[arg(long, value_name = "F", default_value = "1", value_parser = typed::factor)]
    pub speed: f64,
}

/// What the replay finds: what cannot be had is said at its end.
#[derive(Debug, clap::Args)]
struct Conditions {
    /// What is in the page cache before the first op (default: captured where the capture knows it, else as-is)
    #[arg(long, value_name = "STATE", value_parser = values::word(Cache::ALL, Cache::name, Cache::doc))]
    cache: Option<Cache>,
    /// Empty the caches of the system before the first op (takes root; echo 3 > /proc/sys/vm/drop_caches)
    #[arg(long)]
    drop_caches: bool,
    /// Write what is dirty back before the first op
    #[arg(long)]
    sync_before: bool,
    /// Most memory for ioriot and the replay, what they have in the page cache included (a control group; takes root)
    #[arg(long, value_name = "SIZE", value_parser = typed::bytes)]
    memory_limit: Option<u64>,
    /// Issue the ops as this user, without supplementary groups (takes root)
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Nice value of the replay process, -20 to 19 (nice, fio: nice)
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-20..=19))]
    nice: Option<i32>,
    /// Limit of the replay process: nofile, fsize or memlock (may be given several times; ulimit, prlimit)
    ///
    /// As many open files as the workload needs are asked for in any case.
    #[arg(long = "rlimit", value_name = "NAME=VALUE", value_parser = replay::Limit::parse)]
    limits: Vec<replay::Limit>,
}

impl Manner {
    /// The user who issues the ops, if he was named.
    #[cfg(feature = "sql")]
    pub fn user(&self) -> Option<&str> {
        self.conditions.user.as_deref()
    }

    /// The same manner, with regrouped syncs if nothing else was asked for.
    #[cfg(feature = "sql")]
    pub fn regrouping(self) -> Manner {
        Manner { syncs: self.syncs.or(Some(Syncs::Regroup)), ..self }
    }

    /// The options of `replay` in this manner, for the first of these speeds.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn options(self, speeds: &[f64], workload: PathBuf, root: PathBuf, out: PathBuf) -> Result<replay::Options> {
        if !self.order.promises() {
            log::warn!("order {} promises neither the captured outcomes nor the same tree", self.order.name());
        }
        if speeds.iter().any(|speed| *speed != 1.0) && self.pace == Some(Pace::Asap) {
            log::warn!("--speed changes nothing with pace asap: add --pace realtime, think or app");
        }
        ensure!(
            self.pace != Some(Pace::App) || self.order == Order::Resource,
            "--pace app waits for what each op waited for, which is part of --order resource: leave out --order {}",
            self.order.name()
        );
        let Conditions { cache, drop_caches, sync_before, memory_limit, user, nice, limits } = self.conditions;
        let user = user.as_deref().map(replay::Named::find).transpose()?;
        Ok(replay::Options {
            processes: self.processes,
            threads: self.threads,
            engine: self.engine,
            pace: self.pace,
            speed: speeds.first().copied().unwrap_or(1.0),
            compute_scale: self.compute_scale,
            order: self.order,
            min_match: self.min_match,
            delay: self.delay,
            asynchrony: self.asynchrony,
            syncs: self.syncs.unwrap_or(Syncs::Captured),
            seccomp: self.seccomp,
            tmpfs: self.tmpfs,
            cache,
            conditions: replay::Conditions { drop_caches, sync_before, memory_limit, user, nice, limits },
            ..replay::Options::new(workload, root, out)
        })
    }
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        if let Some(run) = self.recover {
            self.output.format.print(&replay::recover(&run)?)?;
            return Ok(Exit::Done);
        }
        let (workload, out) = self.workload.zip(self.out).context("a workload and a place for the run are needed")?;
        #[cfg(feature = "serve")]
        if !self.on.on.is_empty() {
            let workload = given::dataset(workload, Kind::Workload)?;
            let here = PathBuf::new();
            let options = replay::Options { dirty: self.dirty, ..self.manner.options(&[self.speed.speed], workload, here, out)? };
            return self.on.replay(self.root, &options, &self.output);
        }
        let (workload, root) = given::workload(workload, self.root)?;
        let spool = Spool::of(&out, self.spool)?;
        let here = spool.as_ref().map_or(&*out, |spool| spool.dir()).to_owned();
        let fetched = match self.output.dry_run {
            true => None,
            false => ui::watched(|progress| Fetched::of(&workload, &here, progress))?,
        };
        let workload = fetched.as_ref().map_or(workload, |fetched| fetched.dir().to_owned());
        let out = if self.output.dry_run { out } else { here };
        let options = self.manner.options(&[self.speed.speed], workload, root, out.clone())?;
        let options = replay::Options { dirty: self.dirty, maps: self.maps, ..options };
        let cell = Cell { label: given::label(&out), options, part: 0, bound: None };
        let runs = match self.repeat {
            1 => vec![out],
            many => (1..=many).map(|number| cell.place(number)).collect(),
        };
        if self.output.dry_run {
            let workload = Dataset::expect(&cell.options.workload, Kind::Workload)?;
            runs.iter().try_for_each(|run| values::vacant(run))?;
            let root = &cell.options.root;
            let ops = workload.manifest.get("ops").map_or("the".into(), ToString::to_string);
            let mut would = vec![format!("issue {ops} ops of {} in {}", workload.dir.display(), root.display())];
            if cell.options.engine == Engine::Sys {
                would.extend(memory::plan(&workload, cell.options.tmpfs)?.iter().map(|seat| format!("see to it that {seat}")));
            }
            would.extend(runs.iter().map(|run| format!("write a run to {}", run.display())));
            self.output.format.print(&Plan::new(would))?;
            return Ok(Exit::Done);
        }
        if self.repeat == 1 {
            let summary = ui::watched(|progress| replay::run(&cell.options, progress))?;
            self.output.format.print(&summary)?;
            spool.map_or(Ok(()), |spool| ui::watched(|progress| spool.send(progress)))?;
            return Ok(summary.signal.map_or(Exit::good(summary.ok()), Exit::Asked));
        }
        ensure!(spool.is_none(), "--repeat makes runs on this machine: `ioriot copy` takes them to a store");
        runs.iter().try_for_each(|run| values::vacant(run))?;
        let (cells, rounds) = ([cell], Rounds { warm_up: 0, count: self.repeat });
        let played = ui::watched(|progress| predict::play(&cells, rounds, progress))?;
        let prediction = Prediction::new(&cells, rounds, played, Source::Unasked);
        self.output.format.print(&prediction)?;
        Ok(prediction.signal.map_or(Exit::good(prediction.ok()), Exit::Asked))
    }
}
