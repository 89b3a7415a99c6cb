//! Reads structures behind arguments into the columns for their fields.

use super::forms::{self, elsewhere};
use super::kinds;
use super::lex;
use super::names::Kind;
use super::times;
use crate::event::{Col, Event};
use crate::ingest::parse::Why;

/// Was the structure printed (true), or only its address?
type Printed = Result<bool, Why>;

/// The number in a field of a structure; `None` when the structure lacks the field.
fn number(field: Option<&[u8]>, kinds: &[Kind]) -> Result<Option<i64>, Why> {
    field.map(|text| lex::value(text, kinds).ok_or(Why::Argument)).transpose()
}

fn absent(arg: &[u8]) -> Printed {
    if elsewhere(arg) { Ok(false) } else { Err(Why::Argument) }
}

/// Reads `struct open_how` of openat2(2): `{flags=O_RDONLY, mode=0644, resolve=RESOLVE_BENEATH}`, and bytes that strace has no
/// names for.
pub fn how(event: &mut Event, arg: &[u8]) -> Printed {
    if arg.first() != Some(&b'{') || elsewhere(arg) {
        return absent(arg);
    }
    let [flags, mode, resolve] = forms::structure(arg, ["flags=", "mode=", "resolve="], forms::unnamed).ok_or(Why::Argument)?;
    event.put(Col::Flags, number(flags, &[Kind::Open])?);
    event.put(Col::Mode, number(mode, &[Kind::Mode])?);
    event.put(Col::Resolve, number(resolve, &[Kind::Resolve])?.or(Some(0)));
    Ok(true)
}

/// Reads the flags in `struct clone_args` of clone3(2): `{flags=CLONE_VM, ...}`, `{flags=CLONE_VM, ...} => {parent_tid=[12]}`
pub fn clone_args(event: &mut Event, arg: &[u8]) -> Result<(), Why> {
    if arg.first() != Some(&b'{') || elsewhere(arg) {
        return absent(arg).map(drop);
    }
    let behind = lex::group(arg).filter(|_| forms::memory(arg)).ok_or(Why::Argument)?;
    let given = &arg[..arg.len() - behind.len()];
    let [flags] =
        forms::structure(given, ["flags="], |field| forms::named(field) || forms::unnamed(field)).ok_or(Why::Argument)?;
    event.put(Col::Flags, number(flags, kinds::CLONE)?);
    Ok(())
}

/// Reads the flags of clone(2): strace prints its arguments with names and leaves out unused ones; `-e raw` prints no names.
pub fn clone(event: &mut Event, args: &[&[u8]], whole: bool) -> Result<(), Why> {
    if !args.iter().any(|arg| forms::named(arg)) {
        let fine = args.iter().all(|arg| lex::value(arg, kinds::CLONE).is_some());
        event.put(Col::Flags, number(args.first().copied().filter(|_| fine), kinds::CLONE)?);
        return if fine { Ok(()) } else { Err(Why::Argument) };
    }
    // Old versions leave out the names of arguments behind a pointer: `{entry_number:6, ..}`, `[730]`.
    for (at, arg) in args.iter().enumerate() {
        let (name, value) = match arg {
            [b'{' | b'[', ..] => (&arg[..1], *arg),
            _ => {
                let equals = arg.iter().position(|c| *c == b'=').filter(|_| forms::named(arg)).ok_or(Why::Argument)?;
                (&arg[..=equals], &arg[equals + 1..])
            }
        };
        let twice = args[..at].iter().any(|before| before.starts_with(name));
        if twice || !(forms::memory(value) || forms::number(value)) {
            return Err(Why::Argument);
        }
    }
    let flags = args.iter().find_map(|arg| arg.strip_prefix(b"flags="));
    if whole && flags.is_none() {
        return Err(Why::Argument);
    }
    event.put(Col::Flags, number(flags, kinds::CLONE)?);
    Ok(())
}

/// Reads what stat(2) and its like found: kind and mode, size; owner and modification time with `-v` only.
pub fn stat(event: &mut Event, arg: &[u8]) -> Printed {
    let names = ["st_mode=", "st_size=", "st_uid=", "st_gid=", "st_mtime=", "st_mtime_nsec="];
    found(event, arg, names, times::pair)
}

