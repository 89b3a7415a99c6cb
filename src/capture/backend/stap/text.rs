//! Lines of the capture to events, and what they tell of themselves.

use super::serial::Serials;
use crate::capture::backend::ebpf::made_fd;
use crate::capture::target::filter::Calls;
use crate::capture::target::path_filter::PathFilter;
use crate::capture::target::snapshot::Snapshot;
use crate::capture::write::{Recorder, hole};
use crate::capture::{Options, Sum, os};
use crate::events::order::Placed;
use crate::ingest::capture::Capture;
use crate::ingest::parse::{Batch, Ended, Parser, Stamp, What, digits};
use crate::ingest::sequence::Sequencer;
use crate::loss::Loss;
use crate::schema::losses::Lost;
use anyhow::Result;
use std::collections::HashSet;

/// So many later events, and one that has not come does not come any more.
const OVERTAKEN: u64 = 4096;

/// What lines say that are no events.
#[derive(Debug, Default)]
pub struct Marks {
    /// Whose calls the probes see, in the words of the header.
    pub scope: Option<String>,
    /// The probes are at work.
    pub ready: bool,
    /// There is nobody left to follow.
    pub idle: bool,
    /// The last line.
    ended: Option<Ended>,
}

/// The text of a capture, line by line.
pub struct Text {
    sequencer: Sequencer<'static>,
    serials: Serials,
    /// What lines said that are no events.
    pub marks: Marks,
    calls: Calls,
    path_filter: PathFilter,
    /// Events that are wanted.
    most: u64,
    /// Descriptors that were made before the open ones had been looked at: their events tell of them.
    pub made_early: HashSet<(i64, i64)>,
    until: i64,
    batch: Batch,
    lines: u64,
    arrived: u64,
    written: u64,
    garbled: u64,
}

impl Text {
    /// A text that begins at this time.
    pub fn new(now: i64) -> Text {
        Text {
            sequencer: Sequencer::new(&Capture, 0, true, None),
            serials: Serials::new(now),
            marks: Marks::default(),
            calls: Calls::all(),
            path_filter: PathFilter::default(),
            most: u64::MAX,
            made_early: HashSet::new(),
            until: now,
            batch: Batch::default(),
            lines: 0,
            arrived: 0,
            written: 0,
            garbled: 0,
        }
    }

    /// From now on events are taken as `options` say. The open files were looked at until then.
    pub fn watch(&mut self, until: i64, options: &Options, snapshot: &Snapshot) {
        self.until = until;
        self.path_filter = PathFilter::new(&options.paths, snapshot);
        self.calls = options.calls.clone();
        self.most = options.limits.events.unwrap_or(u64::MAX);
    }

    /// Reads a line that is no event: header, mark, end. False when it is none of these.
    pub fn mark(&mut self, line: &[u8]) -> bool {
        let Some(fields) = line.strip_prefix(b"#|capture_") else { return false };
        match fields {
            b"ready|" => self.marks.ready = true,
            b"idle|" => self.marks.idle = true,
            _ if fields.starts_with(b"version=5|") => {
                let scope = fields.split(|byte| *byte == b'|').find_map(|field| field.strip_prefix(b"scope="));
                self.marks.scope = scope.map(|scope| String::from_utf8_lossy(scope).into_owned());
            }
            _ => return false,
        }
        true
    }

    /// Takes a line.
    ///
    /// # Errors
    /// When the event cannot be written.
    pub fn line(&mut self, line: &[u8], recorder: &mut Recorder<'_>) -> Result<()> {
        self.lines += 1;
        if self.mark(line) {
            return Ok(());
        }
        Capture.line(self.lines, line, &mut self.batch);
        if let Some(ended) = self.batch.ended.pop() {
            self.marks.ended = Some(ended);
        }
        if let Some(reject) = self.batch.rejects.pop() {
            if self.garbled == 0 {
                let start = String::from_utf8_lossy(&reject.text[..reject.text.len().min(80)]).into_owned();
                log::warn!("line {} of SystemTap's text is damaged ({}): {start}", reject.line, reject.why.doc());
            }
            self.garbled += 1;
        }
        let Some(parsed) = self.batch.parsed.pop() else { return Ok(()) };
        let serial = serial(line);
        if let Stamp::Span(_, exit) = parsed.stamp {
            self.serials.arrive(serial, exit);
            if exit <= self.until
                && let What::Call(event) = &parsed.what
            {
                self.made_early.extend(made_fd(event));
            }
        }
        self.arrived += 1;
        let path_filter = &mut self.path_filter;
        let wanted = matches!(&parsed.what, What::Call(event) if self.calls.has(event.syscall) && path_filter.lets(event));
        if !wanted || self.full() {
            return Ok(());
        }
        self.written += 1;
        let mut done = Ok(());
        self.sequencer.feed(parsed, &mut |placed: Placed| done = recorder.push(placed));
        done
    }

    /// Events that were written.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Are there as many events as were wanted?
    pub const fn full(&self) -> bool {
        self.written >= self.most
    }

    /// Is an event lost for certain?
    pub fn dropped(&self) -> bool {
        self.serials.overtaken(OVERTAKEN)
    }

    /// The text has ended: what became of the calls, and what was missed. Where events are missing a mark is put among
    /// them.
    ///
    /// # Errors
    /// When a mark cannot be written.
    pub fn settle(&mut self, recorder: &mut Recorder<'_>) -> Result<(Sum, Vec<Lost>)> {
        let now = os::now();
        let ended = self.marks.ended.unwrap_or_default();
        self.serials.end(ended.events, now);
        let missing = self.serials.missing();
        let mut losses = Vec::new();
        for gap in self.serials.gaps() {
            losses.push(Lost { kind: Loss::Transport, count: gap.missing, between: Some(gap.between) });
            recorder.push(hole(gap.between, gap.missing, self.lines))?;
        }
        if self.marks.ended.is_none() {
            let between = Some((self.serials.last(), now.max(self.serials.last())));
            losses.push(Lost { kind: Loss::NoEnd, count: 1, between });
        }
        let counts = [
            (Loss::Skipped, ended.skipped),
            (Loss::NoEntry, ended.unstarted),
            (Loss::Unreadable, ended.unreadable),
            (Loss::Crowded, ended.crowded),
            (Loss::Unfinished, ended.in_flight),
        ];
        losses.extend(Lost::some(counts));
        if self.garbled > 0 {
            log::warn!("{} lines of SystemTap's text were damaged", self.garbled);
        }
        // An end mark counts by itself; without one only what came is known.
        let issued = if self.marks.ended.is_some() { ended.events } else { self.arrived + missing } + ended.in_flight;
        let sum = Sum {
            issued,
            written: self.written,
            filtered: self.arrived - self.written,
            lost: missing,
            unfinished: ended.in_flight,
        };
        Ok((sum, losses))
    }
}

/// The serial number that a line of an event begins with.
fn serial(line: &[u8]) -> u64 {
    let number = line.strip_prefix(b"n=").unwrap_or_default();
    let end = memchr::memchr(b';', number).unwrap_or(number.len());
    digits(&number[..end]).ok().and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}
