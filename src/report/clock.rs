//! The relation `clock`: by which clock the times of each capture are, so that views can tell times of day.

use super::views::{Shelf, label};
use crate::engine::Engine;
use crate::schema::dataset::Kind;
use crate::schema::{Dataset, Table};
use anyhow::Result;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use serde_json::Value;
use std::sync::Arc;

/// Name of the relation.
pub(super) const CLOCK: &str = "clock";

/// Registers the clocks of all captures, with a column for their dataset, and each by itself for the views of one capture.
///
/// # Errors
/// When the engine refuses it.
pub(super) fn register(engine: &Engine, datasets: &[Dataset], shelf: &mut Shelf) -> Result<()> {
    let captures: Vec<(usize, &Dataset)> =
        datasets.iter().enumerate().filter(|(_, data)| data.kind == Kind::Capture && data.has(Table::Events)).collect();
    for (at, data) in &captures {
        let relation = if captures.len() == 1 { CLOCK.to_owned() } else { format!("{CLOCK}_{}", at + 1) };
        engine.ctx().register_batch(&relation, rows(&[*data])?)?;
        shelf.put(*at, CLOCK, &relation);
    }
    if captures.len() > 1 {
        engine.ctx().register_batch(CLOCK, rows(&captures.iter().map(|(_, data)| *data).collect::<Vec<_>>())?)?;
    }
    shelf.made(CLOCK, &[Table::Events.name().to_owned()]);
    Ok(())
}

fn rows(datasets: &[&Dataset]) -> Result<RecordBatch> {
    let names: StringArray = datasets.iter().map(|data| Some(label(&data.dir))).collect();
    let clocks: StringArray = datasets.iter().map(|data| data.manifest.get(CLOCK).and_then(Value::as_str)).collect();
    Ok(RecordBatch::try_from_iter([("dataset", Arc::new(names) as ArrayRef), (CLOCK, Arc::new(clocks) as ArrayRef)])?)
}
