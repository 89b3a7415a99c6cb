//! `ioriot ingest`: text captures, and traces of other tools, to a capture dataset.

use super::Exit;
use super::given;
use super::ui::{self, Plan};
use super::values;
use crate::copy::Spool;
#[cfg(feature = "sql")]
use crate::import;
use crate::ingest::{self, Format, Input};
#[cfg(feature = "sql")]
use crate::text::shown_lines;
use anyhow::{Result, ensure};
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Turn text captures into a capture: events in Parquet
///
/// Reads I/O Riot `.capture` files (versions 1 to 5), the output of `strace -f`, and with --format NAME traces of other tools
/// (fio, blktrace, perf ...), plain or compressed with gzip or zstd, and writes a capture dataset. Lines that cannot be parsed
/// are counted and kept in the table `rejects`. The exit code is 1 when a capture says, or shows by having no end, that the
/// tracer lost events.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot ingest trace.strace.gz -o cap
  strace -f -ttt -T -y -yy -o /dev/stdout make | ioriot ingest - -o cap
  ioriot ingest web1.capture web2.capture -o cap          # two hosts: cap/host=web1, cap/host=web2
  ioriot ingest part1.strace part2.strace --merge -o cap  # two parts of one capture
  ioriot ingest trace.strace --mounts mountinfo -o cap    # a copy of its /proc/self/mountinfo
  ioriot ingest trace.txt --format strace --format json -o cap
  ioriot ingest job.log --format fio_iolog -o cap         # what fio wrote
  ioriot ingest my.csv --sql-dir . --format mine -o cap   # a format of your own: mine.sql")]
pub struct Args {
    /// Files to read, also .gz and .zst; - is standard input
    #[arg(required_unless_present = "formats_there_are", value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Directory to make for the capture
    #[arg(short, long = "output", value_name = "CAPTURE", required_unless_present = "formats_there_are")]
    out: Option<PathBuf>,
    /// For an output in a store (s3://BUCKET/PREFIX: docs/STORES.md): directory to write in until all of it is there (default:
    /// ./NAME.spool)
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// List the formats of other tools that --format knows, and end
    #[arg(long = "formats", id = "formats_there_are")]
    list: bool,
    /// Directory with formats of your own: NAME.sql for --format NAME
    #[arg(long, value_name = "DIR")]
    sql_dir: Option<PathBuf>,
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
    /// What the inputs are: capture or strace (default: recognised by content), or a format of another tool (`ioriot ingest
    /// --formats` lists them). text or json: how to print the summary. May be given twice, once for each
    #[arg(long = "format", value_parser = Words, value_name = "FORMAT")]
    formats: Vec<Word>,
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
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// The inputs are of a format that has a parser.
    Known(Format),
    /// The inputs are of a format in SQL.
    Foreign(String),
    /// How to print the summary.
    Print(ui::Format),
}

/// Parser of the words of `--format`.
#[derive(Clone, Copy, Debug)]
struct Words;

impl Words {
    /// The formats that have a parser, and the ways to print a summary.
    fn plain() -> [(&'static str, Word, &'static str); 4] {
        [
            ("capture", Word::Known(Format::Capture), "The inputs are I/O Riot captures"),
            ("strace", Word::Known(Format::Strace), "The inputs are output of strace -f"),
            ("text", Word::Print(ui::Format::Text), "Summary for people"),
            ("json", Word::Print(ui::Format::Json), "Summary for programs: one JSON object"),
        ]
    }
}

impl TypedValueParser for Words {
    type Value = Word;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Word, clap::Error> {
        let text = StringValueParser::new().parse_ref(command, arg, value)?;
        if let Some((_, word, _)) = Words::plain().into_iter().find(|(name, ..)| *name == text) {
            return Ok(word);
        }
        match text.as_str() {
            "table" => Ok(Word::Print(ui::Format::Text)),
            _ if cfg!(feature = "sql") => Ok(Word::Foreign(text)),
            _ => Err(clap::Error::raw(ErrorKind::InvalidValue, format!("there is no format {text} in a program without SQL\n"))),
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let plain = Words::plain().into_iter().map(|(name, _, help)| PossibleValue::new(name).help(help));
        #[cfg(feature = "sql")]
        let plain = plain.chain(import::FORMATS.iter().map(|(name, _)| PossibleValue::new(*name)));
        Some(Box::new(plain))
    }
}

impl Reading {
    /// How to print the summary; the last one counts.
    pub fn output(&self) -> ui::Format {
        let asked = self.formats.iter().rev().find_map(|word| match word {
            Word::Print(format) => Some(*format),
            Word::Known(_) | Word::Foreign(_) => None,
        });
        asked.unwrap_or_default()
    }

