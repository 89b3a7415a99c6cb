//! Lines on a terminal that strace shares with the programs it traces.
//!
//! strace prints the arguments of a call before it runs and the outcome afterwards, so what a program writes stands between
//! them: `write(1, "hello\n", 6hello` and, on a later line, `) = 6`. With `-z` and its like strace itself breaks the line of a
//! call: `12 read(3,  <unfinished ...>`, and below it, without thread and time, `"a", 1) = 1`.

use super::lex::{self, Printed};
use memchr::{memchr, memmem};

/// Can the line be the end of a call that began on an earlier one: `)  = 6`, `, child_tidptr=0x7f12) = 101`,
/// `child_stack=0, flags=SIGCHLD) = 101`, `NULL, 8) = 0`?
pub fn is_tail(line: &[u8]) -> bool {
    let text = line.strip_prefix(b"-").unwrap_or(line);
    let name = text.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == b'_').count();
    let goes_on = match &text[name..] {
        [b',' | b' ' | b')' | b'"' | b'{' | b'[' | b'~', ..] if name == 0 => text.len() == line.len(),
        [b'=' | b',' | b')' | b'|', ..] | [b' ', b'/', b'*', ..] | [b' ', b'=', b'>', ..] => name > 0,
        _ => false,
    };
    goes_on && is_whole(line)
}

/// Does the text end as a call does that returned?
pub fn is_whole(text: &[u8]) -> bool {
    let Some(at) = memmem::rfind(text, b"= ") else { return false };
    text[..at].trim_ascii_end().ends_with(b")") && matches!(text.get(at + 2), Some(b'-' | b'?' | b'0'..=b'9'))
}

/// A call of write without what it wrote, which stands behind its count; nothing when that is no such line.
pub fn output(text: &[u8]) -> Option<Vec<u8>> {
    let args = text.strip_prefix(b"write(")?;
    let quote = memchr(b'"', args)?;
    let string = &args[quote..];
    let end = lex::string_len(string)?;
    let (cut, rest) = match string[end..].strip_prefix(b"...") {
        Some(rest) => (true, rest),
        None => (false, &string[end..]),
    };
    let rest = rest.strip_prefix(b", ")?;
    let Printed::Whole(data) = lex::string(&string[..end])? else { return None };
    let first = data.split(|c| *c == b'\n').next().unwrap_or_default();
    let digits = rest.iter().take_while(|c| c.is_ascii_digit()).count();
    // What was written may begin with digits itself. Of a string that is not cut the length is known.
    let count = (1..=digits).find(|len| {
        let shown = &rest[*len..];
        let counted = cut || lex::number(&rest[..*len]) == i64::try_from(data.len()).ok();
        counted && !first.is_empty() && (shown.starts_with(first) || cut && first.starts_with(shown) && !shown.is_empty())
    })?;
    let shown = &rest[count..];
    let mut whole = text[..text.len() - shown.len()].to_vec();
    // Output without a new line: the outcome stands on the same line.
    if !data.contains(&b'\n')
        && !cut
        && let Some(outcome) = shown.strip_prefix(first).filter(|outcome| outcome.first() == Some(&b')'))
    {
        whole.extend_from_slice(outcome);
    }
    Some(whole)
}