/// Reads what statx(2) found, which has the time in a structure: `stx_mtime={tv_sec=1, tv_nsec=2} /* 1970-01-01 */`
pub fn statx(event: &mut Event, arg: &[u8]) -> Printed {
    let names = ["stx_mode=", "stx_size=", "stx_uid=", "stx_gid=", "stx_mtime=", "stx_mtime_nsec="];
    found(event, arg, names, |time, _| {
        let time = time?;
        let inner = &time[..time.len() - lex::group(time)?.len()];
        let [seconds, part] = forms::structure(inner, ["tv_sec=", "tv_nsec="], |_| false)?;
        times::pair(seconds, part)
    })
}

fn found(event: &mut Event, arg: &[u8], names: [&str; 6], time: impl Fn(Option<&[u8]>, Option<&[u8]>) -> Option<i64>) -> Printed {
    if arg.first() != Some(&b'{') {
        return absent(arg);
    }
    // `{...}`, `{st_dev=.., st_ino=.., ...}`; other fields that a newer version names stay unread.
    let fine = |field: &[u8]| forms::named(field) || forms::unnamed(field);
    let [mode, size, uid, gid, seconds, part] = forms::structure(arg, names, fine).ok_or(Why::Argument)?;
    event.put(Col::StMode, number(mode, &[Kind::Mode])?);
    event.put(Col::StSize, number(size, &[])?);
    event.put(Col::Uid, number(uid, &[])?);
    event.put(Col::Gid, number(gid, &[])?);
    event.put(Col::Mtime, time(seconds, part));
    Ok(true)
}

/// Reads `struct flock` of fcntl(2): `{l_type=F_WRLCK, l_whence=SEEK_SET, l_start=0, l_len=1}`, with `l_pid` for some commands;
/// old versions leave out `l_`.
pub fn lock(event: &mut Event, arg: &[u8]) -> Printed {
    if arg.first() != Some(&b'{') || elsewhere(arg) {
        return absent(arg);
    }
    let fields: [(Col, &[Kind]); 4] =
        [(Col::Mode, &[Kind::Lock]), (Col::Whence, &[Kind::Seek]), (Col::Offset, &[]), (Col::Count, &[])];
    let values = forms::structure(arg, ["l_type=", "l_whence=", "l_start=", "l_len=", "l_pid="], |_| false)
        .or_else(|| forms::structure(arg, ["type=", "whence=", "start=", "len=", "pid="], |_| false))
        .ok_or(Why::Argument)?;
    for ((col, kinds), value) in fields.into_iter().zip(values) {
        event.set(col, number(value, kinds)?.ok_or(Why::Argument)?);
    }
    // With `-Y` the process id has the process's name behind it.
    if values[4].is_none_or(forms::number) { Ok(true) } else { Err(Why::Argument) }
}

/// Number and total length (bytes) of the buffers of `[{iov_base=.., iov_len=5}, ..]`, in old versions `[{.., 5}, ..]`; `None`
/// when strace cut the array short or printed its address.
pub fn buffers(arg: &[u8]) -> Result<Option<(i64, i64)>, Why> {
    let Some(mut rest) = arg.strip_prefix(b"[").and_then(|arg| arg.strip_suffix(b"]")) else {
        return absent(arg).map(|_| None);
    };
    let (mut buffers, mut sum) = (0, 0i64);
    while !rest.is_empty() {
        if let Some(more) = rest.strip_prefix(b"...") {
            let more = more.trim_ascii();
            return if more.is_empty() || lex::is_comment(more) { Ok(None) } else { Err(Why::Argument) };
        }
        let (fields, tail) = rest.strip_prefix(b"{").and_then(lex::split_braces).ok_or(Why::Argument)?;
        let [base, len] = fields.as_slice() else { return Err(Why::Argument) };
        if !forms::memory(base.strip_prefix(b"iov_base=").unwrap_or(base)) {
            return Err(Why::Argument);
        }
        let len = lex::value(len.strip_prefix(b"iov_len=").unwrap_or(len), &[]).ok_or(Why::Argument)?;
        sum = sum.wrapping_add(len);
        buffers += 1;
        rest = match tail {
            [] => tail,
            [b',', tail @ ..] => tail.trim_ascii_start(),
            _ => return Err(Why::Argument),
        };
    }
    Ok(Some((buffers, sum)))
}
