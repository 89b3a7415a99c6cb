//! Makes entries below one directory and nowhere else, whatever their paths say.
//!
//! A fileset is input: it may say `/../../etc/passwd`, or put a symlink in the middle of a later path. Every parent is
//! therefore opened beneath the directory of the tree ([`files::beneath`]), and the entry is made in that parent by its last
//! component alone.

use super::parts::{Parts, Trees};
use crate::files::{self, Dir};
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid};
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The trees of all parts that a fileset is divided among.
#[derive(Debug)]
pub struct Forest {
    parts: Trees,
    trees: Vec<Tree>,
}

impl Forest {
    /// Opens the trees of these parts anew, for one thread.
    ///
    /// # Errors
    /// When no more descriptors can be opened.
    pub fn new(parts: &Parts) -> Result<Forest> {
        let trees = parts.tops().map(|top| Ok(Tree::new(top.again()?))).collect::<Result<_>>()?;
        Ok(Forest { parts: parts.trees.clone(), trees })
    }

    /// The tree that a captured path lies in, and the path inside it.
    pub fn at<'a>(&mut self, path: &'a [u8]) -> (&mut Tree, &'a [u8]) {
        let (part, path) = self.parts.part(path);
        (&mut self.trees[part], path)
    }

    /// Makes a hard link `path` to the file `first`.
    ///
    /// # Errors
    /// As for [`Tree::name`], and when the two lie in different trees.
    pub fn name(&mut self, path: &[u8], first: &[u8]) -> Result<()> {
        let ((part, path), (other, first)) = (self.parts.part(path), self.parts.part(first));
        if part != other {
            return Err(ErrorKind::CrossesDevices.into());
        }
        self.trees[part].name(path, first)
    }

    /// The tree in which a path's last name lies, and the path inside it. For the directory of a mapping that is the tree of
    /// its parent, which has the mount point.
    pub fn around(&mut self, path: &[u8]) -> (&mut Tree, Vec<u8>) {
        let slash = memchr::memrchr(b'/', path).unwrap_or(0);
        let (part, parent) = self.parts.part(if slash == 0 { b"/" } else { &path[..slash] });
        let inside = [parent.strip_suffix(b"/").unwrap_or(parent), &path[slash..]].concat();
        (&mut self.trees[part], inside)
    }
}

/// A tree being made; each thread has its own, which caches the parent directory it opened last.
#[derive(Debug)]
pub struct Tree {
    top: Dir,
    parent: Option<(Vec<u8>, OwnedFd)>,
}

impl Tree {
    /// The tree whose top is this directory.
    pub fn new(top: Dir) -> Tree {
        Tree { top, parent: None }
    }

