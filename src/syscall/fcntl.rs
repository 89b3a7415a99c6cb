//! The commands of fcntl(2): one row each, `name number (argument) -> what it returns => what becomes of it`.

/// What the third argument of a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// The command has none.
    Nothing,
    /// The least number of the new descriptor.
    Least,
    /// Flags of the descriptor (FD_CLOEXEC).
    DescriptorFlags,
    /// Flags of the open file description (O_APPEND ...).
    StatusFlags,
    /// A pointer to `struct flock`.
    RecordLock,
    /// The type of a lease (F_RDLCK ...).
    Lease,
    /// The events of a directory to be notified of (DN_MODIFY ...).
    Events,
    /// Seals (F_SEAL_WRITE ...).
    Seals,
    /// The capacity of a pipe in bytes.
    Capacity,
    /// Something that no replay needs: a process, a signal, another descriptor, a pointer.
    Other,
}

impl Takes {
    /// Is it a number that stands for itself, which events have in column `arg`?
    pub const fn number(self) -> bool {
        match self {
            Takes::Least
            | Takes::DescriptorFlags
            | Takes::StatusFlags
            | Takes::Lease
            | Takes::Events
            | Takes::Seals
            | Takes::Capacity => true,
            Takes::Nothing | Takes::RecordLock | Takes::Other => false,
        }
    }
}

/// What a command that succeeds returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// Nothing: 0.
    Zero,
    /// The number of a new descriptor.
    NewFd,
    /// Flags of the descriptor: FD_CLOEXEC or 0.
    DescriptorFlags,
    /// Another number.
    Value,
}

/// What becomes of a command in a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It is issued; record locks without waiting, and owned by the open file description.
    As,
    /// The model carries its effect.
    Model,
    /// It is not issued: others would wait for it, it concerns processes, signals or pipes, or no file has it.
    Drop,
}

/// A command of fcntl(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its name in the kernel's headers.
    pub name: &'static str,
    /// Its number (include/uapi/asm-generic/fcntl.h, include/uapi/linux/fcntl.h; the same on all architectures of this project).
    pub number: i64,
    /// Its argument.
    pub takes: Takes,
    /// Its return value.
    pub gives: Gives,
    /// What becomes of it in a replay.
    pub replayed: Replayed,
}

/// The command with this number; `None` for one that is unknown.
pub fn command(number: i64) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.number == number)
}

/// The command of this name; `None` for one that is unknown.
pub fn named(name: &[u8]) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name.as_bytes() == name)
}

macro_rules! commands {
    ($($name:ident $number:literal ($takes:ident) -> $gives:ident => $how:ident;)*) => {
        /// All commands that are known, each once.
        pub static COMMANDS: &[Command] = &[$(Command {
            name: stringify!($name), number: $number, takes: Takes::$takes, gives: Gives::$gives, replayed: Replayed::$how,
        }),*];
    };
}

