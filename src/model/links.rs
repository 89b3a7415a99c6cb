//! Symlinks found out: by lstat, by readlink, and by captures that show where an opened file really is.
//!
//! `open("/lib/x/libc.so.6") = 3</usr/lib/x/libc.so.6>`: the common tail `x/libc.so.6` is stripped, so `/lib` is a
//! symlink to `/usr/lib`. What had been taken for the directory `/lib` is that other directory, with all that is known
//! of it.

use super::config::Place;
use super::content::Content;
use super::step::Name;
use super::tree::{Ino, Life, Look, Node, Slot, Tree, Was};
use super::walk::{Proof, Walk};
use std::sync::Arc;

impl Tree {
    /// A name that was taken for what it leads to is a symlink. The inode stays that of the name; what it was taken for
    /// moves to the target.
    pub(super) fn become_link(&mut self, dir: Ino, _name: &[u8], ino: Ino, target: Option<&[u8]>) {
        let guessed = target.is_none();
        let content: Name = Arc::from(target.unwrap_or(b"unknown-target"));
        let node = self.at_mut(ino);
        let led = node.led;
        let object = std::mem::replace(&mut node.node, Node::Link { target: content, guessed });
        (node.sure, node.mode) = (true, None);
        if led {
            self.lead(dir, ino, object);
        }
    }

    /// readlink showed the content of a symlink.
    /// Gives the inode of the symlink.
    pub(super) fn link_content(&mut self, dir: Ino, name: &[u8], ino: Ino, target: &[u8]) -> Ino {
        let node = self.at(ino);
        if !matches!(node.node, Node::Link { .. }) && (node.life != Life::Initial || node.sure) {
            // Something else was here: somebody replaced it.
            self.remove(dir, name);
            return self.make(dir, Arc::from(name), super::Kind::Link, Some(Arc::from(target)));
        }
        match &mut self.at_mut(ino).node {
            Node::Link { target: content, guessed } => {
                if &**content == target {
                    *guessed = false;
                } else if *guessed {
                    // What was found behind a made-up name moves to the right one.
                    let old = content.clone();
                    (*content, *guessed) = (Arc::from(target), false);
                    if let Walk::At(spot) = self.walk(dir, &old, true, Proof::None)
                        && let Look::Node(object) = spot.look
                        && spot.name.ends_with(b".target")
                        && self.at(object).life == Life::Initial
                        && self.at(object).single()
                    {
                        self.entries(spot.dir).remove(&spot.name);
                        let inode = self.at_mut(object);
                        inode.home = None;
                        inode.life = Life::Created;
                        let node = std::mem::replace(&mut inode.node, Node::Unknown);
                        self.lead(dir, object, node);
                    }
                } else {
                    self.guess("a symlink that changed unseen");
                    *self.content_of_link(ino) = Arc::from(target);
                }
            }
            _ => self.become_link(dir, name, ino, Some(target)),
        }
        ino
    }

    fn content_of_link(&mut self, ino: Ino) -> &mut Name {
        match &mut self.at_mut(ino).node {
            Node::Link { target, .. } => target,
            _ => unreachable!("asked of symlinks only"),
        }
    }

    /// Puts an object that a symlink leads to where the symlink points. `from` is the inode it was known as.
    fn lead(&mut self, dir: Ino, from: Ino, object: Node) {
        let target = match &self.at(from).node {
            Node::Link { target, guessed } if !guessed => target.clone(),
            Node::Link { .. } => {
                let name = self.at(from).home.as_ref().map(|home| home.1.clone()).unwrap_or_default();
                let path = self.join(dir, &[&name, &b".target"[..]].concat());
                *self.content_of_link(from) = path.clone();
                path
            }
            _ => return,
        };
        let Walk::At(spot) = self.walk(dir, &target, true, Proof::Through) else {
            self.guess("a symlink whose target cannot be reached");
            return;
        };
        let kind = match &object {
            Node::Unknown => None,
            Node::File(_) => Some(super::Kind::File),
            Node::Dir(_) => Some(super::Kind::Dir),
            Node::Fifo => Some(super::Kind::Fifo),
            Node::Socket => Some(super::Kind::Socket),
            Node::Link { .. } => return,
        };
        let to = self.exists(&spot, kind, false);
        if to == from {
            return;
        }
        self.moved.push((from, to));
        match object {
            Node::Dir(entries) => self.merge_dirs(entries, to),
            Node::File(content) => self.merge_files(&content, to),
            _ => {}
        }
    }

    fn merge_files(&mut self, content: &Content, to: Ino) {
        if let Some(into) = self.content(to) {
            into.merge(content);
        }
    }

