//! Rounds: every cell is replayed once in each, one after the other, in a tree that is as init made it.

use super::trees;
use crate::init::{self, Root, State};
use crate::process::signal::Signal;
use crate::progress::Progress;
use crate::replay::{self, Engine, Order, Pace, Summary, Syncs};
use crate::words::words;
use anyhow::Result;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

words! {
    /// A bound of the time of a program that adapts to its device: how many calls it has under way there nobody knows.
    #[derive(serde::Serialize)]
    #[serde(rename_all = "lowercase")]
    Bound {
        Free   "free"   "order resource, pace asap, syncs regrouped: as much overlaps as may, and no sync is issued that need not be";
        Strict "strict" "order strict, all captured syncs: nothing overlaps";
        Captured "captured" "all captured syncs, of a program whose syncs are regrouped: none is for more threads than in the capture";
    }
}

/// What is replayed once in each round.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Its name in tables.
    pub label: String,
    /// How it is replayed; run K is made at [`Cell::place`] of [`replay::Options::out`].
    pub options: replay::Options,
    /// Which part of its tree lies on the device of interest, by number of the part: 0 is that of the root.
    pub part: usize,
    /// Which bound of another cell it is; `None` for one of its own.
    pub bound: Option<Bound>,
}

impl Cell {
    /// The cell whose time bounds that of this one.
    pub fn bounded(&self, bound: Bound) -> Cell {
        let label = format!("{}-{}", self.label, bound.name());
        let (pace, order, syncs) = match bound {
            Bound::Free => (Some(Pace::Asap), Order::Resource, Syncs::Regroup),
            Bound::Strict => (Some(Pace::Asap), Order::Strict, Syncs::Captured),
            Bound::Captured => (self.options.pace, self.options.order, Syncs::Captured),
        };
        let out = named(&self.options.out, bound.name());
        let options = replay::Options { pace, order, syncs, out, ..self.options.clone() };
        Cell { label, options, part: self.part, bound: Some(bound) }
    }

    /// Where its run of this number is made: `OUT-NUMBER`.
    pub fn place(&self, number: usize) -> PathBuf {
        named(&self.options.out, &number.to_string())
    }
}

fn named(out: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(out.components().as_path());
    name.push(format!("-{end}"));
    name.into()
}

/// How many rounds there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounds {
    /// Rounds before those that count, whose runs are deleted.
    pub warm_up: usize,
    /// Rounds that count.
    pub count: usize,
}

/// The runs that were done.
#[derive(Clone, Debug)]
pub struct Played {
    /// The runs of each cell, by round; without one that a signal ended.
    pub runs: Vec<Vec<Summary>>,
    /// The signal that ended it early; `None` if none did.
    pub signal: Option<Signal>,
}

/// Replays the cells in rounds. Each round begins with another cell than the one before. Before a replay its tree is reset, unless
/// it is fresh. A run that a signal ended is deleted, and nothing comes after it.
///
/// # Errors
/// When a tree cannot be reset or a replay is not possible; the runs that were done stay.
pub fn play(cells: &[Cell], rounds: Rounds, progress: &Progress) -> Result<Played> {
    let mut played = Played { runs: vec![Vec::new(); cells.len()], signal: None };
    for round in 0..rounds.warm_up.saturating_add(rounds.count) {
        let number = (round + 1).checked_sub(rounds.warm_up).filter(|number| *number > 0);
        for turn in 0..cells.len() {
            let at = (turn + round) % cells.len();
            let cell = &cells[at];
            let out = number.map_or_else(|| named(&cell.options.out, "warm-up"), |number| cell.place(number));
            fresh(&cell.options, progress)?;
            let summary = replay::run(&replay::Options { out, ..cell.options.clone() }, progress)?;
            let wall = crate::amount::Nanos(summary.wall);
            log::info!("{}, {}: {wall}", cell.label, number.map_or("warm-up".into(), |number| format!("run {number}")));
            played.signal = summary.signal;
            if (number.is_none() || played.signal.is_some())
                && let Err(error) = trees::remove(&summary.run)
            {
                log::warn!("{error:#}: {} does not count", summary.run.display());
            }
            match (number, played.signal) {
                (_, Some(_)) => return Ok(played),
                (Some(_), None) => played.runs[at].push(summary),
                (None, None) => {}
            }
        }
    }
    Ok(played)
}

/// Resets the tree of a replay if another has used it.
fn fresh(options: &replay::Options, progress: &Progress) -> Result<()> {
    if options.engine == Engine::Null {
        return Ok(());
    }
    let used = Root::open(&options.root)?.map(|root| root.stamp()).transpose()?.is_some_and(|stamp| stamp.state == State::Used);
    if used {
        init::reset(&init::Options::new(&options.workload, &options.root), progress)?.whole()?;
    }
    Ok(())
}
