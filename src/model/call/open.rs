//! open, openat, openat2, creat; truncate, chdir, fchdir, getcwd.

use super::fd::special;
use super::path::{Arg, Failed, Named, PathArg, follows};
use super::{Call, Dropped, flag, is_device, kind_of, outside};
use crate::event::{Col, Text};
use crate::fate::{Origin, Reason};
use crate::model::step::Kind;
use crate::model::task::fds::{Entry, Target};
use crate::model::touch::{Access, Resource};
use crate::model::tree::walk::Spot;
use crate::model::tree::{Ino, Life, Look, Node, Was, blank};
use crate::syscall::Op;

impl Call<'_> {
    fn open_flags(&self) -> i64 {
        match self.step.op {
            Some(Op::Creat) => flag::O_CREAT | flag::O_TRUNC | 1,
            _ => self.event.int(Col::Flags).unwrap_or(0),
        }
    }

    pub(super) fn open(&mut self) -> Dropped<()> {
        let flags = self.open_flags();
        let result = self.open_it(flags);
        // Whatever the returned descriptor referred to before, it does not now.
        if let (Err(reason), Some(fd)) = (result, self.event.success()) {
            let reason = match reason {
                Reason::LostName | Reason::UnknownFd | Reason::LostArgs => Reason::UnknownFd,
                other => other,
            };
            if reason == Reason::UnknownFd {
                let old = self.model.tasks.fds(self.who.process).remove(fd);
                self.end(old, Origin::Reuse);
            } else {
                let entry = Entry { target: Target::Special(reason, None), cloexec: flags & flag::O_CLOEXEC != 0 };
                self.install(fd, entry, Origin::Reuse);
            }
        }
        result
    }

    fn open_it(&mut self, flags: i64) -> Dropped<()> {
        let follow = follows(self.event);
        let Named::Path(from) = self.named(Arg::First)? else { return self.known_outcome().map(|_| ()) };
        match self.known_outcome() {
            Ok(Ok(fd)) => self.opened(from, flags, follow, fd),
            Ok(Err(errno)) => {
                let (creates, exclusive) = (flags & flag::O_CREAT != 0, flags & flag::O_EXCL != 0);
                if errno == libc::EEXIST && creates && exclusive {
                    self.locate(from, false)?;
                    self.prove(from, false, None);
                    return Ok(());
                }
                let dir = flags & flag::O_DIRECTORY != 0;
                self.failed(from, errno, Failed { follow, dir, parent: creates })
            }
            Err(reason) => {
                self.locate(from, follow)?;
                Err(reason)
            }
        }
    }

    fn opened(&mut self, from: PathArg<'_>, flags: i64, follow: bool, fd: i64) -> Dropped<()> {
        let event = self.event;
        let note = event.text(Text::FdPath).filter(|note| !note.is_empty());
        let st_mode = event.int(Col::StMode);
        // What was opened is no stored file: nothing is learnt of the names on the path.
        let elsewhere = note.and_then(special).or_else(|| st_mode.filter(|mode| is_device(*mode)).map(|_| Reason::Device));
        if let Some(reason) = elsewhere {
            self.locate(from, follow)?;
            return Err(reason);
        }
        if let Some(reason) = note.and_then(|note| outside(self.model.tree.config().place(note))) {
            self.locate(from, follow)?;
            return Err(reason);
        }
        let Some(spot) = self.reach(from, follow)? else { return Err(Reason::LostName) };
        // With O_CREAT (`>` of a shell) the path may be a FIFO that is known to be there.
        let kind = st_mode.and_then(kind_of).or_else(|| self.kind_at(&spot));
        if kind == Some(Kind::Fifo) {
            self.model.tree.exists(&spot, kind, false);
            return Err(Reason::Pipe);
        }
        // Linux truncates for O_RDONLY too.
        let truncates = flags & (flag::O_TRUNC | flag::O_PATH) == flag::O_TRUNC;
        let writes = flags & flag::O_ACCMODE != 0 || truncates;
        let exists = matches!(spot.look, Look::Node(ino) if self.model.tree.at(ino).life != Life::Ghost);
        let creates = flags & flag::O_CREAT != 0 && (flags & flag::O_EXCL != 0 || !exists);
        if creates {
            self.model.tree.touch_entry(spot.dir, &spot.name);
        }
        let ino = if flags & flag::TMPFILE != 0 {
            let dir = self.model.tree.exists(&spot, Some(Kind::Dir), false);
            self.model.tree.touch(Resource::Entries, dir, Access::Add);
            let node = blank(Some(Kind::File), true);
            self.model.tree.anonymous(node, Life::Created, dir)
        } else if flags & flag::O_CREAT != 0 {
            self.create(&spot, flags)
        } else {
            let kind = match () {
                _ if flags & flag::O_DIRECTORY != 0 => Some(Kind::Dir),
                _ if writes => Some(Kind::File),
                // Only a capture that shows the opened file's mode can tell its kind.
                _ => st_mode.and_then(kind_of),
            };
            self.model.tree.exists(&spot, from.kind(kind), !follow && kind.is_some())
        };
        if matches!(self.model.tree.at(ino).node, Node::Fifo | Node::Socket) {
            return Err(Reason::Pipe);
        }
        if matches!(self.model.tree.at(ino).node, Node::Link { .. }) && flags & flag::O_PATH == 0 {
            self.model.tree.guess("a symlink opened as what it leads to");
        }
        if truncates {
            let over = self.over();
            if let Some(content) = self.model.tree.content(ino) {
                content.truncate(0);
                content.changed = content.changed.max(over);
                if !creates {
                    self.model.tree.touch_cut(ino);
                }
            }
        }
        self.flush();
        let ino = match note {
            Some(note) if flags & flag::TMPFILE == 0 && !note.ends_with(b"(deleted)") => self.at_note(ino, note),
            _ => ino,
        };
        let ino = self.identified(ino, self.model.tree.at(ino).life == Life::Created);
        self.opened_as(ino, creates && self.model.tree.at(ino).life == Life::Created || truncates);
        let ix = self.new_ofd(fd, ino, flags, flags & flag::O_CLOEXEC != 0);
        if let (Some(note), Some(ofd)) = (note, self.model.tasks.ofd_mut(ix)) {
            ofd.seen = Some(note.into());
        }
        self.on(ix);
        if let Some(id) = self.step.ofd {
            self.model.tree.touches.add(Resource::Ofd, id, Access::Write);
        }
        if creates {
            self.file = None;
        }
        Ok(())
    }

    /// `Fifo` if a FIFO is known to be at this place; `None` for anything else.
    fn kind_at(&self, spot: &Spot) -> Option<Kind> {
        let Look::Node(ino) = spot.look else { return None };
        let inode = self.model.tree.at(ino);
        (inode.life != Life::Ghost && matches!(inode.node, Node::Fifo)).then_some(Kind::Fifo)
    }

    /// The capture shows the real path of the opened file. Gives its inode, which is another one if a symlink was found out.
    pub(super) fn at_note(&mut self, ino: Ino, note: &[u8]) -> Ino {
        self.model.tree.really(ino, note);
        let to = self.model.tree.moved.iter().fold(ino, |at, (from, to)| if at == *from { *to } else { at });
        self.flush();
        to
    }

    /// open(2) with O_CREAT succeeded: gives the inode, made now unless the file existed.
    fn create(&mut self, spot: &Spot, flags: i64) -> Ino {
        let tree = &mut self.model.tree;
        if flags & flag::O_EXCL != 0 {
            tree.absent(spot);
            return tree.create(spot.dir, spot.name.clone(), Kind::File, Life::Created, Was::Absent);
        }
        match spot.look {
            Look::Node(ino) if tree.at(ino).life == Life::Ghost => {
                // A failed lookup went through it, so it was no file that could be opened: it was not there.
                tree.bury(spot.dir, &spot.name);
                tree.create(spot.dir, spot.name.clone(), Kind::File, Life::Created, Was::Absent)
            }
            Look::Node(_) => tree.exists(spot, Some(Kind::File), false),
            Look::Absent => tree.create(spot.dir, spot.name.clone(), Kind::File, Life::Created, Was::Absent),
            // Truncated at once: whether it was there makes no difference any more.
            Look::Unknown if flags & flag::O_TRUNC != 0 => {
                tree.guess("O_CREAT of a file that may have been there");
                tree.create(spot.dir, spot.name.clone(), Kind::File, Life::Created, Was::Unclaimed)
            }
            Look::Unknown => {
                tree.guess("O_CREAT of a file that may have been there");
                let life = Life::Maybe(spot.dir, spot.name.clone());
                tree.create(spot.dir, spot.name.clone(), Kind::File, life, Was::Unclaimed)
            }
        }
    }

    /// truncate(2): cuts or extends a file by path.
    pub(super) fn truncate(&mut self) -> Dropped<()> {
        let Some(size) = self.event.int(Col::Count) else { return Err(Reason::LostArgs) };
        let over = self.over();
        if let Some(ino) = self.on_path(true, Some(Kind::File))?
            && let Some(content) = self.model.tree.content(ino)
        {
            content.truncate(size);
            content.changed = content.changed.max(over);
            self.model.tree.touch_cut(ino);
        }
        Ok(())
    }

    /// chdir(2): the process's working directory is the path's.
    pub(super) fn chdir(&mut self) -> Dropped<()> {
        let result = self.on_path(true, Some(Kind::Dir));
        if self.event.success().is_none() {
            return result.map(|_| ());
        }
        match result {
            Ok(Some(ino)) => self.set_cwd(ino, None),
            Ok(None) => {}
            Err(reason) => {
                if let Some(path) = self.event.text(Text::Path) {
                    let ino = self.outside_dir(path);
                    self.set_cwd(ino, None);
                }
                return Err(reason);
            }
        }
        Ok(())
    }

    /// fchdir(2): the process's working directory is the descriptor's.
    pub(super) fn fchdir(&mut self) -> Dropped<()> {
        match self.on_fd() {
            Ok(Some(ix)) if self.event.success().is_some() => {
                if let Some(ino) = self.model.tasks.ofd(ix).map(|ofd| ofd.ino) {
                    self.set_cwd(ino, None);
                }
                Ok(())
            }
            // Wherever that led: it is not known to be a place that is left out.
            Err(reason @ Reason::UnknownFd) if self.event.success().is_some() => {
                self.forget_cwd();
                Err(reason)
            }
            Err(reason) if self.event.success().is_some() => {
                let ino = self.outside_dir(b"/proc");
                self.set_cwd(ino, None);
                Err(reason)
            }
            other => other.map(|_| ()),
        }
    }

    /// getcwd(2): a capture that shows the result shows the working directory.
    pub(super) fn getcwd(&mut self) -> Dropped<()> {
        let note = self.event.text(Text::Path).filter(|_| self.event.success().is_some());
        let ino = self.cwd(note)?;
        self.known_outcome()?.ok();
        self.stand_in(Arg::First, ino);
        let path = self.model.tree.path(ino);
        self.note_file(Arg::First, ino);
        self.step.path = Some(path);
        Ok(())
    }
}
