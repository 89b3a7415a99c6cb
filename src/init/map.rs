//! Mappings: which captured directories lie on other file systems than the root, and where (`--map`).
//!
//! ```text
//! --map /var/lib/pg=/mnt/nvme1      init fills /mnt/nvme1/work.root.var-lib-pg/tree
//!                                   replay binds that tree over /var/lib/pg of the root's
//! ```
//! A mapped place is a directory of ioriot's own, with a stamp: the user's files beside it are never touched. The root's
//! stamp lists the mappings, so a replay needs no options for them.

use super::parts::Trees;
use crate::files;
use crate::mounts::{self, Mount};
use crate::schema::{Dataset, Table, read};
use crate::text;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::{fmt, fs};

/// Longest name, bytes, of a place that is derived from a captured path; longer ones become a hash.
const LONGEST: usize = 100;

/// A mapping: a captured directory, and the directory here whose tree takes its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Absolute path of the mapped directory on the captured machine.
    #[serde(with = "bytes")]
    pub captured: Vec<u8>,
    /// Directory of this machine, made and stamped by init, whose tree is mounted there.
    #[serde(with = "text::path")]
    pub place: PathBuf,
}

/// A mapping as the user asks for it (`--map`): a captured directory and a directory here, in which init makes a place of its
/// own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// Absolute path of the mapped directory on the captured machine.
    pub captured: Vec<u8>,
    /// Existing directory of this machine, on the file system that the captured one is to lie on.
    pub target: PathBuf,
}

impl Map {
    /// Parses `CAPTURED=TARGET`; the captured path ends at the first `=`.
    ///
    /// # Errors
    /// A message for the user that says what is wrong with the text.
    pub fn parse(word: &std::ffi::OsStr) -> Result<Map, String> {
        let word = word.as_bytes();
        let split = word.iter().position(|byte| *byte == b'=');
        let (captured, target) = split.map(|at| (&word[..at], &word[at + 1..])).ok_or("write CAPTURED=TARGET")?;
        let below = captured.strip_prefix(b"/").ok_or("a captured path is absolute, as in /var/lib/pg=/mnt/nvme1")?;
        let below = below.strip_suffix(b"/").unwrap_or(below);
        let clean = below.is_empty() || below.split(|byte| *byte == b'/').all(|name| !matches!(name, b"" | b"." | b".."));
        if !clean {
            return Err("a captured path has no `.`, `..` or doubled slashes".into());
        }
        if target.is_empty() {
            return Err("the directory that stands for it is missing".into());
        }
        Ok(Map { captured: [b"/", below].concat(), target: OsString::from_vec(target.to_vec()).into() })
    }

    /// The mapping for this root: its place is in the target, under a name made of those of root and captured directory.
    ///
    /// # Errors
    /// When the target does not exist or is no directory.
    pub fn resolve(&self, root: &Path) -> Result<Mapping> {
        let target = fs::canonicalize(&self.target).with_context(|| format!("cannot map to {}", self.target.display()))?;
        ensure!(target.is_dir(), "{} is no directory: name one on the file system that is to be used", target.display());
        let mut name = root.components().as_path().file_name().unwrap_or_else(|| "root".as_ref()).to_owned();
        name.push(".");
        name.push(OsString::from_vec(slug(&self.captured)));
        Ok(Mapping { captured: self.captured.clone(), place: target.join(name) })
    }
}

/// A path as a single file name: `/` becomes `-` and `-` becomes `--`; a hash where that is longer than [`LONGEST`]. Names
/// can collide (`/a-/b` and `/a/-b`); [`apart`] refuses two mappings to one place.
fn slug(path: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    for byte in &path[1..] {
        match byte {
            b'/' => name.push(b'-'),
            b'-' => name.extend(b"--"),
            byte => name.push(*byte),
        }
    }
    if name.is_empty() {
        name.extend(b"all");
    }
    if name.len() > LONGEST {
        name = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(path)).into_bytes();
    }
    name
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", text::encode(&self.captured), self.place.display())
    }
}

/// The mappings of `--layout`, the directory layout of the I/O Riot in C: `MOUNT/.ioriot/NAME` for every mount point that has
/// files in the tree.
///
/// The mount points are the captured ones that are mount points here too; when the capture does not know its mounts, all
/// of this machine. `holds` says whether the tree has something at or below a path.
///
/// # Errors
/// When the mounts of this machine cannot be read.
pub fn layout(name: &str, captured: Option<&[Mount]>, holds: impl Fn(&[u8]) -> bool) -> Result<Vec<Mapping>> {
    let here = here()?;
    let fit = |mount: &&Mount| {
        mount.writable
            && !mount.pseudo()
            && captured.is_none_or(|known| known.iter().any(|known| known.path == mount.path))
            && Path::new(std::ffi::OsStr::from_bytes(&mount.path)).is_dir()
            && holds(&mount.path)
    };
    let place = |mount: &Mount| PathBuf::from(OsString::from_vec(mount.path.clone())).join(".ioriot").join(name);
    Ok(here.iter().filter(fit).map(|mount| Mapping { captured: mount.path.clone(), place: place(mount) }).collect())
}

