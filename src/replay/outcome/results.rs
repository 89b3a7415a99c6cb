//! Writes the table `results` as records come in.
//!
//! A killed run must not lose its results, and a Parquet file without its footer is unreadable. So results go to segments,
//! each a complete file of a number of rows or seconds. At the end their compressed columns are concatenated as they are, and
//! the table is one file like every other.

use super::compare::Outcome;
use crate::fate::Origin;
use crate::files;
use crate::replay::shared::record::{NOT_ISSUED, Record, UNKNOWN, errno};
use crate::schema::check::Checked;
use crate::schema::{self, ROW_GROUP, Table, Type};
use crate::syscall::{Op, Syscall};
use anyhow::{Context, Result};
use arrow::array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray, UInt8Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt8Type};
use parquet::arrow::ArrowWriter;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::writer::SerializedFileWriter;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rows that are handed to the Parquet writer at once.
const CHUNK: usize = 16 * 1024;
/// Number of integer columns of the table.
const INTS: usize = 14;
/// Number of text columns of the table.
const WORDS: usize = 5;
/// In place of a word's index: the row has no word (NULL).
const NONE: u8 = u8::MAX;
const _: () = assert!(Syscall::ALL.len() < NONE as usize && Op::ALL.len() < NONE as usize, "a word has a number of one byte");
/// Longest time that rows wait for their segment to be finished.
const SPAN: Duration = Duration::from_secs(5);

/// A text column being filled: each row is an index into a short list of words.
struct Words {
    list: Vec<&'static str>,
    places: Vec<u8>,
}

impl Words {
    /// A column whose words are known beforehand, so that rows can be given as indexes.
    fn of(list: impl Iterator<Item = &'static str>) -> Words {
        Words { list: list.collect(), places: Vec::with_capacity(CHUNK) }
    }

    /// Adds a row with a word, which joins the list if it is new, or with NULL. Searched linearly: there are few words.
    fn push(&mut self, word: Option<&'static str>) {
        let place = word.map(|word| {
            let known = self.list.iter().position(|known| *known == word);
            known.unwrap_or_else(|| {
                self.list.push(word);
                self.list.len() - 1
            })
        });
        self.places.push(place.map_or(NONE, |place| place as u8));
    }

    /// The rows so far as an Arrow dictionary column; the next rows begin a new one.
    fn finish(&mut self) -> Result<ArrayRef> {
        let places = std::mem::replace(&mut self.places, Vec::with_capacity(CHUNK));
        let nulls = there(places.len(), |row| places[row] != NONE);
        let list = Arc::new(StringArray::from(self.list.clone()));
        Ok(Arc::new(DictionaryArray::<UInt8Type>::try_new(UInt8Array::new(places.into(), nulls), list)?))
    }
}

/// The rows so far as an Arrow column, NULL for [`UNKNOWN`]; the next rows begin a new one.
fn numbers(column: &mut Vec<i64>) -> ArrayRef {
    let values = std::mem::replace(column, Vec::with_capacity(CHUNK));
    let nulls = there(values.len(), |row| values[row] != UNKNOWN);
    Arc::new(Int64Array::new(values.into(), nulls))
}

/// The validity bitmap of a column; `None` when every row has a value.
fn there(rows: usize, has: impl FnMut(usize) -> bool) -> Option<NullBuffer> {
    Some(NullBuffer::new(BooleanBuffer::collect_bool(rows, has))).filter(|nulls| nulls.null_count() > 0)
}

