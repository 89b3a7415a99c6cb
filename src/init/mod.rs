//! Init: makes the tree of files that a workload needs.
//!
//! ```text
//! fileset, extents ─▶ entries ─▶ site: which directory lies where, is there room
//!                                  └─▶ makers (threads) ─▶ tree of the root, trees of mapped directories
//! ```

mod aside;
mod clean;
pub mod data;
mod fill;
mod from;
mod layout;
mod map;
pub mod memory;
mod parts;
pub(crate) mod plan;
mod reset;
mod root;
mod site;
mod stamp;
mod summary;
mod tree;

pub use clean::{Found, Thing, find, find_all, remove};
pub use data::{Data, Fill};
pub use fill::Skipped;
pub use from::{Difference, Reflink, Source, Taken};
pub use layout::{Allocation, Filled, Laid};
pub use map::{Map, Mapping};
pub use memory::{Seat, Tmpfs};
pub use parts::{Parts, Trees};
pub use reset::{kind_of, reset};
pub use root::Root;
pub use site::{Need, Outline, outline, ready};
pub use stamp::{Owner, Stamp, State, fingerprint};
pub use summary::{Reset, Summary};

use crate::files::{Dir, Lock};
use crate::model::Kind;
use crate::progress::{Progress, Unit};
use anyhow::{Context, Result};
use data::Pool;
use fill::Maker;
use from::Opened;
use plan::Entry;
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use rustix::fs::Stat;
use site::Site;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tree::Forest;

/// A time longer than the granularity of the clock for inode timestamps.
const TICK: Duration = Duration::from_millis(20);

/// Arguments of init: which tree is made, where and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of the workload whose fileset is made.
    pub workload: PathBuf,
    /// Directory that becomes the root; [`Root::beside`] is the usual one.
    pub root: PathBuf,
    /// Captured directories that lie outside the root, usually on other file systems.
    pub maps: Vec<Map>,
    /// With a name: put the captured files of each mount point into `MOUNT/.ioriot/NAME` on this machine's mount point of the
    /// same path.
    pub layout: Option<String>,
    /// How full, 0 to 1, the file systems of the root and all places are made before the tree is; `None` to leave them.
    pub fill: Option<f64>,
    /// How files are laid on their device.
    pub allocation: Allocation,
    /// The kind of data that files hold and that the replay will write.
    pub data: Data,
    /// Where the content of files is taken from, as far as it is there; `None` to make it up.
    pub source: Option<Source>,
    /// Move an existing root aside; otherwise it is an error.
    pub force: bool,
    /// Leave ranges of files that no op reads as holes.
    pub sparse_unread: bool,
    /// Owner of entries whose owner was not captured; `None` for the user of this process.
    pub owner: Option<Owner>,
    /// Number of threads that make files.
    pub threads: usize,
}

impl Options {
    /// Default options for a tree of this workload under this root.
    pub fn new(workload: impl Into<PathBuf>, root: impl Into<PathBuf>) -> Options {
        Options {
            workload: workload.into(),
            root: root.into(),
            maps: Vec::new(),
            layout: None,
            data: Data::default(),
            source: None,
            fill: None,
            allocation: Allocation::Plain,
            force: false,
            sparse_unread: false,
            owner: None,
            threads: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        }
    }
}

