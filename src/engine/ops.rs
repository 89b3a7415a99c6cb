//! `FROM numbered(chosen)`: the rows of the walk (output of `virtualize`) that are ops, numbered from 0.
//!
//! It reads rows in the order of `pos`, keeps those with fate `op` and adds `op_id`, the number of ops before. A filter
//! and a window function would give the same, but copy every column twice.

use super::function::{Function, Key, Running};
use crate::fate::Fate;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt8Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt8Type};
use datafusion::common::{DFSchema, Result, plan_err};
use std::sync::Arc;

/// Checks that the input of table function `name` has these columns.
pub fn has(name: &str, input: &DFSchema, columns: &[&str]) -> Result<()> {
    match columns.iter().find(|column| !input.fields().iter().any(|field| field.name() == *column)) {
        Some(column) => plan_err!("the input of {name} has no column {column}"),
        None => Ok(()),
    }
}

/// Column number `at` of a batch, which must be of 64-bit integers.
pub fn ints(batch: &RecordBatch, at: usize) -> &Int64Array {
    batch.column(at).as_primitive::<Int64Type>()
}

/// A BIGINT column without NULL.
pub fn int(name: &str) -> Field {
    Field::new(name, DataType::Int64, false)
}

/// Type of columns whose values are words of a short list: a dictionary with one-byte keys.
pub fn words() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8))
}

/// Tells which rows of a batch are ops, by its column `fate`.
pub struct Ops<'a> {
    keys: &'a UInt8Array,
    op: Option<u8>,
}

impl<'a> Ops<'a> {
    /// Finds out which rows of this batch are ops; `fate` is the number of the column, which is of type [`words`].
    pub fn of(batch: &'a RecordBatch, fate: usize) -> Ops<'a> {
        let fates = batch.column(fate).as_dictionary::<UInt8Type>();
        let words = fates.values().as_string::<i32>();
        let op = words.iter().position(|word| word == Some(Fate::Op.name()));
        Ops { keys: fates.keys(), op: op.and_then(|at| u8::try_from(at).ok()) }
    }

    /// Has this row the fate `op`?
    pub fn has(&self, row: usize) -> bool {
        self.keys.is_valid(row) && Some(self.keys.value(row)) == self.op
    }
}

/// Table function `numbered`: keeps the rows that are ops and adds their `op_id`.
#[derive(Debug)]
pub struct Numbered;

/// Name of the column that `numbered` adds.
const OP_ID: &str = "op_id";

impl Function for Numbered {
    fn name(&self) -> &'static str {
        "numbered"
    }

    fn output(&self, input: &DFSchema) -> Result<Schema> {
        has(self.name(), input, &["pos", "fate"])?;
        if input.fields().iter().any(|field| field.name() == OP_ID) {
            return plan_err!("numbered makes a column {OP_ID} of its own: rename the one in its input");
        }
        let fields = input.fields().iter().map(|field| match field.name().as_str() {
            "pos" => Arc::new(int("pos")),
            "fate" => Arc::new(Field::new("fate", words(), true)),
            _ => Arc::clone(field),
        });
        Ok(Schema::new(fields.chain([Arc::new(int(OP_ID))]).collect::<Vec<_>>()))
    }

    fn takes(&self, field: &Field, wanted: bool) -> Option<DataType> {
        match field.name().as_str() {
            "pos" => Some(DataType::Int64),
            "fate" => Some(words()),
            _ => wanted.then(|| field.data_type().clone()),
        }
    }

    fn order(&self) -> &'static [Key] {
        &[Key::Up("pos")]
    }

    fn ascends(&self) -> &'static [&'static str] {
        &["pos", OP_ID]
    }

    fn start(&self, input: &Schema, output: SchemaRef) -> Result<Box<dyn Running>> {
        let column = |field: &Arc<Field>| match field.name().as_str() {
            OP_ID => Ok(None),
            name => input.index_of(name).map(Some),
        };
        let columns = output.fields().iter().map(column).collect::<Result<_, _>>()?;
        Ok(Box::new(Numbering { fate: input.index_of("fate")?, columns, output, next: 0 }))
    }
}

struct Numbering {
    fate: usize,
    /// For each output column the number of the input column it is taken from; `None` for `op_id`.
    columns: Vec<Option<usize>>,
    output: SchemaRef,
    next: i64,
}

impl Running for Numbering {
    fn step(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let ops = Ops::of(batch, self.fate);
        let chosen = BooleanArray::from(BooleanBuffer::collect_bool(batch.num_rows(), |row| ops.has(row)));
        let count = chosen.true_count();
        let first = self.next;
        self.next += count as i64;
        let column = |from: &Option<usize>| -> Result<ArrayRef> {
            Ok(match from {
                None => Arc::new(Int64Array::from_iter_values(first..self.next)),
                Some(at) if count == batch.num_rows() => Arc::clone(batch.column(*at)),
                Some(at) => filter(batch.column(*at), &chosen)?,
            })
        };
        let columns = self.columns.iter().map(column).collect::<Result<_>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.output), columns)?)
    }

    fn end(&mut self) -> Result<Option<RecordBatch>> {
        Ok(None)
    }
}
