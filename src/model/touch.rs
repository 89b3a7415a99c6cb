//! What an op touches: the resources by which ops of different lanes must be ordered.
//!
//! Two ops that touch the same resource are issued in seq order, unless both read it or both add to it (the rules of
//! ROOT, SOSP 2013, over open file descriptions and resolved names). Touches are facts about one op; which op must
//! follow which is worked out from them by the stages of generate. Any schedule that keeps that order, and the order
//! inside each lane, gives every op the outcome it has in seq order, and the same tree.
//!
//! **Names.** A resolution (path_resolution(7)) reads every name it walks, those that the content of symlinks leads
//! through included; `..` reads the name of the directory it leaves. A name is a slot of a directory: its number comes
//! from the identity of the directory, so it stays when the directory moves, and a rename orders what walks through the
//! renamed name without touching anything below. A lookup that fails reads the name that is not there. What starts at a
//! directory's descriptor reads nothing above it; what starts at the working directory does, because a replay enters
//! working directories by their paths (and need not order chdir between threads for the same reason).
//!
//! **Entries.** Two creates in one directory do not order each other: they *add*, as removals do. A listing reads; no
//! outcome depends on that (what getdents returns is the file system's own), but its work does. rmdir, and a rename
//! onto a directory, write: nothing may come or go between. That they failed with ENOTEMPTY is a read.
//!
//! **Sizes** are two resources. `data` are the bytes that are there whatever order the growing comes in: up to the size
//! at the last truncation, or at the start. What stays within reads it; only truncations write it. `size` is the end of
//! the file: writes beyond those bytes add (the end is the same in any order), truncations and appends write, and what
//! ends there, or beyond those bytes, reads. So the readers and writers of a file whose size stands never meet.
//!
//! **Attributes** of a file are read by what asks for rights. A directory's rights matter to everything that walks
//! through it: to change them writes its name.

use super::task::fds::Ofd;
use super::tree::inode::Ino;
use super::tree::walk::Proof;
use super::tree::{Fix, ROOT, Tree};
use crate::words::words;

words! {
    /// Kinds of resources that ops touch, and by which ops of different lanes are ordered.
    Resource {
        Ofd      "ofd"      "an open file description: its open, its last close and F_SETFL write it, every use reads it";
        Position "position" "the shared position of an open file description: calls that start from it or move it write it";
        Name     "name"     "a name in a directory: every resolution through it reads it, create, remove and rename write it";
        Entries  "entries"  "what a directory holds: creates and removals add to it, listings read it, rmdir writes it";
        Attrs    "attrs"    "mode, owner and extended attributes of a file: opens and checks of rights read them";
        Data     "data"     "bytes that a file has in any order of its growth: reads and writes among them read it, truncations write it";
        Size     "size"     "the end of a file: writes beyond data add to it, appends and truncations write it, what finds the end reads it";
        Lock     "lock"     "the locks of a file: taken in the order they were granted in";
        Task     "task"     "the start or the end of a process or thread: what comes before and after in another lane";
        Message  "message"  "bytes of a pipe or a pair of sockets, or a count of eventfd: what the writer did before comes before what the reader does next";
        Wake     "wake"     "a thread that slept and was woken by another one: what that one did before comes before what it does next";
    }
}

words! {
    /// How an op touches a resource. Two ops are ordered unless both read or both add.
    Access {
        Read  "read"  "its outcome depends on it";
        Add   "add"   "changes it in a way that commutes with other adds";
        Write "write" "changes it";
        End   "end"   "writes it, and nobody touches it ever again: the last close of an open file description";
    }
}

impl Access {
    /// May two ops that touch the same resource in these ways be issued in either order?
    pub const fn commutes(self, other: Access) -> bool {
        matches!((self, other), (Access::Read, Access::Read) | (Access::Add, Access::Add))
    }

    /// The access of one op that touches a resource in both ways: the stronger one, and write for a read with an add.
    const fn and(self, other: Access) -> Access {
        match (self, other) {
            (Access::End, _) | (_, Access::End) => Access::End,
            _ if self.commutes(other) => self,
            _ => Access::Write,
        }
    }
}

/// That one op touches one resource. A row of the walk has each resource at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Kind of the resource that the op touches.
    pub kind: Resource,
    /// Which resource of that kind, less than 2^56, never reused: a hash for a name, else a number counted up from 0 (of an
    /// open file description, an inode, a start or end of a task).
    pub id: i64,
    /// In which way the op touches it.
    pub access: Access,
}

/// Number of touches up to which a linear search for an equal resource costs less than sorting them.
const FEW: usize = 24;

/// The touches of the op that the model is working on.
#[derive(Debug, Default)]
pub(super) struct Touches {
    list: Vec<Touch>,
}

impl Touches {
    pub(super) fn add(&mut self, kind: Resource, id: i64, access: Access) {
        if self.list.len() < FEW
            && let Some(touch) = self.list.iter_mut().find(|touch| (touch.id, touch.kind) == (id, kind))
        {
            touch.access = touch.access.and(access);
            return;
        }
        self.list.push(Touch { kind, id, access });
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
    }

