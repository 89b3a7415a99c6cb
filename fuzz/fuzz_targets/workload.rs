//! Workloads in Parquet: made whole, then changed here and there, as somebody would who wants a replay to go wrong.
#![no_main]

use ioriot::fuzz::{self, Order};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use std::sync::LazyLock;
use tempfile::TempDir;

static PLACE: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir_in("/dev/shm").expect("a directory in memory"));

fn whole(bytes: &mut Unstructured<'_>) -> Result<Order> {
    let lanes = bytes.int_in_range(1..=4)?;
    let mut ops = Vec::new();
    for op in 0..bytes.int_in_range(0..=12)? {
        ops.push([op, bytes.int_in_range(0..=lanes - 1)?]);
    }
    let mut edges = Vec::new();
    for _ in 0..bytes.int_in_range(0..=6)? {
        let [op, lane] = *bytes.choose(&ops)?;
        let [after, other] = *bytes.choose(&ops)?;
        if after < op && lane != other {
            edges.push([op, lane, after, other]);
        }
    }
    ops.sort_by_key(|[op, lane]| (*lane, *op));
    edges.sort_by_key(|[op, lane, ..]| (*lane, *op));
    let mut order = Order { ops, edges, ..Order::default() };
    for lane in 0..lanes {
        let own = order.ops.iter().filter(|op| op[1] == lane);
        let (Some(first), Some(last)) = (own.clone().next(), own.clone().last()) else { continue };
        let row = order.ops.iter().position(|op| op == first).unwrap_or(0);
        let edge = order.edges.iter().take_while(|edge| edge[1] < lane).count();
        let edges = order.edges.iter().filter(|edge| edge[1] == lane).count();
        order.lanes.push([lane, 0, row as i64, own.clone().count() as i64, first[0], last[0], edge as i64, edges as i64]);
    }
    Ok(order)
}

fn change<const N: usize>(bytes: &mut Unstructured<'_>, rows: &mut [[i64; N]]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let (row, column) = (bytes.choose_index(rows.len())?, bytes.choose_index(N)?);
    let value = if bytes.ratio(7, 8)? { bytes.int_in_range(-1..=13)? } else { bytes.arbitrary()? };
    rows[row][column] = value;
    Ok(())
}

fn order(bytes: &mut Unstructured<'_>) -> Result<Order> {
    let mut order = whole(bytes)?;
    while !bytes.is_empty() {
        match bytes.int_in_range(0..=2)? {
            0 => change(bytes, &mut order.ops)?,
            1 => change(bytes, &mut order.lanes)?,
            _ => change(bytes, &mut order.edges)?,
        }
    }
    Ok(order)
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(order) = order(&mut Unstructured::new(bytes)) {
        fuzz::workload(PLACE.path(), &order).expect("a workload can be written");
    }
});
