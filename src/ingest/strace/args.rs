//! From printed arguments to the columns of an event, by the roles of the call's row.

use super::lex::{self, Annotation, Printed};
use crate::event::{AT_FDCWD, Col, Event, TIME_NOW, TIME_OMIT, Text};
use crate::ingest::parse::Why;
use crate::syscall::lock::Lock;
use crate::syscall::{Def, Op, Role, Syscall};

/// Fills in the arguments of a call.
///
/// # Errors
/// When an argument that the replay needs is malformed or has an unknown name.
pub fn fill(event: &mut Event, args: &[&[u8]]) -> Result<(), Why> {
    let def = event.syscall.def();
    match event.syscall {
        Syscall::pipe | Syscall::pipe2 | Syscall::socketpair => pair(event, args),
        // strace names the arguments of clone and leaves out those that do not count.
        Syscall::clone => {
            let flags = args.iter().find_map(|arg| arg.strip_prefix(b"flags="));
            event.put(Col::Flags, flags.and_then(lex::value));
            return Ok(());
        }
        _ => {}
    }
    // strace prints the two halves of a 32-bit position as one number.
    let joined = def.has(Role::OffsetHigh) && args.len() < def.args.len();
    let roles = def.args.iter().filter(|role| !(joined && **role == Role::OffsetHigh));
    for (role, arg) in roles.zip(args) {
        fill_one(event, def, *role, arg)?;
    }
    Ok(())
}

fn fill_one(event: &mut Event, def: &Def, role: Role, arg: &[u8]) -> Result<(), Why> {
    match role {
        Role::Fd => set_fd(event, arg, Col::Fd, Text::FdPath, true)?,
        Role::Fd2 => set_fd(event, arg, Col::Fd2, Text::Fd2Path, false)?,
        Role::DirFd => set_fd(event, arg, Col::DirFd, Text::DirPath, false)?,
        Role::DirFd2 => set_fd(event, arg, Col::DirFd2, Text::Dir2Path, false)?,
        Role::Path | Role::Path2 | Role::Target | Role::Name | Role::Link => {
            // What is cut or unreadable is lost: the column stays absent.
            if let (Printed::Whole(bytes), Some(text)) = (lex::string(arg).ok_or(Why::Argument)?, role.text()) {
                event.set_text(text, bytes);
            }
        }
        Role::Iov => event.put(Col::Count, total(arg)),
        // An array (`[12] => [34]`) or a pointer; NULL means the file's own position.
        Role::OffsetPtr => event.put(Col::Offset, bracketed(arg)),
        Role::Offset2Ptr => event.put(Col::Offset2, bracketed(arg)),
        // Some kernels store the result of a 32-bit seek here and return 0; see [`result`].
        Role::ResultPtr => event.put(Col::Arg, bracketed(arg)),
        Role::How => {
            let named = |name| lex::field(arg, name).map(|text| lex::value(text).ok_or(Why::Argument)).transpose();
            if arg.first() == Some(&b'{') {
                event.put(Col::Flags, named(b"flags=")?);
                event.put(Col::Mode, named(b"mode=")?);
                event.put(Col::Resolve, named(b"resolve=")?.or(Some(0)));
            }
        }
        Role::CloneArgs => event.put(Col::Flags, lex::field(arg, b"flags=").and_then(lex::value)),
        Role::Stat => {
            stat(event, arg, [b"st_mode=", b"st_size=", b"st_uid=", b"st_gid="]);
            event.put(Col::Mtime, nanos(arg, b"st_mtime=", b"st_mtime_nsec="));
        }
        Role::Statx => {
            stat(event, arg, [b"stx_mode=", b"stx_size=", b"stx_uid=", b"stx_gid="]);
            let mtime = memchr::memmem::find(arg, b"stx_mtime=").map(|at| &arg[at..]);
            event.put(Col::Mtime, mtime.and_then(|mtime| nanos(mtime, b"tv_sec=", b"tv_nsec=")));
        }
        Role::Times => times(event, arg)?,
        Role::Buf | Role::OffsetHigh | Role::Addr | Role::Skip => {}
        // Only requests that files know are ever issued again, and those have names here.
        Role::Cmd if def.op() == Some(Op::Ioctl) => event.put(Col::Cmd, lex::value(arg)),
        Role::Arg if Lock::asked(event).is_some() && arg.first() == Some(&b'{') => {
            let named = [(Col::Mode, "l_type="), (Col::Whence, "l_whence="), (Col::Offset, "l_start="), (Col::Count, "l_len=")];
            for (col, name) in named {
                event.put(col, lex::field(arg, name.as_bytes()).and_then(lex::value));
            }
        }
        // That of F_SETSIG is a signal, which the replay does not read.
        Role::Arg => event.put(Col::Arg, lex::descriptor(arg).map(|(value, _)| value)),
        Role::IovCnt
        | Role::Count
        | Role::Offset
        | Role::Whence
        | Role::OpenFlags
        | Role::AtFlags
        | Role::Flags
        | Role::Mode
        | Role::Access
        | Role::Prot
        | Role::Cmd
        | Role::Uid
        | Role::Gid
        | Role::CloneFlags => {
            let value = lex::value(arg);
            if value.is_none() && def.op().is_some() {
                return Err(Why::Argument);
            }
            if let Some(col) = role.col() {
                event.put(col, value);
            }
        }
    }
    Ok(())
}

