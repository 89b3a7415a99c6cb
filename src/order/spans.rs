//! Touches to spans: from which op to which op a lane touches a resource in one way, while nobody touches it in another.
//!
//! A lane that reads a file's descriptor a thousand times, or sixteen lanes that all walk through one directory, say in
//! thousands of touches what their first and last ones say. Touches that commute are gathered, lane by lane, until one
//! comes that does not commute with them. What a lane does with a resource from one write to another is one write, when
//! nobody else comes in between: an open file description is opened, used and closed, and is one span.
//!
//! A resource that one lane alone touched until it ended makes no span at all, since nobody can wait for it: most open file
//! descriptions are used by one thread.
//!
//! Memory: all lanes, and a bounded number of resources. Beyond it all open spans are given out early, which leads to the same
//! edges with more spans.

use super::Work;
use super::packed::{access_of, id_of, kind_of, resource, resource_of};
use crate::model::{Access, Resource};
use hashbrown::HashMap;

/// Most resources whose open spans are remembered: about as many as the processor's caches hold.
const RESOURCES: usize = 1 << 14;
/// Most other lanes whose spans are remembered of one resource.
const LANES: usize = 64;

/// Kinds of resources that end with the last close of an open file description; both have its number as id.
const ENDING: [Resource; 2] = [Resource::Ofd, Resource::Position];

const WRITE: i64 = Access::Write as i64;

/// An op at one end of a span, and how much work its lane has done there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The op's id.
    pub op: i64,
    /// Work of the op's lane, counted to before the op at the first end of a span (which waits for others), to after it at the
    /// last end (for which others wait).
    pub work: Work,
}

/// From which op to which a lane touches a resource in one way, while no lane touches it in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Number of the resource ([`resource`]).
    pub resource: i64,
    /// How the lane touches the resource: 0 read, 1 add, 2 write.
    pub access: i64,
    /// The lane (vtid).
    pub lane: i64,
    /// First op of the lane that touches the resource so, and the lane's work before it.
    pub first: Mark,
    /// Last op of the lane that touches the resource so, and the lane's work up to its end.
    pub last: Mark,
}

/// Merges touches into spans, one op after the other.
#[derive(Debug, Default)]
pub struct Spans {
    lanes: HashMap<i64, Lane>,
    open: HashMap<i64, Open>,
    next: i64,
    /// Descriptions with a lower id may have had spans given out early, so what their end finds may not be all.
    whole_from: i64,
}

/// Open (still growing) spans of one resource. There are many, and most have one span: the rest is boxed, so that more of them
/// fit in the processor's cache.
#[derive(Debug)]
struct Open {
    one: Span,
    /// The write of the same lane before `one`, while only that lane has touched the resource and `one` is no write.
    wrote: Option<Box<Span>>,
    /// Spans of other lanes that touch the resource in the same way as `one`.
    others: Option<Box<Others>>,
    /// Did another lane touch it before, so that spans were given out already?
    shared: bool,
}

/// Open spans of several lanes. The lane numbers have a vector of their own: to search them is the most frequent operation.
#[derive(Debug, Default)]
struct Others {
    lanes: Vec<i64>,
    spans: Vec<Span>,
}

/// What is remembered of one lane: its work so far, its last op, and touches for its next op.
#[derive(Debug, Default)]
struct Lane {
    done: Work,
    last: Option<Op>,
    /// Touches of events that are no ops, which count for the lane's next op.
    ahead: Vec<i64>,
}

/// The two marks of an op: as the first of a span (work before it), and as the last (work with it).
#[derive(Clone, Copy, Debug)]
struct Op {
    begin: Mark,
    end: Mark,
}

impl Spans {
    /// Takes the next op with its captured duration `ns` and its touches ([`super::number`]); op ids count up from 0 here. Finished
    /// spans go to `out`.
    pub fn op(&mut self, lane: i64, ns: i64, touches: impl Iterator<Item = i64>, out: &mut Vec<Span>) {
        let own = self.lanes.entry(lane).or_default();
        let begin = Mark { op: self.next, work: own.done };
        own.done = own.done.and(Work { ops: 1, ns });
        let op = Op { begin, end: Mark { op: self.next, work: own.done } };
        own.last = Some(op);
        self.next += 1;
        for touch in std::mem::take(&mut own.ahead) {
            self.touch(lane, op, touch, out);
        }
        for touch in touches {
            self.touch(lane, op, touch, out);
        }
    }

    /// Takes the touches of an event that is no op. Only those of tasks (starts and ends) count: a write for the op of its lane
    /// before it, a read for the one after.
    pub fn other(&mut self, lane: i64, touches: impl Iterator<Item = i64>, out: &mut Vec<Span>) {
        for touch in touches.filter(|touch| kind_of(resource_of(*touch)) == Resource::Task as i64) {
            let own = self.lanes.entry(lane).or_default();
            match own.last {
                _ if access_of(touch) == Access::Read as i64 => own.ahead.push(touch),
                Some(op) => self.touch(lane, op, touch, out),
                None => {} // there is no op to wait for
            }
        }
    }

