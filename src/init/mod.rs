//! Makes the tree that a workload needs.

mod clean;
mod fill;
mod plan;
mod root;
mod tree;

pub use clean::{Found, Thing, find, remove};
pub use fill::{Skipped, noise};
pub use root::{Root, Stamp, State, fingerprint};

use crate::amount::{Bytes, Nanos, Things};
use crate::model::Kind;
use crate::progress::{Progress, Unit};
use crate::schema::Dataset;
use crate::schema::dataset::Kind as Holds;
use anyhow::{Context, Result, ensure};
use fill::Maker;
use plan::Entry;
use serde::Serialize;
use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tree::Tree;

/// How many failed entries are shown; all are counted.
const SHOWN: usize = 10;

/// What init is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The workload.
    pub workload: PathBuf,
    /// Where the tree goes; [`Root::beside`] is the usual place.
    pub root: PathBuf,
    /// Move a tree that stands there aside.
    pub force: bool,
    /// Leave ranges that no op reads as holes.
    pub sparse_unread: bool,
    /// Threads that write files.
    pub threads: usize,
}

/// What init did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// The root.
    pub root: PathBuf,
    /// Where a tree that stood there went.
    pub moved: Option<PathBuf>,
    /// Directories made.
    pub dirs: u64,
    /// Regular files made.
    pub files: u64,
    /// Symlinks made.
    pub links: u64,
    /// FIFOs and sockets made.
    pub nodes: u64,
    /// Bytes written.
    pub bytes: u64,
    /// What was made without its owner or attributes.
    pub skipped: Skipped,
    /// Entries that could not be made.
    pub errors: u64,
    /// The first of them.
    pub first_errors: Vec<String>,
    /// Wall time, ns.
    pub wall: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(moved) = &self.moved {
            writeln!(f, "The old tree is in {} now.", moved.display())?;
        }
        writeln!(
            f,
            "Made under {}: {}, {} with {} of data, {}, {}; in {}.",
            self.root.display(),
            Things(self.dirs, "directory"),
            Things(self.files, "file"),
            Bytes(self.bytes),
            Things(self.links, "symlink"),
            Things(self.nodes, "other"),
            Nanos(self.wall as i64),
        )?;
        if self.skipped.owners > 0 {
            writeln!(f, "{} owners could not be given (that takes root).", self.skipped.owners)?;
        }
        if self.skipped.xattrs > 0 {
            writeln!(f, "{} extended attributes could not be set.", self.skipped.xattrs)?;
        }
        if self.errors > 0 {
            writeln!(f, "{} entries could not be made:", self.errors)?;
            for error in &self.first_errors {
                writeln!(f, "  {error}")?;
            }
        }
        Ok(())
    }
}

impl Summary {
    /// Was every entry made?
    pub fn ok(&self) -> bool {
        self.errors == 0
    }

    fn made(&mut self, entry: &Entry) {
        match entry.kind {
            Kind::Dir => self.dirs += 1,
            Kind::File => {
                self.files += 1;
                self.bytes += entry.bytes();
            }
            Kind::Link => self.links += 1,
            Kind::Fifo | Kind::Socket => self.nodes += 1,
            Kind::Absent => {}
        }
    }

    fn failed(&mut self, path: &[u8], error: &std::io::Error) {
        self.errors += 1;
        if self.first_errors.len() < SHOWN {
            self.first_errors.push(format!("{}: {error}", crate::text::encode(path)));
        }
    }

    fn add(&mut self, other: Summary) {
        self.files += other.files;
        self.links += other.links;
        self.nodes += other.nodes;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.skipped.add(other.skipped);
        self.first_errors.extend(other.first_errors);
        self.first_errors.truncate(SHOWN);
    }
}

