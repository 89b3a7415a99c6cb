//! The edges of the workload, in the order of the ops that wait.

use super::source::{Cache, Source};
use anyhow::{Context, Result, ensure};
use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use std::collections::HashMap;
use std::fs::File;

const COLUMNS: [&str; 3] = ["op_id", "after", "after_lane"];

/// Edges of one lane still to be read: rows of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The next row.
    pub row: i64,
    /// The row after the last.
    pub end: i64,
}

/// The table of edges, page by page.
pub struct Edges {
    source: Source,
    cache: Cache<[Int64Array; 3]>,
    /// Worker of every lane.
    workers: HashMap<i64, u32>,
}

impl Edges {
    /// Opens the table, to keep `budget` bytes of it decoded; `workers` says who runs which lane.
    ///
    /// # Errors
    /// When it is damaged or lacks a column.
    pub fn open(file: File, workers: HashMap<i64, u32>, budget: usize) -> Result<Edges> {
        Ok(Edges { source: Source::open("edges", file, &COLUMNS)?, cache: Cache::new(budget), workers })
    }

    /// Number of edges.
    pub fn rows(&self) -> i64 {
        self.source.rows()
    }

    /// Tells `found` the op and the worker of every edge of `op_id`, and moves the span past them.
    ///
    /// # Errors
    /// When a page cannot be decoded or an edge makes no sense: what points forward would be waited for for ever.
    pub fn of(&mut self, op_id: i64, span: &mut Span, mut found: impl FnMut(i64, u32)) -> Result<()> {
        while span.row < span.end {
            let (index, start, end) = self.source.locate(span.row);
            let source = &self.source;
            let [ops, afters, lanes] = self.cache.get(index, || {
                let batch = source.decode(index)?;
                let mut columns = Vec::new();
                for name in COLUMNS {
                    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
                    columns.push(column.with_context(|| format!("column {name} of the edges holds no integers"))?.clone());
                }
                let columns = columns.try_into().ok().context("there are three columns")?;
                Ok((columns, batch.get_array_memory_size()))
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
                    found(after, *worker);
                }
                span.row += 1;
            }
        }
        Ok(())
    }
}
