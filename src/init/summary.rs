//! The summary of an init or a reset.

use super::fill::Skipped;
use super::from::Taken;
use super::layout::{Filled, Laid};
use super::plan::Entry;
use crate::amount::{Bytes, Nanos, Things};
use crate::model::Kind;
use crate::text;
use anyhow::{Result, ensure};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Most failed entries that are listed; all are counted.
const SHOWN: usize = 10;

/// What init or a reset did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Path of the root.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub root: PathBuf,
    /// New path of an old root that was moved aside; `None` if there was none.
    #[serde(serialize_with = "crate::text::path::maybe::serialize")]
    pub moved: Option<PathBuf>,
    /// File systems that were filled before (`--fill`).
    pub filled: Vec<Filled>,
    /// The mappings, for people: captured directories that lie outside the root, and where.
    pub mapped: Vec<String>,
    /// Kind of data that its files hold.
    pub data: String,
    /// Number of directories made.
    pub dirs: u64,
    /// Number of regular files made.
    pub files: u64,
    /// Number of symlinks made.
    pub links: u64,
    /// Number of FIFOs and sockets made.
    pub nodes: u64,
    /// Bytes of data written to files.
    pub bytes: u64,
    /// What was taken from elsewhere (`--from`); `None` when everything was made up.
    pub taken: Option<Taken>,
    /// How files lie, compared with how they lay (`--layout captured`); `None` when that was not asked for.
    pub laid: Option<Laid>,
    /// For a reset: how much was kept and removed; `None` for an init.
    pub reset: Option<Reset>,
    /// Counts of owners, modes, times and attributes that could not be set.
    pub skipped: Skipped,
    /// Notes for the user, e.g. on what a mapping changes.
    pub notes: Vec<String>,
    /// Number of entries that could not be made.
    pub errors: u64,
    /// Path and error of the first entries that could not be made, 10 at most.
    pub first_errors: Vec<String>,
    /// Wall time that it took, ns.
    pub wall: u64,
}

/// What a reset kept and removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reset {
    /// Number of entries that were unchanged.
    pub kept: u64,
    /// Number of files and directories that were removed, since they should not exist, or not like that.
    pub removed: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(moved) = &self.moved {
            writeln!(f, "The old tree is in {} now.", moved.display())?;
        }
        if let Some(Reset { kept, removed }) = self.reset {
            let (kept, removed) = (Things(kept, "entry"), Things(removed, "one"));
            writeln!(f, "Kept {kept} as they should be, removed {removed} that should not be there, or not like that.")?;
        }
        writeln!(
            f,
            "Made under {}: {}, {} with {} of data, {}, {}; in {}.",
            self.root.display(),
            Things(self.dirs, "directory"),
            Things(self.files, "file"),
            Bytes(self.bytes),
            Things(self.links, "symlink"),
            Things(self.nodes, "other"),
            Nanos(self.wall as i64),
        )?;
        self.taken.iter().try_for_each(|taken| write!(f, "{taken}"))?;
        self.filled.iter().try_for_each(|filled| write!(f, "{filled}"))?;
        self.laid.iter().try_for_each(|laid| write!(f, "{laid}"))?;
        for mapped in &self.mapped {
            writeln!(f, "Mapped {}.", text::shown(mapped))?;
        }
        for (count, what) in [
            (self.skipped.owners, "owners could not be given (that takes root)."),
            (self.skipped.modes, "set-group-id bits could not be set (that takes root, or being in the group)."),
            (self.skipped.times, "modification times could not be set."),
            (self.skipped.xattrs, "extended attributes could not be set."),
        ] {
            if count > 0 {
                writeln!(f, "{count} {what}")?;
            }
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{}", text::shown(note)))
    }
}

impl Summary {
    /// Whether every entry was made.
    pub fn ok(&self) -> bool {
        self.errors == 0
    }

    /// An error if the tree is not complete, that names what is missing.
    ///
    /// # Errors
    /// When an entry could not be made.
    pub fn whole(&self) -> Result<()> {
        let first: Vec<_> = self.first_errors.iter().map(|error| text::shown(error)).collect();
        let more = if self.errors > first.len() as u64 { " ..." } else { "" };
        ensure!(self.ok(), "{} could not be made: {}{more}", Things(self.errors, "entry"), first.join("; "));
        Ok(())
    }

    /// Counts an entry that was made.
    pub(super) fn made(&mut self, entry: &Entry) {
        match entry.kind {
            Kind::Dir => self.dirs += 1,
            Kind::File => {
                self.files += 1;
                self.bytes += entry.bytes();
            }
            Kind::Link => self.links += 1,
            Kind::Fifo | Kind::Socket => self.nodes += 1,
            Kind::Absent => {}
        }
    }

    /// Counts an entry that could not be made, with its error.
    pub(super) fn failed(&mut self, path: &[u8], error: &std::io::Error) {
        self.errors += 1;
        if self.first_errors.len() < SHOWN {
            self.first_errors.push(format!("{}: {error}", text::encode(path)));
        }
    }

    /// Adds what was taken from elsewhere.
    pub(super) fn add_taken(&mut self, taken: Option<Taken>) {
        match (&mut self.taken, taken) {
            (Some(all), Some(more)) => all.add(more),
            (all @ None, more) => *all = more,
            (Some(_), None) => {}
        }
    }

    /// Adds the counts of another thread.
    pub(super) fn add(&mut self, other: Summary) {
        self.dirs += other.dirs;
        self.files += other.files;
        self.links += other.links;
        self.nodes += other.nodes;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.skipped.add(other.skipped);
        self.add_taken(other.taken);
        self.first_errors.extend(other.first_errors);
        self.first_errors.truncate(SHOWN);
    }
}
