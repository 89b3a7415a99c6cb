//! A prediction as text for people, in 80 columns where names are short.

use super::forecast::{Forecast, LeftOut, Prediction};
use super::rounds::Bound;
use crate::amount::{Bytes, Nanos, Things};
use crate::replay::Chosen;
use crate::statistics::estimate::Estimate;
use crate::text::shown;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Number of calls in the table of latencies: those that took most time.
const CALLS: usize = 6;
/// Width of a cell with an amount.
const WIDE: usize = 10;

impl fmt::Display for Prediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.cells.iter().map(|cell| cell.label.chars().count()).max().unwrap_or(0).max("captured".len()) + 1;
        if let (Some(signal), true) = (self.signal, self.is_empty()) {
            return writeln!(f, "Ended by {} before a run that counts was done.", signal.name());
        }
        self.head(f)?;
        self.times(f, width)?;
        self.calls(f, width)?;
        for (kept, lost) in self.saturation() {
            match lost {
                None => writeln!(f, "{} keeps its pace: no speed up to {} was too much.", kept.label, kept.speed)?,
                Some(lost) => {
                    let longer = lost.ratio.unwrap_or_default();
                    let kept = if lost.speed == kept.speed { "no speed".into() } else { format!("speed {}", kept.speed) };
                    writeln!(
                        f,
                        "{} is too much: it took {longer:.2} of the planned time; {kept} below it was kept.",
                        lost.label
                    )?;
                }
            }
        }
        self.flaws(f)?;
        self.caveats(f)?;
        self.brackets(f)?;
        self.source(f)
    }
}

