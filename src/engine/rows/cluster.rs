//! Groups rows by lane (captured thread) and keeps their order otherwise.
//!
//! Ops come in order of effect and are stored by lane. A general sort compares whole keys and moves every column
//! several times; here one integer decides and equal ones keep their order, so each value is packed, and moved once. When
//! the rows do not fit they go to disk as runs, each by lane, and a lane is its part of the first run, of the second, and
//! so on. Columns without a value in a run are not carried at all.

use super::pack::{self, Packed, Picker, Place};
use crate::files;
use crate::schema::encode::Encoders;
use anyhow::{Context, Result, ensure};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray, new_null_array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// Rows in a batch of a run on disk, at most: few, because the merge holds one batch of every run.
const RUN: usize = 2048;
/// Bytes of texts in a batch of a run on disk, about.
const RUN_BYTES: usize = 1 << 20;

/// How `Cluster` groups rows: by which column, and with how much memory.
#[derive(Clone, Debug)]
pub struct By {
    /// The column that rows are grouped by (the lane): a BIGINT without NULL.
    pub column: &'static str,
    /// Bytes of rows, packed, to hold in memory before they are written to disk as a run.
    pub memory: usize,
    /// Directory on whose file system the runs are made.
    pub dir: PathBuf,
}

/// Groups rows by lane: takes batches in any order of lanes, hands out the rows of one lane after those of another,
/// with their order kept within a lane.
#[derive(Debug)]
pub struct Cluster {
    by: By,
    key: usize,
    schema: SchemaRef,
    /// The threads that pick the rows of columns.
    encoders: Encoders,
    held: Vec<Packed>,
    /// For each lane the places of its rows in `held`, in order of arrival.
    rows: BTreeMap<i64, Vec<Place>>,
    /// For each column: has any row so far had a value in it?
    filled: Vec<bool>,
    bytes: usize,
    /// Runs that were written to disk, each grouped by lane. The files have no name, so they vanish with the process.
    runs: Vec<File>,
}

impl Cluster {
    /// A cluster that takes batches of this schema.
    ///
    /// # Errors
    /// When the schema has no such column of integers.
    pub fn new(by: By, schema: &SchemaRef, encoders: Encoders) -> Result<Cluster> {
        let key = schema.index_of(by.column)?;
        ensure!(*schema.field(key).data_type() == DataType::Int64, "column {} must be BIGINT", by.column);
        let fields = schema.fields().iter().map(|field| {
            let ty = pack::unpacked(field.data_type());
            Field::new(field.name(), ty, field.is_nullable())
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let filled = vec![false; schema.fields().len()];
        Ok(Cluster { by, key, schema, encoders, held: Vec::new(), rows: BTreeMap::new(), filled, bytes: 0, runs: Vec::new() })
    }

    /// The schema of the batches that it hands out: that of the input with text as string views.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns in which no row so far has a value.
    pub fn empty(&self) -> impl Iterator<Item = &Field> {
        let fields = self.schema.fields().iter().zip(&self.filled);
        fields.filter(|(_, filled)| !**filled).map(|(field, _)| field.as_ref())
    }

    /// Takes a batch of rows, which follow all rows taken before; writes a run when [`By::memory`] is reached.
    ///
    /// # Errors
    /// When a run cannot be written.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        for start in (0..batch.num_rows()).step_by(pack::ROWS) {
            let batch = batch.slice(start, pack::ROWS.min(batch.num_rows() - start));
            let lanes = batch.column(self.key).as_primitive::<Int64Type>();
            ensure!(lanes.null_count() == 0, "a row has no {}", self.by.column);
            let number = u32::try_from(self.held.len())?;
            for (lane, row) in lanes.values().iter().zip(0..) {
                self.rows.entry(*lane).or_default().push((number, row));
            }
            let packed = Packed::new(&batch);
            self.filled.iter_mut().enumerate().for_each(|(at, filled)| *filled |= !packed.empty(at));
            self.bytes += packed.bytes() + batch.num_rows() * size_of::<Place>();
            self.held.push(packed);
        }
        if self.bytes >= self.by.memory { self.spill() } else { Ok(()) }
    }

