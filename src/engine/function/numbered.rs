//! `FROM numbered(chosen)`: the rows of the walk (output of `virtualize`) that are ops, numbered from 0.
//!
//! It reads rows in the order of `pos`, keeps those with fate `op` and adds `op_id`, the number of ops before; what an op waits
//! for in a lane with requests (`reaped`, `settled`; see [`crate::order::Requests`]); and, where the rows have all from which
//! causes follow, what the op's lane did before it (`think`, `compute`, `unexplained`, `timer`). For the number alone a filter and a window function would
//! do, but copy every column twice.

use super::causes::{self, Follow};
use super::hosts::Hosts;
use super::{Function, Key, Running};
use crate::fate::Fate;
use crate::order::{Asked, Held, Requests, Timing};
use crate::syscall::Op;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt8Array, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, filter};
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
    /// For each key whether it stands for the word: batches that were put together may have it several times.
    ops: Vec<bool>,
}

impl<'a> Ops<'a> {
    /// Finds out which rows of this batch are ops; `fate` is the number of the column, which is of type [`words`].
    pub fn of(batch: &'a RecordBatch, fate: usize) -> Ops<'a> {
        let fates = batch.column(fate).as_dictionary::<UInt8Type>();
        let words = fates.values().as_string::<i32>();
        Ops { keys: fates.keys(), ops: words.iter().map(|word| word == Some(Fate::Op.name())).collect() }
    }

    /// Has this row the fate `op`?
    pub fn has(&self, row: usize) -> bool {
        self.keys.is_valid(row) && self.ops.get(usize::from(self.keys.value(row))) == Some(&true)
    }
}

/// Table function `numbered`: keeps the rows that are ops and adds their `op_id`, and what of the other columns follows.
#[derive(Debug)]
pub struct Numbered;

/// A column that `numbered` adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// The number of ops before.
    OpId,
    /// How many requests must be done before it ([`Held::reaped`]).
    Reaped,
    /// The op up to which all requests of its lane must be done ([`Held::settled`]).
    Settled,
    /// How long its lane took before it ([`Timing::think`]), ns.
    Think,
    /// How long of that its thread computed ([`Timing::compute`]), ns.
    Compute,
    /// How long of that it slept, and nobody knows why ([`Timing::unexplained`]), ns.
    Unexplained,
    /// Of which timer the end let it go ([`Timing::timer`]), ns.
    Timer,
}

impl Made {
    const ALL: [Made; 7] = [Made::OpId, Made::Reaped, Made::Settled, Made::Think, Made::Compute, Made::Unexplained, Made::Timer];

    const fn name(self) -> &'static str {
        match self {
            Made::OpId => "op_id",
            Made::Reaped => "reaped",
            Made::Settled => "settled",
            Made::Think => "think",
            Made::Compute => "compute",
            Made::Unexplained => "unexplained",
            Made::Timer => "timer",
        }
    }

    /// Does the column follow from the state of causes, so that it is there only where the input has their columns?
    const fn timed(self) -> bool {
        match self {
            Made::Think | Made::Compute | Made::Unexplained | Made::Timer => true,
            Made::OpId | Made::Reaped | Made::Settled => false,
        }
    }
}

