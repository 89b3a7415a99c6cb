//! DISTINCT ON with a column twice in ORDER BY: the second says nothing, and the engine, which counts it, panics (DataFusion up to
//! 55.2).

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Distinct, DistinctOn, LogicalPlan, SortExpr};

/// A plan in which such an order names each column once.
pub(in crate::engine) fn once(plan: LogicalPlan) -> Result<LogicalPlan> {
    let done = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Distinct(Distinct::On(mut on)) => {
            let Some(order) = on.sort_expr.take() else { return Ok(Transformed::no(LogicalPlan::Distinct(Distinct::On(on)))) };
            let mut kept: Vec<SortExpr> = Vec::new();
            for sort in order {
                if kept.iter().all(|known| known.expr != sort.expr) {
                    kept.push(sort);
                }
            }
            let DistinctOn { on_expr, select_expr, input, .. } = on;
            let on = DistinctOn::try_new(on_expr, select_expr, Some(kept), input)?;
            Ok(Transformed::yes(LogicalPlan::Distinct(Distinct::On(on))))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(done.data)
}
