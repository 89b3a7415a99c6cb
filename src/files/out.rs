//! What a user names to write to: a file that appears when it is whole, or what stands there and is no file.

use super::{Dir, us};
use crate::process::signal::Transient;
use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use std::ffi::OsStr;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Makes what stands at a path. A file of its own appears only when it is whole, and replaces a file or a symlink that stands
/// there. A character device and a FIFO of ours or of root's are written to, also where a symlink of ours or of root's leads to
/// one. `/dev/stdout`, `/dev/fd/3` and their like are descriptors that this process was started with.
///
/// # Errors
/// When something else stands there, or it cannot be made.
pub fn write(path: &Path, make: impl FnOnce(File) -> Result<()>) -> Result<()> {
    let last = path.as_os_str().as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    ensure!(!matches!(last, b"" | b"." | b".."), "{} names a directory: name a file", path.display());
    let cannot = || format!("cannot write {}", path.display());
    if let Some(number) = descriptor(path) {
        return make(inherited(number).with_context(cannot)?);
    }
    let Ok(stands) = rustix::fs::lstat(path) else { return aside(path, make) };
    let takes = |of: &Stat| matches!(kind(of), FileType::CharacterDevice | FileType::Fifo);
    let trusted = |of: &Stat| [0, us()].contains(&of.st_uid);
    let leads = rustix::fs::stat(path).ok();
    let straight = match kind(&stands) {
        FileType::Symlink if leads.as_ref().is_some_and(|leads| kind(leads) == FileType::Directory) => {
            bail!("{} leads to a directory: name a file", path.display())
        }
        FileType::Symlink => trusted(&stands) && leads.as_ref().is_some_and(takes),
        FileType::RegularFile => false,
        FileType::CharacterDevice | FileType::Fifo => true,
        FileType::Directory => bail!("{} is a directory: name a file", path.display()),
        _ => bail!("{} is nothing that can be written to", path.display()),
    };
    if !straight {
        return aside(path, make);
    }
    // First only what it is (O_PATH, open(2)): another's FIFO would keep us waiting for its reader, and what stands there may be
    // another by now. One of ours waits for its reader as it does for every other program.
    let found = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).with_context(cannot)?;
    let is = rustix::fs::fstat(&found)?;
    ensure!(takes(&is) && (trusted(&is) || in_dev(path)), "{} is not yours to write to", path.display());
    let found = format!("/proc/self/fd/{}", found.as_raw_fd());
    let out = rustix::fs::open(found, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).with_context(cannot)?;
    make(out.into())
}

fn kind(of: &Stat) -> FileType {
    FileType::from_raw_mode(of.st_mode)
}

/// The directory that a name is in, without symlinks.
fn above(path: &Path) -> Option<PathBuf> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::canonicalize(above).ok()
}

fn in_dev(path: &Path) -> bool {
    above(path).is_some_and(|above| above == Path::new("/dev"))
}

/// The number of the descriptor of this process that a path stands for: `/dev/fd/3`, `/proc/self/fd/3`, and what leads to one in
/// `/dev` (`/dev/stdout`).
fn descriptor(path: &Path) -> Option<RawFd> {
    let path = if in_dev(path) {
        path.with_file_name(OsStr::from_bytes(rustix::fs::readlink(path, Vec::new()).ok()?.to_bytes()))
    } else {
        path.to_owned()
    };
    let descriptors = std::fs::canonicalize("/proc/self/fd").ok()?;
    let number = above(&path).filter(|above| *above == descriptors).and(path.file_name())?;
    number.to_str()?.parse().ok()
}

/// A descriptor that whoever started this process left open for it. Ours are closed at an exec, and none of anybody's business.
fn inherited(number: RawFd) -> Result<File> {
    let fd = crate::os::descriptor::inherited(number).context("no such descriptor was handed over")?;
    Ok(File::from(fd))
}

/// Makes a file for its owner only that appears only when it is whole. Until then it has no name, or, where the file system
/// knows no such files, a new one: whatever others put there is neither written to nor in the way.
fn aside(path: &Path, make: impl FnOnce(File) -> Result<()>) -> Result<()> {
    ensure!(!in_dev(path), "{} is in /dev, where no files are made", path.display());
    let (dir, name) = Dir::around(path).with_context(|| format!("{} is no name for a file", path.display()))?;
    // Nobody can know it before, and put something there.
    let unfinished = format!(".ioriot-{:016x}.unfinished", RandomState::new().hash_one(std::process::id()));
    let cannot = || format!("cannot create {}", dir.at(&unfinished).display());
    let go = {
        let (dir, unfinished) = (dir.again()?, unfinished.clone());
        move || dir.unlink(&unfinished).is_ok() || dir.look(&unfinished).is_err()
    };
    let (transient, made) = match dir.nameless() {
        Ok(out) => {
            make(out.try_clone()?)?;
            let (transient, ()) = Transient::make(go, || dir.link(&out, &unfinished)).with_context(cannot)?;
            (transient, Ok(()))
        }
        Err(_) => {
            let (transient, out) = Transient::make(go, || dir.create(&unfinished)).with_context(cannot)?;
            (transient, make(out))
        }
    };
    let rename = || {
        let renamed = dir.rename(&unfinished, &dir, &name);
        renamed.with_context(|| format!("cannot put {} in its place", path.display()))
    };
    let made = made.and_then(|()| transient.lasts(rename));
    if made.is_err() {
        let _ = dir.unlink(&unfinished);
    }
    made
}
