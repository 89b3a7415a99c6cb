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
//!
//! Stamp and tree are believed because nobody else can have put them there: the directory belongs to who runs this program
//! and is closed to everybody else. It is opened once, and everything in it is reached by that descriptor.

use super::stamp::{Stamp, State, fingerprint};
use super::{aside, clean};
use crate::files::{self, Dir, Lock};
use crate::schema::{Dataset, place};
use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

pub(super) const STAMP: &str = place::ROOT;
/// The stamp while it is being written.
pub(super) const STAMP_ASIDE: &str = ".ioriot-root.new";
/// The inodes.
pub(super) const INODES: &str = ".ioriot-inodes";
/// The file whose lock says that somebody works in the root (flock(2)).
const LOCK: &str = ".ioriot-lock";
/// What becomes `/`.
pub(super) const TREE: &str = "tree";
/// All that a root holds.
const OURS: [&str; 5] = [STAMP, STAMP_ASIDE, INODES, LOCK, TREE];

/// A root directory or a mapped place that is there: open, and for nobody but us.
#[derive(Debug)]
pub struct Root {
    dir: Dir,
}

/// A root that was made just now.
#[derive(Debug)]
pub struct Made {
    /// It.
    pub root: Root,
    /// Where a tree that stood there went.
    pub moved: Option<PathBuf>,
    /// Its lock.
    pub lock: Lock,
}

impl Root {
    /// The default root of a workload: `WORKLOAD.root` beside it.
    pub fn beside(workload: &Path) -> PathBuf {
        let mut name = workload.components().as_path().as_os_str().to_owned();
        name.push(".root");
        name.into()
    }

    /// Opens the root at a path; `None` when nothing there says that it is one.
    ///
    /// # Errors
    /// When it cannot be opened, or others could have made it what it is.
    pub fn open(path: &Path) -> Result<Option<Root>> {
        match Dir::open(&absolute(path)) {
            Ok(dir) => Root::of(dir),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
        }
    }

