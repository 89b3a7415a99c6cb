//! Makes one entry: the file, its data, its owner, mode and attributes.

use super::data::Pool;
use super::plan::Entry;
use super::stamp::Owner;
use super::tree::Forest;
use crate::model::Kind;
use crate::progress::Progress;
use rustix::fs::{self, FileType, XattrFlags};
use std::fs::File;
use std::io::Result;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// Bytes of one write: large enough that the call costs nothing beside the copying.
const BLOCK: usize = 1 << 20;
/// The set-group-id bit (inode(7)).
const SETGID: u32 = 0o2000;

/// What could not be had, though the entry itself was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Skipped {
    /// Owners that only root may give away.
    pub owners: u64,
    /// Set-group-id bits that the system clears for groups we are not in.
    pub modes: u64,
    /// Modification times that the file system cannot hold.
    pub times: u64,
    /// Extended attributes that the file system or our rights do not allow.
    pub xattrs: u64,
}

impl Skipped {
    /// Adds what another thread skipped.
    pub fn add(&mut self, other: Skipped) {
        self.owners += other.owners;
        self.modes += other.modes;
        self.times += other.times;
        self.xattrs += other.xattrs;
    }
}

/// Makes entries; one per thread.
#[derive(Debug)]
pub struct Maker<'a> {
    forest: Forest,
    pool: Pool,
    owner: Option<Owner>,
    progress: &'a Progress,
    /// What could not be had so far.
    pub skipped: Skipped,
}

impl<'a> Maker<'a> {
    /// A maker of entries in these trees, with data of this pool, for this owner if they know none.
    pub fn new(forest: Forest, pool: Pool, owner: Option<Owner>, progress: &'a Progress) -> Maker<'a> {
        Maker { forest, pool, owner, progress, skipped: Skipped::default() }
    }

    /// Makes a directory, writable by us until [`Maker::finish`] gives it its own mode.
    ///
    /// # Errors
    /// When the path leaves the tree or the system refuses.
    pub fn dir(&mut self, path: &[u8]) -> Result<bool> {
        let (tree, path) = self.forest.at(path);
        tree.dir(path)
    }

    /// Makes the directory that a mapped one is bound over; what is above it must be there.
    ///
    /// # Errors
    /// As [`Maker::dir`].
    pub fn point(&mut self, path: &[u8]) -> Result<()> {
        let (tree, path) = self.forest.around(path);
        tree.dir(&path)?;
        tree.mode(&path, 0o755)
    }

    /// Makes anything but a directory.
    ///
    /// # Errors
    /// When the path leaves the tree or the system refuses.
    pub fn entry(&mut self, entry: &Entry) -> Result<()> {
        if let Some(first) = entry.same() {
            return self.forest.name(&entry.path, first); // with all that it is
        }
        let (tree, path) = self.forest.at(&entry.path);
        match entry.kind {
            Kind::File => {
                let file = tree.file(path)?;
                self.fill(&file, entry)?;
                self.attributes(&file, entry);
            }
            Kind::Link => tree.link(path, &entry.target)?,
            Kind::Fifo => tree.node(path, FileType::Fifo)?,
            Kind::Socket => tree.node(path, FileType::Socket)?,
            Kind::Dir | Kind::Absent => return Ok(()),
        }
        self.finish(entry)
    }

    /// Gives an entry its owner and mode; of directories last of all, since a mode may forbid to make things inside.
    ///
    /// # Errors
    /// When the mode cannot be set.
    pub fn finish(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind == Kind::Dir && !entry.xattrs.is_empty() {
            let (tree, path) = self.forest.at(&entry.path);
            let dir = tree.reopen(path)?;
            self.attributes(&dir, entry);
        }
        let (tree, path) = self.forest.at(&entry.path);
        let uid = entry.uid.or(self.owner.map(|owner| owner.uid));
        let gid = entry.gid.or(self.owner.map(|owner| owner.gid));
        if uid.is_some() || gid.is_some() {
            self.skipped.owners += u64::from(tree.owner(path, uid, gid).is_err());
        }
        if let Some(time) = entry.mtime {
            self.skipped.times += u64::from(tree.modified(path, time).is_err());
        }
        if entry.kind == Kind::Link {
            return Ok(());
        }
        tree.mode(path, entry.mode())?;
        // The one bit that is cleared without an error (chmod(2)).
        let lost = entry.mode() & SETGID != 0 && tree.look(path)?.st_mode & SETGID == 0;
        self.skipped.modes += u64::from(lost);
        Ok(())
    }

    /// Removes the extended attributes of a directory that the fileset does not have.
    pub fn strip(&mut self, entry: &Entry) {
        let (tree, path) = self.forest.at(&entry.path);
        let Ok(dir) = tree.reopen(path) else { return };
        let mut names = Vec::with_capacity(64 << 10);
        let _ = fs::flistxattr(&dir, rustix::buffer::spare_capacity(&mut names));
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            if !entry.xattrs.iter().any(|known| known == name) {
                // What the system insists on stays.
                let _ = fs::fremovexattr(&dir, name);
            }
        }
    }

    /// The inode of an entry, 0 when there is none.
    pub fn inode(&mut self, entry: &Entry) -> u64 {
        let (tree, path) = self.forest.at(&entry.path);
        tree.look(path).map_or(0, |stat| stat.st_ino)
    }

    fn fill(&mut self, file: &File, entry: &Entry) -> Result<()> {
        let whole = [(0, entry.size)];
        let id = xxhash_rust::xxh3::xxh3_64(&entry.path);
        let ranges = entry.data.as_deref().unwrap_or(&whole);
        for &(start, length) in ranges {
            let (mut offset, end) = (start, start + length);
            while offset < end {
                let piece = self.pool.of_file(id, offset, (end - offset).min(BLOCK as u64) as usize);
                file.write_all_at(piece, offset)?;
                offset += piece.len() as u64;
                self.progress.add(piece.len() as u64);
            }
        }
        if entry.size > 0 && ranges.last().is_none_or(|(start, length)| start + length < entry.size) {
            file.set_len(entry.size)?;
        }
        Ok(())
    }

    /// Sets the attributes by name; their values were never captured. Only the `user.` ones can be set freely.
    fn attributes(&mut self, file: impl AsFd, entry: &Entry) {
        for name in &entry.xattrs {
            let set = name.starts_with(b"user.") && fs::fsetxattr(&file, name.as_slice(), &[], XattrFlags::empty()).is_ok();
            self.skipped.xattrs += u64::from(!set);
        }
    }
}
