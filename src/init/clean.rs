//! Finds and deletes what ioriot leaves behind: roots, trees moved aside, runs, datasets a killed writer left.

use super::root::{Root, Stamp};
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
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
    /// Space it takes, bytes.
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
    let found = |thing, state: Option<Stamp>| {
        let state = state.map(|stamp| stamp.state.name().to_owned());
        Some(Found { path: path.to_owned(), thing, state, bytes: size(path) })
    };
    if name.starts_with('.') && name.ends_with(".unfinished") {
        return found(Thing::Unfinished, None);
    }
    if let Ok(Some(stamp)) = Root::new(path).stamp() {
        let old = name.rsplit_once(".old-").is_some_and(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
        return found(if old { Thing::Old } else { Thing::Root }, Some(stamp));
    }
    Dataset::expect(path, Kind::Run).ok().and_then(|_| found(Thing::Run, None))
}

/// Deletes what [`find`] found, after a second look that it is still that.
///
/// # Errors
/// When it is something else by now, or cannot be deleted.
pub fn remove(found: &Found) -> Result<()> {
    let now = classify(&found.path);
    ensure!(
        now.is_some_and(|now| now.thing == found.thing),
        "{} is not what it was any more: it is left alone",
        found.path.display()
    );
    remove_tree(&found.path).with_context(|| format!("cannot delete {}", found.path.display()))
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
