//! `FROM touched(chosen)` and `FROM pruned(follows)`: the parts of the computation of op order that need state, as
//! table functions.
//!
//! `touched` reads rows of the walk in order of `pos` and gives spans (see [`crate::order::Spans`]), in no particular
//! order. `pruned` reads edges, sorted by op and for each op with the latest op to wait for first, and says which edges
//! to keep (see [`crate::order::Prune`]).

use super::hosts::Hosts;
use super::numbered::{Ops, has, int, ints, words};
use super::{Function, Key, Running};
use crate::model::Resource;
use crate::order::{Edge, Limits, Prune, Span, Spans, Verdict, Work};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Int64Array, RecordBatch, StringArray, UInt8Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt8Type};
use datafusion::common::{DFSchema, Result};
use hashbrown::HashMap;
use std::sync::Arc;

/// A batch of those columns of schema `all` that are in `output`.
pub fn wanted(all: &SchemaRef, columns: Vec<ArrayRef>, output: &Schema) -> Result<RecordBatch> {
    let at = output.fields().iter().map(|field| all.index_of(field.name())).collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(all), columns)?.project(&at)?)
}

/// Table function `touched`: the spans in which each lane touches each resource, from which op to which.
#[derive(Debug)]
pub struct Touched;

const ROW: [&str; 5] = ["pos", "fate", "vtid", "dur", "touches"];

const SPAN: [&str; 9] = ["resource", "access", "lane", "first", "last", "ops_before", "ns_before", "ops_through", "ns_through"];

impl Function for Touched {
    fn name(&self) -> &'static str {
        "touched"
    }

    fn output(&self, input: &DFSchema) -> Result<Schema> {
        has(self.name(), input, &ROW)?;
        Ok(Schema::new(SPAN.map(int).to_vec()))
    }

    fn takes(&self, field: &Field, _output: &Schema) -> Option<DataType> {
        match field.name().as_str() {
            "pos" | "vtid" | "dur" | "ts" | "ring" => Some(DataType::Int64),
            "fate" => Some(words()),
            "touches" => Some(DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)))),
            _ => None,
        }
    }

    fn order(&self, _input: &Schema) -> &'static [Key] {
        &[Key::Up("pos")]
    }

    fn ascends(&self) -> &'static [&'static str] {
        &[]
    }

    fn start(&self, input: &Schema, output: SchemaRef, _: &Hosts, _: Option<&str>) -> Result<Box<dyn Running>> {
        let at = |name: &str| input.index_of(name);
        let columns = [at("fate")?, at("vtid")?, at("dur")?, at("touches")?];
        let request = ["ring", "ts"].map(|name| at(name).ok());
        let ends = HashMap::new();
        Ok(Box::new(Touching { columns, request, ends, output, spans: Spans::default(), out: Vec::new(), ended: false }))
    }
}

struct Touching {
    columns: [usize; 4],
    /// Numbers of the columns `ring` and `ts`, if they are there.
    request: [Option<usize>; 2],
    /// When the last of the requests of each lane was done, captured ns.
    ends: HashMap<i64, i64>,
    output: SchemaRef,
    spans: Spans,
    out: Vec<Span>,
    ended: bool,
}

impl Touching {
    /// Captured time of a call, ns; of a request only what it took beyond those before it, since they were under way together.
    fn took(&mut self, batch: &RecordBatch, row: usize, lane: i64, dur: i64) -> i64 {
        let [ring, ts] = self.request.map(|at| at.map(|at| ints(batch, at)).filter(|column| column.is_valid(row)));
        let (Some(_), Some(ts)) = (ring, ts) else { return dur };
        let (begin, end) = (ts.value(row), ts.value(row).saturating_add(dur));
        let before = self.ends.entry(lane).or_insert(i64::MIN);
        let took = end.saturating_sub(begin.max(*before)).max(0);
        *before = end.max(*before);
        took
    }

    fn batch(&mut self) -> Result<RecordBatch> {
        let out = std::mem::take(&mut self.out);
        let column = |get: fn(&Span) -> i64| Arc::new(Int64Array::from_iter_values(out.iter().map(get))) as ArrayRef;
        let columns = vec![
            column(|span| span.resource),
            column(|span| span.access),
            column(|span| span.lane),
            column(|span| span.first.op),
            column(|span| span.last.op),
            column(|span| span.first.work.ops),
            column(|span| span.first.work.ns),
            column(|span| span.last.work.ops),
            column(|span| span.last.work.ns),
        ];
        wanted(&Arc::new(Schema::new(SPAN.map(int).to_vec())), columns, &self.output)
    }
}

