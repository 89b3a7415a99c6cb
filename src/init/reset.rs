//! Makes a used tree as new again, touching only what a replay has touched.
//!
//! A file is as init made it when it has the inode that init made there and a ctime from before init was done: the kernel
//! moves the ctime with every write, rename, link and change of attributes, and no call sets it. Everything else that is
//! not a directory is removed and made again; directories are given their own rights back.

use super::plan::Entry;
use super::root::{Root, STAMP, State};
use super::site::Site;
use super::summary::{Reset, Summary};
use super::{Making, Options, clean, ctime, done};
use crate::model::Kind;
use crate::progress::{Progress, Unit};
use crate::schema::Dataset;
use crate::schema::dataset::Kind as Holds;
use anyhow::{Context, Result, ensure};
use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::Instant;

/// Resets the root of [`Options::root`]; mappings and data are those it was made with.
///
/// # Errors
/// When the root is none, was made for another workload or is incomplete, or a place cannot be looked into.
pub fn reset(options: &Options, progress: &Progress) -> Result<Summary> {
    let start = Instant::now();
    let workload = Dataset::expect(&options.workload, Holds::Workload)?;
    let root = Root::new(&options.root);
    let _lock = root.held()?;
    let mut stamp = root.check(&workload, true)?;
    ensure!(
        stamp.state != State::Incomplete,
        "{} is incomplete, so nobody knows what is right in it: `ioriot init {} --root {0} --force` makes it anew",
        root.dir().display(),
        workload.dir.display(),
    );
    let site = Site::of(workload, &root, stamp.maps.clone(), stamp.sparse_unread)?;
    let mut survey = Survey::new(&site, &root, &stamp.made)?;
    // Files from before the clock was set back cannot be told from later ones.
    let used = fs::metadata(root.dir().join(STAMP)).map(|meta| ctime(&meta))?;
    if stamp.state == State::Used && stamp.made.first().is_none_or(|made| used < *made) {
        survey.made.fill(i64::MIN);
    }
    root.mark(State::Incomplete)?;

    progress.begin("compare", Unit::Count, site.entries.len() as u64);
    for (part, (captured, dir)) in site.trees.parts().iter().enumerate() {
        survey.top(part, captured, dir)?;
    }
    let Survey { known, mut inodes, mut again, removed, .. } = survey;

    let mut summary = Summary {
        root: options.root.clone(),
        mapped: site.maps.iter().map(ToString::to_string).collect(),
        data: stamp.data.fill.to_string(),
        ..Summary::default()
    };
    let missing: Vec<usize> = (0..site.entries.len()).filter(|at| !known[*at]).collect();
    let (dirs, others): (Vec<_>, Vec<_>) = missing.into_iter().partition(|at| site.entries[*at].kind == Kind::Dir);
    let entries = |list: &[usize]| list.iter().map(|at| &site.entries[*at]).collect::<Vec<_>>();
    let (new_dirs, new_others) = (entries(&dirs), entries(&others));
    progress.begin("reset", Unit::Bytes, new_others.iter().map(|entry| entry.bytes()).sum());
    unlock(&site, new_dirs.iter().chain(&new_others), &mut again);

    let mut making = Making::new(&site, stamp.data, options.threads, progress)?;
    making.points(&mut summary);
    making.dirs(&new_dirs, &mut summary);
    for (at, inode) in others.iter().zip(making.others(&new_others, &mut summary)?) {
        inodes[*at] = inode;
    }
    let kept = (0..known.len()).filter(|at| known[*at] && !again.contains_key(&site.entries[*at].path)).count() as u64;
    let restored: Vec<Entry> = again.into_values().collect();
    let mut finish: Vec<&Entry> = new_dirs.iter().copied().chain(&restored).collect();
    finish.sort_by(|a, b| a.path.cmp(&b.path));
    for dir in &restored {
        making.maker.strip(dir);
    }
    making.finish(&finish, &mut summary);

    summary.reset = Some(Reset { kept, removed });
    stamp.state = State::Fresh;
    let inodes: Vec<u64> =
        site.entries.iter().zip(inodes).filter(|(entry, _)| entry.kind != Kind::Dir).map(|(_, inode)| inode).collect();
    done(&root, &site, stamp, &inodes, &summary)?;
    summary.wall = start.elapsed().as_nanos() as u64;
    Ok(summary)
}

