//! Writes the rows of a query to a Parquet file whose bytes depend on the rows alone.
//!
//! The rows are cut anew into chunks of one size, so neither the number of partitions nor the engine's batch size
//! changes the file, and its hash is a fingerprint of its rows.

use super::cluster::{By, Cluster};
use crate::process::panics;
use crate::schema::encode::{Encoder, Encoders};
use anyhow::{Context, Result, anyhow};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use xxhash_rust::xxh3::Xxh3Default;

/// Rows that are handed to the Parquet writer at once. Row groups are multiples of it.
const CHUNK: usize = 8192;
/// Batches that may wait between the query and the writer's thread: both work at once, and little memory is held.
const AHEAD: usize = 2;

/// What [`write()`] has written.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Number of rows in the file.
    pub rows: u64,
    /// 64-bit hash (xxh3) of the file's bytes.
    pub hash: u64,
}

/// Writes the rows of a query to a Parquet file: in their order or, with `by`, grouped by lane (`cluster.rs`). `schema`
/// gives the names of columns and which may be NULL; `encoders` are the threads that encode columns; `tick` is called with the number of
/// rows of each batch.
///
/// # Errors
/// When the query fails, a value is NULL in a column that may not be, or the file cannot be written.
pub async fn write(
    mut rows: SendableRecordBatchStream,
    schema: SchemaRef,
    file: File,
    properties: WriterProperties,
    by: Option<By>,
    encoders: Encoders,
    tick: impl Fn(u64) + Send,
) -> Result<Written> {
    // Text keeps the form the engine has it in; without Arrow's own notes in the file it is plain UTF-8 to any reader.
    let planned = rows.schema();
    let fields = schema.fields().iter().zip(planned.fields());
    let fields = fields.map(|(ours, theirs)| Field::new(ours.name(), theirs.data_type().clone(), ours.is_nullable()));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut writer = Writer::spawn(move |batches| write_all(batches, &schema, file, properties, by, encoders))?;
    while let Some(batch) = rows.next().await.transpose()? {
        tick(batch.num_rows() as u64);
        if !writer.take(batch) {
            break; // it has failed and says why below
        }
    }
    writer.finish()
}

/// A thread that writes batches to a Parquet file, and the queue to it.
struct Writer {
    queue: Option<SyncSender<Option<RecordBatch>>>,
    thread: Option<JoinHandle<Result<Written>>>,
}

impl Writer {
    fn spawn(write: impl FnOnce(Batches) -> Result<Written> + Send + 'static) -> Result<Writer> {
        let (send, receive) = sync_channel(AHEAD);
        let write = move || panics::contain(|| write(Batches(receive)));
        let thread = std::thread::Builder::new().name("parquet".into()).spawn(write)?;
        Ok(Writer { queue: Some(send), thread: Some(thread) })
    }

    /// Queues a batch for the thread; false when the thread has failed and takes no more.
    fn take(&mut self, batch: RecordBatch) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.send(Some(batch)).is_ok())
    }

    /// Tells the thread that all batches have come, and waits until they are written.
    fn finish(mut self) -> Result<Written> {
        if let Some(queue) = self.queue.take() {
            let _ = queue.send(None); // it has failed and says why below
        }
        let written = self.thread.take().map(JoinHandle::join);
        written.and_then(std::result::Result::ok).unwrap_or_else(|| Err(anyhow!("the Parquet writer stopped unexpectedly")))
    }
}

impl Drop for Writer {
    /// Waits for the thread: when the query has failed nothing may be writing any more, since the caller removes the
    /// files.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The receiving end of a writer's queue; `None` in it marks the end of the rows.
struct Batches(Receiver<Option<RecordBatch>>);

impl Batches {
    fn each(self, mut take: impl FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        while let Some(batch) = self.0.recv().context("the query has failed")? {
            take(batch)?;
        }
        Ok(())
    }
}

fn write_all(
    batches: Batches,
    schema: &SchemaRef,
    file: File,
    properties: WriterProperties,
    by: Option<By>,
    encoders: Encoders,
) -> Result<Written> {
    let ours = |batch: RecordBatch| RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec());
    match by {
        None => {
            let mut table = Chunks::new(schema, file, properties, encoders)?;
            batches.each(|batch| table.push(ours(batch)?))?;
            table.finish()
        }
        Some(by) => {
            let mut cluster = Cluster::new(by, schema, encoders.clone())?;
            batches.each(|batch| cluster.push(&ours(batch)?))?;
            let mut properties = properties.into_builder();
            for empty in cluster.empty() {
                // Setting up a compressor and a dictionary, for every row group, costs more than the column.
                let path = ColumnPath::from(empty.name().as_str());
                properties = properties.set_column_compression(path.clone(), Compression::UNCOMPRESSED);
                properties = properties.set_column_dictionary_enabled(path, false);
            }
            let mut table = Chunks::new(cluster.schema(), file, properties.build(), encoders)?;
            cluster.finish(CHUNK, |batch| table.push(batch))?;
            table.finish()
        }
    }
}

/// A Parquet file that is written in chunks of [`CHUNK`] rows, whatever the size of the batches that come.
struct Chunks {
    writer: Encoder<Hashing>,
    schema: SchemaRef,
    waiting: Vec<RecordBatch>,
    ready: usize,
    rows: u64,
}

impl Chunks {
    fn new(schema: &SchemaRef, file: File, properties: WriterProperties, encoders: Encoders) -> Result<Chunks> {
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let out = Hashing { file: BufWriter::new(file), hash: Xxh3Default::new() };
        let writer = Encoder::new(out, Arc::clone(schema), options, encoders)?;
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
        let mut out = self.writer.into_inner()?;
        out.file.flush().context("cannot write the table")?;
        Ok(Written { rows: self.rows, hash: out.hash.digest() })
    }
}

/// Joins batches into one, and empties the list.
fn join(schema: &SchemaRef, parts: &mut Vec<RecordBatch>) -> Result<RecordBatch> {
    let batch = match parts.as_slice() {
        [one] => one.clone(),
        _ => concat_batches(schema, parts.iter())?,
    };
    parts.clear();
    Ok(batch)
}

/// A buffered file that hashes (xxh3) what is written to it.
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
