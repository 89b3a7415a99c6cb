//! What a capture did.

use super::{Ended, OnDrop};
use crate::amount::Things;
use crate::events::{Repairs, told};
use crate::loss::Loss;
use crate::schema::losses::Lost;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Every call that was issued in the scope is one of these: `issued = written + filtered + lost + unfinished`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Calls that began, and calls under way when the capture began that returned.
    pub issued: u64,
    /// Calls that became events.
    pub written: u64,
    /// Calls that a filter or a limit left out.
    pub filtered: u64,
    /// Calls that were lost.
    pub lost: u64,
    /// Calls that had not returned when the capture or their thread ended.
    pub unfinished: u64,
}

impl Sum {
    /// Does it come out?
    pub fn closes(&self) -> bool {
        self.issued == self.written + self.filtered + self.lost + self.unfinished
    }
}

/// What a capture did.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Where the dataset is.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub dir: PathBuf,
    /// Name of the host.
    pub host: String,
    /// What captured.
    pub backend: &'static str,
    /// Whose calls.
    pub scope: String,
    /// Why it ended.
    pub ended: Ended,
    /// How the command ended, if it did.
    pub status: Option<String>,
    /// How long it took, s.
    pub seconds: f64,
    /// Events that were written.
    pub events: u64,
    /// What became of the calls.
    pub sum: Sum,
    /// What was missed.
    pub losses: Vec<Lost>,
    /// What was to be done when events are lost.
    pub on_drop: OnDrop,
    /// Processes that were there.
    pub processes: usize,
    /// Their threads.
    pub threads: u64,
    /// Their descriptors.
    pub open_files: usize,
    /// First time in column ts, ns.
    pub first_ts: Option<i64>,
    /// Last one.
    pub last_ts: Option<i64>,
    /// Events that were sorted in by way of the disk.
    pub stragglers: u64,
    /// Instants that were moved because results proved another order, by kind.
    pub repairs: Repairs,
    /// Events by call.
    pub syscalls: BTreeMap<String, u64>,
    /// Capabilities that were left while events were read and written.
    pub capabilities: u64,
    /// Bytes of the events on disk.
    pub bytes: u64,
}

impl Summary {
    /// Events that are not in the capture although they should be.
    pub fn lost(&self) -> u64 {
        self.losses.iter().filter(|loss| loss.kind.of_events()).map(|loss| loss.count).sum()
    }

    /// Is it as good as was asked for?
    pub fn ok(&self) -> bool {
        self.sum.closes() && (self.lost() == 0 || self.on_drop == OnDrop::Report)
    }
}

/// The losses that count, in a row.
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
        writeln!(
            f,
            "  At the start: {}, {}, {}.",
            Things(self.processes as u64, "process"),
            Things(self.threads, "thread"),
            Things(self.open_files as u64, "open descriptor"),
        )?;
        let Sum { issued, written, filtered, lost, unfinished } = self.sum;
        writeln!(f, "  {issued} calls issued = {written} written + {filtered} filtered + {lost} lost + {unfinished} unfinished")?;
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