    /// Gives out all spans that are still open.
    pub fn finish(&mut self, out: &mut Vec<Span>) {
        for (resource, mut open) in self.open.drain() {
            open.close(out);
            if ENDING.iter().any(|kind| kind_of(resource) == *kind as i64) {
                self.whole_from = self.whole_from.max(id_of(resource) + 1);
            }
        }
    }

    /// The open file description `id`, and with it its position, has ended: gives out their spans if another lane touched them
    /// too.
    fn end(&mut self, id: i64, out: &mut Vec<Span>) {
        for kind in ENDING {
            if let Some(mut open) = self.open.remove(&resource(kind, id))
                && (open.shared || open.others.is_some() || id < self.whole_from)
            {
                open.close(out);
            }
        }
    }

    fn touch(&mut self, lane: i64, op: Op, touch: i64, out: &mut Vec<Span>) {
        let (resource, access) = (resource_of(touch), access_of(touch));
        let new = Span { resource, access: access.min(WRITE), lane, first: op.begin, last: op.end };
        match self.open.get_mut(&resource) {
            Some(open) => open.touch(new, out),
            None => {
                if self.open.len() >= RESOURCES {
                    self.finish(out);
                }
                self.open.insert(resource, Open::new(new));
            }
        }
        if access == Access::End as i64 {
            self.end(id_of(resource), out);
        }
    }
}

impl Open {
    fn new(one: Span) -> Open {
        Open { one, wrote: None, others: None, shared: false }
    }

    /// Has only this lane touched the resource since spans of it were last given out?
    fn alone(&self, lane: i64) -> bool {
        self.others.is_none() && self.one.lane == lane
    }

    fn touch(&mut self, new: Span, out: &mut Vec<Span>) {
        let alone = self.alone(new.lane);
        match (self.one.access == new.access, alone) {
            (true, true) => self.one.last = new.last,
            (true, false) if new.access != WRITE && self.room() => self.join(new, out),
            // From one write to the next of the same lane, with only reads or adds of it between, is all one write.
            (false, true) if new.access == WRITE && self.wrote.is_some() => {
                self.one = self.wrote.take().map_or(new, |wrote| *wrote);
                self.one.last = new.last;
            }
            (false, true) if self.one.access == WRITE => {
                self.wrote = Some(Box::new(std::mem::replace(&mut self.one, new)));
            }
            _ => {
                self.shared |= !alone;
                self.close(out);
                self.one = new;
            }
        }
    }

    fn room(&self) -> bool {
        self.others.as_ref().is_none_or(|others| others.lanes.len() < LANES)
    }

    /// Another lane touches the resource in the same way, or this one does after another has.
    fn join(&mut self, new: Span, out: &mut Vec<Span>) {
        out.extend(self.wrote.take().map(|wrote| *wrote));
        if self.one.lane == new.lane {
            self.one.last = new.last;
            return;
        }
        let others = self.others.get_or_insert_default();
        match others.lanes.iter().position(|lane| *lane == new.lane) {
            Some(at) => others.spans[at].last = new.last,
            None => {
                others.lanes.push(new.lane);
                others.spans.push(new);
            }
        }
    }

