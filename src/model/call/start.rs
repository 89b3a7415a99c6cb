//! What was open already is opened again by inserted ops: before the first event what was open when the capture began, and
//! before the first call of a process that came into the capture's scope later what that process had open.
//!
//! All of it is opened in the lane of the current event: a description that two processes share must be one, and a file that
//! nobody uses stays open until its process ends.

use super::fd::{special, undeleted};
use super::{Call, Dropped, flag, is_device, kind_of, outside};
use crate::event::{AT_FDCWD, Col, Event, Text};
use crate::fate::{Origin, Reason};
use crate::model::Model;
use crate::model::facts::{Identity, Source};
use crate::model::start::{Open, Present};
use crate::model::step::{Kind, Program};
use crate::model::task::Who;
use crate::model::task::fds::{Entry, OfdIx, Target};
use crate::model::touch::{Access, Resource};
use crate::model::tree::content::Seen;
use crate::model::tree::walk::{Proof, Walk, dirname};
use crate::model::tree::{Fix, Ino, Life, Node, ROOT, blank};
use crate::syscall::{Op, Syscall};
use std::sync::Arc;

impl Call<'_> {
    /// Before the first event: takes in what was there when the capture began ([`crate::model::Config::present`]).
    pub(in crate::model) fn know_the_start(&mut self) {
        if !self.model.begun {
            let present = self.model.tree.config().present.clone();
            self.begin_with(&present);
            self.step.program = self.model.tasks.program(self.who.process);
            self.model.begun = true;
        }
    }

    /// Takes in the processes, working directories and open files that were there when the capture began.
    pub(super) fn begin_with(&mut self, present: &[Present]) {
        for process in present {
            let (who, _) = self.model.tasks.enter(process.pid, process.pid);
            let program = Program {
                comm: process.comm.clone(),
                ..Program { uid: process.uid, ..Program::default() }.executed(None, process.ran.clone())
            };
            self.model.tasks.runs(who.process, Some(Arc::new(program)));
            self.model.tasks.cwd(who.process).root = process.root.clone().filter(|root| **root != *b"/" && !undeleted(root).1);
            if let Some(cwd) = process.cwd.as_deref().filter(|cwd| !undeleted(cwd).1) {
                let caller = std::mem::replace(&mut self.who, who);
                // A failure is ignored: also a directory in a place that is not replayed is noted as working directory.
                let _ = self.adopt_cwd(cwd, None);
                self.who = caller;
            }
            for open in &process.open {
                self.had_open(who.process, open);
            }
        }
    }

    /// Takes in one item (working directory or descriptor) that a process had when it came into the capture's scope.
    pub(super) fn joined(&mut self) -> Dropped<()> {
        let (event, process) = (self.event, self.who.process);
        if event.syscall == Syscall::joined_cwd {
            if let Some(cwd) = event.text(Text::Path).filter(|cwd| !undeleted(cwd).1) {
                let _ = self.adopt_cwd(cwd, None);
            }
            return Ok(());
        }
        let number = |col| event.int(col).unwrap_or(0);
        let flags = number(Col::Flags);
        let open = Open {
            fd: number(Col::Fd),
            ofd: number(Col::Arg),
            path: event.text(Text::FdPath).unwrap_or_default().into(),
            flags: flags & !flag::O_CLOEXEC,
            cloexec: flags & flag::O_CLOEXEC != 0,
            pos: number(Col::Pos),
            dev: number(Col::Dev),
            ino: number(Col::Ino),
            st_mode: number(Col::StMode),
            size: number(Col::StSize),
        };
        if let Target::Ofd(ix) = self.had_open(process, &open) {
            self.ofd = Some(ix);
        }
        Ok(())
    }

    /// A process had this descriptor open: enters it into its table, and opens the description unless that was done for another
    /// descriptor.
    fn had_open(&mut self, process: usize, open: &Open) -> Target {
        let known = self.model.told.get(&open.ofd).copied();
        let known = known.filter(|ix| self.model.tasks.ofd(*ix).is_some_and(|ofd| ofd.told == Some(open.ofd)));
        let again = known.map_or_else(|| self.open_again(open), Ok);
        if let Ok(ix) = again
            && let Some(ofd) = self.model.tasks.ofd_mut(ix)
        {
            ofd.refs += u32::from(known.is_some());
            ofd.told = Some(open.ofd);
            self.model.tell(open.ofd, ix);
        }
        let target = again.map_or_else(|reason| Target::Special(reason, self.model.streams.named(&open.path)), Target::Ofd);
        let old = self.model.tasks.fds(process).set(open.fd, Entry { target, cloexec: open.cloexec });
        self.end(old, Origin::Reuse);
        target
    }

    /// Inserts the op that opens a description again. The error is the reason for which it is not replayed (no stored file).
    fn open_again(&mut self, open: &Open) -> Result<OfdIx, Reason> {
        if open.path.is_empty() {
            return Err(Reason::UnknownFd);
        }
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
        let mut flags = open.flags & !flag::O_LARGEFILE;
        let ino = if deleted {
            // The file has no name any more. A replay can have such a file only as a temporary one (O_TMPFILE).
            if kind != Some(Kind::File) {
                return Err(Reason::UnknownFd);
            }
            let dir = self.there(dirname(path), Some(Kind::Dir))?;
            flags = flags & !flag::O_ACCMODE | flag::TMPFILE | flag::O_DIRECTORY | flag::O_RDWR;
            let node = blank(kind, true);
            self.model.tree.anonymous(node, Life::Created, dir)
        } else {
            self.there(path, kind)?
        };
        let ino = match kind {
            Some(Kind::File) if open.ino != 0 => {
                let identity = Identity { source: Source::Fd, dev: open.dev, ino: open.ino };
                let quiet = self.begin().is_none_or(|begin| self.model.tree.renamed <= begin);
                self.model.tree.identify(ino, identity, deleted, quiet)
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

    /// Opens all descriptions again that are open, where a replay begins in the middle of a capture.
    pub(in crate::model) fn open_all_again(&mut self) {
        for ix in self.model.tasks.in_order() {
            let path = self.model.ofd_path(ix);
            let Who { vpid, vtid, .. } = self.who;
            let Some(ofd) = self.model.tasks.ofd_mut(ix) else { continue };
            (ofd.vpid, ofd.vtid) = (vpid, vtid);
            let (ino, flags, behind) = (ofd.ino, ofd.flags, ofd.behind.take().is_some());
            let deleted = self.model.tree.at(ino).unlinked() && ino != ROOT;
            let size = match &self.model.tree.at(ino).node {
                Node::File(content) => Some(content.least()),
                _ => None,
            };
            let mode = self.model.tree.at(ino).mode.unwrap_or(0o600);
            const ONCE: i64 = flag::O_CREAT | flag::O_EXCL | flag::O_TRUNC | flag::O_LARGEFILE;
            let mut flags = flags & !ONCE;
            let mut event = Event::new(Syscall::openat);
            event.set(Col::DirFd, AT_FDCWD);
            if deleted {
                // As where a capture begins: a file without a name can be had as a temporary one only.
                flags = flags & !flag::O_ACCMODE | flag::TMPFILE | flag::O_DIRECTORY | flag::O_RDWR;
                let dir = dirname(&path);
                let dir = if self.there(dir, Some(Kind::Dir)).is_ok() { dir } else { b"/" };
                self.flush();
                event.set_text(Text::Path, dir);
                event.set(Col::Mode, mode);
            } else {
                event.set_text(Text::Path, &path[..]);
            }
            event.set(Col::Flags, flags);
            event.set_outcome(0);
            self.on_start(ix, ino, event, Op::Openat);
            let Some(size) = size else { continue };
            if behind && let Some(ofd) = self.model.tasks.ofd_mut(ix) {
                ofd.pos = size;
            }
            let pos = self.model.tasks.ofd(ix).map_or(0, |ofd| ofd.pos);
            if deleted && size > 0 {
                self.set_at_start(ix, ino, Syscall::ftruncate, Op::Ftruncate, Col::Count, size, 0);
            }
            if pos != 0 && flags & flag::O_PATH == 0 {
                self.set_at_start(ix, ino, Syscall::lseek, Op::Lseek, Col::Offset, pos, pos);
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "an op, what it is on, its argument and its result")]
    fn set_at_start(&mut self, ix: OfdIx, ino: Ino, syscall: Syscall, op: Op, col: Col, value: i64, ret: i64) {
        let mut event = Event::new(syscall);
        event.set(col, value);
        event.set(Col::Whence, 0);
        event.set_outcome(ret);
        self.on_start(ix, ino, event, op);
    }

    /// The inode of a path that existed.
    fn there(&mut self, path: &[u8], kind: Option<Kind>) -> Result<Ino, Reason> {
        match self.model.tree.quietly(|tree| tree.walk(ROOT, path, true, Proof::Through)) {
            Walk::At(spot) => Ok(self.model.tree.exists(&spot, kind, true)),
            Walk::Outside(place) => Err(outside(place).unwrap_or(Reason::UnknownFd)),
            _ => Err(Reason::UnknownFd),
        }
    }

    /// Inserts the ops that set size (of a removed file) and position of a file opened again, and takes over its mode and size.
    fn sized(&mut self, ix: OfdIx, ino: Ino, open: &Open, deleted: bool) {
        let mut call = |syscall, op, col, value: i64, ret: i64| self.set_at_start(ix, ino, syscall, op, col, value, ret);
        if deleted && open.size > 0 {
            call(Syscall::ftruncate, Op::Ftruncate, Col::Count, open.size, 0);
        }
        if open.pos != 0 && open.flags & flag::O_PATH == 0 {
            call(Syscall::lseek, Op::Lseek, Col::Offset, open.pos, open.pos);
        }
        let late = self.model.begun;
        let node = self.model.tree.at_mut(ino);
        if node.mode.is_none() && !node.mode_set {
            node.mode = Some(open.st_mode & 0o7777);
        }
        if matches!(node.node, Node::File(_))
            && let Some(content) = self.model.tree.content(ino)
        {
            if deleted {
                content.truncate(open.size);
            } else if late {
                // Other processes may be changing the file: the size shown is treated like that of any call, only if none is
                // known.
            } else if let Seen::Existed = content.observe(open.size) {
                self.model.tree.existed(ino);
            }
        }
        // What is learnt at the start is no change by somebody outside the capture.
        self.model.tree.fixes.retain(|(fix, _)| late || !matches!(fix, Fix::Resize(resized, _) if *resized == ino));
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

impl Model {
    /// `told` is cleaned up when it has this many more entries than twice the open descriptions: the others have ended.
    const SPARE: usize = 1024;

    /// Notes the number that the capture gave to an open file description.
    fn tell(&mut self, number: i64, ix: OfdIx) {
        if self.told.len() > Model::SPARE + 2 * self.tasks.ofds.len() {
            let tasks = &self.tasks;
            self.told.retain(|number, ix| tasks.ofd(*ix).is_some_and(|ofd| ofd.told == Some(*number)));
        }
        self.told.insert(number, ix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Config, Model, Rows};

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
        let file = |fd| open(fd, 7, "/data/log", flag::O_RDWR, 100, 1000);
        let present = vec![
            Present { pid: 10, comm: None, cwd: Some(Arc::from(&b"/data"[..])), open: vec![file(3)], ..Present::default() },
            Present { pid: 11, open: vec![file(4), open(5, 8, "socket:[1]", 2, 0, 0)], ..Present::default() },
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

    fn joins(pid: i64, fd: i64, number: i64, pos: i64) -> Event {
        let mut event = Event::new(Syscall::joined_fd);
        let st_mode = i64::from(libc::S_IFREG) | 0o640;
        for (col, value) in
            [(Col::Pid, pid), (Col::Tid, pid), (Col::Fd, fd), (Col::Flags, flag::O_RDWR | flag::O_CLOEXEC), (Col::Arg, number)]
        {
            event.set(col, value);
        }
        for (col, value) in [(Col::Pos, pos), (Col::StSize, 1000), (Col::StMode, st_mode), (Col::Ts, 10), (Col::Dur, 0)] {
            event.set(col, value);
        }
        event.set_text(Text::FdPath, "/data/log");
        event.set_outcome(0);
        event
    }

    fn close(pid: i64, fd: i64) -> Event {
        let mut event = Event::new(Syscall::close);
        for (col, value) in [(Col::Pid, pid), (Col::Tid, pid), (Col::Fd, fd)] {
            event.set(col, value);
        }
        event.set_outcome(0);
        event
    }

    /// Also when the first thing that is told is what a newcomer has.
    #[test]
    fn what_was_open_at_the_start_is_known_with_its_size() {
        let file = open(3, 1, "/data/table", flag::O_RDWR, 0, 8192);
        let present = vec![Present { pid: 1, open: vec![file], ..Present::default() }];
        let mut model = Model::new(Config { present: present.into(), ..Config::default() });
        let mut rows = Rows::default();
        model.step(&joins(2, 3, 7, 0), &mut rows);
        let end = model.finish(&mut rows);
        let sizes: Vec<_> = end.needs.iter().filter(|need| need.size > 0).map(|need| (&need.path[..], need.size)).collect();
        assert_eq!(sizes, [(&b"/data/log"[..], 1000), (&b"/data/table"[..], 8192)]);
    }

    /// Two share a description, and its number is used again when both have closed it.
    #[test]
    fn who_joins_later_brings_what_is_open_and_shared() {
        let mut cwd = Event::new(Syscall::joined_cwd);
        cwd.set(Col::Pid, 20);
        cwd.set(Col::Tid, 20);
        cwd.set_text(Text::Path, "/data");
        let mut stat = Event::new(Syscall::stat);
        stat.set(Col::Pid, 20);
        stat.set(Col::Tid, 20);
        stat.set_text(Text::Path, "log");
        stat.set_outcome(0);
        let events = [
            cwd,
            joins(20, 3, 7, 100),
            read(20, 3, 50),
            stat,
            joins(21, 4, 7, 150),
            read(21, 4, 50),
            close(20, 3),
            close(21, 4),
            joins(22, 4, 7, 0),
            read(22, 4, 5),
        ];
        let mut model = Model::new(Config::default());
        let mut rows = Rows::default();
        events.iter().for_each(|event| model.step(event, &mut rows));
        let ops: Vec<_> = rows.list.iter().filter_map(|row| row.step.op.filter(|op| *op != Op::Joined)).collect();
        let again = [Op::Openat, Op::Lseek, Op::Read, Op::Stat, Op::Read, Op::Close, Op::Close, Op::Openat, Op::Read];
        assert_eq!(ops, again);
        let of = |op| rows.list.iter().filter(move |row| row.step.op == Some(op)).map(|row| &row.step);
        assert_eq!(of(Op::Read).map(|step| step.offset).collect::<Vec<_>>(), [Some(100), Some(150), Some(0)]);
        assert!(of(Op::Joined).all(|step| step.fate == crate::fate::Fate::Model));
        assert_eq!(of(Op::Stat).next().and_then(|step| step.path.clone()).as_deref(), Some(&b"/data/log"[..]));
        let end = model.finish(&mut rows);
        assert!(end.guesses.is_empty(), "{:?}", end.guesses);
        let need = end.needs.iter().find(|need| *need.path == *b"/data/log").unwrap();
        assert_eq!((need.size, need.size_exact), (1000, true));
    }

    #[test]
    fn a_deleted_file_is_a_temporary_one() {
        let present = vec![Present { pid: 1, open: vec![open(3, 0, "/tmp/x (deleted)", 0, 10, 500)], ..Present::default() }];
        let mut model = Model::new(Config { present: present.into(), ..Config::default() });
        let mut rows = Rows::default();
        model.step(&read(1, 3, 50), &mut rows);
        let ops: Vec<_> = rows.list.iter().map(|row| row.step.op).collect();
        assert_eq!(ops, [Some(Op::Openat), Some(Op::Ftruncate), Some(Op::Lseek), Some(Op::Read)]);
        let opened = rows.list[0].args.as_ref().unwrap();
        assert_eq!(opened.text(Text::Path), Some(&b"/tmp"[..]));
        assert!(model.finish(&mut rows).needs.iter().all(|need| *need.path != *b"/tmp/x"));
    }
}
