//! Repairs the order of calls where refused locks prove another one.
//!
//! By the syscall table a lock is taken when the call returns and released when the unlocking call begins; in the
//! kernel it is taken earlier and released later. A call in between that is refused seems to have been refused a free
//! lock. Such a call is moved before the unlocking call if the two overlap; else the call that took the lock is moved
//! before it.
//!
//! A close releases locks, too, whichever call closes ([`super::descriptors`]), and so does the end of a process. That
//! has no return: a refusal soon afterwards proves that it lasted so long.
//!
//! Only locks of other processes on overlapping ranges count. Files are told apart as in [`super::growth`]. Where no
//! lock was refused this costs nothing.

use super::descriptors::Descriptors;
use super::growth::file;
use super::{Kind, Moves, spans};
use crate::event::{Col, Event};
use crate::events::order::{Key, Ticket, Window};
use crate::syscall::lock::{Lock, What};
use crate::syscall::{Op, flag};
use hashbrown::HashMap;
use std::collections::VecDeque;

/// What a call did with a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Took,
    LetGo,
    Refused,
}

/// A call on a lock of a file: what it did, for which process, on which range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claim {
    act: Act,
    process: i64,
    /// Is it a shared (read) lock, which several may hold at once?
    shared: bool,
    start: i64,
    end: i64,
}

impl Claim {
    /// Do the two claims exclude each other: different processes, overlapping ranges, and not both shared?
    fn against(&self, other: &Claim) -> bool {
        let both = self.shared && other.shared && self.act != Act::LetGo && other.act != Act::LetGo;
        self.process != other.process && self.meets(other) && !both
    }

    fn meets(&self, other: &Claim) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Did this claim's own process take an exclusive lock on an overlapping range with `other`? Then no other process
    /// held the lock at that time, and claims before it explain no refusal.
    fn had(&self, other: &Claim) -> bool {
        self.process == other.process && self.meets(other) && other.act == Act::Took && !other.shared
    }
}

/// How a lock that explains a refusal was released: by a call, or by the end of its process; with the place of that.
enum Release {
    Call(usize),
    End(usize),
}

/// The last release before a refused claim, `last` being the claims before it, latest first; `None` when somebody still holds what
/// refuses it, or nobody did. `ends` has the places where processes ended.
fn released<'c>(claim: &Claim, last: impl Iterator<Item = &'c (usize, Claim)>, ends: &HashMap<i64, usize>) -> Option<Release> {
    let mut found = None;
    // The bytes of the claim that each process had not released later.
    let mut left: HashMap<i64, (i64, i64)> = HashMap::new();
    for (place, other) in last.take_while(|(_, other)| !claim.had(other)) {
        if other.act == Act::Refused || !claim.against(other) {
            continue;
        }
        let (start, end) = left.entry(other.process).or_insert((claim.start, claim.end));
        if start >= end || other.start >= *end || other.end <= *start {
            continue;
        }
        match (other.act, ends.get(&other.process).filter(|end| *end > place)) {
            (Act::LetGo, _) => {
                found = found.or(Some(Release::Call(*place)));
                if other.start <= *start {
                    *start = other.end;
                } else if other.end >= *end {
                    *end = other.start;
                }
            }
            (_, Some(ended)) => {
                found = found.or(Some(Release::End(*ended)));
                *start = *end;
            }
            (_, None) => return None,
        }
    }
    found
}

/// Longest time that a process is taken to need to end, ns: a traced one stops on the way and waits for its tracer.
const DYING: i64 = 1_000_000_000;
/// Number of earlier calls on locks of a file, the latest ones, that are looked at for each call.
const LOOK: usize = 1024;

/// Was the call refused a lock (fcntl(2) or flock(2) with EAGAIN or EACCES)?
pub fn refused(event: &Event) -> bool {
    matches!(event.failure(), Some(libc::EAGAIN | libc::EACCES)) && matches!(event.syscall.op(), Some(Op::Fcntl | Op::Flock))
}

