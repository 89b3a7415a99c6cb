//! Writes the results as they come in.
//!
//! A run that is killed must not lose what it knows, and a Parquet file is nothing before its end is written. So results
//! go to segments, each a file that is whole after a number of rows or seconds. At the end their compressed columns are
//! put behind one another as they are, and the table is one file as every other.

use super::compare::Outcome;
use super::record::{Record, UNKNOWN, errno};
use crate::schema::{ROW_GROUP, Table, Type, writer_properties};
use anyhow::{Context, Result};
use arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringBuilder};
use parquet::arrow::ArrowWriter;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::writer::SerializedFileWriter;
use std::fs::{self, File, OpenOptions};
use std::mem::replace;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rows that are handed to the Parquet writer at once.
const CHUNK: usize = 16 * 1024;
/// Columns of numbers, and of texts.
const INTS: usize = 14;
const TEXTS: usize = 4;
/// The longest that rows wait for their segment to end.
const SPAN: Duration = Duration::from_secs(5);

/// An empty column that holds a chunk without growing.
fn numbers() -> Int64Builder {
    Int64Builder::with_capacity(CHUNK)
}

/// The same for texts, which are short words.
fn texts() -> StringBuilder {
    StringBuilder::with_capacity(CHUNK, CHUNK * 12)
}

/// The table of results, segment by segment.
pub struct Results {
    dir: PathBuf,
    segments: u64,
    current: Option<Segment>,
    /// End of the segment before.
    since: Instant,
    /// Columns in the making, numbers and texts each in the order of the table.
    ints: [Int64Builder; INTS],
    texts: [StringBuilder; TEXTS],
    rows: usize,
    threads: usize,
}

struct Segment {
    writer: ArrowWriter<File>,
    rows: usize,
}

impl Results {
    /// Begins the table in the directory of a run; `threads` workers are in a process.
    pub fn new(dir: &Path, threads: usize) -> Results {
        Results {
            dir: dir.to_owned(),
            segments: 0,
            current: None,
            since: Instant::now(),
            ints: std::array::from_fn(|_| numbers()),
            texts: std::array::from_fn(|_| texts()),
            rows: 0,
            threads,
        }
    }

    /// Adds a result.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn push(&mut self, record: &Record, outcome: Outcome, kind: Option<&'static str>) -> Result<()> {
        let split = |ret: i64| if errno(ret) == 0 { (ret, 0) } else { (-1, i64::from(errno(ret))) };
        let (ret, error) = split(record.ret());
        let captured = record.captured().map(split);
        let (fact, stamp) = (&record.fact, &record.stamp);
        let ints: [Option<i64>; INTS] = [
            Some(fact.op_id),
            Some(fact.seq),
            Some(i64::from(fact.lane)),
            Some((record.worker as usize / self.threads) as i64),
            Some(i64::from(record.worker)),
            record.scheduled(),
            Some(stamp.begin),
            record.lag(),
            Some(stamp.end - stamp.begin),
            Some(ret),
            Some(error),
            captured.map(|(ret, _)| ret),
            captured.map(|(_, errno)| errno),
            Some(fact.captured_dur).filter(|dur| *dur != UNKNOWN),
        ];
        let texts: [Option<&str>; TEXTS] =
            [Some(record.origin().name()), Some(record.syscall().name()), Some(outcome.name()), kind];
        for (column, value) in self.ints.iter_mut().zip(ints) {
            column.append_option(value);
        }
        for (column, value) in self.texts.iter_mut().zip(texts) {
            column.append_option(value);
        }
        self.rows += 1;
        if self.rows == CHUNK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        self.rows = 0;
        let table = Table::Results;
        let (mut ints, mut strings) = (self.ints.iter_mut(), self.texts.iter_mut());
        let columns = table.columns().into_iter().filter_map(|column| -> Option<ArrayRef> {
            Some(match column.ty {
                Type::Int => Arc::new(replace(ints.next()?, numbers()).finish()),
                Type::Text | Type::Bool => Arc::new(replace(strings.next()?, texts()).finish()),
            })
        });
        let batch = RecordBatch::try_new(table.schema(), columns.collect())?;
        if self.current.is_none() {
            let properties = writer_properties(&table).build();
            let file = create(&self.dir.join(segment_name(self.segments) + UNFINISHED))?;
            let writer = ArrowWriter::try_new(file, table.schema(), Some(properties))?;
            self.current = Some(Segment { writer, rows: 0 });
        }
        let Some(segment) = &mut self.current else { return Ok(()) };
        segment.rows += batch.num_rows();
        segment.writer.write(&batch).context("cannot write the results")?;
        if segment.rows >= ROW_GROUP { self.end_segment() } else { Ok(()) }
    }

    fn end_segment(&mut self) -> Result<()> {
        self.since = Instant::now();
        let Some(segment) = self.current.take() else { return Ok(()) };
        segment.writer.close().context("cannot write the results")?;
        let place = self.dir.join(segment_name(self.segments));
        let unfinished = self.dir.join(segment_name(self.segments) + UNFINISHED);
        self.segments += 1;
        fs::rename(&unfinished, &place).with_context(|| format!("cannot put {} in its place", place.display()))
    }

    /// Time has passed: what came since the last segment becomes one if that is long ago.
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

    /// Ends the table.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.end_segment()?;
        join(&self.dir)
    }
}

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

/// Has a directory results that can be put together?
pub fn any(dir: &Path) -> bool {
    dir.join(Table::Results.file()).exists() || segments(dir).is_ok_and(|segments| !segments.is_empty())
}

/// Puts the finished segments of a directory together as its table of results, and removes them and the unfinished one.
/// Where the table is whole already, whoever made it was killed after that.
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

fn concatenate(segments: &[PathBuf], place: &Path) -> Result<()> {
    let table = Table::Results;
    let file = create(place)?;
    let arrow = ArrowWriter::try_new(file, table.schema(), Some(writer_properties(&table).build()))?;
    let mut writer: SerializedFileWriter<File> = arrow.into_serialized_writer().context("cannot write the results")?.0;
    for path in segments {
        let unreadable = || format!("{} is damaged", path.display());
        let segment = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&segment).with_context(unreadable)?;
        for group in metadata.row_groups() {
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
                out.append_column(&segment, closed).with_context(unreadable)?;
            }
            out.close()?;
        }
    }
    writer.close().context("cannot write the results").map(drop)
}
