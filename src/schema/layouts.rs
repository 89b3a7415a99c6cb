//! Table `layouts`: how files lay on their device when a capture first saw them open.

use super::column::{Column, int, int_, text as path};
use super::{Draft, Table};
use crate::event::Unit;
use crate::text;
use anyhow::Result;
use arrow::array::{ArrayRef, Int64Array, StringArray};
use std::sync::Arc;

/// The columns of the table.
pub(super) fn columns() -> Vec<Column> {
    vec![
        path("path", "absolute path of a regular file; each once"),
        int("size", "its size then").unit(Unit::Bytes),
        int_("pieces", PIECES),
        int_("created", CREATED).unit(Unit::Epoch),
    ]
}

/// Meaning of column `pieces`, here and in the fileset.
pub(super) const PIECES: &str = "number of pieces in which it lay on the device (extents, those one behind the other counted as one; of a \
     compressed file on btrfs units of 128 KiB that are not), when known";
/// Meaning of column `created`, here and in the fileset.
pub(super) const CREATED: &str = "when it was created (btime of statx(2)), when known";

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Absolute path of the file.
    pub path: Vec<u8>,
    /// Size of the file, bytes.
    pub size: i64,
    /// Number of pieces in which it lies; `None` when that is not known, or it is too small to ask.
    pub pieces: Option<i64>,
    /// When it was created, ns since 1970; `None` where the file system does not say.
    pub created: Option<i64>,
}

/// Writes the table into a draft.
///
/// # Errors
/// When it cannot be written.
pub fn write(draft: &Draft, rows: &[Layout]) -> Result<()> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| text::encode(&row.path)))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.size))),
        Arc::new(rows.iter().map(|row| row.pieces).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.created).collect::<Int64Array>()),
    ];
    super::write(draft, Table::Layouts, columns)
}
