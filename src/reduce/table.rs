//! The tables of a workload in memory, and parts of it as workloads of their own.

use super::order::{self, Edge};
use super::touch::Row;
use crate::fate::{Fate, Reason};
use crate::schema::dataset::Kind;
use crate::schema::{self, Dataset, Draft, Manifest, Table, read};
use crate::syscall::Op;
use crate::text;
use anyhow::{Context, Result, ensure};
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Most ops of a workload that is reduced: all of them are in memory, about 1 KiB each.
pub const MOST: u64 = 1_000_000;

/// Most rows of the ledger.
const MOST_FATES: u64 = 16 * MOST;

/// Most ops that others wait for, times lanes: of each it is known what every lane has done before.
const MOST_CLOCKS: usize = 1 << 24;

/// Keys of a manifest that tell of all ops of a workload, and are not known of a part.
const OF_ALL: [&str; 7] = ["critical_path", "times", "edges", "cache", "computed", "bytes", "elsewhere"];

/// A workload in memory.
#[derive(Debug)]
pub struct Workload {
    manifest: Manifest,
    tables: HashMap<&'static str, RecordBatch>,
    /// Rows of table ops by op_id.
    rows: Vec<usize>,
    /// Lanes of ops, by op_id.
    lanes: Vec<i64>,
    edges: Vec<Edge>,
    /// What is asked of each op, by op_id.
    pub ops: Vec<Row>,
    /// Process of each op.
    pub processes: Vec<i64>,
    /// Paths of the fileset, decoded.
    pub files: Vec<Vec<u8>>,
}

/// What of a workload is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// By op_id.
    pub ops: Vec<bool>,
    /// By row of the fileset.
    pub files: Vec<bool>,
}

impl Workload {
    /// Reads a workload.
    ///
    /// # Errors
    /// When a table is damaged, contradicts itself, or there are more than [`MOST`] ops.
    pub fn read(workload: &Dataset) -> Result<Workload> {
        let mut tables = HashMap::new();
        for table in Table::ALL.iter().copied().filter(|table| table.kind() == Kind::Workload) {
            let file = workload.table(table);
            let names: Vec<&str> = table.columns().iter().map(|column| column.name).collect();
            let reader = read::builder(&file, &names)?;
            let rows = reader.rows();
            let most = if table == Table::Fates { MOST_FATES } else { MOST };
            let many = || {
                format!(
                    "the workload has {rows} rows of {}, and {most} at most are reduced: take a part of it first, by generate --from, --process or --path",
                    table.name()
                )
            };
            ensure!(rows <= most, many());
            let batches =
                reader.build()?.collect::<Result<Vec<_>>>().with_context(|| format!("cannot read {}", file.display()))?;
            let batches = batches.iter().map(|batch| ordered(batch, table)).collect::<Result<Vec<_>>>()?;
            tables.insert(table.name(), concat_batches(&table.schema(), &batches)?);
        }
        let ops = &tables["ops"];
        let n = ops.num_rows();
        let (ids, lanes_of) = (read::ints(ops, "op_id")?, read::ints(ops, "lane")?);
        let mut rows = vec![usize::MAX; n];
        for row in 0..n {
            let id = usize::try_from(ids.value(row)).ok().filter(|id| *id < n && rows[*id] == usize::MAX);
            rows[id.with_context(|| format!("invalid workload: op_id {} of {n} ops", ids.value(row)))?] = row;
        }
        let lanes: Vec<i64> = rows.iter().map(|row| lanes_of.value(*row)).collect();
        let edges = read_edges(&tables["edges"], &lanes)?;
        let sources = edges.iter().map(|edge| edge.after).collect::<HashSet<_>>().len();
        let all = lanes.iter().collect::<HashSet<_>>().len();
        let fits = sources.saturating_mul(all) <= MOST_CLOCKS;
        ensure!(
            fits,
            "too many lanes wait for each other ({all} lanes, for {sources} ops): take a part first, by generate --process or --from"
        );
        let vpids = read::ints(ops, "vpid")?;
        let processes = rows.iter().map(|row| vpids.value(*row)).collect();
        let paths = read::texts(&tables["fileset"], "path")?;
        let files = (0..paths.len()).map(|row| text::decode(paths.value(row)).into_owned()).collect();
        let facts = read_ops(ops, &rows)?;
        Ok(Workload { manifest: workload.manifest.clone(), tables, rows, lanes, edges, ops: facts, processes, files })
    }

