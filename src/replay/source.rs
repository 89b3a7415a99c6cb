//! A table of the workload by row groups, decoded one at a time.

use anyhow::{Context, Result, ensure};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A file that is read by position. Reading a `File` would duplicate its descriptor for every column, and a workload may
/// have used up every descriptor there is.
#[derive(Clone)]
struct Shared(Arc<File>);

impl Length for Shared {
    fn len(&self) -> u64 {
        self.0.metadata().map_or(0, |meta| meta.len())
    }
}

impl ChunkReader for Shared {
    type T = BufReader<Cursor>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(BufReader::new(Cursor { file: Arc::clone(&self.0), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

/// A place in a [`Shared`] file.
struct Cursor {
    file: Arc<File>,
    at: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn mask(table: &str, metadata: &ArrowReaderMetadata, columns: &[&str]) -> Result<ProjectionMask> {
    for name in columns {
        ensure!(
            metadata.schema().column_with_name(name).is_some(),
            "the table of {table} has no column {name}: make the workload again"
        );
    }
    Ok(ProjectionMask::columns(metadata.parquet_schema(), columns.iter().copied()))
}

/// Some columns of a table.
pub struct Source {
    table: &'static str,
    file: Shared,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    /// First row of each row group, and the number of rows at the end.
    starts: Vec<i64>,
}

impl Source {
    /// Opens a table.
    ///
    /// # Errors
    /// When it is damaged or lacks a column.
    pub fn open(table: &'static str, file: File, columns: &[&str]) -> Result<Source> {
        let damaged = || format!("the table of {table} is damaged");
        let file = Shared(Arc::new(file));
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(&file, options).with_context(damaged)?;
        // The same columns, texts as dictionaries: a path that a thousand ops name is decoded once.
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let fields = metadata.schema().fields().iter().map(|field| match field.data_type() {
            DataType::Utf8 => Field::new(field.name(), dictionary.clone(), field.is_nullable()),
            other => Field::new(field.name(), other.clone(), field.is_nullable()),
        });
        let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields.collect::<Vec<_>>())));
        // Read once: the description of a hundred million rows takes 100 MB.
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options).with_context(damaged)?;
        let mask = mask(table, &metadata, columns)?;
        let mut starts = vec![0];
        for group in metadata.metadata().row_groups() {
            starts.push(starts.last().copied().unwrap_or(0) + group.num_rows());
        }
        Ok(Source { table, file, metadata, mask, starts })
    }

    /// Other columns of the same table.
    ///
    /// # Errors
    /// When it lacks one.
    pub fn with(&self, columns: &[&str]) -> Result<Source> {
        let mask = mask(self.table, &self.metadata, columns)?;
        let (table, file, starts) = (self.table, self.file.clone(), self.starts.clone());
        Ok(Source { table, file, metadata: self.metadata.clone(), mask, starts })
    }

    /// Number of rows.
    pub fn rows(&self) -> i64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Number of row groups.
    pub fn groups(&self) -> usize {
        self.starts.len() - 1
    }

    /// The row group of a row, its first row and the one after its last.
    pub fn locate(&self, row: i64) -> (usize, i64, i64) {
        let index = self.starts.partition_point(|start| *start <= row).saturating_sub(1);
        (index, self.starts[index], self.starts.get(index + 1).copied().unwrap_or(row))
    }

    /// The columns of a row group, without those that say in their statistics that no row has a value.
    fn mask(&self, index: usize) -> ProjectionMask {
        let parquet = self.metadata.metadata();
        let absent = |leaf: usize| {
            let column = parquet.row_group(index).column(leaf);
            column.statistics().and_then(|statistics| statistics.null_count_opt()) == Some(column.num_values() as u64)
        };
        let leaves = 0..parquet.file_metadata().schema_descr().num_columns();
        let kept = leaves.filter(|leaf| self.mask.leaf_included(*leaf) && !absent(*leaf));
        ProjectionMask::leaves(self.metadata.parquet_schema(), kept)
    }

    /// Decodes a row group. Columns in which no row has a value may be left out.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn decode(&self, index: usize) -> Result<RecordBatch> {
        let (table, rows) = (self.table, (self.starts[index + 1] - self.starts[index]) as usize);
        let mut reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
            .with_row_groups(vec![index])
            .with_projection(self.mask(index))
            .with_batch_size(rows)
            .build()?;
        let batch = reader
            .next()
            .with_context(|| format!("a row group of the {table} is empty"))?
            .with_context(|| format!("a row group of the {table} is damaged"))?;
        ensure!(batch.num_rows() == rows, "row group {index} of the {table} has {} rows, not {rows}", batch.num_rows());
        Ok(batch)
    }
}

/// Decoded row groups, those that were used last.
pub struct Cache<T> {
    /// By number of the row group; `None` for those that are not kept.
    kept: Vec<Option<Kept<T>>>,
    bytes: usize,
    budget: usize,
    clock: u64,
}

struct Kept<T> {
    group: T,
    bytes: usize,
    used: u64,
    rows: i64,
}

impl<T> Cache<T> {
    /// Keeps so many decoded bytes, and one row group whatever its size.
    pub fn new(budget: usize) -> Cache<T> {
        Cache { kept: Vec::new(), bytes: 0, budget, clock: 0 }
    }

    /// A row group; `decode` makes it, with its size in bytes, when it is not kept.
    ///
    /// # Errors
    /// When `decode` fails.
    pub fn get(&mut self, index: usize, decode: impl FnOnce() -> Result<(T, usize)>) -> Result<&T> {
        self.clock += 1;
        if self.kept.len() <= index {
            self.kept.resize_with(index + 1, || None);
        }
        if self.kept[index].is_none() {
            let (group, bytes) = decode()?;
            while self.bytes > 0 && self.bytes + bytes > self.budget {
                let used = |at: &usize| self.kept[*at].as_ref().map_or(u64::MAX, |kept| kept.used);
                let Some(oldest) = (0..self.kept.len()).min_by_key(used) else { break };
                self.bytes -= self.kept[oldest].take().map_or(self.bytes, |kept| kept.bytes);
            }
            self.bytes += bytes;
            self.kept[index] = Some(Kept { group, bytes, used: 0, rows: 0 });
        }
        let kept = self.kept[index].as_mut().context("the row group was just decoded")?;
        kept.used = self.clock;
        Ok(&kept.group)
    }

    /// So many rows of a row group were used, of so many that it has and that nobody uses twice: one that is used up goes.
    pub fn used(&mut self, index: usize, rows: i64, of: i64) {
        let Some(Some(kept)) = self.kept.get_mut(index) else { return };
        kept.rows += rows;
        if kept.rows >= of {
            self.bytes -= self.kept[index].take().map_or(0, |kept| kept.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_is_kept() {
        let mut cache = Cache::new(100);
        let mut decoded = Vec::new();
        for index in [0, 1, 0, 2, 0, 1, 7, 7, 2] {
            let bytes = if index == 7 { 1000 } else { 40 };
            let group = cache.get(index, || {
                decoded.push(index);
                Ok((index * 10, bytes))
            });
            assert_eq!(*group.unwrap(), index * 10);
        }
        assert_eq!(decoded, [0, 1, 2, 1, 7, 2]);
        cache.used(2, 10, 16);
        assert_eq!(*cache.get(2, || unreachable!()).unwrap(), 20);
        cache.used(2, 6, 16);
        assert_eq!(*cache.get(2, || Ok((21, 40))).unwrap(), 21);
    }
}
