//! Reduces a workload to the smallest one of which a command still says that it is of interest (`ioriot reduce`).
//!
//! * `ddmin` delta debugging, over items
//! * `touch` what each op touches, `needs` which earlier ops it needs for that
//! * `order` which kept ops follow which, `state` what they lead to, `table` parts as workloads
//! * `command` the command that is asked
//!
//! A part keeps with each op all earlier ones that its outcome may depend on. So what is compared in a part is what was captured, and
//! no difference comes from the reduction.

mod command;
mod ddmin;
mod needs;
mod order;
mod state;
mod table;
mod touch;

pub use command::{Answer, VARIABLE};
pub use ddmin::{Part, Tried, ddmin};
pub use table::MOST;

use crate::amount::Things;
use crate::process::signal::{self, Signal};
use crate::progress::{Progress, Unit};
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use crate::text::word;
use anyhow::{Context, Result, ensure};
use command::Asking;
use needs::Needs;
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use table::{Kept, Workload};
use touch::{Access, Key};
use xxhash_rust::xxh3::xxh3_128;

/// What `ioriot reduce` is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of the workload.
    pub workload: PathBuf,
    /// Directory to make for the reduced one.
    pub out: PathBuf,
    /// The shell command that succeeds for what is of interest.
    pub command: String,
    /// Most times that the command is run.
    pub tries: Option<u64>,
    /// After this time the command is not run again, and one that runs is ended.
    pub duration: Option<Duration>,
    /// A command that runs for longer is ended; it has not said anything then.
    pub timeout: Option<Duration>,
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// Nothing more can be left out alone.
    Smallest,
    /// The command was run as often as allowed.
    Tries,
    /// The time was over.
    Duration,
    /// A signal asked for it.
    Signal,
}

/// A size before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Of the workload.
    pub was: usize,
    /// Of what is left of it.
    pub is: usize,
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The directory that was made.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub out: PathBuf,
    /// Number of ops.
    pub ops: Size,
    /// Number of lanes.
    pub lanes: Size,
    /// Number of entries of the fileset.
    pub files: Size,
    /// How often the command was run.
    pub tries: u64,
    /// How often it could not tell.
    pub unknown: u64,
    /// How often of these it had not ended in time.
    pub late: u64,
    /// Why it ended.
    pub end: End,
    /// The signal that ended it.
    #[serde(skip)]
    pub signal: Option<Signal>,
    /// Time that it took, seconds.
    pub seconds: f64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Wrote {}", word(&self.out))?;
        for (what, size) in [("ops", self.ops), ("lanes", self.lanes), ("files", self.files)] {
            writeln!(f, "{what:<6}{:>10}  of {}", size.is, size.was)?;
        }
        let why = match self.end {
            End::Smallest => "nothing more can be left out",
            End::Tries => "--tries reached: it may not be the smallest",
            End::Duration => "--duration reached: it may not be the smallest",
            End::Signal => "ended by a signal: it may not be the smallest",
        };
        let late = if self.late > 0 { format!(" ({} not in time)", self.late) } else { String::new() };
        let unknown =
            if self.unknown > 0 { format!(", {} of them without an answer{late}", self.unknown) } else { String::new() };
        write!(f, "{} in {:.1} s{unknown}; {why}", Things(self.tries, "try"), self.seconds)
    }
}

