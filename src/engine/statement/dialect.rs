//! The SQL dialect: PostgreSQL's, with `IS DISTINCT FROM` at the precedence that PostgreSQL gives it.
//!
//! The parser (sqlparser up to 0.62) takes whatever follows for the right side: of `a IS DISTINCT FROM b OR c` it makes
//! `a IS DISTINCT FROM (b OR c)`, and answers wrongly without an error. Everything else is the parser's own PostgreSQL.

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword::{self, DISTINCT, FROM, IS, NOT};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use std::any::TypeId;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The dialect in which statements and predicates are read, without a bound on their expressions.
pub static POSTGRES: Postgres = Postgres(PostgreSqlDialect {}, AtomicUsize::new(usize::MAX));

/// PostgreSQL's dialect of sqlparser with a correct `IS DISTINCT FROM`, and how many more expressions may be parsed
/// with it.
#[derive(Debug)]
pub struct Postgres(PostgreSqlDialect, /* expressions left */ AtomicUsize);

impl Postgres {
    /// A dialect for one statement, with a bound on how many expressions the parser may begin to read. The bound is
    /// needed because of `NOT (...)`: where its parentheses hold no expression, the parser reads them again as the call
    /// of a function, so its work doubles with each level.
    pub fn bounded(sql: &str) -> Postgres {
        Postgres(PostgreSqlDialect {}, AtomicUsize::new(20_000 + 8 * sql.len()))
    }
}

/// Implements methods of `Dialect` by calling the same method of sqlparser's PostgreSQL dialect.
macro_rules! hand_on {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {
        $(fn $name(&self $(, $arg: $ty)*) -> $out {
            self.0.$name($($arg),*)
        })*
    };
}

impl Dialect for Postgres {
    fn dialect(&self) -> TypeId {
        self.0.dialect()
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let left = self.1.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        match left {
            Ok(_) => self.0.parse_prefix(parser),
            Err(_) => Some(Err(ParserError::ParserError("the statement is nested too deeply".into()))),
        }
    }

    fn parse_infix(&self, parser: &mut Parser, left: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        let make = if parser.parse_keywords(&[IS, DISTINCT, FROM]) {
            Expr::IsDistinctFrom
        } else if parser.parse_keywords(&[IS, NOT, DISTINCT, FROM]) {
            Expr::IsNotDistinctFrom
        } else {
            return self.0.parse_infix(parser, left, precedence);
        };
        Some(parser.parse_subexpr(precedence).map(|right| make(Box::new(left.clone()), Box::new(right))))
    }

    // Every method that PostgreSqlDialect overrides.
    hand_on! {
        identifier_quote_style(name: &str) -> Option<char>;
        is_delimited_identifier_start(letter: char) -> bool;
        is_identifier_start(letter: char) -> bool;
        is_identifier_part(letter: char) -> bool;
        is_custom_operator_part(letter: char) -> bool;
        is_reserved_for_identifier(word: Keyword) -> bool;
        get_next_precedence(parser: &Parser) -> Option<Result<u8, ParserError>>;
        prec_value(of: Precedence) -> u8;
        allow_extract_custom() -> bool;
        allow_extract_single_quotes() -> bool;
        supports_alter_column_type_using() -> bool;
        supports_array_typedef_with_brackets() -> bool;
        supports_bitwise_shift_operators() -> bool;
        supports_comma_separated_trim() -> bool;
        supports_comment_on() -> bool;
        supports_comment_optimizer_hint() -> bool;
        supports_create_index_with_clause() -> bool;
        supports_create_table_like_parenthesized() -> bool;
        supports_empty_projections() -> bool;
        supports_explain_with_utility_options() -> bool;
        supports_factorial_operator() -> bool;
        supports_filter_during_aggregation() -> bool;
        supports_geometric_types() -> bool;
        supports_group_by_expr() -> bool;
        supports_insert_table_alias() -> bool;
        supports_interval_options() -> bool;
        supports_listen_notify() -> bool;
        supports_load_extension() -> bool;
        supports_named_fn_args_with_colon_operator() -> bool;
        supports_named_fn_args_with_expr_name() -> bool;
        supports_nested_comments() -> bool;
        supports_notnull_operator() -> bool;
        supports_numeric_literal_underscores() -> bool;
        supports_select_wildcard_with_alias() -> bool;
        supports_set_names() -> bool;
        supports_string_escape_constant() -> bool;
        supports_unicode_string_literal() -> bool;
        supports_xml_expressions() -> bool;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dialect: &dyn Dialect, text: &str) -> Result<Expr, ParserError> {
        Parser::new(dialect).try_with_sql(text)?.parse_expr()
    }

