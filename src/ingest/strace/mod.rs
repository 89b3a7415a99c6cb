//! The output of `strace -f`, in its usual flavours.
//!
//! A line is `[pid] [time] what`. `what` is a whole call `name(args) = ret <duration>`, the first half of one
//! (`name(args <unfinished ...>`), a second half (`<... name resumed>args) = ret`), or a note: a signal (`--- ... ---`),
//! an exit (`+++ ... +++`), a word of strace itself. The arguments stand in the order of the kernel's interface, so the
//! roles of the syscall table say what each of them is.

mod args;
mod errno;
mod lex;
mod names;

use super::parse::{Batch, Parsed, Parser, Stamp, What, Why};
use crate::event::{Col, Event, Text};
use crate::syscall::{Ret, Syscall};
use memchr::{memchr, memmem};

/// Lines hold data when strace was told to print much of it (`-s`), at four bytes for each.
const LONGEST: usize = 512 * 1024;
const UNFINISHED: &[u8] = b"<unfinished ...>";
const DETACHED: &[u8] = b"<detached ...>";

/// The parser.
pub struct Strace;

/// Is this the start of strace output?
pub fn detect(start: &[u8]) -> bool {
    start.split(|c| *c == b'\n').take(64).any(|line| {
        let mut batch = Batch::default();
        Strace.line(1, line, &mut batch);
        batch.parsed.iter().any(|parsed| matches!(parsed.what, What::Call(_) | What::Half(_)))
    })
}

/// What stands before the call.
struct Prefix<'a> {
    tid: Option<i64>,
    stamp: Stamp,
    rest: &'a [u8],
}

impl Parser for Strace {
    fn line(&self, number: u64, line: &[u8], batch: &mut Batch) {
        if line.len() > LONGEST {
            return batch.reject(number, Why::Long, line);
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() {
            batch.notes += 1;
            return;
        }
        if line[0] == b'#' {
            batch.comments += 1;
            return;
        }
        let Some(prefix) = prefix(line) else { return batch.reject(number, Why::Number, line) };
        match what(prefix.rest) {
            Ok(Some(what)) => {
                if matches!(what, What::End { killed: false } | What::Superseded { .. }) {
                    batch.notes += 1;
                }
                batch.parsed.push(Parsed { line: number, stamp: prefix.stamp, tid: prefix.tid, what });
            }
            Ok(None) => batch.notes += 1,
            Err(why) if memchr(0, line).is_some() => {
                batch.reject(number, if why == Why::NotEvent { Why::Nul } else { why }, line)
            }
            Err(why) => batch.reject(number, why, line),
        }
    }

    fn call(&self, text: &[u8]) -> Result<Event, Why> {
        call(text, true)
    }
}

/// Takes pid and time off a line; `None` when they are malformed.
fn prefix(line: &[u8]) -> Option<Prefix<'_>> {
    let mut rest = line;
    let mut tid = None;
    if let Some(tail) = rest.strip_prefix(b"[pid ") {
        let end = memchr(b']', tail)?;
        tid = Some(id(tail[..end].trim_ascii())?);
        rest = tail[end + 1..].trim_ascii_start();
    } else {
        // A number followed by a blank is a pid; a time has a dot or colons. The pid column of -Y: `12<comm>`.
        let text = rest.trim_ascii_start();
        let len = text.iter().take_while(|c| c.is_ascii_digit()).count();
        match text.get(len) {
            Some(b' ') if len > 0 => {
                tid = Some(id(&text[..len])?);
                rest = text[len..].trim_ascii_start();
            }
            Some(b'<') if len > 0 => {
                tid = Some(id(&text[..len])?);
                let end = memchr(b'>', text)?;
                rest = text[end + 1..].trim_ascii_start();
            }
            _ => {}
        }
    }
    let text = rest.trim_ascii_start();
    let len = text.iter().take_while(|c| c.is_ascii_digit() || matches!(c, b'.' | b':')).count();
    let mut stamp = Stamp::None;
    rest = text;
    if len > 0 {
        stamp = time(&text[..len])?;
        rest = text[len..].trim_ascii_start();
        // -r beside another time: `(+     0.000123)`
        if rest.starts_with(b"(+") {
            rest = rest[memchr(b')', rest)? + 1..].trim_ascii_start();
        }
    }
    Some(Prefix { tid, stamp, rest })
}

