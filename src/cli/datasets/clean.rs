//! `ioriot clean`: deletes what init moved aside and what killed writers left; more when asked.

use super::super::Exit;
use super::super::ui::{Output, Plan};
use crate::amount::Bytes;
use crate::files;
use crate::init::{self, Found, Thing};
use crate::store;
use crate::text;
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Delete old trees, unfinished datasets and, when asked, trees and runs
///
/// Looks at the directories named, what is in them and one level further. Deletes only what ioriot itself made: trees
/// that `init --force` moved aside, mapped parts of trees that are gone, and datasets that a killed command left
/// unfinished; with a tree go its parts on other file systems. What somebody works in is left. Lists the rest. Asks first
/// on a terminal.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot clean --dry-run                                  # what would be deleted here, and its size
  ioriot clean /mnt/nvme1 --yes                           # without asking
  ioriot clean matrix.ioriot --roots --runs               # all but the capture and the workload")]
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
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Summary {
    deleted: Vec<Found>,
    /// What was found and left, since nobody asked for it or it could not be deleted.
    left: Vec<Found>,
    /// What was asked for and left, since somebody works in it.
    busy: Vec<Busy>,
}

#[derive(Debug, Serialize)]
struct Busy {
    found: Found,
    /// Who.
    by: String,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.deleted.is_empty() && self.busy.is_empty() {
            writeln!(f, "There was nothing to delete.")?;
        }
        self.deleted.iter().try_for_each(|found| writeln!(f, "deleted {}", describe(found)))?;
        self.busy.iter().try_for_each(|Busy { found, by }| writeln!(f, "left {}: {by}", describe(found)))?;
        self.left.iter().try_for_each(|found| writeln!(f, "left {}", describe(found)))
    }
}

/// What it is, where, and the space it takes.
fn describe(found: &Found) -> String {
    let thing = match found.thing {
        Thing::Root => "the tree (--roots)",
        Thing::Old => "the old tree",
        Thing::Mapped => "the part, which goes with its tree,",
        Thing::Orphan => "the part of a tree that is gone",
        Thing::Run => "the run (--runs)",
        Thing::Unfinished => "the unfinished dataset",
        Thing::Begun => "the prediction without a run",
        Thing::Tries => "what a killed reduce tried",
    };
    let name = |path: &Path| text::shown(&text::encode(path.as_os_str().as_bytes())).into_owned();
    let parts: String = found.places.iter().map(|place| format!(" with {}", name(place))).collect();
    format!("{thing} {}{parts}, {}", name(&found.path), Bytes(found.bytes))
}

/// Asks on the terminal whether all this may go; without a terminal the answer is yes: the options have decided.
fn agreed(doomed: &[Found]) -> Result<bool> {
    if doomed.is_empty() || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(true);
    }
    let mut text = String::new();
    doomed.iter().for_each(|found| text.push_str(&format!("{}\n", describe(found))));
    let mut asks = io::stderr();
    write!(asks, "{}Delete all of this? [y/N] ", text::shown_lines(&text)).context("cannot ask")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        if let Some(url) = self.dirs.iter().find(|dir| store::is(dir)) {
            bail!("{} is in a store: `ioriot copy --discard URL` deletes what a copy that was cut short has left", url.display());
        }
        let found = init::find_all(&self.dirs)?;
        let asked = |found: &Found| match found.thing {
            Thing::Old | Thing::Orphan | Thing::Unfinished | Thing::Begun | Thing::Tries => true,
            Thing::Mapped => false,
            Thing::Root => self.roots,
            Thing::Run => self.runs,
        };
        let (doomed, mut left): (Vec<_>, Vec<_>) = found.into_iter().partition(asked);
        if self.output.dry_run {
            let would = doomed.iter().map(|found| format!("delete {}", describe(found))).collect();
            self.output.format.print(&Plan::new(would))?;
            return Ok(Exit::Done);
        }
        if !self.yes && !agreed(&doomed)? {
            left.extend(doomed);
            self.output.format.print(&Summary { deleted: Vec::new(), left, busy: Vec::new() })?;
            return Ok(Exit::Done);
        }
        let (mut deleted, mut busy, mut failed) = (Vec::<Found>::new(), Vec::new(), None);
        for found in doomed {
            if deleted.iter().any(|gone| gone.holds(&found)) {
                continue;
            }
            match init::remove(&found) {
                Ok(()) => deleted.push(found),
                Err(error) => match files::busy(&error) {
                    Some(by) => busy.push(Busy { found, by }),
                    None => {
                        failed.get_or_insert(error);
                        left.push(found);
                    }
                },
            }
        }
        // What is gone is said, whatever could not be deleted.
        self.output.format.print(&Summary { deleted, left, busy })?;
        failed.map_or(Ok(Exit::Done), Err)
    }
}
