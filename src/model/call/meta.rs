//! Calls that read or change attributes: stat, chmod, chown, utimensat, access, xattrs; readlink and getdents.

use super::path::{Arg, Named, follows};
use super::withheld::of_the_machine;
use super::{Call, Dropped, flag, is_device, kind_of};
use crate::event::{Col, Text};
use crate::fate::Reason;
use crate::model::step::{Kind, Name};
use crate::model::touch::{Access, Resource};
use crate::model::tree::walk::{PATH_MAX, possible};
use crate::model::tree::{Ino, Life, Node};
use crate::syscall::{Op, Role};
use std::sync::Arc;

/// How a call touches the attributes (mode, owner, extended attributes) of its file; `None` if it does not depend on them.
pub(super) const fn attributes(op: Op) -> Option<Access> {
    match op {
        Op::Open | Op::Openat | Op::Openat2 | Op::Creat | Op::Truncate | Op::Utimensat => Some(Access::Read),
        Op::Access | Op::Faccessat | Op::Faccessat2 => Some(Access::Read),
        Op::Getxattr | Op::Lgetxattr | Op::Fgetxattr | Op::Listxattr | Op::Llistxattr | Op::Flistxattr => Some(Access::Read),
        Op::Chmod | Op::Fchmod | Op::Fchmodat | Op::Fchmodat2 => Some(Access::Write),
        Op::Chown | Op::Lchown | Op::Fchown | Op::Fchownat => Some(Access::Write),
        Op::Setxattr | Op::Lsetxattr | Op::Fsetxattr => Some(Access::Write),
        Op::Removexattr | Op::Lremovexattr | Op::Fremovexattr => Some(Access::Write),
        _ => None,
    }
}

