//! Generates the rows of systemtap/calls.h: the syscall table in the form that the probes read, one letter for each argument.

use crate::capture::decode::table;
use crate::syscall::number::Abi;
use crate::syscall::{Def, Ret, Role, Syscall};
use std::fmt::Write;

const FILE: &str = include_str!("../../../../systemtap/calls.h");
/// The text of the file right before and right behind the rows.
const AROUND: (&str, &str) = ("} calls[] = {\n", "};\n\n/* Rows by number");

/// Text of systemtap/calls.h with its rows generated from the syscall table.
pub fn file() -> String {
    let (head, rest) = FILE.split_once(AROUND.0).unwrap_or((FILE, ""));
    let tail = rest.split_once(AROUND.1).map_or("", |(_, tail)| tail);
    format!("{head}{}{}{}{tail}", AROUND.0, rows(), AROUND.1)
}

fn rows() -> String {
    let number = |number: Option<u16>| number.map_or("NONE".into(), |number| number.to_string());
    let mut rows = String::new();
    for syscall in Syscall::ALL.iter().copied().filter(|syscall| probed(*syscall)) {
        // Ends of threads and processes have a probe of their own.
        let ends = matches!(syscall, Syscall::exit | Syscall::exit_group);
        let [native, compat] = [Abi::X86_64, Abi::I386].map(|abi| syscall.number(abi).filter(|_| !ends && takes(syscall, abi)));
        let [args, args32] = [Abi::X86_64, Abi::I386].map(|abi| letters(syscall, abi));
        // The first letters are those of 64-bit calls, or of 32-bit ones if only those exist.
        let args = if native.is_none() { &args32 } else { &args };
        let name = format!("\"{}\",", syscall.name());
        let _ = write!(rows, "\t{{ {name:<26} {:>4}, {:>4}, \"{args}\"", number(native), number(compat));
        if compat.is_some() && args32 != *args {
            let _ = write!(rows, ", \"{args32}\"");
        }
        rows.push_str(" },\n");
    }
    rows
}

/// Does the call exist on x86_64 or i386, where the probes run?
fn probed(syscall: Syscall) -> bool {
    syscall.is_call() && syscall != Syscall::sync_file_range2
}

/// Can the probes describe its arguments? Not those of fanotify_mark on i386: its 64-bit mask takes two registers.
fn takes(syscall: Syscall, abi: Abi) -> bool {
    (syscall, abi) != (Syscall::fanotify_mark, Abi::I386)
}

/// The letters for the arguments of a call, one for each register; the head of systemtap/calls.h explains them.
fn letters(syscall: Syscall, abi: Abi) -> String {
    let def = syscall.def();
    let mut letters = String::new();
    for (place, role) in def.args.iter().enumerate() {
        if *role == Role::OffsetHigh && def.has(Role::Offset) && abi != Abi::I386 {
            continue;
        }
        while abi == Abi::X86_64 && letters.len() < syscall.register(place) {
            letters.push('-');
        }
        letters.push(letter(syscall, *role, abi));
        if abi == Abi::I386 && syscall.wide(*role) {
            letters.push('<');
        }
    }
    if let Some(place) = table::pair(syscall).map(usize::from) {
        letters.replace_range(place..=place, "D");
    }
    letters.truncate(letters.trim_end_matches('-').len());
    letters.push_str(result(def));
    letters
}

fn result(def: &Def) -> &'static str {
    match def.ret {
        // For dup the source descriptor is described instead of the new one.
        Ret::NewFd if !def.has(Role::Fd) => "=",
        Ret::Pid => "&",
        _ => "",
    }
}

fn letter(syscall: Syscall, role: Role, abi: Abi) -> char {
    use Syscall as S;
    match role {
        Role::Fd if syscall == S::close => 'Z',
        Role::Fd => 'd',
        Role::Fd2 => 'e',
        Role::DirFd => 'h',
        Role::DirFd2 => 'H',
        Role::Path if syscall == S::chdir => 'C',
        Role::Path if syscall == S::getcwd => 'l',
        Role::Path => 'p',
        Role::Path2 => 'P',
        Role::Target => 't',
        Role::Link => 'L',
        Role::Iov => 'V',
        Role::IovCnt => 'v',
        Role::Count => 'c',
        Role::Offset if syscall == S::mmap2 => '#',
        Role::Offset => 'O',
        Role::OffsetPtr if syscall == S::sendfile && abi == Abi::I386 => 'w',
        Role::OffsetPtr => 'o',
        Role::Offset2Ptr => 'q',
        Role::OffsetHigh => '>',
        Role::ResultPtr => 'r',
        Role::Whence => 'W',
        Role::OpenFlags | Role::AtFlags | Role::Flags | Role::CloneFlags => 'f',
        // The mode means something only when the call may create a file.
        Role::Mode if matches!(syscall, S::open | S::openat) => 'M',
        Role::Mode | Role::Access | Role::Prot => 'm',
        Role::Cmd => 'F',
        Role::Arg => 'G',
        Role::Uid if syscall.short_owners() => 'a',
        Role::Uid => 'u',
        Role::Gid if syscall.short_owners() => 'b',
        Role::Gid => 'g',
        Role::How => 'k',
        Role::Stat if matches!(syscall, S::stat64 | S::lstat64 | S::fstat64 | S::fstatat64) => 'z',
        Role::Stat => 's',
        Role::Statx => 'x',
        Role::Name => 'N',
        Role::Times if matches!(syscall, S::utimes | S::futimesat) => 'U',
        Role::Times if syscall == S::utime => 'Y',
        Role::Times => 'T',
        Role::CloneArgs => 'K',
        Role::Buf | Role::Addr | Role::Start | Role::Advice | Role::Skip | Role::Process => '-',
    }
}
