//! The captured time line: when the ops were captured, for a replay that keeps a pace.

use crate::schema::{Dataset, Manifest, Table, read};
use anyhow::{Context, Result, ensure};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Number of pieces of ops for which the captured start is kept.
const PIECES: u64 = 4096;

/// Longest that a replay may take by its captured times. Longer ones mean that the clock was set during the capture.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The captured time line of a workload; empty for a replay without a pace.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// Captured start of the first op, ns.
    pub first: i64,
    /// Captured end of the last op, ns.
    end: i64,
    /// Factor by which captured times are divided, e.g. 2 for twice as fast.
    speed: f64,
    /// Number of ops in a piece.
    piece: u64,
    /// Latest captured start, ns, in each piece and all before it.
    starts: Vec<i64>,
}

impl Timeline {
    /// Reads the time line of a workload with `ops` ops, to be replayed `speed` times faster.
    ///
    /// # Errors
    /// When the workload is damaged, has no times or times outside those of its capture, or when the replay would take more
    /// than a year.
    pub fn read(workload: &Dataset, ops: u64, speed: f64) -> Result<Timeline> {
        let file = workload.table(Table::Ops);
        let (captured, mut next) = (captured(&workload.manifest), 0);
        let (piece, pieces) = (ops.div_ceil(PIECES).max(1), ops.min(PIECES));
        let starts = vec![i64::MIN; pieces as usize];
        let mut line = Timeline { first: i64::MAX, end: i64::MIN, speed, piece, starts };
        for batch in read::batches(&file, &["op_id", "ts", "dur"])? {
            let batch = batch.with_context(|| format!("cannot read {}", file.display()))?;
            let [op_id, ts, dur] = ["op_id", "ts", "dur"].map(|name| read::ints(&batch, name));
            let (op_id, ts, dur) = (op_id?, ts?, dur?);
            for row in 0..batch.num_rows() {
                if let Some(ts) = read::int(ts, row) {
                    ensure!(
                        captured.contains(&ts),
                        "invalid workload: row {} of ops has ts {ts}, and its manifest says that {} to {} was captured",
                        next + row,
                        captured.start(),
                        captured.end()
                    );
                    line.add(op_id.value(row), ts, read::int(dur, row).unwrap_or(0));
                }
            }
            next += batch.num_rows();
        }
        ensure!(
            line.first < i64::MAX,
            "{} has no times, so there is nothing to keep pace with: use --pace asap, or capture with times (strace -ttt)",
            workload.dir.display()
        );
        line.settle();
        let span = line.span().map_or(Duration::ZERO, |ns| Duration::from_nanos(ns.max(0) as u64));
        ensure!(
            span <= LONGEST,
            "by its captured times the replay would take {} days: use --pace asap, or a greater --speed",
            span.as_secs() / (24 * 3600)
        );
        Ok(line)
    }

    fn add(&mut self, op_id: i64, ts: i64, dur: i64) {
        self.first = self.first.min(ts);
        self.end = self.end.max(ts.saturating_add(dur));
        if let Some(start) = self.starts.get_mut((op_id as u64 / self.piece) as usize) {
            *start = ts.max(*start);
        }
    }

    fn settle(&mut self) {
        let mut last = self.first;
        for start in &mut self.starts {
            last = last.max(*start);
            *start = last;
        }
    }

    /// Captured time from the start of the first op to the end of the last, ns; 0 without a pace.
    pub fn captured(&self) -> i64 {
        self.end.saturating_sub(self.first).max(0)
    }

    /// How long the replay takes if it keeps its pace, ns; `None` without a pace.
    pub fn span(&self) -> Option<i64> {
        (self.end > self.first).then(|| (self.end.saturating_sub(self.first) as f64 / self.speed) as i64)
    }

    /// Time from the start of this op to the end of the replay, if it keeps its pace; `None` without a pace.
    pub fn left(&self, op_id: i64) -> Option<Duration> {
        let start = self.starts.get((op_id as u64).checked_div(self.piece)? as usize)?;
        Some(Duration::from_nanos((self.end.saturating_sub(*start).max(0) as f64 / self.speed) as u64))
    }
}

/// First and last time of the workload, or else of its capture, ns, as the manifest has them; without limits where it does not.
fn captured(manifest: &Manifest) -> RangeInclusive<i64> {
    let time = |key| manifest.get(key).or_else(|| manifest.get("capture")?.get(key))?.as_i64();
    time("first_ts").unwrap_or(i64::MIN)..=time("last_ts").unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_the_captured_times() {
        let mut line = Timeline { first: i64::MAX, end: 0, speed: 2.0, piece: 10, starts: vec![i64::MIN; 3] };
        // Ten ops in a moment, nothing for a second, then ten more; the last ten have no times.
        for op_id in 0..20 {
            line.add(op_id, op_id * 10 + op_id / 10 * 1_000_000_000, 5);
        }
        line.settle();
        assert_eq!(line.span(), Some((1_000_000_195) / 2));
        assert_eq!(line.left(3), Some(Duration::from_nanos((1_000_000_195 - 90) / 2)));
        assert_eq!((line.left(10), line.left(29)), (Some(Duration::from_nanos(2)), Some(Duration::from_nanos(2))));
        assert_eq!((line.left(30), Timeline::default().left(0), Timeline::default().span()), (None, None, None));
    }
}
