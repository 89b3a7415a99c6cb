//! From a query to a Parquet file whose bytes depend on the rows alone.
//!
//! The rows are cut anew into chunks of one size, so neither the number of partitions nor the batches of the engine
//! show in the file, and its hash is a fingerprint of its rows.

use super::cluster::{By, Cluster};
use anyhow::{Context, Result, anyhow};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::dataframe::DataFrame;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use xxhash_rust::xxh3::Xxh3Default;

/// Rows in a chunk. Row groups are multiples of it.
const CHUNK: usize = 8192;
/// Batches between the query and the writer: both work at once, and little waits.
const AHEAD: usize = 2;

/// What was written.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Rows.
    pub rows: u64,
    /// xxh3 of the file's bytes.
    pub hash: u64,
}

/// Writes the rows of a query to a Parquet file, in their order or, with `by`, with those of a lane together. `schema`
/// fixes names and what may be absent; `tick` is told of rows as they are done.
///
/// # Errors
/// When the query fails, a value is absent that may not be, or the file cannot be written.
pub async fn write(
    frame: DataFrame,
    schema: SchemaRef,
    file: File,
    properties: WriterProperties,
    by: Option<By>,
    tick: impl Fn(u64) + Send,
) -> Result<Written> {
    let mut rows = frame.execute_stream().await?;
    // Text keeps the form the engine has it in; without Arrow's own notes in the file it is plain UTF-8 to any reader.
    let planned = rows.schema();
    let fields = schema.fields().iter().zip(planned.fields());
    let fields = fields.map(|(ours, theirs)| Field::new(ours.name(), theirs.data_type().clone(), ours.is_nullable()));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let (send, receive) = sync_channel::<RecordBatch>(AHEAD);
    let writer = std::thread::Builder::new().name("parquet".into()).spawn({
        let schema = Arc::clone(&schema);
        move || write_all(&receive, &schema, file, properties, by)
    })?;
    let mut failure = None;
    while let Some(batch) = rows.next().await {
        match batch {
            Ok(batch) => {
                tick(batch.num_rows() as u64);
                if send.send(batch).is_err() {
                    break; // the writer has failed and says why below
                }
            }
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    drop(send);
    let written = writer.join().map_err(|_| anyhow!("the Parquet writer stopped unexpectedly"))?;
    match failure {
        Some(error) => Err(error.into()),
        None => written,
    }
}

fn write_all(
    batches: &Receiver<RecordBatch>,
    schema: &SchemaRef,
    file: File,
    properties: WriterProperties,
    by: Option<By>,
) -> Result<Written> {
    let mut table = Chunks::new(schema, file, properties)?;
    let batches = batches.iter().map(|batch| RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec()));
    match by {
        None => batches.into_iter().try_for_each(|batch| table.push(batch?))?,
        Some(by) => {
            let mut cluster = Cluster::new(by, Arc::clone(schema))?;
            batches.into_iter().try_for_each(|batch| cluster.push(batch?))?;
            cluster.finish(|batch| table.push(batch))?;
        }
    }
    table.finish()
}

/// A table that is written chunk by chunk, however its rows arrive.
struct Chunks {
    writer: ArrowWriter<Hashing>,
    schema: SchemaRef,
    waiting: Vec<RecordBatch>,
    ready: usize,
    rows: u64,
}

impl Chunks {
    fn new(schema: &SchemaRef, file: File, properties: WriterProperties) -> Result<Chunks> {
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let out = Hashing { file: BufWriter::new(file), hash: Xxh3Default::new() };
        let writer = ArrowWriter::try_new_with_options(out, Arc::clone(schema), options)?;
        Ok(Chunks { writer, schema: Arc::clone(schema), waiting: Vec::new(), ready: 0, rows: 0 })
    }

    fn push(&mut self, mut batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        while self.ready + batch.num_rows() >= CHUNK {
            let rest = CHUNK - self.ready;
            self.waiting.push(batch.slice(0, rest));
            batch = batch.slice(rest, batch.num_rows() - rest);
            self.flush()?;
        }
        self.ready += batch.num_rows();
        if batch.num_rows() > 0 {
            self.waiting.push(batch);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.ready = 0;
        Ok(self.writer.write(&join(&self.schema, &mut self.waiting)?)?)
    }

    fn finish(mut self) -> Result<Written> {
        if self.ready > 0 {
            self.flush()?;
        }
        self.writer.finish()?;
        let out = self.writer.inner_mut();
        out.file.flush().context("cannot write the table")?;
        Ok(Written { rows: self.rows, hash: out.hash.digest() })
    }
}

/// Makes one batch of several.
fn join(schema: &SchemaRef, parts: &mut Vec<RecordBatch>) -> Result<RecordBatch> {
    let batch = match parts.as_slice() {
        [one] => one.clone(),
        _ => concat_batches(schema, parts.iter())?,
    };
    parts.clear();
    Ok(batch)
}

/// A file that hashes what it is given.
struct Hashing {
    file: BufWriter<File>,
    hash: Xxh3Default,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
