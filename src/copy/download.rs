//! From a store: a draft, as of any dataset that is written.

use super::Summary;
use crate::progress::{Progress, Unit};
use crate::schema::{Dataset, Draft, Table, own};
use crate::store::Object;
use anyhow::{Context, Result};
use std::io::Write;
use std::path::Path;

/// Bytes that are fetched at once.
const STEP: u64 = 16 << 20;

/// Copies a dataset of a store to a directory.
///
/// # Errors
/// As [`super::run`]; then nothing is there.
pub(super) fn run(data: &Dataset, place: &Path, summary: &mut Summary, progress: &Progress) -> Result<()> {
    let draft = Draft::create(place, data.kind)?;
    let tables = Table::ALL.iter().filter(|table| data.has(**table)).map(|table| (table.file(), data.table(*table)));
    for (name, place) in tables.chain(data.own().into_iter().map(|(name, place)| (own::file(&name), place))) {
        let (object, _) = Object::open(&place)?;
        let size = object.size();
        progress.begin("download", Unit::Bytes, size);
        let mut file = draft.file(&name)?;
        let mut from = 0;
        while from < size {
            let to = (from + STEP).min(size);
            for part in object.ranges(std::slice::from_ref(&(from..to)))? {
                file.write_all(&part).with_context(|| format!("cannot write {}", draft.path(&name).display()))?;
            }
            progress.add(to - from);
            from = to;
        }
        summary.bytes += size;
    }
    draft.commit(data.manifest.clone())?;
    Ok(())
}
