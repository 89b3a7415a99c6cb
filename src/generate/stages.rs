//! The stages of generate, in the order in which they run.

use crate::engine::Stage;
use anyhow::{Context, Result};

/// In which phase of generate a stage runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Before all others, only where several captures are merged.
    Merge,
    /// Before all others: a view of what the capture knows beside its events.
    Given,
    /// First: it makes the walk, which all others read as `chosen`.
    Walk,
    /// Only with options that choose or change something, in place of the walk.
    WhatIf,
    /// While the chosen rows of the walk stream by, together with the other stages of this role.
    Now(Make),
    /// After those of role `Now`, one after the other.
    After(Make),
    /// At the end, only with `--explain-order`.
    Explain,
}

/// Where the rows of a stage go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// Into a table of the workload.
    Table,
    /// Into a scratch file that later stages read, which is removed at the end.
    Scratch,
    /// Nowhere: the stage is a view that later stages name.
    View,
    /// Into the summary and the manifest: counts.
    Sums,
}

macro_rules! stages {
    ($($name:literal $role:expr;)*) => {
        /// The stages of generate in the order in which they run, each with its role.
        pub static STAGES: &[(Stage, Role)] =
            &[$((Stage::new($name, include_str!(concat!("../../sql/generate/", $name, ".sql"))), $role)),*];
    };
}

use Make::{Scratch, Sums, Table, View};
use Role::{After, Explain, Given, Merge, Now, Walk, WhatIf};

stages! {
    "content"    Given;
    "merged"     Merge;
    "walk"       Walk;
    "survey"     WhatIf;
    "candidates" WhatIf;
    "people"     WhatIf;
    "wanted"     WhatIf;
    "seeks"      WhatIf;
    "proposed"   WhatIf;
    "reached"    WhatIf;
    "revised"    WhatIf;
    "chosen"     WhatIf;
    "tenants"    WhatIf;
    "ops"        Now(Table);
    "fates"      Now(Table);
    "fileset"    Now(Table);
    "extents"    Now(Table);
    "written"    Now(Table);
    "expect"     Now(Table);
    "touches"    Now(Scratch);
    "causes"     Now(Scratch);
    "ledger"     Now(Sums);
    "bytes"      Now(Sums);
    "elsewhere"  Now(Sums);
    "memory"     Now(Sums);
    "mapped"     Now(Sums);
    "cached"     Now(Sums);
    "computed"   Now(Sums);
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
    "times"      After(Sums);
    "committers" After(Sums);
    "grouped"    After(Sums);
    "sampled"    After(Sums);
    "edge_examples" Explain;
}

/// Names of the stages of role [`Role::Now`], and where their rows go.
pub fn now() -> impl Iterator<Item = (&'static str, Make)> {
    STAGES.iter().filter_map(|(stage, role)| if let Now(make) = role { Some((stage.name, *make)) } else { None })
}

/// Names of the stages of role [`Role::After`], in order, and where their rows go.
pub fn after() -> impl Iterator<Item = (&'static str, Make)> {
    STAGES.iter().filter_map(|(stage, role)| if let After(make) = role { Some((stage.name, *make)) } else { None })
}

/// The stage of this name as it is compiled in.
///
/// # Errors
/// When there is no stage of this name.
pub fn stage(name: &str) -> Result<&'static Stage> {
    let found = STAGES.iter().find(|(stage, _)| stage.name == name);
    found.map(|(stage, _)| stage).with_context(|| format!("there is no stage {name}"))
}