impl Running for Touching {
    fn step(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let [fate, vtid, dur, touches] = self.columns;
        let (ops, lanes, durs) = (Ops::of(batch, fate), ints(batch, vtid), ints(batch, dur));
        let lists = batch.column(touches).as_list::<i32>();
        let all = lists.values().as_primitive::<Int64Type>().values();
        for row in 0..batch.num_rows() {
            if !lanes.is_valid(row) {
                continue; // a fact
            }
            let list = match lists.is_valid(row) {
                true => &all[lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize],
                false => &[],
            };
            let (lane, list) = (lanes.value(row), list.iter().copied());
            match ops.has(row) {
                true => {
                    let took = self.took(batch, row, lane, if durs.is_valid(row) { durs.value(row) } else { 0 });
                    self.spans.op(lane, took, list, &mut self.out);
                }
                false => self.spans.other(lane, list, &mut self.out),
            }
        }
        self.batch()
    }

    fn end(&mut self) -> Result<Option<RecordBatch>> {
        if !std::mem::replace(&mut self.ended, true) {
            self.spans.finish(&mut self.out);
            return self.batch().map(Some);
        }
        Ok(None)
    }
}

/// Table function `pruned`: which edges are not implied by the order inside lanes and other edges.
#[derive(Debug)]
pub struct Pruned;

const EDGE: [&str; 10] =
    ["op_id", "lane", "after", "after_lane", "kind", "ops_before", "ns_before", "ops_through", "ns_through", "delay"];

/// The output columns of `pruned`: an edge, its kind of resource, its delay, whether it is kept, and by how much (ops and ns) the
/// longest path to it exceeds the work of its own lane.
fn judged() -> Schema {
    let mut fields = EDGE[..4].iter().map(|name| int(name)).collect::<Vec<_>>();
    fields.push(Field::new("resource", words(), false));
    fields.push(Field::new("delay", DataType::Int64, true));
    fields.push(Field::new("kept", DataType::Boolean, false));
    fields.extend(["ops_held", "ns_held"].map(int));
    Schema::new(fields)
}

impl Function for Pruned {
    fn name(&self) -> &'static str {
        "pruned"
    }

    fn output(&self, input: &DFSchema) -> Result<Schema> {
        has(self.name(), input, &EDGE)?;
        Ok(judged())
    }

    fn takes(&self, field: &Field, _output: &Schema) -> Option<DataType> {
        EDGE.contains(&field.name().as_str()).then_some(DataType::Int64)
    }

    fn order(&self, _input: &Schema) -> &'static [Key] {
        &[Key::Up("op_id"), Key::Down("after"), Key::Up("kind"), Key::Up("delay")]
    }

    fn ascends(&self) -> &'static [&'static str] {
        &["op_id"]
    }

    fn start(&self, input: &Schema, output: SchemaRef, _: &Hosts, _: Option<&str>) -> Result<Box<dyn Running>> {
        let mut columns = [0; EDGE.len()];
        for (at, name) in columns.iter_mut().zip(EDGE) {
            *at = input.index_of(name)?;
        }
        let words = Arc::new(StringArray::from_iter_values(Resource::ALL.iter().map(|word| word.name())));
        Ok(Box::new(Pruning { columns, output, words, prune: Prune::new(Limits::default()) }))
    }
}

struct Pruning {
    /// Numbers of the input columns of [`EDGE`].
    columns: [usize; EDGE.len()],
    output: SchemaRef,
    words: ArrayRef,
    prune: Prune,
}

impl Running for Pruning {
    fn step(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let [op, lane, after, after_lane, kind, ops_before, ns_before, ops_through, ns_through, delay] =
            self.columns.map(|at| ints(batch, at));
        let edge = |row: usize| Edge {
            op: op.value(row),
            lane: lane.value(row),
            before: Work { ops: ops_before.value(row), ns: ns_before.value(row) },
            after: after.value(row),
            after_lane: after_lane.value(row),
            through: Work { ops: ops_through.value(row), ns: ns_through.value(row) },
        };
        let verdicts: Vec<Verdict> = (0..batch.num_rows()).map(|row| self.prune.judge(&edge(row))).collect();
        let kinds = UInt8Array::from_iter_values(kind.values().iter().map(|kind| *kind as u8));
        // That one op follows another may be no news, but by how long is.
        let kept = verdicts.iter().enumerate().map(|(row, verdict)| Some(verdict.kept || delay.is_valid(row)));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(op.clone()),
            Arc::new(lane.clone()),
            Arc::new(after.clone()),
            Arc::new(after_lane.clone()),
            Arc::new(DictionaryArray::<UInt8Type>::try_new(kinds, Arc::clone(&self.words))?),
            Arc::new(delay.clone()),
            Arc::new(kept.collect::<BooleanArray>()),
            Arc::new(verdicts.iter().map(|verdict| verdict.held.ops).collect::<Int64Array>()),
            Arc::new(verdicts.iter().map(|verdict| verdict.held.ns).collect::<Int64Array>()),
        ];
        wanted(&Arc::new(judged()), columns, &self.output)
    }

    fn end(&mut self) -> Result<Option<RecordBatch>> {
        Ok(None)
    }
}
