//! The tables of any datasets, under their names, beside the ready-made views.
//!
//! A table that is in one dataset stands under its name. One that is in several (two runs, the hosts of a capture) is
//! their union, with a column `dataset` that tells them apart.

use super::{REPORTS, VIEWS};
use crate::engine::{Engine, Settings};
use crate::generate::hosts;
use crate::schema::dataset::Kind;
use crate::schema::{Dataset, Table};
use crate::syscall::{Moves, Op, TABLE};
use anyhow::{Context, Result};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An engine with datasets spread out before it.
pub struct Desk {
    /// Answers statements.
    pub engine: Engine,
    /// Ready-made views that cannot be asked of these datasets, and why.
    pub missing: BTreeMap<&'static str, String>,
    /// As long as they can be asked, nobody deletes them.
    _datasets: Vec<Dataset>,
}

impl Desk {
    /// Spreads out every table of the datasets, their manifests, the syscall table, and the views whose tables are there.
    ///
    /// # Errors
    /// When a directory is no dataset, or one of its files is not readable.
    pub fn open(dirs: &[PathBuf]) -> Result<Desk> {
        let engine = Engine::new(&Settings::default())?;
        let mut datasets = Vec::new();
        for dir in dirs {
            let hosts = hosts(dir);
            if hosts.is_empty() || dir.join("manifest.json").exists() {
                datasets.push(Dataset::open(dir)?);
            }
            for host in hosts {
                datasets.push(Dataset::open(&host)?);
            }
        }
        for table in Table::ALL {
            let files: Vec<_> =
                datasets.iter().map(|data| (label(&data.dir), data.table(*table))).filter(|(_, file)| file.exists()).collect();
            match files.as_slice() {
                [] => {}
                [(_, file)] => engine.register(table.name(), std::slice::from_ref(file))?,
                several => union(&engine, *table, several)?,
            }
        }
        engine.ctx().register_batch("syscall_def", syscall_def()?)?;
        engine.ctx().register_batch("manifests", manifests(&datasets)?)?;
        let mut desk = Desk { engine, missing: BTreeMap::new(), _datasets: Vec::new() };
        let runs: Vec<&Dataset> = datasets.iter().filter(|data| data.kind == Kind::Run).collect();
        for view in VIEWS.iter().chain(REPORTS) {
            let needs = view.doc()?.needs;
            match desk.lacks(&needs).or_else(|| needs.iter().any(|need| need == PAIR).then(|| differ(&runs)).flatten()) {
                Some(why) => drop(desk.missing.insert(view.name, why)),
                None => view.define(&desk.engine)?,
            }
        }
        Ok(Desk { _datasets: datasets, ..desk })
    }

    /// Why relations cannot be joined into a view: one is not there.
    fn lacks(&self, needs: &[String]) -> Option<String> {
        let lacking = needs.iter().find(|need| !self.engine.ctx().table_exist(need.as_str()).unwrap_or(false))?;
        Some(match lacking.as_str() {
            PAIR | "results_1" => "it needs two runs, and nothing else with results".into(),
            table => match Table::ALL.iter().find(|known| known.name() == table) {
                Some(known) => format!("it needs the table {table} of a {}", known.kind().name()),
                None => format!("it needs {table}"),
            },
        })
    }

    /// Every table and view.
    pub fn names(&self) -> Vec<String> {
        let ctx = self.engine.ctx();
        let schemas = ctx.catalog_names().into_iter().filter_map(|name| ctx.catalog(&name)?.schema("public"));
        let mut names: Vec<String> = schemas.flat_map(|schema| schema.table_names()).collect();
        names.sort_unstable();
        names
    }
}

/// The table that is there when there are two runs, and tells that a view sets them side by side.
const PAIR: &str = "results_2";

