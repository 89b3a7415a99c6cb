//! Reset: restores a used tree, touching only what a replay has changed.
//!
//! A file is unchanged when it has the inode that init made there and a ctime from before init was done: the kernel updates
//! the ctime with every write, rename, link and change of attributes, and no call sets it. Everything else that is not a
//! directory is removed and made again; directories get their own attributes back.

use super::from::Source;
use super::parts::Parts;
use super::plan::Entry;
use super::root::{INODES, Root, STAMP};
use super::site::Site;
use super::stamp::{Owner, Stamp, State};
use super::summary::{Reset, Summary};
use super::{Making, Options, ctime, done};
use crate::files::{self, Dir, Id};
use crate::model::Kind;
use crate::progress::{Progress, Unit};
use crate::schema::Dataset;
use crate::schema::dataset::Kind as Holds;
use crate::text;
use anyhow::{Context, Result, ensure};
use rustix::fs::{FileType, Stat};
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

/// Resets the root [`Options::root`]; mappings and data are those it was made with.
///
/// # Errors
/// When it is no root, was made for another workload or is incomplete, or a directory of it cannot be read.
pub fn reset(options: &Options, progress: &Progress) -> Result<Summary> {
    let start = Instant::now();
    let workload = Dataset::expect(&options.workload, Holds::Workload)?;
    let (root, mut stamp, _lock) = Root::check(&options.root, &workload, true)?;
    ensure!(
        stamp.state != State::Incomplete,
        "{} is incomplete, so nobody knows what is right in it: `ioriot init {} --root {0} --force` makes it anew",
        root.path().display(),
        workload.dir.display(),
    );
    let parts = Parts::open(root, &stamp)?;
    let site = Site::of(workload, parts.trees.clone(), stamp.maps.clone(), stamp.unread())?;
    let source = stamp.source.as_ref().map(Source::open).transpose().context("--force makes the tree anew")?;
    let mut survey = Survey::new(&site, &parts, &stamp)?;
    // If the clock was set back since, changed files cannot be told by their ctime, so all are made again.
    let used = parts.root.dir().look(STAMP).map(|stat| ctime(&stat))?;
    if stamp.state == State::Used && stamp.made.first().is_none_or(|made| used < *made) {
        survey.made.fill(i64::MIN);
    }
    parts.root.mark(State::Incomplete)?;

    progress.begin("compare", Unit::Count, site.entries.len() as u64);
    for (part, tree) in parts.tops().enumerate() {
        survey.part(part, tree)?;
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
    unlock(&site, &parts, stamp.owner, new_dirs.iter().chain(&new_others), &mut again);

    let mut making = Making::new(&parts, &stamp, source, options.threads, progress)?;
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

    making.verify(&new_others, &mut summary)?;
    summary.add_taken(making.maker.taken());
    summary.reset = Some(Reset { kept, removed });
    stamp.state = State::Fresh;
    let inodes: Vec<u64> =
        site.entries.iter().zip(inodes).filter(|(entry, _)| entry.kind != Kind::Dir).map(|(_, inode)| inode).collect();
    done(&parts, stamp, &inodes, &summary)?;
    summary.wall = start.elapsed().as_nanos() as u64;
    Ok(summary)
}

/// Comparison of what exists in the trees with what should.
struct Survey<'a> {
    site: &'a Site,
    /// Index of an entry by its captured path.
    index: HashMap<&'a [u8], usize>,
    /// Paths of directories that exist only because something is below them.
    above: HashSet<&'a [u8]>,
    /// When each part was made, by its file system's clock, ns.
    made: Vec<i64>,
    /// Owner of entries whose owner was not captured.
    owner: Option<Owner>,
    /// Inode that init made for each entry, 0 for directories.
    inodes: Vec<u64>,
    /// For each entry, whether it was found as it should be, attributes of directories aside.
    known: Vec<bool>,
    /// Directories whose attributes must be set again, by captured path.
    again: HashMap<Vec<u8>, Entry>,
    /// Number of files and directories that were removed.
    removed: u64,
}

