//! Which worker runs which lanes, and in which process.

use crate::limits::THREADS;
use crate::schema::read::{self, Reader};
use anyhow::{Context, Result, ensure};
use arrow::array::{Int64Array, RecordBatch};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;

/// Workers when nobody says how many: one per lane up to this. More threads than this cost more in waking than the
/// devices of today gain by them; `--threads` may ask for more.
pub const DEFAULT_WORKERS: usize = 64;

/// Workers at most, whatever was asked for.
pub const MAX_WORKERS: usize = THREADS;

/// Lanes at most: as many threads as Linux has at a time (PID_MAX_LIMIT, proc_sys_kernel(5)).
const MAX_LANES: usize = 1 << 22;

/// Where the ops of a lane are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// Its number.
    pub lane: i64,
    /// Its process.
    pub vpid: i64,
    /// Its first row.
    pub first_row: i64,
    /// Its number of ops.
    pub ops: i64,
    /// Its first op.
    pub first_op: i64,
    /// Its last op.
    pub last_op: i64,
    /// Its first row in the table of edges.
    pub first_edge: i64,
    /// Its number of edges.
    pub edges: i64,
    /// How long its calls took in the capture, ns; 0 when that is not known.
    pub busy: i64,
    /// Bytes they moved.
    pub bytes: i64,
}

/// What an op costs at least, ns: a system call that finds everything in memory.
const OP: i64 = 1000;
/// Bytes that are copied in a nanosecond.
const COPIED: i64 = 4;

impl Lane {
    /// How long it will keep a worker busy, roughly, ns: as long as its calls took, if that was captured, but no less than
    /// issuing them and moving their bytes costs anywhere.
    fn work(&self) -> i64 {
        self.busy.max(self.ops.saturating_mul(OP).saturating_add(self.bytes.max(0) / COPIED))
    }
}

/// The work of some lanes.
pub fn work(lanes: &[Lane]) -> i64 {
    lanes.iter().fold(0, |work, lane| work.saturating_add(lane.work()))
}

/// Reads the lanes.
///
/// # Errors
/// When the table is damaged, or the lanes do not share the `rows` of ops out, one lane behind the other.
pub fn lanes(file: File, rows: i64) -> Result<Vec<Lane>> {
    let reader = Reader::new("the table of lanes".into(), file, None)?;
    let mut lanes: Vec<Lane> = Vec::new();
    for batch in reader.build()? {
        let batch = batch?;
        let known = lanes.len();
        read_lanes(&batch, &mut lanes).context("the table of lanes is not of this version: make the workload again")?;
        for row in known..lanes.len() {
            let before = row.checked_sub(1).map(|before| &lanes[before]);
            lanes[row].check(before, rows).with_context(|| format!("invalid workload: row {row} of lanes"))?;
        }
        ensure!(lanes.len() <= MAX_LANES, "invalid workload: there are more than {MAX_LANES} lanes");
    }
    let (ops, _) = lanes.last().map_or((0, 0), Lane::ends);
    ensure!(ops == rows, "invalid workload: the lanes end at row {ops} of ops, which has {rows}");
    Ok(lanes)
}

impl Lane {
    /// The rows behind its last, of ops and of edges.
    pub fn ends(&self) -> (i64, i64) {
        (self.first_row.saturating_add(self.ops), self.first_edge.saturating_add(self.edges))
    }