/// Why runs must not be set side by side: they replayed different workloads.
fn differ(runs: &[&Dataset]) -> Option<String> {
    let [one, two, rest @ ..] = runs else { return Some("it needs two runs".into()) };
    if !rest.is_empty() {
        return Some(format!("it compares two runs, and there are {}", runs.len()));
    }
    let print = |run: &Dataset| run.manifest.get("fingerprint").and_then(Value::as_str).unwrap_or("unknown").to_owned();
    let (first, second) = (print(one), print(two));
    (first != second || first == "unknown" || first.is_empty()).then(|| {
        let (one, two) = (one.dir.display(), two.dir.display());
        format!("{one} and {two} are runs of different workloads (fingerprints {first} and {second}), which cannot be compared")
    })
}

/// What the datasets say of themselves: one row per value, its key with dots.
fn manifests(datasets: &[Dataset]) -> Result<RecordBatch> {
    fn flatten(key: &str, value: &Value, rows: &mut Vec<(String, String)>) {
        let under = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| flatten(&under(name), value, rows)),
            Value::Array(values) => {
                values.iter().enumerate().for_each(|(at, value)| flatten(&under(&at.to_string()), value, rows))
            }
            Value::Null => {}
            Value::String(text) => rows.push((key.into(), text.clone())),
            other => rows.push((key.into(), other.to_string())),
        }
    }
    let mut columns: [Vec<String>; 4] = Default::default();
    for data in datasets {
        let mut rows = Vec::new();
        data.manifest.iter().for_each(|(key, value)| flatten(key, value, &mut rows));
        for (key, value) in rows {
            let cells = [label(&data.dir), data.kind.name().into(), key, value];
            columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
        }
    }
    let [dataset, kind, key, value] = columns.map(|column| -> ArrayRef { Arc::new(StringArray::from(column)) });
    Ok(RecordBatch::try_from_iter([("dataset", dataset), ("kind", kind), ("key", key), ("value", value)])?)
}

/// What a dataset is called in column `dataset`: its path as given.
fn label(dir: &Path) -> String {
    dir.to_string_lossy().trim_end_matches('/').to_owned()
}

fn union(engine: &Engine, table: Table, files: &[(String, PathBuf)]) -> Result<()> {
    let mut parts = Vec::new();
    for (number, (label, file)) in files.iter().enumerate() {
        let name = format!("{}_{}", table.name(), number + 1);
        engine.register(&name, std::slice::from_ref(file))?;
        parts.push(format!("SELECT '{}' AS dataset, * FROM {name}", label.replace('\'', "''")));
    }
    let all =
        engine.sql(&parts.join(" UNION ALL BY NAME ")).with_context(|| format!("cannot unite the tables {}", table.name()))?;
    engine.ctx().register_table(table.name(), all.into_view())?;
    Ok(())
}

/// The syscall table as a relation, so that SQL joins it and never lists names.
fn syscall_def() -> Result<RecordBatch> {
    let words = |word: fn(usize) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values((0..TABLE.len()).map(word))) };
    let ops = TABLE.iter().map(|def| def.op().map(Op::name));
    Ok(RecordBatch::try_from_iter([
        ("syscall", words(|at| TABLE[at].name.into())),
        ("args", words(|at| TABLE[at].args.iter().map(|role| format!("{role:?}")).collect::<Vec<_>>().join(", "))),
        ("returns", words(|at| format!("{:?}", TABLE[at].ret))),
        ("instant", words(|at| format!("{:?}", TABLE[at].at).to_lowercase())),
        ("support", words(|at| TABLE[at].support().into())),
        ("op", Arc::new(ops.collect::<StringArray>()) as ArrayRef),
        ("moves", words(|at| TABLE[at].op().map_or(Moves::Nothing, Op::moves).name().into())),
        ("compared", Arc::new(TABLE.iter().map(|def| Some(def.ret.compared())).collect::<BooleanArray>()) as ArrayRef),
        ("note", words(|at| TABLE[at].note().into())),
    ])?)
}
