//! Record locks: the commands of fcntl(2) that ask for them, and the `struct flock` that they point to.

use super::{At, Op, flag};
use crate::event::{Col, Event};

/// A command of fcntl(2) about a record lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// What it does.
    pub what: What,
    /// Who has the lock then.
    pub owner: Owner,
}

/// What a command does with a record lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Asks who stands in its way.
    Get,
    /// Takes it or lets go of it.
    Set,
}

/// Whose a record lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The process': it ends when that closes any descriptor of the file.
    Process,
    /// The open file description's.
    Description,
}

impl Lock {
    /// The first of three commands in a row: get, set, set and wait. Those of a process, the same of a 32-bit one with
    /// 64-bit positions, those of an open file description.
    pub const FIRST: [(i64, Owner); 3] =
        [(flag::F_GETLK, Owner::Process), (flag::F_GETLK64, Owner::Process), (flag::F_OFD_GETLK, Owner::Description)];

    /// What a command of fcntl(2) is; `None` for one that is about something else.
    pub fn of(cmd: i64) -> Option<Lock> {
        let (first, owner) = Lock::FIRST.into_iter().find(|(first, _)| (*first..*first + 3).contains(&cmd))?;
        Some(Lock { what: if cmd == first { What::Get } else { What::Set }, owner })
    }

    /// What a call asks of record locks.
    pub fn asked(event: &Event) -> Option<Lock> {
        let cmd = event.int(Col::Cmd).filter(|_| event.syscall.op() == Some(Op::Fcntl))?;
        Lock::of(cmd)
    }
}

/// The instant of a call: that of its row; but whoever lets go of a lock does so before it returns, and another may have
/// it by then.
pub fn instant(event: &Event) -> At {
    let lets_go = match event.syscall.op() {
        Some(Op::Fcntl) => {
            Lock::asked(event).is_some_and(|lock| lock.what == What::Set) && event.int(Col::Mode) == Some(flag::F_UNLCK)
        }
        Some(Op::Flock) => event.int(Col::Cmd).is_some_and(|cmd| cmd & flag::LOCK_UN != 0),
        _ => false,
    };
    if lets_go { At::Entry } else { event.syscall.def().at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::Syscall;

    #[test]
    fn commands_are_known_by_what_they_do_and_for_whom() {
        let commands: Vec<i64> = (0..100).filter(|cmd| Lock::of(*cmd).is_some()).collect();
        assert_eq!(commands, [5, 6, 7, 12, 13, 14, 36, 37, 38]);
        assert_eq!(Lock::of(7), Some(Lock { what: What::Set, owner: Owner::Process }));
        assert_eq!(Lock::of(36), Some(Lock { what: What::Get, owner: Owner::Description }));
    }

    #[test]
    fn a_lock_is_let_go_when_the_call_begins_and_had_when_it_returns() {
        let mut event = Event::new(Syscall::fcntl);
        event.set(Col::Cmd, 6);
        event.set(Col::Mode, flag::F_WRLCK);
        assert_eq!(instant(&event), At::Return);
        event.set(Col::Mode, flag::F_UNLCK);
        assert_eq!(instant(&event), At::Entry);
        let mut event = Event::new(Syscall::flock);
        event.set(Col::Cmd, 2);
        assert_eq!(instant(&event), At::Return);
        event.set(Col::Cmd, 8);
        assert_eq!(instant(&event), At::Entry);
    }
}
