//! Reads the table of ops page by page and decodes rows into batches. A bounded number of decoded pages is kept: small lanes
//! share pages, and none is decoded again for each of thousands of lanes.

use super::source::{Cache, Source};
use crate::event::Col;
use crate::fate::Origin;
use crate::replay::Pace;
use crate::replay::issue::count::count;
use crate::replay::issue::sys;
use crate::replay::shared::call::{Batch, COUNT, NONE, NUMBERS, Packed, TEXTS};
use crate::replay::shared::record::{CHANGED, Fact, GROUPED, UNKNOWN};
use crate::syscall::{Class, Interface, Op, Syscall};
use crate::text;
use anyhow::{Context, Result, bail, ensure};
use arrow::array::{Array, AsArray, DictionaryArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type};
use std::fs::File;
use std::ops::Range;

const IDS: [&str; 3] = ["op_id", "seq", "lane"];
const OFDS: [&str; 4] = ["ofd", "ofd2", "dir", "dir2"];
const WORDS: [&str; 3] = ["op", "syscall", "origin"];
/// Columns of what an op waits for in a lane with requests.
const REQUESTS: [&str; 4] = ["ring", "reaped", "settled", "behind"];
/// Column that says of an op that its outcome is not known.
const CHANGED_COLUMN: &str = "changed";
/// Column of the file that an op concerns, read where syncs are regrouped.
const FILE: &str = "file";
/// Columns of the captured outcome, duration and start.
const CAPTURED: [Col; 4] = [Col::Ret, Col::Errno, Col::Dur, Col::Ts];
/// Columns of what its lane did before an op, for pace app.
const BEFORE: [&str; 3] = ["think", "compute", "timer"];

/// The largest errno that a call returns (MAX_ERRNO, include/linux/err.h of the kernel).
const ERRNO_MAX: i64 = 4095;

/// A text column that stores each distinct text once.
type Dictionary = DictionaryArray<Int32Type>;

/// A text column with its texts decoded to the bytes that the kernel takes, each distinct text once.
struct Texts {
    /// Index of the column in [`TEXTS`].
    slot: usize,
    column: Dictionary,
    bytes: Vec<u8>,
    /// End of each distinct text in `bytes`.
    ends: Vec<usize>,
}

impl Texts {
    fn new(slot: usize, column: Dictionary) -> Result<Texts> {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for value in values(&column)? {
            let text = text::decode(value.unwrap_or_default());
            ensure!(!text.contains(&0), "invalid workload: column {} of ops has {value:?}, and no text has a NUL", TEXTS[slot]);
            bytes.extend_from_slice(&text);
            ends.push(bytes.len());
        }
        Ok(Texts { slot, column, bytes, ends })
    }

    /// The text of a row; `None` for NULL.
    fn at(&self, row: usize) -> Option<&[u8]> {
        let key = self.column.key(row)?;
        let start = key.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.bytes[start..self.ends[key]])
    }
}

/// One decoded page of the table of ops. Columns in which no row has a value are not kept.
struct Page {
    ids: [Int64Array; 3],
    ofds: [Option<Int64Array>; 4],
    captured: [Option<Int64Array>; 4],
    before: [Option<Int64Array>; 3],
    requests: [Option<Int64Array>; 4],
    changed: Option<Int64Array>,
    /// For each row which of the files it is whose syncs are regrouped, plus 1; 0 for any other. `None` where none are.
    groups: Option<Vec<u16>>,
    /// Column of [`Col::Count`]: an op may get a count also when none was captured ([`count`]).
    counts: Option<Int64Array>,
    /// The columns of the other [`NUMBERS`], each with its bit in [`Packed::has`].
    numbers: Vec<(u16, Int64Array)>,
    texts: Vec<Texts>,
    words: [Dictionary; 3],
    ops: Vec<Op>,
    syscalls: Vec<Syscall>,
    origins: Vec<Origin>,
}