    /// An expression as text with all its parentheses, which show how operators bind.
    fn full(expr: Expr) -> String {
        match expr {
            Expr::Nested(inner) => full(*inner),
            Expr::BinaryOp { left, op, right } => format!("({} {op} {})", full(*left), full(*right)),
            Expr::UnaryOp { op, expr } => format!("({op} {})", full(*expr)),
            Expr::IsDistinctFrom(left, right) => format!("({} <> {})", full(*left), full(*right)),
            Expr::IsNotDistinctFrom(left, right) => format!("({} == {})", full(*left), full(*right)),
            Expr::IsNull(expr) => format!("({} NULL)", full(*expr)),
            Expr::Between { expr, low, high, .. } => format!("({} {} {})", full(*expr), full(*low), full(*high)),
            Expr::InList { expr, list, .. } => {
                format!("({} IN {})", full(*expr), list.into_iter().map(full).collect::<Vec<_>>().join(" "))
            }
            other => other.to_string(),
        }
    }

    #[test]
    fn what_binds_weaker_is_not_swallowed() {
        for form in ["IS DISTINCT FROM", "IS NOT DISTINCT FROM"] {
            let shape = |text: &str| full(read(&POSTGRES, &text.replace('~', form)).unwrap());
            let same = |text: &str, whole: &str| assert_eq!(shape(text), shape(whole), "{text}");
            same("a ~ b OR c", "(a ~ b) OR c");
            same("a ~ b AND c", "(a ~ b) AND c");
            same("NOT a ~ b AND c", "(NOT (a ~ b)) AND c");
            same("p AND a ~ b OR c", "(p AND (a ~ b)) OR c");
            same("a ~ b OR c ~ d AND e", "(a ~ b) OR ((c ~ d) AND e)");
            same("a ~ b IS NULL", "(a ~ b) IS NULL");
            same("a ~ NOT b OR c", "(a ~ (NOT b)) OR c");
            // These bind stronger.
            same("a ~ b = c", "a ~ (b = c)");
            same("a = b ~ c + 1", "(a = b) ~ (c + 1)");
            same("a ~ b BETWEEN c AND d AND e", "(a ~ (b BETWEEN c AND d)) AND e");
            same("a ~ b IN (1, 2) OR c", "(a ~ (b IN (1, 2))) OR c");
        }
    }

    #[test]
    fn parentheses_stay() {
        assert_eq!(full(read(&POSTGRES, "a IS DISTINCT FROM (b OR c)").unwrap()), "(a <> (b OR c))");
        let shown = read(&POSTGRES, "a IS DISTINCT FROM (b OR c) AND d").unwrap().to_string();
        assert_eq!(shown, "a IS DISTINCT FROM (b OR c) AND d");
        assert!(read(&POSTGRES, "a IS DISTINCT FROM").is_err() && read(&POSTGRES, "a IS DISTINCT b").is_err());
    }

    /// A newer parser may say more of PostgreSQL: compare the list above with its `impl Dialect for PostgreSqlDialect`, and
    /// look whether it has mended `IS DISTINCT FROM`.
    #[test]
    fn the_parser_is_the_one_that_was_looked_at() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains("name = \"sqlparser\"\nversion = \"0.62.0\"\n"), "compare what is handed on");
        let wrong = read(&PostgreSqlDialect {}, "a IS DISTINCT FROM b OR c").unwrap();
        assert_eq!(full(wrong), "(a <> (b OR c))", "the parser has mended it: this file can go");
    }
}
