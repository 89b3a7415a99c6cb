//! Writes events to Parquet: columns are filled here, and encoded and written by a thread of their own.

use super::guard;
use super::order::{Key, Window};
use crate::event::{Col, Text};
use crate::files;
use crate::process::panics;
use crate::schema::check::Checked;
use crate::schema::encode::Encoders;
use crate::schema::{self, Table};
use crate::text;
use anyhow::{Context, Result, anyhow};
use arrow::array::{ArrayBuilder, ArrayRef, Int64Array, RecordBatch, StringArray, StringBuilder};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::PageIndexPolicy;
use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Rows of events that are encoded or merged at once.
const BATCH: usize = 8 * 1024;

/// Makes, merges and finishes the sorted streams of events of a capture, in the directory of its draft.
pub struct Sink {
    dir: PathBuf,
    host: String,
    schema: SchemaRef,
    encoders: Encoders,
    runs: Cell<u32>,
}

impl Sink {
    /// A sink that writes to this directory; `host` is the value of column `host`, and `encoders` are the threads that encode columns.
    pub fn new(dir: PathBuf, host: &str, encoders: Encoders) -> Sink {
        Sink { dir, host: host.to_owned(), schema: Table::Events.schema(), encoders, runs: Cell::new(0) }
    }

    /// Creates the main stream, which becomes table `events`.
    pub fn main(&self) -> Result<Stream> {
        self.stream(self.dir.join(Table::Events.file()))
    }

    /// Creates the stream of a run of stragglers, `run-N.parquet`.
    pub fn run(&self) -> Result<Stream> {
        self.runs.set(self.runs.get() + 1);
        self.stream(self.dir.join(format!("run-{}.parquet", self.runs.get())))
    }

    fn stream(&self, path: PathBuf) -> Result<Stream> {
        let keys = path.with_extension("keys");
        let writer = Writer::start(path.clone(), self.encoders.clone())?;
        let keys_file = BufWriter::with_capacity(64 * 1024, create(&keys)?);
        Ok(Stream { columns: Columns::new(&self.host, &self.schema), path, keys, open: Some((writer, keys_file)), rows: 0 })
    }

    /// Merges sorted streams into one new run, and deletes them.
    pub fn merge(&self, streams: Vec<Stream>) -> Result<Stream> {
        let mut out = self.run()?;
        merge(&streams, &mut out)?;
        out.close()?;
        // Not earlier, so that after a kill the rows are in the one or in the others.
        for stream in streams {
            fs::remove_file(&stream.path)?;
            fs::remove_file(&stream.keys)?;
        }
        Ok(out)
    }

    /// Has a killed writer left something that [`Sink::recover`] can make a table of?
    pub fn kept(&self) -> bool {
        let table = self.dir.join(Table::Events.file());
        guard::beside(&table).exists() || !table.with_extension("keys").exists() && rows(&table).is_ok()
    }

    /// Makes the final table `events` of what a killed writer left. Returns its number of rows.
    ///
    /// # Errors
    /// When it left nothing that can be restored.
    pub fn recover(&self) -> Result<u64> {
        let table = self.dir.join(Table::Events.file());
        if guard::beside(&table).exists() {
            guard::restore(&table)?;
        } else if table.exists() && !table.with_extension("keys").exists() {
            // Its writer was killed after it had finished the table.
            return rows(&table);
        }
        let main = self.found(table)?;
        let mut runs = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number = name.strip_prefix("run-").and_then(|name| name.strip_suffix(".parquet")?.parse().ok());
            let Some(number) = number else { continue };
            self.runs.set(self.runs.get().max(number));
            match self.found(path.clone()) {
                Ok(run) => runs.push(run),
                // It was still being written when its writer was killed; its rows, the last stragglers, are lost.
                Err(_) => {
                    fs::remove_file(&path)?;
                    let _ = fs::remove_file(path.with_extension("keys"));
                }
            }
        }
        runs.sort_by(|a, b| a.path.cmp(&b.path));
        self.finish(main, runs)
    }

    /// A closed stream that is on disk, its keys cut to its number of rows.
    fn found(&self, path: PathBuf) -> Result<Stream> {
        let rows = rows(&path)?;
        let keys = path.with_extension("keys");
        let beside = files::change(&keys).with_context(|| format!("cannot open {}", keys.display()))?;
        anyhow::ensure!(beside.metadata()?.len() >= rows * 16, "{} is not whole", keys.display());
        beside.set_len(rows * 16)?;
        let columns = Columns::new(&self.host, &self.schema);
        Ok(Stream { columns, path, keys, open: None, rows })
    }

    /// Makes the final table of the main stream and the runs. Returns its number of rows.
    pub fn finish(&self, main: Stream, runs: Vec<Stream>) -> Result<u64> {
        let contents = guard::beside(&main.path);
        if contents.exists() {
            fs::remove_file(&contents)?;
        }
        if runs.is_empty() {
            fs::remove_file(&main.keys)?;
            return Ok(main.rows);
        }
        let table = main.path.clone();
        let merged = self.merge(std::iter::once(main).chain(runs).collect())?;
        fs::rename(&merged.path, &table).with_context(|| format!("cannot rename to {}", table.display()))?;
        fs::remove_file(&merged.keys)?;
        Ok(merged.rows)
    }
}

