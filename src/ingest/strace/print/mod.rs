//! Writes events as strace prints calls, so that they are read back as the same events: the inverse of the parser beside it.
//!
//! What the text has no place for (inode numbers, positions, processor times ...) is lost; reading the line again tells what
//! ([`print`]).

mod args;

use super::{Numbers, errno, parser};
use crate::event::{Col, Event, Text};
use crate::ingest::doubt::Doubts;
use crate::syscall::Ret;
use args::Args;
use std::io::Write;

/// A call as text.
#[derive(Clone, Debug, Default)]
pub struct Printed {
    /// The call up to its last argument: `read(3, ""..., 100`.
    pub head: Vec<u8>,
    /// What follows when it returns: `) = 100 <0.000012>`.
    pub tail: Vec<u8>,
}

/// Why an event cannot be a line of strace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsaid {
    /// It is no call: only live captures have it (waits, requests, page faults, holes).
    NoCall,
    /// An argument that every line has is not known, or no argument of such a call is printed like that.
    Argument,
}

/// How a line differs from its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// The text does not tell this column.
    Lost(&'static str),
    /// The event has no value in this column, and a line must have one: the text has one that makes no difference.
    Supplied(&'static str),
}

/// Prints a call. `changed` is given each difference from the event that is read from the line.
///
/// # Errors
/// When the event cannot be read back from a line: a column would have another value.
pub fn print(event: &Event, mut changed: impl FnMut(Change)) -> Result<Printed, Unsaid> {
    let name = event.name();
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !event.syscall.is_call() && event.other.is_none() || !plain || name.is_empty() {
        return Err(Unsaid::NoCall);
    }
    let supplied = args::supplied(event);
    let mut whole;
    let event = if supplied.is_empty() {
        event
    } else {
        whole = event.clone();
        for (col, value) in supplied {
            whole.set(col, value);
            changed(Change::Supplied(col.name()));
        }
        &whole
    };
    let mut printed = Printed::default();
    printed.head.extend_from_slice(name.as_bytes());
    printed.head.push(b'(');
    args::print(event, &mut Args::new(&mut printed.head)).ok_or(Unsaid::Argument)?;
    outcome(event, &mut printed.tail);
    let text = [printed.head.as_slice(), &printed.tail].concat();
    let again = parser(Numbers::Unknown).read(&text, false, &mut Doubts::default()).map_err(|_| Unsaid::Argument)?;
    if again.name() != name {
        return Err(Unsaid::Argument);
    }
    // What stands before the call on a line, and what no text has.
    const BESIDE: [Col; 4] = [Col::Ts, Col::Pid, Col::Tid, Col::Line];
    for col in Col::ALL.iter().filter(|col| !BESIDE.contains(col)) {
        match (event.int(*col), again.int(*col)) {
            (before, after) if before == after => {}
            (Some(_), None) => changed(Change::Lost(col.name())),
            _ => return Err(Unsaid::Argument),
        }
    }
    for column in Text::ALL {
        match (event.text(*column), again.text(*column)) {
            (before, after) if before == after => {}
            (Some(_), None) => changed(Change::Lost(column.name())),
            _ => return Err(Unsaid::Argument),
        }
    }
    Ok(printed)
}

/// What follows the arguments: `) = 3</path> <0.000012000>`, `) = -1 ENOENT (No such file or directory)`, `) = ?`.
fn outcome(event: &Event, out: &mut Vec<u8>) {
    out.extend_from_slice(b") = ");
    match (event.int(Col::Ret), event.failure()) {
        (None, _) => out.push(b'?'),
        (Some(_), Some(number)) => match errno::described(i64::from(number)) {
            Some((name, text)) => put(out, format_args!("-1 {name} ({text})")),
            None => put(out, format_args!("-1 E??? (errno {number})")),
        },
        (Some(ret), None) => {
            // The position is behind a pointer.
            let ret = if event.syscall.def().has(crate::syscall::Role::ResultPtr) { 0 } else { ret };
            if event.syscall.def().ret == Ret::Addr {
                put(out, format_args!("{ret:#x}"))
            } else {
                put(out, format_args!("{ret}"))
            };
            if event.syscall.def().ret == Ret::NewFd
                && let Some(on) = event.text(Text::FdPath)
            {
                args::annotation(event.int(Col::StMode), on, out);
            }
        }
    }
    if let Some(dur) = event.int(Col::Dur).filter(|dur| *dur >= 0) {
        put(out, format_args!(" <{}.{:09}>", dur / 1_000_000_000, dur % 1_000_000_000));
    }
}

/// Appends to text in memory, which cannot fail.
fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::Syscall;
    use proptest::prelude::*;

    fn text(event: &Event) -> String {
        let printed = print(event, |_| ()).unwrap();
        String::from_utf8([printed.head, printed.tail].concat()).unwrap()
    }

    #[test]
    fn calls_look_as_strace_prints_them() {
        let mut open = Event::new(Syscall::openat);
        open.set_outcome(3);
        open.set_text(Text::Path, b"/a\n\"\xff");
        open.set_text(Text::FdPath, b"/a>");
        for (col, value) in [(Col::DirFd, -100), (Col::Flags, 0o2000102), (Col::Mode, 0o644), (Col::Dur, 1_000_002_000)] {
            open.set(col, value);
        }
        let wanted = "openat(AT_FDCWD, \"/a\\n\\\"\\377\", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 3</a\\076> <1.000002000>";
        assert_eq!(text(&open), wanted);
        let mut stat = Event::new(Syscall::stat);
        stat.set_outcome(-2);
        stat.set_text(Text::Path, b"x");
        assert_eq!(text(&stat), "stat(\"x\", 0x1000) = -1 ENOENT (No such file or directory)");
        stat.set_outcome(-4000);
        assert_eq!(text(&stat), "stat(\"x\", 0x1000) = -1 E??? (errno 4000)");
        assert_eq!(print(&Event::new(Syscall::waited), |_| ()).unwrap_err(), Unsaid::NoCall);
    }

    fn value() -> impl Strategy<Value = i64> {
        prop_oneof![-3..5000i64, any::<i64>(), any::<i32>().prop_map(i64::from), Just(i64::MIN), Just(i64::MIN + 1), Just(-100)]
    }

    proptest! {
        /// Whatever an event is, it gives one line that is read back as far as that is said, or none.
        #[test]
        fn any_event_is_a_line_or_none(
            call in 0..Syscall::ALL.len(),
            ints in prop::collection::vec((0..Col::ALL.len(), value()), 0..20),
            texts in prop::collection::vec((0..Text::ALL.len(), prop::collection::vec(any::<u8>(), 0..8)), 0..4),
            outcome in prop::option::of(value()),
        ) {
            let mut event = Event::new(Syscall::ALL[call]);
            ints.iter().for_each(|(col, value)| event.set(Col::ALL[*col], *value));
            texts.iter().for_each(|(column, bytes)| event.set_text(Text::ALL[*column], bytes));
            if let Some(outcome) = outcome {
                event.set_outcome(outcome);
            }
            if let Ok(printed) = print(&event, |_| ()) {
                let line = [printed.head, printed.tail].concat();
                prop_assert!(line.iter().all(|byte| (b' '..=b'~').contains(byte)), "{}", String::from_utf8_lossy(&line));
            }
        }
    }
}
