//! Ready-made views keep their order: a query that only picks columns or rows of one gets them in the order that the
//! view's file says. SQL promises nothing of the kind, and the engine drops the ORDER BY of what is read from; but
//! `SELECT * FROM file_times LIMIT 5` must be the first five.

use crate::engine::{Postgres, Stage};
use datafusion::sql::sqlparser::ast::{GroupByExpr, OrderBy, Query, SetExpr, Statement, TableFactor};
use datafusion::sql::sqlparser::parser::Parser;

fn query(sql: &str) -> Option<Query> {
    let mut statements = Parser::parse_sql(&Postgres::bounded(sql), sql).ok()?;
    match (statements.pop()?, statements.as_slice()) {
        (Statement::Query(query), []) => Some(*query),
        _ => None,
    }
}

/// The order that a view's file gives its rows.
pub fn of(view: &Stage) -> Option<OrderBy> {
    query(&view.sql)?.order_by
}

/// The query with the order of the one view it reads from; `None` when it reads from anything else, or says an order.
pub fn kept<'a>(sql: &str, mut views: impl Iterator<Item = &'a Stage>) -> Option<String> {
    let mut query = query(sql)?;
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let [from] = select.from.as_slice() else { return None };
    let TableFactor::Table { name, args: None, .. } = &from.relation else { return None };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    if query.with.is_some() || query.order_by.is_some() || !from.joins.is_empty() || grouped || select.distinct.is_some() {
        return None;
    }
    let name = name.to_string();
    query.order_by = Some(of(views.find(|view| view.name == name)?)?);
    Some(query.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_queries_of_a_view_get_its_order() {
        let views = [Stage::new("top", "-- Tops.\nSELECT a, b FROM t ORDER BY b DESC, a"), Stage::new("any", "SELECT a FROM t")];
        let kept = |sql| kept(sql, views.iter());
        assert_eq!(
            kept("SELECT a FROM top WHERE a > 1 LIMIT 3").unwrap(),
            "SELECT a FROM top WHERE a > 1 ORDER BY b DESC, a LIMIT 3"
        );
        for other in [
            "SELECT a FROM any",
            "SELECT a FROM t",
            "SELECT a FROM top ORDER BY a",
            "SELECT a, count(*) FROM top GROUP BY a",
            "SELECT DISTINCT a FROM top",
            "SELECT a FROM top JOIN any USING (a)",
            "SELECT a FROM top UNION ALL SELECT a FROM top",
            "SELECT 1; SELECT 2",
            "EXPLAIN SELECT a FROM top",
            "not SQL",
        ] {
            assert_eq!(kept(other), None, "{other}");
        }
    }
}