fn id(text: &[u8]) -> Option<i64> {
    super::parse::digits(text).ok().filter(|id| (0..=1 << 22).contains(id))
}

/// A time: `1795370969.863547` (-ttt), `12:34:56` (-t), `12:34:56.123456` (-tt), `0.000123` (-r).
fn time(text: &[u8]) -> Option<Stamp> {
    if memchr(b':', text).is_none() {
        let dot = memchr(b'.', text).unwrap_or(text.len());
        let nanos = seconds(text)?;
        // Seconds since 1970 have ten digits since 2001; a gap between two lines never has.
        return Some(if dot >= 9 { Stamp::Unix(nanos) } else { Stamp::Step(nanos) });
    }
    let mut parts = text.splitn(3, |c| *c == b':');
    let (hours, minutes) = (id(parts.next()?)?, id(parts.next()?)?);
    let nanos = seconds(parts.next()?)?;
    Some(Stamp::Day((hours * 60 + minutes) * 60_000_000_000 + nanos))
}

/// Seconds with up to nine decimals, as nanoseconds.
fn seconds(text: &[u8]) -> Option<i64> {
    let dot = memchr(b'.', text).unwrap_or(text.len());
    let whole = lex_decimal(&text[..dot])?;
    let part = text.get(dot + 1..).unwrap_or_default();
    if part.len() > 9 {
        return None;
    }
    let scale = 10i64.pow(9 - part.len() as u32);
    let part = if part.is_empty() { 0 } else { lex_decimal(part)? };
    whole.checked_mul(1_000_000_000)?.checked_add(part * scale)
}

fn lex_decimal(text: &[u8]) -> Option<i64> {
    if text.first().is_none_or(|c| !c.is_ascii_digit()) { None } else { super::parse::digits(text).ok() }
}

/// What a line says after pid and time; nothing when it is a note.
fn what(text: &[u8]) -> Result<Option<What>, Why> {
    match text {
        [b'+', b'+', b'+', ..] => Ok(end(text)),
        [b'-', b'-', b'-', ..] | [b'[', b' ', b'P', ..] => Ok(None),
        _ if text.starts_with(b"strace: ") => Ok(None),
        // What is left of a first half into which strace put a message of its own.
        _ if text == UNFINISHED || text == DETACHED => Ok(None),
        [b'<', b'.', b'.', b'.', b' ', rest @ ..] => {
            let at = memmem::find(rest, b" resumed>").ok_or(Why::Cut)?;
            Ok(Some(What::Rest { name: rest[..at].into(), text: rest[at + 9..].into() }))
        }
        _ if text.starts_with(b"Process ") && (text.ends_with(b"attached") || text.ends_with(b"detached")) => Ok(None),
        _ => {
            for mark in [UNFINISHED, DETACHED] {
                if let Some(half) = text.strip_suffix(mark) {
                    check_name(half)?;
                    return Ok(Some(What::Half(half.trim_ascii_end().into())));
                }
            }
            // On a terminal strace's own messages land inside lines.
            if text.ends_with(b" attached")
                && let Some(at) = memmem::rfind(text, b"strace: Process ")
            {
                check_name(&text[..at])?;
                return Ok(Some(What::Half(text[..at].trim_ascii_end().into())));
            }
            call(text, false).map(|event| Some(What::Call(event)))
        }
    }
}

/// `+++ exited with 0 +++`, `+++ killed by SIGKILL (core dumped) +++`, `+++ superseded by execve in pid 12 +++`
fn end(text: &[u8]) -> Option<What> {
    let text = text.strip_prefix(b"+++ ").unwrap_or(text);
    if let Some(rest) = text.strip_prefix(b"superseded by execve in pid ") {
        let len = rest.iter().take_while(|c| c.is_ascii_digit()).count();
        return id(&rest[..len]).map(|by| What::Superseded { by });
    }
    match text {
        _ if text.starts_with(b"exited ") => Some(What::End { killed: false }),
        _ if text.starts_with(b"killed ") => Some(What::End { killed: true }),
        _ => None,
    }
}