/// Reduces a workload.
///
/// # Errors
/// When it cannot be read, the command does not succeed for all of it, or the result cannot be written. When a later try fails
/// otherwise than by what the command says, the smallest part so far is written all the same.
pub fn run(options: &Options, progress: &Progress) -> Result<Summary> {
    let began = Instant::now();
    let data = Dataset::expect(&options.workload, Kind::Workload)?;
    let workload = Workload::read(&data)?;
    // A signal ends the search, and what was found is written.
    let _held = signal::hold();
    let asking = Asking::new(options.command.clone(), &options.out)?;
    let touches = touch::touches(&workload.ops);
    let linked = touches.iter().map(|list| list.contains(&(Key::Links, Access::Read))).collect();
    let needs = Needs::new(&touches);
    let kept = workload.all();
    let mut search = Search {
        workload: &workload,
        asking,
        needs,
        linked,
        options,
        progress,
        began,
        kept,
        seen: HashSet::new(),
        tries: 0,
        unknown: 0,
        late: 0,
        end: None,
    };
    progress.begin("tries", Unit::Count, options.tries.unwrap_or(0));
    let all = search.kept.clone();
    let first = search.ask(&all)?;
    let unheard =
        search.tries == 0 || matches!(first, Answer::Unknown | Answer::Late) && !matches!(search.end, None | Some(End::Tries));
    ensure!(!unheard, "ended before the command had answered for the whole workload");
    ensure!(
        first != Answer::Late,
        "the command does not end in time for the workload as it is: a longer --timeout gives it more"
    );
    ensure!(
        first == Answer::Yes,
        "the command does not succeed for the workload as it is: it must exit with 0 for what is of interest"
    );
    let searched = search.all();
    let sizes = |of: &dyn Fn(&Kept) -> usize| Size { was: of(&all), is: of(&search.kept) };
    let count = |list: &[bool]| list.iter().filter(|keep| **keep).count();
    let summary = Summary {
        out: options.out.clone(),
        ops: sizes(&|kept| count(&kept.ops)),
        lanes: sizes(&|kept| workload.lanes(kept)),
        files: sizes(&|kept| count(&kept.files)),
        tries: search.tries,
        unknown: search.unknown,
        late: search.late,
        end: search.end.unwrap_or(End::Smallest),
        signal: signal::asked(),
        seconds: began.elapsed().as_secs_f64(),
    };
    let note = json!({ "while": options.command, "of": data.manifest.get("fingerprint"), "ops": summary.ops, "tries": summary.tries, "end": summary.end });
    workload.write(&search.kept, &options.out, &note)?;
    searched.with_context(|| format!("the smallest part so far is in {}", word(&options.out)))?;
    Ok(summary)
}

/// What is left out together.
#[derive(Clone, Copy, Debug)]
enum Level {
    Process,
    Lane,
    File,
    Descriptor,
    Op,
}

struct Search<'a> {
    workload: &'a Workload,
    asking: Asking,
    needs: Needs,
    /// Ops that may go through symbolic links.
    linked: Vec<bool>,
    options: &'a Options,
    progress: &'a Progress,
    began: Instant,
    /// The smallest of which the command said yes.
    kept: Kept,
    /// Hashes of parts that the command was asked about.
    seen: HashSet<u128>,
    tries: u64,
    unknown: u64,
    late: u64,
    end: Option<End>,
}

