//! Parser of the output of `strace -f`, in its usual variants.
//!
//! A line is `[pid] [time] what`. `what` is a whole call `name(args) = ret <duration>`, the first half of one (`name(args
//! <unfinished ...>`), a second half (`<... name resumed>args) = ret`), or a note: a signal (`--- ... ---`), an exit (`+++ ...
//! +++`), a message of strace itself. The arguments are in the order of the kernel's interface, so the roles of the syscall
//! table say what each of them is.
//!
//! What is not understood is never taken as harmless or absent: an argument that is printed and cannot be read makes the line a
//! reject; where the log does not have all of it, and the call can be known without, that is counted ([`Doubt`]).

mod args;
mod arity;
mod calls;
mod errno;
mod exec;
mod forms;
mod kinds;
mod lex;
mod mend;
mod names;
mod note;
mod outcome;
mod prefix;
#[cfg(feature = "sql")] // for exports
pub mod print;
mod structs;
mod times;

pub use calls::{Numbers, numbers};
#[cfg(feature = "sql")]
pub(crate) use errno::{described as errno_described, number as errno_number};
#[cfg(feature = "sql")]
pub(crate) use names::known as constant;

use super::doubt::{Doubt, Doubts};
use super::parse::{Batch, Parsed, Parser, Stamp, What, Why};
use super::possible;
use crate::event::{Col, Event};
use crate::syscall::Syscall;
use args::Form;
use memchr::{memchr, memmem};

/// Parser of strace output.
pub struct Strace {
    /// How to read numbers of syscalls that strace printed without a name.
    numbers: Numbers,
}

/// The parser for a log whose syscall numbers are to be read like this.
pub fn parser(numbers: Numbers) -> &'static Strace {
    match numbers {
        Numbers::X86_64 => &Strace { numbers: Numbers::X86_64 },
        Numbers::Unknown => &Strace { numbers: Numbers::Unknown },
    }
}

/// Is this the start of strace output: does any of its lines parse as a call, or as a half of one?
pub fn detect(start: &[u8]) -> bool {
    let parser = parser(Numbers::Unknown);
    start.split(|c| *c == b'\n').any(|line| {
        let mut batch = Batch::default();
        parser.line(1, line, &mut batch);
        // The message about an attached process may stand a thousand times before the first call.
        let attached = line.starts_with(b"strace: Process ") && line.ends_with(b" attached");
        // `strace -ff` writes a file of nothing but notes for a thread that made no traced call.
        let means = |line: &[u8]| parser.parse(1, line, &mut Batch::default()).is_ok();
        attached
            || means(line.strip_suffix(b"\r").unwrap_or(line))
            || batch.parsed.iter().any(|parsed| matches!(parsed.what, What::Call(_) | What::Half(_) | What::Split(_)))
    })
}

impl Parser for Strace {
    fn line(&self, number: u64, line: &[u8], batch: &mut Batch) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() {
            batch.notes += 1;
            return;
        }
        let comment = line[0] == b'#';
        let parsed = if comment { Err(Why::NotEvent) } else { self.parse(number, line, batch) };
        let Err(why) = parsed else { return };
        // A call behind output of a program, such as a shell's prompt.
        let inside = memmem::rfind(line, b"[pid ").filter(|at| *at > 0 && self.means(&line[*at..]));
        if let Some(at) = inside {
            // It cannot be told which of two calls is whole, or whether a call was commented out.
            let glued = if comment { &line[..at] != b"# " } else { self.means(&line[..at]) };
            if glued || self.parse(number, &line[at..], batch).is_err() {
                batch.reject(number, Why::Glued, line);
            } else {
                batch.doubts.add(Doubt::Mended, 1);
            }
        } else if comment && self.means(line[1..].trim_ascii_start()) {
            batch.reject(number, Why::Glued, line);
        } else if comment {
            batch.comments += 1;
        } else if note::is_note(line, prefix::prefix(line).map_or(line, |prefix| prefix.rest)) {
            batch.notes += 1;
        } else if why == Why::NotEvent && memchr(0, line).is_some() {
            batch.reject(number, Why::Nul, line);
        } else if matches!(why, Why::NotEvent | Why::Number) && mend::is_tail(line) {
            let what = What::Tail { text: line.into(), why };
            batch.parsed.push(Parsed { line: number, stamp: Stamp::None, tid: None, what });
        } else {
            batch.reject(number, why, line);
        }
    }

    fn call(&self, text: &[u8], doubts: &mut Doubts) -> Result<Event, Why> {
        self.read(text, true, doubts)
    }
}

