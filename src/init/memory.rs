//! File systems in memory (tmpfs): what the capture had in one is in one again while it is replayed.
//!
//! They are made by the supervisor at the start of a replay, as root, attached nowhere; filled through their descriptors as init
//! fills a tree; handed into the sandbox, where alone they are mounted; and looked at afterwards through the same descriptors.
//! With the last of these they are gone, also after a kill. The tree on disk has what they hold too, for replays that cannot
//! have them.

use super::fill::Maker;
use super::layout::Allocation;
use super::plan::{self, Entry};
use super::{Making, Parts, Stamp, Summary};
use crate::amount::Bytes;
use crate::fate::StaysOnDisk;
use crate::files::Dir;
use crate::model::Kind;
use crate::mounts::{self, below};
use crate::os::{tmpfs, user};
use crate::progress::{Progress, Unit};
use crate::schema::Dataset;
use crate::text;
use crate::words::words;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;

words! {
    /// Where a replay has what the capture had in memory.
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    Tmpfs {
        Memory "memory" "in file systems in memory (tmpfs) of its own, where it is root's and the capture knows these mounts";
        Disk   "disk"   "in the tree on disk, with everything else";
    }
}

/// Most file systems in memory that a replay makes.
const MOST: usize = 64;
/// Bytes of a page.
const PAGE: u64 = 4096;
/// Mode of the top of a tmpfs of which the capture shows none, as the kernel makes it (tmpfs(5)).
const TOP_MODE: u32 = 0o1777;

/// A file system in memory of the capture, and what a replay makes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seat {
    /// Absolute path of its mount point, in the form of [`crate::text`].
    pub path: String,
    /// Most bytes that it may hold.
    pub size: u64,
    /// Why it is on disk, for people; `None` when it is in memory.
    pub on_disk: Option<String>,
}

impl Seat {
    fn path(&self) -> Vec<u8> {
        text::decode(&self.path).into_owned()
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.on_disk {
            None => write!(f, "{} is in memory (tmpfs of {})", text::shown(&self.path), Bytes(self.size)),
            Some(why) => write!(f, "{} was in memory and is on disk: {}", text::shown(&self.path), text::shown(why)),
        }
    }
}

/// What becomes of the file systems in memory of a workload, as far as it is known before a replay: those that files of its fileset
/// are on, outer before inner. All together may hold half of the machine's memory, as one does by default.
///
/// # Errors
/// When the workload cannot be read, or says of them what cannot be.
pub fn plan(workload: &Dataset, tmpfs: Tmpfs) -> Result<Vec<Seat>> {
    let known = mounts::in_memory(&workload.manifest)?;
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let names = plan::kinds(workload, |path| known.iter().any(|(mount, _)| below(path, mount).is_some()))?;
    let used = |mount: &[u8]| names.keys().any(|path| below(path, mount).is_some());
    let mut seats = Vec::new();
    for (path, one) in known.into_iter().filter(|(path, _)| used(path)) {
        let on_disk = match one.stays.as_deref().and_then(StaysOnDisk::parse) {
            _ if tmpfs == Tmpfs::Disk => Some("so it was asked for"),
            Some(why) => Some(why.doc()),
            None if !user::is_root() => Some("only root can make it"),
            None if seats.iter().filter(|seat: &&Seat| seat.on_disk.is_none()).count() >= MOST => Some("there are too many"),
            None => None,
        };
        seats.push(Seat {
            path: text::encode(&path).into_owned(),
            // The kernel takes 0 for no limit.
            size: one.size.filter(|size| *size > 0).unwrap_or(u64::MAX),
            on_disk: on_disk.map(Into::into),
        });
    }
    let made = seats.iter().filter(|seat| seat.on_disk.is_none()).count() as u64;
    seats.iter_mut().for_each(|seat| seat.size = seat.size.min(share(made)));
    Ok(seats)
}

/// Bytes that each of so many file systems in memory may hold.
fn share(made: u64) -> u64 {
    memory("MemTotal:").unwrap_or(0) / 2 / made.max(1)
}

/// A number of /proc/meminfo (proc_meminfo(5)), bytes.
fn memory(key: &str) -> Option<u64> {
    let text = crate::files::text(Path::new("/proc/meminfo")).ok()?;
    let text = String::from_utf8(text).ok()?;
    let kib: u64 = text.lines().find_map(|line| line.strip_prefix(key)?.split_ascii_whitespace().next()?.parse().ok())?;
    kib.checked_mul(1024)
}

