//! What becomes of each column of a capture.

use super::Names;
use crate::schema::{Column, Table, Type};
use crate::syscall::{Op, Syscall};
use crate::text;
use anyhow::{Context, Result, bail, ensure};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::Int64Type;
use std::borrow::Cow;
use std::sync::Arc;

/// What a column holds, and so what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// A number or a word that says nothing of whose machine it was: stays.
    Nothing,
    /// A path: each of its names becomes a hash.
    Path,
    /// The name of a call: stays if it looks like one.
    Call,
    /// The name of an extended attribute, or a kind of file system.
    Attribute,
    /// The name of a host or an input: becomes a hash.
    Host,
    /// The name of a process: becomes a hash of up to 15 characters.
    Comm,
    /// The first words of a command line: become one hash.
    Line,
    /// A control group: each name of it becomes a hash.
    Group,
    /// The id of a job, which may name a host: becomes one hash.
    Job,
    /// A user or a group.
    Id,
    /// An inode number.
    Inode,
    /// Mount options: words without a value stay, and sizes.
    Options,
    /// Text of a log: left out.
    Text,
}

/// What a column of a table holds. Columns of text have to be named here.
fn holds(table: Table, column: &Column) -> Option<Holds> {
    Some(match (table, column.name) {
        (Table::Events, "host") | (Table::Rejects, "input") => Holds::Host,
        (Table::Events, "syscall") => Holds::Call,
        (Table::Events, "path" | "path2" | "fd_path" | "fd2_path" | "dir_path" | "dir2_path") => Holds::Path,
        (Table::Events, "name") | (Table::Mounts, "kind") => Holds::Attribute,
        (Table::Events | Table::Processes, "uid" | "gid") => Holds::Id,
        (Table::Events | Table::OpenFiles, "ino") => Holds::Inode,
        (Table::Rejects, "reason") | (Table::Losses, "kind") | (Table::Contents, "profile") => Holds::Nothing,
        (Table::Rejects, "text") => Holds::Text,
        (Table::Processes, "comm") => Holds::Comm,
        (Table::Processes, "command_line") => Holds::Line,
        (Table::Processes, "cgroup") => Holds::Group,
        (Table::Processes, "job") => Holds::Job,
        (Table::Processes, "cwd" | "root") | (Table::OpenFiles | Table::Layouts | Table::Contents, "path") => Holds::Path,
        (Table::Mounts, "path" | "root" | "source") => Holds::Path,
        (Table::Mounts, "options") => Holds::Options,
        (_, _) if column.ty == Type::Text => return None,
        (_, _) => Holds::Nothing,
    })
}

/// What a column of events holds where the call is an exec, if that is something else ([`crate::exec`]).
fn of_exec(table: Table, column: &Column) -> Option<Holds> {
    match (table, column.name) {
        (Table::Events, "name") => Some(Holds::Line),
        (Table::Events, "dir2_path") => Some(Holds::Group),
        (Table::Events, "fd2_path") => Some(Holds::Job),
        _ => None,
    }
}

/// The columns of a batch of a table, without names.
///
/// # Errors
/// When a column is missing or of another type, or a path becomes too long.
pub fn columns(table: Table, batch: &RecordBatch, names: &mut Names) -> Result<Vec<ArrayRef>> {
    let one = |column: &Column| {
        let found = match batch.column_by_name(column.name) {
            None if column.later() => return Ok(new_null_array(&column.ty.arrow(), batch.num_rows())),
            found => found.with_context(|| format!("there is no column {}", column.name))?,
        };
        ensure!(*found.data_type() == column.ty.arrow(), "column {} is of another type", column.name);
        let Some(holds) = holds(table, column) else { bail!("nothing is known of column {}", column.name) };
        match (holds, column.ty) {
            (Holds::Nothing, _) => Ok(Arc::clone(found)),
            (Holds::Id, _) => Ok(numbers(found, |id| names.id(id))),
            (Holds::Inode, _) => Ok(numbers(found, |inode| names.inode(inode))),
            (holds, _) => match of_exec(table, column) {
                Some(of_exec) => {
                    let calls = batch.column_by_name("syscall").context("there is no column syscall")?;
                    told(calls, found, [holds, of_exec], names)
                }
                None => texts(found, holds, names),
            },
        }
    };
    let known = table.columns();
    let mut changed = known.iter().map(one).collect::<Result<Vec<_>>>()?;
    if table == Table::Events {
        let place = |name: &str| known.iter().position(|column| column.name == name).context("a column of events");
        let (calls, paths, links) = (place("syscall")?, place("path")?, place("path2")?);
        let (counts, ret) = (place("count")?, place("ret")?);
        (changed[counts], changed[ret]) =
            lengths(&changed[calls], &changed[paths], &changed[links], &changed[counts], &changed[ret]);
    }
    Ok(changed)
}