impl Strace {
    /// Does the text, taken as a line of its own, parse as a call, a half or the end of a thread?
    fn means(&self, text: &[u8]) -> bool {
        let mut batch = Batch::default();
        self.parse(0, text, &mut batch).is_ok() && !batch.parsed.is_empty()
    }

    /// Parses a line with a call, a half, or the end of a thread, and adds it to `batch`; an error when it is none.
    fn parse(&self, number: u64, line: &[u8], batch: &mut Batch) -> Result<(), Why> {
        let prefix = prefix::prefix(line).ok_or(Why::Number)?;
        let Some(what) = self.what(prefix.rest, &mut batch.doubts)? else {
            batch.notes += 1;
            return Ok(());
        };
        if matches!(what, What::End { killed: false } | What::Superseded { .. }) {
            batch.notes += 1;
        }
        batch.parsed.push(Parsed { line: number, stamp: prefix.stamp, tid: prefix.tid, what });
        Ok(())
    }

    /// What a line tells after pid and time; `None` when it is a note.
    fn what(&self, text: &[u8], doubts: &mut Doubts) -> Result<Option<What>, Why> {
        match text {
            [b'+', b'+', b'+', ..] if text.ends_with(b" +++") => return end(text).map(Some).ok_or(hidden(text)),
            [b'-', b'-', b'-', b' ', ..] if text.ends_with(b" ---") => {
                return if note::signal(text) { Ok(None) } else { Err(hidden(text)) };
            }
            [b'[', b' ', b'P', .., b']'] => return if note::mode(text) { Ok(None) } else { Err(hidden(text)) },
            [b'<', b'.', b'.', b'.', b' ', rest @ ..] => {
                let at = memmem::find(rest, b" resumed>").ok_or(Why::Cut)?;
                return Ok(Some(What::Rest { name: rest[..at].into(), text: rest[at + 9..].into() }));
            }
            _ => {}
        }
        if text.ends_with(b"...>")
            && let Some(half) = unfinished(text)
        {
            // The rest of a first half into which strace put a message of its own.
            if half.is_empty() {
                return Ok(None);
            }
            let (_, start) = calls::name(half)?;
            // A half with a closing parenthesis: returned and unfinished at once.
            if matches!(lex::split(&half[start..]), Some((_, Some(_)))) {
                return Err(Why::Outcome);
            }
            return Ok(Some(What::Half(half.trim_ascii_end().into())));
        }
        // On a terminal strace's own messages land inside lines.
        if let Some(at) = note::within(text).filter(|at| *at > 0) {
            calls::name(&text[..at])?;
            return Ok(Some(What::Split(text[..at].trim_ascii_end().into())));
        }
        match self.read(text, false, doubts) {
            Ok(event) => Ok(Some(What::Call(event))),
            Err(why) => match mend::output(text) {
                Some(whole) if mend::is_whole(&whole) => {
                    let event = self.read(&whole, false, doubts).map_err(|_| why)?;
                    doubts.add(Doubt::Mended, 1);
                    Ok(Some(What::Call(event)))
                }
                Some(half) => {
                    doubts.add(Doubt::Mended, 1);
                    Ok(Some(What::Split(half.into())))
                }
                None => Err(why),
            },
        }
    }

