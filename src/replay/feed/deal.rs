//! Deals the lanes of a workload among the machines of a replay.
//!
//! What threads share inside a machine cannot be shared between two: lanes of one captured process, and lanes that use the same open
//! file description, go to the same machine. What belongs together so is dealt by how much work it is. The answer follows from the
//! workload and the number of machines alone, so that each machine finds it by itself.

use super::plan::{self, Lane, Plan};
use super::private::{COLUMNS, LANE, OFDS};
use super::source::Source;
use anyhow::{Result, ensure};
use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Most machines of a replay.
pub const MACHINES: usize = 64;

/// Which part of a workload is replayed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Number of this machine, from 0.
    pub number: usize,
    /// Number of machines.
    pub of: usize,
}

impl Part {
    /// All of it.
    pub const WHOLE: Part = Part { number: 0, of: 1 };
}

/// Sets of lanes, by index, that are joined (disjoint-set forest).
struct Sets(Vec<u32>);

impl Sets {
    fn of(&mut self, lane: u32) -> u32 {
        let mut top = lane;
        while self.0[top as usize] != top {
            let above = self.0[top as usize];
            self.0[top as usize] = self.0[above as usize];
            top = above;
        }
        top
    }

    fn join(&mut self, one: u32, two: u32) {
        let (one, two) = (self.of(one), self.of(two));
        self.0[one.max(two) as usize] = one.min(two);
    }
}

/// Joins the lanes that use the same description; `owners` has the index plus 1 of a lane that uses each, 0 for none.
fn meet(lanes: &[Lane], numbers: &Int64Array, used: &Int64Array, owners: &mut [u32], sets: &mut Sets) {
    let mut known = 0;
    for row in (0..numbers.len()).filter(|row| used.is_valid(*row)) {
        let number = numbers.value(row);
        // The rows of a lane (captured thread) are consecutive.
        if lanes.get(known).is_none_or(|lane| lane.lane != number) {
            let Ok(found) = lanes.binary_search_by_key(&number, |lane| lane.lane) else { continue };
            known = found;
        }
        // Descriptions out of range are skipped here; the loader refuses them.
        let Some(owner) = usize::try_from(used.value(row)).ok().and_then(|ofd| owners.get_mut(ofd)) else { continue };
        match *owner {
            0 => *owner = known as u32 + 1,
            other => sets.join(other - 1, known as u32),
        }
    }
}

/// The lanes of each machine, in order; `ops` has the columns [`COLUMNS`], `ofds` is the number of open file descriptions.
///
/// # Errors
/// When the ops are damaged.
pub fn deal(ops: &Source, ofds: usize, lanes: &[Lane], machines: usize) -> Result<Vec<Vec<Lane>>> {
    let mut sets = Sets((0..lanes.len() as u32).collect());
    let mut owners = vec![0; ofds];
    for page in 0..ops.pages() {
        let batch = ops.decode(page)?;
        // A column in which no row has a value is absent from the batch.
        let column = |name: &str| batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let Some(numbers) = column(LANE) else { continue };
        for used in OFDS.into_iter().filter_map(column) {
            meet(lanes, numbers, used, &mut owners, &mut sets);
        }
    }
    Ok(dealt(lanes, sets, machines))
}

/// Divides joined lanes among machines, with those of their processes.
fn dealt(lanes: &[Lane], mut sets: Sets, machines: usize) -> Vec<Vec<Lane>> {
    let mut processes: HashMap<i64, u32> = HashMap::new();
    for (at, lane) in (0..).zip(lanes) {
        let first = *processes.entry(lane.vpid).or_insert(at);
        sets.join(first, at);
    }
    let mut groups: BTreeMap<u32, Vec<Lane>> = BTreeMap::new();
    for (at, lane) in (0..).zip(lanes) {
        groups.entry(sets.of(at)).or_default().push(*lane);
    }
    let mut parts = plan::deal(groups.into_values().collect(), machines);
    parts.iter_mut().for_each(|part| part.sort_by_key(|lane| lane.lane));
    parts
}

/// The plan of one machine's part, and who issues the lanes of the others.
///
/// The workers of other machines are **ghosts** here: they have counters, by which workers wait for their ops, and nothing else.
#[derive(Clone, Debug)]
pub struct Share {
    /// The plan of the own part.
    pub plan: Plan,
    /// For each lane (captured thread), the number of the worker or ghost that issues it.
    pub workers: HashMap<i64, u32>,
    /// Number of lanes of the own part.
    pub lanes: usize,
    /// Number of the first ghost of each machine; of the own one, which has none, that of the next.
    firsts: Vec<usize>,
    /// Number of workers of each machine.
    counts: Vec<usize>,
    number: usize,
}

