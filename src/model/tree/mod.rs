//! The namespace: inodes, their names now, and their names when the capture began.
//!
//! The capture tells nothing beforehand, so the tree is discovered: the first call that says something of a name
//! settles what it was at the start. Every directory keeps one slot per name with both answers, *was* and *now*;
//! changes touch only *now*. A directory that is renamed takes its slots along, and what is later discovered below it
//! still lands at its initial place, because that is where the directory *was*.
//!
//! Four lives of an inode:
//! * `Initial`: it was there at the start.
//! * `Created`: the workload made it. A created directory is complete: a name it has no slot for is absent.
//! * `Maybe`: made by open(2) with O_CREAT alone, which does not tell whether it was there. Taken for created until
//!   its content proves otherwise.
//! * `Ghost`: a directory that a failed lookup went through. `/a/b` gave ENOENT: `/a` may have been there or not.
//!   Nobody knows, nothing is made of it, but what was learnt below it is kept in case it turns out to exist.

pub(super) mod content;
mod extents;
pub(super) mod inode;
mod links;
mod naming;
mod proof;
pub(super) mod walk;

use super::config::{Config, Place};
use super::facts::{Evidence, Identity};
use super::step::{Kind, Name};
use super::touch::Touches;
use content::Content;
use hashbrown::HashMap;
pub(super) use inode::{Entries, Ino, Inode, Life, Node, ROOT, Slot, UNKNOWN_TARGET, Was, blank};
use std::sync::Arc;

/// A change to the tree that somebody outside the capture must have made; it becomes an inserted op.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fix {
    /// Made this inode, a file of this kind, at this path; of a symlink with this content.
    Make(Ino, Kind, Name, Option<Name>),
    /// Removed the file of this kind at this path.
    Remove(Kind, Name),
    /// Made the regular file this long, bytes.
    Resize(Ino, i64),
}

/// What a directory is known to have under a name: an inode, nothing, or not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Node(Ino),
    Absent,
    Unknown,
}

/// The namespace of the captured machine: all inodes, their names now and at the start, and what calls prove of them.
pub(super) struct Tree {
    pub(super) nodes: Vec<Inode>,
    /// Inode numbers that are not in use, and those that the last event released (not reused before the next one).
    pub(super) free: Vec<Ino>,
    pub(super) released: Vec<Ino>,
    config: Config,
    /// Increased at each change that may alter the path of a file: paths remembered in an earlier epoch are stale.
    pub(super) epoch: u32,
    files: i64,
    serials: i64,
    /// Changes by somebody outside the capture that the last call proved, with their touches; the model turns them into ops.
    pub(super) fixes: Vec<(Fix, Touches)>,
    /// Resources that the current op touches.
    pub(super) touches: Touches,
    /// Pairs (from, to) of inodes that turned out to be one file: open file descriptions and working directories must follow.
    pub(super) moved: Vec<(Ino, Ino)>,
    /// A ghost that the last resolution left through `..`: if every other component exists, the missing one is this.
    pub(super) left: Option<Ino>,
    /// Number of guesses, by kind.
    pub(super) guesses: std::collections::BTreeMap<&'static str, u64>,
    /// Answers given and observed, indexed by `Answer`.
    pub(super) evidence: [Evidence; 3],
    /// Inodes by their observed identity on the captured machine: those that have a name or are open.
    pub(super) identities: HashMap<Identity, Ino>,
    /// End of the last call that took a name from a file or gave it one, ns.
    pub(super) renamed: i64,
    /// Directories whose path is remembered, and about how many bytes these paths take.
    kept: Vec<Ino>,
    kept_bytes: usize,
    scratch: Vec<u8>,
}

/// Most bytes that remembered paths take, and what one is reckoned to take besides its text.
const KEPT: usize = 16 << 20;
const KEPT_EACH: usize = 64;

impl Tree {
    pub(super) fn new(config: Config) -> Tree {
        let mut root = Inode::new(Node::Dir(Entries::default()), Life::Initial);
        root.sure = true;
        root.place = config.place(b"/");
        root.ruled = config.ruled_below(b"/");
        root.path = None;
        root.last = Some(Arc::from(&b"/"[..]));
        Tree {
            nodes: vec![root],
            free: Vec::new(),
            released: Vec::new(),
            config,
            epoch: 0,
            files: 0,
            fixes: Vec::new(),
            touches: Touches::default(),
            serials: 0,
            moved: Vec::new(),
            left: None,
            guesses: Default::default(),
            evidence: Default::default(),
            identities: HashMap::new(),
            renamed: i64::MIN,
            kept: Vec::new(),
            kept_bytes: 0,
            scratch: Vec::new(),
        }
    }

    pub(super) fn at(&self, ino: Ino) -> &Inode {
        &self.nodes[ino as usize]
    }