impl Call<'_> {
    /// Calls on a path that read or change attributes of the file and change no name.
    pub(super) fn path_attributes(&mut self, op: Op) -> Dropped<()> {
        let follow = follows(self.event);
        let st_mode = self.event.int(Col::StMode);
        if self.event.success().is_some() && st_mode.is_some_and(is_device) {
            return Err(self.device(follow));
        }
        if matches!(op, Op::Access | Op::Faccessat | Op::Faccessat2) && self.event.failure() == Some(libc::EACCES) {
            return self.access_refused(follow);
        }
        let found = self.on_path(follow, st_mode.and_then(kind_of))?;
        if let Some(ino) = found {
            let is = self.identified(ino, false);
            if is != ino {
                self.note_file(Arg::First, is);
            }
            self.learn(op, is);
        } else if self.event.failure() == Some(libc::ENODATA) {
            // ENODATA: the file is there and has no such attribute; `failed` has proved it.
        }
        self.attribute_named()
    }

    /// A call on an extended attribute whose name the capture cut off cannot be issued: a drop.
    fn attribute_named(&self) -> Dropped<()> {
        let lost = self.event.syscall.def().has(Role::Name) && self.event.text(Text::Name).is_none();
        if lost { Err(Reason::LostName) } else { Ok(()) }
    }

    /// Reason for dropping a call on a device node on a stored file system, or on a path that is not replayed.
    fn device(&mut self, follow: bool) -> Reason {
        match self.named(Arg::First) {
            Err(reason) => reason,
            Ok(Named::Path(from)) => self.locate(from, follow).err().unwrap_or(Reason::Device),
            Ok(_) => Reason::Device,
        }
    }

    /// access(2) that gave EACCES: replayed only where it asked for X_OK, since nobody, not even root, may execute a file
    /// without any execute bit. Other refusals depend on the credentials of the captured process.
    fn access_refused(&mut self, follow: bool) -> Dropped<()> {
        let Named::Path(from) = self.named(Arg::First)? else { return Err(Reason::Credentials) };
        self.locate(from, follow)?;
        if self.event.int(Col::Mode) != Some(flag::X_OK) {
            return Err(Reason::Credentials);
        }
        let Some(spot) = self.reach(from, follow)? else { return Err(Reason::Credentials) };
        let ino = self.model.tree.exists(&spot, None, false);
        self.note_file(Arg::First, ino);
        let node = self.model.tree.at_mut(ino);
        if node.mode.is_none() && !node.mode_set {
            node.mode = Some(0o644);
        }
        Ok(())
    }

    /// Calls on a descriptor that read or change attributes.
    pub(super) fn fd_attributes(&mut self) -> Dropped<()> {
        let Some(ix) = self.on_fd()? else { return Ok(()) };
        if self.event.success().is_some()
            && let (Some(op), Some(ofd)) = (self.step.op, self.model.tasks.ofd(ix))
        {
            let ino = ofd.ino;
            self.learn(op, ino);
        }
        self.attribute_named()
    }

    /// Takes over what a successful call tells of a file's kind, size and attributes, or changed about them.
    fn learn(&mut self, op: Op, ino: Ino) {
        if let Some(st_mode) = self.event.int(Col::StMode) {
            self.mode_seen(ino, st_mode);
            if let Some(kind) = kind_of(st_mode) {
                self.model.tree.settle(ino, kind);
            }
        }
        if let Some(size) = self.event.int(Col::StSize) {
            let is_file = self
                .event
                .int(Col::StMode)
                .map_or(self.model.tree.at(ino).kind() == Kind::File, |mode| kind_of(mode) == Some(Kind::File));
            if is_file {
                self.observe(ino, size);
            }
        }
        match op {
            Op::Utimensat => self.model.tree.at_mut(ino).mtime_set = true,
            Op::Stat | Op::Lstat | Op::Fstat | Op::Fstatat | Op::Statx => {
                self.owner_seen(ino);
                self.mtime_seen(ino);
            }
            Op::Chown | Op::Lchown | Op::Fchown | Op::Fchownat => self.model.tree.at_mut(ino).owner_set = true,
            Op::Chmod | Op::Fchmod | Op::Fchmodat | Op::Fchmodat2 => self.model.tree.at_mut(ino).mode_set = true,
            Op::Getxattr | Op::Lgetxattr | Op::Fgetxattr => self.xattr(ino, true),
            Op::Removexattr | Op::Lremovexattr | Op::Fremovexattr => {
                self.xattr(ino, true);
                self.xattr(ino, false);
            }
            Op::Setxattr | Op::Lsetxattr | Op::Fsetxattr => {
                self.xattr(ino, false);
                self.access_list(ino);
            }
            Op::Access | Op::Faccessat | Op::Faccessat2
                if self.event.int(Col::Mode).is_some_and(|mode| mode & flag::X_OK != 0) =>
            {
                let node = self.model.tree.at_mut(ino);
                if node.mode.is_none() && !node.mode_set && node.life == Life::Initial {
                    node.mode = Some(0o755);
                }
            }
            _ => {}
        }
    }

    /// The mode of a file when first seen is what it was at the start, unless the workload had set it.
    pub(super) fn mode_seen(&mut self, ino: Ino, st_mode: i64) {
        let node = self.model.tree.at_mut(ino);
        if node.mode.is_none() && !node.mode_set && node.life == Life::Initial {
            node.mode = Some(st_mode & 0o7777);
        }
    }

    /// Owner and group when first seen are what they were at the start, unless the workload had set them.
    fn owner_seen(&mut self, ino: Ino) {
        let node = self.model.tree.at_mut(ino);
        if node.owner.is_none() && !node.owner_set && node.life == Life::Initial {
            node.owner = self.event.int(Col::Uid).zip(self.event.int(Col::Gid));
        }
    }

    /// The modification time when first seen is what it was at the start, unless the workload had set it or changed the
    /// content.
    fn mtime_seen(&mut self, ino: Ino) {
        let node = self.model.tree.at_mut(ino);
        let changed = match &node.node {
            Node::File(content) => content.changed.is_some(),
            _ => node.dirty,
        };
        if node.mtime.is_none() && !node.mtime_set && !changed && node.life == Life::Initial {
            node.mtime = self.event.int(Col::Mtime);
        }
    }

    /// setxattr of an access control list: no capture has the value, but a list of three entries is equivalent to the mode
    /// (acl(5)), which shows after the call.
    fn access_list(&mut self, ino: Ino) {
        const THREE_ENTRIES: i64 = 28;
        let list = matches!(self.event.text(Text::Name), Some(b"system.posix_acl_access" | b"system.posix_acl_default"));
        if list && self.event.int(Col::Count) == Some(THREE_ENTRIES) {
            let node = self.model.tree.at_mut(ino);
            let usual = if node.kind() == Kind::Dir { 0o755 } else { 0o644 };
            let mode = self.event.int(Col::StMode).or(node.mode).unwrap_or(usual) & 0o777;
            node.mode_set = true;
            let mut event = self.event.clone();
            event.set(Col::Mode, mode);
            self.args = Some(Box::new(event));
        }
    }

    /// An extended attribute was found (`found`: it existed at the start, unless the workload set it), or was set or removed by
    /// the workload.
    fn xattr(&mut self, ino: Ino, found: bool) {
        let Some(name) = self.event.text(Text::Name).filter(|name| !of_the_machine(name)) else { return };
        let node = self.model.tree.at_mut(ino);
        let known = |list: &[Name]| list.iter().any(|other| **other == *name);
        if found {
            if node.life == Life::Initial && !known(&node.xattrs) && !known(&node.xattrs_set) {
                node.xattrs.push(Arc::from(name));
            }
        } else if !known(&node.xattrs_set) {
            node.xattrs_set.push(Arc::from(name));
        }
    }

    pub(super) fn readlink(&mut self) -> Dropped<()> {
        if self.event.failure() == Some(libc::EINVAL) {
            // EINVAL: the name is there, and it is no symlink.
            if let Named::Path(from) = self.named(Arg::First)? {
                self.locate(from, false)?;
                if let Some(spot) = self.reach(from, false)? {
                    let ino = self.model.tree.exists(&spot, from.kind(None), from.slash);
                    self.model.tree.at_mut(ino).sure |= !from.slash;
                    self.note_file(Arg::First, ino);
                }
            }
            return Ok(());
        }
        let event = self.event;
        let target = event.text(Text::Path2).filter(|target| event.success() == Some(target.len() as i64) && possible(target));
        match (self.named(Arg::First)?, self.known_outcome(), target) {
            (Named::Path(from), Ok(Ok(_)), Some(target)) => {
                let Some(spot) = self.reach(from, false)? else { return Ok(()) };
                let ino = match spot.look {
                    crate::model::tree::Look::Node(ino) => ino,
                    _ => self.model.tree.exists(&spot, Some(Kind::Link), true),
                };
                self.model.tree.promote(ino);
                let ino = self.model.tree.link_content(spot.dir, &spot.name, ino, target);
                self.note_file(Arg::First, ino);
                Ok(())
            }
            _ => {
                if let (Some(ino), Some(length)) = (self.on_path(false, Some(Kind::Link))?, event.success()) {
                    // No symlink is empty, or longer than a path.
                    let length = usize::try_from(length).ok().filter(|length| (1..PATH_MAX).contains(length));
                    length.into_iter().for_each(|length| self.model.tree.link_length(ino, length));
                }
                Ok(())
            }
        }
    }

    pub(super) fn getdents(&mut self) -> Dropped<()> {
        let Some(ix) = self.on_fd()? else { return Ok(()) };
        let Some((id, ino)) = self.model.tasks.ofd(ix).map(|ofd| (ofd.id, ofd.ino)) else { return Ok(()) };
        if self.event.success().is_some() {
            self.model.tree.entries(ino);
        }
        self.model.tree.touches.add(Resource::Position, id, Access::Write);
        self.model.tree.touch(Resource::Entries, ino, Access::Read);
        Ok(())
    }
}
