//! Table functions with state that read one relation in a given order: `FROM virtualize(events)`.
//!
//! The argument is a relation: a table, a common table expression, or `(SELECT ...)` in its own parentheses. A function
//! is one stream through one state, which neither the number of partitions below nor above it changes; where rows name their hosts
//! and these are kept apart ([`Hosts::Each`]), a stream and a state for each host, several side by side.

pub(super) mod arithmetic;
pub(super) mod at_most;
pub(super) mod bucket;
pub(super) mod causes;
pub(super) mod exec;
pub(super) mod hosts;
pub(super) mod numbered;
pub(super) mod order;
pub(super) mod percentile;
pub(super) mod sum;
pub(super) mod tenant;
pub(super) mod touch;
pub(super) mod virtualize;

use self::hosts::Hosts;
use super::statement::dialect::Postgres;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result, plan_datafusion_err, plan_err};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType, cast, col};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{self, FunctionArg, FunctionArgExpr, TableFactor, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::parser::Parser;
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::sync::Arc;

/// A table function that streams over one relation: what it takes, in which order, and what it makes of it.
pub trait Function: Debug + Send + Sync {
    /// Name of the table function in SQL.
    fn name(&self) -> &'static str;

    /// The schema of all columns that the function can make of this relation.
    ///
    /// # Errors
    /// When the relation lacks a column that the function needs, or has one that it makes itself.
    fn output(&self, input: &DFSchema) -> Result<Schema>;

    /// The type to which a column of the input is cast for the function; `None` when the function does not read it.
    /// `output` has the columns that the query reads.
    fn takes(&self, field: &Field, output: &Schema) -> Option<DataType>;

    /// The columns by which the function needs an input with this schema sorted.
    fn order(&self, input: &Schema) -> &'static [Key];

    /// Columns by each of which the function's output is sorted in ascending order.
    fn ascends(&self) -> &'static [&'static str];

    /// Does it take so much time that its input is better computed beside it, a batch ahead?
    fn ahead(&self) -> bool {
        false
    }

    /// Does it run the model?
    #[cfg(feature = "cluster")]
    fn models(&self) -> bool {
        false
    }

    /// Starts a run: `input` is the schema of the columns it takes, `output` the columns that the query wants. `host`: of which
    /// host the rows are, where that is known; a function that runs the model finds its configuration in `hosts`.
    ///
    /// # Errors
    /// When a column is missing.
    fn start(&self, input: &Schema, output: SchemaRef, hosts: &Hosts, host: Option<&str>) -> Result<Box<dyn Running>>;
}

/// A sort key: a column and its direction.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    /// By this column, ascending.
    Up(&'static str),
    /// By this column, descending.
    Down(&'static str),
}

/// State of a table function during one run of a query.
pub trait Running: Send {
    /// The output rows that follow from the next batch of input.
    ///
    /// # Errors
    /// When the batch has values that the function cannot take.
    fn step(&mut self, batch: &RecordBatch) -> Result<RecordBatch>;

    /// The next batch of output after the end of the input; called until it returns `None`.
    ///
    /// # Errors
    /// When a batch cannot be made.
    fn end(&mut self) -> Result<Option<RecordBatch>>;
}

/// Rewrites `virtualize(events)` to `virtualize((SELECT * FROM events))`. DataFusion looks up the tables of a statement
/// before it plans it, and would take a bare name as an argument for a column.
pub fn spell_out(statement: &mut Statement, functions: &[Arc<dyn Function>]) {
    match statement {
        Statement::Statement(statement) => drop(statement.as_mut().visit(&mut SpellOut(functions))),
        Statement::Explain(explain) => spell_out(&mut explain.statement, functions),
        _ => {}
    }
}

struct SpellOut<'a>(&'a [Arc<dyn Function>]);

impl VisitorMut for SpellOut<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, relation: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(args), .. } = relation
            && named(self.0, name).is_some()
            && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = args.args.as_mut_slice()
            && let ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_) = argument
            && let text = format!("SELECT * FROM {argument}")
            && let Ok(query) =
                Parser::new(&Postgres::bounded(&text)).try_with_sql(&text).and_then(|mut parser| parser.parse_query())
        {
            *argument = ast::Expr::Subquery(query);
        }
        ControlFlow::Continue(())
    }
}

fn named<'a>(functions: &'a [Arc<dyn Function>], name: &ast::ObjectName) -> Option<&'a Arc<dyn Function>> {
    let name = name.to_string();
    functions.iter().find(|function| name.eq_ignore_ascii_case(function.name()))
}

/// Plans calls of the [`Function`]s in a FROM clause. DataFusion's own table functions do not do: they are given
/// expressions, not relations.
#[derive(Debug)]
pub struct Planner {
    /// The functions.
    pub functions: Vec<Arc<dyn Function>>,
    /// Whose rows they are given.
    pub hosts: Arc<Hosts>,
}

impl RelationPlanner for Planner {
    fn plan_relation(&self, relation: TableFactor, context: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
        let TableFactor::Table { name, alias, args: Some(args), .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let Some(function) = named(&self.functions, name).map(Arc::clone) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let name = function.name();
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = args.args.as_slice() else {
            return plan_err!("{name} takes one relation: {name}(events) or {name}((SELECT ...))");
        };
        let ast::Expr::Subquery(subquery) = argument else {
            return plan_err!("{name} takes a relation, not {argument}: {name}(events) or {name}((SELECT ...))");
        };
        let subquery = subquery.clone();
        let input = context.plan(TableFactor::Derived { lateral: false, subquery, alias: None, sample: None })?;
        let hosts = Arc::clone(&self.hosts);
        let schema = Arc::new(hosts.output(function.as_ref(), input.schema())?);
        let call = Arc::new(Call { function, hosts, input, schema });
        let plan = LogicalPlanBuilder::scan(name, provider_as_source(call), None)?.build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

/// A table function applied to a relation, as a table that DataFusion can scan.
#[derive(Debug)]
struct Call {
    function: Arc<dyn Function>,
    hosts: Arc<Hosts>,
    input: LogicalPlan,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for Call {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(wanted) => Arc::new(self.schema.project(wanted)?),
            None => Arc::clone(&self.schema),
        };
        let name = self.function.name();
        if schema.fields().is_empty() {
            return plan_err!("name a column of {name}: count(pos), not count(*)");
        }
        let mut below = Vec::new();
        for (column, field) in self.input.schema().columns().into_iter().zip(self.input.schema().fields()) {
            if let Some(ty) = self.hosts.takes(self.function.as_ref(), field, &schema) {
                let name = column.name.clone();
                below.push(cast(col(column), ty).alias(name));
            }
        }
        let input = LogicalPlanBuilder::from(self.input.clone()).project(below)?.build()?;
        let input = session.create_physical_plan(&input).await?;
        let exec = exec::FunctionExec::new(input, schema, Arc::clone(&self.function), Arc::clone(&self.hosts))
            .map_err(|error| plan_datafusion_err!("{name}: {error}"))?;
        Ok(Arc::new(exec))
    }
}
