//! Writing to a store: whole objects, files in parts, and what is there already.

use super::client::{At, Scheme, Version, at, wait};
use super::listing::listed;
use super::name::is_pattern;
use crate::limits;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use object_store::multipart::{MultipartStore, PartId};
use object_store::{Error, ObjectMeta, ObjectStoreExt, PutMode, PutOptions, PutPayload, PutResult, UpdateVersion};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a part, unless a file would have more than [`PARTS`] of them. What is not larger goes as one object.
const PART: u64 = 16 << 20;
/// Parts of a file, at most: S3 allows 10,000.
const PARTS: u64 = 9_000;
/// Parts that are on their way at once.
const AT_ONCE: u64 = 4;

/// What must be there, for an object to be put. A store that knows no conditions replaces it in each case.
#[derive(Clone, Debug)]
pub enum Put {
    /// No object of this name.
    Once,
    /// This version of it.
    Over(Version),
}

/// An object that is there.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its size.
    pub bytes: u64,
    /// Its version now.
    pub version: Version,
}

impl From<ObjectMeta> for Found {
    fn from(meta: ObjectMeta) -> Found {
        Found { bytes: meta.size, version: Version::of(&meta) }
    }
}

/// Refuses a URL that nothing can be written to, before work is done for it: a web server, or a store without credentials. Nothing is
/// asked of the store.
///
/// # Errors
/// When that is so.
pub fn ready(url: &Path) -> Result<()> {
    let at = at(url)?;
    ensure!(at.scheme != Scheme::Http, "{} is on a web server, which is read only: write to s3, gs or az", at.url);
    ensure!(!at.key.as_ref().is_empty(), "{} is a whole bucket: name a prefix in it", at.url);
    // Nobody could name it alone.
    ensure!(!is_pattern(at.key.as_ref()), "{} is a pattern (*, ? or [), and one place is wanted here", at.url);
    Ok(())
}

/// The objects directly at a URL, by name.
///
/// # Errors
/// When the store does not answer.
pub fn find(url: &Path) -> Result<BTreeMap<String, Found>> {
    let found = listed(url)?.objects.into_iter();
    Ok(found.filter_map(|object| Some((object.location.filename()?.to_owned(), Found::from(object)))).collect())
}

/// The content of a small object, and its version; `None` when there is none.
///
/// # Errors
/// When it has more bytes than a JSON text may have, or the store does not answer.
pub fn get(url: &Path) -> Result<Option<(Vec<u8>, Version)>> {
    let at = at(url)?;
    let answer = wait(async move { at.get(None, limits::JSON).await })?;
    Ok(answer.map(|answer| (answer.bytes.to_vec(), answer.version)))
}

/// Puts a small object, and returns its version; `None` when what must be there is not.
///
/// # Errors
/// When the store does not answer, or refuses.
pub fn put(url: &Path, content: Vec<u8>, how: Put) -> Result<Option<Version>> {
    let at = at(url)?;
    wait(async move {
        let payload = PutPayload::from(Bytes::from(content));
        let mode = match how {
            Put::Once => PutMode::Create,
            Put::Over(Version(version)) => PutMode::Update(version),
        };
        let sent = at.sent(at.store.put_opts(&at.key, payload.clone(), PutOptions::from(mode))).await?;
        let sent = match sent {
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => at.sent(at.store.put(&at.key, payload)).await?,
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => return Ok(None),
            sent => sent,
        };
        Ok(Some(sent.with_context(|| at.failed())?.into()))
    })
}

/// Deletes an object.
///
/// # Errors
/// When the store does not answer, or refuses.
pub fn delete(url: &Path) -> Result<()> {
    let at = at(url)?;
    wait(async move { at.soon(at.store.delete(&at.key)).await?.with_context(|| format!("cannot delete {}", at.url)) })
}

/// Puts a file of this size, and returns its version. A large one goes in parts and replaces what is there; for another one nothing must
/// be there, else `None` is returned. `begun` is told the id of an upload in parts before its first part goes, so that whoever comes
/// after a kill can end it with [`abort`]; `sent` how many bytes went.
///
/// # Errors
/// When the file cannot be read, or the store does not answer; what was sent is given up then.
pub fn put_file(
    url: &Path,
    file: &File,
    size: u64,
    begun: &mut dyn FnMut(&str) -> Result<()>,
    sent: &mut dyn FnMut(u64),
) -> Result<Option<Version>> {
    let at = at(url)?;
    if size <= PART {
        let version = put(url, piece(file, 0, size)?, Put::Once)?;
        sent(if version.is_some() { size } else { 0 });
        return Ok(version);
    }
    let (parts, one) = (at.parts()?, at.clone());
    let id = wait(async move { one.sent(one.parts()?.create_multipart(&one.key)).await?.with_context(|| one.failed()) })?;
    let ended = begun(&id).and_then(|()| send(&at, &parts, &id, file, size, sent));
    if ended.is_err() {
        // The error that is told is the first one.
        let _ = abort(url, &id);
    }
    ended.map(Some)
}

fn send(
    at: &At,
    parts: &Arc<dyn MultipartStore>,
    id: &str,
    file: &File,
    size: u64,
    sent: &mut dyn FnMut(u64),
) -> Result<Version> {
    let step = PART.max(size.div_ceil(PARTS));
    let mut ids: Vec<PartId> = Vec::new();
    let mut from = 0;
    while from < size {
        let mut batch = Vec::new();
        let begin = from;
        while from < size && (batch.len() as u64) < AT_ONCE {
            let to = (from + step).min(size);
            let (at, parts, id, content) = (at.clone(), Arc::clone(parts), id.to_owned(), piece(file, from, to - from)?);
            let number = ids.len() + batch.len();
            batch.push(async move {
                let put = parts.put_part(&at.key, &id, number, PutPayload::from(Bytes::from(content)));
                at.sent(put).await?.with_context(|| at.failed())
            });
            from = to;
        }
        ids.extend(wait(try_join_all(batch))?);
        sent(from - begin);
    }
    let (at, parts, id) = (at.clone(), Arc::clone(parts), id.to_owned());
    wait(
        async move { at.sent(parts.complete_multipart(&at.key, &id, ids)).await?.with_context(|| at.failed()).map(Version::from) },
    )
}

/// Gives up an upload in parts that a killed process has begun.
///
/// # Errors
/// When there is none, or the store does not answer.
pub fn abort(url: &Path, id: &str) -> Result<()> {
    let (at, id) = (at(url)?, id.to_owned());
    wait(async move {
        let parts = at.parts()?;
        at.soon(parts.abort_multipart(&at.key, &id)).await?.with_context(|| format!("cannot give up {}", at.url))
    })
}

fn piece(file: &File, from: u64, length: u64) -> Result<Vec<u8>> {
    let mut piece = vec![0; usize::try_from(length)?];
    file.read_exact_at(&mut piece, from).context("a file has fewer bytes than it had")?;
    Ok(piece)
}

impl From<PutResult> for Version {
    fn from(sent: PutResult) -> Version {
        Version(UpdateVersion { e_tag: sent.e_tag, version: sent.version })
    }
}

impl At {
    fn parts(&self) -> Result<Arc<dyn MultipartStore>> {
        self.parts.clone().with_context(|| format!("{} is read only", self.url))
    }

    fn failed(&self) -> String {
        format!("cannot write {}", self.url)
    }
}
