//! Moves instants where refused locks prove another order.
//!
//! A lock is had when its call returns and let go when the next one begins, says the table: the kernel gives it earlier
//! and takes it later. Who asks in between, and is refused, seems to have asked for what was free. Such a call comes
//! before the one that let go, if both were under way at once; else the one that took the lock had it before.
//!
//! Only calls of other processes count, on ranges that overlap. Files are known as in [`super::growth`].

use super::growth::file;
use super::order::{Key, Ticket, Window};
use super::repair::{Kind, Moves, Overlaps, spans};
use crate::event::{Col, Event};
use crate::syscall::Op;
use crate::syscall::lock::{self, Lock, What, kind};
use hashbrown::HashMap;

/// What a call did about a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Took,
    LetGo,
    Refused,
}

/// A call about a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claim {
    act: Act,
    process: i64,
    /// May others have one too?
    shared: bool,
    start: i64,
    end: i64,
}

impl Claim {
    /// Can they not both be had?
    fn against(&self, other: &Claim) -> bool {
        let both = self.shared && other.shared && self.act != Act::LetGo && other.act != Act::LetGo;
        self.process != other.process && self.start < other.end && other.start < self.end && !both
    }
}

/// Looks at the overlapping calls of the sorted window.
pub fn run(window: &Window, overlaps: &Overlaps, moves: &mut Moves) {
    let tickets = window.tickets();
    // Calls that later ones may overlap, by file, in order.
    let mut open: HashMap<u64, Vec<(usize, Claim)>> = HashMap::new();
    for place in (0..window.len()).filter(|place| overlaps.any[*place]) {
        let Some((file, claim)) = claim(window.event(place)) else { continue };
        let earlier = open.entry(file).or_default();
        earlier.retain(|(other, _)| tickets[*other].exit >= overlaps.least[place]);
        let mut against = earlier.iter().rev().filter(|(_, other)| claim.against(other));
        match claim.act {
            // The last to do anything about it let go, and this was refused before: at the latest when it began, since others
            // may have taken the lock until it returned.
            Act::Refused => {
                let last = against.find(|(_, other)| other.act != Act::Refused);
                if let Some((other, Claim { act: Act::LetGo, .. })) = last {
                    refused(place, *other, tickets, moves);
                }
            }
            // Others were refused since it was let go: they were because this had it already.
            Act::Took => {
                let refused = against.take_while(|(_, other)| other.act == Act::Refused);
                let refused = refused.filter(|(other, _)| moves.place(*other).is_none() && spans(tickets, place, *other));
                if let Some((other, _)) = refused.last() {
                    moves.earlier(place, tickets[*other].key, Kind::LockTaken);
                }
            }
            Act::LetGo => {}
        }
        earlier.push((place, claim));
    }
}

/// A call was refused what another, before it in the order, let go of.
fn refused(place: usize, other: usize, tickets: &[Ticket], moves: &mut Moves) {
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
    const AGAIN: i32 = libc::EAGAIN;
    const REFUSED: i32 = libc::EACCES;
    let act = |none: bool| match (event.success(), event.failure()) {
        (Some(_), _) if none => Some(Act::LetGo),
        (Some(_), _) => Some(Act::Took),
        (None, Some(AGAIN | REFUSED)) => Some(Act::Refused),
        _ => None,
    };
    let process = event.int(Col::Pid)?;
    match event.syscall.op()? {
        Op::Fcntl if Lock::asked(event)?.what == What::Set => {
            let kind = event.int(Col::Mode)?;
            let (start, end) = range(event);
            let claim = Claim { act: act(kind == kind::NONE)?, process, shared: kind == kind::READ, start, end };
            Some((file(event)?, claim))
        }
        Op::Flock => {
            let cmd = event.int(Col::Cmd)?;
            let (none, shared) = (cmd & lock::UNLOCK != 0, cmd & lock::SHARED != 0);
            let claim = Claim { act: act(none)?, process, shared, start: 0, end: i64::MAX };
            // These and record locks know nothing of each other.
            Some((!file(event)?, claim))
        }
        _ => None,
    }
}

/// The bytes of a record lock; all of them when that depends on the position or the size.
fn range(event: &Event) -> (i64, i64) {
    match (event.int(Col::Whence), event.int(Col::Offset), event.int(Col::Count)) {
        (Some(0), Some(start), Some(0)) => (start, i64::MAX),
        (Some(0), Some(start), Some(length @ ..0)) => (start.saturating_add(length), start),
        (Some(0), Some(start), Some(length)) => (start, start.saturating_add(length)),
        _ => (0, i64::MAX),
    }
}