/// Number of rows of a Parquet file that is whole; an error when it is not.
fn rows(path: &Path) -> Result<u64> {
    let file = files::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let table = Checked::open(file, PageIndexPolicy::Skip).with_context(|| format!("{} is not whole", path.display()))?;
    Ok(table.contents.file_metadata().num_rows() as u64)
}

/// Creates a file that only its owner can read, or empties the one that is there.
fn create(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).with_context(|| format!("cannot create {}", path.display()))
}

/// A sorted stream of events on disk: a Parquet file and a file of its sort keys.
pub struct Stream {
    columns: Columns,
    path: PathBuf,
    keys: PathBuf,
    open: Option<(Writer, BufWriter<File>)>,
    rows: u64,
}

impl Stream {
    /// Appends the first `count` events of a sorted window.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, window: &Window, count: usize) -> Result<()> {
        for from in (0..count).step_by(BATCH) {
            let to = count.min(from + BATCH);
            let batch = self.columns.batch(window, from, to, self.rows)?;
            self.append(batch, window.tickets()[from..to].iter().map(|ticket| ticket.key))?;
        }
        Ok(())
    }

    fn append(&mut self, batch: RecordBatch, keys: impl Iterator<Item = Key>) -> Result<()> {
        let Some((writer, file)) = &mut self.open else { return Err(anyhow!("{} is closed", self.path.display())) };
        self.rows += batch.num_rows() as u64;
        for key in keys {
            file.write_all(&key.bytes()).with_context(|| format!("cannot write {}", self.keys.display()))?;
        }
        writer.send(Work::Write(batch))
    }

    /// Makes what was appended so far survive a kill of this process (see [`guard`]).
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&mut self) -> Result<()> {
        let Some((writer, keys)) = &mut self.open else { return Ok(()) };
        keys.flush().with_context(|| format!("cannot write {}", self.keys.display()))?;
        writer.send(Work::Keep)
    }

    /// Ends the stream and waits until it is written.
    ///
    /// # Errors
    /// When its rows could not be written.
    pub fn close(&mut self) -> Result<()> {
        let Some((writer, mut keys)) = self.open.take() else { return Ok(()) };
        keys.flush().with_context(|| format!("cannot write {}", self.keys.display()))?;
        writer.finish()
    }
}

/// A task for the thread that writes a stream.
enum Work {
    /// Encode and write this batch.
    Write(RecordBatch),
    /// Make what was written survive a kill: keep its footer beside it.
    Keep,
}

