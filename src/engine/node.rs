//! What physical plan nodes with one input have in common.

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning};
use datafusion::physical_plan::PlanProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};

/// The methods of `ExecutionPlan` that are the same for every node that has one input in its field `input`, its properties in the
/// field `properties`, no expressions, and a method `over(&self, input) -> Result<Self>` that makes the same node over another
/// input.
macro_rules! over_one_input {
    ($name:literal) => {
        fn name(&self) -> &str {
            $name
        }

        fn properties(&self) -> &std::sync::Arc<datafusion::physical_plan::PlanProperties> {
            &self.properties
        }

        fn children(&self) -> Vec<&std::sync::Arc<dyn ExecutionPlan>> {
            vec![&self.input]
        }

        fn apply_expressions(
            &self,
            _: &mut dyn FnMut(&std::sync::Arc<dyn PhysicalExpr>) -> Result<datafusion::common::tree_node::TreeNodeRecursion>,
        ) -> Result<datafusion::common::tree_node::TreeNodeRecursion> {
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        }

        fn with_new_children(
            self: std::sync::Arc<Self>,
            mut children: Vec<std::sync::Arc<dyn ExecutionPlan>>,
        ) -> Result<std::sync::Arc<dyn ExecutionPlan>> {
            Ok(match children.pop() {
                Some(input) => std::sync::Arc::new(self.over(input)?),
                None => self,
            })
        }
    };
}
pub(super) use over_one_input;

/// The properties of a node with so many partitions, of whose rows nothing is known.
pub(super) fn unknown(schema: SchemaRef, partitions: usize) -> PlanProperties {
    PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    )
}
