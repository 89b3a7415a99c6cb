//! Writes rejected lines to table `rejects`, and counts them by reason.

use super::parse::{Reject, Why};
use crate::schema::{self, Draft, Table};
use crate::text;
use anyhow::{Context, Result};
use arrow::array::{Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

/// Writer of table `rejects`, with counts by reason.
pub struct Rejects {
    writer: ArrowWriter<File>,
    waiting: Vec<(String, Reject)>,
    counts: BTreeMap<&'static str, u64>,
    first: Option<(u64, Why)>,
}

impl Rejects {
    /// Creates the table in a draft.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(draft: &Draft) -> Result<Rejects> {
        let writer = schema::writer(Table::Rejects, draft.file(&Table::Rejects.file())?)?;
        Ok(Rejects { writer, waiting: Vec::new(), counts: BTreeMap::new(), first: None })
    }

    /// Adds a rejected line of an input (by name).
    ///
    /// # Errors
    /// When the table cannot be written.
    pub fn push(&mut self, input: &str, reject: &Reject) -> Result<()> {
        *self.counts.entry(reject.why.name()).or_default() += 1;
        self.first.get_or_insert((reject.line, reject.why));
        self.waiting.push((input.to_owned(), reject.clone()));
        if self.waiting.len() >= 4096 { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let batch = RecordBatch::try_new(
            Table::Rejects.schema(),
            vec![
                Arc::new(StringArray::from_iter_values(waiting.iter().map(|(input, _)| input))),
                Arc::new(Int64Array::from_iter_values(waiting.iter().map(|(_, reject)| reject.line as i64))),
                Arc::new(StringArray::from_iter_values(waiting.iter().map(|(_, reject)| reject.why.name()))),
                Arc::new(StringArray::from_iter_values(waiting.iter().map(|(_, reject)| text::encode(&reject.text)))),
            ],
        )?;
        self.writer.write(&batch).context("cannot write table rejects")
    }

    /// What to say of the first rejected line where nothing but rejects was found; empty without one.
    pub fn first(&self) -> String {
        self.first.as_ref().map(|(line, why)| format!("; line {line}: {}", why.doc())).unwrap_or_default()
    }

    /// Ends the table. Returns the number of rejected lines by reason.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<BTreeMap<&'static str, u64>> {
        self.flush()?;
        self.writer.close().context("cannot write table rejects")?;
        Ok(self.counts)
    }
}
