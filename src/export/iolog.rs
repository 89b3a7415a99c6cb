//! A log of fio, version 3 (fio(1), "TRACE FILE FORMAT"), for `fio --read_iolog`.
//!
//! A line is `TIME NAME add|open|close` or `TIME NAME read|write|sync|datasync OFFSET LENGTH`. fio 3.31 and newer read and write the time
//! in microseconds (its manual does not say the unit), a name without blanks of at most 256 bytes, and 32 bits of length. Names are
//! relative: fio is started in the directory that stands for `/`. (With `--directory` it does not find its own files, fio 3.33.)
//! fio opens what it reads or syncs for writing, too, and fails on a directory: a file is opened at its first data.

use super::{Left, Source};
use crate::syscall::{Op, Syscall};
use crate::text;
use anyhow::Result;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::Write;

/// Bytes of a name, at most: fio reads 256.
const NAME: usize = 255;

/// What a log cannot say of calls of a class; none where it can.
const UNSAID: &[(&str, &str)] = &[
    ("opens", "opens are in the log where a read or write follows, and else not"),
    ("looks", "calls that look something up (attributes, directories) are not in the log"),
    ("changes", "calls that change names, attributes or sizes are not in the log"),
    ("maps", "mappings of files are not in the log"),
    ("copies", "copies from file to file are not in the log"),
    ("rest", "other calls (seek, lock, advice) are not in the log"),
];

/// Files as the log has them so far. Memory grows with the number of names, and of descriptions that are open.
#[derive(Debug, Default)]
struct Files {
    /// Names that were added.
    added: HashSet<String>,
    /// How many descriptions have a file open, by name.
    open: HashMap<String, u64>,
    /// Names of the files that descriptions have open.
    of: HashMap<i64, String>,
}

/// Writes the log.
///
/// # Errors
/// When there are no calls on files, or the output cannot be written.
pub fn write(source: &Source<'_>, out: &mut (dyn Write + Send)) -> Result<Left> {
    let mut left = Left::default();
    let mut files = Files::default();
    let mut now = 0u64;
    writeln!(out, "fio version 3 iolog")?;
    source.each("iolog", |rows| {
        let (times, calls, classes, ofds) =
            (rows.reals("time_s")?, rows.texts("syscall")?, rows.texts("class")?, rows.ints("ofd")?);
        let (paths, offsets, bytes) = (rows.texts("path")?, rows.ints("offset")?, rows.ints("bytes")?);
        for row in 0..rows.len() {
            // A NULL is 0 here. fio waits for what lies between two times; those of calls that overlap may go back.
            now = now.max((times.value(row).max(0.0) * 1e6) as u64);
            let op = calls.get(row).and_then(|call| Syscall::parse(call.as_bytes())?.op());
            let class = classes.get(row).unwrap_or_default();
            if op == Some(Op::Close) {
                files.close(ofds.get(row), now, out)?;
                continue;
            }
            let action = match (class, op) {
                ("reads", _) => "read",
                ("writes", _) => "write",
                ("syncs", Some(Op::Fsync)) => "sync",
                ("syncs", Some(Op::Fdatasync)) => "datasync",
                ("syncs", _) => {
                    left.add("syncs of a range, a file system or all are not in the log");
                    continue;
                }
                _ => {
                    let unsaid = UNSAID.iter().find(|(known, _)| *known == class);
                    left.add(unsaid.map_or("calls of no known class are not in the log", |(_, unsaid)| unsaid));
                    continue;
                }
            };
            let data = class != "syncs";
            let (offset, length) = if data { (offsets.get(row), bytes.get(row).unwrap_or_default()) } else { (Some(0), 0) };
            if data && length <= 0 {
                left.add("reads and writes of nothing (end of file, errors) are not in the log");
                continue;
            }
            let (Some(offset), Ok(length)) = (offset.filter(|at| *at >= 0), u32::try_from(length)) else {
                left.add("reads and writes at an unknown place, or of 4 GiB and more, are not in the log");
                continue;
            };
            let Some((name, escaped)) = paths.get(row).and_then(name) else {
                left.add(
                    "calls on files without a name, with \"..\" in it or with one that is too long for fio are not in the log",
                );
                continue;
            };
            if !data && !files.added.contains(&name) {
                left.add("syncs of files that were neither read nor written before are not in the log");
                continue;
            }
            if files.open(&name, ofds.get(row), now, out)? && escaped {
                left.add("files have a name that fio cannot read: %XX stands for the bytes that it cannot");
            }
            writeln!(out, "{now} {name} {action} {offset} {length}")?;
        }
        Ok(())
    })?;
    let mut open: Vec<_> = files.open.keys().collect();
    open.sort_unstable();
    open.iter().try_for_each(|name| writeln!(out, "{now} {name} close"))?;
    Ok(left)
}

impl Files {
    /// Adds and opens the file of a call where it is not. True when the log had it never before.
    fn open(&mut self, name: &str, ofd: Option<i64>, now: u64, out: &mut (dyn Write + Send)) -> Result<bool> {
        let new = !self.added.contains(name);
        if new {
            self.added.insert(name.to_owned());
            writeln!(out, "{now} {name} add")?;
        }
        // A description keeps its file, whatever its name is by now.
        let known = ofd.is_some_and(|ofd| self.of.get(&ofd).is_some_and(|file| file == name));
        if known {
            return Ok(new);
        }
        if ofd.is_some_and(|ofd| self.of.contains_key(&ofd)) {
            self.close(ofd, now, out)?;
        }
        // A call by name (no description) opens the file once, until the end.
        if let Some(open) = self.open.get_mut(name) {
            *open += u64::from(ofd.is_some());
        } else {
            self.open.insert(name.to_owned(), 1);
            writeln!(out, "{now} {name} open")?;
        }
        if let Some(ofd) = ofd {
            self.of.insert(ofd, name.to_owned());
        }
        Ok(new)
    }

    /// Closes the file of a description, if no other one has it open.
    fn close(&mut self, ofd: Option<i64>, now: u64, out: &mut (dyn Write + Send)) -> Result<()> {
        let Some(name) = ofd.and_then(|ofd| self.of.remove(&ofd)) else { return Ok(()) };
        if let Some(open) = self.open.get_mut(&name) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&name);
                writeln!(out, "{now} {name} close")?;
            }
        }
        Ok(())
    }
}

/// The name of a file for fio, relative to `/`, and whether bytes of it are written as `%XX`; `None` where there can be none.
fn name(path: &str) -> Option<(String, bool)> {
    let bytes = text::decode(path.strip_prefix('/')?);
    if bytes.is_empty() || bytes.split(|byte| *byte == b'/').any(|part| matches!(part, b"" | b"." | b"..")) {
        return None;
    }
    let mut name = String::with_capacity(bytes.len());
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate() {
        // Blanks end a name; the others mean something to shells and xargs, which people make files of the log with.
        if byte.is_ascii_alphanumeric() || b"/._+,=@:~#^".contains(byte) || (*byte == b'-' && at > 0) {
            name.push(char::from(*byte));
        } else {
            escaped = true;
            let _ = write!(name, "%{byte:02X}");
        }
    }
    (name.len() <= NAME).then_some((name, escaped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_and_have_no_blanks() {
        assert_eq!(name("/a/b-c.db"), Some(("a/b-c.db".into(), false)));
        assert_eq!(name("/-x/ü y\n'"), Some(("%2Dx/%C3%BC%20y%0A%27".into(), true)));
        for bad in ["", "/", "a", "/a/../b", "/./a", "/a//b", "/..", &format!("/{}", "x".repeat(256))] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }
}
