//! Checks how many arguments of a call are printed: as many as its row has, except for those that some versions of strace leave
//! out or add.

use super::lex;
use crate::event::{Col, Event};
use crate::syscall::fcntl::{Takes, command};
use crate::syscall::flag::{FICLONE, O_CREAT, TMPFILE};
use crate::syscall::lock::Lock;
use crate::syscall::{Op, Role, Syscall};

/// The most arguments that are printed of a call without a name: as many as any architecture passes in registers.
const REGISTERS: usize = 7;
/// The most arguments that are printed of clone(2): on some architectures with the size of the stack.
pub const CLONE: usize = 6;

/// What it means that an argument of a call was not printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing: the call does not use it.
    Fine,
    /// The tracer did not know that the call has it: it is a gap.
    Gap,
    /// The line is damaged.
    Fault,
}

/// What it means that the argument of this role was not printed; the arguments before it have been read into `event`.
pub fn missing(event: &Event, role: Role) -> Missing {
    let cmd = event.int(Col::Cmd);
    let flag = |bit| event.int(Col::Flags).is_some_and(|flags| flags & bit != 0);
    let fine = match (role, event.syscall.op()) {
        (Role::Mode, Some(Op::Open | Op::Openat)) if flag(TMPFILE) && !flag(O_CREAT) => return Missing::Gap,
        (Role::Mode, Some(Op::Open | Op::Openat)) => !flag(O_CREAT),
        (Role::Arg, Some(Op::Fcntl)) => {
            let takes = cmd.and_then(command).map_or(Takes::Other, |command| command.takes);
            !matches!(takes, Takes::RecordLock | Takes::Least | Takes::DescriptorFlags | Takes::StatusFlags)
        }
        (Role::Arg, Some(Op::Ioctl)) => cmd != Some(FICLONE),
        // A device, a new address, mode and attributes of a new queue, the argument of a quotactl command, the entry that
        // readdir fills.
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

/// May `more` arguments follow those of the call's row? Of a call by number (`numbered`) all registers are printed, used or
/// not.
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
        // strace 4.5 prints a record lock and then the address at which it was.
        (Some(arg), None) => Lock::asked(event).is_some() && arg.starts_with(b"0x"),
        _ => false,
    }
}
