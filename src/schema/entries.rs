//! What a dataset holds, finished or not: whoever deletes one looks whether somebody else put anything into it.

use super::dataset::{MANIFEST, Manifest};
use super::draft::{STAMP, STAMP_ASIDE};
use super::own;
use super::read::check::TAIL;
use super::tables::Table;
use crate::files::{self, Dir};
use crate::text;
use anyhow::{Result, bail, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::FileExt;

/// Where a generate puts rows for which it has no memory.
pub const SPILL: &str = "spill";

/// Does a file, or a directory, of this name belong to a dataset?
pub(super) fn made(name: &OsStr, directory: bool) -> bool {
    let Some(name) = name.to_str() else { return false };
    if directory {
        return name == SPILL;
    }
    let name = name.strip_suffix(".unfinished").unwrap_or(name);
    let numbered = |stem: &str, of: &str| {
        let number = stem.strip_prefix(of).unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    // Beside events that are being written stand their keys and what their footer will say.
    let table = [".parquet", ".keys", ".contents"].iter().find_map(|kind| name.strip_suffix(kind));
    match table {
        None => [MANIFEST, STAMP, STAMP_ASIDE].contains(&name),
        // The rows of stages, parts of `events` and of `results` that are not joined yet.
        Some(stem) => {
            Table::ALL.iter().any(|table| table.name() == stem)
                || own::is_file(stem)
                || stem.ends_with(".scratch")
                || numbered(stem, "run-")
                || numbered(stem, "results-")
        }
    }
}

/// Key of a manifest: an object that says of each Parquet file of the dataset, by its name, how many `bytes` it has and how many of
/// these are its `footer` (with the length and the magic number behind it). What reads from afar asks for a footer of that size.
pub const FILES: &str = "files";

/// What a manifest says of the Parquet files of a dataset: the size of the footer of each, by name. `None` when it says nothing. What
/// has no name of a table is left out.
pub(super) fn files(manifest: &Manifest) -> Option<BTreeMap<String, u64>> {
    let said = manifest.get(FILES)?.as_object()?;
    let tables = Table::ALL.iter().map(|table| table.file()).chain(own::names(manifest).into_iter().map(|name| own::file(&name)));
    let tables: Vec<String> = tables.collect();
    Some(tables.into_iter().filter_map(|name| Some((name.clone(), said.get(&name)?.get("footer")?.as_u64()?))).collect())
}

/// Refuses a dataset whose tables are not those that its manifest names: one that is lost would be taken for one that never was, and
/// answers without it would be wrong without a word. Earlier versions noted no names.
///
/// # Errors
/// When one is not there, or one is there that is not named.
pub(super) fn whole(manifest: &Manifest, dir: &Dir) -> Result<()> {
    let Some(named) = files(manifest) else { return Ok(()) };
    let place = text::word(dir.path());
    let there = |name: &str| dir.look(name).is_ok_and(|stat| !files::is_dir(&stat));
    if let Some(lost) = named.keys().find(|name| !there(name)) {
        bail!("{place} is damaged: {lost} is not there, which its manifest names: copy the dataset again, or make it anew");
    }
    let strange = Table::ALL.iter().map(|table| table.file()).find(|name| !named.contains_key(name) && there(name));
    if let Some(strange) = strange {
        bail!("{place} is damaged: its manifest does not name {strange}, which somebody else put there: move it away");
    }
    Ok(())
}

/// Notes in a manifest how large the Parquet files in a directory are, and their footers.
///
/// # Errors
/// When one cannot be read.
pub(super) fn note_files(manifest: &mut Manifest, dir: &Dir) -> Result<()> {
    let mut noted = Manifest::new();
    for name in Table::ALL.iter().map(|table| table.file()).chain(own::names(manifest).into_iter().map(|name| own::file(&name))) {
        let Ok(stat) = dir.look(&name) else { continue };
        let bytes = u64::try_from(stat.st_size).unwrap_or(0);
        let mut length = [0; 4];
        // A file that is no Parquet file is refused by whoever reads it.
        if bytes >= TAIL {
            dir.file(&name)?.read_exact_at(&mut length, bytes - TAIL)?;
        }
        let footer = (u64::from(u32::from_le_bytes(length)) + TAIL).min(bytes);
        noted.insert(name, json!({ "bytes": bytes, "footer": footer }));
    }
    manifest.insert(FILES.into(), noted.into());
    Ok(())
}

/// Deletes the files of a dataset, its manifest last: what is left when that is cut short is still known as one. The directory
/// stays, with the manifest.
///
/// # Errors
/// When something in it is not ioriot's, or cannot be deleted.
pub fn remove(dir: &Dir) -> Result<()> {
    pure(dir)?;
    Ok(files::clear(dir, &[MANIFEST])?)
}

/// Refuses a dataset, finished or not, in which something stands that ioriot did not make.
///
/// # Errors
/// When there is such a thing, with its name, or the directory cannot be read.
pub fn pure(dir: &Dir) -> Result<()> {
    for (name, _) in dir.entries()? {
        let directory = files::is_dir(&dir.look(&name)?);
        let shown = dir.at(&name).display().to_string();
        ensure!(made(&name, directory), "{} is not ioriot's: move it away before its dataset is deleted", text::shown(&shown));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_put_into_a_dataset_is_seen() {
        let ours = ["manifest.json", "begun.json", "begun.json.new", "events.keys", "ops.scratch.parquet", "run-12.parquet"];
        for name in ours.iter().chain(&[
            "results.parquet",
            "results-000003.parquet",
            "results-000003.parquet.unfinished",
            "own-mine.parquet",
        ]) {
            assert!(made(OsStr::new(name), false), "{name}");
            assert!(!made(OsStr::new(name), true), "{name}");
        }
        for name in [
            "notes",
            "latency.csv",
            "mine.parquet",
            "own-.parquet",
            "own-A.parquet",
            "run-.parquet",
            "results-1a.parquet",
            "manifest.json.bak",
            "spill",
        ] {
            assert!(!made(OsStr::new(name), false), "{name}");
        }
        assert!(made(OsStr::new(SPILL), true));
        let dir = tempfile::tempdir().unwrap();
        pure(&Dir::open(dir.path()).unwrap()).unwrap();
        std::fs::create_dir(dir.path().join("thesis\u{7}")).unwrap();
        let error = pure(&Dir::open(dir.path()).unwrap()).unwrap_err().to_string();
        assert!(error.contains("thesis") && !error.contains('\u{7}'), "{error}");
    }
}
