//! Rows for GROUPING SETS, CUBE and ROLLUP, about which nothing is known.
//!
//! Such an aggregation puts NULL into columns that it groups by, and the engine goes on to take for constant, or for sorted,
//! what was so before (DataFusion up to 55.2): `SELECT outcome, lane, count(*) FROM results WHERE lane = 0 GROUP BY CUBE
//! (outcome, lane) ORDER BY lane NULLS FIRST` came without an order. So what is known of its input stays behind a node that passes rows on
//! as they come.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, replace_children_if_necessary};
use std::fmt;
use std::sync::Arc;

/// The rule that puts such nodes in.
#[derive(Debug)]
pub(super) struct Forget;

impl PhysicalOptimizerRule for Forget {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let done = plan.transform_up(|node| match node.downcast_ref::<AggregateExec>() {
            Some(sets) if sets.group_expr().has_grouping_set() => {
                let plain: Arc<dyn ExecutionPlan> = Arc::new(Plain::new(Arc::clone(sets.input())));
                Ok(Transformed::yes(replace_children_if_necessary(Arc::clone(&node), vec![plain])?))
            }
            _ => Ok(Transformed::no(node)),
        })?;
        Ok(done.data)
    }

    fn name(&self) -> &str {
        "Forget"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Passes rows on.
#[derive(Debug)]
struct Plain {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl Plain {
    fn new(input: Arc<dyn ExecutionPlan>) -> Plain {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(input.properties().output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Plain { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for Plain {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain")
    }
}

impl ExecutionPlan for Plain {
    fn name(&self) -> &str {
        "Plain"
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

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(match children.pop() {
            Some(input) => Arc::new(Plain::new(input)),
            None => self,
        })
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}
