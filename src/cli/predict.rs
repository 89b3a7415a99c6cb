//! `ioriot predict`: how long a captured program would take on other devices.

use super::generate::Choice;
use super::init::{FileData, owner as init_owner};
use super::replay::Manner;
use super::ui::{self, Output, Plan};
use super::{Exit, given, values};
use crate::amount::{Things, typed};
use crate::files::{Dir, Lock};
use crate::generate;
use crate::ingest::Input;
use crate::init;
use crate::predict::{self, Keep, Rounds, Share, Source, Target};
use crate::process::signal::Transient;
use crate::schema::Dataset;
use crate::schema::begun::{self, WORKLOAD};
use crate::schema::dataset::Kind;
use crate::text::word;
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};

/// Say how long a captured program would take on other devices, by replays there
///
/// Makes a workload of a capture, a tree in each target, and replays in rounds: in each round once on every target, in a tree
/// that was reset. Prints for each target the median time with its interval, latencies of the calls that took most time, the
/// traffic of its device, the match, and whether its time can be believed and, if not, why not. Runs are made in DIR, as
/// TARGET-1, TARGET-2 and so on; trees are deleted at the end. Exits with 1 when a run is not good enough, as `ioriot replay` does.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot predict cap --target /mnt/nvme1 --target /mnt/hdd1
  ioriot predict cap --target /mnt/nvme1 --map /var/lib   # the rest of the tree stays here
  ioriot predict cap --target /mnt/nvme1 --drop-caches --repeat 9 --format json
  ioriot predict matrix.ioriot --target .                 # what `ioriot run` made
  ioriot predict work --target /mnt/nvme1 --pace realtime --speed 1,2,4
  ioriot predict cap --target /var/lib/db --self          # where it was captured")]
pub struct Args {
    /// A capture, or a workload that was made of one
    #[arg(value_name = "CAPTURE|WORKLOAD")]
    input: PathBuf,
    /// Directory on the device to replay on (may be given several times)
    #[arg(long = "target", value_name = "DIR", required = true)]
    targets: Vec<PathBuf>,
    /// Put only what lies below this captured directory on the targets (may be given several times); the rest is made in DIR
    #[arg(long = "map", value_name = "CAPTURED", value_parser = values::captured())]
    maps: Vec<Vec<u8>>,
    /// Directory to make for the workload and the runs (default: the name of the input with .predict for its ending)
    #[arg(short, long = "output", value_name = "DIR")]
    out: Option<PathBuf>,
    /// Number of rounds that count
    #[arg(long, value_name = "N", default_value = "5", value_parser = values::repeat)]
    repeat: usize,
    /// Leave out the round before them that does not count
    #[arg(long)]
    no_warm_up: bool,
    /// How many times faster than captured: several for a search up to where a target keeps up (--pace realtime, think or app)
    #[arg(long, value_name = "F,...", default_value = "1", value_delimiter = ',', value_parser = typed::factor)]
    speed: Vec<f64>,
    /// The targets are the device of the capture: exit with 1 if the captured time does not come out
    #[arg(long = "self")]
    source: bool,
    /// Move old trees aside
    #[arg(long)]
    force: bool,
    /// Leave the trees in the targets
    #[arg(long)]
    keep_trees: bool,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    manner: Manner,
    #[command(flatten)]
    data: FileData,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        let stem = stem(&self.input);
        let out = self.out.unwrap_or_else(|| format!("{stem}.predict").into());
        // What a killed prediction left there goes before this one begins.
        let empty = Dir::open(&out).map_or(Ok(true), |dir| anyhow::Ok(dir.entries()?.is_empty() || begun::is(&dir)))?;
        let place = word(&out);
        ensure!(
            empty,
            "{} is not empty: -o DIR chooses another place, and `ioriot clean {place}` says what is in it",
            out.display()
        );
        let (kind, input) = given::source(self.input)?;
        Dataset::expect(&input, kind)?;
        let (workload, chosen) = match kind {
            Kind::Capture => {
                let made = out.join(WORKLOAD);
                let chosen = self.choice.options(input.clone(), made.clone(), None);
                chosen.rehearse()?;
                (made, Some(chosen))
            }
            Kind::Workload | Kind::Run => {
                ensure!(
                    self.choice.is_usual(),
                    "{} is a workload: what of the capture is replayed was chosen already",
                    input.display()
                );
                (input.clone(), None)
            }
        };
        let root = format!("{stem}.root");
        let share = if self.maps.is_empty() { Share::All(&root) } else { Share::Parts(&self.maps, &out) };
        let targets = Target::all(&self.targets, share)?;
        let owner = self.manner.user().map(init_owner).transpose()?;
        let tree = init::Options { force: self.force, owner, ..self.data.options(workload.clone(), PathBuf::new()) };
        for target in &targets {
            drop(init::ready(&target.options(&tree))?);
        }
        // What a program that commits for several threads does on another device is what is asked here.
        let manner = self.manner.regrouping().options(&self.speed, workload.clone(), PathBuf::new(), PathBuf::new())?;
        manner.check()?;
        ensure!(distinct(&self.speed), "--speed names one speed twice");
        let options = predict::Options {
            replay: manner,
            init: tree,
            targets,
            speeds: self.speed,
            rounds: Rounds { warm_up: usize::from(!self.no_warm_up), count: self.repeat },
            out: out.clone(),
            keep: if self.keep_trees { Keep::Yes } else { Keep::No },
            source: if self.source { Source::Same } else { Source::Unasked },
        };
        if self.output.dry_run {
            self.output.format.print(&plan(&options, chosen.as_ref()))?;
            return Ok(Exit::Done);
        }
        let _held: Vec<Lock> = options.targets.iter().map(Target::hold).collect::<Result<_>>()?;
        if let Ok(left) = Dir::open(&out)
            && begun::is(&left)
        {
            begun::clear(&left)?;
        }
        let begun = chosen.as_ref().map(|chosen| {
            let begun = Begun::watch(&out)?;
            let made = ui::watched(|progress| generate::run(chosen, progress))?;
            log::info!("{}: {}", workload.display(), Things(made.ops, "op"));
            anyhow::Ok(begun)
        });
        let begun = begun.transpose()?;
        let prediction = ui::watched(|progress| predict::run(&options, progress))?;
        // What its runs were made of stays beside them.
        if !prediction.is_empty() {
            begun.into_iter().for_each(Begun::done);
        }
        self.output.format.print(&prediction)?;
        if self.output.format == ui::Format::Text && !prediction.is_empty() {
            ui::say(format_args!("Runs are in {}.", out.display()))?;
        }
        Ok(prediction.signal.map_or(Exit::good(prediction.ok()), Exit::Asked))
    }
}

