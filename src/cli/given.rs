//! What people name where a dataset or a trace is wanted: the DIR of `ioriot run` stands for what is in it, and what cannot be
//! taken is called what it is, with the command that was meant.

use crate::files::Dir;
use crate::fleet;
use crate::ingest::look::{self, Look};
use crate::ingest::{Format, Input};
use crate::init::{Root, State};
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use crate::store;
use crate::text::{word, word_and};
use anyhow::{Result, bail, ensure};
use std::path::{Path, PathBuf};

/// The dataset of a kind that is meant by a name.
///
/// # Errors
/// When the name is that of something else; nothing is said here of what is not there at all.
pub fn dataset(name: PathBuf, kind: Kind) -> Result<PathBuf> {
    let name = store::place(name)?;
    let Some(parts) = parts(&name) else {
        fleet::refuse(&name)?;
        no_trace(&name)?;
        return Ok(name);
    };
    match one(&name, &parts, kind)? {
        Some(part) => Ok(part.dir.clone()),
        None => bail!("{} holds no {}{}", name.display(), kind.name(), next(&name, &parts)),
    }
}

/// The only dataset of a kind.
fn one<'p>(name: &Path, parts: &'p [Part], kind: Kind) -> Result<Option<&'p Part>> {
    let mut found = parts.iter().filter(|part| part.kind == kind);
    match (found.next(), found.next()) {
        (Some(one), Some(two)) => {
            let (name, one, two) = (name.display(), one.dir.display(), two.dir.display());
            bail!("{name} holds more than one {}: name the one that is meant, {one} or {two}", kind.name())
        }
        (one, _) => Ok(one),
    }
}

/// The workload that is meant by a name, and its root: where it was said, or where the name leads to expect it.
///
/// # Errors
/// As [`dataset`].
pub fn workload(name: PathBuf, root: Option<PathBuf>) -> Result<(PathBuf, PathBuf)> {
    let name = store::place(name)?;
    let workload = dataset(name.clone(), Kind::Workload)?;
    ensure!(root.is_some() || !store::is(&workload), "say where the tree of {} is: --root ROOT", name.display());
    let beside = || if workload == name { Root::beside(&workload) } else { name.join("root") };
    let root = root.unwrap_or_else(beside);
    Ok((workload, root))
}

/// The workload that is meant by a name or, where it leads to none, the capture that one can be made of.
///
/// # Errors
/// As [`dataset`].
#[cfg(feature = "sql")]
pub fn source(name: PathBuf) -> Result<(Kind, PathBuf)> {
    let name = store::place(name)?;
    let Some(parts) = parts(&name) else {
        fleet::refuse(&name)?;
        no_trace(&name)?;
        return Ok((Dataset::kind_at(&name).filter(|kind| *kind == Kind::Capture).unwrap_or(Kind::Workload), name));
    };
    for kind in [Kind::Workload, Kind::Capture] {
        if let Some(part) = one(&name, &parts, kind)? {
            return Ok((kind, part.dir.clone()));
        }
    }
    bail!("{} holds neither a workload nor a capture{}", name.display(), next(&name, &parts))
}

/// What a path is called in a table: its last part.
pub fn label(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The datasets that are meant by names, whatever they hold.
///
/// # Errors
/// As [`dataset`].
#[cfg(feature = "sql")]
pub fn datasets(names: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    let places = names.into_iter().map(store::places).collect::<Result<Vec<_>>>()?;
    for name in places.into_iter().flatten() {
        match parts(&name) {
            Some(parts) => {
                for kind in [Kind::Capture, Kind::Workload, Kind::Run] {
                    all.extend(one(&name, &parts, kind)?.map(|part| part.dir.clone()));
                }
            }
            None => {
                no_trace(&name)?;
                all.push(name);
            }
        }
    }
    Ok(all)
}

/// A name that is to be that of a trace.
///
/// # Errors
/// When it is that of a directory; what can be done with that is said.
pub fn trace(name: &Path) -> Result<()> {
    let shown = name.display();
    if name.as_os_str() == "-" || !name.is_dir() {
        return Ok(());
    }
    if let Some(kind) = Dataset::kind_at(name) {
        let dir = word(name);
        let what = match kind {
            Kind::Capture => format!("`ioriot generate {dir} -o {}` goes on from there", word_and(name, ".work")),
            Kind::Workload => {
                format!("`ioriot init {dir}` and `ioriot replay {dir} -o {}` go on from there", word_and(name, ".run"))
            }
            Kind::Run => format!("`ioriot query {dir} 'SELECT * FROM latency'` looks at it"),
        };
        bail!("{shown} is a {} and no trace: {what}", kind.name());
    }
    if let Some(parts) = parts(name) {
        bail!("{shown} was made by `ioriot run` and is no trace{}", next(name, &parts));
    }
    bail!("{shown} is a directory, and an input is a file");
}

/// How this program is called to look at what it makes: what a user made by sudo is for root's eyes.
pub fn program() -> &'static str {
    if std::env::var_os("SUDO_UID").is_some() { "sudo ioriot" } else { "ioriot" }
}

