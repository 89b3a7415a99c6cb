//! Table macros: functions in FROM that stand for a query, with arguments put in (DuckDB: `CREATE MACRO ... AS TABLE`).
//!
//! A macro is a file with one SELECT, in which `$name` stands for a parameter that its head declares ([`super::super::Stage`]).
//! `FROM read_write_mix('100ms')` becomes that SELECT in parentheses before the statement is planned, so the engine sees plain SQL.
//! Names in it mean what they mean where the call stands: with `WITH io AS (SELECT * FROM io WHERE pid = 7)` in front, the macros
//! of that statement are about this process.

use super::dialect::Postgres;
use crate::amount::typed;
use anyhow::{Context, Result, anyhow, bail, ensure};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, Ident, TableAlias, TableFactor, UnaryOperator, Value, Visit, VisitMut, Visitor,
    VisitorMut,
};
use datafusion::sql::sqlparser::parser::Parser;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::OnceLock;

/// How deeply macros may call each other.
const DEEPEST: usize = 16;
/// Calls of macros that one statement may come to.
const MOST: usize = 1_000;

/// What a parameter of a macro takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number (BIGINT).
    Integer,
    /// A number (DOUBLE).
    Number,
    /// A text (VARCHAR).
    Text,
    /// A length of time, as `'100ms'` or a number of ns; BIGINT, ns.
    Duration,
    /// A number of bytes, as `'4K'` or a number; BIGINT.
    Size,
}

impl Kind {
    /// Every kind, with its name in the heads of macros.
    const ALL: &'static [(&'static str, Kind)] = &[
        ("BIGINT", Kind::Integer),
        ("DOUBLE", Kind::Number),
        ("VARCHAR", Kind::Text),
        ("DURATION", Kind::Duration),
        ("SIZE", Kind::Size),
    ];

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Kind::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// What a text or a number means to a parameter of this kind; an error says what it takes.
    fn take(self, given: &Literal) -> Result<Value, String> {
        let whole = |number: i128| match i64::try_from(number) {
            Ok(number) => Ok(Value::Number(number.to_string(), false)),
            Err(_) => Err(format!("{number} is more than 64 bits hold")),
        };
        match (self, given) {
            (Kind::Text, Literal::Text(text)) => Ok(Value::SingleQuotedString(text.clone())),
            (Kind::Duration, Literal::Text(text)) => whole(typed::duration(text)?.as_nanos().cast_signed()),
            (Kind::Size, Literal::Text(text)) => whole(typed::bytes(text)?.into()),
            (Kind::Integer | Kind::Duration | Kind::Size, Literal::Number(text)) => match text.parse() {
                Ok(number) => whole(number),
                Err(_) => Err(format!("{text} is no whole number")),
            },
            (Kind::Number, Literal::Number(text)) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Value::Number(format!("{number:?}"), false)),
                _ => Err(format!("{text} is no number")),
            },
            (Kind::Integer | Kind::Number, Literal::Text(text)) => Err(format!("'{text}' is a text, and a number is expected")),
            (Kind::Text, Literal::Number(text)) => Err(format!("{text} is a number, and a text in single quotes is expected")),
        }
    }
}

/// An argument as it is written.
enum Literal {
    Text(String),
    Number(String),
}

