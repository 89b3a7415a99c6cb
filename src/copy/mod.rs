//! Copies datasets and fleets between this machine and stores. A dataset becomes visible when all of it is there: its manifest goes
//! last, and what a killed copy left has none.

mod download;
mod marker;
mod upload;

use crate::amount::Bytes;
use crate::fleet::{self, Place};
use crate::process::stdio;
use crate::progress::Progress;
use crate::schema::{Dataset, entries};
use crate::store;
use crate::text::shown;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

pub use upload::discard;

/// What was copied.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Where it was.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub from: PathBuf,
    /// Where it is.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub to: PathBuf,
    /// Number of datasets.
    pub datasets: u64,
    /// Bytes that were sent or fetched.
    pub bytes: u64,
    /// Bytes that an earlier copy, which did not come to its end, had sent.
    pub resumed: u64,
}

/// Copies a dataset, or each of a fleet, to a place where there is none: from a store to this machine, or the other way.
///
/// # Errors
/// When there is no dataset, something is at the place already, both are on this machine or neither is, or the store does not answer.
/// What was sent until then stays, without a manifest, and the same copy goes on from there.
pub fn run(from: &Path, to: &Path, progress: &Progress) -> Result<Summary> {
    ensure!(
        store::is(from) != store::is(to),
        "{} and {} are both in stores or both on this machine: one of them is copied to the other kind of place",
        from.display(),
        to.display()
    );
    let mut summary = Summary { from: from.to_owned(), to: to.to_owned(), ..Summary::default() };
    let up = store::is(to);
    if up {
        store::ready(to)?;
    }
    let mut one = |from: &Path, to: &Path| -> Result<()> {
        let data = Dataset::open(from)?;
        match up {
            true => upload::run(&data, to, &mut summary, progress)?,
            false => download::run(&data, to, &mut summary, progress)?,
        }
        summary.datasets += 1;
        Ok(())
    };
    match fleet::of(from)? {
        None => one(from, to)?,
        Some(hosts) => {
            let _place = if up { None } else { Some(Place::begin(to)?) };
            for host in hosts {
                let name = host.file_name().context("a host has a name")?.to_owned();
                // What was whole before is not sent again.
                one(&host, &to.join(&name)).with_context(|| shown(&name.to_string_lossy()).to_string())?;
            }
        }
    }
    Ok(summary)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from.display().to_string(), self.to.display().to_string());
        write!(f, "copied {} to {}: {}", shown(&from), shown(&to), Bytes(self.bytes))?;
        if self.resumed > 0 {
            write!(f, ", and {} were there", Bytes(self.resumed))?;
        }
        Ok(())
    }
}

/// A directory of this machine in which a command writes what is to go to a store.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    url: PathBuf,
}

impl Spool {
    /// The spool for a URL: the directory that was asked for, else one in the working directory, named after the end of the URL. `None`
    /// for an output on this machine.
    ///
    /// # Errors
    /// When nothing can be written to the URL, or a spool is asked for and not needed.
    pub fn of(out: &Path, asked: Option<PathBuf>) -> Result<Option<Spool>> {
        if !store::is(out) {
            ensure!(asked.is_none(), "--spool is for outputs in a store, and {} is none", out.display());
            return Ok(None);
        }
        store::ready(out)?;
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        let dir = asked.unwrap_or_else(|| PathBuf::from(format!("./{}.spool", name.trim_start_matches('.'))));
        ensure!(
            !dir.exists(),
            "{} exists already: `ioriot copy {0} {}` sends what is in it; or remove it, or name another one with --spool",
            dir.display(),
            out.display()
        );
        Ok(Some(Spool { dir, url: out.to_owned() }))
    }

    /// Where the command writes.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Copies what the command wrote to the store, and deletes it here.
    ///
    /// # Errors
    /// When it cannot be copied: it stays here, and the error says how to go on.
    pub fn send(self, progress: &Progress) -> Result<()> {
        let (dir, url) = (self.dir.display(), self.url.display());
        let sent = run(&self.dir, &self.url, progress);
        let sent =
            sent.with_context(|| format!("it is whole in {dir}, and not in the store: `ioriot copy {dir} {url}` goes on"))?;
        match fleet::of(&self.dir)? {
            Some(hosts) => {
                hosts.iter().try_for_each(|host| forget(host))?;
                let (around, name) = crate::files::Dir::around(&self.dir)?;
                around.rmdir(&name)?;
            }
            None => forget(&self.dir)?,
        }
        stdio::mention(sent);
        Ok(())
    }
}

/// A workload of a store that was copied to this machine for a replay, whose sandbox has no network. Dropped, it is deleted.
#[derive(Debug)]
pub struct Fetched(PathBuf);

impl Fetched {
    /// Copies the workload beside the run that is to be made of it; `None` for a workload of this machine.
    ///
    /// # Errors
    /// As [`run`].
    pub fn of(workload: &Path, run_dir: &Path, progress: &Progress) -> Result<Option<Fetched>> {
        if !store::is(workload) {
            return Ok(None);
        }
        let mut name = run_dir.file_name().context("a run has a name")?.to_owned();
        name.push(".workload");
        let dir = run_dir.with_file_name(name);
        run(workload, &dir, progress)?;
        Ok(Some(Fetched(dir)))
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.0
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        if let Err(error) = forget(&self.0) {
            stdio::complain(shown(&format!("{} stays: {error:#}", self.0.display())));
        }
    }
}

/// Deletes a dataset of this machine that is elsewhere, too.
fn forget(dir: &Path) -> Result<()> {
    let (around, name) = crate::files::Dir::around(dir)?;
    let opened = around.dir(&name)?;
    entries::remove(&opened)?;
    opened.unlink("manifest.json")?;
    Ok(around.rmdir(&name)?)
}
