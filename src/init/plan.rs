//! What init makes: the fileset and its extents, read into memory (bounded by the number of distinct names).

use super::data::{BLOCK, Mixture};
use crate::model::Kind;
use crate::schema::{Dataset, Table, contents, read};
use anyhow::{Context, Result, bail, ensure};
use std::collections::{HashMap, HashSet};

/// One entry of the fileset that is to be made: a file, directory, symlink, FIFO or socket.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Absolute captured path.
    pub path: Vec<u8>,
    /// Kind of file; never `absent`.
    pub kind: Kind,
    /// Size of a regular file, bytes.
    pub size: u64,
    /// Permission bits (07777); `None` when not captured.
    pub mode: Option<u32>,
    /// User id of the owner; `None` when not captured.
    pub uid: Option<u32>,
    /// Group id; `None` when not captured.
    pub gid: Option<u32>,
    /// Modification time, ns since 1970; `None` when not captured.
    pub mtime: Option<i64>,
    /// Content of a symlink. For a second name of a file: the path of the name that is made first, of which this becomes a
    /// hard link. Otherwise empty.
    pub target: Vec<u8>,
    /// Names of its extended attributes.
    pub xattrs: Vec<Vec<u8>>,
    /// Number of pieces in which a regular file lay on its device; `None` when not captured.
    pub pieces: Option<u64>,
    /// When a regular file was created, ns since 1970; `None` when not captured.
    pub created: Option<i64>,
    /// What kind of content a regular file had, by samples; `None` when nothing is known.
    pub content: Option<Mixture>,
    /// Was the size observed? Else it is the least that explains every call.
    pub exact: bool,
    /// Ranges (offset, length) that get data, sorted and disjoint; `None` for the whole file.
    pub data: Option<Vec<(u64, u64)>>,
    /// Bytes that are holes since nobody knows what lay there ([`Unread::Far`]).
    pub unknown: u64,
}

/// What becomes of ranges of files that no op reads and that are not known to be holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// They get data.
    Data,
    /// They get data, but where a file is only known to be long by a read far behind: a request at the end of a disk tells nothing of
    /// what lies before it. Ranges of at least [`FAR`] bytes of such files are holes, but for [`NEAR`] bytes beside each read.
    Far,
    /// They are holes.
    Holes,
}

/// Length from which on an unread range of a file of unknown size is a hole, bytes.
pub const FAR: u64 = 64 << 20;
/// What stays data beside a read, so that what the kernel reads ahead is data, too, bytes.
const NEAR: u64 = 1 << 20;

impl Unread {
    /// What is asked for: holes (`--sparse-unread`), content of a source (`--from`), which has more than is read, or none of these.
    pub fn of(sparse: bool, source: bool) -> Unread {
        match (sparse, source) {
            (true, _) => Unread::Holes,
            (false, true) => Unread::Data,
            (false, false) => Unread::Far,
        }
    }
}

impl Entry {
    /// An entry for a directory of which nothing but the path is known.
    pub fn dir(path: Vec<u8>) -> Entry {
        let (target, xattrs) = (Vec::new(), Vec::new());
        let (kind, size) = (Kind::Dir, 0);
        let (mode, uid, gid, mtime, pieces, created, data) = (None, None, None, None, None, None, None);
        let (content, exact, unknown) = (None, true, 0);
        Entry { path, kind, size, mode, uid, gid, mtime, target, xattrs, pieces, created, content, exact, data, unknown }
    }

    /// Permission bits to set: the captured ones, or 0755 for directories and 0644 for others.
    pub fn mode(&self) -> u32 {
        self.mode.unwrap_or(if self.kind == Kind::Dir { 0o755 } else { 0o644 })
    }

    /// For a second name of a file: the path of the first one; `None` otherwise.
    pub fn same(&self) -> Option<&[u8]> {
        Some(&*self.target).filter(|first| self.kind == Kind::File && !first.is_empty())
    }

