//! Makes single entries of a tree: the file, its data, owner, mode and attributes.

use super::data::Pool;
use super::from::{Opened, Taken};
use super::layout::{Allocation, Place, place};
use super::plan::{self, Entry};
use super::stamp::Owner;
use super::tree::Forest;
use crate::model::Kind;
use crate::progress::Progress;
use rustix::fs::{self, FileType, XattrFlags};
use std::fs::File;
use std::io::Result;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// Size of a write, bytes: large enough that the call costs little beside the copying.
const BLOCK: usize = 1 << 20;
/// The set-group-id bit of a mode (inode(7)).
const SETGID: u32 = 0o2000;

/// Counts of properties that could not be set, though the entry itself was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Skipped {
    /// Number of entries whose owner could not be set: only root may give files away.
    pub owners: u64,
    /// Number of set-group-id bits that the system cleared, since we are not in the group.
    pub modes: u64,
    /// Number of modification times that could not be set, e.g. out of the file system's range.
    pub times: u64,
    /// Number of extended attributes that the file system or our rights do not allow.
    pub xattrs: u64,
}

impl Skipped {
    /// Adds what another thread could not set.
    pub fn add(&mut self, other: Skipped) {
        self.owners += other.owners;
        self.modes += other.modes;
        self.times += other.times;
        self.xattrs += other.xattrs;
    }
}

/// Makes entries of a tree; each thread has its own.
#[derive(Debug)]
pub struct Maker<'a> {
    forest: Forest,
    pool: Pool,
    source: Option<Opened>,
    allocation: Allocation,
    owner: Option<Owner>,
    progress: &'a Progress,
    /// Counts of properties that could not be set so far.
    pub skipped: Skipped,
}

impl<'a> Maker<'a> {
    /// A maker of entries in these trees, with content from this source as far as it has some, and else from this pool; `owner`
    /// is for entries whose captured owner is unknown.
    pub fn new(
        forest: Forest,
        pool: Pool,
        source: Option<Opened>,
        allocation: Allocation,
        owner: Option<Owner>,
        progress: &'a Progress,
    ) -> Maker<'a> {
        Maker { forest, pool, source, allocation, owner, progress, skipped: Skipped::default() }
    }

    /// What was taken from the source; `None` when there is none.
    pub fn taken(self) -> Option<Taken> {
        self.source.map(|source| source.taken)
    }

    /// Looks at an entry in the source, to count what differs; files are looked at when their content is taken.
    pub fn look(&mut self, entry: &Entry) {
        if let Some(source) = &mut self.source {
            source.look(entry);
        }
    }

    /// Makes a directory with mode 0700 until [`Maker::finish`] sets its own; false when it exists already.
    ///
    /// # Errors
    /// When the path leads out of the tree, or the system refuses.
    pub fn dir(&mut self, path: &[u8]) -> Result<bool> {
        let (tree, path) = self.forest.at(path);
        tree.dir(path)
    }

    /// Makes the directory over which the tree of a mapping is mounted; its parent must exist.
    ///
    /// # Errors
    /// As for [`Maker::dir`].
    pub fn point(&mut self, path: &[u8]) -> Result<()> {
        let (tree, path) = self.forest.around(path);
        tree.dir(&path)?;
        tree.mode(&path, 0o755)
    }

    /// Makes an entry that is no directory: a file with its data, symlink, FIFO, socket, or another name of a file.
    ///
    /// # Errors
    /// When the path leads out of the tree, or the system refuses.
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
        if entry.kind != Kind::File {
            self.look(entry);
        }
        self.finish(entry)
    }

    /// Sets owner, modification time and mode of an entry; for directories last of all, since a mode may forbid to make
    /// things inside.
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
        // The only mode bit that the kernel may clear without an error (chmod(2)).
        let lost = entry.mode() & SETGID != 0 && tree.look(path)?.st_mode & SETGID == 0;
        self.skipped.modes += u64::from(lost);
        Ok(())
    }

    /// Removes extended attributes of a directory that are not in the fileset.
    pub fn strip(&mut self, entry: &Entry) {
        let (tree, path) = self.forest.at(&entry.path);
        let Ok(dir) = tree.reopen(path) else { return };
        let mut names = Vec::with_capacity(64 << 10);
        let _ = fs::flistxattr(&dir, rustix::buffer::spare_capacity(&mut names));
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            if !entry.xattrs.iter().any(|known| known == name) {
                // Attributes that the system does not let us remove stay.
                let _ = fs::fremovexattr(&dir, name);
            }
        }
    }

    /// Inode number of an entry, 0 when it does not exist.
    pub fn inode(&mut self, entry: &Entry) -> u64 {
        let (tree, path) = self.forest.at(&entry.path);
        tree.look(path).map_or(0, |stat| stat.st_ino)
    }

    /// Writes the data of a file and sets its size.
    fn fill(&mut self, file: &File, entry: &Entry) -> Result<()> {
        let whole = [(0, entry.size)];
        let id = xxhash_rust::xxh3::xxh3_64(&entry.path);
        let ranges = entry.data.as_deref().unwrap_or(&whole);
        let left = match &mut self.source {
            Some(source) => source.take(entry, ranges, file)?,
            None => ranges.to_vec(),
        };
        self.progress
            .add(plan::total(ranges.iter().map(|(_, length)| *length)) - plan::total(left.iter().map(|(_, length)| *length)));
        let placed = match (self.allocation, entry.pieces) {
            (Allocation::Captured, Some(pieces @ 2..)) if left == ranges && !left.is_empty() => place(file, entry.size, pieces)?,
            _ => Place::Anywhere,
        };
        for (start, length) in placed.order(left) {
            let (mut offset, end) = (start, start + length);
            while offset < end {
                let piece = self.pool.of_file(id, entry.content.as_ref(), offset, (end - offset).min(BLOCK as u64) as usize);
                file.write_all_at(piece, offset)?;
                offset += piece.len() as u64;
                self.progress.add(piece.len() as u64);
            }
            placed.settle(file, (start, length))?;
        }
        if entry.size > 0 && ranges.last().is_none_or(|(start, length)| start + length < entry.size) {
            file.set_len(entry.size)?;
        }
        placed.trim(file, entry)
    }

    /// Sets the extended attributes with the values that the source has, and else with empty ones, since values were never captured. Only
    /// `user.` ones can be set freely; others count as skipped.
    fn attributes(&mut self, file: impl AsFd, entry: &Entry) {
        for name in &entry.xattrs {
            let mut set = name.starts_with(b"user.");
            if set {
                let value = self.source.as_ref().and_then(|source| source.attribute(entry, name)).unwrap_or_default();
                set = fs::fsetxattr(&file, name.as_slice(), &value, XattrFlags::empty()).is_ok();
            }
            self.skipped.xattrs += u64::from(!set);
        }
    }
}
