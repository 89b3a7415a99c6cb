//! Patterns of paths (globs): `/var/lib/*.db`, `/data/[a-m]?`.
//!
//! They are those of `find -path`, which are those of fnmatch(3): `*` stands for any bytes, also across `/`, `?` for one byte,
//! `[abc]` and `[a-z]` for one of these bytes, `[!a]` for one that is not; a backslash takes the next byte literally. A
//! pattern that matches a directory matches all paths below it.

use anyhow::{Context, Result, ensure};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

/// One pattern of absolute paths, ready for fnmatch(3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(CString);

impl Glob {
    /// Parses a pattern. Only absolute paths are matched, so it must begin with `/` or with `*`.
    ///
    /// # Errors
    /// When it begins otherwise, or has a NUL byte inside.
    pub fn parse(pattern: impl AsRef<OsStr>) -> Result<Glob> {
        let bytes = pattern.as_ref().as_bytes();
        ensure!(
            matches!(bytes.first(), Some(b'/' | b'*')),
            "pattern {:?} must begin with / or *: paths are matched as a whole, from the root",
            pattern.as_ref()
        );
        // A slash at the end names a directory, which matches all below it even without the slash.
        let path = bytes.strip_suffix(b"/").unwrap_or(bytes);
        Ok(Glob(CString::new(path).context("a pattern has a zero byte")?))
    }

    /// Does the pattern match this path, or a directory above it?
    pub fn matches(&self, path: &[u8]) -> bool {
        // SAFETY: both end in a zero byte; fnmatch(3) reads no further.
        let matches = |path: CString| unsafe { libc::fnmatch(self.0.as_ptr(), path.as_ptr(), FNM_LEADING_DIR) == 0 };
        CString::new(path).is_ok_and(matches)
    }
}

/// FNM_LEADING_DIR of fnmatch(3): a match of a leading directory of the path is enough. The libc crate lacks it.
const FNM_LEADING_DIR: libc::c_int = 1 << 3;

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
    fn bytes_that_are_no_text_are_bytes() {
        let glob = Glob::parse("/data/?.db").unwrap();
        assert!(glob.matches(b"/data/\xff.db") && !glob.matches(b"/data/\xff\xfe.db"));
    }

    #[test]
    fn a_directory_holds_what_is_below_it() {
        assert!(matches("/data", "/data/a/b") && matches("/data/", "/data/a") && matches("/data/", "/data"));
        assert!(!matches("/data", "/database") && matches("/", "/any/thing") && matches("*.d", "/etc/x.d/y"));
    }

    #[test]
    fn what_is_no_pattern_says_so() {
        assert!(Glob::parse("data/*").unwrap_err().to_string().contains("must begin with"));
        assert!(Glob::parse("").is_err());
    }

    #[test]
    fn a_bad_case_takes_no_longer_than_its_length_asks() {
        let pattern = format!("/{}b", "a*".repeat(60));
        assert!(!matches(&pattern, &format!("/{}", "a".repeat(4000))));
    }
}
