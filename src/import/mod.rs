//! Ingest of foreign formats: traces of other tools, by SQL.
//!
//! ```text
//! input ──spool──▶ table `input` ──SELECT of the format, in order of lines──▶ rows ──▶ events: order, repair, write
//!          └─ lines that the reader refuses                                     └─ rejects, lines without a row
//! ```
//!
//! A format is a file `sql/ingest/NAME.sql` or one of the user's: how to read the input ([`Head`]), and one SELECT over table
//! `input` that gives columns of table `events` ([`row`]). The input is written to a file without a name first, since a SELECT
//! may read it more than once, and standard input cannot be. Memory is bounded whatever the length of the input. Every line is
//! a header, a note (a line without a row), an event or a reject, and the sum is checked.

mod cells;
mod format;
mod head;
mod lines;
mod row;
mod spool;

pub use format::{FORMATS, Format, describe, markdown};
pub use head::{Delimiter, Field, Head, Header, Reader, Type};

use crate::engine::{Access, Engine, MEMORY, Settings};
use crate::event::{Col, Event};
use crate::events::facts::Facts;
use crate::events::order::{Orderer, Placed, WINDOW};
use crate::events::write::Sink;
use crate::ingest::capture::Capture;
use crate::ingest::parse::{Parsed, Reject, Stamp, What};
use crate::ingest::rejects::Rejects;
use crate::ingest::sequence::Sequencer;
use crate::ingest::{self, Captured, Clock, Foreign, Ledger, Options, Part, Summary};
use crate::progress::Progress;
use crate::schema::Draft;
use crate::schema::encode::Encoders;
use anyhow::{Context, Result, anyhow, bail, ensure};
use arrow::array::RecordBatch;
use lines::{Fresh, Lines};
use row::{Rows, Stands};
use spool::Spooled;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// Batches of rows that may wait between the query and the writer of events.
const AHEAD: usize = 2;

/// Ingests inputs of a foreign format into one capture dataset per host, as [`ingest::run`] does for those that it parses.
///
/// # Errors
/// As [`ingest::run`], and when the SQL of the format is wrong.
pub fn run(options: &Options, format: &Format, progress: &Progress) -> Result<Summary> {
    ensure!(
        !options.merge || options.inputs.len() == 1,
        "inputs of format {} cannot be merged: their lines have no common order",
        format.name
    );
    format.rehearse()?;
    ingest::each(options, progress, |part, draft| {
        one(part, options, format, draft, progress).with_context(|| format!("format {}", format.name))
    })
}

/// Makes the table `events` of one input, and its table `rejects`.
fn one(part: &Part<'_>, options: &Options, format: &Format, draft: &Draft, progress: &Progress) -> Result<Captured> {
    let [input] = part.inputs.as_slice() else { bail!("one input makes one capture") };
    let mut rejects = Rejects::create(draft)?;
    let spooled = spool::spool(input, &format.head, draft.dir(), &mut rejects, progress)?;
    let engine = engine(options, Some(draft))?;
    engine.register("input", &draft.path("input"), spooled.file.clone())?;
    let rows = format.plan(&engine)?;
    let columns = rows.columns().map(str::to_owned).collect();
    let (send, batches) = sync_channel(AHEAD);
    let sink = Sink::new(draft.path(""), &part.host, Encoders::none());
    let taken = thread::scope(|scope| {
        let query = {
            let (engine, sql) = (&engine, rows.sql());
            move || engine.each(&sql, |batch| Ok(send.send(batch).is_ok()))
        };
        let query = thread::Builder::new().name("rows".into()).spawn_scoped(scope, query)?;
        let taken = take(&batches, &rows, &spooled, input.name(), &sink, options.window, rejects);
        drop(batches); // a query that is not over ends
        query.join().unwrap_or_else(|_| Err(anyhow!("the query stopped unexpectedly")))?;
        taken
    })?;
    let Taken { facts, ledger, inserted, rejects, stragglers, repairs } = taken;
    let clock = if facts.first.is_some() { format.head.clock } else { Clock::None };
    let head = &format.head;
    Ok(Captured {
        dir: part.dir.clone(),
        host: part.host.clone(),
        inputs: vec![input.name()],
        formats: vec![format.name.clone()],
        foreign: Some(Foreign {
            made: head.made.clone(),
            absent: head.absent.clone(),
            invented: head.invented.clone(),
            inserts: head.inserted.clone(),
            inserted,
            columns,
        }),
        clock,
        ledger,
        rejects,
        losses: BTreeMap::new(),
        repairs,
        stragglers,
        cut_paths: 0,
        doubts: BTreeMap::new(),
        first_ts: facts.first,
        last_ts: facts.last,
        syscalls: facts.syscalls(),
    })
}

