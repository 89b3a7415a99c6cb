//! Moves instants where results prove another order.
//!
//! Calls of different threads overlap, and the default instant of one may contradict the result of another: an open
//! succeeded before the create of that file returned, a read succeeded after a close of its descriptor had begun. The
//! instant of the wrong one lies elsewhere in its interval, and moves there.
//!
//! Each name, and each descriptor of a process, is a thing that is there or is not. Its calls are walked in order. What
//! a call proves is an [`Act`]: it made the thing, removed it, met it, or missed it. A contradiction is resolved by the
//! call that overlaps, if there is one; else it is left alone, since somebody outside the capture may have acted.
//!
//! Only calls that overlap one of another thread are looked at; where nothing overlaps this costs a few comparisons.

use super::order::{Key, Placed, Window};
use crate::event::{AT_FDCWD, Col, Event, Text};
use crate::fate::words;
use crate::syscall::{Op, Ret, Role};
use hashbrown::HashMap;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

words! {
    /// How an instant was moved.
    Kind {
        NameMade   "name_made"   "a name was made before an overlapping call met it";
        NameGone   "name_gone"   "a name was removed after an overlapping call met it";
        NameMissed "name_missed" "a call missed a name before an overlapping call made it";
        FdMade     "fd_made"     "a descriptor was opened before an overlapping call used it";
        FdGone     "fd_gone"     "a descriptor was closed after an overlapping call used it";
        FdMissed   "fd_missed"   "a call missed a descriptor before an overlapping call opened it";
    }
}

/// Number of moves by kind.
pub type Repairs = BTreeMap<&'static str, u64>;

const O_CREAT: i64 = 0o100;
const O_EXCL: i64 = 0o200;
const ENOENT: i32 = 2;
const EBADF: i32 = 9;
const EEXIST: i32 = 17;

/// What a call proves of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Made it; it was not there before when `exclusive`.
    Make { exclusive: bool },
    /// Removed it: it was there.
    Remove,
    /// It was there.
    Meet,
    /// It was not.
    Miss,
}

/// A thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Domain {
    Name,
    Fd,
}

/// Moves instants in the sorted window, none to before `gone`. Was any moved?
pub fn run(window: &mut Window, gone: Option<Key>, repairs: &mut Repairs) -> bool {
    let clusters = clusters(window);
    if clusters.is_empty() {
        return false;
    }
    let mut things: HashMap<u64, (Domain, Vec<(u32, Act)>)> = HashMap::new();
    let mut scratch = Vec::new();
    for &(place, cluster) in &clusters {
        let event = &window.get(place as usize).event;
        acts(event, &mut scratch, &mut |domain, thing, act| {
            let thing = thing ^ u64::from(cluster).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            things.entry(thing).or_insert_with(|| (domain, Vec::new())).1.push((place, act));
        });
    }
    let mut moves = Vec::new();
    for (domain, calls) in things.values().filter(|(_, calls)| calls.len() > 1) {
        walk(window, *domain, calls, &mut moves);
    }
    // The map has no order; the outcome must have one.
    moves.sort_unstable_by_key(|(place, key, _)| (*place, *key));
    moves.dedup_by_key(|(place, ..)| *place);
    moves.retain(|(_, key, _)| gone.is_none_or(|gone| *key > gone));
    for (place, key, kind) in &moves {
        window.shift(*place as usize, *key);
        *repairs.entry(kind.name()).or_default() += 1;
    }
    !moves.is_empty()
}

/// Latest exits (or earliest entries, negated) of two different threads.
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

/// Places of calls that overlap one of another thread, with the number of the group of calls that overlap without a
/// gap. What is known of a thing ends with its group.
fn clusters(window: &Window) -> Vec<(u32, u32)> {
    let len = window.len();
    let mut overlaps = vec![false; len];
    let mut groups = vec![0u32; len];
    let (mut exits, mut group, mut latest) = (Two::default(), 0, i64::MIN);
    for place in 0..len {
        let placed = window.get(place);
        let tid = placed.event.int(Col::Tid).unwrap_or_default();
        if placed.entry > latest {
            group += 1;
        }
        latest = latest.max(placed.exit);
        groups[place] = group;
        overlaps[place] = exits.other(tid).is_some_and(|exit| exit >= placed.entry);
        exits.add(tid, placed.exit);
    }
    let mut entries = Two::default();
    for place in (0..len).rev() {
        let placed = window.get(place);
        let tid = placed.event.int(Col::Tid).unwrap_or_default();
        overlaps[place] |= entries.other(tid).is_some_and(|entry| -entry <= placed.exit);
        entries.add(tid, -placed.entry);
    }
    let overlapping = (0..len).filter(|place| overlaps[*place]);
    overlapping.map(|place| (place as u32, groups[place])).collect()
}

