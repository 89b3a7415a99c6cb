//! Prints the arguments of a call, each by its role.

use super::put;
use crate::event::{AT_FDCWD, Col, Event, TIME_NOW, TIME_OMIT, Text};
use crate::ingest::strace::names;
use crate::syscall::flag::IOV_MAX;
use crate::syscall::lock::Lock;
use crate::syscall::{Moves, Op, Role, Syscall};

/// In place of memory that is not known.
const MEMORY: &[u8] = b"0x1000";

/// Names of the flags of open(2), those of several bits first.
const OPEN: &[&str] = &[
    "O_TMPFILE",
    "O_SYNC",
    "O_CREAT",
    "O_EXCL",
    "O_NOCTTY",
    "O_TRUNC",
    "O_APPEND",
    "O_NONBLOCK",
    "O_DSYNC",
    "O_ASYNC",
    "O_DIRECT",
    "O_LARGEFILE",
    "O_DIRECTORY",
    "O_NOFOLLOW",
    "O_NOATIME",
    "O_CLOEXEC",
    "O_PATH",
];

/// The arguments that are being printed.
pub struct Args<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Args<'o> {
    /// None so far.
    pub fn new(out: &'o mut Vec<u8>) -> Args<'o> {
        Args { out, first: true }
    }

    /// Begins the next one.
    fn next(&mut self) -> &mut Vec<u8> {
        if !self.first {
            self.out.extend_from_slice(b", ");
        }
        self.first = false;
        self.out
    }

    fn number(&mut self, value: i64) {
        put(self.next(), format_args!("{value}"));
    }

    fn word(&mut self, word: &[u8]) {
        self.next().extend_from_slice(word);
    }
}

/// Prints all arguments; `None` when one that every line has is not known.
pub fn print(event: &Event, args: &mut Args<'_>) -> Option<()> {
    match event.syscall {
        Syscall::other => return Some(()),
        Syscall::clone => {
            put(args.next(), format_args!("child_stack=NULL"));
            put(args.next(), format_args!("flags={:#x}", event.int(Col::Flags)?));
            return Some(());
        }
        _ => {}
    }
    let pair = match event.syscall {
        Syscall::pipe | Syscall::pipe2 => Some(0),
        Syscall::socketpair => Some(3),
        _ => None,
    };
    for (at, role) in event.syscall.def().args.iter().enumerate() {
        if pair == Some(at) && event.int(Col::Fd).is_some() && event.int(Col::Fd2).is_some() {
            args.word(b"[");
            descriptor(event.int(Col::Fd)?, event.text(Text::FdPath), event.int(Col::StMode), args.out);
            args.out.extend_from_slice(b", ");
            descriptor(event.int(Col::Fd2)?, event.text(Text::Fd2Path), None, args.out);
            args.out.push(b']');
        } else {
            one(event, *role, args)?;
        }
    }
    Some(())
}

