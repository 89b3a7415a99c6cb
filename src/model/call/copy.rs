//! Calls that move data from one descriptor to another.

use super::fd::Fd;
use super::{Call, Dropped, flag};
use crate::event::{Col, Text};
use crate::fate::Reason;
use crate::model::task::fds::OfdIx;
use crate::syscall::{Op, position};

impl Call<'_> {
    /// copy_file_range and sendfile: from `fd` to `fd2`. When one of them is no file that is replayed, the event is dropped,
    /// and inserted ops leave the other file as the call did.
    pub(super) fn copy(&mut self) -> Dropped<()> {
        let input = self.fd(Col::Fd, Text::FdPath);
        let output = self.fd(Col::Fd2, Text::Fd2Path);
        let (from, to, bytes) = self.ends(input, output);
        match (input, output) {
            (Ok(Fd::File(input)), Ok(Fd::File(output))) => {
                self.on(output);
                (self.step.ofd2, self.step.file2, self.step.path2) = (self.step.ofd, self.step.file, self.step.path.take());
                self.on(input);
                self.known_outcome()?.ok();
                self.copied_out(input, from, bytes);
                self.copied_in(output, to, bytes);
                Ok(())
            }
            (Ok(Fd::Bad), Ok(_)) | (Ok(_), Ok(Fd::Bad)) => Ok(()),
            (input, output) => self.one_sided(input, output, from, to, bytes),
        }
    }

    /// splice(2): one side is a pipe.
    pub(super) fn splice(&mut self) -> Dropped<()> {
        let (input, output) = (self.fd(Col::Fd, Text::FdPath), self.fd(Col::Fd2, Text::Fd2Path));
        let (from, to, bytes) = self.ends(input, output);
        self.step.op = Some(Op::Read);
        match (input, output) {
            // A read of no descriptor gives the same EBADF.
            (Ok(Fd::Bad), Ok(_)) | (Ok(_), Ok(Fd::Bad)) => Ok(()),
            (input, output) => self.one_sided(input, output, from, to, bytes),
        }
    }

    /// Positions at which the call begins to read and to write (`None`: the shared position), and how many bytes it moved.
    fn ends(&mut self, input: Dropped<Fd>, output: Dropped<Fd>) -> (Option<i64>, Option<i64>, i64) {
        let (from, to) = (position::start(self.event), position::start2(self.event));
        if self.known_outcome().is_err() {
            for (fd, start) in [(input, from), (output, to)] {
                if let Ok(Fd::File(ix)) = fd {
                    self.lose_position(ix, start);
                }
            }
        }
        (from.at(), to.at(), self.bytes().unwrap_or(0))
    }

    /// One side is no file: of the other was read, or to it was written, what was moved. Why nothing could be moved (a
    /// socket whose buffer was full, a reader that was gone) has to do with the side that is not replayed.
    fn one_sided(
        &mut self,
        input: Dropped<Fd>,
        output: Dropped<Fd>,
        from: Option<i64>,
        to: Option<i64>,
        bytes: i64,
    ) -> Dropped<()> {
        let reason = input.err().or(output.err()).unwrap_or(Reason::Unsupported);
        match (input, output) {
            _ if self.event.success().is_none() => Err(reason),
            (Ok(Fd::File(ix)), Err(_)) => {
                self.only_read(ix, from, bytes);
                Ok(())
            }
            (Err(_), Ok(Fd::File(ix))) => {
                self.only_written(ix, to, bytes);
                Ok(())
            }
            _ => Err(reason),
        }
    }

    fn only_read(&mut self, ix: OfdIx, from: Option<i64>, bytes: i64) {
        self.on(ix);
        self.step.op = Some(if from.is_some() { Op::Pread } else { Op::Read });
        if from.is_none() {
            self.trace_back(ix, bytes);
        }
        self.copied_out(ix, from, bytes);
        let asked = self.event.int(Col::Count).filter(|_| bytes == 0);
        self.issue_with(self.event.int(Col::Fd), from, asked.unwrap_or(bytes));
    }

    fn only_written(&mut self, ix: OfdIx, to: Option<i64>, bytes: i64) {
        self.on(ix);
        // What the capture saw of a file is of the other side.
        (self.ofd, self.file) = (None, None);
        self.step.op = Some(if to.is_some() { Op::Pwrite } else { Op::Write });
        self.copied_in(ix, to, bytes);
        (self.step.offset, self.step.shared) = (self.step.offset2.take(), std::mem::take(&mut self.step.shared2));
        self.issue_with(self.event.int(Col::Fd2), to, bytes);
    }

    /// The arguments of a call on one descriptor.
    fn issue_with(&mut self, fd: Option<i64>, offset: Option<i64>, count: i64) {
        let mut event = self.event.clone();
        for (col, value) in [(Col::Fd, fd), (Col::Fd2, None), (Col::Offset, offset), (Col::Offset2, None), (Col::Flags, None)] {
            event.put(col, value);
        }
        event.set(Col::Count, count);
        self.args = Some(Box::new(event));
    }

    fn copied_out(&mut self, ix: OfdIx, at: Option<i64>, bytes: i64) {
        if at.is_none() {
            self.moves_position(ix);
        }
        if at.is_none() && self.event.success() == Some(0) {
            self.back_from_the_end(ix);
        }
        let offset = at.or_else(|| self.position(ix));
        let Some(ofd) = self.model.tasks.ofd(ix) else { return };
        let (ino, sure) = (ofd.ino, ofd.pos_sure || at.is_some());
        self.step.offset = offset;
        // Also when the call failed: whether two ranges of one file overlap depends on where the file ends.
        self.touch_read(ino, offset, bytes, self.event.int(Col::Count));
        if self.event.success().is_some() {
            // Short counts are usual here; only nothing at all means the end.
            let asked = if bytes == 0 { self.event.int(Col::Count) } else { Some(bytes) };
            if let Some(offset) = offset {
                self.was_read(ino, offset, bytes, asked, sure);
            }
            let size = self.model.tree.content(ino).and_then(|content| content.size());
            if bytes > 0 && (offset.is_none() || size != offset.map(|offset| offset.saturating_add(bytes))) {
                self.ask_for(bytes);
            }
            if at.is_none() {
                self.advance(ix, bytes);
            }
        }
    }

    fn copied_in(&mut self, ix: OfdIx, at: Option<i64>, bytes: i64) {
        if at.is_none() {
            self.step.shared2 = true;
            self.touch_position(ix);
        }
        let offset = at.or_else(|| self.position(ix));
        let Some(ofd) = self.model.tasks.ofd(ix) else { return };
        let (ino, append) = (ofd.ino, ofd.flags & flag::O_APPEND != 0);
        self.step.offset2 = offset;
        if bytes <= 0 {
            return;
        }
        if append {
            self.step.offset2 = self.appended(ix, ino, bytes, at.is_none());
            return;
        }
        match offset {
            Some(offset) => self.was_written(ino, offset, bytes),
            None => self.touch_write(ino, None, bytes),
        }
        if at.is_none() {
            self.advance(ix, bytes);
        }
    }
}
