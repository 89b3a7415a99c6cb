//! `ioriot replay`: a workload and its tree to a run.

use super::Exit;
use super::ui::{self, Output, Plan};
use super::values;
use crate::init::{Map, Root};
use crate::replay;
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use anyhow::Result;
use clap::ValueEnum;
use std::path::PathBuf;

/// Issue the syscalls of a workload in a sandbox and compare every outcome
///
/// The calls are real, but they see nothing except the tree that `ioriot init` made: it becomes the root directory of
/// a sandbox of its own (mount namespace, cut down rights, filtered syscalls). Where no sandbox is possible the replay
/// refuses. Exits with 1 when fewer outcomes than --min-match were the same, or none could be compared.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot replay work -o run                               in the tree work.root
  ioriot replay work --root /mnt/nvme1/work.root -o run --threads 16
  ioriot replay work -o run --min-match 99.9 --format json
  ioriot replay work -o cold --drop-caches --nice -5
  ioriot replay work -o run --user nobody --rlimit nofile=4096
  ioriot replay work -o cost --engine null                no syscalls: what ioriot itself costs")]
pub struct Args {
    /// The workload: a directory made by `ioriot generate`
    #[arg(value_name = "WORKLOAD")]
    workload: PathBuf,
    /// Directory of the tree, made by `ioriot init` (default: WORKLOAD.root)
    #[arg(long, value_name = "ROOT")]
    root: Option<PathBuf>,
    /// Directory to make for the run
    #[arg(short, long = "output", value_name = "RUN")]
    out: PathBuf,
    /// Check that the tree was made with this mapping (may be given several times); it need not be said again
    #[arg(long = "map", value_name = "CAPTURED=TARGET", value_parser = values::map())]
    maps: Vec<Map>,
    #[command(flatten)]
    manner: Manner,
    /// Replay in a tree that a replay has already used
    #[arg(long)]
    dirty: bool,
    #[command(flatten)]
    output: Output,
}

/// How ops are issued and when that is good enough: shared by `replay` and `run`.
#[derive(Debug, clap::Args)]
pub struct Manner {
    /// Worker threads, at most 1024 (default: one per captured thread, up to 64)
    #[arg(long, value_name = "N", value_parser = values::threads)]
    threads: Option<usize>,
    /// Which ops wait for which
    #[arg(long, value_enum, default_value_t, value_name = "ORDER")]
    order: Order,
    /// When ops are issued
    #[arg(long, value_enum, default_value_t, value_name = "PACE")]
    pace: Pace,
    /// What issues them
    #[arg(long, value_enum, default_value_t, value_name = "ENGINE")]
    engine: Engine,
    #[command(flatten)]
    conditions: Conditions,
    /// Exit with 1 when fewer outcomes are the same, percent of those compared
    #[arg(long, value_name = "PCT", default_value = "99", value_parser = values::percent)]
    min_match: f64,
}

/// What the replay finds: what cannot be had is said at its end.
#[derive(Debug, clap::Args)]
struct Conditions {
    /// Empty the caches of the system before the first op (takes root)
    #[arg(long)]
    drop_caches: bool,
    /// Write what is dirty back before the first op
    #[arg(long)]
    sync_before: bool,
    /// Issue the ops as this user, without supplementary groups (takes root)
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Nice value of the replay process, -20 to 19
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-20..=19))]
    nice: Option<i32>,
    /// Limit of the replay process: nofile, fsize or memlock (may be given several times)
    ///
    /// As many open files as the workload needs are asked for in any case.
    #[arg(long = "rlimit", value_name = "NAME=VALUE", value_parser = replay::Limit::parse)]
    limits: Vec<replay::Limit>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Order {
    /// Each op after every earlier op of the other workers
    #[default]
    Strict,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Pace {
    /// As soon as its order allows
    #[default]
    Asap,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Engine {
    /// Real syscalls
    #[default]
    Sys,
    /// Nothing: what ioriot itself costs
    Null,
}

impl Manner {
    /// The options of `replay` in this manner.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn options(self, workload: PathBuf, root: PathBuf, out: PathBuf) -> Result<replay::Options> {
        let Conditions { drop_caches, sync_before, user, nice, limits } = self.conditions;
        let user = user.as_deref().map(replay::User::find).transpose()?;
        Ok(replay::Options {
            workload,
            root,
            out,
            threads: self.threads,
            engine: match self.engine {
                Engine::Sys => replay::Engine::Sys,
                Engine::Null => replay::Engine::Null,
            },
            pace: match self.pace {
                Pace::Asap => replay::Pace::Asap,
            },
            order: match self.order {
                Order::Strict => replay::Order::Strict,
            },
            min_match: self.min_match,
            dirty: false,
            maps: Vec::new(),
            conditions: replay::Conditions { drop_caches, sync_before, user, nice, limits },
        })
    }
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        let root = self.root.unwrap_or_else(|| Root::beside(&self.workload));
        if self.output.dry_run {
            let workload = Dataset::expect(&self.workload, Kind::Workload)?;
            values::vacant(&self.out)?;
            let ops = workload.manifest.get("ops").map_or("the".into(), ToString::to_string);
            let would = vec![
                format!("issue {ops} ops of {} in {}", workload.dir.display(), root.display()),
                format!("write a run to {}", self.out.display()),
            ];
            self.output.format.print(&Plan::new(would))?;
            return Ok(Exit::Done);
        }
        let options = self.manner.options(self.workload, root, self.out)?;
        let options = replay::Options { dirty: self.dirty, maps: self.maps, ..options };
        let summary = ui::watched(|progress| replay::run(&options, progress))?;
        self.output.format.print(&summary)?;
        Ok(Exit::good(summary.ok()))
    }
}