/// Looks for refused locks in the sorted window, and adds the moves that explain them.
pub fn run(window: &Window, moves: &mut Moves) {
    let tickets = window.tickets();
    if !tickets.iter().any(|ticket| ticket.refused) {
        return;
    }
    let mut claims: HashMap<u64, VecDeque<(usize, Claim)>> = HashMap::new();
    let mut ends = HashMap::new();
    let mut descriptors = Descriptors::default();
    for place in 0..window.len() {
        let event = window.event(place);
        let process = event.int(Col::Pid).unwrap_or_default();
        if event.syscall.op() == Some(Op::ExitGroup) {
            ends.insert(process, place);
        }
        for file in descriptors.take(event) {
            closed(place, process, file, &mut claims);
        }
        let Some((file, claim)) = claim(event) else { continue };
        let earlier = claims.entry(file).or_default();
        let last = earlier.iter().rev();
        match claim.act {
            // Nobody holds the lock any more, and this call was refused before it was released: at the latest when it was
            // entered, since others may have taken the lock before it returned.
            Act::Refused => match released(&claim, last, &ends) {
                Some(Release::Call(other)) => put_before(place, other, tickets, moves),
                Some(Release::End(end)) if tickets[place].entry.saturating_sub(tickets[end].entry) < DYING => {
                    moves.later(end, tickets[place].key, Kind::LockHeld);
                }
                Some(Release::End(_)) | None => {}
            },
            // Calls that were refused since the lock was last released were so because this call had taken it already:
            // it is moved before the first of them.
            Act::Took => {
                let against = last.filter(|(_, other)| claim.against(other));
                let refused = against.take_while(|(_, other)| other.act == Act::Refused);
                let refused = refused.filter(|(other, _)| moves.place(*other).is_none() && spans(tickets, place, *other));
                if let Some((other, _)) = refused.last() {
                    moves.earlier(place, tickets[*other].key, Kind::LockTaken);
                }
            }
            Act::LetGo => {}
        }
        remember(earlier, place, claim);
    }
}

fn remember(earlier: &mut VecDeque<(usize, Claim)>, place: usize, claim: Claim) {
    if earlier.len() == LOOK {
        earlier.pop_front();
    }
    earlier.push_back((place, claim));
}

/// Notes a close of a file by a process as a release of what it last locked of it: certain for record locks (fcntl(2)),
/// possible for flock(2).
fn closed(place: usize, process: i64, file: u64, claims: &mut HashMap<u64, VecDeque<(usize, Claim)>>) {
    for family in [file, !file] {
        let Some(earlier) = claims.get_mut(&family) else { continue };
        let own = earlier.iter().rev().find(|(_, claim)| claim.process == process && claim.act != Act::Refused);
        if own.is_some_and(|(_, claim)| claim.act == Act::Took) {
            let all = Claim { act: Act::LetGo, process, shared: false, start: 0, end: i64::MAX };
            remember(earlier, place, all);
        }
    }
}

/// A refused call stands behind the unlocking call in the order: moves it before that, if the two overlap. Where it was
/// entered after the release took effect, the release is moved behind that entry.
fn put_before(place: usize, other: usize, tickets: &[Ticket], moves: &mut Moves) {
    let (ticket, gone) = (&tickets[place], &tickets[other]);
    if ticket.entry <= gone.key.at {
        moves.earlier(place, gone.key, Kind::LockHeld);
    } else if ticket.entry <= gone.exit {
        let began = Key { at: ticket.entry, ..ticket.key };
        moves.earlier(place, began, Kind::LockHeld);
        moves.later(other, began, Kind::LockHeld);
    }
}

fn claim(event: &Event) -> Option<(u64, Claim)> {
    let act = |none: bool| match event.success() {
        Some(_) if none => Some(Act::LetGo),
        Some(_) => Some(Act::Took),
        None => refused(event).then_some(Act::Refused),
    };
    let process = event.int(Col::Pid)?;
    match event.syscall.op()? {
        Op::Fcntl if Lock::asked(event)?.what == What::Set => {
            let kind = event.int(Col::Mode)?;
            let (start, end) = range(event);
            let claim = Claim { act: act(kind == flag::F_UNLCK)?, process, shared: kind == flag::F_RDLCK, start, end };
            Some((file(event)?, claim))
        }
        Op::Flock => {
            let cmd = event.int(Col::Cmd)?;
            let (none, shared) = (cmd & flag::LOCK_UN != 0, cmd & flag::LOCK_SH != 0);
            let claim = Claim { act: act(none)?, process, shared, start: 0, end: i64::MAX };
            // flock locks and record locks do not exclude each other: the inverted identity keeps them apart.
            Some((!file(event)?, claim))
        }
        _ => None,
    }
}

/// Bytes of a record lock, first and end; the whole file when they depend on the position or the size.
fn range(event: &Event) -> (i64, i64) {
    match (event.int(Col::Whence), event.int(Col::Offset), event.int(Col::Count)) {
        (Some(0), Some(start), Some(0)) => (start, i64::MAX),
        (Some(0), Some(start), Some(length @ ..0)) => (start.saturating_add(length), start),
        (Some(0), Some(start), Some(length)) => (start, start.saturating_add(length)),
        _ => (0, i64::MAX),
    }
}