fn set_fd(event: &mut Event, arg: &[u8], col: Col, text: Text, first: bool) -> Result<(), Why> {
    let (number, on) = lex::descriptor(arg).ok_or(Why::Argument)?;
    // Descriptors are C ints; -100 printed as a number is AT_FDCWD as well.
    let number = if number == i64::from(u32::MAX - 99) { AT_FDCWD } else { number };
    event.set(col, number);
    if let Some(on) = on {
        note(event, text, on, first);
    }
    Ok(())
}

/// Notes what a descriptor is open on.
pub fn note(event: &mut Event, text: Text, on: Annotation, first: bool) {
    event.set_text(text, on.path);
    if first && on.kind.is_some() {
        event.put(Col::StMode, on.kind);
    }
}

/// The two descriptors that pipe and socketpair made.
fn pair(event: &mut Event, args: &[&[u8]]) {
    let Some(array) = args.iter().find_map(|arg| arg.strip_prefix(b"[")?.strip_suffix(b"]")) else { return };
    let Some((made, _)) = lex::split(array) else { return };
    if let [first, second] = made.as_slice() {
        // A pair that cannot be read (the call failed) leaves the columns absent.
        let _ = set_fd(event, first, Col::Fd, Text::FdPath, true);
        let _ = set_fd(event, second, Col::Fd2, Text::Fd2Path, false);
    }
}

/// The number in `[12]` or `[12] => [34]`.
fn bracketed(arg: &[u8]) -> Option<i64> {
    let inner = arg.strip_prefix(b"[")?;
    let end = memchr::memchr(b']', inner)?;
    lex::value(&inner[..end])
}

/// Total length of the buffers of `[{iov_base=.., iov_len=5}, ..]`; unknown when strace cut the array short.
fn total(arg: &[u8]) -> Option<i64> {
    let inner = arg.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let mut rest = inner;
    let mut sum = 0i64;
    while !rest.is_empty() {
        let at = rest.iter().position(|c| *c == b'{' || *c == b'.')?;
        rest = rest.get(at + 1..)?;
        if inner[inner.len() - rest.len() - 1] == b'.' {
            return None;
        }
        let (fields, tail) = lex::split_braces(rest)?;
        let len = fields.as_slice().iter().find_map(|field| field.strip_prefix(b"iov_len="))?;
        sum = sum.checked_add(lex::value(len)?)?;
        rest = tail;
    }
    Some(sum)
}

/// Kind and mode, size and owner of what a stat call found; the owner, as the modification time, with `-v` only.
fn stat(event: &mut Event, arg: &[u8], names: [&[u8]; 4]) {
    if arg.first() == Some(&b'{') {
        for (col, name) in [Col::StMode, Col::StSize, Col::Uid, Col::Gid].into_iter().zip(names) {
            event.put(col, lex::field(arg, name).and_then(lex::value));
        }
    }
}

/// A time in two fields of a structure.
fn nanos(arg: &[u8], seconds: &[u8], nanos: &[u8]) -> Option<i64> {
    let number = |name| lex::field(arg, name).and_then(lex::value);
    number(seconds)?.checked_mul(1_000_000_000)?.checked_add(number(nanos)?)
}

/// Access and modification time: `[{tv_sec=.., tv_nsec=..} /* .. */, UTIME_OMIT]`, `{actime=.., modtime=..}`, NULL.
fn times(event: &mut Event, arg: &[u8]) -> Result<(), Why> {
    if arg == b"NULL" {
        event.set(Col::Atime, TIME_NOW);
        event.set(Col::Mtime, TIME_NOW);
        return Ok(());
    }
    if let Some(at) = lex::field(arg, b"actime=") {
        let seconds = |text: &[u8]| lex::value(text).and_then(|s| s.checked_mul(1_000_000_000));
        event.put(Col::Atime, seconds(at));
        event.put(Col::Mtime, lex::field(arg, b"modtime=").and_then(seconds));
        return Ok(());
    }
    // An address: the call failed before it was read.
    let Some(array) = arg.strip_prefix(b"[").and_then(|arg| arg.strip_suffix(b"]")) else { return Ok(()) };
    let (two, _) = lex::split(array).ok_or(Why::Argument)?;
    for (col, text) in [Col::Atime, Col::Mtime].into_iter().zip(two.as_slice()) {
        event.set(col, time(text).ok_or(Why::Argument)?);
    }
    Ok(())
}

fn time(text: &[u8]) -> Option<i64> {
    if text.starts_with(b"UTIME_NOW") {
        return Some(TIME_NOW);
    }
    if text.starts_with(b"UTIME_OMIT") {
        return Some(TIME_OMIT);
    }
    let seconds = lex::number(lex::field(text, b"tv_sec=")?)?;
    let part = match lex::field(text, b"tv_nsec=") {
        Some(b"UTIME_NOW") => return Some(TIME_NOW),
        Some(b"UTIME_OMIT") => return Some(TIME_OMIT),
        Some(nanos) => lex::number(nanos)?,
        None => lex::number(lex::field(text, b"tv_usec=")?)?.checked_mul(1000)?,
    };
    seconds.checked_mul(1_000_000_000)?.checked_add(part)
}
