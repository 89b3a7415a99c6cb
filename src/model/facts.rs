//! What the capture observed in the kernel: which inode a file is, and how much of what the model says was observed.
//!
//! A device and an inode number are the identity of a file, a path is its name. So two names with one identity are hard
//! links, whether or not anybody was seen to link them, and a name with another identity than before was given to
//! another file. An identity ends with the last name and the last close of its file: the kernel uses the numbers again
//! at once.
//!
//! stat(2) and the kernel's own inode may tell different devices (btrfs, overlayfs), so each has its identities for itself.

use super::step::{Kind, Name};
use super::tree::{Ino, Life, Node, Slot, Tree, Was};

/// Which kind of observation told a file's device and inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// The kernel's own inode behind a descriptor.
    Fd,
    /// A path, by stat(2): st_dev and st_ino.
    Stat,
}

/// Identity of a file on the captured machine: device and inode number, valid from its first name to its last name and last
/// close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) source: Source,
    pub(super) dev: i64,
    pub(super) ino: i64,
}

/// Kinds of answers of the model for which it is counted whether they were observed in the kernel or inferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// At which position a call on a shared position (read, write ...) began.
    Position,
    /// Which file (inode) a path led to.
    Identity,
    /// Size of a file when the capture began.
    Size,
}

impl Answer {
    /// Every kind, with its plural as the summary of generate prints it.
    pub(super) const ALL: [(Answer, &'static str); 3] =
        [(Answer::Position, "positions"), (Answer::Identity, "identities"), (Answer::Size, "sizes")];
}

/// How often the model gave one kind of answer, and how often on the strength of an observation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Number of answers of this kind in all.
    pub answers: u64,
    /// Number of answers that an observation in the kernel showed. The others are inferred from earlier events.
    pub observed: u64,
}

impl Tree {
    /// Counts one answer of the model, and whether it was observed in the kernel.
    pub(super) fn answer(&mut self, what: Answer, observed: bool) {
        let evidence = &mut self.evidence[what as usize];
        evidence.answers += 1;
        evidence.observed += u64::from(observed);
    }

    /// A path led to `ino`, and the capture shows the file's identity. `new` when the call has just made the file, `quiet` when
    /// no other call changed names meanwhile. Gives the inode that the file really is.
    pub(super) fn identify(&mut self, ino: Ino, identity: Identity, new: bool, quiet: bool) -> Ino {
        let which = identity.source as usize;
        let known = self.identities.get(&identity).copied().filter(|other| *other != ino);
        match (self.at(ino).identity[which], known) {
            (Some(old), _) if old == identity => ino,
            (None, None) => {
                self.is_called(ino, identity);
                ino
            }
            // The earlier file with these numbers is gone, else they would not be in use again.
            (None, Some(old)) if new => {
                self.gone(old);
                self.is_called(ino, identity);
                ino
            }
            (None, Some(same)) => {
                if self.twin(ino, same) {
                    return same;
                }
                self.guess("a file seen under a name that it was not given");
                ino
            }
            // A rename that is under way may already have happened: the file is certain, the names are not.
            (Some(_), Some(other)) if !self.at(other).unlinked() => {
                self.guess("a name that led to a file of another name");
                other
            }
            (Some(_), other) if quiet && self.at(ino).single() => {
                if let Some(other) = other {
                    self.forget(other);
                }
                let Some((dir, name)) = self.at(ino).home.clone() else { return ino };
                self.remove(dir, &name);
                let made = self.make(dir, name, Kind::File, None);
                self.is_called(made, identity);
                made
            }
            _ => {
                self.guess("an identity seen while names changed");
                ino
            }
        }
    }

    /// The inode that has this identity, if one is known.
    pub(super) fn called(&self, identity: Identity) -> Option<Ino> {
        self.identities.get(&identity).copied()
    }

    /// The identity of a directory, which has no further names: it tells what a descriptor of unknown origin is open on.
    pub(super) fn is_now_called(&mut self, ino: Ino, identity: Identity) {
        let which = identity.source as usize;
        if self.at(ino).identity[which] == Some(identity) {
            return;
        }
        if let Some(other) = self.called(identity) {
            self.forget(other);
        }
        if let Some(old) = self.at_mut(ino).identity[which].take() {
            self.identities.remove(&old);
        }
        self.is_called(ino, identity);
    }

