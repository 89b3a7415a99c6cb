//! `ioriot generate`: a capture to a workload.

use super::Exit;
use super::given;
use super::ui::{self, Output, Plan};
use super::values;
use super::what_if;
use crate::amount::typed;
use crate::copy::Spool;
use crate::engine::Access;
use crate::fleet::{self, Place};
use crate::generate::{self, Causes, WhatIf};
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use crate::store;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// Make a workload out of a capture: what to replay, and the files it needs
///
/// Every event gets exactly one fate: it becomes an op, it is bookkeeping (model), or it is dropped for one stated
/// reason. The same capture always gives the same workload.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot generate cap -o work
  ioriot generate cap -o work --where \"path LIKE '/var/lib/%'\"
  ioriot generate cap -o work --from 90s --to 150s        # a minute of it
  ioriot generate cap -o work --process postgres --path '/var/lib/*'
  ioriot generate cap -o work --set 'flags = flags | O_DIRECT' --set 'count = count * 2'
  ioriot generate cap-db -o work --merge cap-web          # two captures of one machine
  ioriot generate cap -o work --scale 4 --scale-shift 10s # four copies side by side
  ioriot generate cap -o work --ignore /home/user/.cache --keep /dev/shm/db
  ioriot generate cap -o work --sql-dir my-stages --memory 512M
  ioriot generate cap -o work --explain-order             # which ops wait for which, and why
  ioriot generate fleet -o works                          # a workload for each host of a fleet
  ioriot generate cap --explain ops                       # the plan of one stage")]
pub struct Args {
    /// The capture: a directory made by `ioriot ingest`; or a fleet, one with a capture `host=NAME` for each host
    #[arg(value_name = "CAPTURE")]
    capture: PathBuf,
    /// Directory to make for the workload; for a fleet one with a workload `host=NAME` for each host
    #[arg(short, long = "output", value_name = "WORKLOAD", required_unless_present = "explain")]
    out: Option<PathBuf>,
    /// For an output in a store (s3://BUCKET/PREFIX: docs/STORES.md): directory to write in until all of it is there (default:
    /// ./NAME.spool)
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    what_if: what_if::Asked,
    /// Take in another capture of the same machine, by time (may be given several times)
    ///
    /// Both must have one clock and one boot, and no process in common.
    #[arg(long, value_name = "CAPTURE", help_heading = what_if::HEADING)]
    merge: Vec<PathBuf>,
    /// Print the plan of this stage instead
    #[arg(long, value_name = "STAGE")]
    explain: Option<String>,
    /// Show for each kind of resource which ops wait for which, before and after pruning, with examples
    #[arg(long, conflicts_with = "explain")]
    explain_order: bool,
    #[command(flatten)]
    output: Output,
}

/// What is replayed, and by which means that is worked out: shared by `generate` and `run`.
#[derive(Debug, clap::Args)]
pub struct Choice {
    /// Replay only ops for which this SQL predicate holds (columns of the table ops)
    ///
    /// It is asked after the model has seen every event, so descriptors and offsets stay right: opens and closes of every
    /// descriptor that a chosen op uses are kept too, and positions are set where calls are left out. What calls do that are left
    /// out counts as done by somebody else: the files that chosen ops need are there from the start.
    #[arg(long = "where", value_name = "SQL")]
    where_: Option<String>,
    /// Do not replay what is under this path (may be given several times)
    #[arg(long, value_name = "PATH")]
    ignore: Vec<PathBuf>,
    /// Replay what is under this path, although it is on a pseudo or memory file system (may be given several times)
    #[arg(long, value_name = "PATH")]
    keep: Vec<PathBuf>,
    /// Leave out what ops waited for beside files (pipes, wakes, timers) and how long their threads computed
    #[arg(long)]
    no_cause: bool,
    /// Read SQL stages from this directory: edited ones instead of the built-in ones, and new ones that add tables (docs/WHATIF.md)
    #[arg(long, value_name = "DIR")]
    sql_dir: Option<PathBuf>,
    /// Let these stages read and write any file: COPY, CREATE EXTERNAL TABLE, FROM 'file.parquet', SET
    #[arg(long)]
    allow_files: bool,
    /// Memory for sorts and aggregations before they spill to disk, bytes with unit K, M or G; of a fleet for each host of those
    /// that are made at a time, as many as there are processors
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = typed::bytes)]
    memory: u64,
}

