//! Inodes of the model: what they are, since when they exist, and the names (slots) that directories hold.

use super::config::Place;
use super::content::Content;
use super::facts::Identity;
use super::step::{Kind, Name};
use hashbrown::HashMap;
use std::sync::Arc;

/// Index of an inode in `Tree::nodes`; not the inode number of the captured machine, and reused once released.
pub(super) type Ino = u32;
/// Index of the root directory.
pub(super) const ROOT: Ino = 0;

/// What a name was when the capture began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Was {
    /// No call proved anything of the name: it is taken to have been free.
    Unclaimed,
    /// A call proved that the name was free.
    Absent,
    /// It was the name of this inode (if that is a ghost: perhaps).
    Held(Ino),
}

/// A name in a directory: what it was when the capture began, and what it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// What the name was when the capture began.
    pub(super) was: Was,
    /// The inode that has the name now; `None` if it is free.
    pub(super) now: Option<Ino>,
}

impl Slot {
    /// Does the name differ from when the capture began?
    pub(super) fn changed(self) -> bool {
        match self.was {
            Was::Held(ino) => self.now != Some(ino),
            Was::Absent | Was::Unclaimed => self.now.is_some(),
        }
    }
}

/// The names of one directory that are known, with their slots.
pub(super) type Entries = HashMap<Name, Slot>;

/// Kind of an inode, with its content as far as known.
#[derive(Debug)]
pub(super) enum Node {
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
pub(super) enum Life {
    Ghost,
    Initial,
    Maybe(Ino, Name),
    Created,
}

/// An inode of the model: a file, directory, symlink ... with what is known of it now and at the start.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) node: Node,
    pub(super) life: Life,
    /// Is `node`'s kind that of the name itself, rather than of what a symlink of that name may lead to?
    pub(super) sure: bool,
    /// Did a call that follows symlinks get here? Then, if the name turns out to be a symlink, its target exists.
    pub(super) led: bool,
    /// Its name, or one of its names: directory and name in it. `None` when it has none (any more).
    pub(super) home: Option<(Ino, Name)>,
    /// Its further names (hard links): directory and name in it.
    pub(super) more: Vec<(Ino, Name)>,
    /// Absolute path of the last name that was taken away from it.
    pub(super) last: Option<Name>,
    /// Of a directory that was removed and is still in use: the directory that `..` leads to.
    pub(super) under: Option<Ino>,
    /// What keeps it alive besides names: open file descriptions, working directories, and removed directories that were in it.
    pub(super) refs: u32,
    pub(super) place: Place,
    pub(super) ruled: bool,
    /// Its identities on the captured machine, indexed by `Source`; `None` while not observed.
    pub(super) identity: [Option<Identity>; 2],
    /// Had it several names (hard links) when the capture began?
    pub(super) twins: bool,
    pub(super) file: i64,
    /// Number of the inode in the ids of its resources (`Touch::id`), never reused.
    pub(super) serial: i64,
    /// Has an op touched it other than by reading?
    pub(super) dirty: bool,
    /// Permission bits at the start, when seen before the workload changed them.
    pub(super) mode: Option<i64>,
    pub(super) mode_set: bool,
    /// Owner and group ids at the start, when seen before the workload changed them.
    pub(super) owner: Option<(i64, i64)>,
    pub(super) owner_set: bool,
    /// Modification time at the start, ns since 1970, when seen before the workload changed it.
    pub(super) mtime: Option<i64>,
    pub(super) mtime_set: bool,
    /// Names of extended attributes that were there at the start, and of those that the workload set or removed.
    pub(super) xattrs: Vec<Name>,
    pub(super) xattrs_set: Vec<Name>,
    /// Absolute path of a directory, with the epoch of the tree in which it is valid; `None` if not remembered.
    pub(super) path: Option<(u32, Name)>,
}

impl Inode {
    pub(super) fn new(node: Node, life: Life) -> Inode {
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
    pub(super) fn unlinked(&self) -> bool {
        self.home.is_none()
    }

    /// Has the inode exactly one name?
    pub(super) fn single(&self) -> bool {
        self.home.is_some() && self.more.is_empty()
    }

    /// Its kind for the fileset; an inode of unknown kind counts as a regular file.
    pub(super) fn kind(&self) -> Kind {
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
pub(super) const UNKNOWN_TARGET: &[u8] = b"unknown-target";

/// A node of this kind with no content known; a regular file is empty if `created`, else of unknown size.
pub(super) fn blank(kind: Option<Kind>, created: bool) -> Node {
    match kind {
        None | Some(Kind::Absent) => Node::Unknown,
        Some(Kind::File) => Node::File(Box::new(if created { Content::empty() } else { Content::default() })),
        Some(Kind::Dir) => Node::Dir(Entries::default()),
        Some(Kind::Link) => Node::Link { target: Arc::from(UNKNOWN_TARGET), guessed: true },
        Some(Kind::Fifo) => Node::Fifo,
        Some(Kind::Socket) => Node::Socket,
    }
}
