//! The site of a tree: its parts, what each needs, and whether there is room for it.

use super::Options;
use super::data::Fill;
use super::from::{Opened, Source, Taken};
use super::layout;
use super::map::{self, Map, Mapping};
use super::parts::Trees;
use super::plan::{self, Entry, Unread};
use super::root::{self, Root, absolute};
use crate::amount::{Bytes, Things};
use crate::files::{Dir, Lock};
use crate::model::Kind;
use crate::mounts::{self, Mount, below};
use crate::schema::dataset::Kind as Holds;
use crate::schema::{Dataset, Table, read};
use crate::text;
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Everything that is decided before the first file is made: what is made and where.
pub(super) struct Site {
    pub workload: Dataset,
    pub entries: Vec<Entry>,
    pub maps: Vec<Mapping>,
    pub trees: Trees,
    pub source: Option<Source>,
    /// How full the file systems are made before, 0 to 1.
    pub fill: Option<f64>,
    /// The source, open: what `--force` moves aside stays the same directory.
    pub opened: Option<Opened>,
    pub notes: Vec<String>,
}

impl Site {
    /// Decides, by the options, what is made and where.
    ///
    /// # Errors
    /// When the workload cannot be read or a mapping cannot work.
    pub fn new(options: &Options) -> Result<Site> {
        let workload = Dataset::expect(&options.workload, Holds::Workload)?;
        let root = absolute(&options.root);
        let entries = plan::entries(&workload, Unread::of(options.sparse_unread, options.source.is_some()))?;
        if options.data.fill == Fill::Captured {
            ensure!(
                entries.iter().any(|entry| entry.content.is_some()) || written(&workload)? > 0,
                "nothing is known of the content of the captured files: capture with --content-samples, or choose other --data"
            );
        }
        let mut maps = resolved(&root, &options.maps)?;
        let mut notes = Vec::new();
        let unknown = entries.iter().map(|entry| entry.unknown).filter(|bytes| *bytes > 0);
        let files = unknown.clone().count() as u64;
        if files > 0 {
            notes.push(format!(
                "{} of {} are holes: no call reads there, and that the files are so long is only known by reads behind. On a device \
                 that seeks, distances are shorter so.",
                Bytes(plan::total(unknown)),
                Things(files, "file"),
            ));
        }
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
        let source = options.source.as_ref().map(Source::resolved).transpose()?;
        let opened = source.as_ref().map(|source| beside(source, &root, &maps)).transpose()?;
        let mut site = Site { workload, entries, maps, trees, source, fill: options.fill, opened, notes };
        site.look_at_maps()?;
        Ok(site)
    }

    /// The site of a root that exists already, with its trees and mappings.
    ///
    /// # Errors
    /// When the workload cannot be read.
    pub fn of(workload: Dataset, trees: Trees, maps: Vec<Mapping>, unread: Unread) -> Result<Site> {
        let entries = plan::entries(&workload, unread)?;
        Ok(Site { workload, entries, trees, maps, source: None, fill: None, opened: None, notes: Vec::new() })
    }

    /// Adds notes on what the mappings change: unused ones, and captured renames that will fail.
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

    /// For each part, the space it needs and what its file system has.
    ///
    /// # Errors
    /// When the space of a file system cannot be read.
    pub fn needs(&self) -> Result<Vec<Need>> {
        let mut needs = Vec::new();
        for (captured, dir) in self.trees.parts() {
            needs.push(Need::new(captured, dir.parent().unwrap_or(dir))?);
        }
        if let Some(share) = self.fill {
            let mut known = Vec::new();
            for need in &mut needs {
                if !known.contains(&need.device) {
                    known.push(need.device);
                    let there = there(&need.dir);
                    need.filler = Dir::open(there).map_err(Into::into).and_then(|dir| layout::wanted(&dir, there, share))?;
                }
            }
        }
        let share = |need: &Need| self.opened.as_ref().filter(|source| source.shares(there(&need.dir), &self.entries));
        let sharing: Vec<Option<&Opened>> = needs.iter().map(share).collect();
        for entry in &self.entries {
            let part = self.trees.part(&entry.path).0;
            let (need, shared) = (&mut needs[part], sharing[part].map_or(0, |source| source.has(entry)));
            need.shared = need.shared.saturating_add(shared.min(entry.bytes()));
            // Captured sizes may be arbitrarily large, so the sum saturates.
            need.bytes = need.bytes.saturating_add(entry.bytes().saturating_sub(shared));
            need.entries += 1;
        }
        Ok(needs)
    }
}

