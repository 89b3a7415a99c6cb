//! What calls move through pipes, pairs of sockets and counters.

use super::Call;
use crate::event::{Col, Text};
use crate::fate::{Fate, Reason};
use crate::model::Model;
use crate::model::stream::End;
use crate::model::task::fds::Target;
use crate::model::touch::{Access, Resource};
use crate::syscall::{Moves, Role};

impl Call<'_> {
    /// The end of a stream that the descriptor in column `col` refers to, if it is one whose bytes are followed; `text` has the
    /// capture's annotation of it.
    pub(super) fn stream_end(&mut self, col: Col, text: Text) -> Option<End> {
        let Target::Special(Reason::Pipe | Reason::Socket | Reason::Anon, end) =
            self.model.tasks.fds(self.who.process).get(self.event.int(col)?)?.target
        else {
            return None;
        };
        let note = self.event.text(text);
        note.and_then(|note| self.model.streams.named(note)).or(end)
    }

    /// The call may have moved bytes through a stream: it touches the messages that they are. And it reads those that were
    /// written while the call of this thread before it waited for them.
    pub(super) fn messages(&mut self) {
        for message in std::mem::take(&mut self.messages) {
            self.model.tree.touches.add(Resource::Message, message, Access::Read);
        }
        let def = self.event.syscall.def();
        // Both sides of such a call are files, or it would have been dropped.
        if self.step.fate == Fate::Op && def.moves() != Moves::Copies {
            return;
        }
        let Some(bytes) = self.event.success().filter(|bytes| *bytes > 0) else { return };
        let (reads, writes) = match def.moves() {
            Moves::Reads => (Some((Col::Fd, Text::FdPath)), None),
            Moves::Writes => (None, Some((Col::Fd, Text::FdPath))),
            Moves::Copies if def.has(Role::Fd2) => (Some((Col::Fd, Text::FdPath)), Some((Col::Fd2, Text::Fd2Path))),
            _ => return,
        };
        if let Some(end) = reads.and_then(|(col, text)| self.stream_end(col, text)) {
            let Model { streams, tree, .. } = &mut *self.model;
            let by = (self.who.tid, self.who.call);
            streams.read(end, bytes, by, |message| tree.touches.add(Resource::Message, message, Access::Read));
        }
        if let Some(end) = writes.and_then(|(col, text)| self.stream_end(col, text)) {
            let Model { streams, tasks, tree, .. } = &mut *self.model;
            let mut readers = Vec::new();
            let message =
                streams.write(end, bytes, |reader| tasks.calls(reader.tid) == reader.call, |reader| readers.push(reader));
            readers.iter().for_each(|reader| tasks.deliver(reader.tid, message));
            tree.touches.add(Resource::Message, message, Access::Write);
        }
    }
}
