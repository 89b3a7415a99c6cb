//! Makes small workloads in code: rows in, a dataset on disk.

use crate::alone::beside_others;
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use ioriot::init;
use ioriot::progress::Progress;
use ioriot::replay::{self, Options, Summary};
use ioriot::schema::dataset::Kind;
use ioriot::schema::{Draft, Manifest, Table, Type, writer_properties};
use ioriot::text;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A row of any table: values by column.
#[derive(Clone, Default)]
pub struct Row(HashMap<&'static str, Value>);

impl Row {
    pub fn set(mut self, column: &'static str, value: impl Into<Value>) -> Row {
        self.0.insert(column, value.into());
        self
    }

    pub fn text(&self, column: &str) -> &str {
        self.0[column].as_str().unwrap()
    }

    pub fn raw(self, path: impl AsRef<[u8]>) -> Row {
        self.set("raw", &*text::encode(path.as_ref()))
    }

    pub fn raw2(self, path: impl AsRef<[u8]>) -> Row {
        self.set("raw2", &*text::encode(path.as_ref()))
    }

    pub fn ofd(self, ofd: i64) -> Row {
        self.set("ofd", ofd)
    }

    pub fn count(self, count: i64) -> Row {
        self.set("count", count)
    }

    pub fn flags(self, flags: i32) -> Row {
        self.set("flags", flags)
    }

    pub fn lane(self, lane: i64) -> Row {
        self.set("lane", lane)
    }
}

/// An op with its captured outcome, `-errno` for a failure.
pub fn op(name: &str, outcome: i64) -> Row {
    let failed = outcome < 0;
    let (ret, errno) = if failed { (-1, -outcome) } else { (outcome, 0) };
    Row::default().set("op", name).set("syscall", name).set("ret", ret).set("errno", errno)
}

/// A workload in the making, with a directory of its own.
pub struct Work {
    pub dir: tempfile::TempDir,
    pub ops: Vec<Row>,
    pub fileset: Vec<Row>,
    pub extents: Vec<Row>,
    pub written: Vec<Row>,
    pub expect: Vec<Row>,
    /// (op, op that it follows).
    pub edges: Vec<(i64, i64)>,
    pub manifest: Manifest,
    pub row_group: usize,
    /// What is written instead of the right value: table, row and column.
    pub edits: Vec<(Table, usize, &'static str, Value)>,
}

impl Work {
    pub fn new() -> Work {
        beside_others();
        Work {
            dir: tempfile::tempdir().unwrap(),
            ops: Vec::new(),
            fileset: Vec::new(),
            extents: Vec::new(),
            written: Vec::new(),
            expect: Vec::new(),
            edges: Vec::new(),
            manifest: Manifest::new(),
            row_group: 1000,
            edits: Vec::new(),
        }
    }

    pub fn op(&mut self, row: Row) -> &mut Work {
        self.ops.push(row);
        self
    }

    /// Says that an op follows an earlier one.
    pub fn edge(&mut self, op: i64, after: i64) -> &mut Work {
        self.edges.push((op, after));
        self
    }

    /// Says that every op follows the one before.
    pub fn in_a_row(&mut self) -> &mut Work {
        self.edges = (1..self.ops.len() as i64).map(|op| (op, op - 1)).collect();
        self
    }

    pub fn need(&mut self, path: &str, kind: &str, size: i64) -> &mut Work {
        self.fileset.push(Row::default().set("path", path).set("kind", kind).set("size", size).set("size_exact", true));
        self
    }

    pub fn expect(&mut self, path: &str, kind: &str, size: Option<i64>) -> &mut Work {
        self.expect.push(Row::default().set("path", path).set("kind", kind).set("size", size));
        self
    }

    pub fn place(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the dataset: op ids in the order of the rows, sorted into lanes.
    pub fn write(&self) -> PathBuf {
        let place = self.place("work");
        let draft = Draft::create(&place, Kind::Workload).unwrap();
        let mut ops: Vec<Row> = Vec::new();
        for (op_id, row) in self.ops.iter().enumerate() {
            let mut row = row.clone();
            for (column, value) in [
                ("op_id", json!(op_id)),
                ("seq", json!(op_id * 2)),
                ("lane", json!(0)),
                ("vpid", json!(0)),
                ("origin", json!("event")),
            ] {
                row.0.entry(column).or_insert(value);
            }
            let lane = row.0["lane"].clone();
            row.0.entry("vtid").or_insert(lane);
            ops.push(row);
        }
        ops.sort_by_key(|row| (row.0["lane"].as_i64(), row.0["op_id"].as_i64()));
        let ofds = ops.iter().flat_map(|row| ["ofd", "ofd2", "dir", "dir2"].map(|c| row.0.get(c).and_then(Value::as_i64)));
        let ofds = ofds.flatten().max().map_or(0, |ofd| ofd + 1);
        let mut lanes: Vec<Row> = Vec::new();
        for (at, row) in ops.iter().enumerate() {
            let (lane, op_id) = (row.0["lane"].clone(), row.0["op_id"].clone());
            if lanes.last().is_none_or(|last| last.0["lane"] != lane) {
                let first = Row::default().set("lane", lane).set("vpid", 0).set("first_row", at as i64).set("ops", 0);
                lanes.push(first.set("first_op", op_id.clone()));
            }
            let last = lanes.last_mut().unwrap();
            let count = last.0["ops"].as_i64().unwrap() + 1;
            last.0.insert("ops", json!(count));
            last.0.insert("last_op", op_id);
        }
        let lane_of: HashMap<i64, i64> =
            ops.iter().map(|row| (row.0["op_id"].as_i64().unwrap(), row.0["lane"].as_i64().unwrap())).collect();
        let mut edges: Vec<(i64, i64, i64)> = self.edges.iter().map(|(op, after)| (lane_of[op], *op, *after)).collect();
        edges.retain(|(lane, _, after)| lane_of[after] != *lane);
        edges.sort_unstable();
        for row in &mut lanes {
            let lane = row.0["lane"].as_i64().unwrap();
            let first = edges.partition_point(|(of, ..)| *of < lane);
            let end = edges.partition_point(|(of, ..)| *of <= lane);
            *row = row.clone().set("first_edge", first as i64).set("edges", (end - first) as i64);
        }
        let mut edges: Vec<Row> = edges
            .iter()
            .map(|(lane, op, after)| Row::default().set("lane", *lane).set("op_id", *op).set("after", *after))
            .map(|row| {
                let after = row.0["after"].as_i64().unwrap();
                row.set("after_lane", lane_of[&after]).set("resource", "name")
            })
            .collect();
        for (table, row, column, value) in &self.edits {
            let rows = match table {
                Table::Lanes => &mut lanes,
                Table::Edges => &mut edges,
                _ => &mut ops,
            };
            rows[*row].0.insert(column, value.clone());
        }
        let fates: Vec<Row> = (0..self.ops.len())
            .map(|at| {
                Row::default()
                    .set("seq", at * 2)
                    .set("fate", "op")
                    .set("syscall", self.ops[at].text("syscall"))
                    .set("on_file", true)
            })
            .collect();
        self.table(&draft, Table::Fates, &fates);
        self.table(&draft, Table::Ops, &ops);
        self.table(&draft, Table::Lanes, &lanes);
        self.table(&draft, Table::Edges, &edges);
        self.table(&draft, Table::Fileset, &self.fileset);
        self.table(&draft, Table::Extents, &self.extents);
        self.table(&draft, Table::Written, &self.written);
        self.table(&draft, Table::Expect, &self.expect);
        let mut manifest = self.manifest.clone();
        for (key, value) in [
            ("ops", json!(ops.len())),
            ("lanes", json!(lanes.len())),
            ("ofds", json!(ofds)),
            ("file_events", json!(ops.len())),
            ("fingerprint", json!("1234")),
        ] {
            manifest.entry(key.to_owned()).or_insert(value);
        }
        draft.commit(manifest).unwrap();
        place
    }

    fn table(&self, draft: &Draft, table: Table, rows: &[Row]) {
        let columns = table.columns().into_iter().map(|column| -> ArrayRef {
            let values = rows.iter().map(|row| row.0.get(column.name));
            match column.ty {
                Type::Int => Arc::new(values.map(|v| v.and_then(Value::as_i64)).collect::<Int64Array>()),
                Type::Text => Arc::new(values.map(|v| v.and_then(Value::as_str)).collect::<StringArray>()),
                Type::Bool => Arc::new(values.map(|v| v.and_then(Value::as_bool)).collect::<BooleanArray>()),
            }
        });
        let batch = RecordBatch::try_new(table.schema(), columns.collect()).unwrap();
        let (group, page) = (self.row_group, self.row_group.div_ceil(3));
        let properties = writer_properties(&table)
            .set_max_row_group_row_count(Some(group))
            .set_data_page_row_count_limit(page)
            .set_write_batch_size(page)
            .build();
        let mut writer = ArrowWriter::try_new(draft.file(&table.file()).unwrap(), table.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    pub fn init(&self) -> anyhow::Result<init::Summary> {
        init::run(&self.init_options(), &Progress::default())
    }

    pub fn init_options(&self) -> init::Options {
        init::Options::new(self.place("work"), self.place("root"))
    }

    pub fn options(&self) -> Options {
        Options::new(self.place("work"), self.place("root"), self.place("run"))
    }

    /// Writes, makes the tree, replays.
    pub fn run(&self, threads: Option<usize>) -> Summary {
        self.write();
        let made = self.init().unwrap();
        assert!(made.ok(), "{made}");
        run(&Options { threads, ..self.options() }).unwrap()
    }

    pub fn tree(&self) -> PathBuf {
        self.place("root/tree")
    }
}

pub fn run(options: &Options) -> anyhow::Result<Summary> {
    replay::run_with(options, Path::new(env!("CARGO_BIN_EXE_ioriot")), &Progress::default())
}
