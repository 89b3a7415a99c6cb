//! A Parquet file as a table. It is read through the descriptor that was checked, whatever its path leads to by now.

#[cfg(feature = "cluster")]
use super::cluster;
use crate::process::panics;
use crate::schema::Table;
use crate::schema::check::{Checked, Parquet};
use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
#[cfg(feature = "cluster")]
use datafusion::common::DataFusionError;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::{DFParquetMetadata, ordering_from_parquet_metadata};
use datafusion::datasource::physical_plan::parquet::transform_schema_to_view;
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetFileMetrics, ParquetFileReaderFactory, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet};
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
#[cfg(feature = "cluster")]
use std::path::PathBuf;
use std::sync::Arc;

/// How text columns of a Parquet table are decoded: copied, or as views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Texts {
    /// As strings of their own, copied out of the Parquet pages.
    Whole,
    /// As views into the decoded Parquet pages, which they keep in memory.
    Views,
}

/// A table that is one Parquet file, opened and checked.
#[derive(Debug)]
pub(super) struct Stored {
    schema: SchemaRef,
    /// What DataFusion is told of the file: its path for display, its size, statistics and sort order.
    file: PartitionedFile,
    opened: Arc<Opened>,
    /// Its path, or URL, as it was named.
    #[cfg(feature = "cluster")]
    path: PathBuf,
}

impl Stored {
    /// The table in a checked file; `path` is used for display and messages only.
    ///
    /// # Errors
    /// When its schema or statistics cannot be decoded.
    pub fn new(path: &Path, file: Checked, texts: Texts) -> anyhow::Result<Stored> {
        let contents = &file.contents;
        // Decoding of hostile metadata may panic inside the library.
        let (schema, statistics, order) = panics::contain(|| {
            let arrow = ArrowReaderMetadata::try_new(Arc::clone(contents), ArrowReaderOptions::new())?;
            let bare = |field: &Arc<Field>| field.as_ref().clone().with_metadata(HashMap::new());
            let mut fields: Vec<Field> = arrow.schema().fields().iter().map(bare).collect();
            // Captures of earlier versions lack columns: there is no value in them.
            let table = path.file_stem().and_then(|stem| stem.to_str()).and_then(Table::parse);
            for column in table.map(Table::columns).unwrap_or_default().iter().filter(|column| column.later()) {
                if fields.iter().all(|field| field.name() != column.name) {
                    fields.push(Field::new(column.name, column.ty.arrow(), true));
                }
            }
            let schema = Schema::new(fields);
            let schema = Arc::new(if texts == Texts::Views { transform_schema_to_view(&schema) } else { schema });
            let statistics = DFParquetMetadata::statistics_from_parquet_metadata(contents, &schema)?;
            // Of an object in a store nobody has looked whether its rows are in the order that it claims.
            let order = match file.file.local() {
                Some(_) => ordering_from_parquet_metadata(contents, &schema)?,
                None => None,
            };
            Ok((schema, statistics, order))
        })
        .with_context(|| format!("{} is damaged", path.display()))?;
        let known = PartitionedFile::new(path.to_string_lossy(), file.file.len());
        let known = known.with_statistics(Arc::new(statistics)).with_ordering(order);
        Ok(Stored {
            schema,
            file: known,
            opened: Arc::new(Opened(file)),
            #[cfg(feature = "cluster")]
            path: path.to_owned(),
        })
    }

    /// The order of its rows, if it claims one that was checked.
    pub fn order(&self) -> Option<&LexOrdering> {
        self.file.ordering.as_ref()
    }

    /// What its footer says of its rows.
    pub fn statistics(&self) -> Option<&Statistics> {
        self.file.statistics.as_deref()
    }

    /// The file as DataFusion is told of it, with the reader of it.
    pub fn part(&self) -> (PartitionedFile, Checked) {
        (self.file.clone(), self.opened.0.clone())
    }

    /// The store that the file is in, and the file as a plan names it: for a cluster, whose machines find it by that name.
    #[cfg(feature = "cluster")]
    fn named(&self, session: &dyn Session) -> Result<(ObjectStoreUrl, PartitionedFile)> {
        let mut file = self.file.clone();
        if !cluster::computes(session.config()) {
            return Ok((ObjectStoreUrl::local_filesystem(), file));
        }
        let (url, location) = cluster::located(&self.path).map_err(|error| DataFusionError::External(error.into()))?;
        file.object_meta.location = location;
        Ok((url, file))
    }

    #[cfg(not(feature = "cluster"))]
    fn named(&self, _: &dyn Session) -> Result<(ObjectStoreUrl, PartitionedFile)> {
        Ok((ObjectStoreUrl::local_filesystem(), self.file.clone()))
    }
}

#[async_trait]
impl TableProvider for Stored {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters are used to skip row groups and pages only (`Inexact`): DataFusion applies them again to the rows.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (url, file) = self.named(session)?;
        let factory = Arc::clone(&self.opened) as Arc<dyn ParquetFileReaderFactory>;
        let source = ParquetSource::new(Arc::clone(&self.schema)).with_parquet_file_reader_factory(factory);
        let mut scan = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file(file)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_output_ordering(self.file.ordering.iter().cloned().collect());
        if let Some(statistics) = &self.file.statistics {
            scan = scan.with_statistics(statistics.as_ref().clone());
        }
        Ok(DataSourceExec::from_data_source(scan.build()))
    }
}

/// Makes readers of one open Parquet file, for DataFusion.
#[derive(Debug)]
pub(super) struct Opened(pub Checked);

impl ParquetFileReaderFactory for Opened {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        _: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let scanned = ParquetFileMetrics::new(partition, file.path().as_ref(), metrics).bytes_scanned;
        Ok(Box::new(Reading { file: self.0.clone(), scanned }))
    }
}

/// Reads one open Parquet file.
pub(super) struct Reading {
    pub file: Checked,
    /// Bytes that were asked for.
    pub scanned: Count,
}

type Read<T> = parquet::errors::Result<T>;

impl AsyncFileReader for Reading {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Read<Bytes>> {
        self.scanned.add(length(&range));
        let file = self.file.file.clone();
        Box::pin(aside(move || file.get_bytes(range.start, length(&range))))
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Read<Vec<Bytes>>> {
        self.scanned.add(ranges.iter().map(length).sum());
        let file: Parquet = self.file.file.clone();
        Box::pin(aside(move || file.ranges(ranges)))
    }

    fn get_metadata<'a>(&'a mut self, _: Option<&'a ArrowReaderOptions>) -> BoxFuture<'a, Read<Arc<ParquetMetaData>>> {
        Box::pin(async { Ok(Arc::clone(&self.file.contents)) })
    }
}

fn length(range: &Range<u64>) -> usize {
    usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
}

/// Runs a read on tokio's threads for blocking work, so that waiting for a disk does not hold up queries.
async fn aside<T: Send + 'static>(read: impl FnOnce() -> Read<T> + Send + 'static) -> Read<T> {
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(ParquetError::External(Box::new(error))))
}
