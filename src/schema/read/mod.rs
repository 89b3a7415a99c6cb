//! Reads tables of a dataset column by column, as plain integers, texts and truth values whatever wrote them.

pub mod check;
#[cfg(feature = "s3")]
mod remote;
mod sorted;
mod thrift;

use super::column::later;
use crate::process::panics;
use crate::{files, limits};
use anyhow::{Context, Result, ensure};
use arrow::array::{Array, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use check::{Checked, Parquet};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::PageIndexPolicy;
use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// A checked Parquet file, and which of its columns and rows are to be read.
pub struct Reader {
    name: String,
    builder: ParquetRecordBatchReaderBuilder<Parquet>,
}

/// Opens and checks a Parquet file, to read these columns of it.
///
/// # Errors
/// When it cannot be opened, is damaged or not Parquet, or lacks a column.
pub fn builder(path: &Path, columns: &[&str]) -> Result<Reader> {
    let name = path.display().to_string();
    #[cfg(feature = "s3")]
    if crate::store::is(path) {
        return Reader::of(name, Checked::remote(path)?, Some(columns));
    }
    let file = files::open(path).with_context(|| format!("cannot open {name}"))?;
    Reader::new(name, file, Some(columns))
}

/// Opens a Parquet file and reads these columns of all its rows, in batches.
///
/// # Errors
/// As [`builder`].
pub fn batches(path: &Path, columns: &[&str]) -> Result<Batches> {
    builder(path, columns)?.build()
}

impl Reader {
    /// As [`builder`] for an open file; `name` is its name in errors. `None` means all columns.
    ///
    /// # Errors
    /// As [`builder`].
    pub fn new(name: String, file: File, columns: Option<&[&str]>) -> Result<Reader> {
        let checked = Checked::open(file, PageIndexPolicy::Skip);
        let checked = checked.with_context(|| format!("{name} is damaged or no Parquet file"))?;
        Reader::of(name, checked, columns)
    }

    /// As [`Reader::new`] for a file whose footer was read and checked.
    ///
    /// # Errors
    /// As [`builder`].
    pub fn of(name: String, checked: Checked, columns: Option<&[&str]>) -> Result<Reader> {
        let damaged = || format!("{name} is damaged or no Parquet file");
        // Without the embedded Arrow schema a text is a StringArray, also when the writer had views or dictionaries.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let contents = panics::contain(|| Ok(ArrowReaderMetadata::try_new(Arc::clone(&checked.contents), options)?));
        let contents = contents.with_context(damaged)?;
        let mask = columns.map_or(Ok(ProjectionMask::all()), |columns| mask(&contents, columns));
        let mask = mask.with_context(|| format!("{name} is of another version"))?;
        checked.pages(&mask).with_context(damaged)?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(checked.file, contents).with_projection(mask);
        Ok(Reader { name, builder })
    }

    /// Number of rows of the whole file, as its footer says.
    pub fn rows(&self) -> u64 {
        self.builder.metadata().file_metadata().num_rows().max(0) as u64
    }

    /// Restricts reading to these rows.
    pub fn with_row_selection(self, rows: RowSelection) -> Reader {
        Reader { builder: self.builder.with_row_selection(rows), ..self }
    }

    /// The batches of rows, read as the iterator is advanced.
    ///
    /// # Errors
    /// When the reader cannot be set up.
    pub fn build(self) -> Result<Batches> {
        let Reader { name, builder } = self;
        let reader = panics::contain(|| Ok(builder.build()?)).with_context(|| format!("cannot read {name}"))?;
        Ok(Batches { name, reader: Some(reader) })
    }
}

/// Iterator over the rows of a Parquet file, in batches. It ends after the first error.
pub struct Batches {
    name: String,
    /// `None` after an error or the end: a decoder that has failed is not called again.
    reader: Option<ParquetRecordBatchReader>,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        let reader = self.reader.as_mut()?;
        let batch = panics::contain(|| Ok(reader.next().transpose()?)).and_then(|batch| {
            batch.iter().flat_map(RecordBatch::columns).try_for_each(|column| short(column))?;
            Ok(batch)
        });
        if !matches!(batch, Ok(Some(_))) {
            self.reader = None;
        }
        batch.with_context(|| format!("{} is damaged", self.name)).transpose()
    }
}

/// Refuses a column of texts with one that is longer than any text in a dataset (`limits::ENCODED` bytes).
///
/// # Errors
/// When there is such a text.
pub fn short(column: &dyn Array) -> Result<()> {
    let Some(texts) = column.as_string_opt::<i32>() else { return Ok(()) };
    let longest = texts.value_offsets().windows(2).map(|ends| ends[1] - ends[0]).max().unwrap_or(0);
    ensure!(longest as usize <= limits::ENCODED, "it has a text of {longest} bytes, and {} are the limit", limits::ENCODED);
    Ok(())
}

/// The projection on these columns, all of which must exist but those that older captures lack ([`crate::schema::Column::later`]).
///
/// # Errors
/// When a column is missing.
pub fn mask(contents: &ArrowReaderMetadata, columns: &[&str]) -> Result<ProjectionMask> {
    for column in columns.iter().filter(|column| !later(column)) {
        ensure!(contents.schema().column_with_name(column).is_some(), "it has no column {column}: make the dataset again");
    }
    Ok(ProjectionMask::columns(contents.parquet_schema(), columns.iter().copied()))
}

fn column<'a>(batch: &'a RecordBatch, name: &str, ty: &DataType) -> Result<&'a dyn Array> {
    let column = batch.column_by_name(name).with_context(|| format!("column {name} is missing"))?;
    ensure!(column.data_type() == ty, "column {name} is {}, it should be {ty}", column.data_type());
    Ok(column.as_ref())
}

/// Column `name` of a batch, which must be of 64-bit integers.
///
/// # Errors
/// When the column is missing or of another type.
pub fn ints<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Int64Array> {
    Ok(column(batch, name, &DataType::Int64)?.as_primitive::<Int64Type>())
}

/// Column `name` of a batch, which must be of UTF-8 texts.
///
/// # Errors
/// When the column is missing or of another type.
pub fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray> {
    Ok(column(batch, name, &DataType::Utf8)?.as_string::<i32>())
}

/// Column `name` of a batch, which must be of truth values.
///
/// # Errors
/// When the column is missing or of another type.
pub fn bools<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a BooleanArray> {
    Ok(column(batch, name, &DataType::Boolean)?.as_boolean())
}

/// The integer in this row; `None` for NULL.
pub fn int(array: &Int64Array, row: usize) -> Option<i64> {
    array.is_valid(row).then(|| array.value(row))
}

/// The text in this row, decoded to the bytes that it stands for ([`crate::text`]); `None` for NULL.
pub fn bytes(array: &StringArray, row: usize) -> Option<Cow<'_, [u8]>> {
    array.is_valid(row).then(|| crate::text::decode(array.value(row)))
}
