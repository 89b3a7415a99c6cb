//! What an ingest did: the ledger of lines and what else people want to know.

use super::Format;
use super::doubt::Doubt;
use super::parse::Why;
use super::sequence::Clock;
use crate::amount::Things;
use crate::events::told;
use crate::loss::Loss;
use crate::text;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Every line of the input is one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Lines read.
    pub lines: u64,
    /// Lines that name the format, or say that the capture is at its end.
    pub headers: u64,
    /// Comments.
    pub comments: u64,
    /// Signals, exits, banners, blank lines.
    pub notes: u64,
    /// First lines of calls that two lines describe.
    pub halves: u64,
    /// Events.
    pub events: u64,
    /// Lines that could not be parsed.
    pub rejects: u64,
}

impl Ledger {
    /// Does it close?
    pub fn closes(&self) -> bool {
        self.lines == self.headers + self.comments + self.notes + self.halves + self.events + self.rejects
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Ledger) {
        self.lines += other.lines;
        self.headers += other.headers;
        self.comments += other.comments;
        self.notes += other.notes;
        self.halves += other.halves;
        self.events += other.events;
        self.rejects += other.rejects;
    }
}

/// One capture dataset that was written.
#[derive(Clone, Debug, Serialize)]
pub struct Captured {
    /// Where it is.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub dir: PathBuf,
    /// Name of the host.
    pub host: String,
    /// The inputs, in the order given.
    pub inputs: Vec<String>,
    /// Their formats.
    pub formats: Vec<Format>,
    /// The clock of column ts.
    pub clock: Clock,
    /// The ledger of lines.
    pub ledger: Ledger,
    /// Rejected lines by reason.
    pub rejects: BTreeMap<&'static str, u64>,
    /// What the tracer lost, by kind. Only captures that end with a mark can tell.
    pub losses: BTreeMap<Loss, u64>,
    /// Instants that were moved because results proved another order, by kind.
    pub repairs: BTreeMap<&'static str, u64>,
    /// Events that were sorted in by way of the disk.
    pub stragglers: u64,
    /// Paths of the length at which the probes cut paths: they may be incomplete.
    pub cut_paths: u64,
    /// What was read without being sure of it, by kind.
    pub doubts: BTreeMap<Doubt, u64>,
    /// First time in column ts, ns.
    pub first_ts: Option<i64>,
    /// Last one.
    pub last_ts: Option<i64>,
    /// Events by call.
    pub syscalls: BTreeMap<String, u64>,
}

/// What an ingest did.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The ledger of all lines.
    pub ledger: Ledger,
    /// What was written, one per host.
    pub captures: Vec<Captured>,
}

impl Summary {
    /// Lines that could not be parsed, in all inputs.
    pub fn rejects(&self) -> u64 {
        self.ledger.rejects
    }

    /// Did a tracer lose events (and not only parts of them)?
    pub fn lost_events(&self) -> bool {
        self.captures.iter().flat_map(|captured| captured.losses.keys()).any(|loss| loss.of_events())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for captured in &self.captures {
            write!(f, "{captured}")?;
        }
        if self.captures.len() > 1 {
            writeln!(
                f,
                "In all {} events of {} hosts from {} lines.",
                self.ledger.events,
                self.captures.len(),
                self.ledger.lines
            )?;
        }
        Ok(())
    }
}

/// Inputs that are named to people.
const NAMED: usize = 4;

impl fmt::Display for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ledger { lines, headers, comments, notes, halves, events, rejects } = self.ledger;
        let mut formats: Vec<&str> = self.formats.iter().map(|format| format.name()).collect();
        formats.dedup();
        // `strace -ff` makes as many files as there were threads.
        let (named, more) = self.inputs.split_at(self.inputs.len().min(NAMED));
        let more = if more.is_empty() { String::new() } else { format!(" and {}", Things(more.len() as u64, "more input")) };
        writeln!(
            f,
            "Wrote {}: {events} events of host {}, from {}{more} ({}).",
            self.dir.display(),
            text::shown(&self.host),
            text::shown(&named.join(", ")),
            formats.join(", ")
        )?;
        writeln!(
            f,
            "  {lines} lines = {headers} headers + {comments} comments + {notes} notes + {halves} halves + {events} events + {rejects} rejects"
        )?;
        if let (Some(first), Some(last)) = (self.first_ts, self.last_ts) {
            writeln!(f, "  {:.3} s of time ({})", (last - first) as f64 / 1e9, self.clock.name())?;
        }
        for (reason, count) in &self.rejects {
            let meaning = Why::parse(reason).map_or("", Why::doc);
            writeln!(f, "  {count:>9} lines rejected: {reason} ({meaning})")?;
        }
        for (loss, count) in &self.losses {
            writeln!(f, "  {count:>9} {}", loss.doc())?;
        }
        for (kind, count) in &self.repairs {
            writeln!(f, "  {count:>9} {}", told(kind))?;
        }
        for (doubt, count) in &self.doubts {
            writeln!(f, "  {count:>9} {}", doubt.doc())?;
        }
        if self.stragglers > 0 {
            writeln!(f, "  {:>9} events came so late that they were sorted in by way of the disk", self.stragglers)?;
        }
        if self.cut_paths > 0 {
            writeln!(f, "  {:>9} paths of 254 bytes or more: the probes may have cut them", self.cut_paths)?;
        }
        Ok(())
    }
}