    pub(super) fn at_mut(&mut self, ino: Ino) -> &mut Inode {
        &mut self.nodes[ino as usize]
    }

    /// Counts one guess of this kind.
    pub(super) fn guess(&mut self, what: &'static str) {
        *self.guesses.entry(what).or_default() += 1;
    }

    pub(super) fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    /// The configuration: rules for places, and what was there at the start.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Number of the current epoch; changes whenever the path of a file may have changed.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Begins a new epoch, since the paths of files may have changed.
    pub(super) fn touch_paths(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Identity of the file in datasets (`Step::file`): dense from 0, given at the first request, never reused.
    pub(super) fn file(&mut self, ino: Ino) -> i64 {
        let next = self.files;
        let node = self.at_mut(ino);
        if node.file < 0 {
            node.file = next;
            self.files += 1;
        }
        self.at(ino).file
    }

    // ---- paths

    /// Absolute path of an inode: by its name now, or the last one it had.
    pub(super) fn path(&mut self, ino: Ino) -> Name {
        let node = self.at(ino);
        match &node.home {
            None => node.last.clone().unwrap_or_else(|| Arc::from(&b"/"[..])),
            Some((dir, name)) => {
                if let Some((epoch, path)) = &node.path
                    && *epoch == self.epoch
                {
                    return path.clone();
                }
                let (dir, name) = (*dir, name.clone());
                let path = self.join(dir, &name);
                if matches!(self.at(ino).node, Node::Dir(_)) {
                    self.keep(ino, &path);
                }
                path
            }
        }
    }

    /// Absolute path of a name in a directory.
    pub(super) fn join(&mut self, dir: Ino, name: &[u8]) -> Name {
        let base = self.dir_path(dir);
        self.scratch.clear();
        self.scratch.extend_from_slice(&base);
        if base.last() != Some(&b'/') {
            self.scratch.push(b'/');
        }
        self.scratch.extend_from_slice(name);
        Arc::from(&self.scratch[..])
    }

    /// Remembers the path of a directory. All are forgotten when there are too many bytes of them: the paths of all
    /// directories would be many times as long as all names.
    fn keep(&mut self, dir: Ino, path: &Name) {
        self.kept_bytes += path.len() + KEPT_EACH;
        if self.kept_bytes > KEPT {
            self.kept_bytes = path.len() + KEPT_EACH;
            for dir in std::mem::take(&mut self.kept) {
                self.nodes[dir as usize].path = None;
            }
        }
        self.kept.push(dir);
        self.nodes[dir as usize].path = Some((self.epoch, path.clone()));
    }

    /// Path of a directory: climbs to the nearest directory whose path is known, then fills in the paths on the way down. No
    /// recursion, as a tree may be deeper than the stack.
    fn dir_path(&mut self, dir: Ino) -> Name {
        let mut chain = Vec::new();
        let mut at = dir;
        let mut base = loop {
            let node = self.at(at);
            if let Some((epoch, path)) = &node.path
                && *epoch == self.epoch
            {
                break path.clone();
            }
            match &node.home {
                Some((up, _)) => {
                    chain.push(at);
                    at = *up;
                }
                None => break node.last.clone().unwrap_or_else(|| Arc::from(&b"/"[..])),
            }
        };
        for ino in chain.into_iter().rev() {
            if let Some((_, name)) = &self.nodes[ino as usize].home {
                self.scratch.clear();
                self.scratch.extend_from_slice(&base);
                if base.last() != Some(&b'/') {
                    self.scratch.push(b'/');
                }
                self.scratch.extend_from_slice(name);
                base = Arc::from(&self.scratch[..]);
                self.keep(ino, &base);
            }
        }
        base
    }

    /// The directory that `..` leads to; the root is its own. A removed one stays below its last parent (the kernel keeps the
    /// parent of a dentry in use), wherever that moves.
    pub(super) fn parent(&self, dir: Ino) -> Ino {
        let node = self.at(dir);
        node.home.as_ref().map(|(up, _)| *up).or(node.under).unwrap_or(ROOT)
    }

    /// Whether calls on a name in a directory are replayed, by the rules for places.
    pub(super) fn place(&mut self, dir: Ino, name: &[u8]) -> Place {
        if !self.at(dir).ruled {
            return self.at(dir).place;
        }
        let path = self.join(dir, name);
        self.config.place(&path)
    }

    /// Are calls replayed on something below a name in a directory, by a rule for it?
    pub(super) fn kept_below(&mut self, dir: Ino, name: &[u8]) -> bool {
        self.at(dir).ruled && {
            let path = self.join(dir, name);
            self.config.kept_below(&path)
        }
    }

    // ---- names

    /// What a directory is known to have under a name.
    pub(super) fn look(&self, dir: Ino, name: &[u8]) -> Look {
        let node = self.at(dir);
        let Node::Dir(entries) = &node.node else { return Look::Absent };
        match entries.get(name) {
            Some(Slot { now: Some(ino), .. }) => Look::Node(*ino),
            Some(_) => Look::Absent,
            None if node.life == Life::Created => Look::Absent,
            None => Look::Unknown,
        }
    }

    /// The known names of a directory; an inode of another or unknown kind becomes an empty directory first.
    pub(super) fn entries(&mut self, dir: Ino) -> &mut Entries {
        let node = &mut self.nodes[dir as usize].node;
        if !matches!(node, Node::Dir(_)) {
            *node = Node::Dir(Entries::default());
        }
        match node {
            Node::Dir(entries) => entries,
            _ => unreachable!("made a directory above"),
        }
    }

    fn add(&mut self, mut inode: Inode) -> Ino {
        self.serials += 1;
        inode.serial = self.serials;
        match self.free.pop() {
            Some(ino) => {
                self.nodes[ino as usize] = inode;
                ino
            }
            None => {
                self.nodes.push(inode);
                (self.nodes.len() - 1) as Ino
            }
        }
    }

    /// Makes an inode without a name (O_TMPFILE, or a file known only by its descriptor), in the same place as `near`.
    pub(super) fn anonymous(&mut self, node: Node, life: Life, near: Ino) -> Ino {
        let mut inode = Inode::new(node, life);
        inode.sure = true;
        inode.place = self.at(near).place;
        inode.last = Some(self.join(near, b"(unnamed)"));
        self.add(inode)
    }

    /// A name turns out to have existed (or perhaps, for a ghost) since the start: gives the inode made for it.
    pub(super) fn discover(&mut self, dir: Ino, name: Name, kind: Option<Kind>, life: Life) -> Ino {
        let mut inode = Inode::new(blank(kind, false), life);
        self.settle_place(&mut inode, dir, &name);
        inode.home = Some((dir, name.clone()));
        let ino = self.add(inode);
        self.entries(dir).insert(name, Slot { was: Was::Held(ino), now: Some(ino) });
        ino
    }

    fn settle_place(&mut self, inode: &mut Inode, dir: Ino, name: &[u8]) {
        (inode.place, inode.ruled) = (self.at(dir).place, false);
        if self.at(dir).ruled {
            let path = self.join(dir, name);
            (inode.place, inode.ruled) = (self.config.place(&path), self.config.ruled_below(&path));
        }
    }

    /// A name turns out to have been free at the start.
    pub(super) fn vacant(&mut self, dir: Ino, name: Name) {
        self.entries(dir).entry(name).or_insert(Slot { was: Was::Absent, now: None });
    }

    /// The workload makes a file, of which the inode is given. `was` says what the name was at the start, if this is the first
    /// call on it.
    pub(super) fn create(&mut self, dir: Ino, name: Name, kind: Kind, life: Life, was: Was) -> Ino {
        let mut inode = Inode::new(blank(Some(kind), life == Life::Created), life);
        inode.sure = true;
        inode.mode_set = true;
        self.settle_place(&mut inode, dir, &name);
        let ino = self.add(inode);
        self.bind(dir, name, ino, was);
        ino
    }

    /// A ghost turns out to exist, and so do all ghosts above it: they were there at the start.
    pub(super) fn promote(&mut self, ino: Ino) {
        let mut at = ino;
        while self.at(at).life == Life::Ghost {
            self.at_mut(at).life = Life::Initial;
            at = self.parent(at);
        }
    }

    /// Content of an inode that must be a regular file; one of unknown kind becomes a file. `None` if it is of another kind.
    pub(super) fn content(&mut self, ino: Ino) -> Option<&mut Content> {
        self.settle(ino, Kind::File);
        match &mut self.at_mut(ino).node {
            Node::File(content) => Some(content),
            _ => None,
        }
    }

    /// Sets the kind of an inode, if no call has told it before.
    pub(super) fn settle(&mut self, ino: Ino, kind: Kind) {
        if let node @ Node::Unknown = &mut self.at_mut(ino).node {
            *node = blank(Some(kind), false);
        }
    }

    /// A file that open(2) with O_CREAT seemed to make turns out to have existed at the start.
    pub(super) fn existed(&mut self, ino: Ino) {
        if let Life::Maybe(dir, name) = self.at(ino).life.clone() {
            let slot = self.entries(dir).get_mut(&name);
            if let Some(slot) = slot
                && slot.was == Was::Unclaimed
            {
                slot.was = Was::Held(ino);
                let node = self.at_mut(ino);
                node.life = Life::Initial;
                node.sure = false;
                node.led = true;
            }
        }
    }
}
