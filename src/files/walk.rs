//! Walks through everything below a directory, however deep, with a few descriptors.
//!
//! Only the directory being read is open. The way back up is `..`, which must be the directory that the walk came from: if
//! somebody moves a directory meanwhile the walk ends with an error instead of leaving the tree.

use super::dir::beneath;
use super::{Dir, Id, refusal};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use std::ffi::{OsStr, OsString};
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// What kind of entry a walk reports to its callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// An entry that is not a directory.
    Other,
    /// A directory that the walk leaves: everything below it has been visited.
    Left,
}

/// What the walk does with directories that it may not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    /// Skips directories that may not be read.
    Stay,
    /// Sets the mode of such directories to 0700 if they are ours (see [`super::ours`]), and enters them.
    Open,
}

/// A directory on the path from the top to where the walk is.
struct Level {
    id: Id,
    /// Names of its subdirectories still to be visited; the last one is next, or is being visited.
    dirs: Vec<OsString>,
}

/// Callback of a walk: gets the open directory of an entry, the entry's name in it, and what it is.
type See<'a> = &'a mut dyn FnMut(BorrowedFd, &OsStr, Seen) -> Result<()>;

/// Calls `see` for everything below an open directory, the contents of a directory before the directory itself. Symlinks are
/// not followed; at a mount point the walk ends with an error.
fn walk(top: OwnedFd, closed: Closed, see: See) -> Result<()> {
    let mut here = top;
    let mut way = vec![enter(here.as_fd(), see)?];
    while let Some(level) = way.last_mut() {
        if let Some(name) = level.dirs.last() {
            match open(here.as_fd(), name, closed) {
                Ok(below) => {
                    way.push(enter(below.as_fd(), see)?);
                    here = below;
                }
                Err(error) if closed == Closed::Stay && error.kind() == ErrorKind::PermissionDenied => {
                    see(here.as_fd(), name, Seen::Left)?;
                    level.dirs.pop();
                }
                Err(error) => return Err(error),
            }
            continue;
        }
        way.pop();
        let Some(level) = way.last_mut() else { break };
        let above = rustix::fs::openat(&here, "..", READ, Mode::empty())?;
        if Id::of_open(&above)? != level.id {
            return Err(refusal("a directory was moved away while it was looked into".into()));
        }
        here = above;
        if let Some(name) = level.dirs.pop() {
            see(here.as_fd(), &name, Seen::Left)?;
        }
    }
    Ok(())
}

const READ: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Reads a directory: calls `see` for entries that are not directories, and returns the names of those that are.
fn enter(dir: BorrowedFd, see: See) -> Result<Level> {
    let mut level = Level { id: Id::of_open(dir)?, dirs: Vec::new() };
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        let kind = match entry.file_type() {
            FileType::Unknown => FileType::from_raw_mode(rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode),
            kind => kind,
        };
        match kind {
            _ if name == "." || name == ".." => {}
            FileType::Directory => level.dirs.push(name.to_owned()),
            _ => see(dir, name, Seen::Other)?,
        }
    }
    Ok(level)
}

/// Opens a subdirectory for reading; with [`Closed::Open`] after setting its mode to 0700 if that is needed.
fn open(dir: BorrowedFd, name: &OsStr, closed: Closed) -> Result<OwnedFd> {
    let shown = name.display();
    // O_PATH needs no permission on the directory itself.
    let found = beneath(dir, name.as_bytes(), OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_XDEV).map_err(|error| {
        match error.kind() {
            ErrorKind::CrossesDevices => refusal(format!("{shown} is a mount point: unmount it first")),
            kind => Error::new(kind, format!("cannot open {shown}: {error}")),
        }
    })?;
    let stat = rustix::fs::fstat(&found)?;
    if closed == Closed::Open && stat.st_mode & 0o700 != 0o700 && super::ours(&stat) {
        super::dir::unlock(found.as_fd())?;
    }
    let opened = rustix::fs::openat(&found, ".", READ, Mode::empty()).map_err(Error::from);
    opened.map_err(|error| Error::new(error.kind(), format!("cannot look into {shown}: {error}")))
}