/// Defines a struct with a field for each of these columns of the input.
macro_rules! columns {
    ($(#[$meta:meta])* $all:ident $struct:ident { $($name:ident)* }) => {
        /// Names of the columns of
        #[doc = concat!("[`", stringify!($struct), "`].")]
        const $all: &[&str] = &[$(stringify!($name)),*];

        $(#[$meta])*
        #[derive(Clone, Copy)]
        struct $struct<T> { $($name: T),* }

        impl<T: Copy> $struct<T> {
            /// Something for each column, by its name.
            fn by_name(of: impl Fn(&str) -> T) -> $struct<T> {
                $struct { $($name: of(stringify!($name))),* }
            }

            /// Something else for each column.
            fn map<U: Copy>(self, of: impl Fn(T) -> U) -> $struct<U> {
                $struct { $($name: of(self.$name)),* }
            }
        }
    };
}

columns! {
    /// Columns of integers that tell what a request is; those that the input lacks count as NULL.
    REQUEST Request { ring vtid inflight ts dur file file2 offset at_offset count ret arg }
}

impl Function for Numbered {
    fn name(&self) -> &'static str {
        "numbered"
    }

    fn output(&self, input: &DFSchema) -> Result<Schema> {
        has(self.name(), input, &["pos", "fate"])?;
        let there = |name: &str| input.fields().iter().any(|field| field.name() == name);
        if let Some(made) = Made::ALL.iter().map(|made| made.name()).find(|made| there(made)) {
            return plan_err!("numbered makes a column {made} of its own: rename the one in its input");
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
        let made = Made::ALL.iter().filter(|made| times || !made.timed());
        let made = made.map(|made| Arc::new(Field::new(made.name(), DataType::Int64, *made != Made::OpId)));
        Ok(Schema::new(fields.chain(made).collect::<Vec<_>>()))
    }

    fn takes(&self, field: &Field, output: &Schema) -> Option<DataType> {
        match field.name().as_str() {
            "pos" => Some(DataType::Int64),
            "fate" => Some(words()),
            "op" => Some(if output.index_of("op").is_ok() { field.data_type().clone() } else { DataType::Utf8View }),
            name if REQUEST.contains(&name) => Some(DataType::Int64),
            name => causes::takes(name)
                .filter(|_| timed(output) || name == "touches")
                .or_else(|| output.index_of(name).is_ok().then(|| field.data_type().clone())),
        }
    }

    fn order(&self, _input: &Schema) -> &'static [Key] {
        &[Key::Up("pos")]
    }

    fn ascends(&self) -> &'static [&'static str] {
        const { &["pos", Made::OpId.name()] }
    }

    fn start(&self, input: &Schema, output: SchemaRef, _: &Hosts, _: Option<&str>) -> Result<Box<dyn Running>> {
        let column = |field: &Arc<Field>| match Made::ALL.into_iter().find(|made| made.name() == field.name()) {
            Some(made) => Ok(Source::Made(made)),
            None => input.index_of(field.name()).map(Source::Input),
        };
        let columns = output.fields().iter().map(column).collect::<Result<_, _>>()?;
        let request = Request::by_name(|name| input.index_of(name).ok());
        let [op, touches] = ["op", "touches"].map(|name| input.index_of(name).ok());
        let (fate, requests) = (input.index_of("fate")?, Requests::default());
        let follow = timed(&output).then(|| Follow::new(input)).transpose()?;
        Ok(Box::new(Numbering { fate, columns, output, follow, next: 0, request, op, touches, requests }))
    }
}

/// Are columns wanted that follow from the state of causes?
fn timed(output: &Schema) -> bool {
    Made::ALL.iter().any(|made| made.timed() && output.index_of(made.name()).is_ok())
}

/// Where an output column comes from: it is made, or the input column of this number.
#[derive(Clone, Copy)]
enum Source {
    Made(Made),
    Input(usize),
}

struct Numbering {
    fate: usize,
    columns: Vec<Source>,
    output: SchemaRef,
    follow: Option<Follow>,
    next: i64,
    /// Numbers of the input columns that tell what a request is, of the call and of what it touches.
    request: Request<Option<usize>>,
    op: Option<usize>,
    touches: Option<usize>,
    requests: Requests,
}

