//! Output like that of `strace -f -yy -ttt -T`, which `ioriot ingest` reads back as the same events.
//!
//! Times have nine decimals; those on other clocks than that of 1970 are moved by [`SHIFT`]. Each line is read again as soon as it
//! is made: what it does not tell is counted by column.

mod lines;

use super::rows::{Ints, Rows, Texts};
use super::{Left, Source};
use crate::event::{Col, Event, Text};
use crate::ingest::strace::print::{Change, Unsaid, print};
use crate::syscall::Syscall;
use crate::text;
use anyhow::Result;
use lines::Lines;
use serde_json::Value;
use std::collections::HashMap;
use std::io::Write;

/// What is added to times that do not count from 1970, ns: strace's would be taken for gaps between lines.
const SHIFT: i64 = 1_000_000_000_000_000_000;
/// Largest id of a thread (proc(5), pid_max).
const LAST_ID: i64 = 1 << 22;

/// Writes the lines.
///
/// # Errors
/// When there are no events, or the output cannot be written.
pub fn write(source: &Source<'_>, out: &mut (dyn Write + Send)) -> Result<Left> {
    let mut left = Left::default();
    let unix = source.desk.datasets().iter().any(|data| data.manifest.get("clock").and_then(Value::as_str) == Some("unix"));
    let mut lines = Lines::new(out, if unix { 0 } else { SHIFT });
    let mut changes: HashMap<Change, u64> = HashMap::new();
    source.each("lines", |rows| {
        let columns = Columns::of(rows)?;
        let (seqs, next) = (rows.ints("seq")?, rows.ints("next_seq")?);
        for row in 0..rows.len() {
            let event = columns.event(row);
            let tid = event.int(Col::Tid).unwrap_or_default();
            if !(0..=LAST_ID).contains(&tid) {
                left.add("events of threads with an id that no kernel gives are not in the text");
                continue;
            }
            match print(&event, |change| *changes.entry(change).or_default() += 1) {
                Ok(printed) => lines.call(&event, seqs.get(row).unwrap_or_default(), next.get(row), printed)?,
                Err(Unsaid::NoCall) => {
                    left.add("events that are no calls (waits, requests, page faults, losses) are not in the text")
                }
                Err(Unsaid::Argument) => left.add(&format!(
                    "calls of {} are not in the text: an argument is not known, or never printed so",
                    event.syscall.name()
                )),
            }
        }
        Ok(())
    })?;
    if lines.end()? && !unix {
        left.some("seconds were added to all times, which do not count from 1970", SHIFT.unsigned_abs() / 1_000_000_000);
    }
    for (change, count) in changes {
        match change {
            Change::Lost(column) => left.some(&format!("values of column {column} have no place in the text"), count),
            Change::Supplied(column) => {
                left.some(&format!("values of column {column} are not known: {}", instead(column)), count)
            }
        }
    }
    Ok(left)
}

/// What the text has in a column where nothing is known.
fn instead(column: &str) -> &'static str {
    match Col::ALL.iter().find(|col| col.name() == column) {
        Some(Col::Count) => "the text has what was moved",
        Some(Col::IovCnt) => "the text has 1",
        _ => "the text has AT_FDCWD, and the path is absolute",
    }
}

/// Columns of events.
struct Columns<'b> {
    syscalls: Texts,
    ints: Vec<(Col, Ints<'b>)>,
    texts: Vec<(Text, Texts)>,
}

impl<'b> Columns<'b> {
    fn of(rows: &'b Rows<'_>) -> Result<Columns<'b>> {
        let ints = Col::ALL.iter().map(|col| Ok((*col, rows.ints(col.name())?))).collect::<Result<_>>()?;
        let texts = Text::ALL.iter().map(|text| Ok((*text, rows.texts(text.name())?))).collect::<Result<_>>()?;
        Ok(Columns { syscalls: rows.texts("syscall")?, ints, texts })
    }

    fn event(&self, row: usize) -> Event {
        let name = self.syscalls.get(row).unwrap_or_default();
        let known = Syscall::parse(name.as_bytes()).filter(|syscall| *syscall != Syscall::other);
        let mut event = Event::new(known.unwrap_or(Syscall::other));
        if known.is_none() {
            event.other = Some(name.into());
        }
        for (col, ints) in &self.ints {
            event.put(*col, ints.get(row));
        }
        for (column, texts) in &self.texts {
            if let Some(text) = texts.get(row) {
                event.set_text(*column, text::decode(text));
            }
        }
        event
    }
}
