//! Repairs: moves the instants of calls within their intervals where results prove another order.
//!
//! Calls of different threads overlap, and the default instant of one (its entry or its return) may contradict the
//! result of another: an open succeeded before the create of that file returned, a read succeeded after a close of its
//! descriptor had begun. Then the instant of one of them lies elsewhere in its interval, and is moved there.
//!
//! What sizes prove is in [`growth`], what refused locks prove in [`locks`]; that the calls of one thread do not
//! overlap is made sure before ([`turns`]). Here each name, and each descriptor of a process, is a thing that exists or
//! does not. Its calls are walked in order. What a call proves is an [`Act`]: it made the thing, removed it, met it, or
//! missed it. A contradiction is resolved by moving an overlapping call, if there is one; else it is left alone, since
//! somebody outside the capture may have acted.
//!
//! Only calls that overlap one of another thread are looked at; where nothing overlaps, the cost is a few comparisons.

mod descriptors;
mod growth;
pub mod locks;
mod turns;

pub use turns::{Lines, Turns};

use super::order::{Key, Ticket, Window};
use crate::event::{AT_FDCWD, Col, Event, Text};
use crate::syscall::{Op, Ret, Role, flag};
use crate::words::words;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

words! {
    /// Kind of repair: how the instant of a call was moved, and what proved it.
    Kind {
        NameMade   "name_made"   "a name was made before an overlapping call met it";
        NameGone   "name_gone"   "a name was removed after an overlapping call met it";
        NameMissed "name_missed" "a call missed a name before an overlapping call made it";
        NameLate   "name_late"   "a call missed a name after an overlapping call removed it";
        FdMade     "fd_made"     "a descriptor was opened before an overlapping call used it";
        FdGone     "fd_gone"     "a descriptor was closed after an overlapping call used it";
        FdMissed   "fd_missed"   "a call missed a descriptor before an overlapping call opened it";
        FdLate     "fd_late"     "a call missed a descriptor after an overlapping call closed it";
        SizeOld    "size_old"    "a file grew after an overlapping call saw its old size";
        SizeNew    "size_new"    "a call saw a size after an overlapping write made it";
        LockHeld   "lock_held"   "a lock was refused before an overlapping call, or the end of a process, let go of it";
        Overlap    "overlap"    "a call began after its thread's call before it had returned, whatever its time said";
        Late       "late"       "a call was put before calls of its thread on earlier lines, as its time says";
        LockTaken  "lock_taken"  "a lock was taken before an overlapping call was refused";
    }
}

/// Text for people beside the count of this kind of repair.
pub fn told(kind: &str) -> String {
    match Kind::parse(kind) {
        Some(Kind::Late) => {
            "calls stand on later lines than their times say; their times are believed, none was moved: late".into()
        }
        _ => format!("instants moved: {kind}"),
    }
}

/// Number of moved events by kind of repair ([`Kind`]).
pub type Repairs = BTreeMap<&'static str, u64>;

/// What a call proves of a thing (a name or a descriptor).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// The call made the thing; with `exclusive` the thing did not exist before.
    Make { exclusive: bool },
    /// The call removed the thing, so it existed.
    Remove,
    /// The call found the thing, so it existed.
    Meet,
    /// The call did not find the thing (ENOENT, EBADF).
    Miss,
}

/// Kind of a thing: a name in the file system, or a descriptor of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Domain {
    Name,
    Fd,
}

/// Finds contradictions in the sorted window and moves events, none to before `gone`, up to which events have been
/// written. True when any was moved: then the window must be sorted again.
pub fn run(window: &mut Window, gone: Option<Key>, repairs: &mut Repairs) -> bool {
    let overlaps = Overlaps::of(window.tickets());
    let count = overlaps.any.iter().filter(|any| **any).count();
    let (states, missed) = (HashMap::with_capacity(count), HashMap::new());
    let mut walk = Walk { window, overlaps: &overlaps, states, missed, moves: Moves::default() };
    let mut scratch = Vec::new();
    for place in (0..window.len()).filter(|place| overlaps.any[*place]) {
        acts(window.event(place), &mut scratch, &mut |domain, thing, act| walk.step(place, domain, thing, act));
    }
    let mut moves = walk.moves;
    growth::run(window, &overlaps, &mut moves);
    locks::run(window, &mut moves);
    moves.0.retain(|_, (key, _)| gone.is_none_or(|gone| *key > gone));
    for (place, (key, kind)) in &moves.0 {
        window.shift(*place, *key);
        *repairs.entry(kind.name()).or_default() += 1;
    }
    !moves.0.is_empty()
}

