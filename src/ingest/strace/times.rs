//! Reads the times that calls set and see.

use super::forms;
use super::lex;
use super::names::Kind;
use crate::event::{TIME_NOW, TIME_OMIT, nanos};
use crate::ingest::doubt::{Doubt, Doubts};
use crate::ingest::parse::Why;
use crate::syscall::Syscall;

/// UTIME_NOW in place of nanoseconds: the current time (utimensat(2)).
const NOW: i64 = libc::UTIME_NOW;
/// UTIME_OMIT in place of nanoseconds: the time is left unchanged (utimensat(2)).
const OMIT: i64 = libc::UTIME_OMIT;

/// A time in ns since 1970, of which seconds and nanoseconds were printed; `None` when one is missing or malformed.
pub fn pair(seconds: Option<&[u8]>, part: Option<&[u8]>) -> Option<i64> {
    Some(nanos(lex::value(seconds?, &[])?, lex::value(part?, &[])?))
}

/// Access and modification time that a call sets.
pub struct Set {
    /// Access and modification time, ns since 1970 ([`TIME_NOW`] and [`TIME_OMIT`] have values of their own).
    pub times: [i64; 2],
    /// Is a fraction of a second negative, or a second or more? Kernels refuse that.
    pub wild: bool,
}

/// The access and modification time that a call sets; `None` when the log does not have them.
///
/// Forms: NULL, `[{tv_sec=.., tv_nsec=..} /* .. */, UTIME_OMIT]`, `{actime=.., modtime=..}`; in older versions
/// `[{1300000000, 7}, UTIME_OMIT]`, `{{1300000000, 7}, {1300000002, 9}}`, and of utime `[2011/03/13-07:06:40, ..]`.
///
/// # Errors
/// When they are printed and not understood.
pub fn both(call: Syscall, arg: &[u8], doubts: &mut Doubts) -> Result<Option<Set>, Why> {
    let plain = |times| Ok(Some(Set { times, wild: false }));
    if matches!(arg, b"NULL" | b"0") {
        return plain([TIME_NOW; 2]);
    }
    if forms::elsewhere(arg) {
        return Ok(None);
    }
    if let Some([Some(at), Some(mt)]) = forms::structure(arg, ["actime=", "modtime="], |_| false) {
        return plain([whole(at).ok_or(Why::Argument)?, whole(mt).ok_or(Why::Argument)?]);
    }
    let inner = match arg {
        [b'[', inner @ .., b']'] | [b'{', inner @ .., b'}'] => inner,
        _ => return Err(Why::Argument),
    };
    let Some((two, None)) = lex::split(inner) else { return Err(Why::Argument) };
    let [at, mt] = two.as_slice() else { return Err(Why::Argument) };
    // `-s 1` leaves out the second.
    if *mt == b"..." {
        return Ok(None);
    }
    if let (Some(at), Some(mt)) = (date(at), date(mt)) {
        doubts.add(Doubt::Zone, 1);
        return plain([at, mt]);
    }
    let [(atime, wild), (mtime, wild2)] = [time(call, at).ok_or(Why::Argument)?, time(call, mt).ok_or(Why::Argument)?];
    Ok(Some(Set { times: [atime, mtime], wild: wild || wild2 }))
}

/// A time in ns since 1970, and whether its fraction of a second is out of range.
fn time(call: Syscall, text: &[u8]) -> Option<(i64, bool)> {
    let is = |name: &[u8]| text.strip_prefix(name).is_some_and(|rest| matches!(rest.trim_ascii(), [] | [b'/', b'*', ..]));
    if is(b"UTIME_NOW") {
        return Some((TIME_NOW, false));
    }
    if is(b"UTIME_OMIT") {
        return Some((TIME_OMIT, false));
    }
    // A comment with the date may follow.
    let (fields, behind) = lex::split_braces(text.strip_prefix(b"{")?)?;
    if !matches!(behind.trim_ascii(), [] | [b'/', b'*', .., b'*', b'/']) {
        return None;
    }
    let [seconds, part] = fields.as_slice() else { return None };
    let micros = part.starts_with(b"tv_usec=") || call != Syscall::utimensat && !part.starts_with(b"tv_nsec=");
    let bare = |text: &[u8], name: &[u8]| lex::value(text.strip_prefix(name).unwrap_or(text), &[Kind::Time]);
    let seconds = bare(seconds, b"tv_sec=")?;
    let part = if micros { bare(part, b"tv_usec=")?.saturating_mul(1000) } else { bare(part, b"tv_nsec=")? };
    match part {
        NOW if !micros => Some((TIME_NOW, false)),
        OMIT if !micros => Some((TIME_OMIT, false)),
        _ => Some((nanos(seconds, part), !(0..1_000_000_000).contains(&part))),
    }
}

/// Whole seconds since 1970, as ns.
fn whole(text: &[u8]) -> Option<i64> {
    Some(nanos(lex::value(text, &[])?, 0))
}

/// `2011/03/13-07:06:40` as ns since 1970; the zone is unknown and taken as UTC.
fn date(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let mut parts = text.split(['/', '-', ':']).map(|part| part.parse::<i64>().ok().filter(|part| (0..10_000).contains(part)));
    let mut next = || parts.next().flatten();
    let (year, month, day) = (next()?, next()?, next()?);
    let (hour, minute, second) = (next()?, next()?, next()?);
    if !(1..=12).contains(&month) || parts.next().is_some() {
        return None;
    }
    // Days since 1970-01-01, in years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    (days * 86_400 + hour * 3_600 + minute * 60 + second).checked_mul(1_000_000_000)
}
