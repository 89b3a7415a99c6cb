//! Folded stacks, the input of flame graphs: `/;home;data.db;read 1200`, the frames of a stack, and what it weighs.

use super::{Left, Source, Weight};
use crate::text::shown;
use anyhow::Result;
use std::io::Write;

/// Writes a stack for each path and call.
///
/// # Errors
/// When there are no calls on files, or the output cannot be written.
pub fn write(source: &Source<'_>, weight: Weight, out: &mut (dyn Write + Send)) -> Result<Left> {
    let mut left = Left::default();
    let mut line = String::new();
    source.each("folded", |rows| {
        let (paths, calls) = (rows.texts("path")?, rows.texts("syscall")?);
        let weights = rows.ints(match weight {
            Weight::Time => "total_ns",
            Weight::Bytes => "bytes",
            Weight::Calls => "calls",
        })?;
        let untimed = rows.ints("untimed")?;
        for row in 0..rows.len() {
            if weight == Weight::Time {
                left.some("calls have no duration and weigh nothing", untimed.get(row).unwrap_or_default().unsigned_abs());
            }
            let value = weights.get(row).unwrap_or_default();
            if value <= 0 {
                continue;
            }
            line.clear();
            stack(paths.get(row), calls.get(row).unwrap_or_default(), &mut line);
            writeln!(out, "{line} {value}")?;
        }
        Ok(())
    })?;
    Ok(left)
}

/// The frames of a call: `/` for the root, a frame for each name of the path, one for the call.
fn stack(path: Option<&str>, syscall: &str, line: &mut String) {
    match path {
        Some(path) => {
            line.push('/');
            for name in path.split('/').filter(|name| !name.is_empty()) {
                line.push(';');
                frame(name, line);
            }
        }
        None => line.push_str("(no path)"),
    }
    line.push(';');
    // The weight is what stands behind the last space.
    let call = line.len();
    frame(syscall, line);
    if line[call..].contains(' ') {
        let escaped = line[call..].replace(' ', "\\x20");
        line.replace_range(call.., &escaped);
    }
}

/// A frame: what would end it, or its line, is escaped as in C.
fn frame(name: &str, line: &mut String) {
    let name = shown(name);
    if name.contains(';') { line.push_str(&name.replace(';', "\\x3b")) } else { line.push_str(&name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_a_frame_or_a_line() {
        let stack = |path, call| {
            let mut line = String::new();
            stack(path, call, &mut line);
            line
        };
        assert_eq!(stack(Some("/a/b c"), "read"), "/;a;b c;read");
        assert_eq!(stack(Some("/"), "getdents64"), "/;getdents64");
        assert_eq!(stack(None, "sync"), "(no path);sync");
        assert_eq!(stack(Some("/x;y 7\n/\u{1b}[m"), "bad name;"), "/;x\\x3by 7\\n;\\x1b[m;bad\\x20name\\x3b");
    }
}
