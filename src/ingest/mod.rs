//! Ingest: text captures (`.capture`, strace) to datasets of events.
//!
//! ```text
//! input -> chunks of lines -> parse (all cores) -> sequence (join halves, place) -> events: order, repair, write
//! ```
//!
//! Every arrow is a bounded queue, so memory does not grow with the input. Nothing is lost silently: each line is a
//! header, a comment, a note, the first half of a call, an event or a reject, and the sum is checked.

pub(crate) mod capture;
mod doubt;
mod exits;
pub mod look;
mod loss;
pub(crate) mod parse;
mod pipeline;
pub(crate) mod possible;
pub(crate) mod read;
pub(crate) mod rejects;
pub(crate) mod sequence;
pub(crate) mod strace;
mod summary;
pub mod synth;

pub use doubt::Doubt;
pub use parse::Why;
pub use read::Input;
pub use sequence::Clock;
pub use summary::{Captured, Foreign, Ledger, Summary};

use crate::files;
use crate::fleet::{self, Place};
use crate::mounts::{self, Mount};
use crate::progress::{Progress, Unit};
use crate::schema::dataset::Kind;
use crate::schema::losses::{self, Lost};
use crate::schema::{Draft, Manifest};
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::json;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Format of a text capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `.capture` files of I/O Riot, versions 1 to 5.
    Capture,
    /// The output of strace, in its usual variants.
    Strace,
}

impl Format {
    /// Every format of text captures.
    pub const ALL: &'static [Format] = &[Format::Capture, Format::Strace];

    /// Name of the format on the command line and in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Capture => "capture",
            Format::Strace => "strace",
        }
    }

    /// The format of this name; `None` for other names.
    pub fn parse(name: &str) -> Option<Format> {
        Format::ALL.iter().copied().find(|format| format.name() == name)
    }

    /// The format of a text that begins like this; `None` when it is in no known format.
    pub fn detect(start: &[u8]) -> Option<Format> {
        match start {
            _ if capture::detect(start) => Some(Format::Capture),
            _ if strace::detect(start) => Some(Format::Strace),
            _ => None,
        }
    }

    pub(crate) fn parser(self, numbers: strace::Numbers) -> &'static dyn parse::Parser {
        match self {
            Format::Capture => &capture::Capture,
            Format::Strace => strace::parser(numbers),
        }
    }
}

/// What `ioriot ingest` is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The text captures to read: files, or standard input.
    pub inputs: Vec<Input>,
    /// Directory of the capture dataset to make; with several hosts, the directory that gets one dataset `host=NAME`
    /// for each.
    pub out: PathBuf,
    /// Format of all inputs; `None`: recognised by content.
    pub format: Option<Format>,
    /// Are several inputs parts of one capture, with one clock? Otherwise each input is of a host of its own.
    pub merge: bool,
    /// Name of the host; `None`: made of the name of the (first) file.
    pub host: Option<String>,
    /// Number of threads that parse; 0 for one per core.
    pub threads: usize,
    /// Number of events in the ordering window; events that come too late for it are merged in through files. 0 for the
    /// default.
    pub window: usize,
    /// The command line, for the manifest; empty when unknown.
    pub command: Vec<String>,
    /// File with the mounts of the captured machine: a copy of its /proc/self/mountinfo.
    pub mounts: Option<PathBuf>,
}

impl Options {
    /// Options with every default, for these inputs and this directory.
    pub fn new(inputs: Vec<Input>, out: impl Into<PathBuf>) -> Options {
        Options {
            inputs,
            out: out.into(),
            format: None,
            merge: false,
            host: None,
            threads: 0,
            window: 0,
            command: Vec::new(),
            mounts: None,
        }
    }
}

/// Ingests text captures into one capture dataset per host.
///
/// # Errors
/// When an input cannot be read, is in no known format or has no event, or a dataset cannot be written. Then nothing is
/// left behind.
pub fn run(options: &Options, progress: &Progress) -> Result<Summary> {
    each(options, progress, |part, draft| pipeline::run(part, options, draft, progress))
}

