//! Turns the lines that the SystemTap probes print into events, and reads their header, marks and last line.

use super::serial::Serials;
use crate::capture::backend::ebpf::made_fd;
use crate::capture::target::filter::Calls;
use crate::capture::target::left::Born;
use crate::capture::target::path_filter::PathFilter;
use crate::capture::target::snapshot::Snapshot;
use crate::capture::write::{Recorder, hole};
use crate::capture::{Options, Sum, os};
use crate::event::Col;
use crate::events::order::Placed;
use crate::ingest::capture::Capture;
use crate::ingest::parse::{Batch, Ended, Parser, Stamp, What, digits};
use crate::ingest::sequence::Sequencer;
use crate::loss::Loss;
use crate::schema::losses::Lost;
use crate::syscall::{Op, flag};
use anyhow::Result;
use std::collections::HashSet;

/// An event that has not arrived when so many later ones have is taken as lost.
const OVERTAKEN: u64 = 4096;

/// What the lines told that are no events: header, marks, last line.
#[derive(Debug, Default)]
pub struct Marks {
    /// The scope the module was compiled for, from the header: `all`, `target` or `name`. `None` before the header was read.
    pub scope: Option<String>,
    /// The probes have said that they are attached.
    pub ready: bool,
    /// The probes have said that no captured process is left.
    pub idle: bool,
    /// The counts of the last line; `None` as long as it has not arrived.
    ended: Option<Ended>,
}

/// Takes the text of a SystemTap capture line by line: parser, serial numbers, filters and counts.
pub struct Text {
    sequencer: Sequencer<'static>,
    serials: Serials,
    /// What the lines told so far that are no events.
    pub marks: Marks,
    calls: Calls,
    path_filter: PathFilter,
    /// Limit of events: later ones are counted but not written.
    most: u64,
    /// Descriptors (process, number) that calls made before the snapshot was complete: the events tell of them, so they are
    /// removed from the snapshot.
    pub made_early: HashSet<(i64, i64)>,
    /// Processes that were made.
    pub born: Born,
    until: i64,
    batch: Batch,
    lines: u64,
    /// Number of events that arrived.
    arrived: u64,
    /// Number of events that were written.
    written: u64,
    /// Number of lines that could not be parsed.
    garbled: u64,
}

impl Text {
    /// A text of a capture that begins at `now`, ns since 1970, with no filters and no limit.
    pub fn new(now: i64) -> Text {
        Text {
            sequencer: Sequencer::new(&Capture, 0, true, None),
            serials: Serials::new(now),
            marks: Marks::default(),
            calls: Calls::all(),
            path_filter: PathFilter::default(),
            most: u64::MAX,
            made_early: HashSet::new(),
            born: Born::default(),
            until: now,
            batch: Batch::default(),
            lines: 0,
            arrived: 0,
            written: 0,
            garbled: 0,
        }
    }

    /// Sets filters and limits to those of `options`. `until`: when the snapshot was complete, ns since 1970.
    pub fn watch(&mut self, until: i64, options: &Options, snapshot: &Snapshot) {
        self.until = until;
        self.path_filter = PathFilter::new(&options.paths, snapshot);
        self.calls = options.calls.clone();
        self.most = options.limits.events.unwrap_or(u64::MAX);
    }

    /// Reads a header or mark (`ready`, `idle`); false when the line is neither.
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

    /// Takes a line; an event that passes the filters goes to the recorder, a damaged line is counted.
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
        if let What::Call(event) = &parsed.what
            && event.syscall.op() == Some(Op::Fork)
            && event.int(Col::Flags).unwrap_or(0) & flag::CLONE_THREAD == 0
            && let Some(child) = event.success().and_then(|child| u32::try_from(child).ok())
        {
            self.born.add(child);
        }
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

    /// Number of events that were written so far.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Is the limit of events reached?
    pub const fn full(&self) -> bool {
        self.written >= self.most
    }

    /// Is an event certainly lost (4096 later ones have arrived)?
    pub fn dropped(&self) -> bool {
        self.serials.overtaken(OVERTAKEN)
    }

    /// To be called when the text has ended. Returns the ledger of the calls and the losses, and adds a hole event wherever
    /// events are missing.
    ///
    /// # Errors
    /// When a hole event cannot be written.
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
        // The last line has the number of events; without it only those that arrived or left a gap are known.
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

/// The serial number at the beginning of the line of an event (`n=17;`); 0 when there is none.
fn serial(line: &[u8]) -> u64 {
    let number = line.strip_prefix(b"n=").unwrap_or_default();
    let end = memchr::memchr(b';', number).unwrap_or(number.len());
    digits(&number[..end]).ok().and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}
