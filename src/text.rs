//! Bytes as text and back, without loss.
//!
//! A Linux path is any bytes but NUL; SQL, JSON and every Parquet reader want UTF-8. Text that is UTF-8 stays as it
//! is. A byte that is not part of valid UTF-8 becomes the private character U+EF00 + byte; so that this stays a
//! bijection, the bytes of a real U+EF80..U+EFFF are written the same way.

use std::borrow::Cow;

const BASE: u32 = 0xEF00;
const FIRST: u32 = BASE + 0x80;
const LAST: u32 = BASE + 0xFF;

/// The text form of any bytes.
pub fn encode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !may_escape(text) => Cow::Borrowed(text),
        _ => Cow::Owned(encode_slow(bytes)),
    }
}

/// Can the text have an escape? All of them begin with one byte, which is rare and quickly looked for.
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

/// The bytes behind a text made by [`encode`].
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
