//! Where calls begin in a file: at an argument, or at the shared position of the open file description.

use super::{Def, Moves, Op, Role};
use crate::event::{Col, Event};
use crate::words::words;

/// The position argument of preadv2 and pwritev2 that means the shared position (preadv2(2)).
pub const SHARED: i64 = -1;

words! {
    /// How the position from which a call starts is given.
    Given {
        Nowhere  "none"               "it starts from no position";
        Shared   "shared"             "it is the shared one, which the call moves";
        Argument "argument"           "it is an argument; nothing moves";
        Either   "argument_or_shared" "it is an argument, or the shared one where that is -1 (preadv2(2))";
        Pointer  "pointer"            "a pointer leads to it; without one it is the shared one (copy_file_range(2), sendfile(2), splice(2))";
    }
}

impl Given {
    /// How a row of the table gives the position in the file of `fd`, and in the file of `fd2`.
    pub(super) const fn of(def: &Def) -> (Given, Given) {
        let first = match def.op() {
            _ if def.has(Role::OffsetPtr) => Given::Pointer,
            Some(Op::Preadv2 | Op::Pwritev2) => Given::Either,
            Some(Op::Read | Op::Readv | Op::Write | Op::Writev | Op::Lseek | Op::Getdents | Op::Getdents64) => Given::Shared,
            _ if def.has(Role::Offset) => Given::Argument,
            _ => Given::Nowhere,
        };
        let second = match def.moves() {
            _ if def.has(Role::Offset2Ptr) => Given::Pointer,
            Moves::Copies => Given::Shared,
            _ => Given::Nowhere,
        };
        (first, second)
    }

    /// Where a call begins whose position argument has this value, if any.
    fn start(self, argument: Option<i64>) -> Start {
        match (self, argument) {
            (Given::Shared, _) | (Given::Either, Some(SHARED)) | (Given::Pointer, None) => Start::Shared,
            _ => Start::At(argument.unwrap_or(0)),
        }
    }
}

/// Position at which a call begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the shared position of the open file description, which the call moves.
    Shared,
    /// At this position in bytes, given as an argument; the shared position stays.
    At(i64),
}

impl Start {
    /// The position given as an argument; `None` for the shared one.
    pub fn at(self) -> Option<i64> {
        match self {
            Start::Shared => None,
            Start::At(at) => Some(at),
        }
    }
}

/// Where a call begins in the file of `fd`.
pub fn start(event: &Event) -> Start {
    event.syscall.def().given.start(event.int(Col::Offset))
}

/// Where a call begins in the file of `fd2`.
pub fn start2(event: &Event) -> Start {
    event.syscall.def().given2.start(event.int(Col::Offset2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::{Syscall, TABLE};

    #[test]
    fn a_position_is_an_argument_or_the_shared_one() {
        let at = |syscall, offset| {
            let mut event = Event::new(syscall);
            event.put(Col::Offset, offset);
            start(&event)
        };
        assert_eq!(at(Syscall::read, None), Start::Shared);
        assert_eq!(at(Syscall::pread64, Some(7)), Start::At(7));
        // Of pread(2) a negative position is an error.
        assert_eq!(at(Syscall::pread64, Some(-1)), Start::At(-1));
        for syscall in [Syscall::preadv2, Syscall::pwritev2] {
            assert_eq!((at(syscall, Some(-1)), at(syscall, Some(0))), (Start::Shared, Start::At(0)));
        }
        for syscall in [Syscall::sendfile, Syscall::copy_file_range, Syscall::splice] {
            assert_eq!((at(syscall, None), at(syscall, Some(0))), (Start::Shared, Start::At(0)));
        }
    }
    /// Each call that moves bytes of files says from where, and so does each that has a position among its arguments.
    #[test]
    fn every_row_says_how_its_position_is_given() {
        for def in TABLE {
            let first = def.moves() != Moves::Nothing || [Role::Offset, Role::OffsetPtr].iter().any(|role| def.has(*role));
            assert!(def.given != Given::Nowhere || !first, "{}", def.name);
            assert_eq!(def.given2 != Given::Nowhere, def.moves() == Moves::Copies || def.has(Role::Offset2Ptr), "{}", def.name);
        }
        let moved = |given| TABLE.iter().filter(|def| def.given == given).map(|def| def.name).collect::<Vec<_>>();
        assert_eq!(
            moved(Given::Shared),
            [
                "read",
                "readv",
                "write",
                "writev",
                "lseek",
                "_llseek",
                "getdents",
                "getdents64",
                "readdir",
                "uring_read_on",
                "uring_write_on"
            ]
        );
        assert_eq!(moved(Given::Either), ["preadv2", "pwritev2"]);
        assert_eq!(moved(Given::Pointer), ["copy_file_range", "sendfile", "sendfile64", "splice", "uring_splice"]);
        // sendfile(2) takes a pointer for the file that it reads only.
        let shared2: Vec<_> = TABLE.iter().filter(|def| def.given2 == Given::Shared).map(|def| def.name).collect();
        assert_eq!(shared2, ["sendfile", "sendfile64"]);
    }
}
