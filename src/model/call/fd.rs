//! Descriptor arguments: what they refer to, by the history of calls and by what the capture shows; close, dup and their kin.

use super::{Call, Dropped, flag, is_device, kind_of, outside};
use crate::event::{Col, Event, Text};
use crate::fate::{Origin, Reason};
use crate::model::step::{Kind, Name};
use crate::model::task::fds::{Entry, OfdIx, Target};
use crate::model::touch::{Access, Resource};
use crate::model::tree::walk::{Proof, Walk};
use crate::model::tree::{Look, Node, ROOT};
use crate::syscall::{Op, Syscall, position};

/// What a captured descriptor argument refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fd {
    /// An open file description that is replayed.
    File(OfdIx),
    /// Nothing: it is not open, and the call failed with EBADF for it.
    Bad,
}

/// Why a descriptor is not replayed, by the capture's annotation of it (`pipe:[1]`, `socket:[2]` ...); `None` for a path.
pub(super) fn special(note: &[u8]) -> Option<Reason> {
    let starts = |prefixes: &[&[u8]]| prefixes.iter().any(|prefix| note.starts_with(prefix));
    if note.first() == Some(&b'/') {
        return starts(&[b"/memfd:", b"/SYSV", b"/anon_hugepage"]).then_some(Reason::Anon);
    }
    Some(match () {
        _ if starts(&[b"pipe:"]) => Reason::Pipe,
        _ if starts(&[b"anon_inode", b"mnt:", b"net:", b"pid:", b"user:", b"uts:", b"ipc:"]) => Reason::Anon,
        // socket:[1], UNIX-STREAM:[1->2], TCPv6:[..], NETLINK:[..]
        _ if memchr::memmem::find(note, b":[").is_some() => Reason::Socket,
        _ => Reason::Anon,
    })
}

/// Path of an annotation, without the ` (deleted)` mark of a removed file, and whether the mark was there.
pub(super) fn undeleted(note: &[u8]) -> (&[u8], bool) {
    match note.strip_suffix(b" (deleted)").or_else(|| note.strip_suffix(b"(deleted)")) {
        Some(path) => (path, true),
        None => (note, false),
    }
}

