//! Path arguments: where they start, what they lead to, and what a failed lookup proves.

use super::fd::Fd;
use super::{Call, Dropped, flag, outside};
use crate::event::{AT_FDCWD, Col, Event, Text};
use crate::fate::{Origin, Reason};
use crate::model::fds::{Entry, OfdIx, Target};
use crate::model::step::{Kind, Name};
use crate::model::touch::{Access, Resource};
use crate::model::tree::{Ino, Life, Look, Node, ROOT};
use crate::model::walk::{Proof, Spot, Walk};
use crate::syscall::{Op, Role, Syscall};
use std::sync::Arc;

/// The working directory of a process that never told it.
pub(super) const UNKNOWN_CWD: &[u8] = b"/cwd";

/// Which of the two path arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arg {
    First,
    Second,
}

impl Arg {
    fn columns(self) -> (Text, Col, Text, Role) {
        match self {
            Arg::First => (Text::Path, Col::DirFd, Text::DirPath, Role::DirFd),
            Arg::Second => (Text::Path2, Col::DirFd2, Text::Dir2Path, Role::DirFd2),
        }
    }
}

/// A path argument and where it starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct From<'e> {
    pub(super) arg: Arg,
    pub(super) start: Ino,
    pub(super) path: &'e [u8],
    /// Did it end in a slash?
    pub(super) slash: bool,
}

impl From<'_> {
    /// A path that ends in a slash leads to a directory, if anywhere.
    pub(super) fn kind(&self, kind: Option<Kind>) -> Option<Kind> {
        if self.slash { Some(Kind::Dir) } else { kind }
    }

    /// For calls on the name itself (rename, mkdir, rmdir ...): a slash behind the name of a symlink does not make them
    /// follow it, as it does for others.
    pub(super) fn entry(self) -> Self {
        let end = self.path.iter().rposition(|byte| *byte != b'/').map_or(self.path.len().min(1), |last| last + 1);
        From { path: &self.path[..end], ..self }
    }
}

/// What a path argument is on.
#[derive(Clone, Debug)]
pub(super) enum Named<'e> {
    /// A path.
    Path(From<'e>),
    /// No path: the descriptor in the place of dirfd itself.
    Fd(OfdIx),
    /// A bad dirfd: the call failed with EBADF.
    Bad,
}

/// Is the directory that a path starts at the root of its lookup, also of an absolute one (RESOLVE_IN_ROOT, openat2(2))?
pub(super) fn in_root(event: &Event) -> bool {
    event.int(Col::Resolve).is_some_and(|resolve| resolve & 0x10 != 0)
}

/// A path in a directory that is the root of its lookup, without the `..` that it begins with: the parent of a root is the
/// root itself.
pub(super) fn inside(mut path: &[u8]) -> &[u8] {
    while let Some(rest) = slashless(path).strip_prefix(b"..")
        && rest.first().is_none_or(|byte| *byte == b'/')
    {
        path = rest;
    }
    path
}

/// Is this the path of a directory that is there?
fn is_place(note: &[u8]) -> bool {
    note.first() == Some(&b'/') && !note.ends_with(b"(deleted)")
}

fn slashless(path: &[u8]) -> &[u8] {
    &path[path.iter().take_while(|byte| **byte == b'/').count()..]
}

