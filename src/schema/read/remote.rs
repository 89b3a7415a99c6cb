//! A Parquet file in a store. Whole column chunks are fetched, and the pages of each are checked before anybody decodes them.

use super::check::{check_pages, chunk_range};
use crate::limits;
use crate::store::Object;
use anyhow::{Context, Result, ensure};
use bytes::{Buf, Bytes};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Bytes of column chunks that are kept for a reader that reads a page at a time; the last one is kept whatever its size.
const HELD: usize = 32 << 20;
/// Bytes of a column chunk that is fetched, at most: an eighth of what a row group may have.
const CHUNK: u64 = limits::GROUP / 8;

/// A Parquet file in a store.
#[derive(Debug)]
pub struct Remote {
    object: Object,
    /// The end of the file, from this offset on.
    tail: (u64, Bytes),
    /// The footer once it was checked, and by the offset of each column chunk the number of its row group and of its column.
    known: OnceLock<(Arc<ParquetMetaData>, Chunks)>,
    /// Column chunks that were fetched, by offset, the newest at the end.
    held: Mutex<VecDeque<(u64, Bytes)>>,
}

type Chunks = BTreeMap<u64, (usize, usize)>;

impl Remote {
    /// Opens a file by its URL, and reads its end.
    ///
    /// # Errors
    /// When there is none, or the store does not answer.
    pub(super) fn open(url: &Path) -> Result<Remote> {
        let (object, tail) = Object::open(url)?;
        let tail = (object.size() - tail.len() as u64, tail);
        Ok(Remote { object, tail, known: OnceLock::new(), held: Mutex::default() })
    }

    /// Tells it where column chunks lie.
    pub(super) fn know(&self, contents: &Arc<ParquetMetaData>) {
        let mut chunks = Chunks::new();
        for (group, row_group) in contents.row_groups().iter().enumerate() {
            for (leaf, chunk) in row_group.columns().iter().enumerate() {
                chunks.extend(chunk_range(chunk).map(|range| (range.start, (group, leaf))));
            }
        }
        let _ = self.known.set((Arc::clone(contents), chunks));
    }

    /// Size of the file, bytes.
    pub(super) fn len(&self) -> u64 {
        self.object.size()
    }

    /// Bytes of the end of the file, or of one column chunk.
    ///
    /// # Errors
    /// When they cannot be fetched, lie in no column, or the column is damaged.
    pub(super) fn bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.slice(start, length).map_err(external)
    }

    fn slice(&self, start: u64, length: usize) -> Result<Bytes> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.len()).context("a range is not in the file")?;
        if self.known.get().is_none() {
            return self.fetch(std::slice::from_ref(&(start..end)))?.pop().context("a range is empty");
        }
        let (range, chunk) = self.chunk(start)?;
        ensure!(end <= range.end, "a range goes on behind its column");
        let at = usize::try_from(start - range.start)?;
        Ok(chunk.slice(at..at + length))
    }

    /// Reads on from an offset, up to the end of its column chunk.
    ///
    /// # Errors
    /// As [`Remote::bytes`].
    pub(super) fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let (range, chunk) = self.chunk(at).map_err(io::Error::other)?;
        let from = usize::try_from(at - range.start).map_err(io::Error::other)?;
        let length = buffer.len().min(chunk.len() - from);
        buffer[..length].copy_from_slice(&chunk[from..from + length]);
        Ok(length)
    }

    /// Column chunks, each as a whole.
    ///
    /// # Errors
    /// As [`Remote::bytes`], and when a range is no column chunk.
    pub(super) fn chunks(&self, ranges: Vec<Range<u64>>) -> parquet::errors::Result<Vec<Bytes>> {
        let fetch = || -> Result<Vec<Bytes>> {
            for range in &ranges {
                ensure!(self.at(range.start)?.0 == *range, "{}: a range is no column of the file", self.object.url());
            }
            let fetched = self.fetch(&ranges)?;
            ranges.iter().zip(&fetched).try_for_each(|(range, bytes)| self.check(range, bytes))?;
            Ok(fetched)
        };
        fetch().map_err(external)
    }

    /// Bytes of these ranges, unchecked: those that were read with the end of the file are not fetched again.
    fn fetch(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (tail, held) = &self.tail;
        if ranges.iter().any(|range| range.start < *tail) {
            return self.object.ranges(ranges);
        }
        let part = |range: &Range<u64>| -> Result<Bytes> {
            let (from, to) = (usize::try_from(range.start - tail)?, usize::try_from(range.end - tail)?);
            ensure!(from <= to && to <= held.len(), "a range is not in the file");
            Ok(held.slice(from..to))
        };
        ranges.iter().map(part).collect()
    }

    /// The column chunk in which an offset lies: its range, row group and column.
    fn at(&self, offset: u64) -> Result<(Range<u64>, usize, usize)> {
        let (contents, chunks) = self.known.get().context("the footer is not read yet")?;
        let found = chunks
            .range(..=offset)
            .next_back()
            .and_then(|(_, (group, leaf))| Some((chunk_range(contents.row_group(*group).column(*leaf))?, *group, *leaf)));
        let found = found.filter(|(range, ..)| range.contains(&offset));
        let (range, group, leaf) = found.with_context(|| format!("{}: no column has bytes at {offset}", self.object.url()))?;
        let size = range.end - range.start;
        ensure!(size <= CHUNK, "{}: a column of a row group has {size} bytes, and {CHUNK} are the limit", self.object.url());
        Ok((range, group, leaf))
    }

    /// The column chunk in which an offset lies, which may be held from before.
    fn chunk(&self, offset: u64) -> Result<(Range<u64>, Bytes)> {
        let (range, ..) = self.at(offset)?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let found = held.iter().position(|(start, _)| *start == range.start).and_then(|at| held.remove(at));
        let bytes = match found {
            Some((_, bytes)) => bytes,
            None => {
                let bytes = self.fetch(std::slice::from_ref(&range))?.pop().context("a column has no bytes")?;
                self.check(&range, &bytes)?;
                bytes
            }
        };
        held.push_back((range.start, bytes.clone()));
        while held.len() > 1 && held.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > HELD {
            held.pop_front();
        }
        Ok((range, bytes))
    }

    /// Checks the pages of a column chunk.
    fn check(&self, range: &Range<u64>, bytes: &Bytes) -> Result<()> {
        let (contents, _) = self.known.get().context("the footer is not read yet")?;
        let (_, group, leaf) = self.at(range.start)?;
        let chunk = contents.row_group(group).column(leaf);
        let part = Part { start: range.start, bytes: bytes.clone() };
        let damaged =
            || format!("{}: column {} of row group {group} is damaged", self.object.url(), chunk.column_path().string());
        let size = check_pages(&part, chunk, None).with_context(damaged)?;
        ensure!(size <= CHUNK * 2, "{}: row group {group} has {size} bytes in one column", self.object.url());
        Ok(())
    }
}

fn external(error: anyhow::Error) -> ParquetError {
    ParquetError::External(error.into())
}

/// A part of a file, by the offsets of the whole.
struct Part {
    start: u64,
    bytes: Bytes,
}

impl Length for Part {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Part {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let length = self.len().saturating_sub(start);
        Ok(self.get_bytes(start, usize::try_from(length).unwrap_or(usize::MAX))?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let from = start.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        let part = from.and_then(|from| Some(from..from.checked_add(length)?)).filter(|part| part.end <= self.bytes.len());
        part.map(|part| self.bytes.slice(part)).ok_or_else(|| ParquetError::EOF("a page goes on behind its column".into()))
    }
}
