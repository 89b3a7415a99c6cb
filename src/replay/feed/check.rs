//! Checks a workload before its replay: it comes from somebody else, and a replay of one that contradicts itself would issue
//! ops twice, or never, or wait for ever.
//!
//! Before anything starts, all numbers that order depends on are checked: lanes divide the rows of ops among them
//! ([`plan::lanes`]), every row is in the lane that claims it, op ids are 0, 1, 2 ... each once and grow inside a lane, and
//! an edge goes from an op of its lane to an earlier op of the other lane that it names. Statistics of a file are not
//! trusted. What concerns single calls the loader checks, before the call is issued ([`super::pages`]).

use super::plan::{self, Lane};
use crate::files;
use crate::replay::number;
use crate::schema::{Dataset, Table, read};
use anyhow::{Context, Result, ensure};
use arrow::array::{Array, Int64Array, RecordBatch};
use std::ops::Range;

/// Bits of memory in which the lanes of ops are kept: 64 MiB. That is the lanes of 67 million ops of 255 lanes; a workload
/// with more ops is read again for each such window of ops.
const BITS: u64 = 64 << 23;

/// A workload that was checked and does not contradict itself.
#[derive(Debug)]
pub struct Checked<'a> {
    /// The workload's dataset.
    pub workload: &'a Dataset,
    /// Number of its ops, inserted ones included.
    pub ops: u64,
    /// Its lanes (captured threads), which together have every op once.
    pub lanes: Vec<Lane>,
}

/// Checks a workload's lanes, ops and edges for contradictions.
///
/// # Errors
/// When it contradicts itself: the message names the table, the row and why.
pub fn check(workload: &Dataset) -> Result<Checked<'_>> {
    let file = workload.table(Table::Lanes);
    let table = files::open(&file).with_context(|| format!("cannot open {}: make the workload again", file.display()))?;
    let rows = rows(workload, Table::Ops)?;
    let said = number(workload, "ops")?.unwrap_or(0);
    ensure!(i64::try_from(said) == Ok(rows), "invalid workload: the manifest says {said} ops, and the table of ops has {rows}");
    let lanes = plan::lanes(table, rows)?;
    plan::check_edges(&lanes, self::rows(workload, Table::Edges)?)?;
    let mut owners = Owners::new(rows, lanes.len());
    for window in owners.windows(rows) {
        owners.begin(window);
        ops(workload, &lanes, &mut owners)?;
        edges(workload, &lanes, &owners)?;
    }
    Ok(Checked { workload, ops: rows as u64, lanes })
}

/// Number of rows of a table, as its Parquet footer says.
fn rows(workload: &Dataset, table: Table) -> Result<i64> {
    Ok(i64::try_from(read::builder(&workload.table(table), &[])?.rows())?)
}

/// Reads some columns of a table and calls `see` with each batch and the number of its first row.
fn each(workload: &Dataset, table: Table, columns: &[&str], mut see: impl FnMut(&RecordBatch, i64) -> Result<()>) -> Result<()> {
    let file = workload.table(table);
    let mut row = 0;
    for batch in read::batches(&file, columns)? {
        let batch = batch.with_context(|| format!("cannot read {}", file.display()))?;
        see(&batch, row)?;
        row += batch.num_rows() as i64;
    }
    let said = rows(workload, table)?;
    ensure!(row == said, "invalid workload: {} has {row} rows, and says {said}", file.display());
    Ok(())
}

/// An integer column, which must have no NULL.
fn whole<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Int64Array> {
    let column = read::ints(batch, name)?;
    ensure!(column.null_count() == 0, "invalid workload: column {name} lacks a value");
    Ok(column)
}

/// Consecutive rows of a batch that belong to one lane.
struct Run {
    /// Index of the lane in the list of lanes.
    lane: usize,
    rows: Range<i64>,
}

/// Splits a range of rows by lane; `ends` gives the row after a lane's last.
fn runs(lanes: &[Lane], rows: Range<i64>, ends: impl Fn(&Lane) -> i64) -> impl Iterator<Item = Run> {
    let mut lane = lanes.partition_point(|lane| ends(lane) <= rows.start);
    let mut next = rows.start;
    std::iter::from_fn(move || {
        // A lane may have no rows in this table.
        while next < rows.end && ends(lanes.get(lane)?) <= next {
            lane += 1;
        }
        let end = rows.end.min(ends(lanes.get(lane)?));
        let run = Run { lane, rows: next..end };
        next = end;
        (!run.rows.is_empty()).then_some(run)
    })
}

