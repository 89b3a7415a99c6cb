//! Makes entries below one directory and nowhere else.
//!
//! A fileset is input: it may say `/../../etc/passwd`, or put a symlink in the middle of a later path. Every parent is
//! therefore opened by openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS from the directory of the tree, and
//! the entry is made in that parent by its last component alone.

use super::map::Trees;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

/// The trees that a fileset is spread over.
#[derive(Debug)]
pub struct Forest {
    parts: Trees,
    trees: Vec<Tree>,
}

impl Forest {
    /// Opens the top of every part.
    ///
    /// # Errors
    /// When one cannot be opened; the message names it.
    pub fn open(parts: &Trees) -> anyhow::Result<Forest> {
        let open = |dir: &Path| Tree::open(dir).map_err(|error| anyhow::anyhow!("cannot open {}: {error}", dir.display()));
        let trees = parts.parts().iter().map(|(_, dir)| open(dir)).collect::<anyhow::Result<_>>()?;
        Ok(Forest { parts: parts.clone(), trees })
    }

    /// The tree that a path lies in, and the path there.
    pub fn at<'a>(&mut self, path: &'a [u8]) -> (&mut Tree, &'a [u8]) {
        let (part, path) = self.parts.part(path);
        (&mut self.trees[part], path)
    }

    /// Gives a file another name.
    ///
    /// # Errors
    /// As [`Tree::name`], and when the two lie in different trees.
    pub fn name(&mut self, path: &[u8], first: &[u8]) -> Result<()> {
        let ((part, path), (other, first)) = (self.parts.part(path), self.parts.part(first));
        if part != other {
            return Err(Error::from_raw_os_error(libc::EXDEV));
        }
        self.trees[part].name(path, first)
    }

    /// The tree that a path's name lies in, which for a mapped directory is that of its parent: where the mount point is.
    pub fn around(&mut self, path: &[u8]) -> (&mut Tree, Vec<u8>) {
        let slash = memchr::memrchr(b'/', path).unwrap_or(0);
        let (part, parent) = self.parts.part(if slash == 0 { b"/" } else { &path[..slash] });
        let inside = [parent.strip_suffix(b"/").unwrap_or(parent), &path[slash..]].concat();
        (&mut self.trees[part], inside)
    }
}

/// A tree being made; each thread has its own, which remembers the parent it opened last.
#[derive(Debug)]
pub struct Tree {
    top: OwnedFd,
    parent: Option<(Vec<u8>, OwnedFd)>,
}

