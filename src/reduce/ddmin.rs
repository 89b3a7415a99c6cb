//! Delta debugging: the algorithm ddmin of Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE
//! Transactions on Software Engineering 28(2), 2002.
//!
//! Items may depend on each other: whoever tries a part decides which items go with it, and says what was left.

use anyhow::Result;

/// A part of the items to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// These items, and what they need of the others.
    Only(&'a [usize]),
    /// All but these items, and but those that need them.
    Without(&'a [usize]),
}

/// What came of trying a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It worked out, and these items are left: fewer than before.
    Left(Vec<usize>),
    /// It did not.
    No,
    /// No more parts are to be tried.
    Stop,
}

/// Reduces `items` to some of them of which none can be left out alone ("1-minimal"). `attempt` tries a part of the items that are
/// left. Of n items, no more than n² + 13 n parts are tried.
///
/// # Errors
/// Those of `attempt`.
pub fn ddmin(mut items: Vec<usize>, mut attempt: impl FnMut(Part<'_>) -> Result<Tried>) -> Result<Vec<usize>> {
    let mut pieces = 2;
    while !items.is_empty() {
        pieces = pieces.min(items.len());
        let chunk = items.len().div_ceil(pieces);
        let mut found = None;
        if items.len() > 1 {
            for part in items.chunks(chunk) {
                match attempt(Part::Only(part))? {
                    Tried::No => {}
                    Tried::Stop => return Ok(items),
                    Tried::Left(left) => {
                        found = Some((left, 2));
                        break;
                    }
                }
            }
        }
        if found.is_none() {
            // From the end: what comes later depends on what was before.
            for part in items.rchunks(chunk) {
                match attempt(Part::Without(part))? {
                    Tried::No => {}
                    Tried::Stop => return Ok(items),
                    Tried::Left(left) => {
                        found = Some((left, pieces.saturating_sub(1).max(2)));
                        break;
                    }
                }
            }
        }
        match found {
            Some((left, next)) => (items, pieces) = (left, next),
            None if chunk == 1 => break,
            None => pieces = pieces.saturating_mul(2),
        }
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Items without dependencies, of which those that hold have all of `wanted`, or all of `other`.
    fn reduced(n: usize, holds: impl Fn(&BTreeSet<usize>) -> bool) -> (Vec<usize>, usize) {
        let mut now: Vec<usize> = (0..n).collect();
        let mut tries = 0;
        let left = ddmin(now.clone(), |part| {
            tries += 1;
            let next: Vec<usize> = match part {
                Part::Only(some) => some.to_vec(),
                Part::Without(some) => now.iter().copied().filter(|item| !some.contains(item)).collect(),
            };
            if next.len() < now.len() && holds(&next.iter().copied().collect()) {
                now.clone_from(&next);
                return Ok(Tried::Left(next));
            }
            Ok(Tried::No)
        });
        (left.unwrap(), tries)
    }

    proptest! {
        #[test]
        fn what_is_left_holds_and_nothing_of_it_can_go_alone(
            n in 1_usize..40, wanted in prop::collection::btree_set(0_usize..40, 1..6), other in prop::collection::btree_set(0_usize..40, 1..6),
        ) {
            let holds = |kept: &BTreeSet<usize>| wanted.iter().all(|item| *item >= n || kept.contains(item)) || other.is_subset(kept);
            let (left, tries) = reduced(n, holds);
            let left: BTreeSet<usize> = left.into_iter().collect();
            prop_assert!(holds(&left));
            for item in &left {
                let mut less = left.clone();
                less.remove(item);
                prop_assert!(!holds(&less), "{item} of {left:?} can go");
            }
            prop_assert!(tries <= n * n + 13 * n, "{tries} for {n}");
        }

        /// Whatever the answers are, it comes to an end within the bound, with one that held.
        #[test]
        fn answers_without_reason_end_within_the_bound(n in 1_usize..30, seed: u64) {
            let holds = |kept: &BTreeSet<usize>| {
                let text = format!("{seed}{kept:?}");
                xxhash_rust::xxh3::xxh3_64(text.as_bytes()).is_multiple_of(3)
            };
            let (left, tries) = reduced(n, holds);
            prop_assert!(left.len() == n || holds(&left.into_iter().collect()));
            prop_assert!(tries <= n * n + 13 * n, "{tries} for {n}");
        }
    }

    #[test]
    fn it_ends_when_told_to() {
        let mut tries = 0;
        let left = ddmin((0..1000).collect(), |_| {
            tries += 1;
            Ok(if tries < 3 { Tried::No } else { Tried::Stop })
        });
        assert_eq!((left.unwrap().len(), tries), (1000, 3));
    }

    #[test]
    fn one_of_many_takes_few_tries() {
        let (left, tries) = reduced(1 << 16, |kept| kept.contains(&12345));
        assert_eq!(left, [12345]);
        assert!(tries <= 2 * 2 * 16 + 2, "{tries}");
    }
}
