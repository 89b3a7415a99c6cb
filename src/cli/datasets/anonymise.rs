//! `ioriot anonymise`: captures that can be given away.

use super::super::ui::{self, Plan};
use super::super::{Exit, given, values};
use crate::anonymise;
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use anyhow::Result;
use std::path::PathBuf;

/// Make a capture without names: paths, users and hosts become keyed hashes
///
/// Each name of a path is hashed by itself, so the tree keeps its shape, and extensions of up to five characters stay. Hosts,
/// names of processes, users, inode numbers, names of attributes and addresses become hashes too; command lines, log lines and what
/// else the manifest tells in words are left out. Sizes, times, modes and calls stay: docs/ANONYMISE.md says what can be learnt
/// from them. A replay of the result does the same as one of the capture.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot anonymise cap -o cap.anon --key my.key           # my.key is made if it is not there
  ioriot anonymise cap2 -o cap2.anon --key my.key         # equal names are equal in both
  ioriot anonymise cap -o cap.anon --key my.key --keep-lengths")]
pub struct Args {
    /// Capture (directory)
    #[arg(value_name = "CAPTURE")]
    capture: PathBuf,
    /// Directory to make for the new capture
    #[arg(short, long = "output", value_name = "CAPTURE2")]
    out: PathBuf,
    /// File with the key, 16 bytes or more; made if it is not there. Who has it can try out names: keep it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Give each name as many bytes as it had
    #[arg(long)]
    keep_lengths: bool,
    #[command(flatten)]
    output: ui::Output,
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        let options = anonymise::Options {
            capture: given::dataset(self.capture, Kind::Capture)?,
            out: self.out,
            key: self.key,
            lengths: self.keep_lengths,
        };
        if self.output.dry_run {
            values::vacant(&options.out)?;
            let capture = Dataset::expect(&options.capture, Kind::Capture)?;
            let would = vec![
                format!("read the capture {}", capture.dir.display()),
                format!("write a capture to {}", options.out.display()),
            ];
            self.output.format.print(&Plan::new(would))?;
            return Ok(Exit::Done);
        }
        let summary = ui::watched(|progress| anonymise::run(&options, progress))?;
        self.output.format.print(&summary)?;
        Ok(Exit::Done)
    }
}