    /// Moves the touches to the end of `all`, each resource once, and leaves none; gives their range in it.
    pub(super) fn move_to(&mut self, all: &mut Vec<Touch>) -> std::ops::Range<u32> {
        if self.list.len() > FEW {
            self.list.sort_unstable_by_key(|touch| (touch.kind, touch.id));
            self.list.dedup_by(|next, kept| {
                let same = (kept.kind, kept.id) == (next.kind, next.id);
                if same {
                    kept.access = kept.access.and(next.access);
                }
                same
            });
        }
        let start = all.len() as u32;
        all.append(&mut self.list);
        start..all.len() as u32
    }

    /// Number of touches so far: those that a lookup of the model's own adds after it are taken back with [`Touches::back_to`].
    pub(super) fn mark(&self) -> usize {
        self.list.len()
    }

    pub(super) fn back_to(&mut self, mark: usize) {
        self.list.truncate(mark);
    }
}

impl Tree {
    /// The current op touches a resource of this kind that belongs to an inode.
    pub(super) fn touch(&mut self, kind: Resource, ino: Ino, access: Access) {
        let node = self.at_mut(ino);
        node.dirty |= access != Access::Read;
        let id = node.serial;
        self.touches.add(kind, id, access);
    }

    /// The current op touches a name in a directory.
    pub(super) fn touch_name(&mut self, dir: Ino, name: &[u8], access: Access) {
        let id = name_id(self.at(dir).serial, name);
        self.touches.add(Resource::Name, id, access);
    }

    /// The current op reads the names by which an inode is reached, from its own up to the root (one name of a file).
    pub(super) fn touch_way(&mut self, ino: Ino) {
        let mut at = ino;
        while let Some(up) = self.touch_home(at) {
            at = up;
        }
    }

    /// The current op starts at a working directory, which a replay enters by its path.
    pub(super) fn touch_cwd(&mut self, ino: Ino) {
        self.touch_way(ino);
        if self.at(ino).unlinked() {
            let path = self.path(ino);
            self.walk(ROOT, &path, true, Proof::None);
        }
    }

    /// The current op reads the name of an inode in its directory (one name of a file); gives that directory.
    pub(super) fn touch_home(&mut self, ino: Ino) -> Option<Ino> {
        let (up, name) = self.nodes[ino as usize].home.as_ref()?;
        let id = name_id(self.nodes[*up as usize].serial, name);
        self.touches.add(Resource::Name, id, Access::Read);
        Some(*up)
    }

    /// Runs a lookup of the model's own: what it touches does not count for the current op.
    pub(super) fn quietly<T>(&mut self, look: impl FnOnce(&mut Tree) -> T) -> T {
        let mark = self.touches.mark();
        let found = look(self);
        self.touches.back_to(mark);
        found
    }

    /// Queues a change by somebody outside the capture: it becomes an op of its own, with the touches that `touch` adds.
    pub(super) fn fixed(&mut self, fix: Fix, touch: impl FnOnce(&mut Tree)) {
        let others = std::mem::take(&mut self.touches);
        touch(self);
        let touches = std::mem::replace(&mut self.touches, others);
        self.fixes.push((fix, touches));
    }

    /// The current op is the last close of an open file description.
    pub(super) fn touch_close(&mut self, ofd: &Ofd) {
        self.touches.add(Resource::Ofd, ofd.id, Access::End);
        if ofd.locks {
            self.touch(Resource::Lock, ofd.ino, Access::Write);
        }
    }

    /// The current op truncates a file, or sets its size.
    pub(super) fn touch_cut(&mut self, ino: Ino) {
        self.touch(Resource::Data, ino, Access::Write);
        self.touch(Resource::Size, ino, Access::Write);
    }

    /// The current op makes, removes or replaces a name in a directory.
    pub(super) fn touch_entry(&mut self, dir: Ino, name: &[u8]) {
        self.touch_name(dir, name, Access::Write);
        self.touch(Resource::Entries, dir, Access::Add);
    }

    /// Two inodes turn out to be one: an op that changed the one comes before ops that touch the other from now on.
    pub(super) fn touch_both(&mut self, from: Ino, to: Ino) {
        if !self.at(from).dirty && !self.at(to).dirty {
            return;
        }
        for kind in [Resource::Entries, Resource::Attrs, Resource::Data, Resource::Size, Resource::Lock] {
            self.touch(kind, from, Access::Write);
            self.touch(kind, to, Access::Write);
        }
    }
}

/// Resource id of a name in the directory with this serial number: 56 bits of a hash.
fn name_id(dir: i64, name: &[u8]) -> i64 {
    (xxhash_rust::xxh3::xxh3_64_with_seed(name, dir as u64) >> 8) as i64
}

#[cfg(test)]
mod tests;
