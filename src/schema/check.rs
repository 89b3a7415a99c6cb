//! Parquet files from elsewhere: what one claims is held against its bytes and the limits before it is believed.
//!
//! The table of contents of a file, and the head of each page, say how much there is; a decoder makes room for that and
//! asks later. So both are looked at first: lists against their bytes, chunks and pages against the file, rows against each other,
//! and everything against [`limits`]. What still goes wrong in a decoder is an error like any other ([`panics`]).

use super::{sorted, thrift};
use crate::{files, limits, panics};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// What a Parquet file begins and ends with.
const MAGIC: &[u8; 4] = b"PAR1";
/// Bytes behind the table of contents: its length, and that.
const TAIL: u64 = 8;
/// Bytes in which most heads of pages are.
const HEAD: usize = 128;
/// Bytes of a head at most: it may hold a least and a greatest value.
const LONG_HEAD: usize = 256 << 10;

/// A Parquet file that is read by position. Reading a `File` would duplicate its descriptor for every column, and a workload may
/// have used up every descriptor there is.
#[derive(Clone, Debug)]
pub struct Parquet(Arc<File>);

impl Length for Parquet {
    fn len(&self) -> u64 {
        self.0.metadata().map_or(0, |meta| meta.len())
    }
}

impl ChunkReader for Parquet {
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

/// A place in a [`Parquet`] file.
#[derive(Debug)]
pub struct Cursor {
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

/// A file of which the table of contents was read and held against it.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The file.
    pub file: Parquet,
    /// Its table of contents.
    pub contents: Arc<ParquetMetaData>,
}

impl Checked {
    /// Reads the table of contents, and the index of its pages when that is asked for and there is one.
    ///
    /// # Errors
    /// When it is none, or cannot be true.
    pub fn open(file: File, index: PageIndexPolicy) -> Result<Checked> {
        let file = Parquet(Arc::new(file));
        let (contents, end) = contents(&file)?;
        let mut rows = 0_i64;
        for (at, group) in contents.row_groups().iter().enumerate() {
            check_group(group, end).with_context(|| format!("row group {at} cannot be true"))?;
            rows = rows.checked_add(group.num_rows()).context("it has more rows than there are numbers")?;
        }
        let claimed = contents.file_metadata().num_rows();
        ensure!(rows == claimed, "it says that it has {claimed} rows, and its row groups have {rows}");
        let contents = match index {
            PageIndexPolicy::Skip => contents,
            index => with_index(&file, contents, index, end)?,
        };
        Ok(Checked { file, contents: Arc::new(contents) })
    }

    /// A file that this process has written: it is believed, and may be more than a table of a dataset.
    ///
    /// # Errors
    /// When its table of contents cannot be read.
    pub fn ours(file: File) -> Result<Checked> {
        let file = Parquet(Arc::new(file));
        let contents = Arc::new(ParquetMetaDataReader::new().parse_and_finish(&file)?);
        Ok(Checked { file, contents })
    }

