//! Files of the source that are made from the code, and the hidden verb that writes them.

use super::Exit;
use crate::fate::{Elsewhere, Fate, Origin, Reason, Route, StaysOnDisk};
use crate::files;
#[cfg(feature = "sql")]
use crate::generate::docs::sql_markdown;
#[cfg(feature = "sql")]
use crate::import;
use crate::ingest::Why;
use crate::loss::Loss;
use crate::model::PSEUDO;
use crate::replay::machine::metrics;
use crate::replay::outcome::caveat::Caveat;
use crate::replay::outcome::compare::TOLERANCES;
use crate::schema::dataset::{FORMAT, Kind};
use crate::schema::{ROW_GROUP, Table};
use crate::syscall::columns::{COLUMNS, Cell, Column};
use crate::syscall::polled::Polling;
use crate::syscall::{Def, Given, TABLE, Wake};
use anyhow::Result;
use std::fmt::Write;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Write the files of the source that are made from the code
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  cargo run -- docs .")]
pub struct Args {
    /// Top directory of the source
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Args {
    /// Writes all generated pages below the directory.
    ///
    /// # Errors
    /// When a page cannot be made or written.
    pub fn run(self) -> Result<Exit> {
        for (name, text) in pages()? {
            files::write(&self.dir.join(name), |mut file| {
                file.set_permissions(Permissions::from_mode(0o644))?;
                Ok(file.write_all(text.as_bytes())?)
            })?;
        }
        Ok(Exit::Done)
    }
}

/// Every generated file: its name from the top of the source, and its text. Without the feature `sql`, those that need none.
///
/// # Errors
/// When the head of a SQL file is malformed.
pub fn pages() -> Result<Vec<(&'static str, String)>> {
    let mut pages = vec![("docs/SYSCALLS.md", syscalls()), ("docs/SCHEMA.md", schema())];
    #[cfg(feature = "sql")]
    pages.push(("docs/SQL.md", sql_markdown()? + &import::markdown()?));
    for (_, text) in &mut pages {
        text.insert_str(0, "<!-- Made from the code: BLESS=1 cargo test generated_pages writes it anew. -->\n");
    }
    pages.push(("systemtap/calls.h", crate::capture::probed_calls()));
    Ok(pages)
}

/// A Markdown table.
fn table<'a>(heads: &[&str], rows: impl Iterator<Item = Vec<String>> + 'a) -> String {
    let mut text = format!("| {} |\n|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
    for row in rows {
        let cells: Vec<_> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

fn words(head: &str, words: impl Iterator<Item = (&'static str, &'static str)>) -> String {
    table(&[head, "meaning"], words.map(|(name, doc)| vec![format!("`{name}`"), doc.into()]))
}

fn syscalls() -> String {
    let mut text = String::from(
        "# Syscalls\n\n\
         What ioriot knows of each syscall, and what becomes of it in a replay (`ioriot syscalls` prints most of it).\n\
         In SQL it is the relation `syscall_def`, with the same columns.\n\n",
    );
    for column in COLUMNS {
        let _ = writeln!(text, "- **{}**: {}.", column.name, column.doc);
    }
    text.push('\n');
    for support in ["full", "partly", "model", "drop"] {
        let count = TABLE.iter().filter(|def| def.support() == support).count();
        let _ = writeln!(text, "- {support}: {count}");
    }
    text.push('\n');
    let heads: Vec<_> = COLUMNS.iter().map(|column| column.name).collect();
    let cell = |def: &Def, column: &Column| match column.cell {
        Cell::Text(cell) => cell(def).unwrap_or_default(),
        Cell::Yes(cell) => if cell(def) { "yes" } else { "" }.into(),
    };
    text.push_str(&table(&heads, TABLE.iter().map(|def| COLUMNS.iter().map(|column| cell(def, column)).collect())));
    text.push_str("\n## Positions\n\n");
    text.push_str(&words("given", Given::ALL.iter().map(|given| (given.name(), given.doc()))));
    text.push_str("\n## Outcomes that are not compared\n\nThey count as `uncompared`, with this kind in the results.\n\n");
    text.push_str(&words("kind", TOLERANCES.iter().map(|tolerance| (tolerance.kind, tolerance.reason))));
    text.push_str("\n## Places that are not replayed\n\nDropped as `pseudo_fs`, unless `--keep PATH` says otherwise.\n\n");
    text.push_str(&words("below", PSEUDO.iter().copied()));
    text
}

fn schema() -> String {
    let tables = |kind| {
        let names = Table::ALL.iter().filter(|table| table.kind() == kind).map(|table| format!("`{}`", table.name()));
        names.collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "# Tables\n\n\
         A dataset is a directory: `manifest.json` (format version {FORMAT}) and one Parquet file per table. Integers are\n\
         64-bit, paths are text in the form that docs/FORMAT.md describes. Files are\n\
         compressed with zstd and say how they are sorted; row groups have at most {ROW_GROUP} rows. What the columns mean is in\n\
         each file, too: as key-value metadata `column.NAME` (in DuckDB: `parquet_kv_metadata('events.parquet')`), and as metadata `meaning`\n\
         and `unit` of the fields of its Arrow schema (in pyarrow: `pq.read_schema('events.parquet').field('dur').metadata`).\n\
         Key `files` of the manifest says of each file how many `bytes` it has and how many of them are its `footer`: a local dataset in which one of them is not there, or another table is, is refused.\n\n\
         A **capture** (made by `ioriot ingest`) has {}; a **workload** (`ioriot generate`) has {};\n\
         a **run** (`ioriot replay`) has {}.\n",
        tables(Kind::Capture),
        tables(Kind::Workload),
        tables(Kind::Run),
    );
    for table_ in Table::ALL {
        let _ = write!(text, "\n## {}\n\n{}", table_.name(), table_.doc());
        match table_.sorted_by() {
            [] => text.push_str("\n\n"),
            columns => {
                let _ = write!(text, " Sorted by {}.\n\n", columns.join(", "));
            }
        }
        let row = |column: crate::schema::Column| {
            let null = if column.nullable { "yes" } else { "" };
            vec![format!("`{}`", column.name), column.ty.name().into(), null.into(), column.unit.name().into(), column.doc.into()]
        };
        text.push_str(&table(&["column", "type", "null", "unit", "meaning"], table_.columns().into_iter().map(row)));
    }
    text.push_str("\n## Metrics of samples\n\nWhat `samples.kind` and `samples.metric` may be. Those that count do so from just before the start of the replay.\n\n");
    text.push_str(&words("kind", metrics::Kind::ALL.iter().map(|kind| (kind.name(), kind.doc()))));
    text.push('\n');
    let row = |metric: &metrics::Metric| {
        let counts = if metric.counts { "yes" } else { "" };
        vec![metric.kind.name().into(), format!("`{}`", metric.name), counts.into(), metric.doc.into()]
    };
    text.push_str(&table(&["kind", "metric", "counts", "meaning"], metrics::METRICS.iter().map(row)));
    text.push_str("\n## Words in these tables\n\nFates of events (`fates.fate`):\n\n");
    text.push_str(&words("fate", Fate::ALL.iter().map(|word| (word.name(), word.doc()))));
    text.push_str("\nReasons of drops (`fates.reason`):\n\n");
    text.push_str(&words("reason", Reason::ALL.iter().map(|word| (word.name(), word.doc()))));
    text.push_str("\nWhat woke a thread (`events.cmd` of `waited`, as a number; `waits.cause` in queries):\n\n");
    let row = |wake: &Wake| vec![wake.number().to_string(), format!("`{}`", wake.name()), wake.doc().into()];
    text.push_str(&table(&["cmd", "cause", "meaning"], Wake::ALL.iter().map(row)));
    text.push_str("\nOrigins of ops (`ops.origin`):\n\n");
    text.push_str(&words("origin", Origin::ALL.iter().map(|word| (word.name(), word.doc()))));
    text.push_str("\nFile systems that a replay does not make (`elsewhere` in these manifests):\n\n");
    text.push_str(&words("reason", Elsewhere::ALL.iter().map(|word| (word.name(), word.doc()))));
    text.push_str("\nWhy a file system in memory is not made anew (`memory.stays` in the manifests of workloads):\n\n");
    text.push_str(&words("stays", StaysOnDisk::ALL.iter().map(|word| (word.name(), word.doc()))));
    text.push_str("\nWays of bytes (`bytes.route` in the manifests of workloads and runs):\n\n");
    text.push_str(&words("route", Route::ALL.iter().map(|word| (word.name(), word.doc()))));
    text.push_str("\nWho polls for a ring of io_uring (`polled_rings.polling` in the manifests of captures and runs); a replay does without:\n\n");
    text.push_str(&words("polling", Polling::ALL.iter().map(|word| (word.name(), word.doc()))));
    text.push_str("\nKinds of losses (`losses.kind`):\n\n");
    let row = |loss: &Loss| {
        let events = if loss.of_events() { "yes" } else { "" };
        vec![format!("`{}`", loss.name()), events.into(), loss.doc().into()]
    };
    text.push_str(&table(&["kind", "event", "meaning"], Loss::ALL.iter().map(row)));
    text.push_str(
        "\nCaveats of a run (`summary.time.caveats` of its manifest): why its time cannot be believed to be that of the captured\n\
         program on this device. Without any it is believable.\n\n",
    );
    text.push_str(&words("caveat", Caveat::ALL.iter().map(|word| (word.name(), word.doc()))));
    text.push_str("\nReasons of rejects (`rejects.reason`):\n\n");
    text.push_str(&words("reason", Why::ALL.iter().map(|word| (word.name(), word.doc()))));
    text
}
