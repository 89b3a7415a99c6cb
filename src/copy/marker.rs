//! The note that an upload leaves beside what it has sent, until the manifest is there: what it sends, and the upload in parts that is
//! under way. Whoever comes after a kill reads from it what is there already, and what must be given up. It says whose it is and is put
//! over the version that its writer knows only, so that of two copies to one place one goes on.

use crate::files;
use crate::schema::{Table, own};
use crate::store::{self, Put, Version};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Its name.
pub(super) const NAME: &str = "unfinished.json";

/// Version of its form.
const FORM: u64 = 1;

/// A table that is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sent {
    pub bytes: u64,
    /// BLAKE3 of the file, in hexadecimal digits.
    pub blake3: String,
}

/// An upload in parts that has begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Begun {
    pub name: String,
    pub id: String,
}

/// The note.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Marker {
    ioriot_unfinished: u64,
    /// A random word of the copy that wrote it.
    #[serde(default)]
    by: String,
    /// By name of the file.
    pub files: BTreeMap<String, Sent>,
    pub begun: Option<Begun>,
    /// The version of the note that is at the place; `None` when there is none.
    #[serde(skip)]
    version: Option<Version>,
}

impl Marker {
    /// A note of this process, which says what `old`, the note at the place, does.
    ///
    /// # Errors
    /// When the kernel gives no random word.
    pub fn new(old: Option<Marker>) -> Result<Marker> {
        let by = std::fs::read_to_string("/proc/sys/kernel/random/uuid").context("cannot read a random word")?;
        Ok(Marker { ioriot_unfinished: FORM, by: by.trim().to_owned(), ..old.unwrap_or_default() })
    }

    /// The note at a place; `None` when there is none of ioriot's. Names that are no tables are left out: whoever wrote it, nothing
    /// else is touched for it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn read(url: &Path) -> Result<Option<Marker>> {
        let Some((text, version)) = store::get(&url.join(NAME))? else { return Ok(None) };
        let Ok(mut marker) = files::json::<Marker>(&text) else { return Ok(None) };
        marker.files.retain(|name, _| is_table(name));
        marker.begun = marker.begun.filter(|begun| is_table(&begun.name));
        marker.version = Some(version);
        Ok((marker.ioriot_unfinished == FORM).then_some(marker))
    }

    /// Puts the note over the version that was read or put last.
    ///
    /// # Errors
    /// When there is another one, or the store does not answer.
    pub fn write(&mut self, url: &Path) -> Result<()> {
        let how = self.version.take().map_or(Put::Once, Put::Over);
        self.version = store::put(&url.join(NAME), serde_json::to_vec_pretty(self)?, how)?;
        self.version.is_some().then_some(()).with_context(|| other(url))
    }

    /// Checks that the note at the place is this one: no other copy has begun there since.
    ///
    /// # Errors
    /// When another has, or the store does not answer.
    pub fn stands(&self, url: &Path) -> Result<()> {
        let there = Marker::read(url)?;
        ensure!(there.is_some_and(|there| there.by == self.by), other(url));
        Ok(())
    }
}

fn other(url: &Path) -> String {
    format!("another copy to {} has begun since, or what this one sent was discarded: this one ends", url.display())
}

/// Is this the name of the file of a table?
pub(super) fn is_table(name: &str) -> bool {
    Table::ALL.iter().any(|table| table.file() == name) || name.strip_suffix(".parquet").is_some_and(own::is_file)
}
