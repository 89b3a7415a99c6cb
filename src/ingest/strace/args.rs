//! Reads printed arguments into the columns of an event, by the roles that the syscall's row gives them.
//!
//! An argument is read, or it is NULL, or the log does not have it, or it is not understood. The last makes the line a reject.
//! What the log does not have is a gap: where the call cannot be issued without it, that is a reject too.

use super::arity::{self, Missing};
use super::forms::{self, elsewhere};
use super::kinds;
use super::lex::{self, Annotation, Printed};
use super::names;
use super::structs;
use super::times;
use crate::event::{Col, Event, Text};
use crate::ingest::doubt::{Doubt, Doubts};
use crate::ingest::parse::Why;
use crate::ingest::possible;
use crate::syscall::fcntl::command;
use crate::syscall::lock::{Lock, What};
use crate::syscall::{Def, Op, Role, Syscall, flag};

/// Gaps: what the log does not have of the arguments of a call, and what it shows that the outcome must fit.
#[derive(Debug, Default)]
pub struct Gaps {
    /// Number of arguments that are absent.
    absent: u64,
    /// Whether the call can be known without its absent arguments.
    vital: Vital,
    /// Number of buffers of the vector that were printed, if all were.
    buffers: Option<i64>,
    /// Length in bytes of a text or of the data, if it was printed to its end.
    printed: Option<i64>,
    /// Was a time printed that no kernel sets (a fraction of more than a second)?
    wild_time: bool,
}

/// Whether a call can be known without an absent argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Vital {
    #[default]
    Not,
    /// The argument is needed only for what the call found: of a failed call it tells nothing.
    Found,
    /// The argument tells what was asked for: without it the call cannot be issued.
    Asked,
}

impl Gaps {
    /// Decides, once the outcome is known, whether the gaps make the line a reject; else counts them as doubts. Of a call that
    /// failed nothing is missed, unless the argument had a part in the failure.
    ///
    /// # Errors
    /// [`Why::Address`] when the call cannot be known without the absent arguments; others when what was printed contradicts
    /// the outcome.
    pub fn settle(&self, event: &Event, doubts: &mut Doubts) -> Result<(), Why> {
        let failed = event.failure();
        // A bad descriptor is refused before anything behind a pointer is read.
        let unread = matches!(failed, Some(libc::EFAULT | libc::EBADF));
        if self.vital == Vital::Asked && !unread || self.vital == Vital::Found && failed.is_none() {
            return Err(Why::Address);
        }
        if let Some(ret) = event.success() {
            if self.buffers.is_some() && self.buffers != event.int(Col::IovCnt) {
                return Err(Why::Argument);
            }
            if self.wild_time || self.printed.is_some_and(|printed| !moved(event, printed, ret)) {
                return Err(Why::Impossible);
            }
            doubts.add(Doubt::Unprinted, self.absent);
        }
        Ok(())
    }

    /// Passes an argument's value on, and counts it as absent when it is `None`.
    fn unless<T>(&mut self, value: Option<T>) -> Option<T> {
        self.absent += u64::from(value.is_none());
        value
    }
}

/// Can a call whose text or data was printed with this length have returned this?
fn moved(event: &Event, printed: i64, ret: i64) -> bool {
    match event.syscall.op() {
        // Printed data may have been removed from a log before it was published, so it may be shorter; names are not shortened.
        Some(Op::Read | Op::Pread) => printed <= ret,
        Some(Op::Write | Op::Pwrite) => event.int(Col::Count).is_none_or(|count| count < 0 || printed <= count),
        Some(Op::Readlink | Op::Readlinkat) => printed == ret,
        // getcwd(2) counts the terminating NUL.
        Some(Op::Getcwd) => printed + 1 == ret,
        _ => true,
    }
}

/// How the arguments of a call were printed.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Were the arguments printed to the end? Then none may be missing.
    pub whole: bool,
    /// Is it a call by number, without a name? Then all argument registers are printed as numbers.
    pub numbered: bool,
}