    /// Hands every row to `take`, lane by lane in ascending order, in batches of at most this many rows (at most
    /// `RUN` where they come from disk).
    ///
    /// # Errors
    /// What `take` returns, or when a run cannot be read.
    pub fn finish(mut self, rows: usize, mut take: impl FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        if self.runs.is_empty() {
            return self.sorted(rows, take);
        }
        self.spill()?;
        let mut cursors = std::mem::take(&mut self.runs)
            .into_iter()
            .map(|run| Cursor::open(run, self.by.column))
            .collect::<Result<Vec<_>>>()?;
        while let Some(lane) = cursors.iter().filter_map(|cursor| cursor.ahead().first().copied()).min() {
            for cursor in &mut cursors {
                while let Some(part) = cursor.take(lane, &self.schema)? {
                    take(part)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the rows held in memory to disk as a run, and forgets them.
    fn spill(&mut self) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let cannot = || format!("cannot write in {}", self.by.dir.display());
        let mut file = files::nameless(&self.by.dir).with_context(cannot)?;
        let width = self.schema.fields().len();
        let carried: Vec<usize> = (0..width).filter(|at| !self.held.iter().all(|batch| batch.empty(*at))).collect();
        let mut writer = StreamWriter::try_new(BufWriter::new(&file), &self.schema.project(&carried)?)?;
        self.sorted(RUN, |batch| {
            let batch = batch.project(&carried)?;
            // String views would be written with the whole buffers that they point into: gc() copies the texts in use.
            let own = |column: &ArrayRef| match column.as_string_view_opt() {
                Some(views) => Arc::new(views.gc()),
                None => Arc::clone(column),
            };
            let texts = batch.columns().iter().filter_map(|column| column.as_string_view_opt());
            let bytes: usize = texts.map(StringViewArray::total_buffer_bytes_used).sum();
            let rows = (batch.num_rows() / (bytes / RUN_BYTES + 1)).max(1);
            for start in (0..batch.num_rows()).step_by(rows) {
                let part = batch.slice(start, rows.min(batch.num_rows() - start));
                let columns = part.columns().iter().map(own).collect();
                writer.write(&RecordBatch::try_new(part.schema(), columns)?)?;
            }
            Ok(())
        })?;
        writer.finish().and_then(|()| Ok(writer.get_mut().flush()?)).with_context(cannot)?;
        drop(writer);
        file.rewind().with_context(cannot)?;
        self.held.clear();
        self.rows.clear();
        self.bytes = 0;
        self.runs.push(file);
        Ok(())
    }

    /// Hands the rows held in memory to `take`, lane by lane, in batches of this many rows.
    fn sorted(&self, rows: usize, mut take: impl FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let places: Vec<Place> = self.rows.values().flatten().copied().collect();
        let fields = self.schema.fields().iter().enumerate();
        let pickers: Vec<_> = fields.map(|(at, field)| Picker::new(&self.held, at, field.data_type(), rows)).collect();
        for part in places.chunks(rows) {
            let columns = self.encoders.each(pickers.iter().collect(), |picker| picker.pick(part))?;
            take(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)?;
        }
        Ok(())
    }
}

/// Read position of the merge in one run. It stands on a row, unless the run has ended.
struct Cursor {
    reader: StreamReader<BufReader<File>>,
    key: &'static str,
    batch: Option<RecordBatch>,
    row: usize,
}

impl Cursor {
    fn open(run: File, key: &'static str) -> Result<Cursor> {
        let reader = StreamReader::try_new_buffered(run, None)?;
        let mut cursor = Cursor { reader, key, batch: None, row: 0 };
        cursor.load()?;
        Ok(cursor)
    }

    fn load(&mut self) -> Result<()> {
        self.row = 0;
        self.batch = self.reader.next().transpose()?;
        Ok(())
    }

    /// The lanes of the rows from the cursor's row to the end of its batch; empty at the end of the run.
    fn ahead(&self) -> &[i64] {
        let lanes = self.batch.as_ref().and_then(|batch| batch.column_by_name(self.key));
        lanes.map_or(&[], |lanes| &lanes.as_primitive::<Int64Type>().values()[self.row..])
    }

    /// Takes the rows of this lane at the front of the cursor's batch, with the columns of `schema`; `None` when the
    /// next row is of another lane.
    fn take(&mut self, lane: i64, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        let count = self.ahead().partition_point(|other| *other == lane);
        let Some(batch) = self.batch.as_ref().filter(|_| count > 0) else { return Ok(None) };
        let column = |field: &Arc<Field>| match batch.column_by_name(field.name()) {
            Some(column) => column.slice(self.row, count),
            None => new_null_array(field.data_type(), count),
        };
        let part = RecordBatch::try_new(Arc::clone(schema), schema.fields().iter().map(column).collect())?;
        self.row += count;
        if self.ahead().is_empty() {
            self.load()?;
        }
        Ok(Some(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringViewArray};

    /// Rows of three lanes, in batches of 100; one column has no value in the first half, one has none at all.
    fn clustered(memory: usize) -> Vec<(i64, i64, Option<String>)> {
        let fields =
            [("lane", DataType::Int64), ("op", DataType::Int64), ("path", DataType::Utf8View), ("none", DataType::Int64)];
        let schema = Arc::new(Schema::new(fields.map(|(name, ty)| Field::new(name, ty, true)).to_vec()));
        let dir = tempfile::tempdir().unwrap();
        let by = By { column: "lane", memory, dir: dir.path().to_owned() };
        let mut cluster = Cluster::new(by, &schema, Encoders::new(2).unwrap()).unwrap();
        for start in (0..10_000_i64).step_by(100) {
            let rows = start..start + 100;
            let columns: [ArrayRef; 4] = [
                Arc::new(rows.clone().map(|row| Some(row * 7 % 3)).collect::<Int64Array>()),
                Arc::new(rows.clone().map(Some).collect::<Int64Array>()),
                Arc::new(rows.clone().map(|row| (row > 5000).then(|| format!("/{row}"))).collect::<StringViewArray>()),
                new_null_array(&DataType::Int64, 100),
            ];
            cluster.push(&RecordBatch::try_new(Arc::clone(&schema), columns.to_vec()).unwrap()).unwrap();
        }
        assert_eq!(cluster.runs.is_empty(), memory == usize::MAX);
        let mut found = Vec::new();
        let take = |batch: RecordBatch| {
            let (lanes, ops) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
            let paths = batch.column(2).as_string_view();
            assert_eq!(batch.column(3).null_count(), batch.num_rows());
            found.extend(
                (0..batch.num_rows())
                    .map(|row| (lanes.value(row), ops.value(row), paths.is_valid(row).then(|| paths.value(row).to_owned()))),
            );
            Ok(())
        };
        cluster.finish(1000, take).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
        found
    }

    #[test]
    fn lanes_are_together_and_keep_their_order_in_memory_and_on_disk() {
        let mut expected: Vec<_> =
            (0..10_000_i64).map(|row| (row * 7 % 3, row, (row > 5000).then(|| format!("/{row}")))).collect();
        expected.sort();
        assert_eq!(clustered(usize::MAX), expected);
        assert_eq!(clustered(1), expected);
        assert_eq!(clustered(50_000), expected);
    }
}
