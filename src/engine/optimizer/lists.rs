//! Lists of IN that share nothing, before the engine takes NULL for true or false.
//!
//! `x NOT IN (1) OR x NOT IN (2)` is true of every x but NULL, and unknown of NULL; the engine makes `true` of it, and `false` of
//! `x IN (1, 2) AND x IN (3)` and of `x IN (1) AND x NOT IN (1, 2)` (DataFusion up to 55.2). Such a pair becomes an expression that is
//! unknown of NULL.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

/// A plan with every such pair replaced.
pub(in crate::engine) fn apart(plan: LogicalPlan) -> Result<LogicalPlan> {
    let done = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(replaced(expr)?.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(done.data)
}

/// An expression with every such pair replaced.
pub(in crate::engine) fn replaced(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|part| {
        let pair = match &part {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (left.as_ref(), right.as_ref()) {
                (Expr::InList(left), Expr::InList(right)) if left.expr == right.expr => certain(left, *op, right),
                _ => None,
            },
            _ => None,
        };
        Ok(pair.map_or_else(|| Transformed::no(part), Transformed::yes))
    })
}

/// What a pair of lists is, when it is the same of every value but NULL, of which it is unknown.
fn certain(left: &InList, op: Operator, right: &InList) -> Option<Expr> {
    let none_of = |one: &InList, other: &InList| one.list.iter().all(|item| !other.list.contains(item));
    let all_of = |one: &InList, other: &InList| one.list.iter().all(|item| other.list.contains(item));
    let x = || left.expr.as_ref().clone();
    let unknown = Expr::Literal(ScalarValue::Boolean(None), None);
    match (op, left.negated, right.negated) {
        (Operator::Or, true, true) if none_of(left, right) => Some(x().is_not_null().or(unknown)),
        (Operator::And, false, false) if none_of(left, right) => Some(x().is_null().and(unknown)),
        (Operator::And, false, true) if all_of(left, right) => Some(x().is_null().and(unknown)),
        (Operator::And, true, false) if all_of(right, left) => Some(x().is_null().and(unknown)),
        _ => None,
    }
}
