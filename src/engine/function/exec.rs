//! Physical plan node of a table function: feeds one input stream, sorted as the function asks, through its state.

use super::{Function, Key, Running};
use crate::engine::node::over_one_input;
use crate::engine::rows::tee::aside;
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, plan_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, Partitioning, PlanProperties,
};
use futures::{StreamExt, TryStreamExt, stream};
use std::fmt;
use std::sync::Arc;

/// Physical plan node that runs a table function over its one input, in a single partition.
#[derive(Debug)]
pub struct FunctionExec {
    input: Arc<dyn ExecutionPlan>,
    function: Arc<dyn Function>,
    order: LexOrdering,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl FunctionExec {
    /// A node over `input` that makes batches of `schema`.
    ///
    /// # Errors
    /// When the input lacks a column that the function wants it sorted by, or the function asks for no order.
    pub fn new(input: Arc<dyn ExecutionPlan>, schema: SchemaRef, function: Arc<dyn Function>) -> Result<FunctionExec> {
        let order = function.order(&input.schema()).iter().map(|key| sort(*key, &input.schema())).collect::<Result<Vec<_>>>()?;
        let order = LexOrdering::new(order).ok_or_else(|| plan_datafusion_err!("its input has no order"))?;
        let kept = function.ascends().iter().filter(|name| schema.index_of(name).is_ok());
        let kept = kept.map(|name| Ok([sort(Key::Up(name), &schema)?])).collect::<Result<Vec<_>>>()?;
        let equivalence = EquivalenceProperties::new_with_orderings(schema, kept);
        let one = Partitioning::UnknownPartitioning(1);
        let properties = PlanProperties::new(equivalence, one, EmissionType::Incremental, Boundedness::Bounded);
        Ok(FunctionExec { input, function, order, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() })
    }

    /// The function that it runs.
    #[cfg(feature = "cluster")]
    pub fn function(&self) -> &dyn Function {
        self.function.as_ref()
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<FunctionExec> {
        FunctionExec::new(input, self.schema(), Arc::clone(&self.function))
    }
}

fn sort(key: Key, schema: &SchemaRef) -> Result<PhysicalSortExpr> {
    let (name, descending) = match key {
        Key::Up(name) => (name, false),
        Key::Down(name) => (name, true),
    };
    Ok(PhysicalSortExpr::new(col(name, schema)?, SortOptions { descending, nulls_first: false }))
}

impl DisplayAs for FunctionExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FunctionExec: {}", self.function.name())
    }
}

impl ExecutionPlan for FunctionExec {
    over_one_input!("FunctionExec");

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::from(self.order.clone()))]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let running = self.function.start(&self.input.schema(), Arc::clone(&schema))?;
        let input = self.input.execute(partition, context)?;
        let input = if self.function.ahead() { aside(input) } else { input };
        let start = State { running, input: Some(input), rest: None };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = stream::try_unfold(start, move |state| {
            let metrics = metrics.clone();
            async move { state.next(&metrics).await }
        });
        let batches = batches.try_filter(|batch| std::future::ready(batch.num_rows() > 0));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// State of the stream that a table function makes: the function's own state and the input that is left.
struct State {
    running: Box<dyn Running>,
    /// The input stream; `None` once it has ended.
    input: Option<SendableRecordBatchStream>,
    /// Rows of the last input batch that were cut off and come next.
    rest: Option<RecordBatch>,
}

/// Bytes of text in one piece of input that a function is given. Its output repeats these texts several times and waits
/// in queues, and batches are cut by number of rows while a path may be 4 KiB long.
const PIECE: usize = 4 << 20;

/// Splits a batch with more than [`PIECE`] bytes of text: its first rows, and the rest (`None` if all fit).
fn cut(batch: RecordBatch) -> (RecordBatch, Option<RecordBatch>) {
    let texts = batch.columns().iter().map(|column| match (column.as_string_view_opt(), column.as_string_opt::<i32>()) {
        (Some(views), _) => views.total_buffer_bytes_used(),
        (_, Some(texts)) => texts.value_offsets().last().map_or(0, |end| (end - texts.value_offsets()[0]) as usize),
        _ => 0,
    });
    let rows = batch.num_rows();
    match texts.sum::<usize>() / PIECE {
        0 => (batch, None),
        pieces => {
            let first = (rows / (pieces + 1)).max(1);
            let rest = (first < rows).then(|| batch.slice(first, rows - first));
            (batch.slice(0, first), rest)
        }
    }
}

impl State {
    async fn next(mut self, metrics: &BaselineMetrics) -> Result<Option<(RecordBatch, State)>> {
        let came = match (self.rest.take(), &mut self.input) {
            (Some(rest), _) => Some(rest),
            (None, Some(input)) => input.next().await.transpose()?,
            (None, None) => None,
        };
        let _time = metrics.elapsed_compute().timer();
        let made = match came {
            Some(batch) => {
                let (batch, rest) = cut(batch);
                self.rest = rest;
                Some(self.running.step(&batch)?)
            }
            None => {
                self.input = None;
                self.running.end()?
            }
        };
        metrics.record_output(made.as_ref().map_or(0, RecordBatch::num_rows));
        Ok(made.map(|batch| (batch, self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, StringArray, StringViewArray};

    #[test]
    fn long_texts_come_a_few_at_a_time_and_none_is_lost() {
        let texts = |length: usize| (0..1000).map(move |row| Some(format!("{row:0length$}")));
        // Of 40 MB no piece has more than 4 MiB.
        for (length, least) in [(10, 1), (40_000, 10)] {
            let columns: [ArrayRef; 2] =
                [Arc::new(texts(length).collect::<StringViewArray>()), Arc::new(texts(3).collect::<StringArray>())];
            let batch = RecordBatch::try_from_iter(["a", "b"].into_iter().zip(columns)).unwrap();
            let (mut rest, mut pieces) = (Some(batch.clone()), Vec::new());
            while let Some(batch) = rest {
                let (first, left) = cut(batch);
                pieces.push(first);
                rest = left;
            }
            assert!((least..30).contains(&pieces.len()), "{}", pieces.len());
            assert_eq!(arrow::compute::concat_batches(&batch.schema(), &pieces).unwrap(), batch);
        }
    }
}
