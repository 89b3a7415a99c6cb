//! Directories that a command works in, and of which nothing is to stay, or nothing but results: those that `ioriot predict` makes for
//! several datasets, as long as none of its results is there, and those in which `ioriot reduce` tries parts. A mark says so. What a killed
//! command left is deleted by the next one that is given the directory, or by `ioriot clean`.

use super::dataset::{Dataset, Kind};
use super::{draft, entries};
use crate::files::{self, Dir, Id, Lock};
use anyhow::{Context, Result, ensure};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::ErrorKind;

/// Name of the mark: an empty file, locked by the command as long as it works.
const MARK: &str = ".begun.unfinished";
/// Name of the workload that a command makes in the directory.
pub const WORKLOAD: &str = "workload";
/// Name of what is tried in a directory of [`tries`], with all that commands make beside it.
pub const TRY: &str = "try";
/// Ending of the names of directories of [`tries`].
const TRIES: &str = ".tries";

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

/// Makes, marks and locks the directory `.NAME.tries` in which parts are tried for an output of this name. What a killed command left in it
/// is deleted.
///
/// # Errors
/// When another command works in it, or something else has this name.
pub fn tries(around: &Dir, name: &OsStr) -> Result<(Dir, Lock)> {
    let name: OsString = [OsStr::new("."), name, OsStr::new(TRIES)].into_iter().collect();
    let shown = around.at(&name);
    loop {
        let made = match around.make(&name, 0o700) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => around.dir(&name),
            made => made,
        };
        let dir = made.with_context(|| format!("cannot make {}", shown.display()))?;
        files::private(&dir)?;
        ensure!(is_tries(&dir) || dir.entries()?.is_empty(), "{} is not ioriot's, and in the way: move it away", shown.display());
        let lock = mark(&dir);
        // Whoever had the lock removes the directory at the end.
        if !around.look(&name).is_ok_and(|stat| dir.id().is_ok_and(|id| Id::of(&stat) == id)) {
            continue;
        }
        let lock = lock?;
        tried(&dir).with_context(|| format!("what a killed command left in {} cannot be removed", shown.display()))?;
        return Ok((dir, lock));
    }
}

/// Deletes what was tried in a directory of [`tries`]; the mark stays.
fn tried(dir: &Dir) -> std::io::Result<()> {
    dir.look(TRY).map_or(Ok(()), |stat| files::remove_tree(dir, TRY, Id::of(&stat)))
}

/// Deletes a directory of [`tries`], by the command that has the lock. The mark last: when something cannot be deleted, what is left is still
/// known.
///
/// # Errors
/// When something cannot be deleted.
pub fn end_tries(around: &Dir, dir: &Dir) -> std::io::Result<()> {
    tried(dir)?;
    files::remove_tree(around, dir.path().file_name().unwrap_or_default(), dir.id()?)
}

/// Is this a directory of [`tries`], by its name and its mark, that holds nothing else?
pub fn is_tries(dir: &Dir) -> bool {
    let name = dir.path().file_name().unwrap_or_default().as_encoded_bytes();
    let named = name.starts_with(b".") && name.ends_with(TRIES.as_bytes());
    let marked = || dir.look(MARK).is_ok_and(|stat| files::mine(&stat));
    named && marked() && dir.entries().is_ok_and(|names| names.iter().all(|(name, _)| name == MARK || name == TRY))
}

/// Deletes a directory of [`tries`] that a killed command left.
///
/// # Errors
/// When a command works in it, it is none, or it cannot be deleted.
pub fn remove_tries(around: &Dir, name: &OsStr) -> Result<()> {
    let dir = around.dir(name)?;
    let _lock = hold(&dir, dir.file(MARK))?;
    files::private(&dir)?;
    ensure!(is_tries(&dir), "{} is not ioriot's", dir.path().display());
    Ok(end_tries(around, &dir)?)
}

/// As [`clear`], and the directory, too.
///
/// # Errors
/// As [`clear`].
pub fn remove(around: &Dir, name: &OsStr) -> Result<()> {
    clear(&around.dir(name)?)?;
    Ok(around.rmdir(name)?)
}
