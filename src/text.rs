//! Encodes any bytes as UTF-8 text and back, without loss; shows texts and paths to people safely.
//!
//! A Linux path is any bytes but NUL; SQL, JSON and every Parquet reader want UTF-8. Text that is UTF-8 stays as it
//! is. A byte that is not part of valid UTF-8 becomes the private character U+EF00 + byte; so that this stays a
//! bijection, the bytes of a real U+EF80..U+EFFF are written the same way.

use std::borrow::Cow;
use std::path::Path;

const BASE: u32 = 0xEF00;
const FIRST: u32 = BASE + 0x80;
const LAST: u32 = BASE + 0xFF;

/// Any bytes as UTF-8 text, see the module; [`decode`] is the inverse.
pub fn encode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !may_escape(text) => Cow::Borrowed(text),
        _ => Cow::Owned(encode_slow(bytes)),
    }
}

/// May the text contain an escape? All of them begin with the byte 0xEE, which is rare and fast to search for.
fn may_escape(text: &str) -> bool {
    const LEAD: u8 = 0xEE;
    memchr::memchr(LEAD, text.as_bytes()).is_some() && text.contains(escape_like)
}

fn escape_like(c: char) -> bool {
    (FIRST..=LAST).contains(&(c as u32))
}

fn push_raw(out: &mut String, bytes: &[u8]) {
    out.extend(bytes.iter().filter_map(|byte| char::from_u32(BASE + u32::from(*byte))));
}

fn encode_slow(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if escape_like(c) {
                push_raw(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                out.push(c);
            }
        }
        push_raw(&mut out, chunk.invalid());
    }
    out
}

/// The bytes of a text made by [`encode`].
pub fn decode(text: &str) -> Cow<'_, [u8]> {
    if !may_escape(text) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        if escape_like(c) {
            out.push((c as u32 - BASE) as u8);
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Cow::Owned(out)
}

/// A text on one line, for people: characters that control a terminal are escaped as in C (`\\x1b`, `\\n`), and so is each byte
/// that was no UTF-8. Not for data: it cannot be decoded.
pub fn shown(text: &str) -> Cow<'_, str> {
    replaced(text, |_| false)
}

/// A message on one line, for people: like [`shown`], with the lines of a text of several joined by spaces.
pub fn shown_message(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| shown(line.trim())).filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}

/// A text of several lines, for people: like [`shown`], but line breaks are kept.
pub fn shown_lines(text: &str) -> Cow<'_, str> {
    replaced(text, |c| c == '\n')
}

/// A path quoted as one word of a shell, for commands in messages.
pub fn word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_./=:@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// A path with `more` appended to its last name, quoted as one word of a shell.
pub fn word_and(path: &Path, more: &str) -> String {
    let mut path = path.components().as_path().as_os_str().to_owned();
    path.push(more);
    word(Path::new(&path))
}

/// Is this a character that a terminal would act on: a control character (C0, DEL, C1) or a mark of writing direction (Unicode
/// Standard Annex 9)?
fn obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn replaced(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let odd = |c: char| (obeyed(c) || escape_like(c)) && !stays(c);
    if !text.contains(odd) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' if !stays(c) => out.extend(c.escape_default()),
            c if !odd(c) => out.push(c),
            c if escape_like(c) => out.push_str(&format!("\\x{:02x}", c as u32 - BASE)),
            c if c.is_ascii() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
        }
    }
    Cow::Owned(out)
}

/// Paths in JSON, encoded as texts: `#[serde(with = "crate::text::path")]`. Serde's own form would require UTF-8.
pub mod path {
    use super::{decode, encode};
    use serde::{Deserialize, Deserializer, Serializer};
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    /// Writes a path as an encoded text.
    pub fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&encode(path.as_os_str().as_bytes()))
    }

    /// Reads a path from an encoded text.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        Ok(of(&String::deserialize(from)?))
    }

    fn of(text: &str) -> PathBuf {
        OsString::from_vec(decode(text).into_owned()).into()
    }

    /// Optional paths in JSON: `#[serde(with = "crate::text::path::maybe")]`.
    pub mod maybe {
        use super::*;
        use serde::Serialize;

        /// Writes a path as an encoded text, or null.
        pub fn serialize<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
            path.as_ref().map(|path| encode(path.as_os_str().as_bytes())).serialize(to)
        }

        /// Reads a path from an encoded text; `None` for null.
        pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
            Ok(Option::<String>::deserialize(from)?.map(|text| of(&text)))
        }
    }

    /// Writes a list of paths as encoded texts.
    pub fn all<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(paths.iter().map(|path| encode(path.as_os_str().as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_what_a_terminal_would_obey() {
        assert_eq!(shown("/a/ü b"), "/a/ü b");
        assert_eq!(shown("a\x1b[2J\x07\n\r\x7f\u{9b}\u{202e}"), "a\\x1b[2J\\x07\\n\\r\\x7f\\u{9b}\\u{202e}");
        assert_eq!(shown_lines("a\nb\tc\r"), "a\nb\\tc\\r");
        assert_eq!(shown_message("no match.\n\tCandidates:\n\n\tsum(\x1b)"), "no match. Candidates: sum(\\x1b)");
        assert_eq!(shown(&encode(b"\xff\x9b[m")), "\\xff\\x9b[m");
    }
    use proptest::prelude::*;

    #[test]
    fn a_path_of_any_bytes_is_json() {
        use std::os::unix::ffi::OsStrExt;
        #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
        struct Place {
            #[serde(with = "path")]
            one: std::path::PathBuf,
            #[serde(default, with = "path::maybe")]
            perhaps: Option<std::path::PathBuf>,
        }
        let odd = std::path::PathBuf::from(std::ffi::OsStr::from_bytes(b"/a\n\xff"));
        for place in [Place { one: odd.clone(), perhaps: Some(odd.clone()) }, Place { one: odd, perhaps: None }] {
            assert_eq!(serde_json::from_str::<Place>(&serde_json::to_string(&place).unwrap()).unwrap(), place);
        }
        assert_eq!(serde_json::from_str::<Place>(r#"{"one": "/a"}"#).unwrap().perhaps, None);
    }

    #[test]
    fn utf8_is_not_touched() {
        assert!(matches!(encode("/home/ü".as_bytes()), Cow::Borrowed("/home/ü")));
    }

    proptest! {
        #[test]
        fn every_byte_string_survives(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let text = encode(&bytes);
            prop_assert_eq!(decode(&text).into_owned(), bytes);
        }

        #[test]
        fn text_with_escape_characters_survives(tail in "[\u{EF70}-\u{F010}a]{0,8}") {
            let text = encode(tail.as_bytes());
            prop_assert_eq!(decode(&text).into_owned(), tail.as_bytes());
        }
    }
}
