//! The private directory of a server, in which it keeps the workload and the run of the replay that it is asked for.

use crate::files::{self, Dir, Id, Lock};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// What the names of these directories begin with.
const NAME: &str = "ioriot-serve-";

/// A directory of this server's own. It is locked, and removed with all that is in it when it is dropped; what servers have left that
/// were killed is removed too.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    above: Dir,
    name: String,
    _lock: Lock,
}

impl Spool {
    /// Makes one in a directory.
    ///
    /// # Errors
    /// When nothing can be made there.
    pub fn make(above: &Path) -> Result<Spool> {
        let cannot = || format!("cannot keep workloads in {}", above.display());
        let dir = Dir::open(&above.canonicalize().with_context(cannot)?).with_context(cannot)?;
        for (left, _) in dir.entries().with_context(cannot)? {
            if left.to_string_lossy().starts_with(NAME) {
                sweep(&dir, &left.to_string_lossy());
            }
        }
        let name = format!("{NAME}{}", std::process::id());
        let made = dir.make(&name, 0o700).with_context(cannot)?;
        let lock = Lock::alone(&made)?;
        Ok(Spool { path: dir.at(&name), above: dir, name, _lock: lock })
    }

    /// Where the workload of the replay stands.
    pub fn workload(&self) -> PathBuf {
        self.path.join("workload")
    }

    /// Where its run is made.
    pub fn run(&self) -> PathBuf {
        self.path.join("run")
    }

    /// Removes all that is in it.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn empty(&self) -> Result<()> {
        let dir = self.above.dir(&self.name)?;
        files::clear(&dir, &[]).with_context(|| format!("cannot empty {}", self.path.display()))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Ok(id) = self.above.dir(&self.name).and_then(Id::of_open) {
            let _ = files::remove_tree(&self.above, &self.name, id);
        }
    }
}

/// Removes the directory of a server that is no more, if it is ours: what cannot be removed stays.
fn sweep(above: &Dir, name: &str) {
    let Ok(dir) = above.dir(name) else { return };
    let ours = dir.stat().is_ok_and(|stat| stat.st_uid == files::us());
    if ours
        && let Ok(id) = Id::of_open(&dir)
        && Lock::alone(&dir).is_ok()
    {
        let _ = files::remove_tree(above, name, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_what_others_left() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join(format!("{NAME}1"));
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join("x"), "").unwrap();
        let spool = Spool::make(dir.path()).unwrap();
        assert!(!left.exists());
        std::fs::create_dir(spool.workload()).unwrap();
        spool.empty().unwrap();
        assert!(!spool.workload().exists());
        std::fs::create_dir(spool.run()).unwrap();
        drop(spool);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
