//! The DIR of `run`, made anew: what stands there is moved aside, and goes when all of it is there anew.
//!
//! ```text
//! DIR/capture, workload, run ──▶ DIR/capture.old-1, ... ──┬─ all are there again ──▶ deleted
//!   finished or not, locked                                └─ some are not, however that came ──▶ back in their places;
//!                                                               what is new there by then is kept as DIR/capture.new-1, ...
//! ```

use crate::files::{self, Dir, Id, Lock};
use crate::process::signal::Transient;
use crate::process::stdio;
use crate::schema::dataset::Kind;
use crate::schema::{Dataset, draft, entries};
use crate::text::word;
use anyhow::{Context, Result, bail, ensure};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

/// What is made first.
const FIRST: &str = "capture";
/// The datasets in DIR.
const PARTS: [(&str, Kind); 3] = [(FIRST, Kind::Capture), ("workload", Kind::Workload), ("run", Kind::Run)];

/// The old datasets of a directory, each for us alone.
#[derive(Debug)]
pub struct Old {
    /// The directory; none when there is nothing to be moved.
    dir: Option<Dir>,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    name: OsString,
    /// Its name when it is out of the way.
    aside: OsString,
    found: Dir,
    id: Id,
    form: Form,
    _lock: Lock,
}

/// Is it a dataset?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Whole,
    /// What a killed writer left of one.
    Unfinished,
}

impl Old {
    /// What stands in `dir`, if that may be used: it is empty, or with `force` its datasets, finished or not, may all go.
    ///
    /// # Errors
    /// When it is not empty and nobody forces it; when something there is not ioriot's and ours alone, or somebody works with it.
    pub fn look(dir: &Path, force: bool) -> Result<Old> {
        let found = Dir::open(dir).ok().filter(|dir| dir.entries().is_ok_and(|entries| !entries.is_empty()));
        ensure!(force || found.is_none(), "{} is not empty: --force makes it anew, -o DIR chooses another place", dir.display());
        let Some(dir) = found else { return Ok(Old { dir: None, parts: Vec::new() }) };
        let (mut parts, number) = (Vec::new(), vacant(&dir, "old")?);
        if number > 1 {
            // Somebody may have named it so to keep it: nobody but its owner can know.
            let last = dir.at(format!("{FIRST}.old-{}", number - 1));
            log::warn!("{} and its like were left by a run that was killed, or are yours: they stay", last.display());
        }
        for (name, kind) in PARTS {
            let aside = OsString::from(format!("{name}.old-{number}"));
            if let Some((found, lock)) = draft::left(&dir, name.as_ref())? {
                let (name, aside) = (draft::unfinished(name.as_ref()), draft::unfinished(&aside));
                parts.push(Part { id: found.id()?, name, aside, found, form: Form::Unfinished, _lock: lock });
            }
            if let Some((found, lock)) = whole(&dir, name, kind)? {
                parts.push(Part { id: found.id()?, name: name.into(), aside, found, form: Form::Whole, _lock: lock });
            }
        }
        Ok(Old { dir: Some(dir), parts })
    }

    /// Moves all of it aside.
    ///
    /// # Errors
    /// When that cannot be done; then it is in its places.
    pub fn move_aside(self) -> Result<Aside> {
        let old = Arc::new(self);
        let go = {
            let old = Arc::clone(&old);
            move || old.settle().is_ok()
        };
        match Transient::make(go, || old.rename()) {
            Ok((transient, ())) => Ok(Aside { old, transient: Some(transient) }),
            Err(error) => {
                old.settle()?;
                Err(error)
            }
        }
    }