impl<'a> Survey<'a> {
    fn new(site: &'a Site, parts: &Parts, stamp: &Stamp) -> Result<Survey<'a>> {
        let made = &stamp.made;
        let (dir, mut bytes) = (parts.root.dir(), Vec::new());
        let file = dir.at(INODES);
        dir.file(INODES)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .with_context(|| format!("cannot read {}: --force makes the tree anew", file.display()))?;
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
            made: made.clone(),
            owner: stamp.owner,
            inodes,
            known: vec![false; site.entries.len()],
            again: HashMap::new(),
            removed: 0,
        })
    }

    /// Compares one part: its directories one after the other, each opened anew beneath its top.
    fn part(&mut self, part: usize, top: &Dir) -> Result<()> {
        let (captured, _) = &self.site.trees.parts()[part];
        let captured = captured.strip_suffix(b"/").unwrap_or(captured);
        self.dir(part, if captured.is_empty() { b"/" } else { captured }, &top.stat()?);
        let mut paths = vec![captured.to_vec()];
        while let Some(path) = paths.pop() {
            let below = &path[captured.len()..];
            let failed = || format!("cannot look into {}", text::encode(&path));
            let list = || top.below(below).and_then(|dir| Ok((dir.entries()?, dir)));
            let listed = list().or_else(|_| {
                // A replay may have left a directory without permissions for its owner.
                self.unlock(&path);
                top.unlock(below)?;
                list()
            });
            let (names, dir) = listed.with_context(failed)?;
            for (name, _) in names {
                let path = [&path, &b"/"[..], name.as_bytes()].concat();
                if self.entry(part, &dir, &name, &path)? {
                    paths.push(path);
                }
            }
        }
        Ok(())
    }

    /// Notes a directory that exists where one should; its attributes are set again if it was changed.
    fn dir(&mut self, part: usize, path: &[u8], stat: &Stat) {
        let entry = self.index.get(path).map(|at| {
            self.known[*at] = true;
            &self.site.entries[*at]
        });
        if ctime(stat) >= self.made[part] {
            self.again.insert(path.to_vec(), owned(entry.cloned().unwrap_or_else(|| Entry::dir(path.to_vec())), self.owner));
        }
    }

    /// Compares one name in a directory; what should not exist, or not like that, is removed. Returns whether it is a
    /// directory to descend into.
    fn entry(&mut self, part: usize, dir: &Dir, name: &OsStr, path: &[u8]) -> Result<bool> {
        let stat = dir.look(name).with_context(|| format!("cannot look at {}", text::encode(path)))?;
        let point = self.site.trees.bound(path).is_some();
        let wanted = self.index.get(path).copied().filter(|_| !point);
        let should = wanted.map(|at| self.site.entries[at].kind);
        let kind = kind_of(&stat);
        match (should, wanted) {
            _ if point && kind == Kind::Dir => Ok(false),
            (Some(Kind::Dir), _) if kind == Kind::Dir => {
                self.dir(part, path, &stat);
                Ok(true)
            }
            (None, _) if kind == Kind::Dir && self.above.contains(path) => {
                self.dir(part, path, &stat);
                Ok(true)
            }
            (Some(should), Some(at)) if should == kind && stat.st_ino == self.inodes[at] && ctime(&stat) < self.made[part] => {
                self.known[at] = true;
                Ok(false)
            }
            _ => self.remove(dir, name, path, &stat).map(|()| false),
        }
    }

    /// Removes a file or a whole directory, if need be after making its parent writable.
    fn remove(&mut self, dir: &Dir, name: &OsStr, path: &[u8], stat: &Stat) -> Result<()> {
        let remove = || match kind_of(stat) {
            Kind::Dir => files::remove_tree(dir, name, Id::of(stat)),
            _ => dir.unlink(name),
        };
        remove()
            .or_else(|_| {
                self.unlock(&path[..memchr::memrchr(b'/', path).unwrap_or(0)]);
                dir.unlock(b"")?;
                remove()
            })
            .with_context(|| format!("cannot remove {}", text::encode(path)))?;
        self.removed += 1;
        Ok(())
    }

    /// Notes a directory that was made accessible for its owner, so that its own attributes are set again later.
    fn unlock(&mut self, path: &[u8]) {
        let path = if path.is_empty() { b"/" } else { path };
        let entry = self.index.get(path).map(|at| self.site.entries[*at].clone());
        self.again.insert(path.to_vec(), owned(entry.unwrap_or_else(|| Entry::dir(path.to_vec())), self.owner));
    }
}

/// Makes directories writable in which something is to be made (unless we are root); their own modes are set again later.
fn unlock<'a>(
    site: &Site,
    parts: &Parts,
    owner: Option<Owner>,
    wanted: impl Iterator<Item = &'a &'a Entry>,
    again: &mut HashMap<Vec<u8>, Entry>,
) {
    if files::us() == 0 {
        return;
    }
    let parents: HashSet<&[u8]> = wanted.map(|entry| parent(&entry.path)).collect();
    for entry in site.entries.iter().filter(|entry| parents.contains(&*entry.path) && entry.mode() & 0o300 != 0o300) {
        let (part, inside) = site.trees.part(&entry.path);
        if parts.tops().nth(part).is_some_and(|top| top.unlock(inside).is_ok()) {
            again.insert(entry.path.clone(), owned(entry.clone(), owner));
        }
    }
}

fn parent(path: &[u8]) -> &[u8] {
    match memchr::memrchr(b'/', path) {
        None | Some(0) => b"/",
        Some(slash) => &path[..slash],
    }
}

/// The entry with an owner and group filled in where none was captured: `owner`, or the user of this process.
fn owned(entry: Entry, owner: Option<Owner>) -> Entry {
    let Owner { uid, gid } = owner.unwrap_or(Owner { uid: files::us(), gid: files::our_group() });
    Entry { uid: entry.uid.or(Some(uid)), gid: entry.gid.or(Some(gid)), ..entry }
}

/// The kind of a file by its stat(2) attributes; `Absent` for kinds that no tree holds (devices).
pub fn kind_of(stat: &Stat) -> Kind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Link,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        _ => Kind::Absent,
    }
}
