//! The tables of any datasets, under their names.
//!
//! A table that is in one dataset stands under its name. One that is in several (two runs, the hosts of a capture) is
//! their union, with a column `dataset` that tells them apart.

use super::{CHECKS, VIEWS};
use crate::engine::Engine;
use crate::generate::hosts;
use crate::schema::{Dataset, Table};
use crate::syscall::{Op, TABLE};
use anyhow::{Context, Result};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Registers every table of the datasets, the syscall table, and the views whose tables are there.
///
/// # Errors
/// When a directory is no dataset, or one of its files is not readable.
pub fn register(engine: &Engine, dirs: &[PathBuf]) -> Result<()> {
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
            several => union(engine, *table, several)?,
        }
    }
    engine.ctx().register_batch("syscall_def", syscall_def()?)?;
    for view in VIEWS.iter().chain(CHECKS) {
        let needs = view.doc()?.needs;
        if needs.iter().all(|need| engine.ctx().table_exist(need.as_str()).unwrap_or(false)) {
            view.define(engine)?;
        }
    }
    Ok(())
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
        ("compared", Arc::new(TABLE.iter().map(|def| Some(def.ret.compared())).collect::<BooleanArray>()) as ArrayRef),
        ("note", words(|at| TABLE[at].note().into())),
    ])?)
}