    /// Makes a directory with mode 0700; `Ok(false)` when it exists already.
    ///
    /// # Errors
    /// When the path leads out of the tree, or the system refuses.
    pub fn dir(&mut self, path: &[u8]) -> Result<bool> {
        let (parent, name) = self.split(path)?;
        match fs::mkdirat(parent, name, Mode::RWXU) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::EXIST) => self.reopen(path).map(|_| false),
            Err(error) => Err(error.into()),
        }
    }

    /// Creates a regular file, which must not exist, with mode 0600.
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn file(&mut self, path: &[u8]) -> Result<File> {
        let (parent, name) = self.split(path)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Makes a symlink whose content is `target`.
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn link(&mut self, path: &[u8], target: &[u8]) -> Result<()> {
        let (parent, name) = self.split(path)?;
        Ok(fs::symlinkat(target, parent, name)?)
    }

    /// Makes a hard link `path` to the file `first` (link(2)).
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn name(&mut self, path: &[u8], first: &[u8]) -> Result<()> {
        let (from, old) = self.split(first)?;
        let from = from.try_clone_to_owned()?;
        let (to, new) = self.split(path)?;
        Ok(fs::linkat(from, old, to, new, AtFlags::empty())?)
    }

    /// Makes a FIFO or a socket, with mode 0600.
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn node(&mut self, path: &[u8], kind: FileType) -> Result<()> {
        let (parent, name) = self.split(path)?;
        Ok(fs::mknodat(parent, name, kind, Mode::RUSR | Mode::WUSR, 0)?)
    }

    /// Sets the owner of an entry, not following a symlink.
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn owner(&mut self, path: &[u8], uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let (parent, name) = self.split(path)?;
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        Ok(fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Sets the permission bits of an entry that [`Tree`] made and that is no symlink.
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn mode(&mut self, path: &[u8], mode: u32) -> Result<()> {
        let (parent, name) = self.split(path)?;
        // fchmodat follows a final symlink, and there is none: the caller made the entry, and nobody else is about.
        Ok(fs::chmodat(parent, name, Mode::from_raw_mode(mode), AtFlags::empty())?)
    }

    /// Sets the modification time of an entry, ns since 1970, not following a symlink.
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn modified(&mut self, path: &[u8], time: i64) -> Result<()> {
        let (parent, name) = self.split(path)?;
        let last_access = Timespec { tv_sec: 0, tv_nsec: fs::UTIME_OMIT };
        let last_modification = Timespec { tv_sec: time.div_euclid(1_000_000_000), tv_nsec: time.rem_euclid(1_000_000_000) };
        let times = Timestamps { last_access, last_modification };
        Ok(fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Attributes of what exists at a path (stat(2)), not following a symlink.
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn look(&mut self, path: &[u8]) -> Result<Stat> {
        let (parent, name) = self.split(path)?;
        Ok(fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Opens a directory of the tree, for fsetxattr and the like.
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn reopen(&mut self, path: &[u8]) -> Result<OwnedFd> {
        let below = match relative(path)? {
            b"" => b".",
            below => below,
        };
        files::beneath(&self.top, below, OFlags::RDONLY | OFlags::DIRECTORY, ResolveFlags::empty())
    }

    /// Splits a path into its parent directory, opened beneath the top, and its last name.
    fn split<'a>(&mut self, path: &'a [u8]) -> Result<(BorrowedFd<'_>, &'a [u8])> {
        let below = relative(path)?;
        let (parent, name) = match memchr::memrchr(b'/', below) {
            Some(slash) => (&below[..slash], &below[slash + 1..]),
            None => (&below[..0], below),
        };
        // The path of the top itself has no name: `.` stands for it to set owner and mode, and nothing can be made there.
        let name = if name.is_empty() { b"." } else { name };
        if parent.is_empty() {
            return Ok((self.top.as_fd(), name));
        }
        let fd = match self.parent.take() {
            Some((known, fd)) if known == parent => fd,
            _ => files::beneath(&self.top, parent, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::empty())?,
        };
        let (_, fd) = &*self.parent.insert((parent.to_vec(), fd));
        Ok((fd.as_fd(), name))
    }
}

/// An absolute path without its leading slash; an error if it contains `.`, `..` or doubled slashes.
fn relative(path: &[u8]) -> Result<&[u8]> {
    let Some(below) = path.strip_prefix(b"/") else { return Err(unclean()) };
    let clean = below.is_empty() || below.split(|byte| *byte == b'/').all(|name| !matches!(name, b"" | b"." | b".."));
    if clean { Ok(below) } else { Err(unclean()) }
}

fn unclean() -> Error {
    Error::new(ErrorKind::InvalidInput, "not an absolute path without `.`, `..` and doubled slashes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_made_outside() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("tree");
        std::fs::create_dir(&top).unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        let mut tree = Tree::new(Dir::open(&top).unwrap());
        for path in ["/../evil", "/a/../../evil", "evil", "//evil", "/./evil"] {
            assert!(tree.file(path.as_bytes()).is_err(), "{path}");
        }
        tree.link(b"/out", b"../outside").unwrap();
        assert!(tree.file(b"/out/evil").is_err());
        assert!(tree.dir(b"/out/evil").is_err());
        assert!(tree.dir(b"/out").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        assert_eq!(std::fs::read_dir(dir.path().join("outside")).unwrap().count(), 0);
        assert!(tree.dir(b"/a").unwrap());
        assert!(!tree.dir(b"/a").unwrap());
        tree.file(b"/a/b").unwrap();
        assert!(top.join("a/b").is_file());
    }
}
