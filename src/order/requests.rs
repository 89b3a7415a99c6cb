//! What an op must wait for in its own lane where that lane hands requests over (io_submit, io_uring) and goes on meanwhile.
//!
//! **A count.** A program hands over the next request when it has taken the results of so many before, whichever these were: on
//! another device others come first. So a request waits until as many requests of its lane and ring are done as the program had
//! taken back. Any other op waits for as many as were done when it began.
//!
//! **Identities** only where a resource asks for them: an op that touches what an earlier request touches, in a way that does not
//! commute, or the same bytes, waits for that request; a sync waits for the writes to its file that were done before it. It then
//! waits for all requests before that one, too, which is one number instead of a list.
//!
//! Memory: the last [`WINDOW`] requests of each lane, at most. What comes before them is waited for.

use super::packed::{commute, resource_of};
use crate::syscall::{Moves, Op};
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Requests of one lane, at most, that an op is held against.
const WINDOW: usize = 4096;
/// Requests that an op is held against, at least, however few were in flight: the replay may have others in flight than the
/// capture had.
const LEAST: usize = 256;
/// Requests of one lane, at most, whose ends are remembered.
const ENDS: usize = 1 << 16;

/// An op, or a request that is not replayed, as far as it matters here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// Its lane (vtid).
    pub lane: i64,
    /// Of a request the ring that it went through; `None` for other calls.
    pub ring: Option<i64>,
    /// Of a request how many earlier ones of its lane and ring had not been taken back.
    pub inflight: Option<i64>,
    /// Of a request whether it begins when the one before it is done.
    pub linked: bool,
    /// The call that is issued.
    pub op: Option<Op>,
    /// Captured start, ns.
    pub ts: Option<i64>,
    /// Captured duration, ns; `None` where its end was never seen.
    pub dur: Option<i64>,
    /// The file that it is about, and the second one.
    pub files: [Option<i64>; 2],
    /// Where in the file it reads or writes, bytes; `None` where that is not known.
    pub offset: Option<i64>,
    /// Number of bytes; `None` where that is not known.
    pub length: Option<i64>,
    /// What it touches, as [`super::number`] packs it.
    pub touches: &'a [i64],
}

/// What an op waits for in its own lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// How many requests before it must be done: of a request those of its ring, of any other op all; `None` in a lane without
    /// requests.
    pub reaped: Option<i64>,
    /// The last op up to which all requests of the lane must be done; `None` for none.
    pub settled: Option<i64>,
}

/// Follows the requests of all lanes.
#[derive(Debug, Default)]
pub struct Requests {
    lanes: HashMap<i64, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    rings: HashMap<i64, Ring>,
    /// Requests so far, and how many of them were done when the last op began.
    handed: i64,
    done: i64,
    /// Captured ends of requests that were not done then.
    ends: BinaryHeap<Reverse<i64>>,
    recent: VecDeque<Past>,
    /// The last request that is not among them any more.
    forgotten: Option<i64>,
    /// Most that were in flight.
    depth: usize,
}

/// The requests of one lane that go through one ring.
#[derive(Debug, Default)]
struct Ring {
    handed: i64,
    reaped: i64,
    /// Captured ends of requests that are not replayed: the program waited for these, too.
    dropped: BinaryHeap<Reverse<i64>>,
}

/// A request that an op may have to wait for.
#[derive(Debug)]
struct Past {
    op_id: i64,
    does: Does,
    file: Option<i64>,
    from: i64,
    to: i64,
    end: Option<i64>,
    touches: Vec<i64>,
}

/// What an op does with the bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Reads,
    Writes,
    Syncs,
    Nothing,
}

impl Does {
    fn of(op: Option<Op>) -> Does {
        match op {
            Some(Op::Fsync | Op::Fdatasync | Op::Syncfs | Op::Sync | Op::SyncFileRange) => Does::Syncs,
            Some(Op::Fallocate | Op::CopyFileRange | Op::Sendfile | Op::Ioctl) => Does::Writes,
            Some(op) => match op.moves() {
                Moves::Reads => Does::Reads,
                Moves::Writes | Moves::Copies => Does::Writes,
                Moves::Nothing => Does::Nothing,
            },
            None => Does::Nothing,
        }
    }
}

/// The bytes that a call concerns: all of the file where that is not known.
fn range(row: &Asked<'_>) -> (i64, i64) {
    match (row.offset, row.length) {
        (Some(from), Some(length)) => (from, from.saturating_add(length.max(0))),
        _ => (0, i64::MAX),
    }
}

impl Requests {
    /// Has no lane handed a request over so far?
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Takes a request that is not replayed.
    pub fn dropped(&mut self, row: &Asked<'_>) {
        if let (Some(ring), Some(ts), Some(dur)) = (row.ring, row.ts, row.dur) {
            let ring = self.lanes.entry(row.lane).or_default().rings.entry(ring).or_default();
            push(&mut ring.dropped, ts.saturating_add(dur));
        }
    }

