//! Measurements made while records come in: latencies and bytes by call, and the check of the order.

use super::violations::{Check, Violations};
use crate::amount::Nanos;
use crate::fate::Origin;
use crate::histogram::Histogram;
use crate::replay::Pace;
use crate::replay::shared::record::{NOT_ISSUED, Record, UNKNOWN, errno};
use crate::schema::Dataset;
use crate::syscall::{Moves, Op, Syscall};
use anyhow::Result;
use serde::Serialize;
use std::fmt;

/// Most calls that the table of latencies prints; the manifest has all.
const SHOWN: usize = 10;

/// Percentiles, maximum and sum of some durations, ns.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// Median: half took at most this, ns.
    pub p50: i64,
    /// 90th percentile, ns.
    pub p90: i64,
    /// 99th percentile, ns.
    pub p99: i64,
    /// The longest duration, ns.
    pub max: i64,
    /// Sum of all durations, ns.
    pub total: i64,
}

impl Spread {
    /// The spread of these durations; `None` when there are none. Percentiles are never too small and at most 1 % too large.
    pub fn of(values: &Histogram) -> Option<Spread> {
        let p = |share| values.percentile(share);
        let spread = || Spread { p50: p(0.5), p90: p(0.9), p99: p(0.99), max: values.max(), total: values.sum() };
        (values.count() > 0).then(spread)
    }
}

/// What one captured syscall, by name, did and took in a replay.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// Name of the captured syscall.
    pub syscall: &'static str,
    /// Number of captured calls of it that were issued.
    pub calls: u64,
    /// Number of these calls that failed in the replay.
    pub failed: u64,
    /// Bytes that these calls read or wrote in the replay.
    pub bytes: u64,
    /// Durations of these calls in the replay.
    pub latency: Spread,
    /// Captured durations of these calls; `None` when none is known.
    pub captured: Option<Spread>,
    /// With pace realtime the times from when each of these calls was due to its end: what somebody sees who asks at the captured
    /// times, whether the answer before was there or not. `None` with another pace.
    pub from_due: Option<Spread>,
}

/// Measurements of a whole replay: bytes, latencies by call, violations of the order.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// Bytes that ops of captured calls read in the replay.
    pub read_bytes: u64,
    /// Bytes that ops of captured calls wrote in the replay.
    pub written_bytes: u64,
    /// One entry for each syscall that was issued, by falling total time.
    pub calls: Vec<Call>,
    /// How many edges were violated; `None` when the workload has no table of edges or too many to check.
    pub order_violations: Option<Violations>,
}

/// What was counted of one syscall so far.
#[derive(Clone, Debug, Default)]
struct Tally {
    failed: u64,
    bytes: u64,
    latency: Histogram,
    captured: Histogram,
    from_due: Histogram,
}

/// The measurements while they are made, record by record.
#[derive(Clone, Debug)]
pub struct Measures {
    /// Counts of each syscall, by its index in [`Syscall::ALL`].
    calls: Vec<Tally>,
    read_bytes: u64,
    written_bytes: u64,
    pace: Pace,
    check: Option<Check>,
}

impl Measures {
    /// Empty measurements for a replay of this workload, which has `ops` ops, at this pace.
    ///
    /// # Errors
    /// When the workload's table of edges is damaged.
    pub fn new(workload: &Dataset, ops: u64, pace: Pace) -> Result<Measures> {
        let calls = vec![Tally::default(); Syscall::ALL.len()];
        let check = Check::open(workload, ops)?;
        Ok(Measures { calls, read_bytes: 0, written_bytes: 0, pace, check })
    }