    /// Does it begin where the lane `before` ends, and does it fit into so many `rows` of ops?
    fn check(&self, before: Option<&Lane>, rows: i64) -> Result<()> {
        let (row, edge) = before.map_or((0, 0), Lane::ends);
        let least = before.map_or(0, |before| before.lane.saturating_add(1));
        let Lane { lane, first_row, ops, first_op, last_op, first_edge, edges, .. } = *self;
        ensure!((least..=i64::from(u32::MAX)).contains(&lane), "lane is {lane}, and it must be {least} to {}", u32::MAX);
        ensure!(first_row == row, "first_row is {first_row}, and the lane before ends at row {row}");
        ensure!((1..=rows - row).contains(&ops), "ops is {ops}, and there are {rows} rows of ops, {} of them left", rows - row);
        ensure!(
            first_op >= 0 && last_op < rows && last_op.saturating_sub(first_op) >= ops - 1,
            "first_op is {first_op} and last_op {last_op}, and it has {ops} of {rows} ops"
        );
        ensure!(first_edge == edge, "first_edge is {first_edge}, and the lane before ends at edge {edge}");
        ensure!(edges >= 0, "edges is {edges}");
        Ok(())
    }
}

fn read_lanes(batch: &RecordBatch, lanes: &mut Vec<Lane>) -> Result<()> {
    let ints = |name| read::ints(batch, name);
    let (lane, vpid, first_row, ops) = (ints("lane")?, ints("vpid")?, ints("first_row")?, ints("ops")?);
    let (first_op, last_op, first_edge, edges) = (ints("first_op")?, ints("last_op")?, ints("first_edge")?, ints("edges")?);
    // Workloads of before did not have them.
    let (busy, bytes) = (ints("busy").ok(), ints("bytes").ok());
    let known = |column: Option<&Int64Array>, row| column.and_then(|column| read::int(column, row)).unwrap_or(0);
    lanes.extend((0..batch.num_rows()).map(|row| Lane {
        lane: lane.value(row),
        vpid: vpid.value(row),
        first_row: first_row.value(row),
        ops: ops.value(row),
        first_op: first_op.value(row),
        last_op: last_op.value(row),
        first_edge: first_edge.value(row),
        edges: edges.value(row),
        busy: known(busy, row),
        bytes: known(bytes, row),
    }));
    Ok(())
}

/// Checks that the `lanes` have all of so many `rows` of edges among them.
///
/// # Errors
/// When they have not.
pub fn check_edges(lanes: &[Lane], rows: i64) -> Result<()> {
    let (_, edges) = lanes.last().map_or((0, 0), Lane::ends);
    ensure!(edges == rows, "invalid workload: the lanes end at row {edges} of edges, which has {rows}");
    Ok(())
}

/// Who does what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Processes.
    pub processes: usize,
    /// The lanes of each worker. Worker `w` runs in process `w / threads`.
    pub hands: Vec<Vec<Lane>>,
    /// Workers of each process.
    pub threads: usize,
}

impl Plan {
    /// Deals the lanes out, those with most work first, each to whoever has least to do: to processes, then to their workers. The
    /// lanes of a captured process stay together unless that leaves a process with more than its share.
    pub fn new(lanes: &[Lane], processes: usize, threads: Option<usize>) -> Plan {
        let processes = processes.clamp(1, MAX_WORKERS).min(lanes.len().max(1));
        let per_process = lanes.len().div_ceil(processes).max(1);
        let threads =
            threads.unwrap_or(DEFAULT_WORKERS.div_ceil(processes)).clamp(1, (MAX_WORKERS / processes).max(1)).min(per_process);

        let mut families: BTreeMap<i64, Vec<Lane>> = BTreeMap::new();
        for lane in lanes {
            families.entry(lane.vpid).or_default().push(*lane);
        }
        let share = work(lanes) / processes as i64;
        let (together, apart): (Vec<_>, Vec<_>) =
            families.into_values().partition(|family| work(family) <= share.saturating_add(share / 10));
        let singles = apart.into_iter().flatten().map(|lane| vec![lane]);
        let parts = deal(together.into_iter().chain(singles).collect(), processes);
        let hands = parts.into_iter().flat_map(|part| deal(part.into_iter().map(|lane| vec![lane]).collect(), threads));
        Plan { processes, hands: hands.collect(), threads }
    }