    /// The root that a directory is.
    ///
    /// # Errors
    /// As [`Root::open`].
    pub fn of(dir: Dir) -> Result<Option<Root>> {
        match dir.look(STAMP) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot look into {}", dir.path().display())),
        }
        files::private(&dir)?;
        Ok(Some(Root { dir }))
    }

    /// Its directory.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The directory that becomes `/`.
    ///
    /// # Errors
    /// When there is none.
    pub fn tree(&self) -> Result<Dir> {
        let opened = self.dir.dir(TREE).or_else(|error| match error.kind() {
            // A replay may have taken its owner's rights; a reset sees that it was changed and gives it its own again.
            ErrorKind::PermissionDenied => self.dir.unlock(TREE.as_bytes()).and_then(|()| self.dir.dir(TREE)),
            _ => Err(error),
        });
        opened.with_context(|| format!("cannot open {}", self.dir.at(TREE).display()))
    }

    /// The stamp.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn stamp(&self) -> Result<Stamp> {
        let shown = || self.dir.at(STAMP).display().to_string();
        let text = self.dir.text(STAMP).with_context(|| format!("cannot read {}", shown()))?;
        files::json(&text).with_context(|| format!("{} is damaged", shown()))
    }

    /// Sets the state; durable when it returns.
    ///
    /// # Errors
    /// When the stamp cannot be read or written.
    pub fn mark(&self, state: State) -> Result<()> {
        self.write(&Stamp { state, ..self.stamp()? })
    }

    /// Writes the stamp; durable when it returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, stamp: &Stamp) -> Result<()> {
        let write = || -> std::io::Result<()> {
            self.replace(STAMP_ASIDE, serde_json::to_string_pretty(stamp)?.as_bytes())?;
            self.dir.rename(STAMP_ASIDE, &self.dir, STAMP)?;
            self.dir.sync()
        };
        write().with_context(|| format!("cannot stamp {}", self.path().display()))
    }

    /// Writes a file of the root anew.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        match self.dir.unlink(name) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = self.dir.create(name)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Does it hold nothing but what ioriot makes?
    pub fn pure(&self) -> bool {
        names(&self.dir).is_ok_and(|names| foreign(&names).is_none())
    }

    /// Takes the root for oneself: nobody else makes, resets, replays in or deletes it meanwhile.
    ///
    /// # Errors
    /// When somebody else has it, or the lock cannot be made.
    pub fn hold(&self) -> Result<Lock> {
        let file = match self.dir.create(LOCK) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.dir.file(LOCK),
            made => made,
        };
        file.and_then(Lock::alone).with_context(|| format!("{} is not free", self.path().display()))
    }

    /// The places that belong to this root and are there.
    pub fn places(&self, stamp: &Stamp) -> Vec<Root> {
        let open = |path: &Path| Root::open(path).ok().flatten();
        let mine = |place: &Root| place.stamp().is_ok_and(|stamp| stamp.part_of.is_some_and(|of| self.is_at(&of)));
        stamp.maps.iter().filter_map(|map| open(&map.place)).filter(mine).collect()
    }

    /// Is it this directory that a path leads to? One directory has many paths.
    fn is_at(&self, path: &Path) -> bool {
        let found = Dir::open(path).and_then(|dir| dir.id());
        found.is_ok_and(|found| self.dir.id().is_ok_and(|id| id == found))
    }

    /// Makes a root and its empty tree. A tree that stands there is moved aside, with all that belongs to it, when `force`
    /// is set; an empty directory of ours becomes the root, closed to all others.
    ///
    /// When it cannot be made, a tree that stood there is put back.
    ///
    /// # Errors
    /// When the place is taken: by something else than a root always, by a root without `force` or one that somebody works in;
    /// or when others could put something else in its place.
    pub fn make(path: &Path, force: bool, stamp: &Stamp) -> Result<Made> {
        let path = absolute(path);
        let moved = Root::free(&path, force)?.map(|old| old.move_aside()).transpose()?;
        let made = Root::begin(&path, stamp);
        if let (Err(_), Some(moved)) = (&made, &moved) {
            aside::put_back(moved);
        }
        let (root, lock) = made?;
        Ok(Made { root, moved, lock })
    }

    fn begin(path: &Path, stamp: &Stamp) -> Result<(Root, Lock)> {
        let cannot = || format!("cannot make {}", path.display());
        let dir = match Dir::open(path) {
            Ok(dir) => {
                take(&dir)?;
                dir
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let (parent, name) = Dir::prepare(path).with_context(cannot)?;
                // Owner only: a tree may hold setuid modes and device-like names that are nobody else's business.
                parent.make(&name, 0o700).with_context(cannot)?
            }
            Err(error) => return Err(error).with_context(cannot),
        };
        files::private(&dir)?;
        let root = Root { dir };
        let lock = root.hold()?;
        // Another init may have come first.
        Root::free(path, false)?;
        let tree = || root.dir.make(TREE, 0o755).with_context(|| format!("cannot make {}", root.dir.at(TREE).display()));
        if let Err(error) = root.write(stamp).and_then(|()| tree().map(drop)) {
            let _ = clean::discard(&root);
            return Err(error);
        }
        Ok((root, lock))
    }

    /// Can a root be made here? The one that would have to move aside.
    ///
    /// # Errors
    /// As [`Root::make`].
    pub fn free(path: &Path, force: bool) -> Result<Option<Root>> {
        let shown = path.display();
        place::outside(path)?;
        let dir = match Dir::open(&absolute(path)) {
            Ok(dir) => dir,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot look into {shown}")),
        };
        let names = names(&dir)?;
        if unused(&names) {
            return Ok(None);
        }
        let foreign = foreign(&names);
        let Some(old) = Root::of(dir)?.filter(|_| foreign.is_none()) else {
            bail!(
                "{shown} holds {:?}, which ioriot did not make: choose another --root, or remove it yourself",
                foreign.unwrap_or(&names[0])
            )
        };
        let stamp = old.stamp()?;
        ensure!(
            force,
            "{shown} holds a tree already ({}, made for {}): --force moves it aside{}, `ioriot clean` deletes old ones",
            stamp.state.name(),
            stamp.workload,
            if stamp.state == State::Incomplete { "" } else { ", --reset makes a used one as new again" },
        );
        Ok(Some(old))
    }

    /// Opens the root that is to be used for a workload, and takes it for oneself; its stamp, too.
    ///
    /// # Errors
    /// When it is no root, not ours alone, in use, was made for another workload, or (unless `dirty`) is not fresh.
    pub fn check(path: &Path, workload: &Dataset, dirty: bool) -> Result<(Root, Stamp, Lock)> {
        let (dir, made_for) = (path.display(), workload.dir.display());
        let Some(root) = Root::open(path)? else {
            bail!("{dir} is not a root: `ioriot init {made_for} --root {dir}` makes one");
        };
        files::trusted(&root.dir)?;
        let lock = root.hold()?;
        let stamp = root.stamp()?;
        ensure!(
            stamp.fingerprint == fingerprint(workload),
            "{dir} was made for another workload ({}): `ioriot init {made_for} --root {dir} --force` makes it anew",
            stamp.workload,
        );
        match stamp.state {
            _ if dirty => {}
            State::Fresh => {}
            State::Used => bail!(
                "{dir} is used: `ioriot init {made_for} --root {dir} --reset` makes it as new (--force moves it aside), --dirty \
                 replays in it as it is",
            ),
            // Nobody knows what is right in it, so there is nothing to reset it to.
            State::Incomplete => {
                bail!(
                    "{dir} is incomplete: `ioriot init {made_for} --root {dir} --force` makes it anew, --dirty replays in it as it is"
                )
            }
        }
        Ok((root, stamp, lock))
    }
}

/// A path that means the same in every working directory.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn names(dir: &Dir) -> Result<Vec<OsString>> {
    let entries = dir.entries().with_context(|| format!("cannot look into {}", dir.path().display()))?;
    Ok(entries.into_iter().map(|(name, _)| name).collect())
}

/// Is nothing there? An init that was killed before its first stamp was in place has made nothing yet.
fn unused(names: &[OsString]) -> bool {
    names.iter().all(|name| name == STAMP_ASIDE || name == LOCK)
}

/// Something that no root holds.
fn foreign(names: &[OsString]) -> Option<&OsString> {
    names.iter().find(|name| OURS.iter().all(|ours| *name != ours))
}

/// Takes an empty directory of ours, so that nobody else can enter it.
fn take(dir: &Dir) -> Result<()> {
    files::close(dir)?;
    files::trusted(dir)?;
    // Only now nobody else can put anything into it.
    ensure!(unused(&names(dir)?), "{} is not empty any more", dir.path().display());
    Ok(())
}
