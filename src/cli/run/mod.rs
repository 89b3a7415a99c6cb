//! `ioriot run`: from a trace or a command to a verified replay, in one go.

mod anew;
mod left;

use super::generate::Choice;
use super::ingest::{Reading, plan_input};
use super::init::{Tree, owner as init_owner};
use super::replay::{Manner, Speed};
use super::ui::{self, Format, Plan};
use super::{Exit, given, values};
use crate::amount::Things;
use crate::generate;
use crate::ingest::{self, Input};
use crate::init::Fill;
use crate::process::signal;
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use crate::text::word;
use crate::{capture, init, replay};
use anew::Old;
use anyhow::{Context, Result, bail, ensure};
use left::Left;
use serde::Serialize;
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::fmt::Display;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Do it all, from a trace or a command to a replay, and print the whole story
///
/// Makes DIR/capture, DIR/workload, DIR/root and DIR/run, each of which the other verbs can use. A command behind -- is run
/// and captured live, as by `ioriot capture`: by eBPF where that is allowed, else by ptrace, which distorts its times.
/// Ctrl-C ends the command; what it did until then is replayed.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot run tests/data/matrix.strace                     # makes matrix.ioriot
  ioriot run trace.strace.gz -o /mnt/nvme1/trace --threads 16
  ioriot run trace.strace.gz --force --format json        # anew
  sudo ioriot run -- make -j8                             # captures it live; makes make.ioriot
  ioriot query matrix.ioriot/run 'SELECT * FROM results'  # look closer afterwards")]
pub struct Args {
    /// File to read, also .gz and .zst; - is standard input
    #[arg(value_name = "INPUT")]
    input: Option<PathBuf>,
    /// Directory to make (default: the name of INPUT or COMMAND with .ioriot for its endings)
    #[arg(short, long = "output", value_name = "DIR")]
    out: Option<PathBuf>,
    /// Make a DIR that is there anew: its datasets are deleted once all are there anew, its tree is moved aside
    ///
    /// Until then they are beside their places, as capture.old-1 and so on. When it does not come so far they are put back, and what
    /// is new by then stays as capture.new-1 and so on.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    manner: Manner,
    #[command(flatten)]
    speed: Speed,
    #[command(flatten)]
    tree: Tree,
    /// Only check the arguments and say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// End the capture when the command itself ends, whatever it leaves behind
    #[arg(long, requires = "command")]
    until_exit: bool,
    /// Command to capture instead, with its arguments, behind --
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "input")]
    command: Vec<OsString>,
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

    /// What came of it all, in one line, and where to look closer.
    fn end(self, workload: &Path, run: &Path, replayed: &replay::Summary) -> Result<()> {
        match self.format {
            Format::Text => ui::say(format_args!("{}\n{}", verdict(replayed), closer(workload, run, replayed))),
            Format::Json => ui::data(serde_json::to_string_pretty(&self.parts)?),
        }
    }
}

fn verdict(replayed: &replay::Summary) -> String {
    let compared = Things(replayed.same + replayed.different, "compared outcome");
    let violated = replayed.figures.order_violations.as_ref().map_or(0, |order| order.violations);
    let state = replayed.state.iter().flat_map(|state| &state.verdicts);
    let other: u64 = state.filter(|(verdict, _)| **verdict != "same").map(|(_, count)| count).sum();
    let same = match (replayed.same, replayed.different) {
        (0, 0) => "Nothing could be compared".into(),
        (_, 0) => format!("{compared}, all the same"),
        (_, different) => format!("{compared}, {different} different"),
    };
    let order = if violated == 0 { String::new() } else { format!("; {} out of order", Things(violated, "op")) };
    let tree = match (&replayed.state, other) {
        (None, _) => String::new(),
        (Some(_), 0) => "; the tree is as predicted".into(),
        (Some(_), other) => format!("; {} of the tree not as predicted", Things(other, "entry")),
    };
    format!("{same}{order}{tree}.")
}

/// The query that a reader of the verdict would want next.
fn closer(workload: &Path, run: &Path, replayed: &replay::Summary) -> String {
    let ioriot = given::program();
    match replayed.different {
        0 => format!("Look closer: {ioriot} query {} 'SELECT * FROM latency'", run.display()),
        _ => format!("Look closer: {ioriot} query {} {} 'SELECT * FROM differences'", workload.display(), run.display()),
    }
}