/// What comes next after the datasets in the DIR of `ioriot run`.
pub fn next(name: &Path, parts: &[Part]) -> String {
    let (dir, ioriot, is) = (word(name), program(), |kind: Kind| parts.iter().any(|part| part.kind == kind));
    let tree = Root::open(&name.join("root")).ok().flatten().and_then(|root| root.stamp().ok());
    let replay = |to: &str| format!("`{ioriot} replay {dir} -o {to}`");
    match tree.map(|stamp| stamp.state) {
        _ if is(Kind::Run) => format!(
            ": `{ioriot} query {dir} 'SELECT * FROM latency'` looks at it, `{ioriot} init {dir} --reset` and {} replay again",
            replay("run2")
        ),
        _ if !is(Kind::Workload) => format!(": `{ioriot} generate {dir} -o {}` goes on from there", word(&name.join("workload"))),
        None => format!(": `{ioriot} init {dir}` and {} go on from there", replay(&word(&name.join("run")))),
        Some(State::Fresh) => format!(": {} goes on from there", replay(&word(&name.join("run")))),
        Some(State::Used | State::Incomplete) => {
            format!(": `{ioriot} init {dir} --force` and {} go on from there", replay(&word(&name.join("run"))))
        }
    }
}

/// A dataset in the DIR of `ioriot run`.
#[derive(Debug)]
pub struct Part {
    /// Its place.
    pub dir: PathBuf,
    /// What it holds.
    pub kind: Kind,
}

/// The datasets in a directory that is none itself, in the order in which they are made; none when there are none. Several
/// hosts of one capture are for those who know hosts.
pub fn parts(name: &Path) -> Option<Vec<Part>> {
    if store::is(name) {
        return None;
    }
    let dir = Dir::open(name).ok()?;
    if dir.look("manifest.json").is_ok() {
        return None;
    }
    let mut parts = Vec::new();
    for (entry, _) in dir.entries().ok()? {
        let hidden = ["host=", "."].iter().any(|start| entry.to_string_lossy().starts_with(start));
        if !hidden && let Some(kind) = Dataset::kind_at(&name.join(&entry)) {
            parts.push(Part { dir: name.join(entry), kind });
        }
    }
    parts.sort_by(|a, b| (a.kind as u8, &a.dir).cmp(&(b.kind as u8, &b.dir)));
    (!parts.is_empty()).then_some(parts)
}

/// Refuses a file that stands where a dataset is wanted, if it is known what it is.
fn no_trace(name: &Path) -> Result<()> {
    if store::is(name) {
        return Ok(());
    }
    let (shown, file) = (name.display(), word(name));
    match look::look(name) {
        None => Ok(()),
        Some(Look::Replay) => bail!("{}", look::instead(&file)),
        Some(Look::Trace(format)) => {
            let cap = word_and(&name.with_file_name(Input::parse(name).stem()), ".cap");
            let what = match format {
                Format::Strace => "a log of strace",
                Format::Capture => "a .capture file",
            };
            bail!(
                "{shown} is {what} and no dataset: `ioriot ingest {file} -o {cap}` makes a capture of it, `ioriot run {file}` \
                 goes the whole way"
            )
        }
        Some(Look::Other) => {
            bail!("{shown} is a file, and a dataset is a directory: `ioriot ingest` or `ioriot capture` makes one")
        }
    }
}
