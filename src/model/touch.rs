//! What an op touches: the resources by which ops of different lanes must be ordered.
//!
//! Two ops that touch the same resource, at least one of them writing, are issued in seq order (the rules of ROOT, SOSP
//! 2013, over open file descriptions and resolved names). Touches are facts about one op; which op must follow which is
//! worked out from them by the stages of generate.

use crate::words::words;

words! {
    /// Kinds of things that ops read or write.
    Resource {
        Ofd      "ofd"      "an open file description: its open and its last close write it, every use reads it";
        Position "position" "the shared position of an open file description: calls that start from it or move it write it";
        Name     "name"     "a name in a directory: every resolution through it reads it, create, remove and rename write it";
        Entries  "entries"  "what a directory holds: rmdir and listings read it, calls that add or remove a name write it";
        Attrs    "attrs"    "mode, owner and extended attributes of a file: opens and stats read them";
        Size     "size"     "the size of a file, where an outcome depends on it";
        Lock     "lock"     "the locks of a file";
        Task     "task"     "a process or thread: what creates it comes before its first op";
    }
}

/// One op touches one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Kind of the resource.
    pub kind: Resource,
    /// Which one: dense from 0 within its kind, never reused.
    pub id: i64,
    /// Does the op change it?
    pub write: bool,
}