/// An engine for the SQL of a format: it may read the input and nothing else.
fn engine(options: &Options, draft: Option<&Draft>) -> Result<Engine> {
    let threads = if options.threads == 0 { None } else { Some(options.threads) };
    let spill = draft.map(|draft| draft.dir().to_owned());
    Engine::new(&Settings { threads, memory: MEMORY, spill, access: Access::Tables, ..Settings::default() })
}

/// What came of the rows of an input.
struct Taken {
    facts: Facts,
    ledger: Ledger,
    inserted: u64,
    rejects: BTreeMap<&'static str, u64>,
    stragglers: u64,
    repairs: crate::events::Repairs,
}

/// Makes events of the rows, which come in the order of their lines, and accounts for each line.
fn take(
    batches: &Receiver<RecordBatch>,
    rows: &Rows,
    spooled: &Spooled,
    name: String,
    sink: &Sink,
    window: usize,
    mut rejects: Rejects,
) -> Result<Taken> {
    let mut orderer = Orderer::new(sink, if window == 0 { WINDOW } else { window })?;
    let mut sequencer = Sequencer::new(&Capture, 0, true, None);
    let mut lines = Lines::new(spooled)?;
    let (mut facts, mut failed, mut last) = (Facts::default(), None, 0);
    let (mut inserted, mut own, mut refused) = (0_u64, 0_u64, 0_u64);
    for batch in batches {
        let batch = rows.read(&batch)?;
        for at in 0..batch.len() {
            let line = batch.line(at)?;
            let fresh = lines.reach(line)?;
            let stands = batch.stands(at)?;
            let event = match (batch.event(at), stands) {
                (Ok(event), Stands::Here) if fresh == Fresh::Yes => {
                    own += 1;
                    lines.account();
                    event
                }
                // One line may tell of several calls.
                (Ok(event), _) => {
                    inserted += 1;
                    event
                }
                (Err(why), Stands::Here) if fresh == Fresh::Yes => {
                    refused += 1;
                    rejects.push(&name, &Reject::new(line, why, &lines.text()))?;
                    lines.account();
                    continue;
                }
                (Err(why), _) => bail!("what it inserts at line {line} of {name} is refused: {}", why.doc()),
            };
            let (entry, exit) = span(&event, last);
            last = entry;
            let tid = event.int(Col::Tid);
            let parsed = Parsed { line, stamp: Stamp::Span(Some(entry), exit), tid, what: What::Call(event) };
            sequencer.feed(parsed, &mut |mut placed: Placed| {
                placed.key = match stands {
                    Stands::Before => placed.key.before(),
                    Stands::Here => placed.key,
                    Stands::After => placed.key.after(),
                };
                facts.note(&placed.event);
                if failed.is_none() {
                    failed = orderer.push(placed).err();
                }
            });
            if let Some(error) = failed {
                return Err(error);
            }
        }
    }
    let silent = lines.finish()?;
    let ledger = Ledger {
        lines: spooled.lines,
        headers: spooled.headers,
        notes: spooled.notes + silent,
        events: own,
        rejects: spooled.rejects + refused,
        ..Ledger::default()
    };
    ensure!(ledger.closes(), "internal error: the ledger of {name} does not close: {ledger:?}");
    ensure!(own > 0, "no events in {name}{}", rejects.first());
    let (written, stragglers, repairs) = orderer.finish()?;
    ensure!(written == own + inserted, "internal error: {written} rows of {} events were written", own + inserted);
    Ok(Taken { facts, ledger, inserted, rejects: rejects.finish()?, stragglers, repairs })
}

/// When a call began and ended, ns; one without a time is where the call before it is.
fn span(event: &Event, last: i64) -> (i64, i64) {
    let entry = event.int(Col::Ts).unwrap_or(last);
    (entry, entry.saturating_add(event.int(Col::Dur).unwrap_or(0)))
}

impl Format {
    /// Plans the format's SELECT over the table `input`.
    fn plan(&self, engine: &Engine) -> Result<Rows> {
        let schema = engine.define("imported", &self.sql).with_context(|| format!("the SELECT of {}", self.file))?;
        Rows::new(&schema).with_context(|| format!("the SELECT of {}", self.file))
    }

    /// Refuses a format whose SELECT cannot be planned, before anything is read. One that reads Parquet files is planned when its
    /// columns are known.
    ///
    /// # Errors
    /// When the SQL is wrong.
    pub fn rehearse(&self) -> Result<()> {
        if self.head.reader == Reader::Parquet {
            return Ok(());
        }
        let engine = Engine::new(&Settings { threads: Some(1), ..Settings::default() })?;
        engine.ctx().register_batch("input", RecordBatch::new_empty(cells::schema(&self.head)))?;
        self.plan(&engine).map(drop)
    }

    /// Defines the rows that the format makes of the table `input` as a view of the format's name, for tests.
    ///
    /// # Errors
    /// When the SQL is wrong.
    pub fn define(&self, engine: &Engine) -> Result<()> {
        self.plan(engine)?;
        engine.define(&self.name, &self.sql).map(drop)
    }
}
