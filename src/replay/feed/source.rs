//! Reads a table of the workload a page at a time, and caches decoded pages.
//!
//! Row groups suit readers of whole tables, and have far more rows than many lanes may hold decoded at once. So the pages of
//! the first column decide which rows are decoded together: the offset index says where they are.

use crate::process::panics;
use crate::schema::check::Checked;
use crate::schema::read::{mask, short};
use anyhow::{Context, Result, ensure};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use std::fs::File;
use std::sync::Arc;

/// Reader of some columns of a workload's table, page by page.
pub struct Source {
    table: &'static str,
    checked: Checked,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    /// Where each page begins; the last entry is the end of the table.
    starts: Vec<Start>,
}

/// Where a page (rows that are decoded together) begins.
#[derive(Clone, Copy)]
struct Start {
    /// Its first row in the table.
    row: i64,
    /// Number of the row group that the page is in.
    group: u32,
    /// Number of rows of that row group before it.
    before: u32,
}

/// Where the pages of the first column begin; the row groups, where a file has no offset index.
fn starts(metadata: &ParquetMetaData) -> Result<Vec<Start>> {
    let (mut all, mut row) = (Vec::new(), 0);
    for (index, group) in metadata.row_groups().iter().enumerate() {
        let number = u32::try_from(index)?;
        let pages = metadata.offset_index().and_then(|groups| groups.get(index)?.first());
        all.push(Start { row, group: number, before: 0 });
        let (mut last, pages) = (0, pages.map_or(&[][..], |column| column.page_locations().as_slice()));
        for before in pages.iter().map(|page| page.first_row_index) {
            if (last + 1..group.num_rows()).contains(&before) {
                all.push(Start { row: row + before, group: number, before: u32::try_from(before)? });
                last = before;
            }
        }
        row += group.num_rows();
    }
    all.push(Start { row, group: u32::try_from(metadata.num_row_groups())?, before: 0 });
    Ok(all)
}

/// Metadata that make the reader decode text columns to dictionaries, so that a path that a thousand ops name is decoded
/// once.
fn dictionaries(checked: &Checked) -> Result<ArrowReaderMetadata> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(&checked.contents), options)?;
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields = metadata.schema().fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 => Field::new(field.name(), dictionary.clone(), field.is_nullable()),
        other => Field::new(field.name(), other.clone(), field.is_nullable()),
    });
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields.collect::<Vec<_>>())));
    Ok(ArrowReaderMetadata::try_new(Arc::clone(&checked.contents), options)?)
}

impl Source {
    /// Opens a table to read these columns; `table` is its name in messages.
    ///
    /// # Errors
    /// When it is damaged or lacks a column.
    pub fn open(table: &'static str, file: File, columns: &[&str]) -> Result<Source> {
        let damaged = || format!("the table of {table} is damaged");
        let checked = Checked::open(file, PageIndexPolicy::Optional).with_context(damaged)?;
        // Read once: the description of a hundred million rows takes some 20 MB.
        let metadata = panics::contain(|| dictionaries(&checked)).with_context(damaged)?;
        let mask = mask(&metadata, columns).with_context(damaged)?;
        checked.pages(&mask).with_context(damaged)?;
        let starts = starts(&checked.contents).with_context(damaged)?;
        Ok(Source { table, checked, metadata, mask, starts })
    }

    /// A reader of other columns of the same table.
    ///
    /// # Errors
    /// When the table lacks such a column.
    pub fn with(&self, columns: &[&str]) -> Result<Source> {
        let mask = mask(&self.metadata, columns).with_context(|| format!("the table of {} is damaged", self.table))?;
        self.checked.pages(&mask).with_context(|| format!("the table of {} is damaged", self.table))?;
        let (table, checked, starts) = (self.table, self.checked.clone(), self.starts.clone());
        Ok(Source { table, checked, metadata: self.metadata.clone(), mask, starts })
    }

    /// Number of rows of the table.
    pub fn rows(&self) -> i64 {
        self.starts[self.pages()].row
    }

    /// Number of pages of the table.
    pub fn pages(&self) -> usize {
        self.starts.len() - 1
    }

    /// The index of the page that a row is in, the page's first row, and the row after its last.
    pub fn locate(&self, row: i64) -> (usize, i64, i64) {
        let page = self.starts.partition_point(|start| start.row <= row).saturating_sub(1);
        (page, self.starts[page].row, self.starts.get(page + 1).map_or(row, |next| next.row))
    }

    /// The columns to decode of a row group: without those whose statistics say that no row has a value.
    fn mask(&self, group: usize) -> ProjectionMask {
        let parquet = self.metadata.metadata();
        let absent = |leaf: usize| {
            let column = parquet.row_group(group).column(leaf);
            column.statistics().and_then(|statistics| statistics.null_count_opt()) == Some(column.num_values() as u64)
        };
        let leaves = 0..parquet.file_metadata().schema_descr().num_columns();
        let kept = leaves.filter(|leaf| self.mask.leaf_included(*leaf) && !absent(*leaf));
        ProjectionMask::leaves(self.metadata.parquet_schema(), kept)
    }

    /// Decodes a page by its index. Columns in which no row has a value may be left out.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn decode(&self, page: usize) -> Result<RecordBatch> {
        let (table, Start { row, group, before }) = (self.table, self.starts[page]);
        let rows = (self.starts[page + 1].row - row) as usize;
        let chosen = vec![RowSelector::skip(before as usize), RowSelector::select(rows)];
        let decode = || {
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.checked.file.clone(), self.metadata.clone())
                .with_row_groups(vec![group as usize])
                .with_row_selection(RowSelection::from(chosen))
                .with_projection(self.mask(group as usize))
                .with_batch_size(rows)
                .build()?
                .next();
            let batch = reader.context("it is empty")??;
            let texts = batch.columns().iter().filter_map(|column| column.as_dictionary_opt::<Int32Type>());
            texts.into_iter().try_for_each(|column| short(column.values()))?;
            Ok(batch)
        };
        let batch = panics::contain(decode).with_context(|| format!("a page of the {table} is damaged"))?;
        ensure!(batch.num_rows() == rows, "page {page} of the {table} has {} rows, not {rows}", batch.num_rows());
        Ok(batch)
    }
}

