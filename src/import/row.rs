//! Turns the rows of a format into events.
//!
//! The columns of its SELECT are told by their names:
//! - `line` (required): line of the input that the row is of;
//! - `syscall` (required): name of the call;
//! - any other column of table `events` but `seq` and `host`. A number may be a BIGINT or a text: decimal or hexadecimal (`0x`)
//!   digits, the name of an error in `errno`, constants of the kernel's headers joined with `|` elsewhere. `ret` is what the kernel
//!   returned: a negated errno is a failure;
//! - `reject`: the reason for which the line is refused, a word of table `rejects`; else NULL;
//! - `inserted`: `before` or `after` when the event stands in no line, but before or after that of `line`; else NULL.

use crate::event::{Col, Event, Text};
use crate::ingest::parse::{Why, digits};
use crate::ingest::{possible, strace};
use crate::limits::TEXT;
use crate::schema::Table;
use crate::syscall::{Syscall, concerns_no_file};
use crate::text;
use anyhow::{Context, Result, bail, ensure};
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema};

/// Times and durations from here on are absurd, ns: the year 2116.
const LATEST: i64 = 1 << 62;

/// Where a row stands among the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// Before its line: the event is inserted.
    Before,
    /// It is the event of its line.
    Here,
    /// After its line: the event is inserted.
    After,
}

/// What a column of a format is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Line,
    Syscall,
    Reject,
    Inserted,
    Number(Col),
    Text(Text),
}

impl Slot {
    fn of(name: &str) -> Option<Slot> {
        Some(match name {
            "line" => Slot::Line,
            "syscall" => Slot::Syscall,
            "reject" => Slot::Reject,
            "inserted" => Slot::Inserted,
            _ => match Col::parse(name) {
                Some(col) => Slot::Number(col),
                None => Slot::Text(Text::parse(name)?),
            },
        })
    }
}

/// The columns of a format's SELECT.
pub struct Rows {
    columns: Vec<(String, Slot)>,
}

impl Rows {
    /// Columns of this schema.
    ///
    /// # Errors
    /// When a column is none of events or has another type, or `line` or `syscall` is missing.
    pub fn new(schema: &Schema) -> Result<Rows> {
        let mut columns = Vec::new();
        for field in schema.fields() {
            let name = field.name();
            let Some(slot) = Slot::of(name) else {
                let known = Table::Events.columns().into_iter().map(|column| column.name);
                let known: Vec<_> = known.filter(|name| Slot::of(name).is_some()).collect();
                bail!("it has a column {name:?}: there are {}, reject and inserted", known.join(", "))
            };
            let (int, text) = (field.data_type().is_integer(), is_text(field.data_type()));
            let fits = match slot {
                Slot::Line => int,
                Slot::Number(_) => int || text || *field.data_type() == DataType::Null,
                Slot::Syscall | Slot::Reject | Slot::Inserted | Slot::Text(_) => text || *field.data_type() == DataType::Null,
            };
            ensure!(fits, "its column {name} is of type {}: a number is a BIGINT or a text, a text a VARCHAR", field.data_type());
            columns.push((name.clone(), slot));
        }
        for (needed, name) in [(Slot::Line, "line"), (Slot::Syscall, "syscall")] {
            ensure!(columns.iter().any(|(_, slot)| *slot == needed), "it has no column {name}");
        }
        Ok(Rows { columns })
    }

