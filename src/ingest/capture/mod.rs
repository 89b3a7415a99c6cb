//! I/O Riot `.capture` files: versions 1 to 4, what bpftrace scripts print in the same grammar, and version 5 ([`v5`]).
//!
//! A line of versions 3 and 4 is `t=..;:,D=..;:,i=PID:TID;:,o=NAME;:,` and then the keys of that call, always all of
//! them, in one order, each followed by the separator. Nothing is escaped, and lossy tracers cut lines off and join
//! them, so a line is an event only when it has exactly the keys that its call has; everything else is rejected.
//! Peculiarities:
//!
//! - `t` is the time of the *return*, `D` the duration. `D == t` means that the entry was lost: then every argument
//!   that is noted at the entry is lost too and reads as zero or empty, so the event keeps its outcome and nothing
//!   else. exit_group always looks like that, since only its entry is probed.
//! - Paths were made absolute in the kernel by joining strings. An empty path with AT_EMPTY_PATH (fstat of newer C
//!   libraries) therefore is the descriptor's path with a trailing slash. mkdirat on some kernels lost its name and
//!   ends in a slash as well.
//! - Versions 1 and 2 have no `D`, and `t` is the return in milliseconds. Their readlink, and that of version 3, does not
//!   say what it read.
//! - `d` is the returned descriptor of an open, the dirfd of a few calls, else the descriptor.

mod v5;

use super::doubt::Doubts;
use super::parse::{Batch, Parsed, Parser, Stamp, What, Why, digits};
use super::possible;
use crate::event::{Col, Event, Text};
use crate::syscall::{Op, Ret, Role, Syscall, flag};
use memchr::{memchr, memmem};
use std::ops::RangeInclusive;

const SEPARATOR: &[u8] = b";:,";
/// Longest line that is accepted, bytes: a few paths of 255 bytes; in version 5 a line has at most 8,192 bytes.
const LONGEST: usize = 16 * 1024;
/// Length from which a path may have been cut: the probes cut strings at 255 bytes, the terminator included
/// (MAXSTRINGLEN).
const CUT: usize = 254;

/// Values of `t` that are milliseconds since 1970 (years 2001 to 2286), as in versions 1 and 2: no time in nanoseconds
/// of a capture lies in this range.
const MILLIS: RangeInclusive<i64> = 1_000_000_000_000..=9_999_999_999_999;
/// Nanoseconds in a millisecond.
const MILLI: i64 = 1_000_000;

/// What the value of a key means, and where it goes in the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// The outcome of the call: its return value, or a negated errno.
    Outcome,
    /// An argument that is a number, for this column.
    Int(Col),
    /// An argument that is a text, for this column.
    Text(Text),
    /// A number without a column: it is checked and dropped.
    Skip,
}

/// The keys of a call's line, in order, and what their values mean.
pub(super) struct Shape {
    syscall: Syscall,
    keys: &'static [(u8, To)],
}

macro_rules! key {
    (ret) => {
        To::Outcome
    };
    (path) => {
        To::Text(Text::Path)
    };
    (path2) => {
        To::Text(Text::Path2)
    };
    (skip) => {
        To::Skip
    };
    ($col:ident) => {
        To::Int(Col::$col)
    };
}

macro_rules! shapes {
    ($($probe:ident => $syscall:ident [$($key:ident $to:ident),*];)*) => {
        /// The shape (keys) of the call that a probe of this name logs; `None` when no probe has the name.
        pub fn shape(probe: &[u8]) -> Option<&'static Shape> {
            $(const $probe: &[u8] = stringify!($probe).as_bytes();)*
            match probe {
                $($probe => Some(const { &Shape {
                    syscall: Syscall::$syscall,
                    keys: &[$((stringify!($key).as_bytes()[0], key!($to))),*],
                } }),)*
                _ => None,
            }
        }
        #[cfg(test)]
        pub const PROBES: &[&str] = &[$(stringify!($probe)),*];
    };
}