    /// Everything.
    pub fn all(&self) -> Kept {
        Kept { ops: vec![true; self.ops.len()], files: vec![true; self.files.len()] }
    }

    /// Number of lanes of kept ops.
    pub fn lanes(&self, kept: &Kept) -> usize {
        self.lanes.iter().zip(&kept.ops).filter(|(_, keep)| **keep).map(|(lane, _)| lane).collect::<HashSet<_>>().len()
    }

    /// For each entry of the fileset whether it is one of the `wanted` paths, one of several names of a file, or, where ops go through
    /// symbolic links, one of those or what one leads to.
    pub fn needed(&self, linked: bool, wanted: impl Fn(&[u8]) -> bool) -> Vec<bool> {
        let files = &self.tables["fileset"];
        // Both columns are there: the tables were read by their definitions.
        let (Ok(kinds), Ok(targets)) = (read::texts(files, "kind"), read::texts(files, "target")) else {
            return vec![true; self.files.len()];
        };
        let target = |row: usize| targets.is_valid(row).then(|| text::decode(targets.value(row)).into_owned());
        // A name of a file is made as a link to the first one, which must be there.
        let second = |row: &usize| kinds.value(*row) == "file" && targets.is_valid(*row);
        let firsts: HashSet<Vec<u8>> = (0..self.files.len()).filter(second).filter_map(target).collect();
        let mut led: HashSet<Vec<u8>> = (0..self.files.len()).filter_map(target).collect();
        let above: Vec<Vec<u8>> = led.iter().flat_map(|path| super::state::above(path)).map(<[u8]>::to_vec).collect();
        led.extend(above);
        let is = |(row, path): (usize, &Vec<u8>)| {
            let named = second(&row) || firsts.contains(path);
            named || wanted(path) || linked && (kinds.value(row) == "link" || led.contains(path))
        };
        self.files.iter().enumerate().map(is).collect()
    }

