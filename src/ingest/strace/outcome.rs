//! Parses the outcome of a call, behind its arguments: ` = 3</path> <0.000123>`.

use super::{args, errno, lex, prefix};
use crate::event::{Col, Event, Text};
use crate::ingest::doubt::{Doubt, Doubts};
use crate::ingest::parse::Why;
use crate::syscall::{Ret, Syscall};
use memchr::{memchr, memmem};

/// Mark behind the path of a file whose name was deleted.
const GONE: &[u8] = b"(deleted)";

/// Parses the outcome (return value, error, duration) into the columns of an event.
pub fn outcome(event: &mut Event, text: &[u8], doubts: &mut Doubts) -> Result<(), Why> {
    let text = text.trim_ascii_start();
    let Some(mut text) = text.strip_prefix(b"=").map(<[u8]>::trim_ascii) else {
        return Err(if text.is_empty() { Why::Cut } else { Why::Outcome });
    };
    // The duration (`-T`).
    if text.last() == Some(&b'>')
        && let Some(at) = memmem::rfind(text, b" <")
        && let Some(nanos) = text.get(at + 2..text.len() - 1).and_then(prefix::seconds)
    {
        event.set(Col::Dur, nanos);
        text = text[..at].trim_ascii_end();
    }
    let (text, injected) = marks(text);
    if injected {
        doubts.add(Doubt::Injected, 1);
    }
    match text {
        [] => Err(Why::Cut),
        // Never returned, or interrupted and restarted: the outcome is unknown.
        [b'?', rest @ ..] => {
            let rest = rest.trim_ascii_start();
            let len = word(rest);
            ends(&rest[len..])?;
            if told(&rest[len..]).is_some() {
                return Err(Why::Outcome);
            }
            // sigreturn(2) shows the signal mask that the thread continues with.
            let fine = rest.is_empty()
                || rest[..len].starts_with(b"ERESTART")
                || event.syscall == Syscall::other && rest.starts_with(b"(mask now [");
            if fine { Ok(()) } else { Err(Why::Outcome) }
        }
        [b'-', b'1', b' ', error @ ..] => failed(event, error),
        _ => returned(event, text),
    }
}

/// Strips from the end the marks of strace's tampering: ` (INJECTED)`, ` (INJECTED: args, retval)`, ` (DELAYED)`. True when the
/// outcome, or other arguments than those printed, were injected.
fn marks(mut text: &[u8]) -> (&[u8], bool) {
    let mut injected = false;
    while let Some(at) = memmem::rfind(text, b" (").filter(|at| memchr(b')', &text[*at..]) == Some(text.len() - 1 - at)) {
        match &text[at + 2..] {
            b"DELAYED)" => {}
            [b'I', b'N', b'J', b'E', b'C', b'T', b'E', b'D', b')' | b':', ..] => injected = true,
            _ => break,
        }
        text = text[..at].trim_ascii_end();
    }
    (text, injected)
}

/// Length of the word (letters, digits, underscores) at the start of a text.
fn word(text: &[u8]) -> usize {
    text.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == b'_').count()
}

/// Checks that nothing follows an outcome except what strace adds to it: ` (flags O_RDWR)`, ` [user_home_t]`.
fn ends(text: &[u8]) -> Result<(), Why> {
    let fine = match text.trim_ascii() {
        [] => true,
        [b'(', inner @ .., b')'] => memmem::find(inner, b") = ").is_none(),
        [b'[', inner @ .., b']'] => memchr::memchr2(b' ', b']', inner).is_none(),
        _ => false,
    };
    let second = || if memmem::find(text, b") = ").is_some() { Why::Glued } else { Why::Outcome };
    if fine { Ok(()) } else { Err(second()) }
}

/// The errno that the words in parentheses describe, if they are glibc's for an error.
fn told(text: &[u8]) -> Option<i64> {
    errno::told(text.trim_ascii().strip_prefix(b"(")?.strip_suffix(b")")?)
}

/// Parses the error of a failed call: `ENOENT (No such file or directory)`, `(errno 38)`, `E??? (errno 530)`, `EFOO (Unknown
/// error 700)`
fn failed(event: &mut Event, error: &[u8]) -> Result<(), Why> {
    let len = word(error);
    let unknown = error[len..].iter().take_while(|c| **c == b'?').count();
    ends(&error[len + unknown..])?;
    let number = match errno::number(&error[..len]) {
        Some(number) => number,
        None => {
            let marks: [&[u8]; 2] = [b"(errno ", b"(Unknown error "];
            let at = marks.iter().find_map(|mark| memmem::find(error, mark).map(|at| at + mark.len()));
            let digits = &error[at.ok_or(Why::Outcome)?..];
            let len = digits.iter().take_while(|c| c.is_ascii_digit()).count();
            lex::number(&digits[..len]).ok_or(Why::Outcome)?
        }
    };
    // Other libraries and locales have other words, but never glibc's words for another error.
    if told(&error[len..]).is_some_and(|told| told != number) {
        return Err(Why::Outcome);
    }
    if !errno::RESTARTS.contains(&number) {
        event.set(Col::Ret, -1);
        event.set(Col::Errno, number);
    }
    Ok(())
}

/// Parses a return value: `3</path with blanks>`, `0x802 (flags O_RDWR|O_NONBLOCK)`, `0 (Timeout)`, `12<comm>`,
/// `3 [user_home_t]`, `3 /* 12 in strace's PID NS */`
fn returned(event: &mut Event, text: &[u8]) -> Result<(), Why> {
    let digits = text.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == b'-').count();
    let mut ret = lex::number(&text[..digits]).ok_or(Why::Outcome)?;
    let behind = &text[digits..];
    let annotation = match behind.first() {
        Some(b'<') => lex::annotation_len(behind).ok_or(Why::Outcome)?,
        Some(b' ') | None => 0,
        Some(_) => return Err(Why::Outcome),
    };
    let gone = if annotation > 0 && behind[annotation..].starts_with(GONE) { GONE.len() } else { 0 };
    let (named, behind) = text.split_at(digits + annotation + gone);
    if event.syscall.def().ret == Ret::NewFd
        && let Some((_, Some(on))) = lex::descriptor(named)
    {
        args::note(event, Text::FdPath, on, true);
    }
    match lex::translated(behind) {
        // The id by which lines and other calls know the process.
        Some(id) => ret = id,
        None => ends(behind)?,
    }
    // A failure is printed with a name or number of its error, so a negative value is damage.
    if ret < 0 && event.syscall != Syscall::other {
        return Err(Why::Outcome);
    }
    event.set(Col::Ret, ret);
    event.set(Col::Errno, 0);
    Ok(())
}
