//! Writes Parquet files whose columns are encoded side by side.
//!
//! The bytes are those that parquet's own writer makes in one thread: row groups are cut at the same rows, and each column
//! gets the same values in the same portions.

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, SchemaRef};
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriter, ArrowWriterOptions, compute_leaves,
};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::writer::SerializedFileWriter;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::io::Write;
use std::sync::Arc;

type Done<T> = parquet::errors::Result<T>;

/// Rows of a batch, at least, for which columns are encoded side by side: for fewer it costs more to wake a thread.
const WORTH: usize = 512;

/// The threads that encode columns; writers share them.
#[derive(Clone, Debug)]
pub struct Encoders(Option<Arc<ThreadPool>>);

impl Encoders {
    /// None: each writer encodes in the thread that calls it.
    pub fn none() -> Encoders {
        Encoders(None)
    }

    /// So many threads; with one, each writer encodes in the thread that calls it.
    ///
    /// # Errors
    /// When they cannot be started.
    pub fn new(threads: usize) -> Result<Encoders> {
        if threads < 2 {
            return Ok(Encoders::none());
        }
        let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|_| "encode".into()).build();
        Ok(Encoders(Some(Arc::new(pool.context("cannot start the threads that encode columns")?))))
    }

    /// What `make` makes of each item, in their order.
    ///
    /// # Errors
    /// The first error of `make` that is met.
    pub fn each<T: Send, U: Send, E: Send>(
        &self,
        items: Vec<T>,
        make: impl Fn(T) -> std::result::Result<U, E> + Send + Sync,
    ) -> std::result::Result<Vec<U>, E> {
        match &self.0 {
            Some(pool) => pool.install(|| items.into_par_iter().with_max_len(1).map(make).collect()),
            None => items.into_iter().map(make).collect(),
        }
    }
}

/// A writer of a Parquet file.
pub struct Encoder<W: Write + Send> {
    file: SerializedFileWriter<W>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    encoders: Encoders,
    /// The row group that is being made.
    group: Option<Group>,
    /// Rows of a row group, at most.
    most_rows: usize,
    /// Encoded bytes of a row group, at most.
    most_bytes: usize,
}

/// A row group that is being made.
struct Group {
    columns: Vec<ArrowColumnWriter>,
    rows: usize,
}

impl Group {
    fn bytes(&self) -> usize {
        self.columns.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum()
    }
}

impl<W: Write + Send> Encoder<W> {
    /// A writer of rows of this schema.
    ///
    /// # Errors
    /// When the schema has types that Parquet does not know, or nothing can be written to `out`.
    pub fn new(out: W, schema: SchemaRef, options: ArrowWriterOptions, encoders: Encoders) -> Done<Encoder<W>> {
        let (file, factory) = ArrowWriter::try_new_with_options(out, Arc::clone(&schema), options)?.into_serialized_writer()?;
        let most_rows = file.properties().max_row_group_row_count().unwrap_or(usize::MAX);
        let most_bytes = file.properties().max_row_group_bytes().unwrap_or(usize::MAX);
        Ok(Encoder { file, factory, schema, encoders, group: None, most_rows, most_bytes })
    }

