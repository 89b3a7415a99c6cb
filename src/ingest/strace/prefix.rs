//! Parses what precedes the call on a line: thread, time, and the columns of `-r`, `-n`, `-i` and `--secontext`.

use crate::ingest::parse::{Stamp, digits};
use memchr::{memchr, memmem};

/// The columns before the call on a line, and the rest of the line.
#[derive(Debug)]
pub struct Prefix<'a> {
    /// The thread id (`-f`); `None` when the line has none.
    pub tid: Option<i64>,
    /// The time on the line (`-t`, `-tt`, `-ttt`, `-r`), if any.
    pub stamp: Stamp,
    /// The number of the syscall (`-n`); `None` when the line has none.
    pub number: Option<i64>,
    /// The rest of the line, from the call on.
    pub rest: &'a [u8],
}

/// Splits the columns before the call off a line; `None` when they are malformed.
pub fn prefix(line: &[u8]) -> Option<Prefix<'_>> {
    let (tid, rest) = thread(line)?;
    let mut prefix = Prefix { tid, stamp: Stamp::None, number: None, rest };
    prefix.columns();
    let len = prefix.rest.iter().take_while(|c| c.is_ascii_digit() || matches!(c, b'.' | b':')).count();
    if len > 0 {
        prefix.stamp = time(&prefix.rest[..len])?;
        prefix.rest = prefix.rest[len..].trim_ascii_start();
        // `-r` beside another time: `(+     0.000123)`
        if prefix.rest.starts_with(b"(+") {
            prefix.rest = prefix.rest[memchr(b')', prefix.rest)? + 1..].trim_ascii_start();
        }
        prefix.columns();
    }
    Some(prefix)
}

impl Prefix<'_> {
    /// Strips the columns `[ 257]` (`-n`), `[00007f4a0b1c2d3e]` (`-i`) and `[user_t]` (`--secontext`).
    fn columns(&mut self) {
        self.rest = self.rest.trim_ascii_start();
        while self.rest.first() == Some(&b'[')
            && let Some(end) = memmem::find(self.rest, b"] ")
        {
            let inner = self.rest[1..end].trim_ascii_start();
            let plain = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b':' | b'.' | b',' | b'-' | b'!' | b'?');
            if inner.is_empty() || !inner.iter().all(plain) {
                return;
            }
            // An address has 8 or 16 digits.
            if inner.len() < 8 && inner.iter().all(u8::is_ascii_digit) {
                self.number = digits(inner).ok();
            }
            self.rest = self.rest[end + 2..].trim_ascii_start();
        }
    }
}

/// The thread id at the start of a line, if there is one (`12 `, `12<sh> `, `[pid 12] `, `[pid 12<sh>] `), and the rest. `None`
/// when it is malformed.
fn thread(line: &[u8]) -> Option<(Option<i64>, &[u8])> {
    let bracket = line.strip_prefix(b"[pid ");
    let text = bracket.unwrap_or(line).trim_ascii_start();
    let len = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let (number, rest) = text.split_at(len);
    // A program's name may contain anything but `>`, which strace escapes.
    let end: &[u8] = match (bracket.is_some(), rest.first()) {
        (true, Some(b'<')) => b">]",
        (true, _) => b"]",
        (false, Some(b'<')) if len > 0 => b"> ",
        // Digits that are too many for a process id are a time in seconds.
        (false, Some(b' ')) if (1..=8).contains(&len) => b" ",
        (false, Some(b' ')) if len > 10 => return None,
        (false, _) => return Some((None, line)),
    };
    let at = memmem::find(rest, end)?;
    Some((Some(id(number)?), &rest[at + end.len()..]))
}

/// Parses a process or thread id: from 0 to the kernel's limit (proc(5), pid_max: 4194304).
pub fn id(text: &[u8]) -> Option<i64> {
    digits(text).ok().filter(|id| (0..=1 << 22).contains(id))
}

/// Parses a time: `1795370969.863547` (-ttt), `12:34:56` (-t), `12:34:56.123456` (-tt), `0.000123` (-r).
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
    // A leap second is number 60 of its minute.
    if hours >= 24 || minutes >= 60 || nanos >= 61_000_000_000 {
        return None;
    }
    Some(Stamp::Day((hours * 60 + minutes) * 60_000_000_000 + nanos))
}

/// Parses seconds with up to nine decimals, as nanoseconds.
pub fn seconds(text: &[u8]) -> Option<i64> {
    let dot = memchr(b'.', text).unwrap_or(text.len());
    let whole = decimal(&text[..dot])?;
    let part = text.get(dot + 1..).unwrap_or_default();
    if part.len() > 9 {
        return None;
    }
    let scale = 10i64.pow(9 - part.len() as u32);
    let part = if part.is_empty() { 0 } else { decimal(part)? };
    whole.checked_mul(1_000_000_000)?.checked_add(part * scale)
}

fn decimal(text: &[u8]) -> Option<i64> {
    if text.first().is_none_or(|c| !c.is_ascii_digit()) { None } else { digits(text).ok() }
}
