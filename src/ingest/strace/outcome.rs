//! What stands behind the arguments of a call: ` = 3</path> <0.000123>`.

use super::{args, errno, lex, prefix};
use crate::event::{Col, Event, Text};
use crate::ingest::doubt::{Doubt, Doubts};
use crate::ingest::parse::Why;
use crate::syscall::Ret;
use memchr::memmem;

/// Parses it.
pub fn outcome(event: &mut Event, text: &[u8], doubts: &mut Doubts) -> Result<(), Why> {
    let text = text.trim_ascii_start();
    let Some(mut text) = text.strip_prefix(b"=").map(<[u8]>::trim_ascii) else {
        return Err(if text.is_empty() { Why::Cut } else { Why::Outcome });
    };
    // The duration of -T.
    if text.last() == Some(&b'>')
        && let Some(at) = memmem::rfind(text, b" <")
        && let Some(nanos) = text.get(at + 2..text.len() - 1).and_then(prefix::seconds)
    {
        event.set(Col::Dur, nanos);
        text = text[..at].trim_ascii_end();
    }
    if text.ends_with(b" (INJECTED)") {
        doubts.add(Doubt::Injected, 1);
    }
    match text {
        [] => Err(Why::Cut),
        // Never returned, or was interrupted and is restarted: the outcome stays unknown.
        [b'?', ..] => Ok(()),
        [b'-', b'1', b' ', error @ ..] => failed(event, error),
        _ => returned(event, text),
    }
}

/// `ENOENT (No such file or directory)`, `(errno 38)`, `EFOO (Unknown error 700)`
fn failed(event: &mut Event, error: &[u8]) -> Result<(), Why> {
    let len = error.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == b'_').count();
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
    if !errno::RESTARTS.contains(&number) {
        event.set(Col::Ret, -1);
        event.set(Col::Errno, number);
    }
    Ok(())
}

/// `3</path with blanks>`, `0x802 (flags O_RDWR|O_NONBLOCK)`, `0 (Timeout)`, `12<comm>`, `3 [user_home_t]`
fn returned(event: &mut Event, text: &[u8]) -> Result<(), Why> {
    let digits = text.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == b'-').count();
    let ret = lex::number(&text[..digits]).ok_or(Why::Outcome)?;
    match text.get(digits) {
        None | Some(b' ') => {}
        Some(b'<') if event.syscall.def().ret == Ret::NewFd => {
            let end = digits + lex::annotation_len(&text[digits..]).ok_or(Why::Outcome)?;
            if let Some((_, Some(on))) = lex::descriptor(&text[..end]) {
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
