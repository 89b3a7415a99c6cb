//! The result of an ingest in numbers: the ledger of lines, and counts for the summary and the manifest.

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

/// Ledger of the lines of an input: every line is counted as exactly one of these kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Number of lines read.
    pub lines: u64,
    /// Lines that name the format, or mark the end of a capture.
    pub headers: u64,
    /// Comment lines.
    pub comments: u64,
    /// Lines that tell of no call: signals, exits, banners, blank lines.
    pub notes: u64,
    /// First lines of calls that strace printed in two halves.
    pub halves: u64,
    /// Events: lines with a call (or with its second half), and ends of killed threads.
    pub events: u64,
    /// Lines that could not be parsed.
    pub rejects: u64,
}

impl Ledger {
    /// Does the ledger close: are the kinds of lines together all lines?
    pub fn closes(&self) -> bool {
        self.lines == self.headers + self.comments + self.notes + self.halves + self.events + self.rejects
    }

    /// Adds the counts of another ledger.
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

/// Summary of one capture dataset that was written.
#[derive(Clone, Debug, Serialize)]
pub struct Captured {
    /// Directory of the dataset.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub dir: PathBuf,
    /// Name of the captured host.
    pub host: String,
    /// Names of the inputs, in the order given.
    pub inputs: Vec<String>,
    /// Format of each input.
    pub formats: Vec<String>,
    /// What a format in SQL does not tell and made up; `None` for the formats that have a parser.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Foreign>,
    /// The clock of column `ts`.
    pub clock: Clock,
    /// The ledger of lines of all inputs together.
    pub ledger: Ledger,
    /// Number of rejected lines by reason.
    pub rejects: BTreeMap<&'static str, u64>,
    /// What the tracer lost, by kind. Only captures that end with a mark (version 5) can tell.
    pub losses: BTreeMap<Loss, u64>,
    /// Number of events whose instants were moved because results proved another order, by kind.
    pub repairs: BTreeMap<&'static str, u64>,
    /// Number of events that came too late for the ordering window and were merged in through files.
    pub stragglers: u64,
    /// Number of paths so long that the probes may have cut them.
    pub cut_paths: u64,
    /// Number of things that were read without being sure of them, by kind.
    pub doubts: BTreeMap<Doubt, u64>,
    /// Earliest value of column `ts`, ns; `None` without times.
    pub first_ts: Option<i64>,
    /// Latest value of column `ts`, ns; `None` without times.
    pub last_ts: Option<i64>,
    /// Number of events by name of the syscall.
    pub syscalls: BTreeMap<String, u64>,
}

impl Captured {
    /// Number of events of the dataset: those of lines, and those that a format in SQL inserted.
    pub fn events(&self) -> u64 {
        self.ledger.events + self.foreign.as_ref().map_or(0, |foreign| foreign.inserted)
    }
}

/// What a format in SQL does not tell, and what its SELECT makes up.
#[derive(Clone, Debug, Serialize)]
pub struct Foreign {
    /// What the format was made after: files of a tool and its version, or its documentation.
    pub made: String,
    /// What a file of the format does not tell.
    pub absent: Vec<String>,
    /// Columns whose values are made up, and how.
    pub invented: Vec<String>,
    /// Calls that stand in no line and are made up, and where they are put.
    pub inserts: Vec<String>,
    /// Number of events that stand in no line of their own.
    pub inserted: u64,
    /// Columns of table events that the format gives.
    pub columns: Vec<String>,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:>9} events of no line of their own", self.inserted)?;
        writeln!(f, "  format    made {}", text::shown(&self.made))?;
        for (what, said) in [("absent", &self.absent), ("invented", &self.invented), ("inserted", &self.inserts)] {
            for line in said {
                writeln!(f, "  {what:<9} {}", text::shown(line))?;
            }
        }
        Ok(())
    }
}

/// Summary of an ingest: what was read and written.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The ledger of the lines of all inputs.
    pub ledger: Ledger,
    /// The capture datasets that were written, one per host.
    pub captures: Vec<Captured>,
}

impl Summary {
    /// Number of lines that could not be parsed, in all inputs.
    pub fn rejects(&self) -> u64 {
        self.ledger.rejects
    }

    /// Did a tracer lose whole events, and not only parts of them?
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
                self.captures.iter().map(Captured::events).sum::<u64>(),
                self.captures.len(),
                self.ledger.lines
            )?;
        }
        Ok(())
    }
}

/// Number of inputs whose names are shown; the others are counted.
const NAMED: usize = 4;

impl fmt::Display for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ledger { lines, headers, comments, notes, halves, events, rejects } = self.ledger;
        let mut formats: Vec<&str> = self.formats.iter().map(String::as_str).collect();
        formats.dedup();
        // `strace -ff` makes as many files as there were threads.
        let (named, more) = self.inputs.split_at(self.inputs.len().min(NAMED));
        let more = if more.is_empty() { String::new() } else { format!(" and {}", Things(more.len() as u64, "more input")) };
        writeln!(
            f,
            "Wrote {}: {} events of host {}, from {}{more} ({}).",
            self.dir.display(),
            self.events(),
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
        if let Some(foreign) = &self.foreign {
            write!(f, "{foreign}")?;
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
