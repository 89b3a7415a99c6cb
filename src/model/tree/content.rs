//! What is known of a file's size and content.
//!
//! A file that was there before the capture has an initial size that nobody told us. It stays *open* (`known` is
//! false) until an observation closes it: a stat, an end of file, a seek to the end. Meanwhile every read that gets
//! bytes from beyond what the workload itself wrote raises `need`, the least initial size that explains the calls.
//! A truncation closes it too: what comes after is the workload's own doing and says nothing of the beginning.
//! So `need` only grows while nothing was cut off, which is all that "generations" come to: a new generation
//! (O_TRUNC, unlink and create, rename over) is either closed at once or another inode.

use super::extents::Extents;

/// What is known of the size and content of one regular file. All positions and sizes in bytes.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Content {
    /// Is the current size known exactly? If not, the size is *open* (see the module).
    known: bool,
    /// Current size, bytes; meaningless unless `known`.
    size: i64,
    /// Bytes appended while the size was open.
    appended: i64,
    /// Size that the file had before the appends made while its size was open; `None` until an observation tells.
    base: Option<i64>,
    /// End of the furthest write at a position while the size was open.
    wrote: i64,
    /// Least initial size (when the capture began) that explains every call, bytes.
    pub(in crate::model) need: i64,
    /// Is `need` the observed initial size, rather than a lower bound?
    pub(in crate::model) exact: bool,
    /// End of the initial content that is still there: the smallest size the file was truncated to. `None` if it never was.
    floor: Option<i64>,
    /// Size after the last truncation; `None` before the first one.
    cut: Option<i64>,
    /// Ranges of the initial content that calls read or found to be data: they need data in the file that init makes.
    pub(in crate::model) read: Extents,
    /// Ranges of the initial content that were in the page cache when calls or page faults read them first: nobody had added them.
    pub(in crate::model) warm: Extents,
    /// Ranges that were added to the page cache since the capture began.
    added: Extents,
    /// Ranges below `floor` that the workload has overwritten: reading them says nothing of the initial content.
    written: Extents,
    /// Ranges of the initial content that calls found to be holes.
    pub(in crate::model) holes: Extents,
    /// End of the last call that changed the size, ns: an observation that began earlier overlapped it.
    pub(in crate::model) changed: Option<i64>,
}

/// How an observation of a file's size or content compares with what the model believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) enum Seen {
    /// The observation agrees with what the model believed.
    Fits,
    /// It fits, and proves that the file existed, with content, before the capture's first call on it.
    Existed,
    /// It does not fit: somebody outside the capture made the file this long, bytes.
    Resized(i64),
}

impl Content {
    /// Content of a file that was just created: its size is known to be 0.
    pub(in crate::model) fn empty() -> Content {
        Content { known: true, floor: Some(0), ..Content::default() }
    }

    /// What the file is now, it was at the start.
    pub(in crate::model) fn begin_here(&mut self) {
        let (known, size, changed) = (self.known, self.least(), self.changed);
        *self = Content { known, size, need: size, exact: known, changed, ..Content::default() };
    }

    /// The current size in bytes, if it is known exactly.
    pub(in crate::model) fn size(&self) -> Option<i64> {
        self.known.then_some(self.size)
    }

    /// The least the current size can be, bytes.
    pub(in crate::model) fn least(&self) -> i64 {
        if self.known { self.size } else { self.need.saturating_add(self.appended).max(self.wrote) }
    }

    /// End of the bytes that are there in any order of the writes since the last truncation, or since the start (resource
    /// `data`).
    pub(in crate::model) fn base(&self) -> i64 {
        self.cut.unwrap_or(self.need)
    }

    /// A call showed the current size. A negative number is damage in the capture and taken as 0.
    pub(in crate::model) fn observe(&mut self, size: i64) -> Seen {
        let size = size.max(0);
        if self.known {
            return if size == self.size { Seen::Fits } else { self.resize(size) };
        }
        if size < self.least() {
            return self.resize(size);
        }
        let initial = size.saturating_sub(self.appended);
        self.base = (size > self.wrote).then_some(initial);
        let mut seen = Seen::Fits;
        if initial > self.wrote || self.wrote == 0 {
            self.need = initial;
            self.exact = true;
            if initial > 0 {
                seen = Seen::Existed;
            }
        }
        (self.known, self.size) = (true, size);
        seen
    }

    fn resize(&mut self, size: i64) -> Seen {
        self.truncate(size);
        Seen::Resized(size)
    }

    /// A call read the bytes `offset..offset + bytes`, so the file reaches at least to their end.
    pub(in crate::model) fn read(&mut self, offset: i64, bytes: i64) -> Seen {
        let (offset, end) = (offset.max(0), offset.saturating_add(bytes));
        let seen = self.read_to(end);
        self.needs_data(offset, end);
        seen
    }

    /// These bytes come into the page cache: what is read of them first from now on was not there when the capture began.
    pub(in crate::model) fn add_to_cache(&mut self, start: i64, end: i64) {
        if self.added.has_room() {
            self.added.add(start.max(0), end);
        }
    }