impl Search<'_> {
    /// Asks the command, unless that was done or is no longer allowed.
    fn ask(&mut self, kept: &Kept) -> Result<Answer> {
        let bytes: Vec<u8> = kept.ops.iter().chain(&kept.files).map(|keep| u8::from(*keep)).collect();
        if self.ended() || !self.seen.insert(xxh3_128(&bytes)) {
            return Ok(Answer::No);
        }
        self.tries += 1;
        self.progress.add(1);
        let left = self.options.duration.map(|most| most.saturating_sub(self.began.elapsed()));
        let limit = self.options.timeout.into_iter().chain(left).min();
        let answer = self.asking.ask(self.workload, kept, limit)?;
        self.unknown += u64::from(matches!(answer, Answer::Unknown | Answer::Late));
        self.late += u64::from(answer == Answer::Late);
        self.ended();
        Ok(answer)
    }

    /// The answer to a part that did not work out.
    fn no(&mut self) -> Tried {
        if self.ended() { Tried::Stop } else { Tried::No }
    }

    /// Is it time to end?
    fn ended(&mut self) -> bool {
        let end = match () {
            () if signal::asked().is_some() => Some(End::Signal),
            () if self.options.tries.is_some_and(|most| self.tries >= most) => Some(End::Tries),
            () if self.options.duration.is_some_and(|most| self.began.elapsed() >= most) => Some(End::Duration),
            () => None,
        };
        self.end = self.end.or(end);
        self.end.is_some()
    }

    /// Leaves out what can be left out.
    fn all(&mut self) -> Result<()> {
        for level in [Level::Process, Level::Lane, Level::File, Level::Descriptor, Level::Op] {
            self.level(level)?;
        }
        self.files()
    }

    /// Leaves out what can be left out of one level.
    fn level(&mut self, level: Level) -> Result<()> {
        let mut units: BTreeMap<(u8, i64), Vec<usize>> = BTreeMap::new();
        for op in (0..self.kept.ops.len()).filter(|op| self.kept.ops[*op]) {
            let row = &self.workload.ops[op];
            let (process, lane) = ((0, self.workload.processes[op]), (1, row.lane));
            let key = match level {
                Level::Process => process,
                Level::Lane => lane,
                Level::File => row.file.map_or(lane, |file| (2, file)),
                Level::Descriptor => row.ofd.map_or((4, op as i64), |ofd| (3, ofd)),
                Level::Op => (4, op as i64),
            };
            units.entry(key).or_default().push(op);
        }
        let mut units: Vec<Vec<usize>> = units.into_values().collect();
        units.sort_by_key(|unit| unit[0]);
        ddmin((0..units.len()).collect(), |part| {
            let ops = |some: &[usize]| some.iter().flat_map(|unit| units[*unit].iter().copied()).collect::<Vec<_>>();
            let wanted = match part {
                Part::Only(some) => self.needs.with_needs(ops(some)),
                Part::Without(some) => self.needs.with_dependents(ops(some)).into_iter().map(|gone| !gone).collect(),
            };
            let ops: Vec<bool> = wanted.iter().zip(&self.kept.ops).map(|(wanted, kept)| *wanted && *kept).collect();
            if ops == self.kept.ops || !ops.contains(&true) {
                return Ok(self.no());
            }
            let next = Kept { ops, files: self.kept.files.clone() };
            if self.ask(&next)? != Answer::Yes {
                return Ok(self.no());
            }
            self.kept = next;
            Ok(Tried::Left((0..units.len()).filter(|unit| units[*unit].iter().any(|op| self.kept.ops[*op])).collect()))
        })?;
        Ok(())
    }

    /// Leaves out entries of the fileset that no op needs: all of them, or those that the command lets go.
    fn files(&mut self) -> Result<()> {
        let needed = self.needed();
        let spare: Vec<usize> = (0..needed.len()).filter(|file| self.kept.files[*file] && !needed[*file]).collect();
        if spare.is_empty() {
            return Ok(());
        }
        ddmin(spare.clone(), |part| {
            let mut next = self.kept.clone();
            match part {
                Part::Only(some) => spare.iter().filter(|file| !some.contains(file)).for_each(|file| next.files[*file] = false),
                Part::Without(some) => some.iter().for_each(|file| next.files[*file] = false),
            }
            if next.files == self.kept.files || self.ask(&next)? != Answer::Yes {
                return Ok(self.no());
            }
            self.kept = next;
            Ok(Tried::Left(spare.iter().copied().filter(|file| self.kept.files[*file]).collect()))
        })?;
        Ok(())
    }

    /// Entries of the fileset by which an outcome may change: names of kept ops and all above them, what is in directories that they
    /// list, remove or rename, and, where one goes through symbolic links, all of those with what they lead to.
    fn needed(&self) -> Vec<bool> {
        let mut names: HashSet<&[u8]> = HashSet::new();
        let mut whole: HashSet<&[u8]> = HashSet::new();
        for (row, _) in self.workload.ops.iter().zip(&self.kept.ops).filter(|(_, keep)| **keep) {
            let own = [&row.path, &row.path2, &row.cwd];
            names.extend(own.into_iter().flatten().flat_map(|path| std::iter::once(path.as_slice()).chain(state::above(path))));
            if row.lists() {
                whole.extend([&row.path, &row.path2].into_iter().flatten().map(Vec::as_slice));
            }
        }
        let linked = self.linked.iter().zip(&self.kept.ops).any(|(linked, keep)| *linked && *keep);
        self.workload.needed(linked, |path| {
            names.contains(path) || state::above(path).any(|dir| whole.contains(dir)) || whole.contains(&b"/"[..])
        })
    }
}
