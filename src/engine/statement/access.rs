//! What a SQL statement may touch: only the registered tables, or any file that the user can read or write.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{DdlStatement, LogicalPlan};

/// What a SQL statement may do to files: nothing beside the registered tables, or anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Read the registered tables, and create or drop views and in-memory tables. Statements that write, copy or set
    /// options are refused.
    #[default]
    Tables,
    /// Also read and write any file, with the rights of the user (`--allow-files`).
    Files,
}

impl Access {
    /// The access that the command line option `--allow-files` asks for.
    pub const fn of(allow_files: bool) -> Access {
        if allow_files { Access::Files } else { Access::Tables }
    }

    /// Refuses a plan with a node that this access does not permit. Of DDL the permitted statements are listed, so that
    /// one that a later DataFusion adds is refused.
    pub(in crate::engine) fn check(self, plan: &LogicalPlan) -> Result<()> {
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
