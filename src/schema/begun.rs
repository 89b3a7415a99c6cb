//! Directories that a command makes for several datasets (`ioriot predict`): as long as none of its results is there, a mark says so.
//! What a killed command left is deleted by the next one that is given the directory, or by `ioriot clean`.

use super::dataset::{Dataset, Kind};
use super::{draft, entries};
use crate::files::{self, Dir, Lock};
use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::fs::File;
use std::io::ErrorKind;

/// Name of the mark: an empty file, locked by the command as long as it works.
const MARK: &str = ".begun.unfinished";
/// Name of the workload that a command makes in the directory.
pub const WORKLOAD: &str = "workload";

/// Marks a directory and locks the mark.
///
/// # Errors
/// When another command works in it, or nothing can be made there.
pub fn mark(dir: &Dir) -> Result<Lock> {
    let file = match dir.create(MARK) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => dir.file(MARK),
        made => made,
    };
    hold(dir, file)
}

fn hold(dir: &Dir, mark: std::io::Result<File>) -> Result<Lock> {
    mark.and_then(Lock::alone).with_context(|| format!("{} is not free", dir.path().display()))
}

/// Removes the mark: there is a result.
///
/// # Errors
/// As unlink(2).
pub fn unmark(dir: &Dir) -> Result<()> {
    Ok(dir.unlink(MARK)?)
}

/// Is the directory marked, and is nothing in it but a workload and unfinished datasets?
pub fn is(dir: &Dir) -> bool {
    let Ok(names) = dir.entries() else { return false };
    let mine = |name: &OsStr| dir.look(name).is_ok_and(|stat| files::mine(&stat));
    names.iter().any(|(name, _)| name == MARK && mine(name))
        && names.iter().all(|(name, _)| name == MARK || name == WORKLOAD || dir.dir(name).is_ok_and(|below| draft::is(&below)))
}

/// Deletes all that is in a directory for which [`is`] holds; the mark last.
///
/// # Errors
/// When a command works in it, something in it is not ioriot's, or it cannot be deleted.
pub fn clear(dir: &Dir) -> Result<()> {
    let _lock = hold(dir, dir.file(MARK))?;
    empty(dir)
}

/// As [`clear`], by the command that has the lock.
///
/// # Errors
/// As [`clear`].
pub fn empty(dir: &Dir) -> Result<()> {
    files::trusted(dir)?;
    ensure!(is(dir), "{} holds results by now: it is left alone", dir.path().display());
    for (name, _) in dir.entries()? {
        match name.to_str() {
            Some(MARK) => {}
            Some(WORKLOAD) => {
                let found = dir.dir(WORKLOAD)?;
                Dataset::of(&found)?.must_be(Kind::Workload)?;
                let _lock = Lock::alone(found.again()?)?;
                entries::remove(&found)?;
                files::remove_tree(dir, WORKLOAD, found.id()?)?;
            }
            _ => draft::remove(dir, &name)?,
        }
    }
    unmark(dir)
}

/// As [`clear`], and the directory, too.
///
/// # Errors
/// As [`clear`].
pub fn remove(around: &Dir, name: &OsStr) -> Result<()> {
    clear(&around.dir(name)?)?;
    Ok(around.rmdir(name)?)
}
