//! `touch(kind, id, access)` and `resource_kind(resource)`: SQL functions over the numbers of touches and resources
//! ([`crate::order::packed`]).

use crate::model::{Access, Resource, Touch};
use crate::order::packed;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::functions::utils::make_scalar_function;
use datafusion::logical_expr::{ScalarUDF, Volatility, create_udf};
use std::sync::Arc;

/// The SQL functions `touch` and `resource_kind`.
pub fn functions() -> [ScalarUDF; 2] {
    let (text, int) = (DataType::Utf8, DataType::Int64);
    let touch = make_scalar_function(touch, Vec::new());
    let kind = make_scalar_function(resource_kind, Vec::new());
    [
        create_udf("touch", vec![text.clone(), int.clone(), text], int.clone(), Volatility::Immutable, Arc::new(touch)),
        create_udf("resource_kind", vec![int.clone()], int, Volatility::Immutable, Arc::new(kind)),
    ]
}

/// The number of a touch, from the word of a kind ([`Resource`]), an id, and the word of an access ([`Access`]).
fn touch(args: &[ArrayRef]) -> Result<ArrayRef> {
    let (kinds, ids, accesses) = (args[0].as_string::<i32>(), args[1].as_primitive::<Int64Type>(), args[2].as_string::<i32>());
    let number = |row: usize| -> Result<Option<i64>> {
        if args.iter().any(|arg| arg.is_null(row)) {
            return Ok(None);
        }
        let (kind, access) = (kinds.value(row), accesses.value(row));
        let kind = Resource::parse(kind).ok_or_else(|| exec_datafusion_err!("there is no kind of resource {kind:?}"))?;
        let access = Access::parse(access).ok_or_else(|| exec_datafusion_err!("there is no access {access:?}"))?;
        Ok(Some(packed::number(Touch { kind, id: ids.value(row), access })))
    };
    Ok(Arc::new((0..ids.len()).map(number).collect::<Result<Int64Array>>()?))
}

/// The number of a resource's kind: its place in the list of [`Resource`].
fn resource_kind(args: &[ArrayRef]) -> Result<ArrayRef> {
    Ok(Arc::new(args[0].as_primitive::<Int64Type>().unary::<_, Int64Type>(packed::kind_of)))
}

#[cfg(test)]
mod tests {
    use crate::engine::{Engine, Settings};

    #[test]
    fn numbers_are_made_and_read_by_name() {
        let engine = Engine::new(&Settings { threads: Some(1), ..Settings::default() }).unwrap();
        let shown = |sql: &str| {
            let rows = engine.block_on(async { Ok(engine.sql(sql)?.to_string().await?) });
            rows.map_err(|error| format!("{error:#}"))
        };
        let made = shown(
            "SELECT touch('position', id, 'write') AS t, resource_kind(id * 16 + 1) AS k FROM (VALUES (5), (NULL)) AS t(id)",
        );
        let made: Vec<_> = made.unwrap().split(['|', '\n', ' ']).filter_map(|word| word.parse::<i64>().ok()).collect();
        assert_eq!(made, [(5 * 16 + 1) * 4 + 2, 1]);
        for (sql, fault) in [
            ("SELECT touch('inode', 1, 'read')", "there is no kind of resource \"inode\""),
            ("SELECT touch('ofd', 1, 'reads')", "there is no access \"reads\""),
        ] {
            let said = shown(sql).unwrap_err();
            assert!(said.contains(fault), "{said}");
        }
    }
}