    /// Moves the slots of one directory into another; where both know a name, the other's answer stands and what is
    /// below is merged.
    fn merge_dirs(&mut self, entries: super::tree::Entries, to: Ino) {
        let mut todo = vec![(entries, to)];
        while let Some((entries, to)) = todo.pop() {
            let mut entries: Vec<(Name, Slot)> = entries.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            for (name, slot) in entries {
                let known = self.entries(to).get(&name).copied();
                match known {
                    None => {
                        if let Some(ino) = slot.now {
                            let old = self.at(ino).home.clone();
                            self.rehome(ino, old.as_ref().map(|home| &home.1), &name, to);
                        }
                        self.entries(to).insert(name, slot);
                    }
                    Some(known) => {
                        let pair = (slot.now, known.now);
                        if let (Some(from), Some(into)) = pair
                            && from != into
                        {
                            self.moved.push((from, into));
                            if self.at(from).life != Life::Ghost {
                                self.promote(into);
                            }
                            match std::mem::replace(&mut self.at_mut(from).node, Node::Unknown) {
                                Node::Dir(below) => {
                                    if matches!(self.at(into).node, Node::Dir(_) | Node::Unknown) {
                                        todo.push((below, into));
                                    }
                                }
                                Node::File(content) => self.merge_files(&content, into),
                                _ => {}
                            }
                        } else if let (Some(from), None) = pair
                            && self.at(from).life != Life::Ghost
                        {
                            let old = self.at(from).home.clone();
                            self.rehome(from, old.as_ref().map(|home| &home.1), &name, to);
                            if let Some(at) = self.entries(to).get_mut(&name) {
                                at.now = Some(from);
                                if at.was == Was::Unclaimed || slot.was == Was::Held(from) {
                                    at.was = slot.was;
                                }
                            }
                        }
                    }
                }
            }
        }
        self.touch_paths();
    }

    fn rehome(&mut self, ino: Ino, old: Option<&Name>, name: &Name, to: Ino) {
        if old.is_none_or(|old| old == name) {
            self.at_mut(ino).home = Some((to, name.clone()));
        }
        if let Life::Maybe(dir, _) = &mut self.at_mut(ino).life {
            *dir = to;
        }
    }

    /// A capture shows at which path an opened file really is: no component of that path is a symlink.
    pub(super) fn really(&mut self, ino: Ino, real: &[u8]) {
        let believed = self.path(ino);
        if *believed == *real {
            self.is_real(ino);
        } else if self.find(real) == Some(ino) {
            // Another name of it (link(2)).
        } else if !self.at(ino).unlinked() && self.config().place(real) == Place::Keep {
            self.find_link(&believed, real);
        }
    }

    /// The path of an inode holds no symlink.
    fn is_real(&mut self, ino: Ino) {
        let mut at = ino;
        while !self.at(at).sure && at != super::tree::ROOT {
            self.at_mut(at).sure = true;
            at = self.parent(at);
        }
    }

    /// One path led to where another one shows: some component of the first is a symlink. The common tail is stripped
    /// as far as it goes; but a directory that is linked usually keeps its name (`/lib` and `/usr/lib`), and one that
    /// would have to change it (`/usr/lib` and `/etc`, for `ssl/openssl.cnf`) is tried only after the file itself.
    fn find_link(&mut self, believed: &[u8], real: &[u8]) {
        let cuts = believed.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(i, _)| i);
        let mut candidates: Vec<(u8, &[u8], &[u8])> = Vec::new();
        for cut in cuts.chain([believed.len()]) {
            let (head, tail) = believed.split_at(cut);
            let Some(target) = real.strip_suffix(tail) else { continue };
            if target.first() != Some(&b'/') || target == head {
                continue;
            }
            let base = |path: &[u8]| path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
            let rank = match () {
                _ if !tail.is_empty() && head[base(head)..] == target[base(target)..] => 0,
                _ if tail.is_empty() => 1,
                _ => 2,
            };
            candidates.push((rank, head, target));
        }
        candidates.sort_by_key(|(rank, head, _)| (*rank, head.len()));
        for (_, head, target) in candidates {
            let Walk::At(spot) = self.walk(super::tree::ROOT, head, false, Proof::None) else { continue };
            let Look::Node(link) = spot.look else { continue };
            let node = self.at(link);
            if node.life == Life::Initial && !node.sure && node.single() && !matches!(node.node, Node::Link { .. }) {
                self.at_mut(link).led = true;
                self.become_link(spot.dir, &spot.name, link, Some(target));
                self.guess("a symlink seen through an opened file");
                return;
            }
        }
        self.guess("a file that is not where it was opened");
    }
}
