//! Mapped files: mmap, mremap, munmap, madvise, msync, and page faults on them.
//!
//! Where a capture tells of page faults, mappings are followed: each keeps the open file description that it was made of, so the
//! last close of that comes when nothing is mapped of it any more. A fault is on a file, by its identity, and so on the mapping that the
//! process has of that part of it.

use crate::event::{Col, Event};
use crate::fate::{Fate, Origin, Reason};
use crate::model::call::{Call, Dropped, flag};
use crate::model::task::Mapping;
use crate::model::task::fds::OfdIx;
use crate::syscall::Op;

/// Bytes of a page.
const PAGE: i64 = 4096;

impl Call<'_> {
    /// An operation on memory that is mapped already.
    pub(in crate::model::call) fn on_mapped(&mut self, op: Op) -> Dropped<()> {
        match op {
            Op::Touch => self.touch_pages(),
            Op::Msync => self.msync(),
            Op::Madvise => self.madvise(),
            Op::Munmap => self.munmap(),
            Op::Mremap => self.mremap(),
            _ => Err(self.refuse()),
        }
    }

    pub(in crate::model::call) fn mmap(&mut self) -> Dropped<()> {
        let flags = self.event.int(Col::Flags).unwrap_or(0);
        if flags & flag::MAP_ANONYMOUS != 0 || self.event.int(Col::Fd).is_none_or(|fd| fd < 0) {
            self.unmap(self.event.success(), self.event.int(Col::Count));
            return Err(Reason::NotFile);
        }
        let found = self.on_fd();
        if !matches!(found, Ok(Some(_))) {
            self.unmap(self.event.success(), self.event.int(Col::Count));
        }
        let ix = found?;
        self.step.offset = self.event.int(Col::Offset);
        let Some(ix) = ix else { return Ok(()) };
        let place = self.event.success().zip(self.event.int(Col::Count)).zip(self.event.int(Col::Offset));
        if let Some(((start, length), offset)) = place.filter(|_| self.model.tree.config().faults) {
            let protection = self.event.int(Col::Mode).unwrap_or(0);
            // It may be made writable later (mprotect(2)), if the file is open for writing.
            let open_to_write = self.model.tasks.ofd(ix).is_some_and(|ofd| ofd.flags & flag::O_ACCMODE == flag::O_RDWR);
            let writes = flags & flag::MAP_TYPE != flag::MAP_PRIVATE && (protection & flag::PROT_WRITE != 0 || open_to_write);
            let mapping = Mapping { end: 0, offset, ofd: ix, writes, advice: 0 };
            let gone = self.model.tasks.map(self.who.vpid, start, length, mapping);
            self.end(gone, Origin::Unmap);
        }
        Ok(())
    }

    /// Nothing that is followed is mapped there any more.
    fn unmap(&mut self, start: Option<i64>, length: Option<i64>) {
        if let Some((start, length)) = start.zip(length).filter(|_| self.model.tree.config().faults) {
            let gone = self.model.tasks.unmap(self.who.vpid, start, length);
            self.end(gone, Origin::Unmap);
        }
    }

    fn munmap(&mut self) -> Dropped<()> {
        if !self.model.tree.config().faults {
            return Err(self.refuse());
        }
        if self.event.success().is_some() {
            self.unmap(self.event.int(Col::Arg), self.event.int(Col::Count));
        }
        Ok(())
    }

    fn mremap(&mut self) -> Dropped<()> {
        if !self.model.tree.config().faults {
            return Err(self.refuse());
        }
        if let (Some(to), Some(start), Some(length)) =
            (self.event.success(), self.event.int(Col::Arg), self.event.int(Col::Count))
        {
            let gone = self.model.tasks.remap(self.who.vpid, start, to, length);
            self.end(gone, Origin::Unmap);
        }
        Ok(())
    }

    /// The mapping that the call is about, and from which byte to which of its file; `None` when none is followed there.
    fn mapped_range(&self) -> Option<(Mapping, i64, i64)> {
        let at = self.event.int(Col::Arg)?;
        let (start, mapping) = self.model.tasks.mapping_at(self.who.vpid, at)?;
        let length = self.event.int(Col::Count)?.clamp(0, mapping.end - at);
        Some((mapping, mapping.offset.saturating_add(at - start), length))
    }

    /// Fills in that the op is on this part of the file of a description.
    fn on_part(&mut self, ix: OfdIx, offset: i64, length: i64, advice: Option<i64>) -> Dropped<()> {
        self.known_outcome().map(|_| ())?;
        self.on(ix);
        self.step.offset = Some(offset);
        let mut args = Event::clone(self.event);
        args.set(Col::Offset, offset);
        args.set(Col::Count, length);
        args.put(Col::Cmd, advice);
        self.args = Some(Box::new(args));
        Ok(())
    }

    fn msync(&mut self) -> Dropped<()> {
        let Some((mapping, offset, length)) = self.mapped_range() else { return Err(self.refuse()) };
        if !mapping.writes {
            self.step.fate = Fate::Model;
            return Ok(());
        }
        self.on_part(mapping.ofd, offset, length, None)
    }

    fn madvise(&mut self) -> Dropped<()> {
        let (start, length) = (self.event.int(Col::Arg), self.event.int(Col::Count));
        let (Some((start, length)), Some(advice)) = (start.zip(length), self.event.int(Col::Cmd)) else {
            return Err(Reason::NotFile);
        };
        const WILL_NEED: i64 = libc::MADV_WILLNEED as i64;
        const LASTING: std::ops::RangeInclusive<i64> = libc::MADV_NORMAL as i64..=libc::MADV_SEQUENTIAL as i64;
        let Some((mapping, offset, count)) = self.mapped_range() else { return Err(Reason::NotFile) };
        match advice {
            WILL_NEED => return self.on_part(mapping.ofd, offset, count, None),
            advice if LASTING.contains(&advice) && self.event.success().is_some() => {
                self.model.tasks.advise(self.who.vpid, start, length, advice);
            }
            _ => {}
        }
        self.step.fate = Fate::Model;
        Ok(())
    }

    /// Pages of a file come into the page cache.
    pub(in crate::model::call) fn pages_added(&mut self) -> Dropped<()> {
        let part = self.event.int(Col::Offset).zip(self.event.int(Col::Count));
        let (offset, count) = part.filter(|(offset, count)| *offset >= 0 && *count > 0).ok_or(Reason::LostArgs)?;
        let file = self.identity().and_then(|identity| self.model.tree.called(identity)).ok_or(Reason::UnknownFd)?;
        (self.step.file, self.step.offset) = (Some(self.model.tree.file(file)), Some(offset));
        if let Some(content) = self.model.tree.content(file) {
            content.add_to_cache(offset, offset.saturating_add(count));
        }
        Ok(())
    }

    /// A page fault on a mapped file.
    fn touch_pages(&mut self) -> Dropped<()> {
        let protection = self.event.int(Col::Mode).unwrap_or(0);
        if protection == 0 {
            // Nothing was read or waited for.
            self.step.fate = Fate::Model;
            return Ok(());
        }
        let part = self.event.int(Col::Offset).zip(self.event.int(Col::Count));
        let (offset, count) = part.filter(|(offset, count)| *offset >= 0 && *count > 0).ok_or(Reason::LostArgs)?;
        let writes = protection & flag::PROT_WRITE != 0;
        let file = self.identity().and_then(|identity| self.model.tree.called(identity)).ok_or(Reason::UnknownFd)?;
        let mapping = self.model.tasks.mapping_of(self.who.vpid, file, offset, writes).ok_or(Reason::UnknownFd)?;
        if writes && !mapping.writes {
            return Err(Reason::UnknownFd);
        }
        self.on_part(mapping.ofd, offset, count, Some(mapping.advice).filter(|advice| *advice != 0))?;
        // The file has at least one byte of the last page: else the program had got a signal.
        let bytes = (count - PAGE).max(0).saturating_add(1);
        self.was_read(file, offset, bytes, Some(bytes), true);
        if writes {
            self.touch_write(file, Some(offset), bytes);
        } else {
            self.touch_read(file, Some(offset), bytes, Some(bytes));
        }
        Ok(())
    }
}