#[rustfmt::skip]
mod table {
    #![allow(non_upper_case_globals, reason = "constants named as the probes name their calls")]
    use super::*;
shapes! {
    open            => open            [d ret, p path, f Flags, m Mode];
    openat          => openat          [d ret, p path, f Flags, m Mode];
    creat           => creat           [d ret, p path, m Mode];
    close           => close           [d Fd, s ret];
    read            => read            [d Fd, b ret];
    readv           => readv           [d Fd, b ret];
    write           => write           [d Fd, b ret];
    writev          => writev          [d Fd, b ret];
    pread           => pread64         [d Fd, O Offset, b ret];
    pread64         => pread64         [d Fd, O Offset, b ret];
    pwrite          => pwrite64        [d Fd, O Offset, b ret];
    pwrite64        => pwrite64        [d Fd, O Offset, b ret];
    readahead       => readahead       [d Fd, b ret, O Offset, c Count];
    lseek           => lseek           [d Fd, O Offset, W Whence, b ret];
    llseek          => _llseek         [d Fd, O Offset, W Whence, b ret];
    fcntl           => fcntl           [d Fd, F Cmd, G Arg, s ret];
    stat            => stat            [p path, s ret];
    lstat           => lstat           [p path, s ret];
    statfs          => statfs          [p path, s ret];
    statfs64        => statfs64        [p path, s ret];
    fstat           => fstat           [d Fd, s ret];
    fstatfs         => fstatfs         [d Fd, s ret];
    fstatfs64       => fstatfs64       [d Fd, s ret];
    fstatat         => newfstatat      [d DirFd, p path, f Flags, s ret];
    newfstatat      => newfstatat      [d DirFd, p path, f Flags, s ret];
    getdents        => getdents        [d Fd, c Count, b ret];
    getdents64      => getdents64      [d Fd, c Count, b ret];
    readdir         => readdir         [d Fd, s ret];
    readlink        => readlink        [p path, P path2, s ret];
    readlinkat      => readlinkat      [p path, P path2, s ret];
    rename          => rename          [p path, P path2, s ret];
    renameat        => renameat        [p path, P path2, s ret];
    renameat2       => renameat2       [p path, P path2, s ret];
    unlink          => unlink          [p path, s ret];
    rmdir           => rmdir           [p path, s ret];
    unlinkat        => unlinkat        [d DirFd, p path, f Flags, s ret];
    mkdir           => mkdir           [p path, m Mode, s ret];
    mkdirat         => mkdirat         [d DirFd, p path, m Mode, s ret];
    fsync           => fsync           [d Fd, s ret];
    fdatasync       => fdatasync       [d Fd, s ret];
    syncfs          => syncfs          [d Fd, s ret];
    sync            => sync            [s ret];
    sync_file_range => sync_file_range [d Fd, O Offset, b Count, s ret];
    chmod           => chmod           [p path, m Mode, s ret];
    fchmodat        => fchmodat        [p path, m Mode, s ret];
    fchmod          => fchmod          [d Fd, m Mode, s ret];
    chown           => chown           [p path, O Uid, G Gid, s ret];
    chown16         => chown16         [p path, O Uid, G Gid, s ret];
    lchown          => lchown          [p path, O Uid, G Gid, s ret];
    lchown16        => lchown16        [p path, O Uid, G Gid, s ret];
    fchown          => fchown          [d Fd, O Uid, G Gid, s ret];
    fchown16        => fchown16        [d Fd, O Uid, G Gid, s ret];
    fchownat        => fchownat        [p path, O Uid, G Gid, f Flags, s ret];
    mmap            => mmap            [a skip, b Count, m Mode, f Flags, d Fd, O Offset, A ret];
    mmap2           => mmap2           [a skip, b Count, m Mode, f Flags, d Fd, O Offset, A ret];
    mremap          => mremap          [a skip, A skip, b Count, f Flags, s ret];
    munmap          => munmap          [a skip, b Count, s ret];
    msync           => msync           [a skip, b Count, f Flags, s ret];
    exit_group      => exit_group      [];
}
}
#[cfg(test)]
use table::PROBES;
use table::shape;

/// Parser of `.capture` files of all versions.
pub struct Capture;

/// Is this the start of a `.capture` file: does any line in it look like a header or an event? Blank lines and banners
/// may stand before the first.
pub fn detect(start: &[u8]) -> bool {
    let mut lines = start.split(|c| *c == b'\n');
    let event = |line: &[u8]| {
        v5::is_event(line) || (line.starts_with(b"t=") && (memmem::find(line, b";:,D=").is_some() || in_millis(line)))
    };
    lines.any(|line| header(line) || event(line))
}

