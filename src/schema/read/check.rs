//! Checks of Parquet files from elsewhere: what a file claims is compared with its bytes and the limits before it is
//! believed.
//!
//! The footer of a file and the header of each page say how much data there is; a decoder allocates that much before it
//! reads. So both are checked first: lists against their bytes, column chunks and pages against the file, numbers of
//! rows against each other, and everything against the numbers of `limits.rs`. A panic of a decoder on what is still wrong becomes an
//! error (`process/panics.rs`).

#[cfg(feature = "s3")]
use super::remote::Remote;
use super::{sorted, thrift};
use crate::process::panics;
#[cfg(feature = "s3")]
use crate::store;
use crate::{files, limits};
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

/// Magic number at the beginning and the end of a Parquet file.
const MAGIC: &[u8; 4] = b"PAR1";
/// Bytes behind the footer: its length (4 bytes) and the magic number.
pub(in crate::schema) const TAIL: u64 = 8;
/// Bytes that are read for a page header at first: most fit.
const HEAD: usize = 128;
/// Longest page header that is accepted, bytes: it may hold a least and a greatest value.
const LONG_HEAD: usize = 256 << 10;

/// An open Parquet file.
#[derive(Clone, Debug)]
pub enum Parquet {
    /// A local file, read with pread(2). The parquet crate would duplicate the descriptor of a `File` for every column, and a replayed
    /// workload may have used up all descriptors.
    Local(Arc<File>),
    /// An object in a store: its pages are checked when they are fetched.
    #[cfg(feature = "s3")]
    Remote(Arc<Remote>),
}

impl Parquet {
    /// The local file; `None` for an object in a store.
    pub fn local(&self) -> Option<&File> {
        match self {
            Parquet::Local(file) => Some(file),
            #[cfg(feature = "s3")]
            Parquet::Remote(_) => None,
        }
    }

    /// The bytes of several ranges: of an object with as few requests as that takes.
    ///
    /// # Errors
    /// When they cannot be read or, of an object, are damaged.
    pub fn ranges(&self, ranges: Vec<Range<u64>>) -> parquet::errors::Result<Vec<Bytes>> {
        match self {
            Parquet::Local(_) => ranges
                .into_iter()
                .map(|range| self.get_bytes(range.start, usize::try_from(range.end - range.start).unwrap_or(usize::MAX)))
                .collect(),
            #[cfg(feature = "s3")]
            Parquet::Remote(remote) => remote.chunks(ranges),
        }
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
        match self {
            Parquet::Local(file) => file.read_at(buffer, at),
            #[cfg(feature = "s3")]
            Parquet::Remote(remote) => remote.read_at(buffer, at),
        }
    }
}

impl Length for Parquet {
    fn len(&self) -> u64 {
        match self {
            Parquet::Local(file) => file.metadata().map_or(0, |meta| meta.len()),
            #[cfg(feature = "s3")]
            Parquet::Remote(remote) => remote.len(),
        }
    }
}

impl ChunkReader for Parquet {
    type T = BufReader<Cursor>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(BufReader::new(Cursor { file: self.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        match self {
            Parquet::Local(file) => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, start)?;
                Ok(bytes.into())
            }
            #[cfg(feature = "s3")]
            Parquet::Remote(remote) => remote.bytes(start, length),
        }
    }
}

/// Sequential reader of a [`Parquet`] file from some offset on, with a position of its own.
#[derive(Debug)]
pub struct Cursor {
    file: Parquet,
    at: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// A Parquet file whose footer was read and checked against the file and the limits.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The open file, to be read by position.
    pub file: Parquet,
    /// The decoded footer: schema, row groups, column chunks, and the page index if it was read.
    pub contents: Arc<ParquetMetaData>,
}

impl Checked {
    /// Reads and checks the footer, and the page index when `index` asks for it and the file has one.
    ///
    /// # Errors
    /// When there is no footer, it contradicts the file or itself, or a limit is exceeded.
    pub fn open(file: File, index: PageIndexPolicy) -> Result<Checked> {
        let file = Parquet::Local(Arc::new(file));
        let (contents, end) = footer(&file)?;
        let contents = match index {
            PageIndexPolicy::Skip => contents,
            index => with_index(&file, contents, index, end)?,
        };
        Ok(Checked { file, contents: Arc::new(contents) })
    }

    /// As [`Checked::open`] for an object in a store, by its URL. Its page index is not read; its pages are checked when they are
    /// fetched.
    ///
    /// # Errors
    /// As [`Checked::open`], and when the store does not answer.
    #[cfg(feature = "s3")]
    pub fn remote(url: &Path) -> Result<Checked> {
        let remote = Arc::new(Remote::open(url)?);
        let file = Parquet::Remote(Arc::clone(&remote));
        let (contents, _) = footer(&file).with_context(|| format!("{} is damaged or no Parquet file", url.display()))?;
        let contents = Arc::new(contents);
        remote.know(&contents);
        Ok(Checked { file, contents })
    }

    /// Opens a file that this process has written: its footer is read and not checked, and it need not be a table of a
    /// dataset.
    ///
    /// # Errors
    /// When its footer cannot be decoded.
    pub fn ours(file: File) -> Result<Checked> {
        let file = Parquet::Local(Arc::new(file));
        let contents = Arc::new(ParquetMetaDataReader::new().parse_and_finish(&file)?);
        Ok(Checked { file, contents })
    }

