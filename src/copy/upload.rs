//! To a store: a note of what is sent, the tables, the manifest; then the note goes.

use super::Summary;
use super::marker::{self, Begun, Marker, Sent, is_table};
use crate::files::Dir;
use crate::progress::{Progress, Unit};
use crate::schema::{Dataset, Table, own};
use crate::store::{self, Found, Put, Version};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

const MANIFEST: &str = "manifest.json";
/// So often something that another copy put is replaced.
const TRIES: usize = 3;
/// So long a copy that was replaced has for deleting the manifest that it put.
const WITHDRAWN: Duration = Duration::from_secs(5);

/// Copies a dataset of this machine to a URL.
///
/// # Errors
/// As [`super::run`].
pub(super) fn run(data: &Dataset, url: &Path, summary: &mut Summary, progress: &Progress) -> Result<()> {
    let dir = Dir::open(&data.dir)?;
    let manifest = dir.text(MANIFEST)?;
    let there = store::find(url)?;
    if there.contains_key(MANIFEST) {
        let same = store::get(&url.join(MANIFEST))?.is_some_and(|(there, _)| there == manifest);
        ensure!(same, "{} exists already: choose another place", url.display());
        return gone(url, there.contains_key(marker::NAME));
    }
    let old = Marker::read(url)?;
    let foreign = there.keys().find(|name| *name != marker::NAME && !(old.is_some() && is_table(name)));
    if let Some(name) = foreign {
        bail!("{} holds {name:?}, which is not of a copy that was begun there: choose another place", url.display());
    }
    let files = tables(data, &dir, progress)?;
    let mut marker = Marker::new(old)?;
    marker.write(url)?;
    // The copy before this one looks at the note after its manifest: one of the two sees the other.
    ensure!(store::get(&url.join(MANIFEST))?.is_none(), "{} has got a manifest meanwhile: choose another place", url.display());
    let noted = files.iter().map(|(name, (_, sent))| (name.clone(), sent.clone())).collect();
    let mut whole = cleared(url, &marker, &there, &noted)?;
    (marker.files, marker.begun) = (noted, None);
    marker.write(url)?;
    progress.begin("upload", Unit::Bytes, files.values().map(|(_, sent)| sent.bytes).sum());
    for (name, (file, sent)) in &files {
        if whole.contains_key(name) {
            summary.resumed += sent.bytes;
            progress.add(sent.bytes);
            continue;
        }
        whole.insert(name.clone(), table(url, name, file, sent.bytes, &mut marker, progress)?);
        summary.bytes += sent.bytes;
    }
    published(url, &manifest, &marker, &whole)?;
    gone(url, true)
}

/// Puts a table, and returns its version.
fn table(url: &Path, name: &str, file: &File, size: u64, marker: &mut Marker, progress: &Progress) -> Result<Version> {
    let place = url.join(name);
    for _ in 0..TRIES {
        marker.stands(url)?;
        let mut begun = |id: &str| {
            marker.begun = Some(Begun { name: name.to_owned(), id: id.to_owned() });
            marker.write(url)
        };
        if let Some(version) = store::put_file(&place, file, size, &mut begun, &mut |bytes| progress.add(bytes))? {
            return Ok(version);
        }
        // It was put by a copy that this one has replaced, or by a request of this one that was thought lost.
        marker.stands(url)?;
        store::delete(&place)?;
    }
    bail!("{} is there again and again: something else writes to {}", place.display(), url.display())
}