impl Literal {
    /// The literal that an expression is; `None` for any other expression.
    fn of(expr: &Expr) -> Option<Literal> {
        match expr {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => Some(Literal::Text(text.clone())),
                Value::Number(text, _) => Some(Literal::Number(text.clone())),
                _ => None,
            },
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match Literal::of(expr)? {
                Literal::Number(text) if !text.starts_with('-') => Some(Literal::Number(format!("-{text}"))),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A parameter of a macro, as its head declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name; `$name` stands for it in the SQL.
    pub name: String,
    /// What it takes.
    pub kind: Kind,
    /// What is taken when a call leaves it out, as it would be typed; `None` when it must be given.
    pub default: Option<String>,
    /// Meaning, with the unit of numbers.
    pub meaning: String,
}

impl Parameter {
    /// Reads `NAME KIND DEFAULT MEANING`, as it stands behind `@parameter`; the default `-` says that there is none.
    ///
    /// # Errors
    /// When a word is missing, there is no such kind, or the default does not fit it.
    pub fn parse(line: &str) -> Result<Parameter> {
        let mut words = line.splitn(4, ' ');
        let (Some(name), Some(kind), Some(default), Some(meaning)) = (words.next(), words.next(), words.next(), words.next())
        else {
            bail!("`-- @parameter NAME KIND DEFAULT MEANING` is expected")
        };
        let kind = Kind::parse(kind).with_context(|| {
            let kinds: Vec<&str> = Kind::ALL.iter().map(|(name, _)| *name).collect();
            format!("{kind} is no kind of parameter: there are {}", kinds.join(", "))
        })?;
        let default = Some(default).filter(|word| *word != "-").map(str::to_owned);
        let parameter = Parameter { name: name.into(), kind, default, meaning: meaning.trim().into() };
        if parameter.default.is_some() {
            parameter.fallback()?;
        }
        Ok(parameter)
    }

    fn fallback(&self) -> Result<Value> {
        let default = self.default.clone().with_context(|| format!("{} must be given", self))?;
        let literal = match self.kind {
            Kind::Integer | Kind::Number => Literal::Number(default),
            Kind::Text | Kind::Duration | Kind::Size => Literal::Text(default),
        };
        self.kind.take(&literal).map_err(|why| anyhow!("{self}: {why}"))
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.kind.name())
    }
}

/// A macro: a query with places for arguments. It is parsed when it is called first: most sessions call none.
#[derive(Clone, Debug)]
pub struct TableMacro {
    name: String,
    parameters: Vec<Parameter>,
    sql: String,
    query: OnceLock<Box<ast::Query>>,
}

impl TableMacro {
    /// A macro of a SELECT, which is not looked at yet.
    pub fn new(name: &str, parameters: Vec<Parameter>, sql: String) -> TableMacro {
        TableMacro { name: name.into(), parameters, sql, query: OnceLock::new() }
    }

    /// Its query.
    ///
    /// # Errors
    /// When the SQL is not one query, or has places for other names than those of the parameters.
    pub fn query(&self) -> Result<&ast::Query> {
        if let Some(query) = self.query.get() {
            return Ok(query);
        }
        let parsed = self.parse().with_context(|| format!("macro {}", self.name))?;
        Ok(self.query.get_or_init(|| parsed))
    }

