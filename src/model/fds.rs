//! Descriptors, and the open file descriptions they refer to.

use super::call::Sighting;
use super::step::Name;
use super::tree::Ino;
use crate::fate::Reason;

/// Index of an open file description in its slab (not its identity, which is never reused).
pub(super) type OfdIx = u32;

/// An open file description (open(2)).
#[derive(Debug)]
pub(super) struct Ofd {
    /// Its identity.
    pub(super) id: i64,
    /// The file.
    pub(super) ino: Ino,
    /// Status flags.
    pub(super) flags: i64,
    /// Position.
    pub(super) pos: i64,
    /// Is the position known, rather than assumed (a descriptor open before the capture)?
    pub(super) pos_sure: bool,
    /// When an append to a file of unknown size moved it: how far it is behind that size. Then `pos` means nothing.
    pub(super) behind: Option<i64>,
    /// The position that the last call was seen to leave, unless another one was under way.
    pub(super) sighting: Option<Sighting>,
    /// When the last of its calls was over, ns.
    pub(super) busy: i64,
    /// Did a lock call use it? Then its last close may let go of locks.
    pub(super) locks: bool,
    /// Descriptors that refer to it.
    pub(super) refs: u32,
    /// Process and thread that opened it.
    pub(super) vpid: i64,
    pub(super) vtid: i64,
    /// Path in an epoch of the tree.
    pub(super) path: Option<(u32, Name)>,
    /// The number by which the capture told that it was open already; see [`Open::ofd`](super::start::Open::ofd).
    pub(super) told: Option<i64>,
    /// What the capture last said it is open on, and that was found to fit.
    pub(super) seen: Option<Box<[u8]>>,
}

/// What a descriptor refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// An open file.
    Ofd(OfdIx),
    /// Something that is not replayed, and why.
    Special(Reason),
}

/// A descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) target: Target,
    pub(super) cloexec: bool,
}

/// A descriptor table: small, so a sorted vector.
#[derive(Clone, Debug, Default)]
pub(super) struct Fds {
    entries: Vec<(i64, Entry)>,
    /// Processes that share the table (CLONE_FILES).
    pub(super) sharers: u32,
}

impl Fds {
    /// As the table of one process alone.
    pub(super) fn owned(self) -> Fds {
        Fds { sharers: 1, ..self }
    }

    pub(super) fn get(&self, fd: i64) -> Option<Entry> {
        self.find(fd).ok().map(|i| self.entries[i].1)
    }

    pub(super) fn set(&mut self, fd: i64, entry: Entry) -> Option<Entry> {
        match self.find(fd) {
            Ok(i) => Some(std::mem::replace(&mut self.entries[i].1, entry)),
            Err(i) => {
                self.entries.insert(i, (fd, entry));
                None
            }
        }
    }

    pub(super) fn remove(&mut self, fd: i64) -> Option<Entry> {
        self.find(fd).ok().map(|i| self.entries.remove(i).1)
    }

    /// Removes the descriptors of a range that `which` chooses, lowest first.
    pub(super) fn extract(&mut self, which: impl Fn(i64, &Entry) -> bool) -> Vec<(i64, Entry)> {
        let (gone, kept) = self.entries.drain(..).partition(|(fd, entry)| which(*fd, entry));
        self.entries = kept;
        gone
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut (i64, Entry)> {
        self.entries.iter_mut()
    }

    fn find(&self, fd: i64) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&fd, |(fd, _)| *fd)
    }
}
