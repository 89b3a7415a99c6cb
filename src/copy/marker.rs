//! The note that an upload leaves beside what it has sent, until the manifest is there: what it sends, and the upload in parts that is
//! under way. Whoever comes after a kill reads from it what is there already, and what must be given up.

use crate::files;
use crate::schema::Table;
use crate::store::{self, Put};
use anyhow::Result;
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
    /// By name of the file.
    pub files: BTreeMap<String, Sent>,
    pub begun: Option<Begun>,
}

impl Marker {
    pub fn new(files: BTreeMap<String, Sent>) -> Marker {
        Marker { ioriot_unfinished: FORM, files, begun: None }
    }

    /// The note at a place; `None` when there is none of ioriot's. Names that are no tables are left out: whoever wrote it, nothing
    /// else is touched for it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn read(url: &Path) -> Result<Option<Marker>> {
        let Some(text) = store::get(&url.join(NAME))? else { return Ok(None) };
        let Ok(mut marker) = files::json::<Marker>(&text) else { return Ok(None) };
        marker.files.retain(|name, _| is_table(name));
        marker.begun = marker.begun.filter(|begun| is_table(&begun.name));
        Ok((marker.ioriot_unfinished == FORM).then_some(marker))
    }

    /// Puts the note.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn write(&self, url: &Path) -> Result<()> {
        store::put(&url.join(NAME), serde_json::to_vec_pretty(self)?, Put::Anew)
    }
}

/// Is this the name of the file of a table?
pub(super) fn is_table(name: &str) -> bool {
    Table::ALL.iter().any(|table| table.file() == name)
}
