//! Tables that SQL statements create: they are held in memory, and counted against the engine's memory limit.

use anyhow::{Context, Result, ensure};
use datafusion::catalog::MemTable;
use datafusion::common::TableReference;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::provider_as_source;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::{DdlStatement, LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// The memory reservation of each table that a statement created.
#[derive(Default)]
pub(super) struct Made(Mutex<HashMap<TableReference, MemoryReservation>>);

impl Made {
    /// Runs the query of a CREATE TABLE ... AS and puts its rows in place of the query, reserving memory batch by
    /// batch: DataFusion itself would gather all rows before it looks at a limit. Any other plan is returned as it is.
    ///
    /// # Errors
    /// When the table exists already, the query fails, or its rows take more memory than is left.
    pub async fn gather(&self, plan: LogicalPlan, ctx: &SessionContext) -> Result<LogicalPlan> {
        self.forget(|table| ctx.table_exist(table.clone()).unwrap_or(true));
        let LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(mut made)) = plan else { return Ok(plan) };
        let taken = ctx.table_exist(made.name.clone())?;
        ensure!(made.if_not_exists || made.or_replace || !taken, "there is a table {} already", made.name);
        if !(made.if_not_exists && taken) {
            let frame = DataFrame::new(ctx.state(), Arc::unwrap_or_clone(made.input));
            let schema = Arc::clone(frame.schema().inner());
            let held = MemoryConsumer::new(format!("table {}", made.name)).register(&ctx.runtime_env().memory_pool);
            let mut rows = frame.execute_stream().await?;
            let mut batches = Vec::new();
            while let Some(batch) = rows.next().await.transpose()? {
                let grown = held.try_grow(batch.get_array_memory_size());
                grown.with_context(|| format!("the table {} takes more than is left of --memory", made.name))?;
                batches.push(batch);
            }
            let table = provider_as_source(Arc::new(MemTable::try_new(schema, vec![batches])?));
            made.input = Arc::new(LogicalPlanBuilder::scan(made.name.clone(), table, None)?.build()?);
            self.hold(made.name.clone(), held);
        }
        Ok(LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(made)))
    }

    fn hold(&self, table: TableReference, held: MemoryReservation) {
        if let Ok(mut made) = self.0.lock() {
            made.insert(table, held);
        }
    }

    /// Releases the reservations of tables that no longer exist.
    fn forget(&self, stands: impl Fn(&TableReference) -> bool) {
        if let Ok(mut made) = self.0.lock() {
            made.retain(|table, _| stands(table));
        }
    }
}
