//! The rules of DataFusion's optimizers; those that make answers wrong are left out or wrapped.

use super::constant::Kept;
use super::plain::Forget;
#[cfg(feature = "cluster")]
use super::plain::SortedAnew;
use super::skip::Blind;
use datafusion::common::JoinType;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNode;
use datafusion::config::ConfigOptions;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;
use std::sync::Arc;

/// The rules of the logical optimizer: PushDownFilter leaves a filter without columns where it is ([`Kept`]).
pub(in crate::engine) fn logical_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let kept = |rule: Arc<dyn OptimizerRule + Send + Sync>| match rule.name() {
        "push_down_filter" => Arc::new(Kept(rule)) as Arc<dyn OptimizerRule + Send + Sync>,
        _ => rule,
    };
    Optimizer::new().rules.into_iter().map(kept).collect()
}

/// The rules of the physical optimizer, with one run of ProjectionPushdown instead of two.
///
/// When the rule moves a projection below a filter it compares the filter's predicate, which names columns of the filter's
/// input, with the projection, which names columns of its output (DataFusion up to 55.2). Those are the same, unless an
/// earlier run has put a projection into the filter: then a plain `SELECT tid, syscall, path FROM events WHERE syscall =
/// 'openat' ORDER BY seq` ends in an internal error. The first run is there to clear the way for rules that are no more.
pub(in crate::engine) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    if let Some(first) = rules.iter().position(|rule| rule.name() == "ProjectionPushdown") {
        rules.remove(first);
    }
    for rule in &mut rules {
        match rule.name() {
            "EnsureRequirements" => *rule = Arc::new(Blind(Arc::clone(rule))),
            name if name.starts_with("FilterPushdown") => *rule = Arc::new(InnerOnly(Arc::clone(rule))),
            _ => {}
        }
    }
    rules.insert(0, Arc::new(Forget));
    rules
}

/// The same for plans that go to a cluster.
#[cfg(feature = "cluster")]
pub(in crate::engine) fn cluster_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = physical_rules();
    rules.insert(0, Arc::new(SortedAnew));
    rules
}

/// An optimizer rule that is not applied to plans with an outer join. FilterPushdown takes a filter on columns that a RIGHT JOIN
/// filled up with NULL for one on the columns of the other side with the same numbers (DataFusion up to 55.2): `a RIGHT JOIN b
/// ... WHERE a.seq IS NULL` found nothing.
#[derive(Debug)]
struct InnerOnly(Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for InnerOnly {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, options: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let outer = plan.exists(|node| {
            Ok(match node.downcast_ref::<HashJoinExec>() {
                Some(join) => *join.join_type() != JoinType::Inner,
                None => node.name().ends_with("JoinExec"),
            })
        })?;
        if outer { Ok(plan) } else { self.0.optimize(plan, options) }
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}
