//! The same table of many hosts as one, whose partitions are hosts: what is computed for each host needs neither shuffle nor sort.
//!
//! Each file has the rows of one host, in order. Partitions are runs of hosts in the order of their names, and are declared as the
//! ranges of names that they are: a hash partition would be taken for one that a shuffle made, and joined with it.

#[cfg(feature = "cluster")]
use super::cluster;
use super::function::hosts::HOST;
use super::table::{Reading, Stored};
use crate::schema::check::Checked;
use async_trait::async_trait;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DataFusionError, Result, ScalarValue, SplitPoint, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, ParquetFileMetrics, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, Partitioning, PhysicalSortExpr, RangePartitioning};
#[cfg(feature = "cluster")]
use datafusion::physical_expr::{PhysicalExpr, expressions::Literal};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
#[cfg(feature = "cluster")]
use datafusion::physical_plan::{projection::ProjectionExec, union::UnionExec};
use parquet::arrow::async_reader::AsyncFileReader;
use std::sync::Arc;

/// Column that says which dataset a row is of.
const DATASET: &str = "dataset";

/// A table of several hosts: the rows of each, with a column that names its dataset before them.
#[derive(Debug)]
pub(super) struct Fleet {
    schema: SchemaRef,
    /// By name of the host.
    hosts: Vec<Host>,
    /// The rows of a file are by host, which is one, and then by this.
    order: LexOrdering,
}

/// The file of one host.
#[derive(Debug)]
struct Host {
    name: String,
    label: String,
    table: Stored,
}

/// The name of the host that all rows of a table are of, as its footer says. Of a name that was shortened there nothing is known.
fn host(table: &Stored) -> Option<String> {
    let at = table.schema().index_of(HOST).ok()?;
    let known = table.statistics()?.column_statistics.get(at)?;
    match (&known.null_count, &known.min_value, &known.max_value) {
        (Precision::Exact(0), Precision::Exact(least), Precision::Exact(greatest)) if least == greatest => {
            least.try_as_str().flatten().map(str::to_owned)
        }
        _ => None,
    }
}

impl Fleet {
    /// The table of these files, each with the label of its dataset; `None` when they are not alike, or it is not known that each has
    /// the rows of one host, another one in each, in an order that was checked.
    pub fn new(parts: Vec<(String, Stored)>) -> Option<Fleet> {
        let (_, first) = parts.first()?;
        let (schema, order) = (first.schema(), first.order()?.clone());
        let alike = |part: &Stored| part.schema() == schema && part.order() == Some(&order);
        let names: Vec<Option<String>> = parts.iter().map(|(_, part)| host(part)).collect();
        let mut known: Vec<&String> = names.iter().flatten().collect();
        known.sort();
        known.dedup();
        if known.len() < parts.len() || !parts.iter().all(|(_, part)| alike(part)) || schema.index_of(DATASET).is_ok() {
            return None;
        }
        let hosts = parts.into_iter().zip(names);
        let mut hosts: Vec<Host> = hosts.filter_map(|((label, table), name)| Some(Host { name: name?, label, table })).collect();
        hosts.sort_by(|a, b| a.name.cmp(&b.name));
        let fields = [Arc::new(dataset())].into_iter().chain(schema.fields().iter().cloned());
        Some(Fleet { schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())), hosts, order })
    }

    /// Runs of hosts of about as many bytes each, at most so many.
    fn groups(&self, most: usize) -> Vec<&[Host]> {
        let sizes: Vec<u64> = self.hosts.iter().map(|host| host.table.part().0.object_meta.size.max(1)).collect();
        let most = most.clamp(1, self.hosts.len());
        let (mut groups, mut from, mut left) = (Vec::new(), 0, sizes.iter().sum::<u64>());
        for group in 0..most {
            // Each of those that come later has one host at least.
            let last = self.hosts.len() - (most - group - 1);
            let share = left / (most - group) as u64;
            let (mut to, mut bytes) = (from + 1, sizes[from]);
            while to < last && (group + 1 == most || bytes + sizes[to] / 2 <= share) {
                bytes += sizes[to];
                to += 1;
            }
            groups.push(&self.hosts[from..to]);
            left -= bytes;
            from = to;
        }
        groups
    }

    /// The scan of each file by itself, one behind the other, for the machines of a cluster: they open files by their names.
    #[cfg(feature = "cluster")]
    async fn united(&self, session: &dyn Session, wanted: &[usize], limit: Option<usize>) -> Result<Arc<dyn ExecutionPlan>> {
        let mut all = Vec::new();
        for host in &self.hosts {
            let below: Vec<usize> = wanted.iter().filter_map(|at| at.checked_sub(1)).collect();
            let scan = host.table.scan(session, Some(&below), &[], limit).await?;
            let mut next = 0;
            let columns = wanted.iter().map(|at| -> Arc<dyn PhysicalExpr> {
                match at.checked_sub(1) {
                    None => Arc::new(Literal::new(ScalarValue::from(host.label.as_str()))),
                    Some(_) => {
                        next += 1;
                        Arc::new(Column::new(self.schema.field(*at).name(), next - 1))
                    }
                }
            });
            let columns = columns.zip(wanted).map(|(column, at)| (column, self.schema.field(*at).name().clone()));
            all.push(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), scan)?) as Arc<dyn ExecutionPlan>);
        }
        UnionExec::try_new(all)
    }
}