/// A thread that encodes and writes batches to a Parquet file, and the queue of its tasks.
struct Writer {
    batches: Option<SyncSender<Work>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Writer {
    fn start(path: PathBuf, encoders: Encoders) -> Result<Writer> {
        let file = create(&path)?;
        let (batches, queue) = sync_channel::<Work>(2);
        let work = move || {
            let failed = || format!("cannot write {}", path.display());
            let mut writer = schema::encoder(Table::Events, BufWriter::with_capacity(1 << 20, file), encoders)?;
            for task in queue {
                match task {
                    Work::Write(batch) => writer.write(&batch).with_context(failed)?,
                    Work::Keep => {
                        writer.flush().with_context(failed)?;
                        writer.sync().with_context(failed)?;
                        guard::keep(&path, writer.flushed_row_groups(), writer.bytes_written() as u64)?;
                    }
                }
            }
            let mut file = writer.into_inner().with_context(failed)?;
            file.flush().with_context(failed)?;
            Ok(())
        };
        let thread = std::thread::Builder::new().name("parquet".into()).spawn(|| panics::contain(work))?;
        Ok(Writer { batches: Some(batches), thread: Some(thread) })
    }

    fn send(&mut self, work: Work) -> Result<()> {
        match self.batches.as_ref().map(|batches| batches.send(work)) {
            Some(Ok(())) => Ok(()),
            // The thread has failed: its error says why.
            _ => self.join().and_then(|()| Err(anyhow!("the Parquet writer ended early"))),
        }
    }

    fn join(&mut self) -> Result<()> {
        self.batches = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(anyhow!("the Parquet writer failed")),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<()> {
        self.join()
    }
}

/// Makes Arrow batches of events, in the schema of table `events`.
struct Columns {
    /// The name of the host, as many times as a batch has rows.
    host: StringArray,
    schema: SchemaRef,
}

/// A column of integers that is being filled: 0 and a cleared validity bit where a row has no value.
struct Ints {
    values: Vec<i64>,
    valid: Vec<u8>,
    count: usize,
}

impl Columns {
    fn new(host: &str, schema: &SchemaRef) -> Columns {
        let host = StringArray::from_iter_values(std::iter::repeat_n(host, BATCH));
        Columns { host, schema: Arc::clone(schema) }
    }

    /// Rows `from..to` of a sorted window as a batch; their `seq` begins at `seq`.
    fn batch(&self, window: &Window, from: usize, to: usize, seq: u64) -> Result<RecordBatch> {
        let rows = to - from;
        let mut ints: Vec<Option<Ints>> = Col::ALL.iter().map(|_| None).collect();
        let mut texts: Vec<Option<StringBuilder>> = Text::ALL.iter().map(|_| None).collect();
        let mut syscalls = StringBuilder::with_capacity(rows, rows * 8);
        for row in 0..rows {
            let event = window.event(from + row);
            syscalls.append_value(event.name());
            for (col, value) in event.ints() {
                let column = ints[col as usize].get_or_insert_with(|| Ints {
                    values: vec![0; rows],
                    valid: vec![0; rows.div_ceil(8)],
                    count: 0,
                });
                column.values[row] = value;
                column.valid[row / 8] |= 1 << (row % 8);
                column.count += 1;
            }
            for (text, bytes) in event.texts() {
                let builder = texts[text as usize].get_or_insert_with(|| StringBuilder::with_capacity(rows, rows * 32));
                pad(builder, row);
                builder.append_value(text::encode(bytes));
            }
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        columns.push(Arc::new(self.host.slice(0, rows)));
        columns.push(seqs(seq, rows));
        columns.push(Arc::new(syscalls.finish()));
        columns.extend(ints.into_iter().map(|column| -> ArrayRef {
            Arc::new(match column {
                None => Int64Array::new_null(rows),
                Some(column) if column.count == rows => Int64Array::from(column.values),
                Some(column) => {
                    let valid = NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(column.valid), 0, rows));
                    Int64Array::new(column.values.into(), Some(valid))
                }
            })
        }));
        columns.extend(texts.into_iter().map(|builder| -> ArrayRef {
            Arc::new(match builder {
                None => StringArray::new_null(rows),
                Some(mut builder) => {
                    pad(&mut builder, rows);
                    builder.finish()
                }
            })
        }));
        RecordBatch::try_new(Arc::clone(&self.schema), columns).context("an event lacks a column that every event has")
    }
}

fn pad(builder: &mut StringBuilder, rows: usize) {
    let len = ArrayBuilder::len(builder);
    builder.append_nulls(rows - len);
}

fn seqs(from: u64, rows: usize) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((from as i64..).take(rows)))
}

