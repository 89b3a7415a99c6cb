//! Whose rows a table function is given: of one machine, or of several, each of which has a state of its own.

use super::Function;
use crate::model::Config;
use crate::text::shown;
use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Column that names the host of a row.
pub const HOST: &str = "host";

/// Of which machines the rows are that table functions are given, and how the model is configured for each.
#[derive(Clone, Debug)]
pub enum Hosts {
    /// Of one, whatever their column `host` says.
    One(Config),
    /// Of the one that their column `host` names, where there is one. Nothing is known of a host that does not stand here.
    Each(BTreeMap<String, Config>),
}

impl Default for Hosts {
    fn default() -> Hosts {
        Hosts::One(Config::default())
    }
}

impl Hosts {
    /// How the model is configured for a host (`None` where that is not known).
    pub fn config(&self, host: Option<&str>) -> Config {
        match self {
            Hosts::One(config) => config.clone(),
            // What has no name that is known can only be of the one that there is.
            Hosts::Each(all) => {
                let named = host.and_then(|host| all.get(host));
                let only = all.values().next().filter(|_| all.len() == 1);
                named.or(only).cloned().unwrap_or_default()
            }
        }
    }

    /// Has a function over these columns a state for each host?
    pub fn apart(&self, columns: &Schema) -> bool {
        matches!(self, Hosts::Each(_)) && columns.index_of(HOST).is_ok()
    }

    /// The columns that a function makes of a relation: its own, and the host where it has a state for each.
    ///
    /// # Errors
    /// As [`Function::output`].
    pub fn output(&self, function: &dyn Function, input: &DFSchema) -> Result<Schema> {
        let made = function.output(input)?;
        let Some(host) = input.as_arrow().field_with_name(HOST).ok().filter(|_| matches!(self, Hosts::Each(_))) else {
            return Ok(made);
        };
        let host = Arc::new(Field::new(HOST, text(host), true));
        let mut fields: Vec<_> = made.fields().iter().cloned().collect();
        match made.index_of(HOST) {
            Ok(at) => fields[at] = host,
            Err(_) => fields.push(host),
        }
        Ok(Schema::new(fields))
    }

    /// The type to which a column of the input is cast; `None` when nobody reads it.
    pub fn takes(&self, function: &dyn Function, field: &Field, output: &Schema) -> Option<DataType> {
        match (self, field.name().as_str()) {
            (Hosts::Each(_), HOST) => Some(text(field)),
            _ => function.takes(field, output),
        }
    }
}

/// The type in which names of hosts are taken: as they come, since of what is cast no order is known.
fn text(field: &Field) -> DataType {
    match field.data_type() {
        ty @ (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => ty.clone(),
        _ => DataType::Utf8View,
    }
}

/// Does the footer of all files below say that the rows of this plan are of one host?
pub fn alone(input: &dyn ExecutionPlan) -> bool {
    let known = StatisticsContext::new().compute(input, &StatisticsArgs::new());
    let (Ok(at), Ok(known)) = (input.schema().index_of(HOST), known) else { return false };
    match known.column_statistics.get(at).map(|column| (&column.null_count, &column.min_value, &column.max_value)) {
        Some((Precision::Exact(0), Precision::Exact(least), Precision::Exact(greatest))) => least == greatest,
        _ => false,
    }
}

/// Which hosts the rows of an input are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Nobody asks.
    Unknown,
    /// All of one, as the files say.
    Alone,
    /// Of some, one behind the other in the order of their names; NULL is the last.
    InOrder,
}

/// The host whose rows come now, while the rows of several come one behind the other.
pub struct Turn {
    keys: Keys,
    /// Number of column `host` of the input.
    at: usize,
    /// `None` before the first row.
    now: Option<Option<String>>,
}

/// What the next rows of the input are.
pub enum Next {
    /// So many rows of the host whose state runs.
    Same(usize),
    /// Rows of the next host.
    Other(Option<String>),
}

