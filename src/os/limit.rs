//! A memory limit for this process and all that it starts: a control group of its own.

use super::settings::{Group, groups};
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::Error;
use std::path::{Path, PathBuf};

/// A control group that this process is in until it is dropped; then the process is back where it was, and the group is gone.
#[derive(Debug)]
pub struct Limited {
    own: PathBuf,
    before: PathBuf,
}

/// What to do where it cannot be had.
const ELSE: &str = "a memory limit takes a control group that may limit memory, and this process may make none: run it as root, or by \
                    `systemd-run --scope -p MemoryMax=SIZE ioriot ...` instead of --memory-limit";

impl Limited {
    /// Puts this process into a new control group with this limit, bytes.
    ///
    /// # Errors
    /// When no such group can be made, or the limit cannot be set.
    pub fn enter(bytes: u64) -> Result<Limited> {
        let mut why = None;
        for Group { top, dir, limit } in groups(None) {
            // In version 2 a group with processes has no groups below it that limit memory: then it is made beside.
            for above in [Some(&*dir), dir.parent().filter(|above| above.starts_with(&top))].into_iter().flatten() {
                match Limited::make(above, &dir, limit, bytes) {
                    Ok(limited) => return Ok(limited),
                    Err(error) => why = Some(error),
                }
            }
        }
        match why {
            Some(error) => Err(error).context(ELSE),
            None => bail!("{ELSE}"),
        }
    }

    fn make(above: &Path, before: &Path, limit: &str, bytes: u64) -> Result<Limited, Error> {
        let own = above.join(format!("ioriot-{}", std::process::id()));
        fs::create_dir(&own)?;
        // Dropped, it takes the directory away.
        let made = Limited { own: own.clone(), before: before.to_owned() };
        fs::write(own.join(limit), bytes.to_string())?;
        fs::write(own.join(PROCESSES), "0")?;
        Ok(made)
    }
}

/// Name of the file with the processes of a group; 0 stands for the one that writes.
const PROCESSES: &str = "cgroup.procs";

impl Drop for Limited {
    fn drop(&mut self) {
        let back = fs::write(self.before.join(PROCESSES), "0");
        if let Err(error) = back.and_then(|()| fs::remove_dir(&self.own)) {
            log::warn!("the control group {} stays: {error}", self.own.display());
        }
    }
}
