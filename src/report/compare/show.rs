//! A comparison as a page: the differences, the percentiles, outcomes, and how the groups were made.

use super::distances;
use super::facts::{Facts, Group};
use super::measure::{Measured, Pair, call};
use crate::report::page::cell::Cell;
use crate::report::page::content::{Column, Named, Page, Part, Section};
use crate::report::page::plot::{Plot, Shape};
use crate::statistics::difference::{ENOUGH, MOST};
use crate::statistics::estimate::{Estimate, coverage, order};
use std::collections::BTreeSet;

/// The page on these groups, and on each but the first beside the first.
pub fn page(groups: &[Group], pairs: &[Pair]) -> Page {
    let runs = groups.iter().flat_map(|group| &group.runs);
    let labels: Vec<&str> = groups.iter().map(|group| group.label.as_str()).collect();
    let mut page = Page {
        title: labels.join(" and "),
        ioriot: env!("CARGO_PKG_VERSION"),
        datasets: runs
            .map(|run| Named { name: run.name.clone(), kind: if run.kind == "run" { "run" } else { "capture" } })
            .collect(),
        ..Page::default()
    };
    if pairs.iter().any(|pair| !pair.enough()) {
        page.notes.push(format!("Fewer than {ENOUGH} runs of a group: its differences have no interval, and may be noise."));
    }
    if groups.iter().any(|group| group.runs.len() > MOST) {
        page.notes.push(format!("Of more than {MOST} runs of a group the first {MOST} count."));
    }
    let mut times = vec![each(groups)];
    for pair in pairs {
        times.push(differences(pair, groups.len() > 2));
    }
    let mut spreads = Vec::new();
    for (pair, (first, second)) in pairs.iter().zip(groups.iter().take(1).cycle().zip(groups.iter().skip(1))) {
        let case = (groups.len() > 2).then(|| format!("{} to {}", pair.first, pair.second));
        spreads.extend(distances::sections(first, second).into_iter().map(|section| Section { case: case.clone(), ..section }));
    }
    let parts = [
        ("differences", "Differences", times),
        ("distributions", "Mixes and distributions", spreads),
        ("percentiles", "Latencies", vec![percentiles(groups, pairs)]),
        ("outcomes", "Outcomes and end states", vec![outcomes(groups)]),
        ("conditions", "Conditions", vec![conditions(groups)]),
    ];
    let parts = parts.map(|(name, title, sections)| Part {
        name,
        title,
        sections: sections.into_iter().filter(|section| !section.rows.is_empty()).collect(),
    });
    page.parts = parts.into_iter().filter(|part| !part.sections.is_empty()).collect();
    page
}

pub(super) fn section(name: &'static str, title: &str, meaning: &str, columns: &[(&str, &str)]) -> Section {
    Section {
        name,
        title: title.into(),
        case: None,
        meaning: meaning.into(),
        plot: Plot::table(),
        columns: columns.iter().map(|(name, meaning)| Column::new(name, meaning)).collect(),
        rows: Vec::new(),
        more: false,
        sql: None,
    }
}

pub(super) fn text(text: &str) -> Cell {
    Cell::Text(text.into())
}

fn maybe(value: Option<f64>) -> Cell {
    value.map_or(Cell::Null, Cell::real)
}

/// The time of each run.
fn each(groups: &[Group]) -> Section {
    let columns =
        [("run", "run or capture"), ("group", "its group"), ("wall_ns", "from its first call to the end of its last, ns")];
    let mut made = section("each", "Time of each run", "From its first call to the end of its last.", &columns);
    made.plot = Plot { shape: Shape::Bars, x: "run".into(), y: vec!["wall_ns".into()], ..Plot::table() };
    for group in groups {
        for (at, run) in group.runs.iter().enumerate() {
            let name = if group.runs.len() == 1 { group.label.clone() } else { format!("{} {}", group.label, at + 1) };
            made.rows.push(vec![Cell::Text(name), text(&group.label), run.wall_ns.map_or(Cell::Null, Cell::Int)]);
        }
    }
    made
}

fn differences(pair: &Pair, several: bool) -> Section {
    let columns = [
        ("what", "what is compared"),
        ("first_ns", "median of the first group, ns"),
        ("second_ns", "median of the second group, ns"),
        ("difference_ns", "median of the differences, second less first, ns"),
        ("difference_share", "the same as a share of the first median"),
        ("low_ns", "lower end of the interval of the difference, ns"),
        ("high_ns", "upper end of the interval, ns"),
        (
            "effect",
            "Cliff's delta, -1 to 1: how often a run of the second group takes longer than one of the first, less how often shorter",
        ),
        ("p", "probability of such a difference by chance; of calls corrected for their number (Holm)"),
        ("verdict", "whether it is more than noise: p is at most 0.05"),
    ];
    let (n, m) = pair.runs;
    let meaning = if pair.enough() {
        format!(
            "{n} and {m} runs. The interval holds the true difference with 95 % at least (Hodges and Lehmann), if runs are independent; \
             p is that of Mann and Whitney. Calls with 1 % of the time or more are compared."
        )
    } else {
        format!("{n} and {m} runs: no interval.")
    };
    let mut made = section("differences", "Times", &meaning, &columns);
    made.case = several.then(|| format!("{} to {}", pair.first, pair.second));
    made.rows = pair.whole.iter().chain(&pair.calls).map(row).collect();
    made
}

