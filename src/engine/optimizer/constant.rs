//! Filters that name no column, above aggregations that give a row for no rows.
//!
//! DataFusion (up to 55.2) moves such a filter below the aggregation: a predicate without columns has only columns that the
//! aggregation groups by. What is false for all rows then leaves one: `SELECT n FROM (SELECT 'a' AS d, count(*) AS n FROM t) WHERE
//! d = 'b'` gave a count of 0 for no row at all. It happens wherever a column is a constant, as `dataset` is in each part of a view
//! over several datasets.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use std::sync::Arc;

/// The rule PushDownFilter, which is not applied to such a filter.
#[derive(Debug)]
pub struct Kept(pub Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for Kept {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if stays(&plan) { Ok(Transformed::no(plan)) } else { self.0.rewrite(plan, config) }
    }
}

/// Does a filter, or a chain of them, say something without a column, and lie on an aggregation that gives a row for no rows: one
/// without groups, or with the empty set among its grouping sets?
fn stays(plan: &LogicalPlan) -> bool {
    let (mut node, mut constant) = (plan, false);
    while let LogicalPlan::Filter(filter) = node {
        constant |= split_conjunction(&filter.predicate).iter().any(|expr| expr.column_refs().is_empty());
        node = &filter.input;
    }
    match node {
        LogicalPlan::Aggregate(aggregate) => {
            let sets = aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)));
            constant && (aggregate.group_expr.is_empty() || sets)
        }
        _ => false,
    }
}
