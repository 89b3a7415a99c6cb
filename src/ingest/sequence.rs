//! Turns parsed lines into placed events: joins the halves of calls, reads the clock, and says where in the order each
//! event belongs.
//!
//! An event takes effect at one instant between its entry and its return; the syscall table says which end is the
//! default. In one strace file the instants are line numbers (first half, second half): its lines are in the order in
//! which the kernel stopped the threads, which is better than any clock. In `.capture` files, and when several inputs
//! are merged, they are times. The line number breaks ties.

use super::doubt::{Doubt, Doubts};
use super::exits::Exits;
use super::parse::{Parsed, Parser, Reject, Stamp, What, Why};
use crate::event::{Col, Event};
use crate::events::order::{Key, Placed};
use crate::events::{Lines, Turns};
use crate::syscall::{At, Op, Syscall, lock};
use std::collections::{HashMap, HashSet};

/// Clock of the times in an input, and so of column `ts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Times are nanoseconds since 1970 (CLOCK_REALTIME).
    Unix,
    /// Times are nanoseconds since boot.
    Boot,
    /// Times are nanoseconds since the midnight before the first line (`strace -t`, `-tt`).
    Day,
    /// Times are nanoseconds since the first line (`strace -r`).
    Relative,
    /// The input has no times.
    None,
}

impl Clock {
    /// Name of the clock in the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Clock::Unix => "unix",
            Clock::Boot => "boot",
            Clock::Day => "day",
            Clock::Relative => "relative",
            Clock::None => "none",
        }
    }
}

const DAY: i64 = 24 * 3600 * 1_000_000_000;
/// Times in ns from here on (September 2001) are times since 1970; lower ones are times since boot.
const UNIX_FROM: i64 = 1_000_000_000_000_000_000;

/// The first half of a call that has not returned yet.
#[derive(Debug)]
struct Pending {
    line: u64,
    ts: Option<i64>,
    text: Box<[u8]>,
    /// Does the call make a process or thread?
    makes: bool,
}

/// Turns the parsed lines of one input into placed events.
pub struct Sequencer<'a> {
    parser: &'a dyn Parser,
    /// Number of the input, to break ties.
    input: u64,
    /// Are instants times? Otherwise they are line numbers.
    by_time: bool,
    /// The thread of lines without a thread id, where the file's name tells it (`strace -ff`).
    own: Option<i64>,
    pending: HashMap<i64, Pending>,
    /// Number of pending calls that make a process or thread.
    making: usize,
    /// The thread whose first half was on the last parsed line, and the number of the line that its rest must be on
    /// (`None`: notes may lie between).
    split: Option<(i64, Option<u64>)>,
    /// Threads that lines without a pid may belong to.
    threads: Threads,
    /// Threads whose exit call was seen.
    exited: HashSet<i64>,
    ended: Exits,
    turns: Turns,
    clock: Clock,
    last: i64,
    /// The latest time of any line so far, ns.
    latest: i64,
    midnight: i64,
    /// Number of first halves that were joined with a second.
    pub halves: u64,
    /// Number of events that were placed in the order and handed on.
    pub events: u64,
    /// Number of lines about the end of a killed thread that are notes after all, since its exit call had been seen.
    pub notes: u64,
    /// Lines rejected while sequencing, such as halves that do not fit.
    pub rejects: Vec<Reject>,
    /// Counts of what was read here without being sure of it.
    pub doubts: Doubts,
}

