//! Prediction: one workload replayed several times on each of several devices, and what the runs say together.
//!
//! ```text
//! workload ──▶ a tree on each target ──▶ rounds: reset, replay; reset, replay; ... ──▶ median, interval, caveats of each cell
//! ```
//! A *cell* is a target and a speed. A *round* replays every cell once, so that what drifts on the machine (its load, its heat,
//! the age of its file systems) meets all of them alike. The first round may be a warm-up that does not count. A program that
//! adapts to its device has two more cells on each target, whose times are a *bracket* of its own.

mod forecast;
mod rounds;
mod table;
mod trees;

pub use forecast::{Bracket, Forecast, Prediction, Source, Traffic, Verdict};
pub use rounds::{Bound, Cell, Played, Rounds, play};
pub use trees::{Keep, Share, Target};

use crate::init;
use crate::progress::Progress;
use crate::replay;
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
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

/// May the program make other calls on another device (caveat `adapts`)?
fn adapts(workload: &Path) -> Result<bool> {
    let workload = Dataset::expect(workload, Kind::Workload)?;
    Ok(workload.manifest.get("shared_syncs").and_then(serde_json::Value::as_u64).is_some_and(|files| files > 0))
}

/// Makes the trees, replays in rounds, and says what came of it. Trees are deleted at the end unless they are to be kept.
///
/// # Errors
/// When a tree cannot be made or is not whole, or a replay is not possible; the runs that were done stay.
pub fn run(options: &Options, progress: &Progress) -> Result<Prediction> {
    ensure!(!options.targets.is_empty() && !options.speeds.is_empty(), "there is nothing to replay on");
    let mut cells = options.cells();
    if options.speeds.len() == 1 && adapts(&options.replay.workload)? {
        let bounds = cells.iter().flat_map(|cell| Bound::ALL.iter().map(|bound| cell.bounded(*bound)));
        let bounds: Vec<_> = bounds.collect();
        cells.extend(bounds);
    }
    let trees = Trees::make(&options.targets, &options.init, options.keep, progress)?;
    let played = play(&cells, options.rounds, progress);
    trees.done();
    Ok(Prediction::new(&cells, options.rounds, played?, options.source))
}
