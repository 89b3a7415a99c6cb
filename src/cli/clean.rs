//! `ioriot clean`: deletes what init moved aside and what killed writers left; more when asked.

use super::Exit;
use super::ui::{Output, Plan};
use crate::init::{self, Found, Thing};
use anyhow::Result;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Delete old trees, unfinished datasets and, when asked, trees and runs
///
/// Looks at the directories named, what is in them and one level further. Deletes only what ioriot itself made: trees
/// that `init --force` moved aside and datasets that a killed command left unfinished.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot clean --dry-run                                  what would be deleted here, and its size
  ioriot clean /mnt/nvme1
  ioriot clean matrix.ioriot --roots --runs               all but the capture and the workload")]
pub struct Args {
    /// Directories to look in
    #[arg(value_name = "DIR", default_value = ".")]
    dirs: Vec<PathBuf>,
    /// Delete trees that are in their place, too
    #[arg(long)]
    roots: bool,
    /// Delete runs, too
    #[arg(long)]
    runs: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Summary {
    deleted: Vec<Found>,
    /// What was found and left, since nobody asked for it.
    left: Vec<Found>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.deleted.is_empty() {
            writeln!(f, "There was nothing to delete.")?;
        }
        self.deleted.iter().try_for_each(|found| writeln!(f, "deleted {}", describe(found)))?;
        self.left.iter().try_for_each(|found| writeln!(f, "left {}", describe(found)))
    }
}

/// What it is, where, and the space it takes.
fn describe(found: &Found) -> String {
    let thing = match found.thing {
        Thing::Root => "the tree (--roots)",
        Thing::Old => "the old tree",
        Thing::Run => "the run (--runs)",
        Thing::Unfinished => "the unfinished dataset",
    };
    format!("{thing} {}, {:.1} MiB", found.path.display(), found.bytes as f64 / f64::from(1 << 20))
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        let mut found = Vec::new();
        for dir in &self.dirs {
            found.extend(init::find(dir)?);
        }
        let asked = |found: &Found| match found.thing {
            Thing::Old | Thing::Unfinished => true,
            Thing::Root => self.roots,
            Thing::Run => self.runs,
        };
        let (doomed, left): (Vec<_>, Vec<_>) = found.into_iter().partition(asked);
        if self.output.dry_run {
            let would = doomed.iter().map(|found| format!("delete {}", describe(found))).collect();
            self.output.format.print(&Plan::new(would))?;
            return Ok(Exit::Done);
        }
        for found in &doomed {
            init::remove(found)?;
        }
        self.output.format.print(&Summary { deleted: doomed, left })?;
        Ok(Exit::Done)
    }
}