impl<'a> Sequencer<'a> {
    /// A sequencer of input number `input`; `by_time` places events by time instead of line number, `own` is the thread
    /// of lines without a thread id.
    pub fn new(parser: &'a dyn Parser, input: usize, by_time: bool, own: Option<i64>) -> Sequencer<'a> {
        Sequencer {
            parser,
            input: input as u64,
            by_time,
            own,
            pending: HashMap::new(),
            making: 0,
            split: None,
            threads: Threads::default(),
            exited: HashSet::new(),
            ended: Exits::default(),
            turns: Turns::default(),
            clock: Clock::None,
            last: 0,
            latest: i64::MIN,
            midnight: 0,
            halves: 0,
            events: 0,
            notes: 0,
            rejects: Vec::new(),
            doubts: Doubts::default(),
        }
    }

    /// The clock of the input, as the lines so far show it.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Time in ns of a line that is still to be fed, to choose which input goes on.
    pub fn time(&self, stamp: Stamp) -> i64 {
        self.convert(stamp).map_or(self.last, |(_, ts)| ts)
    }

    /// Takes the next line and passes the events that are complete now to `sink`.
    pub fn feed(&mut self, parsed: Parsed, sink: &mut impl FnMut(Placed)) {
        let Parsed { line, stamp, tid, what } = parsed;
        let split = self.split.take();
        let ts = self.read_clock(stamp);
        if let What::Call(mut event) = what {
            if let Stamp::Span(entry, exit) = stamp {
                return self.place(event, (line, line), (entry.unwrap_or(exit), exit), Lines::Buffered, sink);
            }
            let tid = self.thread(tid, None);
            self.doubts.add(Doubt::Inside, self.inside(tid).into());
            self.after(tid);
            return self.finish(&mut event, tid, (line, ts), (line, None), sink);
        }
        if let What::Tail { text, why } = what {
            let split = split.filter(|(_, only)| only.is_none_or(|only| only == line));
            if !split.is_some_and(|(tid, _)| self.goes_on(tid, &text, line, sink)) {
                self.rejects.push(Reject::new(line, why, &text));
            }
            return;
        }
        let tid = self.thread(tid, if let What::Rest { name, .. } = &what { Some(name) } else { None });
        self.split = match what {
            What::Split(_) => Some((tid, None)),
            What::Half(_) => Some((tid, Some(line + 1))),
            _ => None,
        };
        match what {
            What::Call(_) | What::Tail { .. } => {}
            What::Half(text) | What::Split(text) => {
                self.doubts.add(Doubt::Inside, self.inside(tid).into());
                self.abandon(tid, sink);
                self.after(tid);
                let makes = self.makes(&text);
                self.hold(tid, Pending { line, ts, text, makes });
            }
            What::Rest { name, text } => {
                let whole = match self.release(tid) {
                    Some(half) if starts_with_call(&half.text, &name) => half,
                    other => {
                        if let Some(half) = other {
                            self.hold(tid, half);
                        }
                        let mut shown = b"<... ".to_vec();
                        shown.extend_from_slice(&name);
                        shown.extend_from_slice(b" resumed>");
                        shown.extend_from_slice(&text);
                        return self.rejects.push(Reject::new(line, Why::Resumed, &shown));
                    }
                };
                let Pending { line: first, ts: begin, text: half, .. } = whole;
                self.halves += 1;
                let joined = [half, text].concat();
                match self.parser.call(&joined, &mut self.doubts) {
                    Ok(mut event) => self.finish(&mut event, tid, (first, begin), (line, ts), sink),
                    Err(why) => self.rejects.push(Reject::new(line, why, &joined)),
                }
            }
            What::End { killed } => {
                self.abandon(tid, sink);
                let seen = self.exited.remove(&tid);
                self.ended.add(tid);
                self.threads.end(tid);
                self.turns.end(tid);
                if killed && !seen {
                    // No exit was called, yet the process ends here and its descriptors with it.
                    let mut event = Event::new(Syscall::exit_group);
                    event.set(Col::Tid, tid);
                    event.put(Col::Ts, ts);
                    event.set(Col::Line, line as i64);
                    let at = if self.by_time { ts.unwrap_or(self.last) } else { line as i64 };
                    self.events += 1;
                    sink(Placed { key: Key::new(at, self.input, line), entry: at, exit: at, killed: true, moved: None, event });
                } else if killed {
                    self.notes += 1;
                }
            }
            What::Superseded { by } => {
                // execve in a thread: the thread takes the id of its leader, whose own call, if any, is over.
                self.abandon(tid, sink);
                self.ended.remove(tid);
                if let Some(half) = self.release(by) {
                    self.hold(tid, half);
                }
                self.threads.end(by);
            }
        }
    }

    /// Completes the pending call of a thread with a line without a name; false when the two make no call.
    fn goes_on(&mut self, tid: i64, text: &[u8], line: u64, sink: &mut impl FnMut(Placed)) -> bool {
        let Some(half) = self.pending.get(&tid) else { return false };
        let joined = [&half.text[..], text].concat();
        let (first, begin) = (half.line, half.ts);
        let Ok(mut event) = self.parser.call(&joined, &mut self.doubts) else { return false };
        self.release(tid);
        self.halves += 1;
        self.finish(&mut event, tid, (first, begin), (line, None), sink);
        true
    }

    /// Looks at a call of a thread whose end was seen before: a doubt, unless its id may be that of a new thread, whose
    /// lines may come before the call that makes it has returned.
    fn after(&mut self, tid: i64) {
        if !self.ended.has(tid) {
            return;
        }
        if self.making > 0 {
            self.ended.remove(tid);
            self.exited.remove(&tid);
        } else {
            self.doubts.add(Doubt::After, 1);
        }
    }

    fn hold(&mut self, tid: i64, half: Pending) {
        self.making += usize::from(half.makes);
        if let Some(before) = self.pending.insert(tid, half) {
            self.making -= usize::from(before.makes);
        }
    }

    fn release(&mut self, tid: i64) -> Option<Pending> {
        let half = self.pending.remove(&tid)?;
        self.making -= usize::from(half.makes);
        Some(half)
    }

    /// Is this first half that of a call that makes a process or thread (fork, clone)?
    fn makes(&self, half: &[u8]) -> bool {
        let name = half.split(|c| *c == b'(').next().unwrap_or_default();
        let syscall = match Syscall::parse(name) {
            None if name.starts_with(b"syscall_") || name.starts_with(b"SYS_") => {
                self.parser.call(half, &mut Doubts::default()).ok().map(|event| event.syscall)
            }
            known => known,
        };
        syscall.is_some_and(|syscall| syscall.op() == Some(Op::Fork))
    }

    /// Has the thread a call that has not returned?
    fn inside(&self, tid: i64) -> bool {
        !self.pending.is_empty() && self.pending.contains_key(&tid)
    }

    /// The thread that a line belongs to. `resumed` is the name of the call that the line continues, if it does.
    fn thread(&mut self, tid: Option<i64>, resumed: Option<&[u8]>) -> i64 {
        let Some(tid) = tid.or(self.own) else { return self.threads.unnamed() };
        if self.threads.is_new(tid) {
            // A child may have lines before its parent's fork returns; nobody else can appear while that is pending.
            let first = match self.pending.get(&FIRST) {
                Some(half) => resumed.is_some_and(|name| starts_with_call(&half.text, name)),
                None => true,
            };
            if first { self.threads.first = Some(tid) } else { self.threads.begin(tid) }
        }
        if self.threads.first == Some(tid) { FIRST } else { tid }
    }

    /// Ends the input: calls that never returned become events without an outcome.
    pub fn finish_input(&mut self, sink: &mut impl FnMut(Placed)) {
        let mut tids: Vec<(u64, i64)> = self.pending.iter().map(|(tid, half)| (half.line, *tid)).collect();
        tids.sort_unstable();
        for (_, tid) in tids {
            self.abandon(tid, sink);
        }
    }

    /// Makes an event without an outcome of the pending call of a thread, which never returns.
    fn abandon(&mut self, tid: i64, sink: &mut impl FnMut(Placed)) {
        let Some(half) = self.release(tid) else { return };
        match self.parser.call(&half.text, &mut self.doubts) {
            Ok(mut event) => self.finish(&mut event, tid, (half.line, half.ts), (half.line, None), sink),
            Err(why) => self.rejects.push(Reject::new(half.line, why, &half.text)),
        }
    }

    /// Completes the event of a strace call (thread, line, times) and places it.
    fn finish(
        &mut self,
        event: &mut Event,
        tid: i64,
        (first, begin): (u64, Option<i64>),
        (last, end): (u64, Option<i64>),
        sink: &mut impl FnMut(Placed),
    ) {
        event.set(Col::Tid, tid);
        event.set(Col::Line, first as i64);
        event.put(Col::Ts, begin);
        if event.int(Col::Dur).is_none()
            && let (Some(begin), Some(end)) = (begin, end)
        {
            // A clock that was set back meanwhile tells no duration.
            event.put(Col::Dur, end.checked_sub(begin).filter(|dur| *dur >= 0));
        }
        match event.syscall {
            Syscall::exit | Syscall::exit_group => {
                self.exited.insert(tid);
                self.ended.add(tid);
            }
            // The id is that of the thread group leader, which may have ended before.
            Syscall::execve | Syscall::execveat if event.success().is_some() => self.ended.remove(tid),
            Syscall::fork | Syscall::vfork | Syscall::clone | Syscall::clone3 => {
                if let Some(child) = event.success().filter(|child| *child > 0) {
                    self.exited.remove(&child);
                    self.ended.remove(child);
                    self.threads.begin(child);
                }
            }
            _ => {}
        }
        let begin = begin.unwrap_or(self.last);
        let exit = begin.saturating_add(event.int(Col::Dur).unwrap_or(0));
        let event = std::mem::replace(event, Event::new(Syscall::other));
        self.place(event, (first, last), (begin, exit), Lines::InTurn, sink);
    }

    fn place(
        &mut self,
        event: Event,
        (first, last): (u64, u64),
        (begin, end): (i64, i64),
        lines: Lines,
        sink: &mut impl FnMut(Placed),
    ) {
        // A capture without halves has one line per event, so `first` and `last` are that line.
        let (entry, exit) = if self.by_time { (begin, end) } else { (first as i64, last as i64) };
        let mut placed = Placed { entry, exit, event, ..Placed::room() };
        if self.by_time {
            self.turns.take(&mut placed, lines);
        }
        let unknown = placed.event.int(Col::Ret).is_none();
        let (at, line) = match lock::instant(&placed.event) {
            At::Return if !unknown => (placed.exit, last),
            _ => (placed.entry, first),
        };
        placed.key = Key::new(at, self.input, line);
        self.events += 1;
        sink(placed);
    }

    /// Time of a line, ns on the input's clock; `None` when the line has none or one of another clock.
    fn read_clock(&mut self, stamp: Stamp) -> Option<i64> {
        let (clock, ts) = self.convert(stamp)?;
        if self.clock != Clock::None && self.clock != clock {
            self.doubts.add(Doubt::Clocks, 1);
            return None;
        }
        if let Stamp::Day(since) = stamp {
            self.midnight = ts - since;
        }
        if self.clock == Clock::None {
            self.clock = clock;
        }
        self.last = ts;
        // Lines of a capture are written at the return, by way of buffers: the times say where each belongs.
        if !matches!(stamp, Stamp::Span(..)) && ts < self.latest {
            self.doubts.add(Doubt::Backwards, 1);
        }
        self.latest = self.latest.max(ts);
        Some(ts)
    }

    /// Converts a stamp to clock and time (ns), given the lines so far; changes nothing.
    fn convert(&self, stamp: Stamp) -> Option<(Clock, i64)> {
        Some(match stamp {
            Stamp::None => return None,
            Stamp::Unix(ts) => (Clock::Unix, ts),
            Stamp::Span(_, exit) if exit >= UNIX_FROM => (Clock::Unix, exit),
            Stamp::Span(_, exit) => (Clock::Boot, exit),
            Stamp::Step(gap) => (Clock::Relative, self.last.saturating_add(gap)),
            Stamp::Day(since) => {
                // A time of day more than half a day earlier than the last is one of the next day.
                let next = since + self.midnight + DAY / 2 < self.last;
                (Clock::Day, since + self.midnight + if next { DAY } else { 0 })
            }
        })
    }
}

fn starts_with_call(half: &[u8], name: &[u8]) -> bool {
    half.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&b'('))
}