/// What a call proves, and of which things.
fn acts(event: &Event, scratch: &mut Vec<u8>, found: &mut impl FnMut(Domain, u64, Act)) {
    let Some(op) = event.syscall.op() else { return };
    let (success, failure) = (event.success(), event.failure());
    let flags = event.int(Col::Flags).unwrap_or(0);
    let row = event.syscall.def();

    let name = match (op, failure) {
        (_, Some(EEXIST)) => Some(Act::Meet),
        (Op::Open | Op::Openat | Op::Openat2, None) if flags & O_CREAT != 0 => Some(Act::Make { exclusive: flags & O_EXCL != 0 }),
        (Op::Creat, None) => Some(Act::Make { exclusive: false }),
        (Op::Mkdir | Op::Mkdirat | Op::Mknod | Op::Mknodat | Op::Symlink | Op::Symlinkat, None) => {
            Some(Act::Make { exclusive: true })
        }
        (Op::Unlink | Op::Unlinkat | Op::Rmdir | Op::Rename | Op::Renameat | Op::Renameat2, None) => Some(Act::Remove),
        (Op::Getcwd, _) => None,
        (_, None) => Some(Act::Meet),
        // A create that finds no directory says nothing of the name.
        (Op::Mkdir | Op::Mkdirat | Op::Mknod | Op::Mknodat | Op::Symlink | Op::Symlinkat | Op::Creat, Some(_)) => None,
        (_, Some(ENOENT)) if flags & O_CREAT == 0 => Some(Act::Miss),
        _ => None,
    };
    // EEXIST of a link or rename is about the new name.
    let two = matches!(op, Op::Link | Op::Linkat | Op::Rename | Op::Renameat | Op::Renameat2);
    if success.is_some() || failure.is_some() {
        if row.has(Role::Path)
            && let Some(act) = name
            && !(two && failure == Some(EEXIST))
            && let Some(thing) = name_of(event, Text::Path, Col::DirFd, Text::DirPath, scratch)
        {
            found(Domain::Name, thing, act);
        }
        if two
            && (success.is_some() || failure == Some(EEXIST))
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
    } else if failure == Some(EBADF)
        && row.has(Role::Fd)
        && let Some(number) = event.int(Col::Fd)
    {
        fd(number, Act::Miss);
    }
}

/// Identity of a name, as far as the line alone tells.
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

/// Is the thing there, and who says so? Numbers are indices into the calls of the thing.
#[derive(Clone, Copy, Debug)]
enum State {
    Unknown,
    There { made: Option<usize>, met: Option<usize> },
    Gone { removed: Option<usize> },
}

/// Walks the calls of a thing in order and notes which must move.
fn walk(window: &Window, domain: Domain, calls: &[(u32, Act)], moves: &mut Vec<(u32, Key, Kind)>) {
    let kinds = match domain {
        Domain::Name => [Kind::NameMade, Kind::NameGone, Kind::NameMissed],
        Domain::Fd => [Kind::FdMade, Kind::FdGone, Kind::FdMissed],
    };
    let [made_earlier, gone_later, missed_earlier] = kinds;
    let placed = |i: usize| window.get(calls[i].0 as usize);
    let tid = |i: usize| placed(i).event.int(Col::Tid);
    let spans = |i: usize, at: i64| {
        let Placed { entry, exit, .. } = placed(i);
        *entry <= at && at <= *exit
    };
    // The first later call that made the thing and may have done so before call `i`.
    let maker = |i: usize| {
        let later = (i + 1..calls.len()).take_while(|j| calls[*j].1 != Act::Remove);
        let mut makers = later.filter(|j| matches!(calls[*j].1, Act::Make { .. }));
        makers.find(|j| tid(*j) != tid(i) && spans(*j, placed(i).key.at))
    };
    let mut state = State::Unknown;
    for (i, (place, act)) in calls.iter().enumerate() {
        let key = placed(i).key;
        match (act, state) {
            (Act::Meet | Act::Remove, State::Gone { removed }) => {
                match removed.filter(|j| *act == Act::Meet && tid(*j) != tid(i) && spans(*j, key.at)) {
                    Some(j) => moves.push((calls[j].0, key.after(), gone_later)),
                    None => moves.extend(maker(i).map(|j| (calls[j].0, key.before(), made_earlier))),
                }
            }
            (Act::Make { exclusive: true }, State::There { made: None, met: Some(j) })
                if tid(j) != tid(i) && spans(i, placed(j).key.at) =>
            {
                moves.push((*place, placed(j).key.before(), made_earlier));
            }
            (Act::Miss, State::There { made: Some(j), .. }) if tid(j) != tid(i) && spans(i, placed(j).key.at) => {
                moves.push((*place, placed(j).key.before(), missed_earlier));
            }
            _ => {}
        }
        state = match (act, state) {
            (Act::Make { .. }, _) => State::There { made: Some(i), met: None },
            (Act::Meet, State::There { .. }) => state,
            (Act::Meet, State::Unknown | State::Gone { .. }) => State::There { made: None, met: Some(i) },
            (Act::Remove, _) => State::Gone { removed: Some(i) },
            (Act::Miss, State::There { .. }) => state,
            (Act::Miss, State::Unknown | State::Gone { .. }) => State::Gone { removed: None },
        };
    }
}