fn indent(text: &str) -> String {
    let lines: Vec<_> = text.trim_end().lines().map(|line| format!("  {line}").trim_end().to_owned()).collect();
    lines.join("\n")
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        let name = self.input.as_deref().or(self.command.first().map(Path::new)).context(NOTHING)?;
        let dir = self.out.clone().unwrap_or_else(|| format!("{}.ioriot", Input::parse(name).stem()).into());
        // Where it leads from may be about to go.
        let dir = match dir.components().any(|part| part == Component::ParentDir) {
            true => dir.canonicalize().with_context(|| format!("cannot open {}", dir.display()))?,
            false => dir,
        };
        let [capture, workload, root, run] = ["capture", "workload", "root", "run"].map(|name| dir.join(name));
        let format = self.reading.output();
        // What can be refused is refused before anything is made or moved.
        let old = Old::look(&dir, self.force)?;
        self.reading.check(None)?;
        let source = match &self.input {
            Some(input) => source(input)?,
            None => format!("capture {}", capture::executable(name.as_os_str())?.display()),
        };
        let chosen = self.choice.options(capture.clone(), workload.clone(), None);
        chosen.rehearse()?;
        let owner = self.manner.user().map(init_owner).transpose()?;
        let tree = init::Options { force: self.force, owner, ..self.tree.options(workload.clone(), root.clone()) };
        let held = init::ready(&tree)?;
        let manner = self.manner.options(&[self.speed.speed], workload.clone(), root.clone(), run.clone())?;
        manner.check()?;
        if self.dry_run {
            format.print(&Plan::new(vec![source, format!("make {}", dir.display())]))?;
            return Ok(Exit::Done);
        }
        let left = Left::watch(&dir)?;
        let aside = old.move_aside()?;
        let mut story = Story { format, parts: Map::new() };
        let whole = match &self.input {
            Some(input) => ingest(input, &self.reading, &capture, &mut story),
            None => record(&self.command, self.until_exit, tree.data.fill, &capture, &mut story),
        };
        let whole = whole?;

        let generated = ui::watched(|progress| generate::run(&chosen, progress))?;
        story.tell("generate", &workload, &generated)?;

        // It takes the old tree itself, to move it aside.
        drop(held);
        let made = ui::watched(|progress| init::run(&tree, progress))?;
        story.tell("init", &root, &made)?;
        made.whole().with_context(|| format!("the tree in {} is not whole, so nothing was replayed", root.display()))?;

        let replayed = ui::watched(|progress| replay::run(&manner, progress))?;
        drop(aside);
        left.done();
        story.tell("replay", &run, &replayed)?;
        story.end(&workload, &run, &replayed)?;
        Ok(replayed.signal.map_or(Exit::good(whole && replayed.ok()), Exit::Asked))
    }
}

/// What to run, for those who name nothing.
const NOTHING: &str = "nothing to run: `ioriot run FILE` replays a trace (a .capture, or what `strace -f -ttt -T -y -yy -o FILE COMMAND` \
                       wrote), `sudo ioriot run -- COMMAND` captures a program and replays that";

/// What reading an input means, for `--dry-run`.
fn source(input: &Path) -> Result<String> {
    given::trace(input)?;
    plan_input(input).map_err(|error| match capture::executable(input.as_os_str()) {
        Ok(_) if !input.exists() => error.context(format!(
            "there is no file {}; a program is captured and replayed by `sudo ioriot run -- {} ...`",
            input.display(),
            word(input)
        )),
        _ => error,
    })
}

/// Reads a trace; says whether it is whole, as far as that matters.
fn ingest(input: &Path, reading: &Reading, capture: &Path, story: &mut Story) -> Result<bool> {
    let options = ingest::Options {
        threads: crate::os::processors(),
        command: values::command_line(),
        mounts: reading.mounts.clone(),
        ..ingest::Options::new(vec![Input::parse(input)], capture.to_owned())
    };
    let ingested = reading.ingest(options, None)?;
    story.tell("ingest", capture, &ingested)?;
    Ok(!reading.strict || ingested.rejects() == 0)
}

/// How often a capture under way is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Captures a command; says whether nothing was lost. By a process of its own, since a capture gives up its rights.
fn record(command: &[OsString], until_exit: bool, data: Fill, capture: &Path, story: &mut Story) -> Result<bool> {
    if story.format == Format::Text {
        ui::say(format_args!("capture: {}", capture.display()))?;
    }
    // What is for the command does not end this process, and what is for this process ends the capture first.
    let (_lent, _held) = (signal::lend(), signal::hold());
    let mut child = Command::new(std::env::current_exe().context("cannot find this program")?);
    let samples = (data == Fill::Captured).then_some("--content-samples");
    child.arg("capture").arg("-o").arg(capture).args(until_exit.then_some("--until-exit")).args(samples).arg("--").args(command);
    if story.format == Format::Json {
        // Standard output is for the story, whatever the command says.
        child.stdout(std::io::stderr().as_fd().try_clone_to_owned()?);
    }
    let mut child = child.spawn().context("cannot start the capture")?;
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for the capture")? {
            break status;
        }
        if let Some(signal) = signal::asked() {
            signal.pass_on(child.id());
        }
        thread::sleep(LOOK);
    };
    if let Some(signal) = signal::asked() {
        bail!("ended by {}: nothing was replayed", signal.name());
    }
    ensure!(matches!(status.code(), Some(0 | 1)), "nothing was captured, so nothing was replayed");
    match story.format {
        Format::Text => ui::say("")?,
        Format::Json => {
            let manifest = Dataset::expect(capture, Kind::Capture)?.manifest;
            story.parts.insert("capture".into(), Value::Object(manifest));
        }
    }
    Ok(status.success())
}
