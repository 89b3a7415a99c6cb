//! What a killed capture left: all but its last seconds can be made a dataset.

use super::write::{self, Loss, Missed};
use crate::ingest::write::Sink;
use crate::schema::dataset::Kind;
use crate::schema::{Draft, Manifest, Table};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What a capture that has begun leaves beside its events, for the manifest.
const NOTE: &str = "begun.json";

pub(super) fn leave_note(draft: &Draft, note: &Manifest) -> Result<()> {
    draft.file(NOTE)?.write_all(serde_json::to_string_pretty(note)?.as_bytes()).context("cannot write what has begun")
}

pub(super) fn remove_note(draft: &Draft) -> Result<()> {
    fs::remove_file(draft.path(NOTE)).context("cannot remove what had begun")
}

/// Nothing worth keeping is left where a capture is to be written.
///
/// # Errors
/// When there is.
pub(super) fn nothing_left(place: &Path) -> Result<()> {
    let left = Draft::aside(place)?;
    ensure!(
        !left.join(NOTE).exists(),
        "a capture that was killed has left {}: `ioriot capture --recover -o {}` keeps what it has, else remove it",
        left.display(),
        place.display()
    );
    Ok(())
}

/// What was recovered.
#[derive(Clone, Debug, Serialize)]
pub struct Recovered {
    /// Where the dataset is.
    pub dir: PathBuf,
    /// Its events.
    pub events: u64,
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Recovered {}: {} events; what came after them is lost.", self.dir.display(), self.events)
    }
}

/// Makes a dataset of what a killed capture left at `place`.
///
/// # Errors
/// When it left nothing, or nothing that can be read.
pub fn recover(place: &Path) -> Result<Recovered> {
    let draft = Draft::resume(place, Kind::Capture)?;
    let text = fs::read_to_string(draft.path(NOTE))
        .with_context(|| format!("no capture was killed that was to stand at {}", place.display()))?;
    let mut manifest: Manifest = serde_json::from_str(&text).with_context(|| format!("{NOTE} is damaged"))?;
    let host = manifest.get("host").and_then(Value::as_str).unwrap_or_default().to_owned();
    let events = Sink::new(draft.path(""), &host).recover().context("the capture was killed too early: nothing was kept yet")?;
    write::losses(&draft, &[Loss { kind: Missed::Killed, count: 1, between: None }])?;
    manifest.insert("events".into(), json!(events));
    manifest.insert("recovered".into(), json!(true));
    remove_note(&draft)?;
    let dataset = draft.commit(manifest)?;
    debug_assert!(dataset.table(Table::Events).exists());
    Ok(Recovered { dir: place.to_owned(), events })
}
