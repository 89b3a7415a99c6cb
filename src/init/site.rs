//! Where a tree is to stand: its parts, what each needs, and whether there is room for it.

use super::Options;
use super::map::{self, Map, Mapping};
use super::parts::Trees;
use super::plan::{self, Entry};
use super::root::{Root, absolute};
use crate::amount::{Bytes, Things};
use crate::files::Lock;
use crate::model::Kind;
use crate::mounts::{self, Mount, below};
use crate::schema::Dataset;
use crate::schema::dataset::Kind as Holds;
use crate::text;
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Everything that is decided before the first file is made.
pub(super) struct Site {
    pub workload: Dataset,
    pub entries: Vec<Entry>,
    pub maps: Vec<Mapping>,
    pub trees: Trees,
    pub notes: Vec<String>,
}

impl Site {
    /// Decides by what the user asks for.
    ///
    /// # Errors
    /// When the workload cannot be read or a mapping cannot work.
    pub fn new(options: &Options) -> Result<Site> {
        let workload = Dataset::expect(&options.workload, Holds::Workload)?;
        let root = absolute(&options.root);
        let entries = plan::entries(&workload, options.sparse_unread)?;
        let mut maps = resolved(&root, &options.maps)?;
        let mut notes = Vec::new();
        if let Some(name) = &options.layout {
            named(name)?;
            let captured = mounts::of(&workload.manifest);
            if captured.is_none() {
                notes.push("The capture does not know its mount points: those of this machine are used.".into());
            }
            let holds = |dir: &[u8]| entries.iter().any(|entry| below(&entry.path, dir).is_some());
            for mapping in map::layout(name, captured.as_deref(), holds)? {
                // What is asked for by name goes where it was asked for.
                if maps.iter().all(|known| known.captured != mapping.captured) {
                    maps.push(mapping);
                }
            }
        }
        map::apart(&root, &maps)?;
        fit(&workload, &maps)?;
        let trees = Trees::new(&root, &maps);
        let mut site = Site { workload, entries, maps, trees, notes };
        site.look_at_maps()?;
        Ok(site)
    }

    /// The site of a root that is there.
    ///
    /// # Errors
    /// When the workload cannot be read.
    pub fn of(workload: Dataset, trees: Trees, maps: Vec<Mapping>, sparse_unread: bool) -> Result<Site> {
        let entries = plan::entries(&workload, sparse_unread)?;
        Ok(Site { workload, entries, trees, maps, notes: Vec::new() })
    }

    /// Says what a mapping changes.
    fn look_at_maps(&mut self) -> Result<()> {
        if self.maps.is_empty() {
            return Ok(());
        }
        for map in &self.maps {
            if !self.entries.iter().any(|entry| below(&entry.path, &map.captured).is_some()) {
                self.notes.push(format!("Nothing of the tree is below {}.", text::encode(&map.captured)));
            }
        }
        let cut = map::cut(&self.workload, &self.trees)?;
        if cut > 0 {
            self.notes.push(format!(
                "The mapping splits what was one file system: {cut} captured renames and links cross it and will fail with EXDEV."
            ));
        }
        Ok(())
    }

    /// What each part needs and has.
    ///
    /// # Errors
    /// When a file system cannot be looked at.
    pub fn needs(&self) -> Result<Vec<Need>> {
        let mut needs = Vec::new();
        for (captured, dir) in self.trees.parts() {
            needs.push(Need::new(captured, dir.parent().unwrap_or(dir))?);
        }
        for entry in &self.entries {
            let need = &mut needs[self.trees.part(&entry.path).0];
            // Captured sizes: two files may have more bytes than there are numbers for.
            need.bytes = need.bytes.saturating_add(entry.bytes());
            need.entries += 1;
        }
        Ok(needs)
    }
}

/// Refuses what is no name for trees of `--layout`.
fn named(layout: &str) -> Result<()> {
    let single = !layout.is_empty() && !layout.contains('/') && layout != "." && layout != "..";
    ensure!(single, "{layout:?} is no name for a directory of trees: choose one without slashes");
    Ok(())
}

