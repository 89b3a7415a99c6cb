//! Datasets on their way: files of known tables, in pieces, of bounded size. No name and no path of the other side is used.

use super::message::{Body, File as Head, Message, PIECE};
use crate::files;
use crate::schema::dataset::Kind;
use crate::schema::{Dataset, Draft, Manifest, Table};
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// Largest manifest, bytes.
const MANIFEST: u64 = 64 << 20;

/// Sends a dataset, but not what no replay reads.
///
/// # Errors
/// When it cannot be read or sent.
pub fn send(data: &Dataset, mut say: impl FnMut(Message) -> Result<()>) -> Result<()> {
    let text = serde_json::to_vec(&data.manifest)?;
    pieces("", text.len() as u64, &mut text.as_slice(), &mut say)?;
    for table in Table::ALL.iter().filter(|table| data.has(**table) && **table != Table::Fates) {
        let path = data.table(*table);
        let mut file = files::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let size = file.metadata()?.len();
        pieces(table.name(), size, &mut file, &mut say)?;
    }
    say(Body::Whole(true).into())
}

fn pieces(table: &str, size: u64, from: &mut impl Read, say: &mut impl FnMut(Message) -> Result<()>) -> Result<()> {
    say(Body::File(Head { table: table.into(), size }).into())?;
    let mut left = size;
    while left > 0 {
        let mut piece = vec![0; PIECE.min(usize::try_from(left)?)];
        from.read_exact(&mut piece).context("a file changed while it was sent")?;
        left -= piece.len() as u64;
        say(Body::Piece(piece).into())?;
    }
    Ok(())
}

/// A file that comes in.
struct Coming {
    /// `None` for the manifest.
    file: Option<File>,
    left: u64,
}

/// A dataset that comes in.
pub struct Parcel {
    draft: Draft,
    kind: Kind,
    /// Bytes that may still come.
    room: u64,
    coming: Option<Coming>,
    manifest: Vec<u8>,
    seen: Vec<Table>,
}

impl Parcel {
    /// A dataset of this kind, which will stand at `place` and have at most so many bytes.
    ///
    /// # Errors
    /// When there is something already, or it cannot be written there.
    pub fn new(place: &Path, kind: Kind, room: u64) -> Result<Parcel> {
        let draft = Draft::create(place, kind)?;
        Ok(Parcel { draft, kind, room, coming: None, manifest: Vec::new(), seen: Vec::new() })
    }

    /// Whether the file that has begun is whole, or none has.
    fn settled(&self) -> bool {
        self.coming.as_ref().is_none_or(|coming| coming.left == 0)
    }

    /// Takes the beginning of a file.
    ///
    /// # Errors
    /// When the one before is not whole, there is no such table, it came before, or there is no room for it.
    pub fn begin(&mut self, head: &Head) -> Result<()> {
        ensure!(self.settled(), "a file begins in the middle of another one");
        ensure!(head.size <= self.room, "it has more bytes than are taken here (--limit)");
        self.room -= head.size;
        if head.table.is_empty() {
            ensure!(head.size <= MANIFEST && self.coming.is_none(), "its manifest is too large, or does not come first");
            self.coming = Some(Coming { file: None, left: head.size });
            return Ok(());
        }
        let table = Table::parse(&head.table).filter(|table| table.kind() == self.kind && !self.seen.contains(table));
        let table = table.with_context(|| format!("there is no such table in a {}, or it came before", self.kind.name()))?;
        self.seen.push(table);
        let file = self.draft.file(&table.file())?;
        self.coming = Some(Coming { file: Some(file), left: head.size });
        Ok(())
    }

    /// Takes the next bytes of a file.
    ///
    /// # Errors
    /// When there are more than it was said to have, or they cannot be written.
    pub fn piece(&mut self, bytes: &[u8]) -> Result<()> {
        let coming = self.coming.as_mut().context("bytes come before a file")?;
        coming.left = coming.left.checked_sub(bytes.len() as u64).context("a file has more bytes than was said")?;
        match &mut coming.file {
            Some(file) => file.write_all(bytes).context("it cannot be written")?,
            None => self.manifest.extend_from_slice(bytes),
        }
        Ok(())
    }

    /// Puts the dataset in its place; `note` may add to its manifest.
    ///
    /// # Errors
    /// When a file is not whole, or its manifest is damaged or that of another kind or version.
    pub fn whole(self, note: impl FnOnce(&mut Manifest)) -> Result<Dataset> {
        ensure!(self.settled(), "a file is cut off");
        let mut manifest: Manifest = files::json(&self.manifest).context("the manifest is damaged")?;
        let says = |key: &str| manifest.get(key).cloned().unwrap_or_default();
        if says("format") != crate::schema::dataset::FORMAT || says("kind") != self.kind.name() {
            bail!("it is no {} of this version", self.kind.name());
        }
        note(&mut manifest);
        self.draft.commit(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(dir: &tempfile::TempDir, room: u64) -> Parcel {
        Parcel::new(&dir.path().join("w"), Kind::Workload, room).unwrap()
    }

    fn head(table: &str, size: u64) -> Head {
        Head { table: table.into(), size }
    }

    #[test]
    fn only_what_was_announced_comes_in() {
        let dir = tempfile::tempdir().unwrap();
        let error = |result: Result<()>| result.unwrap_err().to_string();
        assert!(error(parcel(&dir, 10).begin(&head("ops", 11))).contains("--limit"));
        for table in ["../ops", "results", "nothing", "/etc/passwd"] {
            assert!(error(parcel(&dir, 10).begin(&head(table, 1))).contains("no such table"), "{table}");
        }
        let mut twice = parcel(&dir, 10);
        twice.begin(&head("ops", 1)).unwrap();
        assert!(error(twice.begin(&head("edges", 1))).contains("in the middle"));
        twice.piece(b"x").unwrap();
        assert!(error(twice.begin(&head("ops", 1))).contains("came before"));
        assert!(error(twice.piece(b"yz")).contains("more bytes"));
        drop(twice);
        assert!(error(parcel(&dir, 10).piece(b"x")).contains("before a file"));
        assert!(parcel(&dir, 10).whole(|_| {}).is_err(), "without a manifest");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing stays");
    }

    #[test]
    fn a_dataset_comes_over_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::create(&dir.path().join("here"), Kind::Workload).unwrap();
        draft.file("ops.parquet").unwrap().write_all(&vec![7; PIECE + 5]).unwrap();
        draft.file("fates.parquet").unwrap().write_all(b"x").unwrap();
        let sent = draft.commit(Manifest::new()).unwrap();
        let mut there = Parcel::new(&dir.path().join("there"), Kind::Workload, 1 << 30).unwrap();
        let mut whole = false;
        send(&sent, |message| match message.body.unwrap() {
            Body::File(head) => there.begin(&head),
            Body::Piece(bytes) => there.piece(&bytes),
            Body::Whole(_) => {
                whole = true;
                Ok(())
            }
            other => panic!("{other:?}"),
        })
        .unwrap();
        let came = there.whole(|manifest| drop(manifest.insert("noted".into(), 1.into()))).unwrap();
        assert!(whole && came.manifest["noted"] == 1 && !came.has(Table::Fates));
        assert_eq!(std::fs::read(came.table(Table::Ops)).unwrap(), vec![7; PIECE + 5]);
    }
}
