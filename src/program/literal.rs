//! Texts and numbers as C has them, whatever is in them.

use std::fmt::Write as _;

/// Most bytes of a name that a comment has.
const SHOWN: usize = 120;

/// A string literal. All but printable ASCII stands as three octal digits, which no digit behind them can join; `?` is escaped, since two
/// of them begin a trigraph.
pub fn string(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for byte in text {
        match byte {
            b'"' | b'\\' | b'?' => out.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => out.push(char::from(*byte)),
            // A write to a String cannot fail.
            _ => drop(write!(out, "\\{byte:03o}")),
        }
    }
    out.push('"');
    out
}

/// A text in a comment: what would end one, begin one within it, or join lines is broken up; cut to [`SHOWN`] bytes.
pub fn comment(text: &[u8]) -> String {
    let mut out = String::new();
    let mut before = b' ';
    for byte in text.iter().take(SHOWN) {
        match byte {
            b'/' if before == b'*' => out.push_str("\\/"),
            b'*' if before == b'/' => out.push_str("\\*"),
            b'\\' => out.push_str("\\\\ "),
            b'?' if before == b'?' => out.push_str(" ?"),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => drop(write!(out, "\\x{byte:02x}")),
        }
        before = *byte;
    }
    if text.len() > SHOWN {
        out.push_str(" ...");
    }
    out
}

/// A number of type long.
pub fn long(number: i64) -> String {
    match number {
        i64::MIN => "LONG_MIN".into(),
        number if number < 0 => format!("({number}L)"),
        number => format!("{number}L"),
    }
}

/// Flags.
pub fn flags(number: i64) -> String {
    if (0..10).contains(&number) { long(number) } else { format!("{number:#x}L") }
}

/// Permission bits.
pub fn mode(number: i64) -> String {
    if (1..=0o177_777).contains(&number) { format!("0{number:o}L") } else { long(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_a_literal_or_a_comment() {
        assert_eq!(string(b"a\"b\\c??/d\n\x007\xff"), r#""a\"b\\c\?\?/d\012\0007\377""#);
        assert_eq!(comment(b"a*/b/*c\n\\"), r"a*\/b/\*c\x0a\\ ");
        assert_eq!(comment(b"*//*/"), r"*\//\*\/");
        assert_eq!(comment(b"a??/"), "a? ?/");
        assert_eq!(comment(&[b'x'; 200]).len(), SHOWN + 4);
    }

    #[test]
    fn numbers_are_of_type_long() {
        assert_eq!([0, -1, i64::MAX, i64::MIN].map(long), ["0L", "(-1L)", "9223372036854775807L", "LONG_MIN"]);
        assert_eq!(flags(-1), "0xffffffffffffffffL");
        assert_eq!([0, 0o644, -1].map(mode), ["0L", "0644L", "(-1L)"]);
    }
}
