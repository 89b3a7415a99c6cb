//! `ioriot man`: manual pages, for packagers.

use super::Exit;
use crate::files::{self, Dir};
use anyhow::{Context, Result};
use clap::Command;
use clap_mangen::Man;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
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
        let made = fs::create_dir_all(&self.dir).and_then(|()| Dir::open(&self.dir));
        let dir = made.with_context(|| format!("cannot make {}", self.dir.display()))?;
        files::trusted(&dir)?;
        let mut command = command.disable_help_subcommand(true);
        command.build();
        pages(&command, &dir)?;
        Ok(Exit::Done)
    }
}

/// Writes the page of a command and those of its subcommands. One that stands there stays as it is until the new one is whole.
fn pages(command: &Command, dir: &Dir) -> Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        pages(below, dir)?;
    }
    let page = Man::new(command.clone());
    let (name, mut text) = (page.get_filename(), Vec::new());
    page.render(&mut text)?;
    let path = dir.at(&name);
    let page = |mut file: File| {
        file.set_permissions(Permissions::from_mode(0o644))?;
        Ok(file.write_all(&text)?)
    };
    files::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
}
