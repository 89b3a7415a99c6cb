//! Refuses statements that DataFusion (up to 55.2) answers wrongly without an error, found by comparison with DuckDB
//! and PostgreSQL. The error says what to write instead.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinConstraint, JoinType, Result, plan_err};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Limit, LogicalPlan, Subquery};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;

/// Refuses a logical plan with an operation that is known to be answered wrongly.
pub(in crate::engine) fn check(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        match node {
            // The column that both sides share is the left side's, and NULL where that has no row.
            LogicalPlan::Join(join)
                if join.join_constraint == JoinConstraint::Using
                    && matches!(join.join_type, JoinType::Right | JoinType::Full) =>
            {
                return plan_err!(
                    "a {} JOIN with USING or NATURAL loses values of the columns that both sides have: \
                     join ON a.x = b.x, and ask for coalesce(a.x, b.x)",
                    if join.join_type == JoinType::Full { "FULL" } else { "RIGHT" }
                );
            }
            LogicalPlan::Filter(filter) => split_conjunction(&filter.predicate).into_iter().try_for_each(conjunct)?,
            other => other.expressions().iter().try_for_each(nested)?,
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Checks a term between the ANDs of a WHERE clause: `x IN (SELECT ...)` is answered rightly here, unlike inside other
/// expressions.
fn conjunct(predicate: &Expr) -> Result<()> {
    match predicate {
        Expr::InSubquery(of) if of.negated && !of.subquery.outer_ref_columns.is_empty() => {
            plan_err!("NOT IN of a subquery that names columns from outside takes no NULL for unknown: use NOT EXISTS")
        }
        Expr::InSubquery(of) => {
            nested(&of.expr)?;
            inside(&of.subquery)
        }
        other => nested(other),
    }
}

/// Checks an expression that is not a term of WHERE by itself: a part of a term, or the value of a column.
fn nested(expr: &Expr) -> Result<()> {
    expr.apply(|part| {
        match part {
            Expr::InSubquery(_) => {
                return plan_err!(
                    "x IN (SELECT ...) inside another expression takes no NULL for unknown: let it stand alone between the ANDs \
                     of WHERE, or use EXISTS"
                );
            }
            Expr::SetComparison(_) => {
                return plan_err!(
                    "ANY and ALL of a subquery mix up its columns with those around it: use IN, NOT IN, min or max"
                );
            }
            Expr::Exists(of) => {
                inside(&of.subquery)?;
                if !of.subquery.outer_ref_columns.is_empty() && is_one_row(&of.subquery.subquery) {
                    return plan_err!("EXISTS of an aggregate without GROUP BY is always true: leave it out");
                }
            }
            Expr::ScalarSubquery(of) => inside(of)?,
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Checks a subquery; a correlated one, which is answered anew for each outer row, must have no OFFSET.
fn inside(subquery: &Subquery) -> Result<()> {
    let skips = |node: &LogicalPlan| Ok(matches!(node, LogicalPlan::Limit(Limit { skip: Some(_), .. })));
    if !subquery.outer_ref_columns.is_empty() && subquery.subquery.exists(skips)? {
        return plan_err!(
            "OFFSET in a subquery that names columns from outside counts the rows of all of them: use row_number()"
        );
    }
    Ok(())
}

/// Does the plan give exactly one row whatever its input is, as an aggregate without GROUP BY does?
fn is_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Projection(of) => is_one_row(&of.input),
        LogicalPlan::SubqueryAlias(of) => is_one_row(&of.input),
        _ => false,
    }
}

/// Refuses words that the engine parses and then ignores: TABLESAMPLE.
pub(in crate::engine) fn words(tokens: &[Token]) -> anyhow::Result<()> {
    let samples = |token: &Token| matches!(token, Token::Word(word) if word.keyword == Keyword::TABLESAMPLE);
    anyhow::ensure!(!tokens.iter().any(samples), "TABLESAMPLE takes no sample here: use WHERE seq % 10 = 0");
    Ok(())
}
