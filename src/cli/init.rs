//! `ioriot init`: the tree that a workload needs.

use super::Exit;
use super::ui::{self, Output, Plan};
use super::values;
use crate::init::{self, Root};
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use anyhow::Result;
use indicatif::HumanBytes;
use serde_json::Value;
use std::path::PathBuf;

/// Make the tree of files that a workload needs
///
/// Files are filled with data, not with holes, except where the captured file had holes. Refuses when there is not
/// enough space, and refuses a directory that holds anything it did not make.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot init work                                        the tree goes to work.root
  ioriot init work --root /mnt/nvme1/work.root
  ioriot init work --force                                an old tree is moved aside; `ioriot clean` deletes it
  ioriot init work --sparse-unread --threads 8")]
pub struct Args {
    /// The workload: a directory made by `ioriot generate`
    #[arg(value_name = "WORKLOAD")]
    workload: PathBuf,
    /// Directory of the tree (default: WORKLOAD.root)
    #[arg(long, value_name = "ROOT")]
    root: Option<PathBuf>,
    /// Move an old tree aside
    #[arg(long)]
    force: bool,
    /// Leave ranges that no op reads or writes as holes
    #[arg(long)]
    sparse_unread: bool,
    /// Threads that write files (default: one per processor)
    #[arg(long, value_name = "N", value_parser = values::threads)]
    threads: Option<usize>,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        let root = self.root.unwrap_or_else(|| Root::beside(&self.workload));
        if self.output.dry_run {
            let workload = Dataset::expect(&self.workload, Kind::Workload)?;
            let bytes = HumanBytes(workload.manifest.get("fileset_bytes").and_then(Value::as_u64).unwrap_or(0));
            let would = vec![
                format!("read the workload {}", workload.dir.display()),
                format!("make its tree, with {bytes} of data, in {}", root.display()),
            ];
            self.output.format.print(&Plan::new(would))?;
            return Ok(Exit::Done);
        }
        let options = init::Options {
            force: self.force,
            sparse_unread: self.sparse_unread,
            threads: self.threads.unwrap_or_else(values::processors),
            ..init::Options::new(self.workload, root)
        };
        let summary = ui::watched(|progress| init::run(&options, progress))?;
        self.output.format.print(&summary)?;
        // An entry that could not be made: the tree is not the one the workload needs.
        Ok(if summary.ok() { Exit::Done } else { Exit::Failed })
    }
}