/// What stands in the trees, compared with what should.
struct Survey<'a> {
    site: &'a Site,
    /// Number of an entry by its path.
    index: HashMap<&'a [u8], usize>,
    /// Directories that are there because something is below them.
    above: HashSet<&'a [u8]>,
    /// When each part was made.
    made: Vec<i64>,
    /// The inode that init made for each entry.
    inodes: Vec<u64>,
    /// Was the entry found as it should be, but for a directory's attributes?
    known: Vec<bool>,
    /// Directories that get their attributes again.
    again: HashMap<Vec<u8>, Entry>,
    removed: u64,
}

impl<'a> Survey<'a> {
    fn new(site: &'a Site, root: &Root, made: &[i64]) -> Result<Survey<'a>> {
        let file = root.inodes();
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}: --force makes the tree anew", file.display()))?;
        let mut known = bytes.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap_or_default()));
        let of_entry = |entry: &Entry| if entry.kind == Kind::Dir { Some(0) } else { known.next() };
        let inodes: Option<Vec<u64>> = site.entries.iter().map(of_entry).collect();
        let parts = site.trees.parts().len();
        let (Some(inodes), true) = (inodes, made.len() == parts) else {
            anyhow::bail!("{} does not fit the workload: --force makes the tree anew", file.display())
        };
        let mut above: HashSet<&[u8]> = HashSet::from([&b"/"[..]]);
        let captured = site.trees.parts().iter().map(|(captured, _)| captured);
        for path in site.entries.iter().map(|entry| &entry.path).chain(captured) {
            let mut path = path.as_slice();
            while let Some(slash) = memchr::memrchr(b'/', path).filter(|slash| *slash > 0) {
                path = &path[..slash];
                if !above.insert(path) {
                    break;
                }
            }
        }
        Ok(Survey {
            site,
            index: site.entries.iter().enumerate().map(|(at, entry)| (&*entry.path, at)).collect(),
            above,
            made: made.to_vec(),
            inodes,
            known: vec![false; site.entries.len()],
            again: HashMap::new(),
            removed: 0,
        })
    }

    /// Compares a part.
    fn top(&mut self, part: usize, captured: &[u8], dir: &Path) -> Result<()> {
        let meta = fs::symlink_metadata(dir).with_context(|| format!("cannot look at {}", dir.display()))?;
        self.dir(part, captured, &meta);
        let mut path = captured.strip_suffix(b"/").unwrap_or(captured).to_vec();
        self.walk(part, &mut path, dir)
    }

    /// A directory stands where one should.
    fn dir(&mut self, part: usize, path: &[u8], meta: &Metadata) {
        let entry = self.index.get(path).map(|at| {
            self.known[*at] = true;
            &self.site.entries[*at]
        });
        if ctime(meta) >= self.made[part] {
            self.again.insert(path.to_vec(), owned(entry.cloned().unwrap_or_else(|| Entry::dir(path.to_vec()))));
        }
    }

    fn walk(&mut self, part: usize, path: &mut Vec<u8>, dir: &Path) -> Result<()> {
        let failed = || format!("cannot look into {}", dir.display());
        let entries = fs::read_dir(dir).or_else(|_| {
            // A replay may have left a directory that its owner must not read.
            self.unlock(path, dir);
            fs::read_dir(dir)
        });
        for found in entries.with_context(failed)?.collect::<std::io::Result<Vec<_>>>().with_context(failed)? {
            let (length, place) = (path.len(), found.path());
            path.push(b'/');
            path.extend_from_slice(found.file_name().as_bytes());
            let meta = found.metadata().with_context(|| format!("cannot look at {}", place.display()))?;
            let point = self.site.trees.bound(path).is_some();
            let wanted = self.index.get(path.as_slice()).copied().filter(|_| !point);
            let kind = wanted.map(|at| self.site.entries[at].kind);
            let is_dir = meta.is_dir();
            match (kind, wanted) {
                _ if point && is_dir => {}
                (Some(Kind::Dir), _) if is_dir => {
                    self.dir(part, path, &meta);
                    self.walk(part, path, &place)?;
                }
                (None, _) if is_dir && self.above.contains(path.as_slice()) => {
                    self.dir(part, path, &meta);
                    self.walk(part, path, &place)?;
                }
                (Some(kind), Some(at))
                    if kind == kind_of(&meta) && meta.ino() == self.inodes[at] && ctime(&meta) < self.made[part] =>
                {
                    self.known[at] = true;
                }
                _ => self.remove(path, &place, is_dir)?,
            }
            path.truncate(length);
        }
        Ok(())
    }

    fn remove(&mut self, path: &[u8], place: &Path, is_dir: bool) -> Result<()> {
        let remove = || if is_dir { clean::remove_tree(place) } else { fs::remove_file(place) };
        remove()
            .or_else(|_| {
                if let Some(dir) = place.parent() {
                    self.unlock(&path[..memchr::memrchr(b'/', path).unwrap_or(0)], dir);
                }
                remove()
            })
            .with_context(|| format!("cannot remove {}", place.display()))?;
        self.removed += 1;
        Ok(())
    }

    /// Gives ourselves all rights on a directory, which gets its own back later.
    fn unlock(&mut self, path: &[u8], dir: &Path) {
        let path = if path.is_empty() { b"/" } else { path };
        let entry = self.index.get(path).map(|at| self.site.entries[*at].clone());
        self.again.insert(path.to_vec(), owned(entry.unwrap_or_else(|| Entry::dir(path.to_vec()))));
        clean::open_up(dir);
    }
}

