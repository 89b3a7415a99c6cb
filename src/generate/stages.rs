//! The stages of generate, in the order in which they run.

use crate::engine::Stage;
use anyhow::{Context, Result};

/// What a stage is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Run once, for all that follow.
    Walk,
    /// Only with `--where`.
    Where,
    /// A table of the workload, made while the walk streams by.
    Table,
    /// Sums for the manifest, made at the same time.
    Sums,
    /// A table made of tables.
    After,
}

macro_rules! stages {
    ($($name:literal $role:ident;)*) => {
        /// The stages and what they are for.
        pub static STAGES: &[(Stage, Role)] =
            &[$((Stage::new($name, include_str!(concat!("../../sql/generate/", $name, ".sql"))), Role::$role)),*];
    };
}

stages! {
    "walk"       Walk;
    "candidates" Where;
    "wanted"     Where;
    "seeks"      Where;
    "chosen"     Where;
    "ops"        Table;
    "fates"      Table;
    "fileset"    Table;
    "extents"    Table;
    "expect"     Table;
    "ledger"     Sums;
    "guesses"    Sums;
    "lanes"      After;
}

/// The names of the stages that have this role.
pub fn with(role: Role) -> impl Iterator<Item = &'static str> {
    STAGES.iter().filter(move |(_, has)| *has == role).map(|(stage, _)| stage.name)
}

/// The built-in stage of this name.
///
/// # Errors
/// When there is none.
pub fn stage(name: &str) -> Result<&'static Stage> {
    let found = STAGES.iter().find(|(stage, _)| stage.name == name);
    found.map(|(stage, _)| stage).with_context(|| format!("there is no stage {name}"))
}
