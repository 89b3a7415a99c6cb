//! The root: a directory that holds the tree of one replay and a stamp that says what state the tree is in.
//!
//! ```text
//! ROOT/.ioriot-root.json   the stamp
//! ROOT/tree/               what the replay sees as /
//! ```
//! The stamp stands beside the tree and not in it, so that a replayed program finds nothing that was not captured.

use crate::schema::Dataset;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const STAMP: &str = ".ioriot-root.json";
/// The stamp while it is being written.
const STAMP_ASIDE: &str = ".ioriot-root.new";

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// State of the tree.
    pub state: State,
    /// Fingerprint of the workload it was made for.
    pub fingerprint: String,
    /// Where that workload was, for people.
    pub workload: String,
    /// Version of the ioriot that made it.
    pub ioriot: String,
}

/// A root directory.
#[derive(Clone, Debug)]
pub struct Root {
    dir: PathBuf,
}

impl Root {
    /// The root in `dir`, which need not exist yet.
    pub fn new(dir: &Path) -> Root {
        Root { dir: dir.to_owned() }
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

    /// Sets the state; durable when it returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn mark(&self, state: State, workload: &Dataset) -> Result<()> {
        let stamp = Stamp {
            state,
            fingerprint: fingerprint(workload),
            workload: workload.dir.display().to_string(),
            ioriot: env!("CARGO_PKG_VERSION").into(),
        };
        let aside = self.dir.join(STAMP_ASIDE);
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
            file.write_all(serde_json::to_string_pretty(&stamp)?.as_bytes())?;
            file.sync_all()?;
            fs::rename(&aside, self.dir.join(STAMP))?;
            File::open(&self.dir)?.sync_all()
        };
        write().with_context(|| format!("cannot stamp {}", self.dir.display()))
    }

    /// Makes the root and its empty tree. A tree that stands there is moved aside when `force` is set.
    ///
    /// Returns where an old tree went.
    ///
    /// # Errors
    /// When the place is taken: by something else than a root always, by a root without `force`.
    pub fn make(&self, force: bool, workload: &Dataset) -> Result<Option<PathBuf>> {
        let moved = match self.look()? {
            None => None,
            Some(stamp) if force => Some(
                self.move_aside()
                    .with_context(|| format!("cannot move the {} tree in {} aside", stamp.state.name(), self.dir.display()))?,
            ),
            Some(stamp) => bail!(
                "{} holds a tree already ({}, made for {}): --force moves it aside, `ioriot clean` deletes old ones",
                self.dir.display(),
                stamp.state.name(),
                stamp.workload,
            ),
        };
        // Owner only: a tree may hold setuid modes and device-like names that are nobody else's business.
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&self.dir).with_context(|| format!("cannot make {}", self.dir.display()))?;
        self.mark(State::Incomplete, workload)?;
        let tree = self.tree();
        DirBuilder::new().mode(0o755).create(&tree).with_context(|| format!("cannot make {}", tree.display()))?;
        Ok(moved)
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
        if names.iter().all(|name| *name == STAMP_ASIDE) {
            return Ok(None);
        }
        let foreign = names.iter().find(|name| *name != STAMP && *name != "tree" && *name != STAMP_ASIDE);
        let stamp = self.stamp()?;
        ensure!(
            foreign.is_none() && stamp.is_some(),
            "{} holds {:?}, which ioriot did not make: choose another --root, or remove it yourself",
            self.dir.display(),
            foreign.unwrap_or(&names[0]),
        );
        Ok(stamp)
    }

    fn move_aside(&self) -> Result<PathBuf> {
        let base = self.dir.components().as_path().as_os_str().to_owned();
        for number in 1.. {
            let mut name = base.clone();
            name.push(format!(".old-{number}"));
            let place = PathBuf::from(name);
            if place.symlink_metadata().is_err() {
                fs::rename(&self.dir, &place)?;
                return Ok(place);
            }
        }
        bail!("no free name beside {}", self.dir.display())
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
        ensure!(
            dirty || stamp.state == State::Fresh,
            "{dir} is {}: `ioriot init {} --root {dir} --force` makes it anew, --dirty replays in it as it is",
            stamp.state.name(),
            workload.dir.display(),
        );
        Ok(stamp)
    }
}

/// Fingerprint of a workload, empty when its manifest has none.
pub fn fingerprint(workload: &Dataset) -> String {
    match workload.manifest.get("fingerprint") {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
