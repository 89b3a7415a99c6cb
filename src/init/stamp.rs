//! The stamp: what a root says of itself.

use super::data::Data;
use super::from::Source;
use super::layout::Allocation;
use super::map::Mapping;
use super::plan::Unread;
use crate::schema::Dataset;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// State of the tree in a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Init has begun and not finished, or could not make every entry.
    Incomplete,
    /// Every entry was made, and no replay has changed it since.
    Fresh,
    /// A replay has begun in it, so it may differ from what init made.
    Used,
}

impl State {
    /// Its word in the stamp.
    pub const fn name(self) -> &'static str {
        match self {
            State::Incomplete => "incomplete",
            State::Fresh => "fresh",
            State::Used => "used",
        }
    }
}

/// Owner of entries whose owner was not captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// User id that such entries get.
    pub uid: u32,
    /// Group id that such entries get.
    pub gid: u32,
}

/// The stamp in a root: the state of its tree, the workload it was made for, and how it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    /// State of the tree.
    pub state: State,
    /// Fingerprint of the workload that the tree was made for.
    pub fingerprint: String,
    /// Path of that workload, for people.
    pub workload: String,
    /// Version of the ioriot that made the tree.
    pub ioriot: String,
    /// Kind of data that its files hold and that a replay in it writes.
    #[serde(default)]
    pub data: Data,
    /// Whether ranges of files that no op reads were left as holes.
    #[serde(default)]
    pub sparse_unread: bool,
    /// Where the content of its files was taken from; `None` when it is made up.
    #[serde(default)]
    pub source: Option<Source>,
    /// How its files were laid on their device.
    #[serde(default = "plain")]
    pub allocation: Allocation,
    /// Owner of entries whose owner was not captured; `None` for the user that made the root.
    #[serde(default)]
    pub owner: Option<Owner>,
    /// Captured directories that lie outside the root, and their places.
    #[serde(default)]
    pub maps: Vec<Mapping>,
    /// For a mapped place: path of the root it belongs to; `None` for a root.
    #[serde(default, with = "crate::text::path::maybe")]
    pub part_of: Option<PathBuf>,
    /// When init was done, by the clock of each part's file system, ns: whatever changed since has a later ctime.
    #[serde(default)]
    pub made: Vec<i64>,
}

impl Stamp {
    /// What became of ranges of files that no op reads.
    pub fn unread(&self) -> Unread {
        Unread::of(self.sparse_unread, self.source.is_some())
    }

    /// The stamp of a tree that is about to be made for a workload: state incomplete.
    pub fn new(workload: &Dataset, data: Data, sparse_unread: bool, owner: Option<Owner>, maps: Vec<Mapping>) -> Stamp {
        Stamp {
            state: State::Incomplete,
            fingerprint: fingerprint(workload),
            workload: workload.dir.display().to_string(),
            ioriot: env!("CARGO_PKG_VERSION").into(),
            data,
            sparse_unread,
            source: None,
            allocation: Allocation::Plain,
            owner,
            maps,
            part_of: None,
            made: Vec::new(),
        }
    }
}

fn plain() -> Allocation {
    Allocation::Plain
}

/// Fingerprint of a workload, empty when its manifest has none.
pub fn fingerprint(workload: &Dataset) -> String {
    match workload.manifest.get("fingerprint") {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