    /// Adds the record of one op.
    pub fn add(&mut self, record: &Record) {
        if let Some(check) = &mut self.check {
            check.add(record);
        }
        // An inserted op has no captured call to compare with; one that was not issued took no time.
        if record.origin() != Origin::Event || record.fact.notes & NOT_ISSUED != 0 {
            return;
        }
        let Some(tally) = self.calls.get_mut(usize::from(record.fact.syscall)) else { return };
        tally.latency.add(record.stamp.end.saturating_sub(record.stamp.begin));
        if record.fact.captured_dur != UNKNOWN {
            tally.captured.add(record.fact.captured_dur);
        }
        if let (Pace::Realtime, Some(due)) = (self.pace, record.scheduled()) {
            tally.from_due.add(record.stamp.end.saturating_sub(due));
        }
        if errno(record.ret()) != 0 {
            tally.failed += 1;
            return;
        }
        let bytes = record.ret().max(0) as u64;
        let (read, written) = match record.op().map_or(Moves::Nothing, Op::moves) {
            Moves::Nothing => return,
            Moves::Reads => (bytes, 0),
            Moves::Writes => (0, bytes),
            Moves::Copies => (bytes, bytes),
        };
        // Engine `null` returns the captured value, which may be anything, so sums saturate.
        tally.bytes = tally.bytes.saturating_add(bytes);
        self.read_bytes = self.read_bytes.saturating_add(read);
        self.written_bytes = self.written_bytes.saturating_add(written);
    }

    /// Sums up, and checks the order by the edges of the workload.
    ///
    /// # Errors
    /// When the workload's table of edges is damaged.
    pub fn finish(self, workload: &Dataset) -> Result<Figures> {
        let calls = self.calls.iter().zip(Syscall::ALL).filter_map(|(tally, syscall)| {
            Some(Call {
                syscall: syscall.name(),
                calls: tally.latency.count(),
                failed: tally.failed,
                bytes: tally.bytes,
                latency: Spread::of(&tally.latency)?,
                captured: Spread::of(&tally.captured),
                from_due: Spread::of(&tally.from_due),
            })
        });
        let mut calls: Vec<Call> = calls.collect();
        calls.sort_by(|a, b| b.latency.total.cmp(&a.latency.total).then(a.syscall.cmp(b.syscall)));
        let order_violations = self.check.map(|check| check.finish(workload)).transpose()?;
        let (read_bytes, written_bytes) = (self.read_bytes, self.written_bytes);
        Ok(Figures { read_bytes, written_bytes, calls, order_violations })
    }
}

impl fmt::Display for Figures {
    /// Prints the table of latencies: the syscalls that took most time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["calls", "failed", "total", "p50", "p90", "p99", "max", "captured p50", "p99"];
        write!(f, "  {:<16}", "call")?;
        cells(f, heads.map(String::from))?;
        for call in self.calls.iter().take(SHOWN) {
            let Spread { p50, p90, p99, max, total } = call.latency;
            let captured = call.captured.map_or([const { String::new() }; 2], |c| [c.p50, c.p99].map(|ns| Nanos(ns).to_string()));
            let [old50, old99] = captured;
            let [total, p50, p90, p99, max] = [total, p50, p90, p99, max].map(|ns| Nanos(ns).to_string());
            write!(f, "  {:<16}", call.syscall)?;
            cells(f, [call.calls.to_string(), call.failed.to_string(), total, p50, p90, p99, max, old50, old99])?;
        }
        match self.calls.len().saturating_sub(SHOWN) {
            0 => {}
            more => writeln!(f, "  and {more} more that took less in total.")?,
        }
        self.show_from_due(f)
    }
}

impl Figures {
    /// Prints how long after they were due the same calls ended, where that is known.
    fn show_from_due(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut calls = self.calls.iter().take(SHOWN).filter_map(|call| Some((call, call.from_due?))).peekable();
        if calls.peek().is_none() {
            return Ok(());
        }
        writeln!(f, "From when they were due to their end, as somebody sees it who does not wait for answers:")?;
        write!(f, "  {:<16}", "call")?;
        cells(f, ["", "", "", "p50", "p90", "p99", "max", "", ""].map(String::from))?;
        calls.try_for_each(|(call, Spread { p50, p90, p99, max, .. })| {
            let [p50, p90, p99, max] = [p50, p90, p99, max].map(|ns| Nanos(ns).to_string());
            let none = String::new;
            write!(f, "  {:<16}", call.syscall)?;
            cells(f, [none(), none(), none(), p50, p90, p99, max, none(), none()])
        })
    }
}

fn cells(f: &mut fmt::Formatter<'_>, cells: [String; 9]) -> fmt::Result {
    const WIDTHS: [usize; 9] = [9, 8, 9, 9, 9, 9, 9, 14, 9];
    let line: String = cells.iter().zip(WIDTHS).map(|(cell, width)| format!("{cell:>width$}")).collect();
    writeln!(f, "{}", line.trim_end())
}
