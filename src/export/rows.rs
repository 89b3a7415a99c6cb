//! Columns of a batch by their names.

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};

/// Rows of a statement.
#[derive(Debug)]
pub struct Rows<'b>(pub &'b RecordBatch);

impl Rows<'_> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.0.num_rows()
    }

    fn column(&self, name: &str) -> Result<&ArrayRef> {
        self.0.column_by_name(name).with_context(|| format!("there is no column {name}"))
    }

    /// A column of integers.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn ints(&self, name: &str) -> Result<Ints<'_>> {
        let column = self.column(name)?.as_primitive_opt::<Int64Type>();
        Ok(Ints(column.with_context(|| format!("column {name} is not of type BIGINT"))?))
    }

    /// A column of floating-point numbers.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn reals(&self, name: &str) -> Result<&Float64Array> {
        let column = self.column(name)?.as_primitive_opt::<Float64Type>();
        column.with_context(|| format!("column {name} is not of type DOUBLE"))
    }

    /// A column of truth values.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn truths(&self, name: &str) -> Result<&BooleanArray> {
        self.column(name)?.as_boolean_opt().with_context(|| format!("column {name} is not of type BOOLEAN"))
    }

    /// A column of texts.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn texts(&self, name: &str) -> Result<Texts> {
        let column =
            cast(self.column(name)?, &DataType::Utf8).with_context(|| format!("column {name} is not of type VARCHAR"))?;
        Ok(Texts(column.as_string::<i32>().clone()))
    }
}

/// A column of integers.
#[derive(Clone, Copy, Debug)]
pub struct Ints<'b>(&'b Int64Array);

impl Ints<'_> {
    /// The value in a row; `None` for NULL.
    pub fn get(&self, row: usize) -> Option<i64> {
        self.0.is_valid(row).then(|| self.0.value(row))
    }
}

/// A column of texts.
#[derive(Clone, Debug)]
pub struct Texts(StringArray);

impl Texts {
    /// The text in a row; `None` for NULL.
    pub fn get(&self, row: usize) -> Option<&str> {
        self.0.is_valid(row).then(|| self.0.value(row))
    }
}
