//! Makes one entry: the file, its data, its owner, mode and attributes.

use super::plan::Entry;
use super::tree::Tree;
use crate::model::Kind;
use crate::progress::Progress;
use std::ffi::CString;
use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;

/// Bytes of one write: large enough that the call costs nothing beside the copying.
const BLOCK: usize = 1 << 20;

/// What could not be had, though the entry itself was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Skipped {
    /// Owners that only root may give away.
    pub owners: u64,
    /// Extended attributes that the file system or our rights do not allow.
    pub xattrs: u64,
}

impl Skipped {
    /// Adds what another thread skipped.
    pub fn add(&mut self, other: Skipped) {
        self.owners += other.owners;
        self.xattrs += other.xattrs;
    }
}

/// Makes entries; one per thread.
#[derive(Debug)]
pub struct Maker<'a> {
    tree: Tree,
    block: Vec<u8>,
    progress: &'a Progress,
    /// What could not be had so far.
    pub skipped: Skipped,
}

impl<'a> Maker<'a> {
    /// A maker of entries in this tree.
    pub fn new(tree: Tree, progress: &'a Progress) -> Maker<'a> {
        Maker { tree, block: noise(BLOCK), progress, skipped: Skipped::default() }
    }

    /// Makes a directory, writable by us until [`Maker::finish`] gives it its own mode.
    ///
    /// # Errors
    /// When the path leaves the tree or the system refuses.
    pub fn dir(&mut self, path: &[u8]) -> Result<bool> {
        self.tree.dir(path)
    }

    /// Makes anything but a directory.
    ///
    /// # Errors
    /// When the path leaves the tree or the system refuses.
    pub fn entry(&mut self, entry: &Entry) -> Result<()> {
        match entry.kind {
            Kind::File => {
                let file = self.tree.file(&entry.path)?;
                self.fill(&file, entry)?;
                self.attributes(file.as_raw_fd(), entry);
            }
            Kind::Link => self.tree.link(&entry.path, &entry.target)?,
            Kind::Fifo => self.tree.node(&entry.path, libc::S_IFIFO)?,
            Kind::Socket => self.tree.node(&entry.path, libc::S_IFSOCK)?,
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
            let dir = self.tree.reopen(&entry.path)?;
            self.attributes(dir.as_raw_fd(), entry);
        }
        if entry.uid.is_some() || entry.gid.is_some() {
            // -1 leaves an id as it is (chown(2)).
            let owned = self.tree.owner(&entry.path, entry.uid.unwrap_or(u32::MAX), entry.gid.unwrap_or(u32::MAX));
            self.skipped.owners += u64::from(owned.is_err());
        }
        let mode = match (entry.kind, entry.mode) {
            (Kind::Link, _) => return Ok(()),
            (_, Some(mode)) => mode,
            (Kind::Dir, None) => 0o755,
            (_, None) => 0o644,
        };
        self.tree.mode(&entry.path, mode)
    }

    fn fill(&mut self, file: &File, entry: &Entry) -> Result<()> {
        let whole = [(0, entry.size)];
        let ranges = entry.data.as_deref().unwrap_or(&whole);
        for &(start, length) in ranges {
            let (mut offset, end) = (start, start + length);
            while offset < end {
                let count = (end - offset).min(BLOCK as u64);
                file.write_all_at(&self.block[..count as usize], offset)?;
                offset += count;
                self.progress.add(count);
            }
        }
        if entry.size > 0 && ranges.last().is_none_or(|(start, length)| start + length < entry.size) {
            file.set_len(entry.size)?;
        }
        Ok(())
    }

    /// Sets the attributes by name; their values were never captured. Only the `user.` ones can be set freely.
    fn attributes(&mut self, fd: RawFd, entry: &Entry) {
        for name in &entry.xattrs {
            let set = match CString::new(name.as_slice()) {
                // SAFETY: fd is open, name ends in NUL, the value has no bytes.
                Ok(name) if name.to_bytes().starts_with(b"user.") => unsafe {
                    libc::fsetxattr(fd, name.as_ptr(), std::ptr::null(), 0, 0) == 0
                },
                _ => false,
            };
            self.skipped.xattrs += u64::from(!set);
        }
    }
}

/// Bytes that no file system can compress or leave out: xorshift64*, never zero for long.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Makes everything below durable, so that the replay does not pay for writing init's data back.
pub fn sync(tree: &File) -> Result<()> {
    // SAFETY: the descriptor is open.
    if unsafe { libc::syncfs(tree.as_raw_fd()) } == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}
