//! Decoded row groups of the ops, a bounded number of them: small lanes share row groups, and none is decoded again for
//! each of thousands of lanes.

use super::call::{Batch, Call, NONE, TEXTS};
use crate::fate::Origin;
use crate::schema::tables::ARGUMENTS;
use crate::syscall::{Op, Syscall};
use crate::text;
use anyhow::{Context, Result, bail, ensure};
use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Decoded bytes that are kept, whatever the number of lanes.
const BUDGET: usize = 192 << 20;

const INTS: [&str; 7] = ["op_id", "seq", "lane", "ofd", "ofd2", "dir", "dir2"];
const WORDS: [&str; 3] = ["op", "syscall", "origin"];

/// A text column with each distinct text once.
type Dictionary = DictionaryArray<Int32Type>;

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

/// One decoded row group.
struct Group {
    index: usize,
    used: u64,
    bytes: usize,
    ints: Vec<Int64Array>,
    args: Vec<Int64Array>,
    texts: Vec<Dictionary>,
    ops: Vec<Op>,
    syscalls: Vec<Syscall>,
    origins: Vec<Origin>,
    words: Vec<Dictionary>,
}

/// The table of ops, row group by row group.
pub struct Groups {
    file: Shared,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    /// First row of each row group, and the number of rows at the end.
    starts: Vec<i64>,
    kept: Vec<Group>,
    clock: u64,
    ofds: i64,
}

impl Groups {
    /// Opens the table; `ofds` is the number of open file descriptions that the workload has.
    ///
    /// # Errors
    /// When it is damaged or lacks a column.
    pub fn open(file: File, ofds: i64) -> Result<Groups> {
        let file = Shared(Arc::new(file));
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(&file, options).context("the table of ops is damaged")?;
        // The same columns, texts as dictionaries: a path that a thousand ops name is decoded once.
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let fields = metadata.schema().fields().iter().map(|field| match field.data_type() {
            DataType::Utf8 => Field::new(field.name(), dictionary.clone(), field.is_nullable()),
            other => Field::new(field.name(), other.clone(), field.is_nullable()),
        });
        let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields.collect::<Vec<_>>())));
        let metadata = ArrowReaderMetadata::load(&file, options).context("the table of ops is damaged")?;
        let names = || INTS.into_iter().chain(WORDS).chain(TEXTS).chain(ARGUMENTS.iter().map(|col| col.name()));
        for name in names() {
            ensure!(metadata.schema().column_with_name(name).is_some(), "the table of ops has no column {name}");
        }
        let mask = ProjectionMask::columns(metadata.parquet_schema(), names());
        let mut starts = vec![0];
        for group in metadata.metadata().row_groups() {
            starts.push(starts.last().copied().unwrap_or(0) + group.num_rows());
        }
        Ok(Groups { file, metadata, mask, starts, kept: Vec::new(), clock: 0, ofds })
    }

    /// Number of ops.
    pub fn rows(&self) -> i64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Appends rows from `row` up to `end` to a batch: the first always, the others while their op_id is below `limit`
    /// and the batch has room. Returns the next row, and its op_id when it was looked at.
    ///
    /// # Errors
    /// When a row group cannot be decoded or a row makes no sense.
    pub fn fill(&mut self, row: i64, end: i64, limit: i64, room: usize, batch: &mut Batch) -> Result<(i64, Option<i64>)> {
        let ofds = self.ofds;
        let index = self.starts.partition_point(|start| *start <= row) - 1;
        let (start, group_end) = (self.starts[index], self.starts[index + 1].min(end));
        let group = self.group(index)?;
        let mut next = row;
        while next < group_end {
            let at = (next - start) as usize;
            let op_id = group.ints[0].value(at);
            if next > row && (op_id >= limit || batch.calls.len() >= room) {
                return Ok((next, Some(op_id)));
            }
            let call = group.call(next, at, ofds, batch).with_context(|| format!("row {next} of the ops"))?;
            batch.calls.push(call);
            next += 1;
        }
        Ok((next, None))
    }

    /// op_id of a row.
    ///
    /// # Errors
    /// When the row group cannot be decoded.
    pub fn op_id(&mut self, row: i64) -> Result<i64> {
        let index = self.starts.partition_point(|start| *start <= row) - 1;
        let at = (row - self.starts[index]) as usize;
        Ok(self.group(index)?.ints[0].value(at))
    }

    fn group(&mut self, index: usize) -> Result<&Group> {
        self.clock += 1;
        let at = match self.kept.iter().position(|group| group.index == index) {
            Some(at) => at,
            None => {
                let group = self.decode(index)?;
                let mut bytes = group.bytes + self.kept.iter().map(|group| group.bytes).sum::<usize>();
                while bytes > BUDGET && self.kept.len() > 1 {
                    let Some(oldest) = (0..self.kept.len()).min_by_key(|at| self.kept[*at].used) else { break };
                    bytes -= self.kept.swap_remove(oldest).bytes;
                }
                self.kept.push(group);
                self.kept.len() - 1
            }
        };
        self.kept[at].used = self.clock;
        Ok(&self.kept[at])
    }

    fn decode(&self, index: usize) -> Result<Group> {
        let rows = (self.starts[index + 1] - self.starts[index]) as usize;
        let mut reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
            .with_row_groups(vec![index])
            .with_projection(self.mask.clone())
            .with_batch_size(rows)
            .build()?;
        let batch = reader.next().context("a row group of the ops is empty")?.context("a row group of the ops is damaged")?;
        ensure!(batch.num_rows() == rows, "row group {index} of the ops has {} rows, not {rows}", batch.num_rows());
        let column = |name: &str| -> Result<ArrayRef> {
            Ok(Arc::clone(batch.column_by_name(name).with_context(|| format!("column {name} is missing"))?))
        };
        let int = |name: &str| -> Result<Int64Array> {
            Ok(column(name)?.as_primitive_opt::<Int64Type>().with_context(|| format!("column {name} holds no integers"))?.clone())
        };
        let text = |name: &str| -> Result<Dictionary> {
            Ok(column(name)?.as_dictionary_opt::<Int32Type>().with_context(|| format!("column {name} holds no text"))?.clone())
        };
        let words = WORDS.into_iter().map(text).collect::<Result<Vec<_>>>()?;
        Ok(Group {
            index,
            used: 0,
            bytes: batch.get_array_memory_size(),
            ints: INTS.into_iter().map(int).collect::<Result<_>>()?,
            args: ARGUMENTS.iter().map(|col| int(col.name())).collect::<Result<_>>()?,
            texts: TEXTS.into_iter().map(text).collect::<Result<_>>()?,
            ops: parse(&words[0], |word| Op::parse(word).filter(issued))?,
            syscalls: parse(&words[1], |word| Some(Syscall::parse(word.as_bytes()).unwrap_or(Syscall::other)))?,
            origins: parse(&words[2], Origin::parse)?,
            words,
        })
    }
}

