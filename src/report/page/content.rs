//! A report as data: what is written as HTML, text, Markdown or JSON.

use super::cell::{Cell, Unit};
use super::plot::Plot;
use super::sections::Severity;
use serde::Serialize;

/// A report.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Page {
    /// Its title.
    pub title: String,
    /// Version of ioriot that made it.
    pub ioriot: &'static str,
    /// The datasets that it is about.
    pub datasets: Vec<Named>,
    /// What was found, what matters most first.
    pub findings: Vec<Finding>,
    /// Number of rules that were tried to find something.
    pub rules: usize,
    /// The parts, without those that have nothing to show.
    pub parts: Vec<Part>,
    /// Sections without rows.
    pub empty: Vec<String>,
    /// Commands that do it again.
    pub commands: Vec<String>,
    /// What is to be known of the report itself.
    pub notes: Vec<String>,
}

/// A dataset.
#[derive(Clone, Debug, Serialize)]
pub struct Named {
    /// Its directory.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
}

/// Something that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Name of its file.
    pub name: &'static str,
    /// Its title.
    pub title: String,
    /// In which of several cases; `None` if there is one only.
    pub case: Option<String>,
    /// How much it matters.
    pub severity: Severity,
    /// The condition under which it holds.
    pub meaning: String,
    /// What can be done.
    pub advice: String,
    /// Where that is known from.
    pub source: String,
    /// What it is about, the numbers, and the time of the calls.
    pub evidence: Vec<Evidence>,
    /// The SQL that found it.
    pub sql: String,
}

/// What a finding is about.
#[derive(Clone, Debug, Serialize)]
pub struct Evidence {
    /// A path, a class of calls, or all.
    pub subject: String,
    /// The numbers.
    pub numbers: String,
    /// Time of the calls, ns; `None` when that says nothing.
    pub cost_ns: Option<i64>,
}

/// A part of a report.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// Its word.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Its sections.
    pub sections: Vec<Section>,
}

/// A table or a plot.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// Name of its file.
    pub name: &'static str,
    /// Its title.
    pub title: String,
    /// In which of several cases; `None` if there is one only.
    pub case: Option<String>,
    /// What it shows.
    pub meaning: String,
    /// How it is drawn.
    pub plot: Plot,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows.
    pub rows: Vec<Vec<Cell>>,
    /// Were there more rows than these?
    pub more: bool,
    /// The SQL that made it; `None` when none did.
    pub sql: Option<String>,
}

/// A column of a section.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its meaning.
    pub meaning: String,
    /// Its unit.
    pub unit: Unit,
}

impl Column {
    /// A column whose unit its name tells.
    pub fn new(name: &str, meaning: &str) -> Column {
        Column { name: name.into(), meaning: meaning.into(), unit: Unit::of(name) }
    }

    /// The name for people: without the unit, which the values have.
    pub fn head(&self) -> String {
        let ends: &[&str] = match self.unit {
            Unit::Nanos => &["_ns"],
            Unit::Seconds => &["_s"],
            Unit::Rate | Unit::ByteRate => &["_per_s"],
            _ => &[],
        };
        let stem = ends.iter().find_map(|end| self.name.strip_suffix(end)).unwrap_or(&self.name);
        stem.replace('_', " ")
    }
}

impl Section {
    /// Number of the column of this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}
