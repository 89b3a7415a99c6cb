//! Symlinks found out: by lstat, by readlink, and by captures that show where an opened file really is.
//!
//! `open("/lib/x/libc.so.6") = 3</usr/lib/x/libc.so.6>`: the common tail `x/libc.so.6` is stripped, so `/lib` is a
//! symlink to `/usr/lib`. What had been taken for the directory `/lib` is that other directory, with all that is known
//! of it.

use super::content::Content;
use super::walk::{Proof, Walk};
use super::{Ino, Life, Look, Node, Slot, Tree, UNKNOWN_TARGET, Was};
use crate::model::config::Place;
use crate::model::step::Name;
use crate::model::touch::Access;
use std::sync::Arc;

/// Ending of the file name that a made-up symlink content leads to.
const MADE_UP: &[u8] = b".target";

/// Is this a placeholder for the content of a symlink that nobody has followed, so that only its length may be known?
pub(in crate::model) fn is_unknown(target: &[u8]) -> bool {
    target == UNKNOWN_TARGET || target.iter().all(|byte| *byte == b'-')
}

/// Longest content of a symlink, bytes (PATH_MAX without its NUL; symlink(7)): what a call says of a longer one is not true.
const LONGEST_LINK: usize = 4095;

impl Tree {
    /// A name that was taken for the file it leads to turns out to be a symlink. The inode stays that of the name; the file
    /// that it was taken for moves to the symlink's target. `target` is its content, `None` if the capture does not show it.
    pub(in crate::model) fn become_link(&mut self, dir: Ino, ino: Ino, target: Option<&[u8]>) {
        let guessed = target.is_none();
        let content: Name = Arc::from(target.unwrap_or(UNKNOWN_TARGET));
        let node = self.at_mut(ino);
        let led = node.led;
        let object = std::mem::replace(&mut node.node, Node::Link { target: content, guessed });
        node.sure = true;
        if led {
            self.lead(dir, ino, ino, object);
        }
        // What was seen of it is the file's, not the symlink's.
        let node = self.at_mut(ino);
        (node.mode, node.owner, node.mtime, node.xattrs) = (None, None, None, Vec::new());
    }

    /// readlink showed the content of a symlink. Gives the inode of the symlink.
    pub(in crate::model) fn link_content(&mut self, dir: Ino, name: &[u8], ino: Ino, target: &[u8]) -> Ino {
        let ino = self.part(dir, name, ino).unwrap_or(ino);
        let node = self.at(ino);
        if !matches!(node.node, Node::Link { .. }) && (node.life != Life::Initial || node.sure) {
            // Something else had this name: somebody outside the capture replaced it.
            self.remove(dir, name);
            return self.make(dir, Arc::from(name), crate::model::Kind::Link, Some(Arc::from(target)));
        }
        match &mut self.at_mut(ino).node {
            Node::Link { target: content, guessed } => {
                if &**content == target {
                    *guessed = false;
                } else if *guessed {
                    // What was known below the made-up target moves to the right one.
                    let old = content.clone();
                    (*content, *guessed) = (Arc::from(target), false);
                    if let Walk::At(spot) = self.quietly(|tree| tree.walk(dir, &old, true, Proof::None))
                        && let Look::Node(object) = spot.look
                        && spot.name.ends_with(&MADE_UP[MADE_UP.len().saturating_sub(spot.name.len())..])
                        && self.at(object).life == Life::Initial
                        && self.at(object).single()
                    {
                        self.entries(spot.dir).remove(&spot.name);
                        let inode = self.at_mut(object);
                        inode.home = None;
                        inode.life = Life::Created;
                        let node = std::mem::replace(&mut inode.node, Node::Unknown);
                        self.lead(dir, ino, object, node);
                    }
                } else {
                    self.guess("a symlink that changed unseen");
                    *self.content_of_link(ino) = Arc::from(target);
                }
            }
            _ => self.become_link(dir, ino, Some(target)),
        }
        ino
    }

    /// readlink showed how long the content of a symlink is, in bytes, but not the content: one of that length is made up. If
    /// calls have followed the symlink, the file it leads to is renamed accordingly.
    pub(in crate::model) fn link_length(&mut self, ino: Ino, length: usize) {
        let Node::Link { target, guessed: true } = &self.at(ino).node else { return };
        if length > LONGEST_LINK {
            return;
        }
        let (old, Some((dir, name))) = (target.clone(), self.at(ino).home.clone()) else { return };
        if is_unknown(&old) {
            *self.content_of_link(ino) = Arc::from(vec![b'-'; length]);
        } else if old.len() != length
            && let Some(content) = self.target_of_length(dir, &name, length)
        {
            self.link_content(dir, &name, ino, &content);
            if let Node::Link { guessed, .. } = &mut self.at_mut(ino).node {
                *guessed = true;
            }
        }
    }

