//! `ioriot synth`: synthetic captures for benchmarks and end-to-end tests.

use super::Exit;
use crate::amount::typed;
use crate::files;
use crate::ingest::{Format, synth};
use crate::process::stdio;
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Write a synthetic capture of any length
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot synth --lines 1000000 -o big.capture
  ioriot synth --lines 5000 --format strace --expect tree.json -o small.strace")]
pub struct Args {
    /// About how many lines
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = typed::count)]
    lines: u64,
    /// Format of the lines
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Text,
    /// Seed of the random choices: the same seed gives the same capture
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Write to this file what the tree must look like before and after a replay, as JSON
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// File to write (default: standard output)
    #[arg(short, long = "output", value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Text {
    /// I/O Riot .capture
    #[default]
    Capture,
    /// strace -f -ttt -T -y
    Strace,
}

/// Do two names lead to one file, or to where one would be made?
fn same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| -> PathBuf {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let beside =
            path.parent().and_then(|dir| dir.canonicalize().ok()).zip(path.file_name()).map(|(dir, name)| dir.join(name));
        path.canonicalize().ok().or(beside).unwrap_or(path)
    };
    real(one) == real(other)
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        if let (Some(out), Some(expect)) = (&self.out, &self.expect) {
            ensure!(!same(out, expect), "{} can hold either the capture or what is expected of it", out.display());
        }
        let format = match self.format {
            Text::Capture => Format::Capture,
            Text::Strace => Format::Strace,
        };
        let options = synth::Options { seed: self.seed, ..synth::Options::new(format, self.lines) };
        let mut expected = None;
        let mut make = |out: &mut dyn Write| -> Result<()> {
            let mut out = BufWriter::with_capacity(1 << 20, out);
            let made = synth::write(&options, &mut out).and_then(|expected| out.flush().map(|()| expected));
            expected = Some(made.context("cannot write the capture")?);
            Ok(())
        };
        match &self.out {
            Some(file) => files::write(file, |mut out| make(&mut out))?,
            None => make(&mut stdio::Answer)?,
        }
        if let Some(file) = &self.expect {
            files::write(file, |out| Ok(serde_json::to_writer(out, &expected)?))?;
        }
        Ok(Exit::Done)
    }
}