/// New places for calls, by their index in the window, and why; at most one move for each call.
#[derive(Default)]
pub struct Moves(BTreeMap<usize, (Key, Kind)>);

impl Moves {
    /// The new place of the call at this index, if it moves.
    pub fn place(&self, place: usize) -> Option<Key> {
        self.0.get(&place).map(|(key, _)| *key)
    }

    /// Moves a call to just before a key; of several such moves the earliest counts.
    pub fn earlier(&mut self, place: usize, than: Key, kind: Kind) {
        let to = (than.before(), kind);
        self.0.entry(place).and_modify(|at| *at = if to.0 < at.0 { to } else { *at }).or_insert(to);
    }

    /// Moves a call to just after a key; of several such moves the latest counts.
    pub fn later(&mut self, place: usize, than: Key, kind: Kind) {
        let to = (than.after(), kind);
        self.0.entry(place).and_modify(|at| *at = if to.0 > at.0 { to } else { *at }).or_insert(to);
    }
}

/// Are calls `i` and `j` of different threads, and may `i` have taken effect at the instant of `j`?
pub fn spans(tickets: &[Ticket], i: usize, j: usize) -> bool {
    let (a, b) = (&tickets[i], &tickets[j]);
    a.tid != b.tid && a.entry <= b.key.at && b.key.at <= a.exit
}

/// The latest exits (or earliest entries, negated) of two different threads, each with its thread id.
#[derive(Default)]
struct Two([Option<(i64, i64)>; 2]);

impl Two {
    fn add(&mut self, tid: i64, at: i64) {
        match self.0 {
            [Some((best, _)), _] if best >= at && self.0[0].is_some_and(|(_, owner)| owner == tid) => {}
            [Some((best, owner)), second] if owner != tid => {
                if at > best {
                    self.0 = [Some((at, tid)), Some((best, owner))];
                } else if second.is_none_or(|(second, _)| at > second) {
                    self.0[1] = Some((at, tid));
                }
            }
            _ => self.0[0] = Some((at, tid)),
        }
    }

    fn other(&self, tid: i64) -> Option<i64> {
        self.0.iter().flatten().find(|(_, owner)| *owner != tid).map(|(at, _)| *at)
    }
}

/// Which calls of a window overlap one of another thread; all lists have an element for each place in the window.
pub struct Overlaps {
    /// Does the call at this place overlap one of another thread?
    pub any: Vec<bool>,
    /// Number of the group of calls that overlap without a gap. What is known of a thing is forgotten at the end of a
    /// group.
    group: Vec<u32>,
    /// Earliest entry of this call and all calls behind it.
    pub least: Vec<i64>,
}

impl Overlaps {
    fn of(tickets: &[Ticket]) -> Overlaps {
        let len = tickets.len();
        let mut all = Overlaps { any: vec![false; len], group: vec![0; len], least: vec![0; len] };
        let mut exits = Two::default();
        for (place, ticket) in tickets.iter().enumerate() {
            all.any[place] = exits.other(ticket.tid).is_some_and(|exit| exit >= ticket.entry);
            exits.add(ticket.tid, ticket.exit);
        }
        let (mut entries, mut least) = (Two::default(), i64::MAX);
        for (place, ticket) in tickets.iter().enumerate().rev() {
            least = least.min(ticket.entry);
            all.least[place] = least;
            all.any[place] |= entries.other(ticket.tid).is_some_and(|entry| entry.saturating_neg() <= ticket.exit);
            entries.add(ticket.tid, ticket.entry.saturating_neg());
        }
        let (mut group, mut latest) = (0, i64::MIN);
        for (place, ticket) in tickets.iter().enumerate() {
            // The entry of this call alone is not enough: one that returns later, and so stands behind it, may have
            // begun before it.
            group += u32::from(all.least[place] > latest);
            latest = latest.max(ticket.exit);
            all.group[place] = group;
        }
        all
    }
}

