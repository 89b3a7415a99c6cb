//! The end state that a part of a workload leads to: that of the whole where it touched the same, and else what its own last call on
//! a name says.

use super::table::Kept;
use super::touch::Row;
use crate::schema::{Table, read};
use crate::syscall::{Class, Op};
use crate::text;
use anyhow::Result;
use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// An entry of the end state.
#[derive(Clone, Debug)]
struct Entry {
    kind: String,
    size: Option<i64>,
    target: Option<String>,
}

impl Entry {
    fn of(kind: &str) -> Entry {
        Entry { kind: kind.to_owned(), size: None, target: None }
    }
}

/// The predicted end state of a part.
///
/// # Errors
/// When the table is not one of the end state.
pub fn predicted(expect: &RecordBatch, ops: &[Row], kept: &Kept, files: &[Vec<u8>]) -> Result<RecordBatch> {
    let (paths, kinds) = (read::texts(expect, "path")?, read::texts(expect, "kind")?);
    let (sizes, targets) = (read::ints(expect, "size")?, read::texts(expect, "target")?);
    let mut whole: BTreeMap<Vec<u8>, Entry> = BTreeMap::new();
    for row in 0..expect.num_rows() {
        let target = targets.is_valid(row).then(|| targets.value(row).to_owned());
        let entry = Entry { kind: kinds.value(row).to_owned(), size: read::int(sizes, row), target };
        whole.insert(text::decode(paths.value(row)).into_owned(), entry);
    }
    let gone = ops.iter().zip(&kept.ops).filter(|(_, keep)| !**keep).map(|(op, _)| op);
    // Names and files that ops change which are left out.
    let (mut names, mut changed): (HashSet<&[u8]>, HashSet<i64>) = (HashSet::new(), HashSet::new());
    for op in gone.filter(|op| changes(op)) {
        names.extend([&op.path, &op.path2].into_iter().flatten().map(Vec::as_slice));
        changed.extend([op.file, op.file2].into_iter().flatten());
    }
    // Names of these files: their sizes are other ones.
    let others = ops.iter().filter(|op| op.file.is_some_and(|file| changed.contains(&file)));
    let sizes: HashSet<&[u8]> = others.flat_map(|op| [&op.path, &op.path2]).flatten().map(Vec::as_slice).collect();
    let made: HashSet<&[u8]> =
        files.iter().zip(&kept.files).filter(|(_, keep)| **keep).map(|(path, _)| path.as_slice()).collect();
    let below = |path: &[u8]| above(path).any(|dir| names.contains(dir));
    let mut left: BTreeMap<Vec<u8>, Entry> = BTreeMap::new();
    for (path, entry) in &whole {
        if names.contains(path.as_slice()) || below(path) {
            continue;
        }
        let size = entry.size.filter(|_| !sizes.contains(path.as_slice()));
        left.insert(path.clone(), Entry { size, ..entry.clone() });
    }
    let mut last: HashMap<&[u8], Entry> = HashMap::new();
    for op in ops.iter().zip(&kept.ops).filter(|(op, keep)| **keep && op.ret.is_none_or(|ret| ret >= 0)).map(|(op, _)| op) {
        happens(op, &whole, &mut last);
    }
    for (path, entry) in last {
        if (names.contains(path) || below(path)) && (entry.kind != "absent" || made.contains(path)) {
            left.insert(path.to_owned(), entry);
        }
    }
    // Of what is neither in the tree nor made, nothing is said.
    let touched: HashSet<&[u8]> = ops
        .iter()
        .zip(&kept.ops)
        .filter(|(_, keep)| **keep)
        .flat_map(|(op, _)| [&op.path, &op.path2, &op.cwd])
        .flatten()
        .flat_map(|path| std::iter::once(path.as_slice()).chain(above(path)))
        .collect();
    let stands: HashSet<&[u8]> = made.iter().flat_map(|path| std::iter::once(*path).chain(above(path))).collect();
    left.retain(|path, entry| entry.kind == "absent" || stands.contains(path.as_slice()) || touched.contains(path.as_slice()));
    let schema = Table::Expect.schema();
    let texts = |values: Vec<Option<String>>| Arc::new(StringArray::from(values));
    let columns: Vec<arrow::array::ArrayRef> = vec![
        texts(left.keys().map(|path| Some(text::encode(path).into_owned())).collect()),
        texts(left.values().map(|entry| Some(entry.kind.clone())).collect()),
        Arc::new(left.values().map(|entry| entry.size).collect::<Int64Array>()),
        texts(left.values().map(|entry| entry.target.clone()).collect()),
    ];
    Ok(RecordBatch::try_new(schema, columns)?)
}

/// The directories above a path, from the nearest; all but the root.
pub fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(path), |path| {
        path.iter().rposition(|byte| *byte == b'/').filter(|cut| *cut > 0).map(|cut| &path[..cut])
    })
    .skip(1)
}

/// Does it change names, or what files are like?
fn changes(op: &Row) -> bool {
    let made = op.flags & i64::from(libc::O_CREAT | libc::O_TRUNC) != 0;
    match op.op.map(Op::class) {
        Some(Class::Opens) => op.op == Some(Op::Creat) || made,
        Some(Class::Changes | Class::Writes | Class::Copies) | None => true,
        Some(Class::Rest) => matches!(op.op, Some(Op::Ioctl | Op::Touch)),
        Some(_) => false,
    }
}

/// What a call that succeeds makes of names.
fn happens<'a>(op: &'a Row, whole: &BTreeMap<Vec<u8>, Entry>, last: &mut HashMap<&'a [u8], Entry>) {
    let (Some(path), Some(call)) = (op.path.as_deref(), op.op) else { return };
    let known = |path: &[u8]| whole.get(path).map(|entry| entry.kind.as_str()).filter(|kind| *kind != "absent");
    match call {
        Op::Mkdir | Op::Mkdirat => drop(last.insert(path, Entry::of("dir"))),
        Op::Symlink | Op::Symlinkat => {
            let target = op.raw2.as_deref().map(|target| text::encode(target).into_owned());
            last.insert(path, Entry { target, ..Entry::of("link") });
        }
        Op::Creat => drop(last.insert(path, Entry::of("file"))),
        Op::Open | Op::Openat | Op::Openat2 if op.flags & i64::from(libc::O_CREAT) != 0 => {
            drop(last.insert(path, Entry::of("file")))
        }
        Op::Unlink | Op::Unlinkat | Op::Rmdir => drop(last.insert(path, Entry::of("absent"))),
        Op::Link | Op::Linkat => {
            op.path2.as_deref().into_iter().for_each(|to| drop(last.insert(to, Entry::of("file"))));
        }
        Op::Mknod | Op::Mknodat => drop(last.insert(path, Entry::of(known(path).unwrap_or("file")))),
        Op::Rename | Op::Renameat | Op::Renameat2 => {
            let Some(to) = op.path2.as_deref() else { return };
            let moved = last.get(path).map(|entry| entry.kind.clone()).filter(|kind| kind != "absent");
            let moved = moved.unwrap_or_else(|| known(to).unwrap_or("file").to_owned());
            last.insert(path, Entry::of("absent"));
            last.insert(to, Entry::of(&moved));
        }
        _ => {}
    }
}
