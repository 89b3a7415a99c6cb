//! The state of the page cache before the first op (`--cache`).
//!
//! ```text
//! files of the tree:   evicted                       captured, cold
//! all of the system:   dropped, with names and inodes cold; captured where the program read names and inodes from its devices; by root
//! ranges of files:     read, nothing ahead of them   captured: those that the capture found there; warm: all that calls read
//! ```
//! All is done outside of the sandbox, by descriptor below the top directory of the tree, without following a symlink. Captured state is made by
//! evicting the files of the tree one by one, so that it takes no rights and nothing that other programs have in memory goes, unless
//! the program began without names and inodes in memory: those of one tree alone cannot be evicted. Nobody opens a file of the tree after
//! that but to read what was in memory, since it would bring the names back.

use super::Options;
use super::child::conditions::drop_caches;
use crate::files::{self, Dir};
use crate::init::Parts;
use crate::model::Kind;
use crate::os::device::{Device, Metadata};
use crate::os::user::is_root;
use crate::process::signal;
use crate::progress::{Progress, Unit};
use crate::schema::{Dataset, Manifest, Table, read};
use crate::words::words;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;

words! {
    /// What is in the page cache of the files of the tree before the first op.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "kebab-case")]
    Cache {
        Captured "captured" "what the captured program found there, as far as the capture tells, and nothing else; by root, and where it read names and inodes from its devices, nothing of the whole system";
        Cold     "cold"     "nothing; by root, no names and inodes either, and nothing of the whole system";
        Warm     "warm"     "all that calls and page faults read of files that are there before";
        AsIs     "as-is"    "what is there";
    }
}

/// What was made of the page cache before the first op.
#[derive(Clone, Debug, Default, Serialize)]
pub struct State {
    /// The state that was to be made.
    pub state: Option<Cache>,
    /// Were the caches of the whole system dropped?
    pub dropped: bool,
    /// Number of files that were evicted.
    pub evicted: u64,
    /// Bytes that were to be there.
    pub wanted: u64,
    /// Share of their pages that was there when all was read, percent; `None` where the kernel does not tell, or none were wanted.
    pub reached_percent: Option<f64>,
    /// Bytes of other pages of the files of the tree that stayed or came: after the eviction, and beside what was read; `None` where the
    /// kernel does not tell.
    pub beside: Option<u64>,
    /// Number of files that could not be opened or read.
    pub failed: u64,
}

/// Key of the manifest of a workload that has what is known of the captured page cache.
const KEY: &str = "cache";
/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;

impl Options {
    /// The state of the page cache that a replay of this workload begins with: the one asked for, else the captured one where it is known and
    /// nothing is said of caches.
    ///
    /// # Errors
    /// When the captured state is asked for and the capture does not tell it.
    pub(super) fn page_cache(&self, workload: &Manifest) -> Result<Cache> {
        let known = workload.get(KEY).is_some_and(|cache| cache.is_object());
        ensure!(
            known || self.cache != Some(Cache::Captured),
            "what was in the page cache is not known of this workload: captures by eBPF tell, from Linux 6.15 on, without --no-faults; --cache \
             cold, warm or as-is needs no such knowledge"
        );
        let usual = if known && !self.conditions.drop_caches { Cache::Captured } else { Cache::AsIs };
        Ok(self.cache.unwrap_or(usual))
    }
}

/// Makes the state of the page cache that a replay begins with.
///
/// # Errors
/// When the workload cannot be read, or a signal asks this process to end. Files that cannot be read are counted.
pub(super) fn make(cache: Cache, workload: &Dataset, parts: &Parts, progress: &Progress) -> Result<State> {
    let mut state = State { state: Some(cache), ..State::default() };
    if cache == Cache::AsIs {
        return Ok(state);
    }
    let mut tree = Tree { parts, last: None };
    progress.begin("cache", Unit::Count, 0);
    let mut cold = cache == Cache::Cold;
    if matches!(cache, Cache::Captured | Cache::Cold) {
        // Only clean pages can be evicted.
        for top in parts.on_disk() {
            files::sync(top).with_context(|| format!("cannot write {} back", top.path().display()))?;
        }
        state.evict(workload, &mut tree, progress)?;
        cold |= names_were_cold(&workload.manifest);
    }
    if cold && is_root() {
        // An open directory would stay in memory.
        tree.last = None;
        state.dropped = drop_caches().is_ok();
    }
    let what = match cache {
        Cache::Captured => "warm",
        Cache::Warm => "read",
        Cache::Cold | Cache::AsIs => "",
    };
    let mut buffer = vec![0; if what.is_empty() { 0 } else { PIECE }];
    each_range(workload, what, |path, ranges| {
        let Ok(file) = tree.open(path) else { return state.failed += 1 };
        let Some(file) = file else { return };
        for range in ranges.iter().cloned() {
            match files::bring_in(&file, range, &mut buffer) {
                Ok(read) => state.wanted = state.wanted.saturating_add(read),
                Err(_) => state.failed += 1,
            }
        }
        progress.add(1);
    })?;
    state.look(workload, what, &mut tree)?;
    Ok(state)
}

impl State {
    /// Evicts the files of the tree from the page cache.
    fn evict(&mut self, workload: &Dataset, tree: &mut Tree<'_>, progress: &Progress) -> Result<()> {
        let (page, mut left) = (files::page(), Some(0u64));
        each_file(workload, |path| {
            progress.add(1);
            let Ok(file) = tree.open(path) else { return self.failed += 1 };
            let Some(file) = file else { return };
            match files::evict(&file) {
                Ok(()) => self.evicted += 1,
                Err(_) => self.failed += 1,
            }
            let pages = file.metadata().ok().and_then(|data| files::cached(&file, 0..data.len()));
            left = left.zip(pages).map(|(left, pages)| left + pages);
        })?;
        self.beside = left.map(|left| left.saturating_mul(page));
        Ok(())
    }

