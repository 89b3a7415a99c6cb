//! Columns of the results on their way to Parquet: rows to pages, pages to the chunk that a segment has of a column.

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
use std::mem::{replace, take};

/// Rows of a page at most.
pub const PAGE: usize = 16 * 1024;
/// No word.
const NONE: u8 = u8::MAX;

/// Words of rows that no page has yet, each word said once.
pub struct Words {
    words: Vec<&'static str>,
    /// Place of each key's word.
    places: [u8; 256],
    /// Place of each row's word, or [`NONE`].
    rows: Vec<u8>,
}

impl Words {
    /// Nothing so far.
    pub fn new() -> Words {
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
    #[inline]
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

    /// All of them: the dictionary of a column.
    fn page(&self, packer: &mut Packer) -> Result<CompressedPage> {
        packer.body.clear();
        for word in &self.words {
            packer.body.extend((word.len() as u32).to_le_bytes());
            packer.body.extend(word.as_bytes());
        }
        let (num_values, encoding) = (self.words.len() as u32, Encoding::PLAIN);
        packer.page(|buf| Page::DictionaryPage { buf, num_values, encoding, is_sorted: false })
    }
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

    /// Compresses the body to a page.
    fn page(&mut self, make: impl FnOnce(Bytes) -> Page) -> Result<CompressedPage> {
        let bytes = self.zstd.compress(&self.body).context("cannot compress")?;
        Ok(CompressedPage::new(make(bytes.into()), self.body.len()))
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

/// What a segment has of a column so far.
pub struct Chunk {
    /// May a row have no value?
    optional: bool,
    pages: TrackedWrite<Vec<u8>>,
    /// Bytes of the pages, had they not been compressed.
    unpacked: usize,
    rows: usize,
    nulls: usize,
    /// The least number and the greatest.
    bounds: Option<(i64, i64)>,
}

impl Chunk {
    /// Nothing of a column that may be `optional`.
    pub fn new(optional: bool) -> Chunk {
        Chunk { optional, pages: TrackedWrite::new(Vec::new()), unpacked: 0, rows: 0, nulls: 0, bounds: None }
    }

    /// A page of numbers, [`UNKNOWN`] where there is none.
    ///
    /// # Errors
    /// When memory is short.
    pub fn numbers(&mut self, numbers: &[i64], packer: &mut Packer) -> Result<()> {
        packer.body.clear();
        let constant = pack::constant(numbers);
        let nulls = match (self.optional, constant, numbers.first()) {
            (true, true, Some(&UNKNOWN)) => numbers.len(),
            (true, false, _) => numbers.iter().filter(|number| **number == UNKNOWN).count(),
            _ => 0,
        };
        if self.optional {
            packer.levels(numbers.len(), nulls, numbers.iter().map(|number| *number != UNKNOWN));
        }
        let mut some = take(&mut packer.numbers);
        let there = if nulls == 0 {
            numbers
        } else {
            some.clear();
            some.extend(numbers.iter().filter(|number| **number != UNKNOWN));
            &some
        };
        let unlike = if constant { there.get(..1).unwrap_or_default() } else { there };
        if let Some(first) = unlike.first() {
            let known = self.bounds.unwrap_or((*first, *first));
            let bounds = unlike.iter().fold(known, |(least, greatest), number| (least.min(*number), greatest.max(*number)));
            self.bounds = Some(bounds);
        }
        pack::differences(there, &mut packer.body);
        packer.numbers = some;
        self.add(numbers.len(), nulls, Encoding::DELTA_BINARY_PACKED, packer)
    }

    /// A page of the first rows of words.
    ///
    /// # Errors
    /// When memory is short.
    pub fn words(&mut self, rows: usize, words: &Words, packer: &mut Packer) -> Result<()> {
        packer.body.clear();
        let codes = &words.rows[..rows];
        let nulls = codes.iter().filter(|code| **code == NONE).count();
        if self.optional {
            packer.levels(rows, nulls, codes.iter().map(|code| *code != NONE));
        }
        packer.codes.clear();
        if nulls == 0 {
            packer.codes.extend(codes);
        } else {
            packer.codes.extend(codes.iter().filter(|code| **code != NONE));
        }
        let width = pack::width(words.words.len().saturating_sub(1) as u8);
        packer.body.push(width as u8);
        pack::runs(&packer.codes, width, &mut packer.body);
        self.add(rows, nulls, Encoding::RLE_DICTIONARY, packer)
    }

    fn add(&mut self, rows: usize, nulls: usize, encoding: Encoding, packer: &mut Packer) -> Result<()> {
        let page = packer.page(|buf| Page::DataPage {
            buf,
            num_values: rows as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        })?;
        self.unpacked += SerializedPageWriter::new(&mut self.pages).write_page(page)?.uncompressed_size;
        self.rows += rows;
        self.nulls += nulls;
        Ok(())
    }

    /// Moves the pages to a row group, behind the `words` that they are of, and begins anew.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(
        &mut self,
        words: Option<&Words>,
        column: ColumnDescPtr,
        group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
        packer: &mut Packer,
    ) -> Result<()> {
        let Chunk { pages, mut unpacked, rows, nulls, bounds, .. } = replace(self, Chunk::new(self.optional));
        let mut all = TrackedWrite::new(Vec::new());
        let encodings = match words {
            None => vec![Encoding::RLE, Encoding::DELTA_BINARY_PACKED],
            Some(words) => {
                unpacked += SerializedPageWriter::new(&mut all).write_page(words.page(packer)?)?.uncompressed_size;
                vec![Encoding::RLE, Encoding::PLAIN, Encoding::RLE_DICTIONARY]
            }
        };
        let first = all.bytes_written() as i64;
        let mut bytes = all.into_inner()?;
        bytes.extend(pages.into_inner()?);
        let mut metadata = ColumnChunkMetaData::builder(column)
            .set_encodings(encodings)
            .set_compression(Compression::ZSTD(packer.level))
            .set_num_values(rows as i64)
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(unpacked as i64)
            .set_data_page_offset(first)
            .set_dictionary_page_offset((first > 0).then_some(0));
        if let Some((least, greatest)) = bounds {
            metadata = metadata.set_statistics(Statistics::int64(Some(least), Some(greatest), None, Some(nulls as u64), false));
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
