//! The root: a directory that holds the tree of one replay and a stamp that says what state the tree is in.
//!
//! ```text
//! ROOT/.ioriot-root.json   the stamp
//! ROOT/.ioriot-inodes      which inode init made for each entry, for a reset
//! ROOT/.ioriot-lock        locked by who works in the root
//! ROOT/tree/               what the replay sees as /
//! ```
//! The stamp stands beside the tree and not in it, so that a replayed program finds nothing that was not captured. A place
//! that a captured directory is mapped to is built the same way; its stamp names the root it belongs to.

use super::data::Data;
use super::map::Mapping;
use crate::files::{Dir, Lock};
use crate::schema::Dataset;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub(super) const STAMP: &str = ".ioriot-root.json";
/// The stamp while it is being written.
pub(super) const STAMP_ASIDE: &str = ".ioriot-root.new";
/// The inodes.
const INODES: &str = ".ioriot-inodes";
/// The file whose lock says that somebody works in the root (flock(2)).
const LOCK: &str = ".ioriot-lock";
/// All that a root holds.
const OURS: [&str; 5] = [STAMP, STAMP_ASIDE, INODES, LOCK, "tree"];

/// State of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Init has begun and not finished, or could not make every entry.
    Incomplete,
    /// Made, and no replay has run in it.
    Fresh,
    /// A replay has run in it.
    Used,
}

impl State {
    /// The word in the stamp.
    pub const fn name(self) -> &'static str {
        match self {
            State::Incomplete => "incomplete",
            State::Fresh => "fresh",
            State::Used => "used",
        }
    }
}

/// What a root says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    /// State of the tree.
    pub state: State,
    /// Fingerprint of the workload it was made for.
    pub fingerprint: String,
    /// Where that workload was, for people.
    pub workload: String,
    /// Version of the ioriot that made it.
    pub ioriot: String,
    /// What its files hold, and what a replay in it writes.
    #[serde(default)]
    pub data: Data,
    /// Are ranges that no op reads holes?
    #[serde(default)]
    pub sparse_unread: bool,
    /// Captured directories that lie elsewhere.
    #[serde(default)]
    pub maps: Vec<Mapping>,
    /// Of a mapped place: the root it belongs to.
    #[serde(default)]
    pub part_of: Option<PathBuf>,
    /// When init was done, by the clock of each part's file system, ns: whatever changed since has a later ctime.
    #[serde(default)]
    pub made: Vec<i64>,
}

impl Stamp {
    /// The stamp of a tree that is about to be made for a workload.
    pub fn new(workload: &Dataset, data: Data, sparse_unread: bool, maps: Vec<Mapping>) -> Stamp {
        Stamp {
            state: State::Incomplete,
            fingerprint: fingerprint(workload),
            workload: workload.dir.display().to_string(),
            ioriot: env!("CARGO_PKG_VERSION").into(),
            data,
            sparse_unread,
            maps,
            part_of: None,
            made: Vec::new(),
        }
    }
}

/// A root directory.
#[derive(Clone, Debug)]
pub struct Root {
    dir: PathBuf,
}

