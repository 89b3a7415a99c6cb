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

/// What the error of a failed link or rename proves of the old name.
enum Old {
    /// Nothing.
    Nothing,
    /// It was not what made the call fail: link has resolved it wholly, rename only its directory.
    Reached,
    /// It is there, and of this kind where one is given.
    There(Option<Kind>),
    /// The error is about it.
    Failed(Failed),
}

/// What the error of a failed link or rename proves of the new name.
enum New {
    /// Nothing.
    Nothing,
    /// Its directory is there.
    Reached,
    /// What [`Call::prove_goal`] proves of it.
    Goal,
    /// It is there, and no directory.
    NoDir,
    /// This error is about it.
    Failed(i32, Failed),
}

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
        let (old, new) = self.proofs(errno, from, to, follow, renames, replaces)?;
        match (old, from) {
            (Old::Nothing, _) | (_, None) => {}
            (Old::Reached, Some(from)) if renames => self.prove_parent(from),
            (Old::Reached, Some(from)) => self.prove(from, follow, from.kind(None)),
            (Old::There(kind), Some(from)) => self.prove(from, follow, kind),
            (Old::Failed(how), Some(from)) => self.failed(from, errno, how)?,
        }
        match new {
            New::Nothing => {}
            New::Reached => self.prove_parent(to),
            New::Goal => self.prove_goal(to),
            New::NoDir => {
                let kind = if self.is_there(to, false) { None } else { Some(Kind::File) };
                self.prove(to, false, kind);
            }
            New::Failed(errno, how) => self.failed(to, errno, how)?,
        }
        Ok(())
    }

    /// What the error of a failed link or rename proves of the old and of the new name, by the order in which the kernel checks them
    /// (`filename_linkat`, `filename_renameat2` and `vfs_rename` in fs/namei.c). The first row that fits counts.
    fn proofs(
        &mut self,
        errno: i32,
        from: Option<PathArg<'_>>,
        to: PathArg<'_>,
        follow: bool,
        renames: bool,
        replaces: bool,
    ) -> Dropped<(Old, New)> {
        let how = Failed::default();
        let slash = from.and_then(|from| from.kind(None));
        let missing = |call: &mut Self| from.is_some_and(|from| !call.is_there(from, follow));
        let both_reached = |call: &mut Self| from.is_some_and(|from| !call.stuck(from)) && !call.stuck(to);
        Ok(match errno {
            // The old name is missing, unless it is known to be there: then the new one's directory is.
            libc::ENOENT if missing(self) => (Old::Failed(Failed { follow, ..how }), New::Nothing),
            libc::ENOENT => (Old::Nothing, New::Failed(errno, Failed { parent: !self.exchanges(), ..how })),
            // `.` and `..` are refused before anything else is looked at.
            libc::EEXIST | libc::EBUSY | libc::EINVAL if to.path.ends_with(b".") => (Old::Reached, New::Reached),
            // Onto a directory that contains it: ENOTEMPTY whatever it is, but the slashes were checked before.
            libc::EEXIST | libc::ENOTEMPTY if replaces => {
                let within = from.is_some_and(|from| self.is_within(from, to)) && !to.slash;
                (Old::There(if within { slash } else { Some(Kind::Dir) }), New::Failed(libc::ENOTEMPTY, how))
            }
            // link resolves the old name fully; rename checks the slash behind it last.
            libc::EEXIST | libc::EISDIR => (Old::There(if renames { None } else { slash }), New::Failed(errno, how)),
            libc::ENOTDIR if from.is_some_and(|from| self.no_dir(from)) => {
                (Old::Nothing, if renames && both_reached(self) { New::Goal } else { New::Nothing })
            }
            // A directory renamed onto something that is none.
            libc::ENOTDIR if renames && !to.slash && both_reached(self) => (Old::There(Some(Kind::Dir)), New::NoDir),
            // Only a directory can be renamed to a name with a slash behind it.
            libc::ENOTDIR if renames && to.slash && !self.stuck(to) => {
                let file = !self.no_dir(to) && missing(self);
                (Old::There(if file { Some(Kind::File) } else { slash }), New::Goal)
            }
            // link looks the old name up before it looks at the new one; rename only its directory.
            libc::ENOTDIR if self.no_dir(to) => (Old::Reached, New::Nothing),
            libc::ENOTDIR if missing(self) => (Old::Failed(how), New::Nothing),
            libc::ENOTDIR => (Old::Nothing, New::Failed(errno, how)),
            // A directory moved into itself, or exchanged with a directory that contains it.
            libc::EINVAL if renames && from.is_some_and(|from| self.is_within(from, to) || self.is_within(to, from)) => {
                (Old::There(slash), New::Goal)
            }
            // The error is about the old name, which is resolved first: nothing is known of the new one.
            libc::ELOOP if from.is_some_and(|from| self.loops(from)) => (Old::Nothing, New::Nothing),
            libc::ENAMETOOLONG => (Old::Nothing, New::Nothing),
            // A directory has one name only (link(2)).
            libc::EPERM if !renames && from.is_some_and(|from| self.may_be_dir(from, follow)) => {
                (Old::There(Some(Kind::Dir)), New::Reached)
            }
            libc::EACCES | libc::EPERM | libc::EROFS => return Err(Reason::Credentials),
            _ => (Old::Reached, New::Reached),
        })
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