/// Fills the columns of an event from the printed arguments of its call; returns the gaps.
///
/// # Errors
/// When an argument that the replay needs is missing, malformed or has an unknown name, or there is one too many.
pub fn fill(event: &mut Event, args: &[&[u8]], form: Form, doubts: &mut Doubts) -> Result<Gaps, Why> {
    let def = event.syscall.def();
    let mut gaps = Gaps::default();
    match event.syscall {
        Syscall::pipe | Syscall::pipe2 => pair(event, args.first(), &mut gaps)?,
        Syscall::socketpair => pair(event, args.get(3), &mut gaps)?,
        Syscall::clone if args.len() > arity::CLONE => return Err(Why::Argument),
        Syscall::clone => return structs::clone(event, args, form.whole).map(|()| gaps),
        // 32-bit programs hand over one structure, at an address (mmap(2)).
        Syscall::mmap if args.len() == 1 && form.whole && elsewhere(null(args[0])) => {
            gaps.vital = Vital::Asked;
            return Ok(gaps);
        }
        _ => {}
    }
    let registers = form.numbered || raw(args);
    if form.numbered && !args.iter().all(|arg| lex::number(arg).is_some()) {
        return Err(Why::Argument);
    }
    // strace prints the two halves of a 64-bit position as one number. `-e raw` shows both, except for those of 64-bit calls
    // that have a second one in name only (preadv2(2)).
    let joined = def.has(Role::OffsetHigh) && args.len() < def.args.len();
    let halves = matches!(event.syscall, Syscall::preadv2 | Syscall::pwritev2) && args.len() > def.args.len();
    let roles = def.args.iter().filter(|role| !(joined && **role == Role::OffsetHigh));
    let mut args = args.iter().enumerate().filter(|(at, _)| !(halves && *at == 4)).map(|(_, arg)| null(arg));
    for role in roles {
        let Some(arg) = args.next() else {
            match arity::missing(event, *role) {
                Missing::Fine => {}
                _ if !form.whole => {}
                Missing::Gap => gaps.absent += 1,
                Missing::Fault => return Err(Why::Argument),
            }
            continue;
        };
        fill_one(event, def, *role, arg, &mut gaps, doubts)?;
        if let Some(col) = role.col().filter(|col| registers && possible::narrow(event, *col)) {
            lower_half(event, col);
        }
    }
    if arity::may_follow(event, form.numbered, args) { Ok(gaps) } else { Err(Why::Argument) }
}

/// Are the arguments raw registers, as `-e raw` prints them (0 or hexadecimal)?
fn raw(args: &[&[u8]]) -> bool {
    let register = |arg: &&[u8]| *arg == b"0" || arg.starts_with(b"0x") && lex::number(arg).is_some();
    args.iter().all(register) && args.iter().any(|arg| arg.len() > 1)
}

/// Reduces a register that holds a C int to its lower 32 bits, which are all that the kernel reads: the others may be left
/// over.
fn lower_half(event: &mut Event, col: Col) {
    let Some(value) = event.int(col) else { return };
    if i32::try_from(value).is_err() && u32::try_from(value).is_err() {
        event.set(col, i64::from(value as i32));
    }
}

