//! Compares the tree after the replay with the end state that the model predicted, and writes the table `state`.

use crate::init::{Parts, kind_of};
use crate::model::Kind;
use crate::schema::{self, Dataset, Draft, Table, read};
use crate::text;
use anyhow::{Context, Result};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Most paths with a verdict other than `same` that the summary shows.
const SHOWN: usize = 5;

/// What exists, or should exist, at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thing {
    kind: Kind,
    /// Size of a regular file, bytes; `None` when unknown or no file.
    size: Option<u64>,
    /// Content of a symlink; `None` when unknown or no symlink.
    target: Option<Vec<u8>>,
}

impl Thing {
    const ABSENT: Thing = Thing { kind: Kind::Absent, size: None, target: None };

    /// Its description in the table `state`.
    fn describe(&self) -> String {
        match (self.size, &self.target) {
            (Some(size), _) => format!("{} of {size} bytes", self.kind.name()),
            (_, Some(target)) => format!("{} to {}", self.kind.name(), text::encode(target)),
            _ => self.kind.name().into(),
        }
    }
}

/// The verdict on one path: `same`, or how what was found differs from what was expected.
fn verdict(expected: &Thing, found: &Thing) -> &'static str {
    match (expected.kind, found.kind) {
        (Kind::Absent, Kind::Absent) => "same",
        (_, Kind::Absent) => "missing",
        (Kind::Absent, _) => "extra",
        (expected, found) if expected != found => "kind",
        _ if expected.size.is_some() && expected.size != found.size => "size",
        _ if expected.target.is_some() && expected.target != found.target => "target",
        _ => "same",
    }
}

/// The comparison of the tree, summed up.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Summary {
    /// Number of paths by verdict.
    pub verdicts: BTreeMap<&'static str, u64>,
    /// Number of directories or entries that could not be read.
    pub unreadable: u64,
    /// The first paths, in order, that are not as predicted, with what was expected and found; 5 at most.
    pub examples: Vec<String>,
}

/// A row of the table `state`.
struct Row {
    path: Vec<u8>,
    expected: String,
    found: String,
    verdict: &'static str,
}

/// Compares the tree with the prediction, writes the table `state` and returns the counts.
///
/// Verdict `extra` is a path that was neither there before nor predicted, or one that should be gone.
///
/// # Errors
/// When the prediction cannot be read or the table cannot be written.
pub fn check(workload: &Dataset, parts: &Parts, draft: &Draft) -> Result<Summary> {
    let mut expected = expected(workload)?;
    let before = names(workload)?;
    let mut summary = Summary::default();
    let mut rows = Vec::new();
    walk(parts, &mut summary.unreadable, &mut |path, found| {
        let expects = match expected.remove(path) {
            Some(thing) => thing,
            // The model predicts nothing for it: fine if init made it, or if it is a directory above something that init
            // made.
            None if before.contains(path) => return,
            None => Thing::ABSENT,
        };
        let verdict = verdict(&expects, &found);
        rows.push(Row { path: path.to_vec(), expected: expects.describe(), found: found.describe(), verdict });
    });
    let root = expected.remove(b"/".as_slice());
    if root.is_some() {
        rows.push(Row { path: b"/".to_vec(), expected: "dir".into(), found: "dir".into(), verdict: "same" });
    }
    for (path, thing) in expected {
        let verdict = verdict(&thing, &Thing::ABSENT);
        rows.push(Row { path, expected: thing.describe(), found: Thing::ABSENT.describe(), verdict });
    }
    rows.sort_by(|a, b| a.path.cmp(&b.path));
    for row in &rows {
        *summary.verdicts.entry(row.verdict).or_default() += 1;
        if row.verdict != "same" && summary.examples.len() < SHOWN {
            let path = text::encode(&row.path);
            summary.examples.push(format!("{path}: {}: expected {}, found {}", row.verdict, row.expected, row.found));
        }
    }
    write(&rows, draft)?;
    Ok(summary)
}

/// Reads the predicted end state: what should exist, by captured path.
fn expected(workload: &Dataset) -> Result<HashMap<Vec<u8>, Thing>> {
    let file = workload.table(Table::Expect);
    let mut things = HashMap::new();
    for batch in read::batches(&file, &["path", "kind", "size", "target"])? {
        let batch = batch.with_context(|| format!("cannot read {}", file.display()))?;
        let (path, kind) = (read::texts(&batch, "path")?, read::texts(&batch, "kind")?);
        let (size, target) = (read::ints(&batch, "size")?, read::texts(&batch, "target")?);
        for row in 0..batch.num_rows() {
            let kind = Kind::parse(kind.value(row))
                .with_context(|| format!("{}: {:?} is no kind of file", file.display(), kind.value(row)))?;
            let size = read::int(size, row).and_then(|size| u64::try_from(size).ok()).filter(|_| kind == Kind::File);
            let target = read::bytes(target, row).map(|target| target.into_owned()).filter(|_| kind == Kind::Link);
            things.insert(text::decode(path.value(row)).into_owned(), Thing { kind, size, target });
        }
    }
    Ok(things)
}

