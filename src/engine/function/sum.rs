//! `sum` of integers that is an error when it leaves their type: DataFusion's (up to 55.2) wraps. It is DataFusion's sum of decimal
//! numbers of 38 digits over the same values, so that only the whole must fit, in whatever order parts of it were added up.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Field, FieldRef, Int64Type, UInt64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature};
use hashbrown::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

/// What is added up.
const WIDE: DataType = DataType::Decimal128(38, 0);

/// The aggregate function `sum(BIGINT)` and `sum(BIGINT UNSIGNED)`. Its name is that of DataFusion's, by which rules and columns know it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Sum(Arc<AggregateUDF>);

/// The function.
pub fn checked_sum() -> AggregateUDF {
    AggregateUDF::from(Sum(sum_udaf()))
}

/// Does the function add up values of this type?
pub fn adds(values: &DataType) -> bool {
    matches!(values, DataType::Int64 | DataType::UInt64)
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.0.return_type(types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let return_field = if adds(args.return_type()) { wide(&args.return_field) } else { args.return_field };
        self.0.state_fields(StateFieldsArgs { return_field, ..args })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let result = args.return_type().clone();
        if !adds(&result) {
            return self.0.accumulator(args);
        }
        if !args.is_distinct {
            return Ok(Box::new(Total { sum: 0, values: 0, result }));
        }
        let inner = self.0.accumulator(AccumulatorArgs { return_field: wide(&args.return_field), ..args })?;
        Ok(Box::new(Checked { inner, result }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let result = args.return_type().clone();
        if !adds(&result) {
            return self.0.create_sliding_accumulator(args);
        }
        // DataFusion slides over distinct values of 64 bits only.
        if args.is_distinct {
            return Ok(Box::new(Distinct { counts: HashMap::new(), sum: 0, result }));
        }
        Ok(Box::new(Total { sum: 0, values: 0, result }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.0.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let result = args.return_type().clone();
        if !adds(&result) {
            return self.0.create_groups_accumulator(args);
        }
        let inner = self.0.create_groups_accumulator(AccumulatorArgs { return_field: wide(&args.return_field), ..args })?;
        Ok(Box::new(Checked { inner, result }))
    }
}

fn wide(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), WIDE, field.is_nullable()))
}

/// An accumulator of wide sums, and the type that they must fit.
#[derive(Debug)]
struct Checked<T> {
    inner: T,
    result: DataType,
}

/// Values as they are added up.
fn widened(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let one = |array: &ArrayRef| -> Result<ArrayRef> {
        let wide: Decimal128Array = match array.data_type() {
            DataType::Int64 => array.as_primitive::<Int64Type>().unary(i128::from),
            DataType::UInt64 => array.as_primitive::<UInt64Type>().unary(i128::from),
            other => return exec_err!("sum of integers was given {other}"),
        };
        Ok(Arc::new(wide.with_precision_and_scale(38, 0)?))
    };
    values.iter().map(one).collect()
}

/// A sum in the type of the values.
fn fitting(sum: Option<i128>, result: &DataType) -> Result<ScalarValue> {
    let overflow = || exec_datafusion_err!("Arithmetic overflow: a sum is {}", sum.unwrap_or_default());
    Ok(match result {
        DataType::UInt64 => ScalarValue::UInt64(sum.map(u64::try_from).transpose().map_err(|_| overflow())?),
        _ => ScalarValue::Int64(sum.map(i64::try_from).transpose().map_err(|_| overflow())?),
    })
}

/// Sums in the type of the values.
fn narrowed<N: ArrowPrimitiveType>(sums: &Decimal128Array) -> Result<ArrayRef>
where
    N::Native: TryFrom<i128>,
{
    let fit = |sum: i128| N::Native::try_from(sum).map_err(|_| exec_datafusion_err!("Arithmetic overflow: a sum is {sum}"));
    Ok(Arc::new(sums.try_unary::<_, N, _>(fit)?))
}

impl Accumulator for Checked<Box<dyn Accumulator>> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = widened(values)?;
        self.inner.update_batch(&values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let ScalarValue::Decimal128(sum, ..) = self.inner.evaluate()? else {
            return exec_err!("a wide sum is no decimal number");
        };
        fitting(sum, &self.result)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }
}

/// The sum of the values of one group, or of a window.
#[derive(Debug)]
struct Total {
    sum: i128,
    /// How many there are.
    values: u64,
    result: DataType,
}

/// The sum of an array, and how many values it has.
fn added(values: &ArrayRef) -> Result<(i128, u64)> {
    fn sum<N: ArrowPrimitiveType>(values: &ArrayRef) -> i128
    where
        i128: From<N::Native>,
    {
        values.as_primitive::<N>().iter().flatten().map(i128::from).sum()
    }
    let sum = match values.data_type() {
        DataType::Int64 => sum::<Int64Type>(values),
        DataType::UInt64 => sum::<UInt64Type>(values),
        DataType::Decimal128(..) => sum::<Decimal128Type>(values),
        other => return exec_err!("sum of integers was given {other}"),
    };
    Ok((sum, (values.len() - values.null_count()) as u64))
}

impl Accumulator for Total {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for array in values {
            let (sum, count) = added(array)?;
            self.sum += sum;
            self.values += count;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for array in values {
            let (sum, count) = added(array)?;
            self.sum -= sum;
            self.values -= count;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        fitting((self.values > 0).then_some(self.sum), &self.result)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Decimal128((self.values > 0).then_some(self.sum), 38, 0)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

/// The sum of different values in a window that slides: how often it has each, and what they add up to.
#[derive(Debug)]
struct Distinct {
    counts: HashMap<i128, u64>,
    sum: i128,
    result: DataType,
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in widened(values)?.iter().flat_map(|array| array.as_primitive::<Decimal128Type>().iter().flatten()) {
            let count = self.counts.entry(value).or_default();
            self.sum += if *count == 0 { value } else { 0 };
            *count += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in widened(values)?.iter().flat_map(|array| array.as_primitive::<Decimal128Type>().iter().flatten()) {
            if let Some(count) = self.counts.get_mut(&value) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&value);
                    self.sum -= value;
                }
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        fitting((!self.counts.is_empty()).then_some(self.sum), &self.result)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.counts.capacity() * size_of::<(i128, u64)>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        exec_err!("a window is computed in one place")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        exec_err!("a window is computed in one place")
    }
}

impl GroupsAccumulator for Checked<Box<dyn GroupsAccumulator>> {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        let values = widened(values)?;
        self.inner.update_batch(&values, groups, filter, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let sums = self.inner.evaluate(emit)?;
        match self.result {
            DataType::UInt64 => narrowed::<UInt64Type>(sums.as_primitive::<Decimal128Type>()),
            _ => narrowed::<Int64Type>(sums.as_primitive::<Decimal128Type>()),
        }
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.inner.merge_batch(states, groups, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(&widened(values)?, filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }
}