    /// The kernel read these bytes from the page cache, for a call or a page fault. To be called before [`Content::read`], for only
    /// the first read tells what was there when the capture began.
    pub(in crate::model) fn read_cached(&mut self, start: i64, end: i64) {
        let (start, end) = (start.max(0), end.min(self.floor.unwrap_or(i64::MAX)));
        let Content { read, written, added, warm, .. } = self;
        let mut add = |start, end| {
            if warm.has_room() {
                warm.add(start, end);
            }
        };
        written.gaps(start, end, |start, end| read.gaps(start, end, |start, end| added.gaps(start, end, &mut add)));
    }

    /// A call proved that the file reaches at least to `end`, bytes.
    pub(in crate::model) fn read_to(&mut self, end: i64) -> Seen {
        if self.known {
            return if end > self.size { self.resize(end) } else { Seen::Fits };
        }
        if end > self.least() {
            self.need = end.saturating_sub(self.appended);
            return Seen::Existed;
        }
        Seen::Fits
    }

    /// The workload made the file at least `end` bytes long, without data (fallocate).
    pub(in crate::model) fn extend(&mut self, end: i64) {
        if self.known {
            self.size = self.size.max(end);
        } else {
            self.wrote = self.wrote.max(end);
        }
    }

    /// A read at `offset` got no bytes, or stopped there: the file ends at `offset`, or before it.
    pub(in crate::model) fn end_at(&mut self, offset: i64) -> Seen {
        // A read beyond the end does not say where the end is.
        if offset > self.least() { Seen::Fits } else { self.observe(offset) }
    }

    /// The workload wrote bytes at a position.
    pub(in crate::model) fn write(&mut self, offset: i64, bytes: i64) {
        let end = offset.saturating_add(bytes);
        if self.known {
            self.size = self.size.max(end);
        } else {
            self.wrote = self.wrote.max(end);
        }
        if self.floor.is_none_or(|floor| offset < floor) && self.written.has_room() {
            self.written.add(offset, end);
        }
    }

    /// The workload appended bytes. `Ok` is the position at which they begin; `Err`, while the size is open, how far that
    /// position is behind the size before the appends, which nobody knows yet.
    pub(in crate::model) fn append(&mut self, bytes: i64) -> Result<i64, i64> {
        if self.known {
            let at = self.size;
            self.size = at.saturating_add(bytes);
            Ok(at)
        } else {
            let behind = self.appended;
            self.appended = behind.saturating_add(bytes);
            Err(behind)
        }
    }

    /// The position that an `Err` of [`Content::append`] stands for, if the size before the appends is known by now.
    pub(in crate::model) fn resolve(&self, behind: i64) -> Option<i64> {
        self.base.map(|base| base.saturating_add(behind))
    }

    /// Bytes appended while the size is open; `None` when it is known, or when a write at a position may be the end of the
    /// file.
    pub(in crate::model) fn appended(&self) -> Option<i64> {
        (!self.known && self.wrote == 0).then_some(self.appended)
    }

    /// A call showed the `position` that [`Content::append`] could give only as `behind`: tells the size before the appends.
    pub(in crate::model) fn reveal(&mut self, behind: i64, position: i64) -> Seen {
        let base = position.saturating_sub(behind);
        if !self.known {
            return self.observe(base.saturating_add(self.appended));
        }
        self.base = Some(base);
        if base > self.wrote && base >= self.need {
            (self.need, self.exact) = (base, true);
            return Seen::Existed;
        }
        Seen::Fits
    }

    /// A call proved that the file had this many bytes before the appends, or more.
    pub(in crate::model) fn began_with(&mut self, base: i64) -> Seen {
        if base <= self.need.max(self.wrote) {
            return Seen::Fits;
        }
        self.need = base;
        Seen::Existed
    }

    /// The file was truncated to this many bytes, by the workload or by somebody outside the capture.
    pub(in crate::model) fn truncate(&mut self, size: i64) {
        let size = size.max(0);
        self.floor = Some(self.floor.map_or(size, |floor| floor.min(size)));
        (self.known, self.size, self.cut) = (true, size, Some(size));
    }

    /// A call (SEEK_HOLE) found a hole at `start..end`: what of it the workload did not write was a hole at the start.
    pub(in crate::model) fn hole(&mut self, start: i64, end: i64) {
        let start = start.max(0);
        let end = end.min(self.floor.unwrap_or(i64::MAX));
        let (holes, written) = (&mut self.holes, &self.written);
        written.gaps(start, end, |start, end| holes.add(start, end));
    }

    /// A call found data at `start..end`: what was noted as a hole there is not one, and what was there at the start needs data.
    pub(in crate::model) fn data(&mut self, start: i64, end: i64) {
        self.holes.remove(start, end);
        self.needs_data(start.max(0), end);
    }