impl Root {
    /// The root in `dir`, which need not exist yet.
    pub fn new(dir: &Path) -> Root {
        Root { dir: std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()) }
    }

    /// The default root of a workload: `WORKLOAD.root` beside it.
    pub fn beside(workload: &Path) -> PathBuf {
        let mut name = workload.components().as_path().as_os_str().to_owned();
        name.push(".root");
        name.into()
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory that becomes `/`.
    pub fn tree(&self) -> PathBuf {
        self.dir.join("tree")
    }

    /// The stamp; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn stamp(&self) -> Result<Option<Stamp>> {
        let path = self.dir.join(STAMP);
        match fs::read(&path) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Where the inodes are.
    pub fn inodes(&self) -> PathBuf {
        self.dir.join(INODES)
    }

    /// Sets the state of a root that has a stamp; durable when it returns.
    ///
    /// # Errors
    /// When it has none, or it cannot be written.
    pub fn mark(&self, state: State) -> Result<()> {
        let Some(stamp) = self.stamp()? else { bail!("{} has lost its stamp", self.dir.display()) };
        self.write(&Stamp { state, ..stamp })
    }

    /// Writes the stamp; durable when it returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, stamp: &Stamp) -> Result<()> {
        let aside = self.dir.join(STAMP_ASIDE);
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
            file.write_all(serde_json::to_string_pretty(stamp)?.as_bytes())?;
            file.sync_all()?;
            fs::rename(&aside, self.dir.join(STAMP))?;
            File::open(&self.dir)?.sync_all()
        };
        write().with_context(|| format!("cannot stamp {}", self.dir.display()))
    }

    /// Takes the root for oneself, if there is one: nobody else makes, resets, replays in or deletes it meanwhile.
    ///
    /// # Errors
    /// When somebody else has it, or the lock cannot be made.
    pub fn held(&self) -> Result<Option<Lock>> {
        if self.stamp()?.is_none() { Ok(None) } else { self.hold().map(Some) }
    }

    fn hold(&self) -> Result<Lock> {
        let dir = self.dir.display();
        let held = || -> std::io::Result<Lock> {
            let dir = Dir::open(&self.dir)?;
            let file = match dir.create(LOCK) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => dir.file(LOCK),
                made => made,
            };
            Lock::alone(file?)
        };
        held().with_context(|| format!("{dir} is not free"))
    }

    /// The places that belong to this root and are there.
    pub fn places(&self, stamp: &Stamp) -> Vec<Root> {
        let mine = |place: &Root| matches!(place.stamp(), Ok(Some(stamp)) if stamp.part_of.as_deref() == Some(&self.dir));
        stamp.maps.iter().map(|map| Root::new(&map.place)).filter(mine).collect()
    }

    /// Makes the root and its empty tree. A tree that stands there is moved aside, with all that belongs to it, when `force`
    /// is set.
    ///
    /// Returns where an old tree went, and the lock of the new one.
    ///
    /// # Errors
    /// When the place is taken: by something else than a root always, by a root without `force` or one that somebody works in.
    pub fn make(&self, force: bool, stamp: &Stamp) -> Result<(Option<PathBuf>, Lock)> {
        let old = if force { self.held()? } else { None };
        let moved = match self.free(force)? {
            None => None,
            Some(old) => Some(
                self.move_aside(&old)
                    .with_context(|| format!("cannot move the {} tree in {} aside", old.state.name(), self.dir.display()))?,
            ),
        };
        // Owner only: a tree may hold setuid modes and device-like names that are nobody else's business.
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&self.dir).with_context(|| format!("cannot make {}", self.dir.display()))?;
        drop(old);
        let lock = self.hold()?;
        // Another init may have come first.
        self.free(false)?;
        self.write(stamp)?;
        let tree = self.tree();
        DirBuilder::new().mode(0o755).create(&tree).with_context(|| format!("cannot make {}", tree.display()))?;
        Ok((moved, lock))
    }

    /// Can a root be made here? The stamp of the one that would have to move aside.
    ///
    /// # Errors
    /// As [`Root::make`].
    pub fn free(&self, force: bool) -> Result<Option<Stamp>> {
        let old = self.look()?;
        if let Some(old) = old.as_ref().filter(|_| !force) {
            bail!(
                "{} holds a tree already ({}, made for {}): --force moves it aside{}, `ioriot clean` deletes old ones",
                self.dir.display(),
                old.state.name(),
                old.workload,
                if old.state == State::Incomplete { "" } else { ", --reset makes a used one as new again" },
            );
        }
        Ok(old)
    }

    /// The stamp of a root that is there, `None` for a free place, an error for anything else.
    fn look(&self) -> Result<Option<Stamp>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot look into {}", self.dir.display())),
        };
        let names = entries.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
        // An init that was killed before its first stamp was in place has made nothing yet.
        if names.iter().all(|name| *name == STAMP_ASIDE || *name == LOCK) {
            return Ok(None);
        }
        let foreign = names.iter().find(|name| !OURS.iter().any(|ours| *name == *ours));
        let stamp = self.stamp()?;
        ensure!(
            foreign.is_none() && stamp.is_some(),
            "{} holds {:?}, which ioriot did not make: choose another --root, or remove it yourself",
            self.dir.display(),
            foreign.unwrap_or(&names[0]),
        );
        Ok(stamp)
    }

    fn move_aside(&self, stamp: &Stamp) -> Result<PathBuf> {
        let moved = vacant(&self.dir)?;
        let mut stamp = stamp.clone();
        for place in self.places(&stamp) {
            let aside = vacant(&place.dir)?;
            fs::rename(&place.dir, &aside)?;
            for map in stamp.maps.iter_mut().filter(|map| map.place == place.dir) {
                map.place.clone_from(&aside);
            }
            let place = Root::new(&aside);
            if let Some(of_place) = place.stamp()? {
                place.write(&Stamp { part_of: Some(moved.clone()), ..of_place })?;
            }
        }
        self.write(&stamp)?;
        fs::rename(&self.dir, &moved)?;
        Ok(moved)
    }

    /// Refuses a root that is not fit for a replay of this workload.
    ///
    /// # Errors
    /// When it is no root, was made for another workload, or (unless `dirty`) is not fresh.
    pub fn check(&self, workload: &Dataset, dirty: bool) -> Result<Stamp> {
        let dir = self.dir.display();
        let Some(stamp) = self.stamp()? else {
            bail!("{dir} is not a root: `ioriot init {} --root {dir}` makes one", workload.dir.display());
        };
        ensure!(
            stamp.fingerprint == fingerprint(workload),
            "{dir} was made for another workload ({}): `ioriot init {} --root {dir} --force` makes it anew",
            stamp.workload,
            workload.dir.display(),
        );
        match stamp.state {
            _ if dirty => {}
            State::Fresh => {}
            State::Used => bail!(
                "{dir} is used: `ioriot init {} --root {dir} --reset` makes it as new (--force moves it aside), --dirty replays \
                 in it as it is",
                workload.dir.display(),
            ),
            // Nobody knows what is right in it, so there is nothing to reset it to.
            State::Incomplete => bail!(
                "{dir} is incomplete: `ioriot init {} --root {dir} --force` makes it anew, --dirty replays in it as it is",
                workload.dir.display(),
            ),
        }
        let places = self.places(&stamp);
        for map in &stamp.maps {
            ensure!(
                places.iter().any(|place| place.dir == map.place),
                "{} of {dir} is not in {} any more: `ioriot init {} --root {dir} --force` makes it anew",
                crate::text::encode(&map.captured),
                map.place.display(),
                workload.dir.display(),
            );
        }
        Ok(stamp)
    }
}

/// A free name beside a directory: `DIR.old-1`, `DIR.old-2` ...
fn vacant(dir: &Path) -> Result<PathBuf> {
    let base = dir.components().as_path().as_os_str();
    for number in 1..=u32::MAX {
        let mut name = base.to_owned();
        name.push(format!(".old-{number}"));
        let place = PathBuf::from(name);
        if place.symlink_metadata().is_err() {
            return Ok(place);
        }
    }
    bail!("no free name beside {}", dir.display())
}

/// Fingerprint of a workload, empty when its manifest has none.
pub fn fingerprint(workload: &Dataset) -> String {
    match workload.manifest.get("fingerprint") {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
