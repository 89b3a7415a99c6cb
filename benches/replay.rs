//! Makes workloads to measure replay with, and the same calls for `scripts/replay_floor.c`, which issues them from memory.
//!
//! ```text
//! cargo bench --no-default-features --bench replay -- KIND OPS LANES DIR      makes DIR/work, DIR/root, DIR/calls
//! ```
//! KIND is pread, open (open, fstat, close), mixed, zero (the same with `--data zero`), big (pread of 64 KiB), or paced (pread,
//! 10,000 a second). All reads and writes but the big ones move 4 KiB. Above ten million ops there is no list of calls: such
//! a workload is for engine null.
//! `scripts/bench_replay.py` runs it.

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use ioriot::dice::Dice;
use ioriot::init;
use ioriot::progress::Progress;
use ioriot::schema::dataset::Kind;
use ioriot::schema::{Draft, Manifest, Table, Type, writer_properties};
use parquet::arrow::ArrowWriter;
use serde_json::json;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

const FILES: usize = 16;
const SIZE: i64 = 1 << 20;
const BLOCK: i64 = 4096;
const BIG: i64 = 65536;
/// Rows that are written at once.
const CHUNK: usize = 1 << 20;
/// Ops of the longest list of calls.
const LISTED: usize = 10_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Open,
    Close,
    Fstat,
    Pread,
    Pwrite,
    Stat,
}

const NAMES: [&str; 6] = ["open", "close", "fstat", "pread64", "pwrite64", "stat"];

#[derive(Clone, Copy)]
struct Call {
    name: Name,
    lane: u16,
    ofd: u32,
    file: u32,
    count: u32,
    offset: i64,
    ts: i64,
}

/// One lane: opens its files, then whatever the kind is made of.
fn lane(kind: &str, lane: usize, lanes: usize, ops: usize) -> Result<Vec<Call>> {
    let mut dice = Dice::new(lane as u64 + 1);
    let mut next = |below: u64| dice.below(below);
    // An ofd for each file, and one for the files that come and go.
    let first = (lane * (FILES + 1)) as u32;
    let mut calls = Vec::with_capacity(ops + 2);
    let mut ts = 0_i64;
    let count = if kind == "big" { BIG } else { BLOCK };
    let call = |name, file: usize, offset, ts| Call {
        name,
        lane: lane as u16,
        ofd: first + file as u32,
        file: (lane * FILES + file) as u32,
        count: count as u32,
        offset,
        ts,
    };
    calls.extend((0..FILES).map(|file| call(Name::Open, file, 0, 0)));
    while calls.len() < ops {
        let (file, offset) = (next(FILES as u64) as usize, (next((SIZE / count) as u64) as i64) * count);
        let passing =
            [Name::Open, Name::Fstat, Name::Close].map(|name| Call { ofd: first + FILES as u32, ..call(name, file, 0, ts) });
        match kind {
            "pread" | "big" => calls.push(call(Name::Pread, file, offset, 0)),
            "open" => calls.extend(passing),
            "mixed" | "zero" => match next(8) {
                0..4 => calls.push(call(Name::Pread, file, offset, 0)),
                4..6 => calls.push(call(Name::Pwrite, file, offset, 0)),
                6 => calls.push(call(Name::Stat, file, 0, 0)),
                _ => calls.extend(passing),
            },
            "paced" => {
                // Exponential gaps, 100 us on average over all lanes.
                let uniform = (next(1 << 30) as f64 + 1.0) / (1_u64 << 30) as f64;
                ts += (-uniform.ln() * 100_000.0 * lanes as f64) as i64;
                calls.push(call(Name::Pread, file, offset, 1_000_000 + ts));
            }
            other => bail!("{other} is no kind of workload"),
        }
    }
    Ok(calls)
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [kind, ops, lanes, dir] = args.as_slice() else {
        // As `cargo bench` runs it among the others.
        println!("replay is measured by scripts/bench.sh");
        return Ok(());
    };
    let (ops, lanes, dir): (usize, usize, _) = (ops.parse()?, lanes.parse()?, Path::new(dir));
    ensure!(lanes > 0, "at least one lane is needed");
    let mut rows: Vec<Call> = Vec::with_capacity(ops + 2 * lanes);
    let mut firsts = Vec::new();
    for number in 0..lanes {
        firsts.push(rows.len());
        rows.append(&mut lane(kind, number, lanes, ops / lanes)?);
    }
    // Effects in turns, or in the order of time.
    let ends = firsts.iter().skip(1).copied().chain([rows.len()]);
    let mut heads: BinaryHeap<_> = firsts.iter().zip(ends).map(|(at, end)| Reverse((rows[*at].ts, 0, *at, end))).collect();
    let mut op_ids = vec![0_u32; rows.len()];
    for op_id in 0..rows.len() {
        let Some(Reverse((_, turn, at, end))) = heads.pop() else { break };
        op_ids[at] = op_id as u32;
        if at + 1 < end {
            heads.push(Reverse((rows[at + 1].ts, turn + 1, at + 1, end)));
        }
    }
    let files: Vec<String> = (0..lanes * FILES).map(|file| format!("/data/lane{}/file{}", file / FILES, file % FILES)).collect();
    write(&dir.join("work"), kind, &rows, &op_ids, &files, &firsts)?;
    let mut options = init::Options { threads: 2, ..init::Options::new(dir.join("work"), dir.join("root")) };
    if kind == "zero" {
        options.data.fill = init::Fill::Zero;
    }
    ensure!(init::run(&options, &Progress::default())?.ok(), "the tree was not made");
    if rows.len() > LISTED { Ok(()) } else { calls(&dir.join("calls"), &rows, &op_ids, &files) }
}

