//! Reads the workload's table of edges, in the order of the ops that wait.

use super::source::{Cache, Source};
use crate::replay::Pace;
use anyhow::{Context, Result, ensure};
use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use std::collections::HashMap;
use std::fs::File;

const COLUMNS: [&str; 3] = ["op_id", "after", "after_lane"];
const DELAY: &str = "delay";

/// The edges of one lane that are still to be read: a range of rows of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The next row to be read.
    pub row: i64,
    /// The row after the last.
    pub end: i64,
}

/// One decoded page of the table of edges: the [`COLUMNS`], and the delays where they are read.
type Page = ([Int64Array; 3], Option<Int64Array>);

/// Reader of the table of edges, page by page.
pub struct Edges {
    source: Source,
    cache: Cache<Page>,
    /// For each lane (captured thread), the number of the worker that runs it.
    workers: HashMap<i64, u32>,
}

impl Edges {
    /// Opens the table, of which up to `budget` bytes are kept decoded; `workers` gives the worker of every lane. Delays are read
    /// with pace app only.
    ///
    /// # Errors
    /// When it is damaged or lacks a column.
    pub fn open(file: File, workers: HashMap<i64, u32>, budget: usize, pace: Pace) -> Result<Edges> {
        let delay = (pace == Pace::App).then_some(DELAY);
        let columns: Vec<&str> = COLUMNS.into_iter().chain(delay).collect();
        Ok(Edges { source: Source::open("edges", file, &columns)?, cache: Cache::new(budget), workers })
    }

    /// Number of edges in the table.
    pub fn rows(&self) -> i64 {
        self.source.rows()
    }

    /// Calls `found` with the earlier op, its worker and the delay (0 without one) for every edge of `op_id`, and moves the span
    /// past them.
    ///
    /// # Errors
    /// When a page cannot be decoded or an edge is invalid: one that points forward would never be met.
    pub fn of(&mut self, op_id: i64, span: &mut Span, mut found: impl FnMut(i64, u32, i64) -> Result<()>) -> Result<()> {
        while span.row < span.end {
            let (index, start, end) = self.source.locate(span.row);
            let source = &self.source;
            let ([ops, afters, lanes], delays) = self.cache.get(index, || {
                let batch = source.decode(index)?;
                let mut columns = Vec::new();
                for name in COLUMNS {
                    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
                    columns.push(column.with_context(|| format!("column {name} of the edges holds no integers"))?.clone());
                }
                let columns = columns.try_into().ok().context("there are three columns")?;
                let delays = batch.column_by_name(DELAY).map(|column| column.as_primitive_opt::<Int64Type>().cloned());
                let delays = delays.map(|delays| delays.context("column delay of the edges holds no integers")).transpose()?;
                Ok(((columns, delays), batch.get_array_memory_size()))
            })?;
            while span.row < end.min(span.end) {
                let at = (span.row - start) as usize;
                let (op, after, lane) = (ops.value(at), afters.value(at), lanes.value(at));
                if op > op_id {
                    return Ok(());
                }
                let worker = self.workers.get(&lane);
                ensure!(
                    op == op_id && after < op_id && worker.is_some(),
                    "invalid workload: row {} of edges says that op {op} follows op {after} of lane {lane}, which makes no \
                     sense at op {op_id}",
                    span.row
                );
                if let Some(worker) = worker {
                    let delay = delays.as_ref().filter(|delays| delays.is_valid(at)).map_or(0, |delays| delays.value(at));
                    found(after, *worker, delay)?;
                }
                span.row += 1;
            }
        }
        Ok(())
    }
}