impl Numbering {
    /// What each op of a batch waits for in its own lane; empty when no lane has had a request.
    fn held(&mut self, batch: &RecordBatch, ops: &Ops<'_>) -> Vec<Held> {
        let column = |at: Option<usize>| at.map(|at| ints(batch, at)).filter(|column| column.null_count() < column.len());
        let columns = self.request.map(column);
        if columns.ring.is_none() && self.requests.is_empty() {
            return Vec::new();
        }
        let words = self.op.and_then(|at| cast(batch.column(at), &DataType::Utf8View).ok());
        let lists = self.touches.and_then(|at| batch.column(at).as_list_opt::<i32>());
        let all = lists.map(|lists| lists.values().as_primitive::<Int64Type>().values());
        let mut held = Vec::new();
        for row in 0..batch.num_rows() {
            let call = columns.map(|column| column.filter(|column| column.is_valid(row)).map(|column| column.value(row)));
            let word = words.as_ref().map(|words| words.as_string_view()).filter(|words| words.is_valid(row));
            let list = lists.zip(all).filter(|(lists, _)| lists.is_valid(row));
            let asked = Asked {
                lane: call.vtid.unwrap_or(-1),
                ring: call.ring,
                inflight: call.inflight,
                linked: call.ring.and(call.arg).is_some(),
                op: word.and_then(|words| Op::parse(words.value(row))),
                ts: call.ts,
                dur: call.dur,
                files: [call.file, call.file2],
                offset: call.offset.or(call.at_offset),
                length: call.count.or(call.ret),
                touches: list.map_or(&[], |(lists, all)| {
                    &all[lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize]
                }),
            };
            match ops.has(row) {
                true => held.push(self.requests.op(self.next + held.len() as i64, &asked)),
                false if asked.ring.is_some() => self.requests.dropped(&asked),
                false => {}
            }
        }
        held
    }
}

impl Running for Numbering {
    fn step(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let ops = Ops::of(batch, self.fate);
        let chosen = BooleanArray::from(BooleanBuffer::collect_bool(batch.num_rows(), |row| ops.has(row)));
        let count = chosen.true_count();
        let held = self.held(batch, &ops);
        let first = self.next;
        self.next += count as i64;
        let mut times: Vec<Timing> = Vec::new();
        if let Some(follow) = &mut self.follow {
            follow.batch(batch, &mut Vec::new(), &mut times);
        }
        let made = |get: fn(&Held) -> Option<i64>| -> ArrayRef {
            match held.is_empty() {
                true => new_null_array(&DataType::Int64, count),
                false => Arc::new(held.iter().map(get).collect::<Int64Array>()),
            }
        };
        let column = |from: &Source| -> Result<ArrayRef> {
            Ok(match from {
                Source::Made(Made::OpId) => Arc::new(Int64Array::from_iter_values(first..self.next)),
                Source::Made(Made::Reaped) => made(|held| held.reaped),
                Source::Made(Made::Settled) => made(|held| held.settled),
                Source::Made(Made::Think) => Arc::new(times.iter().map(|timing| timing.think).collect::<Int64Array>()),
                Source::Made(Made::Compute) => Arc::new(times.iter().map(|timing| timing.compute).collect::<Int64Array>()),
                Source::Made(Made::Unexplained) => {
                    Arc::new(times.iter().map(|timing| timing.unexplained).collect::<Int64Array>())
                }
                Source::Made(Made::Timer) => Arc::new(times.iter().map(|timing| timing.timer).collect::<Int64Array>()),
                Source::Input(at) if count == batch.num_rows() => Arc::clone(batch.column(*at)),
                Source::Input(at) => filter(batch.column(*at), &chosen)?,
            })
        };
        let columns = self.columns.iter().map(column).collect::<Result<_>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.output), columns)?)
    }

    fn end(&mut self) -> Result<Option<RecordBatch>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, StringArray};

    /// A sort puts the dictionaries of batches behind one another, and a word then has several keys.
    #[test]
    fn a_word_with_several_keys_is_one_word() {
        let words = Arc::new(StringArray::from(vec!["op", "drop", "op"]));
        let keys = UInt8Array::from(vec![Some(0), Some(1), Some(2), None]);
        let fates: ArrayRef = Arc::new(DictionaryArray::new(keys, words));
        let batch = RecordBatch::try_from_iter([("fate", fates)]).unwrap();
        let ops = Ops::of(&batch, 0);
        assert_eq!([0, 1, 2, 3].map(|row| ops.has(row)), [true, false, true, false]);
    }
}