impl<'a> Call<'a> {
    /// Where a path argument starts. Fills in `dir` and `cwd` of the step.
    pub(super) fn named(&mut self, arg: Arg) -> Dropped<Named<'a>> {
        let event = self.event;
        let (path_col, fd_col, note_col, role) = arg.columns();
        let dirfd = if event.syscall.def().has(role) { event.int(fd_col) } else { None };
        let path = match event.text(path_col) {
            Some(path) if !path.is_empty() => path,
            empty => {
                // utimensat(fd, NULL) and the AT_EMPTY_PATH of newer calls are about the descriptor itself.
                let null = empty.is_none() && event.syscall == Syscall::utimensat;
                let flags = event.int(Col::Flags).unwrap_or(0);
                let on_itself = null || (empty.is_some() && flags & flag::AT_EMPTY_PATH != 0);
                return match dirfd {
                    Some(fd) if fd >= 0 && (on_itself || (empty.is_some() && self.is_readlink())) => self.itself(arg),
                    Some(AT_FDCWD) if on_itself && !null => {
                        let start = self.start_at_cwd(arg, event.text(note_col))?;
                        Ok(Named::Path(From { arg, start, path: b".", slash: false }))
                    }
                    _ if empty.is_some() => Ok(Named::Path(From { arg, start: ROOT, path: b"", slash: false })),
                    _ => Err(Reason::LostName),
                };
            }
        };
        let slash = path.last() == Some(&b'/');
        let path = match in_root(event) {
            true if slashless(inside(path)).is_empty() => b".",
            true => slashless(inside(path)),
            false => path,
        };
        if path.first() == Some(&b'/') {
            if dirfd == Some(AT_FDCWD) {
                self.tell_cwd(event.text(note_col));
            }
            return Ok(Named::Path(From { arg, start: ROOT, path, slash }));
        }
        let start = match dirfd {
            Some(fd) if fd != AT_FDCWD => match self.fd(fd_col, note_col)? {
                Fd::File(ix) => {
                    let (id, ino) = self.model.tasks.ofd(ix).map_or((None, ROOT), |ofd| (Some(ofd.id), ofd.ino));
                    if let Some(id) = id {
                        self.stand_on(arg, id, ino);
                    }
                    ino
                }
                Fd::Bad => return Ok(Named::Bad),
            },
            _ => self.start_at_cwd(arg, event.text(note_col))?,
        };
        Ok(Named::Path(From { arg, start, path, slash }))
    }

    /// A call with an absolute path names the working directory too (`AT_FDCWD</a>`): that may be all that tells of it.
    fn tell_cwd(&mut self, note: Option<&[u8]>) {
        let cwd = self.model.tasks.cwd(self.who.process);
        if cwd.ino.is_none() && cwd.told.as_deref() != note {
            cwd.told = note.filter(|note| is_place(note)).map(Box::from);
        }
    }

    fn start_at_cwd(&mut self, arg: Arg, note: Option<&[u8]>) -> Dropped<Ino> {
        let ino = self.cwd(note)?;
        self.stand_in(arg, ino);
        Ok(ino)
    }

    /// The call is made in a working directory: by its path, or by the description that keeps one that was removed.
    pub(super) fn stand_in(&mut self, arg: Arg, ino: Ino) {
        let kept = self.model.kept.get(&ino).and_then(|ix| self.model.tasks.ofd(*ix)).map(|ofd| ofd.id);
        let Some(id) = kept else {
            self.step.cwd = Some(self.cwd_path(ino));
            return self.model.tree.touch_cwd(ino);
        };
        self.stand_on(arg, id, ino);
    }

    /// A path starts at a description. In a directory that was removed nothing can be made, and it has no path: a call
    /// there comes after the removal, which writes its entries.
    fn stand_on(&mut self, arg: Arg, id: i64, ino: Ino) {
        let tree = &mut self.model.tree;
        tree.touches.add(Resource::Ofd, id, Access::Read);
        tree.touch(Resource::Attrs, ino, Access::Read);
        if tree.at(ino).unlinked() {
            tree.touch(Resource::Entries, ino, Access::Read);
        }
        match arg {
            Arg::First => self.step.dir = Some(id),
            Arg::Second => self.step.dir2 = Some(id),
        }
    }

    /// A directory is about to be removed. Processes that are in it stay there: an inserted op keeps it open for them.
    pub(super) fn keep(&mut self, ino: Ino) {
        if self.model.kept.contains_key(&ino) || self.model.tasks.cwds().all(|cwd| cwd.ino != Some(ino)) {
            return;
        }
        let flags = flag::O_PATH | flag::O_DIRECTORY;
        let ix = self.model.tasks.open(self.who, ino, flags);
        self.model.tree.at_mut(ino).refs += 1;
        self.model.kept.insert(ino, ix);
        let path = self.model.ofd_path(ix);
        let mut event = Event::new(Syscall::openat);
        event.set(Col::DirFd, AT_FDCWD);
        event.set_text(Text::Path, &path[..]);
        event.set(Col::Flags, flags);
        let mut step = self.inserted(Origin::Cwd, Op::Openat);
        let id = self.model.tasks.ofd(ix).map_or(-1, |ofd| ofd.id);
        (step.ofd, step.file, step.path) = (Some(id), Some(self.model.tree.file(ino)), Some(path));
        self.insert(event, step, |tree| {
            tree.touch_way(ino);
            tree.touches.add(Resource::Ofd, id, Access::Write);
        });
    }

    /// Closes the removed directories that nobody is in any more.
    pub(in crate::model) fn leave(&mut self) {
        if self.model.kept.is_empty() {
            return;
        }
        let there: Vec<Ino> = self.model.tasks.cwds().filter_map(|cwd| cwd.ino).collect();
        let mut gone: Vec<OfdIx> = self.model.kept.extract_if(|ino, _| !there.contains(ino)).map(|(_, ix)| ix).collect();
        gone.sort_unstable();
        self.end(gone.into_iter().map(|ix| Entry { target: Target::Ofd(ix), cloexec: false }), Origin::Cwd);
    }

    /// The path by which a replay enters a working directory. One that was removed cannot be entered, also when another
    /// directory has its name by then: it is called as the kernel calls it, which is no name of anything.
    fn cwd_path(&mut self, ino: Ino) -> Name {
        let path = self.model.tree.path(ino);
        if self.model.tree.at(ino).unlinked() && ino != ROOT { Arc::from([&path, &b" (deleted)"[..]].concat()) } else { path }
    }

    fn is_readlink(&self) -> bool {
        matches!(self.step.op, Some(Op::Readlinkat))
    }

    fn itself(&mut self, arg: Arg) -> Dropped<Named<'a>> {
        let (_, fd_col, note_col, _) = arg.columns();
        match self.fd(fd_col, note_col)? {
            Fd::File(ix) => {
                self.on(ix);
                let id = self.step.ofd.take();
                match arg {
                    Arg::First => self.step.dir = id,
                    Arg::Second => self.step.dir2 = id,
                }
                Ok(Named::Fd(ix))
            }
            Fd::Bad => Ok(Named::Bad),
        }
    }

    /// The working directory. A capture that shows it is believed.
    pub(super) fn cwd(&mut self, note: Option<&[u8]>) -> Dropped<Ino> {
        let note = note.filter(|note| is_place(note));
        let cwd = self.model.tasks.cwd(self.who.process);
        if let Some(ino) = cwd.ino
            && (note.is_none() || note == cwd.seen.as_deref())
        {
            return self.inside(ino);
        }
        let (known, set_by_call) = (cwd.ino, cwd.seen.is_none());
        let Some(note) = note else {
            if let Some(told) = cwd.told.take() {
                return self.adopt_cwd(&told, Some(&told));
            }
            self.model.tree.guess("a working directory");
            return self.adopt_cwd(UNKNOWN_CWD, None);
        };
        if let Some(ino) = known {
            if set_by_call && self.model.tree.at(ino).place == crate::model::Place::Keep {
                self.model.tree.really(ino, note);
                self.flush();
            }
            let now = self.model.tasks.cwd(self.who.process).ino.unwrap_or(ino);
            if *self.model.tree.path(now) == *note || self.model.tree.at(now).unlinked() {
                self.model.tasks.cwd(self.who.process).seen = Some(note.into());
                return self.inside(now);
            }
        }
        self.adopt_cwd(note, Some(note))
    }

    pub(super) fn adopt_cwd(&mut self, path: &[u8], note: Option<&[u8]>) -> Dropped<Ino> {
        let ino = match self.model.tree.quietly(|tree| tree.walk(ROOT, path, true, Proof::Through)) {
            Walk::At(spot) => self.model.tree.exists(&spot, Some(Kind::Dir), false),
            Walk::Outside(_) => self.outside_dir(path),
            _ => return Err(Reason::LostName),
        };
        self.flush();
        self.set_cwd(ino, note);
        self.inside(ino)
    }

    fn inside(&self, ino: Ino) -> Dropped<Ino> {
        match outside(self.model.tree.at(ino).place) {
            Some(reason) => Err(reason),
            None => Ok(ino),
        }
    }

    /// Stands for a directory in a place that is not replayed.
    pub(super) fn outside_dir(&mut self, path: &[u8]) -> Ino {
        let place = self.model.tree.config().place(path);
        let node = crate::model::tree::blank(Some(Kind::Dir), true);
        let ino = self.model.tree.anonymous(node, Life::Created, ROOT);
        let place = if place == crate::model::Place::Keep { crate::model::Place::Pseudo } else { place };
        self.model.tree.at_mut(ino).place = place;
        ino
    }

    pub(super) fn set_cwd(&mut self, ino: Ino, note: Option<&[u8]>) {
        // A directory that was a working directory once is never forgotten: fork copies these without counting.
        let node = self.model.tree.at_mut(ino);
        node.refs = node.refs.saturating_add(1);
        let cwd = self.model.tasks.cwd(self.who.process);
        (cwd.ino, cwd.seen) = (Some(ino), note.map(Into::into));
    }

    // ---- where it leads

    /// Resolves the path of a call that got to its last component.
    pub(super) fn reach(&mut self, from: From<'_>, follow: bool) -> Dropped<Option<Spot>> {
        match self.model.tree.walk(from.start, from.path, follow, Proof::Through) {
            Walk::At(spot) => {
                self.model.tree.promote(spot.dir);
                let path = self.model.tree.spot_path(&spot);
                self.note_path(from.arg, path);
                Ok(Some(spot))
            }
            Walk::Outside(place) => Err(outside(place).unwrap_or(Reason::PseudoFs)),
            Walk::BadName => Err(Reason::BadName),
            Walk::Missing | Walk::NotDir | Walk::Loop | Walk::Unknown => {
                self.model.tree.guess("a path that resolves only in the capture");
                Ok(None)
            }
        }
    }

    fn note_path(&mut self, arg: Arg, path: Name) {
        match arg {
            Arg::First => self.step.path = Some(path),
            Arg::Second => self.step.path2 = Some(path),
        }
    }

    pub(super) fn note_file(&mut self, arg: Arg, ino: Ino) {
        let file = Some(self.model.tree.file(ino));
        match arg {
            Arg::First => (self.step.file, self.file) = (file, Some(ino)),
            Arg::Second => self.step.file2 = file,
        }
    }

    /// Absolute path of an argument that may lead nowhere; gives up in places that are not replayed.
    pub(super) fn locate(&mut self, from: From<'_>, follow: bool) -> Dropped<()> {
        let path = match self.model.tree.walk(from.start, from.path, follow, Proof::None) {
            Walk::At(spot) => {
                if let Look::Node(ino) = spot.look {
                    self.note_file(from.arg, ino);
                }
                self.model.tree.spot_path(&spot)
            }
            Walk::Outside(place) => return Err(outside(place).unwrap_or(Reason::PseudoFs)),
            Walk::BadName if !self.too_long(from.path) => return Err(Reason::BadName),
            Walk::Missing | Walk::NotDir | Walk::Loop | Walk::Unknown | Walk::BadName => {
                let absolute = from.path.first() == Some(&b'/');
                let path = if absolute { Arc::from(from.path) } else { self.model.tree.join(from.start, from.path) };
                if let Some(reason) = outside(self.model.tree.config().place(&path)) {
                    return Err(reason);
                }
                path
            }
        };
        self.note_path(from.arg, path);
        Ok(())
    }

    /// Is it a name that the kernel called too long? The replay's does so, too.
    pub(super) fn too_long(&self, path: &[u8]) -> bool {
        self.event.failure() == Some(libc::ENAMETOOLONG) && !path.contains(&0)
    }

    /// A call on a path failed: what that proves. `dir` when it wanted a directory, `parent` when its last component
    /// need not exist, so that ENOENT blames the directory.
    pub(super) fn failed(&mut self, from: From<'_>, errno: i32, how: Failed) -> Dropped<()> {
        self.locate(from, how.follow)?;
        let (start, path) = (from.start, from.path);
        // Only a directory can be made with a slash behind its name (filename_create, fs/namei.c): else ENOENT says that the
        // name is not there, as it does to calls that make nothing.
        let never = from.slash
            && matches!(
                self.event.syscall.op(),
                Some(Op::Symlink | Op::Symlinkat | Op::Mknod | Op::Mknodat | Op::Link | Op::Linkat)
            );
        let dot = how.dir && self.removes_dot(path);
        let tree = &mut self.model.tree;
        match errno {
            libc::EACCES | libc::EPERM | libc::EROFS => return Err(Reason::Credentials),
            libc::ENOENT if path.is_empty() => {}
            libc::ENOENT if how.parent && !never => {
                tree.deny(start, super::name::dirname_of(path), true);
                // Nothing can be made in a directory that was removed.
                if let Walk::At(spot) = tree.walk(start, path, how.follow, Proof::None) {
                    tree.touch(Resource::Entries, spot.dir, Access::Read);
                }
            }
            libc::ENOENT => tree.deny(start, path, how.follow),
            libc::ENOTDIR if how.parent => tree.not_dir(start, super::name::dirname_of(path), true, true),
            libc::ENOTDIR => tree.not_dir(start, path, how.dir || from.slash, how.follow),
            libc::ELOOP if !how.follow => self.prove(from, false, Some(Kind::Link)),
            // rmdir("name/.") is refused once the way there is walked (filename_parentat, fs/namei.c).
            libc::EINVAL if dot => self.prove(from, true, Some(Kind::Dir)),
            libc::ELOOP | libc::EBADF | libc::EINVAL | libc::ENAMETOOLONG | libc::ENOSYS | libc::E2BIG => {}
            // open("name/", O_CREAT) is EISDIR whatever the name is.
            libc::EISDIR if how.parent && from.slash => self.prove_parent(from),
            libc::EXDEV => self.prove_parent(from),
            libc::EISDIR => self.prove(from, how.follow, Some(Kind::Dir)),
            libc::ENOTEMPTY => {
                if let Walk::At(spot) = tree.walk(start, path, how.follow, Proof::Through) {
                    let dir = tree.exists(&spot, Some(Kind::Dir), true);
                    tree.not_empty(dir);
                    tree.touch(Resource::Entries, dir, Access::Read);
                }
            }
            // mkdir("name/") is EEXIST for a file of that name too.
            libc::EEXIST => self.prove(from, how.follow, None),
            _ => self.prove(from, how.follow, from.kind(None)),
        }
        Ok(())
    }

    /// Is it the removal of a directory by the name `.`, with nothing else that EINVAL can be about?
    fn removes_dot(&self, path: &[u8]) -> bool {
        let last = path.split(|byte| *byte == b'/').rfind(|name| !name.is_empty());
        let flags = self.event.int(Col::Flags).unwrap_or(0);
        let removes = match self.event.syscall.op() {
            Some(Op::Rmdir) => true,
            Some(Op::Unlinkat) => flags == flag::AT_REMOVEDIR,
            _ => false,
        };
        removes && last == Some(b".")
    }

    /// The last component exists.
    pub(super) fn prove(&mut self, from: From<'_>, follow: bool, kind: Option<Kind>) {
        if let Walk::At(spot) = self.model.tree.walk(from.start, from.path, follow, Proof::Through) {
            let sure = !follow && kind.is_some();
            let ino = self.model.tree.exists(&spot, kind, sure);
            self.note_file(from.arg, ino);
        }
    }

    /// The directory of the last component exists.
    pub(super) fn prove_parent(&mut self, from: From<'_>) {
        let parent = From { path: super::name::dirname_of(from.path), ..from };
        if let Walk::At(spot) = self.model.tree.walk(parent.start, parent.path, true, Proof::Through) {
            self.model.tree.exists(&spot, Some(Kind::Dir), false);
        }
    }

    /// A call on a path whose last component must exist, and which changes no name: what it is on.
    pub(super) fn on_path(&mut self, follow: bool, kind: Option<Kind>) -> Dropped<Option<Ino>> {
        match self.named(Arg::First)? {
            Named::Fd(ix) => {
                self.known_outcome()?.ok();
                Ok(self.model.tasks.ofd(ix).map(|ofd| ofd.ino).filter(|_| self.event.success().is_some()))
            }
            Named::Bad => Ok(None),
            Named::Path(from) => {
                let outcome = self.known_outcome();
                if outcome.is_err() {
                    self.locate(from, follow)?;
                }
                match outcome? {
                    Ok(_) => {
                        let Some(spot) = self.reach(from, follow)? else { return Ok(None) };
                        let ino = self.model.tree.exists(&spot, from.kind(kind), !follow);
                        // A name that was taken for a link's target may just have become the link itself.
                        let ino = self.settled(from, follow, ino);
                        self.note_file(Arg::First, ino);
                        Ok(Some(ino))
                    }
                    Err(errno) => {
                        let dir = self.step.op == Some(Op::Chdir);
                        self.failed(from, errno, Failed { follow, dir, parent: false })?;
                        Ok(None)
                    }
                }
            }
        }
    }

    fn settled(&mut self, from: From<'_>, follow: bool, ino: Ino) -> Ino {
        if follow
            && matches!(self.model.tree.at(ino).node, Node::Link { .. })
            && let Walk::At(spot) = self.model.tree.walk(from.start, from.path, true, Proof::Through)
        {
            return self.model.tree.exists(&spot, None, false);
        }
        ino
    }
}

/// How a failed call would have used its path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failed {
    pub(super) follow: bool,
    pub(super) dir: bool,
    pub(super) parent: bool,
}