/// Checks ids and lanes of all ops, and notes the lanes of those in the window.
fn ops(workload: &Dataset, lanes: &[Lane], owners: &mut Owners) -> Result<()> {
    let mut before = -1;
    each(workload, Table::Ops, &["op_id", "lane"], |batch, start| {
        let (ids, numbers) = (whole(batch, "op_id")?, whole(batch, "lane")?);
        for Run { lane, rows } in runs(lanes, start..start + batch.num_rows() as i64, |lane| lane.ends().0) {
            let of = &lanes[lane];
            for row in rows {
                let at = (row - start) as usize;
                let (op_id, number) = (ids.value(at), numbers.value(at));
                let least = if row == of.first_row { of.first_op } else { before + 1 };
                let begins = row > of.first_row || op_id == of.first_op;
                let ends = row + 1 < of.ends().0 || op_id == of.last_op;
                ensure!(
                    number == of.lane && begins && ends && (least..=of.last_op).contains(&op_id),
                    "invalid workload: row {row} of ops is op {op_id} of lane {number}, and lane {} goes on there with op {least} at \
                     least, from {} to {}",
                    of.lane,
                    of.first_op,
                    of.last_op
                );
                ensure!(owners.enter(op_id, lane), "invalid workload: row {row} of ops is op {op_id} once more");
                before = op_id;
            }
        }
        Ok(())
    })
}

/// Checks all edges; whether an op is in the lane that an edge names is checked for ops in the window.
fn edges(workload: &Dataset, lanes: &[Lane], owners: &Owners) -> Result<()> {
    let mut before = 0;
    each(workload, Table::Edges, &["op_id", "lane", "after", "after_lane"], |batch, start| {
        let [ids, numbers] = [whole(batch, "op_id")?, whole(batch, "lane")?];
        let [afters, others] = [whole(batch, "after")?, whole(batch, "after_lane")?];
        let mut known = 0;
        for Run { lane, rows } in runs(lanes, start..start + batch.num_rows() as i64, |lane| lane.ends().1) {
            let of = &lanes[lane];
            for row in rows {
                let at = (row - start) as usize;
                let [op_id, number, after, other] = [ids, numbers, afters, others].map(|column| column.value(at));
                let least = if row == of.first_edge { of.first_op } else { before };
                ensure!(
                    number == of.lane && (least..=of.last_op).contains(&op_id) && owners.has(op_id, lane),
                    "invalid workload: row {row} of edges is of op {op_id} of lane {number}, where lane {} has one of its ops, \
                     {least} at least",
                    of.lane
                );
                ensure!(
                    (0..op_id).contains(&after),
                    "invalid workload: row {row} of edges says that op {op_id} follows op {after}, which is no earlier op"
                );
                if lanes[known].lane != other {
                    known = lanes.binary_search_by_key(&other, |lane| lane.lane).unwrap_or(lane);
                }
                ensure!(
                    known != lane && owners.has(after, known),
                    "invalid workload: row {row} of edges says that op {op_id} of lane {number} follows op {after} of lane {other}, \
                     which has no such op or is the same lane"
                );
                before = op_id;
            }
        }
        Ok(())
    })
}

/// Which lane each op of a window (a range of op ids) is in.
struct Owners {
    /// Index of the lane plus 1 for each op, `width` bits each; 0 for none.
    words: Vec<u64>,
    width: u32,
    window: Range<i64>,
}

impl Owners {
    /// For this many ops and lanes; the window is as large as [`BITS`] allows.
    fn new(ops: i64, lanes: usize) -> Owners {
        // A power of two, so that no number is split between two words.
        let width = (usize::BITS - lanes.leading_zeros()).max(1).next_power_of_two();
        let most = (BITS / u64::from(width)) as i64;
        Owners { words: Vec::new(), width, window: 0..most.min(ops) }
    }

    /// Consecutive windows that together cover this many ops.
    fn windows(&self, ops: i64) -> impl Iterator<Item = Range<i64>> + use<> {
        let length = self.window.end.max(1);
        (0..ops).step_by(length as usize).map(move |first| first..(first + length).min(ops))
    }

    /// Forgets all lanes and begins with another window.
    fn begin(&mut self, window: Range<i64>) {
        let ops = (window.end - window.start) as u64;
        self.words.clear();
        self.words.resize((ops * u64::from(self.width)).div_ceil(64) as usize, 0);
        self.window = window;
    }

    /// Position of an op's number: word and bit; `None` outside the window.
    fn place(&self, op_id: i64) -> Option<(usize, u32)> {
        let at = self.window.contains(&op_id).then(|| (op_id - self.window.start) as u64 * u64::from(self.width))?;
        Some(((at / 64) as usize, (at % 64) as u32))
    }

    /// Notes which lane an op is in; false when it was in a lane already. True, and nothing noted, for op ids outside the window of
    /// ids that this pass looks at.
    fn enter(&mut self, op_id: i64, lane: usize) -> bool {
        let Some((word, bit)) = self.place(op_id) else { return true };
        let fresh = self.words[word] >> bit & self.mask() == 0;
        self.words[word] |= (lane as u64 + 1) << bit;
        fresh
    }

    /// Whether an op is in this lane. Always true outside the window.
    fn has(&self, op_id: i64, lane: usize) -> bool {
        self.place(op_id).is_none_or(|(word, bit)| self.words[word] >> bit & self.mask() == lane as u64 + 1)
    }

    fn mask(&self) -> u64 {
        (1 << self.width) - 1
    }
}
