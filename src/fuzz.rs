//! Entry points for the fuzzers of `fuzz/`: each takes input from elsewhere in memory and asserts what must hold for any input.
//! Built only for them (`cfg(fuzzing)`).

#![allow(clippy::panic, reason = "a fuzzer looks for panics")]

use crate::amount::typed;
use crate::capture::Glob;
use crate::cli::values;
use crate::event::Event;
use crate::ingest::{Format, Ledger, parse::Batch, sequence::Sequencer, strace};
use crate::init::{self, Map};
use crate::mounts;
use crate::replay::Limit;
use crate::replay::feed::check;
use crate::schema::{Dataset, Table, losses};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, new_null_array};
use arrow::datatypes::Schema;
use parquet::arrow::ArrowWriter;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

/// Ingests a text capture and asserts that each of its lines is accounted for. Gives its events in the order of their effects.
pub fn events(format: Format, text: &[u8]) -> Vec<Event> {
    let parser = format.parser(strace::numbers([text].into_iter()));
    let mut batch = Batch::default();
    for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
        parser.line(number, line, &mut batch);
        batch.lines += 1;
    }
    let mut sequencer = Sequencer::new(parser, 0, format == Format::Capture, None);
    let mut placed = Vec::new();
    for parsed in batch.parsed {
        sequencer.feed(parsed, &mut |event| placed.push(event));
    }
    sequencer.finish_input(&mut |event| placed.push(event));
    let ledger = Ledger {
        lines: batch.lines,
        headers: batch.headers,
        comments: batch.comments,
        notes: batch.notes + sequencer.notes,
        halves: sequencer.halves,
        events: sequencer.events,
        rejects: (batch.rejects.len() + sequencer.rejects.len()) as u64,
    };
    assert!(ledger.closes(), "{ledger:?}");
    assert_eq!(placed.len() as u64, ledger.events);
    placed.sort_by_key(|placed| placed.key);
    placed.into_iter().map(|placed| placed.event).collect()
}

/// The rows of a workload's tables that order depends on, by column.
#[derive(Debug, Default)]
pub struct Order {
    /// Rows of table ops: `op_id`, `lane`.
    pub ops: Vec<[i64; 2]>,
    /// Rows of table lanes: `lane`, `vpid`, `first_row`, `ops`, `first_op`, `last_op`, `first_edge`, `edges`.
    pub lanes: Vec<[i64; 8]>,
    /// Rows of table edges: `op_id`, `lane`, `after`, `after_lane`.
    pub edges: Vec<[i64; 4]>,
}

/// Writes a workload below `place` and has the replay's check look at it: a workload that passes must issue each op once, and
/// no op may wait for itself or for one that is never issued. `place` is an empty directory in memory, and empty again
/// afterwards.
pub fn workload(place: &Path, order: &Order) -> anyhow::Result<()> {
    let dir = place.join("workload");
    std::fs::create_dir(&dir)?;
    let manifest = format!(r#"{{"format": 1, "kind": "workload", "ops": {}}}"#, order.ops.len());
    std::fs::write(dir.join("manifest.json"), manifest)?;
    write(&dir, Table::Ops, ["op_id", "lane"], &order.ops)?;
    let columns = ["lane", "vpid", "first_row", "ops", "first_op", "last_op", "first_edge", "edges"];
    write(&dir, Table::Lanes, columns, &order.lanes)?;
    write(&dir, Table::Edges, ["op_id", "lane", "after", "after_lane"], &order.edges)?;
    let dataset = Dataset::open(&dir)?;
    if check::check(&dataset).is_ok() {
        let ops: BTreeMap<i64, i64> = order.ops.iter().map(|[op, lane]| (*op, *lane)).collect();
        assert!(ops.keys().copied().eq(0..order.ops.len() as i64), "{order:?}");
        let shared: i64 = order.lanes.iter().map(|lane| lane[3]).sum();
        assert_eq!(shared, order.ops.len() as i64, "{order:?}");
        for [op, lane, after, other] in &order.edges {
            let there = ops.get(op) == Some(lane) && ops.get(after) == Some(other);
            assert!(there && after < op && lane != other, "op {op} after {after}: {order:?}");
        }
    }
    drop(dataset);
    Ok(std::fs::remove_dir_all(dir)?)
}

/// Writes a table with values in these columns and NULL in all others.
fn write<const N: usize>(dir: &Path, table: Table, names: [&str; N], rows: &[[i64; N]]) -> anyhow::Result<()> {
    let columns = table.columns().into_iter().map(|column| match names.iter().position(|name| *name == column.name) {
        Some(at) => Arc::new(rows.iter().map(|row| row[at]).collect::<Int64Array>()) as ArrayRef,
        None => new_null_array(&column.ty.arrow(), rows.len()),
    });
    let schema: Vec<_> = table.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(schema)), columns.collect())?;
    let file = std::fs::File::create(dir.join(table.file()))?;
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

/// Parses a text as every kind of value that users type (percentage, factor, size, time, limit, mapping, pattern), and asserts
/// that what is accepted means what it says.
pub fn typed(text: &str) {
    if let Ok(percent) = typed::percent(text) {
        assert!((0.0..=100.0).contains(&percent));
    }
    if let Ok(factor) = typed::factor(text) {
        assert!(factor > 0.0 && factor.is_finite());
    }
    if let Ok(number) = typed::count(text) {
        assert_eq!((typed::bytes(text), text.parse()), (Ok(number), Ok(number)));
        if let Ok(threads) = values::threads(text) {
            assert!(threads > 0 && threads as u64 == number);
        }
    }
    let _ = (typed::bytes(text), typed::duration(text), Limit::parse(text), Map::parse(OsStr::new(text)));
    if let Ok(glob) = Glob::parse(text) {
        let _ = glob.matches(text.as_bytes());
    }
}

/// Reads a text as manifest of a dataset, stamp of a root, and list of mounts. `place` is an empty directory, and empty again
/// afterwards.
pub fn manifest(place: &Path, text: &[u8]) -> std::io::Result<()> {
    let dir = place.join("dataset");
    std::fs::create_dir(&dir)?;
    for name in ["manifest.json", ".ioriot-root.json"] {
        std::fs::write(dir.join(name), text)?;
    }
    if let Ok(dataset) = Dataset::open(&dir) {
        let mounts = mounts::of(&dataset.manifest).unwrap_or_default();
        assert!(mounts.iter().all(|mount| mount.holds(&mount.path)), "{mounts:?}");
        let _ = losses::read(&dataset);
    }
    let _ = init::find(place);
    let _ = mounts::parse(text);
    std::fs::remove_dir_all(dir)
}
