//! Values of a report, their units, and how people read them.

use crate::amount::{Bytes, Nanos};
use crate::text::shown;
use anyhow::Result;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::Serialize;

/// Characters of a text that a page shows at most; of a longer one it shows the beginning and the end.
const LONG: usize = 160;

/// A value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// Nothing is known.
    Null,
    /// A number.
    Int(i64),
    /// A number with a fraction; always finite.
    Real(f64),
    /// A text, in the form of [`crate::text`].
    Text(String),
}

/// Unit of a column: what the end of its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Text, or a number without a unit.
    Plain,
    /// A number that names something.
    Id,
    /// Nanoseconds.
    Nanos,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Bytes each second.
    ByteRate,
    /// Things each second.
    Rate,
    /// A share, 0 to 1.
    Share,
    /// Percent.
    Percent,
}

impl Unit {
    /// The unit of a column of this name.
    pub fn of(name: &str) -> Unit {
        let ends = |end: &str| name.strip_suffix(end).is_some_and(|stem| stem.is_empty() || stem.ends_with('_'));
        match name {
            "pid" | "vpid" | "tid" | "lane" | "worker" | "errno" | "captured_errno" | "first_op" => Unit::Id,
            _ if ends("bytes_per_s") => Unit::ByteRate,
            _ if ends("per_s") => Unit::Rate,
            _ if ends("ns") => Unit::Nanos,
            _ if ends("s") => Unit::Seconds,
            _ if ends("bytes") => Unit::Bytes,
            _ if ends("share") => Unit::Share,
            _ if ends("percent") => Unit::Percent,
            _ => Unit::Plain,
        }
    }
}

impl Cell {
    /// A number with a fraction; none where it is not finite.
    pub fn real(value: f64) -> Cell {
        if value.is_finite() { Cell::Real(value) } else { Cell::Null }
    }

    /// The number that it is; `None` for texts and nothing.
    pub fn number(&self) -> Option<f64> {
        match self {
            Cell::Int(value) => Some(*value as f64),
            Cell::Real(value) => Some(*value),
            Cell::Null | Cell::Text(_) => None,
        }
    }

    /// The value for people, on one line; control characters are escaped.
    pub fn show(&self, unit: Unit) -> String {
        match (self, unit) {
            (Cell::Null, _) => String::new(),
            (Cell::Text(text), _) => clipped(text),
            (Cell::Int(value), Unit::Id) => value.to_string(),
            (Cell::Int(value), Unit::Nanos) => Nanos(*value).to_string(),
            (Cell::Int(value), Unit::Bytes) if *value >= 0 => Bytes(*value as u64).to_string(),
            (Cell::Int(value), Unit::Plain | Unit::Bytes) => grouped(*value),
            (cell, unit) => {
                let value = cell.number().unwrap_or_default();
                match unit {
                    Unit::Nanos => Nanos(value as i64).to_string(),
                    Unit::Seconds => Nanos((value * 1e9) as i64).to_string(),
                    Unit::Bytes => Bytes(value.max(0.0) as u64).to_string(),
                    Unit::ByteRate => format!("{}/s", Bytes(value.max(0.0) as u64)),
                    Unit::Rate => format!("{}/s", short(value)),
                    Unit::Share => format!("{:.1} %", value * 100.0),
                    Unit::Percent => format!("{value:.1} %"),
                    Unit::Plain | Unit::Id => short(value),
                }
            }
        }
    }
}

/// A number with three digits that count.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => grouped(value.round() as i64),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        0.0 => "0".into(),
        size if size < 0.001 => format!("{value:.1e}"),
        size if size < 0.1 => format!("{value:.4}"),
        _ => format!("{value:.2}"),
    }
}

/// A number with commas between thousands.
fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}

/// A text for people: control characters escaped, the middle of a long one left out.
pub fn clipped(text: &str) -> String {
    let shown = shown(text);
    let count = shown.chars().count();
    if count <= LONG {
        return shown.into_owned();
    }
    let head: String = shown.chars().take(LONG / 2).collect();
    let tail: String = shown.chars().skip(count - LONG / 2).collect();
    format!("{head} … {tail}")
}

/// The rows of some batches.
///
/// # Errors
/// When a value cannot be printed.
pub fn rows(batches: &[RecordBatch]) -> Result<Vec<Vec<Cell>>> {
    let mut rows = Vec::new();
    for batch in batches {
        let mut columns = Vec::new();
        for column in batch.columns() {
            columns.push(cells(column)?.into_iter());
        }
        for _ in 0..batch.num_rows() {
            rows.push(columns.iter_mut().map(|column| column.next().unwrap_or(Cell::Null)).collect());
        }
    }
    Ok(rows)
}

fn cells(column: &dyn Array) -> Result<Vec<Cell>> {
    let options = FormatOptions::default();
    let texts = ArrayFormatter::try_new(column, &options)?;
    let cell = |row: usize| {
        Ok(match column.data_type() {
            _ if column.is_null(row) => Cell::Null,
            DataType::Int64 => Cell::Int(column.as_primitive::<Int64Type>().value(row)),
            DataType::Float64 => Cell::real(column.as_primitive::<Float64Type>().value(row)),
            _ => Cell::Text(texts.value(row).try_to_string()?),
        })
    };
    (0..column.len()).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_units() {
        let of = ["p99_ns", "time_s", "bytes", "read_bytes", "read_bytes_per_s", "calls_per_s", "share", "calls", "class"];
        use Unit::{ByteRate, Bytes, Nanos, Plain, Rate, Seconds, Share};
        assert_eq!(of.map(Unit::of), [Nanos, Seconds, Bytes, Bytes, ByteRate, Rate, Share, Plain, Plain]);
    }

    #[test]
    fn values_are_read_by_people() {
        assert_eq!(Cell::Int(1_234_567).show(Unit::Plain), "1,234,567");
        assert_eq!(Cell::Int(-1000).show(Unit::Plain), "-1,000");
        assert_eq!(Cell::Int(1250).show(Unit::Nanos), "1.25 µs");
        assert_eq!(Cell::real(f64::NAN), Cell::Null);
        assert_eq!(Cell::Real(0.123).show(Unit::Share), "12.3 %");
        assert_eq!(Cell::Text("a\x1b[2J\n".into()).show(Unit::Plain), "a\\x1b[2J\\n");
        let long = Cell::Text("ü".repeat(1000)).show(Unit::Plain);
        assert!(long.chars().count() == LONG + 3 && long.contains(" … "));
        assert_eq!(Cell::Real(1e300).show(Unit::Seconds), Nanos(i64::MAX).to_string());
    }
}