/// Is this an event line of version 1 or 2, which have the return in milliseconds and no duration?
fn in_millis(line: &[u8]) -> bool {
    let mut rest = Rest(line);
    rest.key(b't').and_then(digits).is_ok_and(|time| MILLIS.contains(&time)) && rest.0.starts_with(b"i=")
}

fn header(line: &[u8]) -> bool {
    line.starts_with(HEADER)
}

/// Is the line a comment, a header, or the banner of bpftrace?
fn remark(line: &[u8]) -> bool {
    [&b"#"[..], b"Attaching ", b"Attached "].iter().any(|start| line.starts_with(start))
}

/// Does a line that is no event contain keys of one, so that an event was joined onto it?
fn hides(line: &[u8]) -> bool {
    [&b";:,D="[..], b";:,o="].iter().any(|key| memmem::find(line, key).is_some())
}

/// Start of the header line.
const HEADER: &[u8] = b"#|capture_version=";

/// The version in a header line, if it is none of those that are read here (1 to 5).
fn other_version(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(HEADER)?;
    let version = &rest[..memchr(b'|', rest).unwrap_or(rest.len())];
    (!matches!(version, b"1" | b"2" | b"3" | b"4" | b"5")).then_some(version)
}

/// The version in the header at the start of a file, if it is none of those that are read here; made safe to print.
pub fn unknown_version(start: &[u8]) -> Option<String> {
    let version = start.split(|c| *c == b'\n').find_map(|line| other_version(line.trim_ascii_end()))?;
    Some(String::from_utf8_lossy(version).chars().filter(char::is_ascii_alphanumeric).take(20).collect())
}

impl Parser for Capture {
    fn line(&self, number: u64, line: &[u8], batch: &mut Batch) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let parsed = match line {
            [b't', b'=', ..] => Some(event(line)),
            [b'n', b'=', ..] => Some(v5::event(line)),
            _ => None,
        };
        if let Some(parsed) = parsed {
            return match parsed {
                Ok((mut event, stamp)) => {
                    if line[0] == b't' {
                        let long = [Text::Path, Text::Path2].iter().filter_map(|text| event.text(*text));
                        batch.cut_paths += long.filter(|path| path.len() >= CUT).count() as u64;
                    } else {
                        batch.marked += 1;
                    }
                    event.set(Col::Line, number as i64);
                    let tid = event.int(Col::Tid);
                    batch.parsed.push(Parsed { line: number, stamp, tid, what: What::Call(event) });
                }
                Err(why) => batch.reject(number, why, line),
            };
        }
        match line {
            _ if remark(line) && hides(line) => batch.reject(number, Why::Glued, line),
            _ if other_version(line).is_some() => batch.reject(number, Why::Version, line),
            _ if header(line) => {
                batch.headers += 1;
                batch.begun += u64::from(v5::is_header(line));
            }
            [b'#', ..] => match v5::end(line) {
                Some(Ok(ended)) => {
                    batch.headers += 1;
                    batch.ended.push(ended);
                }
                Some(Err(why)) => batch.reject(number, why, line),
                None => batch.comments += 1,
            },
            _ if line.trim_ascii().is_empty() => batch.notes += 1,
            // bpftrace's banner
            _ if remark(line) => batch.notes += 1,
            _ if line.contains(&0) => batch.reject(number, Why::Nul, line),
            _ => batch.reject(number, Why::NotEvent, line),
        }
    }

    fn call(&self, _: &[u8], _: &mut Doubts) -> Result<Event, Why> {
        Err(Why::NotEvent)
    }
}

/// The part of a line that is still to be parsed.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Takes the value of the next key, which must be this one.
    fn key(&mut self, key: u8) -> Result<&'a [u8], Why> {
        match self.0 {
            [found, b'=', rest @ ..] if *found == key => {
                let end = separator(rest).ok_or(Why::Cut)?;
                self.0 = &rest[end + SEPARATOR.len()..];
                Ok(&rest[..end])
            }
            b"" => Err(Why::Cut),
            rest if rest.starts_with(b"t=") => Err(Why::Glued),
            rest if separator(rest).is_none() => Err(Why::Cut),
            _ => Err(Why::Key),
        }
    }
}

