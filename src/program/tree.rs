//! The file tree in C: an entry a line.

use super::literal::{mode, string};
use crate::init::plan::{Entry, Unread, entries, total};
use crate::model::Kind;
use crate::mounts::Mount;
use crate::schema::{Dataset, Table, read};
use anyhow::{Result, ensure};
use std::io::Write;

/// Most entries of a file tree.
pub const MOST: u64 = 100_000;

/// The file tree of a workload, as `ioriot init` makes it without options.
pub struct Tree(Vec<Entry>);

impl Tree {
    /// Reads it.
    ///
    /// # Errors
    /// When it cannot be read, or is too large for a program.
    pub fn read(workload: &Dataset) -> Result<Tree> {
        let rows = read::builder(&workload.table(Table::Fileset), &[])?.rows() as u64;
        ensure!(
            rows <= MOST,
            "the file tree has {rows} entries, and a C program {MOST} at most: `ioriot reduce` makes the workload smaller"
        );
        Ok(Tree(entries(workload, Unread::Far)?))
    }

    /// Writes the functions that make the tree and the mount points in it.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn write(&self, mounts: &[Mount], out: &mut dyn Write) -> Result<()> {
        writeln!(out, "static void tree(void) {{")?;
        let bytes = total(self.0.iter().map(Entry::bytes));
        if bytes > 0 {
            writeln!(out, "    room({bytes}.0);")?;
        }
        let (dirs, others): (Vec<_>, Vec<_>) = self.0.iter().partition(|entry| entry.kind == Kind::Dir);
        let (names, firsts): (Vec<&Entry>, Vec<_>) = others.into_iter().partition(|entry| entry.same().is_some());
        for dir in &dirs {
            writeln!(out, "    directory({});", string(&dir.path))?;
        }
        for entry in firsts {
            one(entry, out)?;
        }
        for name in names {
            writeln!(out, "    hard_link({}, {});", string(&name.path), string(&name.target))?;
        }
        // Children before parents: the mode of one may forbid to make things in it.
        for dir in dirs.iter().rev() {
            write!(out, "    at({});", string(&dir.path))?;
            properties(dir, out)?;
        }
        writeln!(out, "}}\n\nstatic void points(void) {{")?;
        let mut points: Vec<_> = mounts.iter().filter(|mount| mount.path != b"/" && !mount.pseudo()).collect();
        points.sort_by_key(|mount| mount.path.len());
        for mount in points {
            writeln!(out, "    point({});", string(&mount.path))?;
        }
        Ok(writeln!(out, "}}\n")?)
    }
}

/// An entry that is no directory.
fn one(entry: &Entry, out: &mut dyn Write) -> Result<()> {
    let path = string(&entry.path);
    match entry.kind {
        Kind::File => {
            write!(out, "    file({path}, {}L);", entry.size)?;
            let whole = [(0, entry.size)];
            for (offset, length) in entry.data.as_deref().unwrap_or(&whole).iter().filter(|(_, length)| *length > 0) {
                write!(out, " fill({offset}L, {length}L);")?;
            }
        }
        Kind::Link => write!(out, "    symbolic_link({path}, {});", string(&entry.target))?,
        Kind::Fifo => write!(out, "    node({path}, S_IFIFO);")?,
        Kind::Socket => write!(out, "    node({path}, S_IFSOCK);")?,
        Kind::Dir | Kind::Absent => return Ok(()),
    }
    properties(entry, out)
}

/// Attributes, owner, time and mode.
fn properties(entry: &Entry, out: &mut dyn Write) -> Result<()> {
    for name in entry.xattrs.iter().filter(|name| name.starts_with(b"user.")) {
        write!(out, " attribute({});", string(name))?;
    }
    let known = |number: Option<i64>| number.map_or("UNKNOWN".into(), super::literal::long);
    let mode = if entry.kind == Kind::Link { "UNKNOWN".into() } else { mode(entry.mode().into()) };
    let [uid, gid] = [entry.uid, entry.gid].map(|id| known(id.map(i64::from)));
    Ok(writeln!(out, " is({mode}, {uid}, {gid}, {});", known(entry.mtime))?)
}
