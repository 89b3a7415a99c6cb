//! `ioriot lint`: whether a workload asks for what it cannot have.

use super::Exit;
use super::given;
use super::ui::Format;
use crate::amount::typed;
use crate::generate::lint;
use crate::schema::dataset::Kind;
use anyhow::Result;
use std::path::PathBuf;

/// Look for what would make the replay of a workload fail
///
/// Each rule is a SQL file (docs/SQL.md lists them). `ioriot generate` asks the same rules after every option that chooses or changes
/// something, and makes no workload with an error.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit code 1 when the replay would fail.

Examples:
  ioriot lint work
  ioriot lint work --format json")]
pub struct Args {
    /// The workload: a directory made by `ioriot generate`
    #[arg(value_name = "WORKLOAD")]
    workload: PathBuf,
    /// Memory for sorts and aggregations before they spill to disk, bytes with unit K, M or G
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = typed::bytes)]
    memory: u64,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        let workload = given::dataset(self.workload, Kind::Workload)?;
        let report = lint::run(&workload, self.memory)?;
        self.format.print(&report)?;
        Ok(Exit::good(!report.failed()))
    }
}
