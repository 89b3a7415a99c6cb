//! `ioriot query`: SQL over datasets.

#[cfg(feature = "cluster")]
use super::Asked;
use super::Exit;
use super::given;
use super::ui::TableFormat;
use crate::amount::typed;
use crate::engine::Access;
use crate::report::own;
use crate::report::query::{self, Source};
use crate::rows::Shape;
use crate::store;
use anyhow::{Result, anyhow, bail, ensure};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Ask any datasets questions in SQL
///
/// Every table of the datasets stands under its name (docs/SCHEMA.md), beside the ready-made views (docs/SQL.md).
/// Without SQL, a prompt with history, or what is piped in: then each statement is answered, and the first that fails ends it.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "ioriot query [OPTIONS] <DATASET>... ['SQL']",
    after_long_help = "\
Examples:
  ioriot query cap 'SELECT syscall, count(*) FROM events GROUP BY 1 ORDER BY 2 DESC'
  ioriot query work 'SELECT reason, count(*) FROM drops GROUP BY 1'
  ioriot query work run 'SELECT * FROM divergences'       # what came out differently, and where
  ioriot query cap 'SELECT * FROM access_sizes()'         # a table macro (docs/SQL.md)
  ioriot query run -f slow.sql --format csv
  ioriot query run 'SELECT * FROM results' --format parquet -o results.parquet
  echo 'SELECT * FROM calls' | ioriot query cap --format csv
  ioriot query cap                                        # a prompt; \\d lists tables, \\q ends"
)]
pub struct Args {
    /// Datasets (directories, or URLs: docs/STORES.md), and behind them the SQL in one argument
    #[arg(required = true, value_name = "DATASET")]
    args: Vec<OsString>,
    /// Read the SQL from this file (DuckDB: .read)
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How to print the rows (DuckDB: .mode)
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: TableFormat,
    /// Print each row as a block, with a line for each column (psql: \x)
    #[arg(short = 'x', long)]
    expanded: bool,
    /// Write the rows to this file (DuckDB: .output)
    #[arg(short, long = "output", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Define views and table macros by the files NAME.sql of this directory (default: ~/.config/ioriot/sql, where there is one of
    /// your own)
    #[arg(long, value_name = "DIR")]
    sql_dir: Option<PathBuf>,
    /// Let the SQL read and write any file: COPY, CREATE EXTERNAL TABLE, FROM 'file.parquet', SET
    #[cfg_attr(feature = "cluster", arg(conflicts_with = "cluster"))]
    #[arg(long)]
    allow_files: bool,
    #[cfg(feature = "cluster")]
    #[command(flatten)]
    cluster: Asked,
    /// Memory for sorts and aggregations, before they spill to files without a name (in TMPDIR, else /tmp), and for joins, which
    /// do not spill: bytes with unit K, M or G (DuckDB: memory_limit)
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = typed::bytes)]
    memory: u64,
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        query::run(&self.options()?)?;
        Ok(Exit::Done)
    }

    fn options(self) -> Result<query::Options> {
        let mut datasets = self.args;
        // A name without blanks that is no directory is a dataset that is not there, and should be called that.
        let is_place = |arg: &OsString| Path::new(arg).is_dir() || store::is(Path::new(arg));
        let is_sql = |arg: &OsString| arg.to_string_lossy().contains(char::is_whitespace) && !is_place(arg);
        let sql = match (self.file, datasets.pop_if(|last| is_sql(last))) {
            (Some(_), Some(_)) => bail!("the SQL comes from the command line or from -f FILE, not from both"),
            (Some(file), None) => Source::File(file),
            (None, Some(text)) => Source::Text(text.into_string().map_err(|_| anyhow!("the SQL is no UTF-8"))?),
            (None, None) => Source::Prompt,
        };
        ensure!(!datasets.is_empty(), "name a dataset before the SQL: ioriot query DATASET 'SQL'");
        ensure!(self.format != TableFormat::Parquet || self.out.is_some(), "--format parquet needs a file: -o FILE");
        if self.out.is_none() {
            self.format.printable()?;
        }
        Ok(query::Options {
            datasets: given::datasets(datasets.into_iter().map(PathBuf::from).collect())?,
            sql_dir: self.sql_dir.or_else(own::configured),
            sql,
            format: self.format.form(),
            shape: if self.expanded { Shape::Records } else { Shape::Table },
            out: self.out,
            access: Access::of(self.allow_files),
            memory: self.memory,
            #[cfg(feature = "cluster")]
            cluster: self.cluster.target(),
        })
    }
}