fn one(event: &Event, role: Role, args: &mut Args<'_>) -> Option<()> {
    let op = event.syscall.op();
    match role {
        Role::Fd => {
            let on = event.text(Text::FdPath);
            descriptor(event.int(Col::Fd)?, on, event.int(Col::StMode), args.next());
        }
        Role::Fd2 => descriptor(event.int(Col::Fd2)?, event.text(Text::Fd2Path), None, args.next()),
        Role::DirFd => descriptor(event.int(Col::DirFd)?, event.text(Text::DirPath), None, args.next()),
        Role::DirFd2 => descriptor(event.int(Col::DirFd2)?, event.text(Text::Dir2Path), None, args.next()),
        Role::Path | Role::Path2 | Role::Target | Role::Name => string(event.text(role.text()?), args.next()),
        Role::Link => match event.text(Text::Path2) {
            Some(link) => string(Some(link), args.next()),
            None => args.word(MEMORY),
        },
        Role::Buf if event.success().is_some() && matches!(op, Some(Op::Read | Op::Pread | Op::Write | Op::Pwrite)) => {
            args.word(b"\"\"...")
        }
        // Of the two lists of an exec the words are the first; where one ended is not known.
        Role::Buf if op == Some(Op::Exec) && event.text(Text::Name).is_some() && !args.out.ends_with(b"]") => {
            let line = event.text(Text::Name).unwrap_or_default();
            args.word(b"[");
            string(Some(line.strip_suffix(b"...").unwrap_or(line)), args.out);
            args.out.extend_from_slice(if line.ends_with(b"...") { b"...]" } else { b"]" });
        }
        Role::Buf => args.word(MEMORY),
        Role::Iov => match (event.int(Col::Count), event.int(Col::IovCnt)) {
            (Some(count), Some(buffers @ 1..=IOV_MAX)) => {
                put(args.next(), format_args!("[{{iov_base=\"\"..., iov_len={count}}}"));
                (1..buffers).for_each(|_| args.out.extend_from_slice(b", {iov_base=NULL, iov_len=0}"));
                args.out.push(b']');
            }
            (Some(0), Some(0)) => args.word(b"[]"),
            _ => args.word(MEMORY),
        },
        Role::OffsetPtr | Role::Offset2Ptr => match event.int(role.col()?) {
            Some(at) => put(args.next(), format_args!("[{at}]")),
            None => args.word(b"NULL"),
        },
        // Both halves stand as one number.
        Role::OffsetHigh => {}
        Role::ResultPtr => match event.success() {
            Some(at) => put(args.next(), format_args!("[{at}]")),
            None => args.word(MEMORY),
        },
        Role::How => match (event.int(Col::Flags), event.int(Col::Mode), event.int(Col::Resolve)) {
            (Some(flags), mode, Some(resolve)) => {
                args.word(b"{flags=");
                open_flags(flags, args.out);
                if let Some(mode) = mode {
                    args.out.extend_from_slice(b", mode=");
                    octal(mode, args.out);
                }
                put(args.out, format_args!(", resolve={resolve:#x}}}"));
            }
            _ => args.word(MEMORY),
        },
        Role::Stat => found(event, "st_", args),
        Role::Statx => found(event, "stx_", args),
        Role::Times => match (event.int(Col::Atime), event.int(Col::Mtime)) {
            (Some(atime), Some(mtime)) => {
                args.word(b"[");
                time(atime, args.out);
                args.out.extend_from_slice(b", ");
                time(mtime, args.out);
                args.out.push(b']');
            }
            _ => args.word(MEMORY),
        },
        Role::CloneArgs => match event.int(Col::Flags) {
            Some(flags) => put(args.next(), format_args!("{{flags={flags:#x}}}")),
            None => args.word(MEMORY),
        },
        Role::OpenFlags => open_flags(event.int(Col::Flags)?, args.next()),
        Role::Mode => match event.int(Col::Mode) {
            Some(mode) => octal(mode, args.next()),
            // Without O_CREAT there is none.
            None if matches!(op, Some(Op::Open | Op::Openat)) => {}
            None => return None,
        },
        Role::AtFlags | Role::Flags | Role::CloneFlags => match event.int(Col::Flags) {
            Some(flags) => put(args.next(), format_args!("{flags:#x}")),
            None => unknown(event, args)?,
        },
        Role::Whence => match event.int(Col::Whence)? {
            0 => args.word(b"SEEK_SET"),
            1 => args.word(b"SEEK_CUR"),
            2 => args.word(b"SEEK_END"),
            other => args.number(other),
        },
        Role::Cmd => match event.int(Col::Cmd) {
            Some(cmd) if op == Some(Op::Ioctl) => put(args.next(), format_args!("{cmd:#x}")),
            Some(cmd) => args.number(cmd),
            // A request that only strace has a name for.
            None if op == Some(Op::Ioctl) => args.word(b"UNKNOWN"),
            None => unknown(event, args)?,
        },
        Role::Arg if Lock::asked(event).is_some() => {
            let fields = [Col::Mode, Col::Whence, Col::Offset, Col::Count].map(|col| event.int(col));
            match fields {
                [Some(kind), Some(whence), Some(start), Some(length)] => {
                    put(args.next(), format_args!("{{l_type={kind}, l_whence={whence}, l_start={start}, l_len={length}}}"))
                }
                _ => args.word(MEMORY),
            }
        }
        Role::Arg => {
            // Many commands have none.
            if let Some(arg) = event.int(Col::Arg) {
                args.number(arg);
            }
        }
        Role::IovCnt | Role::Count | Role::Offset | Role::Access | Role::Prot | Role::Uid | Role::Gid | Role::Process => {
            match role.col().and_then(|col| event.int(col)) {
                Some(value) => args.number(value),
                None => unknown(event, args)?,
            }
        }
        Role::Addr | Role::Start => args.word(b"NULL"),
        Role::Advice | Role::Skip => args.word(b"0"),
    }
    Some(())
}

/// Values that the event lacks and every line has, where they make no difference: the directory of an absolute path, and the
/// bytes that were asked for where those that were moved are known (captures of early versions have none).
pub fn supplied(event: &Event) -> Vec<(Col, i64)> {
    let def = event.syscall.def();
    let lacks = |role, col| def.has(role) && event.int(col).is_none();
    let absolute = |text| event.text(text).is_some_and(|path| path.starts_with(b"/"));
    let mut values = Vec::new();
    // Of symlinkat the second path is the content.
    if lacks(Role::DirFd, Col::DirFd) && absolute(Text::Path) {
        values.push((Col::DirFd, AT_FDCWD));
    }
    if lacks(Role::DirFd2, Col::DirFd2) && absolute(Text::Path2) {
        values.push((Col::DirFd2, AT_FDCWD));
    }
    let moves = def.moves() != Moves::Nothing || def.has(Role::Link);
    let moved = event.success().unwrap_or(0);
    if moves && (lacks(Role::Count, Col::Count) || lacks(Role::Iov, Col::Count)) {
        values.push((Col::Count, moved));
    }
    if moves && lacks(Role::IovCnt, Col::IovCnt) {
        values.push((Col::IovCnt, 1));
    }
    values
}