/// Makes directories writable in which something is to be made; they get their own rights back later.
fn unlock<'a>(site: &Site, wanted: impl Iterator<Item = &'a &'a Entry>, again: &mut HashMap<Vec<u8>, Entry>) {
    // SAFETY: no arguments.
    if unsafe { libc::geteuid() } == 0 {
        return;
    }
    let parents: HashSet<&[u8]> = wanted.map(|entry| parent(&entry.path)).collect();
    for entry in site.entries.iter().filter(|entry| parents.contains(&*entry.path) && entry.mode() & 0o300 != 0o300) {
        let (part, inside) = site.trees.part(&entry.path);
        let dir = site.trees.parts()[part].1.join(std::ffi::OsStr::from_bytes(&inside[1..]));
        if dir.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            clean::open_up(&dir);
            again.insert(entry.path.clone(), owned(entry.clone()));
        }
    }
}

fn parent(path: &[u8]) -> &[u8] {
    match memchr::memrchr(b'/', path) {
        None | Some(0) => b"/",
        Some(slash) => &path[..slash],
    }
}

/// The entry with the owner that init gives what has none of its own: us.
fn owned(entry: Entry) -> Entry {
    // SAFETY: no arguments.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    Entry { uid: entry.uid.or(Some(uid)), gid: entry.gid.or(Some(gid)), ..entry }
}

fn kind_of(meta: &Metadata) -> Kind {
    let kind = meta.file_type();
    match () {
        () if kind.is_file() => Kind::File,
        () if kind.is_dir() => Kind::Dir,
        () if kind.is_symlink() => Kind::Link,
        () if kind.is_fifo() => Kind::Fifo,
        () if kind.is_socket() => Kind::Socket,
        () => Kind::Absent,
    }
}