    /// Writes a part as a workload of its own; `note` becomes `reduced` in its manifest.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, kept: &Kept, out: &Path, note: &Value) -> Result<Dataset> {
        let draft = Draft::create(out, Kind::Workload)?;
        let mut ids = vec![0_i64; self.ops.len()];
        let mut next = 0;
        for (id, _) in ids.iter_mut().zip(&kept.ops).filter(|(_, keep)| **keep) {
            (*id, next) = (next, next + 1);
        }
        let old = read::ints(&self.tables["ops"], "op_id")?;
        let rows = (0..old.len()).filter(|row| kept.ops[old.value(*row) as usize]);
        let ops = pick(&self.tables["ops"], rows)?;
        let numbers: Int64Array = read::ints(&ops, "op_id")?.unary(|id| ids[id as usize]);
        let ops = with(&ops, "op_id", Arc::new(numbers))?;
        let edges = self.write_edges(kept, &ids)?;
        let fates = self.fates(kept)?;
        let files = pick(&self.tables["fileset"], (0..self.files.len()).filter(|row| kept.files[*row]))?;
        let names: HashSet<&[u8]> =
            self.files.iter().zip(&kept.files).filter(|(_, keep)| **keep).map(|(path, _)| path.as_slice()).collect();
        let extents = self.of_paths("extents", |path| names.contains(path))?;
        let expect = super::state::predicted(&self.tables["expect"], &self.ops, kept, &self.files)?;
        let lanes = lanes(&ops, &edges)?;
        let hash = put(&draft, Table::Ops, &ops)?;
        for (table, rows) in [
            (Table::Edges, &edges),
            (Table::Fates, &fates),
            (Table::Fileset, &files),
            (Table::Extents, &extents),
            // Descriptions keep their numbers; of those that nothing uses it is not asked.
            (Table::Written, &self.tables["written"]),
            (Table::Expect, &expect),
            (Table::Lanes, &lanes),
        ] {
            put(&draft, table, rows)?;
        }
        draft.commit(self.manifest(&ops, &fates, &files, lanes.num_rows(), hash, note)?)
    }

    fn of_paths(&self, table: &str, wanted: impl Fn(&[u8]) -> bool) -> Result<RecordBatch> {
        let rows = &self.tables[table];
        let paths = read::texts(rows, "path")?;
        pick(rows, (0..rows.num_rows()).filter(|row| wanted(&text::decode(paths.value(*row)))))
    }

    fn write_edges(&self, kept: &Kept, ids: &[i64]) -> Result<RecordBatch> {
        let there: HashSet<(usize, usize)> = self.edges.iter().map(|edge| (edge.op, edge.after)).collect();
        let mut edges = order::edges(&self.lanes, &kept.ops, &self.edges);
        // By how long an op begins behind another one is said by the edge between the two only.
        let delays = read::ints(&self.tables["edges"], "delay")?;
        for edge in self.edges.iter().filter(|edge| kept.ops[edge.op] && kept.ops[edge.after] && delays.is_valid(edge.row)) {
            edges.retain(|own| (own.op, own.after) != (edge.op, edge.after));
            edges.push(*edge);
        }
        edges.sort_by_key(|edge| (self.lanes[edge.op], edge.op, edge.after));
        let rows = pick(&self.tables["edges"], edges.iter().map(|edge| edge.row))?;
        let column = |of: &dyn Fn(&Edge) -> i64| Arc::new(edges.iter().map(of).collect::<Int64Array>()) as ArrayRef;
        let delay = edges.iter().map(|edge| read::int(delays, edge.row).filter(|_| there.contains(&(edge.op, edge.after))));
        let delay: ArrayRef = Arc::new(delay.collect::<Int64Array>());
        let columns = [
            ("op_id", column(&|edge| ids[edge.op])),
            ("lane", column(&|edge| self.lanes[edge.op])),
            ("after", column(&|edge| ids[edge.after])),
            ("after_lane", column(&|edge| self.lanes[edge.after])),
            ("delay", delay),
        ];
        columns.into_iter().try_fold(rows, |rows, (name, values)| with(&rows, name, values))
    }

    /// The ledger: events of which the op is left out are dropped.
    fn fates(&self, kept: &Kept) -> Result<RecordBatch> {
        let ops = &self.tables["ops"];
        let (seqs, origins) = (read::ints(ops, "seq")?, read::texts(ops, "origin")?);
        let mut gone: HashMap<i64, usize> = HashMap::new();
        for (id, row) in self.rows.iter().enumerate().filter(|(id, _)| !kept.ops[*id]) {
            if origins.value(*row) == "event" && !kept.ops[id] {
                *gone.entry(seqs.value(*row)).or_default() += 1;
            }
        }
        let fates = &self.tables["fates"];
        let (seqs, was, why) = (read::ints(fates, "seq")?, read::texts(fates, "fate")?, read::texts(fates, "reason")?);
        let (mut fate, mut reason): (Vec<&str>, Vec<Option<&str>>) = (Vec::new(), Vec::new());
        for row in 0..fates.num_rows() {
            let left = gone.get_mut(&seqs.value(row)).filter(|left| **left > 0 && was.value(row) == Fate::Op.name());
            let dropped = left.is_some();
            left.into_iter().for_each(|left| *left -= 1);
            fate.push(if dropped { Fate::Drop.name() } else { was.value(row) });
            let before = why.is_valid(row).then(|| why.value(row));
            reason.push(if dropped { Some(Reason::Filtered.name()) } else { before });
        }
        let fates = with(fates, "fate", Arc::new(StringArray::from(fate)))?;
        with(&fates, "reason", Arc::new(StringArray::from(reason)))
    }

    fn manifest(
        &self,
        ops: &RecordBatch,
        fates: &RecordBatch,
        files: &RecordBatch,
        lanes: usize,
        hash: u64,
        note: &Value,
    ) -> Result<Manifest> {
        let mut manifest = self.manifest.clone();
        OF_ALL.iter().for_each(|key| drop(manifest.remove(*key)));
        let counts = |column: &StringArray| {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            (0..column.len())
                .filter(|row| column.is_valid(*row))
                .for_each(|row| *counts.entry(column.value(row).to_owned()).or_default() += 1);
            counts
        };
        let (fate, on_file) = (read::texts(fates, "fate")?, read::bools(fates, "on_file")?);
        let file_ops = (0..fates.num_rows()).filter(|row| fate.value(*row) == Fate::Op.name() && on_file.value(*row)).count();
        let (kinds, sizes) = (read::texts(files, "kind")?, read::ints(files, "size")?);
        let bytes = (0..files.num_rows()).filter(|row| kinds.value(*row) == "file").map(|row| sizes.value(row).max(0) as u64);
        let bytes = bytes.fold(0, u64::saturating_add);
        manifest.extend([
            ("ops".into(), json!(ops.num_rows())),
            ("ops_by_origin".into(), json!(counts(read::texts(ops, "origin")?))),
            ("drops".into(), json!(counts(read::texts(fates, "reason")?))),
            ("file_ops".into(), json!(file_ops)),
            ("lanes".into(), json!(lanes)),
            ("fileset".into(), json!(counts(kinds))),
            ("fileset_bytes".into(), json!(bytes)),
            ("fingerprint".into(), json!(format!("{hash:016x}"))),
            ("reduced".into(), note.clone()),
        ]);
        Ok(manifest)
    }
}

