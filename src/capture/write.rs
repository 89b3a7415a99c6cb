//! What a live capture writes: events by way of ingest's orderer, and the small tables beside them.

use super::os;
use super::snapshot::Snapshot;
use crate::event::{Col, Event};
use crate::ingest::facts::Facts;
use crate::ingest::order::{Key, Orderer, Placed, WINDOW};
use crate::ingest::write::Sink;
use crate::schema::losses::Lost;
use crate::schema::{self, Draft, Table, writer_properties};
use crate::syscall::Syscall;
use crate::text;
use anyhow::{Context, Result};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long after the start events are seen to survive a kill for the first time, and how often at the least.
const FIRST: Duration = Duration::from_secs(2);
const KEEP: Duration = Duration::from_secs(10);
/// Calls that began so long ago, ns, have mostly returned: later ones are sorted in by way of the disk.
const SETTLED: i64 = 1_000_000_000;

/// Puts events in order and writes them.
pub struct Recorder<'a> {
    orderer: Orderer<'a>,
    /// What the summary says of them.
    pub facts: Facts,
    table: PathBuf,
    /// When events were seen to last, and how long after that they are again.
    kept: Instant,
    wait: Duration,
}

impl<'a> Recorder<'a> {
    /// A recorder into a sink.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new(sink: &'a Sink, draft: &Draft) -> Result<Recorder<'a>> {
        let table = draft.path(&Table::Events.file());
        let (orderer, facts) = (Orderer::new(sink, WINDOW)?, Facts::default());
        Ok(Recorder { orderer, facts, table, kept: Instant::now(), wait: FIRST })
    }

    /// Takes an event.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&mut self, placed: Placed) -> Result<()> {
        *self.next() = placed;
        self.add()
    }

    /// Room for the next event, which [`Recorder::add`] takes.
    pub fn next(&mut self) -> &mut Placed {
        self.orderer.next()
    }

    /// Takes the event that was made in [`Recorder::next`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self) -> Result<()> {
        self.facts.note(&self.orderer.next().event);
        self.orderer.add()
    }

    /// Bytes on disk.
    pub fn size(&self) -> u64 {
        self.table.metadata().map_or(0, |meta| meta.len())
    }

    /// Time passes: sees to it now and then that all but the last events survive a kill, after ever longer times, so that a
    /// short capture survives one too.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn tick(&mut self) -> Result<()> {
        if self.kept.elapsed() < self.wait {
            return Ok(());
        }
        (self.kept, self.wait) = (Instant::now(), (2 * self.wait).min(KEEP));
        self.orderer.keep(os::now() - SETTLED)
    }

    /// All events came. Returns rows, stragglers and repairs, and what else is known of the events.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn finish(self) -> Result<(u64, u64, crate::ingest::Repairs, Facts)> {
        let (rows, stragglers, repairs) = self.orderer.finish()?;
        Ok((rows, stragglers, repairs, self.facts))
    }
}

/// Something that a capture missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// What.
    pub kind: Missed,
    /// How much of it.
    pub count: u64,
    /// When, ns since 1970: not before, and not after. Absent when it may have been at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub between: Option<(i64, i64)>,
}

crate::words::words! {
    /// Kinds of losses.
    Missed {
        RingFull   "ring_full"   "calls that the ring had no room for: a larger --buffer, or fewer --syscalls";
        Untold     "untold"      "ends of threads, paths of exec and files of newcomers that the ring had no room for, or newcomers with too many files";
        Transport  "transport"   "events that SystemTap wrote and that did not arrive whole: a larger --buffer, or SystemTap 5";
        Skipped    "skipped"     "times that SystemTap skipped a probe: events may be missing";
        NoEnd      "no_end"      "the end: SystemTap stopped early, and what came later is not here";
        Recursion  "recursion"   "calls that the kernel did not show, because it was inside another program";
        NoMark     "no_mark"     "threads that could not be followed, because the kernel had no memory for a mark";
        Compat     "compat32"    "calls in the form of another architecture, which are not decoded";
        Garbled    "garbled"     "records that make no sense";
        Unreadable "unreadable"  "paths and structures that could not be read; their events are there without them";
        Crowded    "crowded"     "texts that found no room in their line; their events are there without them";
        NoEntry    "no_entry"    "calls under way when the capture began; their events are there without a start";
        CutShort   "cut_short"   "calls that the end of their thread cut short";
        Killed     "killed"      "the rest of a capture that was killed: all that came later";
        Unfinished "unfinished"  "calls that had not returned when the capture ended";
        Requests   "requests"    "requests to io_uring or io_submit (or calls that may have made some) that are not captured";
    }
}