/// Makes the fileset of a workload under a root and stamps the root fresh.
///
/// Entries that cannot be made are counted in [`Summary::errors`] and leave the root stamped incomplete.
///
/// # Errors
/// When the workload cannot be read, the root is taken, or the space does not suffice.
pub fn run(options: &Options, progress: &Progress) -> Result<Summary> {
    let start = Instant::now();
    let workload = Dataset::expect(&options.workload, Holds::Workload)?;
    let dir = options.root.clone();
    let entries = plan::entries(&workload, options.sparse_unread)?;
    let bytes = entries.iter().map(Entry::bytes).sum::<u64>();
    room(&dir, bytes, entries.len() as u64)?;

    let root = Root::new(&dir);
    let mut summary = Summary { moved: root.make(options.force, &workload)?, root: dir, ..Summary::default() };
    progress.begin("init", Unit::Bytes, bytes);
    let top = root.tree();
    let open = || Tree::open(&top).with_context(|| format!("cannot open {}", top.display()));

    let mut maker = Maker::new(open()?, progress);
    let (dirs, others): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.kind == Kind::Dir);
    for dir in &dirs {
        parents(&mut maker, &dir.path, &mut summary);
        match maker.dir(&dir.path) {
            Ok(_) => summary.made(dir),
            Err(error) => summary.failed(&dir.path, &error),
        }
    }
    let threads = options.threads.clamp(1, others.len().max(1));
    let makers = (0..threads).map(|_| Ok(Maker::new(open()?, progress))).collect::<Result<Vec<_>>>()?;
    for part in fill_all(makers, &others) {
        summary.add(part);
    }
    for dir in dirs.iter().rev() {
        if let Err(error) = maker.finish(dir) {
            summary.failed(&dir.path, &error);
        }
    }
    summary.skipped.add(maker.skipped);
    let tree = File::open(&top).with_context(|| format!("cannot open {}", top.display()))?;
    fill::sync(&tree).with_context(|| format!("cannot write {} back", top.display()))?;
    root.mark(if summary.errors == 0 { State::Fresh } else { State::Incomplete }, &workload)?;
    summary.wall = start.elapsed().as_nanos() as u64;
    Ok(summary)
}

/// Makes the directories above an entry that the fileset does not name. Their errors show with the entry itself.
fn parents(maker: &mut Maker, path: &[u8], summary: &mut Summary) {
    for (at, _) in path.iter().enumerate().filter(|(at, byte)| *at > 0 && **byte == b'/') {
        if let Ok(true) = maker.dir(&path[..at]) {
            summary.dirs += 1;
            let _ = maker.finish(&Entry {
                path: path[..at].to_vec(),
                kind: Kind::Dir,
                size: 0,
                mode: None,
                uid: None,
                gid: None,
                target: Vec::new(),
                xattrs: Vec::new(),
                data: None,
            });
        }
    }
}

/// Makes everything but directories on several threads, each taking the next entry that nobody has.
fn fill_all(makers: Vec<Maker>, entries: &[Entry]) -> Vec<Summary> {
    let next = AtomicUsize::new(0);
    let work = |mut maker: Maker| {
        let mut part = Summary::default();
        while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut made = maker.entry(entry);
            if made.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
                parents(&mut maker, &entry.path, &mut part);
                made = maker.entry(entry);
            }
            match made {
                Ok(()) => part.made(entry),
                Err(error) => part.failed(&entry.path, &error),
            }
        }
        part.skipped = maker.skipped;
        part
    };
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = makers.into_iter().map(|maker| scope.spawn(move || work(maker))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

/// Refuses when the file system of `root` lacks the bytes or the inodes.
fn room(root: &Path, bytes: u64, entries: u64) -> Result<()> {
    // The nearest directory that is there already tells which file system it will be.
    let there = root.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("."));
    let path = CString::new(there.as_os_str().as_bytes())?;
    // SAFETY: statvfs is plain numbers, and zeroes are such.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: path ends in NUL and stat is large enough.
    let done = unsafe { libc::statvfs(path.as_ptr(), &mut stat) };
    ensure!(done == 0, "cannot see how much space is left in {}: {}", there.display(), std::io::Error::last_os_error());
    // A file takes whole blocks, and an entry of its directory.
    let needed = bytes + entries * stat.f_frsize;
    let free = stat.f_bavail * stat.f_frsize;
    ensure!(
        needed <= free,
        "the tree needs {:.1} MiB and {} has {:.1} MiB left: choose another --root or make room",
        needed as f64 / 1048576.0,
        there.display(),
        free as f64 / 1048576.0,
    );
    // Some file systems (btrfs) have no fixed number of inodes and say 0 of 0.
    ensure!(
        stat.f_files == 0 || entries <= stat.f_favail,
        "the tree needs {entries} inodes and {} has {} left: choose another --root",
        there.display(),
        stat.f_favail,
    );
    Ok(())
}
