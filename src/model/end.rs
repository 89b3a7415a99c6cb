//! What the model says after the last event: what had to exist before the replay, and what must exist after it.

use super::facts::{Answer, Evidence, Twins};
use super::step::{End, Expect, Kind, Name, Need};
use super::tree::walk::DEEPEST;
use super::tree::{Ino, Life, Node, ROOT, Slot, Tree, Was};
use crate::fate::StaysOnDisk;
use hashbrown::HashSet;

/// One item of what the model says after the last event.
#[derive(Clone, Debug)]
pub enum Said {
    /// A path that must exist, or must not, before the replay.
    Need(Need),
    /// A need of a regular file once more, in a second pass, for its ranges `read`, `holes` and `warm`: at least one is not empty.
    Ranges(Need),
    /// What must be at a path after the replay.
    Expect(Expect),
    /// A kind of guess that the model made, and how often.
    Guess(&'static str, u64),
    /// A kind of answer that the model gave, how often, and how often that was observed rather than inferred.
    Evidence(&'static str, Evidence),
    /// Mount point of a file system in memory, and why a replay cannot have one there from its start on.
    Memory(Name, Option<StaysOnDisk>),
}

/// Iterator over everything that the model says after the last event. One item at a time, since all paths together would take
/// many times the memory of the names that they consist of.
///
/// Parents come before children, names in byte order. A need of kind absent is a name that a call proved free. Its directory
/// is a need too, or does not exist either as far as anybody knows (a lookup through it failed); it is never a directory that
/// the workload makes.
pub struct Ending {
    tree: Tree,
    pass: Pass,
    visit: Visit,
    twins: Twins,
    too_long: u64,
    /// Guesses, evidence and mounts in memory that are still to be given, in the last pass.
    counts: std::vec::IntoIter<Said>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Needs,
    Ranges,
    Expects,
    Counts,
}

impl Ending {
    pub(super) fn new(tree: Tree) -> Ending {
        let visit = Visit::new(&tree);
        Ending { tree, pass: Pass::Needs, visit, twins: Twins::default(), too_long: 0, counts: Vec::new().into_iter() }
    }

    /// Begins a pass over the tree: from the root again.
    fn turn(&mut self, pass: Pass) {
        (self.pass, self.visit, self.twins) = (pass, Visit::new(&self.tree), Twins::default());
    }

    fn next_need(&mut self) -> Option<Need> {
        let was = |slot: &Slot| if let Was::Held(ino) = slot.was { Some(ino) } else { None };
        while let Some(slot) = self.visit.next(&self.tree, was) {
            match slot.was {
                Was::Held(_) | Was::Absent if self.visit.path.len() > DEEPEST => self.too_long += 1,
                Was::Held(ino) if self.tree.at(ino).life == Life::Initial => {
                    let path = self.visit.name();
                    let target = self.twins.first(&self.tree, ino, &path);
                    return Some(self.tree.need(path, ino, target));
                }
                Was::Absent => return Some(blank(self.visit.name())),
                Was::Held(_) | Was::Unclaimed => {}
            }
        }
        None
    }

    fn next_expect(&mut self) -> Option<Expect> {
        while let Some(slot) = self.visit.next(&self.tree, |slot| slot.now) {
            match slot.now {
                _ if self.visit.path.len() > DEEPEST => {}
                Some(ino) if self.tree.at(ino).life != Life::Ghost => return Some(self.tree.expect(self.visit.name(), ino)),
                Some(_) => {}
                None => return Some(Expect { path: self.visit.name(), kind: Kind::Absent, size: None, target: None }),
            }
        }
        None
    }

    fn counts(&mut self) -> Vec<Said> {
        if self.too_long > 0 {
            *self.tree.guesses.entry("a file whose path is too long").or_default() += self.too_long;
        }
        let guesses = self.tree.guesses.iter().map(|(what, count)| Said::Guess(what, *count));
        let evidence = Answer::ALL.iter().map(|(what, name)| (*name, self.tree.evidence[*what as usize]));
        let evidence = evidence.filter(|(_, found)| found.answers > 0).map(|(name, found)| Said::Evidence(name, found));
        let memory = self.tree.config().memory.iter();
        let memory = memory.map(|(path, why)| Said::Memory(path.as_slice().into(), *why));
        guesses.chain(evidence).chain(memory).collect()
    }
}

impl Iterator for Ending {
    type Item = Said;

    fn next(&mut self) -> Option<Said> {
        loop {
            match self.pass {
                Pass::Needs => match self.next_need() {
                    Some(need) => {
                        if need.kind == Kind::File && need.target.is_none() {
                            self.tree.answer(Answer::Size, need.size_exact);
                        }
                        return Some(Said::Need(need));
                    }
                    None => {
                        self.counts = self.counts().into_iter();
                        self.turn(Pass::Ranges);
                    }
                },
                Pass::Ranges => match self.next_need() {
                    Some(need) if need.read.is_empty() && need.holes.is_empty() && need.warm.is_empty() => {}
                    Some(need) => return Some(Said::Ranges(need)),
                    None => self.turn(Pass::Expects),
                },
                Pass::Expects => match self.next_expect() {
                    Some(expect) => return Some(Said::Expect(expect)),
                    None => self.pass = Pass::Counts,
                },
                Pass::Counts => return self.counts.next(),
            }
        }
    }
}

impl End {
    /// Collects everything into one [`End`], without the ranges pass.
    pub(super) fn collect(ending: Ending) -> End {
        let mut end = End::default();
        for said in ending {
            match said {
                Said::Need(need) => end.needs.push(need),
                Said::Ranges(_) | Said::Memory(..) => {}
                Said::Expect(expect) => end.expects.push(expect),
                Said::Guess(what, count) => end.guesses.push((what, count)),
                Said::Evidence(what, found) => end.evidence.push((what, found)),
            }
        }
        end
    }
}

/// Depth-first traversal of all slots (names of directories) that can be reached from the root.
#[derive(Debug)]
struct Visit {
    /// Path of the slot that was given last.
    path: Vec<u8>,
    levels: Vec<Level>,
    entered: HashSet<Ino>,
}

/// A directory of the traversal that is not finished.
#[derive(Debug)]
struct Level {
    /// Length of the directory's path, bytes.
    above: usize,
    left: std::vec::IntoIter<(Name, Slot)>,
}

impl Visit {
    fn new(tree: &Tree) -> Visit {
        let mut visit = Visit { path: Vec::new(), levels: Vec::new(), entered: HashSet::new() };
        visit.enter(tree, ROOT);
        visit
    }

    /// The next slot, names in byte order; `child` gives the directory to descend into, if any.
    fn next(&mut self, tree: &Tree, child: impl Fn(&Slot) -> Option<Ino>) -> Option<Slot> {
        loop {
            let level = self.levels.last_mut()?;
            let Some((name, slot)) = level.left.next() else {
                self.levels.pop();
                continue;
            };
            self.path.truncate(level.above);
            self.path.push(b'/');
            self.path.extend_from_slice(&name);
            if let Some(dir) = child(&slot) {
                self.enter(tree, dir);
            }
            return Some(slot);
        }
    }

    /// Descends into a directory, once: it has one name, and is not below itself, whatever a damaged capture says of it.
    fn enter(&mut self, tree: &Tree, dir: Ino) {
        let Node::Dir(entries) = &tree.at(dir).node else { return };
        if self.entered.insert(dir) {
            let mut names: Vec<(Name, Slot)> = entries.iter().map(|(name, slot)| (name.clone(), *slot)).collect();
            names.sort_by(|a, b| a.0.cmp(&b.0));
            self.levels.push(Level { above: self.path.len(), left: names.into_iter() });
        }
    }

    fn name(&self) -> Name {
        Name::from(&self.path[..])
    }
}

impl Tree {
    fn need(&self, path: Name, ino: Ino, same: Option<Name>) -> Need {
        let inode = self.at(ino);
        let (uid, gid) = inode.owner.unzip();
        let mut need = Need {
            kind: inode.kind(),
            mode: inode.mode,
            uid,
            gid,
            mtime: inode.mtime,
            xattrs: inode.xattrs.clone(),
            ..blank(path)
        };
        match &inode.node {
            Node::File(content) if same.is_none() => {
                (need.size, need.size_exact) = (content.need, content.exact);
                need.read = content.read.below(content.need);
                need.holes = content.holes.below(content.need);
                need.warm = content.warm.below(content.need);
            }
            Node::Link { target, .. } => need.target = Some(target.clone()),
            Node::Unknown | Node::File(_) | Node::Dir(_) | Node::Fifo | Node::Socket => {}
        }
        need.target = need.target.or(same);
        need
    }

    fn expect(&self, path: Name, ino: Ino) -> Expect {
        let inode = self.at(ino);
        let (size, target) = match &inode.node {
            Node::File(content) => (content.size(), None),
            Node::Link { target, .. } => (None, Some(target.clone())),
            Node::Unknown | Node::Dir(_) | Node::Fifo | Node::Socket => (None, None),
        };
        Expect { path, kind: inode.kind(), size, target }
    }
}

/// A need for a name that must not exist, with all else unset.
fn blank(path: Name) -> Need {
    Need {
        path,
        kind: Kind::Absent,
        size: 0,
        size_exact: false,
        mode: None,
        uid: None,
        gid: None,
        mtime: None,
        target: None,
        read: Vec::new(),
        holes: Vec::new(),
        warm: Vec::new(),
        xattrs: Vec::new(),
    }
}
