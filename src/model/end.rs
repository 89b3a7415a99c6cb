//! When the events have ended: what had to be there, and what must be there now.

use super::facts::{Answer, Twins};
use super::step::{End, Expect, Kind, Name, Need};
use super::tree::{Ino, Life, Node, ROOT, Slot, Tree, Was};
use super::walk::PATH_MAX;
use hashbrown::HashSet;

impl Tree {
    /// The answers, parents before children, names in byte order.
    ///
    /// A need of kind absent is a name that a call proved free. Its directory is a need too, or does not exist either
    /// as far as anybody knows (a lookup through it failed); it is never a directory that the workload makes.
    pub(super) fn end(&mut self) -> End {
        let (mut end, mut twins, mut too_long) = (End::default(), Twins::default(), 0);
        self.visit(
            |slot| if let Was::Held(ino) = slot.was { Some(ino) } else { None },
            |tree, path, slot| match slot.was {
                // Reached step by step. No call takes it whole, and init makes it by one.
                Was::Held(_) if path.len() >= PATH_MAX => too_long += 1,
                Was::Held(ino) if tree.at(ino).life == Life::Initial => {
                    let target = twins.first(tree, ino, &path);
                    end.needs.push(tree.need(path, ino, target));
                }
                Was::Absent => end.needs.push(blank(path)),
                Was::Held(_) | Was::Unclaimed => {}
            },
        );
        self.visit(
            |slot| slot.now,
            |tree, path, slot| match slot.now {
                Some(ino) if tree.at(ino).life != Life::Ghost => end.expects.push(tree.expect(path, ino)),
                Some(_) => {}
                None => end.expects.push(Expect { path, kind: Kind::Absent, size: None, target: None }),
            },
        );
        let files = end.needs.iter().filter(|need| need.kind == Kind::File && need.target.is_none());
        files.for_each(|need| self.answer(Answer::Size, need.size_exact));
        if too_long > 0 {
            *self.guesses.entry("a file whose path is too long").or_default() += too_long;
        }
        let evidence = Answer::ALL.iter().map(|(what, name)| (*name, self.evidence[*what as usize]));
        end.evidence = evidence.filter(|(_, found)| found.answers > 0).collect();
        end.guesses = self.guesses.iter().map(|(what, count)| (*what, *count)).collect();
        end
    }

    /// Calls `each` for every slot that can be reached through directories that `child` chooses.
    fn visit(&self, child: impl Fn(&Slot) -> Option<Ino>, mut each: impl FnMut(&Tree, Name, &Slot)) {
        let mut todo: Vec<(Vec<u8>, Option<Slot>, Option<Ino>)> = vec![(Vec::new(), None, Some(ROOT))];
        let mut entered = HashSet::new();
        while let Some((path, slot, dir)) = todo.pop() {
            if let Some(slot) = slot {
                // Long paths are kept once: what had to be there and what must be are mostly the same.
                let known = slot.now.and_then(|ino| self.at(ino).path.as_ref()).map(|(_, known)| known);
                let known = known.filter(|known| known[..] == path[..]).cloned();
                each(self, known.unwrap_or_else(|| Name::from(&path[..])), &slot);
            }
            // A directory has one name, and is not below itself, whatever a damaged capture says of it.
            let Some(dir) = dir.filter(|dir| entered.insert(*dir)) else { continue };
            let Node::Dir(entries) = &self.at(dir).node else { continue };
            let mut names: Vec<(&Name, &Slot)> = entries.iter().collect();
            names.sort_by(|a, b| b.0.cmp(a.0));
            for (name, slot) in names {
                let below = [&path[..], b"/", name].concat();
                todo.push((below, Some(*slot), child(slot)));
            }
        }
    }

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

/// A name that must not exist.
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
        xattrs: Vec::new(),
    }
}
