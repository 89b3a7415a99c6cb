//! Datasets: directories of Parquet files with a manifest, which appear whole or not at all.
//!
//! A dataset is written aside, in a hidden directory beside its place, fsynced, and renamed. The manifest is written
//! last: a directory without one is not a dataset.

use super::tables::Table;
use crate::signal::Transient;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Version of the dataset format. A reader refuses another one.
pub const FORMAT: u64 = 1;

/// What a dataset holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Events, made by ingest or capture.
    Capture,
    /// Ops, made by generate.
    Workload,
    /// Results, made by replay.
    Run,
}

impl Kind {
    /// The word in the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Capture => "capture",
            Kind::Workload => "workload",
            Kind::Run => "run",
        }
    }

    fn parse(word: &str) -> Option<Kind> {
        [Kind::Capture, Kind::Workload, Kind::Run].into_iter().find(|kind| kind.name() == word)
    }

    /// The verb that makes such a dataset, for messages.
    const fn verb(self) -> &'static str {
        match self {
            Kind::Capture => "ingest",
            Kind::Workload => "generate",
            Kind::Run => "replay",
        }
    }
}

/// Name of the file in which a dataset says what it is; without it, it is none.
const MANIFEST: &str = "manifest.json";
/// Name of the file in which an unfinished dataset says what it is to be.
const NOTE: &str = "begun.json";

/// What a dataset says of itself: `manifest.json`.
pub type Manifest = Map<String, Value>;

/// A dataset that is there, whole.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its directory.
    pub dir: PathBuf,
    /// What it holds.
    pub kind: Kind,
    /// Its manifest.
    pub manifest: Manifest,
}

impl Dataset {
    /// Opens the dataset in `dir`, whatever it holds.
    ///
    /// # Errors
    /// When there is no manifest (nothing was written, or a writer was killed), or it is of another format version.
    pub fn open(dir: &Path) -> Result<Dataset> {
        let file = dir.join(MANIFEST);
        let text = fs::read_to_string(&file).map_err(|error| {
            let hint = if dir.is_dir() {
                "it has no manifest.json, so it is no dataset or was not finished"
            } else {
                "there is no such directory"
            };
            anyhow::Error::new(error).context(format!("{} is not a dataset: {hint}", dir.display()))
        })?;
        let manifest: Manifest = serde_json::from_str(&text).with_context(|| format!("{} is damaged", file.display()))?;
        let format = manifest.get("format").and_then(Value::as_u64);
        ensure!(
            format == Some(FORMAT),
            "{} has format version {}, this ioriot reads version {FORMAT}: make it again with this version",
            dir.display(),
            format.map_or("unknown".into(), |version| version.to_string()),
        );
        let word = manifest.get("kind").and_then(Value::as_str).unwrap_or_default();
        let Some(kind) = Kind::parse(word) else {
            bail!("{} says it is a {word:?}, which is no kind of dataset", file.display())
        };
        Ok(Dataset { dir: dir.to_owned(), kind, manifest })
    }

    /// Opens the dataset in `dir`, which must be of this kind.
    ///
    /// # Errors
    /// As [`Dataset::open`], or when it is of another kind.
    pub fn expect(dir: &Path, kind: Kind) -> Result<Dataset> {
        let dataset = Dataset::open(dir)?;
        ensure!(
            dataset.kind == kind,
            "{} is a {}, and a {} is needed here: `ioriot {}` makes one",
            dir.display(),
            dataset.kind.name(),
            kind.name(),
            kind.verb(),
        );
        Ok(dataset)
    }

    /// The file of a table.
    pub fn table(&self, table: Table) -> PathBuf {
        self.dir.join(table.file())
    }
}

/// A dataset in the making. Dropped without [`Draft::commit`], it leaves nothing.
#[derive(Debug)]
pub struct Draft {
    place: PathBuf,
    aside: PathBuf,
    kind: Kind,
    fate: Fate,
    /// What a signal takes away; nothing when it stays.
    transient: Option<Transient>,
}

/// What becomes of a draft that is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is removed.
    Goes,
    /// It stays as it is.
    Stays,
}

impl Draft {
    /// Begins a dataset that is to stand at `place`.
    ///
    /// # Errors
    /// When something is there already, or its parent cannot be written.
    pub fn create(place: &Path, kind: Kind) -> Result<Draft> {
        ensure!(!place.exists(), "{} exists already: remove it or choose another name", place.display());
        let (parent, aside) = (parent_of(place), Draft::aside(place)?);
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        if aside.exists() {
            // Left by a writer that was killed; two writers of one dataset at once are not meant to work.
            fs::remove_dir_all(&aside).with_context(|| format!("cannot remove the unfinished {}", aside.display()))?;
        }
        let made = Transient::make(&aside, || DirBuilder::new().mode(0o700).create(&aside));
        let (transient, ()) = made.with_context(|| format!("cannot make {}", aside.display()))?;
        Ok(Draft { place: place.to_owned(), aside, kind, fate: Fate::Goes, transient: Some(transient) })
    }