/// Calls `found` once for each name and descriptor of which the outcome of a call proves something, with what it proves.
fn acts(event: &Event, scratch: &mut Vec<u8>, found: &mut impl FnMut(Domain, u64, Act)) {
    let Some(op) = event.syscall.op() else { return };
    let (success, failure) = (event.success(), event.failure());
    let flags = event.int(Col::Flags).unwrap_or(0);
    let row = event.syscall.def();

    let name = match (op, failure) {
        (_, Some(libc::EEXIST)) => Some(Act::Meet),
        (Op::Open | Op::Openat | Op::Openat2, None) if flags & flag::O_CREAT != 0 => {
            Some(Act::Make { exclusive: flags & flag::O_EXCL != 0 })
        }
        (Op::Creat, None) => Some(Act::Make { exclusive: false }),
        (Op::Mkdir | Op::Mkdirat | Op::Mknod | Op::Mknodat | Op::Symlink | Op::Symlinkat, None) => {
            Some(Act::Make { exclusive: true })
        }
        (Op::Unlink | Op::Unlinkat | Op::Rmdir | Op::Rename | Op::Renameat | Op::Renameat2, None) => Some(Act::Remove),
        (Op::Getcwd, _) => None,
        (_, None) => Some(Act::Meet),
        // A create that fails with ENOENT misses a directory on the way, and says nothing of the name.
        (Op::Mkdir | Op::Mkdirat | Op::Mknod | Op::Mknodat | Op::Symlink | Op::Symlinkat | Op::Creat, Some(_)) => None,
        (_, Some(libc::ENOENT)) if flags & flag::O_CREAT == 0 => Some(Act::Miss),
        _ => None,
    };
    // EEXIST of a link or rename is about the new name.
    let two = matches!(op, Op::Link | Op::Linkat | Op::Rename | Op::Renameat | Op::Renameat2);
    if success.is_some() || failure.is_some() {
        if row.has(Role::Path)
            && let Some(act) = name
            && !(two && failure == Some(libc::EEXIST))
            && let Some(thing) = name_of(event, Text::Path, Col::DirFd, Text::DirPath, scratch)
        {
            found(Domain::Name, thing, act);
        }
        if two
            && (success.is_some() || failure == Some(libc::EEXIST))
            && let Some(thing) = name_of(event, Text::Path2, Col::DirFd2, Text::Dir2Path, scratch)
        {
            let made = Act::Make { exclusive: matches!(op, Op::Link | Op::Linkat) };
            found(Domain::Name, thing, if success.is_some() { made } else { Act::Meet });
        }
    }

    let pid = event.int(Col::Pid).unwrap_or_default();
    let mut fd = |number: i64, act| {
        if number >= 0 {
            found(Domain::Fd, (pid as u64) << 32 ^ number as u64 ^ 1 << 63, act);
        }
    };
    if let Some(ret) = success {
        match (op, event.int(Col::Fd)) {
            (Op::CloseRange, _) => {}
            (Op::Close, Some(number)) => fd(number, Act::Remove),
            (_, Some(number)) if row.has(Role::Fd) => fd(number, Act::Meet),
            _ => {}
        }
        match (row.ret, event.int(Col::Fd2)) {
            (Ret::NewFd, Some(number)) => fd(number, Act::Make { exclusive: false }),
            (Ret::NewFd, None) => fd(ret, Act::Make { exclusive: true }),
            _ => {}
        }
    } else if failure == Some(libc::EBADF)
        && row.has(Role::Fd)
        && let Some(number) = event.int(Col::Fd)
    {
        fd(number, Act::Miss);
    }
}

/// Identity (hash) of a name as far as the event alone tells: its path, below its directory if it is relative.
fn name_of(event: &Event, path: Text, dirfd: Col, dir: Text, scratch: &mut Vec<u8>) -> Option<u64> {
    let path = event.text(path).filter(|path| !path.is_empty())?;
    if path[0] == b'/' {
        return Some(xxh3_64(path));
    }
    scratch.clear();
    match event.text(dir) {
        Some(dir) => scratch.extend_from_slice(dir),
        None => {
            scratch.extend_from_slice(&event.int(Col::Pid)?.to_le_bytes());
            scratch.extend_from_slice(&event.int(dirfd).unwrap_or(AT_FDCWD).to_le_bytes());
        }
    }
    scratch.push(b'/');
    scratch.extend_from_slice(path);
    Some(xxh3_64(scratch))
}

/// What is known of a thing while walking, with the place in the window of the call that shows it.
#[derive(Clone, Copy, Debug)]
enum State {
    Unknown,
    Made(u32),
    Met(u32),
    Removed(u32),
    Missed,
}