/// What the table of ops says of an op beyond what is needed to issue it.
pub struct Row {
    /// What the supervisor must know of the op, written to the board.
    pub fact: Fact,
    /// Captured start of the call, ns; `None` when unknown, or in a replay without a pace.
    pub ts: Option<i64>,
    /// With pace app: how long the lane took before the op, how long of that its thread computed, and how long after its last
    /// timer it was let go, ns.
    pub think: Option<i64>,
    pub compute: Option<i64>,
    pub timer: Option<i64>,
    /// What it waits for in its own lane; `None` in a lane without requests.
    pub asks: Option<Asks>,
}

/// What the table of ops says an op waits for in its own lane.
#[derive(Clone, Copy, Debug)]
pub struct Asks {
    /// Of a request the interface by which the program handed it over, and the ring that it went through.
    pub ring: Option<(Interface, i64)>,
    /// How many requests must be done.
    pub reaped: i64,
    /// All requests up to this op must be done; -1 for none.
    pub settled: i64,
    /// Did the program hand over more requests behind it in the same call?
    pub more: bool,
}

/// Reader of the table of ops, page by page.
pub struct Pages {
    source: Source,
    cache: Cache<Page>,
    ofds: i64,
    grouped: Vec<i64>,
}

impl Pages {
    /// Opens the table, of which up to `budget` bytes are kept decoded; `ofds` is the number of open file descriptions of the
    /// workload. With pace asap the captured starts are not read. `grouped` are the files whose syncs are regrouped, in ascending
    /// order.
    ///
    /// # Errors
    /// When it is damaged or lacks a column.
    pub fn open(file: File, ofds: i64, budget: usize, pace: Pace, grouped: &[i64]) -> Result<Pages> {
        let captured = CAPTURED.iter().filter(|col| !matches!((col, pace), (Col::Ts, Pace::Asap)));
        let numbers = NUMBERS.iter().chain(captured).map(|col| col.name());
        let before = BEFORE.into_iter().filter(|_| pace == Pace::App);
        let columns = IDS.into_iter().chain(OFDS).chain(WORDS).chain(TEXTS).chain(REQUESTS).chain(numbers).chain(before);
        let columns = columns.chain([CHANGED_COLUMN]).chain((!grouped.is_empty()).then_some(FILE));
        let columns: Vec<&str> = columns.collect();
        Ok(Pages { source: Source::open("ops", file, &columns)?, cache: Cache::new(budget), ofds, grouped: grouped.to_vec() })
    }

    /// A reader of other columns of the same table.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn columns(&self, columns: &[&str]) -> Result<Source> {
        self.source.with(columns)
    }

    /// Number of ops in the table.
    pub fn rows(&self) -> i64 {
        self.source.rows()
    }

    /// Decodes ops from row `rows.start` up to `rows.end` into a batch and calls `take` for each: the first always, the
    /// others of the same page while their op_id is below `limit` and the batch has room. Returns the next row, and its op_id
    /// if that was read.
    ///
    /// # Errors
    /// When a page cannot be decoded, a row is invalid or `take` fails.
    pub fn fill(
        &mut self,
        rows: Range<i64>,
        limit: i64,
        batch: &mut Batch,
        mut take: impl FnMut(&mut Batch, Row) -> Result<()>,
    ) -> Result<(i64, Option<i64>)> {
        let ofds = self.ofds;
        let (index, start, end) = self.source.locate(rows.start);
        let page = self.page(index)?;
        let (mut next, mut seen) = (rows.start, None);
        while next < end.min(rows.end) {
            let at = (next - start) as usize;
            let op_id = page.ids[0].value(at);
            if next > rows.start && (op_id >= limit || !batch.room()) {
                seen = Some(op_id);
                break;
            }
            let row = page.row(next, at, ofds, batch).with_context(|| format!("invalid workload: row {next} of ops"))?;
            take(batch, row)?;
            next += 1;
        }
        self.cache.used(index, next - rows.start, end - start);
        Ok((next, seen))
    }

    /// The op_id of a row.
    ///
    /// # Errors
    /// When the page cannot be decoded.
    pub fn op_id(&mut self, row: i64) -> Result<i64> {
        let (index, start, _) = self.source.locate(row);
        Ok(self.page(index)?.ids[0].value((row - start) as usize))
    }

    fn page(&mut self, index: usize) -> Result<&Page> {
        let (source, grouped) = (&self.source, &self.grouped);
        self.cache.get(index, || {
            let batch = source.decode(index)?;
            Ok((Page::new(&batch, grouped)?, batch.get_array_memory_size()))
        })
    }
}

