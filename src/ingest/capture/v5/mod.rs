//! `.capture` version 5: the lines that the SystemTap probes in `systemtap/` write.
//!
//! Unlike in versions 3 and 4 a key means the same in every call, so one table reads all lines; text is escaped, so a
//! line has no separators but its own; and nothing is made up in the kernel: a key is missing when its value was not
//! known. Every line has a serial number, and the last line says how many there were. An optional key could be cut off
//! unnoticed, so every line ends with a checksum.

use super::{SEPARATOR, id, named, resizes};
use crate::event::{Col, Event, TIME_NOW, TIME_OMIT, Text};
use crate::ingest::parse::{Ended, Stamp, Why, digits};
use crate::ingest::possible;
use crate::syscall::Ret;
use memchr::{memchr, memmem};

/// What the value of a key means, and in which column of the event it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Int(Col),
    Time(Col),
    Text(Text),
    Outcome,
}

/// Meaning of a key that follows the five with which every line begins; `None` for an unknown key.
fn key(key: u8) -> Option<To> {
    Some(match key {
        b's' => To::Outcome,
        b'd' => To::Int(Col::Fd),
        b'e' => To::Int(Col::Fd2),
        b'h' => To::Int(Col::DirFd),
        b'H' => To::Int(Col::DirFd2),
        b'c' => To::Int(Col::Count),
        b'v' => To::Int(Col::IovCnt),
        b'O' => To::Int(Col::Offset),
        b'E' => To::Int(Col::Offset2),
        b'f' => To::Int(Col::Flags),
        b'm' => To::Int(Col::Mode),
        b'W' => To::Int(Col::Whence),
        b'F' => To::Int(Col::Cmd),
        b'G' => To::Int(Col::Arg),
        b'u' => To::Int(Col::Uid),
        b'g' => To::Int(Col::Gid),
        b'R' => To::Int(Col::Resolve),
        b'M' => To::Int(Col::StMode),
        b'S' => To::Int(Col::StSize),
        b'A' => To::Time(Col::Atime),
        b'B' => To::Time(Col::Mtime),
        b'p' => To::Text(Text::Path),
        b'P' => To::Text(Text::Path2),
        b'w' => To::Text(Text::DirPath),
        b'y' => To::Text(Text::Dir2Path),
        b'x' => To::Text(Text::FdPath),
        b'X' => To::Text(Text::Fd2Path),
        b'N' => To::Text(Text::Name),
        _ => return None,
    })
}

/// Is it the header of a capture of version 5, which promises a last line?
pub fn is_header(line: &[u8]) -> bool {
    line.starts_with(b"#|capture_version=5|")
}

/// Is it an event line of version 5?
pub fn is_event(line: &[u8]) -> bool {
    line.starts_with(b"n=") && memmem::find(&line[..line.len().min(64)], b";:,t=").is_some()
}

/// The rest of a line as tokens, each a key and its value.
struct Tokens<'a>(&'a [u8]);

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, Why> {
        match self.0 {
            b"" => Ok(None),
            [key, b'=', rest @ ..] => {
                // No value has a semicolon.
                let end = memchr(b';', rest).ok_or(Why::Cut)?;
                self.0 = rest[end..].strip_prefix(SEPARATOR).ok_or(Why::Cut)?;
                Ok(Some((*key, &rest[..end])))
            }
            [_] => Err(Why::Cut),
            _ => Err(Why::Key),
        }
    }

    /// The value of the next key, which must be this one.
    fn expect(&mut self, key: u8) -> Result<&'a [u8], Why> {
        match self.next()? {
            Some((found, value)) if found == key => Ok(value),
            Some(_) => Err(Why::Key),
            None => Err(Why::Cut),
        }
    }
}

/// Length of the checksum at the end of a line: `k=` and eight hexadecimal digits, over all bytes before it.
const CHECK: usize = 10;

/// The part of a line before its checksum, if the line ends with a right one and with `end`.
fn checked<'a>(line: &'a [u8], end: &[u8]) -> Result<&'a [u8], Why> {
    let line = line.strip_suffix(end).ok_or(Why::Cut)?;
    let (body, check) = line.split_at_checked(line.len().saturating_sub(CHECK)).ok_or(Why::Cut)?;
    let digits = check.strip_prefix(b"k=").ok_or(Why::Cut)?;
    let digit = |digit: &u8| char::from(*digit).to_digit(16).filter(|_| !digit.is_ascii_uppercase());
    let found = digits.iter().try_fold(0, |found, byte| Some(found << 4 | digit(byte)?)).ok_or(Why::Check)?;
    if found == check_of(body) { Ok(body) } else { Err(Why::Check) }
}