impl Missed {
    /// Does each stand for an event (or, where nobody could count them, for events) that is not in the capture although it
    /// should be?
    pub const fn event(self) -> bool {
        use Missed::{Compat, Garbled, Killed, NoEnd, NoMark, Recursion, RingFull, Skipped, Transport, Untold};
        matches!(self, RingFull | Untold | Transport | Skipped | NoEnd | Recursion | NoMark | Compat | Garbled | Killed)
    }
}

impl Serialize for Missed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What an event is called that stands where events were lost; its count says how many.
pub use crate::event::HOLE;

/// Such an event: so many were lost between two times. It stands where the hole ends, since what came before may have
/// gone out already; `tie` is the number of the record before it.
pub fn hole(between: (i64, i64), count: u64, tie: u64) -> Placed {
    let mut event = Event::new(Syscall::other);
    event.other = Some(HOLE.into());
    for (col, value) in
        [(Col::Ts, between.0), (Col::Dur, between.1 - between.0), (Col::Pid, 0), (Col::Tid, 0), (Col::Count, count as i64)]
    {
        event.set(col, value);
    }
    Placed { key: Key::new(between.1, 0, tie), entry: between.1, exit: between.1, killed: false, moved: None, event }
}

fn ints(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn ints_(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn texts<'a>(values: impl Iterator<Item = &'a [u8]>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values.map(text::encode)))
}

fn texts_<'a>(values: impl Iterator<Item = Option<&'a [u8]>>) -> ArrayRef {
    Arc::new(values.map(|value| value.map(text::encode)).collect::<StringArray>())
}

fn flags(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<BooleanArray>())
}

fn write(draft: &Draft, table: Table, columns: Vec<ArrayRef>) -> Result<()> {
    let failed = || format!("cannot write table {}", table.name());
    let batch = RecordBatch::try_new(table.schema(), columns).with_context(failed)?;
    let properties = writer_properties(&table).build();
    let mut writer = ArrowWriter::try_new(draft.file(&table.file())?, table.schema(), Some(properties)).with_context(failed)?;
    writer.write(&batch).with_context(failed)?;
    writer.close().with_context(failed)?;
    Ok(())
}

/// Writes what was there when the capture began.
///
/// # Errors
/// When it cannot be written.
pub fn snapshot(draft: &Draft, snapshot: &Snapshot) -> Result<()> {
    let Snapshot { processes, files, mounts, .. } = snapshot;
    write(
        draft,
        Table::Processes,
        vec![
            ints(processes.iter().map(|row| row.pid)),
            ints(processes.iter().map(|row| row.parent)),
            ints(processes.iter().map(|row| row.uid)),
            ints(processes.iter().map(|row| row.gid)),
            texts(processes.iter().map(|row| row.comm.as_slice())),
            texts_(processes.iter().map(|row| row.cwd.as_deref())),
            texts_(processes.iter().map(|row| row.root.as_deref())),
            ints_(processes.iter().map(|row| row.mounts)),
        ],
    )?;
    write(
        draft,
        Table::OpenFiles,
        vec![
            ints(files.iter().map(|row| row.pid)),
            ints(files.iter().map(|row| row.fd)),
            ints(files.iter().map(|row| row.ofd)),
            texts(files.iter().map(|row| row.path.as_slice())),
            ints(files.iter().map(|row| row.flags)),
            flags(files.iter().map(|row| row.cloexec)),
            ints(files.iter().map(|row| row.pos)),
            ints(files.iter().map(|row| row.dev)),
            ints(files.iter().map(|row| row.ino)),
            ints(files.iter().map(|row| row.size)),
            ints(files.iter().map(|row| row.mode)),
        ],
    )?;
    write(
        draft,
        Table::Mounts,
        vec![
            ints(mounts.iter().map(|row| row.space)),
            texts(mounts.iter().map(|row| row.path.as_slice())),
            ints(mounts.iter().map(|row| row.dev)),
            texts(mounts.iter().map(|row| row.root.as_slice())),
            texts(mounts.iter().map(|row| row.kind.as_slice())),
            texts(mounts.iter().map(|row| row.source.as_slice())),
            texts(mounts.iter().map(|row| row.options.as_slice())),
        ],
    )
}

/// Writes what was missed.
///
/// # Errors
/// When it cannot be written.
pub fn losses(draft: &Draft, losses: &[Loss]) -> Result<()> {
    let row =
        |loss: &Loss| Lost { kind: loss.kind.name().into(), count: loss.count, event: loss.kind.event(), between: loss.between };
    schema::losses::write(draft, &losses.iter().map(row).collect::<Vec<_>>())
}