    fn rename(&self) -> Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        for part in &self.parts {
            let renamed = dir.rename(&part.name, dir, &part.aside);
            renamed.with_context(|| format!("cannot move {} aside", dir.at(&part.name).display()))?;
        }
        Ok(())
    }

    /// Deletes what is aside when each dataset has a new one in its place, else puts it back. May be done again, and goes as far as
    /// it can.
    fn settle(&self) -> Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let is = |name: &OsStr, part: &Part| dir.look(name).is_ok_and(|stat| Id::of(&stat) == part.id);
        let old = |name: &str| self.parts.iter().any(|part| is(name.as_ref(), part));
        let new = |(name, kind): &(&str, Kind)| {
            let found = dir.dir(name).ok().and_then(|found| Dataset::of(&found).ok());
            found.is_some_and(|dataset| dataset.must_be(*kind).is_ok()) && !old(name)
        };
        let stood = |name: &str| self.parts.iter().any(|part| part.form == Form::Whole && part.name == name);
        let renewed = PARTS.iter().all(|part| new(part) || part.0 != FIRST && !stood(part.0));
        let aside: Vec<_> = self.parts.iter().filter(|part| is(&part.aside, part)).collect();
        let mut done = Ok(());
        if !renewed && !aside.is_empty() {
            let made: Vec<_> = PARTS.iter().filter(|part| new(part)).map(|(name, _)| *name).collect();
            done = keep(dir, &made);
        }
        for part in aside {
            let settled = if renewed { part.remove(dir) } else { part.put_back(dir) };
            done = done.and(settled);
        }
        done
    }
}

/// Moves what is new out of the places of what is old, and says where it is.
fn keep(dir: &Dir, names: &[&str]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let number = vacant(dir, "new")?;
    for name in names {
        let kept = format!("{name}.new-{number}");
        dir.rename(name, dir, &kept).with_context(|| format!("cannot move {} aside", dir.at(name).display()))?;
        stdio::mention(format_args!("what was there is back in its place; the new {name} is {}", word(&dir.at(&kept))));
    }
    Ok(())
}

impl Part {
    fn remove(&self, dir: &Dir) -> Result<()> {
        let removed = match self.form {
            // Somebody may have put something there meanwhile.
            Form::Whole => entries::remove(&self.found).and_then(|()| Ok(files::remove_tree(dir, &self.aside, self.id)?)),
            Form::Unfinished => draft::empty(&self.found).and_then(|()| Ok(dir.rmdir(&self.aside)?)),
        };
        removed.with_context(|| format!("cannot delete {}", dir.at(&self.aside).display()))
    }

    fn put_back(&self, dir: &Dir) -> Result<()> {
        let back = || -> Result<()> {
            ensure!(dir.look(&self.name).is_err(), "{} is in its place", dir.at(&self.name).display());
            Ok(dir.rename(&self.aside, dir, &self.name)?)
        };
        back().with_context(|| format!("{} cannot be put back", dir.at(&self.aside).display()))
    }
}

/// Old datasets that are out of the way. Dropped, or when a signal ends this process, they go when each has a
/// new one in its place, else they are put back.
#[derive(Debug)]
pub struct Aside {
    old: Arc<Old>,
    transient: Option<Transient>,
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(transient) = self.transient.take()
            && let Err(error) = transient.lasts(|| self.old.settle())
        {
            log::warn!("{error:#}");
        }
    }
}

/// A dataset that stands at a name, for us alone.
fn whole(dir: &Dir, name: &str, kind: Kind) -> Result<Option<(Dir, Lock)>> {
    let shown = dir.at(name).display().to_string();
    let Ok(stat) = dir.look(name) else { return Ok(None) };
    ensure!(files::mine(&stat), "{shown} is not yours alone: remove it yourself");
    let found = dir.dir(name).with_context(|| format!("{shown} is in the way"))?;
    Dataset::of(&found).and_then(|dataset| dataset.must_be(kind)).with_context(|| format!("{shown} is in the way"))?;
    files::trusted(dir)?;
    entries::pure(&found)?;
    let lock = Lock::alone(found.again()?).with_context(|| format!("{shown} is not free"))?;
    ensure!(found.id()? == Id::of(&dir.look(name)?), "{shown} is another one now");
    Ok(Some((found, lock)))
}

