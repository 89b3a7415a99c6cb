//! Checks the sort order that a Parquet file claims (`sorting_columns` of its row groups). The SQL engine believes it
//! and leaves out sorts, so it is compared with the rows, unless ioriot wrote the file.

use super::Reader;
use super::check::Checked;
use crate::files;
use anyhow::{Context, Result, ensure};
use arrow::compute::SortOptions;
use arrow::row::{OwnedRow, RowConverter, SortField};
use parquet::file::metadata::SortingColumn;
use std::path::Path;

/// Refuses a file whose rows are not in the order that it claims. A file of this user that names ioriot as its writer is not read.
///
/// # Errors
/// When the order is wrong, row groups claim different orders, or the file cannot be read.
pub fn check(path: &Path, file: &Checked) -> Result<()> {
    let contents = &file.contents;
    // Anybody can write that name into a file: it is believed of files that nobody else can have written.
    let named = contents.file_metadata().created_by().is_some_and(|writer| writer.starts_with("ioriot "));
    let ours = named && file.file.local().is_some_and(files::mine_open);
    let claims = || contents.row_groups().iter().filter_map(|group| group.sorting_columns());
    let Some(claim) = claims().find(|claim| !claim.is_empty()).filter(|_| !ours) else { return Ok(()) };
    ensure!(claims().all(|other| other == claim), "{} claims several orders of its rows", path.display());
    let schema = contents.file_metadata().schema_descr();
    let name = |by: &SortingColumn| usize::try_from(by.column_idx).ok().filter(|at| *at < schema.num_columns());
    let columns: Option<Vec<&str>> = claim.iter().map(|by| name(by).map(|at| schema.columns()[at].name())).collect();
    let columns = columns.with_context(|| format!("{} claims to be sorted by a column that it lacks", path.display()))?;
    let mut rows: Option<RowConverter> = None;
    let mut last: Option<OwnedRow> = None;
    for batch in Reader::of(path.display().to_string(), file.clone(), Some(&columns))?.build()? {
        let batch = batch?;
        let values = columns.iter().map(|name| batch.column_by_name(name).cloned()).collect::<Option<Vec<_>>>();
        let values = values.with_context(|| format!("{} lacks a column", path.display()))?;
        let converter = match &mut rows {
            Some(converter) => converter,
            none => {
                let options = |by: &SortingColumn| SortOptions { descending: by.descending, nulls_first: by.nulls_first };
                let field = |(by, column): (&SortingColumn, &arrow::array::ArrayRef)| {
                    SortField::new_with_options(column.data_type().clone(), options(by))
                };
                none.insert(RowConverter::new(claim.iter().zip(&values).map(field).collect())?)
            }
        };
        let sorted = converter.convert_columns(&values)?;
        let mut before = last.as_ref().map(OwnedRow::row);
        for row in &sorted {
            ensure!(
                before.is_none_or(|before| before <= row),
                "the rows of {} are not in the order that it claims: write it without sorting columns",
                path.display()
            );
            before = Some(row);
        }
        last = before.map(|row| row.owned());
    }
    Ok(())
}
