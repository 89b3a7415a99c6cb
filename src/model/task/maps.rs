//! Mapped files of processes (mmap(2)): which memory shows which part of a file. A mapping keeps the open file description that it
//! was made of, also when no descriptor refers to it any more.

use super::fds::{Entry, OfdIx, Target};
use super::{Process, Tasks};
use crate::model::tree::Ino;
use std::collections::BTreeMap;

/// Bytes of a page.
const PAGE: i64 = 4096;

/// A piece of the memory of a process that shows a part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) struct Mapping {
    /// Address behind its last byte.
    pub(in crate::model) end: i64,
    /// Where its first byte is in the file.
    pub(in crate::model) offset: i64,
    /// The open file description that it was made of.
    pub(in crate::model) ofd: OfdIx,
    /// Is what is written into it written to the file?
    pub(in crate::model) writes: bool,
    /// The advice that holds for it (madvise(2)): MADV_NORMAL (0), MADV_RANDOM (1) or MADV_SEQUENTIAL (2).
    pub(in crate::model) advice: i64,
}

/// The mappings of a process by their first address; they do not overlap.
pub(super) type Maps = BTreeMap<i64, Mapping>;

/// The address behind the last page of `length` bytes at `start`.
fn end(start: i64, length: i64) -> i64 {
    start.saturating_add(length.max(0)).saturating_add(PAGE - 1) & !(PAGE - 1)
}

impl Tasks {
    /// A file is mapped at `start`; gives what was mapped there before and has ended.
    pub(in crate::model) fn map(&mut self, vpid: i64, start: i64, length: i64, mapping: Mapping) -> Vec<Entry> {
        let mapping = Mapping { end: end(start, length), ..mapping };
        let old = self.unmap(vpid, start, length);
        // No kernel maps anything at a negative address; a capture may say so.
        if let Some(ofd) = self.ofd_mut(mapping.ofd).filter(|_| (0..mapping.end).contains(&start)) {
            ofd.refs += 1;
            self.maps.entry(vpid).or_default().insert(start, mapping);
        }
        old
    }

    /// Memory is not mapped any more; gives an entry for each mapping that has ended.
    pub(in crate::model) fn unmap(&mut self, vpid: i64, start: i64, length: i64) -> Vec<Entry> {
        let end = end(start, length);
        self.cut(vpid, start);
        self.cut(vpid, end);
        let Some(maps) = self.maps.get_mut(&vpid).filter(|_| end > start) else { return Vec::new() };
        let gone: Vec<i64> = maps.range(start..end).map(|(start, _)| *start).collect();
        gone.iter().filter_map(|start| maps.remove(start)).map(entry).collect()
    }

    /// Divides the mapping that lies on both sides of an address.
    fn cut(&mut self, vpid: i64, at: i64) {
        let Some(maps) = self.maps.get_mut(&vpid) else { return };
        let Some((start, mapping)) = maps.range_mut(..at).next_back().filter(|(_, mapping)| mapping.end > at) else { return };
        let behind = Mapping { offset: mapping.offset.saturating_add(at - start), ..*mapping };
        mapping.end = at;
        maps.insert(at, behind);
        if let Some(ofd) = self.ofd_mut(behind.ofd) {
            ofd.refs += 1;
        }
    }

    /// The mapping at an address, with its first address.
    pub(in crate::model) fn mapping_at(&self, vpid: i64, at: i64) -> Option<(i64, Mapping)> {
        let (start, mapping) = self.maps.get(&vpid)?.range(..=at).next_back()?;
        (mapping.end > at).then_some((*start, *mapping))
    }

    /// A mapping of a file that shows the byte at `offset`; one that writes to the file if there is one and `writes`.
    pub(in crate::model) fn mapping_of(&self, vpid: i64, ino: Ino, offset: i64, writes: bool) -> Option<Mapping> {
        let shows = |(start, mapping): &(&i64, &Mapping)| {
            let inside = (0..mapping.end - **start).contains(&offset.saturating_sub(mapping.offset));
            inside && self.ofd(mapping.ofd).is_some_and(|ofd| ofd.ino == ino)
        };
        let mut found = self.maps.get(&vpid)?.iter().filter(shows).map(|(_, mapping)| *mapping).peekable();
        let first = found.peek().copied();
        found.find(|mapping| mapping.writes == writes).or(first)
    }

    /// An advice holds for mapped memory from now on; false when no file is mapped there.
    pub(in crate::model) fn advise(&mut self, vpid: i64, start: i64, length: i64, advice: i64) -> bool {
        let end = end(start, length);
        self.cut(vpid, start);
        self.cut(vpid, end);
        let Some(maps) = self.maps.get_mut(&vpid).filter(|_| end > start) else { return false };
        maps.range_mut(start..end).map(|(_, mapping)| mapping.advice = advice).count() > 0
    }

    /// A mapping moves from `start` to `to`, or has another length there; gives what has ended.
    pub(in crate::model) fn remap(&mut self, vpid: i64, start: i64, to: i64, length: i64) -> Vec<Entry> {
        self.cut(vpid, start);
        let Some(mapping) = self.maps.get_mut(&vpid).and_then(|maps| maps.remove(&start)) else {
            return self.unmap(vpid, to, length);
        };
        let mut gone = self.map(vpid, to, length, mapping);
        gone.push(entry(mapping));
        gone
    }

    /// A new process has the mappings of the one that made it.
    pub(super) fn inherit_maps(&mut self, parent: usize, child: usize) {
        let vpid = |process: usize| self.processes[process].as_ref().map(|process| process.vpid);
        let (Some(parent), Some(child)) = (vpid(parent), vpid(child)) else { return };
        let Some(maps) = self.maps.get(&parent).filter(|_| parent != child).cloned() else { return };
        for mapping in maps.values() {
            if let Some(ofd) = self.ofd_mut(mapping.ofd) {
                ofd.refs += 1;
            }
        }
        self.maps.insert(child, maps);
    }

    /// All mappings of a process end.
    pub(super) fn end_maps(&mut self, vpid: i64) -> Vec<Entry> {
        self.maps.remove(&vpid).unwrap_or_default().into_values().map(entry).collect()
    }

    /// An entry of a process has ended: so do its mappings, if it was the last one.
    pub(super) fn last_maps(&mut self, vpid: i64) -> Vec<Entry> {
        let same = |process: &Option<Process>| process.as_ref().is_some_and(|process| process.vpid == vpid);
        if self.maps.contains_key(&vpid) && !self.processes.iter().any(same) { self.end_maps(vpid) } else { Vec::new() }
    }
}

/// What refers to the description as a descriptor does.
fn entry(mapping: Mapping) -> Entry {
    Entry { target: Target::Ofd(mapping.ofd), cloexec: false }
}
