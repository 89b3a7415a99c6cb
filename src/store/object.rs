//! An object that is read in ranges.

use super::client::{Answer, At, Scheme, Version, at, wait};
use super::listing;
use crate::limits;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::GetRange;
use std::ops::Range;
use std::path::Path;

/// Bytes from the end of an object that are read at first when nobody knows how large its footer is: those of most tables fit.
const TAIL: u64 = 64 << 10;
/// Requests of one query that are under way at once, at most.
const AT_ONCE: usize = 8;
/// Two ranges are read by one request when what lies between them is not more than an eighth of what is wanted.
const GAP: u64 = 8;

/// An object in a store, of which one version is read.
#[derive(Debug)]
pub struct Object {
    at: At,
    size: u64,
    version: Version,
}

impl Object {
    /// Opens an object by its URL and reads its end: as much as its dataset's manifest says of its footer, with one request.
    ///
    /// # Errors
    /// When there is no such object, or the store does not answer.
    pub fn open(url: &Path) -> Result<(Object, Bytes)> {
        let at = at(url)?;
        let wanted = listing::footer(url).unwrap_or(TAIL).clamp(8, limits::FOOTER + 8);
        wait(async move {
            let absent = || format!("there is no {}", at.url);
            let range = match at.scheme {
                // It knows no ranges from the end.
                Scheme::Azure => {
                    let head = object_store::ObjectStoreExt::head(&*at.store, &at.key);
                    let size = at.soon(head).await?.with_context(absent)?.size;
                    GetRange::Bounded(size.saturating_sub(wanted)..size)
                }
                Scheme::S3 | Scheme::Google | Scheme::Http => GetRange::Suffix(wanted),
            };
            let Answer { bytes, size, version } = at.get(Some(range), wanted).await?.with_context(absent)?;
            ensure!(bytes.len() as u64 == wanted.min(size), "{}: the server sent another range than was asked for", at.url);
            Ok((Object { at, size, version }, bytes))
        })
    }

    /// Size of the object, bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its URL, for messages.
    pub fn url(&self) -> &str {
        &self.at.url
    }

    /// Reads several ranges, neighbours by one request, several requests at once.
    ///
    /// # Errors
    /// When the store does not answer, or the object was replaced since it was opened.
    pub fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (spans, at, size, version) = (spans(ranges), self.at.clone(), self.size, self.version.clone());
        let wanted = spans.clone();
        let read = wait(async move {
            let requests = wanted.into_iter().map(|span| {
                let (at, version) = (at.clone(), version.clone());
                async move {
                    let length = span.end - span.start;
                    let answer = at.get(Some(GetRange::Bounded(span)), length).await?;
                    let answer = answer.with_context(|| format!("{} is gone", at.url))?;
                    ensure!(answer.size == size && answer.version.same(&version), "{} was replaced while it was read", at.url);
                    ensure!(answer.bytes.len() as u64 == length, "{}: the server sent another range", at.url);
                    Ok(answer.bytes)
                }
            });
            futures::stream::iter(requests).buffered(AT_ONCE).try_collect::<Vec<Bytes>>().await
        })?;
        let part = |range: &Range<u64>| {
            let span = spans.partition_point(|span| span.start <= range.start).saturating_sub(1);
            let start = usize::try_from(range.start - spans[span].start)?;
            Ok(read[span].slice(start..start + usize::try_from(range.end - range.start)?))
        };
        ranges.iter().filter(|range| !range.is_empty()).map(part).collect()
    }
}

/// The ranges that are asked for, in order, so that each of `ranges` lies in one of them.
fn spans(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
    sorted.sort_by_key(|range| (range.start, range.end));
    let mut spans: Vec<Range<u64>> = Vec::new();
    // Of the last span: bytes that are wanted, and bytes that are not.
    let (mut wanted, mut between) = (0, 0);
    for range in sorted {
        let length = range.end - range.start;
        if let Some(last) = spans.last_mut() {
            let gap = range.start.saturating_sub(last.end);
            if (between + gap) * GAP <= wanted + length {
                last.end = last.end.max(range.end);
                (wanted, between) = (wanted + length, between + gap);
                continue;
            }
        }
        spans.push(range);
        (wanted, between) = (length, 0);
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_read_together_and_no_more_than_an_eighth_is_wasted() {
        let one = |ranges: &[Range<u64>]| {
            let spans = spans(ranges);
            assert_eq!(spans.len(), 1, "{spans:?}");
            spans[0].clone()
        };
        assert_eq!(one(&[0..100, 100..200]), 0..200);
        assert_eq!(spans(&[500..600, 0..100]), [0..100, 500..600]);
        assert_eq!(one(&[0..100, 110..200, 210..300]), 0..300);
        assert_eq!(spans(&[0..100, 150..200]), [0..100, 150..200]);
        assert_eq!(one(&[0..100, 20..40, 30..30]), 0..100);
        let many: Vec<Range<u64>> = (0..1000).map(|at| at * 100..at * 100 + 60).collect();
        assert_eq!(spans(&many).len(), 1000);
        let close: Vec<Range<u64>> = (0..1000).map(|at| at * 100..at * 100 + 95).collect();
        let read: u64 = spans(&close).iter().map(|span| span.end - span.start).sum();
        assert!(spans(&close).len() == 1 && read <= 95_000 + 95_000 / 8);
    }
}
