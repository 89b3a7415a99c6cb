//! What a statement may do: ask the tables that it is given, or reach for files of its own.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{DdlStatement, LogicalPlan};

/// What SQL may do to files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Ask the tables it is given, and name what it asks.
    #[default]
    Tables,
    /// Read and write any file, with the rights of the user.
    Files,
}

impl Access {
    /// What the option says.
    pub const fn of(allow_files: bool) -> Access {
        if allow_files { Access::Files } else { Access::Tables }
    }

    /// Refuses a statement that does more: what is allowed is listed, so that what DataFusion learns is not.
    pub(super) fn check(self, plan: &LogicalPlan) -> Result<()> {
        if self == Access::Files {
            return Ok(());
        }
        plan.apply_with_subqueries(|node| {
            let does = match node {
                LogicalPlan::Ddl(
                    DdlStatement::CreateView(_)
                    | DdlStatement::CreateMemoryTable(_)
                    | DdlStatement::DropView(_)
                    | DdlStatement::DropTable(_),
                ) => return Ok(TreeNodeRecursion::Continue),
                LogicalPlan::Ddl(statement) => statement.name().to_owned(),
                LogicalPlan::Dml(statement) => statement.op.to_string(),
                LogicalPlan::Copy(_) => "COPY".to_owned(),
                // SET can move the place where the engine spills to.
                LogicalPlan::Statement(statement) => statement.name().to_owned(),
                _ => return Ok(TreeNodeRecursion::Continue),
            };
            plan_err!("{does} may reach for files beside the datasets: allow it with --allow-files")
        })?;
        Ok(())
    }
}
