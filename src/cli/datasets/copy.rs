//! `ioriot copy`: datasets to and from stores.

use super::super::Exit;
use super::super::ui::{self, Output, Plan};
use crate::copy;
use crate::schema::Dataset;
use crate::store;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Copy a dataset or a fleet to a store, or from one
///
/// What was copied is a dataset when all of it is there: its manifest goes last. A copy that was cut short goes on when it is begun
/// again, or is deleted with --discard.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot copy cap s3://bucket/fleet/host=web1             # credentials: docs/STORES.md
  ioriot copy s3://bucket/fleet/host=web1 cap
  ioriot copy --discard s3://bucket/fleet/host=web1       # what a copy that was cut has left there")]
pub struct Args {
    /// Dataset or fleet: a directory or a URL
    #[arg(value_name = "FROM", required_unless_present = "discard")]
    from: Option<PathBuf>,
    /// Where it goes: a URL or a directory
    #[arg(value_name = "TO", required_unless_present = "discard")]
    to: Option<PathBuf>,
    /// Delete what a copy to this URL has left that was cut short
    #[arg(long, value_name = "URL", conflicts_with_all = ["from", "to"])]
    discard: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        if let Some(url) = &self.discard {
            if self.output.dry_run {
                let would = format!("delete what an unfinished copy has left at {}", url.display());
                self.output.format.print(&Plan::new(vec![would]))?;
                return Ok(Exit::Done);
            }
            let bytes = copy::discard(url)?;
            ui::say(format_args!("deleted {}", crate::amount::Bytes(bytes)))?;
            return Ok(Exit::Done);
        }
        let (from, to) = self.from.zip(self.to).context("a dataset and a place for its copy are needed")?;
        let from = store::place(from)?;
        if self.output.dry_run {
            Dataset::open(&from)?;
            let would = format!("copy {} to {}", from.display(), to.display());
            self.output.format.print(&Plan::new(vec![would]))?;
            return Ok(Exit::Done);
        }
        let summary = ui::watched(|progress| copy::run(&from, &to, progress))?;
        self.output.format.print(&summary)?;
        Ok(Exit::Done)
    }
}