    fn close(&mut self, out: &mut Vec<Span>) {
        out.extend(self.wrote.take().map(|wrote| *wrote));
        out.push(self.one);
        out.extend(self.others.take().into_iter().flat_map(|others| others.spans));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Touch;
    use crate::order::number;

    fn touch(kind: Resource, id: i64, access: Access) -> i64 {
        number(Touch { kind, id, access })
    }

    /// The spans of rows `(lane, is it an op, touches)` as `(resource, access, lane, first, last)`.
    fn spans(rows: &[(i64, bool, &[i64])]) -> Vec<(i64, i64, i64, i64, i64)> {
        let (mut spans, mut out) = (Spans::default(), Vec::new());
        for (lane, op, touches) in rows {
            match op {
                true => spans.op(*lane, 10, touches.iter().copied(), &mut out),
                false => spans.other(*lane, touches.iter().copied(), &mut out),
            }
        }
        spans.finish(&mut out);
        let mut out: Vec<_> = out.iter().map(|s| (id_of(s.resource), s.access, s.lane, s.first.op, s.last.op)).collect();
        out.sort_unstable();
        out
    }

    #[test]
    fn what_commutes_is_one_span_for_each_lane() {
        let (read, add) = (touch(Resource::Entries, 7, Access::Read), touch(Resource::Entries, 7, Access::Add));
        let write = touch(Resource::Entries, 7, Access::Write);
        let rows: &[(i64, bool, &[i64])] = &[
            (0, true, &[read]),
            (1, true, &[read]),
            (0, true, &[read]),
            (1, true, &[add]),
            (0, true, &[add]),
            (0, true, &[read]),
        ];
        assert_eq!(spans(rows), [(7, 0, 0, 0, 2), (7, 0, 0, 5, 5), (7, 0, 1, 1, 1), (7, 1, 0, 4, 4), (7, 1, 1, 3, 3)]);
        let rows: &[(i64, bool, &[i64])] = &[(0, true, &[write]), (0, true, &[write]), (1, true, &[write]), (0, true, &[write])];
        assert_eq!(spans(rows), [(7, 2, 0, 0, 1), (7, 2, 0, 3, 3), (7, 2, 1, 2, 2)]);
        // Opened, used and closed by one lane; then written, read, and read by another, which need not wait for a read.
        let rows: &[(i64, bool, &[i64])] = &[(0, true, &[write]), (0, true, &[read]), (0, true, &[write])];
        assert_eq!(spans(rows), [(7, 2, 0, 0, 2)]);
        let rows: &[(i64, bool, &[i64])] = &[(0, true, &[write]), (0, true, &[read]), (1, true, &[read]), (0, true, &[write])];
        assert_eq!(spans(rows), [(7, 0, 0, 1, 1), (7, 0, 1, 2, 2), (7, 2, 0, 0, 0), (7, 2, 0, 3, 3)]);
    }

    #[test]
    fn a_fork_counts_for_the_op_before_it_and_a_filtered_start_for_the_one_after() {
        let (start, fork) = (touch(Resource::Task, 1, Access::Read), touch(Resource::Task, 1, Access::Write));
        let other = touch(Resource::Size, 1, Access::Write);
        let rows: &[(i64, bool, &[i64])] = &[
            (0, true, &[]),
            (5, true, &[]),
            (0, false, &[fork, other]),
            (1, false, &[start]),
            (1, true, &[]),
            (9, false, &[fork]),
        ];
        assert_eq!(spans(rows), [(1, 0, 1, 2, 2), (1, 2, 0, 0, 0)]);
    }

    #[test]
    fn work_is_counted_before_the_first_op_and_after_the_last() {
        let write = touch(Resource::Size, 1, Access::Write);
        let (mut spans, mut out) = (Spans::default(), Vec::new());
        for touches in [&[][..], &[write], &[write], &[]] {
            spans.op(3, 10, touches.iter().copied(), &mut out);
        }
        spans.finish(&mut out);
        assert_eq!((out[0].first.work, out[0].last.work), (Work { ops: 1, ns: 10 }, Work { ops: 3, ns: 30 }));
    }

    #[test]
    fn what_a_lane_had_to_itself_until_it_ended_is_no_span() {
        let [read, write, end] = [Access::Read, Access::Write, Access::End].map(|access| touch(Resource::Ofd, 7, access));
        let position = touch(Resource::Position, 7, Access::Write);
        let own: &[(i64, bool, &[i64])] = &[(0, true, &[write]), (0, true, &[read, position]), (0, true, &[end])];
        assert_eq!(spans(own), []);
        let inherited: &[(i64, bool, &[i64])] = &[(0, true, &[read, position]), (0, true, &[end])];
        assert!(spans(inherited).iter().all(|(_, _, lane, ..)| *lane == 0));
        // Opened by one and closed by another; moved by the one only.
        let handed: &[(i64, bool, &[i64])] = &[(0, true, &[write]), (0, true, &[position]), (1, true, &[end])];
        assert_eq!(spans(handed), [(7, 2, 0, 0, 0), (7, 2, 1, 2, 2)]);
        let both: &[(i64, bool, &[i64])] = &[(0, true, &[write]), (1, true, &[read]), (0, true, &[end])];
        assert_eq!(spans(both), [(7, 0, 1, 1, 1), (7, 2, 0, 0, 0), (7, 2, 0, 2, 2)]);
    }

    #[test]
    fn what_was_forgotten_is_not_taken_for_ones_own() {
        let of = |id, access| [touch(Resource::Ofd, id, access)].into_iter();
        let (mut spans, mut out) = (Spans::default(), Vec::new());
        for id in 0..RESOURCES as i64 {
            spans.op(0, 1, of(id, Access::Write), &mut out);
        }
        let late = RESOURCES as i64;
        spans.op(0, 1, of(late, Access::Write), &mut out); // all before are handed out
        spans.op(1, 1, of(5, Access::End), &mut out);
        spans.op(0, 1, of(late, Access::End), &mut out);
        spans.finish(&mut out);
        let of_five: Vec<_> = out.iter().filter(|span| id_of(span.resource) == 5).map(|span| span.lane).collect();
        assert_eq!((of_five, out.len()), (vec![0, 1], RESOURCES + 1));
    }

    #[test]
    fn more_resources_than_are_remembered_make_more_spans() {
        let (mut spans, mut out) = (Spans::default(), Vec::new());
        for id in 0..RESOURCES as i64 + 10 {
            spans.op(0, 1, [touch(Resource::Name, id, Access::Read)].into_iter(), &mut out);
        }
        spans.op(0, 1, [touch(Resource::Name, 0, Access::Read)].into_iter(), &mut out);
        spans.finish(&mut out);
        assert_eq!(out.len(), RESOURCES + 11);
    }
}