/// An integer column of a batch; `None` when no row has a value in it.
fn ints(batch: &RecordBatch, name: &str) -> Result<Option<Int64Array>> {
    let Some(column) = batch.column_by_name(name) else { return Ok(None) };
    let column = column.as_primitive_opt::<Int64Type>().with_context(|| format!("column {name} holds no integers"))?;
    Ok((column.null_count() < column.len()).then(|| column.clone()))
}

/// A text column of a batch; `None` when no row has a value in it.
fn texts(batch: &RecordBatch, name: &str) -> Result<Option<Dictionary>> {
    let Some(column) = batch.column_by_name(name) else { return Ok(None) };
    let column = column.as_dictionary_opt::<Int32Type>().with_context(|| format!("column {name} holds no text"))?;
    Ok((column.null_count() < column.len()).then(|| column.clone()))
}

/// Which of these files the rows of a batch are, plus 1, and 0 for others; `None` without any.
fn groups(batch: &RecordBatch, grouped: &[i64]) -> Result<Option<Vec<u16>>> {
    let place = |file: i64| grouped.binary_search(&file).ok().and_then(|place| u16::try_from(place + 1).ok());
    let files = ints(batch, FILE)?.filter(|_| !grouped.is_empty());
    Ok(files.map(|files| files.iter().map(|file| file.and_then(place).unwrap_or(0)).collect()))
}

fn collect<T, U, const N: usize>(from: [T; N], make: impl Fn(T) -> Result<U>) -> Result<[U; N]> {
    let made = from.into_iter().map(make).collect::<Result<Vec<U>>>()?;
    made.try_into().ok().context("as many came out as went in")
}

fn values(words: &Dictionary) -> Result<&StringArray> {
    words.values().as_string_opt::<i32>().context("a text column of the ops holds no text")
}

/// Parses every distinct word of a column by `meaning`.
fn parse<T>(words: &Dictionary, meaning: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
    values(words)?
        .iter()
        .map(|word| {
            let word = word.unwrap_or_default();
            meaning(word).with_context(|| format!("{word:?} is not a word this version replays: make the workload again"))
        })
        .collect()
}

/// The value of a row, in a column that may be absent.
#[inline]
fn at(column: &Option<Int64Array>, row: usize) -> Option<i64> {
    column.as_ref().filter(|column| column.is_valid(row)).map(|column| column.value(row))
}

impl Page {
    fn new(batch: &RecordBatch, grouped: &[i64]) -> Result<Page> {
        let words = collect(WORDS, |name| texts(batch, name)?.with_context(|| format!("column {name} is empty")))?;
        let mut numbers = Vec::new();
        for (slot, col) in NUMBERS.iter().enumerate().skip(1) {
            numbers.extend(ints(batch, col.name())?.map(|column| (1 << slot, column)));
        }
        let mut named = Vec::new();
        for (slot, name) in TEXTS.into_iter().enumerate() {
            if let Some(column) = texts(batch, name)? {
                named.push(Texts::new(slot, column)?);
            }
        }
        Ok(Page {
            ids: collect(IDS, |name| ints(batch, name)?.with_context(|| format!("column {name} is empty")))?,
            ofds: collect(OFDS, |name| ints(batch, name))?,
            captured: collect(CAPTURED, |col| ints(batch, col.name()))?,
            before: collect(BEFORE, |name| ints(batch, name))?,
            requests: collect(REQUESTS, |name| ints(batch, name))?,
            changed: ints(batch, CHANGED_COLUMN)?,
            groups: groups(batch, grouped)?,
            counts: ints(batch, NUMBERS[0].name())?,
            numbers,
            texts: named,
            ops: parse(&words[0], |word| Op::parse(word).filter(|op| op.issued()))?,
            syscalls: parse(&words[1], |word| Some(Syscall::parse(word.as_bytes()).unwrap_or(Syscall::other)))?,
            origins: parse(&words[2], Origin::parse)?,
            words,
        })
    }

