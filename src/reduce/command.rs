//! The command that says whether a part of a workload is still of interest.

use super::table::{Kept, Workload};
use crate::process::signal;
use anyhow::{Context, Result};
use serde_json::json;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Exit code by which a command says that it cannot tell, as for `git bisect run`.
const CANNOT_TELL: i32 = 125;
/// Name of the environment variable with the path of the part.
pub const VARIABLE: &str = "IORIOT_WORKLOAD";

/// What a command said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It succeeded: exit code 0.
    Yes,
    /// Any other exit code.
    No,
    /// Exit code 125, a signal, or this process was asked to end meanwhile.
    Unknown,
}

/// A shell command, and the directory in which parts are made for it.
#[derive(Debug)]
pub struct Asking {
    command: String,
    dir: PathBuf,
}

impl Asking {
    /// Makes the directory: `.NAME.tries` beside `out`. It is removed with this.
    ///
    /// # Errors
    /// When it cannot be made, or is there already.
    pub fn new(command: String, out: &Path) -> Result<Asking> {
        let mut name = std::ffi::OsString::from(".");
        name.push(out.file_name().context("the result has no name")?);
        name.push(".tries");
        let dir = std::path::absolute(out.with_file_name(name))?;
        private(&dir)?;
        Ok(Asking { command, dir })
    }

    /// Asks the command about a part.
    ///
    /// # Errors
    /// When the part cannot be written or the shell cannot be started.
    pub fn ask(&self, workload: &Workload, kept: &Kept) -> Result<Answer> {
        let dir = self.dir.join("try");
        private(&dir)?;
        let part = dir.join("work");
        let answer = workload.write(kept, &part, &json!({})).and_then(|data| {
            drop(data); // and its lock
            self.run(&part)
        });
        // Whatever the command left beside it: trees and runs.
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        answer
    }

    fn run(&self, part: &Path) -> Result<Answer> {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(&self.command).arg("sh").arg(part).env(VARIABLE, part);
        // Standard output is for the summary.
        let status = shell.stdin(Stdio::null()).stdout(Stdio::null()).status().context("cannot start /bin/sh")?;
        Ok(match status.code() {
            _ if signal::asked().is_some() => Answer::Unknown,
            Some(0) => Answer::Yes,
            None | Some(CANNOT_TELL) => Answer::Unknown,
            Some(_) => Answer::No,
        })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // What cannot be removed is the user's to see.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Makes a directory that is for its owner only.
fn private(dir: &Path) -> Result<()> {
    fs::DirBuilder::new().mode(0o700).create(dir).with_context(|| format!("cannot make {}", dir.display()))
}
