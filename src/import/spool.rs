//! Writes an input to a file without a name, as table `input`: a SELECT may read it more than once.

use super::cells::{self, Cells, Is};
use super::head::{Head, Reader};
use crate::files;
use crate::ingest::Input;
use crate::ingest::parse::{Reject, Why};
use crate::ingest::rejects::Rejects;
use crate::limits::TEXT;
use crate::progress::Progress;
use crate::schema::check::{self, Checked};
use crate::schema::read;
use crate::schema::scratch_properties;
use crate::text;
use anyhow::{Context, Result, bail, ensure};
use arrow::array::{ArrayRef, Int64Array, Int64Builder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Rows that are encoded at once.
const ROWS: usize = 8192;
/// Bytes of text that are encoded at once, about.
const BYTES: usize = 4 << 20;

/// An input as a file, and what its lines are that are no rows.
pub struct Spooled {
    /// The file.
    pub file: Checked,
    /// Number of lines of the input; of a Parquet file of its rows.
    pub lines: u64,
    /// Lines with the names of columns.
    pub headers: u64,
    /// Blank lines.
    pub notes: u64,
    /// Lines that the reader refused.
    pub rejects: u64,
}

/// Writes an input to a file without a name in `dir`; lines that the reader refuses go to `rejects`.
///
/// # Errors
/// When the input cannot be read, or there is no room.
pub fn spool(input: &Input, head: &Head, dir: &Path, rejects: &mut Rejects, progress: &Progress) -> Result<Spooled> {
    let file = files::nameless(dir).context("cannot make a temporary file for the input")?;
    let again = file.try_clone()?;
    let counts = match head.reader {
        Reader::Parquet => table(input, file, progress)?,
        _ => lines(input, head, file, rejects, progress)?,
    };
    let [lines, headers, notes, rejects] = counts;
    ensure!(lines > 0, "{} is empty: there is nothing to ingest", input.name());
    Ok(Spooled { file: Checked::ours(again)?, lines, headers, notes, rejects })
}

fn writer(file: File, schema: SchemaRef) -> Result<ArrowWriter<File>> {
    Ok(ArrowWriter::try_new(file, schema, Some(scratch_properties()?))?)
}

/// Spools lines of text. Returns the numbers of lines, headers, notes and rejects.
fn lines(input: &Input, head: &Head, file: File, rejects: &mut Rejects, progress: &Progress) -> Result<[u64; 4]> {
    let stop = AtomicBool::new(false);
    let mut source = input.open(progress, &stop)?;
    let schema = cells::schema(head);
    let mut writer = writer(file, Arc::clone(&schema))?;
    let (mut numbers, mut texts) = (Int64Builder::new(), StringBuilder::new());
    let (mut rows, mut bytes) = (0, 0);
    let mut cells = Cells::new(head);
    let [mut count, mut headers, mut notes, mut refused] = [0_u64; 4];
    let mut flush = |numbers: &mut Int64Builder, texts: &mut StringBuilder, cells: &mut Cells<'_>| -> Result<()> {
        let mut columns: Vec<ArrayRef> = vec![Arc::new(numbers.finish()), Arc::new(texts.finish())];
        columns.extend(cells.finish());
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?).context("cannot write the input to a temporary file")
    };
    let name = input.name();
    while let Some(chunk) = source.chunk()? {
        let mut rest = &chunk.bytes[..];
        let mut number = chunk.first;
        while !rest.is_empty() {
            let (line, tail) = match memchr::memchr(b'\n', rest) {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (rest, &rest[rest.len()..]),
            };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            count = number;
            let is = match () {
                () if chunk.cut || line.len() > TEXT => Err(Why::Long),
                () if memchr::memchr(0, line).is_some() => Err(Why::Nul),
                () => {
                    let shown = text::encode(line);
                    let is = cells.line(&shown).with_context(|| format!("line {number} of {name}"))?;
                    if is == Ok(Is::Row) {
                        numbers.append_value(i64::try_from(number)?);
                        texts.append_value(&shown);
                        (rows, bytes) = (rows + 1, bytes + shown.len());
                    }
                    is
                }
            };
            match is {
                Ok(Is::Row) => {}
                Ok(Is::Header) => headers += 1,
                Ok(Is::Note) => notes += 1,
                Err(why) => {
                    refused += 1;
                    rejects.push(&name, &Reject::new(number, why, line))?;
                }
            }
            if bytes >= BYTES || rows >= ROWS {
                flush(&mut numbers, &mut texts, &mut cells)?;
                (rows, bytes) = (0, 0);
            }
            number += 1;
            rest = if chunk.cut { &[] } else { tail };
        }
    }
    flush(&mut numbers, &mut texts, &mut cells)?;
    writer.close().context("cannot write the input to a temporary file")?;
    Ok([count, headers, notes, refused])
}

/// Spools the rows of a Parquet file, with their numbers. Returns how many they are, and zeroes.
fn table(input: &Input, file: File, progress: &Progress) -> Result<[u64; 4]> {
    let Input::Path(path) = input else { bail!("a Parquet file cannot be read from standard input: name the file") };
    let reader = read::Reader::of(input.name(), check::whole(path)?, None)?;
    let (mut writer_, mut rows, mut columns): (Option<ArrowWriter<File>>, u64, SchemaRef) = (None, 0, Arc::new(Schema::empty()));
    let mut file = Some(file);
    for batch in reader.build()? {
        let batch = batch?;
        if let Some(file) = file.take() {
            let theirs = batch.schema();
            ensure!(theirs.index_of("line").is_err(), "{} has a column line, which is the number of the row here", input.name());
            let mut fields = vec![Arc::new(Field::new("line", DataType::Int64, false))];
            fields.extend(theirs.fields().iter().cloned());
            columns = Arc::new(Schema::new(fields));
            writer_ = Some(writer(file, Arc::clone(&columns))?);
        }
        let first = i64::try_from(rows)? + 1;
        rows += batch.num_rows() as u64;
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(first..=i64::try_from(rows)?))];
        arrays.extend(batch.columns().iter().cloned());
        if let Some(writer) = &mut writer_ {
            writer.write(&RecordBatch::try_new(Arc::clone(&columns), arrays)?)?;
        }
    }
    if let Some(writer) = writer_ {
        writer.close().context("cannot write the input to a temporary file")?;
    }
    progress.add(input.size());
    Ok([rows, 0, 0, 0])
}
