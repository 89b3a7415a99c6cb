//! What init says when it is done.

use super::fill::Skipped;
use super::plan::Entry;
use crate::amount::{Bytes, Nanos, Things};
use crate::model::Kind;
use crate::text;
use anyhow::{Result, ensure};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// How many failed entries are shown; all are counted.
const SHOWN: usize = 10;

/// What init did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// The root.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub root: PathBuf,
    /// Where a tree that stood there went.
    #[serde(serialize_with = "crate::text::path::maybe::serialize")]
    pub moved: Option<PathBuf>,
    /// Captured directories that lie elsewhere, and where.
    pub mapped: Vec<String>,
    /// What its files hold.
    pub data: String,
    /// Directories made.
    pub dirs: u64,
    /// Regular files made.
    pub files: u64,
    /// Symlinks made.
    pub links: u64,
    /// FIFOs and sockets made.
    pub nodes: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Of a reset: what was removed, and what was as it should be.
    pub reset: Option<Reset>,
    /// What was made without its owner, mode or attributes.
    pub skipped: Skipped,
    /// What to know before the replay.
    pub notes: Vec<String>,
    /// Entries that could not be made.
    pub errors: u64,
    /// The first of them.
    pub first_errors: Vec<String>,
    /// Wall time, ns.
    pub wall: u64,
}

/// What a reset found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reset {
    /// Entries that no replay had touched.
    pub kept: u64,
    /// What was there and should not be, or not like that.
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
    /// Was every entry made?
    pub fn ok(&self) -> bool {
        self.errors == 0
    }

    /// Refuses a tree that is not the one the workload needs.
    ///
    /// # Errors
    /// When an entry could not be made.
    pub fn whole(&self) -> Result<()> {
        let first: Vec<_> = self.first_errors.iter().map(|error| text::shown(error)).collect();
        let more = if self.errors > first.len() as u64 { " ..." } else { "" };
        ensure!(self.ok(), "{} could not be made: {}{more}", Things(self.errors, "entry"), first.join("; "));
        Ok(())
    }

    /// An entry was made.
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

    /// Something could not be done to a path.
    pub(super) fn failed(&mut self, path: &[u8], error: &std::io::Error) {
        self.errors += 1;
        if self.first_errors.len() < SHOWN {
            self.first_errors.push(format!("{}: {error}", text::encode(path)));
        }
    }

    /// Adds what another thread did.
    pub(super) fn add(&mut self, other: Summary) {
        self.dirs += other.dirs;
        self.files += other.files;
        self.links += other.links;
        self.nodes += other.nodes;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.skipped.add(other.skipped);
        self.first_errors.extend(other.first_errors);
        self.first_errors.truncate(SHOWN);
    }
}