/// Tracks the threads of an input that leaves the pid out while there is only one.
///
/// Until the first fork strace on a terminal prints no pid, and nowhere says it: the first process is thread 0 here.
/// When a `[pid N]` turns up that no call created, it is that first process.
#[derive(Debug, Default)]
struct Threads {
    /// Have lines without a pid occurred?
    nameless: bool,
    /// Threads that calls made and that have not ended.
    made: HashSet<i64>,
    /// The pid of the first process, once a line has shown it.
    first: Option<i64>,
    first_ended: bool,
}

/// Thread id that stands for the first process of an input that does not tell its pid.
const FIRST: i64 = 0;

impl Threads {
    /// The thread of a line without a pid: the first process, or the only one that is left.
    fn unnamed(&mut self) -> i64 {
        self.nameless = true;
        match self.made.iter().next() {
            Some(only) if self.first_ended && self.made.len() == 1 => *only,
            _ => FIRST,
        }
    }

    fn is_new(&self, tid: i64) -> bool {
        self.nameless && self.first.is_none() && !self.made.contains(&tid)
    }

    fn begin(&mut self, child: i64) {
        if self.nameless {
            self.made.insert(child);
        }
    }

    fn end(&mut self, tid: i64) {
        self.made.remove(&tid);
        self.first_ended |= tid == FIRST;
    }
}
