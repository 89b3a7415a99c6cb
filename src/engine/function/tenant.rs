//! SQL functions that what-ifs need: `of_tenant(touches, tenant, tenants)` and `below(prefix, path)` tell several tenants of one workload
//! apart, `chance(text)` draws by name.

use crate::order::packed;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::Result;
use datafusion::functions::utils::make_scalar_function;
use datafusion::logical_expr::{ScalarUDF, Volatility, create_udf};
use std::sync::Arc;

/// The SQL functions of this module.
pub fn functions() -> [ScalarUDF; 3] {
    let (text, int) = (DataType::Utf8View, DataType::Int64);
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
    let touches = make_scalar_function(of_tenant, Vec::new());
    let below = make_scalar_function(below, Vec::new());
    let chance = make_scalar_function(chance, Vec::new());
    [
        create_udf("of_tenant", vec![list.clone(), int.clone(), int], list, Volatility::Immutable, Arc::new(touches)),
        create_udf("below", vec![text.clone(), text.clone()], text.clone(), Volatility::Immutable, Arc::new(below)),
        create_udf("chance", vec![text], DataType::Float64, Volatility::Immutable, Arc::new(chance)),
    ]
}

/// Touches of a tenant's own resources: the id of each becomes its number of the capture times the number of tenants, plus that of the
/// tenant.
fn of_tenant(args: &[ArrayRef]) -> Result<ArrayRef> {
    let (lists, tenant, tenants) =
        (args[0].as_list::<i32>(), args[1].as_primitive::<Int64Type>(), args[2].as_primitive::<Int64Type>());
    let values = lists.values().as_primitive::<Int64Type>().values();
    let mut out = Vec::with_capacity(values.len());
    let mut ends = vec![0];
    for row in 0..lists.len() {
        if lists.is_valid(row) {
            let range = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
            out.extend(values[range].iter().map(|touch| packed::of_tenant(*touch, tenant.value(row), tenants.value(row))));
        }
        ends.push(out.len() as i32);
    }
    let field = Arc::new(Field::new_list_field(DataType::Int64, true));
    let offsets = arrow::buffer::OffsetBuffer::new(ends.into());
    Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(Int64Array::from(out)), lists.nulls().cloned())?))
}

/// A path below a directory: what is absolute gets the prefix, anything else stays as it is.
fn below(args: &[ArrayRef]) -> Result<ArrayRef> {
    let (prefixes, paths) = (args[0].as_string_view(), args[1].as_string_view());
    let path = |row: usize| -> Option<String> {
        let (prefix, path) = (prefixes.value(row), paths.is_valid(row).then(|| paths.value(row))?);
        Some(match path {
            "/" if !prefix.is_empty() => prefix.to_owned(),
            path if path.starts_with('/') => format!("{prefix}{path}"),
            path => path.to_owned(),
        })
    };
    Ok(Arc::new((0..paths.len()).map(path).collect::<StringViewArray>()))
}

/// A number from 0 to less than 1 that looks random and is the same for the same text.
fn chance(args: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = cast(&args[0], &DataType::Utf8View)?;
    let number = |text: &str| (xxhash_rust::xxh3::xxh3_64(text.as_bytes()) >> 11) as f64 / (1_u64 << 53) as f64;
    Ok(Arc::new(texts.as_string_view().iter().map(|text| text.map(number)).collect::<Float64Array>()))
}

#[cfg(test)]
mod tests {
    use crate::engine::{Engine, Settings};

    fn shown(sql: &str) -> String {
        let engine = Engine::new(&Settings { threads: Some(1), ..Settings::default() }).unwrap();
        engine.block_on(async { Ok(engine.sql(sql)?.to_string().await?) }).unwrap()
    }

    #[test]
    fn resources_of_tenants_are_their_own_and_keep_kind_and_access() {
        let rows = shown(
            "SELECT of_tenant(make_array(touch('position', 5, 'write'), touch('ofd', 0, 'read')), 2, 3) = \
             make_array(touch('position', 17, 'write'), touch('ofd', 2, 'read')) AS same, of_tenant(NULL, 1, 2) IS NULL AS none",
        );
        assert_eq!(rows.matches("true").count(), 2, "{rows}");
    }

    #[test]
    fn what_is_absolute_goes_below_and_what_is_drawn_stays() {
        let rows = shown("SELECT below('/t', '/') AS a, below('/t', '/x/y') AS b, below('/t', 'x') AS c, below('', '/') AS d");
        for path in ["| /t |", "| /t/x/y |", "| x |", "| / |"] {
            assert!(rows.contains(path), "{rows}");
        }
        let rows = shown(
            "SELECT avg(chance(CAST(value AS VARCHAR))) BETWEEN 0.48 AND 0.52 AS even, min(chance(CAST(value AS VARCHAR))) < 0.01 AS \
             low FROM generate_series(1, 10000)",
        );
        assert_eq!(rows.matches("true").count(), 2, "{rows}");
    }
}