#[rustfmt::skip]
commands! {
    F_DUPFD              0    (Least)           -> NewFd           => Model;
    F_GETFD              1    (Nothing)         -> DescriptorFlags => As;
    F_SETFD              2    (DescriptorFlags) -> Zero            => As;
    F_GETFL              3    (Nothing)         -> Value           => As;
    F_SETFL              4    (StatusFlags)     -> Zero            => As;
    F_GETLK              5    (RecordLock)      -> Zero            => As;
    F_SETLK              6    (RecordLock)      -> Zero            => As;
    F_SETLKW             7    (RecordLock)      -> Zero            => As;
    F_SETOWN             8    (Other)           -> Zero            => Drop;
    F_GETOWN             9    (Nothing)         -> Value           => Drop;
    F_SETSIG             10   (Other)           -> Zero            => Drop;
    F_GETSIG             11   (Nothing)         -> Value           => Drop;
    F_GETLK64            12   (RecordLock)      -> Zero            => As;
    F_SETLK64            13   (RecordLock)      -> Zero            => As;
    F_SETLKW64           14   (RecordLock)      -> Zero            => As;
    F_SETOWN_EX          15   (Other)           -> Zero            => Drop;
    F_GETOWN_EX          16   (Other)           -> Zero            => Drop;
    F_GETOWNER_UIDS      17   (Other)           -> Zero            => Drop;
    F_OFD_GETLK          36   (RecordLock)      -> Zero            => As;
    F_OFD_SETLK          37   (RecordLock)      -> Zero            => As;
    F_OFD_SETLKW         38   (RecordLock)      -> Zero            => As;
    F_SETLEASE           1024 (Lease)           -> Zero            => Drop;
    F_GETLEASE           1025 (Nothing)         -> Value           => Drop;
    F_NOTIFY             1026 (Events)          -> Zero            => Drop;
    F_DUPFD_QUERY        1027 (Other)           -> Value           => Drop;
    F_CREATED_QUERY      1028 (Nothing)         -> Value           => Drop;
    F_CANCELLK           1029 (Other)           -> Value           => Drop;
    F_DUPFD_CLOEXEC      1030 (Least)           -> NewFd           => Model;
    F_SETPIPE_SZ         1031 (Capacity)        -> Value           => Drop;
    F_GETPIPE_SZ         1032 (Nothing)         -> Value           => Drop;
    F_ADD_SEALS          1033 (Seals)           -> Zero            => Drop;
    F_GET_SEALS          1034 (Nothing)         -> Value           => Drop;
    F_GET_RW_HINT        1035 (Other)           -> Zero            => Drop;
    F_SET_RW_HINT        1036 (Other)           -> Zero            => Drop;
    F_GET_FILE_RW_HINT   1037 (Other)           -> Zero            => Drop;
    F_SET_FILE_RW_HINT   1038 (Other)           -> Zero            => Drop;
    F_GETDELEG           1039 (Other)           -> Value           => Drop;
    F_SETDELEG           1040 (Other)           -> Value           => Drop;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::lock::Lock;
    use std::collections::HashSet;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    #[test]
    fn names_and_numbers_stand_once_and_lead_to_their_row() {
        let mut seen = HashSet::new();
        for row in COMMANDS {
            assert!(seen.insert(row.number), "{} twice", row.number);
            assert_eq!((command(row.number), named(row.name.as_bytes())), (Some(row), Some(row)));
        }
        assert_eq!((command(-1), command(18), named(b"F_OK"), named(b"")), (None, None, None, None));
    }

    #[test]
    fn record_locks_are_those_of_lock() {
        for row in COMMANDS {
            assert_eq!(row.takes == Takes::RecordLock, Lock::of(row.number).is_some(), "{}", row.name);
        }
    }

    #[test]
    fn the_kernel_returns_what_the_rows_say() {
        let file = tempfile::tempfile().unwrap();
        let plain = |takes| matches!(takes, Takes::Nothing | Takes::Least | Takes::DescriptorFlags | Takes::StatusFlags);
        let mut tried = 0;
        for row in COMMANDS.iter().filter(|row| plain(row.takes) || matches!(row.name, "F_SETOWN" | "F_SETSIG")) {
            // SAFETY: the descriptor is open, and none of these commands takes a pointer.
            let ret = unsafe { libc::fcntl(file.as_raw_fd(), row.number as libc::c_int, 0) };
            let good = match row.gives {
                Gives::Zero => ret == 0,
                Gives::DescriptorFlags => ret == 0 || ret == libc::FD_CLOEXEC,
                // SAFETY: fcntl has just made this descriptor, and nobody else knows of it.
                Gives::NewFd => ret > 2 && unsafe { OwnedFd::from_raw_fd(ret) }.as_raw_fd() == ret,
                Gives::Value => continue,
            };
            assert!(good, "{}: {ret}", row.name);
            tried += 1;
        }
        assert_eq!(tried, 7);
    }
}
