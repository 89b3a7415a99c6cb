//! Descriptor tables, and the open file descriptions that descriptors refer to.

use crate::fate::Reason;
use crate::model::call::Sighting;
use crate::model::step::Name;
use crate::model::stream::End;
use crate::model::tree::Ino;

/// Index of an open file description in `Tasks::ofds`, reused after its last close (`Ofd::id` is its identity, never reused).
pub(in crate::model) type OfdIx = u32;

/// An open file description (open(2)): what open makes and dup and fork share.
#[derive(Debug)]
pub(in crate::model) struct Ofd {
    /// Its identity as in `Step::ofd`: dense from 0, never reused.
    pub(in crate::model) id: i64,
    /// Inode of the file that it is open on.
    pub(in crate::model) ino: Ino,
    /// Status flags (O_*, fcntl(2)).
    pub(in crate::model) flags: i64,
    /// Shared position in the file, bytes.
    pub(in crate::model) pos: i64,
    /// Is the position known, rather than assumed (as for a descriptor open before the capture)?
    pub(in crate::model) pos_sure: bool,
    /// When an append to a file of unknown size moved the position: how far it is behind the size before the appends. Then
    /// `pos` means nothing.
    pub(in crate::model) behind: Option<i64>,
    /// The position that the last call was seen to leave behind, not yet taken into account; `None` if another call overlapped.
    pub(in crate::model) sighting: Option<Sighting>,
    /// End of the last of its calls, ns; `i64::MIN` before the first one.
    pub(in crate::model) busy: i64,
    /// Has a lock call used it? Then its last close may release locks.
    pub(in crate::model) locks: bool,
    /// Number of descriptors that refer to it.
    pub(in crate::model) refs: u32,
    /// Process (vpid) and thread (vtid) that opened it: the close inserted at the end of the capture is in its lane.
    pub(in crate::model) vpid: i64,
    pub(in crate::model) vtid: i64,
    /// Path of its file, with the epoch of the tree in which it is valid; `None` if not computed yet.
    pub(in crate::model) path: Option<(u32, Name)>,
    /// The number by which the capture named it among what was open already; see [`Open::ofd`](crate::model::start::Open::ofd).
    /// `None` if it was opened later.
    pub(in crate::model) told: Option<i64>,
    /// The path that the capture last showed for it and that was found to agree with the tree.
    pub(in crate::model) seen: Option<Box<[u8]>>,
}

/// What a descriptor refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) enum Target {
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
    pub(in crate::model) fn reason(self) -> Option<Reason> {
        match self {
            Target::Ofd(_) => None,
            Target::Special(reason, _) => Some(reason),
            Target::Process(_) => Some(Reason::Anon),
        }
    }
}

/// A descriptor: what the number refers to, and whether exec closes it.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct Entry {
    pub(in crate::model) target: Target,
    pub(in crate::model) cloexec: bool,
}

/// A descriptor table of one or more processes: small, so a vector sorted by number.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Fds {
    entries: Vec<(i64, Entry)>,
    /// Number of processes that share the table (CLONE_FILES).
    pub(in crate::model) sharers: u32,
}

impl Fds {
    /// This table as that of one process alone (`sharers` 1).
    pub(in crate::model) fn owned(self) -> Fds {
        Fds { sharers: 1, ..self }
    }

    pub(in crate::model) fn get(&self, fd: i64) -> Option<Entry> {
        self.find(fd).ok().map(|i| self.entries[i].1)
    }

    pub(in crate::model) fn set(&mut self, fd: i64, entry: Entry) -> Option<Entry> {
        match self.find(fd) {
            Ok(i) => Some(std::mem::replace(&mut self.entries[i].1, entry)),
            Err(i) => {
                self.entries.insert(i, (fd, entry));
                None
            }
        }
    }

    pub(in crate::model) fn remove(&mut self, fd: i64) -> Option<Entry> {
        self.find(fd).ok().map(|i| self.entries.remove(i).1)
    }

    /// Removes the descriptors that `which` chooses and gives them, lowest number first.
    pub(in crate::model) fn extract(&mut self, which: impl Fn(i64, &Entry) -> bool) -> Vec<(i64, Entry)> {
        let (gone, kept) = self.entries.drain(..).partition(|(fd, entry)| which(*fd, entry));
        self.entries = kept;
        gone
    }

    pub(in crate::model) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    pub(in crate::model) fn iter_mut(&mut self) -> impl Iterator<Item = &mut (i64, Entry)> {
        self.entries.iter_mut()
    }

    fn find(&self, fd: i64) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&fd, |(fd, _)| *fd)
    }
}
