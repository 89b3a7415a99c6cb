//! How many arguments of a call are printed: those of its row, but for what some versions leave out or add.

use super::lex;
use crate::event::{Col, Event};
use crate::syscall::flag::{F_DUPFD, F_DUPFD_CLOEXEC, F_SETFD, F_SETFL, FICLONE, O_CREAT, TMPFILE};
use crate::syscall::lock::Lock;
use crate::syscall::{Op, Role, Syscall};

/// The most that are printed of a call without a name: the registers that arguments are in, of any architecture.
const REGISTERS: usize = 7;
/// The most that are printed of clone: with the size of the stack, on some architectures.
pub const CLONE: usize = 6;

/// What it means that an argument is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing: the call does not look at it.
    Fine,
    /// The tracer did not know that there is one.
    Gap,
    /// The line is damaged.
    Fault,
}

/// What it means that this argument of a call is not there; those before it have been read.
pub fn missing(event: &Event, role: Role) -> Missing {
    let cmd = event.int(Col::Cmd);
    let flag = |bit| event.int(Col::Flags).is_some_and(|flags| flags & bit != 0);
    let fine = match (role, event.syscall.op()) {
        (Role::Mode, Some(Op::Open | Op::Openat)) if flag(TMPFILE) && !flag(O_CREAT) => return Missing::Gap,
        (Role::Mode, Some(Op::Open | Op::Openat)) => !flag(O_CREAT),
        (Role::Arg, Some(Op::Fcntl)) => {
            Lock::asked(event).is_none() && !matches!(cmd, Some(F_DUPFD | F_SETFD | F_SETFL | F_DUPFD_CLOEXEC))
        }
        (Role::Arg, Some(Op::Ioctl)) => cmd != Some(FICLONE),
        // A device, a new address, mode and attributes of a new queue, what a command of quotactl takes, the one entry asked for.
        (Role::Skip | Role::Buf, _) => matches!(
            event.syscall,
            Syscall::mknod
                | Syscall::mknodat
                | Syscall::mremap
                | Syscall::mq_open
                | Syscall::quotactl
                | Syscall::quotactl_fd
                | Syscall::readdir
        ),
        _ => false,
    };
    if fine { Missing::Fine } else { Missing::Fault }
}

/// May these stand behind the arguments of a call? Of one that is `numbered` registers are printed, used or not.
pub fn may_follow<'a>(event: &Event, numbered: bool, mut more: impl Iterator<Item = &'a [u8]>) -> bool {
    if numbered {
        let room = REGISTERS.saturating_sub(event.syscall.def().args.len());
        let mut count = 0;
        return more.all(|arg| {
            count += 1;
            count <= room && lex::number(arg).is_some()
        });
    }
    match (more.next(), more.next()) {
        (None, _) => true,
        // strace 4.5 prints a record lock, and behind it the address that it was at.
        (Some(arg), None) => Lock::asked(event).is_some() && arg.starts_with(b"0x"),
        _ => false,
    }
}
