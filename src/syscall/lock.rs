//! Record locks and flock: the commands of fcntl(2) for record locks, and when a call on a lock takes effect.

use super::{At, Op, flag};
use crate::event::{Col, Event};

/// A command of fcntl(2) about a record lock: F_GETLK, F_SETLK, F_SETLKW and their F_OFD_ and 64-bit forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// What the command does.
    pub what: What,
    /// To whom the lock belongs.
    pub owner: Owner,
}

/// What a command does with a record lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Asks which lock stands in the way (F_GETLK).
    Get,
    /// Takes or releases a lock (F_SETLK, F_SETLKW).
    Set,
}

/// To what a record lock belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// To the process: it ends when that closes any descriptor of the file.
    Process,
    /// To the open file description (F_OFD_SETLK).
    Description,
}

impl Lock {
    /// First command (get) of each group of three with consecutive numbers: get, set, set and wait. Locks of a process, the
    /// same with 64-bit positions in 32-bit programs, locks of an open file description.
    pub const FIRST: [(i64, Owner); 3] =
        [(flag::F_GETLK, Owner::Process), (flag::F_GETLK64, Owner::Process), (flag::F_OFD_GETLK, Owner::Description)];

    /// The lock command that an fcntl(2) command is; `None` for one that is about something else.
    pub fn of(cmd: i64) -> Option<Lock> {
        let (first, owner) = Lock::FIRST.into_iter().find(|(first, _)| (*first..*first + 3).contains(&cmd))?;
        Some(Lock { what: if cmd == first { What::Get } else { What::Set }, owner })
    }

    /// The lock command of an event; `None` if it is no fcntl on a record lock.
    pub fn asked(event: &Event) -> Option<Lock> {
        let cmd = event.int(Col::Cmd).filter(|_| event.syscall.op() == Some(Op::Fcntl))?;
        Lock::of(cmd)
    }
}

/// The instant inside the call at which its effect is taken to happen: that of its row in the table, but for a release of a
/// lock the entry, since another may have the lock before the call returns.
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
