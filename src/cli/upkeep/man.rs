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
    let name = page.get_filename();
    let text = rendered(&page, command)?;
    let path = dir.at(&name);
    let page = |mut file: File| {
        file.set_permissions(Permissions::from_mode(0o644))?;
        Ok(file.write_all(&text)?)
    };
    files::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
}

/// A page, with its examples as they are: lines that are filled cannot be pasted.
fn rendered(page: &Man, command: &Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    let after = command.get_after_long_help().or_else(|| command.get_after_help()).map(ToString::to_string).unwrap_or_default();
    let (before, examples) = after.split_once("Examples:\n").unwrap_or((&after, ""));
    if let Some(codes) = before.trim().strip_prefix("Exit codes: ") {
        writeln!(text, ".SH \"EXIT STATUS\"\n{}", codes.split("; ").map(line).collect::<Vec<_>>().join("\n.br\n"))?;
    }
    let examples: Vec<_> = examples.lines().map(|example| line(example.strip_prefix("  ").unwrap_or(example))).collect();
    if !examples.is_empty() {
        writeln!(text, ".SH EXAMPLES\n.nf\n{}\n.fi", examples.join("\n"))?;
    }
    Ok(text)
}

/// A line of text for roff(7), in which a copy of what is shown is what was meant: no typographic dashes and quotes.
fn line(text: &str) -> String {
    let mut line = String::from("\\&");
    for c in text.chars() {
        match c {
            '\\' => line.push_str("\\e"),
            '-' => line.push_str("\\-"),
            '\'' => line.push_str("\\(aq"),
            '`' => line.push_str("\\(ga"),
            '^' => line.push_str("\\(ha"),
            '~' => line.push_str("\\(ti"),
            c => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_lines_of_their_own() {
        let command = Command::new("x").after_long_help("Examples:\n  ioriot a --b 'c'  # d\n  .e \\d");
        let text = String::from_utf8(rendered(&Man::new(command.clone()), &command).unwrap()).unwrap();
        assert!(text.ends_with(".SH EXAMPLES\n.nf\n\\&ioriot a \\-\\-b \\(aqc\\(aq  # d\n\\&.e \\ed\n.fi\n"), "{text}");
    }
}
