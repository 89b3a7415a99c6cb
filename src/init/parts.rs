//! The parts of a tree: which captured directory lies in which place (the root, or a mapped directory).

use super::map::Mapping;
use super::root::{Root, TREE};
use super::stamp::{Stamp, State};
use crate::files::Dir;
use crate::mounts::below;
use crate::text;
use anyhow::{Result, ensure};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Paths of the directories that hold the parts of a tree: that of the root first, then the mapped ones, outer before inner.
#[derive(Clone, Debug)]
pub struct Trees {
    parts: Vec<(Vec<u8>, PathBuf)>,
}

impl Trees {
    /// The parts of a root with these mappings. A mapping of `/` replaces the root's own tree.
    pub fn new(root: &Path, maps: &[Mapping]) -> Trees {
        let mut parts = vec![(b"/".to_vec(), root.join(TREE))];
        for map in maps {
            let tree = map.place.join(TREE);
            if map.captured == b"/" { parts[0].1 = tree } else { parts.push((map.captured.clone(), tree)) }
        }
        parts.sort_by_key(|(captured, _)| captured.len());
        Trees { parts }
    }

    /// Captured path and directory of every part, by part number.
    pub fn parts(&self) -> &[(Vec<u8>, PathBuf)] {
        &self.parts
    }

    /// The number of the part that a captured path lies in, and the path inside it; the longest captured directory wins.
    pub fn part<'a>(&self, path: &'a [u8]) -> (usize, &'a [u8]) {
        let parts = self.parts.iter().enumerate().rev();
        parts.filter_map(|(at, (captured, _))| Some((at, below(path, captured)?))).next().unwrap_or((0, path))
    }

    /// The number of the part mounted at exactly this captured path; `None` when there is none, and for `/`.
    pub fn bound(&self, path: &[u8]) -> Option<usize> {
        let bound = self.parts.iter().skip(1).position(|(captured, _)| captured == path);
        bound.map(|at| at + 1)
    }
}

/// A root with all its parts, opened.
#[derive(Debug)]
pub struct Parts {
    /// The root to which the parts belong; its tree is the first part unless `/` is mapped.
    pub root: Root,
    /// Captured paths and directories of the parts.
    pub trees: Trees,
    places: Vec<Root>,
    /// For each part: the directory of its place, and its tree in it.
    dirs: Vec<(Dir, Dir)>,
    /// The parts in memory, by their captured paths: a mount that is attached nowhere.
    mounts: Vec<(Vec<u8>, OwnedFd)>,
}

impl Parts {
    /// Opens the places and trees of a root's parts, as its stamp lists them.
    ///
    /// # Errors
    /// When the place of a mapping does not exist, or belongs to another root.
    pub fn open(root: Root, stamp: &Stamp) -> Result<Parts> {
        let places = root.places(stamp);
        for map in &stamp.maps {
            ensure!(
                places.iter().any(|place| place.path() == map.place),
                "{} of {} is not in {} any more: `ioriot init --force` makes it anew",
                text::encode(&map.captured),
                root.path().display(),
                map.place.display(),
            );
        }
        Parts::of(root, places, &stamp.maps)
    }

    /// Opens the parts of a root in these places, one for each mapping.
    ///
    /// # Errors
    /// When a tree is missing.
    pub fn of(root: Root, places: Vec<Root>, maps: &[Mapping]) -> Result<Parts> {
        let trees = Trees::new(root.path(), maps);
        let place = |tree: &Path| places.iter().find(|place| place.path().join(TREE) == tree).unwrap_or(&root);
        let open = |place: &Root| Ok((place.dir().again()?, place.tree()?));
        let dirs = trees.parts().iter().map(|(_, tree)| open(place(tree))).collect::<Result<_>>()?;
        Ok(Parts { root, trees, places, dirs, mounts: Vec::new() })
    }

    /// Adds a part that lies in a file system in memory: its captured path, the mount, and the top directory of that.
    ///
    /// # Errors
    /// When the process has too many descriptors.
    pub(super) fn mount(&mut self, captured: Vec<u8>, mount: OwnedFd, top: Dir) -> std::io::Result<()> {
        let at = self.trees.parts.partition_point(|(path, _)| path.len() <= captured.len());
        let beside = top.again()?;
        self.trees.parts.insert(at, (captured.clone(), top.path().to_owned()));
        self.dirs.insert(at, (beside, top));
        self.mounts.push((captured, mount));
        Ok(())
    }

    /// The mount of a part in memory, by part number; `None` for one on disk.
    pub fn mounted(&self, part: usize) -> Option<&OwnedFd> {
        let (captured, _) = self.trees.parts.get(part)?;
        self.mounts.iter().find(|(path, _)| path == captured).map(|(_, mount)| mount)
    }

    /// The top directories of the parts that lie on disk.
    pub fn on_disk(&self) -> impl Iterator<Item = &Dir> {
        self.tops().enumerate().filter(|(part, _)| self.mounted(*part).is_none()).map(|(_, top)| top)
    }

    /// The top directory of every part's tree, by part number.
    pub fn tops(&self) -> impl ExactSizeIterator<Item = &Dir> {
        self.dirs.iter().map(|(_, tree)| tree)
    }

    /// The directory of every part's place, by part number: the parent of its tree, on the same file system.
    pub fn beside(&self) -> impl Iterator<Item = &Dir> {
        self.dirs.iter().map(|(place, _)| place)
    }

    /// Sets the state in the stamp of every place but the root.
    ///
    /// # Errors
    /// When a stamp cannot be read or written.
    pub fn mark(&self, state: State) -> Result<()> {
        self.places.iter().try_for_each(|place| place.mark(state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(captured: &str, place: &str) -> Mapping {
        Mapping { captured: captured.into(), place: place.into() }
    }

    #[test]
    fn the_longest_captured_path_wins_at_path_boundaries() {
        let maps = [mapping("/a/b", "/y"), mapping("/a", "/x")];
        let trees = Trees::new(Path::new("/root"), &maps);
        for (path, part, rest) in
            [("/a/b/c", 2, "/c"), ("/a/b", 2, "/"), ("/a/bc", 1, "/bc"), ("/ab", 0, "/ab"), ("/", 0, "/"), ("/a", 1, "/")]
        {
            assert_eq!(trees.part(path.as_bytes()), (part, rest.as_bytes()), "{path}");
        }
        assert_eq!(trees.parts()[2].1, Path::new("/y/tree"));
        assert_eq!(trees.bound(b"/a"), Some(1));
        let all = Trees::new(Path::new("/root"), &[mapping("/", "/z")]);
        assert_eq!(all.parts(), [(b"/".to_vec(), "/z/tree".into())]);
    }
}
