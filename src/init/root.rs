//! The root: a directory that holds the tree of one replay and a stamp that says what state the tree is in.
//!
//! ```text
//! ROOT/.ioriot-root.json   the stamp
//! ROOT/.ioriot-inodes      which inode init made for each entry, for a reset
//! ROOT/.ioriot-lock        locked by who works in the root
//! ROOT/.ioriot-fill/       what fills the file system (--fill)
//! ROOT/tree/               what the replay sees as /
//! ```
//! The stamp lies beside the tree and not in it, so that a replayed program finds nothing that was not captured. A place that
//! a captured directory is mapped to is built the same way; its stamp names the root it belongs to.
//!
//! Stamp and tree are trusted because nobody else can have put them there: the directory belongs to whoever runs this program
//! and is closed to everybody else. It is opened once, and everything in it is reached by that descriptor.

use super::layout::FILLER;
use super::stamp::{Stamp, State, fingerprint};
use super::{aside, clean};
use crate::files::{self, Dir, Lock};
use crate::process::signal;
use crate::schema::{Dataset, place};
use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Name of the stamp in a root.
pub(super) const STAMP: &str = place::ROOT;
/// Name of the stamp while it is being written.
pub(super) const STAMP_ASIDE: &str = ".ioriot-root.new";
/// Name of the file with the inode of each entry that is no directory, 8 bytes each, little-endian.
pub(super) const INODES: &str = ".ioriot-inodes";
/// Name of the file whose lock (flock(2)) says that a command works in the root.
const LOCK: &str = ".ioriot-lock";
/// Name of the directory in a root that becomes `/` of the replay.
pub(super) const TREE: &str = "tree";
/// Names of everything that ioriot makes in a root.
const OURS: [&str; 6] = [STAMP, STAMP_ASIDE, INODES, LOCK, TREE, FILLER];

/// A root or a mapped place that exists: its open directory, accessible to nobody but us.
#[derive(Debug)]
pub struct Root {
    dir: Dir,
}

/// A root or place that was just made.
#[derive(Debug)]
pub struct Made {
    /// The root or place that was made, open.
    pub root: Root,
    /// New path of an old root that was moved aside for it.
    pub moved: Option<PathBuf>,
    /// The lock of the new root.
    pub lock: Lock,
}

impl Root {
    /// The default root of a workload: `WORKLOAD.root` beside it.
    pub fn beside(workload: &Path) -> PathBuf {
        let mut name = workload.components().as_path().as_os_str().to_owned();
        name.push(".root");
        name.into()
    }

    /// Opens the root at a path; `None` when nothing exists there or it has no stamp.
    ///
    /// # Errors
    /// When it cannot be opened, or other users could have made or changed it.
    pub fn open(path: &Path) -> Result<Option<Root>> {
        match Dir::open(&absolute(path)) {
            Ok(dir) => Root::of(dir),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
        }
    }