/// A number that no dataset has that was moved aside as an old or a new one.
fn vacant(dir: &Dir, age: &str) -> Result<u32> {
    let free = |number: &u32| {
        PARTS.iter().all(|(name, _)| {
            let aside = OsString::from(format!("{name}.{age}-{number}"));
            dir.look(draft::unfinished(&aside)).is_err() && dir.look(&aside).is_err()
        })
    };
    match (1..=u32::MAX).find(free) {
        Some(number) => Ok(number),
        None => bail!("no free names in {}", dir.path().display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Draft, Manifest};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn made(place: &Path, kind: Kind) {
        Draft::create(place, kind).unwrap().commit(Manifest::new()).unwrap();
    }

    fn left(dir: &Path) -> std::path::PathBuf {
        let left = dir.join(".run.unfinished");
        fs::create_dir(&left).unwrap();
        fs::set_permissions(&left, Permissions::from_mode(0o700)).unwrap();
        left
    }

    #[test]
    fn old_datasets_go_when_all_are_there_anew_and_come_back_otherwise() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("d");
        drop(Old::look(&dir, false).unwrap().move_aside().unwrap());
        fs::create_dir(&dir).unwrap();
        let names = || {
            let mut names: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        made(&dir.join("capture"), Kind::Capture);
        made(&dir.join("workload"), Kind::Workload);
        fs::write(dir.join("notes"), "mine").unwrap();
        left(&dir);
        assert!(Old::look(&dir, false).is_err());
        drop(Old::look(&dir, true).unwrap());
        assert_eq!(names(), [".run.unfinished", "capture", "notes", "workload"]);

        let aside = Old::look(&dir, true).unwrap().move_aside().unwrap();
        assert_eq!(names(), [".run.old-1.unfinished", "capture.old-1", "notes", "workload.old-1"]);
        drop(aside);
        assert_eq!(names(), [".run.unfinished", "capture", "notes", "workload"]);

        fs::create_dir(dir.join("run.old-1")).unwrap();
        let aside = Old::look(&dir, true).unwrap().move_aside().unwrap();
        assert_eq!(names(), [".run.old-2.unfinished", "capture.old-2", "notes", "run.old-1", "workload.old-2"]);
        made(&dir.join("capture"), Kind::Capture);
        made(&dir.join("workload"), Kind::Workload);
        drop(aside);
        assert_eq!(names(), ["capture", "notes", "run.old-1", "workload"]);
        fs::remove_dir(dir.join("run.old-1")).unwrap();

        // It did not come as far as the workload.
        let aside = Old::look(&dir, true).unwrap().move_aside().unwrap();
        made(&dir.join("capture"), Kind::Capture);
        drop(aside);
        assert_eq!(names(), ["capture", "capture.new-1", "notes", "workload"]);
        for name in ["capture.new-1", "workload"] {
            fs::remove_dir_all(dir.join(name)).unwrap();
        }

        // What stands at its name is no capture.
        let aside = Old::look(&dir, true).unwrap().move_aside().unwrap();
        fs::create_dir(dir.join("capture")).unwrap();
        drop(aside);
        assert_eq!(names(), ["capture", "capture.old-1", "notes"]);
        fs::remove_dir(dir.join("capture")).unwrap();
        fs::rename(dir.join("capture.old-1"), dir.join("capture")).unwrap();

        // What somebody has put into it stays.
        let aside = Old::look(&dir, true).unwrap().move_aside().unwrap();
        fs::write(dir.join("capture.old-1/thesis"), "mine").unwrap();
        made(&dir.join("capture"), Kind::Capture);
        drop(aside);
        assert_eq!(names(), ["capture", "capture.old-1", "notes"]);
    }

    #[test]
    fn what_is_in_use_or_somebody_elses_leaves_all_in_its_place() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path();
        made(&dir.join("capture"), Kind::Capture);
        made(&dir.join("workload"), Kind::Workload);
        let left = left(dir);
        let refused = || format!("{:#}", Old::look(dir, true).unwrap_err());
        let reader = Dataset::open(&dir.join("workload")).unwrap();
        assert!(refused().contains("workload is not free"));
        drop(reader);
        let foreign = dir.join("run");
        fs::create_dir(&foreign).unwrap();
        assert!(refused().contains("is in the way"));
        fs::remove_dir(&foreign).unwrap();
        std::os::unix::fs::symlink("workload", &foreign).unwrap();
        assert!(refused().contains("is not yours alone"));
        fs::remove_file(&foreign).unwrap();
        fs::write(left.join("thesis"), "mine").unwrap();
        assert!(refused().contains("is not ioriot's"));
        assert!(dir.join("capture").exists() && dir.join("workload").exists());
    }
}
