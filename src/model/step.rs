//! What the model says of an event: the step, with the op, its files and positions, and why it is replayed or not.

use super::facts::Evidence;
use super::touch::{Touch, Touches};
use crate::event::Event;
use crate::exec::Ran;
use crate::fate::{Elsewhere, Fate, Origin, Reason, Route};
use crate::syscall::{Moves, Op};
use crate::words::words;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a path or file name, reference-counted: an open file description lends its path to every call on it.
pub type Name = Arc<[u8]>;

/// What a process runs and for whom, as far as the capture shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Path of what it executed last (execve(2)), as the call named it, or the process it was forked from did; `None` of one that was
    /// there when the capture began and executed nothing since.
    pub exe: Option<Name>,
    /// Its name: what the capture noted when it began, then the last name of `exe`, cut to 15 bytes as the kernel does (proc_pid_comm(5)).
    pub comm: Option<Name>,
    /// Its effective user id: what the capture noted when it began and at each exec, and what setuid(2) and its kin set.
    pub uid: Option<i64>,
    /// The user id that it accesses files with, where setfsuid(2) has made that another.
    pub on_files: Option<i64>,
    /// First words of its command line, as the capture noted them.
    pub command_line: Option<Name>,
    /// Its control group, likewise; one that is moved to another is not followed until it executes something.
    pub cgroup: Option<Name>,
    /// Its rank among the processes of a parallel program, likewise.
    pub rank: Option<i64>,
    /// The id of its job of a batch system, likewise.
    pub job: Option<Name>,
}

impl Program {
    /// That of a process which had this one and has executed what is at a path; `None` when the capture lost that. Where the call tells
    /// nothing of user, rank and job, they are as before; so is the control group where it tells no user either.
    pub(super) fn executed(self, exe: Option<Name>, ran: Ran) -> Program {
        const LONGEST: usize = 15;
        let last = exe.as_deref().and_then(|exe| exe.rsplit(|byte| *byte == b'/').next());
        let name = |text: Option<Vec<u8>>| text.map(Name::from);
        Program {
            comm: last.map(|last| Name::from(&last[..last.len().min(LONGEST)])),
            exe,
            uid: ran.user.or(self.uid),
            on_files: if ran.user.is_some() { None } else { self.on_files },
            command_line: name(ran.command_line),
            // Who tells the user tells the group, too, where it can be known: it may be another one by now.
            cgroup: if ran.user.is_some() { name(ran.cgroup) } else { name(ran.cgroup).or(self.cgroup) },
            rank: ran.rank.or(self.rank),
            job: name(ran.job).or(self.job),
        }
    }

    /// The user that it works for.
    pub fn user(&self) -> Option<i64> {
        self.on_files.or(self.uid)
    }
}

/// What one event means, or one op that the model inserted: its fate and everything that the replay needs besides the
/// arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Why the op is there: a captured event, or the cause for which it was inserted.
    pub origin: Origin,
    /// Whether the event is replayed, bookkeeping (`model`) or dropped.
    pub fate: Fate,
    /// Why the event is dropped; `None` unless its fate is drop.
    pub reason: Option<Reason>,
    /// Operation that the call performs; `None` where none is known.
    pub op: Option<Op>,
    /// The calling process: dense from 0 in order of appearance, never reused.
    pub vpid: i64,
    /// The calling thread: dense from 0 in order of appearance, never reused. A lane is the ops of one vtid.
    pub vtid: i64,
    /// What the calling process ran when it made the call; `None` where the capture does not show it.
    pub program: Option<Arc<Program>>,
    /// Open file description that the call uses, or makes. Dense from 0, never reused.
    pub ofd: Option<i64>,
    /// Status flags (O_*, open(2)) of that description before an event; `None` of ops that the model inserted.
    pub status: Option<i64>,
    /// Open file description that copy_file_range, sendfile and FICLONE use as the second one.
    pub ofd2: Option<i64>,
    /// Open file description of the first path's dirfd, or of a removed working directory, where a relative path starts; with
    /// AT_EMPTY_PATH and the like the one that the call itself is on.
    pub dir: Option<i64>,
    /// Open file description that the second path, if relative, starts at.
    pub dir2: Option<i64>,
    /// Identity of the file behind `path` or `ofd`, dense from 0, never reused.
    pub file: Option<i64>,
    /// Identity of the file behind `path2` or `ofd2`, numbered as `file`.
    pub file2: Option<i64>,
    /// Absolute path of the file at this moment, symlinks on the way resolved.
    pub path: Option<Name>,
    /// Absolute path of the second file at this moment; for symlink(2) the content of the link.
    pub path2: Option<Name>,
    /// Absolute path of the working directory, when a relative path starts there.
    pub cwd: Option<Name>,
    /// Position in the file, bytes, at which the call reads, writes or points: the tracked shared position, or the argument.
    pub offset: Option<i64>,
    /// Position in the second file, bytes, at which the call writes.
    pub offset2: Option<i64>,
    /// Does the call start from the shared position of `ofd`, and move it?
    pub shared: bool,
    /// Does the call start from the shared position of `ofd2`, and move it?
    pub shared2: bool,
    /// Does coverage count it: a call on a regular file, directory or symlink outside pseudo file systems, or one that
    /// nobody knows, which may be one on a file?
    pub on_file: bool,
    /// The way that the call's bytes take; `None` for a call that moves none.
    pub route: Option<Route>,
    /// Number of bytes that take it; `None` when the capture does not show it. Of a mapping those inside the file.
    pub bytes: Option<i64>,
    /// Whether these bytes come out of a file of the replay or one that may be, or go into one.
    pub moves: Moves,
    /// What is to be said of an op whose file was on another kind of file system; `None` of all others.
    pub elsewhere: Option<Elsewhere>,
}

