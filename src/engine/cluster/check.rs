//! Which plans are run on a cluster: any client may submit any plan.
//!
//! What is not on the list is refused: nodes that write files, that read anything but Parquet files and rows that the plan itself
//! brings, and nodes that nobody knows. Functions are found by name among those of the session, none of which reads or writes
//! anything. An executor opens files below its own prefixes only ([`super::scan`]), whatever a plan says.

use crate::engine::function::exec::FunctionExec;
use crate::engine::optimizer::plain::Plain;
use crate::engine::optimizer::skip::Hidden;
use ballista_core::execution_plans::{ShuffleReaderExec, ShuffleWriter, ShuffleWriterExec, SortShuffleWriterExec};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, plan_err};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileScanConfig, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use std::sync::Arc;

/// Who checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The scheduler, a plan that a client submits.
    Scheduler,
    /// An executor, a part of it that the scheduler cut out, between files that executors hand each other.
    Executor,
}

/// Checks each node of a plan.
///
/// # Errors
/// When one is not on the list; it is named.
pub fn check(plan: &Arc<dyn ExecutionPlan>, side: Side) -> Result<()> {
    plan.apply(|node| {
        let allowed = computes(node) || scans(node) || (side == Side::Executor && exchanges(node));
        match allowed {
            true => Ok(TreeNodeRecursion::Continue),
            false => plan_err!("a plan with the node {} is not run here", node.name()),
        }
    })
    .map(drop)
}

/// Does this node only compute rows from those of its inputs, or from nothing?
fn computes(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.is::<ProjectionExec>()
        || node.is::<FilterExec>()
        || node.is::<AggregateExec>()
        || node.is::<HashJoinExec>()
        || node.is::<SortMergeJoinExec>()
        || node.is::<NestedLoopJoinExec>()
        || node.is::<CrossJoinExec>()
        || node.is::<SortExec>()
        || node.is::<SortPreservingMergeExec>()
        || node.is::<CoalescePartitionsExec>()
        || node.is::<RepartitionExec>()
        || node.is::<GlobalLimitExec>()
        || node.is::<LocalLimitExec>()
        || node.is::<UnionExec>()
        || node.is::<InterleaveExec>()
        || node.is::<WindowAggExec>()
        || node.is::<BoundedWindowAggExec>()
        || node.is::<UnnestExec>()
        || node.is::<EmptyExec>()
        || node.is::<PlaceholderRowExec>()
        || node.is::<CooperativeExec>()
        || node.is::<LazyMemoryExec>()
        || node.is::<FunctionExec>()
        || node.is::<Plain>()
        || node.is::<Hidden>()
}

/// Does this node read Parquet files, or rows that the plan brings?
fn scans(node: &Arc<dyn ExecutionPlan>) -> bool {
    let Some(scan) = node.downcast_ref::<DataSourceExec>() else { return false };
    let source = scan.data_source();
    source.is::<MemorySourceConfig>()
        || source.downcast_ref::<FileScanConfig>().is_some_and(|files| files.file_source().is::<ParquetSource>())
}

/// Does this node read or write files that executors hand each other, in the directory of a job?
fn exchanges(node: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(reader) = node.downcast_ref::<ShuffleReaderExec>() {
        return reader.partition.iter().flatten().all(|from| is_job(from.partition_id.job_id.as_str()));
    }
    let job = node.downcast_ref::<ShuffleWriterExec>().map(ShuffleWriter::job_id);
    let job = job.or_else(|| node.downcast_ref::<SortShuffleWriterExec>().map(ShuffleWriter::job_id));
    job.is_some_and(|job| is_job(job.as_str()))
}

/// Is this the name of a job, and so of a directory? It leads nowhere else.
pub fn is_job(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
