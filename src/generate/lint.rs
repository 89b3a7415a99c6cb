//! The linter: what a workload asks for and cannot have. Each rule is a SQL file (`sql/lint`) over the tables of a workload, with what
//! it says of itself in its head; it gives a row for each fault.

use crate::engine::{Access, Engine, Settings, Stage};
use crate::schema::dataset::Kind;
use crate::schema::{Dataset, Table, check};
use crate::text::shown;
use anyhow::{Context, Result, anyhow};
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// Examples of a fault that are kept.
const EXAMPLES: usize = 5;

macro_rules! rules {
    ($($name:literal)*) => {
        /// The rules: each file gives a row for each fault, and none where there is nothing to say.
        pub static RULES: &[Stage] = &[$(Stage::new($name, include_str!(concat!("../../sql/lint/", $name, ".sql")))),*];
    };
}

rules! {
    "not_open" "closed" "no_path" "positions" "short_files" "edges_back" "refused_direct" "bad_names" "impossible" "not_issued" "not_compared"
}

/// How much a fault matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The replay fails there: calls that succeeded in the capture do not.
    Error,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Note => "note",
        }
    }
}

/// What the head of a rule says.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its title.
    pub title: String,
    /// What the fault is.
    pub meaning: String,
    /// How much it matters.
    pub severity: Severity,
    /// What to do about it.
    pub advice: String,
    /// Where that is known from.
    pub source: String,
}

/// A fault of a workload.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    /// Name of the rule.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Its title.
    pub title: String,
    /// What it means.
    pub meaning: String,
    /// What to do about it.
    pub advice: String,
    /// Some of the places where it is.
    pub examples: Vec<Example>,
    /// Are there more?
    pub more: bool,
}

/// A place where a fault is.
#[derive(Clone, Debug, Serialize)]
pub struct Example {
    /// What it is about: a path, or a descriptor.
    pub subject: String,
    /// What is there.
    pub evidence: String,
}

/// What the linter found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// How many rules were asked.
    pub rules: usize,
    /// Faults, errors first.
    pub faults: Vec<Fault>,
}

impl Report {
    /// Is there a fault for which a replay would fail?
    pub fn failed(&self) -> bool {
        self.faults.iter().any(|fault| fault.severity == Severity::Error)
    }

    /// Refuses a workload with an error.
    ///
    /// # Errors
    /// What is wrong, with examples and what to do.
    pub(super) fn pass(&self) -> Result<()> {
        let errors: Vec<&Fault> = self.faults.iter().filter(|fault| fault.severity == Severity::Error).collect();
        let Some((first, others)) = errors.split_last() else { return Ok(()) };
        let mut error = anyhow!("{}", first.line());
        for fault in others.iter().rev() {
            error = error.context(fault.line());
        }
        Err(error.context("the replay of this workload would fail, so it is not made"))
    }
}

impl Fault {
    /// The fault in one line.
    fn line(&self) -> String {
        let examples = self.examples.iter().map(|example| format!("{}: {}", shown(&example.subject), shown(&example.evidence)));
        let examples = examples.collect::<Vec<_>>().join("; ");
        let more = if self.more { "; and more" } else { "" };
        format!("{} ({}): {examples}{more}. {}", self.title, self.rule, self.advice)
    }
}

/// Reads the head of a rule.
///
/// # Errors
/// When its severity is not known.
pub fn head(rule: &Stage) -> Result<Head> {
    let doc = rule.doc()?;
    let severity = [Severity::Error, Severity::Note].into_iter().find(|severity| severity.name() == doc.mark("severity"));
    let severity = severity.with_context(|| format!("{}.sql: @severity", rule.name))?;
    let meaning = doc.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = |word| doc.mark(word).to_owned();
    Ok(Head { title: said("title"), meaning, severity, advice: said("advice"), source: said("source") })
}

/// Asks all rules of the workload whose tables the engine has.
///
/// # Errors
/// When a rule cannot be answered.
pub(super) fn ask(engine: &Engine) -> Result<Report> {
    let mut report = Report { rules: RULES.len(), faults: Vec::new() };
    for rule in RULES {
        let answer = engine.first(&rule.sql, EXAMPLES).with_context(|| format!("rule {}", rule.name))?;
        let mut examples = Vec::new();
        for batch in &answer.batches {
            let [subjects, evidences] = [0, 1].map(|at| cast(batch.column(at), &DataType::Utf8));
            let (subjects, evidences) = (subjects?, evidences?);
            let (subjects, evidences) = (subjects.as_string::<i32>(), evidences.as_string::<i32>());
            let text = |column: &arrow::array::StringArray, row| {
                if column.is_valid(row) { column.value(row).to_owned() } else { String::new() }
            };
            examples.extend(
                (0..batch.num_rows()).map(|row| Example { subject: text(subjects, row), evidence: text(evidences, row) }),
            );
        }
        if !examples.is_empty() {
            let Head { title, meaning, severity, advice, .. } = head(rule)?;
            report.faults.push(Fault { rule: rule.name, severity, title, meaning, advice, examples, more: answer.more });
        }
    }
    report.faults.sort_by_key(|fault| fault.severity);
    Ok(report)
}

/// Asks all rules of a workload, as `ioriot lint` does. `memory` is in bytes.
///
/// # Errors
/// When the directory is no workload, or one of its tables is damaged.
pub fn run(dir: &Path, memory: u64) -> Result<Report> {
    let workload = Dataset::expect(dir, Kind::Workload)?;
    let engine = Engine::new(&Settings { memory, access: Access::Tables, ..Settings::default() })?;
    for table in Table::ALL.iter().filter(|table| table.kind() == Kind::Workload) {
        let file = workload.table(*table);
        engine.register(table.name(), &file, check::whole(&file)?)?;
    }
    ask(&engine)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(f, "{}: {} ({})", fault.severity.name(), fault.title, fault.rule)?;
            writeln!(f, "  {}", fault.meaning)?;
            for example in &fault.examples {
                writeln!(f, "    {}: {}", shown(&example.subject), shown(&example.evidence))?;
            }
            if fault.more {
                writeln!(f, "    and more")?;
            }
            writeln!(f, "  {}", fault.advice)?;
        }
        let errors = self.faults.iter().filter(|fault| fault.severity == Severity::Error).count();
        match errors {
            0 => write!(f, "No errors: {} rules asked.", self.rules),
            _ => write!(f, "{} of {} rules say that the replay would fail.", errors, self.rules),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_head_is_complete() {
        for rule in RULES {
            let head = head(rule).unwrap();
            for said in [&head.title, &head.meaning, &head.advice, &head.source] {
                assert!(!said.is_empty(), "{}", rule.name);
            }
        }
    }
}