    /// A made-up symlink content of exactly `length` bytes that names a file beside the symlink: `name.target` with dashes
    /// before it, or only the end of that; beyond 200 bytes padded with `./` and slashes, which resolve to nothing. `None` when
    /// the name is taken.
    pub(in crate::model) fn target_of_length(&mut self, dir: Ino, name: &[u8], length: usize) -> Option<Vec<u8>> {
        const LONGEST: usize = 200;
        if length > LONGEST_LINK {
            return None;
        }
        let whole = [name, MADE_UP].concat();
        let kept = length.min(LONGEST);
        let mut base = vec![b'-'; kept.saturating_sub(whole.len())];
        base.extend_from_slice(&whole[whole.len().saturating_sub(kept)..]);
        if base.is_empty() || base == b"." || base == name || matches!(self.look(dir, &base), Look::Node(_) | Look::Absent) {
            return None;
        }
        let mut content = Vec::with_capacity(length);
        if length > kept {
            content.push(b'.');
            content.resize(length - kept, b'/');
        }
        // One byte more than a name may have: a lone `.` in front would become part of the name.
        if content == b"." {
            base.insert(0, b'-');
            content.clear();
        }
        content.extend_from_slice(&base);
        Some(content)
    }

    fn content_of_link(&mut self, ino: Ino) -> &mut Name {
        match &mut self.at_mut(ino).node {
            Node::Link { target, .. } => target,
            _ => unreachable!("asked of symlinks only"),
        }
    }

    /// Moves an object that a symlink leads to to where the symlink points. `from` is the inode it was known as, which may be
    /// the one that is the symlink now.
    fn lead(&mut self, dir: Ino, link: Ino, from: Ino, object: Node) {
        let target = match &self.at(link).node {
            Node::Link { target, guessed } if !guessed => target.clone(),
            Node::Link { .. } => {
                let name = self.at(link).home.as_ref().map(|home| home.1.clone()).unwrap_or_default();
                let path = self.join(dir, &[&name, MADE_UP].concat());
                *self.content_of_link(link) = path.clone();
                path
            }
            _ => return,
        };
        let Walk::At(spot) = self.walk(dir, &target, true, Proof::Through) else {
            self.guess("a symlink whose target cannot be reached");
            return;
        };
        let kind = match &object {
            Node::Unknown => None,
            Node::File(_) => Some(crate::model::Kind::File),
            Node::Dir(_) => Some(crate::model::Kind::Dir),
            Node::Fifo => Some(crate::model::Kind::Fifo),
            Node::Socket => Some(crate::model::Kind::Socket),
            Node::Link { .. } => return,
        };
        let to = self.exists(&spot, kind, false);
        if to == from {
            return;
        }
        self.become_one(from, to);
        self.carry(from, to);
        match object {
            Node::Dir(entries) => self.merge_dirs(entries, from, to),
            Node::File(content) => self.merge_files(&content, to),
            _ => {}
        }
    }

    /// Moves what calls told of mode, owner, modification time and extended attributes of one inode to another: both turn out to
    /// be the same file.
    fn carry(&mut self, from: Ino, to: Ino) {
        let node = self.at_mut(from);
        let (mode, mode_set) = (node.mode.take(), node.mode_set);
        let (owner, owner_set) = (node.owner.take(), node.owner_set);
        let (mtime, mtime_set) = (node.mtime.take(), node.mtime_set);
        let (xattrs, set) = (std::mem::take(&mut node.xattrs), std::mem::take(&mut node.xattrs_set));
        let node = self.at_mut(to);
        if node.owner.is_none() && !node.owner_set {
            (node.owner, node.owner_set) = (owner, owner_set);
        }
        if node.mtime.is_none() && !node.mtime_set {
            (node.mtime, node.mtime_set) = (mtime, mtime_set);
        }
        if node.mode.is_none() && !node.mode_set {
            (node.mode, node.mode_set) = (mode, mode_set);
        }
        for name in xattrs {
            if !node.xattrs.contains(&name) && !node.xattrs_set.contains(&name) {
                node.xattrs.push(name);
            }
        }
        for name in set {
            if !node.xattrs_set.contains(&name) {
                node.xattrs_set.push(name);
            }
        }
    }

    fn merge_files(&mut self, content: &Content, to: Ino) {
        if let Some(into) = self.content(to) {
            into.merge(content);
        }
    }