    /// Appends rows; when a row group is full it is written.
    ///
    /// # Errors
    /// When the columns are not those of the schema, or the file cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Done<()> {
        let mut rest = batch.clone();
        while rest.num_rows() > 0 {
            let rows = rest.num_rows();
            let fit = self.room(rows)?;
            if fit == rows {
                return self.append(&rest);
            }
            self.write(&rest.slice(0, fit))?;
            rest = rest.slice(fit, rows - fit);
        }
        Ok(())
    }

    /// How many of the next `rows` rows the row group takes; one that is full is written before.
    fn room(&mut self, rows: usize) -> Done<usize> {
        let Some(group) = &self.group else { return Ok(rows.min(self.most_rows)) };
        let room = self.most_rows - group.rows;
        if rows > room {
            return Ok(room);
        }
        // What a row takes is told by those before it.
        let bytes = group.bytes();
        let fit = match bytes / group.rows {
            0 => rows,
            each => rows.min(self.most_bytes.saturating_sub(bytes) / each),
        };
        if fit == 0 {
            self.flush()?;
        }
        Ok(if fit == 0 { rows } else { fit })
    }

    fn append(&mut self, batch: &RecordBatch) -> Done<()> {
        let group = match &mut self.group {
            Some(group) => group,
            none => {
                let columns = self.factory.create_column_writers(self.file.flushed_row_groups().len())?;
                none.insert(Group { columns, rows: 0 })
            }
        };
        group.rows += batch.num_rows();
        let arrays = self.schema.fields().iter().zip(batch.columns());
        let flat = group.columns.len() == batch.num_columns();
        if let Encoders(Some(_)) = &self.encoders
            && flat
            && batch.num_rows() >= WORTH
        {
            let tasks: Vec<_> = group.columns.iter_mut().zip(arrays).collect();
            let encode = |(column, (field, array)): (&mut ArrowColumnWriter, (&Arc<Field>, &ArrayRef))| {
                compute_leaves(field, array)?.iter().try_for_each(|leaf| column.write(leaf))
            };
            self.encoders.each(tasks, encode)?;
        } else {
            let mut columns = group.columns.iter_mut();
            for (field, array) in arrays {
                for (leaf, column) in compute_leaves(field, array)?.iter().zip(columns.by_ref()) {
                    column.write(leaf)?;
                }
            }
        }
        let full = group.rows >= self.most_rows || group.bytes() >= self.most_bytes;
        if full { self.flush() } else { Ok(()) }
    }

    /// Ends the row group and writes it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> Done<()> {
        let Some(group) = self.group.take() else { return Ok(()) };
        let chunks: Vec<ArrowColumnChunk> = self.encoders.each(group.columns, ArrowColumnWriter::close)?;
        let mut out = self.file.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut out)?;
        }
        out.close().map(drop)
    }

    /// Flushes what was written to the output.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sync(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }

    /// What the file's footer will say of the row groups that were written.
    pub fn flushed_row_groups(&self) -> &[RowGroupMetaData] {
        self.file.flushed_row_groups()
    }

    /// Bytes that were written.
    pub fn bytes_written(&self) -> usize {
        self.file.bytes_written()
    }

    /// Writes what is left and the footer, and returns the output.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn into_inner(mut self) -> Done<W> {
        self.flush()?;
        self.file.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Table, writer_properties};
    use arrow::array::{Array, Int64Array, ListArray, StringArray};
    use arrow::datatypes::{Int64Type, Schema};
    use parquet::file::properties::WriterProperties;

    /// Batches of several lengths with numbers that may be absent, texts that repeat, and long ones.
    fn batches(nested: bool) -> (SchemaRef, Vec<RecordBatch>) {
        let batch = |rows: usize, first: i64| {
            let numbers = (first..).take(rows);
            let mut columns: Vec<(&str, ArrayRef)> = vec![
                ("number", Arc::new(numbers.clone().map(|at| (at % 3 > 0).then_some(at * 7919)).collect::<Int64Array>())),
                ("word", Arc::new(numbers.clone().map(|at| Some(format!("word {}", at % 17))).collect::<StringArray>())),
                ("text", Arc::new(numbers.clone().map(|at| Some(format!("{at:x}").repeat(20))).collect::<StringArray>())),
            ];
            if nested {
                let lists = numbers.map(|at| (at % 5 > 0).then(|| (0..at % 4).map(Some).collect::<Vec<_>>()));
                columns.push(("list", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))));
            }
            let fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            RecordBatch::try_new(schema, columns.into_iter().map(|(_, array)| array).collect()).unwrap()
        };
        let batches: Vec<_> = [700, 1, 8192, 511, 512, 3000, 0, 9000].iter().map(|rows| batch(*rows, *rows as i64)).collect();
        (batches[0].schema(), batches)
    }

    #[test]
    fn the_bytes_are_those_of_the_writer_of_one_thread() {
        for nested in [false, true] {
            let (schema, batches) = batches(nested);
            for (rows, bytes) in
                [(None, None), (Some(1000), None), (None, Some(50_000)), (Some(4000), Some(200_000)), (None, Some(1))]
            {
                let properties =
                    writer_properties(&Table::Edges).set_max_row_group_row_count(rows).set_max_row_group_bytes(bytes);
                let properties: WriterProperties = properties.set_sorting_columns(None).build();
                let options = || ArrowWriterOptions::new().with_properties(properties.clone());
                let mut plain = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&schema), options()).unwrap();
                // A byte limit of one makes a row group of each batch or row: a part of them does.
                let few = if bytes == Some(1) { &batches[..2] } else { &batches };
                few.iter().for_each(|batch| plain.write(batch).unwrap());
                let plain = plain.into_inner().unwrap();
                for threads in [1, 2, 5] {
                    let encoders = Encoders::new(threads).unwrap();
                    let mut encoder = Encoder::new(Vec::new(), Arc::clone(&schema), options(), encoders).unwrap();
                    few.iter().for_each(|batch| encoder.write(batch).unwrap());
                    let groups = encoder.flushed_row_groups().len();
                    assert!(rows.or(bytes).is_none() || groups > 0, "{rows:?} {bytes:?}: no limit was reached");
                    assert!(encoder.into_inner().unwrap() == plain, "{rows:?} {bytes:?}, {threads} threads");
                }
            }
        }
    }
}