/// Makes the fileset of a workload under a root, and stamps the root as fresh.
///
/// Entries that cannot be made are counted in [`Summary::errors`] and leave the root stamped as incomplete.
///
/// # Errors
/// When the workload cannot be read, a place is taken, or there is not enough space.
pub fn run(options: &Options, progress: &Progress) -> Result<Summary> {
    let start = Instant::now();
    let site = Site::new(options)?;
    site::room(&site.needs()?)?;
    // Checked before an old tree is moved aside.
    drop(site::places(&options.root, &site.maps, options.force)?);

    let stamp = Stamp::new(&site.workload, options.data, options.sparse_unread, options.owner, site.maps.clone());
    let stamp = Stamp { source: site.source.clone(), allocation: options.allocation, ..stamp };
    let Ground { parts, moved, filled, locks: _locks } = lay_out(options, &site, &stamp)?;
    let mut summary = Summary {
        moved,
        filled,
        root: options.root.clone(),
        mapped: site.maps.iter().map(ToString::to_string).collect(),
        data: options.data.fill.to_string(),
        notes: site.notes.clone(),
        ..Summary::default()
    };

    let source = site.opened.as_ref().map(|source| source.again()).transpose()?;
    let mut making = Making::new(&parts, &stamp, source, options.threads, progress)?;
    let (dirs, others): (Vec<_>, Vec<_>) = site.entries.iter().partition(|entry| entry.kind == Kind::Dir);
    progress.begin("init", Unit::Bytes, plan::total(others.iter().map(|entry| entry.bytes())));
    making.points(&mut summary);
    making.dirs(&dirs, &mut summary);
    let inodes = making.others(&others, &mut summary)?;
    making.finish(&dirs, &mut summary);
    making.tops(&site, &mut summary);
    making.verify(&others, &mut summary)?;
    summary.add_taken(making.maker.taken());
    done(&parts, stamp, &inodes, &summary)?;
    summary.wall = start.elapsed().as_nanos() as u64;
    Ok(summary)
}

/// Where the tree is to be made: its parts, empty and locked.
struct Ground {
    parts: Parts,
    /// New path of an old root that was moved aside.
    moved: Option<PathBuf>,
    filled: Vec<Filled>,
    locks: Vec<Lock>,
}

/// Makes the root and every mapped place, and fills their file systems; on an error none of them, with old ones moved back.
fn lay_out(options: &Options, site: &Site, stamp: &Stamp) -> Result<Ground> {
    let first = Root::make(&options.root, options.force, stamp)?;
    let of_place = Stamp { part_of: Some(first.root.path().to_owned()), maps: Vec::new(), ..stamp.clone() };
    let mut all = vec![first];
    let mut make_all = || -> Result<Vec<Filled>> {
        for map in &site.maps {
            all.push(Root::make(&map.place, options.force, &of_place)?);
        }
        let fill = |share| all.iter().map(|made| layout::fill(&made.root, share)).collect();
        options.fill.map_or(Ok(Vec::new()), fill)
    };
    let filled = match make_all() {
        Ok(filled) => filled,
        Err(error) => {
            // They hold nothing yet but their stamp, an empty tree and what fills the file system.
            all.iter().for_each(|made| drop(clean::discard(&made.root)));
            // The old root first: its places are moved back with it.
            all.iter().filter_map(|made| made.moved.as_deref()).for_each(aside::put_back);
            return Err(error);
        }
    };
    let moved = all[0].moved.take();
    let (mut roots, locks): (Vec<Root>, Vec<Lock>) = all.into_iter().map(|made| (made.root, made.lock)).unzip();
    let root = roots.remove(0);
    Ok(Ground { parts: Parts::of(root, roots, &site.maps)?, moved, filled, locks })
}

/// State of making entries in the parts of a tree, for init and reset.
struct Making<'a> {
    parts: &'a Parts,
    pool: Pool,
    threads: usize,
    owner: Option<Owner>,
    source: Option<Opened>,
    allocation: Allocation,
    progress: &'a Progress,
    maker: Maker<'a>,
}

