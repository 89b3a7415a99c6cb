//! `ioriot completions`: for shells.

use super::Exit;
use crate::process::stdio;
use anyhow::Result;
use clap::Command;
use clap_complete::{Shell, generate};
use std::io::Write;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot completions bash > /etc/bash_completion.d/ioriot
  ioriot completions zsh > ~/.zfunc/_ioriot
  ioriot completions fish > ~/.config/fish/completions/ioriot.fish")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// The command without the verbs that its help does not show: generators know nothing of hidden ones.
fn shown(command: &Command) -> Command {
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    Command::new("ioriot").version(env!("CARGO_PKG_VERSION")).args(command.get_arguments()).subcommands(verbs)
}

impl Args {
    pub fn run(self, command: &Command) -> Result<Exit> {
        let mut command = shown(command);
        // The generator panics when it cannot write, so it writes to memory.
        let mut script = Vec::new();
        generate(self.shell, &mut command, "ioriot", &mut script);
        stdio::Answer.write_all(&script)?;
        stdio::Answer.flush()?;
        Ok(Exit::Done)
    }
}