fn resolved(root: &Path, maps: &[Map]) -> Result<Vec<Mapping>> {
    maps.iter().map(|map| map.resolve(root)).collect()
}

/// Could a root and its places be made? The locks of those that would move aside.
///
/// # Errors
/// When one could not: what is in the way.
pub(super) fn places(root: &Path, maps: &[Mapping], force: bool) -> Result<Vec<Lock>> {
    let places = [root].into_iter().chain(maps.iter().map(|map| &*map.place));
    places.filter_map(|place| Root::could_make(place, force).transpose()).collect()
}

/// Says before there is a workload whether a tree could be made as these options ask for, but for the places of a layout. The
/// locks of trees that would move aside: as long as they are held, nobody takes them.
///
/// # Errors
/// When an option is wrong or a place is taken.
pub fn ready(options: &Options) -> Result<Vec<Lock>> {
    options.layout.as_deref().map_or(Ok(()), named)?;
    let maps = resolved(&absolute(&options.root), &options.maps)?;
    map::apart(&options.root, &maps)?;
    places(&options.root, &maps, options.force)
}

/// Refuses to map what is no directory before the replay: nothing could be bound there.
fn fit(workload: &Dataset, maps: &[Mapping]) -> Result<()> {
    if maps.is_empty() {
        return Ok(());
    }
    let above = |path: &[u8]| maps.iter().any(|map| below(&map.captured, path).is_some());
    for (path, kind) in plan::kinds(workload, above)? {
        let Some(map) = maps.iter().find(|map| below(&map.captured, &path).is_some()) else { continue };
        let (captured, path) = (text::encode(&map.captured), text::encode(&path));
        match kind {
            Kind::Dir => {}
            Kind::Link => bail!("{captured} cannot be mapped: {path} is a symlink, so map the directory it leads to"),
            Kind::Absent => bail!("{captured} cannot be mapped: {path} is not there before the replay"),
            kind => bail!("{captured} cannot be mapped: {path} is a {}", kind.name()),
        }
    }
    Ok(())
}

/// What a part of the tree needs, and what its file system has.
#[derive(Clone, Debug, Serialize)]
pub struct Need {
    /// The captured directory.
    pub captured: String,
    /// Where it is to lie.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub dir: PathBuf,
    /// Files and directories, each an inode.
    pub entries: u64,
    /// Bytes of data.
    pub bytes: u64,
    /// Bytes that are free there.
    pub free: u64,
    /// Inodes that are free there; `None` where they are not counted (btrfs).
    pub free_entries: Option<u64>,
    /// Size of a block, bytes: what the smallest file takes.
    #[serde(skip)]
    block: u64,
    #[serde(skip)]
    device: u64,
}

impl Need {
    fn new(captured: &[u8], dir: &Path) -> Result<Need> {
        // The nearest directory that is there already tells which file system it will be.
        let there = dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("."));
        let stat =
            rustix::fs::statvfs(there).with_context(|| format!("cannot see how much space is left in {}", there.display()))?;
        Ok(Need {
            captured: text::encode(captured).into_owned(),
            dir: dir.to_owned(),
            entries: 0,
            bytes: 0,
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            // Some file systems (btrfs) have no fixed number of inodes and say 0 of 0.
            free_entries: (stat.f_files > 0).then_some(stat.f_favail),
            block: stat.f_frsize,
            device: there.metadata().map_or(0, |meta| meta.dev()),
        })
    }
}

