//! Before the first call: what was open when the capture began is opened again.
//!
//! All of it, by the lane of the first event: a description that two processes share must be one, and a file that nobody
//! touches stays open until its process ends.

use super::fd::{special, undeleted};
use super::{Call, flag, is_device, kind_of, outside};
use crate::event::{AT_FDCWD, Col, Event, Text};
use crate::fate::{Origin, Reason};
use crate::model::content::Seen;
use crate::model::facts::{Identity, Source};
use crate::model::fds::{Entry, OfdIx, Target};
use crate::model::start::{Open, Present};
use crate::model::step::Kind;
use crate::model::touch::{Access, Resource};
use crate::model::tree::{Fix, Ino, Life, Node, ROOT, blank};
use crate::model::walk::{Proof, Walk, dirname};
use crate::syscall::{Op, Syscall};
use hashbrown::HashMap;

/// The kernel adds this flag to those of every description of a 64-bit program.
const O_LARGEFILE: i64 = 0o100_000;

impl Call<'_> {
    /// Makes what was there known.
    pub(super) fn begin_with(&mut self, present: &[Present]) {
        let mut shared: HashMap<i64, Target> = HashMap::new();
        for process in present {
            let (who, _) = self.model.tasks.enter(process.pid, process.pid);
            if let Some(cwd) = process.cwd.as_deref().filter(|cwd| !undeleted(cwd).1) {
                let caller = std::mem::replace(&mut self.who, who);
                // One in a place that is not replayed is known too.
                let _ = self.adopt_cwd(cwd, None);
                self.who = caller;
            }
            for open in &process.open {
                let target = match shared.get(&open.ofd) {
                    Some(target) => {
                        if let Target::Ofd(ix) = *target
                            && let Some(ofd) = self.model.tasks.ofd_mut(ix)
                        {
                            ofd.refs += 1;
                        }
                        *target
                    }
                    None => {
                        let target = self.open_again(open).map_or_else(Target::Special, Target::Ofd);
                        shared.insert(open.ofd, target);
                        target
                    }
                };
                self.model.tasks.fds(who.process).set(open.fd, Entry { target, cloexec: open.cloexec });
            }
        }
    }

    /// Opens what was open. Gives up what is no stored file.
    fn open_again(&mut self, open: &Open) -> Result<OfdIx, Reason> {
        let reason = special(&open.path)
            .or_else(|| is_device(open.st_mode).then_some(Reason::Device))
            .or_else(|| outside(self.model.tree.config().place(&open.path)));
        if let Some(reason) = reason {
            return Err(reason);
        }
        let kind = match kind_of(open.st_mode) {
            Some(Kind::Fifo) => return Err(Reason::Pipe),
            Some(Kind::Socket) => return Err(Reason::Socket),
            kind => kind,
        };
        let (path, deleted) = undeleted(&open.path);
        let mut flags = open.flags & !O_LARGEFILE;
        let ino = if deleted {
            // It has no name any more. What a replay can have without a name is a temporary file.
            if kind != Some(Kind::File) {
                return Err(Reason::UnknownFd);
            }
            let dir = self.there(dirname(path), Some(Kind::Dir))?;
            flags = flags & !flag::ACCMODE | flag::TMPFILE | flag::DIRECTORY | flag::RDWR;
            let node = blank(kind, true);
            self.model.tree.anonymous(node, Life::Created, dir)
        } else {
            self.there(path, kind)?
        };
        let ino = match kind {
            Some(Kind::File) if open.ino != 0 => {
                let identity = Identity { source: Source::Fd, dev: open.dev, ino: open.ino };
                self.model.tree.identify(ino, identity, deleted, true)
            }
            _ => ino,
        };
        self.flush();
        let ix = self.model.tasks.open(self.who, ino, flags);
        self.model.tree.at_mut(ino).refs += 1;
        if let Some(ofd) = self.model.tasks.ofd_mut(ix) {
            (ofd.pos, ofd.seen) = (open.pos, (!deleted).then(|| open.path[..].into()));
        }
        let mut event = Event::new(Syscall::openat);
        event.set(Col::DirFd, AT_FDCWD);
        event.set_text(Text::Path, if deleted { dirname(path) } else { path });
        event.set(Col::Flags, flags);
        if deleted {
            event.set(Col::Mode, open.st_mode & 0o7777);
        }
        event.set_outcome(open.fd);
        self.on_start(ix, ino, event, Op::Openat);
        if kind == Some(Kind::File) {
            self.sized(ix, ino, open, deleted);
        }
        Ok(ix)
    }

    /// The inode of a path that was there.
    fn there(&mut self, path: &[u8], kind: Option<Kind>) -> Result<Ino, Reason> {
        match self.model.tree.quietly(|tree| tree.walk(ROOT, path, true, Proof::Through)) {
            Walk::At(spot) => Ok(self.model.tree.exists(&spot, kind, true)),
            Walk::Outside(place) => Err(outside(place).unwrap_or(Reason::UnknownFd)),
            _ => Err(Reason::UnknownFd),
        }
    }

    /// Size and position of an opened file.
    fn sized(&mut self, ix: OfdIx, ino: Ino, open: &Open, deleted: bool) {
        let mut call = |syscall, op, col, value: i64, ret: i64| {
            let mut event = Event::new(syscall);
            event.set(col, value);
            event.set(Col::Whence, 0);
            event.set_outcome(ret);
            self.on_start(ix, ino, event, op);
        };
        if deleted && open.size > 0 {
            call(Syscall::ftruncate, Op::Ftruncate, Col::Count, open.size, 0);
        }
        if open.pos != 0 && open.flags & flag::PATH == 0 {
            call(Syscall::lseek, Op::Lseek, Col::Offset, open.pos, open.pos);
        }
        let node = self.model.tree.at_mut(ino);
        if node.mode.is_none() && !node.mode_set {
            node.mode = Some(open.st_mode & 0o7777);
        }
        if matches!(node.node, Node::File(_))
            && let Some(content) = self.model.tree.content(ino)
        {
            if deleted {
                content.truncate(open.size);
            } else if let Seen::Existed = content.observe(open.size) {
                self.model.tree.existed(ino);
            }
        }
        // What is known first is no change.
        self.model.tree.fixes.retain(|(fix, _)| !matches!(fix, Fix::Resize(resized, _) if *resized == ino));
    }

    fn on_start(&mut self, ix: OfdIx, ino: Ino, event: Event, op: Op) {
        let path = self.model.ofd_path(ix);
        let mut step = self.inserted(Origin::Initial, op);
        let id = self.model.tasks.ofd(ix).map_or(-1, |ofd| ofd.id);
        (step.ofd, step.file, step.path) = (Some(id), Some(self.model.tree.file(ino)), Some(path));
        step.offset = event.int(Col::Offset);
        self.insert(event, step, |tree| {
            tree.touch_way(ino);
            tree.touch(Resource::Attrs, ino, Access::Read);
            tree.touches.add(Resource::Ofd, id, Access::Write);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Config, Model, Rows};
    use std::sync::Arc;

    fn open(fd: i64, ofd: i64, path: &str, flags: i64, pos: i64, size: i64) -> Open {
        let st_mode = i64::from(libc::S_IFREG) | 0o640;
        Open { fd, ofd, path: Arc::from(path.as_bytes()), flags, cloexec: false, pos, dev: 0, ino: 0, st_mode, size }
    }

    fn read(pid: i64, fd: i64, bytes: i64) -> Event {
        let mut event = Event::new(Syscall::read);
        for (col, value) in [(Col::Pid, pid), (Col::Tid, pid), (Col::Fd, fd), (Col::Count, bytes)] {
            event.set(col, value);
        }
        event.set_outcome(bytes);
        event
    }

    #[test]
    fn shared_descriptions_are_opened_once_and_keep_their_position() {
        let file = |fd| open(fd, 7, "/data/log", flag::RDWR, 100, 1000);
        let present = vec![
            Present { pid: 10, cwd: Some(Arc::from(&b"/data"[..])), open: vec![file(3)] },
            Present { pid: 11, cwd: None, open: vec![file(4), open(5, 8, "socket:[1]", 2, 0, 0)] },
        ];
        let config = Config { present: present.into(), ..Config::default() };
        let mut model = Model::new(config);
        let mut rows = Rows::default();
        model.step(&read(11, 4, 50), &mut rows);
        model.step(&read(10, 3, 50), &mut rows);
        model.step(&read(11, 5, 50), &mut rows);
        let ops: Vec<_> = rows.list.iter().map(|row| (row.step.origin, row.step.op, row.step.offset)).collect();
        assert_eq!(
            ops,
            [
                (Origin::Initial, Some(Op::Openat), None),
                (Origin::Initial, Some(Op::Lseek), Some(100)),
                (Origin::Event, Some(Op::Read), Some(100)),
                (Origin::Event, Some(Op::Read), Some(150)),
                (Origin::Event, Some(Op::Read), None),
            ]
        );
        assert_eq!(rows.list[4].step.reason, Some(Reason::Socket));
        let end = model.finish(&mut rows);
        let need = end.needs.iter().find(|need| *need.path == *b"/data/log").unwrap();
        assert_eq!((need.size, need.size_exact, need.mode), (1000, true, Some(0o640)));
        assert!(end.guesses.is_empty(), "{:?}", end.guesses);
    }

    #[test]
    fn a_deleted_file_is_a_temporary_one() {
        let present = vec![Present { pid: 1, cwd: None, open: vec![open(3, 0, "/tmp/x (deleted)", 0, 10, 500)] }];
        let mut model = Model::new(Config { present: present.into(), ..Config::default() });
        let mut rows = Rows::default();
        model.step(&read(1, 3, 50), &mut rows);
        let ops: Vec<_> = rows.list.iter().map(|row| row.step.op).collect();
        assert_eq!(ops, [Some(Op::Openat), Some(Op::Ftruncate), Some(Op::Lseek), Some(Op::Read)]);
        let opened = rows.list[0].inserted.as_ref().unwrap();
        assert_eq!(opened.text(Text::Path), Some(&b"/tmp"[..]));
        assert!(model.finish(&mut rows).needs.iter().all(|need| *need.path != *b"/tmp/x"));
    }
}
