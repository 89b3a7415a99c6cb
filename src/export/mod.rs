//! `ioriot export`: what datasets hold in the forms of other tools.
//!
//! ```text
//! dataset ──▶ SQL (sql/export) ──▶ rows, a batch at a time ──▶ writer of a form ──▶ file or standard output
//! ```
//! What a form cannot say is left out and counted ([`Left`]). docs/EXPORT.md has what each form holds.

mod folded;
mod iolog;
mod jobs;
mod perfetto;
mod rows;
mod strace;

use crate::engine::{Access, Stage};
use crate::files;
use crate::process::stdio;
use crate::report::look::{self, Look};
use crate::report::tables::Desk;
use crate::rows::{Format, Shape};
use crate::schema::dataset::Kind;
use crate::schema::{Dataset, Table, place};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

macro_rules! exports {
    ($($name:literal)*) => {
        /// The statements of SQL that exports are made from.
        pub static EXPORTS: &[Stage] = &[$(Stage::new($name, include_str!(concat!("../../sql/export/", $name, ".sql")))),*];
    };
}

exports! { "folded" "iolog" "jobs" "job_files" "slices" "commands" "lines" }

/// Form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Stacks of directories, file and call with a weight, a line each, for flame graphs.
    Folded(Weight),
    /// A log of fio's version 3 for `fio --read_iolog`.
    FioIolog,
    /// A job file of fio.
    FioJobs,
    /// A trace of Perfetto.
    Perfetto,
    /// Output of strace.
    Strace,
    /// The source of a program in C that issues the ops of a workload.
    C,
    /// A table or view as it is.
    Table(Format),
}

/// What a stack weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weight {
    /// Time in the calls, ns.
    #[default]
    Time,
    /// Bytes that they moved.
    Bytes,
    /// How many they are.
    Calls,
}

/// What `ioriot export` is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directories of the datasets.
    pub datasets: Vec<PathBuf>,
    /// Form of the export.
    pub form: Form,
    /// Of [`Form::Table`] the table or view; `None`: events, ops or results, as the dataset has them.
    pub table: Option<String>,
    /// File to write to; `None`: standard output.
    pub out: Option<PathBuf>,
    /// Bytes of memory that sorts, joins and aggregations may hold together before they spill to disk.
    pub memory: u64,
}

/// What an export leaves out or changes, with how often.
#[derive(Debug, Default)]
pub struct Left(BTreeMap<String, u64>);

impl Left {
    /// Counts one of a kind; the text goes on after the number.
    pub(crate) fn add(&mut self, what: &str) {
        self.some(what, 1);
    }

    /// Counts this many.
    pub(crate) fn some(&mut self, what: &str, count: u64) {
        match self.0.get_mut(what) {
            Some(known) => *known += count,
            None if count > 0 => drop(self.0.insert(what.to_owned(), count)),
            None => {}
        }
    }

    /// A line for each kind.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(what, count)| format!("{count} {what}"))
    }
}

/// Exports datasets; says what the form could not take.
///
/// # Errors
/// When a dataset cannot be opened, it has not what the form is made from, or the file cannot be written.
pub fn run(options: &Options) -> Result<Left> {
    options.out.as_deref().map_or(Ok(()), |out| place::foreign(out, &options.datasets))?;
    if let Form::Table(format) = options.form {
        return table(options, format).map(|()| Left::default());
    }
    let mut left = Left::default();
    match &options.out {
        Some(file) => files::write(file, |made| {
            let mut out = BufWriter::new(made);
            left = write(options, &mut out)?;
            Ok(out.flush()?)
        })?,
        None => {
            let mut out = BufWriter::new(stdio::Answer);
            left = write(options, &mut out)?;
            out.flush().context("cannot write to standard output")?;
        }
    }
    Ok(left)
}

/// Writes a form that is no table.
fn write(options: &Options, out: &mut (dyn Write + Send)) -> Result<Left> {
    let write: fn(&Source<'_>, &mut (dyn Write + Send)) -> Result<Left> = match options.form {
        Form::Table(_) => return Ok(Left::default()),
        Form::C => return program(options, out),
        Form::Folded(Weight::Time) => |source, out| folded::write(source, Weight::Time, out),
        Form::Folded(Weight::Bytes) => |source, out| folded::write(source, Weight::Bytes, out),
        Form::Folded(Weight::Calls) => |source, out| folded::write(source, Weight::Calls, out),
        Form::FioIolog => iolog::write,
        Form::FioJobs => jobs::write,
        Form::Perfetto => perfetto::write,
        Form::Strace => strace::write,
    };
    let desk = Desk::open(&options.datasets, Access::Tables, options.memory)?;
    write(&Source { desk: &desk }, out)
}

#[cfg(target_arch = "x86_64")]
fn program(options: &Options, out: &mut (dyn Write + Send)) -> Result<Left> {
    let mut workloads = Vec::new();
    for dir in &options.datasets {
        workloads.extend(Some(dir).filter(|_| Dataset::open(dir).is_ok_and(|data| data.kind == Kind::Workload)));
    }
    let [workload] = workloads.as_slice() else {
        bail!("a C program is made from one workload: `ioriot generate` makes one of a capture")
    };
    crate::program::write(workload, out)
}

#[cfg(not(target_arch = "x86_64"))]
fn program(_options: &Options, _out: &mut (dyn Write + Send)) -> Result<Left> {
    bail!("the program issues the calls of x86_64")
}

fn table(options: &Options, format: Format) -> Result<()> {
    let Options { datasets, out, memory, .. } = options.clone();
    let kinds = datasets.iter().map(|dir| Dataset::open(dir).map(|data| data.kind)).collect::<Result<Vec<_>>>()?;
    let last = kinds.iter().max_by_key(|kind| **kind as u8).context("name a dataset")?;
    let main = match last {
        Kind::Capture => "events",
        Kind::Workload => "ops",
        Kind::Run => "results",
    };
    let table = Some(options.table.clone().unwrap_or_else(|| main.into()));
    look::run(&Look { datasets, table, rows: None, format, shape: Shape::Table, out, memory })
}

/// The datasets that are exported.
struct Source<'a> {
    desk: &'a Desk,
}

impl Source<'_> {
    /// Hands the rows of one of [`EXPORTS`] to `take`, a batch at a time.
    ///
    /// # Errors
    /// When the datasets do not have what it is made from, or `take` fails.
    fn each(&self, name: &str, mut take: impl FnMut(&rows::Rows<'_>) -> Result<()> + Send) -> Result<()> {
        let stage =
            EXPORTS.iter().find(|stage| stage.name == name).with_context(|| format!("there is no sql/export/{name}.sql"))?;
        for need in &stage.doc()?.needs {
            if !self.desk.has(std::slice::from_ref(need)) {
                let why = self.desk.missing.get(need.as_str()).map_or(String::new(), |why| format!(": {why}"));
                let of = Table::ALL.iter().find(|table| table.name() == need).map(|table| table.kind().name());
                let of = of.map_or("capture or a workload".into(), |kind| format!("{kind}: this form is made from one"));
                bail!("there is no {need}{why}: export a {of}");
            }
        }
        let captures = self.desk.datasets().iter().filter(|data| data.kind == Kind::Capture).count();
        ensure!(captures < 2, "one capture at a time can be exported, and there are {captures}");
        self.desk.engine.each(&stage.text(), |batch| take(&rows::Rows(&batch)).map(|()| true))
    }
}
