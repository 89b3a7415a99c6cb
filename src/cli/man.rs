//! `ioriot man`: manual pages, for packagers.

use super::Exit;
use anyhow::{Context, Result};
use clap::Command;
use clap_mangen::generate_to;
use std::fs;
use std::path::PathBuf;

/// Write a manual page for every verb
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot man /usr/local/share/man/man1")]
pub struct Args {
    /// Directory for the pages; made when it is not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Args {
    pub fn run(self, command: Command) -> Result<Exit> {
        fs::create_dir_all(&self.dir).with_context(|| format!("cannot make {}", self.dir.display()))?;
        generate_to(command, &self.dir).with_context(|| format!("cannot write manual pages to {}", self.dir.display()))?;
        Ok(Exit::Done)
    }
}
