//! Why a thread began a call when it did: because of what another thread had done, because a timer let it go, or after it had
//! computed for a while.
//!
//! Rows of the walk come in seq order. Each lane has a clock that stands still while the lane waits for another one, so the time
//! between two of its ops by that clock is what it spent by itself (`think`). What it waited for is a *cause*: the last op of the
//! lane that sent a message (wrote to a pipe, forked, ended, woke a sleeper), and how long after the end of that op the waiting
//! lane began its own (`delay`), all waiting left out.
//!
//! A lane that issues no ops (a client, a shell) hands on the causes that it has itself, with its own time added: it is
//! contracted, and needs no lane in the replay.
//!
//! Times are what a capture says, and may be anything: all sums of them saturate.
//!
//! Memory: all lanes, a few causes for each, and a bounded number of messages. What is forgotten orders nothing.

use super::packed::{access_of, id_of, kind_of, resource_of};
use super::timers::Timers;
use super::{Edge, Work};
use crate::model::{Access, Resource};
use crate::syscall::Wake;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// Most messages that are remembered until they are received.
const MESSAGES: usize = 1 << 14;
/// Most causes of a lane's next op that are remembered: those with the highest op ids.
const CAUSES: usize = 16;
/// Most calls since its last op, and most sleeps, that are remembered of a lane.
const RECENT: usize = 16;
/// Most messages of one row that are looked at.
const AT_ONCE: usize = 32;

/// One row of the walk that belongs to a thread.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// What the row is.
    pub what: What,
    /// Its lane (vtid).
    pub lane: i64,
    /// The captured thread id; `None` when the row has none.
    pub tid: Option<i64>,
    /// Start of the call, ns; `None` when it is not known, or the model inserted the row.
    pub begin: Option<i64>,
    /// Duration of the call, ns.
    pub dur: i64,
    /// Processor time of the thread since its event before, ns, where the capture shows it.
    pub cpu: Option<i64>,
}

/// What a row of the walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A call that is replayed.
    Op,
    /// A call that is not.
    Other,
    /// A sleep that ended: why, and the thread (tid) that ended it.
    Slept(Wake, Option<i64>),
}

/// An op has a cause in another lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The op, and the one of another lane that it waited for.
    pub edge: Edge,
    /// How long after the end of the other op it began, ns, without waits for others; `None` when times are missing.
    pub delay: Option<i64>,
    /// What ties the two: message, wake or task.
    pub kind: Resource,
}

/// What an op's own lane did before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Time from the end of the lane's op before (for its first op, from the start of the capture's first op) that the lane did
    /// not wait for another one, ns; `None` when it is not known, and for a first op that has a cause.
    pub think: Option<i64>,
    /// Processor time of the lane's thread in that time, ns; `None` where the capture does not tell.
    pub compute: Option<i64>,
    /// How long of that time the thread slept until something woke it of which nobody knows whose work it was, ns.
    pub unexplained: Option<i64>,
    /// When a timer let the lane go before the op: how long after its op before which a timer did so last, ns, if the timer is
    /// periodic; 0 if it is not, or was the first. `None` without a timer.
    pub timer: Option<i64>,
}

/// Follows the rows of the walk, and says what each op waited for.
#[derive(Debug, Default)]
pub struct Causes {
    lanes: HashMap<i64, Lane>,
    /// The lane that a thread id stands for last.
    tids: HashMap<i64, i64>,
    sent: HashMap<(Resource, i64), Sent>,
    /// The messages in `sent`, oldest first.
    order: VecDeque<(Resource, i64)>,
    next: i64,
    /// Start of the first op, ns.
    first: Option<i64>,
    /// The messages of the last row, kept for their memory.
    messages: Vec<(Resource, i64, Access)>,
}

/// What a message carries: the ops that came before it, and when it was sent.
#[derive(Clone, Debug, Default)]
struct Sent {
    at: Option<i64>,
    links: Vec<Link>,
}

