//! A relation that is computed once while several queries read it.
//!
//! Writing it to a file and reading that file for each query would cost more than computing it. Each place (table scan)
//! where a planned query reads the relation has a queue of its own and gets every batch as it is made; batches are
//! shared, not copied. The slowest reader holds up the others, so a query must not wait for the end of one of its
//! places before it reads the next: [`Tee::scans`] tells how many a query has.

use crate::engine::Engine;
use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::exec_datafusion_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::dataframe::DataFrame;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, TableType, ident};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::common::spawn_buffered;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::channel::mpsc::{Receiver, Sender, channel};
use futures::future::{try_join, try_join_all};
use futures::{SinkExt, StreamExt, stream};
use std::sync::{Arc, Mutex, PoisonError};

/// Batches of a relation that may wait in the queue of one reader, beside the one that a sender may always add.
const AHEAD: usize = 0;

/// A relation that is computed once and streamed to all queries that read it.
pub struct Tee {
    name: &'static str,
    rows: DataFrame,
    source: Arc<Source>,
}

impl Tee {
    /// Registers relation `name` with these rows, which come sorted by columns `by`, ascending.
    ///
    /// # Errors
    /// When DataFusion does not accept the table.
    pub fn new(engine: &Engine, name: &'static str, rows: DataFrame, by: Vec<String>) -> Result<Tee> {
        let schema = Arc::clone(rows.schema().inner());
        let source = Arc::new(Source { schema, by, readers: Mutex::default() });
        engine.ctx().deregister_table(name)?;
        engine.ctx().register_table(name, Arc::clone(&source) as Arc<dyn TableProvider>)?;
        Ok(Tee { name, rows, source })
    }

    /// Number of places (table scans) in which a query reads the relation, subqueries included.
    ///
    /// # Errors
    /// When the plan cannot be read.
    pub fn scans(&self, query: &LogicalPlan) -> Result<usize> {
        let mut scans = 0;
        query.apply_with_subqueries(|node| {
            scans += usize::from(matches!(node, LogicalPlan::TableScan(scan) if scan.table_name.table() == self.name));
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(scans)
    }

    /// The query that computes the relation, for a caller that writes it to a file instead.
    pub fn into_rows(self) -> DataFrame {
        self.rows
    }

    /// Computes the relation and sends each batch to every reader planned so far; `tick` is called with the number of
    /// rows of each batch. When it fails the readers see an early end.
    async fn pour(self, tick: impl Fn(u64) + Send) -> Result<()> {
        let mut readers = std::mem::take(&mut *self.source.readers());
        let mut rows = aside(self.rows.execute_stream().await?);
        while let Some(batch) = rows.next().await.transpose()? {
            tick(batch.num_rows() as u64);
            let mut left = Vec::with_capacity(readers.len());
            for mut reader in readers {
                // A reader that has dropped its queue wants no more rows.
                if reader.send(batch.clone()).await.is_ok() {
                    left.push(reader);
                }
            }
            readers = left;
        }
        Ok(())
    }
}

/// These rows, computed beside whoever takes them: one batch ahead.
pub fn aside(rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    spawn_buffered(rows, 1)
}

/// Runs these readers while the relation is computed, if there is a `tee`; `tick` is called with the number of its rows
/// as they are made.
///
/// # Errors
/// The first failure of any of them; the others are stopped.
pub async fn together<T>(
    readers: Vec<impl Future<Output = Result<T>>>,
    tee: Option<Tee>,
    tick: impl Fn(u64) + Send,
) -> Result<Vec<T>> {
    let pour = async {
        match tee {
            Some(tee) => tee.pour(tick).await,
            None => Ok(()),
        }
    };
    let ((), made) = try_join(pour, try_join_all(readers)).await?;
    Ok(made)
}

/// The table that stands for the relation in queries: each scan of it adds a reader.
#[derive(Debug)]
struct Source {
    schema: SchemaRef,
    by: Vec<String>,
    readers: Mutex<Vec<Sender<RecordBatch>>>,
}

impl Source {
    fn readers(&self) -> std::sync::MutexGuard<'_, Vec<Sender<RecordBatch>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TableProvider for Source {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let (send, receive) = channel(AHEAD);
        self.readers().push(send);
        let reader = Arc::new(Reader { schema: Arc::clone(&self.schema), queue: Mutex::new(Some(receive)) });
        let table = StreamingTable::try_new(Arc::clone(&self.schema), vec![reader])?;
        let table = table.with_sort_order(self.by.iter().map(|by| ident(by).sort(true, false)).collect());
        table.scan(session, projection, filters, limit).await
    }
}

/// The receiving end of one place where a query reads the relation; it can be executed once.
#[derive(Debug)]
struct Reader {
    schema: SchemaRef,
    queue: Mutex<Option<Receiver<RecordBatch>>>,
}

impl PartitionStream for Reader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let schema = Arc::clone(&self.schema);
        match queue {
            Some(queue) => Box::pin(RecordBatchStreamAdapter::new(schema, queue.map(Ok))),
            None => {
                let error = exec_datafusion_err!("a relation that streams by was read twice: please report this");
                Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter([Err(error)])))
            }
        }
    }
}
