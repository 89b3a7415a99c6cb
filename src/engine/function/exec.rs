//! Physical plan node of a table function: feeds one input stream, sorted as the function asks, through its state.

use super::hosts::{HOST, Hosts, Keys, Next, Turn, alone, own};
use super::{Function, Key, Running};
use crate::engine::node::over_one_input;
use crate::engine::rows::tee::aside;
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, plan_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::equivalence::{AcrossPartitions, ConstExpr};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, InputDistributionRequirements, Partitioning,
    PlanProperties, RangePartitioning,
};
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Physical plan node that runs a table function over its one input: in a single partition or, where it has a state for each host,
/// in partitions of hosts.
#[derive(Debug)]
pub struct FunctionExec {
    input: Arc<dyn ExecutionPlan>,
    function: Arc<dyn Function>,
    hosts: Arc<Hosts>,
    keys: Keys,
    /// The columns that the function makes itself.
    own: SchemaRef,
    order: LexOrdering,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl FunctionExec {
    /// A node over `input` that makes batches of `schema`.
    ///
    /// # Errors
    /// When the input lacks a column that the function wants it sorted by, or the function asks for no order.
    pub fn new(
        input: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
        function: Arc<dyn Function>,
        hosts: Arc<Hosts>,
    ) -> Result<FunctionExec> {
        let keys = match hosts.apart(&input.schema()) {
            false => Keys::Unknown,
            true if input.output_partitioning().partition_count() == 1 && alone(input.as_ref()) => Keys::Alone,
            true => Keys::InOrder,
        };
        FunctionExec::with(input, schema, function, hosts, keys)
    }

    fn with(
        input: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
        function: Arc<dyn Function>,
        hosts: Arc<Hosts>,
        keys: Keys,
    ) -> Result<FunctionExec> {
        let taken = input.schema();
        let host = (keys == Keys::InOrder).then_some(Key::Up(HOST));
        let order = host.iter().chain(function.order(&taken)).map(|key| sort(*key, &taken)).collect::<Result<Vec<_>>>()?;
        let order = LexOrdering::new(order).ok_or_else(|| plan_datafusion_err!("its input has no order"))?;
        let there = |name: &str| schema.index_of(name).is_ok();
        // Rows that come by host are in order inside of one only.
        let kept = function.ascends().iter().filter(|name| there(name) && (host.is_none() || there(HOST)));
        let kept = kept.map(|name| host.into_iter().chain([Key::Up(name)]).map(|key| sort(key, &schema)).collect());
        let kept = kept.collect::<Result<Vec<Vec<_>>>>()?;
        let own = if keys == Keys::Unknown { Arc::clone(&schema) } else { own(function.as_ref(), &taken, &schema)? };
        let partitions = match host {
            Some(_) => hosts_of(input.output_partitioning(), &col(HOST, &taken)?, &schema)?,
            None => Partitioning::UnknownPartitioning(1),
        };
        let mut equivalence = EquivalenceProperties::new_with_orderings(Arc::clone(&schema), kept);
        if keys == Keys::Alone && there(HOST) {
            let same = ConstExpr::new(col(HOST, &schema)?, AcrossPartitions::Uniform(None));
            equivalence.add_constants([same])?;
        }
        let properties = PlanProperties::new(equivalence, partitions, EmissionType::Incremental, Boundedness::Bounded);
        let (properties, metrics) = (Arc::new(properties), ExecutionPlanMetricsSet::new());
        Ok(FunctionExec { input, function, hosts, keys, own, order, properties, metrics })
    }

    /// The function that it runs.
    #[cfg(feature = "cluster")]
    pub fn function(&self) -> &dyn Function {
        self.function.as_ref()
    }

    /// Whose rows it is given.
    #[cfg(feature = "cluster")]
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<FunctionExec> {
        FunctionExec::with(input, self.schema(), Arc::clone(&self.function), Arc::clone(&self.hosts), self.keys)
    }
}

/// How the rows that are made lie in partitions, when those they are made of lie so; `by` is the host of these.
fn hosts_of(input: &Partitioning, by: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<Partitioning> {
    let unknown = Partitioning::UnknownPartitioning(input.partition_count());
    if schema.index_of(HOST).is_err() {
        return Ok(unknown);
    }
    let host = sort(Key::Up(HOST), schema)?;
    Ok(match input {
        Partitioning::Range(ranges) if ranges.ordering().len() == 1 && ranges.ordering().first().expr.eq(by) => {
            match LexOrdering::new([host]) {
                Some(order) => Partitioning::Range(RangePartitioning::try_new(order, ranges.split_points().to_vec())?),
                None => unknown,
            }
        }
        Partitioning::Hash(keys, count) if keys.len() == 1 && keys[0].eq(by) => Partitioning::Hash(vec![host.expr], *count),
        _ => unknown,
    })
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
        InputDistributionRequirements::new(vec![match self.keys {
            Keys::Unknown | Keys::Alone => Distribution::SinglePartition,
            // The hosts are the first of its order.
            Keys::InOrder => Distribution::KeyPartitioned(vec![Arc::clone(&self.order.first().expr)]),
        }])
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::from(self.order.clone()))]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (schema, taken) = (self.schema(), self.input.schema());
        let turn = Turn::new(self.keys, &taken)?;
        let input = self.input.execute(partition, context)?;
        let input = if self.function.ahead() { aside(input) } else { input };
        let (function, hosts, own) = (Arc::clone(&self.function), Arc::clone(&self.hosts), Arc::clone(&self.own));
        let start: Start = Box::new(move |host| function.start(&taken, Arc::clone(&own), &hosts, host));
        // What comes by host may be nothing, of nobody.
        let running = if self.keys == Keys::InOrder { None } else { Some(start(None)?) };
        let output = Arc::clone(&schema);
        let name = self.function.name();
        let start = State { name, start, running, turn, output, input: Some(input), rest: VecDeque::new() };
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

/// Starts a state of a function, for a host if that is known.
type Start = Box<dyn Fn(Option<&str>) -> Result<Box<dyn Running>> + Send>;

/// State of the stream that a table function makes: the function's own state and the input that is left.
struct State {
    /// Name of the function.
    name: &'static str,
    start: Start,
    /// `None` between the rows of two hosts.
    running: Option<Box<dyn Running>>,
    turn: Option<Turn>,
    output: SchemaRef,
    /// The input stream; `None` once it has ended.
    input: Option<SendableRecordBatchStream>,
    /// Rows of the last input batch that were cut off and come next.
    rest: VecDeque<RecordBatch>,
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
        loop {
            let came = match (self.rest.pop_front(), &mut self.input) {
                (Some(rest), _) => Some(rest),
                (None, Some(input)) => match input.next().await.transpose()? {
                    Some(batch) if batch.num_rows() == 0 => continue,
                    came => came,
                },
                (None, None) => None,
            };
            let _time = metrics.elapsed_compute().timer();
            if came.is_none() {
                self.input = None;
            }
            let Some(made) = self.step(came)? else {
                if self.input.is_none() && self.rest.is_empty() {
                    return Ok(None);
                }
                continue;
            };
            let made = match &self.turn {
                Some(turn) => turn.name(&made, &self.output)?,
                None => made,
            };
            metrics.record_output(made.num_rows());
            return Ok(Some((made, self)));
        }
    }

    /// What the function makes of the next rows; `None` of the end of the input or of a host when there is nothing left.
    fn step(&mut self, came: Option<RecordBatch>) -> Result<Option<RecordBatch>> {
        let Some(batch) = came else {
            return self.running.as_mut().map_or(Ok(None), |running| running.end());
        };
        let (mut batch, rest) = cut(batch);
        if let Some(rest) = rest {
            self.rest.push_front(rest);
        }
        if let Some(turn) = &mut self.turn {
            match turn.next(self.name, &batch)? {
                Next::Same(rows) if rows < batch.num_rows() => {
                    self.rest.push_front(batch.slice(rows, batch.num_rows() - rows));
                    batch = batch.slice(0, rows);
                }
                Next::Same(_) => {}
                Next::Other(host) => {
                    self.rest.push_front(batch);
                    // All that is left of the one before comes first.
                    let begun = turn.is_begun();
                    if let Some(made) = self.running.as_mut().filter(|_| begun).map_or(Ok(None), |running| running.end())? {
                        return Ok(Some(made));
                    }
                    self.running = Some((self.start)(host.as_deref())?);
                    turn.begin(host);
                    return Ok(None);
                }
            }
        }
        self.running.as_mut().map(|running| running.step(&batch)).transpose()
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
