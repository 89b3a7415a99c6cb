//! Path resolution (path_resolution(7)) in a tree that is not fully known, and what calls prove about names.

use super::config::Place;
use super::links::is_unknown;
use super::step::{Kind, Name};
use super::touch::{Access, Resource};
use super::tree::{Fix, Ino, Life, Look, Node, ROOT, Tree, UNKNOWN_TARGET, Was, blank};
use std::sync::Arc;

/// Symlinks followed before the kernel gives up with ELOOP.
const HOPS: u32 = 40;
/// The longest name, bytes (NAME_MAX, limits.h(0p)).
const NAME_MAX: usize = 255;
/// Bytes from which on a path is too long: its NUL counts (PATH_MAX).
pub(super) const PATH_MAX: usize = 4096;

/// Where the last component of a path is.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    /// The directory it is in.
    pub(super) dir: Ino,
    /// Its name; empty when the path ended at the directory itself (`/`, `a/..`).
    pub(super) name: Name,
    /// What is known of it.
    pub(super) look: Look,
}

/// How far a resolution came.
#[derive(Clone, Debug)]
pub(super) enum Walk {
    /// To the last component.
    At(Spot),
    /// Into a place that is not replayed.
    Outside(Place),
    /// A component on the way is missing: ENOENT.
    Missing,
    /// A component on the way is no directory: ENOTDIR.
    NotDir,
    /// Too many symlinks: ELOOP.
    Loop,
    /// To a name that is too long, ENAMETOOLONG, or that nothing can have.
    BadName,
    /// To a directory nobody knows, with [`Proof::None`].
    Unknown,
}

/// What a resolution may assume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The call got to the last component: all directories on the way exist.
    Through,
    /// The call failed somewhere: unknown directories on the way become ghosts.
    Doubt,
    /// Nothing: the tree is only asked.
    None,
}

/// Can it be a path, or what a symlink holds?
pub(super) fn possible(path: &[u8]) -> bool {
    path.len() < PATH_MAX && memchr::memchr(0, path).is_none()
}

/// The path without its last component, and whether it ended in a slash.
pub(super) fn dirname(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    match path[..end].iter().rposition(|byte| *byte == b'/') {
        Some(0) => b"/",
        Some(slash) => &path[..slash],
        None => b".",
    }
}

impl Tree {
    /// Resolves a path from a directory.
    pub(super) fn walk(&mut self, start: Ino, path: &[u8], follow: bool, proof: Proof) -> Walk {
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
        // openat(2) may be given a descriptor of a file.
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
            if place != Place::Keep {
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

    /// Content of a symlink. One that the capture never showed is made up once somebody follows it.
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

    /// Goes into a directory on the way.
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

    /// Somebody outside made a file.
    pub(super) fn make(&mut self, dir: Ino, name: Name, kind: Kind, target: Option<Name>) -> Ino {
        let path = self.join(dir, &name);
        let ino = self.create(dir, name.clone(), kind, Life::Created, Was::Unclaimed);
        if let (Node::Link { target: content, guessed }, Some(target)) = (&mut self.at_mut(ino).node, &target) {
            (*content, *guessed) = (target.clone(), false);
        } else if kind == Kind::Link {
            // It is made up now, for the op that makes the link says it.
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

    /// Somebody outside removed a name, and all that was below it.
    pub(super) fn remove(&mut self, dir: Ino, name: &[u8]) {
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

    /// Somebody outside made a file this long.
    pub(super) fn resize(&mut self, ino: Ino, size: i64) {
        self.fixed(Fix::Resize(ino, size), |tree| {
            tree.touch_way(ino);
            tree.touch(Resource::Attrs, ino, Access::Read);
            tree.touch_cut(ino);
        });
    }

    /// Somebody outside removed everything in a directory.
    pub(super) fn empty(&mut self, top: Ino) {
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

    // ---- what calls prove

    /// The last component exists. `kind` is what the call said of it, `sure` whether that is the name itself (the call
    /// does not follow symlinks).
    pub(super) fn exists(&mut self, spot: &Spot, kind: Option<Kind>, sure: bool) -> Ino {
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

    /// The last component does not exist (any more).
    pub(super) fn absent(&mut self, spot: &Spot) {
        match spot.look {
            Look::Unknown => self.vacant(spot.dir, spot.name.clone()),
            Look::Absent => {}
            Look::Node(_) if spot.name.is_empty() => {}
            Look::Node(_) => self.remove(spot.dir, &spot.name),
        }
    }

    /// What has this name is of this kind. What was only assumed is corrected; what was known was replaced by somebody.
    /// Gives the inode that has the name then.
    pub(super) fn become_kind(&mut self, dir: Ino, name: &[u8], ino: Ino, kind: Kind, sure: bool) -> Ino {
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
            self.become_link(dir, name, ino, None);
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

    /// A descriptor that a path starts at is of a directory, also when its open did not ask for one: of anything else every
    /// lookup gives ENOTDIR (path_init, fs/namei.c).
    fn starts(&mut self, dir: Ino) {
        self.settle(dir, Kind::Dir);
    }

    /// A lookup gave ENOENT.
    pub(super) fn deny(&mut self, start: Ino, path: &[u8], follow: bool) {
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

    /// Is it a directory in which something is known to be?
    fn in_use(&self, ino: Ino) -> bool {
        let live = |ino: Ino| self.at(ino).life != Life::Ghost;
        match &self.at(ino).node {
            Node::Dir(entries) => entries.values().any(|slot| slot.now.is_some_and(live)),
            _ => false,
        }
    }

    /// A lookup gave ENOTDIR. `dir` when the call wants its last component to be a directory: then that is taken to be
    /// to blame, else the one before.
    pub(super) fn not_dir(&mut self, start: Ino, path: &[u8], dir: bool, follow: bool) {
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

    /// Can it be a file? Not a directory that a call proved to be one, by success or by ENOENT below it.
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

    /// A directory is not empty.
    pub(super) fn not_empty(&mut self, dir: Ino) {
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
