//! What `ioriot run` leaves in its DIR when it does not come to its end: what is whole, and how to go on from there.

use super::given;
use crate::files::Dir;
use crate::process::signal::Transient;
use crate::process::stdio;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// A DIR that is being filled. Dropped, or when a signal ends this process, it says what is left there; a DIR that was made for
/// nothing goes.
#[derive(Debug)]
pub struct Left {
    dir: PathBuf,
    /// Was there none before?
    made: bool,
    transient: Option<Transient>,
}

impl Left {
    /// From now on something may be left. To be asked for before anything else that goes with this process is made there.
    ///
    /// # Errors
    /// None at present; making what goes with a process may fail.
    pub fn watch(dir: &Path) -> Result<Left> {
        let made = Dir::open(dir).is_err();
        let go = {
            let dir = dir.to_owned();
            move || {
                settle(&dir, made);
                true
            }
        };
        let (transient, ()) = Transient::make(go, || anyhow::Ok(()))?;
        Ok(Left { dir: dir.to_owned(), made, transient: Some(transient) })
    }

    /// All is there.
    pub fn done(mut self) {
        self.transient = None;
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        if self.transient.take().is_some() {
            settle(&self.dir, self.made);
        }
    }
}

fn settle(dir: &Path, made: bool) {
    if made && let Ok((above, name)) = Dir::around(dir) {
        // It stays when anything is in it.
        let _ = above.rmdir(&name);
    }
    if let Some(parts) = given::parts(dir) {
        let names: Vec<_> = parts.iter().filter_map(|part| part.dir.file_name()).map(|name| name.to_string_lossy()).collect();
        stdio::mention(format_args!("{} has {}{}", dir.display(), names.join(", "), given::next(dir, &parts)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_directory_that_was_made_for_nothing_goes() {
        let tmp = tempfile::tempdir().unwrap();
        let [new, full, old] = ["new", "full", "old"].map(|name| tmp.path().join(name));
        fs::create_dir(&old).unwrap();
        for dir in [&new, &full, &old] {
            let left = Left::watch(dir).unwrap();
            let _ = fs::create_dir(dir);
            if dir == &full {
                fs::write(dir.join("notes"), "mine").unwrap();
            }
            drop(left);
        }
        assert_eq!((new.exists(), full.exists(), old.exists()), (false, true, true));
        let left = Left::watch(&new).unwrap();
        fs::create_dir(&new).unwrap();
        left.done();
        assert!(new.exists());
    }
}