    /// Asks the kernel what is in the page cache by now of the files that were read.
    fn look(&mut self, workload: &Dataset, what: &str, tree: &mut Tree<'_>) -> Result<()> {
        let (page, mut told) = (files::page(), true);
        let (mut wanted, mut there, mut around) = (0u64, 0u64, 0u64);
        each_range(workload, what, |path, ranges| {
            let Ok(Some(file)) = tree.open(path) else { return };
            let size = file.metadata().map_or(0, |data| data.len());
            // Ranges may share a page.
            let (mut next, before) = (0, there);
            for range in ranges {
                let (first, end) = ((range.start / page).max(next), range.end.min(size).div_ceil(page));
                if first < end {
                    match files::cached(&file, first * page..end * page) {
                        Some(found) => (wanted, there) = (wanted + (end - first), there + found.min(end - first)),
                        None => told = false,
                    }
                    next = end;
                }
            }
            match files::cached(&file, 0..size) {
                Some(all) => around += all.saturating_sub(there - before),
                None => told = false,
            }
        })?;
        let around = told.then_some(around.saturating_mul(page));
        self.beside = self.beside.zip(around).map(|(left, around)| left.saturating_add(around));
        self.reached_percent = (told && wanted > 0).then(|| 100.0 * there as f64 / wanted as f64);
        Ok(())
    }
}

/// Did the captured program begin without names and inodes in memory?
fn names_were_cold(workload: &Manifest) -> bool {
    let devices = workload.get("capture").and_then(|capture| capture.get("device"));
    let devices: Vec<Device> = devices.and_then(|devices| Vec::deserialize(devices).ok()).unwrap_or_default();
    Metadata::of(&devices).cold()
}

/// The files of a tree on disk, opened by their captured paths; the directory of the last one stays open.
struct Tree<'a> {
    parts: &'a Parts,
    last: Option<(usize, Vec<u8>, Dir)>,
}

impl Tree<'_> {
    /// Opens a regular file to read it, without a change of its access time where that can be had; `None` for one in memory.
    fn open(&mut self, path: &[u8]) -> std::io::Result<Option<File>> {
        let (part, inside) = self.parts.trees.part(path);
        if self.parts.mounted(part).is_some() {
            return Ok(None);
        }
        let slash = inside.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let (above, name) = inside.split_at(slash);
        let dir = match &self.last {
            Some((of, path, dir)) if *of == part && path == above => dir,
            _ => {
                let top = self.parts.tops().nth(part).ok_or(std::io::ErrorKind::NotFound)?;
                &self.last.insert((part, above.to_vec(), top.below(above)?)).2
            }
        };
        dir.look_into(OsStr::from_bytes(name)).map(Some)
    }
}

/// Calls `each` with the path of every regular file of the fileset, under its first name.
fn each_file(workload: &Dataset, mut each: impl FnMut(&[u8])) -> Result<()> {
    let file = workload.table(Table::Fileset);
    for batch in read::batches(&file, &["path", "kind", "target"])? {
        let batch = batch.with_context(|| format!("cannot read {}", file.display()))?;
        let (path, kind, target) = (read::texts(&batch, "path")?, read::texts(&batch, "kind")?, read::texts(&batch, "target")?);
        for row in 0..batch.num_rows() {
            go_on()?;
            if Kind::parse(kind.value(row)) == Some(Kind::File) && read::bytes(target, row).is_none_or(|target| target.is_empty())
            {
                each(&read::bytes(path, row).unwrap_or_default());
            }
        }
    }
    Ok(())
}

/// Most ranges that are handed out at once.
const RANGES: usize = 8192;

/// Calls `each` with a file and its ranges of a kind, which ascend. Of ranges that overlap, in a workload that is wrong, the later one begins where the
/// one before ended, so that no byte is read twice for one file.
fn each_range(workload: &Dataset, what: &str, mut each: impl FnMut(&[u8], &[std::ops::Range<u64>])) -> Result<()> {
    if what.is_empty() {
        return Ok(());
    }
    let file = workload.table(Table::Extents);
    let (mut last, mut ranges, mut end) = (Vec::new(), Vec::with_capacity(64), 0u64);
    for batch in read::batches(&file, &["path", "what", "offset", "length"])? {
        let batch = batch.with_context(|| format!("cannot read {}", file.display()))?;
        let (path, kind) = (read::texts(&batch, "path")?, read::texts(&batch, "what")?);
        let (offset, length) = (read::ints(&batch, "offset")?, read::ints(&batch, "length")?);
        for row in (0..batch.num_rows()).filter(|row| kind.value(*row) == what) {
            go_on()?;
            let path = read::bytes(path, row).unwrap_or_default();
            if *path != last[..] || ranges.len() == RANGES {
                if !ranges.is_empty() {
                    each(&last, &ranges);
                    ranges.clear();
                }
                end = if *path == last[..] { end } else { 0 };
                last = path.into_owned();
            }
            let [start, length] = [offset.value(row), length.value(row)].map(|number| u64::try_from(number).unwrap_or(0));
            let range = start.max(end)..start.saturating_add(length).min(i64::MAX as u64);
            if !range.is_empty() {
                end = range.end;
                ranges.push(range);
            }
        }
    }
    if !ranges.is_empty() {
        each(&last, &ranges);
    }
    Ok(())
}

/// Ends it when a signal asks for that.
fn go_on() -> Result<()> {
    signal::asked().map_or(Ok(()), |signal| Err(anyhow::anyhow!("ended by {} before the start: there is no run", signal.name())))
}