/// Opens a source, which must not lie in the tree that is about to be made.
fn beside(source: &Source, root: &Path, maps: &[Mapping]) -> Result<Opened> {
    for place in [root].into_iter().chain(maps.iter().map(|map| &*map.place)) {
        let within = source.dir.starts_with(root::resolved(place));
        ensure!(!within, "{} lies in {}, which is to be made: move it out first", source.dir.display(), place.display());
    }
    source.open()
}

/// The nearest existing directory of a path that is to be made: it tells which file system that will be on.
fn there(dir: &Path) -> &Path {
    dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("."))
}

/// Number of open file descriptions of which it is known what kind of content they write.
fn written(workload: &Dataset) -> Result<u64> {
    let file = workload.table(Table::Written);
    if file.exists() { Ok(read::builder(&file, &[])?.rows()) } else { Ok(0) }
}

/// Refuses a text that is no single file name for `--layout`.
fn named(layout: &str) -> Result<()> {
    let single = !layout.is_empty() && !layout.contains('/') && layout != "." && layout != "..";
    ensure!(single, "{layout:?} is no name for a directory of trees: choose one without slashes");
    Ok(())
}

/// The mappings that the user asked for, with their places for this root.
fn resolved(root: &Path, maps: &[Map]) -> Result<Vec<Mapping>> {
    maps.iter().map(|map| map.resolve(root)).collect()
}

/// Checks whether a root and its places could be made. Returns the locks of the old ones that would be moved aside.
///
/// # Errors
/// When one could not be made; the message says what is in the way.
pub(super) fn places(root: &Path, maps: &[Mapping], force: bool) -> Result<Vec<Lock>> {
    let places = [root].into_iter().chain(maps.iter().map(|map| &*map.place));
    places.filter_map(|place| Root::could_make(place, force).transpose()).collect()
}

/// Checks, before there is a workload, whether a tree could be made with these options, except for the places of a layout.
/// Returns the locks of old trees that would be moved aside: while they are held, no other command takes them.
///
/// # Errors
/// When an option is wrong or a place is taken.
pub fn ready(options: &Options) -> Result<Vec<Lock>> {
    options.layout.as_deref().map_or(Ok(()), named)?;
    let maps = resolved(&absolute(&options.root), &options.maps)?;
    map::apart(&options.root, &maps)?;
    if let Some(source) = &options.source {
        beside(&source.resolved()?, &options.root, &maps)?;
    }
    places(&options.root, &maps, options.force)
}

/// Refuses to map what is no directory before the replay: nothing could be mounted there.
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

/// Space that a part of the tree needs, and what its file system has free.
#[derive(Clone, Debug, Serialize)]
pub struct Need {
    /// Captured directory that the part stands for, in the form of [`crate::text`].
    pub captured: String,
    /// Directory of the place that the part is to lie in.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub dir: PathBuf,
    /// Number of entries to make in this part, each an inode.
    pub entries: u64,
    /// Bytes of data to write to files of this part.
    pub bytes: u64,
    /// Bytes of data that its files share with what they are taken from, which takes no room.
    pub shared: u64,
    /// Bytes that are to be allocated before, to fill its file system; of parts on the same one the first has them.
    pub filler: u64,
    /// Bytes that are free in its file system for us (f_bavail of statvfs(3)).
    pub free: u64,
    /// Inodes that are free in its file system; `None` where they are not counted (btrfs).
    pub free_entries: Option<u64>,
    /// Block size of the file system, bytes: what the smallest file takes.
    #[serde(skip)]
    block: u64,
    /// Device number of the file system, by which parts on the same one are added up.
    #[serde(skip)]
    device: u64,
}

