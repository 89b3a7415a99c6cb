//! What came of a replay on many machines.

use super::clock::Offset;
use crate::amount::{Nanos, Things};
use crate::process::signal::Signal;
use crate::schema::Manifest;
use crate::text::shown;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

/// Most messages of a machine that are kept.
const MESSAGES: usize = 16;

/// What the run of a machine says of itself, as far as it is needed here: it comes from outside.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    flaws: Vec<String>,
    complete: bool,
    lost: Vec<String>,
    wall: i64,
    ops: u64,
    same: u64,
    different: u64,
    uncompared: u64,
    order_violations: Option<Order>,
    state: Option<State>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Order {
    edges: u64,
    violations: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    verdicts: BTreeMap<String, u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Worker {
    waited: i64,
    remote: i64,
}

/// What one machine did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// Its name: where it was reached.
    pub name: String,
    /// Directory of its run; `None` when there is none.
    #[serde(serialize_with = "directory")]
    pub run: Option<PathBuf>,
    /// Number of captured calls that it issued.
    pub ops: u64,
    /// Of these, with the same outcome.
    pub same: u64,
    /// With a different one.
    pub different: u64,
    /// With one that is not compared.
    pub uncompared: u64,
    /// Time from the start to the end of its last op, ns.
    pub wall: i64,
    /// How long its workers waited for ops of each other and of other machines, ns.
    pub waited: i64,
    /// Of that, for ops of other machines.
    pub remote: i64,
    /// Number of edges between two of its ops.
    pub edges: u64,
    /// Of these, violated.
    pub violations: u64,
    /// Whether all of its ops were issued.
    pub complete: bool,
    /// What was lost; a message for each.
    pub lost: Vec<String>,
    /// Words for what keeps its run from being good enough.
    pub flaws: Vec<String>,
    /// How its clock stood to that of the coordinator before the start.
    pub clock: Option<Offset>,
    /// The same at the end.
    pub clock_end: Option<Offset>,
    /// Of the first machine: the tree against the predicted end state, number of paths by verdict.
    pub tree: Option<BTreeMap<String, u64>>,
}

fn directory<S: serde::Serializer>(dir: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match dir {
        Some(dir) => crate::text::path::serialize(dir, serializer),
        None => serializer.serialize_none(),
    }
}

impl Machine {
    /// A machine without a run, and why.
    pub fn lost(name: &str, why: String) -> Machine {
        Machine { name: name.into(), lost: vec![why], flaws: vec!["incomplete".into()], ..Machine::default() }
    }

    /// What the manifest of its run says.
    pub fn of(name: &str, run: PathBuf, manifest: &Manifest) -> Machine {
        let part = |key: &str| manifest.get(key).cloned().unwrap_or(Value::Null);
        let said: Said = serde_json::from_value(part("summary")).unwrap_or_default();
        let workers: Vec<Worker> = serde_json::from_value(part("workers")).unwrap_or_default();
        let sum = |of: fn(&Worker) -> i64| workers.iter().fold(0, |sum: i64, worker| sum.saturating_add(of(worker).max(0)));
        let order = said.order_violations.unwrap_or_default();
        Machine {
            name: name.into(),
            run: Some(run),
            ops: said.ops,
            same: said.same,
            different: said.different,
            uncompared: said.uncompared,
            wall: said.wall,
            waited: sum(|worker| worker.waited),
            remote: sum(|worker| worker.remote),
            edges: order.edges,
            violations: order.violations,
            complete: said.complete,
            lost: said.lost.into_iter().take(MESSAGES).collect(),
            flaws: said.flaws.into_iter().take(MESSAGES).collect(),
            clock: None,
            clock_end: None,
            tree: said.state.map(|state| state.verdicts),
        }
    }
}

/// The whole replay.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The directory with the runs of the machines, as `host=NAME`.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub run: PathBuf,
    /// What keeps the replay from being good enough; empty when nothing does.
    pub flaws: BTreeSet<String>,
    /// Whether all ops were issued.
    pub complete: bool,
    /// The signal that ended the replay early; `None` if none did.
    pub signal: Option<Signal>,
    /// Number of captured calls that were issued.
    pub ops: u64,
    /// Of these, with the same outcome.
    pub same: u64,
    /// With a different one.
    pub different: u64,
    /// With one that is not compared.
    pub uncompared: u64,
    /// `same / (same + different)`, percent; `None` when nothing was comparable.
    pub match_percent: Option<f64>,
    /// The least match, percent, that was asked for.
    pub min_match: f64,
    /// Time from the start to the end of the last op, ns.
    pub wall: i64,
    /// Number of edges of the workload.
    pub edges: u64,
    /// Of these, between ops of different machines; these are kept by counters. `None` for a replay that is not complete.
    pub remote_edges: Option<u64>,
    /// Edges inside of a machine that were violated.
    pub violations: u64,
    /// What each machine did.
    pub machines: Vec<Machine>,
}