    /// Looks at the head of each page of some columns.
    ///
    /// # Errors
    /// When one cannot be true, or the index leads elsewhere.
    pub fn pages(&self, columns: &ProjectionMask) -> Result<()> {
        for (at, group) in self.contents.row_groups().iter().enumerate() {
            let mut bytes = 0;
            for (leaf, chunk) in group.columns().iter().enumerate().filter(|(leaf, _)| columns.leaf_included(*leaf)) {
                let index = self.contents.offset_index().and_then(|groups| groups.get(at)?.get(leaf));
                let index = index.map(|index| index.page_locations().as_slice());
                bytes += check_pages(&self.file, chunk, index)
                    .with_context(|| format!("column {} of row group {at} is damaged", chunk.column_path().string()))?;
            }
            ensure!(bytes <= limits::GROUP, "row group {at} has {bytes} bytes, and {} are the limit", limits::GROUP);
        }
        Ok(())
    }
}

/// Looks at all of a file that is to be decoded by others, who read what was opened here.
///
/// # Errors
/// When it cannot be opened, is damaged, goes beyond the limits, or its rows are in another order than it claims.
pub fn whole(path: &Path) -> Result<Checked> {
    let file = files::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let damaged = || format!("{} is damaged or no Parquet file", path.display());
    let checked = Checked::open(file, PageIndexPolicy::Optional).with_context(damaged)?;
    checked.pages(&ProjectionMask::all()).with_context(damaged)?;
    sorted::check(path, &checked)?;
    Ok(checked)
}

/// The table of contents, and where in the file it begins.
fn contents(file: &Parquet) -> Result<(ParquetMetaData, u64)> {
    let length = file.len();
    ensure!(length >= TAIL + 4, "it is too short to be a Parquet file");
    let tail = file.get_bytes(length - TAIL, TAIL as usize)?;
    let (size, magic) = tail.split_at(4);
    ensure!(magic == MAGIC, "it does not end as a Parquet file does");
    let size = u64::from(u32::from_le_bytes(size.try_into()?));
    let end = (length - TAIL).checked_sub(size).filter(|end| *end >= 4);
    let end = end.with_context(|| format!("its table of contents would have {size} bytes, and it has {length}"))?;
    ensure!(size <= limits::FOOTER, "its table of contents has {size} bytes, and {} are the limit", limits::FOOTER);
    let bytes = file.get_bytes(end, size as usize)?;
    // A table is flat: one element is the table, and all others are its columns.
    let (mut elements, mut nodes, mut children) = (0, 0, 0);
    let damaged = || "its table of contents is damaged";
    thrift::walk(&bytes, |place, number| match place {
        (0, 2) => elements = number,
        (2, 5) if number != 0 => (nodes, children) = (nodes + 1, number),
        _ => {}
    })
    .with_context(damaged)?;
    ensure!(nodes <= 1 && children == (elements - 1).max(0), "its columns lie in one another, which those of no table do");
    let contents = panics::contain(|| Ok(ParquetMetaDataReader::decode_metadata(&bytes)?)).with_context(damaged)?;
    Ok((contents, end))
}

fn check_group(group: &RowGroupMetaData, end: u64) -> Result<()> {
    let rows = group.num_rows();
    ensure!((0..=limits::GROUP_ROWS).contains(&rows), "it has {rows} rows, and {} are the limit", limits::GROUP_ROWS);
    for chunk in group.columns() {
        let name = chunk.column_path().string();
        ensure!(chunk.num_values() == rows, "column {name} has {} values, and there are {rows} rows", chunk.num_values());
        let range = chunk_range(chunk);
        ensure!(range.is_some_and(|range| range.start >= 4 && range.end <= end), "column {name} is not in the file");
    }
    Ok(())
}

/// Where a chunk is.
fn chunk_range(chunk: &ColumnChunkMetaData) -> Option<Range<u64>> {
    // A page of data behind its dictionary, if it has one.
    let (first, data) = (chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset()), chunk.data_page_offset());
    let (start, length) = (u64::try_from(first).ok()?, u64::try_from(chunk.compressed_size()).ok()?);
    let end = start.checked_add(length)?;
    (first <= data && data as u64 <= end).then_some(start..end)
}

/// Reads the index of the pages.
fn with_index(file: &Parquet, contents: ParquetMetaData, policy: PageIndexPolicy, end: u64) -> Result<ParquetMetaData> {
    let mut whole: Option<Range<u64>> = None;
    for chunk in contents.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let indexes = [
            (chunk.offset_index_offset(), chunk.offset_index_length()),
            (chunk.column_index_offset(), chunk.column_index_length()),
        ];
        for (offset, length) in indexes {
            let (Some(offset), Some(length)) = (offset, length) else { continue };
            let range = u64::try_from(offset).ok().zip(u64::try_from(length).ok()).map(|(start, size)| start..start + size);
            let range = range.filter(|range| range.start >= 4 && range.end <= end);
            let range = range.with_context(|| format!("an index of {length} bytes at {offset} is not in the file"))?;
            ensure!(
                range.end - range.start <= limits::FOOTER,
                "an index has {length} bytes, and {} are the limit",
                limits::FOOTER
            );
            thrift::walk(&file.get_bytes(range.start, (range.end - range.start) as usize)?, |_, _| ())
                .context("the index of its pages is damaged")?;
            whole = Some(whole.map_or(range.clone(), |whole| whole.start.min(range.start)..whole.end.max(range.end)));
        }
    }
    // A reader takes them in one piece.
    let size = whole.map_or(0, |whole| whole.end - whole.start);
    ensure!(size <= limits::FOOTER, "the indexes of its pages lie {size} bytes apart, and {} are the limit", limits::FOOTER);
    panics::contain(|| {
        let mut reader = ParquetMetaDataReader::new_with_metadata(contents).with_page_index_policy(policy);
        reader.read_page_indexes(file)?;
        Ok(reader.finish()?)
    })
    .context("the index of its pages is damaged")
}

