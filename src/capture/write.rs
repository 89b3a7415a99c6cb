//! What a live capture writes: events by way of ingest's orderer, and the small tables beside them.

use super::os;
use crate::capture::target::snapshot::Snapshot;
use crate::event::{Col, Event};
use crate::events::facts::Facts;
use crate::events::order::{Key, Orderer, Placed, WINDOW};
use crate::events::write::Sink;
use crate::schema::{Draft, Table, writer_properties};
use crate::syscall::Syscall;
use crate::text;
use anyhow::{Context, Result};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
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
    pub fn finish(self) -> Result<(u64, u64, crate::events::Repairs, Facts)> {
        let (rows, stragglers, repairs) = self.orderer.finish()?;
        Ok((rows, stragglers, repairs, self.facts))
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
