//! The order of lines: that of the effects of the calls, which a reader takes from it.
//!
//! Calls come in the order of their starts. One during which another thread has a line is two lines: `12 1.5 read(3, ""..., 10
//! <unfinished ...>` and `12 1.7 <... read resumed>) = 10`. The effect of a call is at its start or at its return (`lock::instant`);
//! `seq` is the order of effects, so a return stands behind the starts of all calls with lower numbers, and before those of calls with
//! higher ones. The other returns go by the clock.

use crate::event::{Col, Event};
use crate::ingest::strace::print::Printed;
use crate::syscall::At;
use crate::syscall::lock::instant;
use anyhow::Result;
use std::io::Write;

/// Calls that are open at once, at most: a machine with more threads in calls gets returns too early.
const MOST: usize = 4096;

/// A call that has not returned.
struct Open {
    seq: i64,
    tid: i64,
    /// When it returns, ns.
    end: i64,
    at: At,
    /// The line of its return.
    text: Vec<u8>,
}

/// A call that is not written yet: whether another line comes before its return is not known.
struct Next {
    start: i64,
    head: Vec<u8>,
    tail: Vec<u8>,
    open: Open,
}

/// The lines that are being written. Memory grows with the number of calls in flight.
pub struct Lines<'o> {
    out: &'o mut (dyn Write + Send),
    /// Added to all times, ns.
    shift: i64,
    next: Option<Next>,
    /// Calls that have not returned, by `seq`.
    open: Vec<Open>,
    /// Latest time of a line, ns.
    now: i64,
    any: bool,
}

impl<'o> Lines<'o> {
    /// None yet; `shift` is added to all times, ns.
    pub fn new(out: &'o mut (dyn Write + Send), shift: i64) -> Lines<'o> {
        Lines { out, shift, next: None, open: Vec::new(), now: i64::MIN, any: false }
    }

    /// Takes the next call in the order of starts; `later` is the lowest `seq` of those that start after it.
    ///
    /// # Errors
    /// When the lines cannot be written.
    pub fn call(&mut self, event: &Event, seq: i64, later: Option<i64>, printed: Printed) -> Result<()> {
        let tid = event.int(Col::Tid).unwrap_or_default();
        let (start, at) = (event.int(Col::Ts), instant(event));
        let least = later.map_or(seq, |later| later.min(seq));
        let over = |open: &Open| {
            let over = start.is_none_or(|start| open.end <= start);
            match open.at {
                // A thread has one call at a time, whatever the clock says.
                _ if open.tid == tid => true,
                At::Entry => over,
                At::Return => over && open.seq < least || at == At::Entry && open.seq < seq,
            }
        };
        self.advance(start, over)?;
        let Some(start) = start.filter(|_| event.int(Col::Ret).is_some()) else {
            // Without times the order is that of the effects anyway; and what never returned has no second line.
            return self.line(tid, start, &[&printed.head, &printed.tail]);
        };
        let text = [b"<... ".as_slice(), event.name().as_bytes(), b" resumed>", &printed.tail].concat();
        let open = Open { seq, tid, end: start.saturating_add(event.int(Col::Dur).unwrap_or_default().max(0)), at, text };
        self.next = Some(Next { start, head: printed.head, tail: printed.tail, open });
        Ok(())
    }

    /// Writes the call that waits, and the returns of those that are over before a call starts.
    fn advance(&mut self, start: Option<i64>, over: impl Fn(&Open) -> bool) -> Result<()> {
        if let Some(Next { start: began, head, tail, open }) = self.next.take() {
            // What must have its line before it returns, or had returned by then.
            let during = |other: &Open| match (other.at, open.at) {
                (At::Return, At::Return) => other.seq < open.seq,
                _ => over(other) && other.end < open.end,
            };
            if over(&open) && !self.open.iter().any(during) {
                self.line(open.tid, Some(began), &[&head, &tail])?;
            } else {
                self.line(open.tid, Some(began), &[&head, b" <unfinished ...>"])?;
                let place = self.open.partition_point(|other| other.seq < open.seq);
                self.open.insert(place, open);
            }
        }
        let full = self.open.len() > MOST;
        let over = |place: usize, open: &Open| over(open) || full && place == 0;
        // A return with an effect takes along those whose effects come before it.
        let last = self.open.iter().enumerate().rposition(|(place, open)| open.at == At::Return && over(place, open));
        let mut place = 0;
        let gone = self.open.extract_if(.., |open| {
            place += 1;
            over(place - 1, open) || open.at == At::Return && last.is_some_and(|last| place - 1 < last)
        });
        let mut gone: Vec<Open> = gone.collect();
        gone.sort_by_key(|open| (open.at == At::Entry, if open.at == At::Entry { open.end } else { open.seq }));
        for open in gone {
            let end = start.map_or(open.end, |start| open.end.min(start)).max(self.now);
            self.line(open.tid, Some(end), &[&open.text])?;
        }
        Ok(())
    }

    /// Writes what is left. True when there was any line.
    ///
    /// # Errors
    /// When the lines cannot be written.
    pub fn end(&mut self) -> Result<bool> {
        self.advance(None, |_| true)?;
        Ok(self.any)
    }

    fn line(&mut self, tid: i64, time: Option<i64>, text: &[&[u8]]) -> Result<()> {
        self.any = true;
        write!(self.out, "{tid} ")?;
        if let Some(time) = time {
            self.now = self.now.max(time);
            let time = time.saturating_add(self.shift).max(0);
            write!(self.out, "{}.{:09} ", time / 1_000_000_000, time % 1_000_000_000)?;
        }
        text.iter().try_for_each(|part| self.out.write_all(part))?;
        Ok(self.out.write_all(b"\n")?)
    }
}