    /// The names of the columns of events that the format gives.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().filter(|(_, slot)| !matches!(slot, Slot::Reject | Slot::Inserted)).map(|(name, _)| name.as_str())
    }

    /// The statement that gives the rows of the view `imported` in the order of their lines.
    pub fn sql(&self) -> String {
        let has = |slot| self.columns.iter().any(|(_, other)| *other == slot);
        let place = match has(Slot::Inserted) {
            true => ", CASE inserted WHEN 'before' THEN 0 WHEN 'after' THEN 2 ELSE 1 END, syscall",
            false => "",
        };
        format!("SELECT * FROM imported ORDER BY line{place}")
    }

    /// Reads a batch of rows.
    ///
    /// # Errors
    /// When a word of `reject` is unknown.
    pub fn read(&self, batch: &RecordBatch) -> Result<Read> {
        let mut read = Read::default();
        for ((name, slot), column) in self.columns.iter().zip(batch.columns()) {
            match slot {
                Slot::Line => read.line = ints(column)?,
                Slot::Syscall => read.syscall = Some(texts(column)?),
                Slot::Reject => {
                    let words = texts(column)?;
                    if let Some(word) = words.iter().flatten().find(|word| Why::parse(word).is_none()) {
                        let known: Vec<_> = Why::ALL.iter().map(|why| why.name()).collect();
                        bail!("it gives the reject {word:?}: the reasons are {}", known.join(", "));
                    }
                    read.reject = Some(words);
                }
                Slot::Inserted => read.inserted = Some(texts(column)?),
                Slot::Text(text) => read.texts.push((*text, texts(column)?)),
                Slot::Number(col) if is_text(column.data_type()) => read.words.push((*col, texts(column)?)),
                Slot::Number(col) => {
                    let ints = ints(column).with_context(|| format!("column {name}"))?;
                    read.numbers.push((*col, ints.context("there are no rows")?));
                }
            }
        }
        Ok(read)
    }
}

fn is_text(ty: &DataType) -> bool {
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

fn cast(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    Ok(cast_with_options(column, to, &CastOptions { safe: false, ..CastOptions::default() })?)
}

fn texts(column: &ArrayRef) -> Result<StringArray> {
    let texts = cast(column, &DataType::Utf8)?;
    Ok(texts.as_any().downcast_ref::<StringArray>().context("a text is no text")?.clone())
}

fn ints(column: &ArrayRef) -> Result<Option<Int64Array>> {
    Ok(cast(column, &DataType::Int64)?.as_any().downcast_ref::<Int64Array>().cloned())
}

/// A batch of rows of a format.
#[derive(Default)]
pub struct Read {
    line: Option<Int64Array>,
    syscall: Option<StringArray>,
    reject: Option<StringArray>,
    inserted: Option<StringArray>,
    numbers: Vec<(Col, Int64Array)>,
    words: Vec<(Col, StringArray)>,
    texts: Vec<(Text, StringArray)>,
}

impl Read {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.line.as_ref().map_or(0, Int64Array::len)
    }

    /// The line that a row is of.
    ///
    /// # Errors
    /// When it is none.
    pub fn line(&self, at: usize) -> Result<u64> {
        let line = self.line.as_ref().filter(|line| line.is_valid(at)).map(|line| line.value(at));
        line.and_then(|line| u64::try_from(line).ok()).filter(|line| *line > 0).context("it gives a row of no line")
    }

    /// Where a row stands.
    ///
    /// # Errors
    /// When its word is unknown.
    pub fn stands(&self, at: usize) -> Result<Stands> {
        match word(self.inserted.as_ref(), at) {
            None => Ok(Stands::Here),
            Some("before") => Ok(Stands::Before),
            Some("after") => Ok(Stands::After),
            Some(other) => bail!("its column inserted has {other:?}: it is NULL, 'before' or 'after'"),
        }
    }

    /// The event of a row; `Err` says why it is refused.
    pub fn event(&self, at: usize) -> Result<Event, Why> {
        if let Some(reject) = word(self.reject.as_ref(), at) {
            return Err(Why::parse(reject).unwrap_or(Why::NotEvent));
        }
        let mut event = call(word(self.syscall.as_ref(), at).ok_or(Why::NotEvent)?)?;
        let (mut ret, mut errno) = (None, None);
        let mut put = |event: &mut Event, col: Col, value: i64| match col {
            Col::Ret => ret = Some(value),
            Col::Errno => errno = Some(value),
            _ => event.set(col, value),
        };
        for (col, values) in self.numbers.iter().filter(|(_, values)| values.is_valid(at)) {
            put(&mut event, *col, values.value(at));
        }
        for (col, values) in self.words.iter().filter(|(_, values)| values.is_valid(at)) {
            put(&mut event, *col, number(*col, values.value(at).trim())?);
        }
        match (ret, errno) {
            (_, Some(errno)) if !(0..4096).contains(&errno) => return Err(Why::Outcome),
            (_, Some(errno)) if errno > 0 => event.set_outcome(-errno),
            (Some(ret), _) => event.set_outcome(ret),
            (None, _) => {}
        }
        for (text, values) in self.texts.iter().filter(|(_, values)| values.is_valid(at)) {
            let bytes = text::decode(values.value(at));
            if memchr::memchr(0, &bytes).is_some() {
                return Err(Why::Nul);
            }
            if bytes.len() > TEXT {
                return Err(Why::Long);
            }
            event.set_text(*text, &bytes);
        }
        settle(&mut event)?;
        if let Some(line) = self.line.as_ref() {
            event.set(Col::Line, line.value(at));
        }
        possible::check(&event)?;
        Ok(event)
    }
}