/// Arrow schema of the table with text columns as dictionaries, which Parquet stores as plain text columns.
fn schema() -> SchemaRef {
    let words = DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8));
    let fields = Table::Results.columns().into_iter().map(|column| {
        let ty = if column.ty == Type::Int { DataType::Int64 } else { words.clone() };
        Field::new(column.name, ty, column.nullable)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Writer of the table of results, segment by segment.
pub struct Results {
    dir: PathBuf,
    segments: u64,
    current: Option<Segment>,
    /// When the last segment was finished.
    since: Instant,
    schema: SchemaRef,
    /// Rows not yet handed to the Parquet writer: integer columns, in the order of the table.
    ints: [Vec<i64>; INTS],
    /// The same rows: text columns, in the order of the table.
    words: [Words; WORDS],
    rows: usize,
    threads: usize,
}

/// The segment that is being written.
struct Segment {
    writer: ArrowWriter<File>,
    rows: usize,
}

impl Results {
    /// Begins the table in the directory of a run; `threads` is the number of workers per process, which tells a worker's
    /// process.
    pub fn new(dir: &Path, threads: usize) -> Results {
        Results {
            dir: dir.to_owned(),
            segments: 0,
            current: None,
            since: Instant::now(),
            schema: schema(),
            ints: std::array::from_fn(|_| Vec::with_capacity(CHUNK)),
            words: [
                Words::of(Origin::ALL.iter().map(|origin| origin.name())),
                Words::of(Syscall::ALL.iter().map(|syscall| syscall.name())),
                Words::of(Op::ALL.iter().map(|op| op.name())),
                Words::of([Outcome::Same, Outcome::Different, Outcome::Uncompared].into_iter().map(Outcome::name)),
                Words::of(std::iter::empty()),
            ],
            rows: 0,
            threads,
        }
    }

    /// Adds the result of one op, with its verdict and the kind of difference.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn push(&mut self, record: &Record, outcome: Outcome, kind: Option<&'static str>) -> Result<()> {
        let split = |ret: i64| if errno(ret) == 0 { (ret, 0) } else { (-1, i64::from(errno(ret))) };
        let (ret, error) = split(record.ret());
        let (captured_ret, captured_error) = record.captured().map_or((UNKNOWN, UNKNOWN), split);
        let (fact, stamp) = (&record.fact, &record.stamp);
        let ints: [i64; INTS] = [
            fact.op_id,
            fact.seq,
            i64::from(fact.lane),
            (record.worker as usize / self.threads) as i64,
            i64::from(record.worker),
            record.scheduled().unwrap_or(UNKNOWN),
            stamp.begin,
            record.lag().unwrap_or(UNKNOWN),
            if fact.notes & NOT_ISSUED != 0 { UNKNOWN } else { stamp.end.saturating_sub(stamp.begin) },
            ret,
            error,
            captured_ret,
            captured_error,
            fact.captured_dur,
        ];
        for (column, value) in self.ints.iter_mut().zip(ints) {
            column.push(value);
        }
        let [origin, syscall, op, said, how] = &mut self.words;
        origin.places.push(record.origin() as u8);
        syscall.places.push(record.syscall() as u8);
        op.places.push(record.op().map_or(NONE, |op| op as u8));
        said.places.push(outcome as u8);
        how.push(kind);
        self.rows += 1;
        if self.rows == CHUNK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        self.rows = 0;
        let table = Table::Results;
        let (mut ints, mut words) = (self.ints.iter_mut(), self.words.iter_mut());
        let columns = table.columns().into_iter().filter_map(|column| match column.ty {
            Type::Int => ints.next().map(|column| Ok(numbers(column))),
            Type::Text | Type::Bool => words.next().map(Words::finish),
        });
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns.collect::<Result<_>>()?)?;
        if self.current.is_none() {
            let file = create(&self.dir.join(segment_name(self.segments) + UNFINISHED))?;
            let writer = schema::writer(table, file)?;
            self.current = Some(Segment { writer, rows: 0 });
        }
        let Some(segment) = &mut self.current else { return Ok(()) };
        segment.rows += batch.num_rows();
        segment.writer.write(&batch).context("cannot write the results")?;
        if segment.rows >= ROW_GROUP { self.end_segment() } else { Ok(()) }
    }

    /// Finishes the current segment: closes its file and gives it its final name.
    fn end_segment(&mut self) -> Result<()> {
        self.since = Instant::now();
        let Some(segment) = self.current.take() else { return Ok(()) };
        segment.writer.close().context("cannot write the results")?;
        let place = self.dir.join(segment_name(self.segments));
        let unfinished = self.dir.join(segment_name(self.segments) + UNFINISHED);
        self.segments += 1;
        fs::rename(&unfinished, &place).with_context(|| format!("cannot put {} in its place", place.display()))
    }

    /// Called now and then: finishes the current segment if the last one was finished more than 5 s ago.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn tick(&mut self) -> Result<()> {
        if self.since.elapsed() < SPAN {
            return Ok(());
        }
        self.flush()?;
        self.end_segment()
    }

    /// Finishes the last segment and joins all to the one table.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.end_segment()?;
        join(&self.dir)
    }
}

/// Suffix of a file that is still being written.
const UNFINISHED: &str = ".unfinished";

fn segment_name(number: u64) -> String {
    format!("results-{number:06}.parquet")
}

fn create(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).with_context(|| format!("cannot create {}", path.display()))
}

/// The finished segments in a directory, in order.
fn segments(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with("results-") && name.ends_with(".parquet")) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a directory has results to recover: finished segments or the joined table.
pub fn any(dir: &Path) -> bool {
    dir.join(Table::Results.file()).exists() || segments(dir).is_ok_and(|segments| !segments.is_empty())
}

/// Joins the finished segments in a directory to its table of results, and removes them and an unfinished one. If the table
/// is there already, an earlier join was interrupted after it, and only the removal is left.
///
/// # Errors
/// When one cannot be read, or the disk is full.
pub fn join(dir: &Path) -> Result<()> {
    let place = dir.join(Table::Results.file());
    if !place.exists() {
        let aside = dir.join(Table::Results.file() + UNFINISHED);
        concatenate(&segments(dir)?, &aside)?;
        fs::rename(&aside, &place).with_context(|| format!("cannot put {} in its place", place.display()))?;
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(UNFINISHED) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    for path in segments(dir)? {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Writes the table by copying the compressed column chunks of the segments, in order.
fn concatenate(segments: &[PathBuf], place: &Path) -> Result<()> {
    let table = Table::Results;
    let file = create(place)?;
    let arrow = schema::writer(table, file)?;
    let mut writer: SerializedFileWriter<File> = arrow.into_serialized_writer().context("cannot write the results")?.0;
    for path in segments {
        let unreadable = || format!("{} is damaged", path.display());
        let segment = files::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let segment = Checked::open(segment, PageIndexPolicy::Skip).with_context(unreadable)?;
        for group in segment.contents.row_groups() {
            let mut out = writer.next_row_group()?;
            for column in group.columns() {
                let closed = ColumnCloseResult {
                    bytes_written: column.compressed_size() as u64,
                    rows_written: group.num_rows() as u64,
                    metadata: column.clone(),
                    bloom_filter: None,
                    column_index: None,
                    offset_index: None,
                };
                out.append_column(&segment.file, closed).with_context(unreadable)?;
            }
            out.close()?;
        }
    }
    writer.close().context("cannot write the results").map(drop)
}
