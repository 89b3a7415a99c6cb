//! Writes the dataset of a live capture: events, put in order by [`crate::events::order`], and the tables of the snapshot
//! (processes, open files, mounts).

use super::layouts::Layouts;
use super::os;
use crate::capture::target::snapshot::Snapshot;
use crate::event::{Col, Event};
use crate::events::facts::Facts;
use crate::events::order::{Key, Orderer, Placed, WINDOW};
use crate::events::write::Sink;
use crate::schema::{Draft, Table, write};
use crate::syscall::Syscall;
use crate::text;
use anyhow::Result;
use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time from the start until events are first saved so that they survive a kill; each later interval is twice as long.
const FIRST: Duration = Duration::from_secs(2);
/// The longest interval between two such saves.
const KEEP: Duration = Duration::from_secs(10);
/// When events are saved, those older than this, ns, are taken as complete: calls that began so long ago have mostly returned.
/// Events that still come before that time are sorted in by way of the disk.
const SETTLED: i64 = 1_000_000_000;

/// Takes the events of a live capture, puts them in order and writes them to table `events`.
pub struct Recorder<'a> {
    orderer: Orderer<'a>,
    /// Statistics of the events for the summary (first and last time, counts by call).
    pub facts: Facts,
    /// How opened files lie on their device: the decoder has it while the capture runs.
    pub layouts: Layouts,
    table: PathBuf,
    /// When events were last saved so that they survive a kill.
    kept: Instant,
    /// Time from then to the next such save.
    wait: Duration,
}

impl<'a> Recorder<'a> {
    /// A recorder that writes to `sink`, whose file belongs to `draft`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new(sink: &'a Sink, draft: &Draft) -> Result<Recorder<'a>> {
        let table = draft.path(&Table::Events.file());
        let (orderer, facts, layouts) = (Orderer::new(sink, WINDOW)?, Facts::default(), Layouts::default());
        Ok(Recorder { orderer, facts, layouts, table, kept: Instant::now(), wait: FIRST })
    }

    /// Adds an event with its place in the order.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&mut self, placed: Placed) -> Result<()> {
        *self.next() = placed;
        self.add()
    }

    /// Memory for the next event: the caller fills it, then calls [`Recorder::add`]. It is reused, so nothing is allocated.
    pub fn next(&mut self) -> &mut Placed {
        self.orderer.next()
    }

    /// Adds the event that the caller made in the memory of [`Recorder::next`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self) -> Result<()> {
        self.facts.note(&self.orderer.next().event);
        self.orderer.add()
    }

    /// Size of the events table on disk so far, bytes; 0 when it cannot be read.
    pub fn size(&self) -> u64 {
        self.table.metadata().map_or(0, |meta| meta.len())
    }

    /// To be called often. Once the interval has passed (2 s, 4 s, 8 s, then every 10 s) it saves all but the last events so
    /// that they survive a kill; the first intervals are short so that a short capture survives one too.
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

    /// Ends the recording and writes the rest. Returns the number of rows, the number of stragglers (events sorted in by way of
    /// the disk), the repairs by kind, and the statistics of the events.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn finish(self) -> Result<(u64, u64, crate::events::Repairs, Facts)> {
        let (rows, stragglers, repairs) = self.orderer.finish()?;
        Ok((rows, stragglers, repairs, self.facts))
    }
}

/// Name of the event that marks a hole, a place where events were lost; its column `count` says how many.
pub use crate::event::HOLE;

/// Makes the event of a hole: `count` events were lost between two times (ns since 1970). It is ordered at the end of the
/// hole, since earlier events may have been written already; `tie` is the number of the record before it and breaks ties.
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

/// Writes the snapshot to the tables `processes`, `open_files` and `mounts`.
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
            texts_(processes.iter().map(|row| row.ran.command_line.as_deref())),
            texts_(processes.iter().map(|row| row.ran.cgroup.as_deref())),
            ints_(processes.iter().map(|row| row.ran.rank)),
            texts_(processes.iter().map(|row| row.ran.job.as_deref())),
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