/// Is this a verb that a replay issues, rather than one that only the model knows?
fn issued(op: &Op) -> bool {
    !matches!(op, Op::Dup | Op::CloseRange | Op::Umask | Op::Fork | Op::Exec | Op::Exit | Op::ExitGroup | Op::Special)
}

fn values(words: &Dictionary) -> Result<&StringArray> {
    words.values().as_string_opt::<i32>().context("a text column of the ops holds no text")
}

/// The meaning of every distinct word of a column.
fn parse<T>(words: &Dictionary, meaning: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
    values(words)?
        .iter()
        .map(|word| {
            let word = word.unwrap_or_default();
            meaning(word).with_context(|| format!("{word:?} is not a word this version replays: make the workload again"))
        })
        .collect()
}

impl Group {
    fn call(&self, row: i64, at: usize, ofds: i64, batch: &mut Batch) -> Result<Call> {
        let word =
            |column: usize| -> Result<usize> { self.words[column].key(at).with_context(|| format!("has no {}", WORDS[column])) };
        let ofd = |column: usize| -> Result<u32> {
            match self.ints[column].is_valid(at).then(|| self.ints[column].value(at)) {
                None => Ok(NONE),
                Some(ofd) if (0..ofds).contains(&ofd) => Ok(ofd as u32),
                Some(ofd) => bail!("{} is {ofd}, and the manifest says there are {ofds}", INTS[column]),
            }
        };
        let mut call = Call {
            row,
            op_id: self.ints[0].value(at),
            seq: self.ints[1].value(at),
            lane: self.ints[2].value(at),
            op: self.ops[word(0)?],
            syscall: self.syscalls[word(1)?],
            origin: self.origins[word(2)?],
            ofd: ofd(3)?,
            ofd2: ofd(4)?,
            dir: ofd(5)?,
            dir2: ofd(6)?,
            texts: [NONE; TEXTS.len()],
            has: 0,
            args: [0; ARGUMENTS.len()],
        };
        for (slot, column) in self.args.iter().enumerate() {
            if column.is_valid(at) {
                call.has |= 1 << slot;
                call.args[slot] = column.value(at);
            }
        }
        for (slot, column) in self.texts.iter().enumerate() {
            if let Some(key) = column.key(at) {
                call.texts[slot] = batch.store(&text::decode(values(column)?.value(key)));
            }
        }
        Ok(call)
    }
}
