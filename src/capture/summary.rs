//! The summary of a live capture, for people and as JSON.

use super::samples::Told;
use super::{Ended, OnDrop};
use crate::amount::Things;
use crate::events::{Repairs, told};
use crate::loss::Loss;
use crate::os::device::{Device, Lines};
use crate::os::task_io::TaskIo;
use crate::schema::losses::Lost;
use crate::syscall::Syscall;
use crate::syscall::polled::Polled;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The ledger of captured calls: every call that was issued in the scope is in one of the other counts, so that
/// `issued = written + filtered + lost + unfinished`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Calls that began during the capture, and calls that were under way at its start and returned.
    pub issued: u64,
    /// Calls that became events in the dataset.
    pub written: u64,
    /// Calls that the path filter or the limit of events left out.
    pub filtered: u64,
    /// Calls whose records were lost on the way from the kernel.
    pub lost: u64,
    /// Calls that had not returned when the capture or their thread ended.
    pub unfinished: u64,
}

impl Sum {
    /// Does the ledger close: is `issued` the sum of the other four?
    pub fn closes(&self) -> bool {
        self.issued == self.written + self.filtered + self.lost + self.unfinished
    }
}

/// The summary of a live capture; most of it goes into the manifest.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Directory of the dataset.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub dir: PathBuf,
    /// Host name that is stored with the events.
    pub host: String,
    /// Tracer that captured: `ebpf`, `ptrace` or `stap`.
    pub backend: &'static str,
    /// The scope (whose calls were captured), in words.
    pub scope: String,
    /// Why the capture ended.
    pub ended: Ended,
    /// What the captured command, and processes that it has waited for, caused devices to read and write; `None` when the scope
    /// was no command, it still runs, or the tracer is a child of ours, too.
    pub task_io: Option<TaskIo>,
    /// How long the host of this virtual machine let its processors wait meanwhile, all together, ns; `None` where nobody says.
    pub stolen_ns: Option<u64>,
    /// What block devices did for the captured tasks, and for the kernel meanwhile; `None` where nobody counted (only eBPF can).
    pub device: Option<Vec<Device>>,
    /// Rings of io_uring that the program had polled: a replay does without ([`crate::syscall::polled::KEY`]).
    pub polled_rings: Vec<Polled>,
    /// Exit status of the captured command, in words; `None` when the scope was no command or it still runs.
    pub status: Option<String>,
    /// How long the capture took from its start to its end, s.
    pub seconds: f64,
    /// Number of events that were written (rows of table `events`).
    pub events: u64,
    /// The ledger of the calls: issued, written, filtered, lost, unfinished.
    pub sum: Sum,
    /// What the capture missed, by kind of loss.
    pub losses: Vec<Lost>,
    /// The option that said what to do when events are lost.
    pub on_drop: OnDrop,
    /// Number of processes in the snapshot: those in the scope at the start, and newcomers.
    pub processes: usize,
    /// Number of threads in the scope when the capture began.
    pub threads: u64,
    /// Number of descriptors that were open in the scope when the capture began.
    pub open_files: usize,
    /// Number of files of which it is known how they lay on their device, or when they were created.
    pub layouts: usize,
    /// What files were looked at for what their content is like; `None` when that was not asked for.
    pub contents: Option<Told>,
    /// Smallest time in column `ts`, ns since 1970; `None` when no event has one.
    pub first_ts: Option<i64>,
    /// Largest time in column `ts`, ns since 1970; `None` when no event has one.
    pub last_ts: Option<i64>,
    /// Events that came so late that they were sorted in by way of the disk.
    pub stragglers: u64,
    /// Repairs by kind: instants that were moved because outcomes proved another order, and the like.
    pub repairs: Repairs,
    /// Are the waits of threads among the events, and processor times?
    pub waits: bool,
    /// Are page faults on mapped files among the events?
    pub faults: bool,
    /// Do events tell what is added to the page cache?
    pub cache: bool,
    /// Number of events by name of the call.
    pub syscalls: BTreeMap<String, u64>,
    /// Effective capabilities of this process while events were read and written, one bit each (capabilities(7)).
    pub capabilities: u64,
    /// Size of table `events` on disk, bytes.
    pub bytes: u64,
}

