//! Writes the results as they come in.
//!
//! A run that is killed must not lose what it knows, and a Parquet file is nothing before its end is written. So results
//! go to segments, each a file that is whole after a number of rows or seconds. At the end their compressed columns are
//! put behind one another as they are, and the table is one file as every other.

use super::compare::Outcome;
use super::pages::{Column, PAGE, Packer, Rows};
use super::record::{Record, UNKNOWN, errno};
use crate::schema::{ROW_GROUP, Table, Type, writer_properties};
use crate::syscall::Syscall;
use anyhow::{Context, Result};
use parquet::arrow::ArrowWriter;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::writer::SerializedFileWriter;
use std::fs::{self, File, OpenOptions};
use std::mem::take;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest that rows wait for their segment to end.
const SPAN: Duration = Duration::from_secs(5);
const _: () = assert!(Syscall::ALL.len() < u8::MAX as usize, "a word has a number of one byte");

/// The table of results, segment by segment.
pub struct Results {
    dir: PathBuf,
    segments: u64,
    /// End of the segment before.
    since: Instant,
    /// In the order of the table, and whether a value may be absent.
    columns: Vec<(Column, bool)>,
    packer: Packer,
    /// Rows of the segment that are on pages, and those after them.
    packed: usize,
    rows: usize,
    threads: usize,
}

