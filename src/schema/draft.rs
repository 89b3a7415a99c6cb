//! Drafts: datasets that are being written.
//!
//! A draft is a directory `.NAME.unfinished` beside the place of its dataset. It holds a stamp: a file, written first,
//! with the kind of the dataset and, later, what its manifest would say. It is locked (flock(2)) as long as somebody
//! works on it. A directory without a stamp belongs to somebody else, whatever its name; a locked one is not to be
//! touched; any other was left by a writer that was killed. A directory without a stamp that is empty, or holds the
//! beginning of a stamp only, counts as a draft too: its writer was killed before it wrote one, or nothing is lost with
//! it.

use super::dataset::{Dataset, FORMAT, Kind, MANIFEST, Manifest};
use super::{entries, place};
use crate::files::{self, Dir, Id, Lock};
use crate::process::signal::Transient;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Error, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Name of the stamp, the file by which a draft says that it is ioriot's and of which kind.
pub(super) const STAMP: &str = "begun.json";
/// Name of the stamp while it is being written; it is then renamed to [`STAMP`].
pub(super) const STAMP_ASIDE: &str = "begun.json.new";

/// A dataset that is being written in a directory of its own. Dropped without [`Draft::commit`] it is removed, unless
/// it was resumed.
#[derive(Debug)]
pub struct Draft {
    place: PathBuf,
    /// The parent directory, in which the draft stands and the dataset will.
    around: Dir,
    /// Name of the draft in it: `.NAME.unfinished`.
    aside: OsString,
    /// Name of the finished dataset in it.
    name: OsString,
    dir: Dir,
    kind: Kind,
    fate: Fate,
    /// Has a signal that ends the process remove the draft; `None` when the draft stays.
    transient: Option<Transient>,
    _lock: Lock,
}

/// What becomes of a draft that is dropped without being committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The draft is removed.
    Goes,
    /// The draft stays on disk as it is.
    Stays,
}

impl Draft {
    /// Begins a dataset that will stand at `place`. A draft of it that a killed writer left is emptied and used.
    ///
    /// # Errors
    /// When something exists at `place`, somebody is writing the dataset, or its parent cannot be written to or lies in
    /// a dataset or root.
    pub fn create(place: &Path, kind: Kind) -> Result<Draft> {
        place::outside(place)?;
        let (around, name) = Dir::prepare(place).with_context(|| format!("{} is no place for a dataset", place.display()))?;
        vacant(&around, &name)?;
        ensure!(!is_unfinished(&name), "{} is a name for what is unfinished: choose another one", place.display());
        let aside = unfinished(&name);
        let go = {
            let (around, aside) = (around.again()?, aside.clone());
            move || discard(&around, &aside)
        };
        let (transient, (dir, lock)) = Transient::make(go, || begin(&around, &aside, kind))?;
        let (place, transient) = (place.to_owned(), Some(transient));
        Ok(Draft { place, around, aside, name, dir, kind, fate: Fate::Goes, transient, _lock: lock })
    }

    /// Reopens the draft of a dataset whose writer was killed. Dropped without [`Draft::commit`], it stays on disk.
    ///
    /// # Errors
    /// When there is no draft, it is of another kind, somebody is writing it, or something exists at `place` already.
    pub fn resume(place: &Path, kind: Kind) -> Result<Draft> {
        let (around, name) = Dir::around(place).with_context(|| format!("{} is no place for a dataset", place.display()))?;
        vacant(&around, &name)?;
        files::trusted(&around)?;
        let aside = unfinished(&name);
        let shown = around.at(&aside);
        let nothing = || format!("nothing was left unfinished: there is no {}", shown.display());
        let dir = around.dir(&aside).with_context(nothing)?;
        let lock = take(&dir)?;
        ensure!(stands(&around, &aside, &dir), nothing());
        let is = stamped(&dir).map(|(kind, _)| kind);
        ensure!(is == Some(kind), "{} is no unfinished {}", shown.display(), kind.name());
        files::private(&dir)?;
        Ok(Draft { place: place.to_owned(), around, aside, name, dir, kind, fate: Fate::Stays, transient: None, _lock: lock })
    }

    /// As [`Draft::resume`], but `None` when there is no draft that can be resumed.
    ///
    /// # Errors
    /// When somebody is writing it now.
    pub fn left(place: &Path, kind: Kind) -> Result<Option<Draft>> {
        match Draft::resume(place, kind) {
            Err(error) if files::busy(&error).is_some() => Err(error),
            left => Ok(left.ok()),
        }
    }