impl Turn {
    /// At the start of an input with these columns; `None` where nobody asks for hosts.
    ///
    /// # Errors
    /// When there is no column `host`.
    pub fn new(keys: Keys, input: &Schema) -> Result<Option<Turn>> {
        Ok(match keys {
            Keys::Unknown => None,
            Keys::Alone | Keys::InOrder => Some(Turn { keys, at: input.index_of(HOST)?, now: None }),
        })
    }

    /// Has a host had its turn?
    pub fn is_begun(&self) -> bool {
        self.now.is_some()
    }

    /// The host whose rows came last.
    pub fn host(&self) -> Option<&str> {
        self.now.as_ref().and_then(Option::as_deref)
    }

    /// Whose rows a batch begins with; it has rows.
    ///
    /// # Errors
    /// When they are of a host whose turn is over, or of a second one where there should be one.
    pub fn next(&self, function: &str, batch: &RecordBatch) -> Result<Next> {
        let hosts = cast(batch.column(self.at), &DataType::Utf8View)?;
        let hosts = hosts.as_string_view();
        let named = |row: usize| hosts.is_valid(row).then(|| hosts.value(row));
        let first = named(0);
        let Some(now) = &self.now else { return Ok(Next::Other(first.map(str::to_owned))) };
        if now.as_deref() == first {
            return Ok(Next::Same((1..hosts.len()).find(|row| named(*row) != first).unwrap_or(hosts.len())));
        }
        let said = |host: Option<&str>| host.map_or("no name".to_owned(), |host| shown(host).to_string());
        // NULL is the last of all.
        let later = |host: Option<&str>| (host.is_none(), host.map(str::to_owned));
        match self.keys {
            Keys::InOrder if later(first) > later(now.as_deref()) => Ok(Next::Other(first.map(str::to_owned))),
            Keys::InOrder | Keys::Unknown => exec_err!(
                "rows of host {} come behind those of host {}: {function} takes them by host, in order, and this input claims an \
                 order that it does not have",
                said(first),
                said(now.as_deref())
            ),
            Keys::Alone => exec_err!(
                "there are rows of host {} and of host {} in a file that claims to have those of one",
                said(now.as_deref()),
                said(first)
            ),
        }
    }

    /// From now on rows of this host come.
    pub fn begin(&mut self, host: Option<String>) {
        self.now = Some(host);
    }

    /// The rows that a function has made for the host, with its name in column `host` of `output`.
    ///
    /// # Errors
    /// When a column is missing.
    pub fn name(&self, made: &RecordBatch, output: &SchemaRef) -> Result<RecordBatch> {
        let rows = made.num_rows();
        let column = |field: &Arc<Field>| match field.name().as_str() {
            HOST => {
                Ok(ScalarValue::Utf8View(self.host().map(str::to_owned)).cast_to(field.data_type())?.to_array_of_size(rows)?)
            }
            name => match made.column_by_name(name) {
                Some(column) => Ok(Arc::clone(column)),
                None => Err(exec_datafusion_err!("there is no column {name}")),
            },
        };
        let columns = output.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(output), columns, &options)?)
    }
}

/// The columns that a function itself has to make for this output: where that are none, one, by which rows are counted.
///
/// # Errors
/// When it makes none at all.
pub fn own(function: &dyn Function, input: &Schema, output: &SchemaRef) -> Result<SchemaRef> {
    let makes = function.output(&DFSchema::try_from(input.clone())?)?;
    let mut fields: Vec<_> = output.fields().iter().filter(|field| makes.index_of(field.name()).is_ok()).cloned().collect();
    if fields.is_empty() {
        fields.extend(makes.fields().iter().find(|field| input.index_of(field.name()).is_err()).cloned());
    }
    if fields.is_empty() {
        return plan_err!("name a column of {} beside host", function.name());
    }
    Ok(Arc::new(Schema::new(fields)))
}
