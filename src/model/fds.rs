//! Descriptor tables, and the open file descriptions that descriptors refer to.

use super::call::Sighting;
use super::step::Name;
use super::stream::End;
use super::tree::Ino;
use crate::fate::Reason;

/// Index of an open file description in `Tasks::ofds`, reused after its last close (`Ofd::id` is its identity, never reused).
pub(super) type OfdIx = u32;

/// An open file description (open(2)): what open makes and dup and fork share.
#[derive(Debug)]
pub(super) struct Ofd {
    /// Its identity as in `Step::ofd`: dense from 0, never reused.
    pub(super) id: i64,
    /// Inode of the file that it is open on.
    pub(super) ino: Ino,
    /// Status flags (O_*, fcntl(2)).
    pub(super) flags: i64,
    /// Shared position in the file, bytes.
    pub(super) pos: i64,
    /// Is the position known, rather than assumed (as for a descriptor open before the capture)?
    pub(super) pos_sure: bool,
    /// When an append to a file of unknown size moved the position: how far it is behind the size before the appends. Then
    /// `pos` means nothing.
    pub(super) behind: Option<i64>,
    /// The position that the last call was seen to leave behind, not yet taken into account; `None` if another call overlapped.
    pub(super) sighting: Option<Sighting>,
    /// End of the last of its calls, ns; `i64::MIN` before the first one.
    pub(super) busy: i64,
    /// Has a lock call used it? Then its last close may release locks.
    pub(super) locks: bool,
    /// Number of descriptors that refer to it.
    pub(super) refs: u32,
    /// Process (vpid) and thread (vtid) that opened it: the close inserted at the end of the capture is in its lane.
    pub(super) vpid: i64,
    pub(super) vtid: i64,
    /// Path of its file, with the epoch of the tree in which it is valid; `None` if not computed yet.
    pub(super) path: Option<(u32, Name)>,
    /// The number by which the capture named it among what was open already; see [`Open::ofd`](super::start::Open::ofd).
    /// `None` if it was opened later.
    pub(super) told: Option<i64>,
    /// The path that the capture last showed for it and that was found to agree with the tree.
    pub(super) seen: Option<Box<[u8]>>,
}

/// What a descriptor refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// An open file description that is replayed.
    Ofd(OfdIx),
    /// Something that is not replayed (a socket, a pipe ...), the reason for dropping calls on it, and of a stream whose bytes
    /// are followed which end.
    Special(Reason, Option<End>),
    /// The process of this id (pidfd_open(2)), which is not replayed.
    Process(i64),
}

impl Target {
    /// The reason for dropping calls on it; `None` if they are replayed.
    pub(super) fn reason(self) -> Option<Reason> {
        match self {
            Target::Ofd(_) => None,
            Target::Special(reason, _) => Some(reason),
            Target::Process(_) => Some(Reason::Anon),
        }
    }
}

/// A descriptor: what the number refers to, and whether exec closes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) target: Target,
    pub(super) cloexec: bool,
}

/// A descriptor table of one or more processes: small, so a vector sorted by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Fds {
    entries: Vec<(i64, Entry)>,
    /// Number of processes that share the table (CLONE_FILES).
    pub(super) sharers: u32,
}

impl Fds {
    /// This table as that of one process alone (`sharers` 1).
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

    /// Removes the descriptors that `which` chooses and gives them, lowest number first.
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
