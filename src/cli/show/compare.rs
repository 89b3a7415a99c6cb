//! `ioriot compare`: groups of runs or captures side by side.

use super::report::PageFormat;
use super::{Exit, given};
use crate::amount::typed;
use crate::fleet;
use crate::process::stdio;
use crate::report::compare::{self, Shape, Source};
use crate::report::page::Form;
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use crate::store;
use crate::text::shown_lines;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Greatest number of a run of a group that is looked for: one of them may be missing, or have been put elsewhere.
const MOST: usize = 1000;

/// Compare runs, or groups of repeated runs, with statistics
///
/// The first group is the baseline, with which each of the others is compared: time as a whole and of each call, percentiles,
/// outcomes, end states. A group is a run, a capture, a directory that holds runs, the runs NAME-1, NAME-2 ... that `ioriot replay
/// --repeat` makes, or a file made by --save-baseline. From 5 runs of each group on, differences have an interval and a verdict
/// whether they are more than noise. With --max-regression it exits with 1 when something is slower by more than that.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot compare run-ext4 run-xfs                         # two runs: differences without interval
  ioriot replay work -o before --repeat 7                 # before-1 ... before-7
  ioriot compare before after                             # two groups of them
  ioriot compare before after --max-regression 5% --format junit -o compare.xml
  ioriot compare before --save-baseline baseline.json
  ioriot compare baseline.json after --max-regression 5%
  ioriot compare cap-monday cap-friday -o captures.html")]
pub struct Args {
    /// Runs, captures, groups of runs, or baseline files
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<PathBuf>,
    /// Exit with 1 when the whole or a call is slower than in the first group by more than this, and by more than noise
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    max_regression: Option<f64>,
    /// Keep what is compared of the first group in this file, which can be named in its place
    #[arg(long, value_name = "FILE")]
    save_baseline: Option<PathBuf>,
    /// Write to this file; its ending says the format unless --format does
    #[arg(short, long = "output", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Form of the comparison (default: text, or what the ending of FILE says)
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Memory for the events of captures, before they spill to files without a name (in TMPDIR, else /tmp): bytes with unit K, M
    /// or G
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = typed::bytes)]
    memory: u64,
}

/// Form of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables for a terminal
    Text,
    /// One HTML file that loads nothing
    Html,
    /// The data
    Json,
    /// Markdown
    Md,
    /// JUnit XML: a test case for each difference
    Junit,
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        let page = |format| Shape::Page(PageFormat::form(format, self.out.as_ref()));
        let shape = match self.format {
            Some(Format::Text) => Shape::Page(Form::Text),
            Some(Format::Html) => page(Some(PageFormat::Html)),
            Some(Format::Json) => page(Some(PageFormat::Json)),
            Some(Format::Md) => page(Some(PageFormat::Md)),
            Some(Format::Junit) => Shape::Junit,
            None if self.out.as_ref().and_then(|out| out.extension()).is_some_and(|end| end == "xml") => Shape::Junit,
            None => page(None),
        };
        let groups = self.groups.iter().map(|name| group(name)).collect::<Result<_>>()?;
        let (save, limit, memory) = (self.save_baseline, self.max_regression, self.memory);
        let over = compare::run(&compare::Options { groups, shape, out: self.out, save, limit, memory })?;
        for one in &over {
            stdio::complain(shown_lines(&format!("slower than allowed: {one}")));
        }
        Ok(Exit::good(over.is_empty()))
    }
}

/// What a name stands for.
fn group(name: &Path) -> Result<(String, Source)> {
    let places = store::places(name.to_owned())?;
    if places.len() > 1 || places.iter().any(|place| store::is(place)) {
        return Ok((given::label(name), Source::Datasets(places)));
    }
    let name = places.first().map_or(name, PathBuf::as_path);
    let label = given::label(name.components().as_path());
    let found = |dirs| Ok((label.clone(), Source::Datasets(dirs)));
    if name.is_file() {
        return Ok((label, Source::Baseline(name.to_owned())));
    }
    if Dataset::kind_at(name).is_some() {
        return found(vec![name.to_owned()]);
    }
    if let Some(parts) = given::parts(name) {
        let of = |kind: Kind| parts.iter().filter(|part| part.kind == kind).map(|part| part.dir.clone()).collect::<Vec<_>>();
        return match (of(Kind::Run), of(Kind::Capture)) {
            (runs, _) if !runs.is_empty() => found(runs),
            (_, captures) if !captures.is_empty() => found(captures),
            _ => bail!("{} holds neither runs nor captures", name.display()),
        };
    }
    let numbered = |number: usize| {
        let mut run = OsString::from(name.components().as_path());
        run.push(format!("-{number}"));
        PathBuf::from(run)
    };
    let runs: Vec<PathBuf> = (1..=MOST).map(numbered).filter(|run| Dataset::kind_at(run) == Some(Kind::Run)).collect();
    if runs.is_empty() {
        fleet::refuse(name)?;
        // The error says what is wrong with the name itself.
        Dataset::open(name).with_context(|| format!("there are no runs {0}-1, {0}-2 ... either", label))?;
    }
    found(runs)
}

/// A share that is typed as percent, with or without the sign.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim_end();
    match number.parse::<f64>() {
        Ok(percent) if percent.is_finite() && percent >= 0.0 => Ok(percent / 100.0),
        _ => Err("a number of percent from 0 on, such as 5%, is expected".into()),
    }
}