impl Results {
    /// Begins the table in the directory of a run; `threads` workers are in a process.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(dir: &Path, threads: usize) -> Result<Results> {
        let columns = Table::Results.columns().into_iter().map(|column| {
            let rows = match column.ty {
                Type::Int => Column::numbers(),
                Type::Text | Type::Bool => Column::words(),
            };
            (rows, column.nullable)
        });
        let (columns, packer, since) = (columns.collect(), Packer::new()?, Instant::now());
        Ok(Results { dir: dir.to_owned(), segments: 0, since, columns, packer, packed: 0, rows: 0, threads })
    }

    /// Adds a result.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn push(&mut self, record: &Record, outcome: Outcome, kind: Option<&'static str>) -> Result<()> {
        let split = |ret: i64| if errno(ret) == 0 { (ret, 0) } else { (-1, i64::from(errno(ret))) };
        let (ret, error) = split(record.ret());
        let (captured_ret, captured_error) = record.captured().map_or((UNKNOWN, UNKNOWN), split);
        let (fact, stamp) = (&record.fact, &record.stamp);
        let numbers = [
            fact.op_id,
            fact.seq,
            i64::from(fact.lane),
            (record.worker as usize / self.threads) as i64,
            i64::from(record.worker),
            stamp.scheduled,
            stamp.begin,
            record.lag().unwrap_or(UNKNOWN),
            stamp.end - stamp.begin,
            ret,
            error,
            captured_ret,
            captured_error,
            fact.captured_dur,
        ];
        let words = [
            Some((fact.origin, record.origin().name())),
            Some((fact.syscall, record.syscall().name())),
            Some((outcome as u8, outcome.name())),
            None,
        ];
        let (mut numbers, mut words) = (numbers.into_iter(), words.into_iter());
        for (column, _) in &mut self.columns {
            match &mut column.rows {
                Rows::Numbers(rows) => rows[self.rows] = numbers.next().unwrap_or(UNKNOWN),
                Rows::Words(rows) => match words.next().flatten() {
                    Some((key, word)) => rows.set(self.rows, key, word),
                    None => rows.name(self.rows, kind),
                },
            }
        }
        self.rows += 1;
        if self.rows == PAGE { self.flush() } else { Ok(()) }
    }

    /// Makes a page of every column.
    fn flush(&mut self) -> Result<()> {
        let rows = take(&mut self.rows);
        if rows > 0 {
            for (column, optional) in &mut self.columns {
                column.page(rows, *optional, &mut self.packer)?;
            }
        }
        self.packed += rows;
        if self.packed >= ROW_GROUP { self.end_segment() } else { Ok(()) }
    }

    fn end_segment(&mut self) -> Result<()> {
        self.since = Instant::now();
        let rows = take(&mut self.packed);
        if rows == 0 {
            return Ok(());
        }
        let unfinished = self.dir.join(segment_name(self.segments) + UNFINISHED);
        let mut writer = file_writer(&unfinished)?;
        let descriptors = writer.schema_descr().columns().to_vec();
        let mut group = writer.next_row_group()?;
        for ((column, _), descriptor) in self.columns.iter_mut().zip(descriptors) {
            column.finish(rows, descriptor, &mut group, &mut self.packer)?;
        }
        group.close()?;
        writer.close().context("cannot write the results")?;
        let place = self.dir.join(segment_name(self.segments));
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

/// A file of results that takes columns which are packed already.
fn file_writer(place: &Path) -> Result<SerializedFileWriter<File>> {
    let table = Table::Results;
    let arrow = ArrowWriter::try_new(create(place)?, table.schema(), Some(writer_properties(&table).build()))?;
    Ok(arrow.into_serialized_writer().context("cannot write the results")?.0)
}

fn concatenate(segments: &[PathBuf], place: &Path) -> Result<()> {
    let mut writer = file_writer(place)?;
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

#[cfg(test)]
mod tests {
    use super::super::pages::PAGE;
    use super::super::record::{Fact, Stamp};
    use super::*;
    use crate::fate::Origin;
    use crate::schema::read;

    /// Records as different from each other as this step makes them.
    fn record(op_id: i64, step: i64) -> Record {
        let mut random = (op_id / step + 1) as u64;
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let odd = |next: u64, value: i64| if next == 0 { UNKNOWN } else { value };
        let fact = Fact {
            op_id,
            seq: 3 * op_id + next(2) as i64,
            row: op_id,
            captured: odd(next(5), next(1 << 40) as i64 - 4000),
            captured_dur: odd(next(40), next(1 << 20) as i64),
            lane: next(300) as u32,
            syscall: next(Syscall::ALL.len() as u64) as u8,
            origin: next(Origin::ALL.len() as u64) as u8,
            ..Fact::default()
        };
        let begin = op_id * 1000 + next(500) as i64;
        let ret = [-2, 0, 7, i64::MAX, -5000][next(5) as usize];
        let scheduled = odd(next(3), begin - next(99) as i64);
        let stamp = Stamp { begin, end: begin + (next(1 << 45) >> next(45)) as i64, ret, scheduled };
        Record { fact, stamp, worker: next(7) as u32 }
    }

    const KINDS: [Option<&str>; 4] = [None, None, Some("errno"), Some("bytes")];

    /// Writes so many results and reads every value again.
    fn there_and_back(rows: i64, step: i64) {
        let dir = tempfile::tempdir().unwrap();
        let mut results = Results::new(dir.path(), 2).unwrap();
        let outcome = |op_id: i64| [Outcome::Same, Outcome::Different][(op_id / step % 11 == 0) as usize];
        let kind = |op_id: i64| KINDS[(op_id / step % 4) as usize];
        for op_id in 0..rows {
            results.push(&record(op_id, step), outcome(op_id), kind(op_id)).unwrap();
        }
        results.finish().unwrap();
        let columns: Vec<&str> = Table::Results.columns().iter().map(|column| column.name).collect();
        let mut op_id = 0;
        for batch in read::batches(&dir.path().join(Table::Results.file()), &columns).unwrap() {
            let batch = batch.unwrap();
            let int = |name: &str, row| read::int(read::ints(&batch, name).unwrap(), row);
            let text = |name: &str, row| read::texts(&batch, name).unwrap().iter().nth(row).flatten().map(str::to_owned);
            for row in 0..batch.num_rows() {
                let record = record(op_id, step);
                let (fact, stamp) = (record.fact, record.stamp);
                assert_eq!((int("op_id", row), int("seq", row)), (Some(op_id), Some(fact.seq)));
                assert_eq!((int("lane", row), int("worker", row)), (Some(fact.lane.into()), Some(record.worker.into())));
                assert_eq!((int("process", row), int("begin", row)), (Some((record.worker / 2).into()), Some(stamp.begin)));
                assert_eq!((int("scheduled", row), int("lag", row)), (record.scheduled(), record.lag()));
                assert_eq!((int("dur", row), int("errno", row)), (Some(stamp.end - stamp.begin), Some(errno(stamp.ret).into())));
                let captured = record.captured().map(|ret| if errno(ret) == 0 { ret } else { -1 });
                assert_eq!((int("ret", row).is_some(), int("captured_ret", row)), (true, captured));
                assert_eq!(int("captured_dur", row), Some(fact.captured_dur).filter(|dur| *dur != UNKNOWN));
                // Texts are slow to find like this; every row has them all the same.
                if row % 997 == 0 || rows < 100 {
                    let words = ["origin", "syscall", "outcome", "kind"].map(|name| text(name, row));
                    let said =
                        [Some(record.origin().name()), Some(record.syscall().name()), Some(outcome(op_id).name()), kind(op_id)];
                    assert_eq!(words.each_ref().map(Option::as_deref), said, "{op_id}");
                }
                op_id += 1;
            }
        }
        assert_eq!(op_id, rows);
    }

    #[test]
    fn every_value_comes_back() {
        for rows in [1, 2, 7, 8, 33, 129, PAGE as i64 - 1, PAGE as i64 + 1] {
            there_and_back(rows, 1);
        }
        // Runs of every length, and more than a segment.
        there_and_back(PAGE as i64, 37);
        there_and_back(ROW_GROUP as i64 + 5000, 100_000);
    }
}