    fn parse(&self) -> Result<Box<ast::Query>> {
        let TableMacro { name, parameters, sql, .. } = self;
        super::depth::check(sql)?;
        let mut statements = Parser::parse_sql(&Postgres::bounded(sql), sql)?;
        let (Some(ast::Statement::Query(query)), None) = (statements.pop(), statements.pop()) else {
            bail!("a macro is one SELECT")
        };
        let mut places = Places(BTreeSet::new());
        let _ = Visit::visit(&query, &mut places);
        let unknown = places.0.iter().find(|place| !parameters.iter().any(|parameter| parameter.name == place[1..]));
        ensure!(unknown.is_none(), "{} is no parameter of {name}", unknown.map_or("", String::as_str));
        let unused = parameters.iter().find(|parameter| !places.0.contains(&format!("${}", parameter.name)));
        ensure!(unused.is_none(), "parameter {} of {name} is not used", unused.map_or("", |parameter| &parameter.name));
        Ok(query)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is called: its name, and its parameters with their kinds and defaults.
    pub fn usage(&self) -> String {
        usage(&self.name, &self.parameters)
    }

    /// The values of the parameters in a call.
    fn bind(&self, arguments: &[FunctionArg]) -> Result<Vec<Value>> {
        let mut values: Vec<Option<Value>> = vec![None; self.parameters.len()];
        for (at, argument) in arguments.iter().enumerate() {
            let (at, expr) = match argument {
                FunctionArg::Unnamed(expr) => (at, expr),
                FunctionArg::Named { name, arg, .. } => (self.place(&name.value)?, arg),
                FunctionArg::ExprNamed { name: Expr::Identifier(name), arg, .. } => (self.place(&name.value)?, arg),
                FunctionArg::ExprNamed { name, .. } => bail!("{name} is no name of a parameter"),
            };
            let Some((parameter, value)) = self.parameters.get(at).zip(values.get_mut(at)) else {
                bail!("there are {} arguments", arguments.len())
            };
            ensure!(value.is_none(), "{} is given twice", parameter.name);
            let literal = match expr {
                FunctionArgExpr::Expr(expr) => Literal::of(expr),
                _ => None,
            };
            let literal = literal.with_context(|| format!("{expr} is no number and no text in single quotes"))?;
            *value = Some(parameter.kind.take(&literal).map_err(|why| anyhow!("{parameter}: {why}"))?);
        }
        self.parameters.iter().zip(values).map(|(parameter, value)| value.map_or_else(|| parameter.fallback(), Ok)).collect()
    }

    fn place(&self, name: &str) -> Result<usize> {
        let place = self.parameters.iter().position(|parameter| parameter.name.eq_ignore_ascii_case(name));
        place.with_context(|| format!("it has no parameter {name}"))
    }
}

/// How a macro of this name with these parameters is called: `read_write_mix(width DURATION = '1s')`.
pub fn usage(name: &str, parameters: &[Parameter]) -> String {
    let one = |parameter: &Parameter| match (&parameter.default, parameter.kind) {
        (None, _) => parameter.to_string(),
        (Some(default), Kind::Integer | Kind::Number) => format!("{parameter} = {default}"),
        (Some(default), Kind::Text | Kind::Duration | Kind::Size) => format!("{parameter} = '{default}'"),
    };
    format!("{name}({})", parameters.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// Replaces each call of a macro in a statement by its query.
///
/// # Errors
/// When an argument is none that the macro takes, or macros call each other without end.
pub fn expand(statement: &mut Statement, macros: &[TableMacro]) -> Result<()> {
    let statement = match statement {
        Statement::Statement(statement) => statement,
        Statement::Explain(explain) => return expand(&mut explain.statement, macros),
        _ => return Ok(()),
    };
    let mut calls = Calls { macros, depth: 0, left: MOST };
    match VisitMut::visit(statement.as_mut(), &mut calls) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Finds the calls of macros, and replaces them.
struct Calls<'a> {
    macros: &'a [TableMacro],
    depth: usize,
    left: usize,
}

impl Calls<'_> {
    fn query(&mut self, found: &TableMacro, arguments: &[FunctionArg]) -> Result<Box<ast::Query>> {
        let values = found.bind(arguments).with_context(|| format!("{} is called as {}", found.name, found.usage()))?;
        ensure!(self.depth < DEEPEST && self.left > 0, "{} calls macros that call macros, without end", found.name);
        self.left -= 1;
        let mut query = Box::new(found.query()?.clone());
        let _ = VisitMut::visit(&mut query, &mut Filled { parameters: &found.parameters, values: &values });
        self.depth += 1;
        let inner = VisitMut::visit(&mut query, self);
        self.depth -= 1;
        match inner {
            ControlFlow::Continue(()) => Ok(query),
            ControlFlow::Break(error) => Err(error),
        }
    }
}

impl VisitorMut for Calls<'_> {
    type Break = anyhow::Error;

    fn pre_visit_table_factor(&mut self, relation: &mut TableFactor) -> ControlFlow<anyhow::Error> {
        let TableFactor::Table { name, args: Some(args), alias, .. } = relation else { return ControlFlow::Continue(()) };
        let called = name.to_string();
        let Some(found) = self.macros.iter().find(|known| known.name.eq_ignore_ascii_case(&called)) else {
            return ControlFlow::Continue(());
        };
        let subquery = match self.query(found, &args.args) {
            Ok(query) => query,
            Err(error) => return ControlFlow::Break(error),
        };
        let named = || TableAlias { explicit: true, name: Ident::new(&found.name), columns: Vec::new(), at: None };
        let alias = Some(alias.take().unwrap_or_else(named));
        *relation = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
        ControlFlow::Continue(())
    }
}

/// Puts arguments into their places.
struct Filled<'a> {
    parameters: &'a [Parameter],
    values: &'a [Value],
}

impl VisitorMut for Filled<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(place) = &value.value
            && let Some(at) = self.parameters.iter().position(|parameter| place.strip_prefix('$') == Some(&parameter.name))
        {
            value.value = self.values[at].clone();
        }
        ControlFlow::Continue(())
    }
}

/// The names of the places in a query.
struct Places(BTreeSet<String>);

impl Visitor for Places {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(place) = &value.value
        {
            self.0.insert(place.clone());
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests;
