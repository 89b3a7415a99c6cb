//! Workloads of a fleet: one for each host, several made side by side.

use super::{Options, Summary, make};
use crate::amount::Things;
use crate::fleet::Place;
use crate::os::processors;
use crate::progress::{Progress, Unit};
use crate::text::{encode, shown};
use anyhow::{Context, Result};
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use serde::Serialize;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

/// The workload of one host, as [`Summary`] tells of it.
#[derive(Clone, Debug, Serialize)]
pub struct Workload {
    /// Its directory.
    pub dir: PathBuf,
    /// What was made.
    #[serde(flatten)]
    pub summary: Summary,
}

/// What was made of the captures of a fleet.
#[derive(Clone, Debug, Serialize)]
pub struct Workloads {
    /// By name of the host.
    pub workloads: Vec<Workload>,
    /// Time that it took, seconds.
    pub seconds: f64,
}

/// Makes a workload of each of these captures, under their names in the directory that the options name: where one cannot be made,
/// none is put there. Several are made at a time, which share the processors; each has the memory that the options allow.
///
/// # Errors
/// As [`super::run`], of whichever host comes first.
pub fn run(hosts: &[PathBuf], options: &Options, progress: &Progress) -> Result<Workloads> {
    let began = Instant::now();
    let place = Place::begin(&options.out)?;
    let threads = options.threads.unwrap_or_else(processors).max(1);
    let at_once = hosts.len().min(threads).max(1);
    progress.begin("hosts", Unit::Count, hosts.len() as u64);
    let one = |host: &PathBuf| {
        let name = host.file_name().unwrap_or_default();
        let options = Options {
            capture: host.clone(),
            out: options.out.join(name),
            threads: Some((threads / at_once).max(1)),
            ..options.clone()
        };
        // Its own steps are not shown: several run at a time.
        let made = make(&options, &Progress::default()).with_context(|| shown(&encode(name.as_bytes())).to_string())?;
        progress.add(1);
        Ok((options.out, made))
    };
    let pool = ThreadPoolBuilder::new().num_threads(at_once).build().context("cannot start threads")?;
    let made: Vec<_> = pool.install(|| hosts.par_iter().map(one).collect::<Result<_>>())?;
    let mut workloads = Vec::new();
    for (dir, (draft, manifest, summary)) in made {
        draft.commit(manifest)?;
        workloads.push(Workload { dir, summary });
    }
    drop(place);
    Ok(Workloads { workloads, seconds: began.elapsed().as_secs_f64() })
}

impl fmt::Display for Workloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |of: fn(&Summary) -> u64| self.workloads.iter().map(|made| of(&made.summary)).fold(0, u64::saturating_add);
        for Workload { dir, summary } in &self.workloads {
            let [ops, lanes] = [(summary.ops, "op"), (summary.lanes, "lane")].map(|(count, what)| Things(count, what));
            writeln!(
                f,
                "{}: {ops} in {lanes} of {}, {:.2} % of calls on files",
                dir.display(),
                Things(summary.events, "event"),
                summary.coverage()
            )?;
        }
        let [ops, events] =
            [(sum(|made| made.ops), "op"), (sum(|made| made.events), "event")].map(|(count, what)| Things(count, what));
        write!(f, "In all {ops} of {events} on {}, in {:.2} s", Things(self.workloads.len() as u64, "host"), self.seconds)
    }
}