    /// Checks the header of each page of these columns, in all row groups.
    ///
    /// # Errors
    /// When a header contradicts the file or the footer, or the page index does not match the pages.
    pub fn pages(&self, columns: &ProjectionMask) -> Result<()> {
        if self.file.local().is_none() {
            return Ok(());
        }
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

/// Opens a file and checks all of it: footer, page index, all page headers and the sort order. Others then decode it
/// through the same descriptor. Of an object in a store ([`crate::store`]) the footer is checked, pages when they are fetched, and no
/// order of rows is believed.
///
/// # Errors
/// When it cannot be opened, is damaged, goes beyond the limits, or its rows are not in the order that it claims.
pub fn whole(path: &Path) -> Result<Checked> {
    #[cfg(feature = "s3")]
    if store::is(path) {
        return Checked::remote(path);
    }
    opened(path, files::open(path).with_context(|| format!("cannot open {}", path.display()))?)
}

/// As [`whole`] for a file that is open; `path` is used in messages only.
///
/// # Errors
/// As [`whole`].
pub fn opened(path: &Path, file: File) -> Result<Checked> {
    let damaged = || format!("{} is damaged or no Parquet file", path.display());
    let checked = Checked::open(file, PageIndexPolicy::Optional).with_context(damaged)?;
    checked.pages(&ProjectionMask::all()).with_context(damaged)?;
    sorted::check(path, &checked)?;
    Ok(checked)
}

/// Decodes the footer of a file and compares it with the file and itself; says at which offset it begins.
fn footer(file: &Parquet) -> Result<(ParquetMetaData, u64)> {
    let (contents, end) = contents(file)?;
    let mut rows = 0_i64;
    for (at, group) in contents.row_groups().iter().enumerate() {
        check_group(group, end).with_context(|| format!("row group {at} cannot be true"))?;
        rows = rows.checked_add(group.num_rows()).context("it has more rows than there are numbers")?;
    }
    let claimed = contents.file_metadata().num_rows();
    ensure!(rows == claimed, "it says that it has {claimed} rows, and its row groups have {rows}");
    Ok((contents, end))
}

/// Decodes the footer of a file, and says at which offset it begins.
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
    // The schema of a table is flat: one element is the table, and all others are its columns.
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

/// Range of bytes of a column chunk in the file; `None` when its offsets contradict each other.
pub(super) fn chunk_range(chunk: &ColumnChunkMetaData) -> Option<Range<u64>> {
    // A dictionary page, if there is one, comes before the data pages.
    let (first, data) = (chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset()), chunk.data_page_offset());
    let (start, length) = (u64::try_from(first).ok()?, u64::try_from(chunk.compressed_size()).ok()?);
    let end = start.checked_add(length)?;
    (first <= data && data as u64 <= end).then_some(start..end)
}

/// Reads and checks the page index of the file, which lies before the footer at `end`.
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
    // The parquet crate reads them as one range of bytes.
    let size = whole.map_or(0, |whole| whole.end - whole.start);
    ensure!(size <= limits::FOOTER, "the indexes of its pages lie {size} bytes apart, and {} are the limit", limits::FOOTER);
    panics::contain(|| {
        let mut reader = ParquetMetaDataReader::new_with_metadata(contents).with_page_index_policy(policy);
        reader.read_page_indexes(file)?;
        Ok(reader.finish()?)
    })
    .context("the index of its pages is damaged")
}

/// The fields of a page header (`PageHeader` of parquet.thrift) that are checked; -1 where one is missing.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// Length of the page header itself, bytes.
    length: u64,
    /// Type of the page: [`DATA`], [`DICTIONARY`] or [`DATA_V2`].
    kind: i64,
    /// Bytes of the page behind the header, as stored.
    compressed: i64,
    /// Bytes of the page once decompressed.
    bytes: i64,
    /// Number of values in the page, NULLs included.
    values: i64,
    /// Number of rows; only in headers of data pages V2.
    rows: Option<i64>,
}

/// Type of a data page in its first form, V1 (`PageType` of parquet.thrift).
const DATA: i64 = 0;
/// Type of a dictionary page (`PageType` of parquet.thrift).
const DICTIONARY: i64 = 2;
/// Type of a data page V2 (`PageType` of parquet.thrift).
const DATA_V2: i64 = 3;

impl Head {
    fn read(file: &impl ChunkReader, at: u64, end: u64) -> Result<Head> {
        for size in [HEAD, LONG_HEAD] {
            let size = size.min((end - at) as usize);
            let read = Head::parse(&file.get_bytes(at, size)?);
            // A header that does not parse may be longer than what was read.
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

/// Checks the pages of a column chunk against the footer and, if given, the page index. Returns their bytes: headers,
/// and contents as stored or decompressed, whichever is more.
pub(super) fn check_pages(file: &impl ChunkReader, chunk: &ColumnChunkMetaData, index: Option<&[PageLocation]>) -> Result<u64> {
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
            // Each value of a dictionary takes at least four bytes.
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