impl Call<'_> {
    /// What the descriptor argument in column `col` refers to; `text` has the capture's annotation of it. `Err` when it is not
    /// replayed.
    pub(super) fn fd(&mut self, col: Col, text: Text) -> Dropped<Fd> {
        let event = self.event;
        let Some(fd) = event.int(col) else { return self.by_identity(col) };
        let note = event.text(text).filter(|note| !note.is_empty());
        let entry = self.model.tasks.fds(self.who.process).get(fd);
        match (entry.map(|entry| entry.target), note) {
            (Some(Target::Ofd(ix)), None) => Ok(Fd::File(ix)),
            (Some(Target::Ofd(ix)), Some(note)) => {
                if self.model.tasks.ofd(ix).is_some_and(|ofd| ofd.seen.as_deref() == Some(note)) {
                    return Ok(Fd::File(ix));
                }
                if self.fits(ix, note) || self.shown_late(ix, note) {
                    return Ok(Fd::File(ix));
                }
                self.model.tree.guess("a descriptor that is open on something else than the history says");
                let old = self.model.tasks.fds(self.who.process).remove(fd);
                self.end(old, Origin::Reuse);
                self.inherit(fd, col, note)
            }
            (Some(target @ (Target::Special(..) | Target::Process(_))), None) => Err(target.reason().unwrap_or(Reason::Anon)),
            (Some(target @ (Target::Special(..) | Target::Process(_))), Some(note)) => {
                let reason = target.reason().unwrap_or(Reason::Anon);
                let file = special(note).is_none()
                    && reason != Reason::Device
                    && outside(self.model.tree.config().place(note)).is_none()
                    && !self.is_fifo(note);
                if file { self.inherit(fd, col, note) } else { Err(reason) }
            }
            (None, Some(note)) => self.inherit(fd, col, note),
            (None, None) if event.failure() == Some(libc::EBADF) => Ok(Fd::Bad),
            (None, None) => self.received(fd, col),
        }
    }

    /// A descriptor that no captured call of the process made: it came in a message (SCM_RIGHTS, unix(7)), or its opening was
    /// lost. Whether it is a file, and which, is taken from st_mode and identity that the capture observed in the kernel.
    fn received(&mut self, fd: i64, col: Col) -> Dropped<Fd> {
        if let Some(dir) = self.started_in(col) {
            return self.inherit(fd, col, &dir);
        }
        let itself = col == Col::Fd || (col == Col::DirFd && self.event.text(Text::Path).is_some_and(<[u8]>::is_empty));
        let st_mode = self.event.int(Col::StMode).filter(|_| itself).ok_or(Reason::UnknownFd)?;
        let reason = match st_mode as u32 & libc::S_IFMT {
            libc::S_IFREG | libc::S_IFDIR => {
                let known = self.identity().and_then(|identity| self.model.tree.called(identity));
                let named = known.filter(|ino| !self.model.tree.at(*ino).unlinked()).ok_or(Reason::UnknownFd)?;
                let path = self.model.tree.path(named);
                return self.inherit(fd, col, &path);
            }
            libc::S_IFSOCK => Reason::Socket,
            libc::S_IFIFO => Reason::Pipe,
            libc::S_IFCHR | libc::S_IFBLK => Reason::Device,
            _ => Reason::Anon,
        };
        let entry = Entry { target: Target::Special(reason, None), cloexec: false };
        self.model.tasks.fds(self.who.process).set(fd, entry);
        Err(reason)
    }

    /// The directory that the relative path of an open started in, from what the opened file is called: its path less that of the
    /// argument.
    fn started_in(&self, col: Col) -> Option<Name> {
        let event = self.event;
        let path = event.text(Text::Path).filter(|path| col == Col::DirFd && !path.is_empty())?;
        let made = event.text(Text::FdPath).filter(|made| event.success().is_some() && special(made).is_none())?;
        let plain = path.split(|byte| *byte == b'/').all(|name| !matches!(name, b"" | b"." | b".."));
        let dir = made.strip_suffix(path).filter(|_| plain)?.strip_suffix(b"/")?;
        Some(if dir.is_empty() { b"/"[..].into() } else { dir.into() })
    }

    /// A request on a registered file of io_uring has no descriptor, only the file's identity: any description that the process
    /// has of the file will do, for a request does not move a position.
    fn by_identity(&mut self, col: Col) -> Dropped<Fd> {
        let st_mode = self.event.int(Col::StMode).filter(|_| col == Col::Fd).ok_or(Reason::LostArgs)?;
        if is_device(st_mode) {
            return Err(Reason::Device);
        }
        let identity = self.identity().ok_or(Reason::LostArgs)?;
        let file = self.model.tree.called(identity).ok_or(Reason::UnknownFd)?;
        let entries: Vec<_> = self.model.tasks.fds(self.who.process).iter().map(|entry| entry.target).collect();
        let on_it = |target: &Target| match target {
            Target::Ofd(ix) => self.model.tasks.ofd(*ix).filter(|ofd| ofd.ino == file).map(|_| *ix),
            Target::Special(..) | Target::Process(_) => None,
        };
        entries.iter().find_map(on_it).map(Fd::File).ok_or(Reason::UnknownFd)
    }

    /// Does the annotation agree with the path by history? The two may differ for a moment while a rename is under way, so only
    /// what differs in both name and directory is taken for another file.
    fn fits(&mut self, ix: OfdIx, note: &[u8]) -> bool {
        if special(note).is_some() {
            return false;
        }
        let path = self.model.ofd_path(ix);
        let (note, deleted) = undeleted(note);
        let Some(ofd) = self.model.tasks.ofd_mut(ix) else { return true };
        let ino = ofd.ino;
        let removed = deleted || self.model.tree.at(ino).unlinked();
        let same = *path == *note || removed || self.model.tree.find(note) == Some(ino) || {
            let split = |path: &[u8]| path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            let (a, b) = (split(&path), split(note));
            path[a..] == note[b..] || path[..a] == note[..b]
        };
        if same && let Some(ofd) = self.model.tasks.ofd_mut(ix) {
            // Only a path that agrees for good is remembered, so that a later change is looked at again.
            ofd.seen = (!deleted).then(|| note.into());
        }
        same
    }

    /// A capture that did not show the real path of a file at open(2) may show it at a later call on the descriptor: takes it
    /// over.
    fn shown_late(&mut self, ix: OfdIx, note: &[u8]) -> bool {
        let stored = special(note).is_none() && !undeleted(note).1 && outside(self.model.tree.config().place(note)).is_none();
        let Some(ofd) = self.model.tasks.ofd(ix).filter(|ofd| stored && ofd.seen.is_none()) else { return false };
        let ino = ofd.ino;
        self.at_note(ino, note);
        self.fits(ix, note)
    }

    fn is_missing(&mut self, path: &[u8]) -> bool {
        match self.model.tree.quietly(|tree| tree.walk(ROOT, path, true, Proof::None)) {
            Walk::At(spot) => spot.look == Look::Absent,
            Walk::Missing | Walk::NotDir | Walk::Loop | Walk::BadName => true,
            Walk::Outside(_) | Walk::Unknown => false,
        }
    }

    fn is_fifo(&self, note: &[u8]) -> bool {
        self.model.tree.find(note).is_some_and(|ino| matches!(self.model.tree.at(ino).node, Node::Fifo | Node::Socket))
    }

    /// A descriptor that the history does not know, while the capture shows its path: it was open when the capture began, or
    /// its opening was lost. A file is opened by an inserted op.
    fn inherit(&mut self, fd: i64, col: Col, note: &[u8]) -> Dropped<Fd> {
        let st_mode = self.event.int(Col::StMode).filter(|_| col == Col::Fd);
        let reason = special(note)
            .or_else(|| st_mode.filter(|mode| is_device(*mode)).map(|_| Reason::Device))
            .or_else(|| outside(self.model.tree.config().place(note)))
            .or_else(|| self.is_fifo(note).then_some(Reason::Pipe))
            .or_else(|| undeleted(note).1.then_some(Reason::UnknownFd))
            // The name is known to be free: what is open has none that a replay could use.
            .or_else(|| self.is_missing(note).then_some(Reason::UnknownFd));
        if let Some(reason) = reason {
            let entry = Entry { target: Target::Special(reason, self.model.streams.named(note)), cloexec: false };
            self.model.tasks.fds(self.who.process).set(fd, entry);
            return Err(reason);
        }
        // With AT_EMPTY_PATH the directory descriptor may be of any file.
        let starts_path = match col {
            Col::DirFd => self.event.text(Text::Path).is_some_and(|path| !path.is_empty()),
            Col::DirFd2 => true,
            _ => false,
        };
        let wants_dir = starts_path || matches!(self.step.op, Some(Op::Getdents | Op::Getdents64 | Op::Fchdir));
        let kind = if wants_dir { Some(Kind::Dir) } else { st_mode.and_then(kind_of) };
        let ino = match self.model.tree.quietly(|tree| tree.walk(ROOT, note, true, Proof::Through)) {
            Walk::At(spot) => self.model.tree.exists(&spot, kind, false),
            Walk::Outside(place) => return Err(outside(place).unwrap_or(Reason::UnknownFd)),
            _ => return Err(Reason::UnknownFd),
        };
        self.flush();
        let flags = if self.model.tree.at(ino).kind() == Kind::Dir { flag::O_DIRECTORY } else { flag::O_RDWR };
        let ix = self.new_ofd(fd, ino, flags, false);
        let path = self.model.ofd_path(ix);
        let mut event = Event::new(Syscall::openat);
        event.set(Col::DirFd, crate::event::AT_FDCWD);
        event.set_text(Text::Path, &path[..]);
        event.set(Col::Flags, flags);
        event.set_outcome(fd);
        let mut step = self.inserted(Origin::Initial, Op::Openat);
        let file = self.model.tree.file(ino);
        if let Some(ofd) = self.model.tasks.ofd_mut(ix) {
            (ofd.pos_sure, ofd.seen) = (false, Some(note.into()));
            step.ofd = Some(ofd.id);
        }
        (step.file, step.path) = (Some(file), Some(path));
        let id = step.ofd.unwrap_or(-1);
        self.insert(event, step, |tree| {
            tree.touch_way(ino);
            tree.touch(Resource::Attrs, ino, Access::Read);
            tree.touches.add(Resource::Ofd, id, Access::Write);
        });
        self.model.tree.guess("a descriptor whose opening was not captured");
        Ok(Fd::File(ix))
    }

    /// Makes an open file description and installs a descriptor for it.
    pub(super) fn new_ofd(&mut self, fd: i64, ino: u32, flags: i64, cloexec: bool) -> OfdIx {
        let ix = self.model.tasks.open(self.who, ino, flags);
        self.model.tree.at_mut(ino).refs += 1;
        self.install(fd, Entry { target: Target::Ofd(ix), cloexec }, Origin::Reuse);
        ix
    }

    /// Puts an entry into the descriptor table. What had the number was closed unseen, or is replaced by dup2: `origin` of the
    /// close that is inserted if that was the last reference.
    pub(super) fn install(&mut self, fd: i64, entry: Entry, origin: Origin) {
        let old = self.model.tasks.fds(self.who.process).set(fd, entry);
        self.end(old, origin);
    }

    /// For calls on the descriptor in column `fd`: gives its open file description, with the step filled in. `None` when it is
    /// not open and the call failed with EBADF.
    pub(super) fn on_fd(&mut self) -> Dropped<Option<OfdIx>> {
        match self.fd(Col::Fd, Text::FdPath)? {
            Fd::File(ix) => {
                self.on(ix);
                self.kind_told(ix);
                match self.known_outcome() {
                    Ok(_) => Ok(Some(ix)),
                    Err(reason) => {
                        self.lose_position(ix, position::start(self.event));
                        Err(reason)
                    }
                }
            }
            Fd::Bad => Ok(None),
        }
    }

    /// EISDIR and ENOTDIR tell whether a descriptor is open on a directory.
    fn kind_told(&mut self, ix: OfdIx) {
        let kind = match self.event.failure() {
            Some(libc::EISDIR) => Kind::Dir,
            Some(libc::ENOTDIR) => Kind::File,
            _ => return,
        };
        if let Some(ino) = self.model.tasks.ofd(ix).map(|ofd| ofd.ino) {
            self.model.tree.settle(ino, kind);
        }
    }

    // ---- calls that end or copy descriptors

    pub(super) fn close(&mut self) -> Dropped<()> {
        let found = self.fd(Col::Fd, Text::FdPath);
        let fd = self.event.int(Col::Fd).ok_or(Reason::LostArgs)?;
        let reason = match found {
            Ok(Fd::Bad) => return Ok(()),
            Ok(Fd::File(ix)) => {
                if self.known_outcome().is_err() && self.event.failure() != Some(libc::EINTR) {
                    return Err(Reason::UnknownResult);
                }
                self.on(ix);
                let entry = self.model.tasks.fds(self.who.process).remove(fd);
                if self.event.failure() == Some(libc::EBADF) {
                    // It was not open: its close was not captured.
                    self.end(entry, Origin::Reuse);
                    (self.step.ofd, self.step.file, self.step.path) = (None, None, None);
                    return Ok(());
                }
                match entry.and_then(|entry| self.model.tasks.unref(entry)) {
                    Some(ofd) => {
                        self.model.tree.touch_close(&ofd);
                        self.model.let_go(ofd.ino);
                    }
                    None => self.step.fate = crate::fate::Fate::Model,
                }
                return Ok(());
            }
            Err(reason) => reason,
        };
        self.model.tasks.fds(self.who.process).remove(fd);
        Err(reason)
    }

    pub(super) fn close_range(&mut self) -> Dropped<()> {
        let (Some(first), Some(last)) = (self.event.int(Col::Fd), self.event.int(Col::Fd2)) else {
            return Err(Reason::LostArgs);
        };
        if self.event.success().is_none() {
            return Ok(());
        }
        // ~0U as a 32-bit argument may have been captured as -1.
        let last = if last < 0 { i64::MAX } else { last };
        let flags = self.event.int(Col::Flags).unwrap_or(0);
        let process = self.who.process;
        if flags & flag::CLOSE_RANGE_UNSHARE != 0 {
            self.model.tasks.unshare(process);
        }
        if flags & flag::CLOSE_RANGE_CLOEXEC != 0 {
            for (_, entry) in self.model.tasks.fds(process).iter_mut().filter(|(fd, _)| (first..=last).contains(fd)) {
                entry.cloexec = true;
            }
            return Ok(());
        }
        let gone = self.model.tasks.fds(process).extract(|fd, _| (first..=last).contains(&fd));
        self.end(gone.into_iter().map(|(_, entry)| entry), Origin::Range);
        Ok(())
    }

    pub(super) fn dup(&mut self) -> Dropped<()> {
        let cloexec = self.event.int(Col::Flags).unwrap_or(0) & flag::O_CLOEXEC != 0;
        let origin = if self.event.syscall == Syscall::dup { Origin::Reuse } else { Origin::Dup2 };
        self.copy_fd(cloexec, origin)
    }

    /// dup and its kin: the descriptor in `ret` refers to what `fd` refers to.
    pub(super) fn copy_fd(&mut self, cloexec: bool, origin: Origin) -> Dropped<()> {
        let found = self.fd(Col::Fd, Text::FdPath);
        let target = match found {
            Ok(Fd::File(ix)) => {
                self.on(ix);
                Target::Ofd(ix)
            }
            Ok(Fd::Bad) => return Ok(()),
            // A second one for a process is for that, too.
            Err(reason) => {
                let old = self.event.int(Col::Fd).and_then(|fd| self.model.tasks.fds(self.who.process).get(fd));
                let process = old.map(|entry| entry.target).filter(|target| matches!(target, Target::Process(_)));
                process.unwrap_or_else(|| Target::Special(reason, self.stream_end(Col::Fd, Text::FdPath)))
            }
        };
        if let Some(fd) = self.event.success()
            && Some(fd) != self.event.int(Col::Fd)
        {
            self.second(fd, Entry { target, cloexec }, origin);
        }
        found.map(|_| ())
    }

    /// A second descriptor of this number for something that is open.
    fn second(&mut self, fd: i64, entry: Entry, origin: Origin) {
        if let Target::Ofd(ix) = entry.target
            && let Some(ofd) = self.model.tasks.ofd_mut(ix)
        {
            ofd.refs += 1;
        }
        if matches!(entry.target, Target::Special(Reason::UnknownFd, _)) {
            let old = self.model.tasks.fds(self.who.process).remove(fd);
            self.end(old, origin);
        } else {
            self.install(fd, entry, origin);
        }
    }

    /// pidfd_getfd(2): the descriptor in `ret`, which exec closes, refers to what `fd2` of another process refers to.
    pub(super) fn descriptor_of_process(&mut self) -> Dropped<()> {
        let Some(fd) = self.event.success() else { return Ok(()) };
        let of = |call: &mut Self, process: usize, col: Col| {
            let number = call.event.int(col)?;
            call.model.tasks.fds(process).get(number).map(|entry| entry.target)
        };
        let process = match of(self, self.who.process, Col::Fd) {
            Some(Target::Process(id)) => self.model.tasks.process_of(id),
            _ => None,
        };
        let target = process.and_then(|process| of(self, process, Col::Fd2));
        if let Some(Target::Ofd(ix)) = target {
            self.on(ix);
        }
        // Not known which: what the capture shows of it later tells.
        let target = target.unwrap_or(Target::Special(Reason::UnknownFd, None));
        self.second(fd, Entry { target, cloexec: true }, Origin::Reuse);
        Ok(())
    }

    /// Calls that make a descriptor that is no file: pipe, socket, epoll_create and the like.
    pub(super) fn special(&mut self) -> Dropped<()> {
        let reason = match self.event.syscall {
            Syscall::pipe | Syscall::pipe2 => Reason::Pipe,
            Syscall::socket | Syscall::socketpair | Syscall::accept | Syscall::accept4 => Reason::Socket,
            _ => Reason::Anon,
        };
        let Some(ret) = self.event.success() else { return Ok(()) };
        let flags = self.event.int(Col::Flags).unwrap_or(0);
        let entry = |end| Entry { target: Target::Special(reason, end), cloexec: flags & flag::O_CLOEXEC != 0 };
        let ends = match (self.event.syscall, self.event.int(Col::Arg)) {
            (Syscall::pipe | Syscall::pipe2, _) => [self.model.streams.pipe(); 2],
            (Syscall::socketpair, _) => self.model.streams.pair(),
            (Syscall::eventfd | Syscall::eventfd2, _) => {
                let end = self.model.streams.counter(flags);
                self.install(ret, entry(Some(end)), Origin::Reuse);
                return Ok(());
            }
            (Syscall::pidfd_open, Some(id)) => {
                self.install(ret, Entry { target: Target::Process(id), cloexec: true }, Origin::Reuse);
                return Ok(());
            }
            _ => {
                self.install(ret, entry(None), Origin::Reuse);
                return Ok(());
            }
        };
        for (col, end) in [Col::Fd, Col::Fd2].into_iter().zip(ends) {
            if let Some(fd) = self.event.int(col) {
                self.install(fd, entry(Some(end)), Origin::Reuse);
            }
        }
        Ok(())
    }
}

impl crate::model::tree::Tree {
    /// The inode at an absolute path without symlinks, if it is known. Changes nothing.
    pub(in crate::model) fn find(&self, path: &[u8]) -> Option<u32> {
        let mut at = ROOT;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            match self.look(at, name) {
                Look::Node(ino) => at = ino,
                Look::Absent | Look::Unknown => return None,
            }
        }
        Some(at)
    }

    /// Absolute path of where a resolution ended.
    pub(in crate::model) fn spot_path(&mut self, spot: &crate::model::tree::walk::Spot) -> Name {
        if spot.name.is_empty() { self.path(spot.dir) } else { self.join(spot.dir, &spot.name) }
    }
}
