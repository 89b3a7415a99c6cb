//! File systems that are mounted during the capture. A replay by root has those in memory from its start on, where that can be told
//! from no other (init/memory.rs); what is done on others is done in the tree that they are mounted in, and it is said of which
//! calls that is true.
//!
//! Limits: what a mount hides is not hidden in the replay, and mounts of one process are taken for those of all. Of what is mounted
//! by descriptors (fsopen, move_mount) the kind is not known.

use super::{Arg, Named};
use crate::event::{Col, Text};
use crate::fate::{Elsewhere, Fate};
use crate::model::call::{Call, flag};
use crate::model::step::Name;
use crate::syscall::{Op, Syscall};

impl Call<'_> {
    /// mount(2), umount(2): notes what was mounted where.
    pub(in crate::model::call) fn mounted(&mut self) {
        let mounts = match self.event.syscall {
            Syscall::mount => true,
            Syscall::umount | Syscall::umount2 => false,
            _ => return,
        };
        if self.event.success().is_none()
            || self.event.int(Col::Flags).is_some_and(|flags| mounts && flags & flag::MS_NO_NEW != 0)
        {
            return;
        }
        let Some(path) = self.mount_point() else { return };
        let kind = self.event.text(Text::Name).and_then(Elsewhere::of);
        let config = self.model.tree.config_mut();
        if mounts { config.mount(&path, kind) } else { config.unmount(&path) }
    }

    fn mount_point(&mut self) -> Option<Name> {
        let Ok(Named::Path(from)) = self.named(Arg::First) else { return None };
        let there = self.locate(from, true);
        let path = self.step.path.take();
        (self.step.cwd, self.step.file, self.step.dir) = (None, None, None);
        // A mount point in a place that is not replayed, or below one.
        match (there, path) {
            (Ok(()), path) => path,
            (Err(_), _) => Some(from.path).filter(|path| path.first() == Some(&b'/')).map(Name::from),
        }
    }

    /// What is to be said of an op, for its file was on another kind of file system.
    pub(in crate::model::call) fn elsewhere(&mut self) -> Option<Elsewhere> {
        let config = self.model.tree.config();
        if config.kinds.is_empty() || self.step.fate != Fate::Op {
            return None;
        }
        let moves = matches!(self.step.op, Some(Op::Rename | Op::Renameat | Op::Renameat2 | Op::Link | Op::Linkat));
        if let ([Some(one), Some(other)], true, Some(_)) = ([&self.step.path, &self.step.path2], moves, self.event.success()) {
            self.model.tree.config_mut().crossed(one, other);
        }
        let config = self.model.tree.config();
        [&self.step.path, &self.step.path2].into_iter().flatten().find_map(|path| config.elsewhere(path))
    }
}
