//! What stands for copies in a build without stores: outputs on this machine need none, and others are refused.

use crate::progress::Progress;
use crate::store;
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};

/// A directory of this machine in which a command writes what is to go to a store: there is none.
#[derive(Debug)]
pub enum Spool {}

impl Spool {
    /// `None` for an output on this machine.
    ///
    /// # Errors
    /// When the output is in a store, or a spool is asked for.
    pub fn of(out: &Path, asked: Option<PathBuf>) -> Result<Option<Spool>> {
        if store::is(out) {
            store::ready(out)?;
        }
        ensure!(asked.is_none(), "--spool is for outputs in a store, and {} is none", out.display());
        Ok(None)
    }

    /// Where the command writes.
    pub fn dir(&self) -> &Path {
        match *self {}
    }

    /// Nothing is sent.
    ///
    /// # Errors
    /// None.
    pub fn send(self, _: &Progress) -> Result<()> {
        match self {}
    }
}

/// A workload of a store on this machine: there is none.
#[derive(Debug)]
pub enum Fetched {}

impl Fetched {
    /// `None` for a workload of this machine.
    ///
    /// # Errors
    /// When it is in a store.
    pub fn of(workload: &Path, _: &Path, _: &Progress) -> Result<Option<Fetched>> {
        if store::is(workload) {
            store::ready(workload)?;
        }
        Ok(None)
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        match *self {}
    }
}