    /// The initial content of `start..end` must be data, as far as it is still there.
    fn needs_data(&mut self, start: i64, end: i64) {
        let end = end.min(self.floor.unwrap_or(i64::MAX));
        let (read, written) = (&mut self.read, &self.written);
        written.gaps(start, end, |start, end| read.add(start, end));
    }

    /// Two inodes turn out to be one file: takes over what the other one knew of the initial content.
    pub(in crate::model) fn merge(&mut self, other: &Content) {
        if other.exact || (!self.exact && other.need > self.need) {
            (self.need, self.exact) = (other.need, other.exact);
        }
        if other.known && !self.known {
            (self.known, self.size) = (true, other.size);
        }
        self.wrote = self.wrote.max(other.wrote);
        self.cut = self.cut.into_iter().chain(other.cut).min();
        self.changed = self.changed.max(other.changed);
        other.read.iter().for_each(|(start, end)| self.read.add(start, end));
        other.written.iter().for_each(|(start, end)| self.written.add(start, end));
        other.holes.iter().for_each(|(start, end)| self.holes.add(start, end));
        other.warm.iter().for_each(|(start, end)| self.warm.add(start, end));
        other.added.iter().for_each(|(start, end)| self.added.add(start, end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_raise_the_need_until_the_end_is_seen() {
        let mut content = Content::default();
        assert_eq!(content.read(0, 100), Seen::Existed);
        assert_eq!(content.end_at(100), Seen::Existed);
        assert_eq!((content.need, content.exact, content.size()), (100, true, Some(100)));
        assert_eq!(content.read(100, 50), Seen::Resized(150));
    }

    #[test]
    fn own_writes_are_no_evidence() {
        let mut content = Content::default();
        content.write(0, 100);
        assert_eq!(content.read(0, 100), Seen::Fits);
        assert_eq!(content.observe(100), Seen::Fits);
        assert_eq!((content.need, content.exact, content.size()), (0, false, Some(100)));
    }

    #[test]
    fn what_was_read_and_never_added_was_in_the_cache() {
        let mut content = Content::default();
        let read = |content: &mut Content, start, end| {
            content.read_cached(start, end);
            content.read(start, end - start);
        };
        // Read ahead beyond what was asked for.
        content.add_to_cache(0, 8192);
        read(&mut content, 0, 4096);
        read(&mut content, 4096, 12288);
        content.write(20_000, 100);
        read(&mut content, 16_384, 24_576);
        // Dropped from the cache and read again: that says nothing of the start.
        content.add_to_cache(8192, 12288);
        read(&mut content, 8192, 12288);
        assert_eq!(content.warm.below(i64::MAX), [(8192, 4096), (16_384, 3616), (20_100, 4476)]);
        // What the workload made itself was not there.
        let mut content = Content::empty();
        content.write(0, 100);
        read(&mut content, 0, 100);
        assert_eq!(content.warm.below(i64::MAX), []);
    }

    #[test]
    fn no_file_has_less_than_nothing_or_begins_before_its_start() {
        let mut content = Content::default();
        content.truncate(i64::MIN);
        assert_eq!((content.size(), content.observe(-1)), (Some(0), Seen::Fits));
        let mut content = Content::default();
        content.read(-1, 11);
        content.hole(i64::MIN, 20);
        assert_eq!((content.read.below(100), content.holes.below(100)), (vec![(0, 10)], vec![(0, 20)]));
    }

    #[test]
    fn what_seeks_found_to_be_data_needs_data() {
        let mut content = Content::default();
        content.read(0, 10);
        content.hole(10, 50);
        content.data(50, 60);
        content.data(i64::MIN, 5);
        assert_eq!((content.read.below(100), content.holes.below(100)), (vec![(0, 10), (50, 10)], vec![(10, 40)]));
        content.truncate(52);
        content.data(50, 100);
        assert_eq!(content.read.below(100), [(0, 10), (50, 10)]);
    }

    #[test]
    fn appends_to_an_unknown_end_are_subtracted() {
        let mut content = Content::default();
        assert_eq!(content.append(10), Err(0));
        assert_eq!(content.append(5), Err(10));
        assert_eq!(content.observe(115), Seen::Existed);
        assert_eq!((content.need, content.exact, content.size()), (100, true, Some(115)));
        assert_eq!(content.append(1), Ok(115));
        assert_eq!(content.resolve(10), Some(110));
    }

    #[test]
    fn a_truncation_ends_the_first_generation() {
        let mut content = Content::default();
        content.read(0, 10);
        content.truncate(0);
        content.write(0, 500);
        content.read(0, 500);
        assert_eq!((content.need, content.exact), (10, false));
        assert_eq!(content.read.below(content.need), [(0, 10)]);
    }

    #[test]
    fn what_was_overwritten_is_not_read_from_the_beginning() {
        let mut content = Content::default();
        content.write(10, 10);
        content.read(0, 30);
        assert_eq!(content.read.below(30), [(0, 10), (20, 10)]);
    }
}
