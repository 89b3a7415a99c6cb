//! What the model says of an event.

use super::facts::Evidence;
use super::touch::{Touch, Touches};
use crate::event::Event;
use crate::fate::{Fate, Origin, Reason};
use crate::syscall::Op;
use crate::words::words;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a path, shared: an open file description lends its path to every call on it.
pub type Name = Arc<[u8]>;

/// What one event means, or one op that the model inserted.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Why the op is there.
    pub origin: Origin,
    /// Replayed, bookkeeping or dropped.
    pub fate: Fate,
    /// Why it is dropped.
    pub reason: Option<Reason>,
    /// What the call does.
    pub op: Option<Op>,
    /// Process, dense from 0 in order of appearance, never reused.
    pub vpid: i64,
    /// Thread, dense from 0 in order of appearance, never reused. A lane is the ops of one vtid.
    pub vtid: i64,
    /// Open file description that the call uses, or makes. Dense from 0, never reused.
    pub ofd: Option<i64>,
    /// The second one: where copy_file_range and sendfile write.
    pub ofd2: Option<i64>,
    /// Open file description of dirfd, or of a working directory that was removed, when a relative path starts at it.
    pub dir: Option<i64>,
    /// The same for the second path.
    pub dir2: Option<i64>,
    /// Identity of the file behind path or ofd, dense from 0.
    pub file: Option<i64>,
    /// Identity of the file behind path2 or ofd2.
    pub file2: Option<i64>,
    /// Absolute path of the file at this moment, symlinks on the way resolved.
    pub path: Option<Name>,
    /// The same for the second path; content of a symlink.
    pub path2: Option<Name>,
    /// Working directory, when a relative path starts at it.
    pub cwd: Option<Name>,
    /// Where in the file the call reads, writes or points: the tracked position, or the argument.
    pub offset: Option<i64>,
    /// Where in the second file it writes.
    pub offset2: Option<i64>,
    /// Does it start from the shared position of `ofd`, and move it?
    pub shared: bool,
    /// The same of `ofd2`.
    pub shared2: bool,
    /// Does coverage count it: a call on a regular file, directory or symlink outside pseudo file systems, or one that
    /// nobody knows, which may be one on a file?
    pub on_file: bool,
}

impl Step {
    /// A step of this fate that knows nothing else yet.
    pub fn new(fate: Fate, op: Option<Op>, vpid: i64, vtid: i64) -> Step {
        Step {
            origin: Origin::Event,
            fate,
            reason: None,
            op,
            vpid,
            vtid,
            ofd: None,
            ofd2: None,
            dir: None,
            dir2: None,
            file: None,
            file2: None,
            path: None,
            path2: None,
            cwd: None,
            offset: None,
            offset2: None,
            shared: false,
            shared2: false,
            on_file: false,
        }
    }
}

/// A row of the walk: an event's meaning, or an inserted op.
#[derive(Clone, Debug)]
pub struct Row {
    /// The arguments that the op is issued with, where they are not the event's: of an inserted op, and of a call below a
    /// root of its own (chroot(2)).
    pub args: Option<Box<Event>>,
    /// Its meaning.
    pub step: Step,
    /// What it touches: a range of [`Rows::touches`].
    pub touches: Range<u32>,
}

/// Rows of the walk, and what they touch. The caller clears them when it has taken them.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// The rows.
    pub list: Vec<Row>,
    /// Their touches, one row's behind another's.
    pub touches: Vec<Touch>,
}

impl Rows {
    /// What a row touches. The row of an event that is no op only writes tasks: that counts for the op of its lane before
    /// it.
    pub fn touched(&self, row: &Row) -> &[Touch] {
        self.touches.get(row.touches.start as usize..row.touches.end as usize).unwrap_or_default()
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.list.clear();
        self.touches.clear();
    }

    pub(super) fn push(&mut self, args: Option<Box<Event>>, step: Step, touches: &mut Touches) {
        let touches = touches.move_to(&mut self.touches);
        self.list.push(Row { args, step, touches });
    }
}

words! {
    /// Kind of a file (inode(7)).
    Kind {
        File   "file"   "regular file";
        Dir    "dir"    "directory";
        Link   "link"   "symbolic link";
        Fifo   "fifo"   "FIFO";
        Socket "socket" "socket";
        Absent "absent" "nothing: the name must not exist";
    }
}

/// What must exist (or must not) before the replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// Absolute path.
    pub path: Name,
    /// Kind of file.
    pub kind: Kind,
    /// Size in bytes of a regular file: observed, or the least that explains every call.
    pub size: i64,
    /// Was the size observed (stat, end of file, SEEK_END) rather than inferred as a lower bound?
    pub size_exact: bool,
    /// Permission bits, when known.
    pub mode: Option<i64>,
    /// Owner, when known.
    pub uid: Option<i64>,
    /// Group, when known.
    pub gid: Option<i64>,
    /// Modification time, ns since 1970, when known.
    pub mtime: Option<i64>,
    /// Content of a symlink; of a file with several names, the one that is made: this one is a link to it.
    pub target: Option<Name>,
    /// Ranges `(offset, length)` that calls read, sorted and disjoint; the rest may be a hole with --sparse-unread.
    pub read: Vec<(i64, i64)>,
    /// Ranges known to be holes in the captured file (SEEK_HOLE), sorted and disjoint.
    pub holes: Vec<(i64, i64)>,
    /// Names of extended attributes a call found.
    pub xattrs: Vec<Name>,
}

/// What must be there after the replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    /// Absolute path.
    pub path: Name,
    /// Kind of file.
    pub kind: Kind,
    /// Size in bytes of a regular file, when the model knows it.
    pub size: Option<i64>,
    /// Content of a symlink.
    pub target: Option<Name>,
}

/// Everything the model knows when the events have ended.
#[derive(Clone, Debug, Default)]
pub struct End {
    /// What must exist before, parents before children.
    pub needs: Vec<Need>,
    /// What must be there after, parents before children.
    pub expects: Vec<Expect>,
    /// What the model had to infer, by kind of inference, for the manifest.
    pub guesses: Vec<(&'static str, u64)>,
    /// What it said, by kind of answer: how often, and how often that was observed rather than inferred.
    pub evidence: Vec<(&'static str, Evidence)>,
}