/// The name of the call at the start of `text`, and where its arguments begin.
fn check_name(text: &[u8]) -> Result<(&[u8], usize), Why> {
    let len = text.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == b'_').count();
    if len == 0 || text[0].is_ascii_digit() {
        return Err(Why::NotEvent);
    }
    match text.get(len) {
        Some(b'(') => Ok((&text[..len], len + 1)),
        None => Err(Why::Cut),
        Some(_) => Err(Why::NotEvent),
    }
}

/// Parses a call. A `half` is a call that may never have returned: arguments and outcome may be missing.
fn call(text: &[u8], half: bool) -> Result<Event, Why> {
    let (name, start) = check_name(text)?;
    let syscall = Syscall::parse(name).unwrap_or(Syscall::other);
    let mut event = Event::new(syscall);
    let (list, rest) = match lex::split(&text[start..]) {
        Some((list, rest)) => (list, rest),
        None if half => return Err(Why::Argument),
        None => return Err(if memmem::find(text, b") = ").is_some() { Why::Argument } else { Why::Cut }),
    };
    if syscall == Syscall::other {
        event.other = Some(String::from_utf8_lossy(name).into());
    } else {
        args::fill(&mut event, list.as_slice())?;
    }
    match rest {
        Some(rest) => outcome(&mut event, rest)?,
        None if half => {}
        None => return Err(Why::Cut),
    }
    if syscall == Syscall::_llseek {
        // The position is stored, and 0 returned.
        match (event.success(), event.int(Col::Arg)) {
            (Some(_), Some(position)) => event.set(Col::Ret, position),
            (Some(_), None) => event.put(Col::Ret, None),
            (None, _) => {}
        }
        event.put(Col::Arg, None);
    }
    Ok(event)
}

/// Parses what follows the arguments: ` = 3</path> <0.000123>`.
fn outcome(event: &mut Event, text: &[u8]) -> Result<(), Why> {
    let text = text.trim_ascii_start();
    let Some(mut text) = text.strip_prefix(b"=").map(<[u8]>::trim_ascii) else {
        return Err(if text.is_empty() { Why::Cut } else { Why::Outcome });
    };
    // The duration of -T.
    if text.last() == Some(&b'>')
        && let Some(at) = memmem::rfind(text, b" <")
        && let Some(nanos) = text.get(at + 2..text.len() - 1).and_then(seconds)
    {
        event.set(Col::Dur, nanos);
        text = text[..at].trim_ascii_end();
    }
    if text.is_empty() {
        return Err(Why::Cut);
    }
    if text[0] == b'?' {
        // Never returned, or was interrupted and is restarted: the outcome stays unknown.
        return Ok(());
    }
    if let Some(error) = text.strip_prefix(b"-1 ") {
        let len = error.iter().take_while(|c| c.is_ascii_alphanumeric()).count();
        let number = match errno::number(&error[..len]) {
            Some(number) => number,
            None => {
                let at = memmem::find(error, b"(errno ").ok_or(Why::Outcome)?;
                let digits = &error[at + 7..];
                let len = digits.iter().take_while(|c| c.is_ascii_digit()).count();
                lex::number(&digits[..len]).ok_or(Why::Outcome)?
            }
        };
        event.set(Col::Ret, -1);
        event.set(Col::Errno, number);
        return Ok(());
    }
    // `3</path with blanks>`, `0x802 (flags O_RDWR|O_NONBLOCK)`, `0 (Timeout)`, `12<comm>`
    let digits = text.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == b'-').count();
    let ret = lex::number(&text[..digits]).ok_or(Why::Outcome)?;
    match text.get(digits) {
        None | Some(b' ') => {}
        Some(b'<') if event.syscall.def().ret == Ret::NewFd => {
            if let Some((_, Some(on))) =
                lex::descriptor(&text[..digits + lex::annotation_len(&text[digits..]).ok_or(Why::Outcome)?])
            {
                args::note(event, Text::FdPath, on, true);
            }
        }
        Some(b'<') => {
            lex::annotation_len(&text[digits..]).ok_or(Why::Outcome)?;
        }
        Some(_) => return Err(Why::Outcome),
    }
    event.set(Col::Ret, ret);
    event.set(Col::Errno, 0);
    Ok(())
}

#[cfg(test)]
mod tests;
