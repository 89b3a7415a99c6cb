//! Inodes: kind, content, life, and the slots of a directory.

use super::config::Place;
use super::content::Content;
use super::facts::Identity;
use super::step::{Kind, Name};
use hashbrown::HashMap;
use std::sync::Arc;

/// Index of an inode.
pub(super) type Ino = u32;
/// The root directory.
pub(super) const ROOT: Ino = 0;

/// What a name was when the capture began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Was {
    /// Nobody proved anything: the name is taken to have been free.
    Unclaimed,
    /// A call proved that there was nothing.
    Absent,
    /// This inode (a ghost: perhaps).
    Held(Ino),
}

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// When the capture began.
    pub(super) was: Was,
    /// Now.
    pub(super) now: Option<Ino>,
}

impl Slot {
    /// Is it another than when the capture began?
    pub(super) fn changed(self) -> bool {
        match self.was {
            Was::Held(ino) => self.now != Some(ino),
            Was::Absent | Was::Unclaimed => self.now.is_some(),
        }
    }
}

/// The names of a directory.
pub(super) type Entries = HashMap<Name, Slot>;

/// What an inode is.
#[derive(Debug)]
pub(super) enum Node {
    /// It exists; no call told what it is.
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

/// Since when an inode is there: see the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Ghost,
    Initial,
    Maybe(Ino, Name),
    Created,
}

/// An inode.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) node: Node,
    pub(super) life: Life,
    /// Is the kind that of the name itself, rather than of what a symlink of that name may lead to?
    pub(super) sure: bool,
    /// Did a call that follows symlinks get here? Then, if the name turns out to be one, what it leads to exists.
    pub(super) led: bool,
    /// Its name, or one of them.
    pub(super) home: Option<(Ino, Name)>,
    /// Further names (hard links).
    pub(super) more: Vec<(Ino, Name)>,
    /// Path of the last name it had.
    pub(super) last: Option<Name>,
    /// Of a directory that was removed and is still in use: where `..` leads from it.
    pub(super) under: Option<Ino>,
    /// Open file descriptions and working directories, and removed directories that were in it.
    pub(super) refs: u32,
    pub(super) place: Place,
    pub(super) ruled: bool,
    /// Which inode of the captured machine it is, by who told it.
    pub(super) identity: [Option<Identity>; 2],
    /// Had it several names at the start?
    pub(super) twins: bool,
    pub(super) file: i64,
    /// Number of its resources, never reused.
    pub(super) serial: i64,
    /// Has an op changed it?
    pub(super) dirty: bool,
    /// Permission bits at the start, when seen before anybody changed them.
    pub(super) mode: Option<i64>,
    pub(super) mode_set: bool,
    /// Owner and group at the start, when seen before anybody changed them.
    pub(super) owner: Option<(i64, i64)>,
    pub(super) owner_set: bool,
    /// Modification time at the start, ns since 1970, when seen before anybody changed it.
    pub(super) mtime: Option<i64>,
    pub(super) mtime_set: bool,
    /// Extended attributes that were there, and those the workload set or removed.
    pub(super) xattrs: Vec<Name>,
    pub(super) xattrs_set: Vec<Name>,
    /// Path of a directory, valid in one epoch.
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

    /// Has it no name any more?
    pub(super) fn unlinked(&self) -> bool {
        self.home.is_none()
    }

    /// Has it exactly one name?
    pub(super) fn single(&self) -> bool {
        self.home.is_some() && self.more.is_empty()
    }

    /// The kind for the fileset; what nobody asked about is a regular file.
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

/// How the content of a symlink begins that the capture never showed.
pub(super) const UNKNOWN_TARGET: &[u8] = b"unknown-target";

/// A node of this kind with nothing in it.
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
