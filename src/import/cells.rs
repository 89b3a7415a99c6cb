//! Splits a line into the fields that the head of a format lists.

use super::head::{Delimiter, Field, Head, Header, Reader, Type};
use crate::ingest::parse::{Why, digits};
use crate::limits::TEXT;
use anyhow::{Result, bail};
use arrow::array::{ArrayRef, Float64Builder, Int64Builder, StringBuilder};
use arrow::datatypes::{DataType, Field as Column, Schema, SchemaRef};
use csv_core::{ReadRecordResult, ReaderBuilder};
use serde_json::Value;
use std::sync::Arc;

/// The columns of table `input`: `line`, `text`, and the fields.
pub fn schema(head: &Head) -> SchemaRef {
    let mut columns = vec![Column::new("line", DataType::Int64, false), Column::new("text", DataType::Utf8, false)];
    columns.extend(head.fields.iter().map(|field| {
        let ty = match field.ty {
            Type::Bigint => DataType::Int64,
            Type::Double => DataType::Float64,
            Type::Varchar => DataType::Utf8,
        };
        Column::new(&field.name, ty, true)
    }));
    Arc::new(Schema::new(columns))
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    /// A row: its values were added.
    Row,
    /// The names of columns.
    Header,
    /// Blank, or a bracket around the objects.
    Note,
}

/// The values of one column, as they are read.
enum Builder {
    Int(Int64Builder),
    Double(Float64Builder),
    Text(StringBuilder),
}

/// A value of a line, before all values of the line are known to be good.
#[derive(Clone, Copy, Debug)]
enum Cell {
    Null,
    Int(i64),
    Double(f64),
    /// A part of the line's scratch.
    Text(usize, usize),
}

/// How lines are split.
enum Split {
    /// Not at all.
    Whole,
    Csv {
        reader: Box<csv_core::Reader>,
        /// Ends of the values of a line.
        ends: Vec<usize>,
        /// Number of the value of each field; `None` until the header was read.
        places: Option<Vec<usize>>,
        /// Number of values of a line.
        width: usize,
    },
    Json,
}

/// Splits lines into fields and gathers their values.
pub struct Cells<'h> {
    fields: &'h [Field],
    split: Split,
    builders: Vec<Builder>,
    cells: Vec<Cell>,
    scratch: Vec<u8>,
}

impl<'h> Cells<'h> {
    /// A splitter for the fields of this head.
    pub fn new(head: &'h Head) -> Cells<'h> {
        let fields = &head.fields[..];
        let split = match head.reader {
            Reader::Lines | Reader::Parquet => Split::Whole,
            Reader::Ndjson => Split::Json,
            Reader::Csv(Delimiter(delimiter), header) => Split::Csv {
                reader: Box::new(ReaderBuilder::new().delimiter(delimiter).build()),
                ends: vec![0; TEXT / 16],
                places: (header == Header::None).then(|| (0..fields.len()).collect()),
                width: fields.len(),
            },
        };
        let builders = fields.iter().map(|field| match field.ty {
            Type::Bigint => Builder::Int(Int64Builder::new()),
            Type::Double => Builder::Double(Float64Builder::new()),
            Type::Varchar => Builder::Text(StringBuilder::new()),
        });
        Cells { fields, split, builders: builders.collect(), cells: Vec::new(), scratch: vec![0; 2 * TEXT] }
    }

    /// Splits a line (UTF-8) and adds its values; `Err` says why it is refused, and then nothing is added.
    ///
    /// # Errors
    /// When a header lacks a field: then the file is not of this format.
    pub fn line(&mut self, line: &str) -> Result<Result<Is, Why>> {
        self.cells.clear();
        let split = match &mut self.split {
            Split::Whole => Ok(Is::Row),
            Split::Json => json(line, self.fields, &mut self.cells, &mut self.scratch),
            Split::Csv { .. } if line.trim().is_empty() => Ok(Is::Note),
            Split::Csv { reader, ends, places, width } => {
                let found = values(reader, line.as_bytes(), &mut self.scratch, ends);
                match (found, &places) {
                    (Err(why), _) => Err(why),
                    (Ok(found), None) => {
                        *width = found;
                        *places = Some(header(&self.scratch, &ends[..found], self.fields)?);
                        Ok(Is::Header)
                    }
                    (Ok(found), _) if found != *width => Err(Why::Key),
                    (Ok(_), Some(places)) => csv(&self.scratch, ends, places, self.fields, &mut self.cells).map(|()| Is::Row),
                }
            }
        };
        if split == Ok(Is::Row) {
            for (builder, cell) in self.builders.iter_mut().zip(&self.cells) {
                match (builder, *cell) {
                    (Builder::Int(to), Cell::Int(value)) => to.append_value(value),
                    (Builder::Double(to), Cell::Double(value)) => to.append_value(value),
                    (Builder::Text(to), Cell::Text(begin, end)) => {
                        to.append_value(std::str::from_utf8(&self.scratch[begin..end]).unwrap_or_default());
                    }
                    (Builder::Int(to), _) => to.append_null(),
                    (Builder::Double(to), _) => to.append_null(),
                    (Builder::Text(to), _) => to.append_null(),
                }
            }
        }
        Ok(split)
    }

    /// The gathered values by column; the next line begins new ones.
    pub fn finish(&mut self) -> impl Iterator<Item = ArrayRef> + '_ {
        self.builders.iter_mut().map(|builder| -> ArrayRef {
            match builder {
                Builder::Int(values) => Arc::new(values.finish()),
                Builder::Double(values) => Arc::new(values.finish()),
                Builder::Text(values) => Arc::new(values.finish()),
            }
        })
    }
}

