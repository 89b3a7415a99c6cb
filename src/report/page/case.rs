//! Cases: which datasets are looked at together. A run goes with its workload, a workload with its capture.

use super::content::Named;
use crate::report::views::{fingerprint, label};
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use anyhow::{Result, ensure};
use serde_json::Value;
use std::path::PathBuf;

/// Most cases of a report: each is worked out by itself, and a page holds no more.
const MOST: usize = 8;

/// What of a case is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Whole,
    /// What is about its run: the rest is shown by the case before.
    Run,
}

/// Datasets that belong together: at most one of each kind.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name among several: that of its last dataset.
    pub label: String,
    /// The directories, captures first.
    pub dirs: Vec<PathBuf>,
    /// What of it is shown.
    pub scope: Scope,
}

/// The datasets, by kind and name.
pub fn named(datasets: &[Dataset]) -> Vec<Named> {
    datasets.iter().map(|data| Named { name: label(&data.dir), kind: data.kind.name() }).collect()
}

/// Puts together what belongs together, in the order in which it was given.
///
/// # Errors
/// When there is more than a page holds.
pub fn cases(datasets: &[Dataset]) -> Result<Vec<Case>> {
    let of = |kind: Kind| datasets.iter().filter(move |data| data.kind == kind);
    let capture_of = |work: &Dataset| of(Kind::Capture).find(|capture| made_of(work, capture));
    let workload_of =
        |run: &Dataset| of(Kind::Workload).find(|work| fingerprint(run).is_some() && fingerprint(run) == fingerprint(work));
    let mut cases: Vec<Case> = Vec::new();
    let mut shown: Vec<&PathBuf> = Vec::new();
    for last in of(Kind::Run).chain(of(Kind::Workload)).chain(of(Kind::Capture)) {
        if shown.contains(&&last.dir) {
            continue;
        }
        let work = if last.kind == Kind::Run { workload_of(last) } else { None };
        let capture = work.or(Some(last)).filter(|work| work.kind == Kind::Workload).and_then(capture_of);
        let known = capture.or(work).is_some_and(|first| shown.contains(&&first.dir));
        let parts = [capture.filter(|_| !known), work, Some(last)];
        let parts: Vec<&Dataset> = parts.into_iter().flatten().collect();
        shown.extend(parts.iter().map(|data| &data.dir));
        let scope = if known { Scope::Run } else { Scope::Whole };
        cases.push(Case { label: label(&last.dir), dirs: parts.iter().map(|data| data.dir.clone()).collect(), scope });
    }
    let count = cases.len();
    ensure!(count <= MOST, "a report is on {MOST} runs or captures at most, and there are {count}: `ioriot compare` takes more");
    Ok(cases)
}

/// Was the workload made of this capture? It has the capture's manifest in its own.
fn made_of(work: &Dataset, capture: &Dataset) -> bool {
    let of = work.manifest.get("capture").and_then(Value::as_object);
    of.is_some_and(|manifest| !manifest.is_empty() && *manifest == capture.manifest)
}