/// A sorted stream that is read back with its keys, to be merged.
struct Source {
    batches: ParquetRecordBatchReader,
    keys: BufReader<File>,
    batch: RecordBatch,
    ahead: Vec<Key>,
    at: usize,
    /// Index of the current batch in [`Waiting::parts`], once rows of it wait to be written.
    part: Option<usize>,
}

impl Source {
    fn open(stream: &Stream) -> Result<Source> {
        let shown = stream.path.display();
        let file = files::open(&stream.path).with_context(|| format!("cannot open {shown}"))?;
        let batches = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH).build()?;
        let keys = BufReader::with_capacity(64 * 1024, File::open(&stream.keys)?);
        let batch = RecordBatch::new_empty(Table::Events.schema());
        let mut source = Source { batches, keys, batch, ahead: Vec::new(), at: 0, part: None };
        source.refill()?;
        Ok(source)
    }

    /// Reads the next batch and its keys when this one is used up.
    fn refill(&mut self) -> Result<()> {
        while self.at == self.ahead.len() {
            let Some(batch) = self.batches.next().transpose()? else { break };
            self.ahead.clear();
            self.at = 0;
            self.part = None;
            let mut bytes = [0; 16];
            for _ in 0..batch.num_rows() {
                self.keys.read_exact(&mut bytes).context("a run has fewer keys than rows")?;
                self.ahead.push(Key::from_bytes(bytes));
            }
            self.batch = batch;
        }
        Ok(())
    }

    fn key(&self) -> Option<Key> {
        self.ahead.get(self.at).copied()
    }
}

/// Merged rows that wait to be written together: for each row its batch and its row number in that, and its key.
#[derive(Default)]
struct Waiting {
    parts: Vec<RecordBatch>,
    rows: Vec<(usize, usize)>,
    keys: Vec<Key>,
}

/// Merges sorted streams into `out`. All rows of the leading stream that come before the next row of every other stream
/// are taken at once; of equal keys the one of the earlier stream comes first.
fn merge(streams: &[Stream], out: &mut Stream) -> Result<()> {
    let mut sources = streams.iter().map(Source::open).collect::<Result<Vec<_>>>()?;
    let mut waiting = Waiting::default();
    loop {
        let (mut first, mut second) = (None, None);
        for head in sources.iter().enumerate().filter_map(|(i, source)| Some((source.key()?, i))) {
            match first {
                Some(least) if least < head => second = second.filter(|next| *next < head).or(Some(head)),
                least => (first, second) = (Some(head), least),
            }
        }
        let Some((_, leader)) = first else { break };
        let source = &mut sources[leader];
        let room = BATCH - waiting.rows.len();
        let rest = &source.ahead[source.at..source.ahead.len().min(source.at + room)];
        let take = match second {
            Some(limit) => rest.partition_point(|key| (*key, leader) < limit).max(1),
            None => rest.len(),
        };
        let part = *source.part.get_or_insert_with(|| {
            waiting.parts.push(source.batch.clone());
            waiting.parts.len() - 1
        });
        waiting.rows.extend((source.at..source.at + take).map(|row| (part, row)));
        waiting.keys.extend_from_slice(&rest[..take]);
        source.at += take;
        source.refill()?;
        if waiting.rows.len() >= BATCH {
            flush(&mut waiting, out)?;
            sources.iter_mut().for_each(|source| source.part = None);
        }
    }
    flush(&mut waiting, out)
}

fn flush(waiting: &mut Waiting, out: &mut Stream) -> Result<()> {
    if waiting.rows.is_empty() {
        return Ok(());
    }
    let parts: Vec<&RecordBatch> = waiting.parts.iter().collect();
    let batch = interleave_record_batch(&parts, &waiting.rows)?;
    let mut columns = batch.columns().to_vec();
    columns[Table::Events.schema().index_of("seq")?] = seqs(out.rows, batch.num_rows());
    let batch = RecordBatch::try_new(Table::Events.schema(), columns)?;
    out.append(batch, waiting.keys.drain(..))?;
    waiting.parts.clear();
    waiting.rows.clear();
    Ok(())
}
