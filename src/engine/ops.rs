//! `FROM numbered(chosen)`: the rows of the walk (output of `virtualize`) that are ops, numbered from 0.
//!
//! It reads rows in the order of `pos`, keeps those with fate `op` and adds `op_id`, the number of ops before. A filter
//! and a window function would give the same, but copy every column twice. Where the rows have all from which causes follow, it
//! also adds `think` and `timer`: what the op's lane did before it.

use super::causes::{self, Follow};
use super::function::{Function, Key, Running};
use crate::fate::Fate;
use crate::order::Timing;
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

/// Table function `numbered`: keeps the rows that are ops and adds their `op_id`, `think` and `timer`.
#[derive(Debug)]
pub struct Numbered;

/// Names of the columns that `numbered` adds.
const ADDED: [&str; 3] = ["op_id", "think", "timer"];

impl Function for Numbered {
    fn name(&self) -> &'static str {
        "numbered"
    }

    fn output(&self, input: &DFSchema) -> Result<Schema> {
        has(self.name(), input, &["pos", "fate"])?;
        let there = |name: &str| input.fields().iter().any(|field| field.name() == name);
        if let Some(name) = ADDED.iter().find(|name| there(name)) {
            return plan_err!("numbered makes a column {name} of its own: rename the one in its input");
        }
        let times = causes::ROW.iter().all(|name| there(name));
        let fields = input.fields().iter().map(|field| match field.name().as_str() {
            "pos" => Arc::new(int("pos")),
            "fate" => Arc::new(Field::new("fate", words(), true)),
            name => match causes::takes(name).filter(|_| times) {
                Some(ty) => Arc::new(Field::new(name, ty, field.is_nullable())),
                None => Arc::clone(field),
            },
        });
        let times = ADDED[1..].iter().filter(|_| times).map(|name| Arc::new(Field::new(*name, DataType::Int64, true)));
        Ok(Schema::new(fields.chain([Arc::new(int(ADDED[0]))]).chain(times).collect::<Vec<_>>()))
    }

    fn takes(&self, field: &Field, output: &Schema) -> Option<DataType> {
        match field.name().as_str() {
            "pos" => Some(DataType::Int64),
            "fate" => Some(words()),
            name => causes::takes(name)
                .filter(|_| timed(output))
                .or_else(|| output.index_of(name).is_ok().then(|| field.data_type().clone())),
        }
    }

    fn order(&self) -> &'static [Key] {
        &[Key::Up("pos")]
    }

    fn ascends(&self) -> &'static [&'static str] {
        &["pos", ADDED[0]]
    }

    fn start(&self, input: &Schema, output: SchemaRef) -> Result<Box<dyn Running>> {
        let column = |field: &Arc<Field>| match ADDED.iter().position(|name| field.name() == name) {
            Some(added) => Ok(From::Made(added)),
            None => input.index_of(field.name()).map(From::Input),
        };
        let columns = output.fields().iter().map(column).collect::<Result<_, _>>()?;
        let follow = timed(&output).then(|| Follow::new(input)).transpose()?;
        Ok(Box::new(Numbering { fate: input.index_of("fate")?, columns, output, follow, next: 0 }))
    }
}

/// Are columns wanted that follow from the state of causes?
fn timed(output: &Schema) -> bool {
    ADDED[1..].iter().any(|name| output.index_of(name).is_ok())
}

/// Where an output column comes from.
enum From {
    /// The input column of this number.
    Input(usize),
    /// Made here: the index in [`ADDED`].
    Made(usize),
}

struct Numbering {
    fate: usize,
    columns: Vec<From>,
    output: SchemaRef,
    follow: Option<Follow>,
    next: i64,
}

impl Running for Numbering {
    fn step(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let ops = Ops::of(batch, self.fate);
        let chosen = BooleanArray::from(BooleanBuffer::collect_bool(batch.num_rows(), |row| ops.has(row)));
        let count = chosen.true_count();
        let first = self.next;
        self.next += count as i64;
        let mut times: Vec<Timing> = Vec::new();
        if let Some(follow) = &mut self.follow {
            follow.batch(batch, &mut Vec::new(), &mut times);
        }
        let column = |from: &From| -> Result<ArrayRef> {
            Ok(match from {
                From::Made(0) => Arc::new(Int64Array::from_iter_values(first..self.next)),
                From::Made(1) => Arc::new(times.iter().map(|timing| timing.think).collect::<Int64Array>()),
                From::Made(_) => Arc::new(times.iter().map(|timing| timing.timer).collect::<Int64Array>()),
                From::Input(at) if count == batch.num_rows() => Arc::clone(batch.column(*at)),
                From::Input(at) => filter(batch.column(*at), &chosen)?,
            })
        };
        let columns = self.columns.iter().map(column).collect::<Result<_>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.output), columns)?)
    }

    fn end(&mut self) -> Result<Option<RecordBatch>> {
        Ok(None)
    }
}