    /// Decodes the row at `index` of the page, number `row` of the table, to the end of the batch.
    #[inline]
    fn row(&self, row: i64, index: usize, ofds: i64, batch: &mut Batch) -> Result<Row> {
        let word = |column: usize| -> Result<usize> {
            let Some(word) = self.words[column].key(index) else { bail!("has no {}", WORDS[column]) };
            Ok(word)
        };
        let ofd = |column: usize| -> Result<u32> {
            match at(&self.ofds[column], index) {
                None => Ok(NONE),
                Some(ofd) if (0..ofds).contains(&ofd) => Ok(ofd as u32),
                Some(ofd) => bail!("{} is {ofd}, and the manifest says there are {ofds}", OFDS[column]),
            }
        };
        let [ids @ .., lanes] = &self.ids;
        let (op_id, seq) = (ids[0].value(index), ids[1].value(index));
        ensure!(seq >= 0, "seq is {seq}");
        let Ok(lane) = u32::try_from(lanes.value(index)) else { bail!("has no lane") };
        let [ret, errno, dur, ts] = &self.captured;
        let captured = match (at(ret, index), at(errno, index)) {
            (ret, None | Some(0)) => ret.unwrap_or(UNKNOWN),
            (_, Some(errno @ 1..=ERRNO_MAX)) => -errno,
            (_, Some(errno)) => bail!("errno is {errno}, and there are 0 to {ERRNO_MAX}"),
        };
        // Filled in place in the batch, which spares a copy of the whole struct.
        let place = batch.ops.len();
        batch.ops.push(Packed::NOTHING);
        let numbers = batch.next_number();
        let packed = &mut batch.ops[place];
        packed.op_id = op_id;
        packed.captured = captured;
        packed.ofd = ofd(0)?;
        packed.ofd2 = ofd(1)?;
        packed.dir = ofd(2)?;
        packed.dir2 = ofd(3)?;
        packed.numbers = numbers;
        let op = self.ops[word(0)?];
        packed.op = op;
        let mut has = 0;
        if let Some(count) = at(&self.counts, index).or_else(|| count(op, captured)) {
            has |= COUNT;
            batch.number(count);
        }
        for (bit, column) in &self.numbers {
            if column.is_valid(index) {
                has |= bit;
                batch.number(column.value(index));
            }
        }
        batch.ops[place].has = has;
        for texts in &self.texts {
            if let Some(text) = texts.at(index) {
                let text = batch.text(texts.slot, text);
                batch.ops[place].texts[texts.slot] = text;
            }
        }
        let changed = at(&self.changed, index).is_some_and(|changed| changed != 0);
        let mut notes = sys::notes(batch.call(place), captured) | if changed { CHANGED } else { 0 };
        batch.ops[place].notes = notes;
        let [ring, reaped, settled, behind] = &self.requests;
        let syscall = self.syscalls[word(1)?];
        let asks = at(reaped, index).map(|reaped| Asks {
            ring: syscall.interface().zip(at(ring, index)),
            reaped,
            settled: at(settled, index).unwrap_or(-1),
            more: at(behind, index).is_some_and(|behind| behind > 0),
        });
        let syncs = matches!(op, Op::Fsync | Op::Fdatasync);
        // A request is over when its result is taken, which no engine is told.
        if let Some(groups) = self.groups.as_ref().filter(|_| syscall.interface().is_none())
            && (syncs || op.class() == Class::Writes)
        {
            batch.ops[place].group = groups[index];
            if groups[index] != 0 && syncs {
                notes |= GROUPED;
                batch.ops[place].notes = notes;
            }
        }
        let fact = Fact {
            op_id,
            seq,
            row,
            captured,
            captured_dur: at(dur, index).unwrap_or(UNKNOWN),
            lane,
            syscall: syscall as u8,
            op: op as u8,
            origin: self.origins[word(2)?] as u8,
            notes,
        };
        let [think, compute, timer] = self.before.each_ref().map(|column| at(column, index));
        Ok(Row { fact, ts: at(ts, index), think, compute, timer, asks })
    }
}