    /// Takes the next op, of this number, and says what it waits for.
    pub fn op(&mut self, op_id: i64, row: &Asked<'_>) -> Held {
        let lane = match row.ring {
            Some(_) => self.lanes.entry(row.lane).or_default(),
            None => match self.lanes.get_mut(&row.lane) {
                Some(lane) => lane,
                None => return Held::default(),
            },
        };
        // An op without a time comes after all that came before it.
        lane.done += before(&mut lane.ends, row.ts.unwrap_or(i64::MAX));
        let settled = if row.linked { lane.recent.back().map(|past| past.op_id) } else { lane.settled(row) };
        let Some(number) = row.ring else {
            let reaped = if row.ts.is_some() { lane.done } else { lane.handed };
            return Held { reaped: Some(reaped), settled };
        };
        let ring = lane.rings.entry(number).or_default();
        before(&mut ring.dropped, row.ts.unwrap_or(i64::MAX));
        let inflight = row.inflight.unwrap_or(lane.handed - lane.done);
        let reaped = ring.handed - inflight.saturating_sub(ring.dropped.len() as i64).clamp(0, ring.handed);
        ring.reaped = ring.reaped.max(reaped);
        ring.handed += 1;
        let held = Held { reaped: Some(ring.reaped), settled };
        lane.depth = lane.depth.max((ring.handed - ring.reaped) as usize);
        lane.handed += 1;
        let end = row.ts.zip(row.dur).map(|(ts, dur)| ts.saturating_add(dur));
        // The capture does not have its end, so nothing in the capture waited for it.
        if let Some(end) = end {
            push(&mut lane.ends, end);
        }
        lane.remember(op_id, row, end);
        held
    }
}

/// Adds an end; the earliest is forgotten when there are too many.
fn push(ends: &mut BinaryHeap<Reverse<i64>>, end: i64) {
    if ends.len() >= ENDS {
        ends.pop();
    }
    ends.push(Reverse(end));
}

/// Removes the ends up to a time; their number.
fn before(ends: &mut BinaryHeap<Reverse<i64>>, time: i64) -> i64 {
    let mut count = 0;
    while ends.peek().is_some_and(|Reverse(end)| *end <= time) {
        ends.pop();
        count += 1;
    }
    count
}

impl Lane {
    fn window(&self) -> usize {
        (8 * self.depth).clamp(LEAST, WINDOW)
    }

    /// The last request that the op must follow, or the last that is too old to be known.
    fn settled(&self, row: &Asked<'_>) -> Option<i64> {
        let meets = self.recent.iter().rev().find(|past| past.meets(row));
        meets.map(|past| past.op_id).or(self.forgotten)
    }

    fn remember(&mut self, op_id: i64, row: &Asked<'_>, end: Option<i64>) {
        let mut touches = Vec::new();
        while self.recent.len() > self.window() {
            let Some(past) = self.recent.pop_front() else { break };
            (self.forgotten, touches) = (Some(past.op_id), past.touches);
        }
        touches.clear();
        touches.extend_from_slice(row.touches);
        let (from, to) = range(row);
        self.recent.push_back(Past { op_id, does: Does::of(row.op), file: row.files[0], from, to, end, touches });
    }
}

