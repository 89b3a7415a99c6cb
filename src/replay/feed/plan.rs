//! Plans which worker runs which lanes, and in which process.

use crate::limits::THREADS;
use crate::schema::read::{self, Reader};
use anyhow::{Context, Result, ensure};
use arrow::array::{Int64Array, RecordBatch};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;

/// Default number of workers: one per lane up to this. More threads cost more in waking than the devices of today gain by
/// them; `--threads` may ask for more.
pub const DEFAULT_WORKERS: usize = 64;

/// Upper limit of the number of workers of a replay; a larger number is brought down to it.
pub const MAX_WORKERS: usize = THREADS;

/// Most lanes of a workload: as many threads as Linux has at a time (PID_MAX_LIMIT, proc_sys_kernel(5)).
const MAX_LANES: usize = 1 << 22;

/// A row of the table of lanes: where the ops and edges of a lane (captured thread) are, and how much work it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// Number of the lane.
    pub lane: i64,
    /// Captured process of the thread (vpid).
    pub vpid: i64,
    /// Its first row in the table of ops.
    pub first_row: i64,
    /// Number of its ops, which are consecutive rows.
    pub ops: i64,
    /// op_id of its first op.
    pub first_op: i64,
    /// op_id of its last op.
    pub last_op: i64,
    /// Its first row in the table of edges.
    pub first_edge: i64,
    /// Number of its edges, which are consecutive rows.
    pub edges: i64,
    /// Captured duration of its calls in all, ns; 0 when unknown.
    pub busy: i64,
    /// Bytes that its calls moved in the capture; 0 when unknown.
    pub bytes: i64,
}

/// Least cost of an op, ns: a system call that finds everything in memory.
const OP: i64 = 1000;
/// Assumed speed of copying data, bytes per ns.
const COPIED: i64 = 4;

impl Lane {
    /// Estimate of how long it keeps a worker busy, ns: as long as its calls took, if that was captured, but no less than
    /// issuing them and copying their bytes costs on any machine.
    fn work(&self) -> i64 {
        self.busy.max(self.ops.saturating_mul(OP).saturating_add(self.bytes.max(0) / COPIED))
    }
}

/// Estimate of how long these lanes keep a worker busy, ns.
pub fn work(lanes: &[Lane]) -> i64 {
    lanes.iter().fold(0, |work, lane| work.saturating_add(lane.work()))
}

/// Reads the table of lanes.
///
/// # Errors
/// When the table is damaged, or the lanes do not cover the `rows` of ops, each once and in order.
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
    /// The rows after its last one, in the tables of ops and of edges.
    pub fn ends(&self) -> (i64, i64) {
        (self.first_row.saturating_add(self.ops), self.first_edge.saturating_add(self.edges))
    }

    /// Checks that the lane begins where the lane `before` ends, and fits into `rows` rows of ops.
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
    // Workloads of earlier versions lack these columns.
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

/// Checks that the lanes cover all `rows` rows of the table of edges.
///
/// # Errors
/// When they do not.
pub fn check_edges(lanes: &[Lane], rows: i64) -> Result<()> {
    let (_, edges) = lanes.last().map_or((0, 0), Lane::ends);
    ensure!(edges == rows, "invalid workload: the lanes end at row {edges} of edges, which has {rows}");
    Ok(())
}

/// The plan of a replay: which lanes each worker runs, and in which process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Number of processes, at most one per lane.
    pub processes: usize,
    /// The lanes of each worker. Worker `w` runs in process `w / threads`.
    pub hands: Vec<Vec<Lane>>,
    /// Number of workers of each process.
    pub threads: usize,
}

impl Plan {
    /// Divides the lanes, those with most work first, each to whoever has least work: among processes, then among their
    /// workers. The lanes of a captured process stay together unless that leaves a process with more than its share.
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

    /// Numbers of the workers of a process.
    pub fn workers(&self, process: usize) -> std::ops::Range<usize> {
        process * self.threads..(process + 1) * self.threads
    }
}

/// Divides groups of lanes among `hands` workers, processes or machines: groups with most work first, each to the one with least work.
pub fn deal(mut groups: Vec<Vec<Lane>>, hands: usize) -> Vec<Vec<Lane>> {
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