/// The columns of a batch in the order of the table's definition.
fn ordered(batch: &RecordBatch, table: Table) -> Result<RecordBatch> {
    let columns = table.columns().into_iter().map(|column| {
        let found =
            batch.column_by_name(column.name).with_context(|| format!("table {} has no column {}", table.name(), column.name))?;
        Ok(arrow::compute::cast(found, &column.ty.arrow())?)
    });
    Ok(RecordBatch::try_new(table.schema(), columns.collect::<Result<Vec<_>>>()?)?)
}

fn pick(batch: &RecordBatch, rows: impl Iterator<Item = usize>) -> Result<RecordBatch> {
    let rows: UInt64Array = rows.map(|row| row as u64).collect();
    Ok(take_record_batch(batch, &rows)?)
}

fn with(batch: &RecordBatch, name: &str, values: ArrayRef) -> Result<RecordBatch> {
    let at = batch.schema().index_of(name)?;
    let mut columns = batch.columns().to_vec();
    columns[at] = values;
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// Writes a table of a draft; the hash of its file.
fn put(draft: &Draft, table: Table, rows: &RecordBatch) -> Result<u64> {
    use std::io::Write;
    let mut bytes = Vec::new();
    let mut writer = schema::writer(table, &mut bytes)?;
    writer.write(rows)?;
    writer.close()?;
    draft
        .file(&table.file())?
        .write_all(&bytes)
        .with_context(|| format!("cannot write {}", draft.path(&table.file()).display()))?;
    Ok(xxh3_64(&bytes))
}

fn read_edges(edges: &RecordBatch, lanes: &[i64]) -> Result<Vec<Edge>> {
    let (ops, afters) = (read::ints(edges, "op_id")?, read::ints(edges, "after")?);
    let mut found = (0..edges.num_rows())
        .map(|row| {
            let (op, after) = (ops.value(row), afters.value(row));
            let valid = 0 <= after && after < op && (op as usize) < lanes.len();
            ensure!(valid, "invalid workload: op {op} of {} follows op {after}", lanes.len());
            Ok(Edge { op: op as usize, after: after as usize, row })
        })
        .collect::<Result<Vec<_>>>()?;
    found.sort_by_key(|edge| edge.op);
    Ok(found)
}

fn read_ops(ops: &RecordBatch, rows: &[usize]) -> Result<Vec<Row>> {
    let ints = |name| read::ints(ops, name);
    let texts = |name| read::texts(ops, name);
    let (names, lanes) = (texts("op")?, ints("lane")?);
    let [ofd, ofd2, dir, dir2, file, file2] =
        [ints("ofd")?, ints("ofd2")?, ints("dir")?, ints("dir2")?, ints("file")?, ints("file2")?];
    let [flags, offset, offset2, whence] = [ints("flags")?, ints("offset")?, ints("offset2")?, ints("whence")?];
    let [cmd, arg, ret, ring] = [ints("cmd")?, ints("arg")?, ints("ret")?, ints("ring")?];
    let [path, path2, cwd, raw, raw2] = [texts("path")?, texts("path2")?, texts("cwd")?, texts("raw")?, texts("raw2")?];
    let requests: HashSet<i64> = (0..ops.num_rows()).filter(|row| ring.is_valid(*row)).map(|row| lanes.value(row)).collect();
    let bytes = |column, row| read::bytes(column, row).map(std::borrow::Cow::into_owned);
    let all = rows.iter().map(|row| {
        let row = *row;
        Row {
            op: Op::parse(names.value(row)),
            lane: lanes.value(row),
            ofd: read::int(ofd, row),
            ofd2: read::int(ofd2, row),
            dir: read::int(dir, row),
            dir2: read::int(dir2, row),
            file: read::int(file, row),
            file2: read::int(file2, row),
            path: bytes(path, row),
            path2: bytes(path2, row),
            cwd: bytes(cwd, row),
            raw: bytes(raw, row),
            raw2: bytes(raw2, row),
            flags: read::int(flags, row).unwrap_or(0),
            offset: read::int(offset, row),
            offset2: read::int(offset2, row),
            whence: read::int(whence, row),
            cmd: read::int(cmd, row),
            arg: read::int(arg, row),
            ret: read::int(ret, row),
            requests: requests.contains(&lanes.value(row)),
        }
    });
    Ok(all.collect())
}

/// Where the ops and edges of each lane are, and sums over its ops.
fn lanes(ops: &RecordBatch, edges: &RecordBatch) -> Result<RecordBatch> {
    #[derive(Default)]
    struct Sums {
        vpid: i64,
        ops: i64,
        first: i64,
        last: i64,
        edges: i64,
        busy: Option<i64>,
        bytes: Option<i64>,
    }
    let mut all: BTreeMap<i64, Sums> = BTreeMap::new();
    let (lane, id, vpid) = (read::ints(ops, "lane")?, read::ints(ops, "op_id")?, read::ints(ops, "vpid")?);
    let (dur, ret, name) = (read::ints(ops, "dur")?, read::ints(ops, "ret")?, read::texts(ops, "op")?);
    for row in 0..ops.num_rows() {
        let sums = all.entry(lane.value(row)).or_insert_with(|| Sums { first: i64::MAX, ..Sums::default() });
        (sums.vpid, sums.ops) = (vpid.value(row), sums.ops + 1);
        (sums.first, sums.last) = (sums.first.min(id.value(row)), sums.last.max(id.value(row)));
        let add = |sum: Option<i64>, more: i64| Some(sum.unwrap_or(0).saturating_add(more));
        if let Some(dur) = read::int(dur, row) {
            sums.busy = add(sums.busy, dur);
        }
        let moves = Op::parse(name.value(row)).is_some_and(|op| op.moves() != crate::syscall::Moves::Nothing);
        if let Some(ret) = read::int(ret, row).filter(|ret| moves && *ret > 0) {
            sums.bytes = add(sums.bytes, ret);
        }
    }
    let waits = read::ints(edges, "lane")?;
    waits.values().iter().for_each(|lane| all.entry(*lane).or_default().edges += 1);
    let (mut row, mut edge) = (0, 0);
    let mut columns: [Vec<Option<i64>>; 10] = Default::default();
    for (lane, sums) in &all {
        let values = [
            Some(*lane),
            Some(sums.vpid),
            Some(row),
            Some(sums.ops),
            Some(sums.first),
            Some(sums.last),
            Some(edge),
            Some(sums.edges),
            sums.busy,
            sums.bytes,
        ];
        columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        (row, edge) = (row + sums.ops, edge + sums.edges);
    }
    let columns = columns.into_iter().map(|column| Arc::new(Int64Array::from(column)) as ArrayRef);
    Ok(RecordBatch::try_new(Table::Lanes.schema(), columns.collect())?)
}