impl Past {
    /// Must an op follow this request?
    fn meets(&self, row: &Asked<'_>) -> bool {
        let does = Does::of(row.op);
        let file = self.file.is_none() || row.files.contains(&self.file);
        let bytes = match (self.does, does) {
            (Does::Reads | Does::Writes, Does::Writes) | (Does::Writes, Does::Reads) => {
                let (from, to) = range(row);
                // Where it writes in a second file is not known.
                row.files[1].is_some() || from < self.to && self.from < to
            }
            (Does::Writes, Does::Syncs) => self.end.zip(row.ts).is_none_or(|(end, ts)| end <= ts),
            _ => false,
        };
        let everything = matches!(row.op, Some(Op::Sync | Op::Syncfs));
        bytes && (file || everything)
            || self.touches.iter().any(|touch| {
                row.touches.iter().any(|other| resource_of(*touch) == resource_of(*other) && !commute(*touch, *other))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Access, Resource, Touch};
    use crate::order::number;

    fn io(op: Op, ts: i64, dur: i64, inflight: i64, offset: i64) -> Asked<'static> {
        Asked {
            lane: 1,
            ring: Some(0),
            inflight: Some(inflight),
            linked: false,
            op: Some(op),
            ts: Some(ts),
            dur: Some(dur),
            files: [Some(5), None],
            offset: Some(offset),
            length: Some(10),
            touches: &[],
        }
    }

    fn call<'a>(op: Op, ts: i64, touches: &'a [i64]) -> Asked<'a> {
        Asked { ring: None, inflight: None, offset: None, length: None, touches, ..io(op, ts, 1, 0, 0) }
    }

    fn held(reaped: i64, settled: Option<i64>) -> Held {
        Held { reaped: Some(reaped), settled }
    }

    #[test]
    fn a_request_waits_for_as_many_as_were_taken_back_and_a_call_for_as_many_as_were_done() {
        let mut requests = Requests::default();
        assert_eq!(requests.op(0, &call(Op::Fstat, 5, &[])), Held::default(), "before the first request");
        assert_eq!(requests.op(1, &io(Op::Pread, 10, 50, 0, 0)), held(0, None));
        assert_eq!(requests.op(2, &io(Op::Pread, 11, 5, 1, 20)), held(0, None));
        // The second is done, and not taken back.
        assert_eq!(requests.op(3, &io(Op::Pread, 20, 50, 2, 40)), held(0, None));
        assert_eq!(requests.op(4, &call(Op::Fstat, 21, &[])), held(1, None));
        assert_eq!(requests.op(5, &io(Op::Pread, 22, 50, 2, 60)), held(1, None));
        assert_eq!(requests.op(6, &Asked { ts: None, ..call(Op::Fstat, 0, &[]) }), held(4, None));
        assert_eq!(requests.op(7, &Asked { lane: 2, ..call(Op::Fstat, 30, &[]) }), Held::default(), "another lane");
    }

    #[test]
    fn what_is_not_replayed_is_not_waited_for() {
        let mut requests = Requests::default();
        requests.op(1, &io(Op::Pread, 10, 50, 0, 0));
        requests.dropped(&io(Op::Pread, 11, 100, 1, 0));
        // Of two in flight one is on a socket.
        assert_eq!(requests.op(2, &io(Op::Pread, 12, 50, 2, 20)), held(0, None));
        assert_eq!(requests.op(3, &io(Op::Pread, 200, 50, 0, 40)), held(2, None));
        // A number of requests that the capture cannot have had counts as all or none of those before.
        assert_eq!(requests.op(4, &io(Op::Pread, 201, 50, 1000, 60)), held(2, None));
        assert_eq!(requests.op(5, &io(Op::Pread, 202, 50, -1000, 80)), held(4, None));
        requests.dropped(&io(Op::Pread, 203, 100, 1, 0));
        assert_eq!(requests.op(6, &io(Op::Pread, 204, 50, i64::MIN, 100)), held(5, None));
    }

    #[test]
    fn the_same_bytes_and_resources_are_waited_for() {
        let mut requests = Requests::default();
        let touch = |access| number(Touch { kind: Resource::Ofd, id: 3, access });
        let (uses, ends) = ([touch(Access::Read)], [touch(Access::End)]);
        let write = |ts, inflight, offset| Asked { touches: &uses, ..io(Op::Pwrite, ts, 50, inflight, offset) };
        assert_eq!(requests.op(1, &write(10, 0, 0)).settled, None);
        assert_eq!(requests.op(2, &write(11, 1, 10)).settled, None);
        assert_eq!(
            requests.op(3, &io(Op::Pread, 12, 90, 2, 5)).settled,
            Some(2),
            "reads the end of one and the begin of the other"
        );
        assert_eq!(requests.op(4, &Asked { files: [Some(6), None], ..write(13, 3, 0) }).settled, None, "another file");
        // A sync follows writes that were done before it, and not those under way.
        assert_eq!(requests.op(5, &call(Op::Fsync, 30, &[])).settled, None);
        assert_eq!(requests.op(6, &call(Op::Fsync, 60, &[])).settled, Some(1));
        assert_eq!(requests.op(7, &call(Op::Close, 61, &ends)).settled, Some(4));
        assert_eq!(requests.op(8, &call(Op::Fallocate, 62, &uses)).settled, Some(3));
        // A link asks for the request before, whatever that touches.
        assert_eq!(requests.op(9, &Asked { linked: true, ..write(63, 0, 5000) }).settled, Some(4));
    }

    #[test]
    fn what_is_too_old_to_be_known_is_waited_for() {
        let mut requests = Requests::default();
        for op in 0..=LEAST as i64 {
            assert_eq!(requests.op(op, &io(Op::Pread, op, 5000, 1, 20 * op)).settled, None);
        }
        let next = |requests: &mut Requests, op, inflight| requests.op(op, &io(Op::Pread, 500, 5, inflight, 20 * op)).settled;
        let last = LEAST as i64;
        assert_eq!([1, 2].map(|more| next(&mut requests, last + more, 1)), [None, Some(0)]);
        // The more were in flight, the more are known.
        let mut requests = Requests::default();
        for op in 0..3 * LEAST as i64 {
            assert_eq!(requests.op(op, &io(Op::Pread, op, 5000, op.min(last), 20 * op)).settled, None);
        }
    }
}