    /// Ingests inputs of the format that they are said to have (the last one counts), or that their content shows. `sql_dir` is a
    /// directory of formats beside those of the program.
    ///
    /// # Errors
    /// When there is no such format, or as [`ingest::run`].
    pub fn ingest(&self, options: ingest::Options, sql_dir: Option<&Path>) -> Result<ingest::Summary> {
        let input = self.formats.iter().rev().find(|word| !matches!(word, Word::Print(_)));
        let format = match input {
            Some(Word::Known(format)) => Some(*format),
            #[cfg(feature = "sql")]
            Some(Word::Foreign(name)) => {
                let format = import::Format::find(name, sql_dir)?;
                return ui::watched(|progress| import::run(&options, &format, progress));
            }
            _ => None,
        };
        ensure!(sql_dir.is_none(), "--sql-dir is for formats in SQL: name one with --format");
        let options = ingest::Options { format, ..options };
        ui::watched(|progress| ingest::run(&options, progress))
    }

    /// Refuses a format that there is not, before anything is done.
    ///
    /// # Errors
    /// When there is no such format, or it is wrong.
    pub fn check(&self, sql_dir: Option<&Path>) -> Result<()> {
        #[cfg(feature = "sql")]
        for word in &self.formats {
            if let Word::Foreign(name) = word {
                import::Format::find(name, sql_dir)?.rehearse()?;
            }
        }
        ensure!(cfg!(feature = "sql") || sql_dir.is_none(), "this program has no SQL");
        Ok(())
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
        if self.list {
            return self.list();
        }
        self.reading.check(self.sql_dir.as_deref())?;
        self.inputs.iter().try_for_each(|name| given::trace(name))?;
        if self.dry_run {
            return self.plan();
        }
        let out = self.out.unwrap_or_default();
        let spool = Spool::of(&out, self.spool)?;
        let out = spool.as_ref().map_or(out, |spool| spool.dir().to_owned());
        let options = ingest::Options {
            merge: self.merge,
            host: self.host,
            mounts: self.reading.mounts.clone(),
            threads: self.threads.unwrap_or_else(crate::os::processors),
            command: values::command_line(),
            ..ingest::Options::new(self.inputs.iter().map(|name| Input::parse(name)).collect(), out)
        };
        let summary = self.reading.ingest(options, self.sql_dir.as_deref())?;
        self.reading.output().print(&summary)?;
        spool.map_or(Ok(()), |spool| ui::watched(|progress| spool.send(progress)))?;
        Ok(Exit::good(!summary.lost_events() && (!self.reading.strict || summary.rejects() == 0)))
    }

    fn plan(&self) -> Result<Exit> {
        let out = self.out.as_deref().unwrap_or(Path::new(""));
        values::vacant(out)?;
        let mut would = self.inputs.iter().map(|name| plan_input(name)).collect::<Result<Vec<_>>>()?;
        would.push(format!("write a capture to {}", out.display()));
        self.reading.output().print(&Plan::new(would))?;
        Ok(Exit::Done)
    }

    #[cfg(feature = "sql")]
    fn list(&self) -> Result<Exit> {
        let formats = import::Format::all(self.sql_dir.as_deref())?;
        ui::say(shown_lines(import::describe(&formats).trim_end()))?;
        Ok(Exit::Done)
    }

    #[cfg(not(feature = "sql"))]
    fn list(&self) -> Result<Exit> {
        ui::say("this program has no SQL, and so no formats beside capture and strace")?;
        Ok(Exit::Done)
    }
}