/// An op that came before something, and how long before: at reading `mark` of the clock of the lane that knows it, `delay` ns had
/// passed since its end.
#[derive(Clone, Copy, Debug)]
struct Link {
    op: i64,
    lane: i64,
    through: Work,
    delay: Option<i64>,
    mark: i64,
    kind: Resource,
}

/// The last op of a lane.
#[derive(Clone, Copy, Debug)]
struct Last {
    op: i64,
    through: Work,
    /// The lane's clock at its end; `None` when that is not known.
    mark: Option<i64>,
}

#[derive(Debug)]
struct Slept {
    from: i64,
    until: i64,
    why: Wake,
    links: Vec<Link>,
}

impl Slept {
    /// How long it was, ns.
    fn time(&self) -> i64 {
        self.until.saturating_sub(self.from)
    }
}

#[derive(Debug, Default)]
struct Lane {
    done: Work,
    last: Option<Last>,
    /// Calls since the last op that are no ops, and the end of the last call: `(begin, end)`.
    calls: VecDeque<(i64, i64)>,
    end: Option<i64>,
    /// Processor time since the last op, ns, as far as it is known.
    computed: Option<i64>,
    /// Time asleep since the last op of which nobody knows what ended it, ns.
    unexplained: i64,
    /// How long it has waited for others so far, ns, and until when.
    idle: i64,
    idle_to: i64,
    /// Sleeps that may lie inside a call whose row is still to come.
    slept: Vec<Slept>,
    causes: Vec<Link>,
    timers: Timers,
}

impl Lane {
    /// Reading of the lane's clock at a moment, ns.
    fn clock(&self, at: i64) -> i64 {
        at.max(self.idle_to).saturating_sub(self.idle)
    }

    /// The lane waited for another one from one moment to another.
    fn wait(&mut self, from: i64, until: i64) {
        let from = from.max(self.idle_to);
        if until > from {
            self.idle = self.idle.saturating_add(until.saturating_sub(from));
            self.idle_to = until;
        }
    }

    /// Time of the lane's own processor queue: it could have run, and did not.
    fn queued(&mut self, begin: i64, cpu: i64) {
        let Some(end) = self.end else { return };
        let asleep =
            self.slept.iter().filter(|slept| slept.from >= end).fold(0, |sum: i64, slept| sum.saturating_add(slept.time()));
        let queued = begin.saturating_sub(end).saturating_sub(asleep).saturating_sub(cpu.max(0));
        self.idle = self.idle.saturating_add(queued.max(0));
    }

    /// Takes in the sleeps that ended by `now`; those left over lie inside the call that begins there.
    fn wake(&mut self, now: i64) {
        while self.slept.first().is_some_and(|slept| slept.until <= now) {
            let slept = self.slept.remove(0);
            match slept.why {
                why if why.by_thread() && !slept.links.is_empty() => {
                    self.wait(slept.from, slept.until);
                    let mark = self.clock(slept.until);
                    slept.links.into_iter().for_each(|link| self.learn(Link { mark, ..link }));
                }
                Wake::Timer => self.timers.slept(slept.time()),
                Wake::Interrupt | Wake::Unknown => self.unexplained = self.unexplained.saturating_add(slept.time()),
                Wake::Thread | Wake::Network | Wake::Outside => {}
            }
        }
    }

    fn learn(&mut self, link: Link) {
        match self.causes.iter_mut().find(|known| known.lane == link.lane) {
            Some(known) if known.op <= link.op => *known = link,
            Some(_) => {}
            None => {
                if self.causes.len() == CAUSES
                    && let Some(oldest) = self.causes.iter().enumerate().min_by_key(|(_, link)| link.op).map(|(at, _)| at)
                {
                    self.causes.swap_remove(oldest);
                }
                self.causes.push(link);
            }
        }
    }