    /// The root in this directory; `None` when it has no stamp.
    ///
    /// # Errors
    /// As for [`Root::open`].
    pub fn of(dir: Dir) -> Result<Option<Root>> {
        match dir.look(STAMP) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot look into {}", dir.path().display())),
        }
        files::private(&dir)?;
        Ok(Some(Root { dir }))
    }

    /// The directory of the root, open.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Absolute path of the root.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Opens the tree: the directory that becomes `/` of the replay.
    ///
    /// # Errors
    /// When it does not exist or cannot be opened.
    pub fn tree(&self) -> Result<Dir> {
        let opened = self.dir.dir(TREE).or_else(|error| match error.kind() {
            // A replay may have removed the permissions of its owner; a reset sees that it was changed and restores them.
            ErrorKind::PermissionDenied => self.dir.unlock(TREE.as_bytes()).and_then(|()| self.dir.dir(TREE)),
            _ => Err(error),
        });
        opened.with_context(|| format!("cannot open {}", self.dir.at(TREE).display()))
    }

    /// Reads the stamp.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn stamp(&self) -> Result<Stamp> {
        let shown = || self.dir.at(STAMP).display().to_string();
        let text = self.dir.text(STAMP).with_context(|| format!("cannot read {}", shown()))?;
        files::json(&text).with_context(|| format!("{} is damaged", shown()))
    }

    /// Sets the state in the stamp; durable when it returns.
    ///
    /// # Errors
    /// When the stamp cannot be read or written.
    pub fn mark(&self, state: State) -> Result<()> {
        self.write(&Stamp { state, ..self.stamp()? })
    }

    /// Replaces the stamp atomically; durable when it returns.
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

    /// Removes a file of the root, if it exists, and writes it anew; durable when it returns.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        match self.dir.unlink(name) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = self.dir.create(name)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Whether the root contains nothing but what ioriot makes.
    pub fn pure(&self) -> bool {
        names(&self.dir).is_ok_and(|names| foreign(&names).is_none())
    }

    /// Locks the root, so that no other command makes, resets, replays in or deletes it meanwhile.
    ///
    /// # Errors
    /// When another command holds the lock, or it cannot be made.
    pub fn hold(&self) -> Result<Lock> {
        let file = match self.dir.create(LOCK) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.dir.file(LOCK),
            made => made,
        };
        file.and_then(Lock::alone).with_context(|| format!("{} is not free", self.path().display()))
    }

    /// The places of the stamp's mappings that exist and belong to this root.
    pub fn places(&self, stamp: &Stamp) -> Vec<Root> {
        let open = |path: &Path| Root::open(path).ok().flatten();
        let mine = |place: &Root| place.stamp().is_ok_and(|stamp| stamp.part_of.is_some_and(|of| self.is_at(&of)));
        stamp.maps.iter().filter_map(|map| open(&map.place)).filter(mine).collect()
    }

    /// Whether a path leads to this root's directory; one directory can have many paths.
    fn is_at(&self, path: &Path) -> bool {
        let found = Dir::open(path).and_then(|dir| dir.id());
        found.is_ok_and(|found| self.dir.id().is_ok_and(|id| id == found))
    }

    /// Makes a root with an empty tree. An existing root is moved aside, with its places, when `force` is set; an empty
    /// directory of ours becomes the root, closed to all others.
    ///
    /// When it cannot be made, an old root that was moved aside is moved back.
    ///
    /// # Errors
    /// When the path is taken: by something other than a root, by a root without `force`, or by a root that another command
    /// works in; or when other users could put something else in its place.
    pub fn make(path: &Path, force: bool, stamp: &Stamp) -> Result<Made> {
        files::no_url(path)?;
        let path = resolved(path);
        let moved = Root::free(&path, force)?.map(|old| old.move_aside()).transpose()?;
        let made = Root::begin(&path, stamp);
        if let (Err(_), Some(moved)) = (&made, &moved) {
            aside::put_back(moved);
        }
        let (root, lock) = made?;
        Ok(Made { root, moved, lock })
    }

    /// Makes a root where none is: its directory, lock, stamp and empty tree; all or nothing of it when a signal ends the process.
    fn begin(path: &Path, stamp: &Stamp) -> Result<(Root, Lock)> {
        signal::undivided(|| Root::begin_at(path, stamp))
    }

    fn begin_at(path: &Path, stamp: &Stamp) -> Result<(Root, Lock)> {
        let cannot = || format!("cannot make {}", path.display());
        let dir = match Dir::open(path) {
            Ok(dir) => {
                take(&dir)?;
                dir
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let (parent, name) = Dir::prepare(path).with_context(cannot)?;
                // Accessible to the owner only: a tree may hold setuid modes and names that are nobody else's business.
                parent.make(&name, 0o700).with_context(cannot)?
            }
            Err(error) => return Err(error).with_context(cannot),
        };
        files::private(&dir)?;
        let root = Root { dir };
        let lock = root.hold()?;
        // Checked again under the lock: another init may have come first.
        Root::free(path, false)?;
        let tree = || root.dir.make(TREE, 0o755).with_context(|| format!("cannot make {}", root.dir.at(TREE).display()));
        if let Err(error) = root.write(stamp).and_then(|()| tree().map(drop)) {
            let _ = clean::discard(&root);
            return Err(error);
        }
        Ok((root, lock))
    }

    /// Checks whether a root can be made here. Returns the old root that would have to be moved aside, if there is one.
    ///
    /// # Errors
    /// As for [`Root::make`].
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

    /// Opens and locks the root that is to be used for a workload, and reads its stamp.
    ///
    /// # Errors
    /// When it is no root, accessible to others, in use, made for another workload, or (unless `dirty`) not fresh.
    pub fn check(path: &Path, workload: &Dataset, dirty: bool) -> Result<(Root, Stamp, Lock)> {
        let (dir, made_for) = (path.display(), workload.dir.display());
        let root = Root::trusted(path, workload)?;
        let lock = root.hold()?;
        let stamp = root.made_for(workload)?;
        match stamp.state {
            _ if dirty => {}
            State::Fresh => {}
            State::Used => bail!(
                "{dir} is used: `ioriot init {made_for} --root {dir} --reset` makes it as new (--force moves it aside), --dirty \
                 replays in it as it is",
            ),
            // It is unknown what is right in it, so it cannot be reset.
            State::Incomplete => {
                bail!(
                    "{dir} is incomplete: `ioriot init {made_for} --root {dir} --force` makes it anew, --dirty replays in it as it is"
                )
            }
        }
        Ok((root, stamp, lock))
    }

    /// Opens the root that another machine has checked, locked and marked as used for the replay of a workload, and reads its stamp.
    ///
    /// # Errors
    /// When it is no root, accessible to others, made for another workload, or not marked.
    pub fn join(path: &Path, workload: &Dataset) -> Result<(Root, Stamp)> {
        let root = Root::trusted(path, workload)?;
        let stamp = root.made_for(workload)?;
        ensure!(
            stamp.state == State::Used,
            "{} is {}, and the first machine has begun to use its root: they are not the same directory",
            path.display(),
            stamp.state.name()
        );
        Ok((root, stamp))
    }

    /// Opens the root that is to be used for a workload; nobody else can have put anything there.
    fn trusted(path: &Path, workload: &Dataset) -> Result<Root> {
        let (dir, made_for) = (path.display(), workload.dir.display());
        let Some(root) = Root::open(path)? else {
            bail!("{dir} is not a root: `ioriot init {made_for} --root {dir}` makes one");
        };
        files::trusted(&root.dir)?;
        Ok(root)
    }

    /// The stamp of a root, which must be made for this workload.
    fn made_for(&self, workload: &Dataset) -> Result<Stamp> {
        let stamp = self.stamp()?;
        let (dir, made_for) = (self.path().display(), workload.dir.display());
        ensure!(
            stamp.fingerprint == fingerprint(workload),
            "{dir} was made for another workload ({}): `ioriot init {made_for} --root {dir} --force` makes it anew",
            stamp.workload,
        );
        Ok(stamp)
    }
}

/// The absolute form of a path, or the path itself when the working directory is unknown.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The path of a root without symlinks, if something is there: what is moved aside is the directory that the name leads to.
pub(super) fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| absolute(path))
}

/// The names of all entries of a directory.
fn names(dir: &Dir) -> Result<Vec<OsString>> {
    let entries = dir.entries().with_context(|| format!("cannot look into {}", dir.path().display()))?;
    Ok(entries.into_iter().map(|(name, _)| name).collect())
}

/// Whether a directory with these names counts as empty. An init that was killed before its first stamp was in place has made
/// nothing else yet.
fn unused(names: &[OsString]) -> bool {
    names.iter().all(|name| name == STAMP_ASIDE || name == LOCK)
}

/// The first name that ioriot does not make in a root; `None` if there is none.
fn foreign(names: &[OsString]) -> Option<&OsString> {
    names.iter().find(|name| OURS.iter().all(|ours| *name != ours))
}

/// Takes an empty directory of ours as a root: closes it to everybody else.
fn take(dir: &Dir) -> Result<()> {
    files::close(dir)?;
    files::trusted(dir)?;
    // Checked now that nobody else can put anything into it any more.
    ensure!(unused(&names(dir)?), "{} is not empty any more", dir.path().display());
    Ok(())
}
