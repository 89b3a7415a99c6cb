//! The command that says whether a part of a workload is still of interest.

use super::table::{Kept, Workload};
use crate::files::{Dir, Lock, no_url, remove_tree};
use crate::process::group::{self, Ended};
use crate::schema::begun::{self, TRY};
use anyhow::{Context, Result};
use serde_json::json;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

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
    /// It had not ended in time.
    Late,
}

/// A shell command, and the directory in which parts are made for it.
#[derive(Debug)]
pub struct Asking {
    command: String,
    around: Dir,
    dir: Dir,
    _lock: Lock,
}

impl Asking {
    /// Makes the directory: `.NAME.tries` beside `out`. It is removed with this. From now on this process knows all that commands start.
    ///
    /// # Errors
    /// When it cannot be made, or another command works in it.
    pub fn new(command: String, out: &Path) -> Result<Asking> {
        no_url(out)?;
        let (around, out) = Dir::prepare(&std::path::absolute(out)?)?;
        let (dir, lock) = begun::tries(&around, &out)?;
        group::adopt().context("daemons of the command could not be ended")?;
        Ok(Asking { command, around, dir, _lock: lock })
    }

    /// Asks the command about a part; it may take no longer than `limit`.
    ///
    /// # Errors
    /// When the part cannot be written, the shell cannot be started, or what the command left cannot be removed.
    pub fn ask(&self, workload: &Workload, kept: &Kept, limit: Option<Duration>) -> Result<Answer> {
        let dir = self.dir.make(TRY, 0o700).with_context(|| format!("cannot make {}", self.dir.at(TRY).display()))?;
        let part = dir.path().join("work");
        let answer = workload.write(kept, &part, &json!({})).and_then(|data| {
            drop(data); // and its lock
            self.run(&part, limit)
        });
        // Whatever the command left beside it: trees, whose directories may be closed, and runs.
        let removed = dir.id().and_then(|id| remove_tree(&self.dir, TRY, id));
        let answer = answer?;
        // A command may clear up behind itself.
        let gone = || self.dir.look(TRY).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        let removed = removed.or_else(|error| if gone() { Ok(()) } else { Err(error) });
        removed.context("what the command left cannot be removed")?;
        Ok(answer)
    }

    fn run(&self, part: &Path, limit: Option<Duration>) -> Result<Answer> {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(&self.command).arg("sh").arg(part).env(VARIABLE, part);
        // Standard output is for the summary.
        shell.stdin(Stdio::null()).stdout(Stdio::null());
        let ended = group::run(&mut shell, limit).context("cannot run /bin/sh")?;
        // Daemons would go on, and write into what is removed.
        group::end_adopted().context("what the command started cannot be ended")?;
        Ok(match ended {
            Ended::Late => Answer::Late,
            Ended::Asked => Answer::Unknown,
            Ended::Alone(status) => match status.code() {
                Some(0) => Answer::Yes,
                None | Some(CANNOT_TELL) => Answer::Unknown,
                Some(_) => Answer::No,
            },
        })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // What cannot be removed is the user's to see.
        let _ = begun::end_tries(&self.around, &self.dir);
    }
}