/// Refuses when a file system lacks the bytes or the inodes for all that is to lie there.
///
/// # Errors
/// When one does; the message names it.
pub fn room(needs: &[Need]) -> Result<()> {
    let mut devices: BTreeMap<u64, (u64, u64, &Need)> = BTreeMap::new();
    for need in needs {
        let (bytes, entries, _) = devices.entry(need.device).or_insert((0, 0, need));
        // A file takes whole blocks, and an entry of its directory.
        *bytes = bytes.saturating_add(need.bytes).saturating_add(need.entries.saturating_mul(need.block));
        *entries += need.entries;
    }
    for (bytes, entries, need) in devices.into_values() {
        let dir = need.dir.display();
        ensure!(
            bytes <= need.free,
            "the tree needs {} in {dir}, and there are {} left: choose another --root or --map, or make room",
            Bytes(bytes),
            Bytes(need.free),
        );
        ensure!(
            need.free_entries.is_none_or(|free| entries <= free),
            "the tree needs {entries} inodes in {dir}, and there are {} left: choose another --root or --map",
            need.free_entries.unwrap_or(0),
        );
    }
    Ok(())
}

/// What init would make: the answer to a dry run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outline {
    /// Entries by kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// The parts of the tree.
    pub parts: Vec<Need>,
    /// Captured mount points, and what stands for each; absent when the capture does not know them.
    pub mounts: Option<Vec<String>>,
    /// What its files would hold.
    pub data: String,
    /// What to know before the replay.
    pub notes: Vec<String>,
    /// Why it cannot be made, if so.
    pub refused: Option<String>,
}

/// Says what [`super::run`] would do, and whether it could.
///
/// # Errors
/// When the workload cannot be read or a mapping cannot work.
pub fn outline(options: &Options) -> Result<Outline> {
    let site = Site::new(options)?;
    let parts = site.needs()?;
    let mut kinds = BTreeMap::new();
    for entry in &site.entries {
        *kinds.entry(entry.kind.name()).or_default() += 1;
    }
    let mounts = mounts::of(&site.workload.manifest);
    let mounts = mounts.map(|mounts| mounts.iter().filter_map(|mount| stands_for(mount, &site)).collect());
    let refused = room(&parts).err().or_else(|| places(&options.root, &site.maps, options.force).err());
    let refused = refused.map(|error| format!("{error:#}"));
    Ok(Outline { kinds, parts, mounts, data: options.data.fill.to_string(), notes: site.notes, refused })
}

/// What a captured mount point becomes, if it is one of the replay.
fn stands_for(mount: &Mount, site: &Site) -> Option<String> {
    let fs = if mount.fs.is_empty() { "unknown" } else { &mount.fs };
    let path = text::encode(&mount.path);
    let becomes = match site.trees.bound(&mount.path) {
        _ if mount.path == b"/" => "the root".into(),
        Some(part) => format!("mapped to {}", site.trees.parts()[part].1.display()),
        None if site.entries.iter().any(|entry| mount.holds(&entry.path)) => "a mount point of its own".into(),
        None => return None,
    };
    Some(format!("{path} ({fs}): {becomes}"))
}

impl fmt::Display for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<String> = self.kinds.iter().map(|(kind, count)| Things(*count, kind).to_string()).collect();
        let kinds = if kinds.is_empty() { "nothing".into() } else { kinds.join(", ") };
        writeln!(f, "would make {kinds}, with data of kind {}", self.data)?;
        for need in &self.parts {
            let entries = need.free_entries.map_or("any number of".into(), |free| free.to_string());
            writeln!(
                f,
                "would put {} in {}: {} and {}, of {} and {entries} inodes free",
                text::shown(&need.captured),
                need.dir.display(),
                Bytes(need.bytes),
                Things(need.entries, "inode"),
                Bytes(need.free),
            )?;
        }
        match &self.mounts {
            None => writeln!(f, "The capture does not know its mount points: `ioriot ingest --mounts FILE` tells them.")?,
            Some(mounts) => {
                writeln!(f, "Captured mount points that the tree has files on:")?;
                mounts.iter().try_for_each(|mount| writeln!(f, "  {}", text::shown(mount)))?;
            }
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{}", text::shown(note)))?;
        self.refused.iter().try_for_each(|why| writeln!(f, "would refuse: {}", text::shown(why)))
    }
}
