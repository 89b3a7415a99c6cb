//! Hides limits with an OFFSET from the optimizer rule that moves sorts.
//!
//! EnsureRequirements moves a sort below a limit and has the sort give as many rows as the limit, even where the limit
//! skips some rows first (DataFusion up to 55.2): `SELECT * FROM (SELECT seq, reason FROM fates ORDER BY seq LIMIT 6
//! OFFSET 5) ORDER BY seq, reason` gave one row. So while that rule runs, such a limit is a node that no sort is moved
//! past, and whose output has no order.

use crate::engine::node::{over_one_input, unknown};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, LexOrdering, OrderingRequirements, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, PlanProperties, replace_children_if_necessary,
};
use std::fmt;
use std::sync::Arc;

/// An optimizer rule that is run while limits with an OFFSET are hidden from it.
#[derive(Debug)]
pub(in crate::engine) struct Blind(pub Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for Blind {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, options: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        show(self.0.optimize(hide(plan)?, options)?)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Hides the limits with an OFFSET of a plan.
///
/// # Errors
/// When a node does not take another input.
pub(in crate::engine) fn hide(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let hidden = plan.transform_up(|node| {
        Ok(match node.downcast_ref::<GlobalLimitExec>().filter(|limit| limit.skip() > 0) {
            Some(limit) => Transformed::yes(Hidden::below_projections(limit, Arc::clone(limit.input()))?),
            None => Transformed::no(node),
        })
    })?;
    Ok(hidden.data)
}

/// Puts the hidden limits of a plan back.
///
/// # Errors
/// When a node does not take another input.
pub(in crate::engine) fn show(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let shown = plan.transform_up(|node| {
        Ok(match node.downcast_ref::<Hidden>() {
            Some(hidden) => Transformed::yes(hidden.limit(Arc::clone(&hidden.input))),
            None => Transformed::no(node),
        })
    })?;
    Ok(shown.data)
}

/// Stand-in for a limit with an OFFSET while the rule runs; it is never executed.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Hidden {
    input: Arc<dyn ExecutionPlan>,
    /// Number of rows that are skipped.
    pub skip: usize,
    /// Number of rows that come then, at most.
    pub fetch: Option<usize>,
    /// The order that the limit's input must have, so that the same rows are skipped.
    pub order: Option<LexOrdering>,
    properties: Arc<PlanProperties>,
}

impl Hidden {
    /// Replaces the limit by a hidden one, below the projections in its input: a projection may drop the columns that
    /// rows are sorted by, and works on any rows.
    fn below_projections(limit: &GlobalLimitExec, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        match input.downcast_ref::<ProjectionExec>() {
            Some(projection) => {
                let below = Hidden::below_projections(limit, Arc::clone(projection.input()))?;
                replace_children_if_necessary(Arc::clone(&input), vec![below])
            }
            None => Ok(Arc::new(Hidden::new(limit, input))),
        }
    }

    fn new(limit: &GlobalLimitExec, input: Arc<dyn ExecutionPlan>) -> Hidden {
        let order = order(&input);
        Hidden::of(input, limit.skip(), limit.fetch(), order)
    }

    /// Stands for a limit that skips rows of an input which must be in this order.
    pub fn of(input: Arc<dyn ExecutionPlan>, skip: usize, fetch: Option<usize>, order: Option<LexOrdering>) -> Hidden {
        let properties = unknown(input.schema(), 1);
        Hidden { input, skip, fetch, order, properties: Arc::new(properties) }
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Hidden> {
        Ok(Hidden { input, ..self.clone() })
    }

    fn limit(&self, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let mut limit = GlobalLimitExec::new(input, self.skip, self.fetch);
        limit.set_required_ordering(self.order.clone());
        Arc::new(limit)
    }
}

/// The order of a plan's output where a sort makes it; `None` where there is none or a window function only promises
/// it.
fn order(plan: &Arc<dyn ExecutionPlan>) -> Option<LexOrdering> {
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        return Some(sort.expr().clone());
    }
    match plan.children().as_slice() {
        [input] if plan.maintains_input_order() == [true] && plan.schema() == input.schema() => order(input),
        // A window function states the order that its rows will have once its input is sorted, which it is not yet.
        _ => plan.properties().output_ordering().filter(|_| !windowed(plan)).cloned(),
    }
}

fn windowed(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<WindowAggExec>() || plan.is::<BoundedWindowAggExec>() || plan.children().iter().any(|input| windowed(input))
}

impl DisplayAs for Hidden {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hidden: skip={}, fetch={:?}", self.skip, self.fetch)
    }
}

impl ExecutionPlan for Hidden {
    over_one_input!("Hidden");

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.order.clone().map(OrderingRequirements::from)]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        internal_err!("a limit was left out of sight")
    }
}
