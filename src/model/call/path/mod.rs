//! Path arguments: where they start, what they lead to, and what a failed lookup proves of the tree.

pub(super) mod chroot;
mod cwd;
pub(super) mod magic;
mod mounted;

use super::fd::Fd;
use super::{Call, Dropped, flag, outside};
use crate::event::{AT_FDCWD, Col, Event, Text};
use crate::fate::Reason;
use crate::model::step::{Kind, Name};
use crate::model::task::fds::OfdIx;
use crate::model::touch::{Access, Resource};
use crate::model::tree::walk::{Proof, Spot, Walk};
use crate::model::tree::{Ino, Look, Node, ROOT};
use crate::syscall::{Op, Role, Syscall};
use std::sync::Arc;

/// Which of a call's two path arguments.
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

/// A path argument, and the directory that it starts at.
#[derive(Clone, Copy, Debug)]
pub(super) struct PathArg<'e> {
    pub(super) arg: Arg,
    pub(super) start: Ino,
    pub(super) path: &'e [u8],
    /// Did the path as captured end in a slash?
    pub(super) slash: bool,
}

impl PathArg<'_> {
    /// Kind that the path proves: a directory if it ends in a slash, else the given one.
    pub(super) fn kind(&self, kind: Option<Kind>) -> Option<Kind> {
        if self.slash { Some(Kind::Dir) } else { kind }
    }

    /// The path without its last slashes, for calls on the name itself (rename, mkdir, rmdir ...): there, unlike for others, a
    /// slash behind the name of a symlink does not make the kernel follow it.
    pub(super) fn entry(self) -> Self {
        let end = self.path.iter().rposition(|byte| *byte != b'/').map_or(self.path.len().min(1), |last| last + 1);
        PathArg { path: &self.path[..end], ..self }
    }
}

/// What a path argument refers to.
#[derive(Clone, Debug)]
pub(super) enum Named<'e> {
    /// A path to be resolved.
    Path(PathArg<'e>),
    /// No path (AT_EMPTY_PATH, or none given): the open file description of dirfd itself.
    Fd(OfdIx),
    /// Nothing: dirfd is not open, and the call failed with EBADF.
    Bad,
}

/// Is the directory that a path starts at also the root for absolute paths and `..` (RESOLVE_IN_ROOT, openat2(2))?
pub(super) fn in_root(event: &Event) -> bool {
    event.int(Col::Resolve).is_some_and(|resolve| resolve & flag::RESOLVE_IN_ROOT != 0)
}

/// Does the call follow a symlink as last component of its first path?
pub(super) fn follows(event: &Event) -> bool {
    let flags = event.int(Col::Flags).unwrap_or(0);
    let Some(op) = event.syscall.op() else { return false };
    match op {
        Op::Lstat | Op::Lchown | Op::Lgetxattr | Op::Llistxattr | Op::Lsetxattr | Op::Lremovexattr => false,
        Op::Readlink | Op::Readlinkat | Op::Link | Op::Linkat | Op::Rename | Op::Renameat | Op::Renameat2 => false,
        Op::Mkdir | Op::Mkdirat | Op::Mknod | Op::Mknodat | Op::Symlink | Op::Symlinkat => false,
        Op::Unlink | Op::Unlinkat | Op::Rmdir => false,
        Op::Open | Op::Openat | Op::Openat2 => {
            flags & flag::O_NOFOLLOW == 0 && flags & (flag::O_CREAT | flag::O_EXCL) != flag::O_CREAT | flag::O_EXCL
        }
        Op::Fstatat | Op::Statx | Op::Faccessat2 | Op::Fchmodat2 | Op::Fchownat | Op::Utimensat => {
            flags & flag::AT_SYMLINK_NOFOLLOW == 0
        }
        _ => true,
    }
}

/// A path whose lookup has its start as root, without the `..` at its beginning: the parent of a root is the root itself.
pub(super) fn inside(mut path: &[u8]) -> &[u8] {
    while let Some(rest) = slashless(path).strip_prefix(b"..")
        && rest.first().is_none_or(|byte| *byte == b'/')
    {
        path = rest;
    }
    path
}

fn slashless(path: &[u8]) -> &[u8] {
    &path[path.iter().take_while(|byte| **byte == b'/').count()..]
}

impl<'a> Call<'a> {
    /// Finds out where a path argument starts, and fills in `dir` and `cwd` of the step.
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
                        Ok(Named::Path(PathArg { arg, start, path: b".", slash: false }))
                    }
                    _ if empty.is_some() => Ok(Named::Path(PathArg { arg, start: ROOT, path: b"", slash: false })),
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
            return Ok(Named::Path(PathArg { arg, start: ROOT, path, slash }));
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
        Ok(Named::Path(PathArg { arg, start, path, slash }))
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

    // ---- where it leads

    /// Resolves the path of a call that got to its last component: all directories on the way exist. `None` if it cannot
    /// resolve by what the model knows.
    pub(super) fn reach(&mut self, from: PathArg<'_>, follow: bool) -> Dropped<Option<Spot>> {
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

    /// Notes the absolute path of an argument that may lead nowhere; the error is for places that are not replayed.
    pub(super) fn locate(&mut self, from: PathArg<'_>, follow: bool) -> Dropped<()> {
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

    /// Did the call fail with ENAMETOOLONG for this path? The same path gives the same error in the replay.
    pub(super) fn too_long(&self, path: &[u8]) -> bool {
        self.event.failure() == Some(libc::ENAMETOOLONG) && !path.contains(&0)
    }

    /// A call on a path failed with `errno`: applies to the tree what that proves. `how` says how the call would have used the
    /// path.
    pub(super) fn failed(&mut self, from: PathArg<'_>, errno: i32, how: Failed) -> Dropped<()> {
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

    /// Does rmdir or unlinkat remove a path that ends in `.`, so that EINVAL can be about nothing else?
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

    /// The call's outcome proves that the last component exists, of this kind.
    pub(super) fn prove(&mut self, from: PathArg<'_>, follow: bool, kind: Option<Kind>) {
        if let Walk::At(spot) = self.model.tree.walk(from.start, from.path, follow, Proof::Through) {
            let sure = !follow && kind.is_some();
            let ino = self.model.tree.exists(&spot, kind, sure);
            self.note_file(from.arg, ino);
        }
    }

    /// The call's outcome proves that the directory of the last component exists.
    pub(super) fn prove_parent(&mut self, from: PathArg<'_>) {
        let parent = PathArg { path: super::name::dirname_of(from.path), ..from };
        if let Walk::At(spot) = self.model.tree.walk(parent.start, parent.path, true, Proof::Through) {
            self.model.tree.exists(&spot, Some(Kind::Dir), false);
        }
    }

    /// For calls on a path whose last component must exist, and which change no name: gives the inode, or `None` if the call
    /// failed.
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

    fn settled(&mut self, from: PathArg<'_>, follow: bool, ino: Ino) -> Ino {
        if follow
            && matches!(self.model.tree.at(ino).node, Node::Link { .. })
            && let Walk::At(spot) = self.model.tree.walk(from.start, from.path, true, Proof::Through)
        {
            return self.model.tree.exists(&spot, None, false);
        }
        ino
    }
}

/// How a call that failed would have used its path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failed {
    /// Would it have followed a symlink as last component?
    pub(super) follow: bool,
    /// Did it want the last component to be a directory?
    pub(super) dir: bool,
    /// Need the last component not exist, so that ENOENT is about the directory it is in?
    pub(super) parent: bool,
}
