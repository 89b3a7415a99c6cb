//! Which worker runs which lanes.

use crate::schema::read;
use anyhow::{Context, Result, ensure};
use arrow::record_batch::RecordBatchReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Workers when nobody says how many: one per lane up to this. More threads than this cost more in waking than the
/// devices of today gain by them; `--threads` may ask for more.
pub const DEFAULT_WORKERS: usize = 64;

/// Workers at most, whatever was asked for.
pub const MAX_WORKERS: usize = 1024;

/// Where the ops of a lane are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Its first row.
    pub first_row: i64,
    /// Its number of ops.
    pub ops: i64,
    /// Its first op.
    pub first_op: i64,
}

/// Reads the lanes.
///
/// # Errors
/// When the table is damaged or a lane lies outside the `rows` of ops.
pub fn lanes(reader: ParquetRecordBatchReader, rows: i64) -> Result<Vec<Lane>> {
    ensure!(reader.schema().column_with_name("first_row").is_some(), "the lanes have no column first_row");
    let mut lanes = Vec::new();
    for batch in reader {
        let batch = batch.context("cannot read the lanes")?;
        let (first_row, ops, first_op) =
            (read::ints(&batch, "first_row")?, read::ints(&batch, "ops")?, read::ints(&batch, "first_op")?);
        for row in 0..batch.num_rows() {
            let lane = Lane { first_row: first_row.value(row), ops: ops.value(row), first_op: first_op.value(row) };
            ensure!(
                lane.first_row >= 0 && lane.ops >= 0 && lane.first_row.checked_add(lane.ops).is_some_and(|end| end <= rows),
                "a lane has {} ops from row {} on, and there are {rows} rows: make the workload again",
                lane.ops,
                lane.first_row,
            );
            lanes.push(lane);
        }
    }
    let total: i64 = lanes.iter().map(|lane| lane.ops).sum();
    ensure!(total == rows, "the lanes have {total} ops, the table of ops has {rows}: make the workload again");
    lanes.retain(|lane| lane.ops > 0);
    Ok(lanes)
}

/// Number of workers for so many lanes.
pub fn workers(lanes: usize, asked: Option<usize>) -> usize {
    asked.unwrap_or(DEFAULT_WORKERS).clamp(1, MAX_WORKERS).min(lanes.max(1))
}

/// Deals the lanes out: the largest first, each to the worker that has least to do.
pub fn deal(lanes: &[Lane], workers: usize) -> Vec<Vec<Lane>> {
    let mut order: Vec<&Lane> = lanes.iter().collect();
    order.sort_by_key(|lane| (Reverse(lane.ops), lane.first_op));
    let mut hands = vec![Vec::new(); workers];
    let mut loads: BinaryHeap<_> = (0..workers).map(|worker| Reverse((0_i64, worker))).collect();
    for lane in order {
        if let Some(Reverse((load, worker))) = loads.pop() {
            hands[worker].push(*lane);
            loads.push(Reverse((load + lane.ops, worker)));
        }
    }
    hands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_dealt_evenly() {
        let lanes: Vec<Lane> = [5, 9, 1, 4, 4].iter().map(|ops| Lane { first_row: 0, ops: *ops, first_op: 0 }).collect();
        let hands = deal(&lanes, 2);
        let loads: Vec<i64> = hands.iter().map(|hand| hand.iter().map(|lane| lane.ops).sum()).collect();
        assert_eq!(loads, [13, 10]);
        assert_eq!(workers(3, None), 3);
        assert_eq!(workers(300, None), DEFAULT_WORKERS);
        assert_eq!(workers(300, Some(4)), 4);
        assert_eq!(workers(0, None), 1);
    }
}