    /// Workers of a process.
    pub fn workers(&self, process: usize) -> std::ops::Range<usize> {
        process * self.threads..(process + 1) * self.threads
    }
}

/// Deals groups of lanes out: those with most work first, each to the hand that has least to do.
fn deal(mut groups: Vec<Vec<Lane>>, hands: usize) -> Vec<Vec<Lane>> {
    groups.sort_by_key(|group| (Reverse(work(group)), group.first().map(|lane| lane.first_op)));
    let mut dealt = vec![Vec::new(); hands];
    let mut loads: BinaryHeap<_> = (0..hands).map(|hand| Reverse((0_i64, hand))).collect();
    for group in groups {
        if let Some(Reverse((load, hand))) = loads.pop() {
            loads.push(Reverse((load.saturating_add(work(&group)), hand)));
            dealt[hand].extend(group);
        }
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(work: &[(i64, i64)]) -> Vec<Lane> {
        let lane =
            |(lane, (vpid, ops)): (usize, &(i64, i64))| Lane { lane: lane as i64, vpid: *vpid, ops: *ops, ..Lane::default() };
        work.iter().enumerate().map(lane).collect()
    }

    fn loads(plan: &Plan) -> Vec<i64> {
        plan.hands.iter().map(|hand| hand.iter().map(|lane| lane.ops).sum()).collect()
    }

    #[test]
    fn lanes_are_dealt_evenly() {
        let plan = Plan::new(&lanes(&[(1, 5), (1, 9), (1, 1), (1, 4), (1, 4)]), 1, Some(2));
        assert_eq!(loads(&plan), [13, 10]);
        let many = lanes(&[(1, 1); 300]);
        let threads = |lanes: &[Lane], processes, threads| {
            let plan = Plan::new(lanes, processes, threads);
            assert_eq!(plan.hands.len(), plan.processes * plan.threads);
            (plan.processes, plan.threads)
        };
        assert_eq!(threads(&many[..3], 1, None), (1, 3));
        assert_eq!(threads(&many, 1, None), (1, DEFAULT_WORKERS));
        assert_eq!(threads(&many, 1, Some(4)), (1, 4));
        assert_eq!(threads(&many, 2, Some(4)), (2, 4));
        assert_eq!(threads(&many, 4, None), (4, 16));
        assert_eq!(threads(&many[..3], 4, Some(4)), (3, 1));
        assert_eq!(threads(&many, 2000, Some(2000)), (300, 1));
        assert_eq!(threads(&[], 2, None), (1, 1));
    }

    #[test]
    fn what_took_long_counts_more_than_what_was_often() {
        let mut lanes = lanes(&[(1, 1000), (1, 10), (1, 10), (1, 1000)]);
        // Ten calls of 1 ms, and ten that move 64 MiB; the times of the others are not known.
        lanes[1].busy = 10_000_000;
        lanes[2].bytes = 10 * (64 << 20);
        let plan = Plan::new(&lanes, 1, Some(3));
        let hands: Vec<Vec<i64>> = plan.hands.iter().map(|hand| hand.iter().map(|lane| lane.lane).collect()).collect();
        assert_eq!(hands, [vec![2], vec![1], vec![0, 3]]);
    }

    #[test]
    fn the_lanes_of_a_process_stay_together_if_that_is_fair() {
        let plan = Plan::new(&lanes(&[(1, 5), (2, 5), (1, 5), (2, 5)]), 2, Some(2));
        for process in 0..2 {
            let vpids: Vec<i64> = plan.hands[plan.workers(process)].iter().flatten().map(|lane| lane.vpid).collect();
            assert!(vpids.len() == 2 && vpids[0] == vpids[1], "{vpids:?}");
        }
        // One process has nearly everything.
        let plan = Plan::new(&lanes(&[(1, 50), (1, 50), (1, 50), (1, 50), (2, 1)]), 2, Some(1));
        assert_eq!(loads(&plan), [101, 100]);
    }
}
