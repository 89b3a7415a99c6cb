//! Content from elsewhere (`--from`): a directory with the files of the captured machine below their captured paths, such as a
//! restored backup, a snapshot, or `/` where the machine is this one.
//!
//! ```text
//! entry ─▶ look: is it there, of what kind, how long? ─▶ take: share its blocks, else copy ─▶ what is left is made up
//!                     └─ counted with examples: missing, shorter, another kind ...
//! ```
//! The directory is only read. Everything in it is found beneath its descriptor without following a symlink, and nothing but a
//! regular file is opened ([`crate::files::Handle`]).

mod take;
mod taken;

pub use taken::{Difference, Taken};

use super::plan::Entry;
use super::reset::kind_of;
use crate::files::{Dir, Handle};
use crate::model::Kind;
use crate::text;
use crate::words::words;
use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::fs::fgetxattr;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Longest value of an extended attribute, bytes (XATTR_SIZE_MAX, limits.h).
const LONGEST: usize = 64 << 10;

words! {
    /// Whether files that are taken from elsewhere share their blocks with what they are taken from.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    Reflink {
        Auto  "auto"  "share blocks where the file system can, which takes no room until they are written; else copy";
        Never "never" "copy, so that files have blocks of their own, which the replay can overwrite in place";
    }
}

/// Where content is taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// A directory that has the files of the captured machine below their captured paths.
    #[serde(with = "text::path")]
    pub dir: PathBuf,
    /// Whether files share blocks with it.
    pub reflink: Reflink,
}

/// A source that is open, for one thread, with the counts of what was taken.
#[derive(Debug)]
pub struct Opened {
    dir: Dir,
    reflink: Reflink,
    buffer: Vec<u8>,
    /// What was taken so far.
    pub taken: Taken,
}

impl Source {
    /// The same source by its absolute path without symlinks.
    ///
    /// # Errors
    /// When there is no such directory.
    pub fn resolved(&self) -> Result<Source> {
        let dir = self.dir.canonicalize().with_context(|| format!("cannot take files from {}", self.dir.display()))?;
        Ok(Source { dir, ..self.clone() })
    }

    /// Opens the source.
    ///
    /// # Errors
    /// When it is no directory that can be read.
    pub fn open(&self) -> Result<Opened> {
        let dir = Dir::open(&self.dir).with_context(|| format!("cannot take files from {}", self.dir.display()))?;
        Ok(Opened { taken: Taken::new(&self.dir), dir, reflink: self.reflink, buffer: Vec::new() })
    }
}

impl Opened {
    /// The same source for another thread.
    ///
    /// # Errors
    /// When the process has too many descriptors.
    pub fn again(&self) -> std::io::Result<Opened> {
        let dir = self.dir.again()?;
        Ok(Opened { taken: Taken::new(dir.path()), dir, reflink: self.reflink, buffer: Vec::new() })
    }

    /// Looks whether the source has an entry as the fileset has it, and counts what differs. Returns the file when both have a
    /// regular one, whose content can be taken.
    pub fn look(&mut self, entry: &Entry) -> Option<Handle> {
        if entry.same().is_some() {
            return None; // another name of a file that is looked at by its first one
        }
        let handle = match self.dir.find(&entry.path) {
            Ok(handle) => handle,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                self.taken.differ(Difference::Missing, &entry.path, "");
                return None;
            }
            Err(error) => {
                self.taken.differ(Difference::Unreadable, &entry.path, &error.to_string());
                return None;
            }
        };
        let (stat, kind) = (handle.stat(), kind_of(handle.stat()));
        if kind != entry.kind {
            let found = if kind == Kind::Absent { "device" } else { kind.name() };
            self.taken.differ(Difference::Kind, &entry.path, &format!("{found}, captured as {}", entry.kind.name()));
            return None;
        }
        self.taken.found += 1;
        let mode = stat.st_mode & 0o7777;
        if let Some(captured) = entry.mode.filter(|captured| *captured != mode && kind != Kind::Link) {
            self.taken.differ(Difference::Mode, &entry.path, &format!("{mode:04o}, captured as {captured:04o}"));
        }
        match kind {
            Kind::Link if handle.target().is_ok_and(|target| target != entry.target) => {
                self.taken.differ(Difference::Target, &entry.path, "");
                None
            }
            Kind::File => {
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                let said = || format!("{size} bytes, captured as {}", entry.size);
                match size.cmp(&entry.size) {
                    std::cmp::Ordering::Less => self.taken.differ(Difference::Shorter, &entry.path, &said()),
                    std::cmp::Ordering::Greater => self.taken.differ(Difference::Longer, &entry.path, &said()),
                    std::cmp::Ordering::Equal => {}
                }
                Some(handle)
            }
            _ => None,
        }
    }

    /// The value of an extended attribute of an entry that is a regular file or a directory; `None` where the source has none, or it may
    /// not be read. Nothing is counted.
    pub fn attribute(&self, entry: &Entry, name: &[u8]) -> Option<Vec<u8>> {
        let found = self.dir.find(&entry.path).ok().filter(|found| kind_of(found.stat()) == entry.kind)?;
        let mut value = Vec::with_capacity(LONGEST);
        match entry.kind {
            Kind::File => fgetxattr(found.open().ok()?, name, spare_capacity(&mut value)),
            Kind::Dir => fgetxattr(self.dir.below(&entry.path).ok()?, name, spare_capacity(&mut value)),
            _ => return None,
        }
        .ok()?;
        Some(value)
    }

    /// Bytes that the source has of an entry; nothing is counted.
    pub fn has(&self, entry: &Entry) -> u64 {
        let found = self.dir.find(&entry.path).ok().filter(|found| kind_of(found.stat()) == Kind::File);
        found.map_or(0, |found| u64::try_from(found.stat().st_size).unwrap_or(0).min(entry.size))
    }

    /// Whether files that are made in a directory could share blocks with the first file of these that the source has: tried with
    /// a file that has no name.
    pub fn shares(&self, place: &Path, entries: &[Entry]) -> bool {
        let files = entries.iter().filter(|entry| entry.kind == Kind::File && entry.size > 0);
        let mut opened = files.filter_map(|entry| self.dir.find(&entry.path).ok()?.open().ok());
        match (self.reflink, opened.next()) {
            (Reflink::Never, _) | (_, None) => false,
            (Reflink::Auto, Some(from)) => {
                let made = Dir::open(place).and_then(|place| place.nameless());
                made.is_ok_and(|to| take::probe(&from, &to).is_ok())
            }
        }
    }
}
