//! Where `query -o` writes: a file that appears when it is whole, or what stands there and is no file.

use crate::files::{self, Dir};
use crate::signal::Transient;
use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsStr;
use std::fs::{self, File, FileType, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Makes what stands at a path. A file of its own appears only when it is whole, and replaces a file or a symlink that stands
/// there. A character device and a FIFO of ours or of root's are written to, also where a symlink of ours or of root's leads to
/// one; so is what `/dev/stdout` and its like lead to.
///
/// # Errors
/// When something else stands there, or it cannot be made.
pub fn write(path: &Path, make: impl FnOnce(File) -> Result<()>) -> Result<()> {
    let Ok(stands) = fs::symlink_metadata(path) else { return aside(path, make) };
    let system = path.parent() == Some(Path::new("/dev"));
    let takes = |kind: FileType| kind.is_char_device() || kind.is_fifo() || system && kind.is_file();
    let trusted = |of: &Metadata| [0, files::us()].contains(&of.uid());
    let straight = match stands.file_type() {
        kind if kind.is_symlink() && trusted(&stands) => fs::metadata(path).is_ok_and(|leads| takes(leads.file_type())),
        kind if kind.is_file() || kind.is_symlink() => false,
        kind if takes(kind) => true,
        kind if kind.is_dir() => bail!("{} is a directory: name a file", path.display()),
        _ => bail!("{} is nothing that an answer can be written to", path.display()),
    };
    if !straight {
        return aside(path, make);
    }
    // A FIFO waits for its reader, as it does for every other program. Nothing is written before it is known what was opened:
    // it may have been swapped since it was looked at.
    let out = File::options().write(true).open(path).with_context(|| format!("cannot write {}", path.display()))?;
    let is = out.metadata()?;
    ensure!(takes(is.file_type()) && (system || trusted(&is)), "{} is not yours to write to", path.display());
    make(out)
}

/// Makes a file for its owner only that appears only when it is whole. Until then it has no name, or, where the file system
/// knows no such files, a new one: whatever others put there is neither written to nor in the way.
fn aside(path: &Path, make: impl FnOnce(File) -> Result<()>) -> Result<()> {
    let (dir, name) = Dir::around(path).with_context(|| format!("{} is no name for a file", path.display()))?;
    let mut unfinished = OsStr::new(".").to_owned();
    unfinished.push(&name);
    unfinished.push(format!(".{}.unfinished", std::process::id()));
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