/// The files of some hosts, which are read one behind the other.
fn files(hosts: &[Host], schema: &SchemaRef) -> Result<FileGroup> {
    let files: Vec<PartitionedFile> = hosts.iter().map(Host::file).collect();
    let known = Statistics::try_merge_iter(files.iter().filter_map(|file| file.statistics.as_deref()), schema)?;
    Ok(FileGroup::new(files).with_statistics(Arc::new(known)))
}

fn dataset() -> Field {
    Field::new(DATASET, DataType::Utf8, false)
}

#[async_trait]
impl TableProvider for Fleet {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters are used to skip files, row groups and pages only (`Inexact`): DataFusion applies them again to the rows.
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
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        #[cfg(feature = "cluster")]
        if cluster::computes(session.config()) {
            return self.united(session, &wanted, limit).await;
        }
        let [first, ..] = self.hosts.as_slice() else {
            return Err(DataFusionError::Internal("a fleet has hosts".into()));
        };
        let inner = first.table.schema();
        let at = inner.index_of(HOST)?;
        let table = TableSchema::builder(Arc::clone(&inner)).with_table_partition_cols(vec![Arc::new(dataset())]).build();
        let by = PhysicalSortExpr::new(Arc::new(Column::new(HOST, at)), SortOptions { descending: false, nulls_first: false });
        let order = std::iter::once(by.clone()).chain(self.order.iter().cloned());
        let order: Vec<LexOrdering> = LexOrdering::new(order).into_iter().chain([self.order.clone()]).collect();
        let groups = self.groups(session.config().target_partitions());
        let splits = groups.iter().skip(1).map(|group| SplitPoint::new(vec![ScalarValue::from(group[0].name.as_str())]));
        let splits = splits.collect();
        let ranges = LexOrdering::new([by]).map(|by| RangePartitioning::try_new(by, splits)).transpose()?;
        let groups = groups.iter().map(|group| files(group, table.table_schema())).collect::<Result<Vec<_>>>()?;
        let known = groups.iter().filter_map(|group| group.file_statistics(None));
        let statistics = Statistics::try_merge_iter(known, table.table_schema())?;
        let factory = Arc::new(Readers) as Arc<dyn ParquetFileReaderFactory>;
        let source = ParquetSource::new(table).with_parquet_file_reader_factory(factory);
        // Column `dataset` comes behind those of the files there, and before them here.
        let moved = wanted.iter().map(|at| at.checked_sub(1).unwrap_or(inner.fields().len())).collect();
        let scan = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(Some(moved))?
            .with_limit(limit)
            .with_output_ordering(order)
            .with_output_partitioning(ranges.map(Partitioning::Range))
            .with_statistics(statistics);
        Ok(DataSourceExec::from_data_source(scan.build()))
    }
}

impl Host {
    /// The file as DataFusion is told of it; it carries its reader.
    fn file(&self) -> PartitionedFile {
        let (file, checked) = self.table.part();
        let (statistics, order) = (file.statistics.clone(), file.ordering.clone());
        let file = file.with_partition_values(vec![ScalarValue::from(self.label.as_str())]).with_ordering(order);
        let file = match statistics {
            Some(known) => file.with_statistics(known),
            None => file,
        };
        file.with_extension(checked)
    }
}

/// Makes readers of the open files that a scan has.
#[derive(Debug)]
struct Readers;

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        _: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let scanned = ParquetFileMetrics::new(partition, file.path().as_ref(), metrics).bytes_scanned;
        match file.extension::<Checked>() {
            Some(checked) => Ok(Box::new(Reading { file: checked.clone(), scanned })),
            None => Err(DataFusionError::Internal(format!("{} was not opened", file.path()))),
        }
    }
}