/// An argument that is not known, of a call that is not replayed: any constant does. `None` for other calls.
fn unknown(event: &Event, args: &mut Args<'_>) -> Option<()> {
    event.syscall.op().is_none().then(|| args.word(b"UNKNOWN"))
}

fn descriptor(number: i64, on: Option<&[u8]>, kind: Option<i64>, out: &mut Vec<u8>) {
    match number {
        AT_FDCWD => out.extend_from_slice(b"AT_FDCWD"),
        number => put(out, format_args!("{number}")),
    }
    if let Some(on) = on {
        annotation(kind, on, out);
    }
}

/// What a descriptor is open on: `</path>`, of a device with its kind. `kind` is of column `st_mode`.
pub fn annotation(kind: Option<i64>, on: &[u8], out: &mut Vec<u8>) {
    out.push(b'<');
    escaped(on, b"<>\"\\", out);
    // Of a device the kind and nothing else is known.
    match kind {
        Some(0o020_000) => out.extend_from_slice(b"<char 0:0>"),
        Some(0o060_000) => out.extend_from_slice(b"<block 0:0>"),
        _ => {}
    }
    out.push(b'>');
}

fn string(text: Option<&[u8]>, out: &mut Vec<u8>) {
    match text {
        Some(text) => {
            out.push(b'"');
            escaped(text, b"\"\\", out);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"NULL"),
    }
}

/// Bytes that are no printable ASCII, or one of these, in octal.
fn escaped(text: &[u8], these: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' | b'\\' if !these.contains(&b'<') => out.extend([b'\\', *byte]),
            b' '..=b'~' if !these.contains(byte) => out.push(*byte),
            byte => put(out, format_args!("\\{byte:03o}")),
        }
    }
}

fn octal(mode: i64, out: &mut Vec<u8>) {
    if mode == 0 { out.push(b'0') } else { put(out, format_args!("0{mode:o}")) }
}

fn open_flags(flags: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(match flags & 3 {
        0 => b"O_RDONLY".as_slice(),
        1 => b"O_WRONLY",
        2 => b"O_RDWR",
        _ => b"O_ACCMODE",
    });
    let mut left = flags & !3;
    for name in OPEN {
        let value = names::known(name.as_bytes()).map_or(0, |(_, value)| value);
        if value != 0 && left & value == value {
            put(out, format_args!("|{name}"));
            left &= !value;
        }
    }
    if left != 0 {
        put(out, format_args!("|{left:#x}"));
    }
}

/// What a stat found, as far as it is known.
fn found(event: &Event, prefix: &str, args: &mut Args<'_>) {
    if event.success().is_none() {
        return args.word(MEMORY);
    }
    args.word(b"{");
    if let Some(mode) = event.int(Col::StMode) {
        put(args.out, format_args!("{prefix}mode="));
        octal(mode, args.out);
        args.out.extend_from_slice(b", ");
    }
    for (col, name) in [(Col::StSize, "size"), (Col::Uid, "uid"), (Col::Gid, "gid")] {
        if let Some(value) = event.int(col) {
            put(args.out, format_args!("{prefix}{name}={value}, "));
        }
    }
    if let Some(mtime) = event.int(Col::Mtime) {
        let (seconds, part) = (mtime.div_euclid(1_000_000_000), mtime.rem_euclid(1_000_000_000));
        match prefix {
            "stx_" => put(args.out, format_args!("stx_mtime={{tv_sec={seconds}, tv_nsec={part}}}, ")),
            _ => put(args.out, format_args!("st_mtime={seconds}, st_mtime_nsec={part}, ")),
        }
    }
    args.out.extend_from_slice(b"...}");
}

fn time(at: i64, out: &mut Vec<u8>) {
    match at {
        TIME_NOW => out.extend_from_slice(b"UTIME_NOW"),
        TIME_OMIT => out.extend_from_slice(b"UTIME_OMIT"),
        at => {
            let (seconds, part) = (at.div_euclid(1_000_000_000), at.rem_euclid(1_000_000_000));
            put(out, format_args!("{{tv_sec={seconds}, tv_nsec={part}}}"));
        }
    }
}
