//! Datasets: directories of Parquet files with a manifest. A dataset appears whole or not at all.
//!
//! A dataset is written in a draft ([`super::Draft`]), fsynced, and renamed. The manifest is written last: a directory
//! without one is not a dataset. A reader holds a shared lock (flock(2)) on the directory, so that nobody deletes it
//! meanwhile.

use super::entries;
use super::tables::Table;
use crate::files::{self, Dir, Lock};
use crate::store;
use anyhow::{Context, Error, Result, bail, ensure};
use serde_json::{Map, Value};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Version of the dataset format, in the manifest. A reader refuses any other version.
pub const FORMAT: u64 = 1;

/// Kind of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A capture: events, made by `ingest` or `capture`.
    Capture,
    /// A workload: ops and what they need, made by `generate`.
    Workload,
    /// A run: results, made by `replay`.
    Run,
}

impl Kind {
    /// The word for this kind in the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Capture => "capture",
            Kind::Workload => "workload",
            Kind::Run => "run",
        }
    }

    /// The kind of dataset that a word in a manifest means; `None` for other words.
    pub(super) fn parse(word: &str) -> Option<Kind> {
        [Kind::Capture, Kind::Workload, Kind::Run].into_iter().find(|kind| kind.name() == word)
    }

    /// The command that makes such a dataset, for messages.
    const fn verb(self) -> &'static str {
        match self {
            Kind::Capture => "ingest",
            Kind::Workload => "generate",
            Kind::Run => "replay",
        }
    }
}

/// Name of the manifest's file; a directory without it is no dataset.
pub(super) const MANIFEST: &str = "manifest.json";

/// Contents of `manifest.json`: format version, kind, counts and options of a dataset.
pub type Manifest = Map<String, Value>;

/// A finished dataset, opened for reading.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Directory of the dataset, as it was given; of one in a store its URL.
    pub dir: PathBuf,
    /// Kind of the dataset, from its manifest.
    pub kind: Kind,
    /// The contents of its `manifest.json`.
    pub manifest: Manifest,
    /// Shared lock that keeps the dataset from being deleted as long as any clone of this lives; `None` for one just
    /// written.
    pub(super) _lock: Option<Arc<Lock>>,
}

impl Dataset {
    /// Opens the dataset in `dir`, of whatever kind, and locks it for reading.
    ///
    /// # Errors
    /// When there is no manifest (nothing was written, or a writer was killed), it is of another format version, a table that it names
    /// is lost, or somebody is deleting it.
    pub fn open(dir: &Path) -> Result<Dataset> {
        if store::is(dir) {
            return Dataset::remote(dir);
        }
        let opened = Dir::open(dir).map_err(|error| match error.kind() {
            ErrorKind::NotFound => none(dir, "there is no such directory", error),
            ErrorKind::NotADirectory => none(dir, "it is no directory", error),
            _ => Error::new(error).context(format!("cannot open {}", dir.display())),
        })?;
        let dataset = Dataset::of(&opened)?;
        entries::whole(&dataset.manifest, &opened)?;
        Ok(dataset)
    }

    /// As [`Dataset::open`], in a directory that is already open, wherever its path leads by now. Tables may lack: who deletes a dataset has to
    /// know what is left of one that somebody began to delete.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn of(opened: &Dir) -> Result<Dataset> {
        let dir = opened.path();
        let (kind, manifest) = Dataset::said(opened)?;
        let lock = Lock::shared(opened).with_context(|| format!("{} cannot be read now", dir.display()))?;
        Ok(Dataset { dir: dir.to_owned(), kind, manifest, _lock: Some(Arc::new(lock)) })
    }

    /// Opens a dataset by its URL. Nothing locks it, and the names of its tables are those of its manifest, or of a listing.
    fn remote(url: &Path) -> Result<Dataset> {
        let text = store::manifest(url)?;
        let (kind, manifest) = Dataset::judged(url, &text)?;
        store::know(url, entries::files(&manifest))?;
        Ok(Dataset { dir: url.to_owned(), kind, manifest, _lock: None })
    }

    /// Kind of the dataset in a directory, without locking it; `None` when there is no dataset.
    pub fn kind_at(dir: &Path) -> Option<Kind> {
        if store::is(dir) {
            return Dataset::remote(dir).ok().map(|data| data.kind);
        }
        Dataset::said(&Dir::open(dir).ok()?).ok().map(|(kind, _)| kind)
    }

    /// Reads the manifest in a directory and checks its format version and kind.
    fn said(opened: &Dir) -> Result<(Kind, Manifest)> {
        let dir = opened.path();
        let file = dir.join(MANIFEST);
        let text = opened.text(MANIFEST).map_err(|error| match error.kind() {
            ErrorKind::NotFound => none(dir, "it has no manifest.json, so it is no dataset or was not finished", error),
            _ => Error::new(error).context(format!("cannot read {}", file.display())),
        })?;
        Dataset::judged(dir, &text)
    }

    /// Checks the text of a manifest.
    fn judged(dir: &Path, text: &[u8]) -> Result<(Kind, Manifest)> {
        let file = dir.join(MANIFEST);
        let manifest: Manifest = files::json(text).with_context(|| format!("{} is damaged", file.display()))?;
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
        Ok((kind, manifest))
    }

    /// Opens the dataset in `dir`, which must be of this kind.
    ///
    /// # Errors
    /// As [`Dataset::open`], or when it is of another kind.
    pub fn expect(dir: &Path, kind: Kind) -> Result<Dataset> {
        Dataset::open(dir)?.must_be(kind)
    }

    /// Returns the dataset if it is of this kind.
    ///
    /// # Errors
    /// When it is of another kind; the message says which command makes the right one.
    pub fn must_be(self, kind: Kind) -> Result<Dataset> {
        ensure!(
            self.kind == kind,
            "{} is a {}, and a {} is needed here: `ioriot {}` makes one",
            self.dir.display(),
            self.kind.name(),
            kind.name(),
            kind.verb(),
        );
        Ok(self)
    }

    /// Does the dataset have a file of this table?
    pub fn has(&self, table: Table) -> bool {
        let file = self.table(table);
        if store::is(&file) { store::holds(&file) } else { file.exists() }
    }

    /// Path of the Parquet file of a table; the file need not exist ([`Dataset::has`]).
    pub fn table(&self, table: Table) -> PathBuf {
        self.dir.join(table.file())
    }
}

/// The error that a path is not a dataset, with the reason.
fn none(dir: &Path, why: &str, error: std::io::Error) -> Error {
    Error::new(error).context(format!("{} is not a dataset: {why}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn another_format_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(MANIFEST), r#"{"format": 99, "kind": "capture"}"#).unwrap();
        let error = Dataset::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("format version 99"), "{error}");
    }
}
