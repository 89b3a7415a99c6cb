//! The library entries that are not there yet, with the shape they will have. To wire a verb, delete its module here
//! and name the real one in the `use` of its file.

#![allow(missing_docs, dead_code)]

use crate::progress::Progress;
use anyhow::{Result, bail};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

#[derive(Debug, Default, Serialize)]
pub struct Summary {}

impl Summary {
    pub fn ok(&self) -> bool {
        true
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

pub mod init {
    use super::*;

    #[derive(Clone, Debug)]
    pub struct Options {
        pub workload: PathBuf,
        pub root: PathBuf,
        pub force: bool,
        pub sparse_unread: bool,
        pub threads: usize,
    }

    pub fn run(_: &Options, _: &Progress) -> Result<Summary> {
        bail!("init is not built yet")
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
    pub enum Thing {
        Root,
        Old,
        Run,
        Unfinished,
    }

    #[derive(Clone, Debug, Serialize)]
    pub struct Found {
        pub path: PathBuf,
        pub thing: Thing,
        pub state: Option<String>,
        pub bytes: u64,
    }

    pub fn find(_: &Path) -> Result<Vec<Found>> {
        bail!("init is not built yet")
    }

    pub fn remove(_: &Found) -> Result<()> {
        bail!("init is not built yet")
    }
}

pub mod replay {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Engine {
        Sys,
        Null,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Pace {
        Asap,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Order {
        Strict,
    }

    #[derive(Clone, Debug)]
    pub struct Options {
        pub workload: PathBuf,
        pub root: PathBuf,
        pub out: PathBuf,
        pub threads: Option<usize>,
        pub engine: Engine,
        pub pace: Pace,
        pub order: Order,
        pub min_match: f64,
        pub dirty: bool,
    }

    pub fn run(_: &Options, _: &Progress) -> Result<Summary> {
        bail!("replay is not built yet")
    }

    pub mod child {
        use std::ffi::OsString;
        use std::process::ExitCode;

        pub const VERB: &str = "replay-child";

        pub fn main(_: impl Iterator<Item = OsString>) -> ExitCode {
            ExitCode::from(2)
        }
    }
}
