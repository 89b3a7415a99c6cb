//! Table functions that take one relation, in order, and remember: `FROM virtualize(events)`.
//!
//! The argument is a relation: a table, a common table expression, or `(SELECT ...)` in its own parentheses. A function
//! is one stream through one state, which neither the number of partitions below nor above it changes.

mod exec;

use super::dialect::Postgres;
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

/// A table function.
pub trait Function: Debug + Send + Sync {
    /// Its name in SQL.
    fn name(&self) -> &'static str;

    /// All columns it can make of a relation.
    ///
    /// # Errors
    /// When the relation is not what it takes.
    fn output(&self, input: &DFSchema) -> Result<Schema>;

    /// The type in which it takes a column of its input; `None` when it has no use for it. `wanted` says that the query
    /// above wants to see a column of this name.
    fn takes(&self, field: &Field, wanted: bool) -> Option<DataType>;

    /// The order in which it takes its input.
    fn order(&self) -> &'static [Key];

    /// Columns by each of which its output ascends.
    fn ascends(&self) -> &'static [&'static str];

    /// Begins to run on columns it takes, for columns that are wanted.
    ///
    /// # Errors
    /// When a column is missing.
    fn start(&self, input: &Schema, output: SchemaRef) -> Result<Box<dyn Running>>;
}

/// A part of an order.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    /// From the least value to the greatest.
    Up(&'static str),
    /// From the greatest to the least.
    Down(&'static str),
}

/// A table function at work.
pub trait Running: Send {
    /// The rows that follow from a batch.
    ///
    /// # Errors
    /// When the batch makes no sense.
    fn step(&mut self, batch: &RecordBatch) -> Result<RecordBatch>;

    /// The next batch after the end of the input, or `None` when there is no more.
    ///
    /// # Errors
    /// When a batch cannot be made.
    fn end(&mut self) -> Result<Option<RecordBatch>>;
}

/// Writes `virtualize(events)` as `virtualize((SELECT * FROM events))`: the engine looks up the tables of a statement
/// before it plans it, and takes an argument that is a mere name for a column.
pub fn spell_out(statement: &mut Statement, functions: &[Arc<dyn Function>]) {
    if let Statement::Statement(statement) = statement {
        let _ = statement.as_mut().visit(&mut SpellOut(functions));
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

/// Plans the functions in a FROM clause. What the engine calls a table function could not be one: it is given
/// expressions, not relations.
#[derive(Debug)]
pub struct Planner(pub Vec<Arc<dyn Function>>);

impl RelationPlanner for Planner {
    fn plan_relation(&self, relation: TableFactor, context: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
        let TableFactor::Table { name, alias, args: Some(args), .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let Some(function) = named(&self.0, name).map(Arc::clone) else {
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
        let schema = Arc::new(function.output(input.schema())?);
        let call = Arc::new(Call { function, input, schema });
        let plan = LogicalPlanBuilder::scan(name, provider_as_source(call), None)?.build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

/// The relation that a function makes of another.
#[derive(Debug)]
struct Call {
    function: Arc<dyn Function>,
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
            if let Some(ty) = self.function.takes(field, schema.index_of(field.name()).is_ok()) {
                let name = column.name.clone();
                below.push(cast(col(column), ty).alias(name));
            }
        }
        let input = LogicalPlanBuilder::from(self.input.clone()).project(below)?.build()?;
        let input = session.create_physical_plan(&input).await?;
        let exec = exec::FunctionExec::new(input, schema, Arc::clone(&self.function))
            .map_err(|error| plan_datafusion_err!("{name}: {error}"))?;
        Ok(Arc::new(exec))
    }
}