/// Deletes the subdirectory `name` of `dir` with everything below it, if it still is the directory with identity `id`.
///
/// # Errors
/// When another directory has this name now, or something cannot be deleted.
pub fn remove_tree(dir: &Dir, name: impl AsRef<OsStr>, id: Id) -> Result<()> {
    let name = super::dir::single(name.as_ref())?;
    let same = |found: Id| {
        let other = || refusal(format!("{} is another directory now", dir.at(name).display()));
        if found == id { Ok(()) } else { Err(other()) }
    };
    same(Id::of(&dir.look(name)?))?;
    let top = open(dir.as_fd(), name, Closed::Open)?;
    same(Id::of_open(&top)?)?;
    walk(top, Closed::Open, &mut |dir, name, seen| {
        let flags = if seen == Seen::Left { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        rustix::fs::unlinkat(dir, name, flags).map_err(Error::from)
    })?;
    same(Id::of(&dir.look(name)?))?;
    dir.rmdir(name)
}

/// Deletes everything in a directory except entries with the names in `but`.
///
/// # Errors
/// When something cannot be deleted.
pub fn clear(dir: &Dir, but: &[&str]) -> Result<()> {
    for (name, _) in dir.entries()?.iter().filter(|(name, _)| but.iter().all(|kept| name != kept)) {
        let stat = dir.look(name)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => remove_tree(dir, name, Id::of(&stat))?,
            _ => dir.unlink(name)?,
        }
    }
    Ok(())
}

/// Bytes allocated on disk for everything below a directory, as far as it can be read.
pub fn size(dir: &Dir) -> u64 {
    let mut bytes = 0;
    let mut add = |dir: BorrowedFd, name: &OsStr, _: Seen| {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
        bytes += stat.map_or(0, |stat| stat.st_blocks.unsigned_abs() * 512);
        Ok(())
    };
    // Errors end the walk; what was counted until then is returned.
    let _ =
        rustix::fs::openat(dir, ".", READ, Mode::empty()).map_err(Error::from).and_then(|top| walk(top, Closed::Stay, &mut add));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skip::{Need, skip};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A tree with a symlink to a neighbour, in a directory with that neighbour.
    fn scratch() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("tree/a/b")).unwrap();
        fs::create_dir(temp.path().join("witness")).unwrap();
        fs::write(temp.path().join("witness/file"), "mine").unwrap();
        for name in ["tree/link", "tree/a/link", "tree/a/b/link"] {
            symlink(temp.path().join("witness"), temp.path().join(name)).unwrap();
        }
        fs::write(temp.path().join("tree/a/file"), vec![1; 100_000]).unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        (temp, dir)
    }

    fn remove(dir: &Dir, name: &str) -> Result<()> {
        remove_tree(dir, name, Id::of(&dir.look(name)?))
    }

    #[test]
    fn a_tree_goes_and_what_its_symlinks_lead_to_stays() {
        let (temp, dir) = scratch();
        assert!((100_000..200_000).contains(&size(&dir.dir("tree").unwrap())));
        fs::set_permissions(temp.path().join("tree/a/b"), Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(temp.path().join("tree"), Permissions::from_mode(0o000)).unwrap();
        remove(&dir, "tree").unwrap();
        assert!(!temp.path().join("tree").exists() && temp.path().join("witness/file").exists());
    }

    #[test]
    fn another_directory_than_the_one_that_is_meant_stays() {
        let (temp, dir) = scratch();
        let id = Id::of(&dir.look("tree").unwrap());
        dir.rename("tree", &dir, "away").unwrap();
        symlink("witness", temp.path().join("tree")).unwrap();
        assert!(remove_tree(&dir, "tree", id).unwrap_err().to_string().contains("another directory"));
        assert!(remove(&dir, "tree").is_err());
        dir.unlink("tree").unwrap();
        dir.rename("witness", &dir, "tree").unwrap();
        assert!(remove_tree(&dir, "tree", id).is_err());
        assert!(temp.path().join("tree/file").exists() && temp.path().join("away/a/file").exists());
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_long_goes() {
        let (temp, dir) = scratch();
        let mut here = dir.dir("tree").unwrap();
        for _ in 0..300 {
            here = here.make("a name of some length", 0o700).unwrap();
            here.create("f").unwrap();
        }
        remove(&dir, "tree").unwrap();
        assert!(!temp.path().join("tree").exists());
    }

    #[test]
    fn a_mount_point_is_not_crossed() {
        let (temp, dir) = scratch();
        let [from, to] = ["witness", "tree/a/b"].map(|name| temp.path().join(name));
        let done = |command: &mut std::process::Command| command.output().is_ok_and(|output| output.status.success());
        if !done(std::process::Command::new("mount").arg("--bind").args([&from, &to])) {
            return skip(Need::Root, "a directory cannot be mounted");
        }
        let error = remove(&dir, "tree").unwrap_err().to_string();
        assert!(done(std::process::Command::new("umount").arg(&to)));
        assert!(error.contains("b is a mount point"), "{error}");
        assert!(from.join("file").exists());
        remove(&dir, "tree").unwrap();
    }
}