/// A walk along the calls of the window that tracks all things at once.
struct Walk<'a> {
    window: &'a Window,
    overlaps: &'a Overlaps,
    states: HashMap<u64, State>,
    /// For each thing the calls that missed it since it was last made or removed.
    missed: HashMap<u64, Vec<u32>>,
    moves: Moves,
}

impl Walk<'_> {
    fn step(&mut self, place: usize, domain: Domain, thing: u64, act: Act) {
        let [made_earlier, gone_later, missed_earlier, missed_later] = match domain {
            Domain::Name => [Kind::NameMade, Kind::NameGone, Kind::NameMissed, Kind::NameLate],
            Domain::Fd => [Kind::FdMade, Kind::FdGone, Kind::FdMissed, Kind::FdLate],
        };
        let group = u64::from(self.overlaps.group[place]);
        let here = thing ^ group.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.lost(place, thing, here, act, missed_later);
        let state = self.states.entry(here).or_insert(State::Unknown);
        let before = *state;
        let tickets = self.window.tickets();
        *state = match (act, before) {
            // The removal will be moved behind this call: other calls may find the thing, too.
            (Act::Meet, State::Removed(j)) if spans(tickets, j as usize, place) => before,
            (Act::Make { .. }, _) => State::Made(place as u32),
            (Act::Remove, _) => State::Removed(place as u32),
            (Act::Meet, State::Unknown | State::Removed(_) | State::Missed) => State::Met(place as u32),
            (Act::Miss, State::Unknown | State::Removed(_)) => State::Missed,
            (Act::Meet | Act::Miss, _) => before,
        };
        let key = |place: usize| tickets[place].key;
        match (act, before) {
            // Met, though it was removed: the removal took effect after this, if it lasted so long.
            (Act::Meet, State::Removed(j)) if spans(tickets, j as usize, place) => {
                self.moves.later(j as usize, key(place), gone_later);
            }
            // Met, though it was not there: whoever makes it later has made it before this.
            (Act::Meet | Act::Remove, State::Removed(_) | State::Missed) => {
                if let Some(j) = self.maker(place, thing) {
                    self.moves.earlier(j, key(place), made_earlier);
                }
            }
            // Made for the first time, though it was met before: made before that.
            (Act::Make { exclusive: true }, State::Met(j)) if spans(tickets, place, j as usize) => {
                self.moves.earlier(place, key(j as usize), made_earlier);
            }
            // Missed, though it had been made: missed before that.
            (Act::Miss, State::Made(j)) if spans(tickets, place, j as usize) => {
                self.moves.earlier(place, key(j as usize), missed_earlier);
            }
            _ => {}
        }
    }

    /// Of overlapping calls that remove a thing one succeeds, and the others miss it: these are moved behind it.
    fn lost(&mut self, place: usize, thing: u64, here: u64, act: Act, kind: Kind) {
        match act {
            Act::Meet => {}
            Act::Make { .. } => drop(self.missed.remove(&here)),
            Act::Miss => self.missed.entry(here).or_default().push(place as u32),
            Act::Remove => {
                let Some(missed) = self.missed.remove(&here).filter(|_| self.maker(place, thing).is_none()) else { return };
                let tickets = self.window.tickets();
                for j in missed.into_iter().map(|j| j as usize).filter(|j| spans(tickets, *j, place)) {
                    self.moves.later(j, tickets[place].key, kind);
                }
            }
        }
    }

    /// Place of the first later call that made the thing and may have done so before this one; `None` when there is
    /// none or another call removed the thing in between.
    fn maker(&self, place: usize, thing: u64) -> Option<usize> {
        let tickets = self.window.tickets();
        let at = tickets[place].key.at;
        let later = (place + 1..self.window.len()).take_while(|j| self.overlaps.least[*j] <= at);
        let makes = |act| matches!(act, Act::Make { .. });
        let found = later.into_iter().find(|j| spans(tickets, *j, place) && self.does(*j, thing, makes))?;
        let removed = (place + 1..found).any(|j| self.overlaps.any[j] && self.does(j, thing, |act| act == Act::Remove));
        (!removed).then_some(found)
    }

    /// Does the call at this place prove something of this thing that `what` accepts?
    fn does(&self, place: usize, thing: u64, what: impl Fn(Act) -> bool) -> bool {
        let mut does = false;
        acts(self.window.event(place), &mut Vec::new(), &mut |_, other, act| does |= other == thing && what(act));
        does
    }
}
