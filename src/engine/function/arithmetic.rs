//! `checked_add(x, y)`, `checked_subtract(x, y)` and `checked_multiply(x, y)`: SQL functions of two integers of one type, whose result
//! is an error when it leaves the type. The operators of DataFusion (up to 55.2) wrap.

use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr_common::datum::apply;
use std::sync::Arc;

/// One of the functions.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Arithmetic {
    operator: Operator,
    name: &'static str,
    signature: Signature,
}

/// The function that does what this operator does; `None` for an operator that cannot leave its type.
pub fn function(operator: Operator) -> Option<ScalarUDF> {
    let name = match operator {
        Operator::Plus => "checked_add",
        Operator::Minus => "checked_subtract",
        Operator::Multiply => "checked_multiply",
        _ => return None,
    };
    let signature = Signature::numeric(2, Volatility::Immutable);
    Some(ScalarUDF::from(Arithmetic { operator, name, signature }))
}

/// All of them.
pub fn functions() -> impl Iterator<Item = ScalarUDF> {
    [Operator::Plus, Operator::Minus, Operator::Multiply].into_iter().filter_map(function)
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &'static str {
        self.name
    }

    /// The name of the operator's column: a statement that names it must find it.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let [left, right] = args else { return internal_err!("{} takes two values", self.name) };
        let (left, right) = (Box::new(left.clone()), Box::new(right.clone()));
        Ok(Expr::BinaryExpr(BinaryExpr { left, op: self.operator, right }).schema_name().to_string())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Int64))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(Arc::new(Field::new(self.name, self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else { return internal_err!("{} takes two values", self.name) };
        match self.operator {
            Operator::Plus => apply(left, right, numeric::add),
            Operator::Minus => apply(left, right, numeric::sub),
            _ => apply(left, right, numeric::mul),
        }
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        let [left, right] = inputs else { return Ok(SortProperties::Unordered) };
        Ok(match self.operator {
            Operator::Plus => left.sort_properties.add(&right.sort_properties),
            Operator::Minus => left.sort_properties.sub(&right.sort_properties),
            _ => SortProperties::Unordered,
        })
    }
}
