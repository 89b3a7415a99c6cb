//! `ioriot compare`: groups of runs or captures side by side, with what can be said of their differences.
//!
//! The run is the unit of repetition: calls of one run are not independent of each other. So a group is as many values as it has
//! runs, and with few runs nothing is said for sure.

mod distances;
mod facts;
mod junit;
mod measure;
mod show;

use crate::files;
use crate::process::stdio;
use crate::report::page::{self, Form};
use crate::schema::place;
use crate::statistics::difference::ENOUGH;
use anyhow::{Context, Result, bail, ensure};
use facts::Group;
use measure::Pair;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where the facts of a group come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Directories of runs or captures that are repeats of each other.
    Datasets(Vec<PathBuf>),
    /// A file that [`Options::save`] has made.
    Baseline(PathBuf),
}

/// Form of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A page.
    Page(Form),
    /// JUnit XML.
    Junit,
}

/// What `ioriot compare` is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The groups, each with its name; the first is what the others are compared with.
    pub groups: Vec<(String, Source)>,
    /// Form of the comparison.
    pub shape: Shape,
    /// File to write it to; `None`: standard output.
    pub out: Option<PathBuf>,
    /// File to write the facts of the first group to, as a baseline.
    pub save: Option<PathBuf>,
    /// Share of the first group's time by which the others may be slower.
    pub limit: Option<f64>,
    /// Bytes of memory that the SQL engine may use for captures.
    pub memory: u64,
}

/// Compares groups, as `ioriot compare` does. Returns a text for each difference that is more than noise and over the limit.
///
/// # Errors
/// When a dataset cannot be opened, groups cannot be compared, there are too few runs for the limit, or something cannot be
/// written.
pub fn run(options: &Options) -> Result<Vec<String>> {
    let dirs: Vec<PathBuf> = options.groups.iter().filter_map(|(_, source)| datasets(source)).flatten().cloned().collect();
    for out in options.out.iter().chain(&options.save) {
        place::foreign(out, &dirs)?;
    }
    let group = |(label, source): &(String, Source)| match source {
        Source::Datasets(dirs) => Group::of(label.clone(), dirs, options.memory),
        Source::Baseline(file) => Group::read(file),
    };
    let mut groups = options.groups.iter().map(group).collect::<Result<Vec<_>>>()?;
    if groups.iter().any(Group::captured) {
        for (group, (_, source)) in groups.iter_mut().zip(&options.groups) {
            datasets(source).map_or(Ok(()), |dirs| group.look_closer(dirs, options.memory))?;
        }
    }
    let (first, others) = groups.split_first().context("name what is to be compared")?;
    ensure!(!others.is_empty() || options.save.is_some(), "name another group to compare {} with", first.label);
    let pairs = others.iter().map(|other| Pair::of(first, other)).collect::<Result<Vec<_>>>()?;
    if let Some(pair) = pairs.iter().find(|pair| options.limit.is_some() && !pair.enough()) {
        let (n, m) = pair.runs;
        bail!(
            "a limit needs {ENOUGH} runs of each group at least, and {} has {n}, {} has {m}: `ioriot replay --repeat` makes more",
            pair.first,
            pair.second
        );
    }
    let untimed = |pair: &&Pair| pair.whole.as_ref().is_none_or(|whole| whole.p.is_none());
    if let Some(pair) = pairs.iter().find(untimed).filter(|_| options.limit.is_some()) {
        bail!(
            "a limit needs the time of {ENOUGH} runs of each group, and not so many of {} and {} tell it",
            pair.first,
            pair.second
        );
    }
    if let Some(file) = &options.save {
        written(file, &first.baseline()?)?;
    }
    if !pairs.is_empty() {
        match options.shape {
            Shape::Page(form) => page::write(&show::page(&groups, &pairs), form, options.out.as_deref())?,
            Shape::Junit => {
                let text = junit::render(&pairs, options.limit);
                match &options.out {
                    Some(file) => written(file, &text)?,
                    None => stdio::Answer.write_all(text.as_bytes()).context("cannot write to standard output")?,
                }
            }
        }
    }
    let over = options.limit.into_iter().flat_map(|limit| pairs.iter().flat_map(move |pair| pair.regressions(limit)));
    Ok(over.map(junit::said).collect())
}

fn datasets(source: &Source) -> Option<&Vec<PathBuf>> {
    match source {
        Source::Datasets(dirs) => Some(dirs),
        Source::Baseline(_) => None,
    }
}

fn written(file: &Path, text: &str) -> Result<()> {
    files::write(file, |mut made| Ok(made.write_all(text.as_bytes())?))
}
