//! Recovery of runs whose supervisor was killed: their finished segments of results are still on disk (`ioriot replay
//! --recover`).

use super::results;
use crate::schema::dataset::Kind;
use crate::schema::{Draft, Table, read};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Refuses to write a run where a killed replay has left results in an unfinished one.
///
/// # Errors
/// When such results exist; the message says how to keep them.
pub fn refuse(place: &Path) -> Result<()> {
    let Some(draft) = Draft::left(place, Kind::Run)? else { return Ok(()) };
    ensure!(
        !results::any(draft.dir()),
        "the replay that made {} was killed, and has left results: `ioriot replay --recover {}` keeps them; \
         to do without, remove {}",
        place.display(),
        place.display(),
        draft.dir().display(),
    );
    Ok(())
}

/// The run that was made of a killed replay's results.
#[derive(Clone, Debug, Serialize)]
pub struct Recovered {
    /// Directory of the run.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub run: PathBuf,
    /// Number of results (rows) in it.
    pub results: u64,
}

/// Makes a run of the finished segments that a killed replay has left. Its manifest says that it is not complete.
///
/// # Errors
/// When no results are left, or they cannot be read.
pub fn recover(place: &Path) -> Result<Recovered> {
    let missing = || format!("no results of a killed replay are left for {}", place.display());
    let draft = Draft::resume(place, Kind::Run).with_context(missing)?;
    ensure!(results::any(draft.dir()), "{}", missing());
    let mut manifest = draft.noted()?;
    results::join(draft.dir())?;
    let table = draft.path(&Table::Results.file());
    let results = read::builder(&table, &[])?.rows();
    // The table of the end state may be cut off.
    let _ = fs::remove_file(draft.path(&Table::State.file()));
    // The table of samples lacks its footer, without which nothing reads it.
    let _ = fs::remove_file(draft.path(&Table::Samples.file()));
    manifest.insert("complete".into(), Value::Bool(false));
    manifest.insert("recovered".into(), Value::Bool(true));
    manifest.insert("results".into(), json!(results));
    manifest.insert("lost".into(), json!(["the replay was killed: results after its last whole segment are lost"]));
    draft.commit(manifest)?;
    Ok(Recovered { run: place.to_owned(), results })
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Recovered {} results of a killed replay to {}. Those after its last whole segment are lost, and its root is used.",
            self.results,
            self.run.display()
        )
    }
}
