//! `FROM numbered(chosen)`: rows of the walk that are ops, with their numbers.
//!
//! It takes rows in the order of `pos` and gives those of fate op, and in `op_id` how many came before. A filter and a
//! window say the same, and copy every column twice on the way.

use super::function::{Function, Key, Running};
use crate::fate::Fate;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt8Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt8Type};
use datafusion::common::{DFSchema, Result, plan_err};
use std::sync::Arc;

/// Checks that a relation has these columns.
pub fn has(name: &str, input: &DFSchema, columns: &[&str]) -> Result<()> {
    match columns.iter().find(|column| !input.fields().iter().any(|field| field.name() == *column)) {
        Some(column) => plan_err!("the input of {name} has no column {column}"),
        None => Ok(()),
    }
}

/// The integers of a column.
pub fn ints(batch: &RecordBatch, at: usize) -> &Int64Array {
    batch.column(at).as_primitive::<Int64Type>()
}

/// A column of integers that are always there.
pub fn int(name: &str) -> Field {
    Field::new(name, DataType::Int64, false)
}

/// Words as the walk has them: a byte each, with one list.
pub fn words() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8))
}

/// Which rows are ops, by column `fate`.
pub struct Ops<'a> {
    keys: &'a UInt8Array,
    op: Option<u8>,
}

impl<'a> Ops<'a> {
    /// Those of a batch; `fate` is the number of the column, which is of type [`words`].
    pub fn of(batch: &'a RecordBatch, fate: usize) -> Ops<'a> {
        let fates = batch.column(fate).as_dictionary::<UInt8Type>();
        let words = fates.values().as_string::<i32>();
        let op = words.iter().position(|word| word == Some(Fate::Op.name()));
        Ops { keys: fates.keys(), op: op.and_then(|at| u8::try_from(at).ok()) }
    }

    /// Is this row one?
    pub fn has(&self, row: usize) -> bool {
        self.keys.is_valid(row) && Some(self.keys.value(row)) == self.op
    }
}

/// The ops, and their numbers.
#[derive(Debug)]
pub struct Numbered;

/// What `numbered` adds.
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
    /// Where each column comes from; `None` for the number.
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
