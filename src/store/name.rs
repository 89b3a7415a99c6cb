//! Names of places: which are URLs of stores, and which local paths as a URL.

use crate::capture::Glob;
use anyhow::{Context, Result, ensure};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What URLs of places outside of the local file system begin with.
const SCHEMES: [&str; 5] = ["s3://", "gs://", "az://", "https://", "http://"];

/// Is this the URL of a place outside of the local file system?
pub fn is(path: &Path) -> bool {
    SCHEMES.iter().any(|scheme| path.as_os_str().as_bytes().starts_with(scheme.as_bytes()))
}

/// The places that a name stands for: a URL of a store may be a pattern (`*`, `?`, `[...]`), and so may a `file://` URL, which becomes
/// a local path. Any other name stands for itself.
///
/// # Errors
/// When nothing matches, or the store does not answer.
pub fn places(name: PathBuf) -> Result<Vec<PathBuf>> {
    if is(&name) {
        return super::expand(&name);
    }
    let Some(path) = local(&name)? else { return Ok(vec![name]) };
    let mut places = vec![PathBuf::new()];
    for part in path.components() {
        let part = part.as_os_str();
        // An escape stands for itself, also one of a star.
        let resolved = resolved(part, &name)?;
        match is_pattern(&part.to_string_lossy()) {
            false => places.iter_mut().for_each(|place| place.push(&resolved)),
            true => places = places.iter().flat_map(|place| matching(place, &resolved)).collect(),
        }
    }
    ensure!(!places.is_empty(), "nothing matches {}", name.display());
    places.sort();
    Ok(places)
}

/// The one place that a name stands for.
///
/// # Errors
/// As [`places`], and when it stands for several.
pub fn place(name: PathBuf) -> Result<PathBuf> {
    let shown = name.display().to_string();
    let mut places = places(name)?;
    let first = places.pop().with_context(|| format!("nothing matches {shown}"))?;
    ensure!(places.is_empty(), "{shown} matches {} places, and one is wanted here", places.len() + 1);
    Ok(first)
}

/// Is a part of a path a pattern?
pub(super) fn is_pattern(part: &str) -> bool {
    part.contains(['*', '?', '['])
}

/// Does a pattern match a name? As in a shell, not one that begins with a dot unless the pattern does, too.
pub(super) fn matches(pattern: &OsStr, name: &OsStr) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let hidden = name.starts_with(b".") && !pattern.starts_with(b".");
    // Patterns of whole paths are what there is.
    let whole = |part: &[u8]| OsString::from_vec([b"/", part].concat());
    !hidden && Glob::parse(whole(pattern)).is_ok_and(|glob| glob.matches(whole(name).as_bytes()))
}

/// The entries of a directory that a pattern matches.
fn matching(dir: &Path, pattern: &OsStr) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name()).filter(|name| matches(pattern, name));
    names.map(|name| dir.join(name)).collect()
}

/// The path in a `file://` URL, with its `%` escapes (RFC 8089); `None` for any other name.
///
/// # Errors
/// When the URL names another machine.
fn local(name: &Path) -> Result<Option<&Path>> {
    let Some(rest) = name.as_os_str().as_bytes().strip_prefix(b"file://") else { return Ok(None) };
    let rest = rest.strip_prefix(b"localhost").unwrap_or(rest);
    ensure!(rest.starts_with(b"/"), "{} names no path of this machine: write file:///PATH", name.display());
    Ok(Some(Path::new(OsStr::from_bytes(rest))))
}

/// A part of the path in a URL with its `%` escapes resolved.
///
/// # Errors
/// When an escape is none, or that of a byte that no name of a file has.
fn resolved(part: &OsStr, url: &Path) -> Result<OsString> {
    let mut path = Vec::with_capacity(part.len());
    let mut bytes = part.as_bytes().iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            path.push(*byte);
            continue;
        }
        let mut digit = || char::from(*bytes.next()?).to_digit(16);
        let value = digit().zip(digit()).map(|(high, low)| (high * 16 + low) as u8);
        let value = value.with_context(|| format!("{} has a % without two hexadecimal digits behind it", url.display()))?;
        ensure!(!matches!(value, 0 | b'/'), "{} has an escape of a byte that no name holds", url.display());
        path.push(value);
    }
    Ok(OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_paths() {
        for url in ["s3://bucket/a", "gs://b", "az://c/d", "https://host/x", "http://127.0.0.1:80/x"] {
            assert!(is(Path::new(url)), "{url}");
        }
        for path in ["s3:/bucket", "./s3://bucket", "file:///x", "x/https://y", "S3://bucket", "ftp://host/x"] {
            assert!(!is(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn patterns_of_file_urls_match_directories() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["host=a", "host=b", ".host=c", "other"] {
            fs::create_dir_all(dir.path().join(name).join("date=1")).unwrap();
        }
        let found = |pattern: &str| places(PathBuf::from(format!("file://{}/{pattern}", dir.path().display())));
        assert_eq!(found("host=*").unwrap(), ["host=a", "host=b"].map(|name| dir.path().join(name)));
        assert_eq!(found("[ho]*/date=?").unwrap().len(), 3);
        assert_eq!(found("none").unwrap(), [dir.path().join("none")]);
        // An escaped star is a star.
        fs::create_dir(dir.path().join("host=*")).unwrap();
        assert_eq!(found("host=%2a").unwrap(), [dir.path().join("host=*")]);
        fs::remove_dir(dir.path().join("host=*")).unwrap();
        assert!(found("none*").unwrap_err().to_string().contains("nothing matches"));
        // A pattern without a URL is the shell's.
        assert_eq!(places(PathBuf::from("host=*")).unwrap(), [PathBuf::from("host=*")]);
        assert!(place(PathBuf::from(format!("file://{}/host=*", dir.path().display()))).is_err());
    }

    #[test]
    fn a_file_url_is_a_path() {
        let path = |url: &str| place(PathBuf::from(url)).map(|path| path.to_string_lossy().into_owned());
        assert_eq!(path("file:///a/b%20c").unwrap(), "/a/b c");
        assert_eq!(path("file://localhost/a").unwrap(), "/a");
        assert_eq!(path("a/b%20c").unwrap(), "a/b%20c");
        for wrong in ["file://host/a", "file://a", "file:///a%2", "file:///a%zz", "file:///a%00", "file:///a%2fb"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }
}