/// Splits a line of CSV into the scratch; returns the number of values.
fn values(reader: &mut csv_core::Reader, line: &[u8], scratch: &mut [u8], ends: &mut [usize]) -> Result<usize, Why> {
    reader.reset();
    let (read, _, bytes, count) = reader.read_record(line, scratch, ends);
    match read {
        ReadRecordResult::InputEmpty => {}
        ReadRecordResult::Record | ReadRecordResult::End => return Err(Why::Glued),
        ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => return Err(Why::Key),
    }
    let (read, _, _, more) = reader.read_record(b"", &mut scratch[bytes..], &mut ends[count..]);
    match read {
        ReadRecordResult::Record => Ok(count + more),
        ReadRecordResult::End => Ok(0),
        _ => Err(Why::Key),
    }
}

/// The place of each field among the names of a header.
fn header(scratch: &[u8], ends: &[usize], fields: &[Field]) -> Result<Vec<usize>> {
    let name = |at: usize| scratch[if at == 0 { 0 } else { ends[at - 1] }..ends[at]].trim_ascii();
    let mut places = Vec::new();
    for field in fields {
        match (0..ends.len()).find(|at| name(*at) == field.source.as_bytes()) {
            Some(place) => places.push(place),
            None => bail!("the header of the file has no column {}", field.source),
        }
    }
    Ok(places)
}

fn csv(scratch: &[u8], ends: &[usize], places: &[usize], fields: &[Field], cells: &mut Vec<Cell>) -> Result<(), Why> {
    for (place, field) in places.iter().zip(fields) {
        let (begin, end) = (if *place == 0 { 0 } else { ends[place - 1] }, ends[*place]);
        let value = &scratch[begin..end];
        cells.push(match field.ty {
            Type::Varchar => Cell::Text(begin, end),
            _ => number(value.trim_ascii(), field.ty)?,
        });
    }
    Ok(())
}

/// A number in decimal digits; none for an empty text.
fn number(text: &[u8], ty: Type) -> Result<Cell, Why> {
    match ty {
        _ if text.is_empty() => Ok(Cell::Null),
        Type::Double => {
            let value = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).filter(|value: &f64| value.is_finite());
            value.map(Cell::Double).ok_or(Why::Number)
        }
        Type::Bigint | Type::Varchar => digits(text).map(Cell::Int),
    }
}

fn json(line: &str, fields: &[Field], cells: &mut Vec<Cell>, scratch: &mut Vec<u8>) -> Result<Is, Why> {
    let text = line.trim();
    if matches!(text, "" | "[" | "]") {
        return Ok(Is::Note);
    }
    let text = text.strip_suffix(',').unwrap_or(text);
    let value: Value = serde_json::from_str(text).map_err(|_| Why::NotEvent)?;
    if !value.is_object() {
        return Err(Why::NotEvent);
    }
    scratch.clear();
    for field in fields {
        let found = match field.source.starts_with('/') {
            true => value.pointer(&field.source),
            false => value.get(&field.source),
        };
        cells.push(match (found, field.ty) {
            (None | Some(Value::Null), _) => Cell::Null,
            (Some(Value::String(text)), Type::Varchar) => put(scratch, text)?,
            (Some(other), Type::Varchar) => put(scratch, &other.to_string())?,
            (Some(Value::String(text)), ty) => number(text.trim().as_bytes(), ty)?,
            (Some(Value::Number(value)), Type::Bigint) => Cell::Int(value.as_i64().ok_or(Why::Number)?),
            (Some(Value::Number(value)), Type::Double) => Cell::Double(value.as_f64().ok_or(Why::Number)?),
            (Some(_), _) => return Err(Why::Number),
        });
    }
    Ok(Is::Row)
}

