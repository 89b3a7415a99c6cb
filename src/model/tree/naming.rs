//! How inodes get names and lose them, and how those that nobody can reach any more are freed for reuse.

use super::Tree;
use super::inode::{Ino, Inode, Life, Node, ROOT, Slot, Was};
use crate::model::step::Name;
use hashbrown::HashSet;

impl Tree {
    /// Is `dir` the directory `above`, or below it? By any of its names: it may have been hard-linked before it turned out to
    /// be one.
    fn is_within(&self, dir: Ino, above: Ino) -> bool {
        let (mut at, mut others, mut seen) = (dir, Vec::new(), HashSet::new());
        loop {
            while at != above && at != ROOT {
                others.extend(self.at(at).more.iter().map(|(up, _)| *up));
                at = self.parent(at);
            }
            if at == above {
                return true;
            }
            match others.pop() {
                Some(other) if seen.insert(other) => at = other,
                Some(_) => {}
                None => return false,
            }
        }
    }

    /// Would `ino` be within itself if it had a name in `dir`? No kernel allows that (rename(2)): such a name in a capture is
    /// not taken over, but counted as a guess. `ino` need not be a directory now: it may have been taken for one, and have
    /// names below it.
    pub(in crate::model) fn within_itself(&mut self, dir: Ino, ino: Ino) -> bool {
        let within = self.is_within(dir, ino);
        if within {
            self.guess("a directory that was moved into itself");
        }
        within
    }

    /// Gives an inode the name `name` in `dir`. `was` is what the name was at the start, if nothing is noted of it yet.
    pub(in crate::model) fn bind(&mut self, dir: Ino, name: Name, ino: Ino, was: Was) {
        if self.within_itself(dir, ino) {
            return;
        }
        let was = if self.at(dir).life == Life::Created { Was::Unclaimed } else { was };
        self.entries(dir).entry(name.clone()).or_insert(Slot { was, now: None }).now = Some(ino);
        self.come_from_under(ino);
        let node = self.at_mut(ino);
        match node.home {
            None => node.home = Some((dir, name)),
            Some(_) => node.more.push((dir, name)),
        }
        // An inode that had a path before may have another one now.
        if node.last.is_some() || !node.more.is_empty() {
            self.epoch = self.epoch.wrapping_add(1);
        }
    }

    /// Takes a name away from its inode; gives that inode, or `None` if nothing had the name.
    pub(in crate::model) fn unbind(&mut self, dir: Ino, name: &[u8]) -> Option<Ino> {
        let ino = match self.entries(dir).get(name) {
            Some(Slot { now: Some(ino), .. }) => *ino,
            _ => return None,
        };
        let last = self.join(dir, name);
        if let Some(slot) = self.entries(dir).get_mut(name) {
            slot.now = None;
        }
        let node = self.at_mut(ino);
        let this = |home: &(Ino, Name)| home.0 == dir && *home.1 == *name;
        if node.home.as_ref().is_some_and(this) {
            node.home = node.more.pop();
        } else if let Some(i) = node.more.iter().position(this) {
            node.more.swap_remove(i);
        }
        node.last = Some(last);
        if node.refs > 0 && node.under.is_none() && matches!(node.node, Node::Dir(_)) && !self.is_within(dir, ino) {
            self.at_mut(ino).under = Some(dir);
            self.at_mut(dir).refs += 1;
        }
        let node = self.at(ino);
        // Nobody asks for the path of an inode again that has no name, no reference and is no directory.
        if node.refs > 0 || node.home.is_some() || matches!(node.node, Node::Dir(_)) {
            self.epoch = self.epoch.wrapping_add(1);
        }
        Some(ino)
    }

    /// Frees an inode that nobody can reach any more: no name, no open file description, no process in it.
    pub(in crate::model) fn release(&mut self, ino: Ino) {
        let node = self.at(ino);
        if node.refs > 0 || !node.unlinked() || ino == ROOT {
            return;
        }
        self.forget(ino);
        if self.at(ino).life == Life::Initial {
            return;
        }
        let up = self.come_from_under(ino);
        *self.at_mut(ino) = Inode::new(Node::Unknown, Life::Created);
        self.released.push(ino);
        if let Some(up) = up {
            self.release(up);
        }
    }

    /// Makes the inode numbers that the last event released available again. Not earlier: the handler of that event still had
    /// the number, and may have given it a name or put something below it (a file that was linked over itself, which no kernel
    /// does).
    pub(in crate::model) fn reuse(&mut self) {
        self.released.sort_unstable();
        self.released.dedup();
        while let Some(ino) = self.released.pop() {
            let node = self.at(ino);
            if node.refs == 0 && node.unlinked() && matches!(node.node, Node::Unknown) {
                self.free.push(ino);
            }
        }
    }

    /// The removed directory `ino` no longer keeps the directory above it in use; gives the latter.
    fn come_from_under(&mut self, ino: Ino) -> Option<Ino> {
        let up = self.at_mut(ino).under.take()?;
        self.at_mut(up).refs -= 1;
        Some(up)
    }

    /// A ghost (a directory that a failed lookup went through) turns out not to exist: forgets what was thought to be below it.
    pub(in crate::model) fn bury(&mut self, dir: Ino, name: &[u8]) {
        if let Some(slot) = self.entries(dir).get_mut(name) {
            let ghost = slot.now.take();
            slot.was = Was::Absent;
            self.forget_ghosts(ghost);
        }
    }

    pub(in crate::model) fn forget_ghosts(&mut self, ghost: Option<Ino>) {
        let mut todo: Vec<Ino> = ghost.into_iter().collect();
        while let Some(ino) = todo.pop() {
            if let Node::Dir(entries) = &self.at(ino).node {
                todo.extend(entries.values().filter_map(|slot| slot.now));
            }
            let node = self.at_mut(ino);
            node.home = None;
            self.release(ino);
        }
    }
}