/// The 32-bit checksum of these bytes; `systemtap/line.h` has the same function.
fn check_of(bytes: &[u8]) -> u32 {
    let mix = |hash: u64, word: u64| (hash ^ word).rotate_left(29).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(0, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    (if rest.is_empty() { hash } else { mix(hash, u64::from_le_bytes(last)) } >> 32) as u32
}

/// Parses an event line: the event, and when it began and returned.
pub fn event(line: &[u8]) -> Result<(Event, Stamp), Why> {
    if memchr(0, line).is_some() {
        return Err(Why::Nul);
    }
    let body = checked(line, SEPARATOR).map_err(|why| match memmem::find_iter(line, b";:,t=").nth(1) {
        // A second line begins inside this one.
        Some(_) => Why::Glued,
        None => why,
    })?;
    let mut tokens = Tokens(body);
    if digits(tokens.expect(b'n')?)? <= 0 {
        return Err(Why::Number);
    }
    let exit = digits(tokens.expect(b't')?)?;
    let dur = digits(tokens.expect(b'D')?)?;
    if exit <= 0 || dur < -1 || dur > exit {
        return Err(Why::Number);
    }
    let ids = tokens.expect(b'i')?;
    let colon = memchr(b':', ids).ok_or(Why::Number)?;
    let (pid, tid) = (id(&ids[..colon])?, id(&ids[colon + 1..])?);
    let mut event = named(tokens.expect(b'o')?)?;
    let mut seen = 0u64;
    while let Some((letter, value)) = tokens.next()? {
        let to = match key(letter) {
            Some(to) => to,
            None => return Err(Why::Key),
        };
        let bit = 1 << (letter - b'A');
        if seen & bit != 0 {
            return Err(Why::Key);
        }
        seen |= bit;
        match to {
            To::Int(col) => event.set(col, digits(value)?),
            To::Time(col) => event.set(col, time(value)?),
            To::Text(text) => event.set_text(text, unescape(value)?),
            // The call never returned to the program, or is restarted.
            To::Outcome if value == b"?" => {}
            To::Outcome => {
                let value = digits(value)?;
                if value < -4095 && !matches!(event.syscall.def().ret, Ret::Addr | Ret::Value) {
                    return Err(Why::Number);
                }
                event.set_outcome(value);
            }
        }
    }
    let entry = (dur >= 0).then_some(exit - dur);
    if entry.is_some() && resizes(&event) && event.int(Col::Count).is_none() {
        return Err(Why::Key);
    }
    event.set(Col::Pid, pid);
    event.set(Col::Tid, tid);
    event.put(Col::Ts, entry);
    event.put(Col::Dur, entry.map(|_| dur));
    possible::check(&event)?;
    Ok((event, Stamp::Span(entry, exit)))
}

fn time(value: &[u8]) -> Result<i64, Why> {
    match value {
        b"now" => Ok(TIME_NOW),
        b"omit" => Ok(TIME_OMIT),
        _ => digits(value),
    }
}

/// Decodes the escapes of a value: `\ooo` (octal) stands for one byte.
fn unescape(value: &[u8]) -> Result<std::borrow::Cow<'_, [u8]>, Why> {
    if memchr(b'\\', value).is_none() {
        return Ok(value.into());
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] = rest else { return Err(Why::Argument) };
        bytes.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
        rest = tail;
    }
    Ok(bytes.into())
}

/// Parses the last line of a capture, with the counts of the probes; `None` for any other line.
pub fn end(line: &[u8]) -> Option<Result<Ended, Why>> {
    line.strip_prefix(b"#|capture_end=5|")?;
    let field = |fields: &[u8], name: &[u8]| {
        let field = fields.split(|byte| *byte == b'|').find_map(|field| field.strip_prefix(name)?.strip_prefix(b"="));
        digits(field.ok_or(Why::Cut)?).and_then(|number| u64::try_from(number).map_err(|_| Why::Number))
    };
    let ended = || {
        let fields = checked(line, b"|")?;
        Ok(Ended {
            events: field(fields, b"events")?,
            skipped: field(fields, b"skipped")?,
            unstarted: field(fields, b"unstarted")?,
            unreadable: field(fields, b"unreadable")?,
            crowded: field(fields, b"crowded")?,
            in_flight: field(fields, b"in_flight")?,
        })
    };
    Some(ended())
}

/// A line as the probes end it, with its checksum.
#[cfg(test)]
fn sealed(body: &str, end: &str) -> String {
    format!("{body}k={:08x}{end}", check_of(body.as_bytes()))
}

#[cfg(test)]
mod tests;
