//! The stages of generate, in the order in which they run.

use crate::engine::Stage;
use anyhow::{Context, Result};

/// What a stage is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Run into a file that later stages read; the file is removed at the end.
    Scratch,
    /// Only with `--where`.
    Where,
    /// A table of the workload.
    Table,
    /// Sums for the manifest.
    Sums,
}

macro_rules! stages {
    ($($name:literal $role:ident;)*) => {
        /// The stages and what they are for.
        pub static STAGES: &[(Stage, Role)] =
            &[$((Stage::new($name, include_str!(concat!("../../sql/generate/", $name, ".sql"))), Role::$role)),*];
    };
}

stages! {
    "walk"       Scratch;
    "candidates" Where;
    "wanted"     Where;
    "chosen"     Where;
    "ops"        Table;
    "lanes"      Table;
    "fates"      Table;
    "fileset"    Table;
    "extents"    Table;
    "expect"     Table;
    "ledger"     Sums;
    "guesses"    Sums;
}

/// The built-in stage of this name.
///
/// # Errors
/// When there is none.
pub fn stage(name: &str) -> Result<&'static Stage> {
    let found = STAGES.iter().find(|(stage, _)| stage.name == name);
    found.map(|(stage, _)| stage).with_context(|| format!("there is no stage {name}"))
}