/// Puts the manifest, with which the dataset is one, when every table is the one that was put.
fn published(url: &Path, manifest: &[u8], marker: &Marker, tables: &BTreeMap<String, Version>) -> Result<()> {
    let place = url.join(MANIFEST);
    for _ in 0..TRIES {
        let there = store::find(url)?;
        let ours = |name: &String, version: &Version| there.get(name).is_some_and(|found| found.version.same(version));
        if let Some((name, _)) = tables.iter().find(|(name, version)| !ours(name, version)) {
            bail!("{name} is another one by now: something else writes to {}", url.display());
        }
        marker.stands(url)?;
        let put = store::put(&place, manifest.to_vec(), Put::Once)?;
        if put.is_some() {
            let stands = marker.stands(url);
            if stands.is_err() {
                // The other copy deletes tables of this one.
                store::delete(&place)?;
            }
            return stands;
        }
        // The copy before this one put it just now, and deletes it, unless it was killed.
        std::thread::sleep(WITHDRAWN);
        marker.stands(url)?;
        store::delete(&place)?;
    }
    bail!("{} is there again and again: something else writes to {}", place.display(), url.display())
}

/// The tables of a dataset, open, with their sizes and hashes, by name.
fn tables(data: &Dataset, dir: &Dir, progress: &Progress) -> Result<BTreeMap<String, (File, Sent)>> {
    let mut files = BTreeMap::new();
    let own = data.own().into_iter().map(|(name, _)| own::file(&name));
    for name in Table::ALL.iter().filter(|table| data.has(**table)).map(|table| table.file()).chain(own) {
        let file = dir.file(&name)?;
        let bytes = file.metadata()?.len();
        progress.begin("read", Unit::Bytes, bytes);
        let (mut hash, mut buffer, mut left) = (blake3::Hasher::new(), vec![0; 1 << 20], &file);
        loop {
            let read = left.read(&mut buffer).with_context(|| format!("cannot read {}", dir.at(&name).display()))?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            progress.add(read as u64);
        }
        files.insert(name, (file, Sent { bytes, blake3: hash.finalize().to_hex().to_string() }));
    }
    Ok(files)
}

/// Gives up what a killed upload has begun, and deletes what it sent of other files; returns what it sent of these.
fn cleared(
    url: &Path,
    old: &Marker,
    there: &BTreeMap<String, Found>,
    new: &BTreeMap<String, Sent>,
) -> Result<BTreeMap<String, Version>> {
    give_up(url, old);
    let mut whole = BTreeMap::new();
    for (name, found) in there.iter().filter(|(name, _)| is_table(name)) {
        match new.get(name).filter(|sent| old.files.get(name) == Some(sent) && sent.bytes == found.bytes) {
            Some(_) => drop(whole.insert(name.clone(), found.version.clone())),
            None => store::delete(&url.join(name))?,
        }
    }
    Ok(whole)
}

/// Ends an upload in parts that nobody goes on with.
fn give_up(url: &Path, marker: &Marker) {
    if let Some(begun) = &marker.begun
        && let Err(error) = store::abort(&url.join(&begun.name), &begun.id)
    {
        // It may have come to its end.
        log::info!("{error:#}");
    }
}

/// Deletes the note of an upload that is complete.
fn gone(url: &Path, there: bool) -> Result<()> {
    if there { store::delete(&url.join(marker::NAME)) } else { Ok(()) }
}

/// Deletes what an upload that did not come to its end has left at a URL. Returns how many bytes there were.
///
/// # Errors
/// When there is a dataset, or nothing that an upload left, or the store does not answer.
pub fn discard(url: &Path) -> Result<u64> {
    store::ready(url)?;
    let there = store::find(url)?;
    ensure!(!there.contains_key(MANIFEST), "{} is a dataset, and not what a copy has left", url.display());
    let old = Marker::read(url)?.with_context(|| format!("no copy was begun at {}", url.display()))?;
    // A copy that is still under way sees that the note is another one, and ends.
    let mut marker = Marker::new(Some(old))?;
    marker.write(url)?;
    give_up(url, &marker);
    let left: Vec<_> = there.iter().filter(|(name, _)| is_table(name)).collect();
    left.iter().try_for_each(|(name, _)| store::delete(&url.join(name)))?;
    gone(url, true)?;
    Ok(left.iter().map(|(_, found)| found.bytes).sum())
}
