//! `at_most(x, most, what)`: a SQL function that refuses numbers by which a statement would need more memory than there is.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

/// The scalar function `at_most(BIGINT, BIGINT, VARCHAR)`: the first argument; an error with the text of the third where it is
/// larger than the second.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct AtMost(Signature);

impl Default for AtMost {
    fn default() -> AtMost {
        AtMost(Signature::exact(vec![DataType::Int64, DataType::Int64, DataType::Utf8], Volatility::Immutable))
    }
}

impl ScalarUDFImpl for AtMost {
    fn name(&self) -> &'static str {
        "at_most"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [values, ColumnarValue::Scalar(ScalarValue::Int64(Some(most))), ColumnarValue::Scalar(ScalarValue::Utf8(Some(what)))] =
            args.args.as_slice()
        else {
            return plan_err!("the second and third argument of at_most are a number and a text");
        };
        let array = values.to_array(args.number_rows)?;
        if let Some(value) = array.as_primitive::<Int64Type>().iter().flatten().find(|value| value > most) {
            return exec_err!("{value} {what}, and {most} at most");
        }
        Ok(values.clone())
    }
}