    /// Where a dataset that is to stand at `place` is written.
    ///
    /// # Errors
    /// When `place` is no name.
    pub fn aside(place: &Path) -> Result<PathBuf> {
        let name = place.file_name().with_context(|| format!("{} is no name for a dataset", place.display()))?;
        Ok(parent_of(place).join(unfinished(name)))
    }

    /// Goes on with a dataset whose writer was killed. Dropped without [`Draft::commit`], it stays.
    ///
    /// # Errors
    /// When there is none, or something is at `place` already.
    pub fn resume(place: &Path, kind: Kind) -> Result<Draft> {
        ensure!(!place.exists(), "{} exists already: nothing was left unfinished there", place.display());
        let aside = Draft::aside(place)?;
        ensure!(aside.is_dir(), "nothing was left unfinished: there is no {}", aside.display());
        Ok(Draft { place: place.to_owned(), aside, kind, fate: Fate::Stays, transient: None })
    }

    /// The directory it is written in for now.
    pub fn dir(&self) -> &Path {
        &self.aside
    }

    /// Where a file of the dataset is written for now.
    pub fn path(&self, name: &str) -> PathBuf {
        self.aside.join(name)
    }

    /// Creates a file of the dataset, readable by its owner only.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn file(&self, name: &str) -> Result<File> {
        let path = self.path(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        options.open(&path).with_context(|| format!("cannot create {}", path.display()))
    }

    /// Notes what the manifest would say now, for whoever finds the files of a killed writer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&self, manifest: &Manifest) -> Result<()> {
        let text = serde_json::to_string_pretty(manifest)?;
        self.file(NOTE)?.write_all(text.as_bytes()).context("cannot write the note of the dataset's start")
    }

    /// What was noted, or the manifest when the writer had come that far.
    ///
    /// # Errors
    /// When there is neither, or it is damaged.
    pub fn noted(&self) -> Result<Manifest> {
        let file = [self.path(NOTE), self.path(MANIFEST)].into_iter().find(|file| file.exists());
        let file = file.with_context(|| format!("{} says nothing of itself: it cannot be recovered", self.aside.display()))?;
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", file.display()))
    }

    /// Writes the manifest, makes everything durable and puts the dataset in its place.
    ///
    /// # Errors
    /// When anything cannot be written; then nothing is left behind.
    pub fn commit(mut self, mut manifest: Manifest) -> Result<Dataset> {
        manifest.insert("format".into(), json!(FORMAT));
        manifest.insert("kind".into(), json!(self.kind.name()));
        manifest.insert("ioriot".into(), json!(env!("CARGO_PKG_VERSION")));
        let mut file = self.file(MANIFEST)?;
        file.write_all(serde_json::to_string_pretty(&manifest)?.as_bytes())?;
        file.write_all(b"\n")?;
        for entry in fs::read_dir(&self.aside)? {
            File::open(entry?.path())?.sync_all()?;
        }
        // Not before: whoever finds a killed writer's files finds the note or the manifest beside them.
        let note = self.path(NOTE);
        if note.exists() {
            fs::remove_file(&note).with_context(|| format!("cannot remove {}", note.display()))?;
        }
        File::open(&self.aside)?.sync_all()?;
        let rename = || fs::rename(&self.aside, &self.place);
        let renamed = match self.transient.take() {
            Some(transient) => transient.lasts(rename),
            None => rename(),
        };
        renamed.with_context(|| format!("cannot put {} in its place", self.place.display()))?;
        self.fate = Fate::Stays;
        File::open(parent_of(&self.place))?.sync_all()?;
        Ok(Dataset { dir: self.place.clone(), kind: self.kind, manifest })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.fate == Fate::Goes {
            let _ = fs::remove_dir_all(&self.aside);
        }
    }
}

/// Name of the directory in which a dataset of this name is written.
fn unfinished(name: &OsStr) -> OsString {
    let mut aside = OsString::from(".");
    aside.push(name);
    aside.push(".unfinished");
    aside
}

/// The directory a path is in, `.` for a bare name.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_dataset_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("cap");
        let draft = Draft::create(&place, Kind::Capture).unwrap();
        draft.file("events.parquet").unwrap();
        drop(draft);
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
        assert!(draft.noted().is_err());
        draft.note(&Manifest::from_iter([("host".into(), json!("h"))])).unwrap();
        assert_eq!(draft.noted().unwrap()["host"], json!("h"));
        draft.commit(Manifest::new()).unwrap();
        let names = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), [MANIFEST]);
    }

    #[test]
    fn another_format_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(MANIFEST), r#"{"format": 99, "kind": "capture"}"#).unwrap();
        let error = Dataset::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("format version 99"), "{error}");
    }
}
