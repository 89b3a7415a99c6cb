//! A column of the results on its way to Parquet: what a segment has of it, page by page.

use super::pack;
use super::record::UNKNOWN;
use anyhow::{Context, Result};
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use std::io::Write;
use std::mem::take;

/// Rows of a page at most.
pub const PAGE: usize = 16 * 1024;
/// No word.
const NONE: u8 = u8::MAX;

/// The rows that no page has yet.
pub enum Rows {
    /// Numbers, or [`UNKNOWN`].
    Numbers(Vec<i64>),
    /// Words by number.
    Words(Words),
}

/// Words, each said once.
pub struct Words {
    words: Vec<&'static str>,
    /// Place of each key's word.
    places: [u8; 256],
    rows: Vec<u8>,
}

impl Words {
    fn new() -> Words {
        Words { words: Vec::new(), places: [NONE; 256], rows: vec![NONE; PAGE] }
    }

    /// Puts a word into a row; a key always means the same word.
    #[inline]
    pub fn set(&mut self, row: usize, key: u8, word: &'static str) {
        if self.places[usize::from(key)] == NONE {
            self.places[usize::from(key)] = self.place(word);
        }
        self.rows[row] = self.places[usize::from(key)];
    }

    /// Puts a word that has no key into a row, or none.
    pub fn name(&mut self, row: usize, word: Option<&'static str>) {
        self.rows[row] = word.map_or(NONE, |word| self.place(word));
    }

    fn place(&mut self, word: &'static str) -> u8 {
        let known = self.words.iter().position(|known| *known == word);
        known.unwrap_or_else(|| {
            self.words.push(word);
            self.words.len() - 1
        }) as u8
    }
}

/// A column of the segment in the making.
pub struct Column {
    /// The rows to come.
    pub rows: Rows,
    pages: TrackedWrite<Vec<u8>>,
    /// Bytes of the pages, had they not been compressed.
    unpacked: usize,
    nulls: u64,
    /// The least number and the greatest.
    bounds: Option<(i64, i64)>,
}

/// What packs pages: the memory of one page, used again for the next.
pub struct Packer {
    zstd: zstd::bulk::Compressor<'static>,
    level: ZstdLevel,
    numbers: Vec<i64>,
    codes: Vec<u8>,
    body: Vec<u8>,
}

impl Packer {
    /// At the level of all tables.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new() -> Result<Packer> {
        let level = ZstdLevel::try_new(1)?;
        let zstd = zstd::bulk::Compressor::new(level.compression_level()).context("cannot compress")?;
        Ok(Packer { zstd, level, numbers: Vec::new(), codes: Vec::new(), body: Vec::new() })
    }

    /// The body of the page, compressed, and its size before.
    fn compressed(&mut self) -> Result<(Bytes, usize)> {
        Ok((self.zstd.compress(&self.body).context("cannot compress")?.into(), self.body.len()))
    }

    /// Says in which rows a value is: the definition levels of a page.
    fn levels(&mut self, rows: usize, nulls: usize, there: impl Iterator<Item = bool>) {
        self.codes.clear();
        if nulls == 0 || nulls == rows {
            self.codes.resize(rows, u8::from(nulls == 0));
        } else {
            self.codes.extend(there.map(u8::from));
        }
        let start = self.body.len();
        self.body.extend([0; 4]);
        pack::runs(&self.codes, 1, &mut self.body);
        let length = (self.body.len() - start - 4) as u32;
        self.body[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }
}

/// Bounds of these numbers too.
fn bounds(known: Option<(i64, i64)>, numbers: &[i64]) -> Option<(i64, i64)> {
    let numbers = if pack::constant(numbers) { numbers.get(..1)? } else { numbers };
    let (least, greatest) = known.unwrap_or((i64::MAX, i64::MIN));
    Some(numbers.iter().fold((least, greatest), |(least, greatest), number| (least.min(*number), greatest.max(*number))))
}

impl Column {
    fn new(rows: Rows) -> Column {
        Column { rows, pages: TrackedWrite::new(Vec::new()), unpacked: 0, nulls: 0, bounds: None }
    }

    /// A column of numbers.
    pub fn numbers() -> Column {
        Column::new(Rows::Numbers(vec![UNKNOWN; PAGE]))
    }

