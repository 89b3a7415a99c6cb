//! `bucket(x, bits)`: a SQL function that rounds an integer down to its highest binary digits, for histograms of what spans many
//! orders of magnitude (sizes, durations).

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// The scalar function `bucket(BIGINT, BIGINT)`: the first argument with all but its highest binary digit and the `bits` behind
/// that one cleared. With 0 these are the powers of two, with 3 there are eight buckets from each of them to the next. What is
/// negative counts as 0.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Bucket(Signature);

impl Default for Bucket {
    fn default() -> Bucket {
        Bucket(Signature::exact(vec![DataType::Int64, DataType::Int64], Volatility::Immutable))
    }
}

impl ScalarUDFImpl for Bucket {
    fn name(&self) -> &'static str {
        "bucket"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [values, ColumnarValue::Scalar(ScalarValue::Int64(Some(bits @ 0..=62)))] = args.args.as_slice() else {
            return plan_err!("the second argument of bucket is a number from 0 to 62, as in bucket(dur, 3)");
        };
        let values = values.to_array(args.number_rows)?;
        let bits = *bits as u32;
        let made: Int64Array = values.as_primitive::<Int64Type>().unary(|value| lower(value, bits));
        Ok(ColumnarValue::Array(Arc::new(made) as ArrayRef))
    }
}

/// The least value of the bucket that a value belongs to.
const fn lower(value: i64, bits: u32) -> i64 {
    if value <= 0 {
        return 0;
    }
    let shift = (i64::BITS - value.leading_zeros()).saturating_sub(bits + 1);
    (value >> shift) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_begins_with_its_highest_digits() {
        assert_eq!([-5, 0, 1, 2, 3, 4095, 4096, i64::MAX].map(|x| lower(x, 0)), [0, 0, 1, 2, 2, 2048, 4096, 1 << 62]);
        assert_eq!([7, 8, 9, 15, 1000].map(|x| lower(x, 2)), [7, 8, 8, 14, 896]);
        assert_eq!(lower(i64::MAX, 62), i64::MAX);
    }
}