/// Paths of everything that init made, and of the directories above it.
fn names(workload: &Dataset) -> Result<HashSet<Vec<u8>>> {
    let file = workload.table(Table::Fileset);
    let mut names = HashSet::new();
    for batch in read::batches(&file, &["path", "kind"])? {
        let batch = batch.with_context(|| format!("cannot read {}", file.display()))?;
        let (path, kind) = (read::texts(&batch, "path")?, read::texts(&batch, "kind")?);
        for row in (0..batch.num_rows()).filter(|row| kind.value(*row) != Kind::Absent.name()) {
            let mut path = text::decode(path.value(row)).into_owned();
            while !path.is_empty() && names.insert(path.clone()) {
                path.truncate(path.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
            }
        }
    }
    Ok(names)
}

/// Longest path that is looked at, bytes: a workload has none that is deeper.
const LONGEST: usize = 16_384;

/// A directory in which the walk is.
struct Level {
    /// Names of the directories in it that are still to be looked into.
    below: Vec<OsString>,
    /// Number of its part.
    part: usize,
    /// Length of the captured path of that part.
    above: usize,
    /// Length of its own captured path.
    length: usize,
}

/// Calls `see` for everything in the tree, also in mapped directories; never follows a symlink. `unreadable` counts what could not
/// be read. One directory is open at a time: a tree may be deep.
fn walk(parts: &Parts, unreadable: &mut u64, see: &mut impl FnMut(&[u8], Thing)) {
    let mut path = Vec::new();
    let mut levels = vec![Level { below: look(parts, 0, 0, &mut path, unreadable, see), part: 0, above: 0, length: 0 }];
    while let Some(Level { below, part, above, length }) = levels.last_mut() {
        path.truncate(*length);
        let Some(name) = below.pop() else {
            levels.pop();
            continue;
        };
        path.push(b'/');
        path.extend_from_slice(name.as_bytes());
        let (part, above) = parts.trees.bound(&path).map_or((*part, *above), |part| (part, path.len()));
        let below = look(parts, part, above, &mut path, unreadable, see);
        levels.push(Level { below, part, above, length: path.len() });
    }
}

/// Calls `see` for everything in one directory, by its captured path, of which the first `above` bytes are those of its part.
/// Returns the names of the directories in it.
fn look(
    parts: &Parts,
    part: usize,
    above: usize,
    path: &mut Vec<u8>,
    unreadable: &mut u64,
    see: &mut impl FnMut(&[u8], Thing),
) -> Vec<OsString> {
    let opened = parts.tops().nth(part).filter(|_| path.len() < LONGEST).and_then(|top| top.below(&path[above..]).ok());
    let Some((dir, entries)) = opened.and_then(|dir| dir.entries().ok().map(|entries| (dir, entries))) else {
        *unreadable += 1;
        return Vec::new();
    };
    let mut below = Vec::new();
    for (name, _) in entries {
        let Ok(stat) = dir.look(&name) else {
            *unreadable += 1;
            continue;
        };
        let length = path.len();
        path.push(b'/');
        path.extend_from_slice(name.as_bytes());
        let kind = kind_of(&stat);
        let target = (kind == Kind::Link).then(|| dir.target(&name).ok()).flatten();
        let size = (kind == Kind::File).then_some(stat.st_size.unsigned_abs());
        see(path, Thing { kind, size, target });
        if kind == Kind::Dir {
            below.push(name);
        }
        path.truncate(length);
    }
    below
}

fn write(rows: &[Row], draft: &Draft) -> Result<()> {
    let table = Table::State;
    let mut writer = schema::writer(table, draft.file(&table.file())?)?;
    for rows in rows.chunks(16 * 1024) {
        let columns: [ArrayRef; 4] = [
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| text::encode(&row.path)))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.expected))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.found))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.verdict))),
        ];
        writer.write(&RecordBatch::try_new(table.schema(), columns.into())?).context("cannot write the state")?;
    }
    writer.close().context("cannot write the state").map(drop)
}