/// Arguments (`count`) and results of events, which are lengths of names that are others now: readlink returns that of what the link
/// holds, as far as there was room for it, and getcwd that of the directory with a NUL behind it, for which there must be room.
fn lengths(calls: &ArrayRef, paths: &ArrayRef, links: &ArrayRef, counts: &ArrayRef, ret: &ArrayRef) -> (ArrayRef, ArrayRef) {
    let (calls, paths, links) = (calls.as_string::<i32>(), paths.as_string::<i32>(), links.as_string::<i32>());
    let (counts, ret) = (counts.as_primitive::<Int64Type>(), ret.as_primitive::<Int64Type>());
    let length = |names: &StringArray, row: usize| {
        let length = |row| i64::try_from(text::decode(names.value(row)).len()).ok();
        Some(row).filter(|row| names.is_valid(*row)).and_then(length)
    };
    let one = |row: usize| {
        let count = counts.is_valid(row).then(|| counts.value(row));
        let old = ret.is_valid(row).then(|| ret.value(row));
        let Some(positive) = old.filter(|old| *old > 0 && calls.is_valid(row)) else { return (count, old) };
        match Syscall::parse(calls.value(row).as_bytes()).and_then(|call| call.op()) {
            Some(Op::Readlink | Op::Readlinkat) => {
                let length = length(links, row).unwrap_or(positive);
                (count, Some(count.map_or(length, |count| length.min(count))))
            }
            Some(Op::Getcwd) => {
                let length = length(paths, row).map_or(positive, |length| length + 1);
                (count.map(|count| count.max(length)), Some(length))
            }
            _ => (count, old),
        }
    };
    let (counts, ret): (Vec<_>, Vec<_>) = (0..ret.len()).map(one).unzip();
    (Arc::new(Int64Array::from(counts)), Arc::new(Int64Array::from(ret)))
}

fn numbers(column: &ArrayRef, change: impl Fn(i64) -> i64) -> ArrayRef {
    Arc::new(column.as_primitive::<Int64Type>().iter().map(|value| value.map(&change)).collect::<Int64Array>())
}

fn texts(column: &ArrayRef, holds: Holds, names: &mut Names) -> Result<ArrayRef> {
    let texts = column.as_string::<i32>();
    let mut out = Vec::with_capacity(texts.len());
    for value in texts {
        out.push(value.map(|value| changed(&text::decode(value), holds, names)).transpose()?);
    }
    Ok(Arc::new(StringArray::from(out)))
}

/// A column of events that holds something else where the call is an exec, which comes second.
fn told(calls: &ArrayRef, column: &ArrayRef, [other, exec]: [Holds; 2], names: &mut Names) -> Result<ArrayRef> {
    let calls = calls.as_string_opt::<i32>().context("column syscall is of another type")?;
    let mut out = Vec::with_capacity(column.len());
    for (call, value) in calls.iter().zip(column.as_string::<i32>()) {
        let is_exec = call.and_then(|call| Syscall::parse(call.as_bytes())?.op()) == Some(Op::Exec);
        let holds = if is_exec { exec } else { other };
        out.push(value.map(|value| changed(&text::decode(value), holds, names)).transpose()?);
    }
    Ok(Arc::new(StringArray::from(out)))
}

