//! `ioriot report`: a page on datasets.

#[cfg(feature = "cluster")]
use super::Asked;
use super::{Exit, given};
use crate::amount::typed;
use crate::fleet;
use crate::report::page::{self, Form};
use anyhow::Result;
use clap::ValueEnum;
use std::path::PathBuf;

/// Make a report on a capture, a workload or runs, as text or one HTML file
///
/// Says what the calls on files were, how long they took, on which files, in which sizes and order; of a run also how it compares
/// with the capture. Findings are rules in SQL with their evidence and advice. Every plot shows the SQL that made it, which
/// `ioriot query` answers too. Runs are taken together with their workload, and a workload with its capture, where these are named.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot report cap                                       # text, on the terminal
  ioriot report cap -o cap.html
  ioriot report matrix.ioriot -o matrix.html              # what `ioriot run` made
  ioriot report work run-ext4 run-xfs -o runs.html
  ioriot report cap --format json -o cap.json")]
pub struct Args {
    /// Captures, workloads and runs
    #[arg(required = true, value_name = "DATASET")]
    datasets: Vec<PathBuf>,
    /// Write to this file; its ending says the format unless --format does
    #[arg(short, long = "output", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Form of the report (default: text, or what the ending of FILE says)
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<PageFormat>,
    /// Memory for sorts and aggregations, before they spill to files without a name (in TMPDIR, else /tmp): bytes with unit K, M
    /// or G
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = typed::bytes)]
    memory: u64,
    #[cfg(feature = "cluster")]
    #[command(flatten)]
    cluster: Asked,
}

/// Form of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PageFormat {
    /// Tables for a terminal
    Text,
    /// One HTML file that loads nothing
    Html,
    /// The data behind the plots
    Json,
    /// Markdown
    Md,
}

impl PageFormat {
    /// The form that is asked for by an option, by the ending of a file's name, or by nothing.
    pub fn form(asked: Option<PageFormat>, out: Option<&PathBuf>) -> Form {
        match asked {
            Some(PageFormat::Text) => Form::Text,
            Some(PageFormat::Html) => Form::Html,
            Some(PageFormat::Json) => Form::Json,
            Some(PageFormat::Md) => Form::Markdown,
            None => out.and_then(|file| Form::of(file)).unwrap_or(Form::Text),
        }
    }
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        let form = PageFormat::form(self.format, self.out.as_ref());
        let datasets = given::datasets(self.datasets)?;
        datasets.iter().try_for_each(|dir| fleet::refuse(dir))?;
        page::run(&page::Options {
            datasets,
            form,
            out: self.out,
            memory: self.memory,
            #[cfg(feature = "cluster")]
            cluster: self.cluster.target(),
        })?;
        Ok(Exit::Done)
    }
}
