//! fork, exec, exit.

use super::{Call, Dropped};
use crate::event::Col;
use crate::fate::Origin;
use crate::syscall::{Op, Syscall};

impl Call<'_> {
    pub(super) fn fork(&mut self) -> Dropped<()> {
        let flags = match self.event.syscall {
            // vfork shares the memory, not the descriptors.
            Syscall::fork | Syscall::vfork => 0,
            _ => self.event.int(Col::Flags).unwrap_or(0),
        };
        match (self.event.int(Col::Ret), self.event.failure()) {
            (Some(child), None) if child > 0 => {
                let ended = self.model.tasks.fork(self.who.process, child, flags);
                self.end(ended, Origin::Exit);
            }
            (None, None) => self.model.tasks.fork_pending(self.who.process, flags),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn exec(&mut self) -> Dropped<()> {
        if self.event.success().is_some() {
            let ended = self.model.tasks.exec(self.who);
            self.end(ended, Origin::Exec);
        }
        Ok(())
    }

    pub(super) fn exit(&mut self, op: Op) -> Dropped<()> {
        let ended = match op {
            Op::ExitGroup => self.model.tasks.end_process(self.who.process),
            _ => self.model.tasks.end_thread(self.who.tid),
        };
        self.end(ended, Origin::Exit);
        Ok(())
    }
}