    /// A column of words.
    pub fn words() -> Column {
        Column::new(Rows::Words(Words::new()))
    }

    /// Makes the first rows a page; `optional` when one may have no value.
    ///
    /// # Errors
    /// When memory is short.
    pub fn page(&mut self, rows: usize, optional: bool, packer: &mut Packer) -> Result<()> {
        packer.body.clear();
        let (nulls, encoding) = match &self.rows {
            Rows::Numbers(numbers) => {
                let numbers = &numbers[..rows];
                let nulls = numbers.iter().filter(|number| **number == UNKNOWN).count();
                if optional {
                    packer.levels(rows, nulls, numbers.iter().map(|number| *number != UNKNOWN));
                }
                let mut some = take(&mut packer.numbers);
                let there = if nulls == 0 {
                    numbers
                } else {
                    some.clear();
                    some.extend(numbers.iter().filter(|number| **number != UNKNOWN));
                    &some
                };
                self.bounds = bounds(self.bounds, there);
                pack::differences(there, &mut packer.body);
                packer.numbers = some;
                (nulls, Encoding::DELTA_BINARY_PACKED)
            }
            Rows::Words(Words { words, rows: codes, .. }) => {
                let codes = &codes[..rows];
                let nulls = codes.iter().filter(|code| **code == NONE).count();
                if optional {
                    packer.levels(rows, nulls, codes.iter().map(|code| *code != NONE));
                }
                packer.codes.clear();
                packer.codes.extend(codes.iter().filter(|code| **code != NONE));
                let width = pack::width(words.len().saturating_sub(1) as u8);
                packer.body.push(width as u8);
                pack::runs(&packer.codes, width, &mut packer.body);
                (nulls, Encoding::RLE_DICTIONARY)
            }
        };
        self.nulls += nulls as u64;
        let (buf, size) = packer.compressed()?;
        let page = Page::DataPage {
            buf,
            num_values: rows as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let spec = SerializedPageWriter::new(&mut self.pages).write_page(CompressedPage::new(page, size))?;
        self.unpacked += spec.uncompressed_size;
        Ok(())
    }

    /// Moves the pages, of so many rows, to a row group, and begins anew.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(
        &mut self,
        rows: usize,
        column: ColumnDescPtr,
        group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
        packer: &mut Packer,
    ) -> Result<()> {
        let mut chunk = TrackedWrite::new(Vec::new());
        let mut unpacked = take(&mut self.unpacked);
        let (nulls, bounds) = (take(&mut self.nulls), self.bounds.take());
        let mut encodings = vec![Encoding::RLE];
        match &mut self.rows {
            Rows::Numbers(_) => encodings.push(Encoding::DELTA_BINARY_PACKED),
            Rows::Words(words) => {
                packer.body.clear();
                for word in &words.words {
                    packer.body.extend((word.len() as u32).to_le_bytes());
                    packer.body.extend(word.as_bytes());
                }
                let (buf, size) = packer.compressed()?;
                let num_values = words.words.len() as u32;
                let page = Page::DictionaryPage { buf, num_values, encoding: Encoding::PLAIN, is_sorted: false };
                unpacked += SerializedPageWriter::new(&mut chunk).write_page(CompressedPage::new(page, size))?.uncompressed_size;
                encodings.extend([Encoding::PLAIN, Encoding::RLE_DICTIONARY]);
            }
        }
        let first = chunk.bytes_written();
        let pages = std::mem::replace(&mut self.pages, TrackedWrite::new(Vec::new())).into_inner()?;
        let mut bytes = chunk.into_inner()?;
        bytes.extend(pages);
        let mut metadata = ColumnChunkMetaData::builder(column)
            .set_encodings(encodings)
            .set_compression(Compression::ZSTD(packer.level))
            .set_num_values(rows as i64)
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(unpacked as i64)
            .set_data_page_offset(first as i64)
            .set_dictionary_page_offset((first > 0).then_some(0));
        if let Some((least, greatest)) = bounds {
            metadata = metadata.set_statistics(Statistics::int64(Some(least), Some(greatest), None, Some(nulls), false));
        }
        let closed = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: rows as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        group.append_column(&Bytes::from(bytes), closed).context("cannot write the results")
    }
}
