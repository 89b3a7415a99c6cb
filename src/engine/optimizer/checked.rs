//! Sums, differences, products and negations of integers that leave their type: an error, and no other number.
//!
//! DataFusion (up to 55.2) plans integer arithmetic that wraps: `SELECT count * 4611686018427387904` answers a number that is no
//! product. No SQL says that it shall not: the option `enable_ansi_mode` does, which DataFusion has and does not look at.

use crate::engine::function::{arithmetic, sum};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{AggregateFunction, BinaryExpr};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator, WindowFunctionDefinition};
use datafusion::optimizer::AnalyzerRule;
use std::sync::Arc;

/// The rule that puts functions which check in the place of operators and sums, where `datafusion.execution.enable_ansi_mode` is on.
/// It runs after the rule that makes both sides of an operator of one type, and before constants are computed.
#[derive(Debug)]
pub(in crate::engine) struct Checked;

impl AnalyzerRule for Checked {
    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
        if options.execution.enable_ansi_mode { Ok(plan.transform_up_with_subqueries(node)?.data) } else { Ok(plan) }
    }

    fn name(&self) -> &str {
        "checked"
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let checked = expr.transform_up(|expr| expression(expr, &schema))?;
        Ok(checked.update_data(|expr| name.restore(expr)))
    })
}

fn expression(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match arithmetic::function(op) {
            Some(function) if left.get_type(schema)?.is_integer() && right.get_type(schema)? == left.get_type(schema)? => {
                Ok(Transformed::yes(function.call(vec![*left, *right])))
            }
            _ => Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
        },
        Expr::Negative(inner) => {
            let of = inner.get_type(schema)?;
            match arithmetic::function(Operator::Minus) {
                Some(function) if of.is_integer() => {
                    Ok(Transformed::yes(function.call(vec![Expr::Literal(ScalarValue::new_zero(&of)?, None), *inner])))
                }
                _ => Ok(Transformed::no(Expr::Negative(inner))),
            }
        }
        Expr::AggregateFunction(AggregateFunction { func, params }) if func.name() == "sum" => {
            let func = if adds(&params.args, schema)? { Arc::new(sum::checked_sum()) } else { func };
            Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params })))
        }
        Expr::WindowFunction(mut window) if window.fun.name() == "sum" && adds(&window.params.args, schema)? => {
            window.fun = WindowFunctionDefinition::AggregateUDF(Arc::new(sum::checked_sum()));
            Ok(Transformed::yes(Expr::WindowFunction(window)))
        }
        expr => Ok(Transformed::no(expr)),
    }
}

fn adds(args: &[Expr], schema: &DFSchema) -> Result<bool> {
    Ok(match args.first() {
        Some(values) => sum::adds(&values.get_type(schema)?),
        None => false,
    })
}
