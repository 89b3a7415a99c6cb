//! What a killed capture left: all but its last seconds can be made a dataset.

use crate::events::write::Sink;
use crate::loss::Loss;
use crate::schema::dataset::Kind;
use crate::schema::losses::{self, Lost};
use crate::schema::{Draft, Table};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;
use std::path::{Path, PathBuf};

/// Nothing worth keeping is left where a capture is to be written.
///
/// # Errors
/// When there is.
pub(super) fn nothing_left(place: &Path) -> Result<()> {
    let Some(draft) = Draft::left(place, Kind::Capture)? else { return Ok(()) };
    ensure!(
        !Sink::new(draft.path(""), "").kept(),
        "a capture that was killed has left {}: `ioriot capture --recover -o {}` keeps what it has, else remove it",
        draft.dir().display(),
        place.display()
    );
    Ok(())
}

/// What was recovered.
#[derive(Clone, Debug, Serialize)]
pub struct Recovered {
    /// Where the dataset is.
    #[serde(serialize_with = "crate::text::path::serialize")]
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
    let mut manifest =
        draft.noted().with_context(|| format!("no capture was killed that was to stand at {}", place.display()))?;
    let host = manifest.get("host").and_then(Value::as_str).unwrap_or_default().to_owned();
    let events = Sink::new(draft.path(""), &host).recover().context("the capture was killed too early: nothing was kept yet")?;
    losses::write(&draft, &[Lost { kind: Loss::Killed, count: 1, between: None }])?;
    manifest.insert("events".into(), json!(events));
    manifest.insert("recovered".into(), json!(true));
    let dataset = draft.commit(manifest)?;
    debug_assert!(dataset.table(Table::Events).exists());
    Ok(Recovered { dir: place.to_owned(), events })
}
