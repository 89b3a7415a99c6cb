//! What is measured while records come in: latencies and bytes by call, and the proof of the order.

use super::violations::{Check, Violations};
use crate::amount::Nanos;
use crate::fate::Origin;
use crate::histogram::Histogram;
use crate::replay::shared::record::{CWD, Record, UNKNOWN, WITHHELD, errno};
use crate::schema::Dataset;
use crate::syscall::{Moves, Op, Syscall};
use anyhow::Result;
use serde::Serialize;
use std::fmt;

/// Rows that the table of latencies shows to people.
const SHOWN: usize = 10;

/// One percentile of durations after the other, ns.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// Half took at most this.
    pub p50: i64,
    /// 90 of 100 took at most this.
    pub p90: i64,
    /// 99 of 100 took at most this.
    pub p99: i64,
    /// The longest.
    pub max: i64,
    /// All together.
    pub total: i64,
}

impl Spread {
    /// Of these values; `None` when there are none. The percentiles are at most 1 % too large.
    pub fn of(values: &Histogram) -> Option<Spread> {
        let p = |share| values.percentile(share);
        let spread = || Spread { p50: p(0.5), p90: p(0.9), p99: p(0.99), max: values.max(), total: values.sum() };
        (values.count() > 0).then(spread)
    }
}

/// One call in a replay.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// Its captured name.
    pub syscall: &'static str,
    /// How often it was issued.
    pub calls: u64,
    /// Of these failed.
    pub failed: u64,
    /// Bytes it moved.
    pub bytes: u64,
    /// How long it took.
    pub latency: Spread,
    /// How long it took in the capture, when that is known.
    pub captured: Option<Spread>,
}

/// What was measured, in short.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// Bytes that captured calls read.
    pub read_bytes: u64,
    /// Bytes that captured calls wrote.
    pub written_bytes: u64,
    /// Captured calls that were issued, the one that took longest in total first.
    pub calls: Vec<Call>,
    /// Whether edges were kept; absent when the workload has none or too many to remember.
    pub order_violations: Option<Violations>,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    failed: u64,
    bytes: u64,
    latency: Histogram,
    captured: Histogram,
}

/// Everything that is measured.
#[derive(Clone, Debug)]
pub struct Measures {
    /// By [`Syscall`].
    calls: Vec<Tally>,
    read_bytes: u64,
    written_bytes: u64,
    check: Option<Check>,
}

impl Measures {
    /// Of a replay of this workload with so many ops.
    ///
    /// # Errors
    /// When the workload is damaged.
    pub fn new(workload: &Dataset, ops: u64) -> Result<Measures> {
        let calls = vec![Tally::default(); Syscall::ALL.len()];
        let check = Check::open(workload, ops)?;
        Ok(Measures { calls, read_bytes: 0, written_bytes: 0, check })
    }

    /// Takes a record in.
    pub fn add(&mut self, record: &Record) {
        if let Some(check) = &mut self.check {
            check.add(record);
        }
        // What was inserted has nothing to be set beside; what was not issued took no time.
        if record.origin() != Origin::Event || record.fact.notes & (WITHHELD | CWD) != 0 {
            return;
        }
        let Some(tally) = self.calls.get_mut(usize::from(record.fact.syscall)) else { return };
        tally.latency.add(record.stamp.end.saturating_sub(record.stamp.begin));
        if record.fact.captured_dur != UNKNOWN {
            tally.captured.add(record.fact.captured_dur);
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
        // Engine null returns what was captured, which may be anything.
        tally.bytes = tally.bytes.saturating_add(bytes);
        self.read_bytes = self.read_bytes.saturating_add(read);
        self.written_bytes = self.written_bytes.saturating_add(written);
    }

    /// Ends the measuring.
    ///
    /// # Errors
    /// When the workload is damaged.
    pub fn finish(self, workload: &Dataset) -> Result<Figures> {
        let calls = self.calls.iter().zip(Syscall::ALL).filter_map(|(tally, syscall)| {
            Some(Call {
                syscall: syscall.name(),
                calls: tally.latency.count(),
                failed: tally.failed,
                bytes: tally.bytes,
                latency: Spread::of(&tally.latency)?,
                captured: Spread::of(&tally.captured),
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
    /// The table of latencies.
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
            0 => Ok(()),
            more => writeln!(f, "  and {more} more that took less in total."),
        }
    }
}

fn cells(f: &mut fmt::Formatter<'_>, cells: [String; 9]) -> fmt::Result {
    const WIDTHS: [usize; 9] = [9, 8, 9, 9, 9, 9, 9, 14, 9];
    let line: String = cells.iter().zip(WIDTHS).map(|(cell, width)| format!("{cell:>width$}")).collect();
    writeln!(f, "{}", line.trim_end())
}
