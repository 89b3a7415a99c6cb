//! `percentile(x, share)`: a SQL aggregate that gives the value which this share of the values does not exceed. The
//! answer is at most 1/128 too large, and does not depend on the query plan.
//!
//! DataFusion's approx_percentile_cont joins digests in the order in which parts of the input happen to come: it was wrong
//! by up to 14 %, and a LIMIT around it changed its answer. Its percentile_cont is exact and holds every value, once for
//! each percentile. Here a value is counted in its bar ([`crate::histogram`]): counts are added up in any order, take as
//! much memory as there are bars with values, and are spilled like those of any aggregation.

use crate::histogram;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, Int64Builder, ListArray, ListBuilder};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;
use hashbrown::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

/// The aggregate function `percentile(BIGINT, DOUBLE)`. It is meant for durations: negative values count as 0.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Percentile(Signature);

impl Default for Percentile {
    fn default() -> Percentile {
        Percentile(Signature::exact(vec![DataType::Int64, DataType::Float64], Volatility::Immutable))
    }
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &'static str {
        "percentile"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new_list(format!("{}[bars]", args.name), Field::new_list_field(DataType::Int64, true), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let mut bars = Bars::new(share(&args)?);
        bars.grow(1);
        Ok(Box::new(One(bars)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Bars::new(share(&args)?)))
    }
}

/// The share that a call asks for: a literal from 0 to 1.
fn share(args: &AccumulatorArgs) -> Result<f64> {
    if args.is_distinct {
        return plan_err!("percentile counts every value: leave out DISTINCT");
    }
    let literal = args.exprs.get(1).and_then(|share| share.downcast_ref::<Literal>()).map(Literal::value);
    match literal {
        Some(ScalarValue::Float64(Some(share))) if (0.0..=1.0).contains(share) => Ok(*share),
        _ => plan_err!("the share of a percentile is a number from 0 to 1, as in percentile(dur, 0.99)"),
    }
}

/// Low bits of a key of [`Bars::counts`] that hold the bar's number, which is below 2^13.
const BAR: u32 = 16;

/// A histogram for each group of a GROUP BY, and the share that is asked for. A bar is a bucket of the histogram.
struct Bars {
    share: f64,
    /// Number of values in each bar (histogram bucket) of each group; the key is the group's number times 2^[`BAR`] plus the
    /// bar's number.
    counts: HashMap<u64, u64>,
    /// The largest value of each group; -1 where a group has none.
    largest: Vec<i64>,
}

impl Bars {
    fn new(share: f64) -> Bars {
        Bars { share, counts: HashMap::new(), largest: Vec::new() }
    }

    fn grow(&mut self, groups: usize) {
        self.largest.resize(groups.max(self.largest.len()), -1);
    }

    #[inline]
    fn add(&mut self, group: usize, bar: usize, largest: i64, count: u64) {
        *self.counts.entry(((group as u64) << BAR) + bar as u64).or_default() += count;
        self.largest[group] = self.largest[group].max(largest);
    }

    #[inline]
    fn count(&mut self, group: usize, value: i64) {
        let value = value.max(0);
        self.add(group, histogram::bar(value as u64), value, 1);
    }

    /// Adds partial histograms that [`Bars::states`] wrote; `group` gives the group of each row.
    fn merge(&mut self, states: &ListArray, group: impl Fn(usize) -> usize) -> Result<()> {
        for row in (0..states.len()).filter(|row| states.is_valid(*row)) {
            let state = states.value(row);
            let Some((largest, bars)) = state.as_primitive::<Int64Type>().values().split_first() else { continue };
            for bar in bars.chunks_exact(2) {
                self.add(group(row), bar[0] as usize, *largest, bar[1] as u64);
            }
        }
        Ok(())
    }

    /// For each of the first `groups` groups its largest value, and its bars (number, count) in ascending order.
    fn groups(&self, groups: usize) -> Vec<(i64, Vec<(usize, u64)>)> {
        let mut found: Vec<_> = self.largest[..groups].iter().map(|largest| (*largest, Vec::new())).collect();
        for (key, count) in &self.counts {
            if let Some((_, bars)) = found.get_mut((key >> BAR) as usize) {
                bars.push(((key & ((1 << BAR) - 1)) as usize, *count));
            }
        }
        found.iter_mut().for_each(|(_, bars)| bars.sort_unstable());
        found
    }

    fn answers(&self, groups: usize) -> Int64Array {
        let answer = |(largest, bars): (i64, Vec<(usize, u64)>)| {
            let (largest, count) = (u64::try_from(largest).ok()?, bars.iter().map(|(_, count)| count).sum());
            Some(histogram::percentile(bars, count, largest, self.share) as i64)
        };
        self.groups(groups).into_iter().map(answer).collect()
    }

    /// The partial histograms of the first groups: per group the largest value, then pairs of bar and count.
    fn states(&self, groups: usize) -> ListArray {
        let mut states = ListBuilder::new(Int64Builder::new());
        for (largest, bars) in self.groups(groups) {
            if largest >= 0 {
                states.values().append_value(largest);
                bars.iter().for_each(|(bar, count)| states.values().append_slice(&[*bar as i64, *count as i64]));
            }
            states.append(true);
        }
        states.finish()
    }

    /// Drops the first groups; the numbers of the others decrease by as many.
    fn forget(&mut self, groups: usize) {
        self.largest.drain(..groups);
        let gone = (groups as u64) << BAR;
        let left = std::mem::take(&mut self.counts).into_iter();
        self.counts = left.filter_map(|(key, count)| Some((key.checked_sub(gone)?, count))).collect();
    }

    fn emitted(&self, emit: EmitTo) -> usize {
        match emit {
            EmitTo::All => self.largest.len(),
            EmitTo::First(groups) => groups,
        }
    }
}

impl GroupsAccumulator for Bars {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.grow(total);
        each(&values[0], filter, |row, value| self.count(groups[row], value));
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let groups = self.emitted(emit);
        let answers = self.answers(groups);
        self.forget(groups);
        Ok(Arc::new(answers))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.emitted(emit);
        let states = self.states(groups);
        self.forget(groups);
        Ok(vec![Arc::new(states)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        self.merge(states[0].as_list(), |row| groups[row])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut rows = Bars::new(self.share);
        rows.grow(values[0].len());
        each(&values[0], filter, |row, value| rows.count(row, value));
        Ok(vec![Arc::new(rows.states(values[0].len()))])
    }

    fn size(&self) -> usize {
        size_of::<Bars>() + self.counts.allocation_size() + self.largest.capacity() * size_of::<i64>()
    }
}

/// Calls `take` with row and value for each value that is not NULL and passes the filter.
fn each(values: &ArrayRef, filter: Option<&BooleanArray>, mut take: impl FnMut(usize, i64)) {
    let values = values.as_primitive::<Int64Type>();
    for (row, value) in values.iter().enumerate() {
        if let Some(value) = value
            && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
        {
            take(row, value);
        }
    }
}

/// The histogram of a query without GROUP BY: one group.
struct One(Bars);

impl Debug for One {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "percentile {}", self.0.share)
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(&values[0], None, |_, value| self.0.count(0, value));
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.0.answers(1), 0)
    }

    fn size(&self) -> usize {
        GroupsAccumulator::size(&self.0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::List(Arc::new(self.0.states(1)))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge(states[0].as_list(), |_| 0)
    }
}