impl<'a> Making<'a> {
    fn new(
        parts: &'a Parts,
        stamp: &Stamp,
        source: Option<Opened>,
        threads: usize,
        progress: &'a Progress,
    ) -> Result<Making<'a>> {
        let pool = Pool::new(stamp.data);
        let again = source.as_ref().map(Opened::again).transpose()?;
        let allocation = stamp.allocation;
        let maker = Maker::new(Forest::new(parts)?, pool.clone(), again, allocation, stamp.owner, progress);
        // Files that are made at the same time lie among one another.
        let threads = if allocation == Allocation::Captured { 1 } else { threads };
        Ok(Making { parts, pool, threads, owner: stamp.owner, source, allocation, progress, maker })
    }

    /// Sets the owner of each part's top directory, where the fileset has no entry for it.
    fn tops(&mut self, site: &Site, summary: &mut Summary) {
        for (top, _) in site.trees.parts() {
            if self.owner.is_some()
                && !site.entries.iter().any(|entry| entry.path == *top)
                && let Err(error) = self.maker.finish(&Entry::dir(top.clone()))
            {
                summary.failed(top, &error);
            }
        }
    }

    /// Makes the directories over which mapped trees are mounted, outer before inner.
    fn points(&mut self, summary: &mut Summary) {
        for (captured, _) in &self.parts.trees.parts()[1..] {
            parents(&mut self.maker, b"", captured, summary);
            if let Err(error) = self.maker.point(captured) {
                summary.failed(captured, &error);
            }
        }
    }

    /// Makes directories, given by path so that parents come before children.
    fn dirs(&mut self, dirs: &[&Entry], summary: &mut Summary) {
        let mut last: &[u8] = b"";
        for dir in dirs {
            parents(&mut self.maker, last, &dir.path, summary);
            last = &dir.path;
            match self.maker.dir(&dir.path) {
                Ok(_) => {
                    self.maker.look(dir);
                    summary.made(dir);
                }
                Err(error) => summary.failed(&dir.path, &error),
            }
        }
    }

    /// Makes everything but directories, on several threads. Returns the inode of each, 0 for those that could not be made.
    fn others(&mut self, others: &[&Entry], summary: &mut Summary) -> Result<Vec<u64>> {
        let inodes: Vec<AtomicU64> = others.iter().map(|_| AtomicU64::new(0)).collect();
        // Second names (hard links) come last, when the files exist.
        let (files, names) = (0..others.len()).partition(|at| others[*at].same().is_none());
        for round in [files, names] {
            let mut round: Vec<usize> = round;
            if self.allocation == Allocation::Captured {
                round.sort_by_key(|at| (others[*at].created.unwrap_or(i64::MAX), *at));
            }
            let threads = self.threads.clamp(1, round.len().max(1));
            let maker = |_| {
                let source = self.source.as_ref().map(Opened::again).transpose()?;
                let (forest, pool) = (Forest::new(self.parts)?, self.pool.clone());
                Ok(Maker::new(forest, pool, source, self.allocation, self.owner, self.progress))
            };
            let makers = (0..threads).map(maker).collect::<Result<Vec<_>>>()?;
            for part in fill_all(makers, others, &round, &inodes)? {
                summary.add(part);
            }
        }
        Ok(inodes.into_iter().map(AtomicU64::into_inner).collect())
    }

    /// Compares how files lie with how they lay, where that was asked for.
    fn verify(&self, others: &[&Entry], summary: &mut Summary) -> Result<()> {
        if self.allocation == Allocation::Captured {
            let laid = Laid::of(self.parts, others)?;
            summary.laid = Some(laid);
        }
        Ok(())
    }

    /// Sets owner, times and mode of directories, children before parents: a mode may have forbidden to make things inside.
    fn finish(&mut self, dirs: &[&Entry], summary: &mut Summary) {
        for dir in dirs.iter().rev() {
            if let Err(error) = self.maker.finish(dir) {
                summary.failed(&dir.path, &error);
            }
        }
        summary.skipped.add(std::mem::take(&mut self.maker.skipped));
    }
}

