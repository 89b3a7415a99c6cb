//! `FROM virtualize(events)`: the model as a table function.
//!
//! Its argument is a relation (a table, a common table expression, or `(SELECT ...)` in its own parentheses) with the
//! columns of events; `seq`, `syscall`, `pid` and `tid` must be there, others that are not count as absent. It gives the
//! rows back in the order of `seq` with the columns of [`STEP`] beside them, and between them rows for the ops that the
//! model inserted; after the last event come the facts the model knows only at the end. Column `tag` tells them apart.
//!
//! The node holds the model and one batch: neither the length of the capture nor the number of partitions below or
//! above it changes what it gives.

mod columns;
mod decode;
mod exec;
mod walk;

pub use columns::{STEP, StepColumn};

use crate::model::Config;
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Column, Result, plan_datafusion_err, plan_err};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType, cast, col};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{self, FunctionArg, FunctionArgExpr, TableFactor, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Name of the function in SQL.
const NAME: &str = "virtualize";

/// Writes `virtualize(events)` as `virtualize((SELECT * FROM events))`: the engine looks up the tables of a statement
/// before it plans it, and takes an argument that is a mere name for a column.
pub fn spell_out(statement: &mut Statement) {
    if let Statement::Statement(statement) = statement {
        let _ = statement.as_mut().visit(&mut SpellOut);
    }
}

struct SpellOut;

impl VisitorMut for SpellOut {
    type Break = ();

    fn pre_visit_table_factor(&mut self, relation: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(args), .. } = relation
            && name.to_string().eq_ignore_ascii_case(NAME)
            && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = args.args.as_mut_slice()
            && let ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_) = argument
            && let Ok(query) = Parser::new(&PostgreSqlDialect {})
                .try_with_sql(&format!("SELECT * FROM {argument}"))
                .and_then(|mut parser| parser.parse_query())
        {
            *argument = ast::Expr::Subquery(query);
        }
        ControlFlow::Continue(())
    }
}

/// Plans `virtualize(...)` in a FROM clause. A table function could not: it is given expressions, not relations.
#[derive(Debug)]
pub struct Planner {
    places: Config,
}

impl Planner {
    /// A planner whose walks leave out these places.
    pub fn new(places: Config) -> Planner {
        Planner { places }
    }
}

impl RelationPlanner for Planner {
    fn plan_relation(&self, relation: TableFactor, context: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
        let (alias, args) = match relation {
            TableFactor::Table { name, alias, args: Some(args), .. } if name.to_string().eq_ignore_ascii_case(NAME) => {
                (alias, args.args)
            }
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        let mut given = args.into_iter();
        let (Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))), None) = (given.next(), given.next()) else {
            return plan_err!("{NAME} takes one relation: {NAME}(events) or {NAME}((SELECT ...))");
        };
        let input = context.plan(match argument {
            ast::Expr::Subquery(subquery) => TableFactor::Derived { lateral: false, subquery, alias: None, sample: None },
            other => return plan_err!("{NAME} takes a relation, not {other}: {NAME}(events) or {NAME}((SELECT ...))"),
        })?;
        let walk = Arc::new(Walk::new(input, self.places.clone())?);
        let plan = LogicalPlanBuilder::scan(NAME, provider_as_source(walk), None)?.build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// The relation that `virtualize` makes.
#[derive(Debug)]
struct Walk {
    input: LogicalPlan,
    /// The input's column behind each of the first output columns.
    passed: Vec<Column>,
    schema: SchemaRef,
    places: Config,
}

impl Walk {
    fn new(input: LogicalPlan, places: Config) -> Result<Walk> {
        let (mut passed, mut fields) = (Vec::new(), Vec::new());
        for (qualifier, field) in input.schema().iter() {
            if STEP.iter().any(|column| column.name == field.name()) {
                return plan_err!("{NAME} makes a column {} of its own: rename the one in its input", field.name());
            }
            passed.push(Column::new(qualifier.cloned(), field.name()));
            // The model's own rows have no value in columns it does not know.
            fields.push(Field::new(field.name(), decode::arrow_type(field), true));
        }
        for name in decode::REQUIRED {
            if !fields.iter().any(|field| field.name() == name) {
                return plan_err!("the input of {NAME} has no column {name}");
            }
        }
        fields.extend(STEP.iter().map(StepColumn::field));
        Ok(Walk { input, passed, schema: Arc::new(Schema::new(fields)), places })
    }
}

#[async_trait]
impl TableProvider for Walk {
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
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        // Below the node: what the model reads, and what the query above wants to see again.
        let mut below = Vec::new();
        for (at, column) in self.passed.iter().enumerate() {
            if wanted.contains(&at) || decode::reads(&column.name) {
                let ty = self.schema.field(at).data_type().clone();
                below.push(cast(col(column.clone()), ty).alias(column.name.clone()));
            }
        }
        let input = LogicalPlanBuilder::from(self.input.clone()).project(below)?.build()?;
        let input = session.create_physical_plan(&input).await?;
        let schema = Arc::new(self.schema.project(wanted)?);
        if schema.fields().is_empty() {
            return plan_err!("name a column of {NAME}: count(pos), not count(*)");
        }
        let exec = exec::VirtualizeExec::new(input, schema, self.places.clone())
            .map_err(|error| plan_datafusion_err!("{NAME}: {error}"))?;
        Ok(Arc::new(exec))
    }
}
