//! What calls prove of the tree: that something is there, that nothing is, or that something is no directory.

use super::walk::{Proof, Spot, Walk};
use super::{Ino, Life, Look, Node, ROOT, Tree, blank};
use crate::model::step::Kind;
use std::sync::Arc;

impl Tree {
    /// A call proved that the last component exists. `kind` is what the call said of it, `sure` whether that is the kind of the
    /// name itself (the call does not follow symlinks). Gives its inode, made by somebody outside the capture where the name
    /// was known to be free.
    pub(in crate::model) fn exists(&mut self, spot: &Spot, kind: Option<Kind>, sure: bool) -> Ino {
        match spot.look {
            Look::Node(ino) if spot.name.is_empty() => {
                self.promote(ino);
                ino
            }
            Look::Node(ino) => {
                self.promote(ino);
                self.at_mut(ino).led |= !sure;
                match kind {
                    Some(kind) => self.become_kind(spot.dir, &spot.name, ino, kind, sure),
                    None => ino,
                }
            }
            Look::Unknown => {
                self.promote(spot.dir);
                let ino = self.discover(spot.dir, spot.name.clone(), kind, Life::Initial);
                let node = self.at_mut(ino);
                (node.sure, node.led) = (sure && kind.is_some(), !sure);
                ino
            }
            Look::Absent => {
                self.promote(spot.dir);
                self.make(spot.dir, spot.name.clone(), kind.unwrap_or(Kind::File), None)
            }
        }
    }

    /// A call proved that the last component does not exist (any more).
    pub(in crate::model) fn absent(&mut self, spot: &Spot) {
        match spot.look {
            Look::Unknown => self.vacant(spot.dir, spot.name.clone()),
            Look::Absent => {}
            Look::Node(_) if spot.name.is_empty() => {}
            Look::Node(_) => self.remove(spot.dir, &spot.name),
        }
    }

    /// A call proved that a name is of this kind. A kind that was only assumed is corrected; where another kind was known,
    /// somebody outside the capture replaced the file. Gives the inode that has the name then.
    pub(in crate::model) fn become_kind(&mut self, dir: Ino, name: &[u8], ino: Ino, kind: Kind, sure: bool) -> Ino {
        let node = self.at_mut(ino);
        let fits = match &node.node {
            Node::Unknown => false,
            _ => node.kind() == kind,
        };
        if fits {
            node.sure |= sure;
            return ino;
        }
        if kind == Kind::Link
            && let Some(link) = self.part(dir, name, ino)
        {
            return link;
        }
        let node = self.at_mut(ino);
        if matches!(node.node, Node::Unknown) && (kind != Kind::Link || !node.led) {
            node.node = blank(Some(kind), false);
            node.sure |= sure;
            return ino;
        }
        if kind == Kind::Link && !node.sure && node.life == Life::Initial {
            self.become_link(dir, ino, None);
            return ino;
        }
        let untouched = match &node.node {
            Node::File(content) => content.need == 0 && !content.exact,
            Node::Dir(entries) => entries.is_empty(),
            _ => false,
        };
        if !node.sure && node.life == Life::Initial && untouched {
            node.node = blank(Some(kind), false);
            node.sure = sure;
            return ino;
        }
        self.remove(dir, name);
        self.make(dir, Arc::from(name), kind, None)
    }

    /// A descriptor that a relative path starts at is of a directory, also when its open did not ask for one (O_DIRECTORY):
    /// from anything else every lookup gives ENOTDIR (path_init, fs/namei.c).
    pub(in crate::model) fn starts(&mut self, dir: Ino) {
        self.settle(dir, Kind::Dir);
    }

