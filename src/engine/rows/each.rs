//! Rows of a statement, one batch after the other.

use crate::engine::session::Engine;
use anyhow::Result;
use arrow::array::RecordBatch;
use futures::StreamExt;

impl Engine {
    /// Hands the batches of what a statement gives to `take`, in their order. Memory does not grow with their number.
    ///
    /// # Errors
    /// When the statement is wrong or fails, or `take` does.
    pub fn each(&self, sql: &str, mut take: impl FnMut(&RecordBatch) -> Result<()> + Send) -> Result<()> {
        let frame = self.sql(sql)?;
        self.block_on(async {
            let mut stream = frame.execute_stream().await?;
            while let Some(batch) = stream.next().await {
                take(&batch?)?;
            }
            Ok(())
        })
    }
}