    /// Number of bytes of data that are written for it.
    pub fn bytes(&self) -> u64 {
        match (&self.data, self.kind) {
            _ if self.same().is_some() => 0,
            (Some(ranges), _) => total(ranges.iter().map(|(_, length)| *length)),
            (None, Kind::File) => self.size,
            (None, _) => 0,
        }
    }
}

/// A saturating sum: captured numbers may be arbitrarily large.
pub fn total(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

/// Reads the fileset, without absent paths, sorted by path so that parents come before children, with the ranges that get data.
///
/// # Errors
/// When a table cannot be read, or holds values that no file system has.
pub fn entries(workload: &Dataset, unread: Unread) -> Result<Vec<Entry>> {
    let file = workload.table(Table::Fileset);
    let names = ["path", "kind", "size", "size_exact", "mode", "uid", "gid", "mtime", "target", "xattrs", "pieces", "created"];
    let mut entries = Vec::new();
    for batch in read::batches(&file, &[&names[..], &contents::names()].concat())? {
        let batch = batch.with_context(|| format!("cannot read {}", file.display()))?;
        let (path, kind, size) = (read::texts(&batch, "path")?, read::texts(&batch, "kind")?, read::ints(&batch, "size")?);
        let (mode, uid, gid) = (read::ints(&batch, "mode")?, read::ints(&batch, "uid")?, read::ints(&batch, "gid")?);
        let (mtime, exact) = (read::ints(&batch, "mtime")?, read::bools(&batch, "size_exact")?);
        let (pieces, created) = (read::ints(&batch, "pieces")?, read::ints(&batch, "created")?);
        let (target, xattrs) = (read::texts(&batch, "target")?, read::texts(&batch, "xattrs")?);
        for (row, content) in contents::read(&batch)?.into_iter().enumerate() {
            let name = path.value(row);
            let Some(kind) = Kind::parse(kind.value(row)) else {
                bail!("{}: {name} is of kind {:?}, which there is not", file.display(), kind.value(row))
            };
            if kind == Kind::Absent {
                continue;
            }
            let size = read::int(size, row).unwrap_or(0);
            let id = |array, what| match read::int(array, row).filter(|id| *id >= 0) {
                None => Ok(None),
                Some(id) => u32::try_from(id).map(Some).with_context(|| format!("{}: {name} has {what} {id}", file.display())),
            };
            entries.push(Entry {
                path: read::bytes(path, row).unwrap_or_default().into_owned(),
                kind,
                size: u64::try_from(size).with_context(|| format!("{}: {name} has size {size}", file.display()))?,
                mode: id(mode, "mode")?.map(|mode| mode & 0o7777),
                uid: id(uid, "owner")?,
                gid: id(gid, "group")?,
                mtime: read::int(mtime, row),
                target: read::bytes(target, row).unwrap_or_default().into_owned(),
                xattrs: list(&read::bytes(xattrs, row).unwrap_or_default()),
                pieces: read::int(pieces, row).and_then(|pieces| u64::try_from(pieces).ok()),
                created: read::int(created, row),
                content: content.and_then(Mixture::of),
                exact: exact.value(row),
                data: None,
                unknown: 0,
            });
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    extents(workload, unread, &mut entries)?;
    Ok(entries)
}

/// Kinds of the paths of the fileset for which `wanted` is true, absent ones included.
///
/// # Errors
/// When the table of the fileset cannot be read.
pub fn kinds(workload: &Dataset, wanted: impl Fn(&[u8]) -> bool) -> Result<HashMap<Vec<u8>, Kind>> {
    let file = workload.table(Table::Fileset);
    let mut kinds = HashMap::new();
    for batch in read::batches(&file, &["path", "kind"])? {
        let batch = batch.with_context(|| format!("cannot read {}", file.display()))?;
        let (path, kind) = (read::texts(&batch, "path")?, read::texts(&batch, "kind")?);
        for row in 0..batch.num_rows() {
            let path = read::bytes(path, row).unwrap_or_default();
            if let Some(kind) = Kind::parse(kind.value(row)).filter(|_| wanted(&path)) {
                kinds.insert(path.into_owned(), kind);
            }
        }
    }
    Ok(kinds)
}

/// The names of a list: commas part them, and a backslash takes what follows it for itself.
fn list(names: &[u8]) -> Vec<Vec<u8>> {
    let (mut list, mut name, mut bytes) = (Vec::new(), Vec::new(), names.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            b',' => list.push(std::mem::take(&mut name)),
            b'\\' => name.extend(bytes.next()),
            byte => name.push(*byte),
        }
    }
    list.push(name);
    list.retain(|name| !name.is_empty());
    list
}

/// The extents of one file: ranges (offset, length) that are read, and holes.
#[derive(Default)]
struct Ranges {
    read: Vec<(u64, u64)>,
    holes: Vec<(u64, u64)>,
}

/// Reads the table of extents and sets which ranges of each file get data.
fn extents(workload: &Dataset, unread: Unread, entries: &mut [Entry]) -> Result<()> {
    let file = workload.table(Table::Extents);
    let of = |entry: &Entry| if is_open(entry) || unread == Unread::Holes { unread } else { Unread::Data };
    let open: HashSet<Vec<u8>> = entries.iter().filter(|entry| is_open(entry)).map(|entry| entry.path.clone()).collect();
    let mut known: HashMap<Vec<u8>, Ranges> = HashMap::new();
    for batch in read::batches(&file, &["path", "what", "offset", "length"])? {
        let batch = batch.with_context(|| format!("cannot read {}", file.display()))?;
        let (path, what) = (read::texts(&batch, "path")?, read::texts(&batch, "what")?);
        let (offset, length) = (read::ints(&batch, "offset")?, read::ints(&batch, "length")?);
        for row in 0..batch.num_rows() {
            let (offset, length) = (offset.value(row), length.value(row));
            ensure!(
                offset >= 0 && length >= 0 && offset.checked_add(length).is_some(),
                "{}: {} has an extent of {length} bytes at {offset}",
                file.display(),
                path.value(row),
            );
            let range = (offset as u64, length as u64);
            match what.value(row) {
                "hole" => known.entry(read::bytes(path, row).unwrap_or_default().into_owned()).or_default().holes.push(range),
                "read" if unread != Unread::Data => {
                    let path = read::bytes(path, row).unwrap_or_default();
                    if unread == Unread::Holes || open.contains(&*path) {
                        known.entry(path.into_owned()).or_default().read.push(range);
                    }
                }
                _ => {}
            }
        }
    }
    for entry in entries.iter_mut().filter(|entry| entry.kind == Kind::File && entry.same().is_none()) {
        let ranges = known.remove(&entry.path).unwrap_or_default();
        let (read, holes, whole) = (merge(ranges.read), merge(ranges.holes), [(0, entry.size)]);
        match of(entry) {
            Unread::Holes => entry.data = Some(subtract(&read, &holes, entry.size)),
            Unread::Far => {
                let data = subtract(&whole, &holes, entry.size);
                let near = subtract(&data, &far(&read, entry.size), entry.size);
                let sum = |ranges: &[(u64, u64)]| total(ranges.iter().map(|(_, length)| *length));
                entry.unknown = sum(&data) - sum(&near);
                entry.data = (near != whole).then_some(near);
            }
            Unread::Data if holes.is_empty() => {}
            Unread::Data => entry.data = Some(subtract(&whole, &holes, entry.size)),
        }
    }
    Ok(())
}

/// A file whose size is only known by what was read, and so long that there may be a range of [`FAR`] bytes in it.
fn is_open(entry: &Entry) -> bool {
    entry.kind == Kind::File && entry.same().is_none() && !entry.exact && entry.size >= FAR
}

/// The ranges below `size` of at least [`FAR`] bytes that are not read, without [`NEAR`] bytes beside each read, by whole blocks.
fn far(read: &[(u64, u64)], size: u64) -> Vec<(u64, u64)> {
    let mut far = Vec::new();
    let mut end = None;
    for &(start, length) in read.iter().chain(&[(size, 0)]) {
        let (from, to) = (end.unwrap_or(0_u64), start.min(size));
        if to.saturating_sub(from) >= FAR {
            let from = end.map_or(0, |end| (end + NEAR).next_multiple_of(BLOCK as u64));
            let to = if start < size { (to - NEAR) / BLOCK as u64 * BLOCK as u64 } else { to };
            far.push((from, to - from));
        }
        end = Some(end.unwrap_or(0).max(start.saturating_add(length)));
    }
    far
}

/// Sorts ranges (offset, length) and joins those that touch or overlap.
fn merge(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (start, length) in ranges {
        match merged.last_mut() {
            Some(last) if start <= last.0 + last.1 => last.1 = last.1.max(start + length - last.0),
            _ => merged.push((start, length)),
        }
    }
    merged
}

/// The parts of `ranges` below `size` that no hole covers; both lists are sorted and disjoint.
fn subtract(ranges: &[(u64, u64)], holes: &[(u64, u64)], size: u64) -> Vec<(u64, u64)> {
    let mut left = Vec::new();
    let mut next = 0;
    for &(start, length) in ranges {
        let (mut start, end) = (start, (start + length).min(size));
        while next < holes.len() && holes[next].0 + holes[next].1 <= start {
            next += 1;
        }
        for &(hole, length) in &holes[next..] {
            if hole >= end {
                break;
            }
            if hole > start {
                left.push((start, hole - start));
            }
            start = start.max(hole + length);
        }
        if start < end {
            left.push((start, end - start));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_list_may_have_commas() {
        let names =
            |text: &str| list(text.as_bytes()).into_iter().map(|name| String::from_utf8(name).unwrap()).collect::<Vec<_>>();
        assert_eq!(names("user.a,user.b"), ["user.a", "user.b"]);
        assert_eq!(names(r"user.a\,b,user.c\\\\,user.d"), ["user.a,b", r"user.c\\", "user.d"]);
        assert_eq!(names(""), [""; 0]);
        assert_eq!(names("\\"), [""; 0]);
    }

    #[test]
    fn what_lies_far_from_reads_is_left_out() {
        let (mib, far) = (1_u64 << 20, |read: &[(u64, u64)], size| far(read, size));
        assert_eq!(far(&[(0, 5000), (100 * mib, 10)], 100 * mib + 10), [(2 * mib - mib + 8192, 98 * mib - 8192)]);
        assert_eq!(far(&[(0, 5000), (64 * mib, 10)], 64 * mib + 10), []);
        assert_eq!(far(&[(500 * mib + 1, 9)], 500 * mib + 10), [(0, 499 * mib)]);
        assert_eq!(far(&[], 64 * mib), [(0, 64 * mib)]);
        assert_eq!(far(&[(0, 1)], 1 + 64 * mib), [(mib + 4096, 63 * mib - 4095)]);
        let most = i64::MAX as u64;
        assert_eq!(far(&[(most - 5, 5)], most), [(0, (most - 5 - mib) / 4096 * 4096)]);
        assert_eq!(Unread::of(true, true), Unread::Holes);
    }

    #[test]
    fn holes_are_cut_out() {
        assert_eq!(subtract(&[(0, 100)], &[(10, 10), (90, 50)], 100), [(0, 10), (20, 70)]);
        assert_eq!(subtract(&[(0, 100)], &[], 60), [(0, 60)]);
        assert_eq!(subtract(&[(0, 10), (20, 10)], &[(5, 20)], 100), [(0, 5), (25, 5)]);
        assert_eq!(subtract(&[(0, 10)], &[(0, 10)], 10), []);
        assert_eq!(merge(vec![(5, 5), (0, 5), (20, 1), (7, 1)]), [(0, 10), (20, 1)]);
    }
}