impl Summary {
    /// Puts together what the machines did; the workload has so many edges.
    pub fn new(run: PathBuf, machines: Vec<Machine>, edges: u64, min_match: f64, signal: Option<Signal>) -> Summary {
        let sum = |of: fn(&Machine) -> u64| machines.iter().fold(0, |sum: u64, machine| sum.saturating_add(of(machine)));
        let (same, different) = (sum(|machine| machine.same), sum(|machine| machine.different));
        let compared = same.saturating_add(different);
        let match_percent = (compared > 0).then(|| 100.0 * same as f64 / compared as f64);
        let complete = machines.iter().all(|machine| machine.complete);
        let flaws = machines.iter().flat_map(|machine| machine.flaws.iter().cloned());
        // How much is the same is judged of all together: a machine may have no ops.
        let mut flaws: BTreeSet<String> = flaws.filter(|flaw| flaw != "match" && flaw != "nothing").collect();
        match match_percent {
            None => drop(flaws.insert("nothing".into())),
            Some(percent) if percent < min_match => drop(flaws.insert("match".into())),
            Some(_) => {}
        }
        if !complete {
            flaws.insert("incomplete".into());
        }
        let remote_edges = complete.then(|| edges.saturating_sub(sum(|machine| machine.edges)));
        Summary {
            run,
            flaws,
            complete,
            signal,
            ops: sum(|machine| machine.ops),
            same,
            different,
            uncompared: sum(|machine| machine.uncompared),
            match_percent,
            min_match,
            wall: machines.iter().map(|machine| machine.wall).max().unwrap_or(0),
            edges,
            remote_edges,
            violations: sum(|machine| machine.violations),
            machines,
        }
    }

    /// Whether the replay is good enough.
    pub fn ok(&self) -> bool {
        self.flaws.is_empty()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machines = Things(self.machines.len() as u64, "machine");
        writeln!(f, "Replayed {} on {machines} in {}", Things(self.ops, "call"), Nanos(self.wall))?;
        let percent = self.match_percent.map_or("nothing could be compared".into(), |percent| format!("{percent:.2} % the same"));
        writeln!(
            f,
            "  outcomes    {:>10}   same, {} different, {} not compared: {percent}",
            self.same, self.different, self.uncompared
        )?;
        write!(f, "  order       {:>10}   violated of {}", self.violations, Things(self.edges, "edge"))?;
        match self.remote_edges {
            Some(remote) => writeln!(f, ", {remote} of them between machines")?,
            None => writeln!(f)?,
        }
        for tree in self.machines.iter().filter_map(|machine| machine.tree.as_ref()) {
            let verdicts = tree.iter().map(|(verdict, count)| format!("{count} {}", shown(verdict)));
            writeln!(f, "  tree        {}", verdicts.collect::<Vec<_>>().join(", "))?;
        }
        for machine in &self.machines {
            let (name, wall, remote) = (shown(&machine.name), Nanos(machine.wall), Nanos(machine.remote));
            write!(f, "  {name}: {} in {wall}, workers waited {remote} for other machines", Things(machine.ops, "call"))?;
            if let Some(Offset { ns, error }) = machine.clock {
                let side = if ns < 0 { "behind" } else { "ahead" };
                write!(f, "; its clock is {} {side}, give or take {}", Nanos(ns.saturating_abs()), Nanos(error))?;
            }
            writeln!(f)?;
            for lost in &machine.lost {
                writeln!(f, "    lost: {}", shown(lost))?;
            }
        }
        if !self.flaws.is_empty() {
            let flaws: Vec<String> = self.flaws.iter().map(|flaw| shown(flaw).to_string()).collect();
            writeln!(f, "  not good enough: {}", flaws.join(", "))?;
        }
        writeln!(f, "  runs        {}", self.run.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn machine(manifest: Value) -> Machine {
        Machine::of("a:1", "run".into(), manifest.as_object().unwrap())
    }

    #[test]
    fn machines_are_judged_together() {
        let said = |same: u64, different: u64| {
            machine(json!({
                "summary": {
                    "complete": true, "ops": same + different, "same": same, "different": different, "flaws": ["match", "nothing"],
                    "order_violations": { "edges": 2, "violations": 0 }, "wall": same,
                },
                "workers": [{ "waited": 5, "remote": 3 }, { "waited": 1, "remote": 1 }],
            }))
        };
        let both = Summary::new("run".into(), vec![said(99, 1), said(0, 0)], 10, 99.0, None);
        assert!(both.ok() && both.complete && both.ops == 100 && both.remote_edges == Some(6) && both.wall == 99, "{both:?}");
        assert_eq!((both.machines[0].waited, both.machines[0].remote), (6, 4));
        let worse = Summary::new("run".into(), vec![said(98, 2)], 10, 99.0, None);
        assert_eq!(worse.flaws, ["match".to_owned()].into());
        let lost = Summary::new("run".into(), vec![said(99, 0), Machine::lost("b:1", "it\u{1b} is gone".into())], 10, 99.0, None);
        assert_eq!((lost.flaws.clone(), lost.remote_edges), (["incomplete".to_owned()].into(), None));
        assert!(!lost.to_string().contains('\u{1b}'));
    }

    #[test]
    fn a_damaged_manifest_is_a_run_that_is_not_complete() {
        for manifest in [json!({}), json!({ "summary": 7, "workers": "x" }), json!({ "summary": { "ops": -1 } })] {
            assert!(!Summary::new("run".into(), vec![machine(manifest)], 0, 99.0, None).ok());
        }
    }
}
