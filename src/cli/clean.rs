//! `ioriot clean`: deletes what init moved aside and what killed writers left.

use super::Exit;
use super::ui::{Output, Plan};
use super::verbs::clean;
use anyhow::Result;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Delete old trees that were moved aside, and unfinished datasets
///
/// Looks in the directories named and deletes only what ioriot itself made.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot clean --dry-run                                  what would be deleted here
  ioriot clean /mnt/nvme1
  ioriot clean matrix.ioriot")]
pub struct Args {
    /// Directories to look in (default: the current one)
    #[arg(value_name = "DIR", default_value = ".")]
    dirs: Vec<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Summary {
    removed: Vec<clean::Found>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.removed.is_empty() {
            return writeln!(f, "There was nothing to delete.");
        }
        self.removed.iter().try_for_each(|found| writeln!(f, "deleted {}", found.path.display()))
    }
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        let mut found = Vec::new();
        for dir in &self.dirs {
            found.extend(clean::find(dir)?);
        }
        if self.output.dry_run {
            let would = found.iter().map(|found| format!("delete {}", found.path.display())).collect();
            self.output.format.print(&Plan::new(would))?;
            return Ok(Exit::Done);
        }
        for found in &found {
            clean::remove(found)?;
        }
        self.output.format.print(&Summary { removed: found })?;
        Ok(Exit::Done)
    }
}