/// Offset of the next separator. Values are short, and a `;` in one is rare.
fn separator(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr(b';', text.get(at..)?)?;
        if text[at..].starts_with(SEPARATOR) {
            return Some(at);
        }
        at += 1;
    }
}

fn event(line: &[u8]) -> Result<(Event, Stamp), Why> {
    if line.len() > LONGEST {
        return Err(Why::Long);
    }
    if memchr(0, line).is_some() {
        return Err(Why::Nul);
    }
    let mut rest = Rest(line);
    let exit = digits(rest.key(b't')?)?;
    let millis = MILLIS.contains(&exit) && rest.0.starts_with(b"i=");
    // The return is the only time in such a line, and stands for the start.
    let (exit, dur) = if millis { (exit * MILLI, 0) } else { (exit, digits(rest.key(b'D')?)?) };
    if exit <= 0 || dur < 0 || dur > exit {
        return Err(Why::Number);
    }
    let ids = rest.key(b'i')?;
    let colon = memchr(b':', ids).ok_or(Why::Number)?;
    let (pid, tid) = (id(&ids[..colon])?, id(&ids[colon + 1..])?);
    let name = rest.key(b'o')?;

    let entry = (dur != exit).then_some(exit - dur);
    let mut event = match shape(name) {
        Some(shape) => known(shape, &mut rest, entry.is_none())?,
        None => unknown(name, &mut rest)?,
    };
    if !rest.0.is_empty() {
        return Err(match rest.0 {
            tail if tail.starts_with(b"t=") => Why::Glued,
            tail if separator(tail).is_none() => Why::Cut,
            _ => Why::Key,
        });
    }
    event.set(Col::Pid, pid);
    event.set(Col::Tid, tid);
    event.put(Col::Ts, entry);
    event.put(Col::Dur, entry.filter(|_| !millis).map(|_| dur));
    possible::check(&event)?;
    Ok((event, Stamp::Span(entry, exit)))
}

/// Parses a process or thread id: from 0 to the kernel's limit (proc(5), pid_max: 4194304).
fn id(text: &[u8]) -> Result<i64, Why> {
    digits(text).ok().filter(|id| (0..=1 << 22).contains(id)).ok_or(Why::Number)
}

fn known(shape: &Shape, rest: &mut Rest, lost: bool) -> Result<Event, Why> {
    let mut event = Event::new(shape.syscall);
    for (key, to) in shape.keys {
        if *key == b'P' && rest.0.starts_with(b"s=") && matches!(shape.syscall, Syscall::readlink | Syscall::readlinkat) {
            continue;
        }
        let value = rest.key(*key)?;
        match to {
            To::Outcome => {
                let value = digits(value)?;
                // -4095..-1 are errors; below that only addresses make sense.
                if value < -4095 && shape.syscall.def().ret != Ret::Addr {
                    return Err(Why::Number);
                }
                event.set_outcome(value);
            }
            To::Int(col) => {
                let value = digits(value)?;
                if !lost {
                    event.set(*col, value);
                }
            }
            To::Text(text) if !lost => {
                if memmem::find(value, b";:").is_some_and(|at| at + 2 == value.len()) {
                    return Err(Why::Key);
                }
                event.set_text(*text, value);
            }
            To::Text(_) => {}
            To::Skip => {
                digits(value)?;
            }
        }
    }
    repair(&mut event);
    Ok(event)
}