    /// What this lane hands on to the receiver of a message of this kind that it sends at a moment: its last op, and what it waited for since.
    fn hand_on(&self, own: i64, at: Option<i64>, kind: Resource) -> Sent {
        let now = at.map(|at| self.clock(at));
        let passed = |mark: i64| now.map(|now| now.saturating_sub(mark).max(0));
        let own = self.last.map(|last| Link {
            op: last.op,
            lane: own,
            through: last.through,
            delay: last.mark.and_then(passed),
            mark: 0,
            kind,
        });
        let others = self.causes.iter().map(|link| {
            let delay = link.delay.zip(passed(link.mark)).map(|(delay, more)| delay.saturating_add(more));
            Link { delay, mark: 0, kind, ..*link }
        });
        Sent { at, links: own.into_iter().chain(others).collect() }
    }

    /// The lane has received a message, in a call that lasted from `begin` to `end`, or in an earlier one.
    fn receive(&mut self, sent: &Sent, begin: Option<i64>, end: Option<i64>) {
        let mark = match (sent.at, begin, end) {
            (Some(at), Some(begin), Some(end)) => {
                let waited = |(from, to): &(i64, i64)| *from < at && at <= *to;
                let this = Some((begin, end)).filter(waited);
                let call = this.or_else(|| self.calls.iter().copied().find(waited));
                if let Some((from, _)) = call {
                    self.wait(from, at);
                }
                let starts = self.last.is_none() && self.calls.is_empty();
                self.clock(if call.is_some() || starts { at } else { begin })
            }
            (_, Some(begin), _) => self.clock(begin),
            _ => 0,
        };
        for link in &sent.links {
            let delay = link.delay.filter(|_| begin.is_some());
            self.learn(Link { mark, delay, ..*link });
        }
    }
}

impl Causes {
    /// Takes the next row, with the messages and tasks that it touches ([`super::number`]). What an op waited for goes to `out`;
    /// for an op what its lane did before it is returned.
    pub fn row(&mut self, row: &Moment, touches: impl Iterator<Item = i64>, out: &mut Vec<Cause>) -> Option<Timing> {
        let begin = row.begin;
        let end = begin.map(|begin| begin.saturating_add(row.dur.max(0)));
        if let What::Slept(why, by) = row.what {
            self.slept(row, why, by);
            return None;
        }
        let lane = self.lane(row);
        if let Some(begin) = begin {
            if let Some(cpu) = row.cpu {
                lane.queued(begin, cpu);
                lane.computed = Some(lane.computed.unwrap_or(0).saturating_add(cpu.max(0)));
            }
            // A sleep inside an op is part of its duration; inside another call it is what the lane waited.
            match row.what {
                What::Op => {
                    lane.wake(begin);
                    lane.slept.clear();
                }
                _ => lane.wake(end.unwrap_or(begin)),
            }
        }
        let mut messages = std::mem::take(&mut self.messages);
        messages.clear();
        messages.extend(touches.filter_map(message).take(AT_ONCE));
        for (kind, id, _) in messages.iter().filter(|(_, _, access)| *access == Access::Read) {
            if let Some(sent) = self.sent.get(&(*kind, *id))
                && let Some(lane) = self.lanes.get_mut(&row.lane)
            {
                lane.receive(sent, begin, end);
            }
        }
        let timing = match row.what {
            What::Op => Some(self.op(row, end, out)),
            _ => None,
        };
        let lane = self.lanes.entry(row.lane).or_default();
        if let (Some(begin), Some(end)) = (begin, end) {
            lane.end = Some(lane.end.map_or(end, |before| before.max(end)));
            match row.what {
                What::Op => lane.calls.clear(),
                _ => {
                    if lane.calls.len() == RECENT {
                        lane.calls.pop_front();
                    }
                    lane.calls.push_back((begin, end));
                }
            }
        }
        for (kind, id, _) in messages.iter().filter(|(_, _, access)| *access == Access::Write) {
            // A task starts and ends when its call begins; what an op moves is there when it is done.
            let at = if row.what == What::Op { end } else { begin };
            let sent = lane.hand_on(row.lane, at, *kind);
            if self.sent.insert((*kind, *id), sent).is_none() {
                self.order.push_back((*kind, *id));
            }
        }
        while self.order.len() > MESSAGES {
            self.order.pop_front().map(|oldest| self.sent.remove(&oldest));
        }
        self.messages = messages;
        timing
    }

