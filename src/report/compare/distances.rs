//! How far the calls of two groups are apart, of which one at least is of captures: which calls they are, how many each second, how
//! long they took and what they moved.

use super::facts::{Group, Spread};
use super::measure::call;
use super::show::{section, text};
use crate::report::page::cell::Cell;
use crate::report::page::content::Section;
use crate::statistics::distance::{Counted, distance};
use std::collections::{BTreeMap, BTreeSet};

/// Calls that are listed by name.
const CALLS: usize = 40;

/// The sections on two groups; none where both are runs.
pub fn sections(first: &Group, second: &Group) -> Vec<Section> {
    if [first, second].iter().all(|group| group.runs.iter().all(|run| run.kind == "run")) {
        return Vec::new();
    }
    let durations = apart(first, second, |spread| &spread.durations, ("durations", "Distances of durations", "at_ns"));
    let sizes = apart(first, second, |spread| &spread.sizes, ("distances_of_sizes", "Distances of sizes", "at_bytes"));
    vec![mix(first, second), durations, sizes]
}

/// Which calls there are, and how many each second.
fn mix(first: &Group, second: &Group) -> Section {
    let columns = [
        ("call", "name of the call"),
        ("first", "calls of the first group"),
        ("second", "calls of the second group"),
        ("first_share", "of all calls on files of the first group, 0 to 1"),
        ("second_share", "of all of the second group"),
        ("first_calls_per_s", "calls each second of its time, where that is known"),
        ("second_calls_per_s", "the same of the second group"),
    ];
    let groups = [first, second];
    let names: BTreeSet<&String> = groups.iter().flat_map(|group| &group.runs).flat_map(|run| run.calls.keys()).collect();
    let count = |group: &Group, name: &str| group.runs.iter().map(|run| call(run, name).calls as f64).sum::<f64>();
    let all = groups.map(|group| names.iter().map(|name| count(group, name)).sum::<f64>());
    let seconds = groups.map(|group| group.runs.iter().map(|run| run.wall_ns.unwrap_or(0) as f64 / 1e9).sum::<f64>());
    let mut rows: Vec<([f64; 2], &str)> =
        names.iter().map(|name| (groups.map(|group| count(group, name)), name.as_str())).collect();
    let shares = |counts: &[f64; 2]| [counts[0] / all[0].max(1.0), counts[1] / all[1].max(1.0)];
    let apart = rows.iter().map(|(counts, _)| shares(counts)).map(|[a, b]| (a - b).abs()).sum::<f64>() / 2.0;
    rows.sort_by(|a, b| (b.0[0] + b.0[1]).total_cmp(&(a.0[0] + a.0[1])).then(a.1.cmp(b.1)));
    let meaning = format!(
        "The mixes are {:.1} % apart: so many of the calls of one would have to be other calls to have the mix of the other.",
        apart * 100.0
    );
    let mut made = section("mix", "Mix and rates", &meaning, &columns);
    made.more = rows.len() > CALLS;
    for (counts, name) in rows.iter().take(CALLS) {
        let mut cells = vec![text(name)];
        cells.extend(counts.map(|count| Cell::Int(count as i64)));
        cells.extend(shares(counts).map(Cell::real));
        cells.extend([0, 1].map(|at| if seconds[at] > 0.0 { Cell::real(counts[at] / seconds[at]) } else { Cell::Null }));
        made.rows.push(cells);
    }
    made
}

type Get = fn(&Spread) -> &BTreeMap<String, Vec<Counted>>;

/// How far the distributions of each class of calls are apart.
fn apart(first: &Group, second: &Group, get: Get, (name, title, at): (&'static str, &str, &str)) -> Section {
    let columns = [
        ("class", "class of calls"),
        ("first", "calls of the first group"),
        ("second", "calls of the second group"),
        ("distance", "greatest difference of the shares of calls up to a value, 0 (alike) to 1"),
        (at, "the value, less than 1/8 too small"),
    ];
    let meaning = "The distance is that of Kolmogorov and Smirnov. Values are counted in eight steps to each power of two; what differs \
                   within a step is not seen. Calls of a capture are not independent of each other, so there is no p value.";
    let mut made = section(name, title, meaning, &columns);
    let [one, two] = [first, second].map(|group| summed(group, get));
    for (class, counts) in &one {
        let Some(others) = two.get(class) else { continue };
        let Some((far, at)) = distance(counts, others) else { continue };
        let all = |counts: &[Counted]| Cell::Int(counts.iter().fold(0_i64, |sum, count| sum.saturating_add_unsigned(count.1)));
        made.rows.push(vec![text(class), all(counts), all(others), Cell::real(far), Cell::Int(at)]);
    }
    made
}

/// The distributions of all runs of a group together.
fn summed(group: &Group, get: Get) -> BTreeMap<String, Vec<Counted>> {
    let mut all: BTreeMap<String, BTreeMap<i64, u64>> = BTreeMap::new();
    for (class, counts) in group.runs.iter().flat_map(|run| get(&run.spread)) {
        let sums = all.entry(class.clone()).or_default();
        for (value, count) in counts {
            let sum = sums.entry(*value).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
    all.into_iter().map(|(class, counts)| (class, counts.into_iter().collect())).collect()
}