impl Need {
    fn new(captured: &[u8], dir: &Path) -> Result<Need> {
        let there = there(dir);
        let stat =
            rustix::fs::statvfs(there).with_context(|| format!("cannot see how much space is left in {}", there.display()))?;
        Ok(Need {
            captured: text::encode(captured).into_owned(),
            dir: dir.to_owned(),
            entries: 0,
            bytes: 0,
            shared: 0,
            filler: 0,
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            // Some file systems (btrfs) have no fixed number of inodes and say 0 of 0.
            free_entries: (stat.f_files > 0).then_some(stat.f_favail),
            block: stat.f_frsize,
            device: there.metadata().map_or(0, |meta| meta.dev()),
        })
    }
}

/// Checks that every file system has the bytes and inodes for all parts that are to lie there.
///
/// # Errors
/// When one lacks room; the message names it.
pub fn room(needs: &[Need]) -> Result<()> {
    let mut devices: BTreeMap<u64, (u64, u64, &Need)> = BTreeMap::new();
    for need in needs {
        let (bytes, entries, _) = devices.entry(need.device).or_insert((0, 0, need));
        // A file takes whole blocks, and an entry of its directory.
        *bytes =
            bytes.saturating_add(need.filler).saturating_add(need.bytes).saturating_add(need.entries.saturating_mul(need.block));
        *entries += need.entries;
    }
    for (bytes, entries, need) in devices.into_values() {
        let dir = need.dir.display();
        ensure!(
            bytes <= need.free,
            "the tree{} needs {} in {dir}, and there are {} left: choose another --root or --map, or make room",
            if need.filler > 0 { " with what --fill adds" } else { "" },
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

/// What init would make: the result of a dry run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outline {
    /// Number of entries by kind of file.
    pub kinds: BTreeMap<&'static str, u64>,
    /// The parts of the tree, with the space they need and have.
    pub parts: Vec<Need>,
    /// Captured mount points, and what becomes of each; `None` when the capture does not record them.
    pub mounts: Option<Vec<String>>,
    /// Kind of data that its files would hold.
    pub data: String,
    /// What the source of `--from` has; `None` when everything would be made up.
    pub source: Option<Taken>,
    /// Notes for the user, e.g. on what a mapping changes.
    pub notes: Vec<String>,
    /// Why the tree cannot be made; `None` when it can.
    pub refused: Option<String>,
}

/// Determines what [`super::run`] would make, and whether it could.
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
    let source = site.opened.map(|mut source| {
        site.entries.iter().for_each(|entry| drop(source.look(entry)));
        source.taken
    });
    Ok(Outline { kinds, parts, mounts, data: options.data.fill.to_string(), source, notes: site.notes, refused })
}

/// What becomes of a captured mount point, for people; `None` when the tree has nothing on it.
fn stands_for(mount: &Mount, site: &Site) -> Option<String> {
    let fs = if mount.fs.is_empty() { "unknown" } else { &mount.fs };
    let path = text::encode(&mount.path);
    let becomes = match site.trees.bound(&mount.path) {
        _ if mount.path == b"/" => "the root".into(),
        Some(part) => format!("mapped to {}", site.trees.parts()[part].1.display()),
        None if site.entries.iter().any(|entry| mount.holds(&entry.path)) => match mount.fs.as_str() {
            "tmpfs" | "ramfs" => "in memory again when root replays, else on disk".into(),
            _ => "a mount point of its own".into(),
        },
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
            if need.filler > 0 {
                writeln!(f, "would fill its file system with {} before", Bytes(need.filler))?;
            }
            if need.shared > 0 {
                writeln!(f, "would share {} with what they are taken from", Bytes(need.shared))?;
            }
        }
        self.source.iter().try_for_each(|source| write!(f, "{source}"))?;
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
