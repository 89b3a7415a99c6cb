//! `ioriot run`: from a text capture to a verified replay, in one go.

use super::generate::Choice;
use super::ingest::{self as read, Reading};
use super::replay::Manner;
use super::ui::{self, Format, Plan};
use super::verbs::{generate, ingest, init, replay};
use super::{Exit, values};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

/// Do it all: ingest, generate, init and replay, and print the whole story
///
/// Makes DIR/capture, DIR/workload, DIR/root and DIR/run, each of which the other verbs can use.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot run tests/data/matrix.strace                     makes matrix.ioriot
  ioriot run trace.strace.gz -o /mnt/nvme1/trace --threads 16
  ioriot run trace.strace.gz --force --format json        an old directory is moved aside
  ioriot query matrix.ioriot/run 'SELECT * FROM results'  look closer afterwards")]
pub struct Args {
    /// File to read, also .gz and .zst; - is standard input
    #[arg(value_name = "INPUT")]
    input: PathBuf,
    /// Directory to make (default: INPUT's name with .ioriot for its endings)
    #[arg(short, long = "output", value_name = "DIR")]
    out: Option<PathBuf>,
    /// Move an old directory aside, to DIR.old-N
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    manner: Manner,
    /// Leave ranges of files that no op reads or writes as holes
    #[arg(long)]
    sparse_unread: bool,
    /// Only check the arguments and say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// The parts of the story, printed as they happen for people, at the end as one object for programs.
struct Story {
    format: Format,
    parts: Map<String, Value>,
}

impl Story {
    fn tell(&mut self, verb: &str, place: &Path, summary: &(impl Serialize + Display)) -> Result<()> {
        match self.format {
            Format::Text => ui::say(format_args!("{verb}: {}\n{}\n", place.display(), indent(&summary.to_string()))),
            Format::Json => {
                self.parts.insert(verb.into(), serde_json::to_value(summary)?);
                Ok(())
            }
        }
    }

    fn end(self) -> Result<()> {
        match self.format {
            Format::Text => Ok(()),
            Format::Json => ui::say(serde_json::to_string_pretty(&self.parts)?),
        }
    }
}

fn indent(text: &str) -> String {
    let lines: Vec<_> = text.trim_end().lines().map(|line| format!("  {line}").trim_end().to_owned()).collect();
    lines.join("\n")
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        let dir = self.out.unwrap_or_else(|| default_dir(&self.input));
        let [capture, workload, root, run] = ["capture", "workload", "root", "run"].map(|name| dir.join(name));
        let format = self.reading.output();
        if self.dry_run {
            ensure!(self.force || !dir.exists(), "{}", in_the_way(&dir));
            let would = vec![read::plan_input(&self.input)?, format!("make {}", dir.display())];
            format.print(&Plan::new(would))?;
            return Ok(Exit::Done);
        }
        make_way(&dir, self.force)?;
        let mut story = Story { format, parts: Map::new() };

        let options = ingest::Options {
            inputs: vec![read::input(&self.input)],
            out: capture.clone(),
            format: self.reading.input(),
            merge: false,
            host: None,
            threads: values::processors(),
        };
        let ingested = ui::watched(|progress| ingest::run(&options, progress))?;
        story.tell("ingest", &capture, &ingested)?;

        let options = self.choice.options(capture, workload.clone(), None);
        let generated = ui::watched(|progress| generate::run(&options, progress))?;
        story.tell("generate", &workload, &generated)?;

        let options = init::Options {
            workload: workload.clone(),
            root: root.clone(),
            force: false,
            sparse_unread: self.sparse_unread,
            threads: values::processors(),
        };
        let made = ui::watched(|progress| init::run(&options, progress))?;
        story.tell("init", &root, &made)?;
        ensure!(made.ok(), "the tree in {} is not whole, so nothing was replayed", root.display());

        let options = self.manner.options(workload, root, run.clone(), false);
        let replayed = ui::watched(|progress| replay::run(&options, progress))?;
        story.tell("replay", &run, &replayed)?;
        story.end()?;
        Ok(Exit::good(replayed.ok() && (!self.reading.strict || ingested.rejects == 0)))
    }
}

/// The directory for an input when none is named: `matrix.ioriot` for `dir/matrix.strace.gz`.
fn default_dir(input: &Path) -> PathBuf {
    let name = input.file_name().filter(|name| *name != "-");
    let name = name.map_or("stdin".into(), |name| name.to_string_lossy());
    let mut stem: &str = &name;
    for endings in [[".gz", ".zst"], [".strace", ".capture"]] {
        stem = endings.iter().find_map(|ending| stem.strip_suffix(ending)).filter(|stem| !stem.is_empty()).unwrap_or(stem);
    }
    format!("{stem}.ioriot").into()
}

fn in_the_way(dir: &Path) -> String {
    format!("{} exists already: --force moves it aside, -o DIR chooses another place", dir.display())
}

/// Nothing is at `dir`, or what is there is moved aside: nothing is ever deleted here.
fn make_way(dir: &Path, force: bool) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    ensure!(force, "{}", in_the_way(dir));
    let mut names = (1..).map(|n| values::suffixed(dir, &format!(".old-{n}")));
    let old = names.find(|old| !old.exists()).context("no free name for the old directory")?;
    fs::rename(dir, &old).with_context(|| format!("cannot move {} aside", dir.display()))?;
    log::warn!("the old {} is now {}", dir.display(), old.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_named_after_the_input() {
        for (input, dir) in [
            ("tests/data/matrix.strace", "matrix.ioriot"),
            ("a-sqlite.bpftrace.capture.gz", "a-sqlite.bpftrace.ioriot"),
            ("trace.zst", "trace.ioriot"),
            (".strace", ".strace.ioriot"),
            ("-", "stdin.ioriot"),
        ] {
            assert_eq!(default_dir(Path::new(input)), Path::new(dir), "{input}");
        }
    }

    #[test]
    fn an_old_directory_is_moved_aside_only_by_force() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("d");
        make_way(&dir, false).unwrap();
        for n in 1..3 {
            fs::create_dir(&dir).unwrap();
            assert!(make_way(&dir, false).is_err());
            make_way(&dir, true).unwrap();
            assert!(!dir.exists() && tmp.path().join(format!("d.old-{n}")).exists());
        }
    }
}
