//! Calls that move data or positions (read, write, lseek, truncate, fallocate ...), and what they tell of file sizes.

mod mapping;

use super::{Call, Dropped, flag};
use crate::event::{Col, Event};
use crate::fate::{Origin, Reason};
use crate::model::step::Kind;
use crate::model::task::fds::OfdIx;
use crate::model::touch::{Access, Resource};
use crate::model::tree::content::Seen;
use crate::model::tree::{Ino, Node};
use crate::syscall::position::{self, Start};
use crate::syscall::{Op, Syscall};

/// Bytes of a page of the page cache.
const PAGE: i64 = 4096;

impl Call<'_> {
    /// Bytes that the call moved, `None` if it failed or its result is unknown; a negative number in the capture counts as 0.
    pub(super) fn bytes(&self) -> Option<i64> {
        self.event.success().map(|bytes| bytes.max(0))
    }

    /// The shared position of an open file description in bytes; `None` if it follows an append to a file of unknown size.
    pub(super) fn position(&mut self, ix: OfdIx) -> Option<i64> {
        let ofd = self.model.tasks.ofd(ix)?;
        let Some(behind) = ofd.behind else { return Some(ofd.pos) };
        let ino = ofd.ino;
        let pos = self.model.tree.content(ino)?.resolve(behind)?;
        self.go_to(ix, pos);
        Some(pos)
    }

    /// Sets the shared position of an open file description, bytes: it is known now.
    pub(super) fn go_to(&mut self, ix: OfdIx, pos: i64) {
        if let Some(ofd) = self.model.tasks.ofd_mut(ix) {
            (ofd.pos, ofd.pos_sure, ofd.behind) = (pos, true, None);
        }
    }

    pub(super) fn read(&mut self) -> Dropped<()> {
        let at = position::start(self.event).at();
        let Some(ix) = self.on_fd()? else { return Ok(()) };
        if at.is_none() {
            self.moves_position(ix);
            self.trace_back(ix, self.bytes().unwrap_or(0));
            self.back_from_the_end(ix);
        }
        let offset = at.or_else(|| self.position(ix));
        let Some(ofd) = self.model.tasks.ofd(ix) else { return Ok(()) };
        let (ino, sure) = (ofd.ino, ofd.pos_sure || at.is_some());
        self.step.offset = offset;
        if let Some(bytes) = self.bytes() {
            if let Some(offset) = offset {
                self.was_read(ino, offset, bytes, self.event.int(Col::Count), sure);
            }
            self.touch_read(ino, offset, bytes, self.event.int(Col::Count));
            if at.is_none() {
                self.advance(ix, bytes);
            }
        }
        Ok(())
    }

    /// The call starts from the shared position of its first descriptor, and moves it.
    pub(super) fn moves_position(&mut self, ix: OfdIx) {
        self.step.shared = true;
        self.touch_position(ix);
    }

    /// An interrupted call that starts from the shared position may have moved it: the position is no longer certain.
    pub(super) fn lose_position(&mut self, ix: OfdIx, start: Start) {
        if start == Start::Shared
            && let Some(ofd) = self.model.tasks.ofd_mut(ix)
        {
            ofd.pos_sure = false;
        }
    }

    /// The call uses the shared position of an open file description, and moves it.
    pub(super) fn touch_position(&mut self, ix: OfdIx) {
        if let Some(ofd) = self.model.tasks.ofd(ix) {
            self.model.tree.touches.add(Resource::Position, ofd.id, Access::Write);
        }
    }

    /// Resource that a read depends on: the data, if all of it is certainly there, else the end of the file.
    pub(super) fn touch_read(&mut self, ino: Ino, offset: Option<i64>, bytes: i64, asked: Option<i64>) {
        let Some(content) = self.model.tree.content(ino) else { return };
        let whole = bytes > 0 && asked.is_none_or(|asked| bytes >= asked);
        let inside = whole && offset.is_some_and(|offset| offset.saturating_add(bytes) <= content.base());
        self.model.tree.touch(if inside { Resource::Data } else { Resource::Size }, ino, Access::Read);
    }

    /// Resource that a write to a position touches: reads the data if all of it is certainly inside the file, else adds to the
    /// size.
    pub(super) fn touch_write(&mut self, ino: Ino, offset: Option<i64>, bytes: i64) {
        if bytes <= 0 {
            return;
        }
        let Some(content) = self.model.tree.content(ino) else { return };
        if offset.is_some_and(|offset| offset.saturating_add(bytes) <= content.base()) {
            self.model.tree.touch(Resource::Data, ino, Access::Read);
        } else {
            self.model.tree.touch(Resource::Size, ino, Access::Add);
        }
    }

    /// A call read `bytes` of the `asked` bytes at `offset`: tells that they exist, and where the file ends if there were
    /// fewer. `sure` when the offset is certain.
    pub(super) fn was_read(&mut self, ino: Ino, offset: i64, bytes: i64, asked: Option<i64>, sure: bool) {
        let racing = self.racing(ino);
        // copy_file_range may share blocks instead of reading them.
        let cached = self.model.tree.config().cache && !self.direct() && self.step.op != Some(Op::CopyFileRange);
        let Some(content) = self.model.tree.content(ino) else { return };
        if cached && bytes > 0 {
            content.read_cached(offset, offset.saturating_add(bytes));
        }
        if racing {
            // Where the file ended at that moment is not known. But what was read existed, and a file of open size was never
            // truncated.
            if bytes > 0 && content.size().is_none() {
                let seen = content.read(offset, bytes);
                self.seen(ino, seen);
            }
            return;
        }
        let seen = if bytes > 0 { content.read(offset, bytes) } else { Seen::Fits };
        let short = match asked {
            Some(asked) => bytes < asked,
            None => bytes == 0,
        };
        let end = if short && sure { content.end_at(offset.saturating_add(bytes)) } else { Seen::Fits };
        self.seen(ino, seen);
        self.seen(ino, end);
    }

    pub(super) fn write(&mut self) -> Dropped<()> {
        let at = position::start(self.event).at();
        let Some(ix) = self.on_fd()? else { return Ok(()) };
        if at.is_none() {
            self.moves_position(ix);
        }
        let Some(ofd) = self.model.tasks.ofd(ix) else { return Ok(()) };
        let rwf_append = self.step.op == Some(Op::Pwritev2) && self.event.int(Col::Flags).unwrap_or(0) & flag::RWF_APPEND != 0;
        // pwrite appends too on Linux when O_APPEND is set (pwrite(2), BUGS).
        let append = ofd.flags & flag::O_APPEND != 0 || rwf_append;
        let ino = ofd.ino;
        let bytes = self.bytes().unwrap_or(0);
        if self.event.success().is_some() {
            self.ask_for(bytes);
        }
        if append {
            self.step.offset = self.appended(ix, ino, bytes, at.is_none());
            return Ok(());
        }
        if at.is_none() {
            self.trace_back(ix, bytes);
        }
        let offset = at.or_else(|| self.position(ix));
        self.step.offset = offset;
        match offset {
            Some(offset) if bytes > 0 => self.was_written(ino, offset, bytes),
            _ => self.touch_write(ino, offset, bytes),
        }
        if at.is_none() {
            self.advance(ix, bytes);
        }
        Ok(())
    }

    /// A call appended bytes to a file and, if `moves`, left the shared position behind them. Gives the position at which they
    /// begin, if it is known.
    pub(super) fn appended(&mut self, ix: OfdIx, ino: Ino, bytes: i64, moves: bool) -> Option<i64> {
        let over = self.over();
        self.model.tree.touch(Resource::Size, ino, Access::Write);
        if bytes <= 0 {
            // A call that wrote nothing proves nothing: the descriptor may be of a directory, opened for reading.
            return match &self.model.tree.at(ino).node {
                Node::File(content) => content.size(),
                _ => None,
            };
        }
        let content = self.model.tree.content(ino)?;
        let at = content.append(bytes);
        content.changed = content.changed.max(over);
        if moves {
            match at {
                Ok(at) => self.go_to(ix, at.saturating_add(bytes)),
                Err(behind) => {
                    if let Some(ofd) = self.model.tasks.ofd_mut(ix) {
                        (ofd.behind, ofd.pos_sure) = (Some(behind.saturating_add(bytes)), true);
                    }
                }
            }
        }
        at.ok()
    }

    /// A call wrote bytes into a file at a position.
    pub(super) fn was_written(&mut self, ino: Ino, at: i64, bytes: i64) {
        let over = self.over();
        self.touch_write(ino, Some(at), bytes);
        self.pages_at_the_ends(ino, at, bytes);
        if let Some(content) = self.model.tree.content(ino) {
            content.write(at, bytes);
            content.changed = content.changed.max(over);
        }
    }

    /// A write that begins or ends inside of a page of the page cache changes a part of it: the kernel reads the page before, if it is not there.
    fn pages_at_the_ends(&mut self, ino: Ino, at: i64, bytes: i64) {
        if bytes <= 0 || !self.model.tree.config().cache || self.direct() {
            return;
        }
        let page = |at: i64| at & !(PAGE - 1);
        let end = at.saturating_add(bytes);
        let Some(content) = self.model.tree.content(ino) else { return };
        for inside in [at, end].into_iter().filter(|at| *at > page(*at)) {
            content.read_cached(page(inside), page(inside).saturating_add(PAGE));
        }
    }

    /// The call did less than it was asked for, and not because of the file's end: the disk was full, or a limit reached
    /// (RLIMIT_FSIZE). A replay asks for the bytes that were done, or it would do more.
    pub(super) fn ask_for(&mut self, bytes: i64) {
        if self.event.int(Col::Count).is_some_and(|count| bytes < count) {
            let mut event = self.event.clone();
            event.set(Col::Count, bytes);
            self.args = Some(Box::new(event));
        }
    }

    pub(super) fn advance(&mut self, ix: OfdIx, bytes: i64) {
        if let Some(ofd) = self.model.tasks.ofd_mut(ix) {
            match &mut ofd.behind {
                Some(behind) => *behind = behind.saturating_add(bytes),
                None => ofd.pos = ofd.pos.saturating_add(bytes),
            }
        }
    }

    /// A call that is not replayed, or not captured, moved the shared position: an inserted lseek sets it in the replay.
    pub(super) fn reposition(&mut self, ix: OfdIx) {
        if let Some(pos) = self.model.tasks.ofd(ix).map(|ofd| ofd.pos) {
            self.seek(ix, pos, flag::SEEK_SET);
        }
    }

    /// Inserts an lseek to `offset` with the whence `from` (SEEK_SET, SEEK_END) before the event.
    pub(super) fn seek(&mut self, ix: OfdIx, offset: i64, from: i64) {
        let path = self.model.ofd_path(ix);
        let Some(ofd) = self.model.tasks.ofd(ix) else { return };
        let (id, ino) = (ofd.id, ofd.ino);
        let mut event = Event::new(Syscall::lseek);
        event.set(Col::Offset, offset);
        event.set(Col::Whence, from);
        let pos = (from == flag::SEEK_SET).then_some(offset);
        event.set_outcome(pos.unwrap_or(0));
        let mut step = self.inserted(Origin::External, Op::Lseek);
        (step.ofd, step.offset, step.path) = (Some(id), pos, Some(path));
        step.file = Some(self.model.tree.file(ino));
        self.insert(event, step, |tree| {
            tree.touches.add(Resource::Ofd, id, Access::Read);
            tree.touches.add(Resource::Position, id, Access::Write);
            if from == flag::SEEK_END {
                tree.touch(Resource::Size, ino, Access::Read);
            }
        });
    }

    pub(super) fn lseek(&mut self) -> Dropped<()> {
        let Some(ix) = self.on_fd()? else { return Ok(()) };
        self.position(ix);
        let Some(ofd) = self.model.tasks.ofd(ix) else { return Ok(()) };
        let (ino, pos, sure, behind) = (ofd.ino, ofd.pos, ofd.pos_sure, ofd.behind);
        let (offset, whence) = (self.event.int(Col::Offset).unwrap_or(0), self.event.int(Col::Whence).unwrap_or(0));
        self.moves_position(ix);
        if whence >= flag::SEEK_END {
            match self.model.tree.at(ino).kind() {
                Kind::File => self.model.tree.touch(Resource::Size, ino, Access::Read),
                // The end position of a directory is the file system's choice, and another one once the directory is removed.
                Kind::Dir => self.model.tree.touch(Resource::Entries, ino, Access::Read),
                _ => {}
            }
        }
        let Some(result) = self.event.success() else {
            self.step.offset = Some(offset);
            // A seek beyond the end succeeds on a file and fails with EINVAL on a directory. From ENXIO of SEEK_DATA only the
            // end would be known.
            if self.event.failure() == Some(libc::EINVAL) && whence == flag::SEEK_END && (0..1 << 32).contains(&offset) {
                self.model.tree.settle(ino, Kind::Dir);
            }
            return Ok(());
        };
        // The kernel returns the position of _llseek through a pointer; what is captured is 0 for success.
        let status = self.event.syscall == Syscall::_llseek && result == 0;
        let result = match (status, whence) {
            (false, _) => result,
            (true, flag::SEEK_SET) => result.max(offset),
            (true, flag::SEEK_CUR) => pos.saturating_add(offset),
            (true, _) => self.model.tree.content(ino).map_or(0, |content| content.least()).saturating_add(offset),
        };
        let began = result.saturating_sub(offset);
        match whence {
            _ if status => {}
            flag::SEEK_CUR if behind.is_some() => {
                let seen = behind.zip(self.model.tree.content(ino)).map(|(behind, content)| content.reveal(behind, began));
                self.seen(ino, seen.unwrap_or(Seen::Fits));
            }
            flag::SEEK_CUR if began != pos => {
                // The position had been moved by calls the capture does not have.
                if let Some(ofd) = self.model.tasks.ofd_mut(ix) {
                    ofd.pos = began;
                }
                if sure {
                    self.model.tree.guess("a position moved by calls that are not in the capture");
                }
                self.reposition(ix);
            }
            // No file is so long; ext4 returns this end for a directory, whatever its entries.
            flag::SEEK_END if began == i64::MAX => self.model.tree.settle(ino, Kind::Dir),
            flag::SEEK_END if self.model.tree.at(ino).kind() == Kind::File => {
                self.observe(ino, began);
            }
            flag::SEEK_DATA | flag::SEEK_HOLE => self.seek_hole(ino, offset, result, whence == flag::SEEK_HOLE),
            _ => {}
        }
        self.go_to(ix, result);
        self.step.offset = Some(result);
        Ok(())
    }

    /// SEEK_DATA from `from` to `to` skipped a hole, SEEK_HOLE (`hole`) data. Data found at the end of a hole proves that the
    /// file reaches beyond it.
    fn seek_hole(&mut self, ino: Ino, from: i64, to: i64, hole: bool) {
        let Some(content) = self.model.tree.content(ino) else { return };
        if hole {
            content.data(from, to);
            let seen = if to > content.least() { content.read_to(to) } else { Seen::Fits };
            self.seen(ino, seen);
        } else {
            content.hole(from, to);
            content.data(to, to.saturating_add(1));
            let seen = if to >= content.least() { content.read_to(to.saturating_add(1)) } else { Seen::Fits };
            self.seen(ino, seen);
        }
    }

    pub(super) fn ftruncate(&mut self) -> Dropped<()> {
        let Some(ix) = self.on_fd()? else { return Ok(()) };
        let Some(size) = self.event.int(Col::Count) else { return Err(Reason::LostArgs) };
        self.step.offset = Some(size);
        let over = self.over();
        if self.event.success().is_some()
            && let Some(ino) = self.model.tasks.ofd(ix).map(|ofd| ofd.ino)
            && let Some(content) = self.model.tree.content(ino)
        {
            content.truncate(size);
            content.changed = content.changed.max(over);
            self.model.tree.touch_cut(ino);
        }
        Ok(())
    }

    pub(super) fn fallocate(&mut self) -> Dropped<()> {
        let Some(ix) = self.on_fd()? else { return Ok(()) };
        let (Some(offset), Some(length)) = (self.event.int(Col::Offset), self.event.int(Col::Count)) else {
            return Err(Reason::LostArgs);
        };
        self.step.offset = Some(offset);
        let mode = self.event.int(Col::Flags).unwrap_or(0);
        let over = self.over();
        let Some(ino) = self.model.tasks.ofd(ix).map(|ofd| ofd.ino).filter(|_| self.event.success().is_some()) else {
            return Ok(());
        };
        match mode {
            _ if mode & (flag::FALLOC_FL_COLLAPSE_RANGE | flag::FALLOC_FL_INSERT_RANGE) != 0 => self.model.tree.touch_cut(ino),
            _ if mode & flag::FALLOC_FL_KEEP_SIZE == 0 => self.touch_write(ino, Some(offset), length),
            _ => {}
        }
        if let Some(content) = self.model.tree.content(ino) {
            match mode {
                _ if mode & flag::FALLOC_FL_COLLAPSE_RANGE != 0 => {
                    content.truncate(content.least().saturating_sub(length).max(0))
                }
                _ if mode & flag::FALLOC_FL_INSERT_RANGE != 0 => content.truncate(content.least().saturating_add(length)),
                _ if mode & flag::FALLOC_FL_KEEP_SIZE == 0 => content.extend(offset.saturating_add(length)),
                _ => {}
            }
            content.changed = content.changed.max(over);
        }
        Ok(())
    }

    // ---- sizes

    /// Did the call begin before the last change of the file's size was over? Then it may have seen the size before it.
    pub(super) fn racing(&mut self, ino: Ino) -> bool {
        let begin = self.begin();
        let Some(content) = self.model.tree.content(ino) else { return false };
        match (begin, content.changed) {
            (Some(begin), Some(changed)) => begin < changed,
            _ => false,
        }
    }

    /// A call showed the size of a file, bytes.
    pub(super) fn observe(&mut self, ino: Ino, size: i64) {
        if self.racing(ino) {
            return;
        }
        let seen = match self.model.tree.content(ino) {
            Some(content) => content.observe(size),
            None => return,
        };
        self.seen(ino, seen);
    }

    pub(super) fn seen(&mut self, ino: Ino, seen: Seen) {
        match seen {
            Seen::Fits => {}
            Seen::Existed => self.model.tree.existed(ino),
            Seen::Resized(size) => self.model.tree.resize(ino, size),
        }
    }
}
