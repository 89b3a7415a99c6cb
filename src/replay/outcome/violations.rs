//! Checks the order of a replay: were the two ops of every edge issued one after the other?
//!
//! An edge is kept when the op that waits began after the one it waits for had ended. Only times of ops at an end of an edge
//! are kept, in an array by rank: 16 bytes for each. There may be `ENDS_MAX`; a workload with more is left to the SQL view
//! `order_violations`, which spills.

use crate::replay::shared::record::{GROUPED, Record};
use crate::schema::{Dataset, Table, read};
use anyhow::{Context, Result};

/// Most ops at ends of edges whose times are kept: 64 MiB.
const ENDS_MAX: u64 = 4 << 20;
/// In place of a time: the op was not issued.
const NEVER: i64 = i64::MIN;

/// Result of the check: edges looked at, and edges violated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Violations {
    /// Number of edges of the workload whose two ops were both issued, without those of syncs that are regrouped.
    pub edges: u64,
    /// Number of those edges whose waiting op began before the other had ended.
    pub violations: u64,
}

/// The check while the replay runs: times of the ops that are at an end of an edge.
#[derive(Clone, Debug, Default)]
pub struct Check {
    /// A bit for each op of the workload: is it at an end of an edge?
    ends: Vec<u64>,
    /// Number of bits set before each word of `ends`.
    ranks: Vec<u32>,
    /// Begin and end of these ops, ns since the start, by rank.
    times: Vec<(i64, i64)>,
}

impl Check {
    /// Reads the edges of the workload, which has `ops` ops. `None` when it has no table of edges or more than `ENDS_MAX`
    /// ends.
    ///
    /// # Errors
    /// When the table is damaged.
    pub fn open(workload: &Dataset, ops: u64) -> Result<Option<Check>> {
        if !workload.has(Table::Edges) {
            return Ok(None);
        }
        let mut ends = vec![0_u64; (ops as usize).div_ceil(64)];
        each_edge(workload, |op_id, after| {
            for op in [op_id, after] {
                if let Some(word) = ends.get_mut((op as u64 / 64) as usize) {
                    *word |= 1 << (op as u64 % 64);
                }
            }
        })?;
        let total: u64 = ends.iter().map(|word| u64::from(word.count_ones())).sum();
        if total > ENDS_MAX {
            return Ok(None);
        }
        let ranks = ends.iter().scan(0, |rank, word| Some(std::mem::replace(rank, *rank + word.count_ones())));
        let ranks = ranks.collect();
        Ok(Some(Check { ends, ranks, times: vec![(NEVER, NEVER); total as usize] }))
    }

    /// Index of an op's times; `None` when it is at no end of an edge.
    #[inline]
    fn rank(&self, op_id: i64) -> Option<usize> {
        let (at, bit) = ((op_id as u64 / 64) as usize, 1_u64 << (op_id as u64 % 64));
        let word = *self.ends.get(at)?;
        (word & bit != 0).then(|| self.ranks[at] as usize + (word & (bit - 1)).count_ones() as usize)
    }

    /// Notes when an op was issued, if it is at an end of an edge.
    #[inline]
    pub fn add(&mut self, record: &Record) {
        // For a sync that is regrouped nobody need wait.
        if let Some(rank) = self.rank(record.fact.op_id).filter(|_| record.fact.notes & GROUPED == 0) {
            self.times[rank] = (record.stamp.begin, record.stamp.end);
        }
    }

    /// Checks every edge by the times that were noted.
    ///
    /// # Errors
    /// When the table is damaged.
    pub fn finish(&self, workload: &Dataset) -> Result<Violations> {
        let mut found = Violations::default();
        each_edge(workload, |op_id, after| {
            let times = |op| self.rank(op).map_or((NEVER, NEVER), |rank| self.times[rank]);
            let ((begin, _), (_, end)) = (times(op_id), times(after));
            if begin != NEVER && end != NEVER {
                found.edges += 1;
                found.violations += u64::from(begin < end);
            }
        })?;
        Ok(found)
    }
}

/// Calls `see` with the waiting op and the op it waits for, of every edge.
fn each_edge(workload: &Dataset, mut see: impl FnMut(i64, i64)) -> Result<()> {
    let file = workload.table(Table::Edges);
    for batch in read::batches(&file, &["op_id", "after"])? {
        let batch = batch.with_context(|| format!("cannot read {}", file.display()))?;
        let (op_id, after) = (read::ints(&batch, "op_id")?, read::ints(&batch, "after")?);
        op_id.values().iter().zip(after.values()).for_each(|(op_id, after)| see(*op_id, *after));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::shared::record::{Fact, Stamp};
    use crate::schema::{self, Draft, Manifest, dataset::Kind};
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use std::sync::Arc;

    #[test]
    fn an_op_that_began_too_early_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::create(&dir.path().join("w"), Kind::Workload).unwrap();
        let table = Table::Edges;
        let edges = [(70, 1), (71, 1), (72, 64), (73, 2)];
        let int = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
        let batch = RecordBatch::try_new(
            table.schema(),
            vec![
                int(edges.iter().map(|edge| edge.0).collect()),
                int(vec![1; 4]),
                int(edges.iter().map(|edge| edge.1).collect()),
                int(vec![0; 4]),
                Arc::new(StringArray::from(vec!["name"; 4])),
                Arc::new(Int64Array::from(vec![None; 4])),
            ],
        );
        let mut writer = schema::writer(table, draft.file(&table.file()).unwrap()).unwrap();
        writer.write(&batch.unwrap()).unwrap();
        writer.close().unwrap();
        let workload = draft.commit(Manifest::new()).unwrap();

        let mut check = Check::open(&workload, 100).unwrap().unwrap();
        // Op 1 ends at 20: 70 waited for it, 71 did not. 73 was never issued.
        for (op_id, begin, dur) in [(1, 10, 10), (70, 20, 5), (71, 19, 5), (64, 0, 7), (72, 9, 1), (2, 0, 1), (3, 0, 1)] {
            let fact = Fact { op_id, ..Fact::default() };
            check.add(&Record { fact, stamp: Stamp { begin, end: begin + dur, ..Stamp::default() }, worker: 0 });
        }
        assert_eq!(check.finish(&workload).unwrap(), Violations { edges: 3, violations: 1 });
    }
}
