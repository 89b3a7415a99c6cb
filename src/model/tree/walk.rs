//! Path resolution (path_resolution(7)) in a tree that is not fully known.

use super::links::is_unknown;
use super::{Fix, Ino, Life, Look, Node, ROOT, Tree, UNKNOWN_TARGET, Was, blank};
use crate::model::config::Place;
use crate::model::step::{Kind, Name};
use crate::model::touch::{Access, Resource};
use std::sync::Arc;

/// Number of symlinks that one resolution follows before it gives up with ELOOP, as the kernel does.
const HOPS: u32 = 40;
/// Longest name of a path component, bytes (NAME_MAX, limits.h(0p)).
pub(in crate::model) const NAME_MAX: usize = 255;
/// Length in bytes from which on a path is too long: its NUL counts (PATH_MAX).
pub(in crate::model) const PATH_MAX: usize = 4096;
/// Longest path of a file or directory, bytes, that a workload has: programs get deeper than PATH_MAX step by step (chdir, openat).
/// Escaped it still is a text that is believed ([`crate::limits::TEXT`]).
pub(in crate::model) const DEEPEST: usize = 16_000;

/// Where the resolution of a path ended: the last component, and the directory it is in.
#[derive(Clone, Debug)]
pub(in crate::model) struct Spot {
    /// The directory that the last component is in.
    pub(in crate::model) dir: Ino,
    /// Name of the last component; empty when the path ended at the directory itself (`/`, `a/..`).
    pub(in crate::model) name: Name,
    /// What that directory is known to have under the name.
    pub(in crate::model) look: Look,
}

/// How far the resolution of a path came.
#[derive(Clone, Debug)]
pub(in crate::model) enum Walk {
    /// To the last component, which may exist or not.
    At(Spot),
    /// Into a place whose calls are not replayed.
    Outside(Place),
    /// A component on the way is missing: ENOENT.
    Missing,
    /// A component on the way is no directory: ENOTDIR.
    NotDir,
    /// Too many symlinks: ELOOP.
    Loop,
    /// To a component that is too long (ENAMETOOLONG), or a path that no kernel takes (too long, or with a NUL in it).
    BadName,
    /// To a directory that is not known; with [`Proof::None`] only.
    Unknown,
}

/// What a resolution may conclude of the directories on the way, from the call's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) enum Proof {
    /// The call got to the last component: all directories on the way exist.
    Through,
    /// The call failed somewhere: unknown directories on the way become ghosts.
    Doubt,
    /// Nothing: the tree is only asked, and an unknown directory on the way ends the resolution.
    None,
}

/// Can these bytes be a path, or the content of a symlink: shorter than PATH_MAX and without a NUL?
pub(in crate::model) fn possible(path: &[u8]) -> bool {
    path.len() < PATH_MAX && memchr::memchr(0, path).is_none()
}

/// The path without its last component and trailing slashes: `.` for a bare name, `/` for one in the root.
pub(in crate::model) fn dirname(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    match path[..end].iter().rposition(|byte| *byte == b'/') {
        Some(0) => b"/",
        Some(slash) => &path[..slash],
        None => b".",
    }
}

impl Tree {
    /// Resolves a path from the directory `start`; `follow` when a symlink as last component is followed (a trailing slash
    /// does, too).
    pub(in crate::model) fn walk(&mut self, start: Ino, path: &[u8], follow: bool, proof: Proof) -> Walk {
        self.left = None;
        if !possible(path) {
            return Walk::BadName;
        }
        self.walk_on(start, path, follow, proof, HOPS)
    }

