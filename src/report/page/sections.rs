//! The sections and findings of a report: a SQL file each, with what it says of itself in its head.

use super::plot::Plot;
use crate::engine::Stage;
use crate::report::{REPORTS, VIEWS};
use crate::schema::Table;
use crate::schema::dataset::Kind;
use anyhow::{Context, Result};
use serde::Serialize;

macro_rules! files {
    ($(#[$doc:meta])* $list:ident $dir:literal: $($name:literal)*) => {
        $(#[$doc])*
        pub static $list: &[Stage] = &[$(Stage::new($name, include_str!(concat!("../../../sql/", $dir, "/", $name, ".sql")))),*];
    };
}

files! {
    /// The sections, in the order in which they stand in their parts.
    SECTIONS "sections":
    "machine" "losses"
    "call_rate" "throughput" "run_rate"
    "mix" "sizes"
    "run_cdf" "latency_cdf" "latency_heat" "run_heat" "replayed_calls" "slowest_calls"
    "files" "directories" "contents" "replayed_files"
    "processes"
    "in_flight" "in_flight_over_time"
    "offsets" "sequentiality"
    "waiting" "edge_reasons" "busy_lanes" "worker_time"
    "events_ledger" "bytes_ledger"
    "fidelity" "differing_calls" "caveats"
    "end_state"
    "disks" "pressure" "device_use"
}

files! {
    /// The findings: each file gives a row for what it has found, and none where there is nothing to say.
    FINDINGS "findings":
    "not_comparable" "lost_events" "sync_per_small_write" "small_synchronous_writes" "unaligned_direct"
    "random_reads_of_whole_file" "missing_paths" "metadata_share" "one_file" "rewritten_ranges" "small_sequential_reads"
    "readahead_useless" "opened_again" "failing_calls" "slow_tail" "workers_starved" "time_not_believable"
}

/// Parts of a report, in order: word in the heads of sections, and title.
pub const PARTS: &[(&str, &str)] = &[
    ("what", "What it is"),
    ("time", "Time line"),
    ("sizes", "Sizes"),
    ("latency", "Latencies"),
    ("files", "Files"),
    ("processes", "Processes"),
    ("concurrency", "Concurrency"),
    ("offsets", "Offsets"),
    ("order", "Order and waiting"),
    ("ledger", "Ledger"),
    ("fidelity", "Fidelity"),
    ("state", "End state"),
    ("machine", "The machine during the run"),
];

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It decides how long the program takes, or whether the report can be believed.
    High,
    /// It costs time that can be saved.
    Medium,
    /// It costs little, or only sometimes.
    Low,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::High => "high",
            Severity::Medium => "medium",
            Severity::Low => "low",
            Severity::Info => "info",
        }
    }

    fn parse(word: &str) -> Option<Severity> {
        [Severity::High, Severity::Medium, Severity::Low, Severity::Info].into_iter().find(|severity| severity.name() == word)
    }
}

/// What the head of a section says.
#[derive(Clone, Debug)]
pub struct SectionHead {
    /// Its title.
    pub title: String,
    /// What it shows, in a sentence or two.
    pub meaning: String,
    /// Number of its part in [`PARTS`].
    pub part: usize,
    /// How it is drawn.
    pub plot: Plot,
    /// Relations that it needs.
    pub needs: Vec<String>,
    /// Name and meaning of each column.
    pub columns: Vec<(String, String)>,
}

/// What the head of a finding says.
#[derive(Clone, Debug)]
pub struct FindingHead {
    /// Its title.
    pub title: String,
    /// The condition under which it holds.
    pub meaning: String,
    /// How much it matters.
    pub severity: Severity,
    /// What can be done.
    pub advice: String,
    /// Where that is known from.
    pub source: String,
    /// Relations that it needs.
    pub needs: Vec<String>,
}

/// Reads the head of a section.
///
/// # Errors
/// When it lacks something, or draws a column that the SQL does not make.
pub fn section(stage: &Stage) -> Result<SectionHead> {
    let doc = stage.doc()?;
    let part = PARTS.iter().position(|(word, _)| *word == doc.mark("part"));
    let part = part.with_context(|| format!("{}.sql: there is no part {:?}", stage.name, doc.mark("part")))?;
    let names: Vec<&str> = doc.columns.iter().map(|(name, ..)| name.as_str()).collect();
    let plot = Plot::parse(doc.mark("plot"), &names).with_context(|| format!("{}.sql: @plot", stage.name))?;
    let columns = doc.columns.iter().map(|(name, _, meaning)| (name.clone(), meaning.clone())).collect();
    Ok(SectionHead { title: doc.mark("title").into(), meaning: prose(&doc.text), part, plot, needs: doc.needs, columns })
}

/// Reads the head of a finding.
///
/// # Errors
/// When it has no severity that is known.
pub fn finding(stage: &Stage) -> Result<FindingHead> {
    let doc = stage.doc()?;
    let severity = Severity::parse(doc.mark("severity")).with_context(|| format!("{}.sql: @severity", stage.name))?;
    let said = |word| doc.mark(word).to_owned();
    let meaning = prose(&doc.text);
    Ok(FindingHead { title: said("title"), meaning, severity, advice: said("advice"), source: said("source"), needs: doc.needs })
}

/// The lines of a head as one text.
fn prose(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The SQL of a file without its head, for people who want to ask it themselves.
pub fn statement(stage: &Stage) -> &str {
    let mut rest = &*stage.sql;
    while let Some(after) = rest.strip_prefix("--").and_then(|line| line.split_once('\n')) {
        rest = after.1;
    }
    rest.trim_end()
}

/// Is one of these relations made of a table of a run?
pub fn of_run(needs: &[String]) -> bool {
    needs.iter().any(|need| match Table::ALL.iter().find(|table| table.name() == need) {
        Some(table) => table.kind() == Kind::Run,
        None => {
            let view = VIEWS.iter().chain(REPORTS).find(|view| view.name == need);
            view.and_then(|view| view.doc().ok()).is_some_and(|doc| of_run(&doc.needs))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_head_is_complete() {
        for stage in SECTIONS {
            let head = section(stage).unwrap();
            assert!(!head.title.is_empty() && !head.meaning.is_empty() && !head.needs.is_empty(), "{}", stage.name);
            assert!(statement(stage).starts_with("WITH") || statement(stage).starts_with("SELECT"), "{}", statement(stage));
        }
        for stage in FINDINGS {
            let head = finding(stage).unwrap();
            for said in [&head.title, &head.meaning, &head.advice, &head.source] {
                assert!(!said.is_empty(), "{}", stage.name);
            }
        }
    }

    #[test]
    fn what_needs_a_run_is_known_through_views() {
        let needs = |name: &str| vec![name.to_owned()];
        assert!(["results", "latency", "workers", "timeline", "state"].iter().all(|name| of_run(&needs(name))));
        assert!(["io", "accesses", "calls", "manifests", "fates"].iter().all(|name| !of_run(&needs(name))));
    }

    #[test]
    fn parts_have_sections() {
        for (at, (part, _)) in PARTS.iter().enumerate() {
            assert!(SECTIONS.iter().any(|stage| section(stage).unwrap().part == at), "{part}");
        }
    }
}
