//! The byte ledger: which way bytes went in a capture, how many of them a replay moves, and why not the others.
//!
//! Beside the ledger of calls, because a call that is issued need not move what the program moved: what goes through a mapping
//! is seen in no call. `generate` makes it (`sql/generate/bytes.sql`), manifests have it under [`KEY`].

use crate::amount::{Bytes, Things};
use crate::fate::{Reason, Route};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Key of the ledger in the manifests of workloads and runs.
pub const KEY: &str = "bytes";

/// Ops on files that were on a kind of file system which the replay does not make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherKind {
    /// Number of these ops.
    pub ops: u64,
    /// Bytes that they moved.
    pub bytes: u64,
}

/// Key of the sums of such ops, by what is to be said of them ([`crate::fate::Elsewhere`]), in the manifests of workloads and runs.
pub const ELSEWHERE: &str = "elsewhere";

/// Bytes that went one way in a capture and have one fate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The way, a word of [`Route`].
    pub route: String,
    /// Whether they go that way in the replay, too.
    pub replayed: bool,
    /// Why the calls are dropped, a word of [`Reason`]; `None` when they are issued.
    pub reason: Option<String>,
    /// Number of calls, requests or page faults.
    pub calls: u64,
    /// Number of these that may have moved bytes of files, and the capture does not show how many.
    pub unknown: u64,
    /// Number of files that are mapped; 0 of other ways.
    pub files: u64,
    /// Bytes that were moved, mapped or written back.
    pub bytes: u64,
    /// Bytes of these that came out of files which are replayed, or may be files that should be.
    pub read: u64,
    /// Bytes that went into such files.
    pub written: u64,
}

impl Moved {
    fn is(&self, route: Route) -> bool {
        self.route == route.name()
    }

    /// Bytes that calls moved from and to files; both are counted of a copy.
    fn moved(&self) -> u64 {
        self.read.saturating_add(self.written)
    }
}

/// The rows of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger {
    /// One row for each way and fate.
    pub rows: Vec<Moved>,
}

impl Ledger {
    /// Bytes that calls moved from files and to files, as far as the capture shows them: all, and those that are replayed.
    pub fn moved(&self) -> (u64, u64) {
        let sum = |rows: &mut dyn Iterator<Item = &Moved>| rows.fold(0, |sum: u64, row| sum.saturating_add(row.moved()));
        (sum(&mut self.rows.iter()), sum(&mut self.rows.iter().filter(|row| row.replayed)))
    }

    /// Bytes that went this way, whatever became of them.
    pub fn of(&self, route: Route) -> u64 {
        self.rows.iter().filter(|row| row.is(route)).fold(0, |sum, row| sum.saturating_add(row.bytes))
    }

    /// Bytes that went this way and do not in the replay.
    pub fn left(&self, route: Route) -> u64 {
        self.rows.iter().filter(|row| row.is(route) && !row.replayed).fold(0, |sum, row| sum.saturating_add(row.bytes))
    }

    /// Share of the bytes that are replayed, percent. `None` when there are none, or when nobody knows how many there were: files
    /// were mapped for writing, or for reading without their page faults in the capture, or a result is missing.
    pub fn percent(&self) -> Option<f64> {
        let (all, replayed) = self.moved();
        let known = self.doubts().next().is_none();
        (known && all > 0).then(|| 100.0 * replayed as f64 / all as f64)
    }

    /// Notes that the capture lost this many events: what they moved is not known.
    pub fn lost(&mut self, events: u64) {
        if events > 0 {
            let route = Route::Unknown.name().into();
            self.rows.push(Moved { route, calls: events, unknown: events, ..Moved::default() });
        }
    }

    /// What makes the number of bytes uncertain, in words.
    pub fn doubts(&self) -> impl Iterator<Item = String> {
        let of = |route| self.rows.iter().filter(move |row| row.is(route));
        let faults = of(Route::Fault).next().is_some();
        let mapped = move |route, head: &'static str, tail: &'static str| {
            let (files, bytes) = of(route).fold((0u64, 0u64), |(files, bytes), row| {
                (files.saturating_add(row.files.max(1)), bytes.saturating_add(row.bytes))
            });
            (files > 0).then(|| format!("mapped for {head}: {}, {}, {tail}", Things(files, "file"), Bytes(bytes)))
        };
        let unknown = self.rows.iter().fold(0u64, |sum, row| sum.saturating_add(row.unknown));
        let unknown = (unknown > 0).then(|| format!("{} of unknown bytes", Things(unknown, "call")));
        let reading =
            if faults { None } else { mapped(Route::Mapped, "reading", "not known how many of them were read; not replayed") };
        let touched = of(Route::Fault).any(|row| row.replayed);
        let how = if touched { "replayed as far as page faults tell" } else { "not replayed" };
        [mapped(Route::MappedWrite, "writing", how), reading, unknown].into_iter().flatten()
    }
}