/// What the head of a page says.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// Its own length, bytes.
    length: u64,
    kind: i64,
    /// Bytes behind it, and what they become.
    compressed: i64,
    bytes: i64,
    values: i64,
    /// Of the second form of pages only.
    rows: Option<i64>,
}

/// Kinds of pages (parquet.thrift).
const DATA: i64 = 0;
const DICTIONARY: i64 = 2;
const DATA_V2: i64 = 3;

impl Head {
    fn read(file: &Parquet, at: u64, end: u64) -> Result<Head> {
        for size in [HEAD, LONG_HEAD] {
            let size = size.min((end - at) as usize);
            let read = Head::parse(&file.get_bytes(at, size)?);
            // What does not end there may be longer.
            if read.is_ok() || size < HEAD {
                return read;
            }
        }
        bail!("the head of a page is longer than {LONG_HEAD} bytes")
    }

    fn parse(bytes: &[u8]) -> Result<Head> {
        let mut head = Head { kind: -1, compressed: -1, bytes: -1, values: -1, ..Head::default() };
        let length = thrift::walk(bytes, |place, number| match place {
            (0, 1) => head.kind = number,
            (0, 2) => head.bytes = number,
            (0, 3) => head.compressed = number,
            (5 | 7 | 8, 1) => head.values = number,
            (8, 3) => head.rows = Some(number),
            _ => {}
        })?;
        Ok(Head { length: length as u64, ..head })
    }
}

/// Looks at the pages of a chunk; their bytes, not compressed.
fn check_pages(file: &Parquet, chunk: &ColumnChunkMetaData, index: Option<&[PageLocation]>) -> Result<u64> {
    let Range { start, end } = chunk_range(chunk).context("it is not in the file")?;
    let (mut at, mut values, mut total, mut data) = (start, 0_i64, 0, 0);
    while at < end {
        let head = Head::read(file, at, end).with_context(|| format!("a page at {at}"))?;
        let page = at..at + head.length;
        let (compressed, bytes) = (u64::try_from(head.compressed), u64::try_from(head.bytes));
        let (Ok(compressed), Ok(bytes)) = (compressed, bytes) else { bail!("the page at {at} has no length") };
        let most = bytes.max(compressed);
        ensure!(most <= limits::PAGE, "the page at {at} has {most} bytes, and {} are the limit", limits::PAGE);
        ensure!(compressed <= end - page.end, "the page at {at} goes on behind its column");
        ensure!((0..=limits::GROUP_ROWS).contains(&head.values), "the page at {at} has {} values", head.values);
        at = page.end + compressed;
        total += head.length + most;
        match head.kind {
            DATA | DATA_V2 => {
                let first = chunk.data_page_offset() as u64;
                ensure!(data > 0 || page.start == first, "its first page of data is at {}, and it says {first}", page.start);
                ensure!(head.rows.is_none_or(|rows| rows == head.values), "the page at {} has rows without a value", page.start);
                if let Some(index) = index {
                    let known = index.get(data).is_some_and(|known| {
                        let size = i64::from(known.compressed_page_size) as u64;
                        known.offset as u64 == page.start && size == at - page.start && known.first_row_index == values
                    });
                    ensure!(known, "the index does not lead to the page at {}", page.start);
                }
                values += head.values;
                data += 1;
            }
            // Its values have four bytes each at least.
            DICTIONARY => ensure!(
                page.start == start && head.values as u64 <= bytes / 4,
                "the page at {} is no dictionary of {} values",
                page.start,
                head.values
            ),
            kind => bail!("the page at {} is of kind {kind}, which no table has", page.start),
        }
    }
    ensure!(values == chunk.num_values(), "its pages have {values} values, and it says {}", chunk.num_values());
    ensure!(index.is_none_or(|index| index.len() == data), "the index names pages that there are not");
    Ok(total)
}