/// Makes the directories above an entry that are not in the fileset. Their errors show with the entry itself. Those above
/// `last`, the path made before, are skipped, as they exist: in a fileset each path is near the one before it, and may be
/// 2,000 directories deep.
fn parents(maker: &mut Maker, last: &[u8], path: &[u8], summary: &mut Summary) {
    let known = last.iter().zip(path).take_while(|(a, b)| a == b).count();
    for (at, _) in path.iter().enumerate().filter(|(at, byte)| *at > 0 && **byte == b'/') {
        if at < known || at == known && (known == last.len() || last[known] == b'/') {
            continue;
        }
        if let Ok(true) = maker.dir(&path[..at]) {
            summary.dirs += 1;
            let _ = maker.finish(&Entry::dir(path[..at].to_vec()));
        }
    }
}

/// Number of neighbouring entries that one thread makes before another may take over the rest: about a directory of an
/// ordinary tree.
const RUN: usize = 64;

/// Makes entries that are no directories, one maker per thread. Neighbours go to one thread: it has their directory open, and
/// does not wait for others that make something in the same one.
fn fill_all(makers: Vec<Maker>, entries: &[&Entry], round: &[usize], inodes: &[AtomicU64]) -> Result<Vec<Summary>> {
    let threads = ThreadPoolBuilder::new().num_threads(makers.len()).thread_name(|_| "init".into());
    let threads = threads.build().context("cannot start the threads that make files")?;
    let seats: Vec<_> = makers.into_iter().map(|maker| Mutex::new((maker, Summary::default()))).collect();
    let make = |at: usize| {
        let seat = &seats[rayon::current_thread_index().unwrap_or(0)];
        let (maker, part) = &mut *seat.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries[at];
        let mut made = maker.entry(entry);
        if made.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            parents(maker, b"", &entry.path, part);
            made = maker.entry(entry);
        }
        match made {
            Ok(()) => {
                part.made(entry);
                inodes[at].store(maker.inode(entry), Ordering::Relaxed);
            }
            Err(error) => part.failed(&entry.path, &error),
        }
    };
    threads.install(|| round.par_iter().with_max_len(RUN).for_each(|at| make(*at)));
    let done = seats.into_iter().map(|seat| {
        let (maker, mut part) = seat.into_inner().unwrap_or_else(PoisonError::into_inner);
        part.skipped = maker.skipped;
        part.add_taken(maker.taken());
        part
    });
    Ok(done.collect())
}

/// Ends an init or reset: writes everything back, records the inodes that a reset needs, and stamps the root with its state.
fn done(parts: &Parts, mut stamp: Stamp, inodes: &[u64], summary: &Summary) -> Result<()> {
    for tree in parts.tops() {
        // Otherwise the replay would pay for writing init's data back.
        rustix::fs::syncfs(tree).with_context(|| format!("cannot write {} back", tree.path().display()))?;
    }
    let (root, bytes) = (&parts.root, inodes.iter().flat_map(|inode| inode.to_le_bytes()).collect::<Vec<_>>());
    root.replace(root::INODES, &bytes).with_context(|| format!("cannot write {}", root.dir().at(root::INODES).display()))?;
    // Changes after this have a later ctime than everything that was made.
    std::thread::sleep(TICK);
    stamp.made = parts.beside().map(clock).collect::<Result<_>>()?;
    stamp.state = if summary.errors == 0 { State::Fresh } else { State::Incomplete };
    parts.mark(stamp.state)?;
    root.write(&stamp)
}

/// Current time by the clock of the file system that a place is on, ns: the ctime of a file made there.
fn clock(place: &Dir) -> Result<i64> {
    let time = || -> std::io::Result<i64> {
        let file = place.create(root::STAMP_ASIDE)?;
        place.unlink(root::STAMP_ASIDE)?;
        Ok(ctime(&rustix::fs::fstat(&file)?))
    };
    time().with_context(|| format!("cannot write {}", place.at(root::STAMP_ASIDE).display()))
}

/// The ctime of an inode (any change of it), ns since 1970.
fn ctime(stat: &Stat) -> i64 {
    stat.st_ctime * 1_000_000_000 + stat.st_ctime_nsec as i64
}