/// For people: a line for each way that bytes of files took, and for what is uncertain; the same columns as the other lines of
/// the summary of generate.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |label: &str, bytes: u64, note: &str| writeln!(f, "{label:<13}{:>11}  {note}", Bytes(bytes).to_string());
        let (all, _) = self.moved();
        let share = match self.percent() {
            Some(percent) => format!("of them {percent:.2} % are replayed"),
            None => "how many of all are replayed is not known".into(),
        };
        line("bytes", all, &format!("moved from files and to files by calls and page faults; {share}"))?;
        for row in self.rows.iter().filter(|row| row.moved() > 0) {
            let doc = Route::parse(&row.route).map_or("", Route::doc);
            let why = match row.reason.as_deref().map(|word| (word, Reason::parse(word).map_or("", Reason::doc))) {
                Some((word, doc)) => format!("not replayed, {word}: {doc}"),
                None if row.replayed => doc.into(),
                None => format!("not replayed: {doc}"),
            };
            let Moved { route, read, written, .. } = row;
            line("", row.moved(), &format!("{route} ({} read, {} written), {why}", Bytes(*read), Bytes(*written)))?;
        }
        for row in self.rows.iter().filter(|row| row.is(Route::Msync)) {
            let how = if row.replayed { "" } else { ", not replayed" };
            line("", row.bytes, &format!("msync{how}: {}", Route::Msync.doc()))?;
        }
        for doubt in self.doubts() {
            writeln!(f, "{:26}{doubt}", "")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(route: Route, replayed: bool, reason: Option<Reason>, read: u64, written: u64) -> Moved {
        let bytes = read.max(written);
        let reason = reason.map(|reason| reason.name().to_owned());
        Moved { route: route.name().into(), replayed, reason, calls: 1, bytes, read, written, ..Moved::default() }
    }

    fn mapped(route: Route, files: u64, bytes: u64) -> Moved {
        Moved { files, bytes, ..row(route, false, None, 0, 0) }
    }

    #[test]
    fn the_share_is_that_of_bytes_and_only_where_all_are_known() {
        let call = || row(Route::Call, true, None, 900, 90);
        let lost = row(Route::Call, false, Some(Reason::UnknownFd), 10, 0);
        let pipe = Moved { bytes: 5000, ..row(Route::Call, false, Some(Reason::Pipe), 0, 0) };
        let ledger = |rows: &[Moved]| Ledger { rows: rows.to_vec() };
        assert_eq!(ledger(&[call()]).percent(), Some(100.0));
        assert_eq!(ledger(&[call(), lost, pipe.clone()]).percent(), Some(99.0));
        assert_eq!(ledger(&[pipe]).percent(), None);
        let mut lossy = ledger(&[call()]);
        lossy.lost(0);
        assert_eq!(lossy.percent(), Some(100.0));
        lossy.lost(3);
        assert_eq!((lossy.percent(), lossy.doubts().next().as_deref()), (None, Some("3 calls of unknown bytes")));
        for doubt in [
            mapped(Route::MappedWrite, 1, 0),
            mapped(Route::Mapped, 3, 1 << 20),
            Moved { unknown: 1, ..row(Route::Unknown, false, Some(Reason::Requests), 0, 0) },
            Moved { unknown: 1, ..call() },
        ] {
            let ledger = ledger(&[call(), doubt]);
            assert_eq!(ledger.percent(), None, "{ledger}");
            assert_eq!((ledger.moved().0, ledger.doubts().count()), (if ledger.rows[1].is(Route::Call) { 1980 } else { 990 }, 1));
            assert!(!ledger.to_string().contains("100"), "{ledger}");
        }
    }

    #[test]
    fn page_faults_tell_what_was_read_and_never_what_was_written() {
        let (call, fault) = (row(Route::Call, true, None, 4096, 0), row(Route::Fault, false, Some(Reason::Unsupported), 4096, 0));
        let read = Ledger { rows: vec![call, fault, mapped(Route::Mapped, 1, 1 << 20)] };
        assert_eq!(read.percent(), Some(50.0));
        let mut written = read;
        written.rows.push(mapped(Route::MappedWrite, 3, 43_500_000));
        assert_eq!(written.percent(), None);
        assert_eq!(written.doubts().collect::<Vec<_>>(), ["mapped for writing: 3 files, 41.5 MiB, not replayed"]);
    }

    /// A manifest comes from somebody else.
    #[test]
    fn sums_stop_at_the_largest_number() {
        let all = row(Route::Call, true, None, u64::MAX, u64::MAX);
        let ledger = Ledger { rows: vec![all.clone(), all, mapped(Route::MappedWrite, u64::MAX, u64::MAX)] };
        assert_eq!((ledger.moved(), ledger.percent()), ((u64::MAX, u64::MAX), None));
        assert!(ledger.to_string().contains("mapped for writing"), "{ledger}");
        assert_eq!((ledger.of(Route::MappedWrite), ledger.of(Route::Mapped)), (u64::MAX, 0));
    }
}
