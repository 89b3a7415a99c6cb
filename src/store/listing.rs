//! What is at a place: the manifest of a dataset and its tables, the hosts of a fleet, what a pattern matches.

use super::client::{Scheme, at, wait};
use super::name::{is_pattern, matches};
use crate::limits;
use anyhow::{Context, Result, bail, ensure};
use object_store::ListResult;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Name of the manifest of a dataset.
const MANIFEST: &str = "manifest.json";
/// What the names of hosts of a fleet begin with.
const HOST: &str = "host=";
/// So many places a pattern may match, and so many hosts a fleet may have, at most.
const MOST: usize = 100_000;

/// What is known of tables in stores, by their URLs: the size of the footer, where the manifest says it.
static TABLES: Mutex<BTreeMap<PathBuf, Option<u64>>> = Mutex::new(BTreeMap::new());

/// The text of a dataset's manifest.
///
/// # Errors
/// When there is none, it is too long, or the store does not answer.
pub fn manifest(url: &Path) -> Result<Vec<u8>> {
    let place = at(url)?.below(MANIFEST);
    let none = || format!("{} is not a dataset: it has no manifest.json, so it is no dataset or was not finished", url.display());
    Ok(wait(async move { place.get(None, limits::JSON).await })?.with_context(none)?.bytes.to_vec())
}

/// Notes which tables a dataset has: what its manifest says, with the size of their footers, or what is there.
///
/// # Errors
/// When the manifest says nothing, and the store does not answer or cannot list.
pub fn know(url: &Path, said: Option<BTreeMap<String, u64>>) -> Result<()> {
    let found = match said {
        Some(said) => said.into_iter().map(|(name, footer)| (name, Some(footer))).collect(),
        None => listed(url)?
            .objects
            .iter()
            .filter_map(|object| Some((object.location.filename()?.to_owned(), None)))
            .collect::<BTreeMap<_, _>>(),
    };
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    tables.retain(|table, _| table.parent() != Some(url));
    tables.extend(found.into_iter().map(|(name, footer)| (url.join(name), footer)));
    Ok(())
}

/// Is there a table of this URL, of a dataset that was opened?
pub fn holds(table: &Path) -> bool {
    TABLES.lock().unwrap_or_else(PoisonError::into_inner).contains_key(table)
}

/// Size of a table's footer, bytes, where it is known.
pub(super) fn footer(table: &Path) -> Option<u64> {
    TABLES.lock().unwrap_or_else(PoisonError::into_inner).get(table).copied().flatten()
}

/// The URLs of the hosts of a fleet, sorted; none for what is a dataset itself, or no fleet. Web servers list nothing.
///
/// # Errors
/// When the store does not answer.
pub fn hosts(url: &Path) -> Result<Vec<PathBuf>> {
    if at(url)?.scheme == Scheme::Http {
        return Ok(Vec::new());
    }
    let found = listed(url)?;
    if found.objects.iter().any(|object| object.location.filename() == Some(MANIFEST)) {
        return Ok(Vec::new());
    }
    let names = found.common_prefixes.iter().filter_map(|prefix| prefix.filename()).filter(|name| name.starts_with(HOST));
    let mut hosts: Vec<PathBuf> = names.map(|name| url.join(name)).collect();
    ensure!(hosts.len() <= MOST, "{} has more than {MOST} hosts", url.display());
    hosts.sort();
    Ok(hosts)
}

/// The places that a URL with `*`, `?` or `[...]` in its path matches, a part of the path at a time, sorted; without them the URL itself.
///
/// # Errors
/// When nothing matches, or the store does not answer or cannot list.
pub fn expand(url: &Path) -> Result<Vec<PathBuf>> {
    let text = url.to_str().with_context(|| format!("{} is no UTF-8", url.display()))?;
    let (scheme, rest) = text.split_once("://").with_context(|| format!("{text} is no URL"))?;
    let mut parts = rest.trim_end_matches('/').split('/');
    let bucket = parts.next().unwrap_or_default();
    ensure!(!is_pattern(bucket), "{text}: the name of a bucket is no pattern");
    let mut places = vec![PathBuf::from(format!("{scheme}://{bucket}"))];
    for part in parts {
        if !is_pattern(part) {
            places.iter_mut().for_each(|place| place.push(part));
            continue;
        }
        ensure!(!matches!(scheme, "http" | "https"), "{text}: a web server lists nothing, so patterns match nothing there");
        let mut found = Vec::new();
        for place in &places {
            let listed = listed(place)?;
            let names = listed.common_prefixes.iter().filter_map(|prefix| prefix.filename());
            found.extend(names.filter(|name| matches(OsStr::new(part), OsStr::new(name))).map(|name| place.join(name)));
            ensure!(found.len() <= MOST, "{text} matches more than {MOST} places");
        }
        places = found;
    }
    if places.is_empty() {
        bail!("nothing matches {text}");
    }
    places.sort();
    Ok(places)
}

/// What is directly at a place: objects, and prefixes of others.
pub(super) fn listed(url: &Path) -> Result<ListResult> {
    let at = at(url)?;
    ensure!(at.scheme != Scheme::Http, "{}: a web server lists nothing, and the manifest does not name the files", at.url);
    wait(async move {
        let prefix = (!at.key.as_ref().is_empty()).then_some(&at.key);
        at.soon(at.store.list_with_delimiter(prefix)).await?.with_context(|| format!("cannot list {}", at.url))
    })
}
