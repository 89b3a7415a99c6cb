//! Finds out what the workers need to hand requests over: by which interface, which codes, how many at a time.

use super::plan::Plan;
use super::source::Source;
use crate::replay::issue::count::count;
use crate::replay::issue::request::port::Code;
use crate::replay::shared::record::UNKNOWN;
use crate::schema::read::int;
use crate::syscall::{Op, Syscall};
use anyhow::{Result, ensure};
use arrow::array::{Array, ArrayAccessor, AsArray, Int64Array, StringArray};
use arrow::datatypes::{Int32Type, Int64Type};
use std::collections::{BTreeMap, HashMap};

/// The columns of the table of ops that [`wants`] reads.
pub const COLUMNS: [&str; 6] = ["lane", "ring", "reaped", "count", "op", "syscall"];

/// Most (lane, ring) pairs of one worker.
const RINGS: usize = 1 << 14;

/// What the requests of one worker need.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    /// By [`crate::syscall::Interface`]: how many may be in flight at a time, and what they do; nothing where there are none.
    pub ports: [Port; 2],
    /// Number of each (lane, ring) pair, from 0.
    pub rings: HashMap<(i64, i64), u16>,
    /// Bytes that a request reads at most.
    pub largest: usize,
}

/// What the requests of one interface need.
#[derive(Clone, Debug, Default)]
pub struct Port {
    /// How many may be in flight at a time.
    pub depth: usize,
    /// What they do.
    pub codes: Vec<Code>,
}

/// What is counted of one (lane, ring) pair.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    handed: i64,
    depth: i64,
    interface: usize,
}

/// What the requests of each worker of a plan need; `None` for a worker that has no requests that can be handed over.
///
/// # Errors
/// When the ops are damaged, or lanes have requests of more rings than any program.
pub fn wants(ops: &Source, plan: &Plan) -> Result<Vec<Option<Wants>>> {
    let hands = plan.hands.iter().enumerate().flat_map(|(worker, hand)| hand.iter().map(move |lane| (lane.lane, worker)));
    let workers: HashMap<i64, usize> = hands.collect();
    let mut wants: Vec<Option<Wants>> = vec![None; plan.hands.len()];
    let mut pairs: BTreeMap<(i64, i64), Pair> = BTreeMap::new();
    for page in 0..ops.pages() {
        let batch = ops.decode(page)?;
        let column = |name: &str| batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let words = |name: &str| batch.column_by_name(name).and_then(|column| column.as_dictionary_opt::<Int32Type>());
        let (Some(lanes), Some(rings)) = (column("lane"), column("ring")) else { continue };
        if rings.null_count() == rings.len() {
            continue;
        }
        let (Some(calls), Some(names)) = (words("op"), words("syscall")) else { continue };
        let (Some(calls), Some(names)) = (calls.downcast_dict::<StringArray>(), names.downcast_dict::<StringArray>()) else {
            continue;
        };
        let value = |column: Option<&Int64Array>, row| column.and_then(|column| int(column, row));
        for row in (0..rings.len()).filter(|row| rings.is_valid(*row)) {
            let (lane, ring) = (lanes.value(row), rings.value(row));
            let Some(worker) = workers.get(&lane) else { continue };
            let op = calls.is_valid(row).then(|| Op::parse(calls.value(row))).flatten();
            let call = names.is_valid(row).then(|| Syscall::parse(names.value(row).as_bytes())).flatten();
            let Some(interface) = call.and_then(Syscall::interface) else { continue };
            let want = wants[*worker].get_or_insert_default();
            let number = want.rings.len();
            let known = number < RINGS || want.rings.contains_key(&(lane, ring));
            ensure!(known, "invalid workload: lane {lane} has requests of more than {RINGS} rings");
            want.rings.entry((lane, ring)).or_insert(number as u16);
            let pair = pairs.entry((lane, ring)).or_default();
            pair.interface = interface as usize;
            pair.handed = pair.handed.saturating_add(1);
            let depth = pair.handed.saturating_sub(value(column("reaped"), row).unwrap_or(0).max(0));
            pair.depth = pair.depth.max(depth).max(1);
            if let Some(code) = op.and_then(Code::of) {
                let port = &mut want.ports[interface as usize];
                if !port.codes.contains(&code) {
                    port.codes.push(code);
                }
                let unsaid = || count(Op::Pread, UNKNOWN).unwrap_or(0);
                let bytes = value(column("count"), row).unwrap_or_else(unsaid).clamp(0, i64::from(i32::MAX));
                if code == Code::Read {
                    want.largest = want.largest.max(bytes as usize);
                }
            }
        }
    }
    for ((lane, _), pair) in pairs {
        if let Some(want) = workers.get(&lane).and_then(|worker| wants[*worker].as_mut()) {
            let port = &mut want.ports[pair.interface];
            port.depth = port.depth.saturating_add(pair.depth as usize);
        }
    }
    for want in &mut wants {
        if want.as_ref().is_some_and(|want| want.ports.iter().all(|port| port.codes.is_empty())) {
            *want = None;
        }
    }
    Ok(wants)
}