impl Prediction {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(signal) = self.signal {
            writeln!(f, "Ended by {}: what was done until then counts.", signal.name())?;
        }
        let roots: BTreeSet<_> = self.cells.iter().map(|cell| &cell.root).collect();
        let speeds = self.targets().count() / roots.len().max(1);
        let targets = if roots.len() == 1 { "".into() } else { format!(" on each of {} targets", roots.len()) };
        let speeds = if speeds <= 1 { "".into() } else { format!(" at each of {speeds} speeds") };
        let warm_up = if self.warm_up == 0 { "".into() } else { format!(" after {}", Things(self.warm_up as u64, "warm-up")) };
        let why = self.pace_chosen.filter(|chosen| *chosen != Chosen::Asked);
        let why = why.map_or(String::new(), |chosen| format!(":\n{}", chosen.doc()));
        writeln!(
            f,
            "Replayed {}{targets}{speeds}{warm_up}:\n{} each, order {}, pace {}{why}.",
            Things(self.repeat as u64, "time"),
            Things(self.ops, "captured call"),
            self.order.name(),
            self.pace.name(),
        )
    }

    /// The cells that are no bounds of others.
    fn targets(&self) -> impl Iterator<Item = &Forecast> {
        self.cells.iter().filter(|cell| cell.bound.is_none())
    }

    /// Between which times a program takes that adapts.
    fn brackets(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.brackets.iter().try_for_each(|bracket| {
            let (low, high, width) = (Nanos(bracket.low), Nanos(bracket.high), bracket.width_percent);
            let label = shown(&bracket.label);
            let names: Vec<_> = bracket.bounds.iter().copied().map(Bound::name).collect();
            let names = if names.len() > 1 { names.join(" and ") } else { format!("regrouped and {} syncs", names.concat()) };
            writeln!(f, "Bracket on {label}: {low} to {high} ({width:.0} %), the times of {names}.")
        })
    }

    /// One line for each cell: time with its interval, match, traffic.
    fn times(&self, f: &mut fmt::Formatter<'_>, width: usize) -> fmt::Result {
        let base = if self.cells.iter().any(|cell| cell.planned.is_some()) { "/planned" } else { "/captured" };
        writeln!(f, "{:<width$}{}", "", row(["time", "from", "to", base, "match", "read", "written"].map(String::from)))?;
        if let Some(captured) = self.captured {
            writeln!(f, "{:<width$}{:>WIDE$}", "captured", Nanos(i64::try_from(captured).unwrap_or(i64::MAX)).to_string())?;
        }
        for cell in &self.cells {
            let Some(Estimate { median, low, high }) = cell.time else {
                writeln!(f, "{:<width$}no run was done", shown(&cell.label))?;
                continue;
            };
            let [time, low, high] = [median, low, high].map(|ns| Nanos(ns).to_string());
            let bytes = |estimate: Estimate| Bytes(estimate.median.max(0) as u64).to_string();
            let traffic = cell.traffic.as_ref().map(|traffic| [bytes(traffic.read_bytes), bytes(traffic.written_bytes)]);
            let [read, written] = traffic.unwrap_or_default();
            let ratio = cell.ratio.map_or(String::new(), |ratio| format!("{ratio:.3}"));
            let same = cell.match_percent.map_or("-".into(), |percent| format!("{percent:.2} %"));
            writeln!(f, "{:<width$}{}", shown(&cell.label), row([time, low, high, ratio, same, read, written]))?;
        }
        for (cell, left) in self.cells.iter().filter_map(|cell| Some((cell, cell.left_out?))) {
            let (label, LeftOut { syncs, of }) = (shown(&cell.label), left);
            writeln!(
                f,
                "{label}: {syncs} of {of} syncs were left out, as others had done their work\n(--syncs captured issues all)."
            )?;
        }
        let runs = self.cells.iter().map(|cell| cell.runs.len()).min().unwrap_or(0);
        match runs {
            0 => Ok(()),
            1 => writeln!(f, "One run says nothing of how much another would differ."),
            _ => writeln!(
                f,
                "time is the median; from and to hold that of any number of runs with {:.1} %\nprobability. read and written: the device's, median.",
                100.0 * self.confidence
            ),
        }
    }

    /// Latencies of the calls that took most time over all cells.
    fn calls(&self, f: &mut fmt::Formatter<'_>, width: usize) -> fmt::Result {
        let mut totals: BTreeMap<&str, i64> = BTreeMap::new();
        for call in self.cells.iter().flat_map(|cell| &cell.calls) {
            let total = totals.entry(call.syscall).or_default();
            *total = total.saturating_add(call.total.median);
        }
        let mut names: Vec<_> = totals.into_iter().collect();
        names.sort_by_key(|(name, total)| (Reverse(*total), *name));
        if names.is_empty() {
            return Ok(());
        }
        writeln!(f, "{:<16}{:<width$}{:>WIDE$}{:>WIDE$}{:>WIDE$}", "call", "", "calls", "p50", "tail")?;
        for (name, _) in names.iter().take(CALLS) {
            let mut first = *name;
            let of = |cell: &Forecast| cell.calls.iter().position(|call| call.syscall == *name);
            for (cell, call) in self.targets().filter_map(|cell| Some((cell, &cell.calls[of(cell)?]))) {
                let (tail, estimate, captured) = call.tail();
                if let Some((old, captured)) = call.captured.zip(captured).filter(|_| first == *name) {
                    let [p50, captured] = [old.p50, captured].map(|ns| Nanos(ns).to_string());
                    writeln!(f, "{first:<16}{:<width$}{:>WIDE$}{p50:>WIDE$}{captured:>WIDE$}  {tail}", "captured", call.calls)?;
                    first = "";
                }
                let [p50, value] = [call.p50.median, estimate.median].map(|ns| Nanos(ns).to_string());
                writeln!(f, "{first:<16}{:<width$}{:>WIDE$}{p50:>WIDE$}{value:>WIDE$}  {tail}", shown(&cell.label), call.calls)?;
                first = "";
            }
        }
        Ok(())
    }

    fn flaws(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cells.iter().try_for_each(|cell| {
            cell.flaws.iter().try_for_each(|flaw| writeln!(f, "Not good enough on {}: {}.", shown(&cell.label), flaw.doc()))
        })
    }

    /// What keeps times from being believed; cells that say the same say it once.
    fn caveats(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told: Vec<&Forecast> = Vec::new();
        for cell in self.targets().filter(|cell| cell.time.is_some()) {
            if told.iter().any(|other| other.caveats == cell.caveats) {
                continue;
            }
            told.push(cell);
            let same: Vec<_> = self.targets().filter(|other| other.time.is_some() && other.caveats == cell.caveats).collect();
            let names: Vec<_> = same.iter().map(|cell| shown(&cell.label)).collect();
            let names = names.join(", ");
            if cell.caveats.is_empty() {
                writeln!(f, "Time on {names}: believable.")?;
                continue;
            }
            writeln!(f, "Time on {names}: not to be believed as the program's there:")?;
            for (at, caveat) in cell.caveats.iter().enumerate() {
                let numbers: Vec<_> =
                    same.iter().filter_map(|cell| cell.numbers.get(at)).filter(|said| !said.is_empty()).collect();
                let numbers = match numbers.as_slice() {
                    [] => String::new(),
                    [one, rest @ ..] if rest.iter().all(|other| other == one) => format!(" ({one})"),
                    several => format!(" ({})", several.iter().map(|said| said.as_str()).collect::<Vec<_>>().join("; ")),
                };
                writeln!(f, "  {:<14} {}{numbers}", caveat.name(), caveat.doc())?;
            }
        }
        Ok(())
    }

    /// Whether the captured time came out on the device of the capture.
    fn source(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for cell in &self.cells {
            let Some(verdict) = cell.source else { continue };
            let (label, off) = (shown(&cell.label), verdict.off_percent);
            match (verdict.within, cell.caveats.is_empty()) {
                (true, _) => writeln!(f, "The captured time comes out on {label}, within the noise: {off:+.1} %.")?,
                (false, true) => {
                    writeln!(f, "The captured time does not come out on {label}: {off:+.1} %, and no caveat says why.")?
                }
                (false, false) => {
                    let why: Vec<_> = cell.caveats.iter().map(|caveat| caveat.name()).collect();
                    writeln!(f, "The captured time does not come out on {label}: {off:+.1} %. Caveats: {}.", why.join(", "))?;
                }
            }
        }
        Ok(())
    }
}

fn row(cells: [String; 7]) -> String {
    let line: String = cells.iter().map(|cell| format!("{cell:>WIDE$}")).collect();
    line.trim_end().to_owned()
}
