//! Finds out which column or table a statement names that does not exist, for a hint beside the error.

use anyhow::Error;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

fn root(error: &Error) -> Option<&DataFusionError> {
    error.chain().find_map(|cause| Some(cause.downcast_ref::<DataFusionError>()?.find_root()))
}

/// The column that the error says does not exist, and the columns that do; `None` for any other error. SQL takes text
/// in double quotes for a column name: where the statement quotes this name so, the name is followed by advice to use
/// single quotes.
pub fn no_column(error: &Error, statement: &str) -> Option<(String, Vec<String>)> {
    let DataFusionError::SchemaError(fault, _) = root(error)? else { return None };
    let SchemaError::FieldNotFound { field, valid_fields } = fault.as_ref() else { return None };
    let name = &field.name;
    let otherwise = valid_fields.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    let quoted = !otherwise && statement.contains(&format!("\"{}\"", name.replace('"', "\"\"")));
    let text = if quoted { format!(": a text stands in single quotes, '{}'", name.replace('\'', "''")) } else { String::new() };
    Some((format!("{name}{text}"), valid_fields.iter().map(|column| column.name.clone()).collect()))
}

/// The name of the table, or of the function in FROM, that the error says does not exist, as the statement spells it; `None`
/// for any other error.
pub fn no_table(error: &Error) -> Option<String> {
    let DataFusionError::Plan(text) = root(error)? else { return None };
    let name = text.strip_prefix("table '").or_else(|| text.strip_prefix("table function '"))?;
    let name = name.strip_suffix("' not found")?;
    Some(name.strip_prefix("datafusion.public.").unwrap_or(name).to_owned())
}

/// Is it that the engine's memory was used up?
pub(in crate::engine) fn no_memory(error: &Error) -> bool {
    matches!(root(error), Some(DataFusionError::ResourcesExhausted(_)))
}