impl Choice {
    /// Is nothing chosen?
    pub fn is_usual(&self) -> bool {
        self.where_.is_none() && self.ignore.is_empty() && self.keep.is_empty() && self.sql_dir.is_none() && !self.no_cause
    }

    /// The options of `generate` for this choice.
    pub fn options(self, capture: PathBuf, out: PathBuf, threads: Option<usize>) -> generate::Options {
        let Choice { where_, ignore, keep, no_cause, sql_dir, allow_files, memory } = self;
        let what_if = WhatIf::default();
        let causes = if no_cause { Causes::LeftOut } else { Causes::Followed };
        let (explain_order, access) = (false, Access::of(allow_files));
        let merge = Vec::new();
        generate::Options {
            capture,
            out,
            where_,
            what_if,
            merge,
            sql_dir,
            ignore,
            keep,
            causes,
            threads,
            explain_order,
            memory,
            access,
        }
    }
}

impl Args {
    pub fn run(mut self) -> Result<Exit> {
        self.capture = store::place(self.capture)?;
        let spool = match &self.out {
            Some(out) => Spool::of(out, self.spool.take())?,
            None => None,
        };
        // With --dry-run the place itself is named.
        if let (Some(spool), false) = (&spool, self.output.dry_run) {
            self.out = Some(spool.dir().to_owned());
        }
        let dry_run = self.output.dry_run;
        let exit = self.make()?;
        match spool {
            Some(spool) if !dry_run => ui::watched(|progress| spool.send(progress))?,
            _ => {}
        }
        Ok(exit)
    }

    fn make(mut self) -> Result<Exit> {
        if let (Some(hosts), None) = (fleet::of(&self.capture)?, &self.explain) {
            return self.fleet(&hosts);
        }
        self.capture = given::dataset(self.capture, Kind::Capture)?;
        if let Some(stage) = &self.explain {
            let what_if = self.what_if.what_if();
            let options = generate::Options {
                what_if,
                merge: self.merge,
                ..self.choice.options(self.capture, self.out.unwrap_or_default(), None)
            };
            ui::say(generate::explain(&options, stage)?.trim_end())?;
            return Ok(Exit::Done);
        }
        let out = self.out.context("say where the workload goes: -o WORKLOAD")?;
        if self.output.dry_run {
            let capture = Dataset::expect(&self.capture, Kind::Capture)?;
            values::vacant(&out)?;
            let would =
                vec![format!("read the capture {}", capture.dir.display()), format!("write a workload to {}", out.display())];
            self.output.format.print(&Plan::new(would))?;
            return Ok(Exit::Done);
        }
        let explain_order = self.explain_order;
        let merge = self.merge.into_iter().map(|other| given::dataset(other, Kind::Capture)).collect::<Result<Vec<_>>>()?;
        let options = generate::Options {
            what_if: self.what_if.what_if(),
            explain_order,
            merge,
            ..self.choice.options(self.capture, out, None)
        };
        let summary = ui::watched(|progress| generate::run(&options, progress))?;
        self.output.format.print(&summary)?;
        Ok(Exit::Done)
    }

    /// The same for the capture of each host of a fleet.
    fn fleet(self, hosts: &[PathBuf]) -> Result<Exit> {
        ensure!(self.merge.is_empty(), "--merge is for captures of one machine, and a fleet has several");
        let out = self.out.context("say where the workloads go: -o WORKLOADS")?;
        if self.output.dry_run {
            hosts.iter().try_for_each(|host| Dataset::expect(host, Kind::Capture).map(drop))?;
            drop(Place::begin(&out)?);
            let would = format!("write the workloads of {} hosts below {}", hosts.len(), out.display());
            self.output.format.print(&Plan::new(vec![would]))?;
            return Ok(Exit::Done);
        }
        let options = generate::Options {
            what_if: self.what_if.what_if(),
            explain_order: self.explain_order,
            ..self.choice.options(self.capture, out, None)
        };
        let summary = ui::watched(|progress| generate::hosts::run(hosts, &options, progress))?;
        self.output.format.print(&summary)?;
        Ok(Exit::Done)
    }
}
