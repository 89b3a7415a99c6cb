//! What a user names to write to: a file that appears when it is whole, or what stands there and is no file.

use super::{Dir, us};
use crate::signal::Transient;
use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Makes what stands at a path. A file of its own appears only when it is whole, and replaces a file or a symlink that stands
/// there. A character device and a FIFO of ours or of root's are written to, also where a symlink of ours or of root's leads to
/// one; so is what `/dev/stdout` and its like lead to.
///
/// # Errors
/// When something else stands there, or it cannot be made.
pub fn write(path: &Path, make: impl FnOnce(File) -> Result<()>) -> Result<()> {
    ensure!(!path.as_os_str().as_bytes().ends_with(b"/"), "{} names a directory: name a file", path.display());
    let Ok(stands) = rustix::fs::lstat(path) else { return aside(path, make) };
    let system = of_system(path);
    let kind = |of: &Stat| FileType::from_raw_mode(of.st_mode);
    let takes = |of: &Stat| match kind(of) {
        FileType::CharacterDevice | FileType::Fifo => true,
        FileType::RegularFile => system,
        _ => false,
    };
    let trusted = |of: &Stat| [0, us()].contains(&of.st_uid);
    let straight = match kind(&stands) {
        FileType::Symlink => trusted(&stands) && rustix::fs::stat(path).is_ok_and(|leads| takes(&leads)),
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
    let cannot = || format!("cannot write {}", path.display());
    let found = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).with_context(cannot)?;
    let is = rustix::fs::fstat(&found)?;
    ensure!(takes(&is) && (system || trusted(&is)), "{} is not yours to write to", path.display());
    // `/dev/stdout` is opened anew, so that it would begin at the start of a file which the shell appends to.
    let append = if kind(&is) == FileType::RegularFile { OFlags::APPEND } else { OFlags::empty() };
    let found = format!("/proc/self/fd/{}", found.as_raw_fd());
    let out = rustix::fs::open(found, OFlags::WRONLY | OFlags::CLOEXEC | append, Mode::empty()).with_context(cannot)?;
    make(out.into())
}

/// Is it an entry of `/dev`, or a descriptor of ours (`/dev/fd/3`, `/proc/self/fd/3`)?
fn of_system(path: &Path) -> bool {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let descriptors = || std::fs::canonicalize("/proc/self/fd").ok();
    std::fs::canonicalize(above).is_ok_and(|above| above == Path::new("/dev") || Some(above) == descriptors())
}

/// Makes a file for its owner only that appears only when it is whole. Until then it has no name, or, where the file system
/// knows no such files, a new one: whatever others put there is neither written to nor in the way.
fn aside(path: &Path, make: impl FnOnce(File) -> Result<()>) -> Result<()> {
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
