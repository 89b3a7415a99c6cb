//! The columns that the walk (`virtualize`) adds to the rows of its input: what the model says of a call (a step), and
//! the facts that it knows at the end.

use crate::fate::{Elsewhere, Fate, Origin, Reason, Route};
use crate::model::{Kind, Name, Step};
use crate::schema::Table;
use crate::syscall::{Moves, Op, flag};
use crate::text;
use arrow::datatypes::{DataType, Field, FieldRef};
use std::sync::Arc;

/// A column that the walk (`virtualize`) adds to its input: name, meaning, and how its value is read.
#[derive(Debug)]
pub struct StepColumn {
    /// Name of the column in SQL.
    pub name: &'static str,
    /// Its meaning, as Markdown; empty when it is that of the column of the same name in table ops or fates.
    doc: &'static str,
    pub(super) get: Get,
}

/// How a column's value is read, from a step and from a fact. Rows without a value have NULL.
#[derive(Clone, Copy, Debug)]
pub(super) enum Get {
    /// The kind of the row ([`Tag`]): of a step by its origin, of a fact its own.
    Tag,
    /// Position of the row in the order of effects.
    Pos,
    Int(fn(&Step) -> Option<i64>, fn(&Fact<'_>) -> Option<i64>),
    Path(fn(&Step) -> Option<&Name>, for<'a> fn(&Fact<'a>) -> Option<&'a Name>),
    /// A word of a short list: the list, and how the word's index in it is read from a step.
    Word(fn() -> Vec<&'static str>, fn(&Step) -> Option<u8>),
    Yes(fn(&Step) -> Option<bool>, fn(&Fact<'_>) -> Option<bool>),
    /// The list of resources that the row touches, and how.
    Touches,
    /// Text that only rows of facts have.
    Text(fn(&Fact<'_>) -> Option<String>),
}

macro_rules! step {
    ($($name:literal $doc:literal $get:expr;)*) => {
        /// The columns that the walk adds, in their order in the output.
        pub static STEP: &[StepColumn] = &[$(StepColumn { name: $name, doc: $doc, get: $get }),*];
    };
}

step! {
    "pos"       "order of effect, a multiple of 4; the others are left free for what a stage inserts before a row"  Get::Pos;
    "tag"       "event; insert: an op the model inserted; fileset, extent, expect, guess, evidence, memory: known when all events have been seen"  Get::Tag;
    "origin"    ""  Get::Word(|| Origin::ALL.iter().map(|w| w.name()).collect(), |s| Some(s.origin as u8));
    "fate"      ""  Get::Word(|| Fate::ALL.iter().map(|w| w.name()).collect(), |s| Some(s.fate as u8));
    "reason"    ""  Get::Word(|| Reason::ALL.iter().map(|w| w.name()).collect(), |s| s.reason.map(|r| r as u8));
    "op"        ""  Get::Word(|| Op::ALL.iter().map(|w| w.name()).collect(), |s| s.op.map(|o| o as u8));
    "vpid"      ""  Get::Int(|s| Some(s.vpid), |_| None);
    "vtid"      ""  Get::Int(|s| Some(s.vtid), |_| None);
    "comm"      "name of the calling process when it made the call: of what it executed last or, before that, as the capture noted it; not that of a thread that named itself"  Get::Path(|s| s.program.as_ref().and_then(|p| p.comm.as_ref()), |_| None);
    "exe"       "path of what the process had executed last when it made the call, as execve named it, also before it was forked; absent where it executed nothing in the capture, or the capture lost the path"  Get::Path(|s| s.program.as_ref().and_then(|p| p.exe.as_ref()), |_| None);
    "user_id"   "effective user of the calling process: as the capture noted it at its start and at each exec (live captures), and what setuid(2) and its kin set, setfsuid(2) of root too; absent where the capture knows none"  Get::Int(|s| s.program.as_ref().and_then(|p| p.user()), |_| None);
    "command_line" "first words of the command line of the calling process, at most 128 bytes, with `...` behind them where more was cut off; a forked process has that of its parent; absent where the capture does not tell"  Get::Path(|s| s.program.as_ref().and_then(|p| p.command_line.as_ref()), |_| None);
    "cgroup"    "control group of the calling process (version 2) at its last exec, that of a container too: its path below where these are mounted; live captures alone know it"  Get::Path(|s| s.program.as_ref().and_then(|p| p.cgroup.as_ref()), |_| None);
    "rank"      "rank of the calling process in a parallel program, from PMIX_RANK, PMI_RANK, OMPI_COMM_WORLD_RANK or, without these, SLURM_PROCID; absent where none was set or the capture does not tell"  Get::Int(|s| s.program.as_ref().and_then(|p| p.rank), |_| None);
    "job"       "id of the job of a batch system that the calling process belongs to, from SLURM_JOB_ID, PBS_JOBID or LSB_JOBID; absent likewise"  Get::Path(|s| s.program.as_ref().and_then(|p| p.job.as_ref()), |_| None);
    "ofd"       ""  Get::Int(|s| s.ofd, |_| None);
    "direct"    "does the open file description go past the page cache (O_DIRECT)?"  Get::Yes(|s| s.status.map(|flags| flags & flag::O_DIRECT != 0), |_| None);
    "synced"    "does each of its writes wait until its data is on the device (O_SYNC, O_DSYNC)?"  Get::Yes(|s| s.status.map(|flags| flags & flag::O_DSYNC != 0), |_| None);
    "append"    "does each of its writes go to the end of the file (O_APPEND)?"  Get::Yes(|s| s.status.map(|flags| flags & flag::O_APPEND != 0), |_| None);
    "ofd2"      ""  Get::Int(|s| s.ofd2, |_| None);
    "dir"       ""  Get::Int(|s| s.dir, |_| None);
    "dir2"      ""  Get::Int(|s| s.dir2, |_| None);
    "file"      ""  Get::Int(|s| s.file, |_| None);
    "file2"     ""  Get::Int(|s| s.file2, |_| None);
    "at_path"   "absolute path at this moment; of a fact the path it is about"  Get::Path(|s| s.path.as_ref(), |f| f.path);
    "at_path2"  "the same for the second path; content of a symlink"  Get::Path(|s| s.path2.as_ref(), |_| None);
    "cwd"       ""  Get::Path(|s| s.cwd.as_ref(), |_| None);
    "at_offset" "where in the file the call reads, writes or points; of an extent its first byte; of evidence how many answers were observed"  Get::Int(|s| s.offset, |f| f.offset);
    "at_offset2" "where in the second file the call writes"  Get::Int(|s| s.offset2, |_| None);
    "shared"    "does the call start from the shared position of its descriptor, and move it?"  Get::Yes(|s| Some(s.shared), |_| None);
    "shared2"   "the same of its second descriptor"  Get::Yes(|s| Some(s.shared2), |_| None);
    "on_file"   ""  Get::Yes(|s| Some(s.on_file), |_| None);
    "route"     "of an event the way that its bytes take (fate.rs); absent where it moves none"  Get::Word(|| Route::ALL.iter().map(|w| w.name()).collect(), |s| s.route.map(|r| r as u8));
    "bytes"     "how many take it; absent where the capture does not show it; of a mapping those inside the file"  Get::Int(|s| s.bytes, |_| None);
    "moves"     "which way they go between the call and files that may be replayed, as in syscall_def"  Get::Word(|| Moves::ALL.iter().map(|w| w.name()).collect(), |s| Some(s.moves as u8));
    "elsewhere" "of an op what its file system was in the capture, where the replay has another kind (fate.rs)"  Get::Word(|| Elsewhere::ALL.iter().map(|w| w.name()).collect(), |s| s.elsewhere.map(|e| e as u8));
    "touches"   "what the call touches: numbers of resources, times 4, and 0 for read, 1 for add, 2 for write, 3 for the write that ends it; a number is an id, times 16, and a kind"  Get::Touches;
    "kind"      "of a fact: kind of file; of an extent read, hole or warm; of a guess what was guessed, of evidence kind of answer; of memory why it stays on disk (fate.rs), else empty"  Get::Text(|f| Some(f.kind.into()));
    "size"      "of a fact: bytes; of a guess how often, of evidence how many answers"  Get::Int(|_| None, |f| f.size);
    "exact"     "of a fileset row: was the size observed?"  Get::Yes(|_| None, |f| f.exact);
    "perm"      "of a fileset row: permission bits"  Get::Int(|_| None, |f| f.perm);
    "owner"     "of a fileset row: owner"  Get::Int(|_| None, |f| f.owner);
    "grp"       "of a fileset row: group"  Get::Int(|_| None, |f| f.group);
    "modified"  "of a fileset row: modification time, ns since 1970"  Get::Int(|_| None, |f| f.mtime);
    "target"    "of a fact: content of a symlink"  Get::Path(|_| None, |f| f.target);
    "xattrs"    "of a fileset row: names of extended attributes, separated by commas; a backslash stands before a comma or backslash in a name"  Get::Text(|f| f.xattr_names());
}

/// Kind of a row of the walk, as in column `tag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// A captured event.
    Event,
    /// An op that the model inserted: no captured event is this op.
    Insert,
    /// A path that must exist, or must not, before the replay (an entry of the fileset).
    Fileset,
    /// A range of bytes of a file of the fileset: one that is read, a hole, or one that was in the page cache.
    Extent,
    /// The state of a path that the model predicts for the end of the replay.
    Expect,
    /// A count: how often the model had to guess something of one kind.
    Guess,
    /// A count: how many answers of one kind the model gave, and how many of them were observed.
    Evidence,
    /// The mount point of a file system in memory.
    Memory,
}

/// The words of [`Tag`] in column `tag`, in the order of its variants.
pub(super) const TAGS: [&str; 8] = ["event", "insert", "fileset", "extent", "expect", "guess", "evidence", "memory"];

/// A fact that the model knows once all events have been seen: an entry of the fileset, an extent, an expectation, or a
/// count.
#[derive(Clone, Copy, Debug)]
pub struct Fact<'a> {
    /// Kind of the fact; never [`Tag::Event`] or [`Tag::Insert`].
    pub tag: Tag,
    /// Absolute path that the fact is about; `None` for counts.
    pub path: Option<&'a Name>,
    /// Kind of file; for an extent `read`, `hole` or `warm`; for a count what is counted; for a mount in memory why it stays on disk, or
    /// nothing.
    pub kind: &'static str,
    /// Of an extent its first byte; of [`Tag::Evidence`] how many answers were observed.
    pub offset: Option<i64>,
    /// Size of the file or length of the extent, bytes; of a count the count.
    pub size: Option<i64>,
    /// Of a fileset entry: was its size observed, rather than inferred?
    pub exact: Option<bool>,
    /// Of a fileset entry: permission bits, when known.
    pub perm: Option<i64>,
    /// Of a fileset entry: user id of its owner, when known.
    pub owner: Option<i64>,
    /// Of a fileset entry: group id, when known.
    pub group: Option<i64>,
    /// Of a fileset entry: modification time, ns since 1970, when known.
    pub mtime: Option<i64>,
    /// Content of a symlink, or the file that a hard link is made to.
    pub target: Option<&'a Name>,
    /// Of a fileset entry: names of its extended attributes.
    pub xattrs: &'a [Name],
}

impl<'a> Fact<'a> {
    /// A fact with these three values and no others.
    pub fn new(tag: Tag, path: Option<&'a Name>, kind: &'static str) -> Fact<'a> {
        let (offset, size, exact, perm, owner, group, mtime, target) = (None, None, None, None, None, None, None, None);
        Fact { tag, path, kind, offset, size, exact, perm, owner, group, mtime, target, xattrs: &[] }
    }

    /// A fact about a file of this kind at this path.
    pub fn file(tag: Tag, path: &'a Name, kind: Kind) -> Fact<'a> {
        Fact::new(tag, Some(path), kind.name())
    }

    fn xattr_names(&self) -> Option<String> {
        if self.xattrs.is_empty() {
            return None;
        }
        let name = |name: &Name| text::encode(name).replace('\\', "\\\\").replace(',', "\\,");
        Some(self.xattrs.iter().map(name).collect::<Vec<_>>().join(","))
    }
}

impl StepColumn {
    /// The column's Arrow field. Columns of words are dictionaries with one-byte keys.
    pub fn field(&self) -> Field {
        let ty = match self.get {
            Get::Pos | Get::Int(..) => DataType::Int64,
            Get::Yes(..) => DataType::Boolean,
            Get::Path(..) | Get::Text(_) => DataType::Utf8View,
            Get::Touches => DataType::List(item()),
            Get::Tag | Get::Word(..) => DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8)),
        };
        Field::new(self.name, ty, !matches!(self.get, Get::Tag | Get::Pos))
    }

    /// The column's meaning, with its unit, for the documentation.
    pub fn meaning(&self) -> String {
        let of_table = || Table::Ops.column(self.name).or_else(|| Table::Fates.column(self.name));
        if self.doc.is_empty() { of_table().map_or(String::new(), |column| column.meaning()) } else { self.doc.to_owned() }
    }

    /// The column of the walk that has this name; `None` when the walk adds none.
    pub fn named(name: &str) -> Option<&'static StepColumn> {
        STEP.iter().find(|column| column.name == name)
    }
}

/// Item type of the list in column `touches`: 64-bit integers.
pub(super) fn item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Int64, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_commas_are_told_from_lists() {
        let xattrs: Vec<Name> = [&b"user.a,b"[..], b"user.c\\", b"user.d"].map(Name::from).to_vec();
        let fact = Fact { xattrs: &xattrs, ..Fact::new(Tag::Fileset, None, "file") };
        assert_eq!(fact.xattr_names().as_deref(), Some(r"user.a\,b,user.c\\,user.d"));
    }
}
