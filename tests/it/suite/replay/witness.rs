//! What stands in a directory, in every respect that a call could change.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// How closely to look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Kind, mode, owner, size, content, target.
    Tree,
    /// And inode, links and times: has anything at all been touched?
    All,
}

/// Everything below `dir`, one line each, by path; what `skip` names is left out.
pub fn look(dir: &Path, how: Look, skip: &[&str]) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(at) = dirs.pop() {
        // A replay may leave a directory that its owner must not read.
        for entry in fs::read_dir(&at).into_iter().flatten().flatten() {
            if at == dir && skip.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            let (path, meta) = (entry.path(), entry.metadata().unwrap());
            let kind = meta.file_type();
            let what = match () {
                () if kind.is_dir() => {
                    dirs.push(path.clone());
                    "dir".to_owned()
                }
                () if kind.is_symlink() => format!("link to {}", fs::read_link(&path).unwrap().display()),
                () if kind.is_file() => {
                    format!("file of {} bytes {:016x}", meta.len(), xxh3_64(&fs::read(&path).unwrap_or_default()))
                }
                () if kind.is_fifo() => "fifo".to_owned(),
                () => format!("{kind:?}"),
            };
            let mut line = format!("{what} {:o} {}:{}", meta.mode(), meta.uid(), meta.gid());
            if how == Look::All {
                let (modified, changed) = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
                line += &format!(" inode {} links {} {modified:?} {changed:?}", meta.ino(), meta.nlink());
            }
            seen.insert(path.strip_prefix(dir).unwrap().to_owned(), line);
        }
    }
    seen
}

/// Says which lines differ.
pub fn same(what: &str, before: &BTreeMap<PathBuf, String>, after: &BTreeMap<PathBuf, String>) {
    let paths: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differ: Vec<String> = paths
        .into_iter()
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| format!("{}:\n    {:?}\n    {:?}", path.display(), before.get(path), after.get(path)))
        .collect();
    assert!(differ.is_empty(), "{what}:\n{}", differ.join("\n"));
}