    fn lane(&mut self, row: &Moment) -> &mut Lane {
        let Causes { lanes, tids, .. } = self;
        lanes.entry(row.lane).or_insert_with(|| {
            row.tid.map(|tid| tids.insert(tid, row.lane));
            Lane::default()
        })
    }

    /// A thread slept, and was woken.
    fn slept(&mut self, row: &Moment, why: Wake, by: Option<i64>) {
        let Some(from) = row.begin else { return };
        let until = from.saturating_add(row.dur.max(0));
        let waker = by.and_then(|tid| self.tids.get(&tid)).copied().filter(|waker| *waker != row.lane);
        let links = match waker.and_then(|waker| self.lanes.get_mut(&waker).map(|lane| (waker, lane))) {
            Some((waker, lane)) if why.by_thread() => {
                lane.wake(until);
                lane.hand_on(waker, Some(until), Resource::Wake).links
            }
            _ => Vec::new(),
        };
        let lane = self.lane(row);
        if lane.slept.len() == RECENT {
            let oldest = lane.slept[0].until;
            lane.wake(oldest);
        }
        lane.slept.push(Slept { from, until, why, links });
    }

    fn op(&mut self, row: &Moment, end: Option<i64>, out: &mut Vec<Cause>) -> Timing {
        let op = self.next;
        self.next += 1;
        if self.first.is_none() {
            self.first = row.begin;
        }
        let first = self.first;
        let lane = self.lanes.entry(row.lane).or_default();
        let now = row.begin.map(|begin| lane.clock(begin));
        let before = lane.done;
        lane.done = before.and(Work { ops: 1, ns: row.dur });
        let caused = !lane.causes.is_empty();
        let mut think = match (lane.last, now) {
            (Some(last), Some(now)) => last.mark.map(|mark| now.saturating_sub(mark).max(0)),
            (None, Some(_)) if !caused => row.begin.zip(first).map(|(begin, first)| begin.saturating_sub(first).max(0)),
            _ => None,
        };
        for link in std::mem::take(&mut lane.causes) {
            let delay = link.delay.zip(now).map(|(delay, now)| delay.saturating_add(now.saturating_sub(link.mark).max(0)));
            if link.lane != row.lane {
                let (after, after_lane, through) = (link.op, link.lane, link.through);
                let edge = Edge { op, lane: row.lane, before, after, after_lane, through };
                out.push(Cause { edge, delay, kind: link.kind });
            } else if lane.last.is_some_and(|last| last.op == link.op) {
                // The cause came by way of a lane without ops, whose own time counts as time of this lane.
                think = think.max(delay);
            }
        }
        let timer = row.begin.and_then(|begin| lane.timers.op(begin));
        if let Some((timer, asleep)) = timer
            && timer > 0
        {
            think = think.map(|think| think.saturating_sub(asleep).max(0));
        }
        let mark = match end {
            Some(end) => Some(lane.clock(end)),
            None => lane.last.and_then(|last| last.mark),
        };
        lane.last = Some(Last { op, through: lane.done, mark });
        let compute = row.begin.and_then(|_| lane.computed.take());
        let compute = compute.map(|compute| think.map_or(compute, |think| compute.min(think)));
        let unexplained = Some(std::mem::take(&mut lane.unexplained)).filter(|ns| *ns > 0);
        Timing { think, compute, unexplained, timer: timer.map(|(timer, _)| timer) }
    }
}

/// The message or task that a touch is about: kind, number and access; `None` for other resources.
fn message(touch: i64) -> Option<(Resource, i64, Access)> {
    let resource = resource_of(touch);
    let kind = [Resource::Message, Resource::Task].into_iter().find(|kind| *kind as i64 == kind_of(resource))?;
    Some((kind, id_of(resource), if access_of(touch) == Access::Read as i64 { Access::Read } else { Access::Write }))
}

#[cfg(test)]
mod tests;
