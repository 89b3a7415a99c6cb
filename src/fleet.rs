//! Fleets: a directory with a dataset `host=NAME` for each host, as Hive partitions are laid out.

use crate::process::signal::Transient;
use crate::schema::draft::is_unfinished;
use crate::store;
use crate::text::{self, shown, word};
use anyhow::{Result, ensure};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What the names of the directories of hosts begin with.
const HOST: &str = "host=";
/// So many hosts are named in a message.
const NAMED: usize = 8;

/// The datasets of single hosts in a directory: its entries `host=...`, sorted by name.
pub fn hosts(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name()).filter(|name| name.as_bytes().starts_with(HOST.as_bytes()));
    let mut hosts: Vec<_> = names.map(|name| dir.join(name)).collect();
    hosts.sort();
    hosts
}

/// The hosts of a fleet; `None` for what is a dataset itself, or no fleet.
///
/// # Errors
/// When a store does not answer.
pub fn of(dir: &Path) -> Result<Option<Vec<PathBuf>>> {
    let hosts = if store::is(dir) { store::hosts(dir)? } else { hosts(dir) };
    Ok((!hosts.is_empty() && fs::symlink_metadata(dir.join("manifest.json")).is_err()).then_some(hosts))
}

/// The name of the dataset of a host in a fleet.
pub fn dataset(host: &str) -> String {
    format!("{HOST}{host}")
}

/// Refuses a fleet where the dataset of one host is wanted.
///
/// # Errors
/// When the directory is that of a fleet: its hosts are named.
pub fn refuse(dir: &Path) -> Result<()> {
    let Some(hosts) = of(dir)? else { return Ok(()) };
    let more = hosts.len().saturating_sub(NAMED);
    let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    let named = hosts.iter().take(NAMED).map(|host| shown(&text::encode(host.as_os_str().as_bytes())).to_string());
    let each = format!("\nor each in turn: for host in {}/{HOST}*; do ioriot ... \"$host\" ...; done", word(dir));
    let each = if store::is(dir) { String::new() } else { each };
    anyhow::bail!(
        "{} holds the datasets of {} hosts, and that of one is wanted here: name one of\n  {}{more}{each}",
        dir.display(),
        hosts.len(),
        named.collect::<Vec<_>>().join("\n  ")
    )
}

/// The directory of a fleet in which the datasets of its hosts are being made. Dropped, it is removed if it was made for them and
/// holds none; so it is when a signal ends this process.
#[derive(Debug)]
pub struct Place {
    dir: PathBuf,
    /// Removes the directory at a signal; `None` when there was such a directory before.
    made: Option<Transient>,
}

impl Place {
    /// The directory, which the drafts of the datasets make. What a killed writer left of a fleet may be in it: drafts, which are
    /// begun again.
    ///
    /// # Errors
    /// When there is something else in it.
    pub fn begin(dir: &Path) -> Result<Place> {
        let left = |name: &OsStr| is_unfinished(name) && name.as_bytes().starts_with(format!(".{HOST}").as_bytes());
        let stood = fs::symlink_metadata(dir).is_ok();
        let free =
            !stood || fs::read_dir(dir).is_ok_and(|mut all| all.all(|entry| entry.is_ok_and(|entry| left(&entry.file_name()))));
        ensure!(free, "{} exists already: remove it or choose another name", dir.display());
        let place = dir.to_owned();
        // Drafts in it are begun later, so they go before it.
        let go = move || {
            let _ = fs::remove_dir(&place);
            true
        };
        let made = (!stood).then(|| Transient::make(go, || anyhow::Ok(()))).transpose()?.map(|(made, ())| made);
        Ok(Place { dir: dir.to_owned(), made })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.made.is_some() {
            // Only an empty directory goes.
            let _ = fs::remove_dir(&self.dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_with_odd_entries_is_no_fleet() {
        let dir = tempfile::tempdir().unwrap();
        assert!(of(dir.path()).unwrap().is_none());
        for name in ["host=b", "host=a", "other"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        assert_eq!(of(dir.path()).unwrap().unwrap(), ["host=a", "host=b"].map(|name| dir.path().join(name)));
        fs::write(dir.path().join("manifest.json"), "").unwrap();
        assert!(of(dir.path()).unwrap().is_none());
    }

    #[test]
    fn many_hosts_are_not_all_named_and_none_raw() {
        let dir = tempfile::tempdir().unwrap();
        for host in 0..20 {
            fs::create_dir(dir.path().join(format!("host=\u{1b}{host:02}"))).unwrap();
        }
        let said = format!("{:#}", refuse(dir.path()).unwrap_err());
        assert!(said.contains("20 hosts") && said.contains("and 12 more") && !said.contains('\u{1b}'), "{said}");
    }

    #[test]
    fn a_place_goes_when_nothing_was_made_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("fleet");
        let begun = Place::begin(&place).unwrap();
        fs::create_dir(&place).unwrap();
        drop(begun);
        assert!(!place.exists());
        // What was left unfinished is no obstacle, and neither is an empty directory: which stays.
        fs::create_dir_all(place.join(".host=a.unfinished")).unwrap();
        drop(Place::begin(&place).unwrap());
        assert!(place.exists());
        fs::create_dir(place.join("host=a")).unwrap();
        Place::begin(&place).unwrap_err();
    }
}
