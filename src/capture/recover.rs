//! Recovers the draft of a capture that was killed: all events but those of its last seconds become a dataset.

use crate::events::write::Sink;
use crate::loss::Loss;
use crate::schema::dataset::Kind;
use crate::schema::encode::Encoders;
use crate::schema::losses::{self, Lost};
use crate::schema::{Draft, Table};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;
use std::path::{Path, PathBuf};

/// Checks that no draft of a killed capture with recoverable events lies where a new capture is to be written.
///
/// # Errors
/// When there is one; the message says how to recover it.
pub(super) fn nothing_left(place: &Path) -> Result<()> {
    let Some(draft) = Draft::left(place, Kind::Capture)? else { return Ok(()) };
    ensure!(
        !Sink::new(draft.path(""), "", Encoders::none()).kept(),
        "a capture that was killed has left {}: `ioriot capture --recover -o {}` keeps what it has, else remove it",
        draft.dir().display(),
        place.display()
    );
    Ok(())
}

/// Result of a recovery.
#[derive(Clone, Debug, Serialize)]
pub struct Recovered {
    /// Directory of the dataset that was made.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub dir: PathBuf,
    /// Number of events in that dataset.
    pub events: u64,
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Recovered {}: {} events; what came after them is lost.", self.dir.display(), self.events)
    }
}

/// Makes a dataset at `place` out of the draft that a killed capture left there.
///
/// # Errors
/// When it left nothing, or nothing that can be read.
pub fn recover(place: &Path) -> Result<Recovered> {
    let draft = Draft::resume(place, Kind::Capture)?;
    let mut manifest =
        draft.noted().with_context(|| format!("no capture was killed that was to stand at {}", place.display()))?;
    let host = manifest.get("host").and_then(Value::as_str).unwrap_or_default().to_owned();
    let events = Sink::new(draft.path(""), &host, Encoders::none())
        .recover()
        .context("the capture was killed too early: nothing was kept yet")?;
    losses::write(&draft, &[Lost { kind: Loss::Killed, count: 1, between: None }])?;
    manifest.insert("events".into(), json!(events));
    manifest.insert("recovered".into(), json!(true));
    let dataset = draft.commit(manifest)?;
    debug_assert!(dataset.table(Table::Events).exists());
    Ok(Recovered { dir: place.to_owned(), events })
}
