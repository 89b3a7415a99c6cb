//! Output formats of query results. All but the table for people stream: their memory does not grow with the result.

use crate::text::{shown, shown_lines};
use anyhow::{Result, bail};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::LogicalPlan;
use futures::StreamExt;
use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

/// Rows that the table for people shows, at most.
pub const ROWS: usize = 1000;

/// Output format of a query result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for people; at most [`ROWS`] rows.
    #[default]
    Table,
    /// Comma-separated values with a header line; NULL is an empty field.
    Csv,
    /// A JSON array of objects, one per line; a NULL is left out of its object.
    Json,
    /// A Parquet file; only into a file, not to standard output.
    Parquet,
}

/// Runs a query and writes its rows as text in this format.
///
/// # Errors
/// When the query fails, the text cannot be written, or the format is Parquet.
pub async fn print(frame: DataFrame, format: Format, out: &mut (dyn Write + Send)) -> Result<()> {
    match format {
        Format::Table => table(frame, out).await,
        Format::Csv => {
            let mut header = true;
            each(frame, |batch| {
                let mut writer = arrow::csv::WriterBuilder::new().with_header(header).build(&mut *out);
                header = false;
                Ok(writer.write(batch)?)
            })
            .await
        }
        Format::Json => {
            let mut lines = 0;
            out.write_all(b"[")?;
            each(frame, |batch| {
                // One object a line: the array is JSON as a whole, and its lines can be taken apart without a parser.
                let mut text = Vec::new();
                let mut writer = arrow::json::LineDelimitedWriter::new(&mut text);
                writer.write(batch)?;
                writer.finish()?;
                for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                    out.write_all(if lines == 0 { b"\n" } else { b",\n" })?;
                    out.write_all(line)?;
                    lines += 1;
                }
                Ok(())
            })
            .await?;
            Ok(out.write_all(b"\n]\n")?)
        }
        Format::Parquet => bail!("Parquet cannot be printed: name a file with -o FILE"),
    }
}

async fn each(frame: DataFrame, mut take: impl FnMut(&RecordBatch) -> Result<()> + Send) -> Result<()> {
    let schema: SchemaRef = frame.schema().as_arrow().clone().into();
    let (mut batches, mut any) = (frame.execute_stream().await?, false);
    while let Some(batch) = batches.next().await {
        any = true;
        take(&batch?)?;
    }
    if !any {
        take(&RecordBatch::new_empty(schema))?; // a header still
    }
    Ok(())
}

/// All cells of these batches as text in one batch, made safe to print by `shown` (control characters escaped).
fn cells(schema: &SchemaRef, batches: &[RecordBatch], shown: fn(&str) -> Cow<'_, str>) -> Result<RecordBatch> {
    let options = FormatOptions::default();
    let mut columns = Vec::new();
    for at in 0..schema.fields().len() {
        let mut column = StringBuilder::new();
        for batch in batches {
            let cells = ArrayFormatter::try_new(batch.column(at), &options)?;
            for row in 0..batch.num_rows() {
                column.append_value(shown(&cells.value(row).try_to_string()?));
            }
        }
        columns.push(Arc::new(column.finish()) as ArrayRef);
    }
    let fields = schema.fields().iter().map(|field| Field::new(shown(field.name()), DataType::Utf8, false));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let rows = RecordBatchOptions::new().with_row_count(Some(batches.iter().map(RecordBatch::num_rows).sum()));
    Ok(RecordBatch::try_new_with_options(schema, columns, &rows)?)
}

async fn table(frame: DataFrame, out: &mut (dyn Write + Send)) -> Result<()> {
    let schema: SchemaRef = frame.schema().as_arrow().clone().into();
    // Line breaks in a query plan are ours and are kept; those in a name or value are escaped.
    let shown =
        if matches!(frame.logical_plan(), LogicalPlan::Explain(_) | LogicalPlan::Analyze(_)) { shown_lines } else { shown };
    let (mut stream, mut batches, mut rows) = (frame.execute_stream().await?, Vec::new(), 0);
    while rows <= ROWS
        && let Some(batch) = stream.next().await
    {
        let batch = batch?;
        rows += batch.num_rows();
        batches.push(batch.slice(0, batch.num_rows().min(ROWS + batch.num_rows() - rows)));
    }
    writeln!(out, "{}", pretty_format_batches(&[cells(&schema, &batches, shown)?])?)?;
    match rows {
        0 => writeln!(out, "no rows")?,
        1 => writeln!(out, "1 row")?,
        _ if rows > ROWS => writeln!(out, "the first {ROWS} rows; --format csv, json or parquet gives all")?,
        _ => writeln!(out, "{rows} rows")?,
    }
    Ok(())
}