fn fill_one(event: &mut Event, def: &Def, role: Role, arg: &[u8], gaps: &mut Gaps, doubts: &mut Doubts) -> Result<(), Why> {
    match role {
        Role::Fd => set_fd(event, arg, Col::Fd, Text::FdPath, true)?,
        Role::Fd2 => set_fd(event, arg, Col::Fd2, Text::Fd2Path, false)?,
        Role::DirFd => set_fd(event, arg, Col::DirFd, Text::DirPath, false)?,
        Role::DirFd2 => set_fd(event, arg, Col::DirFd2, Text::Dir2Path, false)?,
        Role::Path | Role::Path2 | Role::Target | Role::Name | Role::Link => {
            match (lex::string(arg).ok_or(Why::Argument)?, role.text()) {
                (Printed::Whole(bytes), Some(text)) => {
                    if role == Role::Link || event.syscall.op() == Some(Op::Getcwd) {
                        gaps.printed = i64::try_from(bytes.len()).ok();
                    }
                    event.set_text(text, bytes);
                }
                (Printed::Lost, _) => gaps.absent += 1,
                _ => {}
            }
        }
        Role::Iov => {
            let (buffers, count) = gaps.unless(structs::buffers(arg)?).unzip();
            gaps.buffers = buffers;
            event.put(Col::Count, count);
        }
        // NULL means the shared position of the descriptor.
        Role::OffsetPtr => pointed(event, Col::Offset, arg, def, gaps)?,
        Role::Offset2Ptr => pointed(event, Col::Offset2, arg, def, gaps)?,
        // Some kernels store the result of a 32-bit seek here and return 0.
        Role::ResultPtr => {
            let value = bracketed(arg);
            if value.is_none() && !elsewhere(arg) {
                return Err(Why::Argument);
            }
            event.put(Col::Arg, gaps.unless(value));
        }
        Role::How => {
            if !structs::how(event, arg)? {
                gaps.vital = Vital::Asked;
            }
        }
        Role::CloneArgs => structs::clone_args(event, arg)?,
        Role::Stat => gaps.absent += u64::from(!structs::stat(event, arg)?),
        Role::Statx => gaps.absent += u64::from(!structs::statx(event, arg)?),
        Role::Times => match times::both(event.syscall, arg, doubts)? {
            Some(times::Set { times: [atime, mtime], wild }) => {
                event.set(Col::Atime, atime);
                event.set(Col::Mtime, mtime);
                gaps.wild_time = wild;
            }
            None => gaps.vital = Vital::Asked,
        },
        Role::Buf if arg.first() == Some(&b'"') => {
            if let Printed::Whole(bytes) = lex::string(arg).ok_or(Why::Argument)? {
                gaps.printed = i64::try_from(bytes.len()).ok();
            }
        }
        Role::Buf if !forms::memory(arg) => return Err(Why::Argument),
        Role::Addr | Role::Start if !elsewhere(arg) => return Err(Why::Argument),
        Role::OffsetHigh if lex::number(arg).is_none() => return Err(Why::Argument),
        Role::Skip if !forms::number(arg) => return Err(Why::Argument),
        Role::Buf | Role::OffsetHigh | Role::Addr | Role::Start | Role::Advice | Role::Skip => {}
        // Only ioctl requests for regular files are ever replayed, and those have names here.
        Role::Cmd if def.op() == Some(Op::Ioctl) => {
            let request = lex::value(arg, kinds::of(event, role));
            if request.is_none() && (names::known(arg).is_some() || !forms::number(arg)) {
                return Err(Why::Argument);
            }
            event.put(Col::Cmd, request);
        }
        Role::Arg => {
            if let Some(asked) = Lock::asked(event) {
                if !structs::lock(event, arg)? {
                    gaps.vital = if asked.what == What::Get { Vital::Found } else { Vital::Asked };
                }
                return Ok(());
            }
            let number = || lex::descriptor(arg).map(|(value, _)| value).filter(|_| names::known(arg).is_none());
            let mut value = lex::value(arg, kinds::of(event, role)).or_else(number);
            if takes_number(event) {
                value = Some(int(value.ok_or(Why::Argument)?));
            } else if value.is_none() && !forms::memory(arg) && !forms::number(arg) {
                return Err(Why::Argument);
            }
            // That of F_SETSIG is a signal, which the replay does not read.
            event.put(Col::Arg, value);
        }
        // `--decode-pids` adds the name of the process.
        Role::Process => event.put(Col::Arg, Some(lex::descriptor(arg).ok_or(Why::Argument)?.0)),
        // Of the flags of statx strace prints how to synchronize first: with `-X raw` nothing, and the others behind a `|`.
        Role::AtFlags if event.syscall == Syscall::statx && (arg.is_empty() || arg.starts_with(b"|0x")) => {
            let others = arg.get(1..).map_or(Some(0), |others| lex::value(others, &[]));
            event.set(Col::Flags, others.ok_or(Why::Argument)?);
        }
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
            let value = lex::value(arg, kinds::of(event, role));
            if value.is_none() && (def.op().is_some() || !forms::number(arg)) {
                return Err(Why::Argument);
            }
            if let Some(col) = role.col() {
                event.put(col, value);
            }
        }
    }
    Ok(())
}

