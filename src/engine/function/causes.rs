//! `FROM caused(chosen)`: what ops waited for, as a table function over the rows of the walk (see [`crate::order::Causes`]).
//!
//! It reads rows in order of `pos` and gives an edge for each cause. What the lane of an op did before it, which follows from the
//! same state, is columns that [`super::numbered::Numbered`] adds.

use super::hosts::Hosts;
use super::numbered::{Ops, has, int, ints, words};
use super::order::wanted;
use super::{Function, Key, Running};
use crate::order::{Cause, Causes, Moment, Timing, What};
use crate::syscall::{Syscall, Wake};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::common::{DFSchema, Result};
use std::sync::Arc;

/// Columns of the walk from which causes follow.
pub const ROW: [&str; 10] = ["pos", "fate", "syscall", "tid", "vtid", "ts", "dur", "cmd", "arg", "touches"];
/// Column with the processor time before a call; read if the input has it.
const CPU: &str = "cpu";

/// The type to which such a column is cast; `None` for others.
pub fn takes(name: &str) -> Option<DataType> {
    match name {
        "fate" => Some(words()),
        "syscall" => Some(DataType::Utf8View),
        "touches" => Some(DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)))),
        _ => (ROW.contains(&name) || name == CPU).then_some(DataType::Int64),
    }
}

/// Follows the batches of the walk.
pub struct Follow {
    columns: [usize; ROW.len()],
    cpu: Option<usize>,
    causes: Causes,
}

/// The value of a row, if it has one.
fn value(column: &Int64Array, row: usize) -> Option<i64> {
    column.is_valid(row).then(|| column.value(row))
}

impl Follow {
    /// Follows batches of this schema.
    ///
    /// # Errors
    /// When a column is missing.
    pub fn new(input: &Schema) -> Result<Follow> {
        let mut columns = [0; ROW.len()];
        for (at, name) in columns.iter_mut().zip(ROW) {
            *at = input.index_of(name)?;
        }
        Ok(Follow { columns, cpu: input.index_of(CPU).ok(), causes: Causes::default() })
    }

    /// Takes the next batch: causes go to `found`, and what the lanes of its ops did before them to `times`, for each op.
    pub fn batch(&mut self, batch: &RecordBatch, found: &mut Vec<Cause>, times: &mut Vec<Timing>) {
        let [_, fate, syscall, tid, vtid, ts, dur, cmd, arg, touches] = self.columns;
        let ops = Ops::of(batch, fate);
        let names = batch.column(syscall).as_string_view();
        let [tids, lanes, starts, durs, cmds, args] = [tid, vtid, ts, dur, cmd, arg].map(|at| ints(batch, at));
        let cpus = self.cpu.map(|at| ints(batch, at));
        let lists = batch.column(touches).as_list::<i32>();
        let all = lists.values().as_primitive::<Int64Type>().values();
        for row in 0..batch.num_rows() {
            let Some(lane) = value(lanes, row) else { continue }; // a fact
            // It lies inside of the call or the fault that it is for.
            if names.is_valid(row) && names.value(row) == Syscall::page_cache_add.name() {
                continue;
            }
            let list = match lists.is_valid(row) {
                true => &all[lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize],
                false => &[],
            };
            let slept = names.is_valid(row) && names.value(row) == Syscall::waited.name();
            let what = match ops.has(row) {
                true => What::Op,
                false if slept => What::Slept(Wake::of(value(cmds, row).unwrap_or(0)), value(args, row)),
                false => What::Other,
            };
            let moment = Moment {
                what,
                lane,
                tid: value(tids, row),
                begin: value(starts, row),
                dur: value(durs, row).unwrap_or(0),
                cpu: cpus.and_then(|cpus| value(cpus, row)),
            };
            times.extend(self.causes.row(&moment, list.iter().copied(), found));
        }
    }
}

/// Table function `caused`: the causes of ops, as edges.
#[derive(Debug)]
pub struct Caused;

const CAUSE: [&str; 10] =
    ["op_id", "lane", "after", "after_lane", "kind", "delay", "ops_before", "ns_before", "ops_through", "ns_through"];

fn edges() -> Schema {
    Schema::new(CAUSE.map(|name| if name == "delay" { Field::new(name, DataType::Int64, true) } else { int(name) }).to_vec())
}

impl Function for Caused {
    fn name(&self) -> &'static str {
        "caused"
    }

    fn output(&self, input: &DFSchema) -> Result<Schema> {
        has(self.name(), input, &ROW)?;
        Ok(edges())
    }

    fn takes(&self, field: &Field, _output: &Schema) -> Option<DataType> {
        takes(field.name())
    }

    fn order(&self, _input: &Schema) -> &'static [Key] {
        &[Key::Up("pos")]
    }

    fn ascends(&self) -> &'static [&'static str] {
        &["op_id"]
    }

    fn start(&self, input: &Schema, output: SchemaRef, _: &Hosts, _: Option<&str>) -> Result<Box<dyn Running>> {
        Ok(Box::new(Causing { follow: Follow::new(input)?, all: Arc::new(edges()), output }))
    }
}

struct Causing {
    follow: Follow,
    all: SchemaRef,
    output: SchemaRef,
}

impl Running for Causing {
    fn step(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut found = Vec::new();
        self.follow.batch(batch, &mut found, &mut Vec::new());
        let column = |get: fn(&Cause) -> i64| Arc::new(Int64Array::from_iter_values(found.iter().map(get))) as ArrayRef;
        let columns = vec![
            column(|cause| cause.edge.op),
            column(|cause| cause.edge.lane),
            column(|cause| cause.edge.after),
            column(|cause| cause.edge.after_lane),
            column(|cause| cause.kind as i64),
            Arc::new(found.iter().map(|cause| cause.delay).collect::<Int64Array>()),
            column(|cause| cause.edge.before.ops),
            column(|cause| cause.edge.before.ns),
            column(|cause| cause.edge.through.ops),
            column(|cause| cause.edge.through.ns),
        ];
        wanted(&self.all, columns, &self.output)
    }

    fn end(&mut self) -> Result<Option<RecordBatch>> {
        Ok(None)
    }
}
