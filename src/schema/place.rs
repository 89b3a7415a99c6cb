//! Where a dataset or a tree may be made: not inside a dataset, a draft or a root, whose deletion would delete it too.

use super::{draft, entries};
use crate::files::{self, Dir};
use crate::mounts::{Line, below};
use crate::store;
use anyhow::{Result, bail, ensure};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Name of the stamp that marks a directory as a root (made by `ioriot init`).
pub const ROOT: &str = ".ioriot-root.json";

/// Refuses a path that lies inside a dataset, a draft or a root, and a URL.
///
/// # Errors
/// When it does; the message names the directory around it.
pub fn outside(place: &Path) -> Result<()> {
    ensure!(
        !store::is(place),
        "{} is in a store, and this is made on this machine: name a directory (`ioriot copy` takes datasets to stores)",
        place.display()
    );
    let place = std::path::absolute(place)?;
    // Parents that do not exist yet are skipped; symlinks above are resolved, since the path will lie where they lead.
    let above = place.ancestors().skip(1).find_map(|above| fs::canonicalize(above).ok()).unwrap_or_else(|| PathBuf::from("/"));
    let bound = bound(&above);
    for dir in above.ancestors().chain(bound.iter().flat_map(|bound| bound.ancestors())) {
        // What a directory of somebody else says of itself is not believed, nor what others can have put there.
        let Some(opened) = Dir::open(dir).ok().filter(|opened| opened.stat().is_ok_and(|stat| files::mine(&stat))) else {
            continue;
        };
        let ours = match draft::stamped(&opened) {
            Some((kind, _)) => kind.name(),
            None if opened.look(ROOT).is_ok() => "root",
            None => continue,
        };
        bail!("{} would be in {}, which is a {ours}, and go with it: choose another place", place.display(), dir.display());
    }
    Ok(())
}

/// Another path of a directory that is reached by a bind mount: the one by which its file system is mounted as a whole, or more of
/// it. `None` when there is none, or the mounts cannot be read.
fn bound(dir: &Path) -> Option<PathBuf> {
    let text = files::text(Path::new("/proc/self/mountinfo")).ok()?;
    let mounts: Vec<Line> = text.split(|byte| *byte == b'\n').filter_map(Line::parse).collect();
    let dir = dir.as_os_str().as_bytes();
    // Of several mounts at one path the last one is seen.
    let holds = mounts.iter().filter(|mount| below(dir, &mount.path).is_some()).max_by_key(|mount| mount.path.len())?;
    let inside = join(&holds.root, below(dir, &holds.path)?);
    let wider = |mount: &&Line| mount.device == holds.device && mount.root.len() < holds.root.len();
    let whole = mounts.iter().filter(wider).find_map(|mount| Some(join(&mount.path, below(&inside, &mount.root)?)))?;
    Some(PathBuf::from(OsString::from_vec(whole)))
}

/// `dir` and a rest as [`below`] gives it.
fn join(dir: &[u8], rest: &[u8]) -> Vec<u8> {
    [dir.strip_suffix(b"/").unwrap_or(dir), rest].concat()
}

/// Refuses to put an answer in the place of a file of a dataset that is being asked. (Of another one that is an edit.)
///
/// # Errors
/// When it would be; the message names the file.
pub fn foreign(file: &Path, asked: &[PathBuf]) -> Result<()> {
    let Ok((dir, name)) = Dir::around(file) else { return Ok(()) };
    let id = dir.id()?;
    let of = asked.iter().find(|dataset| Dir::open(dataset).and_then(|dataset| dataset.id()).is_ok_and(|asked| asked == id));
    let Some(dataset) = of.filter(|_| entries::made(&name, false)) else { return Ok(()) };
    bail!("{} belongs to {}, which is being asked: name another file", file.display(), dataset.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::dataset::Kind;
    use crate::schema::{Draft, Manifest};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn nothing_is_made_in_what_may_go() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().canonicalize().unwrap();
        let refused = |place: &str| outside(&dir.join(place)).unwrap_err().to_string();
        Draft::create(&dir.join("run"), Kind::Run).unwrap().commit(Manifest::new()).unwrap();
        outside(&dir.join("run")).unwrap();
        outside(&dir.join("runs/new/run")).unwrap();
        let url = outside(Path::new("s3://bucket/x")).unwrap_err().to_string();
        assert!(url.contains("in a store"), "{url}");
        assert!(refused("run/x").contains(&format!("in {}/run, which is a run", dir.display())));
        assert!(refused("run/x/y/z").contains("which is a run"));
        std::os::unix::fs::symlink("run", dir.join("link")).unwrap();
        assert!(refused("link/x").contains("which is a run"));
        let draft = Draft::create(&dir.join("work"), Kind::Workload).unwrap();
        assert!(refused(".work.unfinished/x").contains("which is a workload"));
        assert!(Draft::create(&dir.join("run/x"), Kind::Run).is_err());
        drop(draft);
        fs::create_dir_all(dir.join("root/tree")).unwrap();
        fs::write(dir.join("root").join(ROOT), "{}").unwrap();
        assert!(refused("root/tree/x").contains("which is a root"));
        // Others have files of this name, too.
        fs::create_dir(dir.join("web")).unwrap();
        fs::write(dir.join("web/manifest.json"), "{\"name\": \"app\"}").unwrap();
        outside(&dir.join("web/x")).unwrap();
        // Anybody may have put it there.
        fs::set_permissions(dir.join("root"), fs::Permissions::from_mode(0o1777)).unwrap();
        outside(&dir.join("root/x")).unwrap();
    }
}
