//! `ioriot cat` and `ioriot head`: the main table of a dataset with names resolved, or another of its tables.

use super::LOOKS;
use super::query::{self, Options, Source};
use super::tables::Desk;
use super::views::identifier;
use crate::engine::{Access, Stage};
use crate::rows::{Format, Shape};
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// What is to be shown of datasets.
#[derive(Clone, Debug)]
pub struct Look {
    /// Directories of the datasets.
    pub datasets: Vec<PathBuf>,
    /// A table or view; `None`: what [`LOOKS`] has for the last step among them (of a capture its events, of a workload its ops, of
    /// a run its results), with names resolved.
    pub table: Option<String>,
    /// Rows at most; `None`: all.
    pub rows: Option<u64>,
    /// Form of the rows.
    pub format: Format,
    /// Layout of rows for people.
    pub shape: Shape,
    /// File to write the rows to; `None`: standard output.
    pub out: Option<PathBuf>,
    /// Bytes of memory that sorts, joins and aggregations may hold together before they spill to disk.
    pub memory: u64,
}

/// Shows rows of datasets.
///
/// # Errors
/// When a dataset cannot be opened, it has no such table, or the rows cannot be written.
pub fn run(look: &Look) -> Result<()> {
    let desk = Desk::open(&look.datasets, Access::Tables, look.memory)?;
    let mut sql = match &look.table {
        Some(table) => format!("SELECT * FROM {}", identifier(table)),
        None => {
            // Its sorts spill; the hash table of another join does not.
            desk.engine.set("datafusion.optimizer.prefer_hash_join", "false")?;
            format!("SELECT * FROM (\n{}\n)", stage(desk.datasets())?.text())
        }
    };
    if let Some(rows) = look.rows.map(|rows| rows.min(i64::MAX.unsigned_abs())) {
        sql.push_str(&format!("\nLIMIT {rows}"));
    }
    let Look { datasets, format, shape, out, memory, .. } = look.clone();
    let options = Options {
        datasets,
        sql_dir: None,
        sql: Source::Text(sql.clone()),
        format,
        shape,
        out,
        access: Access::Tables,
        memory,
        #[cfg(feature = "cluster")]
        cluster: None,
    };
    query::answer_all(&desk, &sql, &options)
}

/// What is shown of these datasets.
fn stage(datasets: &[Dataset]) -> Result<&'static Stage> {
    let is = |kind: Kind| datasets.iter().any(|data| data.kind == kind);
    let name = match (is(Kind::Run), is(Kind::Workload)) {
        (true, true) => "named_results",
        (true, false) => "run_results",
        (false, true) => "workload_ops",
        (false, false) => {
            let captures = datasets.len();
            ensure!(
                captures == 1,
                "calls of one capture are shown at a time, and there are {captures}: name one, or a table (--table events)"
            );
            "capture_calls"
        }
    };
    LOOKS.iter().find(|look| look.name == name).with_context(|| format!("there is no sql/look/{name}.sql"))
}