fn word(words: Option<&StringArray>, at: usize) -> Option<&str> {
    words.filter(|words| words.is_valid(at)).map(|words| words.value(at))
}

/// An event of the call of this name.
fn call(name: &str) -> Result<Event, Why> {
    match Syscall::parse(name.as_bytes()).filter(|syscall| syscall.is_call() && *syscall != Syscall::other) {
        Some(syscall) => Ok(Event::new(syscall)),
        None if concerns_no_file(name) => {
            let mut event = Event::new(Syscall::other);
            event.other = Some(name.into());
            Ok(event)
        }
        None => Err(Why::Unknown),
    }
}

/// The number that a text stands for in a column.
fn number(col: Col, text: &str) -> Result<i64, Why> {
    if col == Col::Errno
        && let Some(errno) = strace::errno_number(text.as_bytes())
    {
        return Ok(errno);
    }
    let one = |text: &str| match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).map(|bits| bits as i64).map_err(|_| Why::Number),
        None if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') => digits(text.as_bytes()),
        None => strace::constant(text.as_bytes()).map(|(_, number)| number).ok_or(Why::Argument),
    };
    match text {
        "" => Err(Why::Number),
        _ => text.split('|').try_fold(0, |bits, text| Ok(bits | one(text.trim())?)),
    }
}

/// Gives an event without a thread one, and refuses times and threads that cannot be. The process of a thread is left to the order,
/// which learns from the calls that make threads.
fn settle(event: &mut Event) -> Result<(), Why> {
    let (pid, tid) = (event.int(Col::Pid), event.int(Col::Tid));
    event.set(Col::Tid, tid.or(pid).unwrap_or(1));
    let fits = |col, most| event.int(col).is_none_or(|value| (0..=most).contains(&value));
    let ids = [Col::Pid, Col::Tid].into_iter().all(|col| fits(col, i64::from(i32::MAX)));
    let times = [Col::Ts, Col::Dur].into_iter().all(|col| fits(col, LATEST));
    if ids && times { Ok(()) } else { Err(Why::Number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_or_names() {
        assert_eq!(number(Col::Errno, "ENOENT"), Ok(2));
        assert_eq!(number(Col::Flags, "O_RDWR|O_CREAT | 0x1"), Ok(0o103));
        assert_eq!((number(Col::Fd, "-100"), number(Col::Ret, "0xffffffffffffffff")), (Ok(-100), Ok(-1)));
        for (text, why) in [("", Why::Number), ("0x", Why::Number), ("1a", Why::Number), ("O_WHAT", Why::Argument)] {
            assert_eq!(number(Col::Flags, text), Err(why), "{text}");
        }
    }

    #[test]
    fn a_call_has_a_name_that_kernels_know() {
        assert_eq!(call("openat").unwrap().syscall, Syscall::openat);
        assert_eq!(call("brk").unwrap().other.as_deref(), Some("brk"));
        for name in ["joined_fd", "waited", "uring_read", "nonsense", "other", ""] {
            assert_eq!(call(name).map(|_| ()), Err(Why::Unknown), "{name}");
        }
    }

    #[test]
    fn times_and_threads_that_cannot_be_are_refused() {
        let said = |col, value| {
            let mut event = Event::new(Syscall::sync);
            event.set(col, value);
            settle(&mut event).map(|()| (event.int(Col::Pid), event.int(Col::Tid)))
        };
        assert_eq!(said(Col::Pid, 7), Ok((Some(7), Some(7))));
        assert_eq!(said(Col::Ts, 5), Ok((None, Some(1))));
        for (col, value) in [(Col::Ts, -1), (Col::Ts, i64::MAX), (Col::Dur, -1), (Col::Tid, 1 << 31), (Col::Pid, -1)] {
            assert_eq!(said(col, value), Err(Why::Number), "{} {value}", col.name());
        }
    }
}