impl Share {
    /// The share of a part, with so many processes and threads on each machine; `ops` opens the table of ops to read [`COLUMNS`].
    ///
    /// # Errors
    /// When the ops are damaged, or the part is none.
    pub fn new(
        ops: impl FnOnce(&[&str]) -> Result<Source>,
        ofds: usize,
        lanes: &[Lane],
        part: Part,
        processes: usize,
        threads: Option<usize>,
    ) -> Result<Share> {
        let Part { number, of } = part;
        ensure!(of <= MACHINES && number < of, "there is no part {number} of {of}: a replay is of {MACHINES} machines at most");
        let parts = if of == 1 { vec![lanes.to_vec()] } else { deal(&ops(&COLUMNS)?, ofds, lanes, of)? };
        Ok(Share::of(&parts, number, processes, threads))
    }

    /// The share of one of these parts.
    pub(in crate::replay) fn of(parts: &[Vec<Lane>], number: usize, processes: usize, threads: Option<usize>) -> Share {
        let mut plans: Vec<Plan> = parts.iter().map(|part| Plan::new(part, processes, threads)).collect();
        let counts: Vec<usize> = plans.iter().map(|plan| plan.hands.len()).collect();
        let (mut firsts, mut workers, mut next) = (Vec::new(), HashMap::new(), counts[number]);
        for (machine, plan) in plans.iter().enumerate() {
            firsts.push(next);
            let first = if machine == number { 0 } else { next };
            for (hand, worker) in plan.hands.iter().zip(first as u32..) {
                workers.extend(hand.iter().map(|lane| (lane.lane, worker)));
            }
            next += if machine == number { 0 } else { counts[machine] };
        }
        let lanes = parts[number].len();
        Share { plan: plans.swap_remove(number), workers, lanes, firsts, counts, number }
    }

    /// Number of ghosts.
    pub fn ghosts(&self) -> usize {
        self.counts.iter().sum::<usize>() - self.counts[self.number]
    }

    /// Number here of the ghost that is this worker of that machine; `None` when there is none.
    pub fn ghost(&self, machine: usize, worker: usize) -> Option<usize> {
        let there = machine != self.number && worker < *self.counts.get(machine)?;
        there.then(|| self.firsts[machine] + worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(vpids: &[i64]) -> Vec<Lane> {
        (0..).zip(vpids).map(|(lane, vpid)| Lane { lane: lane * 10, vpid: *vpid, ops: 5, ..Lane::default() }).collect()
    }

    fn numbers(parts: &[Vec<Lane>]) -> Vec<Vec<i64>> {
        parts.iter().map(|part| part.iter().map(|lane| lane.lane / 10).collect()).collect()
    }

    #[test]
    fn what_shares_a_description_or_a_process_is_not_torn_apart() {
        let lanes = lanes(&[1, 2, 3, 1, 4, 5]);
        let mut sets = Sets((0..6).collect());
        let rows = Int64Array::from(vec![10, 10, 20, 40, 50, 99]);
        let used = Int64Array::from(vec![Some(0), None, Some(0), Some(1), Some(77), Some(1)]);
        meet(&lanes, &rows, &used, &mut [0; 2], &mut sets);
        // 1 and 2 share description 0; 0 and 3 are of one process.
        assert_eq!(numbers(&dealt(&lanes, Sets(sets.0.clone()), 2)), [vec![0, 3, 4], vec![1, 2, 5]]);
        assert_eq!(numbers(&dealt(&lanes, Sets(sets.0.clone()), 6)).iter().filter(|part| part.is_empty()).count(), 2);
    }

    #[test]
    fn every_machine_numbers_its_workers_first() {
        let parts: Vec<Vec<Lane>> = lanes(&[1, 2, 3, 4, 5]).chunks(2).map(<[Lane]>::to_vec).collect();
        let share = Share::of(&parts, 1, 1, None);
        assert_eq!((share.plan.hands.len(), share.ghosts(), share.lanes), (2, 3, 2));
        let mut workers: Vec<(i64, u32)> = share.workers.iter().map(|(lane, worker)| (*lane / 10, *worker)).collect();
        workers.sort_unstable();
        assert_eq!(workers, [(0, 2), (1, 3), (2, 0), (3, 1), (4, 4)]);
        assert_eq!(
            [(0, 1), (0, 2), (1, 0), (2, 0), (3, 0)].map(|(m, w)| share.ghost(m, w)),
            [Some(3), None, None, Some(4), None]
        );
        let whole = Share::new(|_| unreachable!(), 0, &parts[0], Part::WHOLE, 1, None).unwrap();
        assert_eq!((whole.plan.hands.len(), whole.ghosts()), (2, 0));
        assert!(Share::new(|_| unreachable!(), 0, &parts[0], Part { number: 2, of: 2 }, 1, None).is_err());
    }
}
