//! Prediction: one workload replayed several times on each of several devices, and what the runs say together.
//!
//! ```text
//! workload ──▶ a tree on each target ──▶ rounds: reset, replay; reset, replay; ... ──▶ median, interval, caveats of each cell
//! ```
//! A *cell* is a target and a speed. A *round* replays every cell once, so that what drifts on the machine (its load, its heat,
//! the age of its file systems) meets all of them alike. The first round may be a warm-up that does not count. A program that
//! adapts to its device has one or two more cells on each target, and the times of these are a *bracket*.

mod forecast;
mod rounds;
mod table;
mod trees;

pub use forecast::{Bracket, Forecast, Prediction, Source, Traffic, Verdict};
pub use rounds::{Bound, Cell, Played, Rounds, play};
pub use trees::{Keep, Share, Target};

use crate::init;
use crate::progress::Progress;
use crate::replay::{self, Syncs};
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use anyhow::{Result, ensure};
use serde_json::Value;
use std::path::PathBuf;
use trees::Trees;

/// Arguments of a prediction: what is replayed, where, how often and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// How a replay is done; its root and run are those of each cell.
    pub replay: replay::Options,
    /// How a tree is made; its root and mappings are those of each target.
    pub init: init::Options,
    /// Where it is replayed.
    pub targets: Vec<Target>,
    /// Factors by which captured times are divided, one cell for each on each target.
    pub speeds: Vec<f64>,
    /// How many rounds there are.
    pub rounds: Rounds,
    /// Directory in which the runs are made.
    pub out: PathBuf,
    /// What becomes of the trees when all is done.
    pub keep: Keep,
    /// Whether the captured time must come out.
    pub source: Source,
}

impl Options {
    /// The cells: every target at every speed.
    pub fn cells(&self) -> Vec<Cell> {
        let several = self.speeds.len() > 1;
        let speeds = |target| self.speeds.iter().map(move |speed| (target, *speed));
        let cells = self.targets.iter().flat_map(speeds).map(|(target, speed)| {
            let label = if several { format!("{}-x{speed}", target.label) } else { target.label.clone() };
            let options = replay::Options { root: target.root.clone(), speed, out: self.out.join(&label), ..self.replay.clone() };
            Cell { label, options, part: usize::from(!target.maps.is_empty()), bound: None }
        });
        cells.collect()
    }
}

/// The bounds of the time of a program that may make other calls on another device (caveat `adapts`); none of any other.
fn bounds(options: &replay::Options) -> Result<&'static [Bound]> {
    let workload = Dataset::expect(&options.workload, Kind::Workload)?;
    let grouped = workload.manifest.get("grouped").and_then(Value::as_array).is_some_and(|files| !files.is_empty());
    let adapts = workload.manifest.get("shared_syncs").and_then(Value::as_u64).is_some_and(|files| files > 0);
    Ok(match (options.syncs, adapts) {
        (Syncs::Regroup, _) if grouped => &[Bound::Captured],
        (_, true) => &[Bound::Free, Bound::Strict],
        (_, false) => &[],
    })
}

/// Makes the trees, replays in rounds, and says what came of it. Trees are deleted at the end unless they are to be kept.
///
/// # Errors
/// When a tree cannot be made or is not whole, or a replay is not possible; the runs that were done stay.
pub fn run(options: &Options, progress: &Progress) -> Result<Prediction> {
    ensure!(!options.targets.is_empty() && !options.speeds.is_empty(), "there is nothing to replay on");
    let mut cells = options.cells();
    if options.speeds.len() == 1 {
        let bounds = bounds(&options.replay)?;
        let bounds: Vec<_> = cells.iter().flat_map(|cell| bounds.iter().map(|bound| cell.bounded(*bound))).collect();
        cells.extend(bounds);
    }
    let trees = Trees::make(&options.targets, &options.init, options.keep, progress)?;
    let played = play(&cells, options.rounds, progress);
    trees.done();
    Ok(Prediction::new(&cells, options.rounds, played?, options.source))
}
