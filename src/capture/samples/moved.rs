//! Where files are at the end that had another name when they were opened: much is written under one name, and renamed when it is whole.

use crate::files::{Dir, Handle};
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// Entries of directories that are looked through for them, at most.
const ENTRIES: usize = 200_000;

/// Names in directories by inode number.
pub struct Moved {
    dirs: HashMap<Vec<u8>, HashMap<u64, OsString>>,
    left: usize,
}

impl Moved {
    /// Nothing was looked through yet.
    pub fn new() -> Moved {
        Moved { dirs: HashMap::new(), left: ENTRIES }
    }

    /// The file with this inode number in the directory of a path; `None` when there is none, or too much was looked through already. A file
    /// that was made in the place of a deleted one may have its number.
    pub fn find(&mut self, root: &Dir, path: &[u8], inode: u64) -> Option<Handle> {
        let dir = &path[..path.iter().rposition(|byte| *byte == b'/')?];
        if !self.dirs.contains_key(dir) {
            let names = root.below(dir).ok().and_then(|dir| dir.inodes(self.left).ok()).unwrap_or_default();
            self.left -= names.len().min(self.left);
            self.dirs.insert(dir.to_vec(), names);
        }
        let name = self.dirs.get(dir)?.get(&inode)?;
        root.find(&[dir, b"/", name.as_bytes()].concat()).ok().filter(|handle| handle.stat().st_ino == inode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    #[test]
    fn a_renamed_file_is_found_in_its_directory() {
        let temp = tempfile::tempdir().unwrap();
        let home = temp.path().canonicalize().unwrap();
        let (old, new) = (home.join("old"), home.join("new"));
        std::fs::write(&old, "text").unwrap();
        let inode = old.metadata().unwrap().ino();
        std::fs::rename(&old, &new).unwrap();
        let root = Dir::open(Path::new("/")).unwrap();
        let mut moved = Moved::new();
        let found = moved.find(&root, old.as_os_str().as_bytes(), inode).unwrap();
        assert_eq!((found.stat().st_ino, found.stat().st_size), (inode, 4));
        assert!(moved.find(&root, old.as_os_str().as_bytes(), inode + (1 << 40)).is_none());
        assert!(moved.find(&root, home.join("none/x").as_os_str().as_bytes(), inode).is_none());
        assert!(moved.find(&root, b"", inode).is_none());
        // What is gone since it was looked through is not found, and nothing is looked through beyond the bound.
        std::fs::remove_file(&new).unwrap();
        assert!(moved.find(&root, old.as_os_str().as_bytes(), inode).is_none());
        moved.left = 0;
        std::fs::create_dir(home.join("d")).unwrap();
        std::fs::write(home.join("d/y"), "").unwrap();
        let inode = home.join("d/y").metadata().unwrap().ino();
        assert!(moved.find(&root, home.join("d/x").as_os_str().as_bytes(), inode).is_none());
    }
}
