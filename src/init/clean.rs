//! Finds and deletes what ioriot leaves behind: roots with all their parts, trees moved aside, runs, datasets a killed writer
//! left. What carries no mark of ioriot's own is never touched, nor what somebody else could have put there.

use super::State;
use super::aside;
use super::root::{Root, TREE};
use crate::files::{self, Dir, Id, Lock};
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use crate::schema::{begun, draft, entries};
use anyhow::{Context, Result, bail};
use rustix::fs::FileType;
use serde::Serialize;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Something that can be cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Thing {
    /// A root with its tree.
    Root,
    /// A tree that `init --force` moved aside.
    Old,
    /// Part of a tree, on another file system; it goes with its root.
    Mapped,
    /// Part of a tree whose root is gone.
    Orphan,
    /// A run.
    Run,
    /// A dataset that was never finished.
    Unfinished,
    /// A directory of a prediction that came to no run.
    Begun,
    /// A directory in which parts of a workload were tried.
    Tries,
}

/// Something found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Where.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub path: PathBuf,
    /// What it is.
    pub thing: Thing,
    /// State of the tree of a root.
    pub state: Option<String>,
    /// Its parts on other file systems, which go with it.
    #[serde(serialize_with = "crate::text::path::all")]
    pub places: Vec<PathBuf>,
    /// Space it takes, bytes, with that of its parts.
    pub bytes: u64,
    /// Which directory it is, whatever its path leads to later.
    #[serde(skip)]
    id: Id,
    /// Its path without symlinks.
    #[serde(skip)]
    real: PathBuf,
}

impl Found {
    /// Is another one somewhere in it, so that it goes with it?
    pub fn holds(&self, other: &Found) -> bool {
        other.real.starts_with(&self.real) && other.id != self.id
    }
}

/// Looks at several directories; what is found in more than one of them is found once.
///
/// # Errors
/// As [`find`].
pub fn find_all(dirs: &[PathBuf]) -> Result<Vec<Found>> {
    let mut all: Vec<Found> = Vec::new();
    for dir in dirs {
        let new: Vec<_> = find(dir)?.into_iter().filter(|found| all.iter().all(|known| known.id != found.id)).collect();
        all.extend(new);
    }
    Ok(all)
}

/// Looks at a directory and everything directly in it, and one level further.
///
/// # Errors
/// When the directory cannot be read.
pub fn find(dir: &Path) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let failed = || format!("cannot look into {}", dir.display());
    // What is deleted needs a name of its own, which `.` and a symlink have not.
    let own = dir.file_name().is_some() && !dir.is_symlink();
    let named = if own { dir.to_owned() } else { fs::canonicalize(dir).with_context(failed)? };
    if let Some((thing, _)) = classify(&Dir::open(&named).with_context(failed)?) {
        found.push(thing);
    } else {
        look(&Dir::open(dir).with_context(failed)?, 2, &mut found).with_context(failed)?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn look(dir: &Dir, depth: u32, found: &mut Vec<Found>) -> std::io::Result<()> {
    for (name, kind) in dir.entries()? {
        if !matches!(kind, FileType::Directory | FileType::Unknown) {
            continue;
        }
        let Ok(below) = dir.dir(&name) else { continue };
        match classify(&below) {
            Some((thing, _)) => found.push(thing),
            None if depth > 1 => drop(look(&below, depth - 1, found)),
            None => {}
        }
    }
    Ok(())
}

/// What a directory is, and the places that belong to it. What others can have made or changed is nothing.
fn classify(dir: &Dir) -> Option<(Found, Vec<Root>)> {
    let stat = dir.stat().ok().filter(files::mine)?;
    let path = dir.path().to_owned();
    let found = |thing, state: Option<String>, places: Vec<Root>| {
        let bytes = files::size(dir) + places.iter().map(|place| files::size(place.dir())).sum::<u64>();
        let paths = places.iter().map(|place| place.path().to_owned()).collect();
        let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        Some((Found { path: path.clone(), thing, state, places: paths, bytes, id: Id::of(&stat), real }, places))
    };
    if draft::is(dir) {
        return found(Thing::Unfinished, None, Vec::new());
    }
    if begun::is_tries(dir) {
        return found(Thing::Tries, None, Vec::new());
    }
    if begun::is(dir) {
        return found(Thing::Begun, None, Vec::new());
    }
    if let Ok(Some(root)) = Root::of(dir.again().ok()?) {
        let stamp = root.stamp().ok().filter(|_| root.pure())?;
        let old = path.file_name().is_some_and(aside::is_old);
        let thing = match &stamp.part_of {
            Some(of) if Root::open(of).is_ok_and(|root| root.is_none()) => Thing::Orphan,
            Some(_) => Thing::Mapped,
            None if old => Thing::Old,
            None => Thing::Root,
        };
        return found(thing, Some(stamp.state.name().to_owned()), root.places(&stamp));
    }
    Dataset::of(dir).and_then(|dataset| dataset.must_be(Kind::Run)).ok()?;
    entries::pure(dir).ok()?;
    found(Thing::Run, None, Vec::new())
}

/// Deletes what [`find`] found, after a second look that it is still that.
///
/// # Errors
/// When it is something else by now, somebody works in it ([`crate::files::busy`]), others could put something else in its
/// place, or it cannot be deleted.
pub fn remove(found: &Found) -> Result<()> {
    let (parent, name) = Dir::around(&found.path)?;
    files::trusted(&parent)?;
    let again = parent.dir(&name).ok();
    let now = again.as_ref().and_then(classify);
    let now = now.filter(|(now, _)| (now.id, now.thing, &now.places) == (found.id, found.thing, &found.places));
    let (Some(dir), Some((_, places))) = (again, now) else {
        bail!("{} is not what it was any more: it is left alone", found.path.display())
    };
    let cannot = || format!("cannot delete {}", found.path.display());
    let _lock = match found.thing {
        Thing::Unfinished => return draft::remove(&parent, &name),
        Thing::Begun => return begun::remove(&parent, &name),
        Thing::Tries => return begun::remove_tries(&parent, &name),
        Thing::Run => {
            let lock = Lock::alone(dir.again()?)?;
            entries::remove(&dir).with_context(cannot)?;
            lock
        }
        Thing::Root | Thing::Old | Thing::Mapped | Thing::Orphan => {
            let root = Root::of(dir)?.with_context(cannot)?;
            let lock = root.hold()?;
            // The root last: as long as it is there, it tells what belongs to it.
            places.iter().try_for_each(discard)?;
            fell(&root).with_context(cannot)?;
            lock
        }
    };
    files::remove_tree(&parent, &name, found.id).with_context(cannot)
}

/// Deletes the tree of a root and leaves its stamp: when something in the tree cannot be deleted, what is left is still known.
fn fell(root: &Root) -> Result<()> {
    // On a full disk there is no room to say so, and the more reason to delete.
    let _ = root.mark(State::Incomplete);
    match root.dir().look(TREE) {
        Ok(stat) if files::is_dir(&stat) => Ok(files::remove_tree(root.dir(), TREE, Id::of(&stat))?),
        // A symlink that somebody has put there leads nowhere for us.
        Ok(_) => Ok(root.dir().unlink(TREE)?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Deletes a root, or a place, with all that is in it.
pub(super) fn discard(root: &Root) -> Result<()> {
    let (parent, name) = Dir::around(root.path())?;
    files::trusted(&parent)?;
    let removed = fell(root).and_then(|()| Ok(files::remove_tree(&parent, &name, root.dir().id()?)?));
    removed.with_context(|| format!("cannot delete {}", root.path().display()))
}