impl Step {
    /// A step with this fate and operation of this process and thread, all else unset.
    pub fn new(fate: Fate, op: Option<Op>, vpid: i64, vtid: i64) -> Step {
        Step {
            origin: Origin::Event,
            fate,
            reason: None,
            op,
            vpid,
            vtid,
            program: None,
            ofd: None,
            status: None,
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
            route: None,
            bytes: None,
            moves: Moves::Nothing,
            elsewhere: None,
        }
    }
}

/// A row of the walk over the events: the meaning of one event, or one inserted op.
#[derive(Clone, Debug)]
pub struct Row {
    /// The arguments that the op is issued with, where they are not the event's: of an inserted op, and of a call below a
    /// root of its own (chroot(2)).
    pub args: Option<Box<Event>>,
    /// What the event or the inserted op means.
    pub step: Step,
    /// Resources that it touches: a range of indexes into [`Rows::touches`].
    pub touches: Range<u32>,
}

/// Rows that the model has given and what they touch. The caller clears them after it has taken them.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// The rows, in the order of ops.
    pub list: Vec<Row>,
    /// Touches of all rows, one row after the other; `Row::touches` are ranges of it.
    pub touches: Vec<Touch>,
}

impl Rows {
    /// Resources that a row touches. The row of an event that is no op can only write tasks, which counts for the op before it
    /// in its lane, and write and read messages.
    pub fn touched(&self, row: &Row) -> &[Touch] {
        self.touches.get(row.touches.start as usize..row.touches.end as usize).unwrap_or_default()
    }

    /// Forgets all rows and their touches.
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

/// What must exist, or must not, at one path before the replay: an entry of the fileset.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// Absolute path on the captured machine.
    pub path: Name,
    /// Kind of file to make; absent when the name must not exist.
    pub kind: Kind,
    /// Size in bytes of a regular file: observed, or the least that explains every call.
    pub size: i64,
    /// Was the size observed (stat, end of file, SEEK_END) rather than inferred as a lower bound?
    pub size_exact: bool,
    /// Permission bits at the start; `None` when the capture does not show them.
    pub mode: Option<i64>,
    /// Id of the owner at the start; `None` when unknown.
    pub uid: Option<i64>,
    /// Id of the group at the start; `None` when unknown.
    pub gid: Option<i64>,
    /// Modification time at the start, ns since 1970; `None` when unknown.
    pub mtime: Option<i64>,
    /// Of a symlink its content; of a further name (hard link) of a file the path of the first one, which this is linked to.
    pub target: Option<Name>,
    /// Ranges `(offset, length)` in bytes that calls read, sorted and disjoint; the rest may be a hole with --sparse-unread.
    pub read: Vec<(i64, i64)>,
    /// Ranges `(offset, length)` in bytes that were in the page cache when calls or page faults read them first, sorted and disjoint.
    pub warm: Vec<(i64, i64)>,
    /// Ranges `(offset, length)` in bytes known to be holes in the captured file (SEEK_HOLE), sorted and disjoint.
    pub holes: Vec<(i64, i64)>,
    /// Names of extended attributes that calls found to be there at the start.
    pub xattrs: Vec<Name>,
}

/// What must be at one path after the replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    /// Absolute path on the captured machine.
    pub path: Name,
    /// Kind of file expected; absent when the name must be free.
    pub kind: Kind,
    /// Size in bytes of a regular file; `None` when the model does not know it.
    pub size: Option<i64>,
    /// Content of a symlink; `None` for other kinds.
    pub target: Option<Name>,
}

/// Everything the model says after the last event, in memory at once.
#[derive(Clone, Debug, Default)]
pub struct End {
    /// What must exist, or must not, before the replay; parents before children.
    pub needs: Vec<Need>,
    /// What must be there, or must not, after the replay; parents before children.
    pub expects: Vec<Expect>,
    /// Guesses of the model that no observation confirms, by kind, with their number; for the manifest.
    pub guesses: Vec<(&'static str, u64)>,
    /// Answers of the model by kind: how many, and how many of them were observed rather than inferred.
    pub evidence: Vec<(&'static str, Evidence)>,
}