    /// Directory of the draft, in which the dataset is written.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Path in the draft of a file of the dataset.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.at(name)
    }

    /// Creates a file of the dataset in the draft, readable by its owner only; one of this name is replaced.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn file(&self, name: &str) -> Result<File> {
        replace(&self.dir, name).with_context(|| format!("cannot create {}", self.path(name).display()))
    }

    /// Writes what the manifest would say by now into the stamp, for a process that resumes the draft of a killed writer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&self, manifest: &Manifest) -> Result<()> {
        stamp(&self.dir, self.kind, manifest.clone())
    }

    /// What [`Draft::note`] wrote last, or the manifest if the writer had come to write it.
    ///
    /// # Errors
    /// When there is neither a stamp nor a manifest that can be read.
    pub fn noted(&self) -> Result<Manifest> {
        let noted = stamped(&self.dir).map(|(_, manifest)| manifest);
        noted.with_context(|| format!("{} says nothing of itself", self.dir().display()))
    }

    /// Writes the manifest, fsyncs everything and renames the draft to the place of the dataset.
    ///
    /// # Errors
    /// When anything cannot be written, or something stands at the place by now; then the draft is dropped.
    pub fn commit(mut self, manifest: Manifest) -> Result<Dataset> {
        let mut manifest = headed(self.kind, manifest);
        entries::note_files(&mut manifest, &self.dir)?;
        let mut file = self.file(MANIFEST)?;
        file.write_all(serde_json::to_string_pretty(&manifest)?.as_bytes())?;
        file.write_all(b"\n")?;
        for (name, _) in self.dir.entries()? {
            self.dir.file(&name)?.sync_all()?;
        }
        // Not earlier: until the manifest is durable, the stamp tells a reader of a killed writer's files what they
        // are.
        gone(self.dir.unlink(STAMP))?;
        self.dir.sync()?;
        let transient = self.transient.take();
        let settle = || -> Result<()> {
            vacant(&self.around, &self.name)?;
            Ok(self.around.rename(&self.aside, &self.around, &self.name)?)
        };
        let settled = match transient {
            Some(transient) => transient.lasts(settle),
            None => settle(),
        };
        settled.with_context(|| format!("cannot put {} in its place", self.place.display()))?;
        self.fate = Fate::Stays;
        self.around.sync()?;
        Ok(Dataset { dir: self.place.clone(), kind: self.kind, manifest, _lock: None })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.fate == Fate::Goes {
            discard(&self.around, &self.aside);
        }
    }
}

/// Deletes the draft `aside` in directory `around`, if nobody works on it.
///
/// # Errors
/// When somebody works on it, it is not a draft of ioriot's, holds foreign files, or cannot be deleted.
pub fn remove(around: &Dir, aside: &OsStr) -> Result<()> {
    remove_opened(around, aside, around.dir(aside)?)
}

fn remove_opened(around: &Dir, aside: &OsStr, dir: Dir) -> Result<()> {
    let _lock = hold(around, aside, &dir)?;
    empty(&dir)?;
    Ok(around.rmdir(aside)?)
}

/// Takes the exclusive lock of a draft that nobody works on, and checks that all of it is ioriot's.
fn hold(around: &Dir, aside: &OsStr, dir: &Dir) -> Result<Lock> {
    let lock = take(dir)?;
    if !stands(around, aside, dir) {
        return Err(Error::new(ErrorKind::WouldBlock, "its writer has just finished with it").into());
    }
    ensure!(ours(dir), "{} is not ioriot's", dir.path().display());
    files::private(dir)?;
    entries::pure(dir)?;
    Ok(lock)
}

/// The draft of the dataset `name` in directory `around` that a killed writer left, with its exclusive lock; `None`
/// when there is none.
///
/// # Errors
/// When somebody is writing it, or it holds anything that is not ioriot's.
pub fn left(around: &Dir, name: &OsStr) -> Result<Option<(Dir, Lock)>> {
    let aside = unfinished(name);
    if around.look(&aside).is_err() {
        return Ok(None);
    }
    let held = || -> Result<_> {
        files::trusted(around)?;
        let dir = around.dir(&aside)?;
        let lock = hold(around, &aside, &dir)?;
        Ok(Some((dir, lock)))
    };
    held().with_context(|| format!("{} is in the way", around.at(&aside).display()))
}

/// Is this a draft, by its name and its stamp, that holds nothing but files that ioriot makes?
pub fn is(dir: &Dir) -> bool {
    dir.path().file_name().is_some_and(is_unfinished) && ours(dir) && entries::pure(dir).is_ok()
}

