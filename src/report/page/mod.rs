//! `ioriot report`: a page on captures, workloads and runs, as HTML, text, Markdown or JSON.
//!
//! ```text
//! datasets ──▶ cases ──▶ sections and findings (sql/sections, sql/findings) ──▶ Page ──▶ html, text, markdown, json
//! ```
//! A section is a SQL file whose head says how it is drawn. All are aggregated by SQL into a fixed number of steps, so a page has the
//! same size for captures of any length.

mod again;
mod case;
pub mod cell;
pub mod content;
mod html;
mod make;
mod markdown;
pub mod plot;
pub mod sections;
mod text;

#[cfg(feature = "cluster")]
use crate::engine::cluster::Target;
use crate::files;
use crate::process::stdio;
use crate::schema::place;
use anyhow::{Context, Result};
use content::Page;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

pub use make::make;

/// Form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One HTML file that needs nothing else.
    Html,
    /// Tables for a terminal.
    Text,
    /// The data, as JSON.
    Json,
    /// Markdown.
    Markdown,
}

impl Form {
    /// The form that the end of a file's name asks for; `None` when it asks for none.
    pub fn of(file: &Path) -> Option<Form> {
        match file.extension()?.to_str()? {
            "html" | "htm" => Some(Form::Html),
            "txt" => Some(Form::Text),
            "json" => Some(Form::Json),
            "md" => Some(Form::Markdown),
            _ => None,
        }
    }
}

/// What `ioriot report` is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directories of the datasets.
    pub datasets: Vec<PathBuf>,
    /// Form of the report.
    pub form: Form,
    /// File to write it to; `None`: standard output.
    pub out: Option<PathBuf>,
    /// Bytes of memory that sorts, joins and aggregations may hold together before they spill to disk.
    pub memory: u64,
    /// The cluster that computes the rows; `None`: this machine.
    #[cfg(feature = "cluster")]
    pub cluster: Option<Target>,
}

/// Makes a report, as `ioriot report` does.
///
/// # Errors
/// When a dataset cannot be opened, a question cannot be answered, or the report cannot be written.
pub fn run(options: &Options) -> Result<()> {
    options.out.as_deref().map_or(Ok(()), |out| place::foreign(out, &options.datasets))?;
    let page = make(options)?;
    write(&page, options.form, options.out.as_deref())
}

/// Writes a report in this form to a file, or to standard output.
///
/// # Errors
/// When it cannot be written.
pub fn write(page: &Page, form: Form, out: Option<&Path>) -> Result<()> {
    let text = render(page, form)?;
    match out {
        Some(file) => files::write(file, |made| {
            let mut made = BufWriter::new(made);
            made.write_all(text.as_bytes())?;
            Ok(made.flush()?)
        }),
        None => {
            let mut out = stdio::Answer;
            out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to standard output")
        }
    }
}

/// The text of a report in this form.
///
/// # Errors
/// When a number is no JSON, which none is.
pub fn render(page: &Page, form: Form) -> Result<String> {
    Ok(match form {
        Form::Html => html::render(page)?,
        Form::Text => text::render(page),
        Form::Markdown => markdown::render(page),
        Form::Json => format!("{}\n", serde_json::to_string_pretty(page)?),
    })
}
