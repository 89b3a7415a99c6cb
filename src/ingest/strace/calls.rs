//! Names of syscalls in strace output: those of the table, other spellings of them, and numbers.

use super::prefix;
use crate::event::Event;
use crate::ingest::doubt::{Doubt, Doubts};
use crate::ingest::parse::Why;
use crate::syscall::number::Abi;
use crate::syscall::{Syscall, number};
use memchr::memmem;

/// How to read numbers of syscalls that strace printed without a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// As syscall numbers of x86_64.
    X86_64,
    /// As unknown calls, except for numbers that mean the same on every architecture.
    Unknown,
}

/// How to read syscall numbers in a log, by the beginnings of its parts: x86_64 if a name or numbered call there shows it.
pub fn numbers<'a>(starts: impl Iterator<Item = &'a [u8]> + Clone) -> Numbers {
    let by_number = |start: &[u8]| memmem::find(start, b"syscall_").is_some() || memmem::find(start, b"SYS_").is_some();
    if !starts.clone().any(by_number) {
        return Numbers::Unknown;
    }
    let mut shown = Numbers::Unknown;
    for line in starts.flat_map(|start| start.split(|c| *c == b'\n')) {
        let Some(prefix) = prefix::prefix(line) else { continue };
        // `[ Process PID=12 runs in 32 bit mode. ]`
        if prefix.rest.starts_with(b"[ Process PID=") {
            return Numbers::Unknown;
        }
        let name = name(prefix.rest).ok().and_then(|(name, _)| std::str::from_utf8(name).ok()).unwrap_or_default();
        let numbered = prefix.number.and_then(|number| Abi::X86_64.name(usize::try_from(number).ok()?));
        match numbered {
            _ if number::foreign(name) => return Numbers::Unknown,
            Some(of_number) if of_number == name => shown = Numbers::X86_64,
            None if number::only_x86(name) => shown = Numbers::X86_64,
            _ => {}
        }
    }
    shown
}

/// The name of the call at the start of `text`, and the offset at which its arguments begin.
pub fn name(text: &[u8]) -> Result<(&[u8], usize), Why> {
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

/// An empty event of the call of this name (which may be a number); `Syscall::other` for one that the table lacks.
pub fn event(name: &[u8], numbers: Numbers, doubts: &mut Doubts) -> Event {
    if let Some(syscall) = known(name) {
        return Event::new(syscall);
    }
    let number = by_number(name);
    let numbered = match numbers {
        Numbers::X86_64 => number.and_then(|number| Abi::X86_64.name(number)),
        Numbers::Unknown => number.and_then(number::common),
    };
    match (number, numbered) {
        (Some(_), None) => doubts.add(Doubt::Nameless, 1),
        (Some(_), Some(_)) if numbers == Numbers::X86_64 => doubts.add(Doubt::Numbered, 1),
        _ => {}
    }
    let name = numbered.map_or(name, str::as_bytes);
    if let Some(syscall) = known(name).or_else(|| number::alias(name)) {
        return Event::new(syscall);
    }
    let mut event = Event::new(Syscall::other);
    event.other = Some(String::from_utf8_lossy(name).into());
    event
}

/// The row of the table with this name, if it is a syscall; rows for other events (requests, page faults) do not occur in
/// strace logs.
fn known(name: &[u8]) -> Option<Syscall> {
    Syscall::parse(name).filter(|syscall| syscall.is_call())
}

/// The number in `syscall_332`, `syscall_0x14c`, `SYS_332`; `None` for a real name.
pub fn by_number(name: &[u8]) -> Option<usize> {
    let digits = name.strip_prefix(b"syscall_").or_else(|| name.strip_prefix(b"SYS_"))?;
    let digits = std::str::from_utf8(digits).ok()?;
    match digits.strip_prefix("0x") {
        Some(hex) => usize::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    }
}