    fn walk_on(&mut self, start: Ino, path: &[u8], follow: bool, proof: Proof, hops: u32) -> Walk {
        let mut dir = if path.first() == Some(&b'/') { ROOT } else { start };
        if self.at(dir).place != Place::Keep && dir != ROOT {
            return Walk::Outside(self.at(dir).place);
        }
        // The descriptor given to openat(2) may be of a file.
        if proof != Proof::Through && !matches!(self.at(dir).node, Node::Dir(_) | Node::Unknown) {
            return Walk::NotDir;
        }
        if proof == Proof::Through {
            self.starts(dir);
        }
        let slash = path.last() == Some(&b'/');
        let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).peekable();
        while let Some(name) = names.next() {
            match name {
                b"." => continue,
                b".." => {
                    if self.at(dir).life == Life::Ghost {
                        if proof == Proof::Through {
                            self.promote(dir);
                        } else {
                            self.left = Some(dir);
                        }
                    }
                    self.touch_home(dir);
                    dir = self.parent(dir);
                    continue;
                }
                _ => {}
            }
            if name.len() > NAME_MAX {
                return Walk::BadName;
            }
            let last = names.peek().is_none();
            self.touch_name(dir, name, Access::Read);
            let look = self.look(dir, name);
            let place = match look {
                Look::Node(ino) => self.at(ino).place,
                Look::Absent | Look::Unknown => self.place(dir, name),
            };
            // What is replayed may lie below a place that is not.
            if place != Place::Keep && (last || !self.kept_below(dir, name)) {
                return Walk::Outside(place);
            }
            if let Look::Node(ino) = look
                && matches!(self.at(ino).node, Node::Link { .. })
                && (!last || follow || slash)
            {
                if hops == 0 {
                    return Walk::Loop;
                }
                let target = self.link_target(ino, dir, name);
                match self.walk_on(dir, &target, true, proof, hops - 1) {
                    Walk::At(spot) if last => return Walk::At(spot),
                    Walk::At(spot) => match self.enter(spot.dir, &spot.name, spot.look, proof) {
                        Ok(next) => dir = next,
                        Err(stop) => return stop,
                    },
                    other => return other,
                }
                continue;
            }
            if last {
                return Walk::At(Spot { dir, name: Arc::from(name), look });
            }
            match self.enter(dir, name, look, proof) {
                Ok(next) => dir = next,
                Err(stop) => return stop,
            }
        }
        Walk::At(Spot { dir, name: Arc::default(), look: Look::Node(dir) })
    }

    /// Content of a symlink. Where the capture never showed it, it is made up at the first resolution that follows the link.
    fn link_target(&mut self, ino: Ino, dir: Ino, name: &[u8]) -> Name {
        if let Node::Link { target, guessed } = &self.at(ino).node
            && (!guessed || !is_unknown(target))
        {
            return target.clone();
        }
        // Its length may be known from readlink.
        let length = match &self.at(ino).node {
            Node::Link { target, .. } if **target != *UNKNOWN_TARGET => Some(target.len()),
            _ => None,
        };
        if let Some(content) = length.and_then(|length| self.target_of_length(dir, name, length)) {
            let content: Name = Arc::from(content);
            self.guess("content of a symlink");
            self.at_mut(ino).node = Node::Link { target: content.clone(), guessed: true };
            return content;
        }
        const ENDING: usize = b".target-of-link".len();
        let mut made_up = name[..name.len().min(NAME_MAX - ENDING)].to_vec();
        made_up.extend_from_slice(b".target");
        let mut path = self.join(dir, &made_up);
        if self.look(dir, &made_up) == Look::Absent {
            path = self.join(dir, &[&made_up[..], b"-of-link"].concat());
        }
        self.guess("content of a symlink");
        self.at_mut(ino).node = Node::Link { target: path.clone(), guessed: true };
        path
    }

    /// Goes into a directory on the way to the last component, and notes what `proof` allows; `Err` ends the resolution.
    fn enter(&mut self, dir: Ino, name: &[u8], look: Look, proof: Proof) -> Result<Ino, Walk> {
        match look {
            Look::Unknown if proof == Proof::None => Err(Walk::Unknown),
            Look::Node(ino) => {
                if proof == Proof::Through && self.at(ino).life == Life::Ghost {
                    self.promote(ino);
                }
                let node = self.at_mut(ino);
                node.led |= proof != Proof::None;
                match node.node {
                    Node::Dir(_) => Ok(ino),
                    Node::Unknown if proof == Proof::None => Err(Walk::Unknown),
                    Node::Unknown => {
                        node.node = blank(Some(Kind::Dir), false);
                        Ok(ino)
                    }
                    _ if proof != Proof::Through => Err(Walk::NotDir),
                    _ => {
                        self.become_kind(dir, name, ino, Kind::Dir, false);
                        match self.look(dir, name) {
                            Look::Node(ino) => Ok(ino),
                            _ => Err(Walk::NotDir),
                        }
                    }
                }
            }
            Look::Unknown => {
                let life = if proof == Proof::Through { Life::Initial } else { Life::Ghost };
                if proof == Proof::Through {
                    self.promote(dir);
                }
                let ino = self.discover(dir, Arc::from(name), Some(Kind::Dir), life);
                self.at_mut(ino).led = true;
                Ok(ino)
            }
            Look::Absent if proof != Proof::Through => Err(Walk::Missing),
            Look::Absent => Ok(self.make(dir, Arc::from(name), Kind::Dir, None)),
        }
    }

    /// Somebody outside the capture made a file: gives its inode, and queues the fix that makes it in the replay.
    pub(in crate::model) fn make(&mut self, dir: Ino, name: Name, kind: Kind, target: Option<Name>) -> Ino {
        let path = self.join(dir, &name);
        let ino = self.create(dir, name.clone(), kind, Life::Created, Was::Unclaimed);
        if let (Node::Link { target: content, guessed }, Some(target)) = (&mut self.at_mut(ino).node, &target) {
            (*content, *guessed) = (target.clone(), false);
        } else if kind == Kind::Link {
            // The content is made up now, since the op that makes the symlink contains it.
            self.link_target(ino, dir, &name);
        }
        let target = match &self.at(ino).node {
            Node::Link { target, .. } => Some(target.clone()),
            _ => None,
        };
        self.fixed(Fix::Make(ino, kind, path, target), |tree| {
            tree.touch_way(dir);
            tree.touch_entry(dir, &name);
        });
        ino
    }

    /// Somebody outside the capture removed a name, and all that was below it: queues the fixes.
    pub(in crate::model) fn remove(&mut self, dir: Ino, name: &[u8]) {
        let Look::Node(ino) = self.look(dir, name) else { return };
        if self.at(ino).life == Life::Ghost {
            self.bury(dir, name);
            return;
        }
        self.empty(ino);
        self.remove_one(dir, name, ino);
    }

    fn remove_one(&mut self, dir: Ino, name: &[u8], ino: Ino) {
        let path = self.join(dir, name);
        let kind = self.at(ino).kind();
        self.fixed(Fix::Remove(kind, path), |tree| {
            tree.touch_way(dir);
            tree.touch_entry(dir, name);
            if kind == Kind::Dir {
                tree.touch(Resource::Entries, ino, Access::Write);
            }
        });
        self.unbind(dir, name);
        self.release(ino);
    }

    /// Somebody outside the capture made a file this long, bytes: queues the fix.
    pub(in crate::model) fn resize(&mut self, ino: Ino, size: i64) {
        self.fixed(Fix::Resize(ino, size), |tree| {
            tree.touch_way(ino);
            tree.touch(Resource::Attrs, ino, Access::Read);
            tree.touch_cut(ino);
        });
    }

    /// Somebody outside the capture removed everything in a directory: queues the fixes, contents before directories.
    pub(in crate::model) fn empty(&mut self, top: Ino) {
        let mut todo = vec![top];
        while let Some(dir) = todo.last().copied() {
            let Node::Dir(entries) = &self.at(dir).node else {
                todo.pop();
                continue;
            };
            let live = entries.iter().filter_map(|(name, slot)| slot.now.map(|ino| (name.clone(), ino)));
            // The order of a hash table is not part of the model's answer.
            let Some((name, ino)) = live.min_by(|a, b| a.0.cmp(&b.0)) else {
                todo.pop();
                continue;
            };
            if self.at(ino).life == Life::Ghost {
                self.bury(dir, &name);
                continue;
            }
            let full = match &self.at(ino).node {
                Node::Dir(entries) => entries.values().any(|slot| slot.now.is_some()),
                _ => false,
            };
            if full {
                todo.push(ino);
            } else {
                self.remove_one(dir, &name, ino);
            }
        }
    }
}
