//! `ioriot reduce`: the smallest workload that is still of interest.

use super::super::ui::{self, Plan};
use super::super::{Exit, given, values};
use crate::amount::typed;
use crate::reduce;
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use anyhow::Result;
use std::path::PathBuf;
use std::time::Duration;

/// Reduce a workload to the smallest one for which a command still succeeds
///
/// Delta debugging: processes, threads, files, descriptors and calls are left out as long as the command exits with 0; then
/// entries of the file tree that no call needs. Each call keeps the earlier ones that its outcome may depend on, so
/// what is compared in a replay is still what was captured.
///
/// The command is run by /bin/sh; the part to look at is `$1`, and IORIOT_WORKLOAD in its environment. It has a directory of
/// its own, in which the command may make trees and runs; all of it is removed after each try. Exit code 0 means that the part is
/// of interest, 125 that this cannot be told (as for `git bisect run`), any other that it is not. It runs in a process group of
/// its own; nothing that it started is left after a try, daemons among them.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
After Ctrl-C the command is ended, and the smallest part that was found so far is written (exit code 130).

Examples:
  ioriot reduce work -o small --while './differs.sh \"$1\"'
  ioriot reduce work -o small --while './slow.sh \"$1\"' --tries 500 --timeout 1m --duration 1h")]
pub struct Args {
    /// The workload: a directory made by `ioriot generate`
    #[arg(value_name = "WORKLOAD")]
    workload: PathBuf,
    /// Directory to make for the reduced workload
    #[arg(short, long = "output", value_name = "SMALL")]
    out: PathBuf,
    /// Shell command that exits with 0 for a part that is of interest
    #[arg(long = "while", value_name = "COMMAND")]
    command: String,
    /// Run the command at most so many times
    #[arg(long, value_name = "N", value_parser = typed::count)]
    tries: Option<u64>,
    /// End a command that takes longer: it has not said whether the part is of interest
    #[arg(long, value_name = "TIME", value_parser = typed::duration)]
    timeout: Option<Duration>,
    /// Try nothing more after this time
    #[arg(long, value_name = "TIME", value_parser = typed::duration)]
    duration: Option<Duration>,
    #[command(flatten)]
    output: ui::Output,
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        let workload = given::dataset(self.workload, Kind::Workload)?;
        values::vacant(&self.out)?;
        if self.output.dry_run {
            let workload = Dataset::expect(&workload, Kind::Workload)?;
            let would = vec![
                format!("read the workload {}", workload.dir.display()),
                format!("run the command for parts of it in a directory beside {}", self.out.display()),
                format!("write a workload to {}", self.out.display()),
            ];
            self.output.format.print(&Plan::new(would))?;
            return Ok(Exit::Done);
        }
        let Args { out, command, tries, duration, timeout, .. } = self;
        let options = reduce::Options { workload, out, command, tries, duration, timeout };
        let summary = ui::watched(|progress| reduce::run(&options, progress))?;
        self.output.format.print(&summary)?;
        Ok(summary.signal.map_or(Exit::Done, Exit::Asked))
    }
}
