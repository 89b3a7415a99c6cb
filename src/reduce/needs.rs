//! Which earlier ops an op needs: those that its outcome may depend on.
//!
//! A part of a workload that holds with each op what it needs does in a replay what the whole does there.

use super::touch::{Access, Key};
use std::collections::HashMap;

/// What ops need. Nodes 0 to the number of ops less one are ops; those behind stand for "this addition and all before it".
#[derive(Debug, Default)]
pub struct Needs {
    /// Number of ops.
    ops: usize,
    /// For each node those that it needs.
    of: Vec<Vec<u32>>,
    /// Those that need it.
    by: Vec<Vec<u32>>,
}

/// Who changed a resource last.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    write: Option<u32>,
    adds: Option<u32>,
}

impl Needs {
    /// Works out what each op needs from what each touches, in order.
    pub fn new(touches: &[Vec<(Key, Access)>]) -> Needs {
        let ops = touches.len();
        let mut of: Vec<Vec<u32>> = vec![Vec::new(); ops];
        let mut states: HashMap<Key, State> = HashMap::new();
        for (op, list) in touches.iter().enumerate() {
            let me = op as u32;
            // What it reads is as it was before the op itself changes anything.
            for (key, access) in list.iter().filter(|(_, access)| *access != Access::Set) {
                let Some(state) = states.get(key) else { continue };
                let adds = state.adds.filter(|_| *access != Access::Add);
                of[op].extend(state.write.iter().chain(&adds).filter(|need| **need != me));
            }
            for (key, access) in list {
                let state = states.entry(*key).or_default();
                match access {
                    Access::Read => {}
                    Access::Write | Access::Set => *state = State { write: Some(me), adds: None },
                    Access::Add => {
                        let needs = [Some(me), state.adds].into_iter().flatten().collect();
                        state.adds = Some(of.len() as u32);
                        of.push(needs);
                    }
                }
            }
        }
        let mut by = vec![Vec::new(); of.len()];
        for (node, needs) in of.iter_mut().enumerate() {
            needs.sort_unstable();
            needs.dedup();
            needs.iter().for_each(|need| by[*need as usize].push(node as u32));
        }
        Needs { ops, of, by }
    }

    /// These ops, and all that they need.
    pub fn with_needs(&self, some: impl IntoIterator<Item = usize>) -> Vec<bool> {
        self.reach(some, &self.of)
    }

    /// These ops, and all that need them.
    pub fn with_dependents(&self, some: impl IntoIterator<Item = usize>) -> Vec<bool> {
        self.reach(some, &self.by)
    }

    fn reach(&self, some: impl IntoIterator<Item = usize>, to: &[Vec<u32>]) -> Vec<bool> {
        let mut reached = vec![false; to.len()];
        let mut todo: Vec<usize> = some.into_iter().collect();
        while let Some(node) = todo.pop() {
            if !std::mem::replace(&mut reached[node], true) {
                todo.extend(to[node].iter().map(|next| *next as usize).filter(|next| !reached[*next]));
            }
        }
        reached.truncate(self.ops);
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Access::{Add, Read, Set, Write};

    fn kept(list: &[bool]) -> Vec<usize> {
        (0..list.len()).filter(|op| list[*op]).collect()
    }

    #[test]
    fn readers_need_writers_and_additions_do_not_need_each_other() {
        let [a, b] = [Key::Ofd(1), Key::Ofd(2)];
        let ops =
            [vec![(a, Write)], vec![(a, Add)], vec![(a, Add)], vec![(a, Read)], vec![(b, Read)], vec![(a, Set)], vec![(a, Read)]];
        let needs = Needs::new(&ops);
        assert_eq!(kept(&needs.with_needs([2])), [0, 2]);
        assert_eq!(kept(&needs.with_needs([3])), [0, 1, 2, 3]);
        assert_eq!(kept(&needs.with_needs([4])), [4]);
        assert_eq!(kept(&needs.with_needs([6])), [5, 6]);
        assert_eq!(kept(&needs.with_dependents([1])), [1, 3]);
        assert_eq!(kept(&needs.with_dependents([0])), [0, 1, 2, 3]);
        assert_eq!(kept(&needs.with_dependents([3])), [3]);
    }

    #[test]
    fn an_op_that_reads_and_adds_needs_what_was_there_before() {
        let a = Key::Ofd(1);
        let needs = Needs::new(&[vec![(a, Add)], vec![(a, Add), (a, Read)], vec![(a, Add)]]);
        assert_eq!(kept(&needs.with_needs([1])), [0, 1]);
        assert_eq!(kept(&needs.with_needs([2])), [2]);
    }
}
