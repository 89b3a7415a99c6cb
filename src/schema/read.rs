//! Reads tables of a dataset column by column, as plain integers and text whatever wrote them.

use anyhow::{Context, Result, ensure};
use arrow::array::{Array, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::borrow::Cow;
use std::fs::File;
use std::path::Path;

/// Opens a Parquet file to read some of its columns; options on the row groups and rows can still be set.
///
/// # Errors
/// When it cannot be opened, is not Parquet, or lacks a column.
pub fn builder(path: &Path, columns: &[&str]) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    // Without the embedded Arrow schema a text is a StringArray, also when the writer had views or dictionaries.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
        .with_context(|| format!("{name} is damaged or no Parquet file"))?;
    for column in columns {
        ensure!(builder.schema().column_with_name(column).is_some(), "{name} has no column {column}: make the dataset again");
    }
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    Ok(builder.with_projection(mask))
}

/// Reads some columns of a Parquet file.
///
/// # Errors
/// As [`builder`].
pub fn batches(path: &Path, columns: &[&str]) -> Result<ParquetRecordBatchReader> {
    builder(path, columns)?.build().with_context(|| format!("cannot read {}", path.display()))
}

fn column<'a>(batch: &'a RecordBatch, name: &str, ty: &DataType) -> Result<&'a dyn Array> {
    let column = batch.column_by_name(name).with_context(|| format!("column {name} is missing"))?;
    ensure!(column.data_type() == ty, "column {name} is {}, it should be {ty}", column.data_type());
    Ok(column.as_ref())
}

/// The integers of a column.
///
/// # Errors
/// When the column is missing or of another type.
pub fn ints<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Int64Array> {
    Ok(column(batch, name, &DataType::Int64)?.as_primitive::<Int64Type>())
}

/// The texts of a column.
///
/// # Errors
/// When the column is missing or of another type.
pub fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray> {
    Ok(column(batch, name, &DataType::Utf8)?.as_string::<i32>())
}

/// The truth values of a column.
///
/// # Errors
/// When the column is missing or of another type.
pub fn bools<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a BooleanArray> {
    Ok(column(batch, name, &DataType::Boolean)?.as_boolean())
}

/// A number, or none.
pub fn int(array: &Int64Array, row: usize) -> Option<i64> {
    array.is_valid(row).then(|| array.value(row))
}

/// The bytes behind a text, or none.
pub fn bytes(array: &StringArray, row: usize) -> Option<Cow<'_, [u8]>> {
    array.is_valid(row).then(|| crate::text::decode(array.value(row)))
}