    /// Parses a call with its outcome. With `half` the call may never have returned: arguments and outcome may be missing.
    fn read(&self, text: &[u8], half: bool, doubts: &mut Doubts) -> Result<Event, Why> {
        let begun = begun(text);
        let (text, half) = (begun.unwrap_or(text), half || begun.is_some());
        let (name, start) = calls::name(text)?;
        let (list, rest) = match lex::split(&text[start..]) {
            Some((list, rest)) => (list, rest),
            None if half => return Err(Why::Argument),
            None => return Err(if memmem::find(text, b") = ").is_some() { Why::Argument } else { Why::Cut }),
        };
        if rest.is_none() && !half {
            return Err(Why::Cut);
        }
        let mut event = calls::event(name, self.numbers, doubts);
        let gaps = match event.syscall {
            Syscall::other if list.as_slice().iter().all(|arg| forms::any(arg)) => args::Gaps::default(),
            Syscall::other => return Err(Why::Argument),
            _ => args::fill(
                &mut event,
                list.as_slice(),
                Form { whole: rest.is_some(), numbered: calls::by_number(name).is_some() },
                doubts,
            )?,
        };
        if let Some(rest) = rest {
            outcome::outcome(&mut event, rest, doubts)?;
        }
        exec::fill(&mut event, list.as_slice());
        gaps.settle(&event, doubts)?;
        match event.syscall {
            // The position is stored by way of a pointer, and 0 is returned.
            Syscall::_llseek => {
                if event.success().is_some() {
                    event.put(Col::Ret, event.int(Col::Arg));
                }
                event.put(Col::Arg, None);
            }
            // Old versions of strace print the offset as the kernel gets it, in pages (mmap2(2)).
            Syscall::mmap2 => {
                if let Some(pages) = event.int(Col::Offset).filter(|offset| offset % PAGE != 0) {
                    event.put(Col::Offset, pages.checked_mul(PAGE));
                    doubts.add(Doubt::Pages, 1);
                }
            }
            _ => {}
        }
        possible::check(&event)?;
        Ok(event)
    }
}

/// The printed part of a call whose thread was killed in it: the arguments that go in. `None` for other texts.
///
/// Forms: `read(3,  <unfinished ...>) = ?`, `read(3, ) = ? <unavailable>`.
fn begun(text: &[u8]) -> Option<&[u8]> {
    let text = text.trim_ascii_end();
    let args = match text.strip_suffix(b"= ? <unavailable>") {
        Some(text) => text.trim_ascii_end().strip_suffix(b")")?,
        None => text.strip_suffix(b"= ?")?.trim_ascii_end().strip_suffix(b"<unfinished ...>)")?,
    };
    Some(args.trim_ascii_end())
}

/// Unit of the offset of mmap2(2), bytes.
const PAGE: i64 = 4096;

/// The first half of a call on a line that ends with a mark: `<unfinished ...>`, `<detached ...>`, `<pid changed to 12 ...>`;
/// `None` for other lines.
fn unfinished(text: &[u8]) -> Option<&[u8]> {
    let at = memmem::rfind(text, b"<")?;
    let mark = &text[at..];
    let known = mark == b"<unfinished ...>" || mark == b"<detached ...>" || mark.starts_with(b"<pid changed to ");
    known.then(|| &text[..at])
}

/// Parses the end of a thread: `+++ exited with 0 +++`, `+++ killed by SIGKILL (core dumped) +++`, `+++ superseded by execve in
/// pid 12 +++`
fn end(text: &[u8]) -> Option<What> {
    let text = text.strip_prefix(b"+++ ")?.strip_suffix(b" +++")?;
    if let Some(by) = text.strip_prefix(b"superseded by execve in pid ") {
        return prefix::id(by).map(|by| What::Superseded { by });
    }
    if let Some(status) = text.strip_prefix(b"exited with ") {
        let plain = !status.is_empty() && status.iter().all(u8::is_ascii_digit);
        return plain.then_some(What::End { killed: false });
    }
    let signal = text.strip_prefix(b"killed by ")?;
    note::is_signal(signal.strip_suffix(b" (core dumped)").unwrap_or(signal)).then_some(What::End { killed: true })
}

/// Why a line is rejected that looks like a note and is none: a call may be joined onto it.
fn hidden(text: &[u8]) -> Why {
    if memmem::find(text, b") = ").is_some() { Why::Glued } else { Why::NotEvent }
}

#[cfg(test)]
mod tests;
