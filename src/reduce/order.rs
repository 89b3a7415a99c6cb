//! The order of ops that are kept: what followed from ops that are left out is said by edges of its own.

use std::collections::HashMap;

/// An op follows an op of another lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The op that waits.
    pub op: usize,
    /// The op that it waits for.
    pub after: usize,
    /// Its row in the table of edges where it is there, else that of the edge that it follows from.
    pub row: usize,
}

/// For each lane its last op that is known to be done, with the edge by which that is known.
type Clock = HashMap<i64, (usize, usize)>;

/// The edges among kept ops. `lanes` has the lane of each op, `edges` those of all ops, by the op that waits.
pub fn edges(lanes: &[i64], keep: &[bool], edges: &[Edge]) -> Vec<Edge> {
    let mut waiting: HashMap<usize, Vec<Edge>> = HashMap::new();
    let mut sources: HashMap<usize, Option<Clock>> = HashMap::new();
    for edge in edges {
        waiting.entry(edge.op).or_default().push(*edge);
        sources.insert(edge.after, None);
    }
    // What each lane knows, through all ops, and what of it kept ops of the lane have waited for already.
    let (mut known, mut told): (HashMap<i64, Clock>, HashMap<i64, HashMap<i64, usize>>) = (HashMap::new(), HashMap::new());
    let mut found = Vec::new();
    for (op, lane) in lanes.iter().enumerate() {
        let clock = known.entry(*lane).or_default();
        for edge in waiting.get(&op).into_iter().flatten() {
            // An edge leads to an earlier op, whose clock is there.
            let Some(Some(source)) = sources.get(&edge.after) else { continue };
            for (other, (done, _)) in source {
                let entry = clock.entry(*other).or_insert((*done, edge.row));
                if entry.0 < *done {
                    *entry = (*done, edge.row);
                }
            }
        }
        if keep[op] {
            let told = told.entry(*lane).or_default();
            let mut own: Vec<Edge> = Vec::new();
            for (other, (after, row)) in clock.iter().filter(|(other, _)| *other != lane) {
                if told.get(other).is_none_or(|told| told < after) {
                    told.insert(*other, *after);
                    own.push(Edge { op, after: *after, row: *row });
                }
            }
            own.sort_unstable_by_key(|edge| edge.after);
            found.extend(own);
            clock.insert(*lane, (op, 0));
        }
        if let Some(source) = sources.get_mut(&op) {
            *source = Some(clock.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Must the second op be done before the first begins?
    fn follows(lanes: &[i64], edges: &[Edge], alive: &[bool], op: usize, after: usize) -> bool {
        let mut reached = vec![false; lanes.len()];
        let mut todo = vec![op];
        while let Some(at) = todo.pop() {
            if std::mem::replace(&mut reached[at], true) {
                continue;
            }
            todo.extend((0..at).filter(|before| lanes[*before] == lanes[at] && alive[*before]));
            todo.extend(edges.iter().filter(|edge| edge.op == at).map(|edge| edge.after));
        }
        reached[after]
    }

    proptest! {
        #[test]
        fn kept_ops_follow_each_other_as_before(
            ops in prop::collection::vec((0_i64..4, any::<bool>()), 2..20), pairs in prop::collection::vec((0_usize..20, 0_usize..20), 0..15),
        ) {
            let (lanes, keep): (Vec<i64>, Vec<bool>) = ops.into_iter().unzip();
            let n = lanes.len();
            let pairs = pairs.into_iter().map(|(a, b)| (a % n, b % n)).map(|(a, b)| (a.max(b), a.min(b)));
            let all: Vec<Edge> = pairs.filter(|(op, after)| lanes[*op] != lanes[*after]).enumerate()
                .map(|(row, (op, after))| Edge { op, after, row }).collect();
            let kept = edges(&lanes, &keep, &all);
            prop_assert!(kept.iter().all(|edge| keep[edge.op] && keep[edge.after] && edge.after < edge.op && lanes[edge.op] != lanes[edge.after]));
            for op in (0..n).filter(|op| keep[*op]) {
                for after in (0..op).filter(|after| keep[*after]) {
                    let before = follows(&lanes, &all, &vec![true; n], op, after);
                    prop_assert_eq!(before, follows(&lanes, &kept, &keep, op, after), "{} after {}", op, after);
                }
            }
        }
    }
}