/// A cache of decoded pages: the least recently used go first.
pub struct Cache<T> {
    /// The pages by index; `None` for those that are not kept.
    kept: Vec<Option<Kept<T>>>,
    bytes: usize,
    budget: usize,
    clock: u64,
}

/// A decoded page with its size in bytes, the tick of its last use, and how many of its rows were used.
struct Kept<T> {
    page: T,
    bytes: usize,
    used: u64,
    rows: i64,
}

impl<T> Cache<T> {
    /// An empty cache that keeps up to `budget` decoded bytes, and one page whatever its size.
    pub fn new(budget: usize) -> Cache<T> {
        Cache { kept: Vec::new(), bytes: 0, budget, clock: 0 }
    }

    /// The page at `index`; when it is not kept, `decode` makes it and says its size in bytes.
    ///
    /// # Errors
    /// When `decode` fails.
    pub fn get(&mut self, index: usize, decode: impl FnOnce() -> Result<(T, usize)>) -> Result<&T> {
        self.clock += 1;
        if self.kept.len() <= index {
            self.kept.resize_with(index + 1, || None);
        }
        if self.kept[index].is_none() {
            let (page, bytes) = decode()?;
            while self.bytes > 0 && self.bytes + bytes > self.budget {
                let used = |at: &usize| self.kept[*at].as_ref().map_or(u64::MAX, |kept| kept.used);
                let Some(oldest) = (0..self.kept.len()).min_by_key(used) else { break };
                self.bytes -= self.kept[oldest].take().map_or(self.bytes, |kept| kept.bytes);
            }
            self.bytes += bytes;
            self.kept[index] = Some(Kept { page, bytes, used: 0, rows: 0 });
        }
        let kept = self.kept[index].as_mut().context("the page was just decoded")?;
        kept.used = self.clock;
        Ok(&kept.page)
    }

    /// Notes that `rows` more rows of a page were used, of `of` that it has; no row is used twice, so a page whose rows are
    /// all used is dropped.
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
    use arrow::array::{Array, ArrayAccessor, AsArray, Int64Array, StringArray};
    use arrow::datatypes::{Int32Type, Int64Type};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    #[test]
    fn pages_are_decoded_one_by_one_and_are_the_table() {
        let columns = vec![Field::new("op_id", DataType::Int64, false), Field::new("path", DataType::Utf8, true)];
        let schema = Arc::new(Schema::new(columns));
        // Distinct texts too many for a dictionary, then few, then none.
        let path = |row: i64| (row < 900).then(|| format!("/{}/{}", "long".repeat(25), if row < 500 { row } else { row % 3 }));
        let rows = 0..1000;
        let texts: StringArray = rows.clone().map(path).collect();
        let batch =
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(rows.clone().collect::<Int64Array>()), Arc::new(texts)]);
        for (disabled, expected) in [(true, 4), (false, 4 * 4 + 1)] {
            let properties = WriterProperties::builder()
                .set_max_row_group_row_count(Some(300))
                .set_data_page_row_count_limit(70)
                .set_write_batch_size(70)
                .set_dictionary_page_size_limit(1000)
                .set_offset_index_disabled(disabled)
                .build();
            let file = tempfile::tempfile().unwrap();
            let mut writer = ArrowWriter::try_new(file.try_clone().unwrap(), Arc::clone(&schema), Some(properties)).unwrap();
            writer.write(batch.as_ref().unwrap()).unwrap();
            writer.close().unwrap();
            let source = Source::open("ops", file, &["op_id", "path"]).unwrap();
            assert_eq!((source.rows(), source.pages()), (1000, expected));
            let mut next = 0;
            for page in 0..source.pages() {
                let rows = source.decode(page).unwrap();
                assert_eq!(source.locate(next), (page, next, next + rows.num_rows() as i64));
                let ids = rows.column(0).as_primitive::<Int64Type>();
                let texts = rows.column_by_name("path").map(|column| column.as_dictionary::<Int32Type>().clone());
                for at in 0..rows.num_rows() {
                    let values = texts.as_ref().map(|texts| texts.downcast_dict::<StringArray>().unwrap());
                    let text = values.filter(|values| values.is_valid(at)).map(|values| values.value(at).to_owned());
                    assert_eq!((ids.value(at), text), (next, path(next)));
                    next += 1;
                }
            }
            assert_eq!(next, 1000);
        }
    }

    #[test]
    fn what_was_used_last_is_kept() {
        let mut cache = Cache::new(100);
        let mut decoded = Vec::new();
        for index in [0, 1, 0, 2, 0, 1, 7, 7, 2] {
            let bytes = if index == 7 { 1000 } else { 40 };
            let page = cache.get(index, || {
                decoded.push(index);
                Ok((index * 10, bytes))
            });
            assert_eq!(*page.unwrap(), index * 10);
        }
        assert_eq!(decoded, [0, 1, 2, 1, 7, 2]);
        cache.used(2, 10, 16);
        assert_eq!(*cache.get(2, || unreachable!()).unwrap(), 20);
        cache.used(2, 6, 16);
        assert_eq!(*cache.get(2, || Ok((21, 40))).unwrap(), 21);
    }
}