/// Makes and fills the file systems in memory of a workload, and adds each to the parts of the tree; returns what became of them.
///
/// # Errors
/// When the workload cannot be read, or one cannot be filled.
pub fn lay_out(
    mut parts: Parts,
    workload: &Dataset,
    stamp: &Stamp,
    tmpfs: Tmpfs,
    progress: &Progress,
) -> Result<(Parts, Vec<Seat>)> {
    let mut seats = plan(workload, tmpfs)?;
    if seats.iter().all(|seat| seat.on_disk.is_some()) {
        return Ok((parts, seats));
    }
    let mut entries = plan::entries(workload, stamp.unread())?;
    entries.retain(|entry| seats.iter().any(|seat| below(&entry.path, &seat.path()).is_some()));
    let free = memory("MemAvailable:").unwrap_or(0);
    // As many files as there are pages, as by default of one alone (tmpfs(5)): names and attributes take memory beside the bytes.
    let files = share(seats.iter().filter(|seat| seat.on_disk.is_none()).count() as u64) / PAGE;
    let mut taken = 0;
    for seat in seats.iter_mut().filter(|seat| seat.on_disk.is_none()) {
        let path = seat.path();
        let needed = needs(&entries, &path);
        taken = plan::total([taken, needed].into_iter());
        let made = match (there(&parts, &path), needed) {
            (Err(why), _) => Err(why),
            (Ok(()), needed) if needed > seat.size => {
                Err(format!("its files need {}, and it can have {}", Bytes(needed), Bytes(seat.size)))
            }
            (Ok(()), _) if names(&entries, &path) >= files => Err(format!("it can have {files} files, and they are more")),
            (Ok(()), _) if taken > free => Err(format!("there is not enough memory: {} are free", Bytes(free))),
            (Ok(()), _) => tmpfs::detached(seat.size, files).map_err(|error| format!("it cannot be made: {error}")),
        };
        match made.and_then(|mount| opened(mount, &path).map_err(|error| format!("it cannot be opened: {error}"))) {
            Ok((mount, top)) => parts.mount(path, mount, top).context("too many open files")?,
            Err(why) => seat.on_disk = Some(why),
        }
    }
    fill(&parts, &mut entries, stamp, progress)?;
    Ok((parts, seats))
}

/// Bytes that files below a path take at least, in pages.
fn needs(entries: &[Entry], path: &[u8]) -> u64 {
    let inside = entries.iter().filter(|entry| below(&entry.path, path).is_some());
    plan::total(inside.map(|entry| entry.bytes().div_ceil(PAGE).saturating_mul(PAGE)))
}

/// How many files, directories and links are below a path.
fn names(entries: &[Entry], path: &[u8]) -> u64 {
    entries.iter().filter(|entry| below(&entry.path, path).is_some()).count() as u64
}

/// Can a file system be mounted at this path of the tree when the replay begins?
fn there(parts: &Parts, path: &[u8]) -> Result<(), String> {
    if parts.trees.bound(path).is_some() {
        return Err("its directory is mapped".into());
    }
    let (part, inside) = parts.trees.part(path);
    if parts.mounted(part).is_some() {
        return Ok(()); // it is made with the mount points
    }
    let found = parts.tops().nth(part).map(|top| top.below(inside));
    match found {
        Some(Ok(_)) => Ok(()),
        _ => Err("its directory is not there when the replay begins".into()),
    }
}

fn opened(mount: OwnedFd, path: &[u8]) -> std::io::Result<(OwnedFd, Dir)> {
    let top = Dir::of_mount(&mount, Path::new(&format!("tmpfs of {}", text::shown(&text::encode(path)))))?;
    Ok((mount, top))
}

/// Fills the parts in memory with their entries.
fn fill(parts: &Parts, entries: &mut Vec<Entry>, stamp: &Stamp, progress: &Progress) -> Result<()> {
    let in_memory = |path: &[u8]| parts.mounted(parts.trees.part(path).0).is_some();
    entries.retain(|entry| in_memory(&entry.path));
    for entry in entries.iter_mut().filter(|entry| parts.trees.bound(&entry.path).is_some()) {
        entry.mode = entry.mode.or(Some(TOP_MODE));
    }
    let mut summary = Summary::default();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let (dirs, others): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.kind == Kind::Dir);
    progress.begin("memory", Unit::Bytes, plan::total(others.iter().map(|entry| entry.bytes())));
    // What is in memory costs the same whatever it holds, and lies on no device.
    let stamp = Stamp { allocation: Allocation::Plain, ..stamp.clone() };
    let mut making = Making::new(parts, &stamp, None, threads, progress)?;
    for (path, _) in parts.trees.parts().iter().skip(1).filter(|(path, _)| in_memory(parent(path))) {
        point(&mut making.maker, path, parent(path), &mut summary);
    }
    making.dirs(&dirs, &mut summary);
    making.others(&others, &mut summary)?;
    making.finish(&dirs, &mut summary);
    let first = summary.first_errors.first().map_or("", String::as_str);
    ensure!(
        summary.errors == 0,
        "what the capture had in memory cannot be made there: {}; --tmpfs disk does without",
        text::shown(first)
    );
    Ok(())
}

/// Makes a mount point in a file system in memory, and the directories above it.
fn point(maker: &mut Maker<'_>, path: &[u8], above: &[u8], summary: &mut Summary) {
    super::parents(maker, b"", path, summary);
    if let Err(error) = maker.point(path) {
        summary.failed(above, &error);
    }
}

fn parent(path: &[u8]) -> &[u8] {
    match memchr::memrchr(b'/', path) {
        None | Some(0) => b"/",
        Some(slash) => &path[..slash],
    }
}