impl Tree {
    /// The tree in this directory.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(dir: &Path) -> Result<Tree> {
        Ok(Tree { top: File::open(dir)?.into(), parent: None })
    }

    /// Makes a directory with mode 0700; `Ok(false)` when it is there already.
    ///
    /// # Errors
    /// When the path leaves the tree, or the system refuses.
    pub fn dir(&mut self, path: &[u8]) -> Result<bool> {
        let (parent, name) = self.split(path)?;
        // SAFETY: parent is open and name ends in NUL.
        match check(unsafe { libc::mkdirat(parent, name.as_ptr(), 0o700) }) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.reopen(path).map(|_| false),
            Err(error) => Err(error),
        }
    }

    /// Makes a regular file; it must not exist.
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn file(&mut self, path: &[u8]) -> Result<File> {
        let (parent, name) = self.split(path)?;
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // SAFETY: parent is open and name ends in NUL; the new descriptor is owned by the File alone.
        unsafe { Ok(File::from_raw_fd(check(libc::openat(parent, name.as_ptr(), flags, 0o600))?)) }
    }

    /// Makes a symlink.
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn link(&mut self, path: &[u8], target: &[u8]) -> Result<()> {
        let (parent, name) = self.split(path)?;
        let target = CString::new(target)?;
        // SAFETY: parent is open, both texts end in NUL.
        check(unsafe { libc::symlinkat(target.as_ptr(), parent, name.as_ptr()) }).map(drop)
    }

    /// Gives a file another name (link(2)).
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn name(&mut self, path: &[u8], first: &[u8]) -> Result<()> {
        let (from, old) = self.split(first)?;
        let _open = self.parent.take(); // `from` is this one, or the top
        let (to, new) = self.split(path)?;
        // SAFETY: both directories are open, both names end in NUL.
        check(unsafe { libc::linkat(from, old.as_ptr(), to, new.as_ptr(), 0) }).map(drop)
    }

    /// Makes a FIFO or socket (`kind` is S_IFIFO or S_IFSOCK).
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn node(&mut self, path: &[u8], kind: libc::mode_t) -> Result<()> {
        let (parent, name) = self.split(path)?;
        // SAFETY: parent is open and name ends in NUL.
        check(unsafe { libc::mknodat(parent, name.as_ptr(), kind | 0o600, 0) }).map(drop)
    }

    /// Sets the owner of an entry, not following a symlink.
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn owner(&mut self, path: &[u8], uid: u32, gid: u32) -> Result<()> {
        let (parent, name) = self.split(path)?;
        // SAFETY: parent is open and name ends in NUL.
        check(unsafe { libc::fchownat(parent, name.as_ptr(), uid, gid, libc::AT_SYMLINK_NOFOLLOW) }).map(drop)
    }

    /// Sets the permission bits of an entry that [`Tree`] made and that is no symlink.
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn mode(&mut self, path: &[u8], mode: u32) -> Result<()> {
        let (parent, name) = self.split(path)?;
        // fchmodat follows a final symlink, and there is none: the caller made the entry, and nobody else is about.
        // SAFETY: parent is open and name ends in NUL.
        check(unsafe { libc::fchmodat(parent, name.as_ptr(), mode, 0) }).map(drop)
    }

    /// Sets the modification time of an entry, ns since 1970, not following a symlink.
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn modified(&mut self, path: &[u8], time: i64) -> Result<()> {
        let (parent, name) = self.split(path)?;
        let accessed = libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT };
        let modified = libc::timespec { tv_sec: time.div_euclid(1_000_000_000), tv_nsec: time.rem_euclid(1_000_000_000) };
        let times = [accessed, modified];
        // SAFETY: parent is open, name ends in NUL, and there are two times.
        check(unsafe { libc::utimensat(parent, name.as_ptr(), times.as_ptr(), libc::AT_SYMLINK_NOFOLLOW) }).map(drop)
    }

    /// What stands at a path, not following a symlink.
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn look(&mut self, path: &[u8]) -> Result<libc::stat> {
        let (parent, name) = self.split(path)?;
        // SAFETY: stat is plain numbers, and zeroes are such.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: parent is open, name ends in NUL, stat is writable.
        check(unsafe { libc::fstatat(parent, name.as_ptr(), &mut stat, libc::AT_SYMLINK_NOFOLLOW) })?;
        Ok(stat)
    }

    /// Opens a directory of the tree for fsetxattr and the like.
    ///
    /// # Errors
    /// As [`Tree::dir`].
    pub fn reopen(&mut self, path: &[u8]) -> Result<OwnedFd> {
        match relative(path)? {
            b"" => self.top.try_clone(),
            below => beneath(self.top.as_raw_fd(), below, libc::O_RDONLY | libc::O_DIRECTORY),
        }
    }

    /// The directory an entry is in, and its name there.
    fn split(&mut self, path: &[u8]) -> Result<(RawFd, CString)> {
        let below = relative(path)?;
        let (parent, name) = match memchr::memrchr(b'/', below) {
            Some(slash) => (&below[..slash], &below[slash + 1..]),
            None => (&below[..0], below),
        };
        if name.is_empty() {
            // The top itself: `.` names it for owner and mode, and nothing can be made there.
            return Ok((self.top.as_raw_fd(), c".".to_owned()));
        }
        let name = CString::new(name)?;
        if parent.is_empty() {
            return Ok((self.top.as_raw_fd(), name));
        }
        let fd = match self.parent.take() {
            Some((known, fd)) if known == parent => fd,
            _ => beneath(self.top.as_raw_fd(), parent, libc::O_PATH | libc::O_DIRECTORY)?,
        };
        let raw = fd.as_raw_fd();
        self.parent = Some((parent.to_vec(), fd));
        Ok((raw, name))
    }
}

/// An absolute path without its leading slash.
fn relative(path: &[u8]) -> Result<&[u8]> {
    let Some(below) = path.strip_prefix(b"/") else { return Err(unclean()) };
    let clean = below.is_empty() || below.split(|byte| *byte == b'/').all(|name| !matches!(name, b"" | b"." | b".."));
    if clean { Ok(below) } else { Err(unclean()) }
}

fn unclean() -> Error {
    Error::new(ErrorKind::InvalidInput, "not an absolute path without `.`, `..` and doubled slashes")
}

fn beneath(top: RawFd, path: &[u8], flags: i32) -> Result<OwnedFd> {
    let path = CString::new(path)?;
    openat2(top, &path, flags | libc::O_CLOEXEC, libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS)
}

fn openat2(dir: RawFd, path: &CStr, flags: i32, resolve: u64) -> Result<OwnedFd> {
    let how = [flags as u64, 0, resolve];
    // SAFETY: `how` has the layout of struct open_how (three 64-bit words, openat2(2)); path ends in NUL; the new
    // descriptor is owned by the caller alone.
    unsafe {
        let fd = libc::syscall(libc::SYS_openat2, dir, path.as_ptr(), how.as_ptr(), size_of_val(&how));
        Ok(OwnedFd::from_raw_fd(check(fd as i32)?))
    }
}

fn check(ret: i32) -> Result<i32> {
    if ret < 0 { Err(Error::last_os_error()) } else { Ok(ret) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn nothing_is_made_outside() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("tree");
        fs::create_dir(&top).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        let mut tree = Tree::open(&top).unwrap();
        for path in ["/../evil", "/a/../../evil", "evil", "//evil", "/./evil"] {
            assert!(tree.file(path.as_bytes()).is_err(), "{path}");
        }
        tree.link(b"/out", b"../outside").unwrap();
        assert!(tree.file(b"/out/evil").is_err());
        assert!(tree.dir(b"/out/evil").is_err());
        assert!(tree.dir(b"/out").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert_eq!(fs::read_dir(dir.path().join("outside")).unwrap().count(), 0);
        assert!(tree.dir(b"/a").unwrap());
        assert!(!tree.dir(b"/a").unwrap());
        tree.file(b"/a/b").unwrap();
        assert!(top.join("a/b").is_file());
    }
}