fn put(scratch: &mut Vec<u8>, text: &str) -> Result<Cell, Why> {
    if text.len() > TEXT {
        return Err(Why::Long);
    }
    let begin = scratch.len();
    scratch.extend_from_slice(text.as_bytes());
    Ok(Cell::Text(begin, scratch.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, Int64Array, StringArray};

    /// A row of fields `a` and `b`.
    type Row = (Option<i64>, Option<String>);

    fn read(head: &str, lines: &[&str]) -> (Vec<Result<Is, Why>>, Vec<Row>) {
        let head = Head::parse(head).unwrap();
        let mut cells = Cells::new(&head);
        let is = lines.iter().map(|line| cells.line(line).unwrap()).collect();
        let columns: Vec<ArrayRef> = cells.finish().collect();
        let numbers = columns[0].as_any().downcast_ref::<Int64Array>().unwrap();
        let texts = columns[1].as_any().downcast_ref::<StringArray>().unwrap();
        let rows = (0..numbers.len()).map(|row| {
            (numbers.is_valid(row).then(|| numbers.value(row)), texts.is_valid(row).then(|| texts.value(row).to_owned()))
        });
        (is, rows.collect())
    }

    #[test]
    fn a_line_of_csv_is_whole_or_refused() {
        let head = "-- @reader csv\n-- @field a BIGINT\n-- @field b VARCHAR\n";
        let (is, rows) = read(head, &["1,x", "2", "3,y,z", "q,x", "", "-4,\"a \"\"b\"\",c\"", ",", "99999999999999999999999,x"]);
        let (row, key, number) = (Ok(Is::Row), Err(Why::Key), Err(Why::Number));
        assert_eq!(is, [row, key, key, number, Ok(Is::Note), row, row, number]);
        let texts = ["x", "a \"b\",c", ""].map(|text| Some(text.to_owned()));
        assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), [Some(1), Some(-4), None]);
        assert_eq!(rows.iter().map(|row| row.1.clone()).collect::<Vec<_>>(), texts);
    }

    #[test]
    fn a_header_says_where_fields_are() {
        let head = "-- @reader csv header delimiter=tab\n-- @field a BIGINT The A\n-- @field b VARCHAR\n";
        let (is, rows) = read(head, &["b\tc\tThe A", "x\ty\t7", "x\t7"]);
        assert_eq!((is, rows), (vec![Ok(Is::Header), Ok(Is::Row), Err(Why::Key)], vec![(Some(7), Some("x".into()))]));
        let head = Head::parse(head).unwrap();
        let error = Cells::new(&head).line("b\tc").unwrap_err().to_string();
        assert!(error.contains("no column The A"), "{error}");
    }

    #[test]
    fn a_line_of_json_is_an_object() {
        let head = "-- @reader ndjson\n-- @field a BIGINT /x/a\n-- @field b VARCHAR\n";
        let lines = ["[", "{\"x\":{\"a\":5},\"b\":\"q\"},", "{\"b\":{\"c\":1}}", "{\"x\":{\"a\":\"7\"}}", "]", "{\"x\":", "3"];
        let (is, rows) = read(head, &lines);
        let (row, note, not) = (Ok(Is::Row), Ok(Is::Note), Err(Why::NotEvent));
        assert_eq!(is, [note, row, row, row, note, not, not]);
        assert_eq!(rows, [(Some(5), Some("q".into())), (None, Some("{\"c\":1}".into())), (Some(7), None)]);
        let (is, _) = read(head, &["{\"x\":{\"a\":1.5}}", "{\"x\":{\"a\":true}}", "{\"x\":{\"a\":1e30}}"]);
        assert_eq!(is, [Err(Why::Number); 3]);
    }

    proptest::proptest! {
        /// Whatever a line is, it is a row, none, or refused, and a refused one leaves no values.
        #[test]
        fn any_line_is_something(lines in proptest::collection::vec("[-0-9a,;\"\\[\\]{}: \t\\\\\u{7f}é]{0,40}", 1..20)) {
            for head in ["-- @reader csv\n-- @field a BIGINT\n-- @field b VARCHAR\n", "-- @reader ndjson\n-- @field a BIGINT\n-- @field b VARCHAR\n"] {
                let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                let (is, rows) = read(head, &lines);
                proptest::prop_assert_eq!(is.iter().filter(|is| **is == Ok(Is::Row)).count(), rows.len());
            }
        }
    }
}
