//! The syscall table (`crate::syscall`) as Arrow columns, for SQL.

use crate::syscall::TABLE;
use crate::syscall::columns::{Cell, Column};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::error::Result;
use std::sync::Arc;

/// The syscall table with these columns: one row per syscall that it knows.
///
/// # Errors
/// When there is no column at all.
pub fn calls<'a>(columns: impl Iterator<Item = &'a Column>) -> Result<RecordBatch> {
    RecordBatch::try_from_iter(columns.map(|column| {
        let cells: ArrayRef = match column.cell {
            Cell::Text(cell) => Arc::new(TABLE.iter().map(cell).collect::<StringArray>()),
            Cell::Yes(cell) => Arc::new(TABLE.iter().map(|def| Some(cell(def))).collect::<BooleanArray>()),
        };
        (column.name, cells)
    }))
}
