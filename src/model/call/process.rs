//! fork, clone, exec, exit and wait: the life of processes and threads, and the order that these impose on lanes.

use super::fd::special;
use super::{Call, Dropped, flag};
use crate::event::{Col, Text};
use crate::exec::Ran;
use crate::fate::{Origin, Reason};
use crate::model::step::{Name, Program};
use crate::model::tree::ROOT;
use crate::syscall::{Op, Syscall};
use std::sync::Arc;

impl Call<'_> {
    pub(super) fn fork(&mut self) -> Dropped<()> {
        let flags = match self.event.syscall {
            // vfork shares the memory, not the descriptors.
            Syscall::fork | Syscall::vfork => 0,
            _ => self.event.int(Col::Flags).unwrap_or_else(|| {
                if self.event.failure().is_none() && self.event.int(Col::Ret) != Some(0) {
                    self.model.tree.guess("a new thread or process, not known which: a process");
                }
                0
            }),
        };
        match (self.event.int(Col::Ret), self.event.failure()) {
            (Some(child), None) if child > 0 => {
                let waits = self.start();
                let ended = self.model.tasks.fork(self.who.process, child, flags, waits);
                self.end(ended, Origin::Exit);
            }
            (None, None) => {
                let waits = self.start();
                self.model.tasks.fork_pending(self.who.process, flags, waits);
            }
            _ => {}
        }
        Ok(())
    }

    /// A task starts: gives the tasks for which its first op waits. These are its own start, so that it follows the last op of
    /// this lane, and those for which this lane's next op waits.
    fn start(&mut self) -> Vec<i64> {
        let task = self.model.tasks.new_task();
        self.task = Some(task);
        let mut waits = self.waits.clone();
        waits.push(task);
        waits
    }

    /// wait4(2) showed the end of a child: the next op of this lane follows all ops of the child.
    pub(super) fn wait(&mut self) {
        let waits = matches!(self.event.name(), "wait4" | "waitpid");
        if let Some(task) = self.event.success().filter(|_| waits).and_then(|pid| self.model.tasks.reaped(pid)) {
            self.waits.push(task);
        }
    }

    pub(super) fn exec(&mut self) -> Dropped<()> {
        if self.event.success().is_some() {
            // With an empty path execveat(2) executes what its descriptor is open on.
            let exe = match self.event.text(Text::Path) {
                Some([]) => self.event.text(Text::DirPath),
                path => path,
            };
            let old = self.model.tasks.program(self.who.process).as_deref().cloned().unwrap_or_default();
            let program = old.executed(exe.map(Name::from), Ran::told(self.event));
            self.model.tasks.runs(self.who.process, Some(Arc::new(program)));
            let ended = self.model.tasks.exec(self.who);
            self.end(ended, Origin::Exec);
            self.who.tid = self.model.tasks.leader(self.who);
        }
        Ok(())
    }

    /// setuid(2) and its kin: the process works as another user. Of threads that do so alone (the raw calls) the last one counts for all.
    pub(super) fn user(&mut self) -> Dropped<()> {
        if self.event.success().is_some() {
            let uid = self.event.int(Col::Uid).ok_or(Reason::LostArgs)?;
            // -1 leaves it; setuid(-1) is no success.
            if uid >= 0 && uid != i64::from(u32::MAX) {
                let old = self.model.tasks.program(self.who.process).as_deref().cloned().unwrap_or_default();
                let program = match self.event.syscall {
                    // It returns the id before in any case: a process that is not root's, and asks for another one, is refused silently.
                    Syscall::setfsuid | Syscall::setfsuid16 | Syscall::setfsuid32 => match old.uid {
                        Some(user) if user == uid => Program { on_files: None, ..old },
                        None | Some(0) => Program { on_files: Some(uid), ..old },
                        Some(_) => return Ok(()),
                    },
                    _ => Program { uid: Some(uid), on_files: None, ..old },
                };
                self.model.tasks.runs(self.who.process, Some(Arc::new(program)));
            }
        }
        Ok(())
    }

    /// unshare(2): the calling thread gets a descriptor table or a working and a root directory of its own.
    pub(super) fn unshare(&mut self) -> Dropped<()> {
        let flags = self.event.int(Col::Flags).ok_or(Reason::LostArgs)?;
        if self.event.success().is_some() {
            // Namespaces of mounts and users come with directories of one's own (ksys_unshare, kernel/fork.c).
            let fs = flags & (flag::CLONE_FS | flag::CLONE_NEWNS | flag::CLONE_NEWUSER) != 0;
            self.who.process = self.model.tasks.part(self.who, flags & flag::CLONE_FILES != 0, fs);
        }
        Ok(())
    }

    /// setns(2): in another namespace of mounts the thread is at its root. Which kind of namespace it is, is told by the flags,
    /// or by what the descriptor is open on.
    pub(super) fn setns(&mut self) -> Dropped<()> {
        let flags = self.event.int(Col::Flags).unwrap_or(0);
        let note = self.event.text(Text::FdPath).unwrap_or_default();
        let mounts = flags & flag::CLONE_NEWNS != 0 || flags == 0 && (note.starts_with(b"mnt:") || note.ends_with(b"/ns/mnt"));
        if self.event.success().is_none() {
            return Ok(());
        }
        if mounts {
            self.model.tasks.cwd(self.who.process).root = None;
            self.set_cwd(ROOT, None);
        } else if flags == 0 && special(note).is_none() {
            self.model.tree.guess("a namespace that was entered, not known which kind: not one of mounts");
        }
        Ok(())
    }

    pub(super) fn exit(&mut self, op: Op) -> Dropped<()> {
        if op == Op::ExitGroup || self.model.tasks.alone(self.who) {
            self.task = Some(self.model.tasks.exits(self.who));
        }
        let ended = match op {
            Op::ExitGroup => self.model.tasks.end_process(self.who),
            _ => self.model.tasks.end_thread(self.who.tid),
        };
        self.end(ended, Origin::Exit);
        Ok(())
    }
}