impl Summary {
    /// Number of events that are not in the capture although they should be ([`Loss::of_events`]).
    pub fn lost(&self) -> u64 {
        self.losses.iter().filter(|loss| loss.kind.of_events()).map(|loss| loss.count).sum()
    }

    /// Is the capture good enough: its ledger closes, and no events were lost or [`OnDrop::Report`] accepts that?
    pub fn ok(&self) -> bool {
        self.sum.closes() && (self.lost() == 0 || self.on_drop == OnDrop::Report)
    }
}

/// The losses that stand for missing events, as text: `3 ring_full, 1 no_mark`.
pub fn list(losses: &[Lost]) -> String {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for loss in losses.iter().filter(|loss| loss.kind.of_events()) {
        *sums.entry(loss.kind.name()).or_default() += loss.count;
    }
    sums.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.ended {
            Ended::Target => "the target ended",
            Ended::Signal => "it was interrupted",
            Ended::Duration => "the time was over",
            Ended::Events => "the number of events was reached",
            Ended::Bytes => "the size was reached",
            Ended::Drop => "events were lost",
            Ended::Tracer => "the tracer ended by itself",
        };
        writeln!(
            f,
            "Wrote {}: {} events of {}, by {} in {:.2} s until {why}.",
            self.dir.display(),
            self.events,
            self.scope,
            self.backend,
            self.seconds
        )?;
        if let Some(status) = &self.status {
            writeln!(f, "  The command ended with {status}.")?;
        }
        if let Some(io) = &self.task_io {
            writeln!(f, "  Devices, for it and those that it waited for: {io}.")?;
        }
        let stolen =
            self.stolen_ns.unwrap_or(0) as f64 / 1e9 / self.seconds.max(f64::MIN_POSITIVE) / crate::os::processors() as f64;
        if stolen >= 0.01 {
            writeln!(
                f,
                "  The host of this virtual machine took {:.0} % of the processors' time: computing took longer for it.",
                100.0 * stolen
            )?;
        }
        write!(f, "{}", Lines(self.device.as_deref().unwrap_or_default(), "captured tasks"))?;
        writeln!(
            f,
            "  At the start: {}, {}, {}.",
            Things(self.processes as u64, "process"),
            Things(self.threads, "thread"),
            Things(self.open_files as u64, "open descriptor"),
        )?;
        let Sum { issued, written, filtered, lost, unfinished } = self.sum;
        writeln!(f, "  {issued} calls issued = {written} written + {filtered} filtered + {lost} lost + {unfinished} unfinished")?;
        if let Some(waits) = self.syscalls.get(Syscall::waited.name()) {
            writeln!(f, "  {waits:>9} events tell of waits of threads")?;
        }
        match self.syscalls.get(Syscall::mmap_fault.name()) {
            Some(faults) => writeln!(f, "  {faults:>9} events tell of page faults on mapped files")?,
            None if !self.faults => {
                writeln!(f, "  Page faults on mapped files were not captured: what goes through mappings is not seen.")?
            }
            None => {}
        }
        if let Some(added) = self.syscalls.get(Syscall::page_cache_add.name()) {
            writeln!(f, "  {added:>9} events tell what was added to the page cache")?;
        }
        if let Some(contents) = &self.contents {
            write!(f, "{contents}")?;
        }
        writeln!(f, "  {} bytes on disk, {:.1} per event", self.bytes, self.bytes as f64 / self.events.max(1) as f64)?;
        let mut sums: BTreeMap<Loss, u64> = BTreeMap::new();
        for loss in &self.losses {
            *sums.entry(loss.kind).or_default() += loss.count;
        }
        for (kind, count) in sums {
            writeln!(f, "  {count:>9} {}", kind.doc())?;
        }
        for (kind, count) in &self.repairs {
            writeln!(f, "  {count:>9} {}", told(kind))?;
        }
        if self.stragglers > 0 {
            writeln!(f, "  {:>9} events came so late that they were sorted in by way of the disk", self.stragglers)?;
        }
        Ok(())
    }
}