/// The mounts of this machine, from /proc/self/mountinfo.
///
/// # Errors
/// When /proc/self/mountinfo cannot be read or parsed.
pub fn here() -> Result<Vec<Mount>> {
    let file = "/proc/self/mountinfo";
    let text = files::text(Path::new(file)).with_context(|| format!("cannot read {file}"))?;
    mounts::parse(&text).map_err(|line| anyhow::anyhow!("{file}:{line} is no mount"))
}

/// Refuses places that lie inside each other or the root: what is made in one would show in the other, and a directory
/// renamed out of one could leave its borders.
///
/// # Errors
/// When two overlap, or one captured path is mapped twice.
pub fn apart(root: &Path, maps: &[Mapping]) -> Result<()> {
    let root = settled(root)?;
    let mut places = vec![&root];
    for (at, map) in maps.iter().enumerate() {
        let captured = text::encode(&map.captured);
        ensure!(maps[..at].iter().all(|other| other.captured != map.captured), "{captured} is mapped twice");
        for place in &places {
            ensure!(
                !map.place.starts_with(place) && !place.starts_with(&map.place),
                "{captured} would lie in {}, and {} in the same place: choose another target",
                map.place.display(),
                place.display(),
            );
        }
        places.push(&map.place);
    }
    Ok(())
}

/// The canonical path of a directory that need not exist yet.
fn settled(dir: &Path) -> Result<PathBuf> {
    let dir = std::path::absolute(dir)?;
    let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let rest = dir.strip_prefix(there)?;
    Ok(fs::canonicalize(there)?.join(rest))
}

/// Counts captured renames and links between two parts, which fail with EXDEV when the parts are separate file systems.
///
/// # Errors
/// When the ops cannot be read.
pub fn cut(workload: &Dataset, trees: &Trees) -> Result<u64> {
    let file = workload.table(Table::Ops);
    let mut cut = 0;
    for batch in read::batches(&file, &["op", "path", "path2", "errno"])? {
        let batch = batch.with_context(|| format!("cannot read {}", file.display()))?;
        let (op, errno) = (read::texts(&batch, "op")?, read::ints(&batch, "errno")?);
        let (path, path2) = (read::texts(&batch, "path")?, read::texts(&batch, "path2")?);
        for row in 0..batch.num_rows() {
            let moves = matches!(op.value(row), "rename" | "renameat" | "renameat2" | "link" | "linkat");
            if !moves || read::int(errno, row).is_some_and(|errno| errno != 0) {
                continue;
            }
            let (from, to) = (read::bytes(path, row).unwrap_or_default(), read::bytes(path2, row).unwrap_or_default());
            // A directory that is a mount point cannot be renamed at all.
            cut += u64::from(trees.part(&from).0 != trees.part(&to).0 || trees.bound(&from).is_some());
        }
    }
    Ok(cut)
}

/// Serde functions for bytes as JSON strings, in the form of [`crate::text`].
mod bytes {
    use super::*;
    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&text::encode(bytes))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        Ok(text::decode(&String::deserialize(from)?).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(captured: &str, place: &str) -> Mapping {
        Mapping { captured: captured.into(), place: place.into() }
    }

    #[test]
    fn a_map_is_two_paths() {
        let map = Map::parse("/var/lib/=/mnt/a=b".as_ref()).unwrap();
        assert_eq!((&*map.captured, map.target.to_str()), (&b"/var/lib"[..], Some("/mnt/a=b")));
        assert_eq!(Map::parse("/=/mnt".as_ref()).unwrap().captured, b"/");
        for word in ["/var", "var=/mnt", "/a/../b=/mnt", "/a//b=/mnt", "/a="] {
            assert!(Map::parse(word.as_ref()).is_err(), "{word}");
        }
    }

    #[test]
    fn places_have_names_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let place = |captured: &str| {
            let map = Map { captured: captured.into(), target: dir.path().to_owned() };
            map.resolve(Path::new("x/work.root/")).unwrap().place.file_name().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(place("/var/lib"), "work.root.var-lib");
        assert_eq!(place("/var-lib"), "work.root.var--lib");
        assert_eq!(place("/"), "work.root.all");
        assert!(place(&"/x".repeat(300)).len() < 40);
    }

    #[test]
    fn places_in_one_another_are_refused() {
        let root = Path::new("/tmp/r");
        assert!(apart(root, &[mapping("/a", "/x/1"), mapping("/b", "/x/2")]).is_ok());
        for maps in [
            [mapping("/a", "/x/1"), mapping("/b", "/x/1/tree/2")],
            [mapping("/a", "/x/1"), mapping("/a", "/x/2")],
            [mapping("/a", "/tmp/r/tree/1"), mapping("/b", "/x/2")],
            [mapping("/a", "/tmp"), mapping("/b", "/x/2")],
        ] {
            assert!(apart(root, &maps).is_err(), "{maps:?}");
        }
    }
}
