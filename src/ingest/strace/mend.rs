//! Mends lines of a terminal on which strace and the traced programs both wrote.
//!
//! strace prints the arguments of a call before it runs and the outcome afterwards, so what the program writes may stand
//! between them: `write(1, "hello\n", 6hello` and, on a later line, `) = 6`. With `-z` and similar options strace itself breaks
//! the line of a call: `12 read(3,  <unfinished ...>`, and below it, without thread and time, `"a", 1) = 1`.

use super::lex::{self, Printed};
use memchr::{memchr, memmem};

/// Can the line be the end of a call that began on an earlier line: `)  = 6`, `, child_tidptr=0x7f12) = 101`, `child_stack=0,
/// flags=SIGCHLD) = 101`, `NULL, 8) = 0`?
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

/// Does the text end as a call that returned does: with `) = ` and an outcome?
pub fn is_whole(text: &[u8]) -> bool {
    let Some(at) = memmem::rfind(text, b"= ") else { return false };
    text[..at].trim_ascii_end().ends_with(b")") && matches!(text.get(at + 2), Some(b'-' | b'?' | b'0'..=b'9'))
}

/// The text of a write(2) without the output of the program that stands behind its count (with the outcome if that follows on
/// the same line); `None` when the line is none of this form.
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
    // The output may begin with digits itself. Of a string that was not cut the length is known.
    let count = (1..=digits).find(|len| {
        let shown = &rest[*len..];
        let counted = cut || lex::number(&rest[..*len]) == i64::try_from(data.len()).ok();
        counted && !first.is_empty() && (shown.starts_with(first) || cut && first.starts_with(shown) && !shown.is_empty())
    })?;
    let shown = &rest[count..];
    let mut whole = text[..text.len() - shown.len()].to_vec();
    // Output without a newline: the outcome follows on the same line.
    if !data.contains(&b'\n')
        && !cut
        && let Some(outcome) = shown.strip_prefix(first).filter(|outcome| outcome.first() == Some(&b')'))
    {
        whole.extend_from_slice(outcome);
    }
    Some(whole)
}