    /// Moves the slots of one directory into another that turns out to be the same. Where both know a name, the slot of the
    /// target stands and what is below is merged.
    fn merge_dirs(&mut self, entries: super::Entries, from: Ino, to: Ino) {
        let mut todo = vec![(entries, from, to)];
        while let Some((entries, dir, to)) = todo.pop() {
            let mut entries: Vec<(Name, Slot)> = entries.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            for (name, slot) in entries {
                let known = self.entries(to).get(&name).copied();
                if known.is_none_or(|known| known.now.is_none()) && slot.now.is_some_and(|ino| self.within_itself(to, ino)) {
                    continue;
                }
                if slot.changed() || known.is_some_and(|known| known.changed()) {
                    self.touch_name(dir, &name, Access::Write);
                    self.touch_name(to, &name, Access::Write);
                }
                match known {
                    None => {
                        if let Some(ino) = slot.now {
                            let old = self.at(ino).home.clone();
                            self.rehome(ino, old.as_ref().map(|home| &home.1), &name, to);
                        }
                        self.entries(to).insert(name, slot);
                    }
                    Some(known) => {
                        let pair = (slot.now, known.now);
                        if let (Some(from), Some(into)) = pair
                            && from != into
                        {
                            self.become_one(from, into);
                            if self.at(from).life != Life::Ghost {
                                self.promote(into);
                            }
                            self.carry(from, into);
                            match std::mem::replace(&mut self.at_mut(from).node, Node::Unknown) {
                                Node::Dir(below) => {
                                    if matches!(self.at(into).node, Node::Dir(_) | Node::Unknown) {
                                        todo.push((below, from, into));
                                    }
                                }
                                Node::File(content) => self.merge_files(&content, into),
                                _ => {}
                            }
                        } else if let (Some(from), None) = pair
                            && self.at(from).life != Life::Ghost
                        {
                            let old = self.at(from).home.clone();
                            self.rehome(from, old.as_ref().map(|home| &home.1), &name, to);
                            if let Some(at) = self.entries(to).get_mut(&name) {
                                at.now = Some(from);
                                if at.was == Was::Unclaimed || slot.was == Was::Held(from) {
                                    at.was = slot.was;
                                }
                            }
                        }
                    }
                }
            }
        }
        self.touch_paths();
    }

    /// Two inodes turn out to be one file: everything known of `from` goes to `to`.
    pub(in crate::model) fn unite(&mut self, from: Ino, to: Ino) {
        self.become_one(from, to);
        self.carry(from, to);
        if let Node::File(content) = std::mem::replace(&mut self.at_mut(from).node, Node::Unknown) {
            self.merge_files(&content, to);
        }
        self.touch_paths();
    }

    fn become_one(&mut self, from: Ino, to: Ino) {
        self.moved.push((from, to));
        self.touch_both(from, to);
    }

    fn rehome(&mut self, ino: Ino, old: Option<&Name>, name: &Name, to: Ino) {
        if old.is_none_or(|old| old == name) {
            self.at_mut(ino).home = Some((to, name.clone()));
        }
        if let Life::Maybe(dir, _) = &mut self.at_mut(ino).life {
            *dir = to;
        }
    }

    /// The capture shows the real path of an opened file (as /proc/PID/fd does): no component of that path is a symlink.
    pub(in crate::model) fn really(&mut self, ino: Ino, real: &[u8]) {
        let believed = self.path(ino);
        if *believed == *real {
            self.is_real(ino);
        } else if self.find(real) == Some(ino) {
            // Another name of it (link(2)).
        } else if !self.at(ino).unlinked() && self.config().place(real) == Place::Keep {
            self.find_link(&believed, real);
        }
    }

    /// Marks every directory on the path of an inode as no symlink.
    fn is_real(&mut self, ino: Ino) {
        let mut at = ino;
        while !self.at(at).sure && at != super::ROOT {
            self.at_mut(at).sure = true;
            at = self.parent(at);
        }
    }

    /// A file was opened as `believed`, but the capture shows it at `real`: some component of the former is a symlink. The
    /// common tail of both is stripped as far as it goes; a linked directory usually keeps its name (`/lib` and `/usr/lib`), so
    /// one that would have to change it (`/usr/lib` and `/etc`, for `ssl/openssl.cnf`) is tried only after the file itself.
    fn find_link(&mut self, believed: &[u8], real: &[u8]) {
        let cuts = believed.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(i, _)| i);
        let mut candidates: Vec<(u8, &[u8], &[u8])> = Vec::new();
        for cut in cuts.chain([believed.len()]) {
            let (head, tail) = believed.split_at(cut);
            let Some(target) = real.strip_suffix(tail) else { continue };
            if target.first() != Some(&b'/') || target == head {
                continue;
            }
            let base = |path: &[u8]| path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
            let rank = match () {
                _ if !tail.is_empty() && head[base(head)..] == target[base(target)..] => 0,
                _ if tail.is_empty() => 1,
                _ => 2,
            };
            candidates.push((rank, head, target));
        }
        candidates.sort_by_key(|(rank, head, _)| (*rank, head.len()));
        for (_, head, target) in candidates {
            let Walk::At(spot) = self.quietly(|tree| tree.walk(super::ROOT, head, false, Proof::None)) else { continue };
            let Look::Node(link) = spot.look else { continue };
            let node = self.at(link);
            if node.life == Life::Initial && !node.sure && node.single() && !matches!(node.node, Node::Link { .. }) {
                self.at_mut(link).led = true;
                self.become_link(spot.dir, link, Some(target));
                self.guess("a symlink seen through an opened file");
                return;
            }
        }
        self.guess("a file that is not where it was opened");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use crate::event::{AT_FDCWD, Col, Event, Text};
    use crate::model::{Config, Kind, Model, Need, Rows};
    use crate::syscall::Syscall;