/// Makes a capture dataset of each part of the inputs: `make` fills the draft and says what was counted.
pub(crate) fn each(
    options: &Options,
    progress: &Progress,
    make: impl Fn(&Part<'_>, &Draft) -> Result<Captured>,
) -> Result<Summary> {
    ensure!(!options.inputs.is_empty(), "no input: name a capture file, or - for standard input");
    let stdins = options.inputs.iter().filter(|input| **input == Input::Stdin).count();
    ensure!(stdins <= 1, "standard input can be read once only: name it once");
    let mounts = options.mounts.as_deref().map(mounts_of).transpose()?;
    ensure!(
        mounts.is_none() || options.merge || options.inputs.len() == 1,
        "{} inputs of different hosts, and mounts of one: ingest each with its own",
        options.inputs.len()
    );
    progress.begin("ingest", Unit::Bytes, options.inputs.iter().map(Input::size).sum());

    let parts = parts(options)?;
    // Goes after the drafts in it.
    let _fleet = (parts.len() > 1).then(|| Place::begin(&options.out)).transpose()?;
    let mut done = Vec::new();
    for part in parts {
        let draft = Draft::create(&part.dir, Kind::Capture)?;
        let captured = make(&part, &draft)?;
        done.push((draft, captured));
    }
    let mut summary = Summary { ledger: Ledger::default(), captures: Vec::new() };
    for (draft, captured) in done {
        losses::write(&draft, &Lost::some(captured.losses.clone()).collect::<Vec<_>>())?;
        let mut manifest = manifest(&captured, options)?;
        if let Some(mounts) = &mounts {
            manifest.insert(mounts::KEY.into(), mounts::to_json(mounts));
        }
        draft.commit(manifest)?;
        summary.ledger.add(&captured.ledger);
        summary.captures.push(captured);
    }
    Ok(summary)
}

/// Reads the mounts of the captured machine from a copy of its /proc/self/mountinfo.
fn mounts_of(file: &Path) -> Result<Vec<Mount>> {
    let name = file.display();
    let text = files::given(file).with_context(|| format!("cannot read {name}"))?;
    let mounts = mounts::parse(&text).map_err(|line| anyhow!("{name}:{line} is no line of /proc/self/mountinfo"))?;
    ensure!(mounts.iter().any(|mount| mount.path == b"/"), "{name} has no mount of /: it is no copy of /proc/self/mountinfo");
    Ok(mounts)
}

/// The inputs of one capture dataset, its directory, and the name of its host.
pub(crate) struct Part<'a> {
    /// Name of the host, for column `host`.
    pub host: String,
    /// Directory of the dataset.
    pub dir: PathBuf,
    /// What it is made of.
    pub inputs: Vec<&'a Input>,
}

fn parts(options: &Options) -> Result<Vec<Part<'_>>> {
    let Options { inputs, out, host, merge, .. } = options;
    if inputs.len() == 1 || *merge {
        let first = &inputs[0];
        let host = host.clone().unwrap_or_else(|| match first.pid().filter(|_| *merge) {
            Some(pid) => first.stem().trim_end_matches(&format!(".{pid}")).to_owned(),
            None => first.stem(),
        });
        return Ok(vec![Part { host, dir: out.clone(), inputs: inputs.iter().collect() }]);
    }
    if let Some(host) = host {
        bail!("{} inputs, and --host {host} names one: with --merge they are parts of one capture", inputs.len());
    }
    let mut seen = HashSet::new();
    inputs
        .iter()
        .map(|input| {
            let host = input.stem();
            ensure!(
                seen.insert(host.clone()),
                "two inputs would be of host {host}: parts of one capture need --merge, different hosts different file names"
            );
            let dir = out.join(fleet::dataset(&host));
            Ok(Part { host, dir, inputs: vec![input] })
        })
        .collect()
}

fn manifest(captured: &Captured, options: &Options) -> Result<Manifest> {
    let serde_json::Value::Object(mut manifest) = serde_json::to_value(captured).context("the summary is no JSON object")? else {
        bail!("the summary is no JSON object")
    };
    // The directory changes when the dataset is moved.
    manifest.remove("dir");
    manifest.remove("losses"); // they are a table
    // Every capture says here how many events it has, whatever it was made from: generate checks its ledger against
    // this.
    manifest.insert("events".into(), json!(captured.events()));
    manifest.insert("source".into(), json!(captured.formats.first()));
    manifest.insert("merged".into(), json!(options.merge));
    if !options.command.is_empty() {
        manifest.insert("command".into(), json!(options.command));
    }
    Ok(manifest)
}
