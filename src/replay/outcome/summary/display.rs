//! The summary of a replay as text for people.

use super::{Added, Critical, Kind, Summary, Time, percent};
use crate::amount::{Bytes, Nanos, Things};
use crate::fate::{Elsewhere, Reason};
use crate::os::device::Lines;
use crate::replay::Chosen;
use crate::replay::cache::{Cache, State};
use crate::replay::issue::burn::Computing;
use crate::replay::machine::samples;
use crate::replay::outcome::compare::TOLERANCES;
use crate::replay::outcome::flaw::Flaw;
use crate::replay::outcome::tally::{Lag, Requests, STALL};
use crate::syscall::polled::Polling;
use crate::text;
use std::fmt;

fn percentage(percent: Option<f64>) -> String {
    percent.map_or("an unknown share".into(), |percent| format!("{percent:.1} %"))
}

impl Summary {
    /// Prints order, critical path, lag, bytes, devices and latencies.
    fn performance(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = &self.figures;
        if let Some(order) = &figures.order_violations {
            writeln!(f, "  order       {:>10}   violated of {}", order.violations, Things(order.edges, "edge"))?;
        }
        if let Some(Critical { ops, ns, parallelism }) = self.critical_path {
            let (time, ops) = (Nanos(ns), Things(ops, "op"));
            writeln!(
                f,
                "  critical    {time:>10}   captured time of calls that wait for each other; {ops}, parallelism {parallelism:.2}"
            )?;
        }
        if let Some(requests) = &self.requests {
            write!(f, "{requests}")?;
        }
        for how in Polling::ALL {
            let rings: Vec<u64> =
                self.polled_rings.iter().filter(|ring| ring.polling.contains(how)).map(|ring| ring.requests).collect();
            if !rings.is_empty() {
                let requests = rings.iter().fold(0, |sum: u64, requests| sum.saturating_add(*requests));
                let (rings, name) = (Things(rings.len() as u64, "ring"), how.name());
                writeln!(f, "  without     {requests:>10}   requests through {rings} with {name}: {}", how.doc())?;
            }
        }
        if let Some(Computing { burnt, slept }) = self.computing {
            let (burnt, slept) = (Nanos(burnt).to_string(), Nanos(slept));
            writeln!(f, "  computed    {burnt:>10}   as the captured threads did; {slept} slept for want of processors")?;
        }
        if let Some(lag) = &self.lag {
            write!(f, "{lag}")?;
        }
        if let Some(span) = self.span {
            let off = 100.0 * (self.wall as f64 / span as f64 - 1.0);
            writeln!(f, "  length      {:>10}   {off:+.2} % of the planned {}", Nanos(self.wall), Nanos(span))?;
        }
        if self.stalls > 0 {
            let times = Things(self.stalls as u64, "time");
            writeln!(f, "  results waited {times} for being written: workers may have been slowed down")?;
        }
        let rate = |bytes: u64| Bytes((bytes as f64 / (self.wall.max(1) as f64 / 1e9)) as u64);
        let moved = |bytes| format!("{:>10}   {}/s", Bytes(bytes).to_string(), rate(bytes));
        writeln!(f, "  read        {}", moved(figures.read_bytes))?;
        writeln!(f, "  written     {}", moved(figures.written_bytes))?;
        if let Some(State { state: Some(state), wanted, reached_percent, dropped, .. }) = self.cache {
            let reached = percentage(reached_percent);
            let made = match (state, wanted) {
                (Cache::AsIs, _) => String::new(),
                (Cache::Captured, 0) if dropped => "nothing of the whole system, as the program found it".to_owned(),
                (_, 0) => state.doc().to_owned(),
                (_, wanted) => {
                    let names = if dropped { ", and no names and inodes" } else { "" };
                    format!("{} of files read before the start, of which {reached} were there then{names}", Bytes(wanted))
                }
            };
            writeln!(f, "  cache       {:>10}   {made}", state.name())?;
        }
        if let Added { captured: Some(captured), replayed } = self.added {
            let replayed = replayed.map_or("an unknown number".into(), |bytes| Bytes(bytes).to_string());
            writeln!(f, "  not cached  {:>10}   read from files or written over, {} in the capture", replayed, Bytes(captured))?;
        }
        if let Some(captured) = self.captured_task_io {
            writeln!(f, "  devices     {:>10}   {}; for the captured command {captured}", "", self.task_io)?;
        }
        for (devices, who) in [(&self.captured_device, "the capture"), (&self.device, "the replay")] {
            write!(f, "{}", Lines(devices.as_deref().unwrap_or_default(), who))?;
        }
        for (name, work) in &self.samples.devices {
            let [read, written] = [work.read_bytes, work.written_bytes].map(|bytes| Bytes(bytes.max(0) as u64));
            let busy = percent(work.busy_ns.max(0) as u64, self.wall.max(0) as u64).unwrap_or(0.0).min(100.0);
            // The sum of all disks is left out: it matters only where other disks did more.
            if name != samples::ALL {
                writeln!(f, "  on {name:<8} {read:>10}   read, {written} written, {busy:.0} % busy")?;
            }
        }
        if !figures.calls.is_empty() {
            write!(f, "Calls by the time they took:\n{figures}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inserted: u64 = self.inserted.values().sum();
        for lost in &self.lost {
            writeln!(f, "Not complete: {}.", text::shown(lost))?;
        }
        writeln!(
            f,
            "Replayed {} and {} in {} ({:.0} ops/s): {}, {}, order {}, pace {}, engine {}.",
            Things(self.ops, "captured call"),
            Things(inserted, "inserted op"),
            Nanos(self.wall),
            self.ops_per_second,
            Things(self.processes as u64, "process"),
            Things(self.workers as u64, "worker"),
            self.order.name(),
            self.pace.name(),
            self.engine.name()
        )?;
        if self.pace_chosen != Chosen::Asked {
            writeln!(f, "  pace        {:>10}   {}", self.pace.name(), self.pace_chosen.doc())?;
        }
        let shown = |percent: Option<f64>| percent.map_or("-".into(), |percent| format!("{percent:.3} %"));
        writeln!(f, "  match       {:>10}   {} same, {} different", shown(self.match_percent), self.same, self.different)?;
        let events = self.file_events.map_or("an unknown number of calls".into(), |events| Things(events, "call").to_string());
        let unknown = [Reason::UnknownCall, Reason::Requests].iter().any(|reason| self.drops.contains_key(reason.name()));
        let unknown = if unknown { ", or that nobody knows" } else { "" };
        writeln!(f, "  coverage    {:>10}   of {events} on files{unknown}", shown(self.coverage_percent))?;
        let (all, replayed) = self.bytes.moved();
        let (share, parts) = (shown(self.byte_coverage_percent), format!("{} of {}", Bytes(replayed), Bytes(all)));
        writeln!(f, "  of bytes    {share:>10}   {parts} that calls moved from and to files")?;
        for seat in &self.memory {
            writeln!(f, "  memory      {:>10}   {seat}", "")?;
        }
        for (reason, found) in &self.elsewhere {
            let (reason, doc) = Elsewhere::parse(reason).map_or(("", ""), |word| (word.name(), word.doc()));
            writeln!(f, "  elsewhere   {:>10}   ops, of {}, {reason}: {doc}", found.ops, Bytes(found.bytes))?;
        }
        self.bytes.doubts().try_for_each(|doubt| writeln!(f, "{:27}{doubt}", ""))?;
        writeln!(f, "  uncompared  {:>10}   {}", shown(Some(self.uncompared_percent)), Things(self.uncompared, "call"))?;
        self.performance(f)?;
        write!(f, "{}", self.time)?;
        if !self.drops.is_empty() {
            writeln!(f, "Not replayed, by reason:")?;
            for (reason, count) in &self.drops {
                let doc = Reason::parse(reason).map_or("", |reason| reason.doc());
                writeln!(f, "  {count:>10}  {reason:<14} {doc}")?;
            }
        }
        if !self.uncompared_kinds.is_empty() {
            writeln!(f, "Not compared, by kind:")?;
            for kind in &self.uncompared_kinds {
                let reason = TOLERANCES
                    .iter()
                    .find(|row| row.kind == kind.kind)
                    .map_or("the captured outcome is unknown", |row| row.reason);
                writeln!(f, "  {:>10}  {:<14} {reason}", kind.count, kind.kind)?;
            }
        }
        if !self.differences.is_empty() {
            writeln!(f, "Different, by kind, with the first examples:")?;
            for kind in &self.differences {
                kind.fmt(f)?;
            }
        }
        if self.inserted_failed.count > 0 {
            writeln!(f, "Inserted ops that failed:")?;
            self.inserted_failed.fmt(f)?;
        }
        if let Some(state) = &self.state {
            let counts: Vec<String> = state.verdicts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
            writeln!(
                f,
                "The tree after the replay: {}.",
                if counts.is_empty() { "nothing expected".into() } else { counts.join(", ") }
            )?;
            for example in &state.examples {
                writeln!(f, "  {}", text::shown(example))?;
            }
            if state.unreadable > 0 {
                writeln!(f, "  {} could not be looked into.", Things(state.unreadable, "directory"))?;
            }
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{}", text::shown(note)))?;
        self.flaws.iter().try_for_each(|flaw| match flaw {
            Flaw::Incomplete => Ok(()), // the first lines say it
            Flaw::Hindered => {
                writeln!(f, "The machine hindered the replay, which is not good enough at any match:")?;
                self.hindrances
                    .iter()
                    .try_for_each(|(hindrance, count)| writeln!(f, "  {count:>10}  {:<14} {}", hindrance.name(), hindrance.doc()))
            }
            Flaw::Losses => {
                let kinds: Vec<String> = self.losses.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
                writeln!(f, "The capture had lost events, and what they did is missing here: {}.", kinds.join(", "))
            }
            Flaw::Match => writeln!(f, "The match is under {} %.", self.min_match),
            Flaw::Nothing => writeln!(f, "Nothing could be compared."),
        })
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.caveats.is_empty() {
            return writeln!(f, "Time: believable.");
        }
        writeln!(f, "Time: not to be believed as the program's on this device:")?;
        self.caveats.iter().try_for_each(|caveat| {
            let numbers = Some(self.evidence.numbers(*caveat)).filter(|numbers| !numbers.is_empty());
            let numbers = numbers.map_or(String::new(), |numbers| format!(" ({numbers})"));
            writeln!(f, "  {:<14} {}{numbers}", caveat.name(), caveat.doc())
        })
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (native, calls) = (self.native, self.issued.saturating_sub(self.native));
        write!(f, "  requests    {:>10}   handed over", native)?;
        if let (Some(captured), Some(replayed)) = (self.depth_captured, self.depth_replayed) {
            write!(f, ": {replayed:.1} in flight on average, {captured:.1} in the capture")?;
        }
        match calls {
            0 => writeln!(f),
            calls => writeln!(f, "; {} waited for as calls", Things(calls, "other")),
        }?;
        match &self.refused {
            Some(why) => writeln!(f, "  The kernel gave no ring or context for requests: {why}."),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, p999, max] = [self.p50, self.p99, self.p999, self.max].map(Nanos);
        writeln!(
            f,
            "  lag         {p50:>10}   p50; p99 {p99}, p99.9 {p999}, at most {max}, of {} with a time",
            Things(self.ops, "op")
        )?;
        match self.bursts {
            0 => Ok(()),
            bursts => {
                let ops = Things(self.burst_ops, "op");
                writeln!(f, "  bursts      {bursts:>10}   of {ops} in all, more than {} behind their pace", Nanos(STALL))
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:>10}  {}", self.count, self.kind)?;
        for example in &self.examples {
            let path = text::shown(example.path.as_deref().unwrap_or(""));
            writeln!(
                f,
                "              op {} (event {}) {} {path}: captured {}, replayed {}",
                example.op_id, example.seq, example.syscall, example.captured, example.replayed
            )?;
        }
        Ok(())
    }
}