    fn call(syscall: Syscall, path: &str, ret: i64, ints: &[(Col, i64)]) -> Event {
        let mut event = Event::new(syscall);
        event.set_outcome(ret);
        for (col, value) in [(Col::Pid, 1), (Col::Tid, 1), (Col::DirFd, AT_FDCWD)].iter().chain(ints) {
            event.set(*col, *value);
        }
        event.set_text(Text::Path, path.as_bytes());
        event
    }

    fn needs(events: &[Event]) -> Vec<Need> {
        let mut model = Model::new(Config::default());
        let mut rows = Rows::default();
        events.iter().for_each(|event| model.step(event, &mut rows));
        model.finish(&mut rows).needs
    }

    fn need<'a>(needs: &'a [Need], path: &str) -> &'a Need {
        needs.iter().find(|need| &*need.path == path.as_bytes()).unwrap_or_else(|| panic!("{path} is not needed"))
    }

    /// A symlink whose content strace cut (`-s`): it is as long as readlink said, and leads to what was opened.
    #[test]
    fn a_symlink_of_known_length_leads_to_what_was_opened() {
        let open = || call(Syscall::openat, "/home/l", 3, &[(Col::Flags, 0)]);
        for length in [1, 6, 13, 14, 15, 57, 200, 201, 202, 300, 4000] {
            let read = || call(Syscall::readlink, "/home/l", length, &[(Col::Count, 4096)]);
            for events in [[read(), open()], [open(), read()]] {
                let needs = needs(&events);
                let target = need(&needs, "/home/l").target.clone().unwrap();
                assert_eq!(target.len(), length as usize);
                let name: Vec<u8> = target.iter().rev().take_while(|byte| **byte != b'/').copied().collect();
                let name: Vec<u8> = name.into_iter().rev().collect();
                assert!(name.len() <= 255, "{} bytes", name.len());
                let path = format!("/home/{}", String::from_utf8(name).unwrap());
                assert_eq!(need(&needs, &path).kind, Kind::File, "{path}");
            }
        }
    }

    /// What stat and access told of the file is true of what the name turns out to lead to.
    #[test]
    fn attributes_go_where_a_symlink_leads() {
        let seen = call(Syscall::access, "/home/l", 0, &[(Col::Mode, 1)]);
        let mut open = call(Syscall::openat, "/home/l", 3, &[(Col::Flags, 0)]);
        open.set_text(Text::FdPath, &b"/home/real"[..]);
        let needs = needs(&[seen, open]);
        assert_eq!((need(&needs, "/home/l").kind, need(&needs, "/home/l").mode), (Kind::Link, None));
        assert_eq!(need(&needs, "/home/real").mode, Some(0o755));
    }

    /// linkat(2) of /proc/self/fd/N is about the descriptor, and names a file that O_TMPFILE made.
    #[test]
    fn a_file_without_a_name_gets_one_through_proc() {
        let tmpfile = call(Syscall::openat, "/home", 3, &[(Col::Flags, i64::from(libc::O_TMPFILE | libc::O_RDWR))]);
        let follow = i64::from(libc::AT_SYMLINK_FOLLOW);
        let mut link = call(Syscall::linkat, "/proc/self/fd/3", 0, &[(Col::DirFd2, AT_FDCWD), (Col::Flags, follow)]);
        link.set_text(Text::Path2, &b"/home/named"[..]);
        let stat = call(Syscall::stat, "/home/named", 0, &[]);
        let mut model = Model::new(Config::default());
        let mut rows = Rows::default();
        [tmpfile, link, stat].iter().for_each(|event| model.step(event, &mut rows));
        let rows = rows.list;
        assert!(rows.iter().all(|row| row.args.is_none() && row.step.reason.is_none()));
        assert_eq!(rows.len(), 3);
        assert_eq!((rows[1].step.dir, rows[1].step.file), (rows[0].step.ofd, rows[0].step.file));
        assert_eq!(rows[2].step.file, rows[0].step.file);
    }
}
