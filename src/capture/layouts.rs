//! How files lie on their device, and when they were created: looked at when a capture first sees them open.
//!
//! A thread of its own looks, since what it asks for may have to be read from the disk. It has the rights of the capture, which
//! are those of the user who asked: of files that this user may not read nothing is known, but for those that were open
//! when the capture began, which are looked at before rights are given up.

use super::target::snapshot::Snapshot;
use crate::files::{Dir, Handle};
use crate::os::extents;
use crate::schema::layouts::Layout;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

/// Most files that are looked at.
const MOST: usize = 100_000;
/// Files that wait to be looked at, at most; those that come when so many wait are left out.
const WAITING: usize = 4096;
/// Files of up to this size, bytes, are taken to lie in one piece.
const SMALL: i64 = 64 << 10;
/// Extents of one file that are looked at, at most; from these the number of all is reckoned.
const EXTENTS: u64 = 16 << 10;
/// Kind of a regular file in a mode, and the bits of it (inode(7)).
pub(super) const REGULAR: u32 = 0o100_000;
pub(super) const KIND: u32 = 0o170_000;

/// Paths and inode numbers of files.
pub type Names = HashMap<Vec<u8>, u64>;

/// Collects the layouts of files; one of these that was not begun collects none.
#[derive(Debug, Default)]
pub struct Layouts {
    known: HashSet<u64>,
    /// Paths of regular files that were opened, and inode numbers of those that were last opened by them, if these are wanted; [`MOST`] at most.
    names: Option<Names>,
    found: Vec<Layout>,
    thread: Option<(SyncSender<Opened>, JoinHandle<Vec<Layout>>)>,
}

/// A file that is to be looked at.
#[derive(Debug)]
struct Opened {
    inode: u64,
    path: Vec<u8>,
}

impl Layouts {
    /// Looks at the files that are open when a capture begins, with the rights that it has then.
    pub fn of_open(snapshot: &Snapshot) -> Layouts {
        let mut layouts = Layouts::default();
        for file in snapshot.files.iter().filter(|file| file.mode as u32 & KIND == REGULAR && file.size > 0) {
            if layouts.known.len() >= MOST || !layouts.known.insert(file.ino.cast_unsigned()) {
                continue;
            }
            let handle = u32::try_from(file.pid).ok().and_then(|pid| Handle::of_process(pid, file.fd).ok());
            layouts.found.extend(handle.and_then(|handle| look(&handle, file.ino.cast_unsigned(), &file.path)));
        }
        layouts
    }

    /// Begins to look at those that are opened.
    pub fn begin(mut self) -> Layouts {
        let (sender, receiver) = sync_channel(WAITING);
        // Without the thread, or the right to look, nothing is known of them.
        self.thread = Dir::open(Path::new("/")).ok().and_then(|root| {
            let thread = Builder::new().name("layouts".into()).spawn(move || look_at_all(&root, &receiver));
            thread.ok().map(|thread| (sender, thread))
        });
        self
    }

    /// Remembers the paths of regular files that are opened, and of those that are open when the capture begins.
    pub fn remember(mut self, snapshot: &Snapshot) -> Layouts {
        let files = snapshot.files.iter().filter(|file| file.mode as u32 & KIND == REGULAR && file.path.first() == Some(&b'/'));
        self.names = Some(files.map(|file| (file.path.clone(), file.ino.cast_unsigned())).take(MOST).collect());
        self
    }

    /// What was remembered; `None` when that was not asked for.
    pub fn names(&mut self) -> Option<Names> {
        self.names.take()
    }

    /// Takes notice of an opened file: its inode number, mode, size and path.
    #[inline]
    pub fn see(&mut self, inode: u64, mode: u16, size: i64, path: &[u8]) {
        if let Some(names) = &mut self.names
            && u32::from(mode) & KIND == REGULAR
        {
            let room = names.len() < MOST;
            match names.get_mut(path) {
                Some(last) => *last = inode,
                None if room => {
                    names.insert(path.to_vec(), inode);
                }
                None => {}
            }
        }
        let Some((sender, _)) = &self.thread else { return };
        if u32::from(mode) & KIND != REGULAR || size <= 0 || self.known.len() >= MOST || !self.known.insert(inode) {
            return;
        }
        // With too many waiting it is as if it could not be read: a capture does not wait for this.
        let _ = sender.try_send(Opened { inode, path: path.to_vec() });
    }

    /// Waits for what is still to be looked at. Returns all layouts, each path once.
    pub fn finish(self) -> Vec<Layout> {
        let Layouts { mut found, thread, .. } = self;
        if let Some((sender, thread)) = thread {
            drop(sender);
            found.extend(thread.join().unwrap_or_default());
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found.dedup_by(|a, b| a.path == b.path);
        found
    }
}

fn look_at_all(root: &Dir, files: &Receiver<Opened>) -> Vec<Layout> {
    files.iter().filter_map(|Opened { inode, path }| look(&root.find(&path).ok()?, inode, &path)).collect()
}

/// The layout of a file, if it is the one with this inode number.
fn look(handle: &Handle, inode: u64, path: &[u8]) -> Option<Layout> {
    let stat = handle.stat();
    if stat.st_mode & KIND != REGULAR || stat.st_ino != inode || path.first() != Some(&b'/') {
        return None;
    }
    let open = || handle.open().and_then(|file| extents::of(&file, EXTENTS)).ok().filter(|extents| extents.pieces > 0);
    let pieces = (stat.st_size > SMALL).then(open).flatten().map(|extents| extents.reckoned(stat.st_size.cast_unsigned()));
    let pieces = pieces.map(|pieces| i64::try_from(pieces).unwrap_or(i64::MAX));
    Some(Layout { path: path.to_vec(), size: stat.st_size, pieces, created: handle.created() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_is_seen_is_looked_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut layouts = Layouts::default().begin();
        let mut see = |name: &str, size: usize, inode: u64| {
            let path = dir.path().canonicalize().unwrap().join(name);
            std::fs::write(&path, vec![1; size]).unwrap();
            std::fs::File::open(&path).unwrap().sync_all().unwrap();
            let meta = path.metadata().unwrap();
            layouts.see(meta.ino() + inode, meta.mode() as u16, size as i64, path.as_os_str().as_bytes());
            layouts.see(meta.ino() + inode, meta.mode() as u16, size as i64, b"/elsewhere");
        };
        see("small", 10, 0);
        see("large", 1 << 20, 0);
        see("empty", 0, 0);
        see("another", 10, 1 << 40);
        let found = layouts.finish();
        assert_eq!(found.iter().map(|row| row.size).collect::<Vec<_>>(), [1 << 20, 10], "{found:?}");
        assert_eq!(found[1].pieces, None);
        assert!(Layouts::default().finish().is_empty());
    }
}
