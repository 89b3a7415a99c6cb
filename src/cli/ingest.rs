//! `ioriot ingest`: text captures to a capture dataset.

use super::Exit;
use super::given;
use super::ui::{self, Plan};
use super::values;
use crate::ingest::{self, Input};
use anyhow::Result;
use clap::ValueEnum;
use std::path::{Path, PathBuf};

/// Turn text captures into a capture: events in Parquet
///
/// Reads I/O Riot `.capture` files (versions 1 to 5) and the output of `strace -f`, plain or compressed with gzip or
/// zstd, and writes a capture dataset. Lines that cannot be parsed are counted and kept in the table `rejects`. The exit
/// code is 1 when a capture says, or shows by having no end, that the tracer lost events.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot ingest trace.strace.gz -o cap
  strace -f -ttt -T -y -yy -o /dev/stdout make | ioriot ingest - -o cap
  ioriot ingest web1.capture web2.capture -o cap          # two hosts: cap/host=web1, cap/host=web2
  ioriot ingest part1.strace part2.strace --merge -o cap  # two parts of one capture
  ioriot ingest trace.strace --mounts mountinfo -o cap    # a copy of its /proc/self/mountinfo
  ioriot ingest trace.txt --format strace --format json -o cap")]
pub struct Args {
    /// Files to read, also .gz and .zst; - is standard input
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Directory to make for the capture
    #[arg(short, long = "output", value_name = "CAPTURE")]
    out: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// The inputs are parts of one capture, with one clock: put them into one order by time
    #[arg(long)]
    merge: bool,
    /// Name of the captured host (default: of each input, when there are several)
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Threads that parse (default: one per processor)
    #[arg(long, value_name = "N", value_parser = values::threads)]
    threads: Option<usize>,
    /// Only check the arguments and say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// How inputs are read and what counts as success: shared by `ingest` and `run`.
#[derive(Debug, clap::Args)]
pub struct Reading {
    /// capture or strace: what the inputs are (default: recognised by content). text or json: how to print the summary.
    /// May be given twice, once for each
    #[arg(long = "format", value_enum, value_name = "FORMAT")]
    formats: Vec<Format>,
    /// Mounts of the captured machine: a copy of its /proc/self/mountinfo
    ///
    /// They say what is on a pseudo file system, and across which directories a rename fails.
    #[arg(long, value_name = "FILE")]
    pub mounts: Option<PathBuf>,
    /// Exit with 1 when a line could not be parsed
    #[arg(long)]
    pub strict: bool,
}

/// `--format` says two things here: scripts ask every verb for json, and an input's format can be forced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The inputs are I/O Riot captures
    Capture,
    /// The inputs are output of strace -f
    Strace,
    /// Summary for people
    #[value(alias = "table")]
    Text,
    /// Summary for programs: one JSON object
    Json,
}

impl Reading {
    /// The format that the inputs are said to have; the last one counts.
    pub fn input(&self) -> Option<ingest::Format> {
        self.formats.iter().rev().find_map(|format| match format {
            Format::Capture => Some(ingest::Format::Capture),
            Format::Strace => Some(ingest::Format::Strace),
            Format::Text | Format::Json => None,
        })
    }

    /// How to print the summary; the last one counts.
    pub fn output(&self) -> ui::Format {
        let asked = self.formats.iter().rev().find_map(|format| match format {
            Format::Text => Some(ui::Format::Text),
            Format::Json => Some(ui::Format::Json),
            Format::Capture | Format::Strace => None,
        });
        asked.unwrap_or_default()
    }
}

/// What reading an input means, for `--dry-run`.
///
/// # Errors
/// When it is not there, or cannot be read.
pub fn plan_input(name: &Path) -> Result<String> {
    if name.as_os_str() == "-" {
        return Ok("read standard input".into());
    }
    Input::parse(name).check()?;
    Ok(format!("read {}", name.display()))
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        self.inputs.iter().try_for_each(|name| given::trace(name))?;
        if self.dry_run {
            return self.plan();
        }
        let options = ingest::Options {
            format: self.reading.input(),
            merge: self.merge,
            host: self.host,
            mounts: self.reading.mounts.clone(),
            threads: self.threads.unwrap_or_else(crate::os::processors),
            command: values::command_line(),
            ..ingest::Options::new(self.inputs.iter().map(|name| Input::parse(name)).collect(), self.out)
        };
        let summary = ui::watched(|progress| ingest::run(&options, progress))?;
        self.reading.output().print(&summary)?;
        Ok(Exit::good(!summary.lost_events() && (!self.reading.strict || summary.rejects() == 0)))
    }

    fn plan(&self) -> Result<Exit> {
        values::vacant(&self.out)?;
        let mut would = self.inputs.iter().map(|name| plan_input(name)).collect::<Result<Vec<_>>>()?;
        would.push(format!("write a capture to {}", self.out.display()));
        self.reading.output().print(&Plan::new(would))?;
        Ok(Exit::Done)
    }
}
