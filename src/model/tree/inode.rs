//! Inodes of the model: what they are, since when they exist, and the names (slots) that directories hold.

use super::content::Content;
use crate::model::config::Place;
use crate::model::facts::Identity;
use crate::model::step::{Kind, Name};
use hashbrown::HashMap;
use std::sync::Arc;

/// Index of an inode in `Tree::nodes`; not the inode number of the captured machine, and reused once released.
pub(in crate::model) type Ino = u32;
/// Index of the root directory.
pub(in crate::model) const ROOT: Ino = 0;

/// What a name was when the capture began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) enum Was {
    /// No call proved anything of the name: it is taken to have been free.
    Unclaimed,
    /// A call proved that the name was free.
    Absent,
    /// It was the name of this inode (if that is a ghost: perhaps).
    Held(Ino),
}

/// A name in a directory: what it was when the capture began, and what it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) struct Slot {
    /// What the name was when the capture began.
    pub(in crate::model) was: Was,
    /// The inode that has the name now; `None` if it is free.
    pub(in crate::model) now: Option<Ino>,
}

impl Slot {
    /// Does the name differ from when the capture began?
    pub(in crate::model) fn changed(self) -> bool {
        match self.was {
            Was::Held(ino) => self.now != Some(ino),
            Was::Absent | Was::Unclaimed => self.now.is_some(),
        }
    }
}

/// The names of one directory that are known, with their slots.
pub(in crate::model) type Entries = HashMap<Name, Slot>;

/// Kind of an inode, with its content as far as known.
#[derive(Debug)]
pub(in crate::model) enum Node {
    /// An inode that exists, but of which no call told the kind.
    Unknown,
    File(Box<Content>),
    Dir(Entries),
    /// A symlink and its content; `guessed` when the capture never showed the content.
    Link {
        target: Name,
        guessed: bool,
    },
    Fifo,
    Socket,
}

/// Since when an inode exists: the module `tree` explains the four lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::model) enum Life {
    Ghost,
    Initial,
    Maybe(Ino, Name),
    Created,
}

/// An inode of the model: a file, directory, symlink ... with what is known of it now and at the start.
#[derive(Debug)]
pub(in crate::model) struct Inode {
    pub(in crate::model) node: Node,
    pub(in crate::model) life: Life,
    /// Is `node`'s kind that of the name itself, rather than of what a symlink of that name may lead to?
    pub(in crate::model) sure: bool,
    /// Did a call that follows symlinks get here? Then, if the name turns out to be a symlink, its target exists.
    pub(in crate::model) led: bool,
    /// Its name, or one of its names: directory and name in it. `None` when it has none (any more).
    pub(in crate::model) home: Option<(Ino, Name)>,
    /// Its further names (hard links): directory and name in it.
    pub(in crate::model) more: Vec<(Ino, Name)>,
    /// Absolute path of the last name that was taken away from it.
    pub(in crate::model) last: Option<Name>,
    /// Of a directory that was removed and is still in use: the directory that `..` leads to.
    pub(in crate::model) under: Option<Ino>,
    /// What keeps it alive besides names: open file descriptions, working directories, and removed directories that were in it.
    pub(in crate::model) refs: u32,
    pub(in crate::model) place: Place,
    pub(in crate::model) ruled: bool,
    /// Its identities on the captured machine, indexed by `Source`; `None` while not observed.
    pub(in crate::model) identity: [Option<Identity>; 2],
    /// Had it several names (hard links) when the capture began?
    pub(in crate::model) twins: bool,
    pub(in crate::model) file: i64,
    /// Number of the inode in the ids of its resources (`Touch::id`), never reused.
    pub(in crate::model) serial: i64,
    /// Has an op touched it other than by reading?
    pub(in crate::model) dirty: bool,
    /// Permission bits at the start, when seen before the workload changed them.
    pub(in crate::model) mode: Option<i64>,
    pub(in crate::model) mode_set: bool,
    /// Owner and group ids at the start, when seen before the workload changed them.
    pub(in crate::model) owner: Option<(i64, i64)>,
    pub(in crate::model) owner_set: bool,
    /// Modification time at the start, ns since 1970, when seen before the workload changed it.
    pub(in crate::model) mtime: Option<i64>,
    pub(in crate::model) mtime_set: bool,
    /// Names of extended attributes that were there at the start, and of those that the workload set or removed.
    pub(in crate::model) xattrs: Vec<Name>,
    pub(in crate::model) xattrs_set: Vec<Name>,
    /// Absolute path of a directory, with the epoch of the tree in which it is valid; `None` if not remembered.
    pub(in crate::model) path: Option<(u32, Name)>,
}

impl Inode {
    pub(in crate::model) fn new(node: Node, life: Life) -> Inode {
        Inode {
            node,
            life,
            sure: false,
            led: false,
            home: None,
            more: Vec::new(),
            last: None,
            under: None,
            refs: 0,
            place: Place::Keep,
            ruled: false,
            identity: [None; 2],
            twins: false,
            file: -1,
            serial: 0,
            dirty: false,
            mode: None,
            mode_set: false,
            owner: None,
            owner_set: false,
            mtime: None,
            mtime_set: false,
            xattrs: Vec::new(),
            xattrs_set: Vec::new(),
            path: None,
        }
    }

    /// Has the inode no name (any more)?
    pub(in crate::model) fn unlinked(&self) -> bool {
        self.home.is_none()
    }

    /// Has the inode exactly one name?
    pub(in crate::model) fn single(&self) -> bool {
        self.home.is_some() && self.more.is_empty()
    }

    /// Its kind for the fileset; an inode of unknown kind counts as a regular file.
    pub(in crate::model) fn kind(&self) -> Kind {
        match self.node {
            Node::Unknown | Node::File(_) => Kind::File,
            Node::Dir(_) => Kind::Dir,
            Node::Link { .. } => Kind::Link,
            Node::Fifo => Kind::Fifo,
            Node::Socket => Kind::Socket,
        }
    }
}

/// Content of a symlink that the capture never showed and nobody has followed yet: a placeholder.
pub(in crate::model) const UNKNOWN_TARGET: &[u8] = b"unknown-target";

/// A node of this kind with no content known; a regular file is empty if `created`, else of unknown size.
pub(in crate::model) fn blank(kind: Option<Kind>, created: bool) -> Node {
    match kind {
        None | Some(Kind::Absent) => Node::Unknown,
        Some(Kind::File) => Node::File(Box::new(if created { Content::empty() } else { Content::default() })),
        Some(Kind::Dir) => Node::Dir(Entries::default()),
        Some(Kind::Link) => Node::Link { target: Arc::from(UNKNOWN_TARGET), guessed: true },
        Some(Kind::Fifo) => Node::Fifo,
        Some(Kind::Socket) => Node::Socket,
    }
}
