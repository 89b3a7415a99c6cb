//! `ioriot cat` and `ioriot head`: a look at any dataset.

use super::ui::TableFormat;
use super::{Exit, given};
use crate::amount::typed;
use crate::report::look::{self, Look};
use crate::rows::Shape;
use anyhow::{Result, ensure};
use std::path::PathBuf;

/// Show what a dataset holds, with the names of files
///
/// Of a capture its events, of a workload its ops, of a run its results, in the order of their effects. Names of files are what the
/// model of the kernel's file state found for descriptors and relative paths; those of a run come from its workload, which is named
/// before it (or is in the same directory of `ioriot run`). On a terminal at most 1000 rows; other formats have all.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot cat cap | less -S
  ioriot cat work run --format csv > results.csv          # results with the paths of the workload
  ioriot cat matrix.ioriot/run --expanded
  ioriot cat cap --table open_files                       # what was open when the capture began")]
pub struct Cat {
    #[command(flatten)]
    shown: Shown,
}

/// Show the first rows of a dataset, with the names of files
///
/// As `ioriot cat`, of which it shows the beginning; what comes later is not worked out.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot head cap
  ioriot head -n 3 work -x
  ioriot head cap --table rejects                         # lines that could not be read")]
pub struct Head {
    #[command(flatten)]
    shown: Shown,
    /// Number of rows
    #[arg(short = 'n', long, value_name = "NUMBER", default_value = "10", value_parser = typed::count)]
    rows: u64,
}

/// What both take.
#[derive(Debug, clap::Args)]
struct Shown {
    /// Datasets (directories)
    #[arg(required = true, value_name = "DATASET")]
    datasets: Vec<PathBuf>,
    /// Show this table or view
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// How to print the rows
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: TableFormat,
    /// Print each row as a block, with a line for each column
    #[arg(short = 'x', long)]
    expanded: bool,
    /// Write the rows to this file
    #[arg(short, long = "output", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Memory for sorts and aggregations, before they spill to files without a name (in TMPDIR, else /tmp): bytes with unit K, M
    /// or G
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = typed::bytes)]
    memory: u64,
}

impl Cat {
    pub fn run(self) -> Result<Exit> {
        self.shown.run(None)
    }
}

impl Head {
    pub fn run(self) -> Result<Exit> {
        self.shown.run(Some(self.rows))
    }
}

impl Shown {
    fn run(self, rows: Option<u64>) -> Result<Exit> {
        ensure!(self.format != TableFormat::Parquet || self.out.is_some(), "--format parquet needs a file: -o FILE");
        if self.out.is_none() {
            self.format.printable()?;
        }
        look::run(&Look {
            datasets: given::datasets(self.datasets)?,
            table: self.table,
            rows,
            format: self.format.form(),
            shape: if self.expanded { Shape::Records } else { Shape::Table },
            out: self.out,
            memory: self.memory,
        })?;
        Ok(Exit::Done)
    }
}