/// Does the directory hold a stamp of ioriot's, or nothing but the beginning of one?
fn ours(dir: &Dir) -> bool {
    stamped(dir).is_some() || dir.entries().is_ok_and(|names| names.iter().all(|(name, _)| name == STAMP_ASIDE))
}

/// Makes the directory of a draft, or takes and empties the one of a killed writer; locks and stamps it.
fn begin(around: &Dir, aside: &OsStr, kind: Kind) -> Result<(Dir, Lock)> {
    let shown = around.at(aside);
    loop {
        let made = match around.make(aside, 0o700) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => around.dir(aside),
            made => made,
        };
        let dir = made.with_context(|| format!("cannot make {}", shown.display()))?;
        let lock = take(&dir)?;
        if !stands(around, aside, &dir) {
            continue;
        }
        ensure!(
            ours(&dir),
            "{} is not ioriot's, and in the way of {}: choose another name, or move it away",
            shown.display(),
            around.path().display(),
        );
        files::private(&dir)?;
        entries::pure(&dir)?;
        let anew = || -> Result<()> {
            files::clear(&dir, &[MANIFEST, STAMP])?;
            stamp(&dir, kind, Manifest::new())?;
            Ok(files::clear(&dir, &[STAMP])?)
        };
        return match anew() {
            Ok(()) => Ok((dir, lock)),
            Err(error) => {
                discard(around, aside);
                Err(error)
            }
        };
    }
}

/// Does this draft, which was opened and then locked, still have its name? Whoever had the lock before may have renamed
/// it to its final place, or deleted it.
fn stands(around: &Dir, aside: &OsStr, dir: &Dir) -> bool {
    around.look(aside).is_ok_and(|stat| dir.id().is_ok_and(|id| id == Id::of(&stat)))
}

/// Takes the exclusive lock of a draft; an error when somebody is writing it.
fn take(dir: &Dir) -> Result<Lock> {
    Lock::alone(dir).with_context(|| format!("{} is being written", dir.path().display()))
}

/// Kind and contents of a directory's stamp or, without a stamp, of its manifest; `None` when it has neither of
/// ioriot's.
pub(super) fn stamped(dir: &Dir) -> Option<(Kind, Manifest)> {
    let text = dir.text(STAMP).or_else(|_| dir.text(MANIFEST)).ok()?;
    let manifest: Manifest = files::json(&text).ok()?;
    let word = |key: &str| manifest.get(key).and_then(Value::as_str);
    let kind = word("ioriot").and(word("kind")).and_then(Kind::parse)?;
    Some((kind, manifest))
}

/// Replaces the stamp of a draft by one with this kind and manifest, atomically: after a crash the draft has the old
/// stamp or the new one.
fn stamp(dir: &Dir, kind: Kind, manifest: Manifest) -> Result<()> {
    let text = serde_json::to_string_pretty(&headed(kind, manifest))?;
    let write = || -> std::io::Result<()> {
        replace(dir, STAMP_ASIDE)?.write_all(text.as_bytes())?;
        dir.rename(STAMP_ASIDE, dir, STAMP)
    };
    write().with_context(|| format!("cannot stamp {}", dir.path().display()))
}

/// The manifest with the keys that every manifest has: format version, kind, and version of ioriot.
fn headed(kind: Kind, mut manifest: Manifest) -> Manifest {
    manifest.insert("format".into(), json!(FORMAT));
    manifest.insert("kind".into(), json!(kind.name()));
    manifest.insert("ioriot".into(), json!(env!("CARGO_PKG_VERSION")));
    manifest
}

/// Creates a file, after removing the one of this name if there is one.
fn replace(dir: &Dir, name: &str) -> std::io::Result<File> {
    gone(dir.unlink(name))?;
    dir.create(name)
}

