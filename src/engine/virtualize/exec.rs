//! The plan node: one stream, ordered by `seq`, through the walk.

use super::walk::{Facts, Walk};
use crate::model::Config;
use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, plan_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, Partitioning, PlanProperties,
};
use futures::{StreamExt, TryStreamExt, stream};
use std::fmt;
use std::sync::Arc;

/// Runs the model over its input.
#[derive(Debug)]
pub struct VirtualizeExec {
    input: Arc<dyn ExecutionPlan>,
    places: Config,
    by_seq: LexOrdering,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl VirtualizeExec {
    /// A node that makes batches of `schema`.
    ///
    /// # Errors
    /// When the input has no `seq`.
    pub fn new(input: Arc<dyn ExecutionPlan>, schema: SchemaRef, places: Config) -> Result<VirtualizeExec> {
        let by_seq = ascending("seq", &input.schema())?;
        let by_seq = LexOrdering::new([by_seq]).ok_or_else(|| plan_datafusion_err!("seq orders nothing"))?;
        // Both hold: inserted rows repeat the seq of their cause, facts come last without one.
        let kept = ["seq", "pos"].iter().filter(|name| schema.index_of(name).is_ok());
        let kept = kept.map(|name| Ok([ascending(name, &schema)?])).collect::<Result<Vec<_>>>()?;
        let equivalence = EquivalenceProperties::new_with_orderings(schema, kept);
        let one = Partitioning::UnknownPartitioning(1);
        let properties = PlanProperties::new(equivalence, one, EmissionType::Incremental, Boundedness::Bounded);
        Ok(VirtualizeExec { input, places, by_seq, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() })
    }
}

fn ascending(name: &str, schema: &SchemaRef) -> Result<PhysicalSortExpr> {
    Ok(PhysicalSortExpr::new(col(name, schema)?, SortOptions { descending: false, nulls_first: false }))
}

impl DisplayAs for VirtualizeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VirtualizeExec")
    }
}

impl ExecutionPlan for VirtualizeExec {
    fn name(&self) -> &str {
        "VirtualizeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::from(self.by_seq.clone()))]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop() else { return Ok(self) };
        Ok(Arc::new(VirtualizeExec::new(input, self.schema(), self.places.clone())?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let walk = Walk::new(self.places.clone(), &self.input.schema(), Arc::clone(&schema))?;
        let empty = RecordBatch::new_empty(self.input.schema());
        let start = State::Walking(Box::new(walk), self.input.execute(partition, context)?, empty);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = stream::try_unfold(start, move |state| {
            let metrics = metrics.clone();
            async move { state.next(&metrics).await }
        });
        let batches = batches.try_filter(|batch| std::future::ready(batch.num_rows() > 0));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// How far the walk is.
enum State {
    /// Events come in; an empty batch of their schema is kept for the end.
    Walking(Box<Walk>, SendableRecordBatchStream, RecordBatch),
    /// The events have ended, the facts go out.
    Ending(Box<Facts>),
}

impl State {
    async fn next(self, metrics: &BaselineMetrics) -> Result<Option<(RecordBatch, State)>> {
        let mut facts = match self {
            State::Walking(mut walk, mut input, empty) => match input.next().await.transpose()? {
                Some(batch) => {
                    let _time = metrics.elapsed_compute().timer();
                    let batch = walk.step(&batch)?;
                    metrics.record_output(batch.num_rows());
                    return Ok(Some((batch, State::Walking(walk, input, empty))));
                }
                None => Box::new(walk.finish(&empty)?),
            },
            State::Ending(facts) => facts,
        };
        let batch = facts.next()?;
        metrics.record_output(batch.as_ref().map_or(0, RecordBatch::num_rows));
        Ok(batch.map(|batch| (batch, State::Ending(facts))))
    }
}
