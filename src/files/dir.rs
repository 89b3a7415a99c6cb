//! Directories by descriptor: everything in them is opened, created and removed relative to it.

use super::{CREATE, READ, refusal, regular, whole};
use anyhow::Context;
use rustix::fs::{self, Access, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// Flags of open(2) for directories.
pub(super) const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// An open directory. Everything below it is reached by its descriptor, so it stays the same directory even if its path is
/// renamed or replaced.
///
/// A `name` of its methods is a single component of a path; a symlink of that name is never followed.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

/// Identity of a file: device number and inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    device: u64,
    inode: u64,
}

impl Id {
    /// The identity of the file with these attributes (stat(2)).
    pub fn of(stat: &Stat) -> Id {
        Id { device: stat.st_dev, inode: stat.st_ino }
    }

    /// The identity of an open file.
    ///
    /// # Errors
    /// As fstat(2).
    pub fn of_open(file: impl AsFd) -> Result<Id> {
        Ok(Id::of(&fs::fstat(file)?))
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Dir {
    /// Opens a directory that the user named; symlinks in its path are followed, this once.
    ///
    /// # Errors
    /// When there is no directory, or it cannot be read.
    pub fn open(path: &Path) -> Result<Dir> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        Ok(Dir { fd: fs::open(path, DIR, Mode::empty())?, path: path.to_owned() })
    }

    /// Opens the top directory of a mount by its descriptor (fsmount(2)); `path` is what messages call it.
    ///
    /// # Errors
    /// As openat(2).
    pub fn of_mount(mount: impl AsFd, path: &Path) -> Result<Dir> {
        Ok(Dir { fd: fs::openat(mount, ".", DIR, Mode::empty())?, path: path.to_owned() })
    }

    /// Opens the parent directory of a path; returns it and the last name of the path.
    ///
    /// # Errors
    /// When there is no such directory, or the path ends in no name (`/`, `..`).
    pub fn around(path: &Path) -> Result<(Dir, OsString)> {
        let (parent, name) = split(path)?;
        Ok((Dir::open(parent)?, name.to_owned()))
    }

    /// As [`Dir::around`], for a path to be created: missing directories above it are created with mode 0700, and the parent must
    /// be trusted ([`super::trusted`]).
    ///
    /// # Errors
    /// As [`Dir::around`], when the path is a URL, the parent is not trusted, and when a directory cannot be created.
    pub fn prepare(path: &Path) -> anyhow::Result<(Dir, OsString)> {
        no_url(path)?;
        let (parent, name) = split(path)?;
        let dir = match Dir::open(parent) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let (above, last) = Dir::prepare(parent)?;
                above.make(&last, 0o700).or_else(|error| match error.kind() {
                    ErrorKind::AlreadyExists => above.dir(&last), // since just now
                    _ => Err(error),
                })?
            }
            opened => opened?,
        };
        super::trusted(&dir)?;
        Ok((dir, name.to_owned()))
    }

    /// Checks whether [`Dir::prepare`] would succeed for this path, without creating anything.
    ///
    /// # Errors
    /// As [`Dir::prepare`], as far as they can be known in advance.
    pub fn could_prepare(path: &Path) -> anyhow::Result<()> {
        no_url(path)?;
        let (parent, _) = split(path)?;
        let dir = match Dir::open(parent) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Dir::could_prepare(parent),
            opened => opened?,
        };
        super::trusted(&dir)?;
        let may = fs::accessat(&dir, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
        may.with_context(|| format!("nothing can be made in {}", dir.path().display()))
    }

    /// The path by which the directory was opened, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a name in the directory, for messages.
    pub fn at(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.path.join(name.as_ref())
    }

    /// Duplicates the descriptor: another value for the same directory.
    ///
    /// # Errors
    /// When the process has too many descriptors.
    pub fn again(&self) -> Result<Dir> {
        Ok(Dir { fd: self.fd.try_clone()?, path: self.path.clone() })
    }

    /// Attributes of the directory itself (fstat(2)).
    ///
    /// # Errors
    /// As fstat(2).
    pub fn stat(&self) -> Result<Stat> {
        Ok(fs::fstat(&self.fd)?)
    }

    /// Identity of the directory: device and inode.
    ///
    /// # Errors
    /// As [`Dir::stat`].
    pub fn id(&self) -> Result<Id> {
        Id::of_open(self)
    }

    /// Attributes of the entry with this name; a symlink is not followed (fstatat(2)).
    ///
    /// # Errors
    /// When there is no such entry.
    pub fn look(&self, name: impl AsRef<OsStr>) -> Result<Stat> {
        Ok(fs::statat(&self.fd, single(name.as_ref())?, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Is the entry with this name a mount point?
    ///
    /// # Errors
    /// When there is no such entry.
    pub fn mounted(&self, name: impl AsRef<OsStr>) -> Result<bool> {
        let stat = fs::statx(&self.fd, single(name.as_ref())?, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())?;
        Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }

    /// Target of the symlink with this name, as bytes (readlinkat(2)).
    ///
    /// # Errors
    /// When there is no symlink of that name.
    pub fn target(&self, name: impl AsRef<OsStr>) -> Result<Vec<u8>> {
        Ok(fs::readlinkat(&self.fd, single(name.as_ref())?, Vec::new())?.into_bytes())
    }

    /// Opens the subdirectory with this name.
    ///
    /// # Errors
    /// When there is none, or the entry is a symlink.
    pub fn dir(&self, name: impl AsRef<OsStr>) -> Result<Dir> {
        let name = single(name.as_ref())?;
        Ok(Dir { fd: beneath(&self.fd, name.as_bytes(), DIR, ResolveFlags::empty())?, path: self.at(name) })
    }

    /// Opens a directory below this one, by a path without symlinks; an empty path or `/` is the directory itself.
    ///
    /// # Errors
    /// As [`beneath`].
    pub fn below(&self, path: &[u8]) -> Result<Dir> {
        let path = under(path);
        Ok(Dir { fd: beneath(&self.fd, path, DIR, ResolveFlags::empty())?, path: self.at(OsStr::from_bytes(path)) })
    }

    /// Sets the mode of a directory below this one to 0700, so that its owner can enter and change it.
    ///
    /// # Errors
    /// As [`beneath`], or as chmod(2) when it belongs to another user.
    pub fn unlock(&self, path: &[u8]) -> Result<()> {
        let found = beneath(&self.fd, under(path), OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::empty())?;
        unlock(found.as_fd())
    }

    /// Creates a subdirectory with exactly this mode (the umask does not matter) and opens it.
    ///
    /// # Errors
    /// When something exists there, or the system refuses.
    pub fn make(&self, name: impl AsRef<OsStr>, mode: u32) -> Result<Dir> {
        let name = single(name.as_ref())?;
        fs::mkdirat(&self.fd, name, Mode::RWXU)?;
        let dir = self.dir(name)?;
        fs::fchmod(&dir.fd, Mode::from_raw_mode(mode))?;
        Ok(dir)
    }

    /// Opens the regular file with this name for reading.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn file(&self, name: impl AsRef<OsStr>) -> Result<File> {
        regular(fs::openat(&self.fd, single(name.as_ref())?, READ, Mode::empty()))
    }

    /// Opens the regular file with this name for reading, so that its access time does not change (O_NOATIME) where we may ask for
    /// that: as its owner, and as root.
    ///
    /// # Errors
    /// As [`Dir::file`].
    pub fn look_into(&self, name: impl AsRef<OsStr>) -> Result<File> {
        regular(self.unnoticed(single(name.as_ref())?, READ))
    }

    /// Opens an entry for reading with these flags, and O_NOATIME where we may ask for it (open(2)): a new access time is a write to the
    /// file system that is measured.
    pub(super) fn unnoticed(&self, name: &OsStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        match fs::openat(&self.fd, name, flags | OFlags::NOATIME, Mode::empty()) {
            Err(Errno::PERM) => fs::openat(&self.fd, name, flags, Mode::empty()),
            opened => opened,
        }
    }

    /// Reads the whole of a small regular file with this name, as [`Dir::look_into`] does.
    ///
    /// # Errors
    /// As [`super::text`].
    pub fn text(&self, name: impl AsRef<OsStr>) -> Result<Vec<u8>> {
        whole(self.look_into(name)?)
    }

    /// Creates a file with mode 0600 and opens it for reading and writing.
    ///
    /// # Errors
    /// When something exists there, or the system refuses.
    pub fn create(&self, name: impl AsRef<OsStr>) -> Result<File> {
        Ok(fs::openat(&self.fd, single(name.as_ref())?, CREATE, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Creates a file without a name (O_TMPFILE, open(2)) in the directory, mode 0600, to be named by [`Dir::link`].
    ///
    /// # Errors
    /// As open(2); also when the file system does not support such files.
    pub fn nameless(&self) -> Result<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        Ok(fs::openat(&self.fd, ".", flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Links an open file that has no name into the directory under this name; nothing may exist there.
    ///
    /// # Errors
    /// As link(2).
    pub fn link(&self, file: &File, name: impl AsRef<OsStr>) -> Result<()> {
        // As open(2) shows for O_TMPFILE: AT_EMPTY_PATH would need a capability.
        let given = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(fs::linkat(fs::CWD, given, &self.fd, single(name.as_ref())?, AtFlags::SYMLINK_FOLLOW)?)
    }

    /// Renames the entry `from` to `name` in directory `to`; a file that exists there is replaced.
    ///
    /// # Errors
    /// As rename(2).
    pub fn rename(&self, from: impl AsRef<OsStr>, to: &Dir, name: impl AsRef<OsStr>) -> Result<()> {
        Ok(fs::renameat(&self.fd, single(from.as_ref())?, &to.fd, single(name.as_ref())?)?)
    }

    /// Removes the entry with this name, which must not be a directory.
    ///
    /// # Errors
    /// As unlink(2).
    pub fn unlink(&self, name: impl AsRef<OsStr>) -> Result<()> {
        Ok(fs::unlinkat(&self.fd, single(name.as_ref())?, AtFlags::empty())?)
    }

    /// Removes the empty subdirectory with this name.
    ///
    /// # Errors
    /// As rmdir(2).
    pub fn rmdir(&self, name: impl AsRef<OsStr>) -> Result<()> {
        Ok(fs::unlinkat(&self.fd, single(name.as_ref())?, AtFlags::REMOVEDIR)?)
    }

    /// Names and kinds of all entries except `.` and `..`; the kind is `Unknown` where the file system does not report it. The access time
    /// of the directory does not change where we may ask for that.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn entries(&self) -> Result<Vec<(OsString, FileType)>> {
        let entries = fs::Dir::new(self.unnoticed(OsStr::new("."), DIR)?)?.map(|entry| {
            let entry = entry?;
            Ok((OsString::from_vec(entry.file_name().to_bytes().to_vec()), entry.file_type()))
        });
        entries.filter(|entry| !matches!(entry, Ok((name, _)) if name == "." || name == "..")).collect()
    }

    /// Makes the directory and the names in it durable (fsync(2)).
    ///
    /// # Errors
    /// As fsync(2).
    pub fn sync(&self) -> Result<()> {
        Ok(fs::fsync(&self.fd)?)
    }
}

/// Refuses a URL where something is to be made: as a path it would be that of a directory `SCHEME:`.
///
/// # Errors
/// When it is one.
pub fn no_url(path: &Path) -> Result<()> {
    let text = path.as_os_str().as_bytes();
    let Some(end) = text.windows(3).position(|three| three == b"://") else { return Ok(()) };
    let scheme = text[0].is_ascii_alphabetic()
        && text[..end].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    match scheme {
        true => Err(refusal(format!("{} is a URL, and the path of a directory is wanted here", path.display()))),
        false => Ok(()),
    }
}

/// Are these the attributes of a directory?
pub fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Opens a path below a directory: symlinks are refused and `..` does not lead out (openat2(2)). `walls`: further restrictions
/// on the resolution, such as not to cross mount points.
///
/// # Errors
/// As openat2(2): ELOOP when a symlink is met, EXDEV when the path leads out.
pub fn beneath(dir: impl AsFd, path: &[u8], flags: OFlags, walls: ResolveFlags) -> Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | walls;
    let open = |dir: BorrowedFd<'_>, path: &[u8], flags: OFlags| -> Result<OwnedFd> {
        Ok(fs::openat2(dir, path, flags, Mode::empty(), resolve)?)
    };
    // A path that is too long for one call is opened in pieces, each beneath the one before.
    let (mut rest, mut at) = (path, None::<OwnedFd>);
    while let Some((piece, more)) = piece(rest) {
        let from = at.as_ref().map_or(dir.as_fd(), AsFd::as_fd);
        at = Some(open(from, piece, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)?);
        rest = more;
    }
    open(at.as_ref().map_or(dir.as_fd(), AsFd::as_fd), rest, flags | OFlags::CLOEXEC)
}

/// The first piece of a path that is too long for one call, as long as it may be, and the rest of it; `None` when it is not too
/// long, or no name in it ends where it could be cut.
pub fn piece(path: &[u8]) -> Option<(&[u8], &[u8])> {
    const MOST: usize = 4095;
    let head = path.get(..MOST + 1)?;
    let cut = memchr::memrchr(b'/', head).filter(|cut| *cut > 0)?;
    let more = &path[cut + 1..];
    (!more.is_empty()).then_some((&path[..cut], more))
}

/// Sets the mode of an open directory to 0700; its descriptor may be one of O_PATH.
pub(super) fn unlock(dir: BorrowedFd) -> Result<()> {
    // fchmod(2) refuses O_PATH descriptors; this magic link leads to the same directory (proc_pid_fd(5)).
    Ok(fs::chmod(format!("/proc/self/fd/{}", dir.as_raw_fd()), Mode::RWXU)?)
}

/// A path as a relative one for openat2(2): without the first `/`, and `.` when nothing is left.
pub(super) fn under(path: &[u8]) -> &[u8] {
    match path.strip_prefix(b"/").unwrap_or(path) {
        b"" => b".",
        path => path,
    }
}

/// Checks that a name is a single path component (no `/`, not `.`, `..` or empty), so that it stays in its directory.
pub(super) fn single(name: &OsStr) -> Result<&OsStr> {
    let bytes = name.as_bytes();
    let single = !matches!(bytes, b"" | b"." | b"..") && memchr::memchr2(b'/', 0, bytes).is_none();
    if single { Ok(name) } else { Err(refusal(format!("{name:?} is no name of a file"))) }
}

/// Splits a path into its parent directory and its last name; an error when it ends in no name (`/`, `..`).
fn split(path: &Path) -> Result<(&Path, &OsStr)> {
    match path.components().next_back() {
        Some(Component::Normal(name)) => Ok((path.parent().unwrap_or(Path::new("")), name)),
        _ => Err(refusal(format!("{} ends in no name", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn scratch() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        (temp, dir)
    }

    #[test]
    fn long_paths_are_opened_in_pieces() {
        let (_temp, dir) = scratch();
        let name = [b'n'; 200];
        let (mut at, mut path) = (dir.again().unwrap(), Vec::new());
        for _ in 0..60 {
            at = at.make(OsStr::from_bytes(&name), 0o700).unwrap();
            path.extend([b"/", &name[..]].concat());
        }
        assert_eq!(dir.below(&path).unwrap().id().unwrap(), at.id().unwrap());
        // Nothing leads out in a later piece either.
        at.make("x", 0o700).unwrap();
        symlink("/", dir.path().join("link")).unwrap();
        fs::symlinkat("/", &at, "out").unwrap();
        for tail in ["/out", "/out/etc", "/x/../x", "/none"] {
            assert_eq!(dir.below(&[&path, tail.as_bytes()].concat()).is_err(), tail != "/x/../x", "{tail}");
        }
        assert!(dir.below(&[b"/link", &path[..], &path].concat()).is_err());
        assert!(dir.below(&[b'n'; 5000]).is_err());
        assert_eq!(piece(&[b'n'; 5000]), None);
        assert_eq!(piece(b"a/b"), None);
        let long = [b"/a/".repeat(2000), b"b".to_vec()].concat();
        let (first, rest) = piece(&long).unwrap();
        assert!(first.len() <= 4095 && [first, b"/", rest].concat() == long);
    }

    #[test]
    fn nothing_leads_out_of_a_directory() {
        let (temp, dir) = scratch();
        std::fs::create_dir_all(temp.path().join("outside/d")).unwrap();
        let inside = dir.make("inside", 0o700).unwrap();
        symlink("../outside", temp.path().join("inside/link")).unwrap();
        for name in ["link", "..", "../outside", ".", "", "/", "a/b", "a\0b"] {
            assert!(inside.dir(name).is_err(), "{name:?}");
            assert!(inside.make(name, 0o700).is_err(), "{name:?}");
            assert!(inside.create(name).is_err() && inside.file(name).is_err(), "{name:?}");
            assert!(inside.rename("link", &inside, name).is_err() || name == "link", "{name:?}");
        }
        assert!(inside.rmdir("link").is_err());
        inside.unlink("link").unwrap();
        assert!(temp.path().join("outside/d").exists());
    }

    #[test]
    fn it_stays_the_same_directory_wherever_it_goes() {
        let (temp, dir) = scratch();
        let inside = dir.make("inside", 0o750).unwrap();
        assert_eq!(std::fs::metadata(temp.path().join("inside")).unwrap().permissions().mode() & 0o7777, 0o750);
        dir.rename("inside", &dir, "away").unwrap();
        symlink("/", temp.path().join("inside")).unwrap();
        inside.create("file").unwrap();
        assert!(temp.path().join("away/file").exists());
        assert_eq!(inside.entries().unwrap(), [("file".into(), FileType::RegularFile)]);
        assert_eq!(inside.id().unwrap(), dir.dir("away").unwrap().id().unwrap());
        assert!(dir.dir("inside").is_err());
    }

    #[test]
    fn reading_sets_no_access_time() {
        let (_temp, dir) = scratch();
        std::io::Write::write_all(&mut dir.create("file").unwrap(), b"text").unwrap();
        let inside = dir.make("inside", 0o700).unwrap();
        let of = |tv_sec| fs::Timespec { tv_sec, tv_nsec: 0 };
        let old = fs::Timestamps { last_access: of(1000), last_modification: of(2000) };
        ["file", "inside"].iter().for_each(|name| fs::utimensat(&dir, *name, &old, AtFlags::empty()).unwrap());
        assert_eq!(dir.text("file").unwrap(), b"text");
        assert_eq!(inside.entries().unwrap(), []);
        let found = ["file", "inside"].map(|name| fs::statat(&dir, name, AtFlags::empty()).unwrap().st_atime);
        assert_eq!(found, [1000, 1000]);
    }

    #[test]
    fn what_is_above_is_made() {
        let (temp, _) = scratch();
        let (dir, name) = Dir::prepare(&temp.path().join("a/b/c")).unwrap();
        assert_eq!((dir.path(), &*name), (&*temp.path().join("a/b"), OsStr::new("c")));
        assert_eq!(std::fs::metadata(temp.path().join("a")).unwrap().permissions().mode() & 0o7777, 0o700);
        Dir::prepare(&temp.path().join("a/b/c")).unwrap();
        assert!(Dir::around(&temp.path().join("x/y")).is_err());
        for path in ["/", "..", "a/..", ""] {
            assert!(Dir::prepare(Path::new(path)).is_err(), "{path}");
        }
        assert_eq!(Dir::around(Path::new("name")).unwrap().0.path(), Path::new("."));
    }
}
