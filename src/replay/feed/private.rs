//! Finds the workers whose open file descriptions no other worker uses.
//!
//! A descriptor table that several threads share costs each call on it two atomic operations, and opens and closes a lock
//! that all workers meet at (`fdget` and `alloc_fd`, fs/file.c of the kernel). So a worker gets a table of its own, unless
//! a description of its lanes is used by a lane of another worker too: those workers must share one.

use super::plan::Plan;
use super::source::Source;
use anyhow::Result;
use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use std::collections::HashMap;

/// The column that says which lane an op is of.
pub const LANE: &str = "lane";
/// Those that name open file descriptions.
pub const OFDS: [&str; 4] = ["ofd", "ofd2", "dir", "dir2"];
/// The columns of the table of ops that [`alone`] reads: lane and open file descriptions.
pub const COLUMNS: [&str; 5] = [LANE, OFDS[0], OFDS[1], OFDS[2], OFDS[3]];

/// In place of an owner: no worker has used the description yet. Workers are stored as their number plus 1, so that unused
/// parts of the zeroed array take no memory.
const NOBODY: u32 = 0;

/// For each worker of a plan, whether no other worker uses any open file description that it uses; `ofds` is their number.
///
/// # Errors
/// When the ops are damaged.
pub fn alone(ops: &Source, ofds: usize, plan: &Plan) -> Result<Vec<bool>> {
    let mut alone = vec![true; plan.hands.len()];
    if plan.hands.len() == 1 {
        return Ok(alone);
    }
    let hands = plan.hands.iter().zip(0..).flat_map(|(hand, worker)| hand.iter().map(move |lane| (lane.lane, worker)));
    let workers: HashMap<i64, u32> = hands.collect();
    let mut owners = vec![NOBODY; ofds];
    for page in 0..ops.pages() {
        let batch = ops.decode(page)?;
        // A column in which no row has a value is absent from the batch.
        let column = |name: &str| batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let Some(lanes) = column(LANE) else { continue };
        for used in OFDS.into_iter().filter_map(column) {
            meet(lanes, used, &workers, &mut owners, &mut alone);
        }
        if !alone.contains(&true) {
            break;
        }
    }
    Ok(alone)
}

/// Notes which worker uses which description; where two workers use the same, neither is alone.
fn meet(lanes: &Int64Array, used: &Int64Array, workers: &HashMap<i64, u32>, owners: &mut [u32], alone: &mut [bool]) {
    let mut last = None;
    for row in 0..lanes.len() {
        if used.is_null(row) {
            continue;
        }
        // The rows of a lane (captured thread) are consecutive.
        let lane = lanes.value(row);
        let worker = match last {
            Some((known, worker)) if known == lane => worker,
            _ => workers.get(&lane).map_or(NOBODY, |worker| worker + 1),
        };
        last = Some((lane, worker));
        // Descriptions out of range are skipped here; the loader refuses them.
        let Some(owner) = usize::try_from(used.value(row)).ok().and_then(|ofd| owners.get_mut(ofd)) else { continue };
        if *owner == NOBODY {
            *owner = worker;
        } else if *owner != worker {
            for worker in [*owner, worker] {
                alone.get_mut((worker as usize).wrapping_sub(1)).into_iter().for_each(|alone| *alone = false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_shares_a_description_is_not_alone() {
        let workers: HashMap<i64, u32> = [(10, 0), (11, 1), (12, 2), (13, 1)].into();
        let lanes = Int64Array::from(vec![10, 10, 11, 12, 12, 13]);
        let (mut owners, mut alone) = (vec![NOBODY; 9], vec![true; 3]);
        let ofds = Int64Array::from(vec![Some(0), None, Some(1), Some(2), Some(99), Some(1)]);
        meet(&lanes, &ofds, &workers, &mut owners, &mut alone);
        assert_eq!(alone, [true; 3], "lanes 11 and 13 are of one worker");
        let dirs = Int64Array::from(vec![None, Some(5), None, Some(5), None, None]);
        meet(&lanes, &dirs, &workers, &mut owners, &mut alone);
        assert_eq!(alone, [false, true, false]);
        // What one column opens another may use.
        let seconds = Int64Array::from(vec![None, None, Some(0), None, None, None]);
        meet(&lanes, &seconds, &workers, &mut owners, &mut alone);
        assert_eq!(alone, [false; 3]);
    }
}