/// A DIR in which there is no run yet, marked as such. Dropped, or when a signal ends this process, it goes again with the workload
/// that was made there, so that the place is free for who asks anew; not if a run has come to be beside it.
struct Begun {
    out: PathBuf,
    transient: Option<Transient>,
    _lock: Lock,
}

impl Begun {
    fn watch(out: &Path) -> Result<Begun> {
        let go = {
            let out = out.to_owned();
            move || {
                let _ = settle(&out);
                true
            }
        };
        let make = || {
            let (dir, _) = Dir::prepare(&out.join(WORKLOAD))?;
            begun::mark(&dir)
        };
        let (transient, lock) = Transient::make(go, make)?;
        Ok(Begun { out: out.to_owned(), transient: Some(transient), _lock: lock })
    }

    fn done(mut self) {
        self.transient = None;
        if let Err(error) = Dir::open(&self.out).map_err(Into::into).and_then(|dir| begun::unmark(&dir)) {
            log::warn!("{} is marked as unfinished: {error:#}", self.out.display());
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if self.transient.take().is_some()
            && let Err(error) = settle(&self.out)
        {
            log::warn!("{error:#}: {} stays", self.out.display());
        }
    }
}

fn settle(out: &Path) -> Result<()> {
    let dir = Dir::open(out)?;
    if begun::is(&dir) {
        begun::empty(&dir)?;
        let (above, name) = Dir::around(out)?;
        above.rmdir(&name)?;
    }
    Ok(())
}

fn distinct(speeds: &[f64]) -> bool {
    speeds.iter().enumerate().all(|(at, speed)| !speeds[..at].contains(speed))
}

/// What an input is called: its name without the ending that ioriot gives it.
fn stem(input: &Path) -> String {
    let whole = input.canonicalize().unwrap_or_else(|_| input.to_owned());
    let name = if input.file_name().is_some() { input } else { &whole };
    let stem = Input::parse(name).stem();
    stem.strip_suffix(".ioriot").filter(|stem| !stem.is_empty()).map_or(stem.clone(), str::to_owned)
}

fn plan(options: &predict::Options, chosen: Option<&generate::Options>) -> Plan {
    let mut would = Vec::new();
    would.extend(chosen.map(|chosen| format!("make a workload of {} in {}", chosen.capture.display(), chosen.out.display())));
    would.extend(options.targets.iter().map(|target| format!("make a tree in {}", target.root.display())));
    let Rounds { warm_up, count } = options.rounds;
    for cell in options.cells() {
        would.push(format!(
            "replay {} in {}, after {} that count for nothing, into {} and so on",
            Things(count as u64, "time"),
            cell.options.root.display(),
            warm_up,
            cell.place(1).display()
        ));
    }
    Plan::new(would)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_what_is_predicted() {
        for (input, name) in [("x/matrix.ioriot", "matrix"), ("work", "work"), ("a/.ioriot", ".ioriot"), ("big.cap/", "big.cap")]
        {
            assert_eq!(stem(Path::new(input)), name);
        }
        assert!(!stem(Path::new(".")).is_empty() && !stem(Path::new("..")).contains('.'));
        assert!(distinct(&[1.0, 2.0]) && !distinct(&[1.0, 2.0, 1.0]));
    }
}