/// A text without names, in the form of [`crate::text`].
fn changed(bytes: &[u8], holds: Holds, names: &mut Names) -> Result<String> {
    let call = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let changed = match holds {
        Holds::Path => Cow::Owned(names.path(bytes)?),
        Holds::Attribute => names.attribute(bytes),
        Holds::Call if bytes.len() <= 40 && (bytes.iter().all(call) || bytes == crate::event::HOLE.as_bytes()) => {
            Cow::Borrowed(bytes)
        }
        Holds::Call => Cow::Owned(names.word("call", bytes, 13)),
        Holds::Host => Cow::Owned(names.word("host", bytes, 13)),
        Holds::Line => Cow::Owned(names.word("line", bytes, 13)),
        Holds::Job => Cow::Owned(names.word("job", bytes, 13)),
        Holds::Group => {
            let mut name = |name: &[u8]| if name.is_empty() { Vec::new() } else { names.word("group", name, 13) };
            Cow::Owned(bytes.split(|byte| *byte == b'/').map(&mut name).collect::<Vec<_>>().join(&b'/'))
        }
        Holds::Comm => Cow::Owned(names.word("comm", bytes, bytes.len().clamp(8, 15))),
        Holds::Options => Cow::Owned(options(bytes)),
        Holds::Text => Cow::Borrowed(&b""[..]),
        Holds::Nothing | Holds::Id | Holds::Inode => Cow::Borrowed(bytes),
    };
    Ok(text::encode(&changed).into_owned())
}

/// Mount options without those that may name something: what has a value but `size`.
fn options(bytes: &[u8]) -> Vec<u8> {
    let plain = |option: &&[u8]| {
        let (word, number) = option.strip_prefix(b"size=").map_or((*option, false), |size| (size, true));
        let fits = if number { u8::is_ascii_alphanumeric } else { u8::is_ascii_lowercase };
        !word.is_empty() && word.iter().all(|byte| fits(byte) || !number && *byte == b'_')
    };
    bytes.split(|byte| *byte == b',').filter(plain).collect::<Vec<_>>().join(&b',')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::dataset::Kind;

    #[test]
    fn every_column_of_text_is_known() {
        for table in Table::ALL.iter().filter(|table| table.kind() == Kind::Capture) {
            for column in table.columns() {
                assert!(holds(*table, &column).is_some(), "{} of {}", column.name, table.name());
            }
        }
    }

    #[test]
    fn of_options_only_words_and_sizes_stay() {
        let given = options(b"rw,relatime,size=1024k,lowerdir=/srv/secret,uid=1000,Secret,inode64,x-smith");
        assert_eq!(String::from_utf8(given).unwrap(), "rw,relatime,size=1024k");
    }

    #[test]
    fn lengths_are_those_of_the_new_names() {
        let texts = |texts: &[Option<&str>]| Arc::new(StringArray::from(texts.to_vec())) as ArrayRef;
        let ints = |ints: &[Option<i64>]| Arc::new(Int64Array::from(ints.to_vec())) as ArrayRef;
        let calls = texts(&[Some("getcwd"), Some("getcwd"), Some("readlink"), Some("readlinkat"), Some("read"), Some("getcwd")]);
        let paths = texts(&[Some("/abc"), Some("/\u{efff}"), Some("/l"), Some("/l"), Some("/f"), None]);
        let links = texts(&[None, None, Some("target"), Some("target"), None, None]);
        let counts = ints(&[Some(4096), Some(2), Some(100), Some(4), Some(9), Some(10)]);
        let ret = ints(&[Some(20), Some(2), Some(30), Some(4), Some(9), Some(-34)]);
        let (counts, ret) = lengths(&calls, &paths, &links, &counts, &ret);
        assert_eq!(counts.as_primitive::<Int64Type>().values(), &[4096, 3, 100, 4, 9, 10]);
        assert_eq!(ret.as_primitive::<Int64Type>().values(), &[5, 3, 6, 4, 9, -34]);
    }

    #[test]
    fn a_name_of_a_call_stays_only_if_it_looks_like_one() {
        let mut names = Names::new(b"0123456789abcdef", false);
        for (name, same) in
            [("openat", true), ("syscall_332", true), ("ioriot:hole", true), ("/srv/secret", false), (&"x".repeat(41), false)]
        {
            assert_eq!(changed(name.as_bytes(), Holds::Call, &mut names).unwrap() == name, same, "{name}");
        }
    }
}
