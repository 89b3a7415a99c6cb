//! The forms an answer is given in. All but the table for people stream: their memory does not grow with the answer.

use anyhow::{Result, bail};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::pretty::pretty_format_batches;
use datafusion::dataframe::DataFrame;
use futures::StreamExt;
use std::io::Write;

/// Rows a table for people shows.
pub const ROWS: usize = 1000;

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns; at most [`ROWS`] rows.
    #[default]
    Table,
    /// Comma-separated values with a header line; what is absent is empty.
    Csv,
    /// An array of objects; what is absent is left out.
    Json,
    /// A Parquet file.
    Parquet,
}

/// Writes an answer as text.
///
/// # Errors
/// When the query fails or the text cannot be written; Parquet is no text.
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

async fn table(frame: DataFrame, out: &mut (dyn Write + Send)) -> Result<()> {
    let schema: SchemaRef = frame.schema().as_arrow().clone().into();
    let (mut stream, mut batches, mut rows) = (frame.execute_stream().await?, Vec::new(), 0);
    while rows <= ROWS
        && let Some(batch) = stream.next().await
    {
        let batch = batch?;
        rows += batch.num_rows();
        batches.push(batch.slice(0, batch.num_rows().min(ROWS + batch.num_rows() - rows)));
    }
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    writeln!(out, "{}", pretty_format_batches(&batches)?)?;
    match rows {
        0 => writeln!(out, "no rows")?,
        1 => writeln!(out, "1 row")?,
        _ if rows > ROWS => writeln!(out, "the first {ROWS} rows; --format csv, json or parquet gives all")?,
        _ => writeln!(out, "{rows} rows")?,
    }
    Ok(())
}