/// The list for the C program, in the order in which one worker issues them: numbers of 8 bytes.
fn calls(place: &Path, rows: &[Call], op_ids: &[u32], files: &[String]) -> Result<()> {
    let mut turns: Vec<&Call> = rows.iter().collect();
    for (row, op_id) in rows.iter().zip(op_ids) {
        turns[*op_id as usize] = row;
    }
    let mut out = BufWriter::new(File::create(place)?);
    let mut number = |number: i64| out.write_all(&number.to_ne_bytes());
    number(rows.len() as i64)?;
    for call in turns {
        [call.lane.into(), call.name as i64, call.ofd.into(), call.file.into(), call.offset, call.count.into()]
            .into_iter()
            .try_for_each(&mut number)?;
    }
    for file in files {
        out.write_all(file.as_bytes())?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

fn write(place: &Path, kind: &str, rows: &[Call], op_ids: &[u32], files: &[String], firsts: &[usize]) -> Result<()> {
    let draft = Draft::create(place, Kind::Workload)?;
    let lanes = firsts.len();
    let named = |call: &Call| matches!(call.name, Name::Open | Name::Stat);
    let int = |at: usize, column: &str| -> Option<i64> {
        let call = &rows[at];
        let data = matches!(call.name, Name::Pread | Name::Pwrite);
        match column {
            "op_id" | "seq" => Some(op_ids[at].into()),
            "lane" | "vtid" | "vpid" => Some(call.lane.into()),
            "ofd" => (call.name != Name::Stat).then_some(call.ofd.into()),
            "file" => Some(call.file.into()),
            "ts" => (kind == "paced").then_some(call.ts),
            "dur" => (kind == "paced").then_some(1000),
            "offset" => data.then_some(call.offset),
            "count" => data.then_some(call.count.into()),
            "ret" => Some(if data {
                call.count.into()
            } else if call.name == Name::Open {
                3
            } else {
                0
            }),
            "errno" => Some(0),
            "flags" => (call.name == Name::Open).then_some(i64::from(libc::O_RDWR)),
            _ => None,
        }
    };
    let text = |at: usize, column: &str| -> Option<&str> {
        let call = &rows[at];
        match column {
            "origin" => Some("event"),
            "syscall" | "op" => Some(NAMES[call.name as usize]),
            "path" => Some(&files[call.file as usize]),
            "raw" => named(call).then(|| files[call.file as usize].as_str()),
            _ => None,
        }
    };
    table(&draft, Table::Ops, rows.len(), int, text)?;
    let end = |lane: usize| firsts.get(lane + 1).copied().unwrap_or(rows.len());
    let int = |lane: usize, column: &str| match column {
        "lane" | "vpid" => Some(lane as i64),
        "first_row" => Some(firsts[lane] as i64),
        "ops" => Some((end(lane) - firsts[lane]) as i64),
        "first_op" => Some(op_ids[firsts[lane]].into()),
        "last_op" => Some(op_ids[end(lane) - 1].into()),
        _ => Some(0),
    };
    table(&draft, Table::Lanes, lanes, int, |_, _| None)?;
    let kind_of = |column: &str| (column == "kind").then_some("file");
    let int = |_: usize, column: &str| (column == "size").then_some(SIZE);
    let text = |file: usize, column: &str| if column == "path" { Some(files[file].as_str()) } else { kind_of(column) };
    table(&draft, Table::Fileset, files.len(), int, text)?;
    table(&draft, Table::Expect, files.len(), int, text)?;
    for empty in [Table::Edges, Table::Extents] {
        table(&draft, empty, 0, |_, _| None, |_, _| None)?;
    }
    let mut manifest = Manifest::new();
    for (key, value) in [("ops", rows.len()), ("lanes", lanes), ("ofds", lanes * (FILES + 1)), ("file_events", rows.len())] {
        manifest.insert(key.into(), json!(value));
    }
    manifest.insert("fingerprint".into(), json!(format!("bench {kind} {} {lanes}", rows.len())));
    draft.commit(manifest).map(drop)
}

fn table<'a>(
    draft: &Draft,
    table: Table,
    rows: usize,
    int: impl Fn(usize, &str) -> Option<i64>,
    text: impl Fn(usize, &str) -> Option<&'a str>,
) -> Result<()> {
    let properties = writer_properties(&table).build();
    let mut writer = ArrowWriter::try_new(draft.file(&table.file())?, table.schema(), Some(properties))?;
    for first in (0..rows).step_by(CHUNK) {
        let rows = first..rows.min(first + CHUNK);
        let columns = table.columns().into_iter().map(|column| -> ArrayRef {
            let (name, rows) = (column.name, rows.clone());
            match column.ty {
                Type::Int => Arc::new(rows.map(|row| int(row, name)).collect::<Int64Array>()),
                Type::Text => Arc::new(rows.map(|row| text(row, name)).collect::<StringArray>()),
                Type::Bool => Arc::new(rows.map(|_| Some(true)).collect::<BooleanArray>()),
            }
        });
        writer.write(&RecordBatch::try_new(table.schema(), columns.collect())?).context("cannot write")?;
    }
    writer.close().context("cannot write").map(drop)
}
