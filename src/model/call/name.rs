//! Calls that change names: mkdir, mknod, symlink, unlink, rmdir, link, rename.

pub(super) use crate::model::tree::walk::dirname as dirname_of;

use super::path::magic::decimal;
use super::path::{Arg, Failed, Named, PathArg};
use super::{Call, Dropped, flag, is_device, kind_of};
use crate::event::{Col, Text};
use crate::fate::Reason;
use crate::model::step::{Kind, Name};
use crate::model::task::fds::{OfdIx, Target};
use crate::model::touch::{Access, Resource};
use crate::model::tree::walk::{Spot, possible};
use crate::model::tree::{Ino, Life, Look, Node, Was};
use crate::syscall::Op;
use std::sync::Arc;

impl Call<'_> {
    pub(super) fn mkdir(&mut self) -> Dropped<()> {
        self.make(Kind::Dir, None)
    }

    pub(super) fn mknod(&mut self) -> Dropped<()> {
        let mode = self.event.int(Col::Mode).ok_or(Reason::LostArgs)?;
        if is_device(mode) {
            return Err(Reason::Unsupported);
        }
        self.make(kind_of(mode).unwrap_or(Kind::File), None)
    }

    pub(super) fn symlink(&mut self) -> Dropped<()> {
        let target = self.event.text(Text::Path2).ok_or(Reason::LostName)?;
        if !possible(target) && !self.too_long(target) {
            return Err(Reason::BadName);
        }
        let target: Name = Arc::from(target);
        self.step.path2 = Some(target.clone());
        self.make(Kind::Link, Some(target))
    }

    /// mkdir, mknod, symlink: makes a name that must not exist yet.
    fn make(&mut self, kind: Kind, target: Option<Name>) -> Dropped<()> {
        let Named::Path(from) = self.named(Arg::First)? else { return self.known_outcome().map(|_| ()) };
        let from = from.entry();
        match self.known_outcome() {
            Ok(Ok(_)) => {
                let Some(spot) = self.reach(from, false)? else { return Ok(()) };
                self.model.tree.absent(&spot);
                self.flush();
                self.model.tree.touch_entry(spot.dir, &spot.name);
                let ino = self.model.tree.create(spot.dir, spot.name, kind, Life::Created, Was::Absent);
                if let (Node::Link { target: content, guessed }, Some(target)) = (&mut self.model.tree.at_mut(ino).node, target) {
                    (*content, *guessed) = (target, false);
                }
                self.note_file(Arg::First, ino);
                Ok(())
            }
            Ok(Err(errno)) => self.failed(from, errno, Failed { parent: true, ..Failed::default() }),
            Err(reason) => {
                self.locate(from, false)?;
                Err(reason)
            }
        }
    }

    pub(super) fn unlink(&mut self, op: Op) -> Dropped<()> {
        let flags = self.event.int(Col::Flags).unwrap_or(0);
        let dir = op == Op::Rmdir || (op == Op::Unlinkat && flags & flag::AT_REMOVEDIR != 0);
        let Named::Path(from) = self.named(Arg::First)? else { return self.known_outcome().map(|_| ()) };
        let from = from.entry();
        match self.known_outcome() {
            Ok(Ok(_)) => {
                let Some(spot) = self.reach(from, false)? else { return Ok(()) };
                let kind = if dir { Some(Kind::Dir) } else { self.not_a_dir(&spot) };
                let ino = self.model.tree.exists(&spot, kind, dir);
                self.note_file(Arg::First, ino);
                self.take_away(&spot, ino);
                Ok(())
            }
            Ok(Err(errno)) => self.failed(from, errno, Failed { dir, ..Failed::default() }),
            Err(reason) => {
                self.locate(from, false)?;
                Err(reason)
            }
        }
    }

    /// Kind of what unlink removed or link linked: no directory can be. Corrects what was taken for one; `None` if nothing is
    /// to correct.
    fn not_a_dir(&self, spot: &Spot) -> Option<Kind> {
        match spot.look {
            Look::Node(ino) => match self.model.tree.at(ino).node {
                // A directory cannot be unlinked: the name is a symlink to it.
                Node::Dir(_) if self.model.tree.at(ino).life != Life::Ghost => Some(Kind::Link),
                Node::Dir(_) => Some(Kind::File),
                _ => None,
            },
            Look::Absent | Look::Unknown => Some(Kind::File),
        }
    }

    /// Takes a name away from its file. A directory was empty then, so whatever was believed to be in it is removed first.
    fn take_away(&mut self, spot: &Spot, ino: Ino) {
        if spot.name.is_empty() {
            return;
        }
        if matches!(self.model.tree.at(ino).node, Node::Dir(_)) {
            self.model.tree.touch(Resource::Entries, ino, Access::Write);
        }
        self.model.tree.touch_entry(spot.dir, &spot.name);
        self.model.tree.empty(ino);
        self.flush();
        self.keep(ino);
        if let Some(ino) = self.model.tree.unbind(spot.dir, &spot.name) {
            self.model.tree.release(ino);
        }
    }

    /// The descriptor that `/proc/self/fd/7` names: how a file without a name gets one (open(2), O_TMPFILE). The replay has no
    /// /proc and means the descriptor itself.
    fn descriptor_named(&mut self, follow: bool) -> Option<OfdIx> {
        let path = self.event.text(Text::Path).filter(|_| follow)?;
        let rest = path.strip_prefix(b"/proc/self/fd/").or_else(|| path.strip_prefix(b"/dev/fd/")).or_else(|| {
            let (pid, rest) = path.strip_prefix(b"/proc/")?.split_at(path.iter().skip(6).position(|byte| *byte == b'/')?);
            let own = [Col::Pid, Col::Tid].iter().any(|col| self.event.int(*col) == decimal(pid));
            rest.strip_prefix(b"/fd/").filter(|_| own)
        })?;
        match self.model.tasks.fds(self.who.process).get(decimal(rest)?)?.target {
            Target::Ofd(ix) => Some(ix),
            Target::Special(..) | Target::Process(_) => None,
        }
    }

    pub(super) fn link(&mut self) -> Dropped<()> {
        let flags = self.event.int(Col::Flags).unwrap_or(0);
        let follow = self.step.op == Some(Op::Linkat) && flags & flag::AT_SYMLINK_FOLLOW != 0;
        let first = match self.descriptor_named(follow) {
            Some(ix) => {
                self.on(ix);
                self.step.dir = self.step.ofd.take();
                Named::Fd(ix)
            }
            None => self.named(Arg::First)?,
        };
        let Named::Path(to) = self.named(Arg::Second)? else { return self.known_outcome().map(|_| ()) };
        let to = to.entry();
        let outcome = self.known_outcome();
        let from = match first {
            Named::Path(from) => Some(from),
            Named::Fd(_) => None,
            Named::Bad => return Ok(()),
        };
        if !matches!(outcome, Ok(Ok(_))) {
            return self.two_failed(from, to, follow, outcome, false);
        }
        let ino = match (first, from) {
            (_, Some(from)) => {
                let Some(spot) = self.reach(from, follow)? else { return Ok(()) };
                let kind = self.not_a_dir(&spot);
                self.model.tree.exists(&spot, kind, false)
            }
            (Named::Fd(ix), None) => match self.model.tasks.ofd(ix) {
                Some(ofd) => ofd.ino,
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        self.note_file(Arg::First, ino);
        let Some(spot) = self.reach(to, false)? else { return Ok(()) };
        self.model.tree.absent(&spot);
        self.flush();
        self.model.tree.touch_entry(spot.dir, &spot.name);
        self.model.tree.bind(spot.dir, spot.name, ino, Was::Absent);
        self.note_file(Arg::Second, ino);
        Ok(())
    }

    pub(super) fn rename(&mut self) -> Dropped<()> {
        let flags = if self.step.op == Some(Op::Renameat2) { self.event.int(Col::Flags).unwrap_or(0) } else { 0 };
        let (Named::Path(from), Named::Path(to)) = (self.named(Arg::First)?, self.named(Arg::Second)?) else {
            return self.known_outcome().map(|_| ());
        };
        let (from, to) = (from.entry(), to.entry());
        let outcome = self.known_outcome();
        if !matches!(outcome, Ok(Ok(_))) {
            return self.two_failed(Some(from), to, false, outcome, flags & flag::RENAME_NOREPLACE == 0);
        }
        // Both paths first: a rename into a pseudo file system proves nothing about the other side.
        self.locate(from, false)?;
        self.locate(to, false)?;
        let Some(source) = self.reach(from, false)? else { return Ok(()) };
        let exchange = flags & flag::RENAME_EXCHANGE != 0;
        // A slash may follow only the name of a directory, or the name that one is renamed to (do_renameat2, fs/namei.c).
        let directory = |slash: bool| slash.then_some(Kind::Dir);
        let kind = directory(from.slash || to.slash && !exchange);
        let moved = self.model.tree.exists(&source, kind, kind.is_some());
        self.note_file(Arg::First, moved);
        let Some(goal) = self.reach(to, false)? else { return Ok(()) };
        if matches!(self.model.tree.at(moved).node, Node::Dir(_) | Node::Unknown) {
            self.touch_nesting(&[source.dir, goal.dir]);
        }
        if exchange {
            let other = self.model.tree.exists(&goal, directory(to.slash), to.slash);
            self.note_file(Arg::Second, other);
            self.flush();
            self.touch_nesting(&[source.dir, goal.dir]);
            self.model.tree.touch_entry(source.dir, &source.name);
            self.model.tree.touch_entry(goal.dir, &goal.name);
            self.model.tree.unbind(source.dir, &source.name);
            self.model.tree.unbind(goal.dir, &goal.name);
            self.model.tree.bind(goal.dir, goal.name, moved, Was::Unclaimed);
            self.model.tree.bind(source.dir, source.name, other, Was::Unclaimed);
            return Ok(());
        }
        let mut was = Was::Unclaimed;
        match goal.look {
            // Two names of one file: rename does nothing (rename(2)).
            Look::Node(ino) if ino == moved => return Ok(()),
            Look::Node(ino) if self.model.tree.at(ino).life == Life::Ghost => self.model.tree.bury(goal.dir, &goal.name),
            Look::Node(_) if flags & flag::RENAME_NOREPLACE != 0 => self.model.tree.absent(&goal),
            Look::Node(ino) => {
                self.replaced(&goal, moved, ino);
            }
            Look::Absent => {}
            Look::Unknown if flags & flag::RENAME_NOREPLACE != 0 => was = Was::Absent,
            Look::Unknown => {}
        }
        self.flush();
        self.model.tree.touch_entry(source.dir, &source.name);
        self.model.tree.touch_entry(goal.dir, &goal.name);
        self.model.tree.unbind(source.dir, &source.name);
        self.model.tree.bind(goal.dir, goal.name, moved, was);
        Ok(())
    }

    /// Whether a directory would be moved into itself depends on the names of all directories above: touches them.
    fn touch_nesting(&mut self, dirs: &[Ino]) {
        for dir in dirs {
            self.model.tree.touch_way(*dir);
        }
    }

    /// A rename replaces the file that has the new name: an empty directory by a directory, any other by any other.
    fn replaced(&mut self, goal: &Spot, moved: Ino, old: Ino) {
        let dir = |ino: Ino| matches!(self.model.tree.at(ino).node, Node::Dir(_));
        let old = match (dir(moved), dir(old)) {
            (true, false) => self.model.tree.exists(goal, Some(Kind::Dir), true),
            (false, true) if matches!(self.model.tree.at(moved).node, Node::Unknown) => {
                self.model.tree.entries(moved);
                old
            }
            (false, true) => self.model.tree.exists(goal, Some(Kind::Link), true),
            _ => old,
        };
        self.note_file(Arg::Second, old);
        self.take_away(goal, old);
    }

    /// The old name was not what made a call fail: link had resolved it wholly, rename only its directory.
    fn prove_old(&mut self, from: Option<PathArg<'_>>, follow: bool, renames: bool) {
        match from {
            Some(from) if renames => self.prove_parent(from),
            Some(from) => self.prove(from, follow, from.kind(None)),
            None => {}
        }
    }

    /// link or rename failed, and the errno does not say which path it is about: finds out what it proves of both.
    fn two_failed(
        &mut self,
        from: Option<PathArg<'_>>,
        to: PathArg<'_>,
        follow: bool,
        outcome: Dropped<Result<i64, i32>>,
        replaces: bool,
    ) -> Dropped<()> {
        if let Some(from) = from {
            self.locate(from, follow)?;
        }
        self.locate(to, false)?;
        let errno = match outcome? {
            Ok(_) => return Ok(()),
            Err(errno) => errno,
        };
        let renames = matches!(self.step.op, Some(Op::Rename | Op::Renameat | Op::Renameat2));
        if renames {
            let ends = [from, Some(to)].map(|end| end.and_then(|end| self.dir_of(end)));
            ends.into_iter().flatten().for_each(|dir| self.touch_nesting(&[dir]));
        }
        let known = |call: &mut Self, from: PathArg<'_>| call.is_there(from, follow);
        match errno {
            // The old name is missing, unless it is known to be there: then the new one's directory is.
            libc::ENOENT => match from {
                Some(from) if !known(self, from) => self.failed(from, errno, Failed { follow, ..Failed::default() }),
                _ => self.failed(to, errno, Failed { parent: !self.exchanges(), ..Failed::default() }),
            },
            // `.` and `..` are refused before anything else is looked at.
            libc::EEXIST | libc::EBUSY | libc::EINVAL if to.path.ends_with(b".") => {
                self.prove_old(from, follow, renames);
                self.prove_parent(to);
                Ok(())
            }
            libc::EEXIST | libc::ENOTEMPTY if replaces => {
                if let Some(from) = from {
                    // Onto a directory that contains it: ENOTEMPTY whatever it is, but the slashes were checked before.
                    let kind = if self.is_within(from, to) && !to.slash { from.kind(None) } else { Some(Kind::Dir) };
                    self.prove(from, follow, kind);
                }
                self.failed(to, libc::ENOTEMPTY, Failed::default())
            }
            libc::EEXIST | libc::EISDIR => {
                if let Some(from) = from {
                    // link resolves the old name fully; rename checks the slash behind it last.
                    self.prove(from, follow, if renames { None } else { from.kind(None) });
                }
                self.failed(to, errno, Failed::default())
            }
            libc::ENOTDIR if from.is_some_and(|from| self.no_dir(from)) => {
                // rename checks the slash behind the old name last.
                if renames && from.is_some_and(|from| !self.stuck(from)) && !self.stuck(to) {
                    self.prove_goal(to);
                }
                Ok(())
            }
            // A directory renamed onto something that is none.
            libc::ENOTDIR if renames && !to.slash && from.is_some_and(|from| !self.stuck(from)) && !self.stuck(to) => {
                if let Some(from) = from {
                    self.prove(from, follow, Some(Kind::Dir));
                }
                let kind = if self.is_there(to, false) { None } else { Some(Kind::File) };
                self.prove(to, false, kind);
                Ok(())
            }
            // Only a directory can be renamed to a name with a slash behind it.
            libc::ENOTDIR if renames && to.slash && !self.stuck(to) => {
                let file = !self.no_dir(to);
                if let Some(from) = from {
                    let kind = if file && !self.is_there(from, follow) { Some(Kind::File) } else { from.kind(None) };
                    self.prove(from, follow, kind);
                }
                self.prove_goal(to);
                Ok(())
            }
            // link looks the old name up before it looks at the new one; rename only its directory.
            libc::ENOTDIR if self.no_dir(to) => {
                self.prove_old(from, follow, renames);
                Ok(())
            }
            libc::ENOTDIR => match from {
                Some(from) if !known(self, from) => self.failed(from, errno, Failed::default()),
                _ => self.failed(to, errno, Failed::default()),
            },
            // A directory moved into itself, or exchanged with a directory that contains it.
            libc::EINVAL if renames && from.is_some_and(|from| self.is_within(from, to) || self.is_within(to, from)) => {
                if let Some(from) = from {
                    self.prove(from, follow, from.kind(None));
                }
                self.prove_goal(to);
                Ok(())
            }
            // The error is about the old name, which is resolved first: nothing is known of the new one.
            libc::ELOOP if from.is_some_and(|from| self.loops(from)) => Ok(()),
            libc::ENAMETOOLONG => Ok(()),
            // A directory has one name only (link(2)).
            libc::EPERM if !renames && from.is_some_and(|from| self.may_be_dir(from, follow)) => {
                if let Some(from) = from {
                    self.prove(from, follow, Some(Kind::Dir));
                }
                self.prove_parent(to);
                Ok(())
            }
            libc::EACCES | libc::EPERM | libc::EROFS => Err(Reason::Credentials),
            _ => {
                self.prove_old(from, follow, renames);
                self.prove_parent(to);
                Ok(())
            }
        }
    }

    /// The directory that a path's last component is in, if the path resolves.
    fn dir_of(&mut self, from: PathArg<'_>) -> Option<Ino> {
        use crate::model::tree::walk::{Proof, Walk};
        match self.model.tree.walk(from.start, from.path, false, Proof::None) {
            Walk::At(spot) => Some(spot.dir),
            _ => None,
        }
    }

    fn may_be_dir(&mut self, from: PathArg<'_>, follow: bool) -> bool {
        use crate::model::tree::walk::{Proof, Walk};
        match self.model.tree.walk(from.start, from.path, follow, Proof::None) {
            Walk::At(Spot { look: Look::Node(ino), .. }) => {
                let node = self.model.tree.at(ino);
                matches!(node.node, Node::Dir(_) | Node::Unknown)
            }
            Walk::At(Spot { look: Look::Unknown, .. }) => true,
            _ => false,
        }
    }

    /// A rename got as far as looking at the file it was to move, so the directory of the new name exists; for RENAME_EXCHANGE
    /// the new name itself.
    fn prove_goal(&mut self, to: PathArg<'_>) {
        if self.exchanges() {
            self.prove(to, false, None);
        } else {
            self.prove_parent(to);
        }
    }

    fn exchanges(&self) -> bool {
        self.step.op == Some(Op::Renameat2) && self.event.int(Col::Flags).unwrap_or(0) & flag::RENAME_EXCHANGE != 0
    }

    /// Does the first path lie below the second?
    fn is_within(&mut self, from: PathArg<'_>, to: PathArg<'_>) -> bool {
        use crate::model::tree::walk::{Proof, Walk};
        let tree = &mut self.model.tree;
        let Walk::At(spot) = tree.walk(from.start, from.path, false, Proof::Through) else { return false };
        let Walk::At(goal) = tree.walk(to.start, to.path, false, Proof::Through) else { return false };
        let mut at = spot.dir;
        while goal.look != Look::Node(at) {
            if at == crate::model::tree::ROOT {
                return false;
            }
            at = tree.parent(at);
        }
        true
    }

    /// Is a component on the way to the last one known to be missing or no directory?
    fn stuck(&mut self, from: PathArg<'_>) -> bool {
        use crate::model::tree::walk::{Proof, Walk};
        matches!(self.model.tree.walk(from.start, from.path, false, Proof::None), Walk::NotDir | Walk::Missing)
    }

    fn loops(&mut self, from: PathArg<'_>) -> bool {
        use crate::model::tree::walk::{Proof, Walk};
        matches!(self.model.tree.walk(from.start, from.path, false, Proof::None), Walk::Loop)
    }

    /// Is it known already that this path gives ENOTDIR?
    fn no_dir(&mut self, from: PathArg<'_>) -> bool {
        use crate::model::tree::walk::{Proof, Walk};
        match self.model.tree.walk(from.start, from.path, false, Proof::None) {
            Walk::NotDir => true,
            Walk::At(Spot { look: Look::Node(ino), .. }) => {
                from.slash && !matches!(self.model.tree.at(ino).node, Node::Dir(_) | Node::Unknown)
            }
            _ => false,
        }
    }

    fn is_there(&mut self, from: PathArg<'_>, follow: bool) -> bool {
        use crate::model::tree::walk::{Proof, Walk};
        match self.model.tree.walk(from.start, from.path, follow, Proof::None) {
            Walk::At(Spot { look: Look::Node(ino), .. }) => {
                self.model.tree.left.is_none() && self.model.tree.at(ino).life != Life::Ghost
            }
            _ => false,
        }
    }
}
