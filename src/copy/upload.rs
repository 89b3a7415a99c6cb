//! To a store: a note of what is sent, the tables, the manifest; then the note goes.

use super::Summary;
use super::marker::{self, Begun, Marker, Sent, is_table};
use crate::files::Dir;
use crate::progress::{Progress, Unit};
use crate::schema::{Dataset, Table};
use crate::store::{self, Put};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

const MANIFEST: &str = "manifest.json";

/// Copies a dataset of this machine to a URL.
///
/// # Errors
/// As [`super::run`].
pub(super) fn run(data: &Dataset, url: &Path, summary: &mut Summary, progress: &Progress) -> Result<()> {
    let dir = Dir::open(&data.dir)?;
    let manifest = dir.text(MANIFEST)?;
    let there = store::find(url)?;
    if there.contains_key(MANIFEST) {
        let same = store::get(&url.join(MANIFEST))?.as_deref() == Some(&manifest);
        ensure!(same, "{} exists already: choose another place", url.display());
        return gone(url, there.contains_key(marker::NAME));
    }
    let old = Marker::read(url)?;
    let foreign = there.keys().find(|name| *name != marker::NAME && !(old.is_some() && is_table(name)));
    if let Some(name) = foreign {
        bail!("{} holds {name:?}, which is not of a copy that was begun there: choose another place", url.display());
    }
    let files = tables(data, &dir, progress)?;
    let noted = files.iter().map(|(name, (_, sent))| (name.clone(), sent.clone())).collect();
    let whole = cleared(url, old, &there, &noted)?;
    let mut marker = Marker::new(noted);
    marker.write(url)?;
    progress.begin("upload", Unit::Bytes, files.values().map(|(_, sent)| sent.bytes).sum());
    for (name, (file, sent)) in &files {
        if whole.contains_key(name) {
            summary.resumed += sent.bytes;
            progress.add(sent.bytes);
            continue;
        }
        let mut begun = |id: &str| {
            marker.begun = Some(Begun { name: name.clone(), id: id.to_owned() });
            marker.write(url)
        };
        store::put_file(&url.join(name), file, sent.bytes, &mut begun, &mut |bytes| progress.add(bytes))?;
        summary.bytes += sent.bytes;
    }
    let last = store::put(&url.join(MANIFEST), manifest, Put::Once);
    last.with_context(|| format!("{} has got a manifest meanwhile, or takes none", url.display()))?;
    gone(url, true)
}

/// The tables of a dataset, open, with their sizes and hashes, by name.
fn tables(data: &Dataset, dir: &Dir, progress: &Progress) -> Result<BTreeMap<String, (File, Sent)>> {
    let mut files = BTreeMap::new();
    for name in Table::ALL.iter().filter(|table| data.has(**table)).map(|table| table.file()) {
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
    old: Option<Marker>,
    there: &BTreeMap<String, u64>,
    new: &BTreeMap<String, Sent>,
) -> Result<BTreeMap<String, Sent>> {
    let old = old.unwrap_or_default();
    give_up(url, &old);
    let mut whole = BTreeMap::new();
    for (name, bytes) in there.iter().filter(|(name, _)| is_table(name)) {
        match new.get(name).filter(|sent| old.files.get(name) == Some(sent) && sent.bytes == *bytes) {
            Some(sent) => drop(whole.insert(name.clone(), sent.clone())),
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
    let marker = Marker::read(url)?.with_context(|| format!("no copy was begun at {}", url.display()))?;
    give_up(url, &marker);
    let left: Vec<_> = there.iter().filter(|(name, _)| is_table(name)).collect();
    left.iter().try_for_each(|(name, _)| store::delete(&url.join(name)))?;
    gone(url, true)?;
    Ok(left.iter().map(|(_, bytes)| **bytes).sum())
}
