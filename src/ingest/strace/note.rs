//! Recognises lines of strace that tell of no call: its own messages, stack frames, tables, dumps of data.

use super::{mend, prefix};
use memchr::memmem;

/// Is this line, which is no call, a note of strace? `text` is the line without thread and time.
pub fn is_note(line: &[u8], text: &[u8]) -> bool {
    dump(line) || (process(text) || message(line) || frame(line) || table(line)) && !mend::is_whole(line)
}

/// Is it a message of old versions: `Process 12 attached - interrupt to quit`, `Process 12 resumed (parent 11 ready)` and the
/// like?
fn process(text: &[u8]) -> bool {
    let Some((id, rest)) = text.strip_prefix(b"Process ").and_then(number) else { return false };
    let word = rest.strip_prefix(b" ").unwrap_or_default();
    let known: [&[u8]; 5] = [b"attached", b"detached", b"resumed", b"suspended", b"exited"];
    prefix::id(id).is_some() && known.iter().any(|known| word.starts_with(known))
}

/// Is it a message `strace: ...`, also when strace was called by a path or under another name? At an interrupt the terminal
/// shows `^C` first.
fn message(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"^C").unwrap_or(line);
    let Some(at) = memmem::find(line, b": ") else { return false };
    let program = line[..at].rsplit(|c| *c == b'/').next().unwrap_or_default();
    let plain = program.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'));
    plain && (program.starts_with(b"strace") || !program.is_empty() && process(&line[at + 2..]))
        || line.starts_with(b"System call usage summary for ")
}

/// Is it a stack frame of `-k`: ` > /lib/libc.so.6(read+0x10) [0x1234]`?
fn frame(line: &[u8]) -> bool {
    line.starts_with(b" > ") && line.ends_with(b"]") && memmem::rfind(line, b" [0x").is_some()
}

/// Is it a line of a data dump (`-e write=`, `-e read=`): ` | 00000  68 69  hi |`, ` * 10 bytes in buffer 0`?
fn dump(line: &[u8]) -> bool {
    match line {
        [b' ', b'|', b' ', rest @ ..] => rest.ends_with(b"|") && rest.iter().take(5).all(u8::is_ascii_hexdigit),
        [b' ', b'*', b' ', rest @ ..] => number(rest).is_some_and(|(_, rest)| rest.starts_with(b" bytes in buffer ")),
        _ => false,
    }
}

/// Is it a line of the table of `-c` or `-C`: its head, its rulers, or a row of numbers that ends with a name?
fn table(line: &[u8]) -> bool {
    let mut words = line.split(|c| *c == b' ').filter(|word| !word.is_empty());
    match words.next() {
        Some(b"%") => words.next() == Some(&b"time"[..]),
        Some([b'-', ..]) => line.iter().all(|c| matches!(c, b'-' | b' ')),
        Some(share) => {
            let decimal = |word: &[u8]| word.contains(&b'.') && prefix::seconds(word).is_some();
            let rest: Vec<&[u8]> = words.take(8).collect();
            let Some(([seconds, counts @ ..], name)) = rest.split_last().map(|(name, rest)| (rest, name)) else { return false };
            let plain = |c: &u8| c.is_ascii_alphanumeric() || *c == b'_';
            decimal(share)
                && decimal(seconds)
                && (1..=4).contains(&counts.len())
                && counts.iter().all(|count| count.iter().all(u8::is_ascii_digit))
                && name.iter().all(plain)
        }
        None => false,
    }
}

/// Is it the note on a delivered signal: `--- SIGCHLD {si_signo=SIGCHLD, ...} ---`, `--- stopped by SIGSTOP ---`; in old
/// versions `--- SIGCHLD (Child exited) @ 0 (0) ---` and `--- {si_signo=SIGCHLD, ...} (Child exited) ---`?
pub fn signal(text: &[u8]) -> bool {
    let Some(text) = text.strip_prefix(b"--- ").and_then(|text| text.strip_suffix(b" ---")) else { return false };
    if let Some(name) = text.strip_prefix(b"stopped by ") {
        return is_signal(name);
    }
    let (name, info) = text.split_at(memchr::memchr(b' ', text).unwrap_or(text.len()));
    let info = if name.starts_with(b"{") { text } else { info.trim_ascii_start() };
    let shape = matches!(info, [] | [b'{', .., b'}' | b')'] | [b'(', .., b')']);
    let hides = memmem::find(text, b") = ").is_some() || memmem::find(text, b" ---").is_some();
    (name.starts_with(b"{") || is_signal(name)) && shape && !hides
}

/// Is it the name of a signal (`SIGKILL`, `SIGRT_1`), or the number of one without a name?
pub fn is_signal(name: &[u8]) -> bool {
    let rest = name.strip_prefix(b"SIG").unwrap_or(name);
    let named = rest.len() < name.len() && rest.iter().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == b'_');
    !rest.is_empty() && (named || rest.iter().all(u8::is_ascii_digit))
}

/// Is it the message on a process's word size: `[ Process PID=12 runs in 32 bit mode. ]`?
pub fn mode(text: &[u8]) -> bool {
    let Some((_, rest)) = text.strip_prefix(b"[ Process PID=").and_then(number) else { return false };
    let mode = rest.strip_prefix(b" runs in ").and_then(|rest| rest.strip_suffix(b" mode. ]"));
    mode.is_some_and(|mode| mode.iter().all(|c| c.is_ascii_alphanumeric() || *c == b' '))
}

/// Splits a text into the digits at its start and the rest; `None` when it begins with none.
fn number(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = text.iter().take_while(|c| c.is_ascii_digit()).count();
    if len == 0 { None } else { Some(text.split_at(len)) }
}

/// Offset at which strace's message about a new process begins that was printed inside a line and ends it: `read(3strace:
/// Process 12 attached`, `clone(Process 12 attached`. `None` when there is none.
pub fn within(text: &[u8]) -> Option<usize> {
    if !text.ends_with(b"attached") && !text.ends_with(b"(waiting for parent)") {
        return None;
    }
    let at = memmem::rfind(text, b"Process ").filter(|at| process(&text[*at..]))?;
    let Some(before) = text[..at].strip_suffix(b": ") else { return Some(at) };
    // The name by which strace was called, with its directories. The text before it ends with one of these characters.
    let stops = |c: &u8| matches!(c, b' ' | b'"' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',' | b'<' | b'>' | b'*');
    let run = before.iter().rposition(stops).map_or(0, |at| at + 1);
    // Not the slash that ends a comment: `*/`
    let run = run + usize::from(run > 0 && before[run - 1] == b'*' && before.get(run) == Some(&b'/'));
    let word = &before[run..];
    let name = memmem::rfind(word, b"/strace").or_else(|| memmem::rfind(word, b"strace")).unwrap_or(0);
    let mut start = memchr::memchr(b'/', word).map_or(name, |slash| slash.min(name));
    while start > 0 && word[start - 1] == b'.' {
        start -= 1;
    }
    Some(run + start)
}