/// The result of a removal, with "not found" taken as success.
fn gone(removed: std::io::Result<()>) -> std::io::Result<()> {
    removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Deletes all files in a draft, the manifest and the stamp last: a draft that is deleted half-way is still known as
/// ours.
///
/// # Errors
/// When something cannot be deleted.
pub fn empty(dir: &Dir) -> Result<()> {
    files::clear(dir, &[MANIFEST, STAMP])?;
    files::clear(dir, &[STAMP])?;
    Ok(files::clear(dir, &[])?)
}

/// Deletes a draft; false when something of it is left, because others are still writing in it.
fn discard(around: &Dir, aside: &OsStr) -> bool {
    match around.dir(aside) {
        Ok(dir) => empty(&dir).is_ok() && around.rmdir(aside).is_ok(),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

fn vacant(around: &Dir, name: &OsStr) -> Result<()> {
    ensure!(around.look(name).is_err(), "{} exists already: remove it or choose another name", around.at(name).display());
    Ok(())
}

/// Name of the draft of a dataset of this name: `.NAME.unfinished`.
pub fn unfinished(name: &OsStr) -> OsString {
    let mut aside = OsString::from(".");
    aside.push(name);
    aside.push(".unfinished");
    aside
}

/// Is it the name of a draft? No dataset may have one: nobody could tell it from a draft whose writer was killed just
/// before the rename.
pub fn is_unfinished(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b".") && name.ends_with(b".unfinished")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_unfinished_dataset_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("cap");
        let draft = Draft::create(&place, Kind::Capture).unwrap();
        draft.file("events.parquet").unwrap();
        fs::create_dir(draft.path("spill")).unwrap();
        drop(draft);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let error = Draft::create(&dir.path().join(".cap.unfinished"), Kind::Capture).unwrap_err().to_string();
        assert!(error.contains("choose another"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_finished_one_is_found_and_its_kind_is_checked() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("cap");
        Draft::create(&place, Kind::Capture).unwrap().commit(Manifest::new()).unwrap();
        assert_eq!(Dataset::open(&place).unwrap().kind, Kind::Capture);
        let error = Dataset::expect(&place, Kind::Run).unwrap_err().to_string();
        assert!(error.contains("is a capture, and a run is needed"), "{error}");
        assert!(Draft::create(&place, Kind::Capture).is_err());
    }

    #[test]
    fn a_note_is_there_until_the_dataset_is() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("cap");
        let draft = Draft::create(&place, Kind::Capture).unwrap();
        assert!(!draft.noted().unwrap().contains_key("host"));
        draft.note(&Manifest::from_iter([("host".into(), json!("h"))])).unwrap();
        assert_eq!(draft.noted().unwrap()["host"], json!("h"));
        draft.commit(Manifest::new()).unwrap();
        let names = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), [MANIFEST]);
    }

    #[test]
    fn nobody_elses_directory_is_a_draft() {
        let dir = tempfile::tempdir().unwrap();
        let (place, theirs) = (dir.path().join("thesis"), dir.path().join(".thesis.unfinished"));
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join("chapter"), "1").unwrap();
        for text in [None, Some("{}"), Some(r#"{"kind": "run"}"#), Some("no JSON")] {
            text.inspect(|text| fs::write(theirs.join(STAMP), text).unwrap());
            let error = Draft::create(&place, Kind::Run).unwrap_err().to_string();
            assert!(error.contains("is not ioriot's"), "{error}");
            assert!(Draft::resume(&place, Kind::Run).is_err());
            assert!(remove(&Dir::open(dir.path()).unwrap(), OsStr::new(".thesis.unfinished")).is_err());
            assert_eq!(fs::read(theirs.join("chapter")).unwrap(), b"1");
        }
    }

    #[test]
    fn a_draft_whose_writer_came_to_no_stamp_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (around, aside) = (Dir::open(dir.path()).unwrap(), OsStr::new(".cap.unfinished"));
        for begun in [None, Some(STAMP_ASIDE)] {
            around.make(aside, 0o700).unwrap();
            begun.inspect(|name| fs::write(dir.path().join(aside).join(name), "{").unwrap());
            assert!(is(&around.dir(aside).unwrap()));
            remove(&around, aside).unwrap();
        }
        let theirs = dir.path().join(aside);
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join("chapter"), "1").unwrap();
        assert!(!is(&around.dir(aside).unwrap()) && remove(&around, aside).is_err());
    }

    #[test]
    fn what_was_finished_before_it_was_locked_is_no_draft() {
        let dir = tempfile::tempdir().unwrap();
        let (place, around) = (dir.path().join("cap"), Dir::open(dir.path()).unwrap());
        let draft = Draft::create(&place, Kind::Capture).unwrap();
        let opened = around.dir(".cap.unfinished").unwrap();
        draft.commit(Manifest::new()).unwrap();
        let error = remove_opened(&around, OsStr::new(".cap.unfinished"), opened).unwrap_err();
        assert!(files::busy(&error).is_some(), "{error:#}");
        assert!(Dataset::open(&place).is_ok());
    }

    #[test]
    fn one_writes_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("cap");
        let draft = Draft::create(&place, Kind::Capture).unwrap();
        draft.file("events.parquet").unwrap();
        for error in [Draft::create(&place, Kind::Capture), Draft::resume(&place, Kind::Capture)].map(Result::unwrap_err) {
            let error = format!("{error:#}");
            assert!(error.contains("is being written") && error.contains("process "), "{error}");
        }
        assert!(draft.path("events.parquet").exists());
    }
}