    /// A lookup of a path failed with ENOENT: some component is missing.
    pub(in crate::model) fn deny(&mut self, start: Ino, path: &[u8], follow: bool) {
        if path.first().is_some_and(|byte| *byte != b'/') {
            self.starts(start);
        }
        let Walk::At(spot) = self.walk(start, path, follow, Proof::Doubt) else { return };
        if self.at(spot.dir).unlinked() && spot.dir != ROOT {
            return; // In a removed directory nothing is found, whatever the name.
        }
        if let Some((dir, name)) = self.left.and_then(|ghost| self.at(ghost).home.clone()) {
            match spot.look {
                Look::Node(_) => return self.bury(dir, &name),
                // `a/../b`: one of them is missing. As long as neither is known to be there, that is so in the replay, too.
                Look::Unknown => return,
                Look::Absent => {}
            }
        }
        match spot.look {
            Look::Unknown | Look::Absent => self.absent(&spot),
            Look::Node(ino) if self.at(ino).life == Life::Ghost => self.bury(spot.dir, &spot.name),
            // A directory in use does not vanish without a trace: the capture's path is not to be trusted.
            Look::Node(ino) if self.in_use(ino) => self.guess("ENOENT of a directory in use"),
            Look::Node(_) => self.absent(&spot),
        }
    }

    /// Is it a directory in which some entry is known to exist?
    fn in_use(&self, ino: Ino) -> bool {
        let live = |ino: Ino| self.at(ino).life != Life::Ghost;
        match &self.at(ino).node {
            Node::Dir(entries) => entries.values().any(|slot| slot.now.is_some_and(live)),
            _ => false,
        }
    }

    /// A lookup failed with ENOTDIR. `dir` when the call wants its last component to be a directory: then that one is taken to
    /// be no directory, else the one before it.
    pub(in crate::model) fn not_dir(&mut self, start: Ino, path: &[u8], dir: bool, follow: bool) {
        // `.` and `..` are there in every directory: what the path starts at is none.
        let names = || path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        if path.first() != Some(&b'/') && names().all(|name| matches!(name, b"." | b"..")) {
            self.settle(start, Kind::File);
        }
        let Walk::At(spot) = self.walk(start, path, follow, Proof::Doubt) else { return };
        if let Look::Node(ino) = spot.look
            && dir
            && !matches!(self.at(ino).node, Node::Dir(_) | Node::Unknown)
        {
            return;
        }
        if dir && !spot.name.is_empty() {
            let blamed = match spot.look {
                Look::Node(ino) => self.may_be_file(ino),
                Look::Unknown => true,
                Look::Absent => false,
            };
            if blamed {
                if let Look::Node(ino) = spot.look {
                    self.no_longer_dir(ino);
                }
                self.exists(&spot, Some(Kind::File), false);
                return;
            }
        }
        if self.at(spot.dir).life == Life::Ghost && self.may_be_file(spot.dir) {
            self.promote(spot.dir);
            self.no_longer_dir(spot.dir);
            self.at_mut(spot.dir).node = blank(Some(Kind::File), false);
            return;
        }
        self.guess("ENOTDIR without a file on the way");
    }

    /// Can it be a regular file? Not if a call proved it to be a directory, by success or by ENOENT below it.
    fn may_be_file(&self, ino: Ino) -> bool {
        match &self.at(ino).node {
            Node::Dir(entries) => self.at(ino).life == Life::Ghost && entries.is_empty(),
            _ => true,
        }
    }

    fn no_longer_dir(&mut self, ino: Ino) {
        if matches!(self.at(ino).node, Node::Dir(_)) {
            self.at_mut(ino).node = Node::Unknown;
        }
    }

    /// A call failed with ENOTEMPTY: where no entry of the directory is known, a made-up file is put into it.
    pub(in crate::model) fn not_empty(&mut self, dir: Ino) {
        if !matches!(self.at(dir).node, Node::Dir(_)) || self.in_use(dir) {
            return;
        }
        let spot = Spot { dir, name: Arc::from(&b".ioriot-keeps-this-directory"[..]), look: Look::Unknown };
        self.guess("an entry of a directory that was not empty");
        match self.look(dir, &spot.name) {
            look @ (Look::Unknown | Look::Absent) => {
                self.exists(&Spot { look, ..spot }, Some(Kind::File), true);
            }
            Look::Node(_) => {}
        }
    }
}
