//! Drops the edges that follow from other edges and the order inside lanes, with a vector clock for each lane.
//!
//! An op knows what its lane knew before, and what the ops it waits for knew when they began. An edge to something that
//! is known already says nothing new. What is dropped follows from program order inside lanes and from edges that are
//! kept, so it holds however lanes are folded onto workers.
//!
//! Memory: of each lane that waits or is waited for, a few clocks of a bounded number of lanes. What is forgotten keeps
//! an edge that could be dropped, never the other way round.
//!
//! On the way the longest path is followed: `held` is how much more work than its own a lane has before it. It only grows at
//! edges, so it is one number for each lane and not for each op.

use super::Work;
use super::clock::Clock;
use hashbrown::HashMap;
use std::sync::Arc;

/// Bounds of what is remembered for each lane. Lower ones keep more edges that could be dropped.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most lanes in a vector clock.
    pub lanes: usize,
    /// Most earlier clocks remembered of a lane.
    pub clocks: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { lanes: 64, clocks: 16 }
    }
}

/// An op must wait for an op of another lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Id of the op that waits.
    pub op: i64,
    /// Lane of the op that waits.
    pub lane: i64,
    /// Work of the waiting op's lane before it.
    pub before: Work,
    /// Id of the op that it waits for, lower than `op`.
    pub after: i64,
    /// Lane of the op that is waited for.
    pub after_lane: i64,
    /// Work of that op's lane up to its end.
    pub through: Work,
}

/// What becomes of an edge, and the longest path so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Is the edge kept, because it does not follow from others?
    pub kept: bool,
    /// Work on the longest path to the waiting op, less the work of its lane before it.
    pub held: Work,
}

/// Decides which edges are kept, and follows the longest path.
#[derive(Debug, Default)]
pub struct Prune {
    limits: Limits,
    lanes: HashMap<i64, Lane>,
}

/// What is known in one lane: the current clock, and earlier ones.
#[derive(Debug, Default)]
struct Lane {
    now: Known,
    /// Earlier states, oldest first.
    past: Vec<Known>,
}

/// What a lane knows from the op `since` on: ops of others that are done, and the work on the longest path beyond its own.
#[derive(Clone, Debug, Default)]
struct Known {
    since: i64,
    done: Arc<Clock>,
    held: Work,
}

impl Prune {
    /// Starts with nothing known, and remembers within these limits.
    pub fn new(limits: Limits) -> Prune {
        Prune { limits, lanes: HashMap::new() }
    }

    /// Decides on the next edge. Edges must come in the order of `op`, and those of one op with the highest `after` first: then
    /// the others that follow from it are recognised.
    pub fn judge(&mut self, edge: &Edge) -> Verdict {
        let lane = self.lanes.entry(edge.lane).or_default();
        if lane.now.done.knows(edge.after_lane, edge.after) {
            return Verdict { kept: false, held: lane.now.held };
        }
        if lane.now.since < edge.op {
            lane.turn(edge.op, self.limits.clocks);
        }
        let other = self.lanes.get(&edge.after_lane).and_then(|lane| lane.at(edge.after)).cloned().unwrap_or_default();
        let lane = self.lanes.entry(edge.lane).or_default();
        let done = Arc::make_mut(&mut lane.now.done);
        done.learn_all(&other.done, edge.lane);
        done.learn(edge.after_lane, edge.after);
        done.forget(self.limits.lanes);
        lane.now.held = lane.now.held.most(other.held.and(edge.through).less(edge.before));
        Verdict { kept: true, held: lane.now.held }
    }
}

impl Lane {
    /// Begins a new state at this op; keeps at most `keep` earlier ones.
    fn turn(&mut self, op: i64, keep: usize) {
        self.past.push(self.now.clone());
        self.now.since = op;
        if self.past.len() > keep {
            // The older half is thinned: an edge seldom reaches far back.
            let (half, mut at) = (keep / 2, 0);
            self.past.retain(|_| {
                at += 1;
                at > half || at % 2 == 0
            });
        }
    }