/// Corrects what the joining of paths in the kernel made of empty and lost ones.
fn repair(event: &mut Event) {
    let failed = event.failure().is_some();
    match event.syscall {
        Syscall::newfstatat if event.int(Col::Flags).is_some_and(|flags| flags & flag::AT_EMPTY_PATH != 0) => {
            let Some(path) = event.take_text(Text::Path) else { return };
            match path.split_last() {
                Some((b'/', on)) => {
                    event.set_text(Text::DirPath, if on.is_empty() { b"/" } else { on });
                    event.set_text(Text::Path, *b"");
                }
                _ => event.set_text(Text::Path, path),
            }
        }
        Syscall::mkdirat if event.text(Text::Path).is_some_and(|path| path.is_empty() || path.ends_with(b"/")) => {
            event.take_text(Text::Path);
        }
        Syscall::readlink | Syscall::readlinkat if event.success().is_none_or(|len| len <= 0) => {
            event.take_text(Text::Path2);
        }
        // No call with an empty path succeeds; the probe lost it. A failed one may have had it.
        _ if !failed => {
            for text in [Text::Path, Text::Path2] {
                if event.text(text).is_some_and(<[u8]>::is_empty) {
                    event.take_text(text);
                }
            }
        }
        _ => {}
    }
}

/// An event of the syscall of this name; a plausible name that the table lacks gives `Syscall::other`.
fn named(name: &[u8]) -> Result<Event, Why> {
    if let Some(syscall) = Syscall::parse(name).filter(|syscall| syscall.is_call()) {
        return Ok(Event::new(syscall));
    }
    let plain = |c: &u8| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == b'_';
    let Ok(text) = std::str::from_utf8(name) else { return Err(Why::Key) };
    if name.is_empty() || name.len() > 32 || !name.iter().all(plain) {
        return Err(Why::Key);
    }
    let mut event = Event::new(Syscall::other);
    event.other = Some(text.into());
    Ok(event)
}

/// Parses the keys of a call that no probe of versions 3 and 4 has: scripts may print more. Its keys have their usual
/// meaning as far as the syscall table's row has a column for them; a call that the table lacks keeps its name and
/// outcome.
fn unknown(name: &[u8], rest: &mut Rest) -> Result<Event, Why> {
    let mut event = named(name)?;
    let row = event.syscall.def();
    let takes = |col: Col| row.args.iter().any(|role| role.col() == Some(col));
    let mut seen = 0u64;
    while let [key @ (b'a'..=b'z' | b'A'..=b'Z'), b'=', ..] = rest.0 {
        let key = *key;
        if matches!(key, b't' | b'D' | b'i' | b'o') {
            return Err(if key == b't' { Why::Glued } else { Why::Key });
        }
        if seen & 1 << (key - b'A') != 0 {
            return Err(Why::Key);
        }
        seen |= 1 << (key - b'A');
        let value = rest.key(key)?;
        let col = match key {
            b'p' => {
                event.set_text(Text::Path, value);
                continue;
            }
            b'P' => {
                event.set_text(Text::Path2, value);
                continue;
            }
            b's' => None,
            b'd' if row.ret == Ret::NewFd && !takes(Col::Fd) => None,
            b'b' if seen & 1 << (b's' - b'A') == 0 && matches!(row.ret, Ret::Bytes | Ret::Pos) => None,
            b'd' if takes(Col::DirFd) && !takes(Col::Fd) => Some(Col::DirFd),
            b'd' => Some(Col::Fd),
            b'f' => Some(Col::Flags),
            b'm' => Some(Col::Mode),
            b'b' | b'c' => Some(Col::Count),
            b'O' if takes(Col::Uid) => Some(Col::Uid),
            b'O' => Some(Col::Offset),
            b'W' => Some(Col::Whence),
            b'F' => Some(Col::Cmd),
            b'G' if takes(Col::Gid) => Some(Col::Gid),
            b'G' => Some(Col::Arg),
            b'a' | b'A' | b'T' => continue,
            _ => return Err(Why::Key),
        };
        match col {
            None => event.set_outcome(digits(value)?),
            Some(col) if takes(col) => event.set(col, digits(value)?),
            Some(_) => {
                digits(value)?;
            }
        }
    }
    let has = |key: u8| seen & 1 << (key - b'A') != 0;
    let second = row.op().is_some() && row.args.iter().any(|role| matches!(role, Role::Path2 | Role::Target));
    if second && !has(b'P') || resizes(&event) && event.int(Col::Count).is_none() {
        return Err(Why::Key);
    }
    Ok(event)
}

/// Does the call set the size of a file? A line of one without a length is rejected.
fn resizes(event: &Event) -> bool {
    matches!(event.syscall.op(), Some(Op::Truncate | Op::Ftruncate))
}

#[cfg(test)]
mod tests;
