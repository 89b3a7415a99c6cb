//! Finds and deletes what ioriot leaves behind: roots with all their parts, trees moved aside, runs, datasets a killed writer
//! left. What carries no mark of ioriot's own is never touched.

use super::root::Root;
use crate::files::{Dir, Lock};
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use crate::schema::draft;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
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
}

/// Something found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Where.
    pub path: PathBuf,
    /// What it is.
    pub thing: Thing,
    /// State of the tree of a root.
    pub state: Option<String>,
    /// Its parts on other file systems, which go with it.
    pub places: Vec<PathBuf>,
    /// Space it takes, bytes, with that of its parts.
    pub bytes: u64,
}

/// Looks at a directory and everything directly in it, and one level further.
///
/// # Errors
/// When the directory cannot be read.
pub fn find(dir: &Path) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    if let Some(thing) = classify(dir) {
        found.push(thing);
    } else {
        look(dir, 2, &mut found).with_context(|| format!("cannot look into {}", dir.display()))?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn look(dir: &Path, depth: u32, found: &mut Vec<Found>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let path = entry.path();
        match classify(&path) {
            Some(thing) => found.push(thing),
            None if depth > 1 => drop(look(&path, depth - 1, found)),
            None => {}
        }
    }
    Ok(())
}

fn classify(path: &Path) -> Option<Found> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let found = |thing, state: Option<String>, places: Vec<PathBuf>| {
        let bytes = size(path) + places.iter().map(|place| size(place)).sum::<u64>();
        Some(Found { path: path.to_owned(), thing, state, places, bytes })
    };
    if Dir::open(path).is_ok_and(|dir| draft::is(&dir)) {
        return found(Thing::Unfinished, None, Vec::new());
    }
    let root = Root::new(path);
    if let Ok(Some(stamp)) = root.stamp() {
        let old = name.rsplit_once(".old-").is_some_and(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
        let thing = match &stamp.part_of {
            Some(of) if matches!(Root::new(of).stamp(), Ok(Some(_))) => Thing::Mapped,
            Some(_) => Thing::Orphan,
            None if old => Thing::Old,
            None => Thing::Root,
        };
        let places = root.places(&stamp).iter().map(|place| place.dir().to_owned()).collect();
        return found(thing, Some(stamp.state.name().to_owned()), places);
    }
    Dataset::expect(path, Kind::Run).ok().and_then(|_| found(Thing::Run, None, Vec::new()))
}

/// Deletes what [`find`] found, after a second look that it is still that.
///
/// # Errors
/// When it is something else by now, somebody works in it ([`crate::files::busy`]), or it cannot be deleted.
pub fn remove(found: &Found) -> Result<()> {
    let now = classify(&found.path);
    ensure!(
        now.is_some_and(|now| (now.thing, &now.places) == (found.thing, &found.places)),
        "{} is not what it was any more: it is left alone",
        found.path.display()
    );
    let _lock = match found.thing {
        Thing::Root | Thing::Old | Thing::Mapped | Thing::Orphan => Root::new(&found.path).held()?,
        Thing::Run => Some(Lock::alone(Dir::open(&found.path)?)?),
        Thing::Unfinished => {
            let (around, name) = Dir::around(&found.path)?;
            return draft::remove(&around, &name);
        }
    };
    // The root last: as long as it is there, it tells what belongs to it.
    for path in found.places.iter().chain([&found.path]) {
        remove_tree(path).with_context(|| format!("cannot delete {}", path.display()))?;
    }
    Ok(())
}

/// Deletes a directory with all below it; a replayed tree may hold directories without rights for their owner.
pub(super) fn remove_tree(dir: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            open_up_all(dir);
            fs::remove_dir_all(dir)
        }
        done => done,
    }
}

/// Gives the owner all rights on a directory.
pub(super) fn open_up(dir: &Path) {
    let _ = fs::set_permissions(dir, Permissions::from_mode(0o700));
}

/// The same for every directory below, too; symlinks are not followed.
fn open_up_all(dir: &Path) {
    open_up(dir);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up_all(&entry.path());
        }
    }
}

/// Bytes allocated below a directory; what cannot be read does not count.
fn size(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        bytes += meta.blocks() * 512;
        if meta.is_dir() {
            bytes += size(&entry.path());
        }
    }
    bytes
}
