//! The stages of generate, in the order in which they run.

use crate::engine::Stage;
use anyhow::{Context, Result};

/// When a stage runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// First, for all that follow.
    Walk,
    /// Only with `--where`.
    Where,
    /// While what is chosen of the walk streams by.
    Now(Make),
    /// When that is done, one after the other.
    After(Make),
    /// Only with `--explain-order`, at the end.
    Explain,
}

/// What becomes of a stage's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// A table of the workload.
    Table,
    /// A file for later stages, which is removed at the end.
    Scratch,
    /// Nothing by itself: later stages name it.
    View,
    /// Sums for the manifest.
    Sums,
}

macro_rules! stages {
    ($($name:literal $role:expr;)*) => {
        /// The stages and what they are for.
        pub static STAGES: &[(Stage, Role)] =
            &[$((Stage::new($name, include_str!(concat!("../../sql/generate/", $name, ".sql"))), $role)),*];
    };
}

use Make::{Scratch, Sums, Table, View};
use Role::{After, Explain, Now, Walk, Where};

stages! {
    "walk"       Walk;
    "candidates" Where;
    "wanted"     Where;
    "seeks"      Where;
    "chosen"     Where;
    "ops"        Now(Table);
    "fates"      Now(Table);
    "fileset"    Now(Table);
    "extents"    Now(Table);
    "expect"     Now(Table);
    "touches"    Now(Scratch);
    "ledger"     Now(Sums);
    "guesses"    Now(Sums);
    "evidence"   Now(Sums);
    "contended"  After(Scratch);
    "phases"     After(Scratch);
    "follows"    After(View);
    "pruned"     After(Scratch);
    "edges"      After(Table);
    "lanes"      After(Table);
    "edge_kinds" After(Sums);
    "critical"   After(Sums);
    "edge_examples" Explain;
}

/// The stages that run while what is chosen streams by, and what becomes of them.
pub fn now() -> impl Iterator<Item = (&'static str, Make)> {
    STAGES.iter().filter_map(|(stage, role)| if let Now(make) = role { Some((stage.name, *make)) } else { None })
}

/// The stages that run after them.
pub fn after() -> impl Iterator<Item = (&'static str, Make)> {
    STAGES.iter().filter_map(|(stage, role)| if let After(make) = role { Some((stage.name, *make)) } else { None })
}

/// The built-in stage of this name.
///
/// # Errors
/// When there is none.
pub fn stage(name: &str) -> Result<&'static Stage> {
    let found = STAGES.iter().find(|(stage, _)| stage.name == name);
    found.map(|(stage, _)| stage).with_context(|| format!("there is no stage {name}"))
}
