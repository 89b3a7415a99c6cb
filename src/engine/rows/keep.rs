//! Relations that are computed once and read often, and answers that are small.

use super::sink;
use crate::engine::session::Engine;
use crate::files;
use crate::schema::check::Checked;
use crate::schema::scratch_properties;
use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use std::env;
use std::sync::Arc;

/// Rows of an answer, and whether it had more than were asked for.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The first rows.
    pub batches: Vec<RecordBatch>,
    /// Did the query give more rows than these?
    pub more: bool,
}

impl Engine {
    /// Computes the rows of a relation once, into a temporary file without a name (in TMPDIR, else /tmp), from which statements
    /// that name it read them from then on. Memory is bounded whatever their number.
    ///
    /// # Errors
    /// When there is no such relation, it cannot be computed, or there is no room.
    pub fn keep(&self, name: &str) -> Result<()> {
        let frame = self.sql(&format!("SELECT * FROM {name}"))?;
        let schema = frame.schema().as_arrow().clone().into();
        let dir = env::temp_dir();
        let file = files::nameless(&dir).with_context(|| format!("cannot make a temporary file in {}", dir.display()))?;
        let again = file.try_clone()?;
        let (properties, encoders) = (scratch_properties()?, self.encoders()?);
        self.block_on(async {
            sink::write(frame.execute_stream().await?, schema, file, properties, None, encoders, |_| ()).await.map(drop)
        })
        .with_context(|| format!("cannot compute {name}"))?;
        self.ctx().deregister_table(name)?;
        self.register(name, &dir.join(name), Checked::ours(again)?)
    }

    /// Hands the rows of what a statement gives to `take`, batch by batch, until that says false. Memory does not grow with
    /// their number.
    ///
    /// # Errors
    /// When the statement is wrong or fails, or `take` does.
    pub fn each(&self, sql: &str, mut take: impl FnMut(RecordBatch) -> Result<bool> + Send) -> Result<()> {
        let frame = self.sql(sql)?;
        self.block_on(async {
            let mut stream = frame.execute_stream().await?;
            while let Some(batch) = stream.next().await {
                if !take(batch?)? {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Defines the rows of a query as the view `name`, in place of one that is there; returns its columns.
    ///
    /// # Errors
    /// When the query is wrong.
    pub fn define(&self, name: &str, sql: &str) -> Result<SchemaRef> {
        let frame = self.sql(sql)?;
        let schema = Arc::clone(frame.schema().inner());
        self.ctx().deregister_table(name)?;
        self.ctx().register_table(name, frame.into_view())?;
        Ok(schema)
    }

    /// The first rows of what a statement gives, `most` at most.
    ///
    /// # Errors
    /// When the statement is wrong or fails.
    pub fn first(&self, sql: &str, most: usize) -> Result<Answer> {
        let frame = self.sql(sql)?;
        self.block_on(async {
            let mut stream = self.rows(frame).await?;
            let (mut batches, mut rows) = (vec![RecordBatch::new_empty(stream.schema())], 0);
            while let Some(batch) = stream.next().await {
                let batch = batch?;
                let room = most - rows;
                if batch.num_rows() > room {
                    batches.push(batch.slice(0, room));
                    return Ok(Answer { batches, more: true });
                }
                rows += batch.num_rows();
                batches.push(batch);
            }
            Ok(Answer { batches, more: false })
        })
    }
}
