//! Captures without names: paths, users, hosts and whatever else tells whose machine it was become keyed hashes.
//!
//! Each name of a path is hashed by itself, so the tree keeps its shape, and a replay of the result does the same calls on files of other
//! names. Equal names stay equal, in all tables and in all captures that are made with one key; without the key nobody can try out
//! names. What a column holds says a table in `table.rs`, which has to name every column of text: what is not known to be harmless is
//! not written.

mod manifest;
mod name;
mod table;

pub use name::Names;

use crate::amount::Things;
use crate::files;
use crate::progress::{Progress, Unit};
use crate::schema::dataset::Kind;
use crate::schema::{self, Dataset, Draft, Table, read};
use crate::text::word;
use anyhow::{Context, Result, ensure};
use arrow::array::RecordBatch;
use serde::Serialize;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a key that is made.
const KEY: usize = 32;
/// Fewest bytes that a key may have.
const SHORTEST: usize = 16;
/// Most bytes of a key.
const LONGEST: u64 = 4096;

/// What `ioriot anonymise` is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of the capture.
    pub capture: PathBuf,
    /// Directory to make.
    pub out: PathBuf,
    /// File with the key; made if it is not there.
    pub key: PathBuf,
    /// Do names keep their lengths?
    pub lengths: bool,
}

/// What was done.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// The directory that was made.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub out: PathBuf,
    /// Number of events.
    pub events: u64,
    /// Number of names of paths that were hashed, each as often as it occurs.
    pub names: u64,
    /// Number of values of the manifest that were left out.
    pub left_out: u64,
    /// Was the key made?
    pub made_key: bool,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (out, events, names) = (word(&self.out), Things(self.events, "event"), Things(self.names, "name"));
        writeln!(
            f,
            "Wrote {out}: {events}, {names} of paths hashed, {} of the manifest left out.",
            Things(self.left_out, "value")
        )?;
        write!(f, "Sizes, times, modes and the shape of the tree are as they were: docs/ANONYMISE.md says what remains.")
    }
}

/// Writes a capture anew, without names.
///
/// # Errors
/// When the capture cannot be read, the key is too short or cannot be read or made, a path becomes too long, or the result cannot be
/// written. Then nothing is left behind.
pub fn run(options: &Options, progress: &Progress) -> Result<Summary> {
    let capture = Dataset::expect(&options.capture, Kind::Capture)?;
    let (key, made_key) = key(&options.key)?;
    let mut names = Names::new(&key, options.lengths);
    let draft = Draft::create(&options.out, Kind::Capture)?;
    let mut summary = Summary { out: options.out.clone(), made_key, ..Summary::default() };
    let tables: Vec<Table> = Table::ALL.iter().copied().filter(|table| table.kind() == Kind::Capture).collect();
    for table in tables {
        let file = capture.table(table);
        if !capture.has(table) {
            continue;
        }
        let rows = rewrite(&file, table, &draft, &mut names, progress).with_context(|| format!("table {}", table.name()))?;
        if table == Table::Events {
            summary.events = rows;
        }
    }
    let (manifest, left_out) = manifest::clean(&capture.manifest, &mut names)?;
    draft.commit(manifest)?;
    Ok(Summary { names: names.hashed(), left_out, ..summary })
}

/// The key in a file, and whether it was made.
fn key(file: &Path) -> Result<(Vec<u8>, bool)> {
    let mut key = Vec::new();
    match files::open(file) {
        Ok(open) => {
            open.take(LONGEST + 1).read_to_end(&mut key).with_context(|| format!("cannot read the key {}", word(file)))?;
            let fits = (SHORTEST..=LONGEST as usize).contains(&key.len());
            ensure!(fits, "{} is no key: a key has {SHORTEST} to {LONGEST} bytes, which nobody else knows", word(file));
            Ok((key, false))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let failed = || format!("cannot make the key {}", word(file));
            File::open("/dev/urandom").and_then(|random| random.take(KEY as u64).read_to_end(&mut key)).with_context(failed)?;
            files::create(file).and_then(|mut made| made.write_all(&key)).with_context(failed)?;
            Ok((key, true))
        }
        Err(error) => Err(error).with_context(|| format!("cannot read the key {}", word(file))),
    }
}

/// Writes a table of the draft from the same table of the capture. Returns its number of rows.
fn rewrite(file: &Path, table: Table, draft: &Draft, names: &mut Names, progress: &Progress) -> Result<u64> {
    let known: Vec<&str> = table.columns().iter().map(|column| column.name).collect();
    let reader = read::builder(file, &known)?;
    let rows = reader.rows();
    progress.begin(table.name(), Unit::Count, rows);
    let schema = table.schema();
    let mut writer = schema::writer(table, draft.file(&table.file())?)?;
    for batch in reader.build()? {
        let batch = batch?;
        let columns = table::columns(table, &batch, names)?;
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
        progress.add(batch.num_rows() as u64);
    }
    writer.close()?;
    Ok(rows)
}
