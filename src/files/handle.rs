//! What is found below a directory, before anything is opened: looking at a FIFO, a device or a symlink does nothing to it.

use super::dir::{DIR, beneath, under};
use super::{Dir, READ, irregular, name, regular};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, StatxFlags};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Result;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

/// Something below a directory: a descriptor that cannot read or write (O_PATH of open(2)), with its attributes.
#[derive(Debug)]
pub struct Handle {
    fd: OwnedFd,
    stat: Stat,
}

impl Dir {
    /// Finds what stands at a path below this directory. No symlink is followed: one among the directories of the path is an error
    /// (ELOOP), one at its last name is what is found.
    ///
    /// # Errors
    /// As [`beneath`].
    pub fn find(&self, path: &[u8]) -> Result<Handle> {
        let fd = beneath(self, under(path), OFlags::PATH | OFlags::NOFOLLOW, ResolveFlags::empty())?;
        let stat = fs::fstat(&fd)?;
        Ok(Handle { fd, stat })
    }

    /// Opens a regular file below this directory for reading, by a path without symlinks.
    ///
    /// # Errors
    /// As [`beneath`] and [`super::open`].
    #[cfg(feature = "cluster")]
    pub fn file_below(&self, path: &[u8]) -> Result<File> {
        match beneath(self, path, READ, ResolveFlags::empty()) {
            Ok(fd) => regular(Ok(fd)),
            Err(error) => regular(Err(rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO))),
        }
    }

    /// Names of entries by inode number, of as many entries at most, in the order of the directory.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn inodes(&self, most: usize) -> Result<HashMap<u64, OsString>> {
        let entries = fs::Dir::new(self.unnoticed(OsStr::new("."), DIR)?)?.take(most);
        let entries =
            entries.map(|entry| entry.map(|entry| (entry.ino(), OsString::from_vec(entry.file_name().to_bytes().to_vec()))));
        Ok(entries.collect::<rustix::io::Result<_>>()?)
    }
}

impl Handle {
    /// Finds what a process has open on a descriptor (proc_pid_fd(5)).
    ///
    /// # Errors
    /// When there is no such descriptor, or this user may not look.
    pub fn of_process(pid: u32, fd: i64) -> Result<Handle> {
        let fd = fs::open(format!("/proc/{pid}/fd/{fd}"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let stat = fs::fstat(&fd)?;
        Ok(Handle { fd, stat })
    }

    /// When it was created, ns since 1970; `None` where the file system does not say.
    pub fn created(&self) -> Option<i64> {
        let found = fs::statx(&self.fd, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok()?;
        let known = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::BTIME);
        let time = found.stx_btime;
        known.then(|| time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec.into()))
    }

    /// Its attributes when it was found (fstat(2)).
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// The content of a symlink, as bytes.
    ///
    /// # Errors
    /// When it is no symlink.
    pub fn target(&self) -> Result<Vec<u8>> {
        Ok(fs::readlinkat(&self.fd, "", Vec::new())?.into_bytes())
    }

    /// Opens a regular file for reading; if this user may ask for that, without a new access time (O_NOATIME).
    ///
    /// # Errors
    /// When it is no regular file, which is not opened then, or as open(2).
    pub fn open(&self) -> Result<File> {
        let kind = FileType::from_raw_mode(self.stat.st_mode);
        if kind != FileType::RegularFile {
            return Err(irregular(name(kind)));
        }
        // Leads to the very file that was found (proc_pid_fd(5)).
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let open = |flags| fs::open(&path, READ.difference(OFlags::NOFOLLOW) | flags, Mode::empty());
        let opened = open(OFlags::NOATIME).or_else(|error| match error {
            rustix::io::Errno::PERM => open(OFlags::empty()),
            _ => Err(error),
        });
        regular(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, mknodat};
    use std::io::Read;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_no_file_is_seen_and_not_opened() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        std::fs::create_dir_all(at("in/d")).unwrap();
        std::fs::write(at("in/d/file"), "text").unwrap();
        std::fs::write(at("out"), "theirs").unwrap();
        symlink("../out", at("in/link")).unwrap();
        symlink("d", at("in/way")).unwrap();
        mknodat(CWD, at("in/fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let dir = Dir::open(&at("in")).unwrap();
        let mut text = String::new();
        dir.find(b"/d/file").unwrap().open().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        assert_eq!(dir.find(b"/link").unwrap().target().unwrap(), b"../out");
        for (path, kind) in [("/link", FileType::Symlink), ("/fifo", FileType::Fifo), ("/d", FileType::Directory)] {
            let handle = dir.find(path.as_bytes()).unwrap();
            assert_eq!(FileType::from_raw_mode(handle.stat().st_mode), kind);
            assert!(handle.open().unwrap_err().to_string().contains("only a regular file"), "{path}");
        }
        for path in ["/way/file", "/link/x", "/../out", "/none"] {
            assert!(dir.find(path.as_bytes()).is_err(), "{path}");
        }
    }
}