    fn is_called(&mut self, ino: Ino, identity: Identity) {
        self.at_mut(ino).identity[identity.source as usize] = Some(identity);
        self.identities.insert(identity, ino);
    }

    /// Ends the identities of an inode: its device and inode numbers may be reused by another file.
    pub(super) fn forget(&mut self, ino: Ino) {
        for identity in std::mem::take(&mut self.at_mut(ino).identity).into_iter().flatten() {
            if self.identities.get(&identity) == Some(&ino) {
                self.identities.remove(&identity);
            }
        }
    }

    /// A file's inode number is in use again for another file: somebody outside the capture has removed it. Its names go unless
    /// it is still open.
    fn gone(&mut self, ino: Ino) {
        self.forget(ino);
        if self.at(ino).refs == 0 {
            while let Some((dir, name)) = self.at(ino).home.clone() {
                self.remove(dir, &name);
            }
        }
    }

    /// A name `ino` that was there at the start turns out to be another hard link of the file `same` (link(2)). Refused
    /// (`false`) when the two differ in what is known of them: then an inode number was used again.
    fn twin(&mut self, ino: Ino, same: Ino) -> bool {
        let (a, b) = (self.at(ino), self.at(same));
        let Some((dir, name)) = a.home.clone() else { return false };
        let Node::Dir(entries) = &self.at(dir).node else { return false };
        let slot = Slot { was: Was::Held(ino), now: Some(ino) };
        let both_there = b.life == Life::Initial && a.life == Life::Initial && a.single() && entries.get(&name) == Some(&slot);
        let fit = match (&a.node, &b.node) {
            (Node::File(a), Node::File(b)) => a.size().zip(b.size()).is_none_or(|(a, b)| a == b),
            (Node::Unknown, Node::File(_) | Node::Unknown) | (Node::File(_), Node::Unknown) => true,
            _ => false,
        };
        if !both_there || !fit {
            return false;
        }
        self.entries(dir).insert(name.clone(), Slot { was: Was::Held(same), now: Some(same) });
        let old = self.at_mut(ino).home.take();
        let node = self.at_mut(same);
        match node.home {
            None => node.home = old,
            Some(_) => node.more.extend(old),
        }
        node.twins = true;
        self.forget(ino);
        self.unite(ino, same);
        true
    }

    /// What was taken for a further hard link of a file turns out to be a symlink to it, which earlier calls had followed.
    /// Gives the inode made for the symlink; `None` where this does not apply.
    pub(super) fn part(&mut self, dir: Ino, name: &[u8], ino: Ino) -> Option<Ino> {
        let Node::Dir(entries) = &self.at(dir).node else { return None };
        let slot = Slot { was: Was::Held(ino), now: Some(ino) };
        if !self.at(ino).twins || self.at(ino).single() || entries.get(name) != Some(&slot) {
            return None;
        }
        self.unbind(dir, name);
        let target = self.path(ino);
        let link = self.discover(dir, name.into(), Some(Kind::Link), Life::Initial);
        let inode = self.at_mut(link);
        (inode.node, inode.sure, inode.led) = (Node::Link { target, guessed: true }, true, true);
        Some(link)
    }
}

/// Paths of files that had several names at the start: init makes the first one, the others as hard links to it.
#[derive(Debug, Default)]
pub(super) struct Twins(hashbrown::HashMap<Ino, Name>);

impl Twins {
    /// The path of the file that was met first, if this is another one; `None` when this path is the first, or the file has one
    /// name.
    pub(super) fn first(&mut self, tree: &Tree, ino: Ino, path: &Name) -> Option<Name> {
        if !tree.at(ino).twins {
            return None;
        }
        match self.0.entry(ino) {
            hashbrown::hash_map::Entry::Occupied(first) => Some(first.get().clone()),
            hashbrown::hash_map::Entry::Vacant(first) => {
                first.insert(path.clone());
                None
            }
        }
    }
}
