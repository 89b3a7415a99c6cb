//! Sums, differences and products of integers that leave 64 bits: an error, and no other number.
//!
//! DataFusion (up to 55.2) plans integer arithmetic that wraps: `SELECT count * 4611686018427387904` answers a number that is no
//! product. Its operators can do without (`fail_on_overflow`), and no SQL says so: the option `enable_ansi_mode` does, which the
//! engine of DataFusion has and does not look at.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::BinaryExpr;
use datafusion::physical_expr::{PhysicalExpr, aggregate::AggregateFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, PhysicalGroupBy};
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use std::sync::Arc;

/// The rule that makes arithmetic fail on overflow where `datafusion.execution.enable_ansi_mode` is on, in columns,
/// conditions and what is grouped and aggregated; not in window functions, orders and filters of joins. It runs before the rules that
/// move expressions into other nodes.
#[derive(Debug)]
pub(in crate::engine) struct Checked;

impl PhysicalOptimizerRule for Checked {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, options: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if options.execution.enable_ansi_mode { checked(plan) } else { Ok(plan) }
    }

    fn name(&self) -> &str {
        "Checked"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The plan with checked arithmetic. A plan that was sent has lost it.
///
/// # Errors
/// When DataFusion cannot make a node anew.
pub(in crate::engine) fn checked(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(plan.transform_up(node)?.data)
}

/// The node with checked arithmetic.
fn node(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let new: Option<Arc<dyn ExecutionPlan>> = if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
        let mut any = false;
        let exprs = projection.expr().iter().map(|old| {
            let expr = expression(&old.expr, &mut any)?;
            Ok(ProjectionExpr { expr, alias: old.alias.clone() })
        });
        let exprs = exprs.collect::<Result<Vec<_>>>()?;
        if any { Some(Arc::new(ProjectionExec::try_new(exprs, Arc::clone(projection.input()))?)) } else { None }
    } else if let Some(filter) = node.downcast_ref::<FilterExec>() {
        let mut any = false;
        let predicate = expression(filter.predicate(), &mut any)?;
        if any { Some(Arc::new(FilterExecBuilder::from(filter).with_predicate(predicate).build()?)) } else { None }
    } else if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        aggregated(aggregate)?
    } else {
        None
    };
    Ok(new.map_or_else(|| Transformed::no(node), Transformed::yes))
}

/// An aggregation with checked arithmetic; nothing where it has none.
fn aggregated(node: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let mut any = false;
    let mut keys = |keys: &[(Arc<dyn PhysicalExpr>, String)]| {
        keys.iter().map(|(key, name)| Ok((expression(key, &mut any)?, name.clone()))).collect::<Result<Vec<_>>>()
    };
    let old = node.group_expr();
    let groups = PhysicalGroupBy::new(keys(old.expr())?, keys(old.null_expr())?, old.groups().to_vec(), old.has_grouping_set());
    let functions = node.aggr_expr().iter().map(|function| argument(function, &mut any)).collect::<Result<Vec<_>>>()?;
    let filters = node.filter_expr().iter().map(|filter| filter.as_ref().map(|filter| expression(filter, &mut any)).transpose());
    let filters = filters.collect::<Result<Vec<_>>>()?;
    if !any {
        return Ok(None);
    }
    let input = Arc::clone(node.input());
    Ok(Some(Arc::new(AggregateExec::try_new(*node.mode(), groups, functions, filters, input, node.input_schema())?)))
}

/// An aggregate function over checked arguments.
fn argument(function: &Arc<AggregateFunctionExpr>, any: &mut bool) -> Result<Arc<AggregateFunctionExpr>> {
    let mut own = false;
    let arguments = function.expressions().iter().map(|expr| expression(expr, &mut own)).collect::<Result<Vec<_>>>()?;
    let orders = function.order_bys().iter().map(|order| expression(&order.expr, &mut own)).collect::<Result<Vec<_>>>()?;
    // A function that cannot take others keeps its own.
    let new = if own { function.with_new_expressions(arguments, orders) } else { None };
    *any |= new.is_some();
    Ok(new.map_or_else(|| Arc::clone(function), Arc::new))
}

/// An expression with checked arithmetic; `any` is set where it had some that was not.
fn expression(expr: &Arc<dyn PhysicalExpr>, any: &mut bool) -> Result<Arc<dyn PhysicalExpr>> {
    let done = Arc::clone(expr).transform_up(|expr| {
        let Some(binary) = expr.downcast_ref::<BinaryExpr>() else { return Ok(Transformed::no(expr)) };
        match binary.op() {
            Operator::Plus | Operator::Minus | Operator::Multiply => {
                Ok(Transformed::yes(Arc::new(binary.clone().with_fail_on_overflow(true))))
            }
            _ => Ok(Transformed::no(expr)),
        }
    })?;
    *any |= done.transformed;
    Ok(done.data)
}
