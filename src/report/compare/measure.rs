//! Measures the differences of two groups: the time as a whole, and that of each call that matters.

use super::facts::{Calls, Facts, Group};
use crate::statistics::difference::{Difference, ENOUGH, SIGNIFICANT, holm};
use anyhow::{Result, ensure};
use serde::Serialize;
use std::collections::BTreeMap;

/// Least share of the time in calls, of either group, from which a call is compared: each further one makes it harder to show any
/// difference.
const SHARE: f64 = 0.01;
/// Most calls that are compared.
const CALLS: usize = 40;

/// What to think of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// There are too few runs to tell.
    Unknown,
    /// No difference was shown.
    Noise,
    /// The second group takes longer.
    Slower,
    /// The second group takes less time.
    Faster,
}

impl Verdict {
    /// The verdict for people.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Unknown => "no interval",
            Verdict::Noise => "no difference shown",
            Verdict::Slower => "slower",
            Verdict::Faster => "faster",
        }
    }

    /// `p` is corrected for the number of comparisons.
    fn of(found: &Difference, p: Option<f64>) -> Verdict {
        match p {
            None => Verdict::Unknown,
            Some(p) if p > SIGNIFICANT || found.shift == 0.0 => Verdict::Noise,
            Some(_) if found.shift > 0.0 => Verdict::Slower,
            Some(_) => Verdict::Faster,
        }
    }
}

/// A difference between two groups.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// What is compared: the whole, or a call.
    pub what: String,
    /// The difference of times, ns.
    pub found: Difference,
    /// The p value, corrected for the number of calls that are compared; of the whole as it is.
    pub p: Option<f64>,
    /// What to think of it.
    pub verdict: Verdict,
}

/// Two groups side by side.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// Name of the first group.
    pub first: String,
    /// Name of the second group.
    pub second: String,
    /// Runs of each.
    pub runs: (usize, usize),
    /// The time as a whole; `None` when it is not known.
    pub whole: Option<Measured>,
    /// The time in each call that matters, those with most time first.
    pub calls: Vec<Measured>,
}

/// Name of the comparison of the whole.
pub const WHOLE: &str = "time of the whole";

impl Pair {
    /// Compares two groups.
    ///
    /// # Errors
    /// When both are runs, and of different workloads.
    pub fn of(first: &Group, second: &Group) -> Result<Pair> {
        let print = |group: &Group| group.runs.first().and_then(|run| run.fingerprint.clone());
        let (one, two) = (print(first), print(second));
        let [named, other] = [&one, &two].map(|print| print.as_deref().unwrap_or("unknown"));
        ensure!(
            one.is_none() || two.is_none() || one == two,
            "{} and {} are runs of different workloads (fingerprints {named} and {other}), which cannot be compared",
            first.label,
            second.label
        );
        let walls = |group: &Group| group.runs.iter().filter_map(|run| run.wall_ns).map(|ns| ns as f64).collect::<Vec<_>>();
        let whole = Difference::of(&walls(first), &walls(second));
        let whole = whole.map(|found| Measured { what: WHOLE.into(), found, p: found.p, verdict: Verdict::of(&found, found.p) });
        let mut calls: Vec<Measured> = Vec::new();
        for name in matter(first, second) {
            let totals = |group: &Group| group.runs.iter().map(|run| call(run, &name).total_ns as f64).collect::<Vec<_>>();
            if let Some(found) = Difference::of(&totals(first), &totals(second)) {
                calls.push(Measured { what: name, found, p: found.p, verdict: Verdict::Unknown });
            }
        }
        let values: Option<Vec<f64>> = calls.iter().map(|call| call.found.p).collect();
        let corrected = values.map(|values| holm(&values));
        for (at, call) in calls.iter_mut().enumerate() {
            call.p = corrected.as_ref().map(|values| values[at]);
            call.verdict = Verdict::of(&call.found, call.p);
        }
        let runs = (first.runs.len(), second.runs.len());
        Ok(Pair { first: first.label.clone(), second: second.label.clone(), runs, whole, calls })
    }

    /// Are there enough runs for intervals?
    pub fn enough(&self) -> bool {
        self.runs.0 >= ENOUGH && self.runs.1 >= ENOUGH
    }

    /// Differences that are more than noise, and by more than this share of the first group's time.
    pub fn regressions(&self, limit: f64) -> impl Iterator<Item = &Measured> {
        let over = move |measured: &&Measured| {
            measured.verdict == Verdict::Slower && measured.found.share().is_none_or(|share| share > limit)
        };
        self.whole.iter().chain(&self.calls).filter(over)
    }
}

/// The calls of a run by this name.
pub fn call(run: &Facts, name: &str) -> Calls {
    run.calls.get(name).copied().unwrap_or_default()
}

/// Names of the calls whose share of the time is large enough in either group, those with most time first.
fn matter(first: &Group, second: &Group) -> Vec<String> {
    let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
    for run in first.runs.iter().chain(&second.runs) {
        let all: f64 = run.calls.values().map(|call| call.total_ns as f64).sum();
        for (name, call) in &run.calls {
            let share = shares.entry(name).or_default();
            *share = share.max(call.total_ns as f64 / all.max(1.0));
        }
    }
    let mut names: Vec<(&str, f64)> = shares.into_iter().filter(|(_, share)| *share >= SHARE).collect();
    names.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    names.into_iter().take(CALLS).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(label: &str, walls: &[i64], slow: i64) -> Group {
        let run = |wall: &i64| {
            let call = |total_ns| Calls { calls: 1, total_ns, p50_ns: 1, p99_ns: 1 };
            let calls = [("fsync", wall * slow), ("read", wall * 3), ("rare", wall / 1000)];
            let calls = calls.into_iter().map(|(name, ns)| (name.to_owned(), call(ns))).collect();
            Facts { kind: "run".into(), fingerprint: Some("f".into()), wall_ns: Some(*wall), calls, ..Facts::default() }
        };
        Group { label: label.into(), runs: walls.iter().map(run).collect() }
    }

    #[test]
    fn what_got_slower_is_named() {
        let one = group("a", &[1000, 1010, 1020, 1030, 1040], 10);
        let two = group("b", &[1005, 1015, 1025, 1035, 1045], 12);
        let pair = Pair::of(&one, &two).unwrap();
        assert_eq!(pair.whole.as_ref().unwrap().verdict, Verdict::Noise);
        let verdicts: Vec<_> = pair.calls.iter().map(|call| (call.what.as_str(), call.verdict)).collect();
        assert_eq!(verdicts, [("fsync", Verdict::Slower), ("read", Verdict::Noise)]);
        let named = |limit| pair.regressions(limit).map(|found| found.what.clone()).collect::<Vec<_>>();
        assert_eq!(named(0.05), ["fsync"]);
        assert!(named(0.5).is_empty());
        assert_eq!(Pair::of(&two, &one).unwrap().calls[0].verdict, Verdict::Faster);
    }

    #[test]
    fn few_runs_say_nothing_for_sure() {
        let pair = Pair::of(&group("a", &[1, 2, 3, 4], 1), &group("b", &[100, 200, 300, 400], 1)).unwrap();
        assert!(!pair.enough() && pair.whole.unwrap().verdict == Verdict::Unknown);
        assert!(pair.calls.iter().all(|call| call.verdict == Verdict::Unknown && call.p.is_none()));
    }

    #[test]
    fn other_workloads_are_refused() {
        let mut other = group("b", &[1], 1);
        other.runs[0].fingerprint = Some("g".into());
        assert!(Pair::of(&group("a", &[1], 1), &other).unwrap_err().to_string().contains("different workloads"));
    }
}
