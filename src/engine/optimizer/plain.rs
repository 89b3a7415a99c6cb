//! Rows about which nothing is known, below what puts NULL into columns: GROUPING SETS, CUBE, ROLLUP and outer joins.
//!
//! The engine goes on to take for constant, or for sorted, what was so before (DataFusion up to 55.2): `SELECT outcome, lane,
//! count(*) FROM results WHERE lane = 0 GROUP BY CUBE (outcome, lane) ORDER BY lane NULLS FIRST` came without an order, and so
//! did `... LEFT JOIN (SELECT op_id, lane FROM results WHERE lane = 0) b ... ORDER BY b.lane`. So what is known of such an input stays
//! behind a node that passes rows on as they come.

use crate::engine::node::{over_one_input, unknown};
use datafusion::common::JoinType;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
#[cfg(feature = "cluster")]
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, replace_children_if_necessary};
use std::fmt;
use std::sync::Arc;

/// The rule that puts such nodes in.
#[derive(Debug)]
pub(in crate::engine) struct Forget;

impl PhysicalOptimizerRule for Forget {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let done = plan.transform_up(|node| {
            let filled = filled(&node);
            if filled == [false; 2] {
                return Ok(Transformed::no(node));
            }
            let input = |(input, fills): (&Arc<dyn ExecutionPlan>, bool)| -> Arc<dyn ExecutionPlan> {
                if fills { Arc::new(Plain::new(Arc::clone(input))) } else { Arc::clone(input) }
            };
            let inputs = node.children().into_iter().zip(filled).map(input).collect();
            Ok(Transformed::yes(replace_children_if_necessary(Arc::clone(&node), inputs)?))
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

/// The rule that has each window function sort its input itself, for plans that go to a cluster.
///
/// Between two stages of such a plan nothing is known of an order, and a window function that relied on one fails. And what is in the
/// reverse order is computed by the reversed function, which is not written down: `lag` comes out as `lag`, and its rows are wrong
/// (DataFusion up to 55.2, `WindowUDFExpr::is_reversed`).
#[cfg(feature = "cluster")]
#[derive(Debug)]
pub(in crate::engine) struct SortedAnew;

#[cfg(feature = "cluster")]
impl PhysicalOptimizerRule for SortedAnew {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let done = plan.transform_up(|node| {
            let window = node.is::<WindowAggExec>() || node.is::<BoundedWindowAggExec>();
            let inputs: Vec<_> = node.children().into_iter().cloned().collect();
            match inputs.as_slice() {
                [input] if window && !input.is::<Plain>() => {
                    let plain = Arc::new(Plain::new(Arc::clone(input))) as Arc<dyn ExecutionPlan>;
                    Ok(Transformed::yes(replace_children_if_necessary(Arc::clone(&node), vec![plain])?))
                }
                _ => Ok(Transformed::no(node)),
            }
        })?;
        Ok(done.data)
    }

    fn name(&self) -> &str {
        "SortedAnew"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The inputs of a node into whose columns it may put NULL, though something is known of them that is not so then.
fn filled(node: &Arc<dyn ExecutionPlan>) -> [bool; 2] {
    if let Some(sets) = node.downcast_ref::<AggregateExec>() {
        return [sets.group_expr().has_grouping_set(), false];
    }
    let join = node.downcast_ref::<HashJoinExec>().map(|join| join.join_type());
    let join = join.or_else(|| node.downcast_ref::<SortMergeJoinExec>().map(|join| &join.join_type));
    let join = join.or_else(|| node.downcast_ref::<NestedLoopJoinExec>().map(|join| join.join_type()));
    let sides = match join {
        Some(JoinType::Left) => [false, true],
        Some(JoinType::Right) => [true, false],
        Some(JoinType::Full) => [true, true],
        _ => return [false; 2],
    };
    let constant = |input: &Arc<dyn ExecutionPlan>| !input.properties().equivalence_properties().constants().is_empty();
    let inputs = node.children();
    [0, 1].map(|side| sides[side] && inputs.get(side).is_some_and(|input| constant(input)))
}

/// Plan node that passes on the rows of its input and promises neither constants nor an order of them.
#[derive(Debug)]
pub(in crate::engine) struct Plain {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl Plain {
    /// A node over this input.
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Plain {
        let properties = unknown(input.schema(), input.properties().output_partitioning().partition_count());
        Plain { input, properties: Arc::new(properties) }
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Plain> {
        Ok(Plain::new(input))
    }
}

impl DisplayAs for Plain {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain")
    }
}

impl ExecutionPlan for Plain {
    over_one_input!("Plain");

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}
