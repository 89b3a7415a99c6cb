//! Patterns of paths: `/var/lib/*.db`, `/data/[a-m]?`.
//!
//! They are those of find(1) and fnmatch(3): `*` stands for any bytes, also across `/`, `?` for one byte, `[abc]`, `[a-z]`
//! and `[!a]` for one of these, or none of these; a backslash takes the next byte as it is. A pattern that matches a
//! directory matches what is below it.

use anyhow::{Result, ensure};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// This byte.
    Byte(u8),
    /// Any byte.
    One,
    /// Any bytes.
    Any,
    /// A byte in one of these ranges, or in none of them.
    Among(Vec<(u8, u8)>, bool),
}

impl Part {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Part::Byte(own) => *own == byte,
            Part::One => true,
            Part::Among(ranges, inside) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&byte)) == *inside,
            Part::Any => false,
        }
    }
}

impl Glob {
    /// Reads a pattern. Only absolute paths are matched, so it must begin with `/` or with `*`.
    ///
    /// # Errors
    /// When it begins otherwise, or a bracket is never closed.
    pub fn parse(pattern: impl AsRef<OsStr>) -> Result<Glob> {
        let shown = pattern.as_ref().to_string_lossy();
        let bytes = pattern.as_ref().as_bytes();
        ensure!(
            matches!(bytes.first(), Some(b'/' | b'*')),
            "pattern {shown:?} must begin with / or *: paths are matched as a whole, from the root"
        );
        // A slash at the end says that it is a directory, which everything below is in.
        let mut rest = if bytes.len() > 1 { bytes.strip_suffix(b"/").unwrap_or(bytes) } else { bytes };
        let mut parts = Vec::new();
        while let Some((first, tail)) = rest.split_first() {
            rest = tail;
            match first {
                b'?' => parts.push(Part::One),
                b'*' if parts.last() == Some(&Part::Any) => {}
                b'*' => parts.push(Part::Any),
                b'\\' if !rest.is_empty() => {
                    parts.push(Part::Byte(rest[0]));
                    rest = &rest[1..];
                }
                b'[' => {
                    let inside = !matches!(rest.first(), Some(b'!' | b'^'));
                    let set = if inside { rest } else { &rest[1..] };
                    // A bracket that comes first is one of the set.
                    let end = set.iter().skip(1).position(|byte| *byte == b']').map(|at| at + 1);
                    ensure!(end.is_some(), "pattern {shown:?}: a [ is never closed");
                    let (set, tail) = set.split_at(end.unwrap_or_default());
                    parts.push(Part::Among(ranges(set), inside));
                    rest = &tail[1..];
                }
                byte => parts.push(Part::Byte(*byte)),
            }
        }
        Ok(Glob(parts))
    }

    /// Does it match this path, or a directory above it?
    pub fn matches(&self, path: &[u8]) -> bool {
        let Glob(parts) = self;
        if parts.as_slice() == [Part::Byte(b'/')] {
            return path.first() == Some(&b'/');
        }
        // Where to go on when what follows the last star did not match: that star takes one byte more.
        let (mut part, mut at, mut again) = (0, 0, None);
        loop {
            // The whole pattern is used up at the end of a name.
            if part == parts.len() && (at == path.len() || path[at] == b'/') {
                return true;
            }
            match parts.get(part) {
                Some(Part::Any) => {
                    again = Some((part, at));
                    part += 1;
                    continue;
                }
                Some(one) if path.get(at).is_some_and(|byte| one.takes(*byte)) => {
                    (part, at) = (part + 1, at + 1);
                    continue;
                }
                _ => {}
            }
            match again {
                Some((star, from)) if from < path.len() => {
                    again = Some((star, from + 1));
                    (part, at) = (star + 1, from + 1);
                }
                _ => return false,
            }
        }
    }
}

/// `abc`, `a-z`: first and last bytes.
fn ranges(mut set: &[u8]) -> Vec<(u8, u8)> {
    let mut ranges = Vec::new();
    while let Some((first, rest)) = set.split_first() {
        match rest {
            [b'-', last, tail @ ..] => {
                ranges.push((*first, *last));
                set = tail;
            }
            _ => {
                ranges.push((*first, *first));
                set = rest;
            }
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Glob::parse(pattern).unwrap().matches(path.as_bytes())
    }

    #[test]
    fn patterns_match_as_fnmatch_does() {
        for (pattern, yes, no) in [
            ("/data/x", "/data/x", "/data/xy"),
            ("/data/*.db", "/data/a/b.db", "/data/a.dbx"),
            ("/data/?", "/data/a", "/data/"),
            ("*.so*", "/usr/lib/libc.so.6", "/usr/lib/libc.a"),
            ("/[a-c]x", "/bx", "/dx"),
            ("/[!a-c]x", "/dx", "/bx"),
            ("/[]x]", "/]", "/a"),
            ("/a\\*", "/a*", "/ab"),
            ("*/wal/*", "/pg/wal/0001", "/pg/wal"),
            ("/*a*b*c", "/xaxbxbc", "/xaxcxb"),
        ] {
            assert!(matches(pattern, yes), "{pattern} {yes}");
            assert!(!matches(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn a_directory_holds_what_is_below_it() {
        assert!(matches("/data", "/data/a/b") && matches("/data/", "/data/a") && matches("/data/", "/data"));
        assert!(!matches("/data", "/database") && matches("/", "/any/thing") && matches("*.d", "/etc/x.d/y"));
    }

    #[test]
    fn what_is_no_pattern_says_so() {
        assert!(Glob::parse("data/*").unwrap_err().to_string().contains("must begin with"));
        assert!(Glob::parse("/a[b").unwrap_err().to_string().contains("never closed"));
        assert!(Glob::parse("").is_err());
    }

    #[test]
    fn a_bad_case_takes_no_longer_than_its_length_asks() {
        let pattern = format!("/{}b", "a*".repeat(60));
        assert!(!matches(&pattern, &format!("/{}", "a".repeat(4000))));
    }
}