fn row(measured: &Measured) -> Vec<Cell> {
    let found = &measured.found;
    let (low, high) = found.interval.unzip();
    vec![
        text(&measured.what),
        Cell::real(found.first),
        Cell::real(found.second),
        Cell::real(found.shift),
        maybe(found.share()),
        maybe(low),
        maybe(high),
        Cell::real(found.effect),
        maybe(measured.p),
        text(measured.verdict.name()),
    ]
}

fn percentiles(groups: &[Group], pairs: &[Pair]) -> Section {
    let columns = [
        ("call", "name of the call"),
        ("group", "the group"),
        ("calls", "calls of a run, median"),
        ("p50_ns", "median of the runs' medians, ns"),
        ("p50_low_ns", "lower end of its interval, ns"),
        ("p50_high_ns", "upper end of its interval, ns"),
        ("p99_ns", "median of the runs' 99th percentiles, ns"),
        ("p99_low_ns", "lower end of its interval, ns"),
        ("p99_high_ns", "upper end of its interval, ns"),
    ];
    let least = groups.iter().map(|group| group.runs.len()).min().unwrap_or(0);
    let share = coverage(least, order(least)) * 100.0;
    let meaning = if least >= ENOUGH {
        format!("Intervals are bounded by order statistics of the runs and hold the true median with {share:.0} % at least.")
    } else {
        "Too few runs for intervals.".into()
    };
    let mut made = section("percentiles", "Percentiles of calls", &meaning, &columns);
    let names = pairs.iter().flat_map(|pair| pair.calls.iter().map(|call| call.what.as_str()));
    let mut seen = BTreeSet::new();
    for name in names.filter(|name| seen.insert(*name)) {
        for group in groups {
            let of = |get: fn(&super::facts::Calls) -> i64| Estimate::of(group.runs.iter().map(|run| get(&call(run, name))));
            let number = of(|calls| calls.calls.min(i64::MAX as u64) as i64).map_or(Cell::Null, |found| Cell::Int(found.median));
            let mut cells = vec![text(name), text(&group.label), number];
            for found in [of(|calls| calls.p50_ns), of(|calls| calls.p99_ns)] {
                cells.push(found.map_or(Cell::Null, |found| Cell::Int(found.median)));
                let bounds = found.filter(|_| group.runs.len() >= ENOUGH).map(|found| (found.low, found.high)).unzip();
                cells.extend([bounds.0, bounds.1].map(|bound| bound.map_or(Cell::Null, Cell::Int)));
            }
            made.rows.push(cells);
        }
    }
    made
}

fn outcomes(groups: &[Group]) -> Section {
    let columns = [
        ("group", "the group"),
        ("runs", "how many"),
        ("same", "outcomes that were the captured ones, the least of its runs"),
        ("different", "outcomes that were not, the most of its runs"),
        ("end_state", "paths of the tree by what was found, in all its runs"),
        ("words", "flaws and caveats of any of its runs (docs/SCHEMA.md)"),
    ];
    let mut made = section("outcomes", "Outcomes", "Of runs; a capture has none.", &columns);
    for group in groups.iter().filter(|group| group.runs.iter().any(|run| run.same.is_some())) {
        let count = |value: Option<u64>| value.map_or(Cell::Null, |count| Cell::Int(count.min(i64::MAX as u64) as i64));
        let words: BTreeSet<&str> = group.runs.iter().flat_map(|run| run.words.iter().map(String::as_str)).collect();
        made.rows.push(vec![
            text(&group.label),
            Cell::Int(group.runs.len() as i64),
            count(group.runs.iter().filter_map(|run| run.same).min()),
            count(group.runs.iter().filter_map(|run| run.different).max()),
            Cell::Text(states(&group.runs)),
            Cell::Text(words.into_iter().collect::<Vec<_>>().join(", ")),
        ]);
    }
    made
}

/// The end states of some runs: what all have in common, or that they differ.
fn states(runs: &[Facts]) -> String {
    let said = |run: &Facts| run.state.iter().map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", ");
    let all: BTreeSet<String> = runs.iter().map(said).collect();
    all.into_iter().collect::<Vec<_>>().join("; or ")
}

fn conditions(groups: &[Group]) -> Section {
    let columns = [("condition", "what"), ("group", "the group"), ("value", "what is said; where its runs differ, each")];
    let mut made = section("conditions", "How and where", "What their manifests say.", &columns);
    let names: BTreeSet<&String> = groups.iter().flat_map(|group| &group.runs).flat_map(|run| run.conditions.keys()).collect();
    for name in names {
        for group in groups {
            let said: BTreeSet<&str> = group.runs.iter().filter_map(|run| run.conditions.get(name)).map(String::as_str).collect();
            let said = said.into_iter().collect::<Vec<_>>().join("; ");
            made.rows.push(vec![text(name), text(&group.label), Cell::Text(said)]);
        }
    }
    made
}