/// Is the argument of this fcntl or ioctl command a number that the call is issued with?
fn takes_number(event: &Event) -> bool {
    let cmd = event.int(Col::Cmd);
    match event.syscall.op() {
        Some(Op::Ioctl) => cmd == Some(flag::FICLONE),
        _ => cmd.and_then(command).is_some_and(|command| command.takes.number()),
    }
}

/// Reads a position behind a pointer: `[3]`, `[3] => [103]`, `[3 => 103]`; nothing for NULL.
fn pointed(event: &mut Event, col: Col, arg: &[u8], def: &Def, gaps: &mut Gaps) -> Result<(), Why> {
    if matches!(arg, b"NULL" | b"0") {
        return Ok(());
    }
    let value = bracketed(arg);
    if value.is_none() && !elsewhere(arg) {
        return Err(Why::Argument);
    }
    if value.is_none() && def.op().is_some() {
        gaps.vital = Vital::Asked;
    }
    event.put(col, value);
    Ok(())
}

/// A number as a C int: strace prints some descriptors (AT_FDCWD, -1) without a sign, `-e raw` all.
fn int(number: i64) -> i64 {
    u32::try_from(number).map_or(number, |number| i64::from(number as i32))
}

fn set_fd(event: &mut Event, arg: &[u8], col: Col, text: Text, first: bool) -> Result<(), Why> {
    let (number, on) = lex::descriptor(arg).ok_or(Why::Argument)?;
    event.set(col, int(number));
    if let Some(on) = on {
        note(event, text, on, first);
    }
    Ok(())
}

/// Notes in column `text` what a descriptor is open on and, for the call's first descriptor, the kind of a device.
pub fn note(event: &mut Event, text: Text, on: Annotation, first: bool) {
    event.set_text(text, on.path);
    if first && on.kind.is_some() {
        event.put(Col::StMode, on.kind);
    }
}

/// Reads the two descriptors that pipe(2) and socketpair(2) made.
fn pair(event: &mut Event, arg: Option<&&[u8]>, gaps: &mut Gaps) -> Result<(), Why> {
    let shown = arg.filter(|arg| !elsewhere(null(arg)));
    let Some(array) = shown.and_then(|arg| arg.strip_prefix(b"[")?.strip_suffix(b"]")) else {
        gaps.absent += 1;
        return if shown.is_none() { Ok(()) } else { Err(Why::Argument) };
    };
    let (made, _) = lex::split(array).ok_or(Why::Argument)?;
    let [first, second] = made.as_slice() else { return Err(Why::Argument) };
    // `-s 1` leaves out the second.
    if *second == b"..." {
        gaps.absent += 1;
        return Ok(());
    }
    set_fd(event, first, Col::Fd, Text::FdPath, true)?;
    set_fd(event, second, Col::Fd2, Text::Fd2Path, false)
}

/// The number in `[12]`, or the first one in `[12] => [34]` and `[12 => 34]`.
fn bracketed(arg: &[u8]) -> Option<i64> {
    let inner = arg.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let becomes = |mark: &[u8]| memchr::memmem::find(inner, mark).map(|at| (&inner[..at], &inner[at + mark.len()..]));
    match becomes(b"] => [").or_else(|| becomes(b" => ")) {
        Some((before, after)) => lex::number(after).and_then(|_| lex::value(before, &[])),
        None => lex::value(inner, &[]),
    }
}

/// The argument with `(nil)`, which strace before 4.9 prints for NULL, replaced by `NULL`.
fn null(arg: &[u8]) -> &[u8] {
    if arg == b"(nil)" { b"NULL" } else { arg }
}