    /// What was known when this op began, if that is remembered.
    fn at(&self, op: i64) -> Option<&Known> {
        let all = self.past.iter().chain([&self.now]);
        all.rev().find(|known| known.since <= op)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Ops as lanes, and edges between them as pairs of op ids `(op, after)`.
    fn graph() -> impl Strategy<Value = (Vec<i64>, Vec<(usize, usize)>)> {
        proptest::collection::vec(0..5_i64, 2..60).prop_flat_map(|lanes| {
            let count = lanes.len();
            let edges = proptest::collection::vec((0..count, 0..count), 0..120);
            (Just(lanes), edges)
        })
    }

    /// The edges with what `judge` wants to know, in its order.
    fn edges(lanes: &[i64], pairs: &[(usize, usize)]) -> Vec<Edge> {
        let work = |upto: usize, lane: i64| {
            let ops = lanes[..upto].iter().filter(|other| **other == lane).count() as i64;
            Work { ops, ns: 10 * ops }
        };
        let mut pairs: Vec<_> = pairs.iter().map(|(a, b)| (*a.max(b), *a.min(b))).collect();
        pairs.sort_by_key(|(op, after)| (*op, std::cmp::Reverse(*after)));
        let edge = |(op, after): (usize, usize)| Edge {
            op: op as i64,
            lane: lanes[op],
            before: work(op, lanes[op]),
            after: after as i64,
            after_lane: lanes[after],
            through: work(after + 1, lanes[after]),
        };
        pairs.into_iter().map(edge).filter(|edge| edge.lane != edge.after_lane).collect()
    }

    /// What must come before each op, and the length of the longest path that ends with it.
    fn closure(lanes: &[i64], edges: &[Edge]) -> (Vec<Vec<bool>>, Vec<i64>) {
        let mut before: Vec<Vec<bool>> = Vec::new();
        let mut path: Vec<i64> = Vec::new();
        for op in 0..lanes.len() {
            let own = (0..op).rev().find(|other| lanes[*other] == lanes[op]);
            let others = edges.iter().filter(|edge| edge.op == op as i64).map(|edge| edge.after as usize);
            let (mut row, mut longest) = (vec![false; lanes.len()], 0);
            for direct in own.into_iter().chain(others) {
                row[direct] = true;
                row.iter_mut().zip(&before[direct]).for_each(|(to, from)| *to |= from);
                longest = longest.max(path[direct]);
            }
            before.push(row);
            path.push(longest + 1);
        }
        (before, path)
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_kept_twice(
            (lanes, pairs) in graph(),
            limits in prop_oneof![Just(Limits { lanes: 1000, clocks: 1000 }), Just(Limits { lanes: 2, clocks: 2 })],
        ) {
            let all = edges(&lanes, &pairs);
            let mut prune = Prune::new(limits);
            let verdicts: Vec<_> = all.iter().map(|edge| prune.judge(edge)).collect();
            let kept: Vec<_> = all.iter().zip(&verdicts).filter(|(_, verdict)| verdict.kept).map(|(edge, _)| *edge).collect();
            let (whole, path) = closure(&lanes, &all);
            prop_assert_eq!(&closure(&lanes, &kept).0, &whole);
            if limits.lanes == 1000 {
                // Without a limit each edge that is kept is needed, and the paths are the longest.
                for without in 0..kept.len() {
                    let rest: Vec<_> = kept.iter().enumerate().filter(|(at, _)| *at != without).map(|(_, edge)| *edge).collect();
                    prop_assert_ne!(&closure(&lanes, &rest).0, &whole);
                }
                let held: HashMap<i64, i64> = all.iter().zip(&verdicts).map(|(edge, verdict)| (edge.lane, verdict.held.ops)).collect();
                for (lane, held) in held {
                    let last = lanes.iter().rposition(|other| *other == lane).unwrap();
                    let own = lanes.iter().filter(|other| **other == lane).count() as i64;
                    prop_assert_eq!(path[last], held + own);
                }
            }
        }
    }
}
